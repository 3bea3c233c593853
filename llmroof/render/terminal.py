"""The same page with colour, for a person at a terminal."""

from __future__ import annotations

import sys
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmroof.render.page import Grid, Line, Page, fits, in_encoding, to_text

_STYLES: Final = {
    "": "",
    "title": "bold cyan",
    "answer": "bold",
    "good": "green",
    "bad": "bold red",
    "quiet": "dim",
    "verbatim": "",
}


def show(page: Page, width: int) -> None:
    """Print the page; NO_COLOR and dumb terminals are honoured by rich."""
    console = Console(width=width, highlight=False, emoji=False, soft_wrap=False)
    encoding = sys.stdout.encoding or "utf-8"
    for item in page.items:
        if isinstance(item, Line):
            text = to_text(Page((item,)), width).rstrip("\n")
            console.print(Text(in_encoding(text, encoding), style=_STYLES[item.style]))
        elif fits(item, width):
            console.print(Padding(_table(item, encoding), (0, 0, 0, item.indent)))
        else:
            console.print(Text(in_encoding(to_text(Page((item,)), width).rstrip("\n"), encoding)))


def _table(item: Grid, encoding: str) -> Table:
    table = Table(
        box=None,
        show_header=bool(item.header),
        padding=(0, item.gap, 0, 0),
        header_style="bold",
        pad_edge=False,
    )
    names = item.header or ("",) * len(item.align)
    for name, align in zip(names, item.align, strict=True):
        table.add_column(Text(name), justify="left" if align == "<" else "right", no_wrap=True)
    for row in item.rows:
        table.add_row(*(Text(in_encoding(cell, encoding)) for cell in row))
    return table
