"""`llmroof validate`: measured rows against their predictions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llmroof.cli.options import output
from llmroof.cli.types import ChartFile

if TYPE_CHECKING:
    from llmroof.cli.output import Target


@click.command("validate")
@click.argument("rows", type=click.Path(dir_okay=False))
@click.option("--by", metavar="A,B", help="Sum up by these columns too: model,hardware.")
@click.option("--limit", is_flag=True, help="Hold the physical limit against the measurements.")
@click.option("--plot", type=ChartFile(), metavar="FILE", help="Parity chart: .png, .svg or .pdf.")
@output()
def command(rows: str, by: str | None, limit: bool, plot: str | None, target: Target) -> None:
    """Predict measured ROWS (a CSV) and say how far off the predictions are.

    Columns: model, hardware, input_len, output_len, concurrency or batch, and what was
    measured (ttft_s, tpot_s ...); a row that cannot be predicted says why.
    """
    from llmroof.cli.output import check_writable
    from llmroof.evidence.validate import validate
    from llmroof.render import validation

    chart = None if plot is None else Path(plot)
    if chart is not None:
        check_writable(chart, force=target.force)
    columns = [name.strip() for name in by.split(",") if name.strip()] if by else []
    with _progress() as told:
        frame = validate(Path(rows), told, **({"limit": True} if limit else {}))
    target.show(
        lambda: validation.validation_page(frame, columns),
        lambda: validation.validation_document(frame, columns),
        lambda: validation.validation_rows(frame),
    )
    if chart is not None:
        from llmroof.render.plots.parity import draw

        draw(frame, chart)
        click.echo(f"wrote {chart}", err=True)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    """A bar on a terminal; silence in a pipe."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    parts = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*parts, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("rows", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
