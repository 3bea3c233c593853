"""`llmroof report`: the whole analysis as one interactive HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from llmroof.cli.page_options import page_question, wanted


@click.command("report")
@page_question
@click.option("--output", "-o", required=True, metavar="FILE", help="Page to write: .html.")
@click.option("--force", is_flag=True, help="Overwrite the page if it exists.")
def command(asked: dict[str, Any], output: str, force: bool) -> None:
    """One self-contained page to play with: sliders, roofline, operators, memory, cost.

    --gpu, --precision and -tp take several values (a100,h100): the choices of the page.
    It opens from disk, asks no network, and computes with the engine's own formulas.
    """
    from llmroof.cli.output import check_writable, write_file

    path = Path(output)
    if path.suffix.lower() not in (".html", ".htm"):
        raise click.UsageError(f"a report is written as .html, not as '{path.name[:80]}'")
    check_writable(path, force=force)
    from llmroof.report.make import make

    write_file(path, make(wanted(asked)).encode("utf-8"), force=force)
    click.echo(f"wrote {path}", err=True)
