"""What a profile is measured with: kernels, their sizes, their work in FLOP and bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from llmroof import units

#: bytes of one value of each arithmetic
WIDTH: Final[Mapping[str, int]] = {
    "fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2, "fp8": 1
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One kernel at one size.

    gemm: [rows, k] x [k, n]; grouped: `experts` such products; prefill: causal attention of
    `rows` tokens; decode: `rows` sequences against `keys` tokens each; norm, rotary,
    activation: `rows` vectors of width n (rotary: of `heads` heads and `kv_heads`); copy,
    read, triad: a working set of `bytes`; launch, graph: the smallest kernel;
    all_reduce: a message of `bytes`.
    """

    kind: str
    precision: str = "fp32"
    rows: int = 1
    n: int = 1
    k: int = 1
    keys: int = 0
    heads: int = 1
    kv_heads: int = 1
    head_dim: int = 1
    experts: int = 1
    size: int = 0

    @property
    def width(self) -> int:
        """Bytes of one value."""
        return WIDTH[self.precision]

    @property
    def flop(self) -> float:
        """Arithmetic of one run, 2 per multiply-add; attended pairs only."""
        if self.kind in ("gemm", "grouped"):
            return 2.0 * self.rows * self.n * self.k * self.experts
        if self.kind == "prefill":
            return 2.0 * self.heads * self.head_dim * self.rows * (self.rows + 1)
        return 0.0

    @property
    def bytes(self) -> float:
        """What crosses memory in one run; for attention over a cache, the cache."""
        kind, value = self.kind, float(self.width)
        if kind in ("gemm", "grouped"):
            moved = self.n * self.k + self.rows * (self.n + self.k)
            return moved * value * self.experts
        if kind == "decode":
            return 2.0 * self.rows * self.kv_heads * self.keys * self.head_dim * value
        if kind == "norm":
            return 4.0 * self.rows * self.n * value
        if kind == "activation":
            return 3.0 * self.rows * self.n * value
        if kind == "rotary":
            return 2.0 * self.rows * (self.heads + self.kv_heads) * self.head_dim * value
        return float(self.size)


@dataclass(frozen=True, slots=True)
class Sweep:
    """Sizes to time: matrices, prompts, caches, small kernels, sets of bytes, messages.

    `longest` are the seconds of the longest kernel that is worth its time.
    """

    rows: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    prompts: tuple[int, ...]
    caches: tuple[tuple[int, int], ...]
    tokens: tuple[int, ...]
    sets: tuple[int, ...]
    messages: tuple[int, ...]
    heads: tuple[int, int, int]
    width: int
    longest: float

    def gemms(self, precision: str) -> list[list[list[Case]]]:
        """Matrices by inputs and outputs, each with rising rows."""
        return [
            [[Case("gemm", precision, rows, n, k) for rows in self.rows] for n in self.outputs]
            for k in self.inputs
        ]

    def grouped(self, precision: str, experts: int = 32) -> list[list[list[Case]]]:
        """The products of many experts at once, by rows of each."""
        few = [rows for rows in self.rows if rows * experts <= self.rows[-1]]
        return [
            [
                [Case("grouped", precision, rows, n, k, experts=experts) for rows in few]
                for n in self.outputs[:2]
            ]
            for k in self.inputs[:2]
        ]

    def attention(self, precision: str) -> tuple[list[Case], list[Case]]:
        """Prompts by length, and caches by bytes."""
        heads, kv_heads, head_dim = self.heads
        shape = {"heads": heads, "kv_heads": kv_heads, "head_dim": head_dim}
        prompts = [Case("prefill", precision, rows=length, **shape) for length in self.prompts]
        caches = [Case("decode", precision, rows=b, keys=c, **shape) for b, c in self.caches]
        return prompts, sorted(caches, key=lambda case: case.bytes)

    def small(self, precision: str) -> dict[str, list[Case]]:
        """Elementwise kernels by rising tokens."""
        heads, kv_heads, head_dim = self.heads
        return {
            "norm": [Case("norm", precision, rows=t, n=self.width) for t in self.tokens],
            "rotary": [
                Case("rotary", precision, t, heads=heads, kv_heads=kv_heads, head_dim=head_dim)
                for t in self.tokens
            ],
            "activation": [
                Case("activation", precision, rows=t, n=3 * self.width) for t in self.tokens
            ],
        }


def _doubling(low: int, high: int, factor: int) -> tuple[int, ...]:
    found = [low]
    while found[-1] * factor <= high:
        found.append(found[-1] * factor)
    return tuple(found)


_KIB: Final = round(units.BINARY["Ki"])
_MIB: Final = round(units.BINARY["Mi"])
#: sizes by the kind of device; `quick` is for tests of the plumbing
SWEEPS: Final[Mapping[str, Sweep]] = {
    "cpu": Sweep(
        rows=(1, 2, 4, 8, 16, 64, 256, 2048),
        inputs=(256, 512, 1536, 4096),
        outputs=(256, 1536, 6144, 24576),
        prompts=(128, 256, 512, 2048),
        caches=((1, 128), (2, 256), (1, 2048), (8, 768), (16, 2048)),
        tokens=(1, 4, 16, 128, 512, 2048, 8192),
        sets=_doubling(16 * _KIB, 512 * _MIB, 4),
        messages=(),
        heads=(8, 2, 64),
        width=512,
        longest=0.5,
    ),
    "gpu": Sweep(
        rows=_doubling(1, 8192, 2),
        inputs=_doubling(512, 16384, 4),
        outputs=(512, 2048, 8192, 32768),
        prompts=_doubling(512, 16384, 2),
        caches=((1, 512), (1, 2048), (1, 8192), (16, 2048), (64, 2048), (256, 2048)),
        tokens=_doubling(1, 16384, 4),
        sets=_doubling(256 * _KIB, 4096 * _MIB, 4),
        messages=_doubling(8 * _KIB, 512 * _MIB, 8),
        heads=(32, 8, 128),
        width=4096,
        longest=1.0,
    ),
    "quick": Sweep(
        rows=(1, 16),
        inputs=(32, 64),
        outputs=(32, 96),
        prompts=(16, 64),
        caches=((1, 16), (2, 64)),
        tokens=(1, 16),
        sets=_doubling(16 * _KIB, 256 * _KIB, 4),
        messages=(),
        heads=(4, 2, 16),
        width=64,
        longest=0.1,
    ),
}
