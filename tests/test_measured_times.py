"""Expected times from curves of one's own device: worked out by hand, and their limits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import dense, device

from llmroof import estimate
from llmroof.engine.measured_times import curve_time, measured_times, product_time
from llmroof.engine.roofline import Times, limit
from llmroof.errors import SpecError
from llmroof.operators import Operator
from llmroof.specs.hardware import Hardware, load_hardware
from llmroof.specs.measured import AllReduce, Curve, Measured, Surface

SURFACE = Surface((1.0, 100.0), (10.0,), (10.0, 1000.0), (((1e9, 1e11), (2e9, 2e11)),))
CURVE = Curve((1000.0, 100000.0), (1e6, 1e8))
MEASURED = Measured(
    "2026-11-22",
    "made up",
    0.01,
    launch=1e-6,
    streams={"read": CURVE},
    gemm={"bf16": SURFACE},
    prefill={"bf16": Curve((10.0, 1000.0), (1e9, 1e10))},
    decode={"bf16": CURVE},
    small={"bf16": {"norm": CURVE, "activation": CURVE}},
)
PROFILE = """\
name: My machine
memory: {capacity: 16 GB, bandwidth: 20 GB/s}
compute: {fp32: 100 GFLOP/s, bf16: 100 GFLOP/s}
measured:
  date: 2026-11-22
  device: my processor
  spread: 0.02
  launch: 2 us
  gemm:
    bf16: {rows: [1, 16], inputs: [100], outputs: [50], rates: [[[5 GFLOP/s, 50 GFLOP/s]]]}
