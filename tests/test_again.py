"""The same question with one thing different: equal to that question asked anew."""

from __future__ import annotations

from typing import Any

import pytest

from llmroof import estimate, load_hardware
from llmroof.search.again import again

ASKED: dict[str, Any] = {
    "model": "llama-3-8b", "gpu": "h100", "batch": 64, "input_len": 2048, "output_len": 64,
    "precision": "bf16", "tp": 1,
}  # fmt: skip
CHANGES: list[dict[str, Any]] = [
    {"precision": "fp8"},
    {"precision": "w4a16"},
    {"kv_cache_dtype": "fp8"},
    {"batch": 8},
    {"tp": 2},
    {"max_num_batched_tokens": 512},
]


def figures(found: Any) -> tuple[float, ...]:
    serving = found.serving
    return float(serving.ttft), float(serving.tpot), float(serving.output_tokens_per_s)


@pytest.mark.parametrize("engine", ["generic", "vllm", "sglang", "trtllm", "llamacpp"])
@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_change_equals_the_question_asked_anew(engine: str, change: dict[str, Any]) -> None:
    asked = ASKED | {"engine": engine}
    assert figures(again(estimate(**asked), **change)) == figures(estimate(**(asked | change)))


@pytest.mark.parametrize("engine", ["vllm", "llamacpp"])
def test_other_devices_bring_their_own_rates(engine: str) -> None:
    asked = ASKED | {"engine": engine, "precision": "fp16", "gpu": "rtx-3090", "batch": 1}
    moved = again(estimate(**asked), gpu=load_hardware("rtx-4090"))
    assert figures(moved) == figures(estimate(**(asked | {"gpu": "rtx-4090"})))


def test_a_cache_format_of_the_engine_goes_with_its_weights() -> None:
    asked = ASKED | {"engine": "vllm", "precision": "fp8"}
    back = again(estimate(**asked), precision="bf16")
    assert figures(back) == figures(estimate(**(asked | {"precision": "bf16"})))
