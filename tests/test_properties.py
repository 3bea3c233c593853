"""What must hold for every question, tried on many: monotone, additive, bounded, consistent."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from builders import dense, device, run
from hypothesis import given
from hypothesis import strategies as st

import llmroof
from llmroof import load_hardware, load_model
from llmroof.blocks.attention import Attention
from llmroof.engine.estimate import Workload, estimate
from llmroof.engine.grid import estimate_grid
from llmroof.engine.phases import PhaseEstimate
from llmroof.models.model import Model
from llmroof.operators import Execution, Step
from llmroof.resolve import deploy
from llmroof.specs.catalog import HARDWARE, MODELS
from llmroof.specs.hardware import Hardware

#: models and devices of every size that the properties are tried on
MODEL_IDS = ("llama-2-7b", "llama-3-8b", "gpt2", "gemma-2b", "qwen2.5-7b", "opt-6.7b", "phi-4")
GPU_IDS = ("a100-sxm-80gb", "h100-sxm", "l4", "t4", "rtx-4090", "mi300x", "tpu-v5e", "b200-sxm")

questions = st.fixed_dictionaries(
    {
        "model": st.sampled_from(MODEL_IDS),
        "gpu": st.sampled_from(GPU_IDS),
        "batch": st.integers(1, 512),
        "input_len": st.integers(1, 900),
        "output_len": st.integers(1, 120),
        "attention": st.sampled_from(("flash", "naive")),
        "fusion": st.sampled_from(("fused", "none")),
    }
)
limits = st.booleans()


@cache
def load(name: str) -> Model:
    """A shipped model without the end of its context: shapes are free here."""
    return replace(load_model(name), max_context=None)


machine = cache(load_hardware)


def ask(question: dict[str, Any], **changes: Any) -> llmroof.Estimate:
    """One device, whether or not the model fits it."""
    asked = {"num_gpus": 1, "limit": True, **question, **changes}
    asked["model"] = load(asked["model"]) if isinstance(asked["model"], str) else asked["model"]
    asked["gpu"] = machine(asked["gpu"]) if isinstance(asked["gpu"], str) else asked["gpu"]
    sixteen = "bf16" if "bf16" in asked["gpu"].compute else "fp16"
    asked.setdefault("precision", sixteen)
    return llmroof.estimate(**asked)


def phases(found: llmroof.Estimate) -> tuple[PhaseEstimate, PhaseEstimate]:
    return found.prefill, found.decode


def scaled(gpu: Hardware, compute: float = 1.0, bandwidth: float = 1.0) -> Hardware:
    """The device with other rates."""
    return replace(
        gpu,
        compute={name: peak * compute for name, peak in gpu.compute.items()},
        memory=replace(gpu.memory, bandwidth=gpu.memory.bandwidth * bandwidth),
    )


def at_most(less: float, more: float) -> bool:
    """Less or equal, to the last bits of a sum."""
    return less <= more * (1 + 1e-12)


# --- hardware ------------------------------------------------------------------------


@given(questions, limits, st.floats(1.0, 8.0), st.floats(1.0, 8.0))
def test_more_compute_or_bandwidth_is_never_slower(
    question: dict[str, Any], limit: bool, compute: float, bandwidth: float
) -> None:
    faster = scaled(machine(question["gpu"]), compute, bandwidth)
    slow, fast = ask(question, limit=limit), ask(question, limit=limit, gpu=faster)
    for before, after in zip(phases(slow), phases(fast), strict=True):
        assert at_most(after.time, before.time)


@given(questions, st.floats(1.01, 8.0))
def test_a_device_k_times_as_fast_takes_a_kth_of_the_limit(
    question: dict[str, Any], factor: float
) -> None:
    """Dimensions: time is FLOP over FLOP/s and bytes over bytes/s, and nothing else."""
    faster = scaled(machine(question["gpu"]), factor, factor)
    for before, after in zip(phases(ask(question)), phases(ask(question, gpu=faster)), strict=True):
        assert after.time == pytest.approx(before.time / factor, rel=1e-12)
        assert (after.flop, after.bytes) == (before.flop, before.bytes)
        assert after.ridge_point == pytest.approx(before.ridge_point, rel=1e-12)
        assert after.bound == before.bound


@given(questions, limits)
def test_time_lies_between_the_largest_roof_and_their_sum(
    question: dict[str, Any], limit: bool
) -> None:
    for phase in phases(ask(question, limit=limit)):
        times = phase.times
        parts = (times.compute, times.memory, times.network, times.overhead)
        assert at_most(max(parts), times.total)
        assert at_most(times.total, sum(parts))
        assert phase.time == times.total
        assert at_most(phase.roofline_time, phase.time)


@given(questions, limits)
def test_utilizations_are_shares(question: dict[str, Any], limit: bool) -> None:
    for phase in phases(ask(question, limit=limit)):
        assert 0 < phase.mfu <= 1 + 1e-12
        assert 0 < phase.mbu <= 1 + 1e-12
        assert sum(phase.share(cost) for cost in phase.operators) == pytest.approx(1, rel=1e-9)


@given(questions)
def test_a_phase_is_the_sum_of_its_operators(question: dict[str, Any]) -> None:
    for phase in phases(ask(question)):
        ops = [cost.operator for cost in phase.operators]
        assert phase.flop == pytest.approx(sum(op.flop * op.count for op in ops), rel=1e-12)
        assert phase.bytes == pytest.approx(sum(op.bytes * op.count for op in ops), rel=1e-12)
        assert phase.arithmetic_intensity == pytest.approx(phase.flop / phase.bytes, rel=1e-12)
        assert phase.network_bytes == 0


# --- shapes --------------------------------------------------------------------------


@given(
    st.lists(st.integers(1, 700), min_size=1, max_size=6),
    st.sampled_from([None, 1, 64, 1000]),
    st.sampled_from([None, 1, 64, 1000]),
    st.integers(0, 500),
)
def test_chunks_of_a_prompt_add_up_exactly(
    parts: list[int], window: int | None, chunk: int | None, past: int
) -> None:
    """Pairs of any split of a prompt are those of the whole, to the last bit."""
    whole = Step(1.0, float(sum(parts)), float(past))
    done, pairs = float(past), 0.0
    for part in parts:
        pairs += Step(1.0, float(part), done).pairs(window, chunk)
        done += part
    assert pairs == whole.pairs(window, chunk)


@given(
    st.lists(st.integers(1, 300), min_size=2, max_size=5),
    st.sampled_from([None, 50]),
    st.sampled_from(["flash", "naive"]),
    st.integers(1, 9),
)
def test_chunked_prefill_does_the_work_of_a_whole_one(
    parts: list[int], window: int | None, kernel: str, batch: int
) -> None:
    """Attention FLOP add up exactly, and so does everything but the heads' extra logits."""
    model, how = dense(window=window), run(attention=kernel)

    def flop(steps: list[Step], kind: str) -> float:
        return sum(
            op.flop * op.count
            for step in steps
            for op in model.operators((step,), how)
            if op.kind == kind and op.name != "lm_head"
        )

    whole = [Step(float(batch), float(sum(parts)))]
    starts = np.cumsum([0, *parts[:-1]])
    split = [Step(float(batch), float(n), float(c)) for n, c in zip(parts, starts, strict=True)]
    for kind in ("attention", "gemm"):
        assert flop(split, kind) == flop(whole, kind)


