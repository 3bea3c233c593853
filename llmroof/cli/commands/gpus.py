"""`llmroof gpus`: list accelerators, show one with its sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llmroof.cli.options import output, specs_option
from llmroof.cli.types import SpecName

if TYPE_CHECKING:
    from llmroof.cli.output import Target

#: the columns of the list; `llmroof.render.hardware.SORTABLE` holds the same names
_COLUMNS = (
    "id", "vendor", "year", "memory_bytes", "bandwidth_bytes_per_s", "bf16_flop_per_s",
    "fp8_flop_per_s", "ridge_point", "tdp_w", "usd_per_hour",
)  # fmt: skip


@click.group("gpus", invoke_without_command=True)
@specs_option
@click.option(
    "--sort", type=click.Choice(_COLUMNS), default="id", show_default=True,
    help="Order of the list; figures descend.",
)  # fmt: skip
@output()
@click.pass_context
def command(ctx: click.Context, sort: str, target: Target) -> None:
    """List the accelerators; `gpus show GPU` prints one with its sources."""
    if ctx.invoked_subcommand is not None:
        return
    from llmroof.render import hardware
    from llmroof.specs.catalog import HARDWARE
    from llmroof.specs.hardware import load_hardware

    rows = hardware.list_rows([load_hardware(name) for name in HARDWARE.files()], sort)
    target.show(
        lambda: hardware.list_page(rows), lambda: hardware.list_document(rows), lambda: rows
    )


@command.command("show")
@click.argument("gpu", type=SpecName("gpu"))
@specs_option
@output()
def show(gpu: str, target: Target) -> None:
    """One accelerator: every figure with its unit and source."""
    from llmroof.render import hardware
    from llmroof.specs.hardware import load_hardware

    profile = load_hardware(gpu)
    target.show(
        lambda: hardware.hardware_page(profile),
        lambda: hardware.hardware_document(profile),
        lambda: hardware.hardware_rows(profile),
    )
