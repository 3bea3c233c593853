"""Floors of passes: never above the expected time, equal to it where nothing is left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import llmroof
from llmroof.engine.deployment import Deployment
from llmroof.engine.floors import least_time
from llmroof.engine.serving import pass_of
from llmroof.operators import Step
from llmroof.specs.measured import AllReduce, Measured

BATCHES = np.array([1.0, 7.0, 64.0, 500.0])
QUESTIONS: list[dict[str, Any]] = [
    {"model": "llama-3.1-8b", "gpu": "h100", "tp": 1},
    {"model": "llama-3.1-70b", "gpu": "h100", "tp": 8, "precision": "fp8"},
    {"model": "llama-3.1-70b", "gpu": "l40s", "tp": 4, "pp": 2, "engine": "vllm"},
    {"model": "llama-3.1-70b", "gpu": "b200", "tp": 2, "precision": "nvfp4"},
    {"model": "deepseek-r1", "gpu": "h200", "tp": 8, "ep": 8, "engine": "sglang"},
    {"model": "deepseek-r1", "gpu": "mi300x", "tp": 1, "dp": 8, "ep": 8},
    {"model": "gpt-oss-120b", "gpu": "gb200", "tp": 4, "engine": "trtllm"},
    {"model": "llama-3.1-70b", "gpu": "h100", "tp": 16, "all_reduce": "switch"},
    {"model": "llama-3.1-70b", "gpu": "h100", "tp": 4, "limit": True},
]


def deployment(question: dict[str, Any]) -> Deployment:
    return llmroof.estimate(**question, batch=1).deployment


def passes(one: Deployment) -> list[tuple[Any, Any, bool]]:
    """(expected time, floor, with a prompt) of a decode step, a prompt and both together."""
    steps, prompt = Step(BATCHES, 1.0, 1024.0), Step(1.0, 2048.0, 512.0)
    found = []
    for work, prompts in (((steps,), False), ((prompt,), True), ((steps, prompt), True)):
        floor = least_time(one.model.operators(work, one.run), [one], prompts)
        found.append((pass_of(one, work, prompts).time, floor[0], prompts))
    return found


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_no_pass_is_faster_than_its_floor(question: dict[str, Any]) -> None:
    for time, floor, _ in passes(deployment(question)):
        assert np.all(time >= floor * (1 - 1e-12))
        assert np.all(time <= 8 * floor)  # a floor that says nothing would bound nothing


def test_plain_shares_leave_nothing_out() -> None:
    """Kernels of AMD parts have no formula of their own: on one device floor and time agree."""
    one = deployment({"model": "llama-3.1-8b", "gpu": "mi300x", "tp": 1})
    for time, floor, _ in passes(one):
        assert np.allclose(time, floor, rtol=1e-12)


def test_a_collective_sends_all_but_its_own_part_once_at_the_least() -> None:
    """At the limit, in one domain: a sum takes twice its floor, a gathering just that."""
    one = deployment({"model": "llama-3.1-70b", "gpu": "h100", "tp": 4, "limit": True})
    run, rate = one.run, one.hardware.links["scale_up"].bandwidth
    kernels = one.model.operators((Step(8.0, 1.0, 9.0),), run)
    (scores,) = (o for o in kernels if o.kind == "all_gather")
    assert least_time([scores], [one])[0] == pytest.approx(scores.shape["message"] * 0.75 / rate)
    sums = [o for o in kernels if o.kind == "all_reduce"]
    sent = sum(o.count * o.shape["message"] for o in sums)
    assert least_time(sums, [one])[0] == pytest.approx(sent * 0.75 / rate)


def test_many_devices_are_met_at_once() -> None:
    several = [deployment({"gpu": gpu, "tp": 1}) for gpu in ("a100", "h100", "mi300x")]
    steps = (Step(BATCHES, 1.0, 1024.0),)
    operators = several[0].model.operators(steps, several[0].run)
    together = least_time(operators, several)
    assert together.shape == (3, len(BATCHES))
    for row, one in zip(together, several, strict=True):
        assert np.array_equal(row, least_time(operators, [one])[0])


def test_missing_arithmetic_takes_forever() -> None:
    able, unable = (deployment({"gpu": gpu, "tp": 1}) for gpu in ("h100", "a100"))
    run = llmroof.estimate(gpu="h100", precision="fp8", batch=1).deployment.run
    operators = able.model.operators((Step(1.0, 1.0, 10.0),), run)
    floor = least_time(operators, [able, unable])
    assert np.isfinite(floor[0])
    assert np.isinf(floor[1])


def test_measured_sums_stay_above_the_floor() -> None:
    """A device's own all-reduce may beat the universal start of a collective."""
    known = llmroof.load_hardware("h100")
    sums = AllReduce(8.0, (1000.0, 1e9), (1e-6, 1e-3))
    own = replace(known, measured=Measured("2026-11-22", "made up", 0.01, all_reduce=sums))
    for time, floor, _ in passes(deployment({"model": "llama-3.1-8b", "gpu": own, "tp": 8})):
        assert np.all(time >= floor * (1 - 1e-12))


def test_an_expected_collective_is_bounded_by_its_start_and_its_bytes() -> None:
    """Over four devices: the start, two doublings, and the bytes at the best share of a link."""
    one = deployment({"model": "llama-3.1-70b", "gpu": "h100", "tp": 4})
    rate = one.hardware.links["scale_up"].bandwidth
    assert one.calibration is not None
    kernels = one.model.operators((Step(8.0, 1.0, 9.0),), one.run)
    for kind, name, crossings in (("all_gather", "others", 1), ("all_reduce", "all_reduce", 2)):
        fit = one.calibration.network[name]
        for kernel in (kernel for kernel in kernels if kernel.kind == kind):
            sent = kernel.shape["message"] * 0.75 / rate
            each = crossings * sent / max(fit.share.values()) + fit.start + 2 * fit.per_doubling
            assert least_time([kernel], [one])[0] == pytest.approx(kernel.count * each)
