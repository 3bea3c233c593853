"""The roofline: operator x hardware -> time, the heart of the calculator.

An operator cannot end before its arithmetic is done at the peak rate, nor before its
bytes have crossed device memory at full bandwidth, nor before its message has crossed
the link: time >= max(FLOP/peak, bytes/bandwidth, message/link).
Source: Williams, Waterman, Patterson 2009, "Roofline", CACM 52(4), section 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from llmroof.engine.network import transfer_time
from llmroof.errors import Unsupported
from llmroof.operators import Number, Operator, larger
from llmroof.specs.hardware import Hardware
from llmroof.specs.precision import Precision

#: what can bound an operator, in the order of `Times`
BOUNDS: Final = ("compute", "memory", "network", "overhead")


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of one operator over all its runs, or of a sum of operators.

    `compute`, `memory`, `network` and `overhead` are what each would take alone;
    `total` is what they take together under the time model that made them.
    """

    compute: Number
    memory: Number
    network: Number
    overhead: Number
    total: Number

    @property
    def bound(self) -> Number:
        """Name of the largest of the four times; an array of names for arrays."""
        parts = np.broadcast_arrays(self.compute, self.memory, self.network, self.overhead)
        index = np.argmax(np.stack(parts), axis=0)
        return BOUNDS[int(index)] if index.ndim == 0 else np.array(BOUNDS)[index]


def add(times: Sequence[Times]) -> Times:
    """One after the other: the sum of each part."""
    return Times(
        total([one.compute for one in times]),
        total([one.memory for one in times]),
        total([one.network for one in times]),
        total([one.overhead for one in times]),
        total([one.total for one in times]),
    )


def scale(times: Times, factor: Number) -> Times:
    """All times of an operator multiplied by `factor`."""
    return Times(
        times.compute * factor,
        times.memory * factor,
        times.network * factor,
        times.overhead * factor,
        times.total * factor,
    )


def total(parts: Iterable[Number]) -> Number:
    """Sum that leaves plain zeros out, so that absent terms cost no pass over an array."""
    found: Number = 0.0
    for part in parts:
        if isinstance(part, np.ndarray) or part:  # `nothing`, without the cost of a call
            found = found + part
    return found


def limit(operator: Operator, hardware: Hardware, moved: Number | None = None) -> Times:
    """The physical limit: datasheet peaks, perfect fusion, no launch cost, no overlap.

    `moved` are the operator's bytes per run where they are at hand already.
    Raises Unsupported when the device has no peak for the operator's arithmetic or no
    link for its message.
    """
    count = operator.count
    compute = memory = network = longest = 0.0
    if not nothing(operator.flop):
        longest = compute = operator.flop * (count / hardware.peak(operator.compute))
    moved = operator.bytes if moved is None else moved
    if not nothing(moved):
        memory = moved * (count / hardware.memory.bandwidth)
        longest = larger(compute, memory)
    if not nothing(operator.network_bytes):
        network = transfer_time(operator, hardware) * count
        longest = larger(longest, network)
    return Times(compute, memory, network, 0.0, longest)


def require_support(
    hardware: Hardware, precision: Precision, roles: Iterable[str] = ("mlp",)
) -> None:
    """Raise Unsupported, with the ways out, when a number format has no arithmetic here.

    `roles` are those of the model's weights: each may be multiplied in another format.
    """
    roles = tuple(roles)
    precision.require_kernels(roles)
    used = {precision.base.compute} | {
        precision.compute(role) for role in (*roles, *precision.roles)
    }
    for compute in sorted(used - set(hardware.compute)):
        raise Unsupported(_no_arithmetic(hardware, compute, precision))


def _no_arithmetic(hardware: Hardware, compute: str, precision: Precision) -> str:
    have = ", ".join(kind for kind in hardware.compute if not kind.endswith("acc"))
    text = f"{hardware.name} has no {compute} arithmetic (it has {have})"
    wide = next((kind for kind in ("bf16", "fp16", "fp32") if kind in hardware.compute), None)
    if wide is None:
        return f"{text}: no --precision of a model runs on it"
    if precision.weights.quantized and compute != precision.base.compute:
        return (
            f"{text}: keep the small weights and compute in 16 bits with "
            f"--weights {precision.weights.id} --activations {wide}, or use --precision {wide}"
        )
    return f"{text}: use --precision {wide}"


def nothing(amount: Number) -> bool:
    """True for the plain number zero: an operator that has none of this at all."""
    return not isinstance(amount, np.ndarray) and amount == 0
