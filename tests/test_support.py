"""Every GPU with every precision: an answer, or one line with a way out that works."""

from __future__ import annotations

import re
from functools import cache

import pytest

import llmroof
from llmroof import load_hardware
from llmroof.engine.roofline import require_support
from llmroof.errors import LlmroofError, Unsupported
from llmroof.models.load import load_model
from llmroof.resolve import deploy
from llmroof.specs.catalog import HARDWARE
from llmroof.specs.precision import RECIPES

machine = cache(load_hardware)
#: stored in bf16, fp16, fp8 and mxfp4
STORED = ("llama-3.1-8b", "opt-6.7b", "deepseek-v3", "gpt-oss-120b")


def ways_out(sentence: str) -> list[dict[str, str]]:
    """The options that a refusal names, each set as keywords."""
    found = [
        {"weights": weights, "activations": activations}
        for weights, activations in re.findall(r"--weights (\S+) --activations (\w+)", sentence)
    ]
    return [*found, *({"precision": name} for name in re.findall(r"--precision (\w+)", sentence))]


@pytest.mark.parametrize("gpu", HARDWARE.files())
def test_answered_or_refused_with_a_way_out_that_works(gpu: str) -> None:
    hardware = machine(gpu)
    for model in STORED:
        for name in (*RECIPES, None):
            try:
                deploy(model=load_model(model), gpu=hardware, precision=name)
            except Unsupported as error:
                sentence = str(error)
                assert "\n" not in sentence
                assert f"{hardware.name} has no " in sentence
                ways = ways_out(sentence)
                assert ways, sentence
                for way in ways:
                    deployment, _ = deploy(model=load_model(model), gpu=hardware, **way)
                    require_support(hardware, deployment.run.precision)


@pytest.mark.parametrize("name", ["w8a16", "w4a16", "mxfp4", "nf4"])
@pytest.mark.parametrize("gpu", ["a100", "t4", "h100", "mi210", "tpu-v4", "gaudi2"])
def test_weight_only_formats_compute_in_sixteen_bits(gpu: str, name: str) -> None:
    """Fewer bytes, the same arithmetic: prefill is as fast as in 16 bits, decode is faster."""
    hardware = machine(gpu)
    wide = "bf16" if "bf16" in hardware.compute else "fp16"
    small, plain = (
        llmroof.estimate(
            model="llama-3.1-8b", gpu=hardware, precision=kind, num_gpus=1, batch=1, limit=True
        )
        for kind in (name, wide)
    )
    used = {
        cost.operator.compute for cost in small.decode.operators if cost.operator.kind == "gemm"
    }
    assert used == {wide}
    assert small.prefill.flop == plain.prefill.flop
    assert small.decode.bytes < plain.decode.bytes
    assert small.decode.ridge_point == plain.decode.ridge_point


def test_fp8_on_an_a100_is_refused_with_the_reason_and_the_alternatives() -> None:
    with pytest.raises(Unsupported) as refusal:
        llmroof.estimate(model="llama-3.1-8b", gpu="a100", precision="fp8")
    assert str(refusal.value) == (
        "NVIDIA A100 SXM4 80 GB has no fp8 arithmetic (it has fp64, fp64_tensor, fp32, tf32, "
        "fp16, bf16, int8, int4): keep the small weights and compute in 16 bits with "
        "--weights fp8 --activations bf16, or use --precision bf16"
    )


def test_a_checkpoint_stored_in_fp8_is_refused_where_there_is_none() -> None:
    with pytest.raises(Unsupported, match="--weights fp8-block --activations bf16, or use"):
        llmroof.estimate(model="deepseek-v3", gpu="a100")
    answered = llmroof.estimate(
        model="deepseek-v3", gpu="a100", weights="fp8-block", activations="bf16", tp=8, pp=2
    )
    assert answered.decode.time > 0


def test_devices_without_bf16_are_told_of_fp16() -> None:
    with pytest.raises(LlmroofError, match=r"--activations fp16, or use --precision fp16$"):
        llmroof.estimate(model="llama-3.1-8b", gpu="t4", precision="fp8")
