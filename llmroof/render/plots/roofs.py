"""The stage of a roofline chart: axes, the roofs, their ridge points, the two sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from llmroof.render.plots import style
from llmroof.render.plots.callouts import NEARBY, Callouts
from llmroof.render.plots.series import Chart, Roof
from llmroof.specs.hardware import Hardware
from llmroof.units import show, significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: pt²: the mark of a ridge point
_RIDGE_AREA: Final = 26.0


def set_axes(axes: Axes, content: Chart) -> None:
    """Scales, limits, ticks and names of the axes; limits are final from here on."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(*content.x)
    axes.set_ylim(*content.y)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(10.0))
        axis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
    unit = "FLOP/s"
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda y, _: show(y, unit, 1).removesuffix(unit).strip())
    )
    axes.grid(True, color="white", linewidth=0.9)
    axes.tick_params(length=3.5)
    axes.set_xlabel("arithmetic intensity: FLOP per byte of device memory traffic")
    axes.set_ylabel("FLOP/s per device")


def sides(axes: Axes, callouts: Callouts, content: Chart) -> None:
    """The room under the roofs, tinted and named by what binds there."""
    (left, right), floor = content.x, content.y[0]
    first = min(roof.ridge for roof in content.roofs)
    last = max(roof.ridge for roof in content.roofs)
    tints = (style.MEMORY_SIDE, style.BETWEEN, style.COMPUTE_SIDE)
    corners = [left, right, *(roof.ridge for roof in content.roofs)]
    every = np.unique(np.append(np.geomspace(left, right, 200), corners))
    for start, end, tint in zip((left, first, last), (first, last, right), tints, strict=True):
        x = every[(every >= start) & (every <= end)]
        if len(x) > 1:
            top = np.max([roof.attainable(x) for roof in content.roofs], axis=0)
            axes.fill_between(x, floor, top, color=tint, linewidth=0, zorder=0)
    bottom = floor * 1.12
    for text, edge, inward in (
        ("◂ memory-bound", first, -0.5),
        ("compute-bound ▸", last, 0.5),
    ):
        callouts.along(
            text,
            np.array([edge * (0.93 if inward < 0 else 1.07)]),
            np.array([bottom]),
            color=style.MUTED,
            kind="side",
            size=style.TEXT_SIZE,
            inward=inward,
        )


def roofs(axes: Axes, callouts: Callouts, content: Chart) -> None:
    """Memory roofs, compute roofs and ridge points, the other peaks of the GPU behind."""
    gpu = style.colors([one.hardware.id for one in content.series])
    _background(axes, callouts, content)
    order = list(dict.fromkeys(name for roof in content.roofs for name in roof.names))
    for roof in content.roofs:
        dashes = style.DASHES[order.index(roof.names[0]) % len(style.DASHES)]
        _compute_roof(axes, callouts, content, roof, gpu[roof.hardware.id], dashes)
        _ridge(axes, callouts, content, roof, gpu[roof.hardware.id])
    for hardware, end in content.memory_roofs():
        _memory_roof(axes, callouts, content, hardware, end, gpu[hardware.id])


def _background(axes: Axes, callouts: Callouts, content: Chart) -> None:
    """Peaks that are not in play, thin and grey, labelled where room is left."""
    for names, peak, ridge in content.background:
        x = np.array([ridge, content.x[1]])
        axes.plot(x, [peak, peak], color=style.FAINT, linewidth=1.1, zorder=1)
        callouts.line(x, [peak, peak])
        text = f"{names} {show(peak, 'FLOP/s')}"
        _roof_label(callouts, content, text, peak, ridge, style.MUTED, "background")
    if content.background:
        bandwidth = content.series[0].hardware.memory.bandwidth
        x = np.array([content.x[0], max(ridge for _, _, ridge in content.background)])
        axes.plot(x, x * bandwidth, color=style.FAINT, linewidth=1.1, zorder=1)
        callouts.line(x, x * bandwidth)


def _compute_roof(
    axes: Axes, callouts: Callouts, content: Chart, roof: Roof, color: str, dashes: Any
) -> None:
    x = np.array([roof.ridge, content.x[1]])
    axes.plot(x, [roof.peak] * 2, color=color, linewidth=2.0, linestyle=dashes, zorder=2)
    callouts.line(x, [roof.peak] * 2)
    same = [one for one in content.roofs if (one.names, one.peak) == (roof.names, roof.peak)]
    if roof is not same[0]:
        return
    who = ", ".join(content.names[one.hardware.id] for one in same if content.names)
    text = f"{who} {', '.join(roof.names)} {show(roof.peak, 'FLOP/s')}".strip()
    ink = style.text_color(color)
    _roof_label(callouts, content, text, roof.peak, roof.ridge, ink, "roof")


def _memory_roof(
    axes: Axes, callouts: Callouts, content: Chart, hardware: Hardware, end: float, color: str
) -> None:
    bandwidth = hardware.memory.bandwidth
    x = np.array([content.x[0], end])
    axes.plot(x, x * bandwidth, color=color, linewidth=2.0, zorder=2)
    callouts.line(x, x * bandwidth)
    inside = x[0] * (x[1] / x[0]) ** np.linspace(0.42, 0.9, 25)
    inside = inside[inside * bandwidth > content.y[0]]
    callouts.along(
        f"{content.names.get(hardware.id, 'memory')} {show(bandwidth, 'B/s')}",
        inside,
        inside * bandwidth,
        color=style.text_color(color),
        kind="roof",
        turn=True,
    )


def _roof_label(
    callouts: Callouts,
    content: Chart,
    text: str,
    peak: float,
    ridge: float,
    color: str,
    kind: str,
) -> None:
    """The name of a compute roof at its right end, else further left, else below."""
    right = content.x[1] * 0.985
    x = right * (ridge / right) ** np.linspace(0.0, 1.0, 31)
    callouts.along(
        text,
        x,
        np.full(len(x), peak),
        color=color,
        kind=kind,
        sides=(1.0, -1.0),
        inward=-0.5,
        left=ridge * 1.04,
    )


def _ridge(axes: Axes, callouts: Callouts, content: Chart, roof: Roof, color: str) -> None:
    floor = content.y[0]
    axes.plot(
        [roof.ridge] * 2,
        [floor, roof.peak],
        color=style.mix(color, "#FFFFFF", 0.35),
        linewidth=0.9,
        linestyle=(0, (4, 3)),
        zorder=1,
    )
    callouts.line([roof.ridge] * 2, [floor, roof.peak])
    axes.scatter(
        [roof.ridge],
        [roof.peak],
        s=_RIDGE_AREA,
        marker="D",
        color=color,
        edgecolors="white",
        linewidths=0.8,
        zorder=5,
    )
    callouts.marker(roof.ridge, roof.peak, 2 * _RIDGE_AREA)  # a diamond stands on its tip
    who = f"{content.names[roof.hardware.id]} " if content.names else ""
    what = "ridge point" if len(content.roofs) == 1 else f"{who}ridge"
    callouts.beside(
        f"{what} {significant(roof.ridge)}",
        roof.ridge,
        roof.peak,
        area=2 * _RIDGE_AREA,
        color=style.text_color(color),
        kind="ridge",
        directions=(90, 120, 150, 60, 180, 0),
        worst=NEARBY,
    )
