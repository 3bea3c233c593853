"""Formulas of single kernels, worked out by hand with coefficients that make the sums easy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmroof.engine.kernels import (
    REFERENCE_CLOCK,
    REFERENCE_RATE,
    Silicon,
    gemm,
    moe,
    norm,
    power,
    powered,
    quantize,
    resident,
    rotated,
    slowness,
    stream,
    waves,
    whole,
)

#: 10 processors of 1e9 FLOP/s, 1e6 B/s of memory, no cache to speak of, at the reference clock
CHIP = Silicon(1e10, 1e6, 10.0, 1.0, REFERENCE_CLOCK, math.inf)
#: sums instead of overlaps (p = 1), and no term beyond work over rate
PLAIN = {
    "launch": 0.0, "clock_share": 0.0, "compute": 1.0, "memory": 1.0, "overlap": 1.0,
    "chain_overlap": 1.0, "step": 0.0, "split": 1.0, "fill": 0.0, "small_tile": 1.0, "wave": 1.0,
    "cache_rate": 1e5, "energy": 1e-9, "energy_scaling": 0.0,
}  # fmt: skip


def test_a_power_is_a_power() -> None:
    assert power(9.0, 0.5) == pytest.approx(3.0)
    assert power(2.0, -3.0) == pytest.approx(1 / 8)


@given(st.lists(st.floats(1e-6, 1e3), min_size=2, max_size=4), st.floats(1.0, 12.0))
def test_a_norm_lies_between_the_largest_and_the_sum(parts: list[float], p: float) -> None:
    found = norm(p, *parts)
    assert max(parts) * (1 - 1e-12) <= found <= sum(parts) * (1 + 1e-12)
    assert found == pytest.approx(sum(part**p for part in parts) ** (1 / p))


def test_norms_by_hand() -> None:
    assert norm(2.0, 3.0, 4.0) == pytest.approx(5.0)
    assert norm(1.0, 3.0, 4.0, 5.0) == pytest.approx(12.0)
    assert norm(2.0, 0.0, 4.0) == 4.0
    assert norm(2.0, 0.0, 0.0) == 0.0


def test_the_share_of_a_latency_that_follows_the_clock() -> None:
    twice = Silicon(1.0, 1.0, 1.0, 1.0, 2 * REFERENCE_CLOCK, 1.0)
    assert slowness(twice, {"clock_share": 1.0}) == pytest.approx(0.5)
    assert slowness(twice, {"clock_share": 0.5}) == pytest.approx(2**-0.5)
    assert slowness(CHIP, {"clock_share": 0.7}) == 1.0


def test_what_fits_in_the_cache_by_half_a_size() -> None:
    chip = Silicon(1.0, 1.0, 1.0, 100.0, 1.0, 1.0)
    assert resident(100.0, chip) == pytest.approx(1 / 2)
    assert resident(200.0, chip) == pytest.approx(1 / (1 + 2**6))
    assert resident(50.0, chip) == pytest.approx(1 / (1 + 2**-6))


def test_bytes_from_memory_and_from_the_cache() -> None:
    # 600 B at 80 % of 1e6 B/s, 400 B at 10 processors x 1e5 B/s
    c = {"memory": 0.8, "cache_rate": 1e5}
    assert stream(1000.0, 0.4, CHIP, c) == pytest.approx(600 / 8e5 + 400 / 1e6)
    slow = Silicon(1e10, 1e6, 10.0, 1.0, REFERENCE_CLOCK / 2, 1.0)
    assert stream(1000.0, 1.0, slow, c) == pytest.approx(1000 / 5e5)


def test_the_power_limit_leaves_energy_over_watts() -> None:
    chip = Silicon(40 * REFERENCE_RATE, 1.0, 10.0, 1.0, 1.0, 500.0)  # 4 x the reference each
    c = {"energy": 1e-12, "energy_scaling": 0.5}
    assert powered(1e15, chip, c) == pytest.approx(1e15 * 1e-12 / 2 / 500)


def test_whole_tiles_and_the_mean_of_them() -> None:
    assert whole(2.1) == 3.0
    assert whole(2.1, steady=True) == pytest.approx(2.6)
    assert whole(0.2, steady=True) == 1.0


def test_waves_by_how_far_they_are_quantised() -> None:
    assert waves(25.0, CHIP, {"wave": 1.0}) == pytest.approx(3.0)
    assert waves(25.0, CHIP, {"wave": 0.0}) == pytest.approx(2.5)
    assert waves(25.0, CHIP, {"wave": 0.5}) == pytest.approx((2.5 * 3.0) ** 0.5)
    assert waves(25.0, CHIP, {"wave": 1.0}, steady=True) == pytest.approx(3.0)
    assert waves(21.0, CHIP, {"wave": 1.0}, steady=True) == pytest.approx(2.6)


def test_a_benchmark_finds_in_the_cache_what_all_its_copies_leave_room_for() -> None:
    chip = Silicon(1.0, 1.0, 1.0, 100.0, 1.0, 1.0)
    assert rotated(None, 10.0, 20.0, chip) == 0.0
    assert rotated(0.0, 10.0, 20.0, chip) == 0.0
    assert rotated(8.0, 10.0, 20.0, chip) == pytest.approx(1 / 2)
    assert rotated(np.array([0.0, 8.0]), 10.0, 20.0, chip) == pytest.approx([0.0, 1 / 2])


def product(silicon: Silicon = CHIP, copies: float | None = None, batch: float = 1.0,
            **changes: float) -> Any:  # fmt: skip
    """[128, 100] x [100, 256], two bytes a weight and one an activation."""
    return gemm(
        silicon, PLAIN | changes, m=128.0, n=256.0, k=100.0, weight=2.0, activation=1.0,
        batch=batch, copies=copies,
    )  # fmt: skip


#: 25,600 weights of two bytes, 12,800 inputs of one, 32,768 results of two, at 1e6 B/s
MOVED = (25600 * 2 + 12800 + 32768 * 2) / 1e6
#: 2 FLOP x 100 for each of 128 x 256 results, in one wave of one tile on one of ten processors
WORKED = 2 * 100 * 128 * 256 / 1e9


def smallest_tiles(k: float = 100.0) -> float:
    """The same in 8 x 4 tiles of 16 x 64, which take 32 blocks and 4 waves of ten."""
    return 4 * 2 * k * 16 * 64 / 1e9


def test_a_product_takes_the_tiles_that_fill_the_chip() -> None:
    assert product(wave=1.0) == pytest.approx(MOVED + smallest_tiles())
    # each of five halvings costs a fifth more: 64 x 64 in 8 blocks, one wave, after three
    assert product(small_tile=1 / 1.2) == pytest.approx(
        MOVED + min(4 * 16 * 1.2**5, 2 * 32 * 1.2**4, 1 * 64 * 1.2**3) * 64 * 200 / 1e9
    )
    assert product(small_tile=0.1) == pytest.approx(MOVED + WORKED)


def test_each_term_of_a_product() -> None:
    base = product()
    assert product(launch=3.0) == pytest.approx(base + 3)
    assert product(memory=0.5) == pytest.approx(base + MOVED)
    assert product(compute=0.5) == pytest.approx(base + smallest_tiles())
    assert product(fill=50.0) == pytest.approx(base + smallest_tiles(50))
    assert product(step=0.1, split=25.0) == pytest.approx(base + 0.1 * 100 / (1 + 100 / 25))
    both = product(overlap=2.0)
    assert both == pytest.approx(math.hypot(MOVED, smallest_tiles()))
    chained = product(step=0.1, split=1e9, chain_overlap=2.0)
    assert chained == pytest.approx(math.hypot(base, 0.1 * 100))


def test_latencies_of_a_product_follow_the_clock() -> None:
    slow = Silicon(1e10, 1e6, 10.0, 1.0, REFERENCE_CLOCK / 4, math.inf)
    late = product(slow, launch=1.0, step=0.1, split=1e9, clock_share=0.5)
    assert late == pytest.approx(product() + 2 * (1.0 + 0.1 * 100))


def test_the_power_limit_of_a_product_joins_its_compute_time() -> None:
    watts = Silicon(1e10, 1e6, 10.0, 1.0, REFERENCE_CLOCK, 1e-2)
    limit = 2 * 128 * 256 * 100 * 1e-9 / 1e-2
    sharp = (limit**8 + smallest_tiles() ** 8) ** (1 / 8)
    assert product(watts) == pytest.approx(MOVED + sharp)


def test_products_side_by_side() -> None:
    # three of them: 96 blocks of the smallest tile, ten waves
    assert product(batch=3.0) == pytest.approx(3 * MOVED + 10 / 4 * smallest_tiles())
    watts = Silicon(1e10, 1e6, 10.0, 1.0, REFERENCE_CLOCK, 1e-4)
    assert product(watts, batch=3.0) == pytest.approx(
        3 * (MOVED + 2 * 128 * 256 * 100 * 1e-9 / 1e-4), rel=1e-6
    )


def test_a_benchmark_of_few_copies_reads_them_from_the_cache() -> None:
    """Two sets of weights and what all share fill the cache to the byte: half is found."""
    held = 2 * 51200 + 12800 + 65536
    chip = Silicon(1e10, 1e6, 10.0, held, REFERENCE_CLOCK, math.inf)
    found = product(chip, copies=2.0, cache_rate=2e5)  # ten processors: 2e6 B/s
    assert found == pytest.approx(MOVED / 2 + MOVED / 2 / 2 + smallest_tiles())
    chip = Silicon(1e10, 1e6, 10.0, 3 * held, REFERENCE_CLOCK, math.inf)  # for three of them
    cached = product(chip, batch=3.0, copies=2.0, cache_rate=2e5)
    assert cached == pytest.approx(3 * MOVED * 3 / 4 + 10 / 4 * smallest_tiles())


def test_a_server_whose_sizes_vary_pays_the_mean_tile() -> None:
    c = PLAIN | {"wave": 0.0, "small_tile": 0.1}
    asked = {"n": 256.0, "k": 100.0, "weight": 2.0, "activation": 1.0}
    steady = gemm(CHIP, c, m=192.0, steady=True, **asked)
    single = gemm(CHIP, c, m=192.0, **asked)
    tile = 2 * 100 * 128 * 256 / 1e10  # over ten processors
    moved = (25600 * 2 + 19200 + 49152 * 2) / 1e6
    assert steady == single == pytest.approx(moved + 2 * tile)
    one = gemm(CHIP, c, m=130.0, **asked) - gemm(CHIP, c, m=130.0, steady=True, **asked)
    assert one == pytest.approx((2 - (130 / 128 + 0.5)) * tile)


def test_quantising_moves_three_bytes_a_value_or_waits_for_its_rows() -> None:
    c = {"quantize": 2.0, "quantize_row": 0.003, "memory": 0.5, "cache_rate": 1e5}
    # 3 x 4 x 1000 bytes at 5e5 B/s, twice; 4 rows of 3 ms
    assert quantize(CHIP, c, m=4.0, k=1000.0) == pytest.approx(math.hypot(2 * 0.024, 0.012))
    chip = Silicon(1e10, 1e6, 10.0, 12000.0, REFERENCE_CLOCK, 1.0)
    half = 6000 / 5e5 + 6000 / 1e6
    assert quantize(chip, c | {"quantize_row": 0.0}, m=4.0, k=1000.0) == pytest.approx(2 * half)


EXPERTS = {
    "launch": 0.0, "clock_share": 0.0, "compute": 1.0, "memory": 1.0, "overlap": 1.0,
    "padding": 0.0, "permute": 0.0, "local": 0.0, "cache_rate": 1e5,
}  # fmt: skip


def experts(silicon: Silicon = CHIP, copies: float | None = None, **changes: float) -> Any:
    """20 rows handed in, 12 of them to the 4 experts here: [50, 30] gated."""
    return moe(
        silicon, EXPERTS | changes, rows=20.0, local_rows=12.0, experts=4.0, hidden=50.0,
        inter=30.0, matrices=3.0, weight=0.5, activation=1.0, copies=copies,
    )  # fmt: skip


def test_each_term_of_experts() -> None:
    weights, inputs = 4 * 3 * 50 * 30 * 0.5, 12 * (50 + 2 * 30)
    moved, worked = (weights + inputs) / 1e6, 2 * 3 * 50 * 30 * 12 / 1e10
    base = experts()
    assert base == pytest.approx(moved + worked)
    assert experts(launch=2.0) == pytest.approx(base + 2)
    assert experts(overlap=2.0) == pytest.approx(math.hypot(moved, worked))
    assert experts(compute=0.25) == pytest.approx(moved + 4 * worked)
    assert experts(padding=1e6) == pytest.approx(base + 4e6 * 2 * 3 * 50 * 30 / 1e10)
    assert experts(permute=0.5) == pytest.approx(base + 2 * 0.5 * 20 * 50 / 1e6)
    assert experts(local=0.5) == pytest.approx(base + 2 * 0.5 * 12 * (2 * 50 + 3 * 30) / 1e6)
    slow = Silicon(1e10, 1e6, 10.0, 1.0, REFERENCE_CLOCK / 2, math.inf)
    assert experts(slow, launch=2.0, clock_share=1.0) == pytest.approx(base + 4)


def test_experts_of_a_benchmark_are_found_in_the_cache() -> None:
    weights = 4 * 3 * 50 * 30 * 0.5
    chip = Silicon(1e10, 1e6, 10.0, 2 * weights, REFERENCE_CLOCK, math.inf)
    size = weights + 12 * 110
    worked = 2 * 3 * 50 * 30 * 12 / 1e10
    assert experts(chip, copies=2.0, cache_rate=2e5) == pytest.approx(size * 3 / 4 / 1e6 + worked)
    moved = 2 * 0.5 * 12 * 190  # what is permuted stays in the cache if it fits
    chip = Silicon(1e10, 1e6, 10.0, moved, REFERENCE_CLOCK, math.inf)
    assert experts(chip, local=0.5, cache_rate=2e5) == pytest.approx(
        size / 1e6 + worked + moved * 3 / 4 / 1e6
    )
