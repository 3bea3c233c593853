"""What fits a device: every byte of a tiny model by hand, and the largest batch and context."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import dense, device, run

import llmroof
from llmroof.calibration.load import EngineRules
from llmroof.engine.capacity import MemoryEstimate, memory
from llmroof.models.model import Model
from llmroof.operators import Execution, Step

#: nine tenths of the device, eight prompt tokens at once
RULES = EngineRules(0.9, 8.0)


def held(
    model: Model | None = None,
    how: Execution | None = None,
    capacity: float = 10_000.0,
    batch: float = 2.0,
    input_len: float = 6.0,
    output_len: float = 4.0,
) -> MemoryEstimate:
    return memory(
        model or dense(),
        how or run(),
        device(capacity=capacity),
        RULES,
        batch=batch,
        input_len=input_len,
        output_len=output_len,
    )


def test_every_part_by_hand() -> None:
    """1,480 parameters; 64 bytes of cache per token; 10 tokens in each of 2 sequences."""
    found = held()
    assert found.weights_bytes == 2 * 1480
    assert found.kv_cache_bytes == 2 * 10 * 64
    # residual stream twice (16) and the MLP's gate, up and product (48), 8 tokens at once,
    # and 10 logits of 4 bytes per sequence
    assert found.activation_bytes == 8 * (16 + 48) * 2 + 2 * 10 * 4
    assert found.reserved_bytes == pytest.approx(1000)
    assert found.total_bytes == pytest.approx(2960 + 1280 + 1104 + 1000)
    assert found.capacity_bytes == 10_000
    assert found.fits


def test_the_largest_batch_by_hand() -> None:
    """9,000 - 2,960 - 1,024 bytes for sequences of 640 + 40."""
    assert held().max_batch == math.floor(5016 / 680) == 7
    assert held(batch=7.0).fits
    assert not held(batch=8.0).fits


def test_the_largest_batch_of_short_prompts_pays_only_for_their_activations() -> None:
    """3,300 bytes: 10 left for sequences of one token in, one out: below one."""
    assert held(capacity=3_300.0, input_len=1.0, output_len=1.0).max_batch == 0
    # 0.9 x 4,000 - 2,960 = 640 for sequences of 128 + 40 + 128
    assert held(capacity=4_000.0, input_len=1.0, output_len=1.0).max_batch == 2
    # 0.9 x 4,910 - 2,960 = 1,459 for sequences of two tokens in: 2 x 128 + 40 + 192
    assert held(capacity=4_910.0, input_len=2.0, output_len=1.0).max_batch == 2


def test_the_largest_context_by_hand() -> None:
    """(9,000 - 2,960 - 1,104) / 2 sequences / 64 bytes."""
    assert held().max_context == math.floor(2468 / 64) == 38
    assert held(input_len=34.0, output_len=4.0).fits
    assert not held(input_len=35.0, output_len=4.0).fits


def test_a_sliding_window_caps_the_cache() -> None:
    model = dense(window=5)
    assert held(model).kv_cache_bytes == 2 * 5 * 64  # 10 tokens, the last 5 kept
    assert held(model).max_context == math.inf
    # room below a full window: 2,960 + 1,104 + 2 x 4 x 64 = 4,576 of 0.9 x 5,100 = 4,590
    assert held(model, capacity=5_100.0).max_context == 4


def test_mixed_windows_grow_slower_once_the_short_one_is_full() -> None:
    """One layer of window 5 and one without: 32 bytes per token each."""
    near, far = dense(layers=1, window=5), dense(layers=1)
    mixed = replace(far, layers=(*near.layers, *far.layers))
    assert held(mixed).kv_cache_bytes == 2 * (5 * 32 + 10 * 32)
    # (4,936 / 2 - 5 x 32) / 32 = 72.1
    assert held(mixed).max_context == math.floor((2468 - 160) / 32) == 72


def test_a_model_larger_than_the_device_holds_nothing() -> None:
    found = held(capacity=3_000.0)
    assert not found.fits
    assert found.max_batch == 0
    assert found.max_context == 0


def test_without_a_cache_nothing_grows() -> None:
    found = held(how=run(kv_cache=False))
    assert found.kv_cache_bytes == 0
    assert found.max_context == math.inf


def test_narrower_formats_take_less() -> None:
    """fp8 keeps the embedding (80), the head (80) and the norms (40) in 16 bits."""
    assert held(how=run("fp8")).weights_bytes == 1280 + 2 * 200
    assert held(how=run("w4a16")).weights_bytes == 1280 * 4.125 / 8 + 2 * 200
    narrow = replace(run(), precision=run().precision.with_parts(kv_cache="fp8"))
    assert held(how=narrow).kv_cache_bytes == held().kv_cache_bytes / 2


def test_two_devices_hold_half_each_but_for_the_norms() -> None:
    found = held(how=run(tp=2))
    assert found.weights_bytes == 2 * ((1480 - 40) / 2 + 40)
    assert found.kv_cache_bytes == held().kv_cache_bytes / 2


def test_arrays_of_batches_and_contexts() -> None:
    batch, prompt = np.array([[1.0], [7.0], [8.0]]), np.array([6.0, 100.0])
    found = held(batch=batch, input_len=prompt)
    for row in range(3):
        for column in range(2):
            alone = held(batch=float(batch[row, 0]), input_len=float(prompt[column]))
            assert found.total_bytes[row, column] == alone.total_bytes
            assert found.fits[row, column] == alone.fits
            assert np.broadcast_to(found.max_batch, (3, 2))[row, column] == alone.max_batch
            assert np.broadcast_to(found.max_context, (3, 2))[row, column] == alone.max_context


def test_capacity_is_what_the_device_reports_where_that_is_known() -> None:
    found = llmroof.estimate(gpu="h100-sxm", model="llama-3-8b").memory
    hardware = llmroof.load_hardware("h100-sxm")
    assert found.capacity_bytes == hardware.memory.usable == hardware.memory.reported


@pytest.mark.parametrize("precision", ["fp8", "w4a16"])
def test_biases_stay_in_16_bits_in_memory_as_in_traffic(precision: str) -> None:
    """Two layers with 24 bias values each: what is held is what a step reads, the table apart."""
    model, how = dense(qkv_bias=True), run(precision)
    ops = model.operators((Step(1.0, 1.0),), how)
    read = sum(op.weight_bytes * op.count for op in ops if op.kind != "embedding")
    assert model.weights_bytes(how.precision) - 2 * 80 == read


DRAFTED: dict[str, Any] = {
    "model": "llama-3.1-70b", "gpu": "h100", "tp": 4, "engine": "vllm", "concurrency": 4,
}  # fmt: skip


@pytest.mark.parametrize("engine", ["generic", "vllm", "sglang", "trtllm"])
def test_a_draft_model_takes_room_from_the_kv_pool(engine: str) -> None:
    """8B beside 70B: its 4 GB of weights a GPU and its cache leave fewer slots."""
    asked = {**DRAFTED, "engine": engine}
    plain = llmroof.estimate(**asked)
    drafted = llmroof.estimate(
        **asked, speculative_tokens=3, acceptance_rate=0.7, draft_model="llama-3.1-8b"
    )
    free = llmroof.estimate(**asked, speculative_tokens=3, acceptance_rate=0.7)
    assert free.steady.slots == plain.steady.slots
    assert drafted.steady.slots < 0.9 * plain.steady.slots


def test_slots_with_a_draft_by_hand() -> None:
    """vLLM: 0.9 of memory less weights less 8 GB, over the cache of input + half the output."""
    drafted = llmroof.estimate(
        **DRAFTED, input_len=1600, output_len=800, speculative_tokens=3, acceptance_rate=0.7,
        draft_model="llama-3.1-8b",
    )  # fmt: skip
    deployment = drafted.deployment
    run, rules = deployment.run, deployment.rules
    both = (deployment.model, deployment.speculation.draft)
    weights = sum(model.weights_bytes(run.precision, run.plan) for model in both)
    pool = 0.9 * 81090 * 2**20 - weights - 8e9
    per_token = 2 * (80 * 2 * 8 * 128 * 2 / 4) / 2 + 32 * 2 * 8 * 128 * 2 / 4
    assert rules.block_tokens == 16
    assert drafted.steady.slots == pool // (per_token * 2000)


@pytest.mark.parametrize("engine", ["generic", "vllm", "sglang", "trtllm"])
def test_without_a_cache_nothing_is_kept(engine: str) -> None:
    """No KV cache: memory no longer limits what runs, the engine's limit does."""
    found = llmroof.estimate(gpu="h100", engine=engine, concurrency=8, kv_cache=False)
    assert found.steady.slots == found.deployment.rules.max_num_seqs
    tight = llmroof.estimate(
        model="llama-3.1-70b", gpu="h100", tp=1, engine=engine, concurrency=1, kv_cache=False
    )
    assert tight.steady.slots == 0


def test_activations_are_those_of_a_chunk() -> None:
    """A prefill in chunks of 512 tokens keeps 512 tokens' activations, not the whole batch's."""
    asked: dict[str, Any] = {"gpu": "h100", "batch": 8, "input_len": 1024}
    whole = llmroof.estimate(**asked).memory
    chunked = llmroof.estimate(**asked, chunked_prefill=512).memory
    logits = 8 * 128256 * 4
    assert chunked.activation_bytes - logits == pytest.approx(
        (whole.activation_bytes - logits) / 16
    )
    assert chunked.max_batch > whole.max_batch
    budget = llmroof.estimate(**asked, max_num_batched_tokens=512).memory
    assert budget.activation_bytes == chunked.activation_bytes