@given(questions, st.integers(1, 400), limits)
def test_a_longer_context_never_costs_less(
    question: dict[str, Any], more: int, limit: bool
) -> None:
    short, long = (
        ask(question, limit=limit, input_len=question["input_len"] + extra) for extra in (0, more)
    )
    for before, after in zip(phases(short), phases(long), strict=True):
        assert at_most(before.flop, after.flop)
        assert at_most(before.bytes, after.bytes)
        assert at_most(before.time, after.time)
    assert at_most(short.memory.total_bytes, long.memory.total_bytes)
    assert at_most(short.serving.e2e_latency, long.serving.e2e_latency)


@given(questions, st.integers(1, 512), limits)
def test_a_larger_batch_takes_longer_and_yields_more(
    question: dict[str, Any], more: int, limit: bool
) -> None:
    """Until the device is full, and at the limit beyond it: throughput never falls."""
    small, large = (
        ask(question, limit=limit, batch=question["batch"] + extra) for extra in (0, more)
    )
    for before, after in zip(phases(small), phases(large), strict=True):
        assert at_most(before.time, after.time)
        assert at_most(before.bytes, after.bytes)
    assert at_most(small.serving.output_tokens_per_s, large.serving.output_tokens_per_s)


@given(questions)
def test_throughput_and_latency_are_two_views_of_one_time(question: dict[str, Any]) -> None:
    found = ask(question, limit=False)
    work, serving = found.workload, found.serving
    made = serving.output_tokens_per_s * serving.e2e_latency
    assert made == pytest.approx(work.batch * work.output_len, rel=1e-12)
    steps = (serving.e2e_latency - serving.ttft) / max(work.output_len - 1, 1)
    assert work.output_len == 1 or steps == pytest.approx(serving.tpot, rel=1e-9)
    assert serving.total_tokens_per_s >= serving.output_tokens_per_s


