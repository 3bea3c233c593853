"""Expected times of the kernels that have a formula of their own (`engine/kernels.py`).

Matrix products and grouped products of experts are timed by the formulas that were fitted to
isolated kernels, with the launches of a CUDA graph. All other kinds, and GPUs of architectures
that were not measured, keep the plain shares of `calibration/universal.yaml`: attention by its
fitted formula predicts served models no better, latent attention worse (docs/validation.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from llmroof.calibration.graphs import GraphKernels
from llmroof.engine import kernels
from llmroof.engine.kernels import REFERENCE_CLOCK, Silicon
from llmroof.engine.roofline import Times, nothing
from llmroof.operators import Number, Operator, larger
from llmroof.specs.hardware import Hardware

#: arithmetic -> (family of matrix products, bytes of an activation as the kernel reads it)
_GEMM: Final[Mapping[str, tuple[str, float]]] = {
    "bf16": ("gemm bfloat16", 2.0),
    "fp16": ("gemm bfloat16", 2.0),
    "fp8": ("gemm fp8", 1.0),
    "fp4": ("gemm nvfp4", 0.5625),
}
#: bytes of an activation that vector units multiply as it is
_PLAIN: Final = 2.0
#: part of the vector units' rate that multiplies weights: the other half widens them first
_VECTOR_SHARE: Final = 0.5
#: bf16 FLOP/s of one processor where a profile does not count them: an H100's, 989 TFLOP/s
#: over 132 (hardware_specs/h100-sxm.yaml)
_PROCESSOR_PEAK: Final = 7.5e12


def silicon(hardware: Hardware, compute: str, rate: float, lane: float) -> Silicon:
    """What a kernel sees of a device; what its profile leaves open takes a neutral value.

    Processors follow from the peak, the clock is the reference, no working set stays in an
    unknown cache, and an unknown power limit never binds. A processor takes in at most `lane`
    bytes/s: few of them do not keep fast memory busy.
    """
    count = hardware.processors.get("count")
    processors = count or max(1.0, round(hardware.peak("bf16") / _PROCESSOR_PEAK))
    return Silicon(
        peak=hardware.peak(compute) * rate,
        bandwidth=min(hardware.memory.bandwidth, lane * processors),
        processors=processors,
        cache=hardware.caches.get("l2", 1.0),
        clock=hardware.processors.get("clock", REFERENCE_CLOCK),
        power=hardware.tdp or np.inf,
    )


class Family(NamedTuple):
    """Whose coefficients time a kernel, and the seconds of its start in a graph."""

    name: str
    launch: float


def family(operator: Operator, graph: GraphKernels, hardware: Hardware) -> Family | None:
    """The family with a formula for an operator; None where plain shares of the peaks time it."""
    return _family(operator, graph) if graph.covers(hardware.architecture) else None


def _family(operator: Operator, graph: GraphKernels) -> Family | None:
    if operator.kind not in ("gemm", "moe") or operator.compute not in _GEMM:
        return None
    if nothing(operator.flop):
        return None
    if operator.kind == "moe":
        return Family("MoE", graph.launch["moe"])
    name, _ = _GEMM[operator.compute]
    quantize = graph.launch["quantize"] if "quantize" in graph.families[name] else 0.0
    return Family(name, graph.launch["gemm"] + quantize)


def kernel_times(
    operators: Sequence[Operator],
    floors: Sequence[Times],
    graph: GraphKernels,
    hardware: Hardware,
    launch_scale: float,
    rate: float,
    lane: float,
) -> dict[int, Times]:
    """Times over all runs, never below their floors, of the operators that have a formula.

    By place among `operators`. Kernels of one family are timed side by side, in one call
    where there are few points: a call costs more than its arithmetic.
    """
    if not graph.covers(hardware.architecture):
        return {}
    own = {
        at: found
        for at, operator in enumerate(operators)
        if (found := _family(operator, graph)) is not None
    }
    alike: dict[tuple[str, str, object], list[int]] = {}
    given = {at: _given(operators[at]) for at in own}
    for at, found in own.items():
        arrays = [one for one in given[at].values() if isinstance(one, np.ndarray)]
        together = not arrays or all(map(kernels.few, arrays))
        group = (found.name, operators[at].compute, _shape(arrays) if together else at)
        alike.setdefault(group, []).append(at)
    ones: dict[int, Number] = {}
    shares: dict[int, tuple[float, Number]] = {}
    for (name, compute, _), places in alike.items():
        fit = graph.families[name]
        seen = silicon(hardware, compute, rate, np.inf if name == "MoE" else lane)
        vector = (
            _VECTOR_SHARE * hardware.compute.get("fp32", 0.0)
            if _GEMM[compute][1] == _PLAIN
            else 0.0
        )
        times = _seconds(name, fit, seen, (_GEMM[compute][1], vector), [given[at] for at in places])
        ones |= zip(places, times, strict=True)
        reached = seen.bandwidth / hardware.memory.bandwidth
        shares |= dict.fromkeys(places, (fit["compute"] * rate, fit["memory"] * reached))
    return {
        at: _times(
            operators[at],
            floors[at],
            shares[at],
            ones[at],
            found.launch * launch_scale,
        )
        for at, found in own.items()
    }


def _given(operator: Operator) -> dict[str, Number]:
    """What the formula of an operator's kernel takes, but for the device."""
    shape = operator.shape
    if operator.kind != "moe":
        m, n, k = shape["m"], shape["n"], shape["k"]
        return {"m": m, "n": n, "k": k, "weight": operator.weight_bytes / (n * k)}
    inter = shape["inter"] / shape["tp"]
    each = shape["hidden"] * inter
    matrices = operator.flop / (2.0 * shape["rows"] * each)
    return {
        "rows": shape["tokens"] * shape["top_k"],
        "local_rows": shape["rows"],
        "experts": shape["touched"],
        "hidden": shape["hidden"],
        "inter": inter,
        "matrices": matrices,
        "weight": operator.weight_bytes / (shape["touched"] * matrices * each),
    }


