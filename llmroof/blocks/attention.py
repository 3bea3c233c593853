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

from llmroof.blocks.base import Block, Cache, Norm, Tensor, linear_tensors
from llmroof.operators import Execution, Linear, Number, Operator, Plan, Step
from llmroof.operators import elementwise, matmul, tokens
from llmroof.operators.collective import all_reduce


@dataclass(frozen=True, slots=True)
class Attention(Block):
    """Self-attention of one layer, its norms and its residual addition included.

    `window` keys are seen by a query of a sliding layer, `chunk` by one of a chunked
    layer; `qk_norm` is "" , "head" (gain per head_dim) or "full" (gain per projection);
    `output_gate` doubles the query projection (the second half gates the output).
    """

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    window: int | None = None
    chunk: int | None = None
    qkv_bias: bool = False
    output_bias: bool = False
    qk_norm: str = ""
    output_gate: bool = False
    sinks: bool = False
    rotary: bool = True
    norms: int = 1
    norm_bias: bool = False
    role: str = "attention"
    kind: ClassVar[str] = "attention"

    def projections(self) -> tuple[Linear, Linear, Linear, Linear]:
        """q, k, v and output projections."""
        queries = self.heads * self.head_dim
        keys = self.kv_heads * self.head_dim
        gate = 2 if self.output_gate else 1
        role, bias, shared = self.role, self.qkv_bias, self.kv_heads
        return (
            Linear("q_proj", self.hidden, queries * gate, role, bias=bias, limit=self.heads),
            Linear("k_proj", self.hidden, keys, role, bias=bias, limit=shared, to_cache=True),
            Linear("v_proj", self.hidden, keys, role, bias=bias, limit=shared, to_cache=True),
            Linear(
                "o_proj",
                queries,
                self.hidden,
                self.role,
                "inputs",
                self.output_bias,
                self.heads,
            ),
        )

    @property
    def norm(self) -> Norm:
        """The layer norms around the block."""
        return Norm(self.hidden, self.norms, self.norm_bias)

    def tensors(self) -> tuple[Tensor, ...]:
        small = self.norm.parameters
        if self.qk_norm == "head":
            small += 2 * self.head_dim
        elif self.qk_norm == "full":
            small += (self.heads + self.kv_heads) * self.head_dim
        sinks = (Tensor("sinks", "norm", self.heads),) if self.sinks else ()
        norms = (Tensor("norm", "norm", small, limit=1),)
        return (*linear_tensors(self.projections()), *norms, *sinks)

    def cache(self) -> tuple[Cache, ...]:
        reach = self.window or self.chunk
        return (
            Cache(
                2 * self.kv_heads * self.head_dim,
                float("inf") if reach is None else reach,
                limit=self.kv_heads,
            ),
        )

    def operators(self, steps: Sequence[Step], run: Execution) -> tuple[Operator, ...]:
        core = flash_core if run.attention == "flash" else naive_core
        rows = tokens(steps)
        *inputs, output = self.projections()
        return (
            *self._small_work(rows, run),
            *project("qkv_proj", inputs, rows, run),
            *(operator for step in steps for operator in core(self, step, run)),
            matmul(output.name, (output,), rows, run),
            *all_reduce(
                "attention_all_reduce",
                rows * (self.hidden * run.precision.base.bytes),
                run.plan.tp,
            ),
        )

    def _small_work(self, rows: Number, run: Execution) -> tuple[Operator, ...]:
        """Residual addition, norms and rotary embedding, per token."""
        width, local = self.hidden, (self.heads + self.kv_heads) * self.head_dim / run.plan.tp
        gains = self.tensors()[4].elements
        found = [
            elementwise(
                "attention_norm",
                values=rows * (4 * width * max(1, self.norms)),
                ops=rows * (7 * width * self.norms),
                weights=gains,
                run=run,
            )
        ]
        if self.rotary or self.qk_norm:
            found.append(
                elementwise("rotary", values=rows * (2 * local), ops=rows * (3 * local), run=run)
            )
        return tuple(found)

    def workspace(self, plan: Plan) -> float:
        queries = self.heads * self.head_dim * (3 if self.output_gate else 2)
        keys = 2 * self.kv_heads * self.head_dim
        return queries / min(plan.tp, self.heads) + keys / min(plan.tp, self.kv_heads)

    def describe(self) -> str:
        kinds = {1: "MQA", self.heads: "MHA"}
        name = kinds.get(self.kv_heads, "GQA")
        text = f"{name}, {self.heads} heads over {self.kv_heads} KV heads of {self.head_dim}"
        if self.window:
            text += f", sliding window {self.window}"
        if self.chunk:
            text += f", chunks of {self.chunk}"
        return text


