"""Model: an embedding, a pattern of layers, a head; sums over them.

Layers are run-length coded: `(count, blocks)` stands for `count` equal layers, each a
tuple of blocks. Equal blocks anywhere in the model are counted and costed once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from llmroof.blocks.base import Block, Tensor
from llmroof.blocks.ends import Embedding, Head
from llmroof.operators import Execution, Number, Operator, Plan, Step, repeated
from llmroof.specs.hardware import Source
from llmroof.specs.precision import Precision, recipe

Layers: TypeAlias = tuple[tuple[int, tuple[Block, ...]], ...]

#: the longest group of layers that is looked for as a repeating pattern
_LONGEST_GROUP = 12
#: more layers than any model has, and few enough to list
MOST_LAYERS = 4096


def joined(layers: Iterable[tuple[int, tuple[Block, ...]]]) -> Layers:
    """The same layers with equal neighbours counted together."""
    found: list[tuple[int, tuple[Block, ...]]] = []
    for count, blocks in layers:
        if found and found[-1][1] == blocks:
            found[-1] = (found[-1][0] + count, blocks)
        else:
            found.append((count, blocks))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Model:
    """A decoder-only model as an engineer thinks of it.

    `around` are blocks outside of the layers; `precision` is what the checkpoint stores;
    `extras` are parameters that are held but not modelled (vision tower), `unused` those
    that the decoder does without (MTP layers: shown, neither held nor run).
    """

    id: str
    name: str
    family: str
    hidden: int
    embedding: Embedding
    layers: Layers
    head: Head
    around: tuple[Block, ...] = ()
    max_context: int | None = None
    precision: Precision = field(default_factory=lambda: recipe("bf16"))
    extras: Mapping[str, int] = field(default_factory=dict)
    unused: Mapping[str, int] = field(default_factory=dict)
    hub: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    notes: str = ""
    file: str = ""
    _kept: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def parts(self) -> Iterator[tuple[Block, int]]:
        """Every different block with the number of times it stands in the model."""
        if "parts" not in self._kept:  # counted once: each pass asks for it
            self._kept["parts"] = tuple(self._count())
        return iter(self._kept["parts"])

    def _count(self) -> Iterator[tuple[Block, int]]:
        yield self.embedding, 1
        counts: Counter[Block] = Counter()
        for count, blocks in self.layers:
            for block in blocks:
                counts[block] += count
        yield from counts.items()
        for block in self.around:
            yield block, 1
        yield self.head, 1

    def pattern(self) -> tuple[tuple[int, tuple[tuple[Block, ...], ...]], ...]:
        """The layers as repeated groups: (times, the layers of one group)."""
        sequence = [blocks for count, blocks in self.layers for _ in range(count)]
        found = []
        at = 0
        while at < len(sequence):
            length, times = _repetition(sequence, at)
            found.append((times, tuple(sequence[at : at + length])))
            at += length * times
        return tuple(found)

    @property
    def num_layers(self) -> int:
        """Decoder layers."""
        return sum(count for count, _ in self.layers)

    @property
    def parameters(self) -> int:
        """Unique parameters of the decoder: a tied head counts once."""
        return round(sum(block.parameters * count for block, count in self.parts()))

    @property
    def active_parameters(self) -> int:
        """Parameters used for one token: all but the experts it is not routed to."""
        return round(sum(block.active_parameters * count for block, count in self.parts()))

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the token embedding table."""
        return round(self.embedding.vocab * self.embedding.hidden)

    def tensors(self) -> Iterator[tuple[Tensor, int]]:
        """Every named parameter tensor with the number of layers that have it."""
        if "tensors" not in self._kept:
            self._kept["tensors"] = tuple(
                (tensor, count) for block, count in self.parts() for tensor in block.tensors()
            )
        return iter(self._kept["tensors"])

    def weights_bytes(self, precision: Precision, plan: Plan | None = None) -> float:
        """Bytes of the weights that one device of the plan holds, extras included."""
        plan = plan or Plan()
        held = sum(
            tensor.local(plan) * count * precision.weight(tensor.role).bytes
            for tensor, count in self.tensors()
        )
        extra = sum(self.extras.values()) * precision.base.bytes
        return (held / plan.pp) + extra

    def kv_cache_bytes(self, context: Number, precision: Precision, tp: int = 1) -> Number:
        """Bytes of KV cache and recurrent state per sequence, over all layers, on one device."""
        return sum(
            cache.bytes(context, precision, tp) * count
            for block, count in self.parts()
            for cache in block.cache()
        )

    def kv_cache_bytes_per_token(self, precision: Precision) -> float:
        """Growth of the cache per token and sequence while no window is full."""
        return float(self.kv_cache_bytes(1.0, precision) - self.state_bytes_per_sequence(precision))

    def state_bytes_per_sequence(self, precision: Precision) -> float:
        """Bytes per sequence that do not grow with the context (recurrent layers)."""
        return float(self.kv_cache_bytes(0.0, precision))

    def operators(self, steps: Sequence[Step], run: Execution) -> tuple[Operator, ...]:
        """All kernels of one pass on one device, each with its number of runs."""
        return tuple(
            repeated(operator, count)
            for block, count in self.parts()
            for operator in block.operators(steps, run)
        )

    def workspace(self, plan: Plan) -> float:
        """Activation values per token alive at once: the residual stream and the widest block."""
        return 2 * self.hidden + max(block.workspace(plan) for block, _ in self.parts())


def _repetition(sequence: Sequence[tuple[Block, ...]], at: int) -> tuple[int, int]:
    """(length of the group, repeats) that covers most layers from `at` on."""
    best, covered = (1, 1), 1
    for length in range(1, _LONGEST_GROUP + 1):
        group = sequence[at : at + length]
        times = 1
        while sequence[at + times * length : at + (times + 1) * length] == group:
            times += 1
        if (times > 1 or length == 1) and times * length > covered:
            best, covered = (length, times), times * length
    return best
