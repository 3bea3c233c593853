"""`llmroof serve`: the interactive page on this machine, for any model and GPU typed in."""

from __future__ import annotations

from typing import Any

import click

from llmroof.cli.page_options import page_question, wanted
from llmroof.cli.types import Whole


@click.command("serve")
@page_question
@click.option(
    "--port",
    type=Whole(0, 65535),
    default=8321,
    show_default=True,
    help="Port on 127.0.0.1; 0 takes a free one.",
)
@click.option("--open", "show", is_flag=True, help="Open the page in a browser.")
def command(asked: dict[str, Any], port: int, show: bool) -> None:
    """The page of `llmroof report`, served on this machine, which asks the engine.

    Models and GPUs are typed in on the page. Nothing but 127.0.0.1 is listened on; from
    elsewhere, an SSH tunnel leads there. Needs `pip install 'llmroof[serve]'`.
    """
    from llmroof.report.content import check_wanted
    from llmroof.serve.run import serve

    start = wanted(asked)
    check_wanted(start)

    def ready(address: str) -> None:
        click.echo(f"{address} (Ctrl+C ends)", err=True)
        if show:
            click.launch(address)

    serve(start, port, ready)
