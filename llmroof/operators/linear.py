"""Linear layers: one description gives parameters, bytes, FLOP and shards.

A weight matrix is [inputs, outputs]. Under tensor parallelism its outputs (column
parallel) or inputs (row parallel) are split, up to `limit` ways; beyond the limit
the shards are replicated (key and value heads when tp > kv_heads).
Source: Shoeybi et al. 2019 (Megatron-LM), section 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from llmroof.operators.execution import Execution
from llmroof.operators.numbers import Number
from llmroof.operators.operator import Operator


@dataclass(frozen=True, slots=True)
class Linear:
    """One weight matrix and what happens to its result.

    `role` picks its number format; `split` is "outputs", "inputs" or "none";
    a result that goes `to_cache` is written as KV cache, not as an activation.
    """

    name: str
    inputs: float
    outputs: float
    role: str
    split: str = "outputs"
    bias: bool = False
    limit: float = math.inf
    to_cache: bool = False

    @property
    def matrix(self) -> float:
        """Elements of the matrix."""
        return self.inputs * self.outputs

    @property
    def biases(self) -> float:
        """Elements of the bias; 0 without one."""
        return self.outputs if self.bias else 0

    def ways(self, tp: int) -> float:
        """Into how many different shards `tp` devices split it."""
        return 1 if self.split == "none" else min(tp, self.limit)

    def local(self, tp: int) -> tuple[float, float]:
        """(inputs, outputs) of the shard that one device holds."""
        ways = self.ways(tp)
        inputs = self.inputs / ways if self.split == "inputs" else self.inputs
        outputs = self.outputs / ways if self.split == "outputs" else self.outputs
        return inputs, outputs


def matmul(
    name: str, linears: Sequence[Linear], rows: Number, run: Execution, tp: int | None = None
) -> Operator:
    """`rows` vectors times one or several matrices that share their input, on one device.

    FLOP = 2·rows·inputs·outputs; bytes = weights once + input once + outputs.
    The inputs of a low-precision matmul arrive quantized, its outputs leave in the
    base format.
    """
    tp = run.plan.tp if tp is None else tp
    first = linears[0]
    precision, cache = run.precision, run.precision.kv_cache
    compute = precision.compute(first.role)
    low = compute != precision.base.compute
    in_bytes = precision.activations.bytes if low else precision.base.bytes
    inputs, _ = first.local(tp)
    elements = stored = biases = activations = cached = columns = share = 0.0
    for linear in linears:
        _, outputs = linear.local(tp)
        share += linear.inputs * linear.outputs / tp
        elements += inputs * outputs
        stored += inputs * outputs * precision.weight(linear.role).bytes
        biases += outputs if linear.bias else 0.0
        columns += outputs
        if linear.to_cache and run.kv_cache:
            cached += outputs
        else:
            activations += outputs
    return Operator(
        name,
        "gemm",
        compute,
        flop=2 * rows * elements,
        weight_bytes=stored + biases * precision.base.bytes,
        kv_bytes=rows * (cached * cache.bytes),
        activation_bytes=rows * (inputs * in_bytes + activations * precision.base.bytes),
        shape={
            "m": rows,
            "n": columns,
            "k": inputs,
            "weight_bits": precision.weight(first.role).bits,
        },
        useful=min(share / elements, 1.0) if elements else 1.0,
    )
