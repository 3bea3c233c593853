"""Two charts of many deployments: throughput against interactivity, cost against latency.

Every point is one row; the line is the Pareto frontier, named where the deployment on it
changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from llmroof.errors import InputError
from llmroof.render.plots import style
from llmroof.render.plots.callouts import Callouts
from llmroof.render.plots.frame import axes_between, blank
from llmroof.render.sweep import devices_words
from llmroof.search.frontier import pareto
from llmroof.units import show, significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = Mapping[str, Any]

_AREA: Final = 16.0
_FRONT_AREA: Final = 46.0
#: GPUs that a legend names, those with most points first
_MOST_GPUS: Final = 18
#: labels that find room on a frontier
_MOST_LABELS: Final = 12
#: room around the data on a logarithmic axis
_MARGIN: Final = 1.35


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a chart puts on its axes; `signs` turn each into a cost to minimise."""

    x: str
    y: str
    x_label: str
    y_label: str
    signs: tuple[int, int]


_FRONTIER: Final = _Kind(
    "interactivity",
    "output_tokens_per_s_per_gpu",
    "tokens/s of one user (1 / TPOT)",
    "output tokens/s per GPU",
    (-1, -1),
)
_COST: Final = _Kind(
    "e2e_latency_s",
    "usd_per_million_total_tokens",
    "latency of a request, seconds",
    "USD per million tokens",
    (1, 1),
)


def draw(rows: Sequence[Row], path: Path, *, cost: bool = False) -> None:
    """Write the chart of the rows that fit; `cost` against latency, else the frontier.

    The file is .png, .svg or .pdf. Raises InputError where no row has both figures.
    """
    style.check_path(path)
    with style.look():
        style.save(compose(rows, _COST if cost else _FRONTIER), path)


def compose(rows: Sequence[Row], kind: _Kind) -> Figure:
    """The chart as a figure; call it inside `style.look()`."""
    kept = [row for row in map(_with_speed, rows) if row["fits"] and row[kind.x] and row[kind.y]]
    if not kept:
        raise InputError(f"a chart needs rows that fit and have {kind.x} and {kind.y}")
    x, y = (np.array([row[name] for row in kept], dtype=float) for name in (kind.x, kind.y))
    front = np.flatnonzero(pareto([kind.signs[0] * x, kind.signs[1] * y]))
    front = front[np.lexsort((y[front], x[front]))]
    gpus = _by_count(kept)
    colors = style.colors(gpus)
    figure = blank()
    axes = axes_between(figure, _title(kept, front, kind), _subtitle(kept), _legend(gpus, colors))
    _axes(axes, x, y, kind)
    axes.plot(x[front], y[front], color=style.INK, lw=1.3, zorder=3)
    names = np.array([row["hardware"] for row in kept])
    best = np.isin(np.arange(len(kept)), front)
    thin = {"s": _AREA, "alpha": 0.35, "linewidths": 0, "zorder": 2}
    bold = {"s": _FRONT_AREA, "edgecolors": "white", "linewidths": 0.9, "zorder": 4}
    for gpu in gpus:
        for these, look in ((names == gpu) & ~best, thin), ((names == gpu) & best, bold):
            axes.scatter(x[these], y[these], color=colors[gpu], marker=style.mark(gpu), **look)
    _name(axes, kept, x, y, front, colors)
    return figure


def _with_speed(row: Row) -> dict[str, Any]:
    tpot = row["tpot_s"]
    return {**row, "interactivity": None if not tpot else 1 / tpot}


def _by_count(rows: Sequence[Row]) -> list[str]:
    """The GPUs, those with most points first."""
    names = [row["hardware"] for row in rows]
    return sorted(dict.fromkeys(names), key=lambda name: -names.count(name))


def _axes(axes: Axes, x: Any, y: Any, kind: _Kind) -> None:
    axes.set(xscale="log", yscale="log", xlabel=kind.x_label, ylabel=kind.y_label)
    axes.set_xlim(x.min() / _MARGIN, x.max() * _MARGIN)
    axes.set_ylim(y.min() / _MARGIN, y.max() * _MARGIN)
    plain_ticks(axes)
    axes.grid(True, color=style.FAINT, lw=0.4, alpha=0.6)


def plain_ticks(axes: Axes) -> None:
    """Ticks of a logarithmic axis as plain numbers: 1, 2, 5, 10."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
            axis.set_minor_formatter(NullFormatter())


def _name(
    axes: Axes, rows: Sequence[Row], x: Any, y: Any, front: Any, colors: Mapping[str, str]
) -> None:
    """Name the frontier where the deployment on it changes, and at its ends."""
    callouts = Callouts(axes)
    callouts.line(x[front], y[front])
    for index in front:
        callouts.marker(x[index], y[index], _FRONT_AREA)
    named: list[tuple[int, str]] = []
    last = ""
    for index in front:
        words = _deployment(rows[index])
        if words != last:
            named.append((int(index), words))
        last = words
    if named[-1][0] != front[-1]:
        named.append((int(front[-1]), last))
    step = max(1, -(-len(named) // _MOST_LABELS))
    for place, (index, words) in enumerate(named[::step]):
        callouts.beside(
            f"{words}\n{_at(rows[index])}",
            float(x[index]),
            float(y[index]),
            area=_FRONT_AREA,
            color=style.text_color(colors[rows[index]["hardware"]]),
            kind="phase",
            share=float(len(named) - place),
            worst=200.0,
        )
    callouts.place()


def _deployment(row: Row) -> str:
    return f"{devices_words(row)} {row['weights']}"


def _at(row: Row) -> str:
    if row["concurrency"] is not None:
        return f"{row['concurrency']:,.0f} at once"
    if row["batch"] is not None:
        return f"batch {row['batch']:,.0f}"
    return f"{row['requests_per_s']:.3g} requests/s"


def _title(rows: Sequence[Row], front: Any, kind: _Kind) -> str:
    models = ", ".join(dict.fromkeys(str(row["model"]) for row in rows))
    on = dict.fromkeys(rows[index]["hardware"] for index in front)
    ends = [rows[front[0]], rows[front[-1]]]
    if kind is _COST:
        cheap = min(rows, key=lambda row: row[kind.y])
        return (
            f"{models}: from {show(ends[0][kind.x], 's')} a request to "
            f"{significant(cheap[kind.y])} USD per million tokens, best on {_joined(list(on))}"
        )
    fast, full = max(ends, key=lambda row: row[kind.x]), max(ends, key=lambda row: row[kind.y])
    return (
        f"{models}: up to {fast[kind.x]:,.0f} tokens/s for one user or "
        f"{full[kind.y]:,.0f} tokens/s per GPU, best on {_joined(list(on))}"
    )


def _joined(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _subtitle(rows: Sequence[Row]) -> str:
    said = [f"{len(rows):,} points that fit"]
    for name, word in (("input_len", "tokens in"), ("output_len", "out")):
        values = sorted({row[name] for row in rows})
        ends = f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,}"
        said.append(f"{ends} {word}")
    if all(row["limit"] for row in rows):
        said.append("at the physical limit")
    return " · ".join([*said, "line: no other is better in both"])


def _legend(gpus: Sequence[str], colors: Mapping[str, str]) -> list[list[Any]]:
    from matplotlib.lines import Line2D

    size: dict[str, Any] = {"linestyle": "none", "markersize": 7.0}
    return [
        [
            Line2D([], [], color=colors[gpu], marker=style.mark(gpu), label=gpu, **size)
            for gpu in gpus[:_MOST_GPUS]
        ]
    ]
