"""Results in a notebook: the page that the command line prints as HTML, with a small chart.

Tables of pandas show themselves. What is made here is styled by itself and takes the colours
of the notebook around it, so that it is readable on light and on dark.
"""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING, Final

from llmroof.render.page import Grid, Line, Page, page
from llmroof.render.record import shape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from llmroof.engine.estimate import Estimate
    from llmroof.search.goal import Answer

#: rows of a table that a cell shows
_MOST_ROWS: Final = 20
#: dots per inch of the chart: 640 pixels wide
_DPI: Final = 64
_STYLE: Final = {
    "title": "font-weight:600",
    "bad": "font-weight:600;color:#d1434b",
    "quiet": "opacity:.7",
}
_CELL: Final = "padding:.1em .7em;white-space:nowrap;text-align:"


def estimate_html(estimate: Estimate) -> str:
    """One point: its figures, why, and the roofline. Several: a row per point."""
    from llmroof.render.report import estimate_page

    text = page_html(estimate_page(estimate))
    if shape(estimate) or not estimate.fits:
        return text
    from llmroof.render.plots import style
    from llmroof.render.plots.roofline import compose
    from llmroof.render.plots.series import chart

    with style.look():
        return text + _picture(compose(chart([estimate])), "Roofline of this estimate")


def answer_html(answer: Answer) -> str:
    """A recommendation with the commands that start it."""
    from llmroof.render.recommend import recommend_page

    return page_html(recommend_page(answer))


def page_html(content: Page) -> str:
    """A page as HTML: lines as paragraphs, grids as tables, long ones cut with a word."""
    return f"<div>{''.join(map(_item, _shortened(content).items))}</div>"


def _shortened(content: Page) -> Page:
    items: list[Line | Grid] = []
    for item in content.items:
        if isinstance(item, Grid) and len(item.rows) > _MOST_ROWS:
            more = f"... {len(item.rows) - _MOST_ROWS} more rows: to_frame() has all"
            items += [item._replace(rows=item.rows[:_MOST_ROWS]), Line(more, "quiet")]
        else:
            items.append(item)
    return page(items)


def _item(item: Line | Grid) -> str:
    if isinstance(item, Grid):
        return _table(item)
    if not item.text:
        return ""
    style = _STYLE.get(item.style, "")
    text = html.escape(item.text.strip())
    if item.style == "verbatim":
        return f"<pre>{text}</pre>"
    return f'<p style="margin:.2em 0;max-width:60em;{style}">{text}</p>'


def _table(item: Grid) -> str:
    sides = ["left" if one == "<" else "right" for one in item.align]
    lines = []
    for tag, rows in (("th", [item.header] if item.header else []), ("td", item.rows)):
        for row in rows:
            cells = zip(sides, row, strict=True)
            line = "".join(
                f'<{tag} style="{_CELL}{side}">{html.escape(text)}</{tag}>' for side, text in cells
            )
            lines.append(f"<tr>{line}</tr>")
    return f'<table style="margin:.4em 0">{"".join(lines)}</table>'


def _picture(figure: Figure, words: str) -> str:
    """The chart as a PNG in the text: a notebook keeps it when it is saved."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img alt="{words}" width="640" src="data:image/png;base64,{data}">'
