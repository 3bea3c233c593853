"""What no pass gets below, for many devices at once: the expected time without its fine print.

A kernel's expected time is its roofs at the shares of the peaks that are reached, or more
(`engine/expected.py`, `engine/silicon_times.py`): quantised waves, dependent chains, small
tiles come on top. Without those a pass is one broadcast over the peaks of many devices,
cheap enough to bound every candidate of a search. A test holds each time above its floor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from llmroof.calibration.load import Calibration
from llmroof.engine.deployment import Deployment
from llmroof.engine.expected import BITS
from llmroof.engine.network import AUTO
from llmroof.engine.roofline import nothing
from llmroof.engine.silicon_times import family
from llmroof.operators import Number, Operator
from llmroof.specs.hardware import Hardware


class _Reached(NamedTuple):
    """Shares of the peaks that a kernel reaches at most, and the seconds of a start."""

    compute: float
    memory: float
    launch: float
    unfused: bool = False


def least_time(
    operators: Sequence[Operator], devices: Sequence[Deployment], prompts: bool = False
) -> Number:
    """Least seconds of a pass with these operators on each of `devices` [devices, points].

    `prompts` tells that a prompt is in it, whose kernels are launched one by one. Infinite
    where a device lacks the arithmetic. The devices share their engine's rules.
    """
    rules = devices[0].rules
    scale = rules.eager_scale if prompts else rules.launch_scale
    bandwidth = _column(one.hardware.memory.bandwidth for one in devices)
    whole = np.zeros((len(devices), 1))
    for operator in operators:
        if operator.compute == "network":
            whole = whole + operator.count * _message(operator, devices)
            continue
        found = [_reached(operator, one.calibration, one.hardware) for one in devices]
        peaks = _column(one.hardware.compute.get(operator.compute, 0.0) for one in devices)
        with np.errstate(divide="ignore", invalid="ignore"):
            compute = operator.flop / (peaks * _column(one.compute for one in found))
        moved = operator.bytes + operator.fused_bytes * _column(one.unfused for one in found)
        memory = moved / (bandwidth * _column(one.memory for one in found))
        busy = np.maximum(np.where(np.isnan(compute), 0.0, compute), memory)
        start = _column(one.launch * scale for one in found)
        whole = whole + operator.count * (busy + start)
    return whole


def _column(values: object) -> Number:
    return np.array(list(values), dtype=np.float64)[:, None]  # type: ignore[call-overload]


def _reached(operator: Operator, calibration: Calibration | None, hardware: Hardware) -> _Reached:
    if calibration is None or _has_curves(hardware):
        return _Reached(1.0, 1.0, 0.0)
    own = family(operator, calibration.graph, hardware)
    if own is not None:
        fit = calibration.graph.families[own.name]
        return _Reached(fit["compute"], fit["memory"], own.launch)
    plain = calibration.kind(operator.kind)
    share = 1.0 if nothing(operator.flop) else plain.compute[BITS.get(operator.compute, 16)]
    return _Reached(share, plain.memory, plain.launch, unfused=True)


def _has_curves(hardware: Hardware) -> bool:
    """Whether times follow what was measured on the device: that may beat the universal shares."""
    return hardware.measured is not None and hardware.fitted is None


def _message(operator: Operator, devices: Sequence[Deployment]) -> Number:
    """A collective: its bytes over the fastest link, after the start of the library's.

    A sum that is left to the library crosses a link twice; one in a switch once.
    """
    world = operator.shape["world"]
    sent = operator.shape["message"] * ((world - 1) / world)
    links = [[link.bandwidth for link in one.hardware.links.values()] for one in devices]
    times = sent / _column(max(rates, default=np.inf) for rates in links)
    found = [one.calibration for one in devices if one.calibration is not None]
    curves = any(_has_curves(one.hardware) for one in devices)
    if len(found) < len(devices) or curves or devices[0].run.all_reduce != AUTO:
        return times
    sums = operator.kind == "all_reduce"
    fits = [one.network["all_reduce" if sums else "others"] for one in found]
    reached = _column((2.0 if sums else 1.0) / max(fit.share.values()) for fit in fits)
    return times * reached + _column(fit.start + fit.per_doubling * np.log2(world) for fit in fits)
