"""State space mixers: Mamba-1, Mamba-2, and the RG-LRU of RecurrentGemma.

Sources: Gu and Dao 2023 (Mamba), section 3; Dao and Gu 2024 (Mamba-2), sections 6-7;
De et al. 2024 (Griffin), section 2.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from llmroof.blocks.recurrent import Recurrent
from llmroof.operators import Linear


@dataclass(frozen=True, slots=True)
class Mamba(Recurrent):
    """Mamba-1: `inner` channels with `state` values each; one scan per channel.

    `splits` > 1 cuts the projection of step size, B and C by channel (Zamba); `inner_norms` are the
    gains on step size, B and C (Jamba).
    """

    hidden: int
    inner_width: int
    state: int
    dt_rank: int
    conv_kernel: int = 4
    conv_bias: bool = True
    bias: bool = False
    splits: int = 1
    inner_norms: bool = False
    norms: int = 1
    norm_bias: bool = False
    scales: int = 0
    state_bits: int = 32
    kind: ClassVar[str] = "mamba"

    def inputs(self) -> tuple[Linear, ...]:
        return (Linear("in_proj", self.hidden, 2 * self.inner_width, "mixer", bias=self.bias),)

    def inner(self) -> tuple[Linear, ...]:
        part = self.inner_width // self.splits
        outputs = self.splits * (self.dt_rank + 2 * self.state)
        return (
            Linear("x_proj", part, outputs, "mixer", "inputs"),
            Linear("dt_proj", self.dt_rank, self.inner_width, "mixer", bias=True),
        )

    def output(self) -> Linear:
        return Linear("out_proj", self.inner_width, self.hidden, "mixer", "inputs", self.bias)

    def convolved(self) -> int:
        return self.inner_width

    def conv_biases(self) -> int:
        return self.inner_width if self.conv_bias else 0

    def state_values(self) -> float:
        return self.inner_width * self.state

    def core_flop(self) -> float:
        """Per state value: decay and input (2 multiply-adds), readout (1)."""
        return 6 * self.state_values()

    def ways(self) -> float:
        return self.inner_width

    def vectors(self) -> float:
        decays = self.inner_width * (self.state + 1)
        return decays + (self.dt_rank + 2 * self.state if self.inner_norms else 0)

    def describe(self) -> str:
        return f"Mamba, {self.inner_width} channels x {self.state} state values"


@dataclass(frozen=True, slots=True)
class Mamba2(Recurrent):
    """Mamba-2: `heads` of `head_dim`, a `head_dim` x `state` matrix per head.

    B and C are shared by the heads of each of `groups`; `gated_norm` stands before the
    output projection.
    """

    hidden: int
    heads: int
    head_dim: int
    state: int
    groups: int = 1
    conv_kernel: int = 4
    conv_bias: bool = True
    bias: bool = False
    output_bias: bool = False
    gated_norm: bool = True
    norms: int = 1
    norm_bias: bool = False
    scales: int = 0
    state_bits: int = 32
    kind: ClassVar[str] = "mamba2"

    @property
    def width(self) -> int:
        """Channels of all heads."""
        return self.heads * self.head_dim

    def inputs(self) -> tuple[Linear, ...]:
        outputs = self.width + self.convolved() + self.heads
        return (Linear("in_proj", self.hidden, outputs, "mixer", bias=self.bias, limit=self.heads),)

    def output(self) -> Linear:
        bias, limit = self.output_bias, self.heads
        return Linear("out_proj", self.width, self.hidden, "mixer", "inputs", bias, limit)

    def convolved(self) -> int:
        return self.width + 2 * self.groups * self.state

    def conv_biases(self) -> int:
        return self.convolved() if self.conv_bias else 0

    def state_values(self) -> float:
        return self.width * self.state

    def core_flop(self) -> float:
        """Per state value: decay and input (2 multiply-adds), readout (1)."""
        return 6 * self.state_values()

    def ways(self) -> float:
        return self.heads

    def vectors(self) -> float:
        """Decay, step-size bias and skip of each head; the gated norm."""
        return 3 * self.heads + (self.width if self.gated_norm else 0)

    def describe(self) -> str:
        return f"Mamba-2, {self.heads} heads of {self.head_dim} x {self.state}"


@dataclass(frozen=True, slots=True)
class GatedRecurrence(Recurrent):
    """RG-LRU: `width` channels, each a gated first-order recurrence; gates per head."""

    hidden: int
    width: int
    heads: int
    conv_kernel: int = 4
    norms: int = 1
    norm_bias: bool = False
    scales: int = 0
    state_bits: int = 32
    kind: ClassVar[str] = "rglru"

    def inputs(self) -> tuple[Linear, ...]:
        names = ("linear_y", "linear_x")
        return tuple(Linear(name, self.hidden, self.width, "mixer", bias=True) for name in names)

    def inner(self) -> tuple[Linear, ...]:
        names = ("input_gate", "recurrent_gate")
        each = self.width // self.heads
        return tuple(Linear(name, each, self.width, "mixer", bias=True) for name in names)

    def output(self) -> Linear:
        return Linear("linear_out", self.width, self.hidden, "mixer", "inputs", True)

    def convolved(self) -> int:
        return self.width

    def conv_biases(self) -> int:
        return self.width

    def state_values(self) -> float:
        return self.width

    def core_flop(self) -> float:
        """Decay and gated input of every channel."""
        return 4 * self.width

    def ways(self) -> float:
        return self.heads

    def vectors(self) -> float:
        return self.width

    def describe(self) -> str:
        return f"RG-LRU, {self.width} channels, {self.heads} gate heads"


@dataclass(frozen=True, slots=True)
class ShortConv(Recurrent):
    """Gated short convolution (LFM2): no state but the last `conv_kernel` tokens."""

    hidden: int
    conv_kernel: int
    bias: bool = False
    norms: int = 1
    norm_bias: bool = False
    scales: int = 0
    kind: ClassVar[str] = "short_conv"

    def inputs(self) -> tuple[Linear, ...]:
        return (Linear("in_proj", self.hidden, 3 * self.hidden, "mixer", bias=self.bias),)

    def output(self) -> Linear:
        return Linear("out_proj", self.hidden, self.hidden, "mixer", "inputs", self.bias)

    def convolved(self) -> int:
        return self.hidden

    def conv_biases(self) -> int:
        return self.hidden if self.bias else 0

    def ways(self) -> float:
        return self.hidden

    def describe(self) -> str:
        return f"gated short convolution over {self.conv_kernel} tokens"