def project(
    name: str, linears: Sequence[Linear], rows: Number, run: Execution
) -> tuple[Operator, ...]:
    """Projections of one input: a single merged matmul, or one each with `--fusion none`."""
    if run.fusion == "fused":
        return (matmul(name, linears, rows, run),)
    return tuple(matmul(linear.name, (linear,), rows, run) for linear in linears)


def flash_core(block: Attention, step: Step, run: Execution) -> tuple[Operator, ...]:
    """One kernel: reads q and every attended key and value once, writes the result."""
    queries = local_heads(block, run) * block.head_dim
    base = run.precision.base
    cached, recomputed = _keys_and_values(2, block, step, run)
    return (
        Operator(
            "attention",
            "attention",
            base.compute,
            flop=step.batch * step.pairs(block.window, block.chunk) * (4 * queries),
            kv_bytes=cached,
            activation_bytes=step.batch * step.new_tokens * (2 * queries * base.bytes)
            + recomputed,
            shape=_shape(block, step, run),
        ),
    )


def naive_core(block: Attention, step: Step, run: Execution) -> tuple[Operator, ...]:
    """Three kernels with the scores of all S x (C+S) pairs in device memory between them.

    FLOP count the attended pairs, as for flash: the same useful work. Half of the
    attention FLOP are scores, half weighted values; softmax is 5 operations per score.
    """
    heads = local_heads(block, run)
    base = run.precision.base
    rows = step.batch * step.new_tokens
    queries = rows * (heads * block.head_dim * base.bytes)
    scores = rows * step.keys(block.window, block.chunk) * heads
    flop = step.batch * step.pairs(block.window, block.chunk) * (2 * heads * block.head_dim)
    cached, recomputed = _keys_and_values(1, block, step, run)

    def half(name: str) -> Operator:
        moved = queries + recomputed + scores * base.bytes
        shape = _shape(block, step, run)
        return Operator(
            name, "attention", base.compute, flop, 0.0, cached, moved, shape=shape
        )

    softmax = Operator(
        "softmax",
        "elementwise",
        base.compute,
        flop=0.0 if run.fusion == "fused" else 5 * scores,
        activation_bytes=2 * scores * base.bytes,
    )
    return half("qk_matmul"), softmax, half("av_matmul")


def local_heads(block: Attention, run: Execution) -> float:
    """Query heads on one device."""
    return block.heads / min(run.plan.tp, block.heads)


def _keys_and_values(
    sides: int, block: Attention, step: Step, run: Execution
) -> tuple[Number, Number]:
    """Bytes of keys and/or values read: (from the cache, as recomputed activations)."""
    width = sides * block.kv_heads * block.head_dim / min(run.plan.tp, block.kv_heads)
    values = step.batch * step.keys(block.window, block.chunk) * width
    if run.kv_cache:
        return values * run.precision.kv_cache.bytes, 0.0
    return 0.0, values * run.precision.base.bytes


def _shape(block: Attention, step: Step, run: Execution) -> dict[str, Number]:
    """What the kernel time depends on beyond FLOP and bytes."""
    return {
        "batch": step.batch,
        "new_tokens": step.new_tokens,
        "keys": step.keys(block.window, block.chunk),
        "heads": local_heads(block, run),
        "kv_heads": block.kv_heads / min(run.plan.tp, block.kv_heads),
        "head_dim": block.head_dim,
    }
