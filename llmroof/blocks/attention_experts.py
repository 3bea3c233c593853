"""Mixture of attention heads: experts hold query and output projections (JetMoE).

A router picks k of E experts per token; each has a query projection for K heads and the
output projection behind them. Keys and values are projected once, for all experts.
Source: Shen et al. 2024 (JetMoE), section 2.2; Zhang et al. 2022 (Mixture of Attention Heads).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from llmroof.blocks.attention import Attention, flash_core, naive_core
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
from llmroof.blocks.experts import distinct_experts, grouped
from llmroof.operators import Execution, Linear, Number, Operator, Plan, Step, matmul, tokens
from llmroof.operators.collective import all_reduce


@dataclass(frozen=True, slots=True)
class AttentionExperts(Block):
    """`top_k` of `experts`, each with one query head per KV head; `scales`: other vectors."""

    hidden: int
    kv_heads: int
    head_dim: int
    experts: int
    top_k: int
    norms: int = 1
    norm_bias: bool = False
    scales: int = 0
    kind: ClassVar[str] = "attention_experts"

    @property
    def core(self) -> Attention:
        """The attention that a token runs: the heads of its experts over shared keys."""
        heads = self.top_k * self.kv_heads
        return Attention(self.hidden, heads, self.kv_heads, self.head_dim, norms=self.norms)

    @property
    def router(self) -> Linear:
        """Scores of all experts."""
        return Linear("attention_router", self.hidden, self.experts, "router", "none")

    def to_cache(self) -> tuple[Linear, ...]:
        """Key and value projections."""
        return self.core.input_projections()[1:]

    def expert_projections(self) -> tuple[Linear, Linear]:
        """Query and output projection of one expert."""
        width = self.kv_heads * self.head_dim
        query = Linear("experts_q", self.hidden, width, "experts", limit=self.kv_heads)
        return query, Linear("experts_o", width, self.hidden, "experts", "inputs")

    @property
    def norm_parameters(self) -> float:
        """Gains and biases of the norms."""
        return Norm(self.hidden, self.norms, self.norm_bias).parameters

    def tensors(self) -> tuple[Tensor, ...]:
        routed = self.experts * sum(linear.matrix for linear in self.expert_projections())
        active = self.top_k / self.experts
        return (
            Tensor("attention_experts", "experts", routed, active, over="experts"),
            *linear_tensors((self.router, *self.to_cache())),
            *small_tensors(self.norm_parameters, self.scales),
        )

    def cache(self) -> tuple[Cache, ...]:
        return self.core.cache()

    def operators(self, steps: Sequence[Step], run: Execution) -> tuple[Operator, ...]:
        rows, attend = tokens(steps), flash_core if run.attention == "flash" else naive_core
        query, output = self.expert_projections()
        message = rows * (self.hidden * run.precision.base.bytes)
        return (
            norm_work("attention_norm", rows, self.hidden, self.norms, self.norm_parameters, run),
            matmul("attention_router", (self.router,), rows, run),
            *project("kv_proj", self.to_cache(), rows, run),
            self._routed(query, rows, run),
            *(operator for step in steps for operator in attend(self.core, step, run)),
            self._routed(output, rows, run),
            *all_reduce("attention_all_reduce", message, run.plan.tp),
        )

    def _routed(self, linear: Linear, rows: Number, run: Execution) -> Operator:
        """One projection of the chosen experts."""
        plan = run.plan
        everyone = rows * plan.dp
        touched = distinct_experts(self.experts, self.top_k, everyone, run.routing_skew) / plan.ep
        work = everyone * (self.top_k / plan.ep)
        shape: dict[str, Number] = {
            "tokens": everyone,
            "experts": self.experts,
            "touched": touched,
            "top_k": self.top_k,
            "hidden": self.hidden,
            "inter": self.kv_heads * self.head_dim,
            "ep": plan.ep,
            "tp": plan.expert_tp,
            "rows": work,
        }
        return grouped(linear.name, (linear,), work, touched, run, shape)

    def workspace(self, plan: Plan) -> float:
        return self.core.workspace(plan)

    def describe(self) -> str:
        return (
            f"mixture of attention heads, {self.top_k} of {self.experts} experts with "
            f"{self.kv_heads} query heads each over {self.kv_heads} KV heads of {self.head_dim}"
        )
