"""`llmroof estimate`: latency, throughput, memory and cost of one question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from llmroof.cli.grouped import Grouped
from llmroof.cli.options import output, serving_question

if TYPE_CHECKING:
    from llmroof.cli.output import Target


def _measured(_: click.Context, __: click.Parameter, text: str | None) -> dict[str, float] | None:
    """`ttft=0.21,tpot=12ms` as seconds by name."""
    if text is None:
        return None
    from llmroof import units

    found = {}
    for part in text.split(","):
        name, _sign, value = part.strip().partition("=")
        if name not in ("ttft", "tpot") or name in found:
            raise click.BadParameter(f"'{part.strip()[:40]}' is neither ttft=... nor tpot=...")
        try:
            plain = value.strip()[-1:].isdigit()
            found[name] = float(value) if plain else units.parse(value.strip(), "s")
        except ValueError as error:
            raise click.BadParameter(f"{name}: {error}") from None
    return found


@click.command("estimate", cls=Grouped)
@serving_question
@click.option(
    "--calibrate-with",
    metavar="ttft=S,tpot=S",
    callback=_measured,
    help="What your deployment measured at this very point: scales launches and waiting.",
)
@output()
def command(asked: dict[str, Any], calibrate_with: dict[str, float] | None, target: Target) -> int:
    """Latency, throughput, memory and cost, and why.

    Exit code 1 when the model does not fit; the answer then names the ways out.
    A range (--batch 1:512:x2) gives one row per point. --concurrency or --request-rate
    ask for a server under load instead of one static batch.
    """
    from llmroof.cli.ask import ask, given

    result = ask(asked)
    if calibrate_with:
        from llmroof.evidence.calibrate import calibrate

        result = calibrate(result, **calibrate_with)

    def page() -> Any:
        from llmroof.render.report import estimate_page

        return estimate_page(result, given(asked))

    def document() -> Any:
        from llmroof.render.record import estimate_document

        return estimate_document(result, given(asked))

    def rows() -> Any:
        from llmroof.render.table import rows as table

        return table(result)

    target.show(page, document, rows, result.notes)
    import numpy as np

    return 0 if np.any(result.fits) else 1
