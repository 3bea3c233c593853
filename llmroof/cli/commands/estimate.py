"""`llmroof estimate`: latency, throughput, memory and cost of one question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from llmroof.cli.options import output, serving_question

if TYPE_CHECKING:
    from llmroof.cli.output import Target


@click.command("estimate")
@serving_question
@output()
def command(asked: dict[str, Any], target: Target) -> int:
    """Latency, throughput, memory and cost, and why.

    Exit code 1 when the model does not fit; the answer then names the ways out.
    A range (--batch 1:512:x2) gives one row per point. --concurrency or --request-rate
    ask for a server under load instead of one static batch.
    """
    from llmroof.cli.ask import ask, given

    result = ask(asked)

    def page() -> Any:
        from llmroof.render.report import estimate_page

        return estimate_page(result, given(asked))

    def document() -> Any:
        from llmroof.render.record import estimate_document

        return estimate_document(result, given(asked))

    def rows() -> Any:
        from llmroof.render.table import rows as table

        return table(result)

    target.show(page, document, rows)
    if target.format in ("csv", "markdown"):  # rows have no place for a sentence
        for note in result.notes:
            click.echo(f"note: {note}", err=True)
    import numpy as np

    return 0 if np.any(result.fits) else 1
