"""`llmroof advise`: the levers of a deployment, ranked by what they buy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from llmroof.cli.grouped import Grouped
from llmroof.cli.options import output, serving_question, single
from llmroof.cli.types import ChartFile

if TYPE_CHECKING:
    from llmroof.cli.output import Target


@click.command("advise", cls=Grouped)
@serving_question
@click.option(
    "--by",
    type=click.Choice(["ttft", "tpot", "throughput", "cost"]),
    default="tpot",
    show_default=True,
    help="The figure to rank by.",
)
@click.option(
    "--plot",
    type=ChartFile(),
    metavar="FILE",
    help="What each lever buys: .png, .svg or .pdf.",
)
@output()
def command(asked: dict[str, Any], by: str, plot: str | None, target: Target) -> None:
    """Levers ranked by what each buys, every one computed by asking again.

    Number formats, plan, batch, attention, prefix cache, chunked prefill, speculative
    decoding, other GPUs for the same money: which roof moves, and when it stops paying.
    """
    from llmroof.cli.ask import ask, given
    from llmroof.cli.output import check_chart
    from llmroof.search.advise import advise

    check_chart(plot, force=target.force)
    question = single(asked, "advise")
    estimate = ask(question)
    pulls = advise(estimate, by)

    def page() -> Any:
        from llmroof.render.advise import advise_page

        return advise_page(estimate, pulls, by, given(question))

    def document() -> Any:
        from llmroof.render.advise import advise_document

        return advise_document(estimate, pulls, by)

    def rows() -> Any:
        from llmroof.render.advise import advise_rows

        return advise_rows(estimate, pulls)

    target.show(page, document, rows, estimate.notes)
    if plot is not None:
        from pathlib import Path

        from llmroof.render.plots.gains import draw

        draw(estimate, pulls, by, Path(plot))
        click.echo(f"wrote {plot}", err=True)
