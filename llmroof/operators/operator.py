"""Operator: what one kernel computes and moves, on one device.

Time is never its attribute: time needs hardware, so it is the result of a function
(`llmroof.engine.roofline`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llmroof.operators.execution import Execution
from llmroof.operators.numbers import Number


@dataclass(frozen=True, slots=True)
class Operator:
    """One kernel of a step, as run `count` times (once per layer that has it).

    All amounts are per run and per device; each is a float or an array.
    `flop` counts 2 per multiply-add. Bytes cross device memory: `weight_bytes` read
    once, `kv_bytes` cache and recurrent state read and written, `activation_bytes`
    in and out; `network_bytes` leave the device. `fused_bytes` stay on chip when
    elementwise work is fused: the physical limit does not pay them, today's kernels
    do. `useful` is the share of the FLOP that no other device does as well: less than 1
    where a tensor parallel group repeats work. `shape` holds what the kernel's time
    depends on beyond these totals.
    """

    name: str
    kind: str
    compute: str
    flop: Number = 0.0
    weight_bytes: Number = 0.0
    kv_bytes: Number = 0.0
    activation_bytes: Number = 0.0
    network_bytes: Number = 0.0
    fused_bytes: Number = 0.0
    count: Number = 1.0
    shape: Mapping[str, Any] = field(default_factory=dict)
    useful: float = 1.0

    @property
    def bytes(self) -> Number:
        """Bytes to and from device memory, per run."""
        moved = self.weight_bytes
        for part in (self.kv_bytes, self.activation_bytes):
            if isinstance(part, np.ndarray) or part:
                moved = moved + part  # an absent part costs no pass over an array
        return moved


def repeated(operator: Operator, times: Number) -> Operator:
    """The operator run `times` as often (what `replace` does, in a quarter of its time)."""
    if times == 1:
        return operator
    return Operator(
        operator.name,
        operator.kind,
        operator.compute,
        operator.flop,
        operator.weight_bytes,
        operator.kv_bytes,
        operator.activation_bytes,
        operator.network_bytes,
        operator.fused_bytes,
        operator.count * times,
        operator.shape,
        operator.useful,
    )


def elementwise(
    name: str,
    *,
    values: Number,
    ops: Number = 0.0,
    weights: Number = 0.0,
    run: Execution,
) -> Operator:
    """Norms, activations, additions: `values` read and written, `ops` arithmetic per run.

    Fused into its neighbours (the default) such work costs no device memory traffic
    and its few FLOP are not counted; with `--fusion none` both are.
    `weights` are norm gains and the like: always read.
    """
    base = run.precision.base
    moved = values * base.bytes
    fused = run.fusion == "fused"
    return Operator(
        name,
        "elementwise",
        base.compute,
        flop=0.0 if fused else ops,
        weight_bytes=weights * run.precision.weight("norm").bytes,
        activation_bytes=0.0 if fused else moved,
        fused_bytes=moved if fused else 0.0,
    )
