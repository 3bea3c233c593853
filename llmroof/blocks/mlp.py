"""Feed-forward network of one layer: gated (SwiGLU, GeGLU) or plain.

Gated: three matrices, down(act(gate x) * up x); plain: two, down(act(up x)).
Sources: Shazeer 2020 (GLU variants), section 2; Vaswani et al. 2017, section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from llmroof.blocks.base import (
    Block,
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


@dataclass(frozen=True, slots=True)
class MLP(Block):
    """A dense FFN with its norms and residual addition.

    `inner_norm` stands before the down projection (BitNet); `scales` counts other
    small parameters.
    """

    hidden: int
    intermediate: int
    gated: bool = True
    bias: bool = False
    norms: int = 1
    norm_bias: bool = False
    inner_norm: bool = False
    scales: int = 0
    role: str = "mlp"
    kind: ClassVar[str] = "mlp"

    def projections(self) -> tuple[Linear, ...]:
        """(gate,) up and down projections."""
        return ffn_projections(self.hidden, self.intermediate, self.gated, self.bias, self.role)

    @property
    def norm_parameters(self) -> float:
        """Gains and biases of the norms."""
        found = Norm(self.hidden, self.norms, self.norm_bias).parameters
        return found + (self.intermediate if self.inner_norm else 0)

    def tensors(self) -> tuple[Tensor, ...]:
        small = small_tensors(self.norm_parameters, self.scales)
        return (*linear_tensors(self.projections()), *small)

    def operators(self, steps: Sequence[Step], run: Execution) -> tuple[Operator, ...]:
        rows = tokens(steps)
        gains = self.norm_parameters
        message = rows * (self.hidden * run.precision.base.bytes)
        return (
            norm_work("mlp_norm", rows, self.hidden, self.norms, gains, run),
            *run_ffn("", self.projections(), rows, run),
            *all_reduce("mlp_all_reduce", message, run.plan.tp),
        )

    def workspace(self, plan: Plan) -> float:
        return (3 if self.gated else 2) * self.intermediate / plan.tp

    def describe(self) -> str:
        shape = "gated MLP" if self.gated else "MLP"
        return f"{shape}, {self.hidden} -> {self.intermediate} -> {self.hidden}"


def ffn_projections(
    hidden: int, intermediate: int, gated: bool, bias: bool, role: str
) -> tuple[Linear, ...]:
    """(gate,) up and down projections of a feed-forward network."""
    names = ("gate_proj", "up_proj") if gated else ("up_proj",)
    wide = tuple(Linear(name, hidden, intermediate, role, bias=bias) for name in names)
    down = Linear("down_proj", intermediate, hidden, f"{role}.down", "inputs", bias)
    return (*wide, down)


def run_ffn(
    prefix: str, projections: Sequence[Linear], rows: Number, run: Execution
) -> tuple[Operator, ...]:
    """Up (and gate), activation, down."""
    *wide, down = projections
    local = wide[0].local(run.plan.tp)[1]
    activation = elementwise(
        f"{prefix}activation",
        values=rows * (local * (len(wide) + 1)),
        ops=rows * (5 * local),
        run=run,
    )
    merged = f"{prefix}gate_up_proj" if len(wide) > 1 else f"{prefix}up_proj"
    return (
        *project(merged, wide, rows, run),
        activation,
        matmul(f"{prefix}{down.name}", (down,), rows, run),
    )
