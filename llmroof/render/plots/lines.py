"""Latency and throughput as the batch grows, with the ridge and the end of memory marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from llmroof.errors import InputError
from llmroof.render.plots import style
from llmroof.render.plots.callouts import Callouts
from llmroof.render.plots.frame import axes_between, blank
from llmroof.render.plots.frontier import plain_ticks
from llmroof.render.sweep import devices_words
from llmroof.units import SMALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = Mapping[str, Any]
Array = npt.NDArray[np.float64]

MOST_SERIES: Final = 7
_PANELS: Final = (
    ("tpot_s", "TPOT, ms"),
    ("output_tokens_per_s_per_gpu", "tokens/s per GPU"),
)
#: what sets the series apart; everything else but the number at once must be equal
_KEYS: Final = (
    *("model", "num_gpus", "hardware", "tp", "pp", "dp", "ep", "weights", "activations"),
    *("kv_cache_dtype", "input_len", "output_len", "engine", "attention"),
)
_GAP: Final = 0.075
_RIDGE_AREA: Final = 60.0
_END_AREA: Final = 62.0


@dataclass(frozen=True, slots=True)
class _Series:
    label: str
    hardware: str
    at_once: Array
    panels: tuple[Array, ...]
    ridge: float | None
    full: bool


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write the chart of rows that sweep the batch or the requests in flight.

    Raises InputError where nothing varies.
    """
    style.check_path(path)
    with style.look():
        style.save(compose(rows), path)


def compose(rows: Sequence[Row]) -> Figure:
    """The chart as a figure; call it inside `style.look()`."""
    name = "concurrency" if rows[0]["concurrency"] is not None else "batch"
    series, many = _gather(rows, name)
    colors = style.colors([one.hardware for one in series])
    inks = _inks(series, colors)
    figure = blank()
    whole = axes_between(
        figure, _title(series), _subtitle(rows, series, many), _legend(series, inks)
    )
    upper, lower = _split(figure, whole)
    for axes, place in ((upper, 0), (lower, 1)):
        axes.set(xscale="log", yscale="log", ylabel=_PANELS[place][1])
        for one, (color, dashes) in zip(series, inks, strict=True):
            _line(axes, one, place, color, dashes)
        plain_ticks(axes)
        axes.grid(True, color=style.FAINT, lw=0.4, alpha=0.6)
    upper.tick_params(labelbottom=False)
    lower.set_xlabel("sequences together (batch)" if name == "batch" else "requests in flight")
    _name(upper, series, inks)
    return figure


