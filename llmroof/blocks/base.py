"""Block: what every part of a decoder can tell about itself.

A block knows its parameters, what it keeps per sequence, and the operators it runs;
it knows no hardware. Layers are tuples of blocks; a model repeats them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from llmroof.operators import Execution, Linear, Number, Operator, Plan, Step, elementwise, matmul
from llmroof.specs.precision import Precision


@dataclass(frozen=True, slots=True)
class Tensor:
    """Parameters of one name: how many, in which role, how many a token uses.

    `active` is the share that one token multiplies (k/E for routed experts); `limit`
    how many ways it can be split, over the `tp` group or the `experts`.
    """

    name: str
    role: str
    elements: float
    active: float = 1.0
    limit: float = math.inf
    over: str = "tp"

    def local(self, plan: Plan) -> float:
        """Elements that one device holds."""
        ways = plan.tp * plan.dp if self.over == "experts" else plan.tp
        return self.elements / min(ways, self.limit)


@dataclass(frozen=True, slots=True)
class Cache:
    """What a block keeps per sequence.

    `values` per token in the KV-cache format, for at most `window` tokens (or the
    current `chunk`); `state` bytes that do not grow with context (recurrent and
    convolution state, at its own precision). Split over at most `limit` devices of the
    tp group.
    """

    values: float = 0.0
    window: float = math.inf
    state: float = 0.0
    limit: float = math.inf

    def held(self, context: Number) -> Number:
        """Tokens of a sequence that are kept at a context length."""
        return context if math.isinf(self.window) else np.minimum(context, self.window)

    def bytes(self, context: Number, precision: Precision, tp: int = 1) -> Number:
        """Bytes per sequence on one device at a context length."""
        width = self.values * precision.kv_cache.bytes
        return (self.held(context) * width + self.state) / min(tp, self.limit)


class Block(ABC):
    """Base of all blocks; subclasses are frozen dataclasses."""

    kind: ClassVar[str]

    @abstractmethod
    def tensors(self) -> tuple[Tensor, ...]:
        """Every parameter of the block."""

    def cache(self) -> tuple[Cache, ...]:
        """What the block keeps per sequence (nothing by default)."""
        return ()

    @abstractmethod
    def operators(self, steps: Sequence[Step], run: Execution) -> tuple[Operator, ...]:
        """The kernels of one pass on one device, in order."""

    @abstractmethod
    def workspace(self, plan: Plan) -> float:
        """Activation values per token that are alive at once inside the block, per device."""

    @abstractmethod
    def describe(self) -> str:
        """One short phrase for people."""

    @property
    def parameters(self) -> float:
        """All parameters of the block."""
        return sum(tensor.elements for tensor in self.tensors())

    @property
    def active_parameters(self) -> float:
        """Parameters that one token uses."""
        return sum(tensor.elements * tensor.active for tensor in self.tensors())


@dataclass(frozen=True, slots=True)
class Reused(Block):
    """A block that runs with the weights of an earlier one (Zamba's shared transformer).

    It costs time and keeps a cache of its own, but holds no parameters.
    """

    block: Block
    kind: ClassVar[str] = "reused"

    def tensors(self) -> tuple[Tensor, ...]:
        return ()

    def cache(self) -> tuple[Cache, ...]:
        return self.block.cache()

    def operators(self, steps: Sequence[Step], run: Execution) -> tuple[Operator, ...]:
        return self.block.operators(steps, run)

    def workspace(self, plan: Plan) -> float:
        return self.block.workspace(plan)

    def describe(self) -> str:
        return f"{self.block.describe()} (weights of an earlier layer)"


@dataclass(frozen=True, slots=True)
class Norm:
    """Normalisations of a block over `width` values: `count` of them, with or without bias."""

    width: float
    count: int = 1
    bias: bool = False

    @property
    def parameters(self) -> float:
        """Gains and biases."""
        return self.count * self.width * (2 if self.bias else 1)


def linear_tensors(linears: Sequence[Linear]) -> tuple[Tensor, ...]:
    """The parameters of plain linear layers, split as they are."""
    return tuple(tensor for linear in linears for tensor in _linear_tensors(linear))


def _linear_tensors(linear: Linear) -> tuple[Tensor, ...]:
    """The matrix, and the bias where there is one: its format and its shards are others.

    Only a bias of split outputs is split with them; behind split inputs every device adds
    to the sum of all.
    """
    limit = 1 if linear.split == "none" else linear.limit
    matrix = Tensor(linear.name, linear.role, linear.matrix, limit=limit)
    if not linear.bias:
        return (matrix,)
    own = linear.limit if linear.split == "outputs" else 1
    return (matrix, Tensor(f"{linear.name}.bias", "bias", linear.biases, limit=own))


def small_tensors(norms: float, others: float = 0) -> tuple[Tensor, ...]:
    """Gains and other vectors of a block, replicated on every device; none when zero."""
    kept = (("norm", norms), ("scales", others))
    return tuple(Tensor(name, "norm", size, limit=1) for name, size in kept if size)


def norm_work(
    name: str, rows: Number, width: float, norms: int, gains: float, run: Execution
) -> Operator:
    """Residual addition and the norms around a block: per norm 4 values moved, 7 operations."""
    return elementwise(
        name,
        values=rows * (4 * width * max(1, norms)),
        ops=rows * (7 * width * norms),
        weights=gains,
        run=run,
    )


def project(
    name: str, linears: Sequence[Linear], rows: Number, run: Execution
) -> tuple[Operator, ...]:
    """Projections of one input: a single merged matmul, or one each with `--fusion none`."""
    if run.fusion == "fused":
        return (matmul(name, linears, rows, run),)
    return tuple(matmul(linear.name, (linear,), rows, run) for linear in linears)
