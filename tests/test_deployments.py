"""Whole deployments over several chips against figures that were worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

import llmroof
from llmroof import load_hardware
from llmroof.calibration.load import load_engine
from llmroof.engine.deployment import Deployment, Workload
from llmroof.engine.estimate import Estimate, estimate
from llmroof.models.load import load_model
from llmroof.operators import Execution, Plan
from llmroof.specs.precision import FORMATS, Precision, recipe


def without_network(found: Estimate) -> float:
    """Seconds of a decode step, communication left out."""
    return sum(
        float(cost.limit.total)
        for cost in found.decode.operators
        if cost.operator.compute != "network"
    )


# --- Llama-3.1-70B in fp8 on 8 x H100 --------------------------------------------------


def seventy_billion(precision: Precision) -> Estimate:
    how = Execution(precision, Plan(tp=8))
    serving = Deployment(load_model("llama-3.1-70b"), load_hardware("h100"), how, load_engine())
    return estimate(serving, Workload(64.0, 2048.0, 512.0))


def test_70b_with_its_head_in_fp8_takes_3_61_ms() -> None:
    """96.7 GB over 8 x 3.35 TB/s: 69.5 of weights, 24.2 of cache, 3.1 of activations."""
    fp8 = recipe("fp8").with_parts(kv_cache="fp8")
    found = seventy_billion(replace(fp8, roles={"lm_head": FORMATS["fp8"]}))
    assert found.decode.bytes == pytest.approx(96.7e9, rel=1e-3)
    assert without_network(found) == pytest.approx(3.61e-3, rel=1e-3)


def test_70b_as_fp8_checkpoints_are_stored_takes_3_65_ms() -> None:
    """The head stays in 16 bits: 128,256 x 8,192 more bytes, 1.05 GB."""
    found = seventy_billion(recipe("fp8").with_parts(kv_cache="fp8"))
    assert found.decode.bytes == pytest.approx(96.7e9 + 128256 * 8192, rel=1e-3)
    assert without_network(found) == pytest.approx(3.65e-3, rel=1e-3)


# --- mixtures of experts ---------------------------------------------------------------


def experts_touched(found: Estimate) -> float:
    return next(
        float(cost.operator.shape["touched"]) * cost.operator.shape["ep"]
        for cost in found.decode.operators
        if cost.operator.kind == "moe"
    )


@pytest.mark.parametrize(("batch", "milliseconds", "experts"), [(1, 3.83, 2.0), (32, 14.66, 8.0)])
def test_mixtral_on_two_h100(batch: int, milliseconds: float, experts: float) -> None:
    """8(1 − (6/8)^32) = 7.999 of 8 experts: nearly all 93.4 GB are read by 32 tokens."""
    found = llmroof.estimate(
        model="mixtral-8x7b", gpu="h100", tp=2, precision="bf16", batch=batch,
        input_len=1024, output_len=256, limit=True,
    )  # fmt: skip
    assert experts_touched(found) == pytest.approx(experts, rel=1e-3)
    assert without_network(found) == pytest.approx(milliseconds * 1e-3, rel=2e-3)


def test_deepseek_v3_on_eight_h200() -> None:
    """256(1 − (248/256)^32) = 163.3 experts; q_a, kv_a and the router stand on every device."""
    found = llmroof.estimate(
        model="deepseek-v3", gpu="h200", tp=8, kv_cache_dtype="bf16", batch=32,
        input_len=1024, output_len=256, limit=True,
    )  # fmt: skip
    assert experts_touched(found) == pytest.approx(163.3, abs=0.05)
    assert without_network(found) == pytest.approx(12.1e-3, rel=0.01)


@pytest.mark.parametrize(
    "plan", [{"tp": 8, "ep": 8}, {"tp": 8}, {"tp": 4, "dp": 2, "ep": 8}, {"dp": 8, "ep": 8}]
)
def test_experts_are_read_once_however_they_are_spread(plan: dict[str, int]) -> None:
    """The routed experts' bytes over all devices do not depend on the plan."""

    def moved(**degrees: int) -> float:
        found = llmroof.estimate(
            model="deepseek-v3", gpu="h200", batch=32, input_len=1024, output_len=256,
            limit=True, **degrees,
        )  # fmt: skip
        return sum(
            float(cost.operator.weight_bytes * cost.operator.count)
            for cost in found.decode.operators
            if cost.operator.kind == "moe"
        )

    assert moved(**plan) == pytest.approx(moved(tp=8), rel=1e-9)


def test_data_parallel_attention_exchanges_tokens_and_splits_the_latent_cache() -> None:
    """MLA's cache is whole on every tensor parallel device, an eighth under dp 8."""
    asked = {"model": "deepseek-v3", "gpu": "h200", "batch": 64}
    sharded = llmroof.estimate(**asked, tp=8, ep=8)
    spread = llmroof.estimate(**asked, dp=8, ep=8)
    assert spread.memory.kv_cache_bytes == pytest.approx(sharded.memory.kv_cache_bytes / 8)
    kinds = [
        {cost.operator.kind for cost in found.decode.operators if cost.operator.network_bytes}
        for found in (sharded, spread)
    ]
    assert "all_reduce" in kinds[0]
    assert "all_to_all" not in kinds[0]
    assert kinds[1] == {"all_to_all"}


def test_an_engine_is_known_in_any_case() -> None:
    lower, upper = (llmroof.estimate(gpu="h100", engine=name) for name in ("vllm", "vLLM"))
    assert upper.deployment == lower.deployment
