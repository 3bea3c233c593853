"""Softmax attention with H query heads over K key/value heads (MHA, MQA, GQA).

Letters: B batch, S new tokens, C past tokens, D width, H heads, K KV heads, d head_dim.
FLOP of the core: 4·B·H·d per causal (query, key) pair, pairs = S·C + S(S+1)/2.
Sources: Vaswani et al. 2017, section 3.2; Ainslie et al. 2023 (GQA), section 2;
Dao et al. 2022 (FlashAttention), section 3, for what stays on chip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from llmroof.blocks.base import (
    Block,
    Cache,
    Norm,
    Tensor,
    linear_tensors,
    norm_work,
    project,
    small_tensors,
)
from llmroof.operators import (
    Execution,
    Linear,
    Number,
    Operator,
    Plan,
    Step,
    elementwise,
    matmul,
    tokens,
)
from llmroof.operators.collective import all_reduce

#: operations per score of a softmax: subtract, exponentiate, add up, divide, compare
SOFTMAX_OPS = 5


@dataclass(frozen=True, slots=True)
class Attention(Block):
    """Self-attention of one layer, its norms and its residual addition included.

    `window` keys are seen by a query of a sliding layer, `chunk` by one of a chunked
    layer, `topk` are picked by an indexer of the same layer; `qk_norm` is "", "head"
    (gain per head_dim) or "full" (gain per projection); `gate` on the output is "",
    "full" (a value per output) or "head" (one per head). A layer that `shares_kv`
    reads an earlier layer's cache and has no keys and values of its own; with
    `key_is_value` one projection serves as both. `inputs` is the width of what the
    projections read where it is not the model's; `inner_norm` stands before the output
    projection; `passes` attention maps are computed over the same keys (differential
    attention). `scales` counts other small parameters.
    """

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    v_head_dim: int | None = None
    inputs: int | None = None
    window: int | None = None
    chunk: int | None = None
    topk: int | None = None
    qkv_bias: bool = False
    output_bias: bool = False
    qk_norm: str = ""
    inner_norm: bool = False
    gate: str = ""
    sinks: bool = False
    shares_kv: bool = False
    key_is_value: bool = False
    rotary: bool = True
    passes: int = 1
    norms: int = 1
    norm_bias: bool = False
    scales: int = 0
    role: str = "attention"
    kind: ClassVar[str] = "attention"

    @property
    def value_dim(self) -> int:
        """Width of a value head."""
        return self.v_head_dim or self.head_dim

    @property
    def width(self) -> int:
        """Width of what the projections read."""
        return self.inputs or self.hidden

    def input_projections(self) -> tuple[Linear, ...]:
        """q, and where the layer has them k, v and the output gate."""
        keys, values = self.kv_heads * self.head_dim, self.kv_heads * self.value_dim
        width, role = self.width, self.role
        found = [
            Linear("q_proj", width, self.heads * self.head_dim, role, bias=self.qkv_bias,
                   limit=self.heads)
        ]  # fmt: skip
        if not self.shares_kv:
            found.append(self._to_cache("k_proj", keys, role))
        if not (self.shares_kv or self.key_is_value):
            found.append(self._to_cache("v_proj", values, f"{role}.v"))
        if self.gate:
            outputs = self.heads * (self.value_dim if self.gate == "full" else 1)
            found.append(Linear("gate_proj", width, outputs, role, limit=self.heads))
        return tuple(found)

    def _to_cache(self, name: str, outputs: int, role: str) -> Linear:
        limit, bias = self.kv_heads, self.qkv_bias
        return Linear(name, self.width, outputs, role, bias=bias, limit=limit, to_cache=True)

    def output_projection(self) -> Linear:
        """From the heads' values back to the model width."""
        inputs, bias = self.heads * self.value_dim, self.output_bias
        return Linear("o_proj", inputs, self.hidden, self.role, "inputs", bias, self.heads)

    @property
    def norm_parameters(self) -> float:
        """Gains and biases of the layer norms, the q/k norms and the inner norm."""
        found = Norm(self.width, self.norms, self.norm_bias).parameters
        if self.qk_norm == "head":
            found += self.head_dim if self.shares_kv else 2 * self.head_dim
        elif self.qk_norm == "full":
            found += (self.heads + self.kv_heads) * self.head_dim
        return found + (self.heads * self.value_dim if self.inner_norm else 0)

    def tensors(self) -> tuple[Tensor, ...]:
        scales = self.scales + (self.heads if self.sinks else 0)
        return (
            *linear_tensors((*self.input_projections(), self.output_projection())),
            *small_tensors(self.norm_parameters, scales),
        )

    def cache(self) -> tuple[Cache, ...]:
        if self.shares_kv:
            return ()
        reach = self.window or self.chunk
        return (
            Cache(
                self.kv_heads * (self.head_dim + self.value_dim),
                float("inf") if reach is None else reach,
                limit=self.kv_heads,
            ),
        )

    def operators(self, steps: Sequence[Step], run: Execution) -> tuple[Operator, ...]:
        core = flash_core if run.attention == "flash" else naive_core
        rows = tokens(steps)
        output = self.output_projection()
        return (
            *self._small_work(rows, run),
            *project("qkv_proj", self.input_projections(), rows, run),
            *(operator for step in steps for operator in core(self, step, run)),
            matmul(output.name, (output,), rows, run),
            *all_reduce(
                "attention_all_reduce",
                rows * (self.hidden * run.precision.base.bytes),
                run.plan.tp,
            ),
        )

    def _small_work(self, rows: Number, run: Execution) -> tuple[Operator, ...]:
        """Residual addition, norms, rotary embedding and gate, per token."""
        gains = self.norm_parameters
        found = [norm_work("attention_norm", rows, self.hidden, self.norms, gains, run)]
        local = (self.heads + self.kv_heads) * self.head_dim / run.plan.tp
        if self.rotary or self.qk_norm:
            found.append(
                elementwise("rotary", values=rows * (2 * local), ops=rows * (3 * local), run=run)
            )
        if self.gate:
            gated = self.heads * self.value_dim / run.plan.tp
            found.append(
                elementwise("gate", values=rows * (3 * gated), ops=rows * (2 * gated), run=run)
            )
        return tuple(found)

    def pairs(self, step: Step) -> Number:
        """(query, key) pairs of one sequence that the core computes."""
        return self.passes * step.pairs(self.topk or self.window, self.chunk)

    def keys(self, step: Step) -> Number:
        """Keys of one sequence that the core reads: with an indexer each query picks its own."""
        if self.topk is not None:
            return np.minimum(step.context, self.topk * step.new_tokens)
        return step.keys(self.window, self.chunk)

    def workspace(self, plan: Plan) -> float:
        queries = self.heads * (self.head_dim + self.value_dim * (2 if self.gate else 1))
        keys = self.kv_heads * (self.head_dim + self.value_dim)
        return queries / min(plan.tp, self.heads) + keys / min(plan.tp, self.kv_heads)

    def describe(self) -> str:
        kinds = {1: "MQA", self.heads: "MHA"}
        name = kinds.get(self.kv_heads, "GQA")
        text = f"{name}, {self.heads} heads over {self.kv_heads} KV heads of {self.head_dim}"
        if self.window:
            text += f", sliding window {self.window}"
        if self.chunk:
            text += f", chunks of {self.chunk}"
        if self.topk:
            text += f", {self.topk} keys picked by the indexer"
        more = {
            "q/k norms": self.qk_norm,
            "biases": self.qkv_bias,
            "sinks": self.sinks,
            "gated output": self.gate,
            "KV of an earlier layer": self.shares_kv,
        }
        return ", ".join((text, *(name for name, has in more.items() if has)))


