"""The roofline chart: what the device can do, and where prefill and decode stand.

Log-log, FLOP per byte against FLOP/s per device (Williams et al. 2009, figure 1):
slanted memory roofs, flat compute roofs, their ridge points, each phase as a hollow
point at the limit and a full one at the time to expect, operators as small points, and
the way decode takes as the batch grows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from llmroof.engine.estimate import Estimate
from llmroof.render.plots import style
from llmroof.render.plots.callouts import NEARBY, Callouts
from llmroof.render.plots.frame import axes_between, blank
from llmroof.render.plots.roofs import roofs, set_axes, sides
from llmroof.render.plots.series import Chart, Point, Series, chart
from llmroof.render.plots.words import subtitle, title, whole
from llmroof.units import show, significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: share of a phase's time from which an operator is named
_WORTH_NAMING: Final = 0.01
#: operators whose markers come closer than this (in points) share one label
_TOGETHER: Final = 18.0
#: of the points of a path every second one is named: batch 1, 4, 16 ...
_NAMED: Final = 2
#: pt²: a step of the decode path, the mark where memory ends
_STEP_AREA: Final = 14.0
#: pt²: a batch that was asked for; so many of them are named
_ASKED_AREA: Final = 44.0
_MOST_ASKED: Final = 12
_END_AREA: Final = 62.0
#: series up to which the points at the limit are shown too
_FEW: Final = 3
#: lines of a label that names several operators
_LINES: Final = 4
#: cost above which the batch of a step is left out: unless it stands close
_CLOSE: Final = 12.0


def draw(
    estimates: Sequence[Estimate], path: Path, *, batches: Sequence[int] | None = None
) -> None:
    """Write the roofline chart of one or several estimates as .png, .svg or .pdf.

    `batches` are those of the decode path (doublings up to the largest that fits when
    None). Operators are shown for a single estimate. The file is written whole or not
    at all, and the same chart gives the same bytes. Raises InputError for another
    ending, too many estimates, or a path that cannot be written.
    """
    style.check_path(path)
    content = chart(estimates, batches)
    with style.look():
        style.save(compose(content), path)


def compose(content: Chart) -> Figure:
    """The chart as a matplotlib figure; call it inside `style.look()`."""
    inks = _inks(content)
    estimates = [one.estimate for one in content.series]
    figure = blank()
    axes = axes_between(figure, title(estimates), subtitle(estimates), _handles(content, inks))
    set_axes(axes, content)
    callouts = Callouts(axes)
    sides(axes, callouts, content)
    roofs(axes, callouts, content)
    for one, ink in zip(content.series, inks, strict=True):
        _path(axes, callouts, one, ink)
    for point in content.operators:
        _operator(axes, callouts, point, inks[0].series)
    _name_operators(callouts, content.operators)
    for one, ink in zip(content.series, inks, strict=True):
        for point in (one.prefill, one.decode):
            _phase(axes, callouts, one, point, ink)
    callouts.place()
    return figure


@dataclass(frozen=True, slots=True)
class _Ink:
    """How one series is drawn: its GPU's colour, its own shade of it, that of its text."""

    gpu: str
    series: str
    text: str
    dashes: Any
    area: float
    hollow: bool


def _inks(content: Chart) -> list[_Ink]:
    ids = [one.hardware.id for one in content.series]
    gpu = style.colors(ids)
    inks = []
    for index, name in enumerate(ids):
        shade = style.shades(gpu[name], ids.count(name))[ids[:index].count(name)]
        inks.append(
            _Ink(
                gpu[name],
                shade,
                style.text_color(shade),
                style.DASHES[ids[:index].count(name) % len(style.DASHES)],
                style.PHASE_AREAS[(len(ids) > 1) + (len(ids) > _FEW)],
                len(ids) <= _FEW,
            )
        )
    return inks


def _path(axes: Axes, callouts: Callouts, one: Series, ink: _Ink) -> None:
    """Decode as the batch grows, its steps named here and there, and where memory ends."""
    path = one.path
    if path is None:
        return
    axes.plot(path.intensity, path.rate, color=ink.series, lw=1.5, ls=ink.dashes, zorder=3)
    callouts.line(path.intensity, path.rate)
    steps = slice(None, -1) if path.full else slice(None)
    area = _ASKED_AREA if path.asked else _STEP_AREA
    axes.scatter(
        path.intensity[steps],
        path.rate[steps],
        s=area,
        color=ink.series if path.asked else "white",
        edgecolors="white" if path.asked else ink.series,
        linewidths=1.1,
        zorder=4.5 if path.asked else 4,
    )
    own = float(one.estimate.workload.batch)
    points = list(zip(path.batch, path.intensity, path.rate, strict=True))
    apart = math.ceil(len(points) / _MOST_ASKED) if path.asked else _NAMED
    for index, (batch, x, y) in enumerate(points):
        last = path.full and index == len(points) - 1
        callouts.marker(x, y, _END_AREA if last else area)
        if last:
            text = f"memory full at batch {whole(batch)}" if not one.label else ""
            text = text or f"full at {whole(batch)}"
            axes.scatter(
                [x],
                [y],
                s=_END_AREA,
                marker="X",
                color=ink.series,
                edgecolors="white",
                linewidths=0.8,
                zorder=5,
            )
            callouts.beside(text, x, y, area=_END_AREA, color=ink.text, kind="end", worst=NEARBY)
        elif (
            one.first
            and index % apart == 0
            and batch != own
            and (path.asked or 2 * batch <= path.batch[-1])
        ):
            text = f"batch {whole(batch)}" if index == 0 or path.asked else whole(batch)
            callouts.beside(
                text,
                x,
                y,
                area=area,
                color=ink.text,
                kind="step",
                directions=(-60, -30, 270, 0, 120, 90, 180),
                worst=np.inf if path.asked else _CLOSE,
            )


