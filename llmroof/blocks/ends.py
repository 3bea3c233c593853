"""The two ends of a decoder: token embedding, and final norm with the LM head.

The embedding reads the rows of the tokens at hand, never the table; the head scores
the last position of each sequence only. Under tensor parallelism the vocabulary is split:
the looked-up rows are added up over the devices, the scores gathered (Shoeybi et al. 2019,
section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from llmroof.blocks.base import Block, Norm, Tensor, linear_tensors, small_tensors
from llmroof.operators import Execution, Linear, Operator, Plan, Step, elementwise, matmul, tokens
from llmroof.operators.collective import all_gather, all_reduce


@dataclass(frozen=True, slots=True)
class Embedding(Block):
    """Token embedding of `vocab` rows; `positions` rows of learned position vectors.

    `width` is the row width where it is not the model's (OPT-350M projects 512 to 1024);
    `more_vocab` rows of `more_width` are a second table (Gemma 3n's embeddings per
    layer); `norms` stand behind the table; `scales` counts other small parameters.
    """

    vocab: int
    hidden: int
    width: int | None = None
    positions: int = 0
    more_vocab: int = 0
    more_width: int = 0
    norms: int = 0
    norm_bias: bool = False
    scales: int = 0
    kind: ClassVar[str] = "embedding"

    @property
    def row(self) -> int:
        """Values per token of the table."""
        return self.width or self.hidden

    def tensors(self) -> tuple[Tensor, ...]:
        found = [Tensor("embed_tokens", "embedding", self.vocab * self.row)]
        if self.positions:
            found.append(
                Tensor("embed_positions", "position", self.positions * self.hidden, limit=1)
            )
        if self.more_vocab:
            more = self.more_vocab * self.more_width
            found.append(Tensor("embed_tokens_per_layer", "layer_embedding", more))
        gains = Norm(self.hidden, self.norms, self.norm_bias).parameters
        return (*found, *small_tensors(gains, self.scales))

    def operators(self, steps: Sequence[Step], run: Execution) -> tuple[Operator, ...]:
        rows = tokens(steps)
        precision = run.precision
        table = self.row * precision.weight("embedding").bytes
        table += self.more_width * precision.weight("layer_embedding").bytes
        read = table / run.plan.tp  # each device looks up the rows that it holds
        if self.positions:
            read += self.hidden * precision.weight("position").bytes
        written = (self.row + self.more_width) * precision.base.bytes
        return (
            Operator(
                "embed_tokens",
                "embedding",
                precision.base.compute,
                weight_bytes=rows * read,
                activation_bytes=rows * written,
            ),
            *all_reduce("embedding_all_reduce", rows * written, run.plan.tp),
        )

    def workspace(self, plan: Plan) -> float:
        return 0.0

    def describe(self) -> str:
        text = f"{self.vocab} tokens x {self.row}"
        if self.positions:
            text += f", {self.positions} learned positions"
        if self.more_vocab:
            text += f", {self.more_vocab} x {self.more_width} looked up for the layers"
        return text


@dataclass(frozen=True, slots=True)
class Head(Block):
    """Final norm and LM head; a `tied` head shares the embedding's table."""

    vocab: int
    hidden: int
    tied: bool = False
    bias: bool = False
    norms: int = 1
    norm_bias: bool = False
    width: int | None = None
    kind: ClassVar[str] = "head"

    @property
    def linear(self) -> Linear:
        """The vocabulary projection."""
        role = "embedding" if self.tied else "lm_head"  # a tied head is stored as the table is
        return Linear("lm_head", self.width or self.hidden, self.vocab, role, bias=self.bias)

    def tensors(self) -> tuple[Tensor, ...]:
        norms = small_tensors(Norm(self.hidden, self.norms, self.norm_bias).parameters)
        own = linear_tensors((self.linear,))
        return (*norms, *(own[1:] if self.tied else own))

    def operators(self, steps: Sequence[Step], run: Execution) -> tuple[Operator, ...]:
        rows = sum(step.batch * step.logits for step in steps)
        norm = elementwise(
            "final_norm",
            values=tokens(steps) * (4 * self.hidden * self.norms),
            ops=tokens(steps) * (7 * self.hidden * self.norms),
            weights=Norm(self.hidden, self.norms, self.norm_bias).parameters,
            run=run,
        )
        scores = rows * (self.vocab * run.precision.base.bytes)
        return (
            norm,
            matmul("lm_head", (self.linear,), rows, run),
            *all_gather("logits_all_gather", scores, run.plan.tp),
        )

    def workspace(self, plan: Plan) -> float:
        return 0.0

    def describe(self) -> str:
        return "LM head tied to the embedding" if self.tied else "LM head of its own"
