"""Physics as properties over all shipped models and GPUs, drawn in pairs.

What holds for every machine and every model: more of a resource never makes anything
worse, times lie between the roofline and the sum of their parts, work adds up.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import llmroof
from llmroof import load_hardware, load_model
from llmroof.errors import LlmroofError
from llmroof.models.model import Model
from llmroof.operators import Execution, Plan, Step
from llmroof.specs.catalog import HARDWARE, MODELS
from llmroof.specs.hardware import Hardware

MODEL_IDS = sorted(MODELS.files())
GPU_IDS = sorted(HARDWARE.files())
#: blocks that expand or score the tokens of earlier chunks again: chunks cost more, never less
REPEATED = ("mla", "indexer", "compressed_attention")
#: sums of many operators differ in their last bits
LAST_BITS = 1e-9

model = cache(load_model)
machine = cache(load_hardware)
models = st.sampled_from(MODEL_IDS)
gpus = st.sampled_from(GPU_IDS)
factors = st.floats(1.0, 16.0)
batches = st.integers(1, 512)


def sixteen(gpu: Hardware) -> str:
    return "bf16" if "bf16" in gpu.compute else "fp16"


def ask(name: str, gpu: str | Hardware, **question: Any) -> llmroof.Estimate:
    """One device in 16 bits, whether or not the model fits it; unsupported pairs are left out."""
    loaded = model(name)
    device = machine(gpu) if isinstance(gpu, str) else gpu
    longest = loaded.max_context or 10**6
    asked = {"input_len": 256, "output_len": 32, "num_gpus": 1, "precision": sixteen(device)}
    asked |= question
    length = asked["input_len"] + asked["output_len"]
    assume(np.max(length) <= longest)
    try:
        return llmroof.estimate(model=loaded, gpu=device, **asked)
    except LlmroofError:
        assume(False)
        raise


def better(gpu: Hardware, **factor: float) -> Hardware:
    """The device with some of compute, bandwidth and capacity times a factor."""
    memory = gpu.memory
    return replace(
        gpu,
        compute={name: peak * factor.get("compute", 1.0) for name, peak in gpu.compute.items()},
        memory=replace(
            memory,
            bandwidth=memory.bandwidth * factor.get("bandwidth", 1.0),
            capacity=memory.capacity * factor.get("capacity", 1.0),
        ),
    )


def at_most(less: Any, more: Any) -> bool:
    return bool(np.all(np.asarray(less) <= np.asarray(more) * (1 + LAST_BITS)))


# --- more of a resource ---------------------------------------------------------------


@given(models, gpus, st.sampled_from(("compute", "bandwidth", "capacity")), factors, batches,
       st.booleans())  # fmt: skip
def test_more_of_anything_never_makes_anything_worse(
    name: str, gpu: str, what: str, factor: float, batch: int, limit: bool
) -> None:
    before = ask(name, gpu, batch=batch, limit=limit)
    after = ask(name, better(machine(gpu), **{what: factor}), batch=batch, limit=limit)
    for old, new in ((before.prefill, after.prefill), (before.decode, after.decode)):
        assert at_most(new.time, old.time)
        assert at_most(new.roofline_time, old.roofline_time)
        assert (new.flop, new.bytes) == (old.flop, old.bytes)
    for figure in ("ttft", "tpot", "e2e_latency"):
        assert at_most(getattr(after.serving, figure), getattr(before.serving, figure))
    assert at_most(before.serving.output_tokens_per_s, after.serving.output_tokens_per_s)
    assert at_most(before.memory.max_batch, after.memory.max_batch)
    assert bool(before.memory.fits) <= bool(after.memory.fits)
    if before.cost.usd_per_million_output_tokens is not None:
        cost = after.cost.usd_per_million_output_tokens
        assert at_most(cost, before.cost.usd_per_million_output_tokens)


# --- bounds ---------------------------------------------------------------------------


@given(models, gpus, batches, st.booleans(), st.sampled_from(("flash", "naive")),
       st.sampled_from(("fused", "none")))  # fmt: skip
def test_time_lies_between_the_roofline_and_the_sum_of_its_parts(
    name: str, gpu: str, batch: int, limit: bool, attention: str, fusion: str
) -> None:
    found = ask(name, gpu, batch=batch, limit=limit, attention=attention, fusion=fusion)
    for phase in (found.prefill, found.decode):
        times = phase.times
        assert at_most(phase.roofline_time, phase.time)
        assert at_most(phase.time, times.compute + times.memory + times.network + times.overhead)
        assert at_most(max(times.compute, times.memory, times.network), phase.time)
        shares = sum(float(phase.share(cost)) for cost in phase.operators)
        assert shares == pytest.approx(1)


@given(models, gpus, batches, st.booleans())
def test_utilizations_are_above_zero_and_at_most_one(
    name: str, gpu: str, batch: int, limit: bool
) -> None:
    found = ask(name, gpu, batch=batch, limit=limit)
    for phase in (found.prefill, found.decode):
        for share in (phase.mfu, phase.mbu):
            assert 0 < float(share) <= 1 + LAST_BITS


# --- lengths and batches --------------------------------------------------------------


@given(models, gpus, batches, st.integers(1, 400), st.integers(1, 400), st.booleans())
def test_a_longer_context_never_costs_less(
    name: str, gpu: str, batch: int, short: int, more: int, limit: bool
) -> None:
    less = ask(name, gpu, batch=batch, input_len=short, limit=limit)
    long = ask(name, gpu, batch=batch, input_len=short + more, limit=limit)
    for one, two in ((less.prefill, long.prefill), (less.decode, long.decode)):
        assert at_most(one.flop, two.flop)
        assert at_most(one.time, two.time)
    assert at_most(less.memory.kv_cache_bytes, long.memory.kv_cache_bytes)
    assert at_most(long.memory.max_batch, less.memory.max_batch)
    assert at_most(less.serving.ttft, long.serving.ttft)
    assert at_most(less.serving.tpot, long.serving.tpot)


@given(models, gpus, st.integers(1, 256), st.booleans())
def test_twice_the_batch_raises_throughput(name: str, gpu: str, batch: int, limit: bool) -> None:
    """Twice the sequences take at most twice as long: weights are read once for all."""
    one, two = (ask(name, gpu, batch=n, limit=limit) for n in (batch, 2 * batch))
    assert at_most(one.decode.time, two.decode.time)
    assert at_most(one.decode.roofline_time, two.decode.roofline_time)
    if limit:
        assert at_most(two.decode.time, 2 * one.decode.time)
        assert at_most(one.serving.output_tokens_per_s, two.serving.output_tokens_per_s)


@given(models, st.integers(1, 300), st.integers(1, 300), st.integers(0, 300), st.integers(1, 8))
def test_chunks_of_a_prompt_add_up(name: str, one: int, two: int, past: int, batch: int) -> None:
    """FLOP of attention and of every layer are the same in two passes as in one."""
    if any(block.kind in REPEATED for block, _ in model(name).parts()):
        return
    run = plain()
    whole = flop(model(name), Step(batch, one + two, past), run)
    parts = flop(model(name), Step(batch, one, past), run) + flop(
        model(name), Step(batch, two, past + one), run
    )
    ends = flop_of_ends(model(name), batch, run)  # the logits of a chunk's last position
    assert parts - ends == pytest.approx(whole, rel=1e-9)


@given(st.sampled_from(MODEL_IDS), st.integers(1, 300), st.integers(1, 300), st.integers(1, 8))
def test_chunks_never_cost_less_than_the_whole(name: str, one: int, two: int, batch: int) -> None:
    run = plain()
    whole = flop(model(name), Step(batch, one + two, 0), run)
    parts = flop(model(name), Step(batch, one, 0), run) + flop(
        model(name), Step(batch, two, one), run
    )
    assert at_most(whole, parts)


def plain() -> Execution:
    from llmroof.resolve import resolve_precision

    precision, _ = resolve_precision(model("gpt2"), machine("a100-sxm-80gb"), None)
    return Execution(precision, Plan(1, 1, 1, 1))


def flop(loaded: Model, step: Step, run: Execution) -> float:
    return sum(float(o.flop * o.count) for o in loaded.operators([step], run))


def flop_of_ends(loaded: Model, batch: int, run: Execution) -> float:
    """What is computed once per pass and sequence: the head."""
    found = [o for o in loaded.operators([Step(batch, 1, 0)], run) if o.name == "lm_head"]
    return sum(float(o.flop * o.count) for o in found)


# --- formats, shards and units --------------------------------------------------------


@given(models, st.sampled_from(("bf16", "fp16", "fp8", "int8", "int4", "mxfp4", "nvfp4")),
       st.sampled_from(("bf16", "fp8", "int4")))  # fmt: skip
def test_fewer_bits_never_add_bytes(name: str, weights: str, cache: str) -> None:
    loaded = model(name)
    plain_ = loaded.precision.on_base("bf16").with_parts("bf16", None, "bf16")
    less = loaded.precision.on_base("bf16").with_parts(weights, None, cache)
    assert at_most(loaded.weights_bytes(less), loaded.weights_bytes(plain_))
    assert at_most(loaded.kv_cache_bytes_per_token(less), loaded.kv_cache_bytes_per_token(plain_))
    assert at_most(loaded.kv_cache_bytes(2000, less), loaded.kv_cache_bytes(2000, plain_))


@given(models, st.sampled_from((2, 4, 8)), batches)
def test_shards_of_tensor_parallel_add_up(name: str, tp: int, batch: int) -> None:
    """What the devices compute together is at least the whole, and at most its copies."""
    one = ask(name, "h100-sxm", batch=batch, limit=True)
    many = ask(name, "h100-sxm", batch=batch, limit=True, num_gpus=tp, tp=tp)
    for whole, shards in ((one.prefill, many.prefill), (one.decode, many.decode)):
        assert at_most(whole.flop, shards.flop)
        assert at_most(shards.flop, tp * whole.flop)
    assert at_most(one.memory.weights_bytes / tp, many.memory.weights_bytes)
    assert at_most(many.memory.weights_bytes, one.memory.weights_bytes)
    assert at_most(one.memory.kv_cache_bytes / tp, many.memory.kv_cache_bytes)


@given(models, gpus, batches, factors)
def test_units_scale(name: str, gpu: str, batch: int, factor: float) -> None:
    """A machine k times as fast in every way takes a k-th of the limit; a price k times as
    high costs k times as much.
    """
    fast = better(machine(gpu), compute=factor, bandwidth=factor)
    before, after = (ask(name, g, batch=batch, limit=True, price=2.0) for g in (gpu, fast))
    assert after.decode.time == pytest.approx(before.decode.time / factor, rel=1e-9)
    assert after.prefill.time == pytest.approx(before.prefill.time / factor, rel=1e-9)
    dear = ask(name, gpu, batch=batch, limit=True, price=2.0 * factor)
    assert dear.cost.usd_per_million_output_tokens == pytest.approx(
        before.cost.usd_per_million_output_tokens * factor
    )
    assert before.serving.output_tokens_per_s * before.serving.e2e_latency == pytest.approx(
        batch * 32
    )


# --- under load -----------------------------------------------------------------------


@given(models, gpus, st.sampled_from((1, 4, 32, 128)), st.sampled_from(("compute", "bandwidth")),
       factors)  # fmt: skip
def test_under_load_a_better_machine_is_no_worse(
    name: str, gpu: str, concurrency: int, what: str, factor: float
) -> None:
    before = ask(name, gpu, concurrency=concurrency)
    after = ask(name, better(machine(gpu), **{what: factor}), concurrency=concurrency)
    assert at_most(after.serving.tpot, before.serving.tpot)
    assert at_most(before.serving.output_tokens_per_s, after.serving.output_tokens_per_s)


@given(models, gpus, st.sampled_from(((1, 2), (4, 16), (32, 64))))
def test_under_load_more_in_flight_is_more_throughput(
    name: str, gpu: str, pair: tuple[int, int]
) -> None:
    less, more = (ask(name, gpu, concurrency=n) for n in pair)
    assume(bool(more.memory.fits))
    assert at_most(less.serving.tpot, more.serving.tpot)
    assert at_most(less.serving.output_tokens_per_s, more.serving.output_tokens_per_s)
