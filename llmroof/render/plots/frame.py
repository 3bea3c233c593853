"""What surrounds the data of a chart: title, legend, and the axes between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from llmroof.render.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: inches: at the sides of the axes, around title and legend, for tick and axis labels
_LEFT: Final = 0.82
_RIGHT: Final = 0.34
_EDGE: Final = 0.13
_UNDER_AXES: Final = 0.56
_LINE: Final = 1.28
#: how much smaller a title may be if that saves a line
_LESS: Final = 0.9


def blank() -> Figure:
    """An empty figure of the usual size, drawn without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(style.WIDTH, style.HEIGHT), dpi=style.DPI)
    FigureCanvasAgg(figure)
    return figure


def axes_between(
    figure: Figure, title: str, subtitle: str, groups: Sequence[Sequence[Any]]
) -> Axes:
    """Write title above and a legend per group below; axes that fill the rest."""
    top = _head(figure, title, subtitle)
    bottom = _legend(figure, groups) + _UNDER_AXES
    height = style.HEIGHT - top - bottom
    return figure.add_axes(
        (
            _LEFT / style.WIDTH,
            bottom / style.HEIGHT,
            1 - (_LEFT + _RIGHT) / style.WIDTH,
            height / style.HEIGHT,
        )
    )


def _head(figure: Figure, title: str, subtitle: str) -> float:
    """Title and subtitle at the top left; their height in inches."""
    size = style.TITLE_SIZE
    lines = wrapped(figure, title, size, "bold")
    smaller = wrapped(figure, title, _LESS * size, "bold")
    if len(smaller) < len(lines):
        size, lines = _LESS * size, smaller
    below = wrapped(figure, subtitle, style.TEXT_SIZE, "normal")
    y = _EDGE
    for text, points, weight, color in (
        *((line, size, "bold", style.INK) for line in lines),
        *((line, style.TEXT_SIZE, "normal", style.MUTED) for line in below),
    ):
        place = (_EDGE / style.WIDTH, 1 - y / style.HEIGHT)
        figure.text(*place, text, size=points, weight=weight, color=color, va="top")
        y += points * _LINE / 72
    return y + _EDGE


def wrapped(figure: Figure, text: str, size: float, weight: str) -> list[str]:
    """`text` in as few lines as fit between the edges of the figure, about equally long."""
    room = style.WIDTH - 2 * _EDGE
    lines = _filled(figure, text, size, weight, room)
    while len(lines) > 1:
        room *= 0.96
        narrower = _filled(figure, text, size, weight, room)
        if len(narrower) > len(lines):
            break
        lines = narrower
    return lines


def _filled(figure: Figure, text: str, size: float, weight: str, room: float) -> list[str]:
    lines: list[str] = []
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width(figure, longer, size, weight) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def width(figure: Figure, text: str, size: float, weight: str) -> float:
    """Inches that a text takes."""
    probe = figure.text(0, 0, text, size=size, weight=weight)
    canvas: Any = figure.canvas
    pixels = float(probe.get_window_extent(canvas.get_renderer()).width)
    probe.remove()
    return pixels / figure.dpi


def _legend(figure: Figure, groups: Sequence[Sequence[Any]]) -> float:
    """Legends at the foot of the figure, one per group; their height in inches."""
    foot = 0.35 * _EDGE
    for handles in reversed([group for group in groups if group]):
        foot = _rows(figure, handles, foot)
    return foot


def _rows(figure: Figure, handles: Sequence[Any], foot: float) -> float:
    """A legend in as few rows as fit, standing at `foot` inches; where it ends."""
    canvas: Any = figure.canvas
    for columns in range(len(handles), 0, -1):
        legend = figure.legend(
            handles=list(handles),
            loc="lower center",
            bbox_to_anchor=(0.5, foot / style.HEIGHT),
            ncols=columns,
            columnspacing=1.6,
            handlelength=1.9,
            handletextpad=0.5,
            borderpad=0.3,
            borderaxespad=0.0,
        )
        extent = legend.get_window_extent(canvas.get_renderer())
        if extent.width / figure.dpi <= style.WIDTH - 2 * _EDGE or columns == 1:
            return float(extent.y1) / figure.dpi
        legend.remove()
    return foot
