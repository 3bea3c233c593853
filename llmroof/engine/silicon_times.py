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
from llmroof.operators import Number, Operator
from llmroof.specs.hardware import Hardware

#: arithmetic -> (family of matrix products, bytes of an activation as the kernel reads it)
_GEMM: Final[Mapping[str, tuple[str, float]]] = {
    "bf16": ("gemm bfloat16", 2.0),
    "fp16": ("gemm bfloat16", 2.0),
    "fp8": ("gemm fp8", 1.0),
    "fp4": ("gemm nvfp4", 0.5625),
}
#: bf16 FLOP/s of one processor where a profile does not count them: an H100's, 989 TFLOP/s
#: over 132 (hardware_specs/h100-sxm.yaml)
_PROCESSOR_PEAK: Final = 7.5e12


def silicon(hardware: Hardware, compute: str, rate: float = 1.0) -> Silicon:
    """What a kernel sees of a device; what its profile leaves open takes a neutral value.

    Processors follow from the peak, the clock is the reference, no working set stays in an
    unknown cache, and an unknown power limit never binds.
    """
    count = hardware.processors.get("count")
    return Silicon(
        peak=hardware.peak(compute) * rate,
        bandwidth=hardware.memory.bandwidth,
        processors=count or max(1.0, round(hardware.peak("bf16") / _PROCESSOR_PEAK)),
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
    if operator.kind not in ("gemm", "moe") or operator.compute not in _GEMM:
        return None
    if nothing(operator.flop) or not graph.covers(hardware.architecture):
        return None
    if operator.kind == "moe":
        return Family("MoE", graph.launch["moe"])
    if nothing(operator.weight_bytes):
        return None
    name, _ = _GEMM[operator.compute]
    quantize = graph.launch["quantize"] if "quantize" in graph.families[name] else 0.0
    return Family(name, graph.launch["gemm"] + quantize)


def kernel_times(
    operators: Sequence[Operator],
    floors: Sequence[Times],
    graph: GraphKernels,
    hardware: Hardware,
    launch_scale: float,
    rate: float = 1.0,
) -> dict[int, Times]:
    """Times over all runs, never below their floors, of the operators that have a formula.

    By place among `operators`. Matrix products of one kind are timed side by side, in one
    call where their sizes are plain numbers: a call costs more than its arithmetic.
    """
    if not graph.covers(hardware.architecture):
        return {}
    own = {at: family(operator, graph, hardware) for at, operator in enumerate(operators)}
    alike: dict[tuple[str, int], list[int]] = {}
    ones: dict[int, Number] = {}
    for at, found in own.items():
        if found is not None and found.name == "MoE":
            ones[at] = _experts(operators[at], graph, hardware, rate)
        elif found is not None:
            plain = np.ndim(operators[at].shape["m"]) == 0
            alike.setdefault((operators[at].compute, -1 if plain else at), []).append(at)
    for places in alike.values():
        times = _products([operators[at] for at in places], graph, hardware, rate)
        ones |= zip(places, times, strict=True)
    return {
        at: _times(
            operators[at],
            floors[at],
            graph.families[found.name],
            ones[at],
            found.launch * launch_scale,
        )
        for at, found in own.items()
        if found is not None
    }


def _products(
    operators: Sequence[Operator], graph: GraphKernels, hardware: Hardware, rate: float
) -> Sequence[Number]:
    """Seconds of a run of each matrix product; formats below 16 bits quantize their input first.

    One of any size, or several of plain sizes [products].
    """
    name, activation = _GEMM[operators[0].compute]
    fit, seen = graph.families[name], silicon(hardware, operators[0].compute, rate)
    shapes = [(one.shape["m"], one.shape["n"], one.shape["k"]) for one in operators]
    weights = [one.weight_bytes / (n * k) for one, (_, n, k) in zip(operators, shapes, strict=True)]
    if len(operators) > 1:
        m, n, k = np.array(shapes, dtype=np.float64).T
        weight: Number = np.array(weights, dtype=np.float64)
    else:
        (m, n, k), weight = shapes[0], weights[0]
    one = kernels.gemm(seen, fit, m=m, n=n, k=k, weight=weight, activation=activation, steady=True)
    if "quantize" in fit:
        one = one + kernels.quantize(seen, fit, m=m, k=k)
    return [*np.asarray(one)] if len(operators) > 1 else [one]


def _experts(operator: Operator, graph: GraphKernels, hardware: Hardware, rate: float) -> Number:
    """Seconds of a run of one of the two grouped products of a fused kernel.

    Each has half of what the kernel moves around.
    """
    fit, shape = graph.families["MoE"], operator.shape
    inter = shape["inter"] / shape["tp"]
    matrices = operator.flop / (2.0 * shape["rows"] * shape["hidden"] * inter)
    weight = operator.weight_bytes / (shape["touched"] * matrices * shape["hidden"] * inter)
    halved = {**fit, "permute": fit["permute"] / 2, "local": fit["local"] / 2}
    return kernels.moe(
        silicon(hardware, operator.compute, rate),
        halved,
        rows=shape["tokens"] * shape["top_k"],
        local_rows=shape["rows"],
        experts=shape["touched"],
        hidden=shape["hidden"],
        inter=inter,
        matrices=matrices,
        weight=weight,
        activation=_GEMM[operator.compute][1],
    )


def _times(
    operator: Operator, floor: Times, fit: Mapping[str, float], one: Number, launch: float
) -> Times:
    """Seconds over all runs: roofs at the shares that are reached, at least their longest."""
    compute, memory = floor.compute / fit["compute"], floor.memory / fit["memory"]
    busy = np.maximum(operator.count * one, np.maximum(compute, memory))
    busy = np.maximum(busy, floor.total)
    start = operator.count * launch  # what neither roof explains is latency: chains and waves
    start = start + np.maximum(busy - compute - memory, 0.0)
    return Times(compute, memory, 0.0, start, busy + operator.count * launch)