def flash_core(block: Attention, step: Step, run: Execution) -> tuple[Operator, ...]:
    """One kernel: reads q and every attended key and value once, writes the result."""
    heads = local_heads(block, run)
    width = heads * (block.head_dim + block.value_dim)
    base = run.precision.base
    cached, recomputed = _keys_and_values(block.head_dim + block.value_dim, block, step, run)
    return (
        Operator(
            "attention",
            "attention",
            base.compute,
            flop=step.batch * block.pairs(step) * (2 * width),
            kv_bytes=cached,
            activation_bytes=step.batch * step.new_tokens * (width * base.bytes) + recomputed,
            shape=_shape(block, step, run),
        ),
    )


def naive_core(block: Attention, step: Step, run: Execution) -> tuple[Operator, ...]:
    """Three kernels with the scores of all S x (C+S) pairs in device memory between them.

    FLOP count the attended pairs, as for flash: the same useful work. Half of the
    attention FLOP are scores, half weighted values.
    """
    heads = local_heads(block, run)
    base = run.precision.base
    rows = step.batch * step.new_tokens
    scores = rows * block.keys(step) * heads
    pairs = step.batch * block.pairs(step) * (2 * heads)

    def half(name: str, width: int) -> Operator:
        cached, recomputed = _keys_and_values(width, block, step, run)
        moved = rows * (heads * width * base.bytes) + recomputed + scores * base.bytes
        shape = _shape(block, step, run)
        flop = pairs * width
        return Operator(name, "attention", base.compute, flop, 0.0, cached, moved, shape=shape)

    softmax = Operator(
        "softmax",
        "elementwise",
        base.compute,
        flop=0.0 if run.fusion == "fused" else SOFTMAX_OPS * scores,
        activation_bytes=2 * scores * base.bytes,
    )
    return half("qk_matmul", block.head_dim), softmax, half("av_matmul", block.value_dim)


def local_heads(block: Attention, run: Execution) -> float:
    """Query heads on one device."""
    return block.heads / min(run.plan.tp, block.heads)


def _keys_and_values(
    width: int, block: Attention, step: Step, run: Execution
) -> tuple[Number, Number]:
    """Bytes of keys and/or values read, `width` per KV head: (cached, recomputed)."""
    local = width * block.kv_heads / min(run.plan.tp, block.kv_heads)
    values = step.batch * block.keys(step) * local
    if run.kv_cache:
        return values * run.precision.kv_cache.bytes, 0.0
    return 0.0, values * run.precision.base.bytes


def _shape(block: Attention, step: Step, run: Execution) -> dict[str, Number]:
    """What the kernel time depends on beyond FLOP and bytes."""
    return {
        "batch": step.batch,
        "new_tokens": step.new_tokens,
        "keys": block.keys(step),
        "heads": local_heads(block, run),
        "head_dim": block.head_dim,
    }
