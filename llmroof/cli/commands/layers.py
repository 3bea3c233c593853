"""`llmroof layers`: the operators of each phase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from llmroof.cli.grouped import Grouped
from llmroof.cli.options import output, single, split_question

if TYPE_CHECKING:
    from llmroof.cli.output import Target


@click.command("layers", cls=Grouped)
@split_question
@output()
def command(asked: dict[str, Any], target: Target) -> None:
    """The operators of each phase: FLOP, bytes by kind, bound, time, share."""
    from llmroof.cli.ask import ask

    result = ask(single(asked, "layers"))
    from llmroof.render import layers, record

    target.show(
        lambda: layers.layers_page(result),
        lambda: record.layers_document(result),
        lambda: layers.layers_rows(result),
        result.notes,
    )
