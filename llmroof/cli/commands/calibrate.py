"""`llmroof calibrate`: the few coefficients of a profile, fitted to measured rows."""

from __future__ import annotations

import os
from pathlib import Path

import click


@click.command("calibrate")
@click.argument("rows", type=click.Path(dir_okay=False))
@click.option("--output", "-o", required=True, metavar="FILE", help="Profile to write: a YAML.")
@click.option("--force", is_flag=True, help="Overwrite the profile if it exists.")
@click.option("--gpu", metavar="G", help="The hardware, where the file does not say it.")
@click.option("--model", metavar="M", help="The model, where the file does not say it.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="A column that the file leaves empty: tp=4, precision=fp8 (repeatable).",
)
def command(
    rows: str,
    output: str,
    force: bool,
    gpu: str | None,
    model: str | None,
    settings: tuple[str, ...],
) -> None:
    """Fit shares of the peaks, launch and host time per pass to measured ROWS of one device.

    Errors are those of rows left out of the fit; a coefficient needs five rows that tell it.
    ROWS are as for `llmroof validate`: a CSV, or what a benchmark tool wrote.
    """
    from llmroof.cli.commands.validate import given_columns
    from llmroof.cli.output import check_writable, write_file
    from llmroof.errors import InputError
    from llmroof.evidence.fit import fit, fit_yaml
    from llmroof.evidence.rows import read_rows
    from llmroof.render.measurement import fit_page
    from llmroof.render.page import screen_width, to_text
    from llmroof.specs.catalog import is_path
    from llmroof.specs.hardware import load_hardware

    path = Path(output)
    check_writable(path, force=force)
    frame = read_rows(Path(rows), given_columns(gpu, model, settings))
    names = sorted(set(frame["hardware"]))
    if len(names) != 1:
        raise InputError(f"rows of several devices: {', '.join(names)}; calibrate one at a time")
    _refuse_circle(path, names[0])
    hardware = load_hardware(names[0])
    found = fit(frame, hardware)
    base = names[0]
    if is_path(base):
        base = os.path.relpath(base, path.parent)
    write_file(path, fit_yaml(found, base).encode("utf-8"), force=force)
    click.echo(to_text(fit_page(found), screen_width()), nl=False)
    click.echo(f"wrote {path}", err=True)


def _refuse_circle(path: Path, base: str) -> None:
    """Raise InputError where the profile written to `path` would extend itself.

    `extends: NAME` is looked for beside the profile first, so a file called NAME is itself.
    """
    from llmroof.errors import InputError
    from llmroof.specs.catalog import HARDWARE
    from llmroof.specs.extend import bases

    own = os.path.realpath(path)
    if path.name == base or own in map(os.path.realpath, bases(HARDWARE.path(base), HARDWARE.path)):
        raise InputError(f"'{path}' is what the new profile would extend: name another --output")
    if path.stem == base.lower() and _in_catalog(path):
        raise InputError(f"'{path}' would hide {base}, which it extends: name another --output")


def _in_catalog(path: Path) -> bool:
    """True for a file that is found by its id: the user's folder of specs may hold it."""
    from llmroof.specs.catalog import HARDWARE

    return os.path.realpath(path.parent) in map(os.path.realpath, HARDWARE.folders())
