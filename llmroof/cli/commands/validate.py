"""`llmroof validate`: measured rows against their predictions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llmroof.cli.options import output
from llmroof.cli.progress import progress
from llmroof.cli.types import ChartFile

if TYPE_CHECKING:
    import pandas as pd

    from llmroof.cli.output import Target


@click.command("validate")
@click.argument("rows", type=click.Path(dir_okay=False))
@click.option("--by", metavar="A,B", help="Sum up by these columns too: model,hardware.")
@click.option("--limit", is_flag=True, help="Hold the physical limit against the measurements.")
@click.option("--plot", type=ChartFile(), metavar="FILE", help="Parity chart: .png, .svg or .pdf.")
@click.option(
    "--roofline",
    type=ChartFile(),
    metavar="FILE",
    help="Roofline chart, measured points beside predicted ones.",
)
@click.option("--gpu", metavar="G", help="The hardware, in place of what the file says.")
@click.option("--model", metavar="M", help="The model, in place of what the file says.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="A column that the file leaves empty: tp=4, precision=fp8, batch=8 (repeatable).",
)
@output()
def command(
    rows: str,
    by: str | None,
    limit: bool,
    plot: str | None,
    roofline: str | None,
    gpu: str | None,
    model: str | None,
    settings: tuple[str, ...],
    target: Target,
) -> None:
    """Predict measured ROWS (a CSV) and say how far off the predictions are.

    Columns: model, hardware, input_len, output_len, concurrency or batch, and what was
    measured (ttft_s, tpot_s ...); a row that cannot be predicted says why. Results of vllm
    bench, SGLang's bench_serving, llama-bench, genai-perf and aiperf are read as they are.
    """
    from llmroof.cli.output import check_writable
    from llmroof.evidence.rows import misnamed, read_rows
    from llmroof.evidence.validate import check_columns, validate
    from llmroof.render import validation

    charts = [None if name is None else Path(name) for name in (plot, roofline)]
    for chart in charts:
        if chart is not None:
            check_writable(chart, force=target.force)
    columns = [name.strip() for name in by.split(",") if name.strip()] if by else []
    read = read_rows(Path(rows), given_columns(gpu, model, settings))
    notes = [*misnamed(read.columns), *_replace(read, gpu, model)]
    with progress("rows") as told:
        frame = validate(read, told, limit=True) if limit else validate(read, told)
    check_columns(frame, columns)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    target.show(
        lambda: validation.validation_page(frame, columns),
        lambda: validation.validation_document(frame, columns),
        lambda: validation.validation_rows(frame),
    )
    if charts[0] is not None:
        from llmroof.render.plots.parity import draw

        draw(frame, charts[0])
        click.echo(f"wrote {charts[0]}", err=True)
    if charts[1] is not None:
        from llmroof.render.plots.measured import draw_points

        draw_points(frame, charts[1])
        click.echo(f"wrote {charts[1]}", err=True)


def _replace(read: pd.DataFrame, gpu: str | None, model: str | None) -> Iterator[str]:
    """Predict for what the options name, and say what the rows named instead."""
    from llmroof.evidence.rows import replaced

    for name, option, value in (("hardware", "gpu", gpu), ("model", "model", model)):
        if value is not None and (old := replaced(read, name, value)):
            more = f" and {len(old) - 3} more" if len(old) > 3 else ""
            named = ", ".join(old[:3]) + more
            yield f"rows name {named}: predicted for --{option} {value}"


def given_columns(gpu: str | None, model: str | None, settings: tuple[str, ...]) -> dict[str, str]:
    """Columns that the options fill where a file leaves them empty; unknown names are refused."""
    from llmroof.models.load import load_model
    from llmroof.specs.hardware import load_hardware

    if gpu is not None:
        load_hardware(gpu)
    if model is not None:
        load_model(model)
    found = {name: value for name, value in (("hardware", gpu), ("model", model)) if value}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not (name.strip() and equals and value.strip()):
            raise click.UsageError(f"--set takes COLUMN=VALUE, not '{setting[:40]}'")
        found[name.strip()] = value.strip()
    return found
