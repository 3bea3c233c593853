"""Expected times on a device that was measured itself: its own curves in place of shares.

A profile of `llmroof measure` holds the rates that the kernels of one framework reach over
their sizes (`specs/measured.py`). Between the sizes rates are interpolated in logarithms;
beyond the largest the rate stays, below the smallest the time does. A kernel without a curve
keeps the shares of `llmroof/calibration`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from llmroof.engine.roofline import Times
from llmroof.operators import Number, Operator
from llmroof.specs.measured import Curve, Measured, Surface

#: width in bits of what each arithmetic multiplies: weights of another width were not timed
_BITS: Final[Mapping[str, float]] = {
    "fp32": 32, "tf32": 32, "fp16": 16, "bf16": 16, "fp8": 8, "int8": 8
}  # fmt: skip
#: kinds of operators that move data and multiply nothing
_SMALL: Final = ("elementwise", "embedding")


def measured_times(operator: Operator, floor: Times, measured: Measured) -> Times | None:
    """Times of an operator over all its runs, never below `floor`; None without a curve."""
    if operator.kind == "all_reduce":
        return _sum_times(operator, floor, measured)
    one = _seconds(operator, measured)
    if one is None:
        return None
    launch = operator.count * measured.kernel_launch
    total = np.maximum(np.maximum(operator.count * one, launch), floor.total)
    busy = total - launch
    by_compute = floor.compute >= np.maximum(floor.memory, 0.0)
    multiplies = by_compute & (np.asarray(operator.flop) > 0)
    return Times(
        np.where(multiplies, np.maximum(busy, floor.compute), floor.compute),
        np.where(multiplies, floor.memory, np.maximum(busy, floor.memory)),
        0.0,
        launch,
        total,
    )


def _sum_times(operator: Operator, floor: Times, measured: Measured) -> Times | None:
    """A sum over as many devices as were timed, by its message; None for other numbers."""
    sums = measured.all_reduce
    if sums is None or operator.shape["world"] != sums.devices:
        return None
    rates = tuple(size / time for size, time in zip(sums.at, sums.times, strict=True))
    one = curve_time(Curve(sums.at, rates), operator.shape["message"])
    total = np.maximum(operator.count * one, floor.total)
    return Times(0.0, 0.0, total, 0.0, total)


def _seconds(operator: Operator, measured: Measured) -> Number | None:
    """Seconds of one run by the curve of its kind."""
    kind, compute = operator.kind, operator.compute
    if kind in ("gemm", "moe") and operator.shape.get("weight_bits") != _BITS.get(compute):
        return None
    if kind == "gemm" and compute in measured.gemm:
        shape = operator.shape
        return product_time(measured.gemm[compute], shape["m"], shape["k"], shape["n"])
    if kind == "moe":
        return _experts(operator, measured)
    if kind == "attention" and compute in measured.prefill and compute in measured.decode:
        return _attention(operator, measured)
    if kind in _SMALL and compute in measured.small:
        return _moved(operator, measured)
    return None


def product_time(surface: Surface, rows: Number, inputs: Number, outputs: Number) -> Number:
    """Seconds of `rows` vectors times a matrix [inputs, outputs]."""
    return 2.0 * rows * inputs * outputs / _surface_rate(surface, rows, inputs, outputs)


def curve_time(curve: Curve, size: Number) -> Number:
    """Seconds of a kernel of `size`: at least those of the smallest size that was timed."""
    size = np.maximum(size, curve.at[0])
    return size / _rate(curve.at, curve.rates, size)


def _rate(at: tuple[float, ...], rates: tuple[float, ...], size: Number) -> Number:
    return np.exp(np.interp(np.log(size), np.log(at), np.log(rates)))


def _surface_rate(surface: Surface, rows: Number, inputs: Number, outputs: Number) -> Number:
    """FLOP/s between the timed sizes: linear in the logarithms of all three."""
    deep, wide = _hats(surface.inputs, inputs), _hats(surface.outputs, outputs)
    found: Number = 0.0
    for depth, lines in zip(deep, surface.rates, strict=True):
        for width, rates in zip(wide, lines, strict=True):
            found = found + depth * width * np.log(_rate(surface.rows, rates, rows))
    return np.exp(found)


def _hats(axis: tuple[float, ...], value: Number) -> list[Number]:
    """Weights of the points of an axis in the linear interpolation at a value; they add to 1."""
    each, at = np.eye(len(axis)), np.log(value)
    return [np.interp(at, np.log(axis), line) for line in each]


def _experts(operator: Operator, measured: Measured) -> Number | None:
    """Grouped products: each touched expert takes its share of the rows."""
    surfaces = measured.grouped or measured.gemm
    if operator.compute not in surfaces:
        return None
    shape, outputs = operator.shape, operator.shape["n"]
    inputs = operator.flop / (2.0 * shape["rows"] * outputs)
    rows = shape["rows"] / shape["touched"]
    one = product_time(surfaces[operator.compute], rows, inputs, outputs)
    return shape["touched"] * one


def _attention(operator: Operator, measured: Measured) -> Number:
    """A prompt by its arithmetic, one new token per sequence by the cache it reads.

    Several new tokens read that cache too: never less than one of them.
    """
    shape, compute = operator.shape, operator.compute
    keys = np.maximum(shape["keys"], 1.0)
    prompt = operator.flop / _rate(*_both(measured.prefill[compute]), keys)
    cached = curve_time(measured.decode[compute], np.maximum(operator.kv_bytes, 1.0))
    return np.where(np.asarray(shape["new_tokens"]) > 1, np.maximum(prompt, cached), cached)


def _both(curve: Curve) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return curve.at, curve.rates


def _moved(operator: Operator, measured: Measured) -> Number | None:
    """Elementwise work: a kernel of its own, fused in nothing but itself."""
    curves = measured.small[operator.compute]
    moved = np.maximum(operator.bytes + operator.fused_bytes, 1.0)
    for name, curve in curves.items():
        if name in operator.name:
            return curve_time(curve, moved)
    streams = [rate for curve in measured.streams.values() for rate in curve.rates[-1:]]
    return measured.kernel_launch + moved / max(streams) if streams else None
