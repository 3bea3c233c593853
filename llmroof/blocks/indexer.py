"""Lightning indexer of sparse attention: cheap scores pick the keys that attention sees.

Every query scores all earlier tokens with a few narrow heads (2·Hi·di FLOP per pair)
and passes the best `topk` on; one index key per token is cached.
Source: DeepSeek-V3.2 report (DeepSeek sparse attention), section 2.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from llmroof.blocks.base import Block, Cache, Tensor, linear_tensors, small_tensors
from llmroof.operators import Execution, Linear, Operator, Plan, Step, matmul, tokens


@dataclass(frozen=True, slots=True)
class Indexer(Block):
    """The indexer of one layer; its attention names the same `topk`.

    `query_inputs` is what its queries are projected from (the query latent of MLA, or
    the model width); `weighted` heads are mixed with a projected weight each;
    `block` keys are pooled into one before scoring; `norm_values` and `scales` are its
    small parameters.
    """

    hidden: int
    heads: int
    head_dim: int
    query_inputs: int | None = None
    key_heads: int = 1
    weighted: bool = True
    block: int = 1
    norm_values: int = 0
    scales: int = 0
    kind: ClassVar[str] = "indexer"

    def projections(self) -> tuple[Linear, ...]:
        """Queries, keys and head weights; small, so whole on every device."""
        inputs = self.query_inputs or self.hidden
        found = [
            Linear("index_q", inputs, self.heads * self.head_dim, "indexer", "none"),
            Linear("index_k", self.hidden, self.key_heads * self.head_dim, "indexer", "none",
                   to_cache=True),
        ]  # fmt: skip
        if self.weighted:
            found.append(Linear("index_weights", self.hidden, self.heads, "indexer", "none"))
        return tuple(found)

    def tensors(self) -> tuple[Tensor, ...]:
        small = small_tensors(self.norm_values, self.scales)
        return (*linear_tensors(self.projections()), *small)

    def cache(self) -> tuple[Cache, ...]:
        return (Cache(self.key_heads * self.head_dim, limit=1),)

    def operators(self, steps: Sequence[Step], run: Execution) -> tuple[Operator, ...]:
        rows = tokens(steps)
        projected = tuple(
            matmul(linear.name, (linear,), rows, run) for linear in self.projections()
        )
        return (*projected, *(self._scores(step, run) for step in steps))

    def _scores(self, step: Step, run: Execution) -> Operator:
        """All earlier tokens scored; only the chosen indices leave the chip."""
        keys = step.context / self.block
        read = step.batch * keys * (self.key_heads * self.head_dim)
        width = run.precision.kv_cache.bytes if run.kv_cache else 0.0
        queries = step.batch * step.new_tokens * (self.heads * self.head_dim)
        return Operator(
            "index_scores",
            "indexer",
            run.precision.base.compute,
            flop=step.batch * step.pairs() / self.block * (2 * self.heads * self.head_dim),
            kv_bytes=read * width,
            activation_bytes=queries * run.precision.base.bytes,
            shape={
                "batch": step.batch,
                "new_tokens": step.new_tokens,
                "keys": keys,
                "heads": self.heads,
                "head_dim": self.head_dim,
            },
            useful=1 / run.plan.tp,
        )

    def workspace(self, plan: Plan) -> float:
        return self.heads * self.head_dim + self.key_heads * self.head_dim

    def describe(self) -> str:
        return f"indexer, {self.heads} heads of {self.head_dim}"
