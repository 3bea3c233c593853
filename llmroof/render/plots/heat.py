"""A heat map: one figure over two axes of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from llmroof.errors import InputError, UnknownName
from llmroof.figures import COLUMNS, more_is_better
from llmroof.render.plots import style
from llmroof.render.plots.frame import axes_between, blank
from llmroof.render.sweep import devices_words
from llmroof.search.where import kind_of
from llmroof.units import show, significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = Mapping[str, Any]

MOST_CELLS: Final = 40
#: cells that have room for their value
_NAMED_CELLS: Final = 16
#: told apart with every common colour vision, and in grey
_COLORS: Final = "cividis"
_BAR_WIDTH: Final = 0.02
_NAMES: Final = {
    "ttft_s": "TTFT",
    "tpot_s": "TPOT",
    "input_len": "tokens in",
    "output_len": "tokens out",
    "hardware": "GPU",
    "output_tokens_per_s_per_gpu": "output tokens/s per GPU",
    "usd_per_million_output_tokens": "USD per million output tokens",
    "usd_per_million_total_tokens": "USD per million tokens",
}


def draw(rows: Sequence[Row], path: Path, x: str, y: str, value: str) -> None:
    """Write `value` over the columns `x` and `y`; a cell shows its best row that fits.

    Raises UnknownName for a column that is none, InputError for one that does not vary,
    has too many values, or holds no numbers.
    """
    style.check_path(path)
    with style.look():
        style.save(compose(rows, x, y, value), path)


def compose(rows: Sequence[Row], x: str, y: str, value: str) -> Figure:
    """The chart as a figure; call it inside `style.look()`."""
    for name in (x, y, value):
        if name not in COLUMNS:
            raise UnknownName("column", name, COLUMNS)
    if kind_of(value) != "number":
        raise InputError(f"'{value}' holds no numbers: nothing to colour")
    across, up = (_axis(rows, name) for name in (x, y))
    cells, best = _cells(rows, (x, across), (y, up), value)
    if np.all(np.isnan(cells)):
        raise InputError(f"no row that fits has {value}")
    figure = blank()
    axes = axes_between(figure, _title(rows, best, x, y, value), _subtitle(rows, x, y), [])
    _paint(figure, axes, cells, value)
    for axis, names, word in ((axes.xaxis, across, x), (axes.yaxis, up, y)):
        axis.set_ticks(range(len(names)), [_tick(name) for name in names])
        axis.set_label_text(_words(word))
    axes.tick_params(length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    return figure


def _axis(rows: Sequence[Row], name: str) -> list[Any]:
    values = list(dict.fromkeys(row[name] for row in rows if row[name] is not None))
    if kind_of(name) == "number":
        values.sort()
    if len(values) < 2:
        raise InputError(f"'{name}' has {len(values)} value: a heat map needs two or more")
    if len(values) > MOST_CELLS:
        raise InputError(f"'{name}' has {len(values)} values: a heat map shows {MOST_CELLS}")
    return values


def _cells(
    rows: Sequence[Row], x: tuple[str, list[Any]], y: tuple[str, list[Any]], value: str
) -> tuple[Any, Row | None]:
    """(best value of each cell, the best row of all); NaN where nothing fits."""
    sign = -1.0 if more_is_better(value) else 1.0
    cells = np.full((len(y[1]), len(x[1])), np.nan)
    top: Row | None = None
    for row in rows:
        if not row["fits"] or row[value] is None:
            continue
        place = y[1].index(row[y[0]]), x[1].index(row[x[0]])
        if np.isnan(cells[place]) or sign * row[value] < sign * cells[place]:
            cells[place] = row[value]
        if top is None or sign * row[value] < sign * top[value]:
            top = row
    return cells, top


def _paint(figure: Figure, axes: Axes, cells: Any, value: str) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.ticker import FuncFormatter

    known = cells[~np.isnan(cells)]
    wide = known.min() > 0 and known.max() / known.min() > 4
    norm = (LogNorm if wide else Normalize)(known.min(), known.max())
    colors = colormaps[_COLORS].reversed() if not more_is_better(value) else colormaps[_COLORS]
    image = axes.imshow(cells, origin="lower", aspect="auto", cmap=colors, norm=norm)
    axes.set_facecolor(style.BETWEEN)
    many = max(cells.shape) > _NAMED_CELLS
    for (row, column), number in np.ndenumerate(cells):
        if np.isnan(number):
            text, ink = ("" if many else "no room"), style.MUTED
        elif many:
            continue
        else:
            text = _figure(number, value)
            red, green, blue, _ = colors(norm(number))
            ink = style.INK if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"
        axes.text(column, row, text, ha="center", va="center", size=style.SMALL_SIZE, color=ink)
    if not many:
        return
    place = axes.get_position()
    axes.set_position((place.x0, place.y0, place.width * 0.88, place.height))
    bar = figure.add_axes((place.x0 + place.width * 0.91, place.y0, _BAR_WIDTH, place.height))
    figure.colorbar(image, cax=bar, format=FuncFormatter(lambda number, _: _figure(number, value)))


def _figure(number: float, name: str) -> str:
    if name.endswith("_s") and "_per_" not in name:
        return show(number, "s")
    if name.endswith("_bytes"):
        return show(number, "B")
    return f"{number:,.0f}" if number >= 100 else significant(number)


def _tick(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _words(name: str) -> str:
    """A column in words."""
    return _NAMES.get(name, name.removesuffix("_s").replace("_", " "))


def _title(rows: Sequence[Row], best: Row | None, x: str, y: str, value: str) -> str:
    models = ", ".join(dict.fromkeys(str(row["model"]) for row in rows))
    words = _words(value)
    if best is None:
        return f"{models}: {words}"
    where = " and ".join(f"{_words(name)} {_tick(best[name])}" for name in (x, y))
    return f"{models}: the best {words} is {_figure(best[value], value)}, at {where}"


def _subtitle(rows: Sequence[Row], x: str, y: str) -> str:
    said = []
    devices = dict.fromkeys(devices_words(row) for row in rows)
    said.append(next(iter(devices)) if len(devices) == 1 else f"best of {len(devices)} deployments")
    for name, word in (
        ("weights", "{} weights"),
        ("input_len", "{:,} in"),
        ("output_len", "{:,} out"),
    ):
        values = {row[name] for row in rows}
        if len(values) == 1 and name not in (x, y):
            said.append(word.format(values.pop()))
    return " · ".join(said)
