"""Mixture of experts: a router sends each token to k of E feed-forward networks.

T tokens of a step are computed by k experts each and touch E(1 - (1 - k/E)^T) distinct
experts on average when every expert is equally likely, so memory holds all experts,
FLOP are those of k, and the weights read are those of the experts touched.
Sources: Shazeer et al. 2017, section 2; Fedus et al. 2022 (Switch), section 2.2;
the expectation is that of drawing k of E without replacement, T times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from llmroof.blocks.base import Block, Norm, Tensor, linear_tensors, norm_work, small_tensors
from llmroof.blocks.mlp import ffn_projections, run_ffn
from llmroof.operators import (
    Execution,
    Linear,
    Number,
    Operator,
    Plan,
    Step,
    elementwise,
    matmul,
    power,
    tokens,
)
from llmroof.operators.collective import all_gather, all_reduce, all_to_all


def distinct_experts(
    experts: float, top_k: float, step_tokens: Number, skew: float = 0.0
) -> Number:
    """Expected number of different experts that `step_tokens` tokens touch.

    `skew` is the exponent s of a Zipf law, popularity ~ 1/rank^s; 0 is even routing. A
    token picks exactly `top_k` experts: what the most popular ones cannot take (no
    expert is picked twice) falls to the others.
    """
    if not skew:
        return experts * (1 - power(1 - top_k / experts, step_tokens))
    rank = np.arange(1.0, experts + 1.0)
    share = rank**-skew
    left = np.cumsum(share[::-1])[::-1]  # of this expert and all less popular ones
    scale = (top_k - rank + 1) / left  # if every more popular one is picked for sure
    sure = int(np.argmax(scale * share <= 1.0))
    chosen = np.where(rank <= sure, 1.0, np.minimum(scale[sure] * share, 1.0))
    missed = power(1 - chosen, np.asarray(step_tokens, float)[..., None])
    return np.sum(1 - missed, axis=-1)


@dataclass(frozen=True, slots=True)
class MoE(Block):
    """Routed experts with a router, shared experts and the norms around them.

    `shared` is the width of the shared expert (all of them side by side), `shared_gate`
    a gate per token on its output. With `latent` the experts work in that narrower
    width behind a projection down and up. `idle_experts` are router entries that do no
    work (LongCat's identity experts); `correction` counts the routing biases that are
    parameters.
    """

    hidden: int
    intermediate: int
    experts: int
    top_k: int
    gated: bool = True
    bias: bool = False
    router_bias: bool = False
    correction: bool = False
    shared: int = 0
    shared_gated: bool = True
    shared_gate: bool = False
    shared_bias: bool = False
    latent: int | None = None
    latent_bias: bool = False
    idle_experts: int = 0
    norms: int = 1
    norm_bias: bool = False
    scales: int = 0
    kind: ClassVar[str] = "moe"

    @property
    def expert_projections(self) -> tuple[Linear, ...]:
        """(gate,) up and down projections of one expert."""
        width = self.latent or self.hidden
        return ffn_projections(width, self.intermediate, self.gated, self.bias, "experts")

    @property
    def used(self) -> float:
        """Experts that work on one token, on average."""
        return self.top_k * self.experts / (self.experts + self.idle_experts)

    @property
    def router(self) -> Linear:
        """Scores of all experts."""
        scored = self.experts + self.idle_experts
        return Linear("router", self.hidden, scored, "router", "none", self.router_bias)

    def shared_projections(self) -> tuple[Linear, ...]:
        """Projections of the shared expert."""
        if not self.shared:
            return ()
        role, bias = "shared_experts", self.shared_bias
        return ffn_projections(self.hidden, self.shared, self.shared_gated, bias, role)

    def side_projections(self) -> tuple[Linear, ...]:
        """Gate of the shared expert and projections to and from the latent width."""
        found = []
        if self.shared_gate:
            found.append(Linear("shared_gate", self.hidden, 1, "router", "none"))
        if self.latent:
            bias = self.latent_bias
            found += [
                Linear("latent_down", self.hidden, self.latent, "shared_experts", "none", bias),
                Linear("latent_up", self.latent, self.hidden, "shared_experts", "none", bias),
            ]
        return tuple(found)

    @property
    def norm_parameters(self) -> float:
        """Gains and biases of the norms."""
        return Norm(self.hidden, self.norms, self.norm_bias).parameters

    def tensors(self) -> tuple[Tensor, ...]:
        scales = self.scales + (self.experts if self.correction else 0)
        plain = (self.router, *self.shared_projections(), *self.side_projections())
        return (
            *self._routed_tensors(),
            *linear_tensors(plain),
            *small_tensors(self.norm_parameters, scales),
        )

    def _routed_tensors(self) -> tuple[Tensor, ...]:
        """All experts: gate and up, down (which a mix may hold in another format), biases."""
        *wide, down = self.expert_projections
        sizes = (
            ("experts", wide[0].role, sum(linear.matrix for linear in wide)),
            ("experts_down", down.role, down.matrix),
            ("experts.bias", "bias", sum(linear.biases for linear in (*wide, down))),
        )
        active = self.top_k / self.experts
        return tuple(
            Tensor(name, role, self.experts * size, active, over="experts")
            for name, role, size in sizes
            if size
        )

    def operators(self, steps: Sequence[Step], run: Execution) -> tuple[Operator, ...]:
        rows = tokens(steps)
        gains, shared = self.norm_parameters, self.shared_projections()
        side = tuple(
            matmul(linear.name, (linear,), rows, run) for linear in self.side_projections()
        )
        return (
            norm_work("mlp_norm", rows, self.hidden, self.norms, gains, run),
            matmul("router", (self.router,), rows, run),
            *side,
            *self._exchange("moe_dispatch", rows, run),
            *self._experts(rows, run),
            *self._exchange("moe_combine", rows, run),
            *(run_ffn("shared_", shared, rows, run) if shared else ()),
            *self._sum(rows, run),
        )

    def _experts(self, rows: Number, run: Execution) -> tuple[Operator, ...]:
        """Grouped matmuls over the experts of one device: up and gate, activation, down."""
        plan = run.plan
        everyone = rows * plan.dp
        touched = distinct_experts(self.experts, self.used, everyone, run.routing_skew) / plan.ep
        work = everyone * (self.used / plan.ep)
        *wide, down = self.expert_projections
        local = self.intermediate / plan.expert_tp
        shape = {
            "tokens": everyone,
            "experts": self.experts,
            "touched": touched,
            "top_k": self.used,
            "hidden": self.latent or self.hidden,
            "inter": self.intermediate,
            "ep": plan.ep,
            "tp": plan.expert_tp,
            "rows": work,
        }
        activation = elementwise(
            "experts_activation",
            values=work * (local * (len(wide) + 1)),
            ops=work * (5 * local),
            run=run,
        )
        merged = "experts_gate_up" if self.gated else "experts_up"
        return (
            grouped(merged, wide, work, touched, run, shape),
            activation,
            grouped("experts_down", (down,), work, touched, run, shape),
        )

    def _exchange(self, name: str, rows: Number, run: Execution) -> tuple[Operator, ...]:
        """Tokens to the devices of their experts and back, once per device that has a part.

        Needed only where ranks hold different tokens (dp > 1); each of the tp devices
        of a rank sends its share of the rank's tokens.
        """
        plan = run.plan
        if plan.dp == 1:
            return ()
        width = (self.latent or self.hidden) * run.precision.base.bytes
        places = distinct_experts(plan.ep, 1, self.used) * plan.expert_tp
        return all_to_all(name, rows / plan.tp * places * width, plan.tp * plan.dp)

    def _sum(self, rows: Number, run: Execution) -> tuple[Operator, ...]:
        """Results of the tp devices of a rank brought together.

        Partial sums are added up; under dp the combine has done so for the routed experts,
        and each device only lacks the other devices' tokens.
        """
        message = rows * (self.hidden * run.precision.base.bytes)
        if run.plan.dp > 1 and not self.shared:
            return all_gather("moe_all_gather", message, run.plan.tp)
        return all_reduce("moe_all_reduce", message, run.plan.tp)

    def workspace(self, plan: Plan) -> float:
        width = 3 if self.gated else 2
        routed = self.used * (width * self.intermediate + self.hidden) * plan.dp
        return routed / (plan.tp * plan.dp) + 3 * self.shared / plan.tp

    def describe(self) -> str:
        text = f"MoE, {self.top_k} of {self.experts} experts, "
        text += f"{self.latent or self.hidden} -> {self.intermediate}"
        if self.shared:
            text += f", shared expert of {self.shared}"
        return text


def grouped(
    name: str,
    linears: Sequence[Linear],
    rows: Number,
    touched: Number,
    run: Execution,
    shape: dict[str, Number],
) -> Operator:
    """One projection of all experts on a device: `rows` (token, expert) pairs in all.

    The weights of the `touched` experts are read once; each expert is sharded over
    `expert_tp` devices.
    """
    ways = run.plan.expert_tp
    one = matmul(name, linears, rows, run, tp=ways)
    return Operator(
        name,
        "moe",
        one.compute,
        flop=one.flop,
        weight_bytes=one.weight_bytes * touched,
        activation_bytes=one.activation_bytes,
        shape=shape | {"weight_bits": one.shape["weight_bits"], "n": one.shape["n"]},
    )
