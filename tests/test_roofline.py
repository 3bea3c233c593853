"""The roofline itself: max of compute, memory and network time; who binds; ridge points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from builders import device, run, weights_only

from llmroof.engine.roofline import Times, add, limit, require_support, scale
from llmroof.errors import Unsupported
from llmroof.operators import Operator
from llmroof.operators.collective import all_reduce
from llmroof.specs.hardware import load_hardware
from llmroof.specs.precision import recipe

#: 100 FLOP/s, 10 bytes/s, 5 bytes/s to the neighbour: a ridge at 10 FLOP per byte
DEVICE = device(100.0, 10.0, link=5.0)


def op(flop: float = 0.0, moved: float = 0.0, count: float = 1.0) -> Operator:
    return Operator("x", "gemm", "bf16", flop, moved, count=count)


@pytest.mark.parametrize(
    ("flop", "moved", "time", "bound"),
    [
        (1000, 50, 10.0, "compute"),  # 1000/100 = 10 s against 50/10 = 5 s
        (1000, 200, 20.0, "memory"),  # 200/10 = 20 s
        (0, 30, 3.0, "memory"),
        (500, 0, 5.0, "compute"),
    ],
)
def test_time_is_the_larger_of_the_roofs(
    flop: float, moved: float, time: float, bound: str
) -> None:
    times = limit(op(flop, moved), DEVICE)
    assert times.total == time
    assert times.bound == bound
    assert times.overhead == times.network == 0


def test_a_collective_takes_its_bytes_over_the_link() -> None:
    """20 bytes summed over two devices: 2·1/2·20 sent at 5 bytes/s."""
    (operator,) = all_reduce("sum", 20.0, 2)
    times = limit(operator, DEVICE)
    assert (times.network, times.total, times.bound) == (4, 4, "network")


def test_count_repeats_an_operator() -> None:
    times = limit(op(1000, 200, count=32), DEVICE)
    assert (times.compute, times.memory, times.total) == (320, 640, 640)


def test_on_the_ridge_both_roofs_take_equal_time() -> None:
    assert DEVICE.ridge_point("bf16") == 10
    times = limit(op(500, 50), DEVICE)
    assert times.compute == times.memory == times.total == 5


def test_operators_run_one_after_the_other() -> None:
    """A compute-bound and a memory-bound operator: 10 + 20, not max(10 + 1, 1 + 20)."""
    both = add([limit(op(1000, 10), DEVICE), limit(op(100, 200), DEVICE)])
    assert (both.compute, both.memory, both.total) == (11, 21, 30)
    assert both.bound == "memory"


def test_times_are_scaled_part_by_part() -> None:
    assert scale(Times(1.0, 2.0, 3.0, 4.0, 5.0), 3.0) == Times(3.0, 6.0, 9.0, 12.0, 15.0)


def test_bound_names_the_largest_also_of_arrays() -> None:
    times = Times(np.array([3.0, 1.0, 1.0]), np.array([1.0, 3.0, 1.0]), 2.0, 0.0, 3.0)
    assert list(times.bound) == ["compute", "memory", "network"]
    assert Times(1.0, 2.0, 0.0, 5.0, 8.0).bound == "overhead"


def test_the_critical_batch_is_the_ridge_point_in_16_bits() -> None:
    """2 FLOP per weight and token over 2 bytes per weight: compute = memory at B = ridge."""
    weights = weights_only(4e12, 10.0, run())
    times = limit(weights, DEVICE)
    assert times.compute == pytest.approx(times.memory, rel=1e-4)
    assert limit(weights_only(4e12, 9.0, run()), DEVICE).bound == "memory"
    assert limit(weights_only(4e12, 11.0, run()), DEVICE).bound == "compute"


def test_doubling_both_roofs_halves_the_time() -> None:
    assert limit(op(1000, 99), device(200.0, 20.0)).total == 0.5 * limit(op(1000, 99), DEVICE).total


def test_a_missing_peak_or_link_is_said() -> None:
    with pytest.raises(Unsupported, match=r"^Made-up device has no fp8 .* \(it has bf16, fp16\)$"):
        limit(Operator("x", "gemm", "fp8", 1.0), DEVICE)
    with pytest.raises(Unsupported, match=r"Made-up device.* no link"):
        limit(all_reduce("sum", 20.0, 2)[0], device())


def test_a_format_without_arithmetic_is_refused_with_the_ways_out() -> None:
    a100 = load_hardware("a100-sxm-80gb")
    with pytest.raises(Unsupported) as error:
        require_support(a100, recipe("fp8"))
    said = str(error.value)
    assert "has no fp8 arithmetic" in said
    assert "--weights fp8 --activations bf16" in said
    for known in ("bf16", "int8", "w8a16", "w4a16"):
        require_support(a100, recipe(known))
    with pytest.raises(Unsupported, match=r"has no bf16 .*use --precision fp16$"):
        require_support(load_hardware("t4"), recipe("bf16"))
    require_support(load_hardware("t4"), recipe("w4a16", "fp16"))
    fp16_alone = replace(DEVICE, compute={"fp16": 1.0})
    with pytest.raises(
        Unsupported, match=r"no bf16 arithmetic \(it has fp16\): use --precision fp"
    ):
        require_support(fp16_alone, recipe("w4a16"))  # not for its small weights
    whole = replace(DEVICE, compute={"int8": 1.0, "fp8_fp16acc": 1.0})
    with pytest.raises(Unsupported, match=r"no bf16 .*\(it has int8\): no --precision of a model"):
        require_support(whole, recipe("bf16"))
