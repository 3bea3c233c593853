"""Wrong answers seen in public calculators, each with the right value worked out by hand.

The numbering is that of the collection of pitfalls that the project started from.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import dense, device, run

import llmroof
from llmroof import load_hardware, load_model
from llmroof.blocks.attention import Attention
from llmroof.blocks.experts import distinct_experts
from llmroof.blocks.latent import LatentAttention
from llmroof.errors import LlmroofError
from llmroof.models.hf_config.read import read_config
from llmroof.operators import Operator, Step
from llmroof.specs.catalog import HARDWARE, MODELS


def llama3(**options: object) -> llmroof.Estimate:
    """Llama-3-8B, 32 sequences of 1,024 in and 256 out, at the roofline of an A100."""
    asked = {
        "model": "llama-3-8b",
        "gpu": "a100-sxm-80gb",
        "batch": 32,
        "input_len": 1024,
        "output_len": 256,
        "limit": True,
    }
    return llmroof.estimate(**(asked | options))


def named(phase: llmroof.engine.phases.PhaseEstimate, name: str) -> Operator:
    return next(cost.operator for cost in phase.operators if cost.operator.name == name)


# --- counting ------------------------------------------------------------------------


def test_01_gqa_reads_the_kv_heads_only() -> None:
    """8 KV heads, not 32: 2·8·128·2 bytes per token, layer; all heads would take 17 ms."""
    core = named(llama3().decode, "attention")
    assert core.kv_bytes == 32 * 1152 * (2 * 8 * 128 * 2)
    assert core.count == 32
    assert llama3().decode.time == pytest.approx(9.81e-3, rel=1e-3)
    all_heads = llama3().decode.bytes + 3 * core.kv_bytes * 32
    assert all_heads / 2.039e12 == pytest.approx(16.9e-3, rel=0.02)


def test_01_flash_is_not_slower_than_naive() -> None:
    for phase in ("prefill", "decode"):
        flash, naive = (getattr(llama3(attention=k), phase) for k in ("flash", "naive"))
        assert flash.time <= naive.time


def test_02_scores_cost_memory_traffic_in_naive_attention_only() -> None:
    """32 heads x 1024² scores x 32 sequences in 16 bits: 2.1 GB, four times per layer."""
    scores = 32 * 32 * 1024**2 * 2
    naive, flash = llama3(attention="naive").prefill, llama3().prefill
    assert naive.bytes - flash.bytes == 32 * 4 * scores
    core = named(flash, "attention")
    qkvo = 32 * 1024 * (2 * 32 + 2 * 8) * 128 * 2
    assert core.bytes == qkvo  # queries, keys, values and the result: nothing of S x S


def test_03_the_head_scores_the_last_position_with_a_multiply_and_an_add() -> None:
    for phase in (llama3().prefill, llama3().decode):
        head = named(phase, "lm_head")
        assert head.flop == 2 * 32 * 4096 * 128256
        assert head.weight_bytes == 2 * 4096 * 128256
    assert llama3().memory.weights_bytes == 2 * 8_030_261_248 == 16_060_522_496


def test_04_a_decode_step_writes_one_token_of_cache() -> None:
    """Reads 1,152 tokens of each sequence and writes 1; loading and storing all is +77 %."""
    ops = [cost.operator for cost in llama3().decode.operators]
    assert sum(op.kv_bytes * op.count for op in ops) == 32 * (1152 + 1) * 131_072
    # 4.83 GB would be read a second time, to no effect on the other 15.2 GB


def test_05_an_embedding_look_up_reads_rows_and_multiplies_nothing() -> None:
    rows = named(llama3().prefill, "embed_tokens")
    assert rows.flop == 0
    assert rows.weight_bytes == 32 * 1024 * 4096 * 2
    assert named(llama3().decode, "embed_tokens").weight_bytes == 32 * 4096 * 2


def test_05_embeddings_are_tied_only_where_the_model_says_so() -> None:
    assert load_model("llama-3-8b").parameters == 8_030_261_248
    assert load_model("llama-3-8b").parameters - 128256 * 4096 == 7_504_924_672  # the wrong one
    tied = load_model("qwen3-0.6b")
    assert tied.head.tied
    assert tied.parameters == 596_049_920
    assert named(llama3(model="qwen3-0.6b").decode, "lm_head").flop == 2 * 32 * 1024 * 151936


@pytest.mark.parametrize(
    ("model", "hidden", "heads", "head_dim"),
    [("qwen3-0.6b", 1024, 16, 128), ("gemma-7b", 3072, 16, 256), ("qwen3-32b", 5120, 64, 128)],
)
def test_06_head_dim_is_its_own_number(model: str, hidden: int, heads: int, head_dim: int) -> None:
    loaded = load_model(model)
    (block,) = {block for block, _ in loaded.parts() if isinstance(block, Attention)}
    assert (block.hidden, block.heads, block.head_dim) == (hidden, heads, head_dim)
    assert head_dim != hidden / heads
    q = next(tensor for tensor in block.tensors() if tensor.name == "q_proj")
    assert q.elements == hidden * heads * head_dim


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("qwen2.5-7b", 7_615_616_512),  # biases of q, k and v
        ("qwen3-8b", 8_190_735_360),  # norms of queries and keys
        ("gpt2", 124_439_808),  # 1,024 learned positions, two-matrix MLP, biases everywhere
    ],
)
def test_07_small_parameters_count(model: str, parameters: int) -> None:
    assert load_model(model).parameters == parameters


def test_07_a_gated_mlp_has_three_matrices() -> None:
    mlp = 3 * 8 * 16 + 8
    assert dense().parameters - dense(gated=False).parameters == 2 * (8 * 16)
    assert dense().parameters == 80 + 2 * (4 * 64 + 8 + mlp) + 88


@pytest.mark.parametrize(
    ("experts", "used", "tokens", "distinct"),
    [
        (8, 2, 1, 2.0),  # one token touches its k
        (8, 2, 32, 8 * (1 - 0.75**32)),
        (256, 8, 32, 163.3),  # not 8, not 256, and not min(256, 32·8)
        (256, 8, 1, 8.0),
        (256, 8, 100_000, 256.0),
    ],
)
def test_08_a_step_touches_the_expected_number_of_experts(
    experts: int, used: int, tokens: float, distinct: float
) -> None:
    assert distinct_experts(experts, used, tokens) == pytest.approx(distinct, rel=1e-3)


def test_09_an_unknown_kind_of_block_is_an_error(tmp_path: Path) -> None:
    text = MODELS.path("llama-3-8b").read_text("utf-8").replace("kind: mlp", "kind: moee")
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(LlmroofError, match=r"unknown block kind 'moee'; "):
        load_model(str(path))


COMMON = {"num_hidden_layers": 32, "num_attention_heads": 32, "tie_word_embeddings": False}
MIXTRAL = COMMON | {
    "model_type": "mixtral",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_key_value_heads": 8,
    "vocab_size": 32000,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
}
QWEN3_MOE = COMMON | {
    "model_type": "qwen3_moe",
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_hidden_layers": 48,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "vocab_size": 151936,
    "num_experts": 128,
    "num_experts_per_tok": 8,
}


@pytest.mark.parametrize(
    ("config", "parameters", "active"),
    [(MIXTRAL, 46_702_792_704, 12.88e9), (QWEN3_MOE, 30_532_122_624, 3.35e9)],
    ids=["num_local_experts", "num_experts"],
)
def test_09_experts_count_under_each_of_their_names(
    config: dict[str, object], parameters: int, active: float, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = read_config(tmp_path)
    assert model.parameters == parameters
    assert model.active_parameters == pytest.approx(active, rel=2e-3)


def test_09_an_unknown_architecture_is_an_error_not_a_guess(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(MIXTRAL | {"model_type": "mixtrral"}))
    with pytest.raises(LlmroofError, match=r"unknown architecture 'mixtrral'.*'mixtral'$") as error:
        read_config(path)
    assert "\n" not in str(error.value)


@pytest.mark.skipif("deepseek-v3" not in MODELS.files(), reason="no spec of DeepSeek-V3 yet")
def test_10_deepseek_v3_to_the_digit() -> None:
    """3 dense layers, a shared expert, MLA, and an MTP layer that is not run."""
    model = load_model("deepseek-v3")
    assert model.parameters == 671_026_404_352
    assert model.active_parameters == pytest.approx(37.55e9, rel=1e-3)
    assert model.kv_cache_bytes_per_token(run().precision) == 70_272


def test_11_mla_keeps_one_latent_per_token() -> None:
    """512 + 64 values per token and layer; 128 heads of K and V would be 71 times that."""
    block = LatentAttention(
        hidden=7168, heads=128, kv_lora=512, nope=128, rope=64, v_head_dim=128, q_lora=1536
    )
    held = block.cache()[0].bytes(1.0, run().precision)
    assert held == (512 + 64) * 2
    assert 61 * held == 70_272
    assert 128 * (192 + 128) * 2 / held == pytest.approx(71.1, abs=0.1)


def test_11_a_window_bounds_what_is_kept_and_read() -> None:
    near, far = dense(window=16), dense()
    assert near.kv_cache_bytes(1000.0, run().precision) == 16 * 64
    assert far.kv_cache_bytes(1000.0, run().precision) == 1000 * 64
    core = next(
        op for op in near.operators((Step(1.0, 1.0, 999.0),), run()) if op.name == "attention"
    )
    assert core.kv_bytes == 16 * 32
    assert core.flop == 16 * 4 * 8


def test_11_memory_is_of_the_asked_context_not_of_the_longest() -> None:
    """32 sequences of 1,280 tokens; the model could take 8,192."""
    assert llama3().memory.kv_cache_bytes == 32 * 1280 * 131_072


def test_12_attention_is_causal() -> None:
    """1,024·1,025/2 pairs: a little more than half of 1,024²."""
    core = named(llama3().prefill, "attention")
    assert core.flop == 32 * (4 * 32 * 128) * (1024 * 1025 / 2)


def test_13_low_bits_carry_scales_and_stop_at_the_matrices() -> None:
    """int4 in groups of 128: 4.125 bits; embedding, head and norms stay in 16."""
    found = llama3(precision="w4a16")
    kept = 2 * 128256 * 4096 + 65 * 4096
    assert found.memory.weights_bytes == (8_030_261_248 - kept) * 4.125 / 8 + kept * 2
    assert named(found.decode, "lm_head").weight_bytes == 2 * 4096 * 128256


def test_13_weight_only_formats_compute_in_16_bits() -> None:
    """Prefill is no faster than in bf16: the same FLOP at the same 312 TFLOP/s."""
    four, sixteen = llama3(precision="w4a16").prefill, llama3().prefill
    assert four.flop == sixteen.flop
    assert four.times.compute == sixteen.times.compute == pytest.approx(four.flop / 312e12)
    eight = llama3(precision="int8").prefill  # both operands in 8 bits: twice the rate
    assert eight.times.compute < 0.52 * sixteen.times.compute


# --- hardware ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gpu", "kind", "dense_peak", "sparse"),
    [
        ("a100-sxm-80gb", "bf16", 312e12, 624e12),
        ("h100-sxm", "bf16", 989.4e12, 1978.9e12),
        ("h100-sxm", "fp8", 1978.9e12, 3957.8e12),
        ("h100-pcie", "bf16", 756e12, 1513e12),
        ("rtx-4090", "fp16", 165.2e12, 330.4e12),
    ],
)
def test_14_peaks_are_dense(gpu: str, kind: str, dense_peak: float, sparse: float) -> None:
    assert load_hardware(gpu).peak(kind) == pytest.approx(dense_peak, rel=2e-3)
    assert load_hardware(gpu).peak(kind) < 0.6 * sparse


def test_14_variants_of_a_name_are_different_devices() -> None:
    sxm, pcie, nvl = (load_hardware(f"h100-{kind}") for kind in ("sxm", "pcie", "nvl"))
    assert sxm.memory.bandwidth == 3.35e12
    assert pcie.memory.bandwidth == pytest.approx(2.0e12, rel=0.03)
    assert nvl.memory.bandwidth == pytest.approx(3.9e12, rel=0.02)
    assert pcie.peak("bf16") < nvl.peak("bf16") < sxm.peak("bf16")


def test_14_accumulating_in_32_bits_is_half_rate_on_consumer_cards() -> None:
    card = load_hardware("rtx-4090")
    assert card.peak("fp16_fp16acc") == pytest.approx(2 * card.peak("fp16"), rel=2e-3)
    assert card.peak("bf16") == card.peak("fp16")


def test_15_gb_is_not_gib() -> None:
    a100 = load_hardware("a100-sxm-80gb")
    assert a100.memory.capacity == 80_000_000_000  # 85.9e9 would be 80 GiB
    assert a100.memory.bandwidth == 2_039_000_000_000
    assert a100.peak("bf16") == 312_000_000_000_000


def test_16_the_limit_is_the_datasheet_and_nothing_else() -> None:
    """20.01 GB at 2,039 GB/s, to the digit; efficiency lives in the expected time alone."""
    found = llama3().decode
    assert found.time == pytest.approx(found.bytes / 2.039e12, rel=1e-12)
    assert found.mbu == pytest.approx(1, rel=1e-12)
    expected = llama3(limit=False).decode
    assert expected.roofline_time == found.time
    assert expected.bytes == found.bytes
    assert expected.mbu < 1


@pytest.mark.parametrize(
    ("gpu", "one_way"),
    [("a100-sxm-80gb", 300e9), ("h100-sxm", 450e9), ("h200-sxm", 450e9), ("b200-sxm", 900e9)],
)
def test_16_links_are_one_direction(gpu: str, one_way: float) -> None:
    """NVLink of an H100 is sold as 900 GB/s: 450 each way."""
    assert load_hardware(gpu).links["scale_up"].bandwidth == one_way


# --- answering -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "question",
    [
        {"batch": -1},
        {"batch": 0},
        {"batch": np.array([4, 0, 2])},
        {"input_len": -5},
        {"output_len": 0},
        {"input_len": 8192, "output_len": 1},
        {"tp": 3},
        {"tp": -2},
        {"price": -1.0},
    ],
)
def test_17_nonsense_has_no_answer(question: dict[str, object]) -> None:
    with pytest.raises(LlmroofError) as error:
        llama3(**question)
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)


def test_17_what_does_not_fit_says_so() -> None:
    """141 GB of weights on 80 GB."""
    found = llmroof.estimate(model="llama-3.1-70b", gpu="a100-sxm-80gb", num_gpus=1)
    assert found.memory.weights_bytes == 2 * 70_553_706_496
    assert not found.fits
    assert found.memory.max_batch == 0


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ({"gpu": "h1000"}, "did you mean"),
        ({"gpu": "none.yaml"}, "no such GPU file: 'none.yaml'"),
        ({"model": "lama-3-8b"}, "did you mean"),
        ({"model": "missing/config.json"}, "no such model file: 'missing/config.json'"),
    ],
)
def test_18_unknown_things_are_named_in_one_line(question: dict[str, object], says: str) -> None:
    with pytest.raises(LlmroofError) as error:
        llama3(**question)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["{", "a: [", "\t", "\x00", "- 1", "name: x", "", "[" * 999])
@pytest.mark.parametrize("kind", ["gpu", "model"])
def test_18_malformed_files_are_one_line(kind: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(LlmroofError) as error:
        llama3(**{kind: str(path)})
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_19_an_answer_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert llama3().fits
    assert os.listdir(tmp_path) == []
    assert capfd.readouterr() == ("", "")


def test_20_tpot_is_the_time_between_tokens() -> None:
    """(finish - first token) / (output - 1), as benchmarks measure it."""
    serving = llama3(limit=False).serving
    measured = (serving.e2e_latency - serving.ttft) / (256 - 1)
    assert measured == pytest.approx(serving.tpot, rel=1e-12)


def test_21_price_and_power_are_data() -> None:
    """Another profile, another answer; none, none."""
    gpu = load_hardware("a100-sxm-80gb")
    found = llama3(gpu=gpu)
    assert found.cost.usd_per_hour == gpu.prices[0].usd_per_hour
    assert gpu.tdp == 400
    rate = found.serving.output_tokens_per_s
    assert found.cost.joule_per_output_token == pytest.approx(400 / rate)
    bare = llama3(gpu=replace(gpu, prices=(), tdp=None))
    assert bare.cost.usd_per_hour is None
    assert bare.cost.joule_per_output_token is None
    assert bare.decode.time == found.decode.time


def test_21_every_price_has_a_provider_and_a_source() -> None:
    for name in HARDWARE.files():
        for offer in load_hardware(name).prices:
            assert offer.provider
            assert offer.title


def test_22_a_dense_model_sends_all_reduces_only() -> None:
    """Two per layer of 32 x 4,096 values in 16 bits."""
    found = llama3(tp=4).decode
    sent = [c.operator for c in found.operators if c.operator.compute == "network"]
    assert {op.kind for op in sent} <= {"all_reduce", "all_gather"}
    reduces = [op for op in sent if op.kind == "all_reduce"]
    assert sum(op.count for op in reduces) == 2 * 32 + 1  # and the looked-up rows
    for op in reduces:
        assert op.network_bytes == 32 * 4096 * 2 * (2 * 3 / 4)
    assert llama3().decode.network_bytes == 0


def test_22_collectives_cost_their_start() -> None:
    """Eight devices are not eight times as fast: each all-reduce takes microseconds anyway."""
    one, eight = (llama3(gpu="h100-sxm", batch=1, tp=tp, limit=False).decode for tp in (1, 8))
    assert 1.5 < one.time / eight.time < 6
    waits = [c.times.overhead for c in eight.operators if c.operator.kind == "all_reduce"]
    assert sum(waits) > 64 * 1e-6


def test_22_a_device_without_a_link_stands_alone() -> None:
    with pytest.raises(LlmroofError, match="no link"):
        llmroof.estimate(
            model=dense(heads=8, hidden=16), gpu=device(1e15, 1e12, 1e9), tp=2, input_len=8
        )
