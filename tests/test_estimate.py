"""Whole answers: golden figures worked out by hand, the static batch, cost, bad questions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import dense, device, run

import llmroof
from llmroof.calibration.load import EngineRules, load_calibration
from llmroof.engine.cost import price
from llmroof.engine.deployment import Deployment, Workload
from llmroof.engine.estimate import serve_static
from llmroof.engine.passes import decode_pass, prefill_pass
from llmroof.engine.phases import OperatorCost
from llmroof.errors import InputError, LlmroofError, UnknownName
from llmroof.specs.hardware import Memory

RULES = EngineRules(0.9, 8192.0)


# --- golden figures, by hand ---------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "parameters", "per_token"),
    [
        # 2·32000·4096 + 32·(4·4096² + 3·4096·11008 + 2·4096) + 4096; 2·32·32·128·2
        ("llama-2-7b", 6_738_415_616, 524_288),
        # 2·128256·4096 + 32·(2·4096² + 2·4096·1024 + 3·4096·14336 + 2·4096) + 4096; 2·32·8·128·2
        ("llama-3-8b", 8_030_261_248, 131_072),
    ],
)
def test_published_sizes_to_the_digit(model: str, parameters: int, per_token: int) -> None:
    loaded = llmroof.load_model(model)
    assert loaded.parameters == parameters
    assert loaded.kv_cache_bytes_per_token(loaded.precision) == per_token


def llama3(gpu: str) -> llmroof.Estimate:
    return llmroof.estimate(
        model="llama-3-8b",
        gpu=gpu,
        batch=32,
        input_len=1024,
        output_len=256,
        precision="bf16",
        limit=True,
    )


def test_llama_3_8b_prefill_by_hand() -> None:
    """32 prompts of 1,024: every matrix on all tokens, the head on 32 positions."""
    matrices = 32 * (2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
    linear = 2 * 32 * 1024 * matrices
    attention = 32 * 32 * (4 * 32 * 128) * (1024 * 1025 / 2)
    head = 2 * 32 * 4096 * 128256
    found = llama3("a100-sxm-80gb").prefill
    assert found.flop == linear + attention + head
    assert found.flop == pytest.approx(4.662e14, rel=2e-4)
    assert found.bound == "compute"


def test_llama_3_8b_decode_by_hand() -> None:
    """32 sequences at 1,024 + 256/2 tokens of context."""
    matrices = 32 * (2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 14336) + 4096 * 128256
    found = llama3("a100-sxm-80gb").decode
    assert found.flop == 2 * 32 * matrices + 32 * 32 * (4 * 32 * 128) * 1152
    assert found.flop == pytest.approx(4.996e11, rel=2e-4)
    weights, cache = 2 * matrices, 32 * 1152 * 131_072
    assert found.bytes == pytest.approx(weights + cache, rel=0.01)  # and small activations
    assert found.bytes == pytest.approx(20.0e9, rel=1e-3)
    assert found.arithmetic_intensity == pytest.approx(24.97, abs=0.005)
    assert found.bound == "memory"


@pytest.mark.parametrize(
    ("gpu", "bandwidth", "milliseconds"),
    [("a100-sxm-80gb", 2.039e12, 9.8), ("h100-sxm", 3.35e12, 5.97)],
)
def test_llama_3_8b_decode_at_the_roofline(gpu: str, bandwidth: float, milliseconds: float) -> None:
    found = llama3(gpu)
    assert found.decode.time == pytest.approx(found.decode.bytes / bandwidth, rel=1e-12)
    assert found.decode.time == pytest.approx(milliseconds / 1000, rel=2e-3)
    assert found.serving.tpot == found.decode.time == found.decode.roofline_time


def test_llama_3_1_70b_on_eight_devices_by_hand() -> None:
    """fp8 weights and cache, 64 sequences at 2,048 + 512/2 tokens, TP8 on H100.

    Weights and cache are 94.7 GB, activations on the eight devices 3.1 GB: 97.8 GB and
    3.65 ms, where another count of the same step has 96.7 GB and 3.61 ms.
    """
    found = llmroof.estimate(
        model="llama-3.1-70b",
        gpu="h100-sxm",
        tp=8,
        batch=64,
        input_len=2048,
        output_len=512,
        precision="fp8",
        kv_cache_dtype="fp8",
        limit=True,
    ).decode
    local = [cost for cost in found.operators if cost.operator.compute != "network"]
    moved = sum(
        (cost.operator.weight_bytes + cost.operator.kv_bytes) * cost.operator.count
        for cost in local
        if cost.operator.kind != "embedding"
    )
    cache = 64 * 2304 * (80 * 2 * 8 * 128)
    matrices = 80 * (2 * 8192**2 + 2 * 8192 * 1024 + 3 * 8192 * 28672)
    head = 2 * 8192 * 128256
    assert 8 * moved == pytest.approx(cache + matrices + head, rel=1e-3)
    assert found.bytes == pytest.approx(96.7e9, rel=0.015)
    assert sum(cost.limit.total for cost in local) == pytest.approx(3.61e-3, rel=0.015)


# --- the roofline survey's table -----------------------------------------------------

#: Yuan et al. 2024, "LLM Inference Unveiled: Survey and Roofline Model Insights", table of
#: Llama-2-7B on an A6000: 155 TFLOP/s, 768 GB/s; prompt 2,048, batch 1
A6000 = replace(device(155e12, 768e9), memory=Memory(48e9, 768e9))
SURVEY = {
    # phase, operator: operations, bytes, intensity, bound as the survey prints them
    ("prefill", "q_proj"): (69e9, 67e6, 1024, "compute"),
    ("prefill", "k_proj"): (69e9, 67e6, 1024, "compute"),
    ("prefill", "v_proj"): (69e9, 67e6, 1024, "compute"),
    ("prefill", "o_proj"): (69e9, 67e6, 1024, "compute"),
    ("prefill", "gate_proj"): (185e9, 152e6, 1215, "compute"),
    ("prefill", "up_proj"): (185e9, 152e6, 1215, "compute"),
    ("prefill", "down_proj"): (185e9, 152e6, 1215, "compute"),
    ("prefill", "softmax"): (671e6, 537e6, 1.25, "memory"),
    ("decode", "q_proj"): (34e6, 34e6, 1, "memory"),
    ("decode", "gate_proj"): (90e6, 90e6, 1, "memory"),
    ("decode", "qk_matmul"): (17e6, 17e6, 0.99, "memory"),
    ("decode", "softmax"): (330e3, 262e3, 1.25, "memory"),
}


def survey(phase: str, name: str) -> OperatorCost:
    """One operator of the survey's setting; decode's one step sees 2,048 keys."""
    found = llmroof.estimate(
        model="llama-2-7b",
        gpu=A6000,
        batch=1,
        input_len=2048 if phase == "prefill" else 2047,
        output_len=1 if phase == "prefill" else 2,
        precision="fp16",
        limit=True,
        attention="naive",
        fusion="none",
    )
    costs = (found.prefill if phase == "prefill" else found.decode).operators
    return next(cost for cost in costs if cost.operator.name == name)


@pytest.mark.parametrize(("phase", "name"), SURVEY, ids="-".join)
def test_the_survey_table(phase: str, name: str) -> None:
    flop, moved, intensity, bound = SURVEY[phase, name]
    cost = survey(phase, name)
    assert cost.operator.flop == pytest.approx(flop, rel=0.03)
    assert cost.operator.bytes == pytest.approx(moved, rel=0.03)
    assert cost.operator.flop / cost.operator.bytes == pytest.approx(intensity, rel=0.02)
    assert cost.limit.bound == bound


def test_the_survey_figures_of_the_issue() -> None:
    """q_proj: 2·2048·4096² FLOP; 2·(4096² + 2·2048·4096) bytes. gate_proj likewise with 11,008."""
    q, gate = survey("prefill", "q_proj").operator, survey("prefill", "gate_proj").operator
    assert q.flop == 2 * 2048 * 4096**2 == 68_719_476_736
    assert q.bytes == 2 * (4096**2 + 2 * 2048 * 4096) == 67_108_864
    assert q.flop / q.bytes == 1024
    assert gate.flop == 2 * 2048 * 4096 * 11008 == 184_683_593_728
    assert gate.bytes == 2 * (4096 * 11008 + 2048 * (4096 + 11008)) == 152_043_520
    one = survey("decode", "q_proj").operator
    assert one.flop == 2 * 4096**2 == 33_554_432
    assert one.bytes == 2 * (4096**2 + 2 * 4096) == 33_570_816


def test_where_the_survey_counts_otherwise() -> None:
    """Ours is causal: 2048·2049/2 pairs where the survey multiplies all 2048².

    So its prefill qk_matmul has 34 GOP and intensity 114 where ours has half of both; the
    bytes agree, for naive attention does write the masked half of its scores.
    The survey's `norm` (7 operations per value, 2 bytes in, 2 out) and `add` (1 operation,
    one of its two operands not counted) are one fused operator of ours: 7 operations per
    value, and 4 values moved (residual in and out, branch in, normed out).
    """
    qk = survey("prefill", "qk_matmul").operator
    assert qk.flop == 2 * 32 * 128 * (2048 * 2049 / 2)
    assert 34e9 / qk.flop == pytest.approx(2 * 2048 / 2049, rel=0.02)
    assert qk.bytes == 2 * (2 * 2048 * 4096 + 32 * 2048**2)
    assert qk.bytes == pytest.approx(302e6, rel=0.01)
    norm = survey("prefill", "attention_norm").operator
    assert norm.flop == 7 * 2048 * 4096
    assert norm.activation_bytes == 4 * 2048 * 4096 * 2  # the survey: 34 MB each for two


# --- the static batch ----------------------------------------------------------------


def test_steps_of_a_static_batch() -> None:
    """100 tokens in, 20 out: decode stands at its mean context of 110 keys."""
    work = Workload(4.0, 100.0, 20.0)
    assert prefill_pass(work, run().plan)[0].pairs() == 100 * 101 / 2
    assert decode_pass(work, run())[0].pairs() == 110
    assert decode_pass(work, run(kv_cache=False))[0].new_tokens == 110
    # the contexts of the 19 steps are 101 ... 119: their mean is 110
    assert np.mean(np.arange(101, 120)) == 110


def test_serving_figures_by_hand() -> None:
    """Prefill 2 s, steps of 0.1 s, 4 sequences of 100 in and 21 out on 2 devices."""
    found = serve_static(Workload(4, 100, 21), 2.0, 0.1, 2)
    assert found.ttft == 2.0
    assert found.tpot == 0.1
    assert found.e2e_latency == pytest.approx(2.0 + 20 * 0.1)
    assert found.requests_per_s == pytest.approx(4 / 4.0)
    assert found.output_tokens_per_s == pytest.approx(21.0)
    assert found.output_tokens_per_s_per_gpu == pytest.approx(10.5)
    assert found.total_tokens_per_s == pytest.approx(121.0)


def test_cost_by_hand() -> None:
    """2 devices at 1.80 USD/h: 0.001 USD per second; 4 requests in 4 s, half of it prefill."""
    deployment = Deployment(dense(), device(tdp=500.0), run(tp=2), RULES, usd_per_gpu_hour=1.8)
    found = price(
        deployment, requests_per_s=1.0, prefill_share=0.5, input_len=100.0, output_len=20.0
    )
    assert found.usd_per_hour == 3.6
    assert found.usd_per_million_input_tokens == pytest.approx(0.002 / 400 * 1_000_000)
    assert found.usd_per_million_output_tokens == pytest.approx(0.002 / 80 * 1_000_000)
    assert found.usd_per_million_total_tokens == pytest.approx(0.004 / 480 * 1_000_000)
    assert found.joule_per_output_token == pytest.approx(2 * 500 * 4.0 / 80)


def test_input_and_output_cost_add_up() -> None:
    found = llmroof.estimate(gpu="a100", batch=32)
    work, cost = found.workload, found.cost
    parts = (
        cost.usd_per_million_input_tokens * work.input_len
        + cost.usd_per_million_output_tokens * work.output_len
    )
    whole = cost.usd_per_million_total_tokens * (work.input_len + work.output_len)
    assert parts == pytest.approx(whole, rel=1e-12)
    paid = cost.usd_per_hour * found.serving.e2e_latency / 3600
    assert whole * work.batch / 1_000_000 == pytest.approx(paid, rel=1e-12)


def test_no_price_no_cost() -> None:
    found = price(
        Deployment(dense(), device(), run(), RULES),
        requests_per_s=1.0,
        prefill_share=0.5,
        input_len=8.0,
        output_len=8.0,
    )
    assert found.usd_per_hour is None
    assert found.usd_per_million_output_tokens is None
    assert found.joule_per_output_token is None


def test_a_price_of_ones_own() -> None:
    found = llmroof.estimate(gpu="a100", batch=32, price=1.0)
    twice = llmroof.estimate(gpu="a100", batch=32, price=2.0)
    assert found.cost.usd_per_hour == 1.0
    assert twice.cost.usd_per_million_output_tokens == pytest.approx(
        2 * found.cost.usd_per_million_output_tokens
    )


# --- expected times ------------------------------------------------------------------


def test_no_kernel_is_expected_above_its_roof() -> None:
    fit = load_calibration()
    for kind in fit.kinds.values():
        assert 0 < kind.memory <= 1
        assert all(0 < share <= 1 for share in kind.compute.values())
    for way in fit.network.values():
        assert all(0 < share <= 1 for share in way.share.values())


@pytest.mark.parametrize("gpu", ["a100-sxm-80gb", "h100-sxm", "rtx-4090", "mi300x"])
def test_expected_times_lie_above_the_limit(gpu: str) -> None:
    for batch in (1, 32):
        found = llmroof.estimate(gpu=gpu, batch=batch)
        pure = llmroof.estimate(gpu=gpu, batch=batch, limit=True)
        for phase, floor in ((found.prefill, pure.prefill), (found.decode, pure.decode)):
            assert phase.roofline_time == pytest.approx(floor.time, rel=1e-12)
            assert phase.time > phase.roofline_time
            for cost in phase.operators:
                assert cost.times.total >= cost.limit.total


# --- questions -----------------------------------------------------------------------


def test_defaults_are_named() -> None:
    found = llmroof.estimate(gpu="a100", batch=32)
    assert {"model", "input_len", "output_len"} <= set(found.defaults)
    assert not {"gpu", "batch"} & set(found.defaults)
    assert found.deployment.hardware.id == "a100-sxm-80gb"


def test_a_model_that_does_not_fit_one_device_takes_more() -> None:
    """Llama-3.1-70B: 141 GB of weights; two devices of 72 GB usable have 2 GB left."""
    found = llmroof.estimate(model="llama-3.1-70b", gpu="a100-sxm-80gb", batch=32)
    assert found.deployment.num_gpus == 4
    assert found.fits
    assert any("4 GPUs" in note for note in found.notes)
    alone = llmroof.estimate(model="llama-3.1-70b", gpu="a100-sxm-80gb", num_gpus=1)
    assert not alone.fits
    assert alone.memory.max_batch == 0


@pytest.mark.parametrize("bad", [0, -1, 1.5, float("nan"), float("inf"), 2e9, "x", None, [[]]])
@pytest.mark.parametrize("name", ["batch", "input_len", "output_len"])
def test_numbers_that_count_nothing_are_refused(name: str, bad: object) -> None:
    if bad is None:
        return
    with pytest.raises(InputError, match=rf"^{name} ") as error:
        llmroof.estimate(**{name: bad})
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"gpu": "h10"}, "unknown GPU 'h10'; did you mean 'h100'? (see llmroof gpus)"),
        ({"model": "lama-3.1-8b"}, "unknown model 'lama-3.1-8b'; did you mean 'llama-3.1-8b'?"),
        ({"precision": "bf61"}, "unknown precision 'bf61'; did you mean 'bf16'?"),
        ({"kv_cache_dtype": "fp7"}, "unknown number format 'fp7'; did you mean 'fp"),
        ({"engine": "vlm"}, "unknown engine 'vlm'"),
        ({"attention": "fast"}, "attention must be flash or naive, not 'fast'"),
        ({"fusion": "some"}, "fusion must be fused or none, not 'some'"),
        ({"tp": 3}, "tp=3 does not divide the 32 attention heads of Llama"),
        ({"tp": 0}, "tp must be 1 or more, not 0"),
        ({"num_gpus": -1}, "num_gpus must be 1 or more, not -1"),
        ({"num_gpus": 8, "tp": 4}, "num_gpus=8 contradicts tp x pp x dp = 4 x 1 x 1 = 4"),
        ({"num_gpus": 3, "pp": 2}, "num_gpus=3 is not a multiple of pp x dp = 2"),
        ({"pp": 64}, "pp=64 is more than the 32 layers of Llama"),
        ({"price": -1.0}, "price must be zero or more USD per GPU-hour, not -1"),
        ({"price": float("nan")}, "price must be zero or more USD per GPU-hour, not nan"),
        ({"gpu_memory_utilization": 0.0}, "gpu_memory_utilization must be above 0 and at most 1"),
        ({"gpu_memory_utilization": 1.1}, "gpu_memory_utilization must be above 0 and at most 1"),
        ({"input_len": 131072}, "input_len + output_len = 131328 tokens is beyond the 131072"),
        ({"gpu": "a100", "precision": "fp8"}, "NVIDIA A100"),
        (
            {"concurrency": 8, "load": "gauss"},
            "load must be closed or burst or poisson, not 'gauss",
        ),
        ({"concurrency": 8, "load": "poisson"}, "a Poisson load needs request_rate"),
        ({"request_rate": 0.0}, "request_rate must be above zero"),
        ({"speculative_tokens": 65, "acceptance_rate": 0.5}, "speculative_tokens must be 1 to 64"),
        ({"speculative_tokens": 3}, "speculative_tokens needs acceptance_rate"),
        ({"speculative_tokens": 3, "acceptance_rate": 1.5}, "acceptance_rate must be 0 to 1, not"),
        ({"acceptance_rate": 0.5}, "acceptance_rate and draft_model need speculative_tokens"),
    ],
)
def test_bad_questions_are_one_line(question: dict[str, object], message: str) -> None:
    with pytest.raises(LlmroofError) as error:
        llmroof.estimate(**question)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("name", ["model", "gpu", "engine"])
def test_an_empty_name_is_not_a_default(name: str) -> None:
    with pytest.raises(UnknownName):
        llmroof.estimate(**{name: ""})


def test_an_fp16_checkpoint_runs_in_bf16_where_there_is_no_fp16() -> None:
    """Llama-2-7B is stored in fp16; a TPU has bf16 only, as a T4 has fp16 only."""
    assert llmroof.estimate(model="llama-3.1-8b", gpu="t4", tp=2).notes
    assert llmroof.estimate(model="llama-2-7b", gpu="tpu-v5e", tp=2).notes


def test_default_lengths_shrink_where_the_context_is_short() -> None:
    """gpt2 was made for 1,024 tokens: 256 out leave 768 in; what was given is kept."""
    found = llmroof.estimate(model="gpt2", gpu="t4").workload
    assert (found.input_len, found.output_len) == (768, 256)
    found = llmroof.estimate(model="gpt2", gpu="t4", output_len=24).workload
    assert (found.input_len, found.output_len) == (1000, 24)
    with pytest.raises(InputError, match="beyond the 1024"):
        llmroof.estimate(model="gpt2", gpu="t4", input_len=1024, output_len=1)


@pytest.mark.parametrize("engine", ["generic", "vllm", "sglang", "trtllm"])
@pytest.mark.parametrize("load", [{"concurrency": 48}, {"request_rate": 2.0}])
def test_requests_per_second_have_one_definition(engine: str, load: dict[str, Any]) -> None:
    """Finished requests, by Little's law; `pace` is what the running ones could do."""
    found = llmroof.estimate(gpu="h100", engine=engine, **load)
    assert found.steady is not None
    assert found.serving.requests_per_s == found.steady.requests_per_s
    in_flight = found.steady.requests_per_s * found.serving.e2e_latency
    assert in_flight == pytest.approx(found.load.concurrency, rel=1e-12)
    if "concurrency" in load:
        step = found.steady.tpot * found.load.output_len + found.steady.prefill
        assert found.steady.pace == pytest.approx(found.steady.running / step, rel=1e-12)


def test_an_estimate_shows_itself_in_one_line() -> None:
    one = llmroof.estimate(gpu="a100", batch=32)
    assert repr(one) == (
        "<Estimate: llama-3.1-8b in bf16 on 1 x a100-sxm-80gb, TTFT 2.05 s, TPOT 14.1 ms, "
        "1,451 output tokens/s>"
    )
    many = llmroof.estimate(gpu="a100", batch=[1, 2, 4])
    assert repr(many) == "<Estimate: llama-3.1-8b in bf16 on 1 x a100-sxm-80gb, 3 points>"
