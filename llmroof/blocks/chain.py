"""Small plain parts of a layer that are no attention and no FFN.

A chain of linear maps (Gemma 3n's LAuReL and AltUp, hyper-connections, Zamba's linear
before its shared block) and parts that text alone never runs (Llama 3.2 Vision's
cross-attention layers).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from llmroof.blocks.base import Block, Tensor, linear_tensors, small_tensors
from llmroof.operators import Execution, Linear, Operator, Plan, Step, matmul, tokens


@dataclass(frozen=True, slots=True)
class Chain(Block):
    """Linear maps one after the other: `widths` (w0, w1, w2) are a w0 x w1 and a w1 x w2.

    `scales` are the norms, gains and biases beside them; `copies` equal chains stand
    side by side.
    """

    name: str
    widths: tuple[int, ...]
    scales: int = 0
    copies: int = 1
    kind: ClassVar[str] = "chain"

    def projections(self) -> tuple[Linear, ...]:
        """The maps, whole on every device."""
        sides = zip(self.widths[:-1], self.widths[1:], strict=True)
        return tuple(
            Linear(f"{self.name}_{index}", inputs, outputs * self.copies, "chain", "none")
            for index, (inputs, outputs) in enumerate(sides)
        )

    def tensors(self) -> tuple[Tensor, ...]:
        return (*linear_tensors(self.projections()), *small_tensors(0, self.scales))

    def operators(self, steps: Sequence[Step], run: Execution) -> tuple[Operator, ...]:
        rows = tokens(steps)
        return tuple(matmul(linear.name, (linear,), rows, run) for linear in self.projections())

    def workspace(self, plan: Plan) -> float:
        return sum(self.widths[1:]) * self.copies

    def describe(self) -> str:
        maps = " -> ".join(str(width) for width in self.widths)
        return f"{self.name}: {maps}" + (f", {self.copies} times" if self.copies > 1 else "")


@dataclass(frozen=True, slots=True)
class Idle(Block):
    """Parameters that are held but not run when the input is text."""

    name: str
    elements: int
    kind: ClassVar[str] = "idle"

    def tensors(self) -> tuple[Tensor, ...]:
        return (Tensor(self.name, "attention", self.elements),)

    def operators(self, steps: Sequence[Step], run: Execution) -> tuple[Operator, ...]:
        return ()

    def workspace(self, plan: Plan) -> float:
        return 0.0

    def describe(self) -> str:
        return f"{self.name}: {self.elements} parameters that text does not use"
