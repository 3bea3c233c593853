"""Empirical rooflines: what kernels reached under the roofs, and measured beside predicted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from llmroof.errors import InputError
from llmroof.evidence.points import Points, points
from llmroof.render.plots import style
from llmroof.render.plots.frame import axes_between, blank
from llmroof.specs.hardware import Hardware
from llmroof.specs.measured import Measured, Surface
from llmroof.units import show

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: a working set whose bandwidth exceeds the next larger one's by this factor starts a level
_LEVEL: Final = 1.3
#: bytes of one value of an arithmetic
_WIDTH: Final = {"fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2, "fp8": 1, "int8": 1}
#: how far below the last one the name of a roof stands, as part of the axis
_DOWN: Final = 0.07
#: room around the data on both axes, as factors
_ROOM: Final = (0.6, 1.7)


def draw_profile(hardware: Hardware, path: Path) -> None:
    """The empirical roofline of a measured profile; InputError where nothing was measured."""
    style.check_path(path)
    measured = hardware.measured
    if measured is None:
        raise InputError(f"{hardware.name} was not measured: there is nothing to draw")
    kinds = list(measured.gemm)
    hues = style.colors(kinds)
    products = {kind: _products(measured.gemm[kind], _WIDTH[kind]) for kind in kinds}
    memory = levels(measured)
    with style.look():
        figure = blank()
        handles = [_dot("o", hues[kind], f"products in {kind}") for kind in kinds]
        lines = [_rule("-", "memory and caches"), _rule("--", "best product")]
        title = f"{hardware.name}: what its kernels reach"
        axes = axes_between(figure, title, _subtitle(measured), [handles, lines])
        x = np.concatenate([points[0] for points in products.values()])
        y = np.concatenate([points[1] for points in products.values()])
        _log_axes(axes, x, y)
        top = max(y)
        for place, (size, rate) in enumerate(memory):
            _memory_roof(axes, rate, top, _level_name(size, place), place)
        for kind, (intensity, rate) in products.items():
            axes.scatter(intensity, rate, s=12, color=hues[kind], alpha=0.6, linewidths=0, zorder=3)
            _compute_roof(axes, float(rate.max()), kind, hues[kind])
        style.save(figure, path)


def draw_points(frame: pd.DataFrame, path: Path) -> None:
    """Measured passes beside the predicted ones, under the roofs of the device.

    With several kinds of devices, the one with most rows is drawn. InputError where no row
    is a static batch that could be predicted.
    """
    style.check_path(path)
    found = points(frame)
    if not found:
        raise InputError("no static batch was both measured and predicted: nothing to draw")
    names = Counter({one.hardware.name: 0 for one in found})
    for one in found:
        names[one.hardware.name] += len(one.measured)
    name = names.most_common(1)[0][0]
    kept = [one for one in found if one.hardware.name == name]
    hardware = kept[0].hardware
    kinds = list(dict.fromkeys(one.compute for one in kept))
    hues = style.colors(kinds)
    with style.look():
        figure = blank()
        marks = [_dot(style.MARKERS[phase], style.MUTED, phase) for phase in style.MARKERS]
        lines = [_dot("o", hues[kind], f"measured, {kind}") for kind in kinds]
        lines += [_ring("predicted")]
        axes = axes_between(
            figure, f"{name}: measured and predicted passes", _error_words(kept), [marks, lines]
        )
        x = np.concatenate([one.intensity for one in kept])
        y = np.concatenate([np.append(one.measured, one.predicted) for one in kept])
        peaks = [hardware.peak(kind) for kind in kinds]
        _log_axes(axes, x, np.append(y[np.isfinite(y)], peaks))
        _memory_roof(axes, hardware.memory.bandwidth, max(peaks), "memory")
        for kind, peak in zip(kinds, peaks, strict=True):
            _compute_roof(axes, peak, kind, hues[kind])
        for one in kept:
            _pairs(axes, one, hues[one.compute])
        style.save(figure, path)


def levels(measured: Measured) -> list[tuple[float, float]]:
    """(largest working set, bytes/s) of memory and of each cache that shows, memory first."""
    best: dict[float, float] = {}
    for curve in measured.streams.values():
        for size, rate in zip(curve.at, curve.rates, strict=True):
            best[size] = max(best.get(size, 0.0), rate)
    found: list[tuple[float, float]] = []
    for size in sorted(best, reverse=True):
        if not found or best[size] > _LEVEL * found[-1][1]:
            found.append((size, best[size]))
        elif best[size] > found[-1][1]:
            found[-1] = (found[-1][0], best[size])
    return found


def _products(surface: Surface, width: int) -> tuple[Any, Any]:
    """(FLOP per byte, FLOP/s) of every product of a surface."""
    rates = np.array(surface.rates)
    inputs = np.array(surface.inputs)[:, None, None]
    outputs = np.array(surface.outputs)[None, :, None]
    rows = np.array(surface.rows)[None, None, :]
    moved = width * (inputs * outputs + rows * (inputs + outputs))
    return (2 * rows * inputs * outputs / moved).ravel(), rates.ravel()


def _pairs(axes: Axes, one: Points, color: str) -> None:
    """Each measured point, its prediction as a ring, and the way between them."""
    known = np.isfinite(one.measured)
    x, seen, said = one.intensity[known], one.measured[known], one.predicted[known]
    axes.vlines(x, np.minimum(seen, said), np.maximum(seen, said), color=style.FAINT, zorder=2)
    marker = style.MARKERS[one.phase]
    axes.scatter(x, seen, s=26, marker=marker, color=color, linewidths=0, zorder=4)
    axes.scatter(
        x,
        said,
        s=40,
        marker=marker,
        facecolors="none",
        edgecolors=style.INK,
        zorder=3,
        linewidths=1,
    )


def _log_axes(axes: Axes, x: Any, y: Any) -> None:
    axes.set(
        xscale="log",
        yscale="log",
        xlim=(min(x) * _ROOM[0], max(x) * _ROOM[1]),
        ylim=(min(y) * _ROOM[0], max(y) * _ROOM[1]),
        xlabel="arithmetic intensity: FLOP per byte of device memory traffic",
    )
    axes.set_ylabel("FLOP/s")
    axes.yaxis.set_major_formatter(lambda value, _: show(value, "FLOP/s", 1).removesuffix("FLOP/s"))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.grid(True, color="white", linewidth=0.9)


def _memory_roof(axes: Axes, rate: float, top: float, name: str, place: int = 0) -> None:
    """A slanted roof with its name beside it; the names of several stand below each other."""
    low, high = axes.get_xlim()
    floor, ceiling = axes.get_ylim()
    x = np.geomspace(low, max(low * 1.01, min(high, top / rate)), 2)
    axes.plot(x, x * rate, color=style.MUTED, linewidth=1.4, zorder=1)
    height = top * (floor / ceiling) ** (_DOWN * (place + 1))
    at = height / rate
    if low < at < high:
        axes.annotate(
            f"{name}: {show(rate, 'B/s')}",
            (at, height),
            xytext=(7, 0),
            textcoords="offset points",
            size=style.SMALL_SIZE,
            color=style.MUTED,
            va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
        )


def _compute_roof(axes: Axes, peak: float, kind: str, color: str) -> None:
    axes.axhline(peak, color=color, linewidth=1.2, linestyle="--", zorder=1)
    axes.annotate(
        f"{kind} {show(peak, 'FLOP/s')}",
        (axes.get_xlim()[1], peak),
        xytext=(-4, 3),
        textcoords="offset points",
        size=style.SMALL_SIZE,
        color=style.mix(color, style.INK, 0.4),
        ha="right",
    )


def _level_name(size: float, place: int) -> str:
    return "memory" if place == 0 else f"sets up to {show(size, 'B')}"


def _subtitle(measured: Measured) -> str:
    software = ", ".join(f"{name} {text}" for name, text in measured.versions.items())
    return (
        f"measured {measured.date} on {measured.device} with {software}; readings of the typical "
        f"kernel spread by {measured.spread:.1%}"
    )


def _error_words(kept: Sequence[Points]) -> str:
    words = []
    for phase in style.MARKERS:
        own = [one for one in kept if one.phase == phase]
        errors = np.concatenate([[np.nan], *(one.measured / one.predicted - 1 for one in own)])
        known = np.abs(errors[np.isfinite(errors)])
        if known.size:
            words.append(f"{phase}: {known.size} passes, median error {np.median(known):.1%}")
    return "; ".join(words)


def _dot(marker: str, color: str, label: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], marker=marker, color=color, linestyle="none", markersize=6, label=label)


def _ring(label: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D(
        [], [], marker="o", markerfacecolor="none", color=style.INK, linestyle="none", label=label
    )


def _rule(dashes: Any, label: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=style.MUTED, linestyle=dashes, label=label)
