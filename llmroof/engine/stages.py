"""Pipeline stages: which layers a device holds when the model is cut into pp parts.

Consecutive layers, as even as whole layers allow. What is left over goes to the stages
before the last, which holds the head besides (as vLLM's `get_pp_indices` cuts). The first
stage holds the embedding; a head tied to it needs a copy of the table on the last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from llmroof.blocks.base import Block
from llmroof.models.model import Model


@dataclass(frozen=True, slots=True)
class Stage(Model):
    """Some consecutive layers of a model; the ends stand in the `first` and `last` only."""

    first: bool = True
    last: bool = True

    def parts(self) -> Iterator[tuple[Block, int]]:
        """The different blocks that this stage holds, each with its number."""
        ends = (() if self.first else (self.embedding,)) + (() if self.last else (self.head,))
        return ((block, count) for block, count in Model.parts(self) if block not in ends)


def layer_counts(layers: int, pp: int) -> tuple[int, ...]:
    """Layers of each of pp stages: `layers // pp`, the rest on those before the last."""
    least, rest = divmod(layers, pp)
    return tuple(least + (pp - 1 - rest <= place < pp - 1) for place in range(pp))


def stages(model: Model, pp: int) -> tuple[Model, ...]:
    """What each of pp pipeline stages holds; the model itself for a single one."""
    if pp == 1:
        return (model,)
    layers = [blocks for count, blocks in model.layers for _ in range(count)]
    values = {entry.name: getattr(model, entry.name) for entry in fields(Model) if entry.init}
    found: list[Model] = []
    start = 0
    for place, count in enumerate(layer_counts(len(layers), pp)):
        first, last = place == 0, place == pp - 1
        changes: dict[str, Any] = {
            "layers": tuple((1, blocks) for blocks in layers[start : start + count])
        }
        if not first:
            changes |= {"around": (), "extras": {}}
        if last:
            changes["head"] = replace(model.head, tied=False)
        found.append(Stage(**values | changes, first=first, last=last))
        start += count
    return tuple(found)


def distinct_stages(model: Model, pp: int) -> tuple[Model, ...]:
    """`stages` without repetitions: each different one is costed once."""
    found: list[Model] = []
    for stage in stages(model, pp):
        if stage not in found:
            found.append(stage)
    return tuple(found)