def _shape(arrays: Sequence[Number]) -> tuple[int, ...]:
    """Joint shape of arrays; that of a plain number without any."""
    return np.broadcast_shapes(*(one.shape for one in arrays)) if arrays else ()


def _seconds(
    name: str,
    fit: Mapping[str, float],
    seen: Silicon,
    operands: tuple[float, float],
    given: Sequence[Mapping[str, Number]],
) -> Sequence[Number]:
    """Seconds of a run of each kernel of one family; several lie along a first axis.

    `operands` are bytes of an activation, and FLOP/s of the units for few rows of them.
    Matrix products below 16 bits quantize their input first. The two grouped products of a
    fused kernel of experts have each half of what it moves around.
    """
    activation, vector = operands
    kernel = given[0] if len(given) == 1 else _side_by_side(given)
    if name == "MoE":
        halved = {**fit, "permute": fit["permute"] / 2, "local": fit["local"] / 2}
        one = kernels.moe(seen, halved, **kernel, activation=activation)
    else:
        one = kernels.gemm(seen, fit, **kernel, activation=activation, steady=True, vector=vector)
        if "quantize" in fit:
            one = one + kernels.quantize(seen, fit, m=kernel["m"], k=kernel["k"])
    if len(given) == 1:
        return [one]
    times = np.asarray(one)  # plain numbers are quicker outside of arrays
    return times.tolist() if times.ndim == 1 else [*times]


def _side_by_side(given: Sequence[Mapping[str, Number]]) -> dict[str, Number]:
    """The numbers of several kernels of one shape along a first axis."""
    shape = _shape([one for one in given[0].values() if isinstance(one, np.ndarray)])

    def column(values: Sequence[Number]) -> Number:
        if not shape:
            return np.array(values, dtype=np.float64)
        if any(isinstance(one, np.ndarray) for one in values):
            return np.stack([np.broadcast_to(one, shape) for one in values])
        return np.array(values, dtype=np.float64).reshape(-1, *(1,) * len(shape))

    return {name: column([one[name] for one in given]) for name in given[0]}


def _times(
    operator: Operator, floor: Times, shares: tuple[float, Number], one: Number, launch: float
) -> Times:
    """Seconds over all runs: roofs at the `shares` (of arithmetic, of memory) that are reached."""
    compute, memory = floor.compute / shares[0], floor.memory / shares[1]
    busy = larger(operator.count * one, larger(compute, memory))
    busy = larger(busy, floor.total)
    start = operator.count * launch  # what neither roof explains is latency: chains and waves
    start = start + larger(busy - compute - memory, 0.0)
    return Times(compute, memory, 0.0, start, busy + operator.count * launch)