# --- kernels, formats ----------------------------------------------------------------


@given(questions, limits)
def test_flash_is_never_slower_than_naive(question: dict[str, Any], limit: bool) -> None:
    naive, flash = (ask(question, limit=limit, attention=k) for k in ("naive", "flash"))
    for before, after in zip(phases(naive), phases(flash), strict=True):
        assert at_most(after.bytes, before.bytes)
        assert at_most(after.flop, before.flop)
        assert at_most(after.time, before.time)


@given(questions)
def test_fusion_never_moves_more(question: dict[str, Any]) -> None:
    apart, fused = (ask(question, fusion=f) for f in ("none", "fused"))
    for before, after in zip(phases(apart), phases(fused), strict=True):
        assert at_most(after.bytes, before.bytes)
        assert at_most(after.time, before.time)


@given(questions)
def test_a_cache_saves_work(question: dict[str, Any]) -> None:
    """Never more FLOP with it than without: each step then recomputes the context."""
    off, on = (ask(question, kv_cache=kept) for kept in (False, True))
    assert at_most(on.decode.flop, off.decode.flop)
    assert on.prefill.flop == off.prefill.flop
    assert off.memory.kv_cache_bytes == 0
    assert on.memory.kv_cache_bytes > 0


def _bits(precision: str) -> float:
    return run(precision).precision.weights.bytes


@given(questions, st.sampled_from(("bf16", "w8a16", "w4a16", "mxfp4", "fp32")), st.data())
def test_fewer_bits_never_move_more_bytes(
    question: dict[str, Any], narrow: str, data: st.DataObject
) -> None:
    wide = data.draw(st.sampled_from(["fp32", "bf16", "w8a16", "w4a16"]))
    narrow, wide = sorted((narrow, wide), key=_bits)
    gpu = replace(machine("h100-sxm"), id="any")
    few, many = (ask(question, gpu=gpu, precision=name) for name in (narrow, wide))
    for before, after in zip(phases(many), phases(few), strict=True):
        assert at_most(after.bytes, before.bytes)
        assert after.flop == before.flop  # the work is the same, only its width differs
    assert at_most(few.memory.weights_bytes, many.memory.weights_bytes)


@given(questions, st.sampled_from(("fp8", "int8", "mxfp8", "int4")))
def test_a_narrower_cache_never_moves_more(question: dict[str, Any], kept: str) -> None:
    whole, narrow = ask(question), ask(question, kv_cache_dtype=kept)
    assert narrow.memory.kv_cache_bytes < whole.memory.kv_cache_bytes
    for before, after in zip(phases(whole), phases(narrow), strict=True):
        assert at_most(after.bytes, before.bytes)
        assert at_most(after.time, before.time)


# --- capacity ------------------------------------------------------------------------


@given(questions)
def test_it_fits_exactly_up_to_the_largest_batch(question: dict[str, Any]) -> None:
    found = ask(question)
    largest = int(found.memory.max_batch)
    assert bool(found.fits) == (question["batch"] <= largest)
    if largest >= 1:
        assert ask(question, batch=largest).fits
    assert not ask(question, batch=largest + 1).fits


@given(questions)
def test_it_fits_exactly_up_to_the_largest_context(question: dict[str, Any]) -> None:
    found = ask(question)
    longest = found.memory.max_context
    context = question["input_len"] + question["output_len"]
    assert bool(found.fits) == (context <= longest)


@given(questions)
def test_memory_is_the_sum_of_its_parts(question: dict[str, Any]) -> None:
    held = ask(question).memory
    parts = held.weights_bytes + held.kv_cache_bytes + held.activation_bytes + held.reserved_bytes
    assert held.total_bytes == pytest.approx(parts, rel=1e-12)
    assert bool(held.fits) == (held.total_bytes <= held.capacity_bytes)


