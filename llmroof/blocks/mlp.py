"""Feed-forward network of one layer: gated (SwiGLU, GeGLU) or plain.

Gated: three matrices, down(act(gate x) * up x); plain: two, down(act(up x)).
Sources: Shazeer 2020 (GLU variants), section 2; Vaswani et al. 2017, section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from llmroof.blocks.attention import project
from llmroof.blocks.base import Block, Norm, Tensor, linear_tensors
from llmroof.operators import Execution, Linear, Operator, Plan, Step, elementwise, matmul, tokens
from llmroof.operators.collective import all_reduce


@dataclass(frozen=True, slots=True)
class MLP(Block):
    """A dense FFN with its norms and residual addition."""

    hidden: int
    intermediate: int
    gated: bool = True
    bias: bool = False
    norms: int = 1
    norm_bias: bool = False
    role: str = "mlp"
    kind: ClassVar[str] = "mlp"

    def projections(self) -> tuple[Linear, ...]:
        """(gate,) up and down projections."""
        names = ("gate_proj", "up_proj") if self.gated else ("up_proj",)
        wide = tuple(
            Linear(name, self.hidden, self.intermediate, self.role, bias=self.bias)
            for name in names
        )
        down = Linear("down_proj", self.intermediate, self.hidden, self.role, "inputs", self.bias)
        return (*wide, down)

    @property
    def norm(self) -> Norm:
        """The layer norms around the block."""
        return Norm(self.hidden, self.norms, self.norm_bias)

    def tensors(self) -> tuple[Tensor, ...]:
        norms = Tensor("norm", "norm", self.norm.parameters, limit=1)
        return (*linear_tensors(self.projections()), norms)

    def operators(self, steps: Sequence[Step], run: Execution) -> tuple[Operator, ...]:
        rows = tokens(steps)
        *wide, down = self.projections()
        local = self.intermediate / run.plan.tp
        norm = elementwise(
            "mlp_norm",
            values=rows * (4 * self.hidden * max(1, self.norms)),
            ops=rows * (7 * self.hidden * self.norms),
            weights=self.norm.parameters,
            run=run,
        )
        activation = elementwise(
            "activation",
            values=rows * (local * (len(wide) + 1)),
            ops=rows * (5 * local),
            run=run,
        )
        merged = "gate_up_proj" if self.gated else "up_proj"
        return (
            norm,
            *project(merged, wide, rows, run),
            activation,
            matmul(down.name, (down,), rows, run),
            *all_reduce(
                "mlp_all_reduce", rows * (self.hidden * run.precision.base.bytes), run.plan.tp
            ),
        )

    def workspace(self, plan: Plan) -> float:
        return (3 if self.gated else 2) * self.intermediate / plan.tp

    def describe(self) -> str:
        shape = "gated MLP" if self.gated else "MLP"
        return f"{shape}, {self.hidden} -> {self.intermediate} -> {self.hidden}"
