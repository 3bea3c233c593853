"""`llmroof explain`: how each figure of the estimate comes about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from llmroof.cli.grouped import Grouped
from llmroof.cli.options import output, serving_question, single

if TYPE_CHECKING:
    from llmroof.cli.output import Target

#: names of `llmroof.render.explain.SECTIONS`
_SECTIONS: Final = (
    "weights", "kv", "prefill", "decode", "ridge", "memory", "serving", "cost", "model",
)  # fmt: skip


@click.command("explain", cls=Grouped)
@serving_question
@click.option(
    "--section",
    "names",
    type=click.Choice(_SECTIONS),
    multiple=True,
    help="Only this part; may be repeated.  [default: all]",
)
@output()
def command(asked: dict[str, Any], names: tuple[str, ...], target: Target) -> None:
    """Derive each figure: formula, numbers, result, source; and what to remember."""
    from llmroof.cli.ask import ask, given

    result = ask(single(asked, "explain"))
    from llmroof.render import explain

    target.show(
        lambda: explain.explain_page(result, names, given(asked)),
        lambda: explain.explain_document(result, names),
        lambda: explain.explain_rows(result, names),
        result.notes,
    )