def _operator(axes: Axes, callouts: Callouts, point: Point, color: str) -> None:
    area = _area(point)
    axes.scatter(
        [point.intensity],
        [point.rate],
        s=area,
        marker=style.MARKERS[point.phase],
        color=style.mix(color, "#FFFFFF", 0.5),
        edgecolors=style.mix(color, "#000000", 0.15),
        linewidths=0.8,
        alpha=0.8,
        zorder=3.5,
    )
    callouts.marker(point.intensity, point.rate, area)


def _area(point: Point) -> float:
    return max(style.OPERATOR_AREA * point.share, style.SMALLEST_AREA)


def _name_operators(callouts: Callouts, points: Sequence[Point]) -> None:
    """Name what takes time; operators at the same spot share one label."""
    groups: list[list[Point]] = []
    for point in points:
        if point.share < _WORTH_NAMING:
            continue
        here = callouts.at(point.intensity, point.rate)
        for group in groups:
            there = [callouts.at(other.intensity, other.rate) for other in group]
            distance = min(float(np.hypot(*(here - spot))) for spot in there)
            if group[0].phase == point.phase and distance < _TOGETHER * callouts.pixel:
                group.append(point)
                break
        else:
            groups.append([point])
    for group in groups:
        text = _names(group)
        callouts.beside(
            text,
            group[0].intensity,
            group[0].rate,
            area=_area(group[0]),
            color=style.MUTED,
            kind="operator",
            share=sum(point.share for point in group),
            worst=NEARBY,
        )


def _names(group: Sequence[Point]) -> str:
    """One line per operator with its share; the smallest of many in one line."""
    shown = group if len(group) <= _LINES else group[: _LINES - 1]
    lines = [f"{point.name} {100 * point.share:.0f} %" for point in shown]
    if rest := group[len(shown) :]:
        lines.append(f"{len(rest)} more {100 * sum(point.share for point in rest):.0f} %")
    return "\n".join(lines)


def _phase(axes: Axes, callouts: Callouts, one: Series, point: Point, ink: _Ink) -> None:
    """A phase at the limit (hollow) and as expected (full), with its drop line."""
    marker, area = style.MARKERS[point.phase], ink.area
    common: dict[str, Any] = {"s": area, "marker": marker, "linewidths": 1.6}
    foot, top = [point.intensity] * 2, max(point.limit, point.rate)
    color = ink.series
    axes.plot(foot, [callouts.axes.get_ylim()[0], top], color=color, lw=1, ls=":", zorder=2)
    callouts.line(foot, [callouts.axes.get_ylim()[0], top])
    if not one.limited and ink.hollow:
        axes.scatter(
            [point.intensity], [point.limit], **common, color="white", edgecolors=color, zorder=5
        )
        callouts.marker(point.intensity, point.limit, area)
    axes.scatter(
        [point.intensity], [point.rate], **common, color=color, edgecolors="white", zorder=6
    )
    callouts.marker(point.intensity, point.rate, area)
    callouts.beside(
        one.label or _sentence(one, point),
        point.intensity,
        point.rate,
        area=area,
        color=ink.text,
        kind="phase",
        worst=NEARBY if one.label else np.inf,
        weight="bold",
    )


def _sentence(one: Series, point: Point) -> str:
    batch = f"{point.phase}, batch {whole(one.estimate.workload.batch)}"
    return f"{batch}\n{_intensity(point.intensity)} FLOP/byte, {show(point.rate, 'FLOP/s')}"


def _intensity(value: float) -> str:
    """Three digits, and thousands apart."""
    return whole(value) if value >= 1000 else significant(value)


def _handles(content: Chart, inks: Sequence[_Ink]) -> list[list[Any]]:
    """The legend: series by colour where there are several, then what the marks mean."""
    from matplotlib.lines import Line2D

    def mark(marker: str, label: str, **look: Any) -> Any:
        size: dict[str, Any] = {"markersize": 8.0, "color": style.MUTED, "linestyle": "none"}
        return Line2D([], [], marker=marker, label=label, **(size | look))

    series = []
    if len(content.series) > 1:
        series = [
            mark("", one.label, color=ink.series, linestyle=ink.dashes, linewidth=2.6)
            if one.path
            else mark("s", one.label, color=ink.series)
            for one, ink in zip(content.series, inks, strict=True)
        ]
    handles = [
        mark(style.MARKERS["prefill"], "prefill"),
        mark(style.MARKERS["decode"], "decode"),
    ]
    if inks[0].hollow and not all(one.limited for one in content.series):
        hollow: dict[str, Any] = {"markerfacecolor": "white", "markeredgewidth": 1.5}
        handles.append(mark("o", "at the physical limit", **hollow))
    if content.operators:
        soft = style.mix(style.MUTED, "#FFFFFF", 0.5)
        handles.append(mark("o", "operator (area: share of time)", markersize=5.5, color=soft))
    if any(one.path is not None for one in content.series):
        steps: dict[str, Any] = {"markersize": 4.0, "markerfacecolor": "white", "linestyle": "-"}
        if any(one.path is not None and one.path.asked for one in content.series):
            steps = {"markersize": 6.0, "linestyle": "-"}
        handles.append(mark("o", "decode as the batch grows", linewidth=1.5, **steps))
    if any(one.path is not None and one.path.full for one in content.series):
        handles.append(mark("X", "memory full"))
    return [series, handles]
