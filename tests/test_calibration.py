"""Coefficients carried over to other devices, and what an engine's host and kernels add."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import llmroof
from llmroof.calibration.device import carried_over, of_device
from llmroof.calibration.load import Carried, load_calibration, load_engine
from llmroof.engine.expected import paced
from llmroof.engine.floors import least_time
from llmroof.engine.kernels import gemm
from llmroof.engine.roofline import Times
from llmroof.engine.silicon_times import silicon
from llmroof.operators import Step
from llmroof.specs.hardware import load_hardware

BASE = load_calibration()
ASKED = {"model": "llama-3.1-8b", "input_len": 512, "output_len": 128, "num_gpus": 1}


@pytest.mark.parametrize("gpu", ["a100", "h100", "b200", "l40s", "rtx-4090"])
def test_timed_architectures_keep_the_coefficients(gpu: str) -> None:
    assert of_device(BASE, load_hardware(gpu)) is BASE


def test_matrix_arithmetic_follows_the_best_product_of_the_profile() -> None:
    # MI300X: 668.4 of 1307.4 TFLOP/s, 0.511; the timed devices reach 0.79 in the mean
    found = carried_over(BASE, load_hardware("mi300x"))
    assert found.kind("gemm").compute[16] == pytest.approx(0.75 * 0.511 / 0.79)
    assert found.kind("attention").compute[16] == pytest.approx(0.60 * 0.511 / 0.79)
    assert found.kind("gemm").memory == BASE.kind("gemm").memory
    assert found.kind("elementwise").compute == BASE.kind("elementwise").compute


def test_a_device_without_a_best_product_takes_that_of_its_vendor() -> None:
    assert not load_hardware("mi350x").achieved
    vendor = BASE.carried["AMD"].best_product
    assert vendor is not None
    found = carried_over(BASE, load_hardware("mi350x"))
    assert found.kind("moe").compute[16] == pytest.approx(0.40 * vendor / 0.79)
    plain = carried_over(BASE, replace(load_hardware("mi350x"), vendor="Nobody"))
    assert plain.kinds["moe"] == BASE.kinds["moe"]


def test_shares_stay_below_one() -> None:
    fast = replace(BASE, best_product=0.2)
    found = carried_over(fast, load_hardware("gaudi2"))  # 0.969 / 0.2 would be fivefold
    assert max(max(kind.compute.values()) for kind in found.kinds.values()) == 1.0


def test_launches_and_starts_are_the_vendors() -> None:
    slow = replace(BASE, carried={"AMD": Carried(launch=3.0, start=2.0)})
    found = carried_over(slow, load_hardware("mi300x"))
    assert found.kind("mla").launch == pytest.approx(3 * BASE.kind("mla").launch)
    one, own = BASE.network["all_reduce"], found.network["all_reduce"]
    assert (own.start, own.per_doubling, own.second) == pytest.approx(
        (2 * one.start, 2 * one.per_doubling, 2 * one.second)
    )
    assert own.share == one.share


def test_a_change_of_gpu_takes_its_coefficients_along() -> None:
    from llmroof.search.again import on_hardware

    deployment, _ = llmroof.deploy(model="llama-3.1-8b", gpu="h100", num_gpus=1)
    there, _ = llmroof.deploy(model="llama-3.1-8b", gpu="mi300x", num_gpus=1)
    back = on_hardware(on_hardware(deployment, load_hardware("mi300x")), load_hardware("h100"))
    moved = on_hardware(deployment, load_hardware("mi300x"))
    assert moved.calibration == there.calibration
    assert back.calibration == deployment.calibration


def test_the_floor_of_a_search_takes_each_devices_own_start_of_collectives() -> None:
    mixed = [
        llmroof.deploy(model="llama-3.1-8b", gpu=gpu, tp=8, num_gpus=8)[0]
        for gpu in ("gaudi2", "h100", "mi300x")
    ]
    step = Step(1.0, 1.0, 100.0)
    for order in (mixed, mixed[::-1]):
        operators = order[0].model.operators((step,), order[0].run)
        for deployment, floor in zip(order, least_time(list(operators), order), strict=True):
            took = llmroof.estimate(
                model="llama-3.1-8b", gpu=deployment.hardware, tp=8, num_gpus=8,
                input_len=100, output_len=2,
            )  # fmt: skip
            assert float(floor[0]) <= took.decode.time


# -- the host between two steps ---------------------------------------------------------------


def host(**seconds: float) -> float:
    """What rules with a host add to the TPOT of the same without."""
    from llmroof.engine.deployment import Workload
    from llmroof.engine.estimate import estimate

    tp, batch, dp = (int(seconds.pop(name, 1)) for name in ("tp", "batch", "dp"))
    deployment, _ = llmroof.deploy(model="llama-3.1-8b", gpu="h100", tp=tp, dp=dp)
    own = replace(deployment, rules=replace(deployment.rules, **seconds))
    work = Workload(float(batch), 512.0, 128.0)
    both = estimate(own, work), estimate(deployment, work)
    assert both[0].decode.time == both[1].decode.time  # the step itself is the same
    return float(both[0].serving.tpot - both[1].serving.tpot)


def test_host_work_grows_with_the_sequences_and_with_the_processes() -> None:
    own = {"host_step": 1e-3, "host_sequence": 1e-4, "host_ranks": 5e-4}
    assert host(**own) == pytest.approx(1e-3 + 1e-4)
    assert host(**own, batch=64) == pytest.approx(1e-3 + 64e-4)
    assert host(**own, batch=64, tp=2) == pytest.approx(1.5e-3 + 64e-4)
    assert host(**own, batch=64, dp=4) == pytest.approx(1e-3 + 16e-4)  # each rank its own host


def test_nobody_waits_for_a_host_at_the_limit() -> None:
    asked = {**ASKED, "gpu": "h100", "limit": True}
    tpot = [llmroof.estimate(**asked, engine=e).serving.tpot for e in ("generic", "vllm-2024")]
    assert tpot[0] == tpot[1]


def test_a_host_slows_a_served_load_and_explain_tells_it() -> None:
    loaded = {**ASKED, "gpu": "h100", "concurrency": 32}
    plain = llmroof.estimate(**loaded, engine="vllm")
    old = llmroof.estimate(**loaded, engine="vllm-2024")
    assert old.serving.tpot > plain.serving.tpot + 1.1e-3 + 32 * 75e-6 - 1e-4
    from llmroof.render.explain_service import serving_section

    static = llmroof.estimate(**ASKED, gpu="h100", batch=32, engine="vllm-2024")
    assert "3.50 ms of the host between steps" in str(serving_section(static))  # 1.1 + 32 × 0.075


def test_eager_engines_launch_decode_steps_as_they_launch_prompts() -> None:
    for name in ("vllm-eager", "trtllm-2024", "pytorch"):
        rules = load_engine(name)
        assert rules.launch_scale == rules.eager_scale


def test_help_names_every_engine() -> None:
    from llmroof.calibration import load
    from llmroof.cli.questions import _ENGINES

    written = (load._FOLDER / "engines.yaml").read_text()
    named = {line[: line.index(":")] for line in written.splitlines() if line[:1].isalpha()}
    assert named == set(_ENGINES)
    assert all(load_engine(name).source for name in named)


# -- matrix times vector ----------------------------------------------------------------------


def product(
    gpu: str, m: float, weight: float, lane: float = math.inf, vector: bool = True
) -> float:
    hardware = load_hardware(gpu)
    seen = silicon(hardware, "fp16", 1.0, lane)
    rate = 0.5 * hardware.compute["fp32"] if vector else 0.0
    fit = BASE.graph.families["gemm bfloat16"]
    shape = {"m": m, "n": 8192.0, "k": 8192.0, "weight": weight, "activation": 2.0}
    return float(gemm(seen, fit, **shape, steady=True, vector=rate))


def test_one_row_pays_no_padded_tile() -> None:
    # A10G, 600 GB/s: 8192² weights of half a byte are 56 µs of memory; a tile of 16 rows on
    # 70 TFLOP/s, at the efficiency of small tiles, is longer than that
    memory = 8192**2 * 0.5 / 600e9
    padded, own = product("a10g", 1.0, 0.5, vector=False), product("a10g", 1.0, 0.5)
    assert padded > 2 * memory
    assert memory < own < 1.5 * memory


def test_many_rows_take_the_tensor_cores() -> None:
    assert product("a10g", 512.0, 0.5) == product("a10g", 512.0, 0.5, vector=False)


def test_a_lane_bounds_devices_with_few_processors_for_their_memory() -> None:
    # A100: 2.04 TB/s over 108 processors, 18.9 GB/s each; RTX 4090: 1.01 TB/s over 128, 7.9
    ratio = product("a100-sxm-80gb", 1.0, 2.0, lane=13e9) / product("a100-sxm-80gb", 1.0, 2.0)
    assert ratio == pytest.approx(2.039e12 / 108 / 13e9, rel=0.1)
    assert product("rtx-4090", 1.0, 2.0, lane=13e9) == product("rtx-4090", 1.0, 2.0)


def test_more_rows_never_take_less_time() -> None:
    for gpu in ("a10g", "rtx-4090", "h100", "t4"):
        times = [product(gpu, float(m), 0.5) for m in np.arange(1, 65)]
        assert all(one <= two * (1 + 1e-12) for one, two in pairwise(times))


def test_every_part_of_a_time_follows_the_pace_of_one_measured_point() -> None:
    """Half as quick: each part twice as long; twice as quick: never below the limit."""
    times = [Times(1.0, 3.0, 0.5, 0.25, 3.25)]
    floors = [Times(0.5, 2.0, 0.25, 0.0, 2.0)]
    assert paced(times, floors, 2.0) == [Times(2.0, 6.0, 1.0, 0.5, 6.5)]
    assert paced(times, floors, 0.5) == [Times(0.5, 1.5, 0.25, 0.125, 2.0)]
