"""`llmroof sweep`: every combination of the axes, as a table, a file or a frontier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from llmroof.cli.axes import axes_options
from llmroof.cli.grouped import Grouped
from llmroof.cli.progress import progress
from llmroof.cli.streaming import interrupted, stoppable, stream
from llmroof.cli.types import COUNT, ChartFile, Whole
from llmroof.errors import InputError

if TYPE_CHECKING:
    from llmroof.search.axes import Axes
    from llmroof.search.sweep import Choice

#: more rows than this are for a file that is written as they come
MAX_ROWS: Final = 100_000
_ENDINGS: Final = {
    ".csv": "csv", ".parquet": "parquet", ".json": "json", ".md": "markdown", ".txt": "table"
}  # fmt: skip
_FORMATS: Final = ("table", "json", "csv", "markdown", "parquet")


@click.command("sweep", cls=Grouped)
@axes_options
@click.option(
    "--where",
    metavar="CONDITION",
    help="Keep the points where this holds: 'tpot_s < 30 ms and fits and batch >= 8'.",
)
@click.option("--top", type=COUNT, metavar="N", help="Keep the best N by --by.")
@click.option("--by", metavar="COLUMN", help="The column that --top ranks by.")
@click.option(
    "--pareto",
    metavar="A,B",
    help="Keep the points that no other beats in all of these columns.",
)
@click.option("--columns", metavar="A,B", help="Columns to write.  [default: all]")
@click.option(
    "--start",
    type=Whole(min=0, max=2**53),
    default=0,
    metavar="N",
    help="Leave out the first N points.",
)
@click.option(
    "--end",
    type=Whole(min=1, max=2**53),
    metavar="N",
    help="Stop before point N: with --start a part, for another process or machine.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    help="Form of the answer.  [default: by the file's ending, else table]",
)
@click.option("--output", "-o", metavar="FILE", help="Write to .csv, .parquet, .json or .md.")
@click.option("--force", is_flag=True, help="Overwrite the output file if it exists.")
@click.option(
    "--resume", is_flag=True, help="Go on with the -o FILE of the same sweep, interrupted."
)
@click.option(
    "--plot", type=ChartFile(), metavar="FILE", help="Chart of the kept points: .png, .svg or .pdf."
)
@click.option(
    "--chart",
    type=click.Choice(["frontier", "cost", "batch", "heat"]),
    help="What --plot draws.  [default: frontier]",
)
@click.option(
    "--heat",
    metavar="X,Y,VALUE",
    help="Columns of --chart heat.  [default: batch,input_len,tpot_s]",
)
def command(
    asked: dict[str, Any],
    where: str | None,
    top: int | None,
    by: str | None,
    pareto: str | None,
    columns: str | None,
    start: int,
    end: int | None,
    form: str | None,
    output: str | None,
    force: bool,
    resume: bool,
    plot: str | None,
    chart: str | None,
    heat: str | None,
) -> int:
    """Every combination of GPUs, models, precisions, plans and workloads.

    Any option may hold several values (--gpu a100,h100 --batch 1:512:x2). Without -o
    and without a choice the answer is the frontier of TPOT and throughput per GPU.
    Rankings and frontiers consider the points that fit. Exit code 1 when none is left.
    """
    from llmroof.cli.output import check_writable, form_of
    from llmroof.render.sweep import INTERACTIVITY
    from llmroof.search.axes import check_part, make_axes
    from llmroof.search.sweep import chosen_columns, make_choice

    check_part(start, end)
    drawing = _Chart(plot, chart, heat)
    path = None if output is None else Path(output)
    form = form or (form_of(path, _FORMATS, _ENDINGS) if path else "table")
    for file, over in ((path, force or resume), (Path(plot) if plot else None, force)):
        if file is not None:
            check_writable(file, force=over)
    axes = make_axes(asked)
    choice = make_choice(where, top, by, pareto)
    if not choice.selects and form == "table":
        choice = make_choice(where, None, None, INTERACTIVITY)
    wanted = chosen_columns(axes, None if columns is None else _split(columns))
    if form == "parquet" and path is None:
        raise InputError("Parquet is no text: name a file with -o")
    if form in ("csv", "parquet") and plot is None:
        return stream(axes, choice, wanted, (start, end), form, path, resume)
    if resume:
        raise InputError("--resume goes on with a .csv or .parquet that -o names")
    part = (start, end)
    return _show(axes, choice, wanted, part, form, path, force, drawing)


class _Chart:
    """The chart that is wanted beside the answer, if any."""

    def __init__(self, path: str | None, kind: str | None, heat: str | None) -> None:
        self.path = None if path is None else Path(path)
        self.kind = kind or "frontier"
        if heat is not None and self.kind != "heat":
            raise InputError("--heat names the columns of --chart heat")
        self.heat = _split("batch,input_len,tpot_s" if heat is None else heat)
        if len(self.heat) != 3 or not all(self.heat):
            raise InputError("--heat takes three columns: X,Y,VALUE")
        if path is None and kind is not None:
            raise InputError("--chart says what --plot draws: name its file")

    def draw(self, rows: list[dict[str, Any]]) -> None:
        """Write it."""
        if self.path is None:
            return
        from llmroof.render.plots import frontier, heat, lines, style

        style.check_path(self.path)
        if self.kind == "heat":
            heat.draw(rows, self.path, *self.heat)
        elif self.kind == "batch":
            lines.draw(rows, self.path)
        else:
            frontier.draw(rows, self.path, cost=self.kind == "cost")
        click.echo(f"wrote {self.path}", err=True)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _show(
    axes: Axes,
    choice: Choice,
    columns: tuple[str, ...],
    part: tuple[int, int | None],
    form: str,
    path: Path | None,
    force: bool,
    chart: _Chart,
) -> int:
    """Rows that are kept in memory: for a page, a document, or a chart."""
    from llmroof.cli.output import Target
    from llmroof.render.sweep import plain_rows, sweep_document, sweep_page
    from llmroof.search.sweep import STATIC, Choice, Tally, run_sweep, select

    last = [Tally(axes.points)]
    every = tuple(dict.fromkeys((*STATIC, *columns)))
    parts, kept = [], 0
    start, end = part
    with stoppable() as stop, progress("points") as told:

        def tell(tally: Tally) -> None:
            last[0] = tally
            if told is not None:
                told(tally.seen, tally.total)

        kind = Choice(choice.where) if chart.path else choice  # a chart shows the others too
        for rows in run_sweep(axes, kind, every, start=start, end=end, tell=tell, stop=stop):
            parts.append(rows)
            kept += len(rows)
            if kept > MAX_ROWS:
                raise InputError(
                    f"more than {MAX_ROWS} rows: write them with -o FILE.csv or .parquet, or "
                    f"choose with --where, --top or --pareto"
                )
    tally = last[0]
    drawn = plain_rows(parts, every) if chart.path else []
    if chart.path and choice.selects:
        parts = [select(parts, choice, every)]
    whole = plain_rows(parts, every)
    chosen = [{name: row[name] for name in columns} for row in whole]
    Target(form, path, force).show(
        lambda: sweep_page(axes, choice, tally, whole),
        lambda: sweep_document(axes, tally, chosen),
        lambda: chosen,
    )
    if drawn:
        chart.draw(drawn)
    if tally.seen < tally.total:
        return interrupted(tally, "the answer is of these")
    return 0 if whole else 1