# --- grid and scalar -----------------------------------------------------------------


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Every figure of a result by its path."""
    if is_dataclass(value) and not isinstance(value, type):
        found = {}
        for entry in fields(value):
            if entry.name not in ("deployment", "workload", "operators"):
                found |= leaves(getattr(value, entry.name), f"{path}.{entry.name}")
        return found
    return {path: value} if isinstance(value, int | float | np.ndarray | np.generic) else {}


@given(
    questions,
    limits,
    st.lists(st.integers(1, 600), min_size=1, max_size=4),
    st.lists(st.integers(1, 900), min_size=1, max_size=4),
)
def test_a_grid_equals_its_points_bit_for_bit(
    question: dict[str, Any], limit: bool, batches: list[int], prompts: list[int]
) -> None:
    mesh = np.ix_(np.array(batches), np.array(prompts))
    grid = leaves(ask(question, limit=limit, batch=mesh[0], input_len=mesh[1]))
    shape = (len(batches), len(prompts))
    for row, batch in enumerate(batches):
        for column, prompt in enumerate(prompts):
            alone = leaves(ask(question, limit=limit, batch=batch, input_len=prompt))
            assert set(alone) == set(grid)
            for path, figure in alone.items():
                assert np.broadcast_to(grid[path], shape)[row, column] == figure, path


def test_a_grid_larger_than_a_piece_is_the_same() -> None:
    """150 x 150 points are more than one piece of the cutting; corners and middle agree."""
    batch, prompt = np.arange(1, 151)[:, None], np.arange(1, 151)[None, :] * 5
    grid = ask({}, model="llama-3-8b", gpu="h100-sxm", batch=batch, input_len=prompt)
    assert grid.serving.tpot.shape == (150, 150)
    for row, column in ((0, 0), (149, 149), (75, 10), (109, 33), (110, 0)):
        alone = ask(
            {},
            model="llama-3-8b",
            gpu="h100-sxm",
            batch=int(batch[row, 0]),
            input_len=int(prompt[0, column]),
        )
        one, many = leaves(alone), leaves(grid)
        for path in one:
            assert np.broadcast_to(many[path], (150, 150))[row, column] == one[path], path


@pytest.mark.parametrize("piece", [1, 7, 16, 64])
def test_a_grid_is_the_same_however_it_is_cut(piece: int) -> None:
    """Pieces of a point, a part of a row, a row, several rows."""
    deployment, _ = deploy(model="mixtral-8x7b", gpu="h100", tp=2)
    batch, prompt = np.arange(1.0, 6.0)[:, None], np.arange(1.0, 17.0)[None, :] * 90
    work = Workload(batch, prompt, 100.0)
    cut, whole = leaves(estimate_grid(deployment, work, piece)), leaves(estimate(deployment, work))
    assert cut.keys() == whole.keys()
    for path, figure in whole.items():
        assert np.array_equal(np.broadcast_to(figure, (5, 16)), cut[path] + np.zeros((5, 16))), path


def test_pieces_of_a_grid_tell_the_same_figures_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure that has one place in the first piece and two values in a later one is refused."""
    deployment, _ = deploy(model="llama-3.1-8b", gpu="h100")
    pieces = []

    def apart(deployment: Any, work: Workload) -> Any:
        found = estimate(deployment, work)
        pieces.append(found)
        if len(pieces) == 1:
            return found
        return replace(found, serving=replace(found.serving, ttft=found.serving.ttft * 2.0))

    monkeypatch.setattr("llmroof.engine.grid.estimate_piece", apart)
    with pytest.raises(AssertionError, match="the same figure in one piece only"):
        estimate_grid(deployment, Workload(np.arange(1.0, 9.0), 100.0, 10.0), 4)


# --- whole tables --------------------------------------------------------------------


def dense_models() -> list[str]:
    """Models all of whose layers are plain attention and MLP."""
    return [
        name
        for name in MODELS.files()
        if all(type(block).__name__ in KNOWN for block, _ in load(name).parts())
    ]


KNOWN = ("Embedding", "Attention", "MLP", "Head")


def test_every_dense_model_runs_its_weights_once_per_step() -> None:
    """A decode step of one sequence reads every weight once, but for the embedding table."""
    how = run()
    models = dense_models()
    assert len(models) >= 30
    for name in models:
        model = load(name)
        read = sum(
            op.weight_bytes * op.count
            for op in model.operators((Step(1.0, 1.0, 10.0),), how)
            if op.kind != "embedding"
        )
        held = model.weights_bytes(how.precision) - 2 * sum(model.extras.values())
        lookup = sum(t.elements for t in model.embedding.tensors() if t.role != "norm")
        shared = model.head.linear.matrix if model.head.tied else 0
        assert read == pytest.approx(held - 2 * lookup + 2 * shared, rel=1e-4), name


