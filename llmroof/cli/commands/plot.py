"""`llmroof plot`: the roofline as a chart."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmroof.cli.grouped import Grouped
from llmroof.cli.options import question
from llmroof.cli.types import ChartFile

if TYPE_CHECKING:
    from llmroof.engine.estimate import Estimate


@click.command("plot", cls=Grouped)
@question
@click.option(
    "--output",
    "-o",
    required=True,
    type=ChartFile(),
    metavar="FILE",
    help="Chart to write: .png, .svg or .pdf.",
)
@click.option("--force", is_flag=True, help="Overwrite the chart if it exists.")
def command(asked: dict[str, Any], output: str, force: bool) -> None:
    """Roofline chart: both phases, their operators, and decode as the batch grows.

    --gpu and --precision take several names (a100,h100) and put them in one chart;
    a range of batches is the path that decode takes.
    """
    from llmroof.cli.output import check_writable

    path = Path(output)
    check_writable(path, force=force)
    batches = asked["batch"]
    estimates = [_ask(asked, gpu, recipe) for gpu, recipe in _combinations(asked)]
    from llmroof.render.plots.roofline import draw

    draw(estimates, path, batches=batches if batches and len(batches) > 1 else None)
    click.echo(f"wrote {path}", err=True)


def _combinations(asked: dict[str, Any]) -> list[tuple[str | None, str | None]]:
    return list(product(_several(asked["gpu"]), _several(asked["precision"])))


def _several(names: str | None) -> list[str | None]:
    if names is None:
        return [None]
    return [name.strip() for name in names.split(",")]


def _ask(asked: dict[str, Any], gpu: str | None, recipe: str | None) -> Estimate:
    from llmroof.cli.ask import ask

    changed = {**asked, "gpu": gpu, "precision": recipe}
    if asked["batch"]:
        changed["batch"] = asked["batch"][:1]
    from llmroof.cli.options import single

    return ask(single(changed, "plot"))
