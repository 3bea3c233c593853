"""The two ends of a decoder: token embedding, and final norm with the LM head.

The embedding reads the rows of the tokens at hand, never the table; the head scores
the last position of each sequence only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from llmroof.blocks.base import Block, Tensor
from llmroof.operators import Execution, Linear, Operator, Plan, Step, elementwise, matmul, tokens


@dataclass(frozen=True, slots=True)
class Embedding(Block):
    """Token embedding of `vocab` rows; `positions` rows of learned position vectors.

    `width` is the embedding width where it differs from the model width, with a
    projection in between (OPT-350M kind).
    """

    vocab: int
    hidden: int
    positions: int = 0
    norm_bias: bool = False
    norms: int = 0
    kind: ClassVar[str] = "embedding"

    def tensors(self) -> tuple[Tensor, ...]:
        found = [Tensor("embed_tokens", "embedding", self.vocab * self.hidden)]
        if self.positions:
            found.append(Tensor("embed_positions", "position", self.positions * self.hidden))
        if self.norms:
            gains = self.norms * self.hidden * (2 if self.norm_bias else 1)
            found.append(Tensor("embed_norm", "norm", gains, limit=1))
        return tuple(found)

    def operators(self, steps: Sequence[Step], run: Execution) -> tuple[Operator, ...]:
        rows = tokens(steps)
        precision = run.precision
        read = self.hidden * precision.weight("embedding").bytes
        if self.positions:
            read += self.hidden * precision.weight("position").bytes
        return (
            Operator(
                "embed_tokens",
                "embedding",
                precision.base.compute,
                weight_bytes=rows * read,
                activation_bytes=rows * (self.hidden * precision.base.bytes),
            ),
        )

    def workspace(self, plan: Plan) -> float:
        return 0.0

    def describe(self) -> str:
        learned = f", {self.positions} learned positions" if self.positions else ""
        return f"{self.vocab} tokens x {self.hidden}{learned}"


@dataclass(frozen=True, slots=True)
class Head(Block):
    """Final norm and LM head; a `tied` head shares the embedding's table."""

    vocab: int
    hidden: int
    tied: bool = False
    bias: bool = False
    norms: int = 1
    norm_bias: bool = False
    kind: ClassVar[str] = "head"

    @property
    def linear(self) -> Linear:
        """The vocabulary projection."""
        return Linear("lm_head", self.hidden, self.vocab, "lm_head", bias=self.bias)

    def tensors(self) -> tuple[Tensor, ...]:
        gains = self.norms * self.hidden * (2 if self.norm_bias else 1)
        norm = (Tensor("final_norm", "norm", gains, limit=1),)
        own = self.linear.outputs if self.tied and self.bias else self.linear.parameters
        if self.tied and not self.bias:
            return norm
        return (*norm, Tensor("lm_head", "lm_head", own))

    def operators(self, steps: Sequence[Step], run: Execution) -> tuple[Operator, ...]:
        rows = sum(step.batch * step.logits for step in steps)
        norm = elementwise(
            "final_norm",
            values=tokens(steps) * (4 * self.hidden * self.norms),
            ops=tokens(steps) * (7 * self.hidden * self.norms),
            weights=self.tensors()[0].elements,
            run=run,
        )
        return norm, matmul("lm_head", (self.linear,), rows, run)

    def workspace(self, plan: Plan) -> float:
        return 0.0

    def describe(self) -> str:
        return "LM head tied to the embedding" if self.tied else "LM head of its own"