def _gather(rows: Sequence[Row], name: str) -> tuple[list[_Series], int]:
    """(series, how many there are): as many as a chart can hold, the best of each GPU first."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if row[name] is not None and row["tpot_s"]:
            groups.setdefault(tuple(row[key] for key in _KEYS), []).append(row)
    groups = {key: sorted(group, key=lambda row: row[name]) for key, group in groups.items()}
    groups = {key: group for key, group in groups.items() if sum(r["fits"] for r in group) > 1}
    if not groups:
        raise InputError(f"this chart needs several values of {name} that fit")
    varying = [key for place, key in enumerate(_KEYS) if len({g[place] for g in groups}) > 1]
    found = [_series(group, name, varying) for group in groups.values()]
    order = sorted(range(len(found)), key=lambda place: -float(found[place].panels[1].max()))
    names = [found[place].hardware for place in order]
    order = sorted(
        order, key=lambda place: names[: order.index(place)].count(found[place].hardware)
    )
    return [found[place] for place in sorted(order[:MOST_SERIES])], len(found)


def _series(group: Sequence[Row], name: str, varying: Sequence[str]) -> _Series:
    fit = [row for row in group if row["fits"]]
    at_once = _column(fit, name)
    panels = (_column(fit, "tpot_s") / SMALL["m"], _column(fit, "output_tokens_per_s_per_gpu"))
    distance = _column(fit, "decode_arithmetic_intensity") / _column(fit, "decode_ridge_point")
    return _Series(
        _label(fit[0], varying),
        fit[0]["hardware"],
        at_once,
        panels,
        _crossing(at_once, distance),
        len(fit) < len(group),
    )


def _column(rows: Sequence[Row], name: str) -> Array:
    return np.array([row[name] for row in rows], dtype=np.float64)


def _crossing(x: Array, ratio: Array) -> float | None:
    """Where the rising `ratio` reaches 1, on a logarithmic scale; None where it does not."""
    above = np.flatnonzero(ratio >= 1)
    if not above.size or above[0] == 0:
        return None
    place = int(above[0])
    ends = np.log(ratio[place - 1 : place + 1])
    return float(np.exp(np.interp(0.0, ends, np.log(x[place - 1 : place + 1]))))


def _label(row: Row, varying: Sequence[str]) -> str:
    parts = [devices_words(row)]
    if "model" in varying:
        parts.insert(0, row["model"])
    skip = ("model", "hardware", "num_gpus", "tp", "pp", "dp", "ep")
    words = {"input_len": "{:,} in", "output_len": "{:,} out"}
    for name in varying:
        if name not in skip and not (name == "activations" and "weights" in varying):
            parts.append(words.get(name, "{}").format(row[name]))
    return ", ".join(parts)


def _inks(series: Sequence[_Series], colors: Mapping[str, str]) -> list[tuple[str, Any]]:
    ids = [one.hardware for one in series]
    found = []
    for index, name in enumerate(ids):
        place = ids[:index].count(name)
        shade = style.shades(colors[name], ids.count(name))[place]
        found.append((shade, style.DASHES[place % len(style.DASHES)]))
    return found


def _split(figure: Figure, axes: Axes) -> tuple[Axes, Axes]:
    """Two panels, one above the other, in the place of one."""
    place = axes.get_position()
    axes.remove()
    height = (place.height - _GAP) / 2
    lower = figure.add_axes((place.x0, place.y0, place.width, height))
    upper = figure.add_axes((place.x0, place.y0 + height + _GAP, place.width, height), sharex=lower)
    return upper, lower


def _line(axes: Axes, one: _Series, place: int, color: str, dashes: Any) -> None:
    x, y = one.at_once, one.panels[place]
    axes.plot(x, y, color=color, ls=dashes, lw=1.8, marker="o", markersize=3.2, zorder=3)
    if one.ridge is not None:
        at = float(np.exp(np.interp(np.log(one.ridge), np.log(x), np.log(y))))
        axes.scatter(
            [one.ridge], [at], s=_RIDGE_AREA, marker="D", color="white", edgecolors=color,
            linewidths=1.6, zorder=5,
        )  # fmt: skip
    if one.full:
        axes.scatter(
            [x[-1]], [y[-1]], s=_END_AREA, marker="X", color=color, edgecolors="white",
            linewidths=0.8, zorder=5,
        )  # fmt: skip


def _name(axes: Axes, series: Sequence[_Series], inks: Sequence[tuple[str, Any]]) -> None:
    """The batch at the ridge, beside its mark."""
    callouts = Callouts(axes)
    for one in series:
        callouts.line(one.at_once, one.panels[0])
    for one, (color, _) in zip(series, inks, strict=True):
        if one.ridge is None:
            continue
        at = np.exp(np.interp(np.log(one.ridge), np.log(one.at_once), np.log(one.panels[0])))
        callouts.marker(one.ridge, float(at), _RIDGE_AREA)
        callouts.beside(
            f"ridge at {one.ridge:,.0f}",
            one.ridge,
            float(at),
            area=_RIDGE_AREA,
            color=style.text_color(color),
            kind="ridge",
            directions=(90, 120, 60, 270, 300, 240),
            worst=200.0,
        )
    callouts.place()


def _title(series: Sequence[_Series]) -> str:
    fastest = min(series, key=lambda one: float(one.panels[0].min()))
    best = max(series, key=lambda one: float(one.panels[1].max()))
    least, most = float(fastest.panels[0].min()), float(best.panels[1].max())
    alone, together = (
        f"From {least:,.3g} ms a token alone",
        f"{most:,.0f} tokens/s per GPU together",
    )
    if fastest is best:
        return f"{alone} to {together}: {best.label}"
    return f"{alone} ({fastest.label}) to {together} ({best.label})"


def _subtitle(rows: Sequence[Row], series: Sequence[_Series], many: int) -> str:
    said = [str(rows[0]["model"])] if len({row["model"] for row in rows}) == 1 else []
    for name, word in (("input_len", "tokens in"), ("output_len", "out")):
        if len({row[name] for row in rows}) == 1:
            said.append(f"{rows[0][name]:,} {word}")
    if many > len(series):
        said.append(f"{len(series)} of {many} deployments, most tokens/s of each GPU first")
    if all(one.ridge is None for one in series):
        said.append("no batch that fits reaches the ridge")
    return " · ".join(said)


def _legend(series: Sequence[_Series], inks: Sequence[tuple[str, Any]]) -> list[list[Any]]:
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=color, linestyle=dashes, linewidth=2.4, label=one.label)
        for one, (color, dashes) in zip(series, inks, strict=True)
    ]
    marks: list[Any] = []
    bare: dict[str, Any] = {"linestyle": "none", "color": style.MUTED, "markersize": 8.0}
    if any(one.ridge is not None for one in series):
        hollow: dict[str, Any] = {"markerfacecolor": "white", "markeredgewidth": 1.5}
        marks.append(Line2D([], [], marker="D", label="decode reaches the ridge", **bare, **hollow))
    if any(one.full for one in series):
        marks.append(Line2D([], [], marker="X", label="memory full", **bare))
    return [lines, marks]