def test_decode_flop_are_twice_the_active_weights_and_the_attention() -> None:
    for name in dense_models():
        model = load(name)
        ops = model.operators((Step(1.0, 1.0, 10.0),), run())
        gemm = sum(op.flop * op.count for op in ops if op.kind == "gemm")
        lookup = sum(t.elements for t in model.embedding.tensors() if t.role != "norm")
        shared = model.head.linear.matrix if model.head.tied else 0
        used = model.active_parameters - lookup + shared
        assert gemm == pytest.approx(2 * used, rel=2e-3), name  # norms and biases multiply nothing


def _native(model: Model, gpu: Hardware) -> str:
    kept = model.precision.base.id
    return kept if kept in gpu.compute else "fp16" if "fp16" in gpu.compute else "fp32"


@pytest.mark.parametrize("gpu", sorted(HARDWARE.files()))
def test_every_device_answers_for_a_small_model(gpu: str) -> None:
    """Figures are finite and above zero, for the limit as for what to expect."""
    hardware, model = machine(gpu), load("qwen3-0.6b")
    for limit in (True, False):
        found = ask(
            {}, model=model, gpu=hardware, batch=4, limit=limit, precision=_native(model, hardware)
        )
        assert found.fits
        for phase in phases(found):
            for figure in (phase.flop, phase.bytes, phase.time, phase.mfu, phase.mbu):
                assert np.isfinite(figure)
                assert figure > 0
            assert phase.bound in ("compute", "memory", "network", "overhead")
        assert found.decode.arithmetic_intensity < found.prefill.arithmetic_intensity


@pytest.mark.parametrize("name", sorted(MODELS.files()))
def test_every_model_answers_on_a_large_device(name: str) -> None:
    model = load(name)
    found = ask({}, model=model, gpu="b200-sxm", batch=2, input_len=64, output_len=16)
    assert np.isfinite(found.decode.time)
    assert 0 < found.decode.mbu <= 1 + 1e-12
    assert 0 < found.prefill.mfu <= 1 + 1e-12
    assert found.memory.kv_cache_bytes >= 0
    assert model.active_parameters <= model.parameters


# --- sharding ------------------------------------------------------------------------


@given(st.sampled_from([1, 2, 4, 8]), st.integers(1, 64), st.integers(1, 300))
def test_tensor_parallel_shards_add_up_to_the_whole(tp: int, batch: int, context: int) -> None:
    """FLOP of all devices are those of one; only KV heads beyond their number replicate."""
    model = dense(layers=2, hidden=64, heads=8, kv_heads=4, intermediate=96, vocab=80)
    step = (Step(float(batch), 1.0, float(context)),)

    def flop(how: Execution) -> float:
        return sum(op.flop * op.count for op in model.operators(step, how))

    whole = flop(run())
    copies = max(tp // 4, 1) - 1  # each KV head stands tp/4 times
    replicated = 2 * copies * batch * 2 * (2 * 64 * 4 * 8)
    assert tp * flop(run(tp=tp)) == pytest.approx(whole + replicated, rel=1e-12)


@given(st.integers(2, 40), st.integers(0, 200), st.integers(1, 100))
def test_a_window_never_sees_more_than_everything(new: int, past: int, window: int) -> None:
    step = Step(1.0, float(new), float(past))
    assert step.pairs(window) <= step.pairs()
    assert step.pairs(chunk=window) <= step.pairs()
    assert step.keys(window) <= step.keys()
    assert step.pairs(window) <= new * window
    block = Attention(hidden=8, heads=4, kv_heads=4, head_dim=2, window=window)
    held = block.cache()[0].bytes(step.context, run().precision)
    assert held == min(step.context, window) * 2 * 8 * 2


def test_an_idle_device_costs_nothing_more() -> None:
    """A made-up device twice as large answers the same times: capacity is not speed."""
    small, large = (
        ask({}, model=dense(max_context=None), gpu=device(1e15, 1e12, size), input_len=8,
            output_len=8)
        for size in (1e9, 2e9)
    )  # fmt: skip
    assert small.decode.time == large.decode.time
    assert small.memory.max_batch < large.memory.max_batch
