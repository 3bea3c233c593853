"""Expected time of one kernel on real silicon: closed formulas of shapes, rates, coefficients.

Every function returns seconds; each argument is a number or an array, and arrays broadcast.
A formula has three layers: work over an achieved share of a peak (compute, memory, the chip's
last-level cache), combined by a p-norm (p = 1 adds, p = infinity takes the larger; Hölder mean);
the length of the dependent chain inside one thread block, which no parallelism shortens; and a
launch. Quantities are SI: bytes, bytes/s, FLOP/s, Hz, W, s.

Coefficients `c` are data (`calibration/kernels.yaml`); a value may be an array, one per point.
Shapes: m, n, k of a matrix product [m,k]x[k,n].

Kernels that the engine times otherwise (attention, collectives, linear attention) have their
formulas beside the fits, in `validation/kernel_formulas.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial, reduce
from typing import Final

import numpy as np
import numpy.typing as npt

from llmroof.operators import power
from llmroof.operators.numbers import TINY

Number = float | npt.NDArray[np.float64]
Coefficients = Mapping[str, Number]

REFERENCE_CLOCK: Final = 1.8e9
"""Clock at which latencies are stated, Hz (the middle of the datacentre parts)."""
REFERENCE_RATE: Final = 1e13
"""Peak of one processor at which energy per FLOP is stated, FLOP/s."""

TILES: Final = (
    (128, 256, 0),
    (128, 128, 1),
    (64, 128, 2),
    (64, 64, 3),
    (32, 64, 4),
    (16, 64, 5),
)
"""Tiles that a library chooses from: rows, columns, and halvings since the first."""
SIDE_BY_SIDE: Final = 1 << 9
"""Points up to which kernels, or tiles of one, are worked out in one call: a call then costs more
than its arithmetic."""


@dataclass(frozen=True, slots=True)
class Silicon:
    """What a kernel sees of a device; each field a number or an array.

    peak: dense FLOP/s in the operands' compute type; bandwidth: device memory, bytes/s;
    processors: SMs, compute units or Xe cores; cache: last-level cache, bytes;
    clock: boost clock, Hz; power: board power limit, W.
    """

    peak: Number
    bandwidth: Number
    processors: Number
    cache: Number
    clock: Number
    power: Number


def few(value: Number) -> bool:
    """True for so few points that several kernels are best worked out side by side.

    Arrays of another kind than numpy's own (a recording of the formulas) stay apart.
    """
    return not isinstance(value, np.ndarray) or (
        type(value) is np.ndarray and value.size <= SIDE_BY_SIDE
    )


def norm(p: Number, *parts: Number) -> Number:
    """p-norm of times: between the largest (full overlap) and the sum (none)."""
    return reduce(partial(_norm, p), parts)


def _norm(p: Number, one: Number, other: Number) -> Number:
    """largest·(1 + (smallest/largest)^p)^(1/p): what the largest adds to itself is 1."""
    largest = np.maximum(one, other)
    ratio = np.minimum(one, other) / np.maximum(largest, TINY)
    time: Number = largest * power(1.0 + power(ratio, p), 1.0 / p)
    return time


def _sharp(one: Number, other: Number) -> Number:
    """The 8-norm, next to the larger of two: squares and square roots instead of powers."""
    largest = np.maximum(one, other)
    ratio = np.minimum(one, other) / np.maximum(largest, TINY)
    for _ in range(3):
        ratio = ratio * ratio
    time: Number = largest * np.sqrt(np.sqrt(np.sqrt(1.0 + ratio)))
    return time


def slowness(silicon: Silicon, c: Coefficients) -> Number:
    """Latency relative to the reference clock: the part of it that scales with the clock."""
    return (silicon.clock / REFERENCE_CLOCK) ** -c["clock_share"]


def resident(size: Number, silicon: Silicon) -> Number:
    """Share of `size` bytes, used over and over, that is found in the last-level cache (0 to 1).

    A steep logistic in the logarithm: a cyclic access pattern either fits or evicts itself.
    """
    square = (size / silicon.cache) ** 2
    return 1 / (1 + square * square * square)


def stream(size: Number, cached: Number, silicon: Silicon, c: Coefficients) -> Number:
    """Time to move `size` bytes of which the share `cached` comes from the last-level cache."""
    cache_rate = c["cache_rate"] * silicon.processors * silicon.clock / REFERENCE_CLOCK
    return size * ((1 - cached) / (c["memory"] * silicon.bandwidth) + cached / cache_rate)


def powered(flop: Number, silicon: Silicon, c: Coefficients) -> Number:
    """Least time that the power limit leaves for `flop`: energy per FLOP over board power.

    A larger matrix unit reuses each operand more often, so the energy falls with the square root
    of a processor's peak rate.
    """
    rate = silicon.peak / silicon.processors / REFERENCE_RATE
    return flop * c["energy"] * rate ** -c["energy_scaling"] / silicon.power


def whole(parts: Number, steady: bool = False) -> Number:
    """`parts` rounded up; in a `steady` server, whose steps vary in size, the mean of that.

    Over sizes spread evenly across a tile the mean of ceil(x) is x + 1/2, and at least 1.
    """
    return np.maximum(parts + 0.5, 1.0) if steady else np.ceil(parts)


def waves(blocks: Number, silicon: Silicon, c: Coefficients, steady: bool = False) -> Number:
    """Rounds of thread blocks, partly quantised: `wave` = 1 is whole waves, 0 is none."""
    ideal = blocks / silicon.processors
    rounds: Number = ideal * power(whole(ideal, steady) / ideal, c["wave"])
    return rounds


def rotated(copies: Number | None, each: Number, once: Number, silicon: Silicon) -> Number:
    """Share that a benchmark finds in the cache, which takes turns between copies of `each` bytes.

    `once` are bytes that all of them share. Nothing is found where `copies` is None or 0: in
    serving, other layers evict the data.
    """
    if copies is None:
        return 0.0
    share = resident(copies * each + once, silicon)
    found: Number = np.where(np.asarray(copies) > 0, share, 0.0)
    return found


def gemm(
    silicon: Silicon,
    c: Coefficients,
    *,
    m: Number,
    n: Number,
    k: Number,
    weight: Number,
    activation: Number,
    batch: Number = 1.0,
    copies: Number | None = None,
    steady: bool = False,
    vector: float = 0.0,
) -> Number:
    """Matrix product of [m,k] activations and [k,n] weights, `batch` times side by side.

    weight, activation: bytes per element (scales included); the output has two bytes.
    copies: weight sets used in turn; None or 0 means that other layers evict the weights
    (serving), a benchmark that rotates r buffers of a small matrix finds them in the cache.
    steady: m varies from step to step (a server): no single size says how full the last tile is.
    vector: FLOP/s beside the tensor cores, where few rows are multiplied: no tile is padded.
    Tiles of several shapes are tried and the fastest is taken, as a library's heuristic does: down
    to the 16 rows of one tensor instruction, where only a few tokens are multiplied. A tile
    costs `fill` extra steps along k (prologue and epilogue). Small products are bound by the
    chain along k, which split-k cuts beyond `split` elements.
    """
    late = slowness(silicon, c)
    weights, inputs, outputs = n * k * weight, m * k * activation, m * n * 2.0
    size = batch * (weights + inputs + outputs)
    cached = rotated(copies, batch * weights, batch * (inputs + outputs), silicon)
    memory = stream(size, cached, silicon, c)
    per_flop = silicon.processors / (c["compute"] * silicon.peak)
    compute = _tiled(m, n, batch, 2.0 * (k + c["fill"]) * per_flop, silicon, c, steady)
    if vector:
        compute = np.minimum(compute, 2.0 * batch * m * n * k / vector)
    limit = powered(2.0 * batch * m * n * k, silicon, c)
    chain = c["step"] * k / (1 + k / c["split"]) * late
    busy = norm(c["overlap"], _sharp(compute, limit), memory)
    return c["launch"] * late + norm(c["chain_overlap"], busy, chain)


def _tiled(
    m: Number,
    n: Number,
    batch: Number,
    depth: Number,
    silicon: Silicon,
    c: Coefficients,
    steady: bool,
) -> Number:
    """Time of the fastest tiling of an [m, n] result whose elements take `depth` seconds each.

    Smaller tiles are worked out only where one of them may win: none takes less than its
    elements at its own efficiency, and large products take the first.
    """

    def tiling(rows: Number, columns: Number, slower: Number) -> Number:
        blocks = batch * whole(m / rows, steady) * np.ceil(n / columns)
        return waves(blocks, silicon, c, steady) * (depth * (rows * columns) / slower)

    first, *smaller = [(rows, columns, c["small_tile"] ** h) for rows, columns, h in TILES]
    best: Number = tiling(*first)
    if not np.any(m * (batch * n * depth / silicon.processors / c["small_tile"]) < best):
        return best
    if few(best) and np.ndim(c["small_tile"]) == 0:
        axis = (-1, *(1,) * np.ndim(best))
        found = tiling(*(column.reshape(axis) for column in np.array(smaller).T))
        best = np.minimum(best, np.min(found, axis=0))
        return best
    for tile in smaller:
        best = np.minimum(best, tiling(*tile))
    return best


def quantize(silicon: Silicon, c: Coefficients, *, m: Number, k: Number) -> Number:
    """Quantising [m,k] 16-bit activations: read two bytes, write one; a block per row at least."""
    size = 3.0 * m * k
    moved = c["quantize"] * stream(size, resident(size, silicon), silicon, c)
    return norm(2.0, moved, c["quantize_row"] * m)


def moe(
    silicon: Silicon,
    c: Coefficients,
    *,
    rows: Number,
    local_rows: Number,
    experts: Number,
    hidden: Number,
    inter: Number,
    matrices: Number,
    weight: Number,
    activation: Number,
    copies: Number | None = None,
) -> Number:
    """Fused mixture of experts on one rank: permute, two grouped products, finalise.

    rows: (token, expert) pairs that the kernel is handed; local_rows: those of this rank's
    experts; experts: how many of them get any; inter: width per rank after tensor sharding;
    matrices: 3 if gated (gate, up, down), else 2; weight, activation: bytes per element.
    Each touched expert wastes `padding` rows of its last tile; permutation and finalising move
    `permute` passes of rows·hidden and `local` passes of the local rows, in two bytes. copies: as
    in `gemm`, 0 in serving.
    """
    late = slowness(silicon, c)
    weights = experts * matrices * hidden * inter * weight
    size = weights + local_rows * (hidden + 2.0 * inter) * activation
    cached = rotated(copies, weights, 0.0, silicon)
    memory = stream(size, cached, silicon, c)
    flop = 2.0 * matrices * hidden * inter * (local_rows + experts * c["padding"])
    busy = norm(c["overlap"], flop / (c["compute"] * silicon.peak), memory)
    moved = 2.0 * (
        c["permute"] * rows * hidden + c["local"] * local_rows * (2 * hidden + 3 * inter)
    )
    work = stream(moved, resident(moved, silicon), silicon, c)
    return c["launch"] * late + busy + work
