"""`llmroof kv`: size of the KV cache, and how many sequences fit at each context."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from llmroof.cli.grouped import Grouped
from llmroof.cli.options import output, question, single
from llmroof.cli.types import Numbers

if TYPE_CHECKING:
    from llmroof.cli.output import Target


@click.command("kv", cls=Grouped)
@question
@click.option(
    "--contexts",
    type=Numbers(),
    metavar="N",
    help="Context lengths of the table; number or range.  [default: 1024:131072:x2]",
)
@output()
def command(asked: dict[str, Any], contexts: tuple[int, ...] | None, target: Target) -> int:
    """KV cache per token and sequence; largest batch at each context.

    Exit code 1 when not one sequence fits.
    """
    from llmroof.cli.ask import ask

    result = ask({"input_len": 1, "output_len": 1} | _given(single(asked, "kv")))
    from llmroof.render import kv

    document = kv.kv_document(result, contexts or _known(result.deployment.model.max_context))
    target.show(
        lambda: kv.kv_page(result, document),
        lambda: document,
        lambda: kv.kv_rows(document),
        result.notes,
    )
    return 0 if any(row["max_batch"] for row in document["contexts"]) else 1


def _given(asked: dict[str, Any]) -> dict[str, Any]:
    """Without the lengths that were left out: the table has contexts of its own."""
    return {
        name: value
        for name, value in asked.items()
        if value is not None or name not in ("input_len", "output_len")
    }


def _known(longest: int | None) -> tuple[int, ...]:
    """The default contexts within what the model was made for; its own limit closes the list."""
    from llmroof.render.kv import CONTEXTS

    if longest is None:
        return CONTEXTS
    return (*(length for length in CONTEXTS if length < longest), longest)
