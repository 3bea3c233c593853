"""`llmroof gpus`: list, show, compare and check accelerators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llmroof.cli.grouped import Listing
from llmroof.cli.options import output, specs_option
from llmroof.cli.types import SpecName
from llmroof.errors import printable

if TYPE_CHECKING:
    from llmroof.cli.output import Target


@click.group("gpus", cls=Listing, invoke_without_command=True)
@specs_option
@click.option(
    "--sort", default="id", show_default=True, metavar="COLUMN",
    help="Order of the list by memory, bandwidth, bf16, fp8, ridge, link, tdp, price ...; "
    "figures descend.",
)  # fmt: skip
@click.option(
    "--where", metavar="CONDITION", help="Only those that meet it: 'memory>=80GB and fp8'."
)
@output()
@click.pass_context
def command(ctx: click.Context, sort: str, where: str | None, target: Target) -> None:
    """List the accelerators; show, compare and check them."""
    if ctx.invoked_subcommand is not None:
        return
    from llmroof.render import hardware
    from llmroof.specs.catalog import HARDWARE
    from llmroof.specs.hardware import load_hardware

    profiles = [load_hardware(name) for name in HARDWARE.files()]
    rows = hardware.list_rows(profiles, sort, where)
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


@command.command("compare")
@click.argument("gpus", type=SpecName("gpu"), nargs=-1, required=True)
@specs_option
@output()
def compare(gpus: tuple[str, ...], target: Target) -> None:
    """Accelerators side by side: peaks, ridge points, FLOP and bytes per USD and joule."""
    from llmroof.render import hardware_compare as render
    from llmroof.specs.hardware import load_hardware

    profiles = [load_hardware(name) for name in gpus]
    target.show(
        lambda: render.compare_page(profiles),
        lambda: render.compare_document(profiles),
        lambda: render.compare_rows(profiles),
    )


@command.command("check")
@click.argument("gpu", type=SpecName("gpu"))
@specs_option
def check(gpu: str) -> int:
    """Check a profile: every problem with its line, exit code 2; else `ok`."""
    from llmroof.specs.hardware import problems

    found = problems(gpu)
    for problem in found:
        click.echo(printable(str(problem)))
    if not found:
        click.echo("ok")
    return 2 if found else 0