sources: [{of: [memory, compute], title: measured here}]
"""


def machine(**changes: object) -> Hardware:
    """A device of many FLOP/s and bytes/s, so that its curves are slower than its roofs."""
    made = device(peak=1e15, bandwidth=1e15, capacity=1e12)
    return replace(made, measured=replace(MEASURED, **changes))  # type: ignore[arg-type]


def gemm(rows: float, outputs: float, inputs: float, **changes: object) -> Operator:
    shape = {"m": rows, "n": outputs, "k": inputs, "weight_bits": 16.0}
    made = Operator("up_proj", "gemm", "bf16", flop=2 * rows * outputs * inputs, shape=shape)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_products_at_the_points_and_between_them() -> None:
    assert product_time(SURFACE, 1.0, 10.0, 10.0) == pytest.approx(200 / 1e9)
    assert product_time(SURFACE, 100.0, 10.0, 1000.0) == pytest.approx(2e6 / 2e11)
    # halfway in the logarithms of two axes: sqrt(1·100) rows, sqrt(10·1000) outputs
    middle = (1e9 * 1e11 * 2e9 * 2e11) ** 0.25
    assert product_time(SURFACE, 10.0, 10.0, 100.0) == pytest.approx(2 * 10 * 1000 / middle)


def test_beyond_the_ends_rates_stay_above_and_times_below() -> None:
    assert product_time(SURFACE, 1000.0, 10.0, 10.0) == pytest.approx(2e5 / 1e11)
    assert curve_time(CURVE, 1e7) == pytest.approx(1e7 / 1e8)
    assert curve_time(CURVE, 1.0) == curve_time(CURVE, 1000.0) == pytest.approx(1e-3)


def test_one_product_of_a_measured_device() -> None:
    operator = gemm(1.0, 10.0, 10.0, count=4.0)
    times = measured_times(operator, limit(operator, machine()), MEASURED)
    assert times is not None
    assert times.total == pytest.approx(4e-6)  # 4 runs of 0.2 us are 4 launches of 1 us
    assert times.overhead == pytest.approx(4e-6)
    assert times.bound == "overhead"


def times_of(operator: Operator, **changes: object) -> Times:
    """Times on the measured device, whose roofs are far away."""
    found = measured_times(operator, limit(operator, machine()), machine(**changes).measured)
    assert found is not None
    return found


def test_what_a_product_waits_for_is_what_its_limit_waits_for() -> None:
    operator = gemm(100.0, 1000.0, 10.0, count=2.0)
    by_compute = times_of(operator)
    one = 2e6 / 2e11
    assert (by_compute.compute, by_compute.memory) == pytest.approx((2 * one - 2e-6, 0.0))
    by_memory = times_of(replace(operator, weight_bytes=3e6))
    assert (by_memory.compute, by_memory.memory) == pytest.approx((4e6 / 1e15, 2 * one - 2e-6))
    assert by_compute.total == by_memory.total == pytest.approx(2 * one)
    assert by_compute.network == by_memory.network == 0.0
    single = times_of(replace(operator, flop=1.0, count=1.0))
    assert (single.compute, single.memory) == pytest.approx((single.total - 1e-6, 0.0))
    none = times_of(replace(operator, flop=0.0))
    assert (none.compute, none.memory) == pytest.approx((0.0, none.total - 2e-6))


@pytest.mark.parametrize(
    ("compute", "bits"),
    [("fp32", 32), ("tf32", 32), ("fp16", 16), ("bf16", 16), ("fp8", 8), ("int8", 8)],
)
def test_weights_as_wide_as_their_arithmetic_were_timed(compute: str, bits: int) -> None:
    known = replace(MEASURED, gemm={compute: SURFACE})
    floor = Times(0.0, 0.0, 0.0, 0.0, 0.0)
    for width in (bits - 1, bits, bits + 1):
        product = gemm(1.0, 10.0, 10.0, compute=compute)
        product = replace(product, shape={**product.shape, "weight_bits": float(width)})
        assert (measured_times(product, floor, known) is not None) == (width == bits)


def test_experts_share_the_rows_and_each_takes_its_product() -> None:
    shape = {"rows": 800.0, "touched": 8.0, "n": 1000.0, "weight_bits": 16.0}
    operator = Operator("experts", "moe", "bf16", flop=2.0 * 800 * 1000 * 10, shape=shape)
    assert times_of(operator).total == pytest.approx(8 * 2 * 100 * 10 * 1000 / 2e11)
    grouped = {"bf16": Surface((1.0,), (10.0,), (1000.0,), (((5e9,),),))}
    assert times_of(operator, grouped=grouped).total == pytest.approx(8 * 2e6 / 5e9)
    floor = limit(operator, machine())
    assert measured_times(operator, floor, replace(MEASURED, gemm={})) is None
    of_bytes = replace(operator, shape=shape | {"weight_bits": 8.0})
    assert measured_times(of_bytes, floor, MEASURED) is None


def test_attention_of_a_prompt_and_of_a_token() -> None:
    shape = {"keys": 100.0, "new_tokens": 5.0}
    operator = Operator("attention", "attention", "bf16", flop=1e9, kv_bytes=1e4, shape=shape)
    # 100 keys lie halfway between 10 and 1000: sqrt(1e9 x 1e10) FLOP/s
    assert times_of(operator).total == pytest.approx(1e9 / 10**9.5)
    short = replace(operator, flop=1.0)
    assert times_of(short).total == pytest.approx(1e4 / 1e7)  # no less than the cache it reads
    token = replace(operator, shape=shape | {"new_tokens": 1.0})
    assert times_of(token).total == pytest.approx(1e4 / 1e7)
    empty = replace(token, kv_bytes=0.0, shape={"keys": 0.0, "new_tokens": 1.0})
    assert times_of(empty).total == pytest.approx(1000 / 1e6)
    floor = limit(operator, machine())
    for without in ("prefill", "decode"):
        assert measured_times(operator, floor, replace(MEASURED, **{without: {}})) is None


def test_work_on_each_element_by_its_name_or_as_it_streams() -> None:
    norm = Operator("mlp_norm", "elementwise", "bf16", activation_bytes=4e3, fused_bytes=6e3)
    assert times_of(norm).total == pytest.approx(1e4 / 1e7)
    rotary = replace(norm, name="rotary")
    streams = {"read": CURVE, "copy": Curve((1.0,), (4e7,))}
    assert times_of(rotary, streams=streams).total == pytest.approx(1e-6 + 1e4 / 1e8)
    looked_up = replace(rotary, kind="embedding", activation_bytes=0.0, fused_bytes=0.0)
    assert times_of(looked_up, streams=streams).total == pytest.approx(1e-6 + 1 / 1e8)
    floor = limit(rotary, machine())
    assert measured_times(rotary, floor, replace(MEASURED, streams={})) is None
    assert measured_times(rotary, floor, replace(MEASURED, small={})) is None


def test_no_time_falls_below_the_limit() -> None:
    slow = replace(device(peak=1e6, bandwidth=1e6), measured=MEASURED)
    operator = gemm(100.0, 100.0, 100.0)
    floor = limit(operator, slow)
    times = measured_times(operator, floor, MEASURED)
    assert times is not None
    assert times.total == floor.total == pytest.approx(2e6 / 1e6)


def test_what_was_not_timed_keeps_the_shares() -> None:
    operator = gemm(1.0, 10.0, 10.0)
    floor = limit(operator, machine())
    quantized = replace(operator, shape={**operator.shape, "weight_bits": 4.125})
    assert measured_times(quantized, floor, MEASURED) is None
    assert measured_times(operator, floor, replace(MEASURED, gemm={})) is None
    assert measured_times(replace(operator, kind="mla"), floor, MEASURED) is None


def test_an_estimate_takes_the_curves_and_the_limit_does_not() -> None:
    slow = {"bf16": Surface((1.0,), (1.0,), (1.0,), (((1e6,),),))}
    fast = {"bf16": Surface((1.0,), (1.0,), (1.0,), (((1e9,),),))}
    asked = {"model": dense(), "precision": "bf16", "input_len": 16, "output_len": 2}
    times = [
        float(estimate(gpu=machine(gemm=surface, small={}, decode={}), **asked).serving.tpot)
        for surface in (slow, fast)
    ]
    assert times[0] > 10 * times[1]
    limits = [
        float(
            estimate(
                gpu=machine(gemm=surface, small={}, decode={}), limit=True, **asked
            ).serving.tpot
        )
        for surface in (slow, fast)
    ]
    assert limits[0] == limits[1]


def test_a_grid_equals_its_points() -> None:
    asked = {"model": dense(), "gpu": machine(), "precision": "bf16", "output_len": 2}
    many = estimate(batch=np.array([1.0, 8.0]), input_len=np.array([16.0, 300.0]), **asked)
    for index, (batch, length) in enumerate(((1, 16), (8, 300))):
        one = estimate(batch=batch, input_len=length, **asked)
        assert many.serving.tpot[index] == one.serving.tpot
        assert many.serving.ttft[index] == one.serving.ttft


def test_a_profile_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(PROFILE, "utf-8")
    found = load_hardware(str(path)).measured
    assert found is not None
    assert found.launch == pytest.approx(2e-6)
    assert found.gemm["bf16"].rates == (((5e9, 5e10),),)


SUMS = "all_reduce: {devices: 4, at: [1000, 2000], times: [10 us]}"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("rows: [1, 16]", "rows: [16, 1]", "rows must rise from above zero"),
        ("rows: [1, 16]", "rows: [1, 2, 4]", "each line of rates must have 3 values"),
        ("inputs: [100]", "inputs: [1, 2]", "rates must have 2 values"),
        ("outputs: [50]", "outputs: [1, 2]", "each of rates must have 2 values"),
        ("bf16: {rows", "bf61: {rows", "measured.gemm.bf61: unknown key"),
        ("spread: 0.02", "spread: 2 %", "measured.spread: must be a number"),
        (
            "spread: 0.02",
            f"spread: 0.02\n  {SUMS}",
            "measured.all_reduce: times must have 2 values",
        ),
    ],
)
def test_faults_of_a_measured_part_are_named(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(PROFILE.replace(old, new), "utf-8")
    with pytest.raises(SpecError, match=words):
        load_hardware(str(path))


def test_sums_over_as_many_devices_as_were_timed() -> None:
    sums = AllReduce(4.0, (1000.0, 100000.0), (1e-5, 1e-4))
    shape = {"world": 4, "message": 100000.0}
    operator = Operator("sum", "all_reduce", "network", count=3.0, shape=shape)
    floor = Times(0.0, 0.0, 0.0, 0.0, 0.0)
    times = measured_times(operator, floor, replace(MEASURED, all_reduce=sums))
    assert times is not None
    assert times.network == times.total == pytest.approx(3e-4)
    other = replace(operator, shape=shape | {"world": 8})
    assert measured_times(other, floor, replace(MEASURED, all_reduce=sums)) is None


def test_two_new_tokens_cost_no_less_than_one() -> None:
    """A step that checks drafted tokens reads the cache as one token does."""
    asked = {"model": dense(), "gpu": machine(small={}), "precision": "bf16"}
    steps = [
        estimate(**asked, batch=32, input_len=4096, output_len=2, **more).decode
        for more in ({}, {"speculative_tokens": 1, "acceptance_rate": 0.5})
    ]
    times = [
        next(cost.times.total for cost in step.operators if cost.operator.kind == "attention")
        for step in steps
    ]
    assert times[1] >= times[0]
