"""RWKV-4: a recurrence per channel in place of attention, and a gated FFN with token shift.

Both blocks mix each token with the one before it, which they keep.
Source: Peng et al. 2023 (RWKV), sections 4.1 to 4.3 (time mixing, channel mixing, WKV).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from llmroof.blocks.recurrent import CONV_STATE, Recurrent
from llmroof.operators import Linear

#: numerator, denominator and running maximum of the WKV average, in 32 bits each
_STATES = 3


@dataclass(frozen=True, slots=True)
class TimeMix(Recurrent):
    """RWKV's token mixer: a weighted average over the past for each of `width` channels."""

    hidden: int
    width: int
    norms: int = 1
    norm_bias: bool = True
    scales: int = 0
    conv_kernel: int = 0
    state_bits: int = 32
    kind: ClassVar[str] = "rwkv_time_mix"

    def inputs(self) -> tuple[Linear, ...]:
        names = ("key", "value", "receptance")
        return tuple(Linear(name, self.hidden, self.width, "mixer") for name in names)

    def output(self) -> Linear:
        return Linear("output", self.width, self.hidden, "mixer", "inputs")

    def convolved(self) -> int:
        return 0

    def conv_state_bytes(self) -> float:
        """The token before, for the token shift."""
        return self.hidden * CONV_STATE.bytes

    def state_values(self) -> float:
        return _STATES * self.width

    def core_flop(self) -> float:
        """Per channel: decay and input of both sums (2 multiply-adds each), the quotient."""
        return 10 * self.width

    def ways(self) -> float:
        return self.width

    def vectors(self) -> float:
        """Decay and bonus of each channel; the token shifts of key, value and receptance."""
        return 2 * self.width + 3 * self.hidden

    def describe(self) -> str:
        return f"RWKV time mixing, {self.width} channels"


@dataclass(frozen=True, slots=True)
class ChannelMix(Recurrent):
    """RWKV's FFN: a squared-ReLU MLP whose result is gated; it keeps the token before."""

    hidden: int
    intermediate: int
    norms: int = 1
    norm_bias: bool = True
    scales: int = 0
    conv_kernel: int = 0
    kind: ClassVar[str] = "rwkv_channel_mix"

    def inputs(self) -> tuple[Linear, ...]:
        return (
            Linear("key", self.hidden, self.intermediate, "mlp"),
            Linear("receptance", self.hidden, self.hidden, "mlp"),
        )

    def output(self) -> Linear:
        return Linear("value", self.intermediate, self.hidden, "mlp.down", "inputs")

    def convolved(self) -> int:
        return 0

    def conv_state_bytes(self) -> float:
        """The token before, for the token shift."""
        return self.hidden * CONV_STATE.bytes

    def ways(self) -> float:
        return self.intermediate

    def vectors(self) -> float:
        """Token shifts of key and receptance."""
        return 2 * self.hidden

    def describe(self) -> str:
        return f"RWKV channel mixing, {self.hidden} -> {self.intermediate} -> {self.hidden}"
