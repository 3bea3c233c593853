"""Linear attention: a matrix state per head instead of a growing KV cache.

Gated delta rule (Qwen3-Next, Qwen3.5, OLMo hybrid), Kimi delta attention with a decay
per channel, and Lightning attention (MiniMax-Text).
Sources: Yang et al. 2024 (Gated Delta Networks), section 3; Kimi Linear report 2025,
section 3; Qin et al. 2024 (Lightning Attention-2), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from llmroof.blocks.recurrent import Recurrent
from llmroof.operators import Linear


@dataclass(frozen=True, slots=True)
class DeltaNet(Recurrent):
    """Gated delta rule: `heads` value heads, each a `key_dim` x `value_dim` matrix.

    Queries and keys have `key_heads` of `key_dim`.
    """

    hidden: int
    key_heads: int
    heads: int
    key_dim: int
    value_dim: int
    conv_kernel: int = 4
    norms: int = 1
    norm_bias: bool = False
    scales: int = 0
    state_bits: int = 32
    kind: ClassVar[str] = "delta_net"

    def inputs(self) -> tuple[Linear, ...]:
        values = self.heads * self.value_dim
        sizes = {"qkv_proj": self.convolved(), "z_proj": values, "ba_proj": 2 * self.heads}
        return tuple(
            Linear(name, self.hidden, size, "mixer", limit=self.key_heads)
            for name, size in sizes.items()
        )

    def output(self) -> Linear:
        inputs = self.heads * self.value_dim
        return Linear("out_proj", inputs, self.hidden, "mixer", "inputs", limit=self.key_heads)

    def convolved(self) -> int:
        return 2 * self.key_heads * self.key_dim + self.heads * self.value_dim

    def state_values(self) -> float:
        return self.heads * self.key_dim * self.value_dim

    def core_flop(self) -> float:
        """Per state value: decay, what the key recalls, the correction, the readout."""
        return 8 * self.state_values()

    def ways(self) -> float:
        return self.key_heads

    def vectors(self) -> float:
        """Decay and step-size bias per head, gated norm over a head."""
        return 2 * self.heads + self.value_dim

    def describe(self) -> str:
        return (
            f"gated delta net, {self.heads} heads of {self.key_dim} x {self.value_dim}, "
            f"{self.key_heads} key heads"
        )


@dataclass(frozen=True, slots=True)
class KimiDelta(Recurrent):
    """Kimi delta attention: decay per channel, `heads` of `head_dim` x `head_dim`.

    `gate_rank` is the inner width of the decay and output gates; 0 projects them
    straight from the model width.
    """

    hidden: int
    heads: int
    head_dim: int
    gate_rank: int = 0
    conv_kernel: int = 4
    norms: int = 1
    norm_bias: bool = False
    scales: int = 0
    state_bits: int = 32
    kind: ClassVar[str] = "kimi_delta"

    @property
    def width(self) -> int:
        """Channels of all heads."""
        return self.heads * self.head_dim

    def inputs(self) -> tuple[Linear, ...]:
        sizes = dict.fromkeys(("q_proj", "k_proj", "v_proj"), self.width)
        sizes["b_proj"] = self.heads
        for gate in ("f", "g"):
            sizes[f"{gate}_a_proj" if self.gate_rank else f"{gate}_proj"] = (
                self.gate_rank or self.width
            )
        return tuple(
            Linear(name, self.hidden, size, "mixer", limit=self.heads)
            for name, size in sizes.items()
        )

    def inner(self) -> tuple[Linear, ...]:
        if not self.gate_rank:
            return ()
        names, limit = ("f_b_proj", "g_b_proj"), self.heads
        return tuple(Linear(n, self.gate_rank, self.width, "mixer", limit=limit) for n in names)

    def output(self) -> Linear:
        return Linear("o_proj", self.width, self.hidden, "mixer", "inputs", limit=self.heads)

    def convolved(self) -> int:
        return 3 * self.width

    def state_values(self) -> float:
        return self.width * self.head_dim

    def core_flop(self) -> float:
        """Per state value: decay, what the key recalls, the correction, the readout."""
        return 8 * self.state_values()

    def ways(self) -> float:
        return self.heads

    def vectors(self) -> float:
        """Decay per head, its bias per channel, gated norm over a head."""
        return self.heads + self.width + self.head_dim

    def describe(self) -> str:
        return f"Kimi delta attention, {self.heads} heads of {self.head_dim} x {self.head_dim}"


@dataclass(frozen=True, slots=True)
class Lightning(Recurrent):
    """Lightning attention: linear attention with a fixed decay per head, and an output gate."""

    hidden: int
    heads: int
    head_dim: int
    conv_kernel: int = 0
    norms: int = 1
    norm_bias: bool = False
    scales: int = 0
    state_bits: int = 16
    kind: ClassVar[str] = "lightning"

    @property
    def width(self) -> int:
        """Channels of all heads."""
        return self.heads * self.head_dim

    def inputs(self) -> tuple[Linear, ...]:
        sizes = {"qkv_proj": 3 * self.width, "output_gate": self.width}
        return tuple(
            Linear(name, self.hidden, size, "mixer", limit=self.heads)
            for name, size in sizes.items()
        )

    def output(self) -> Linear:
        return Linear("out_proj", self.width, self.hidden, "mixer", "inputs", limit=self.heads)

    def convolved(self) -> int:
        return 0

    def state_values(self) -> float:
        return self.width * self.head_dim

    def core_flop(self) -> float:
        """Per state value: decay and outer product (2 multiply-adds), readout (1)."""
        return 6 * self.state_values()

    def ways(self) -> float:
        return self.heads

    def vectors(self) -> float:
        return self.width

    def describe(self) -> str:
        return f"Lightning attention, {self.heads} heads of {self.head_dim} x {self.head_dim}"
