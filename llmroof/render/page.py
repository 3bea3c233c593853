"""A page of text for people: lines and small tables, laid out for any width.

Commands build a `Page`; `to_text` lays it out as plain text, `llmroof.render.terminal`
shows the same page with colour.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

#: narrowest and widest layout; wider lines are hard to read
NARROW: Final = 30
WIDE: Final = 100
_ASCII: Final = {
    "×": "x",
    "·": "*",
    "→": "->",
    "≥": ">=",
    "≤": "<=",
    "–": "-",
    "—": "-",
    "…": "...",
    "µ": "u",
    "Σ": "sum ",
    "−": "-",
}


class Line(NamedTuple):
    """A paragraph; wrapped lines hang by `hang` blanks. `style` names a role, not a colour.

    A line in the style "verbatim" is never wrapped.
    """

    text: str
    style: str = ""
    hang: int = 0


class Grid(NamedTuple):
    """A table. `align` has one of `<>` per column; `header` may be empty."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: str = ""
    indent: int = 2
    gap: int = 2


class Page(NamedTuple):
    """Items from top to bottom."""

    items: tuple[Line | Grid, ...]


Item: TypeAlias = Line | Grid


def page(items: Iterable[Item]) -> Page:
    """A page of these items."""
    return Page(tuple(items))


def heading(text: str) -> Line:
    """A line that names what follows."""
    return Line(text, "title")


def note_lines(notes: Iterable[str]) -> list[Item]:
    """Sentences on what an answer rests on, each a line of its own; nothing for none."""
    found: list[Item] = [Line(f"- {note}", hang=2) for note in notes]
    return [Line(""), *found] if found else []


def grid(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    align: str = "",
    indent: int = 2,
    gap: int = 2,
) -> Grid:
    """A table; the first column is left-aligned and the rest right, unless `align` says so."""
    cells = tuple(tuple(row) for row in rows)
    columns = len(header) or (len(cells[0]) if cells else 0)
    return Grid(tuple(header), cells, align or "<" + ">" * (columns - 1), indent, gap)


def screen_width() -> int:
    """Columns of the terminal, COLUMNS where it is set, 80 where neither says."""
    return max(NARROW, min(WIDE, shutil.get_terminal_size((80, 24)).columns))


def to_text(page: Page, width: int = 80) -> str:
    """The page as plain text of at most `width` columns (single words may be longer)."""
    lines: list[str] = []
    for item in page.items:
        lines += _line(item, width) if isinstance(item, Line) else _grid(item, width)
    return "\n".join(lines) + "\n"


def in_encoding(text: str, encoding: str) -> str:
    """`text` as `encoding` can carry it: ASCII spellings for signs that it lacks."""
    try:
        text.encode(encoding)
        return text
    except (UnicodeEncodeError, LookupError):
        plain = "".join(_ASCII.get(char, char) for char in text)
        try:
            return plain.encode(encoding, "replace").decode(encoding)
        except LookupError:
            return plain.encode("ascii", "replace").decode("ascii")


def _line(item: Line, width: int) -> list[str]:
    if not item.text:
        return [""]
    if item.style == "verbatim":
        return [item.text]
    lead = item.text[: len(item.text) - len(item.text.lstrip(" "))]
    return textwrap.wrap(
        item.text,
        width,
        subsequent_indent=lead + " " * item.hang,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _grid(item: Grid, width: int) -> list[str]:
    rows = [item.header, *item.rows] if item.header else list(item.rows)
    if not rows:
        return []
    widths = column_widths(item)
    pad = " " * item.indent
    if item.header and not fits(item, width):
        return _records(item, width)
    between = " " * item.gap
    return [(pad + between.join(map(_cell, row, widths, item.align))).rstrip() for row in rows]


def column_widths(item: Grid) -> list[int]:
    """Widest cell of each column, header included."""
    rows = [item.header, *item.rows] if item.header else list(item.rows)
    return [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]


def fits(item: Grid, width: int) -> bool:
    """True when the table can stand side by side in `width` columns."""
    widths = column_widths(item)
    return item.indent + sum(widths) + item.gap * (len(widths) - 1) <= width


def _records(item: Grid, width: int) -> list[str]:
    """One block per row for screens too narrow for the table."""
    lines: list[str] = []
    for row in item.rows:
        lines += _line(Line(" " * item.indent + row[0], hang=2), width)
        for name, cell in zip(item.header[1:], row[1:], strict=True):
            if cell:
                lines += _line(Line(f"{' ' * item.indent}  {name}: {cell}", hang=4), width)
    return lines


def _cell(text: str, width: int, align: str) -> str:
    return text.ljust(width) if align == "<" else text.rjust(width)
