"""Attention over compressed tokens (DeepSeek-V4): a short window plus pooled history.

One vector per token serves as key and value of all heads (MQA). Every layer keeps the
last `window` tokens; compressing layers also keep one pooled vector per `rate` tokens,
of which a query sees all, or the `topk` that an indexer picks.
Source: DeepSeek-V4 modelling code (transformers 5.23, `modeling_deepseek_v4.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from llmroof.blocks.base import Block, Cache, Norm, Tensor, linear_tensors, norm_work, small_tensors
from llmroof.operators import Execution, Linear, Number, Operator, Plan, Step, matmul, tokens
from llmroof.operators.collective import all_reduce


@dataclass(frozen=True, slots=True)
class CompressedAttention(Block):
    """One layer; `rate` 0 keeps the window only.

    The output projection is low-rank in `output_groups` groups of `output_lora`.
    `pools` vectors are projected per pooled token (2 where pools overlap);
    `index_heads` of `index_dim` score the pooled tokens, `topk` of them are attended.
    """

    hidden: int
    heads: int
    head_dim: int
    q_lora: int
    window: int
    output_groups: int
    output_lora: int
    rate: int = 0
    pools: int = 1
    topk: int | None = None
    index_heads: int = 0
    index_dim: int = 0
    norms: int = 1
    kind: ClassVar[str] = "compressed_attention"

    def input_projections(self) -> tuple[Linear, ...]:
        """Query latent, the key/value vector, and the pooling projections."""
        found = [
            Linear("q_a_proj", self.hidden, self.q_lora, "attention", "none"),
            Linear("kv_proj", self.hidden, self.head_dim, "attention", "none", to_cache=True),
        ]
        for name, width in (("pool", self.head_dim), ("index_pool", self.index_dim)):
            if self.rate and width:
                wide = self.pools * width
                found += [
                    Linear(f"{name}_kv", self.hidden, wide, "attention", "none"),
                    Linear(f"{name}_gate", self.hidden, wide, "attention", "none"),
                ]
        if self.index_heads:
            found.append(Linear("index_weights", self.hidden, self.index_heads, "indexer", "none"))
        return tuple(found)

    def query_projections(self) -> tuple[Linear, ...]:
        """From the query latent to the heads, and to the indexer's."""
        width = self.heads * self.head_dim
        found = [Linear("q_b_proj", self.q_lora, width, "attention", limit=self.heads)]
        if self.index_heads:
            scored = self.index_heads * self.index_dim
            found.append(Linear("index_q", self.q_lora, scored, "indexer", "none"))
        return tuple(found)

    def output_projections(self) -> tuple[Linear, Linear]:
        """Down per group of heads, then up to the model width."""
        group = self.heads * self.head_dim // self.output_groups
        rank, limit = self.output_groups * self.output_lora, self.output_groups
        return (
            Linear("o_a_proj", group, rank, "attention", limit=limit),
            Linear("o_b_proj", rank, self.hidden, "attention", "inputs", limit=limit),
        )

    @property
    def norm_parameters(self) -> float:
        """Gains of the layer norms and of those on the latents."""
        inner = self.q_lora + self.head_dim
        if self.rate:
            inner += self.head_dim + self.index_dim
        return Norm(self.hidden, self.norms).parameters + inner

    def tensors(self) -> tuple[Tensor, ...]:
        pooled = self.rate * self.pools * (self.head_dim + self.index_dim)
        linears = (*self.input_projections(), *self.query_projections(), *self.output_projections())
        return (
            *linear_tensors(linears),
            *small_tensors(self.norm_parameters, self.heads + pooled),
        )

    def cache(self) -> tuple[Cache, ...]:
        recent = Cache(self.head_dim, self.window, limit=1)
        if not self.rate:
            return (recent,)
        return (recent, Cache((self.head_dim + self.index_dim) / self.rate, limit=1))

    def operators(self, steps: Sequence[Step], run: Execution) -> tuple[Operator, ...]:
        rows = tokens(steps)
        message = rows * (self.hidden * run.precision.base.bytes)
        after = (*self.query_projections(), *self.output_projections())
        return (
            norm_work("attention_norm", rows, self.hidden, self.norms, self.norm_parameters, run),
            matmul("q_a_kv_proj", self.input_projections(), rows, run),
            *(matmul(linear.name, (linear,), rows, run) for linear in after),
            *(operator for step in steps for operator in self._core(step, run)),
            *all_reduce("attention_all_reduce", message, run.plan.tp),
        )

    def pooled_pairs(self, step: Step) -> Number:
        """(query, pooled token) pairs of one sequence: pools completed before the query."""
        if not self.rate:
            return 0.0
        reach = None if self.topk is None else self.topk * self.rate
        return step.pairs(reach) / self.rate

    def _core(self, step: Step, run: Execution) -> tuple[Operator, ...]:
        base = run.precision.base
        heads = self.heads / min(run.plan.tp, self.heads)
        pairs = step.pairs(self.window) + self.pooled_pairs(step)
        pools = step.context / self.rate if self.rate else 0.0
        picked = pools if self.topk is None else np.minimum(pools, self.topk * step.new_tokens)
        keys = step.keys(self.window) + picked
        width = run.precision.kv_cache.bytes if run.kv_cache else base.bytes
        rows = step.batch * step.new_tokens
        found = []
        if self.index_heads:
            scored = self.index_heads * self.index_dim
            found.append(
                Operator(
                    "index_scores",
                    "indexer",
                    base.compute,
                    flop=step.batch * step.pairs() / self.rate * (2 * scored),
                    kv_bytes=step.batch * pools * (self.index_dim * width),
                    activation_bytes=rows * (scored * base.bytes),
                    shape={"batch": step.batch, "new_tokens": step.new_tokens, "keys": pools},
                    useful=1 / run.plan.tp,
                )
            )
        found.append(
            Operator(
                "attention",
                "attention",
                base.compute,
                flop=step.batch * pairs * (4 * heads * self.head_dim),
                kv_bytes=step.batch * keys * (self.head_dim * width),
                activation_bytes=rows * (2 * heads * self.head_dim * base.bytes),
                shape={
                    "batch": step.batch,
                    "new_tokens": step.new_tokens,
                    "keys": keys,
                    "heads": heads,
                    "head_dim": self.head_dim,
                },
            )
        )
        return tuple(found)

    def workspace(self, plan: Plan) -> float:
        heads = self.heads / min(plan.tp, self.heads)
        wide = sum(linear.outputs for linear in self.input_projections())
        return wide + 2 * heads * self.head_dim

    def describe(self) -> str:
        text = f"MQA, {self.heads} heads of {self.head_dim}, window {self.window}"
        if self.rate:
            text += f", 1 pooled token per {self.rate}"
        if self.topk:
            text += f", {self.topk} of them picked by the indexer"
        return text
