"""Sharding adds up: parameters, FLOP and memory of all devices together, over many plans."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product

import pytest
from builders import dense, device

import llmroof
from llmroof.calibration.load import load_engine
from llmroof.engine.capacity import memory
from llmroof.engine.plans import fault
from llmroof.engine.sharding import holdings, remarks, replicated
from llmroof.engine.stages import layer_counts, stages
from llmroof.models.load import load_model
from llmroof.models.model import Model
from llmroof.operators import Execution, Plan, Step
from llmroof.specs.catalog import MODELS
from llmroof.specs.precision import recipe

BF16 = recipe("bf16")
#: work on the cache that every tensor parallel device does for all heads
REPEATED_CORES = ("index_scores",)
PLANS = [
    Plan(tp, pp, dp, ep)
    for tp, pp, dp, ep in product((1, 2, 4, 8, 16), (1, 2, 3), (1, 2), (1, 2, 8))
    if ep <= tp * dp
]
MODEL_IDS = tuple(MODELS.files())


@cache
def load(name: str) -> Model:
    """A shipped model in 16 bits, so that bytes are twice the elements."""
    return replace(load_model(name), precision=BF16)


def plans(model: Model) -> list[Plan]:
    return [plan for plan in PLANS if not fault(model, plan)]


@pytest.mark.parametrize("name", MODEL_IDS)
def test_the_devices_hold_each_parameter_once_plus_what_is_listed(name: str) -> None:
    model = load(name)
    whole = model.parameters + sum(model.extras.values())
    for plan in plans(model):
        alone = replace(plan, pp=1)
        held = sum(
            stage.weights_bytes(BF16, alone) / BF16.base.bytes * plan.tp * plan.dp
            for stage in stages(model, plan.pp)
        )
        listed = sum(replicated(model, plan).values())
        assert held == pytest.approx(whole + listed, rel=1e-9), plan


@pytest.mark.parametrize("name", MODEL_IDS)
def test_tensor_parallelism_repeats_only_what_cannot_be_split(name: str) -> None:
    """Up to one KV head a device, everything but vectors, routers and latents is split."""
    model = load(name)
    whole = {"norm", "router", "chain", "position", "extra", "state"}
    for plan in plans(model):
        if plan.dp > 1 or plan.pp > 1:
            continue
        for holding in holdings(model, plan):
            assert holding.copies >= 1 - 1e-12, holding
            if holding.copies > 1 + 1e-12 and holding.role not in whole:
                limited = {
                    tensor.limit
                    for tensor, _ in model.tensors()
                    if tensor.name == holding.name and tensor.limit < plan.tp
                }
                assert limited, f"{holding} is repeated without a reason"


@pytest.mark.parametrize("name", MODEL_IDS)
def test_flop_add_up_to_the_whole_plus_the_repeated_matrices(name: str) -> None:
    """What is done more often is what is held more often: 2 FLOP per element and token."""
    model = load(name)
    step = Step(3.0, 7.0, 20.0)
    rows = 3.0 * 7.0

    def flop(plan: Plan, *names: str) -> float:
        ops = model.operators((step,), Execution(BF16, plan))
        return sum(op.flop * op.count for op in ops if not names or op.name in names)

    whole, cores = flop(Plan()), flop(Plan(), *REPEATED_CORES)
    for plan in plans(model):
        if plan.dp > 1 or plan.pp > 1:
            continue
        repeated = sum(
            2 * rows * (holding.held - holding.elements)
            for holding in holdings(model, plan)
            if holding.role not in ("norm", "embedding", "position", "extra")
        )
        repeated += cores * (plan.tp - 1)
        assert flop(plan) * plan.tp == pytest.approx(whole + repeated, rel=2e-3), plan


def test_key_and_value_heads_are_repeated_beyond_their_number() -> None:
    """4 query heads over 2 KV heads on 4 devices: k and v stand twice, all else once."""
    model = dense(heads=4, kv_heads=2, head_dim=2)
    plan = Plan(tp=4)
    assert {h.name: h.copies for h in holdings(model, plan) if h.role != "norm"} == {
        "embed_tokens": 1, "q_proj": 1, "k_proj": 2, "v_proj": 2, "o_proj": 1,
        "gate_proj": 1, "up_proj": 1, "down_proj": 1, "lm_head": 1,
    }  # fmt: skip
    # k and v: 2 layers x 8 wide x 2 heads of 2 = 64 each, once more
    assert replicated(model, plan)["k_proj"] == 64
    assert replicated(model, plan)["v_proj"] == 64


@pytest.mark.parametrize(
    ("layers", "pp", "counts"),
    [
        (8, 2, (4, 4)),
        (5, 2, (3, 2)),
        (10, 4, (2, 3, 3, 2)),
        (3, 3, (1, 1, 1)),
        (7, 4, (2, 2, 2, 1)),
    ],
)
def test_left_over_layers_go_before_the_last_stage(
    layers: int, pp: int, counts: tuple[int, ...]
) -> None:
    assert layer_counts(layers, pp) == counts


def test_the_ends_of_a_model_stand_on_the_ends_of_the_pipeline() -> None:
    """5 layers of 2 stages: 3 with the table, 2 with the head (a copy where it is tied)."""
    for tied in (False, True):
        first, last = stages(dense(layers=5, tied=tied), 2)
        names = [{tensor.name for tensor, _ in part.tensors()} for part in (first, last)]
        assert (first.num_layers, last.num_layers) == (3, 2)
        assert "embed_tokens" in names[0] - names[1]
        assert "lm_head" in names[1] - names[0]


def test_memory_is_that_of_the_fullest_stage() -> None:
    """Layer of 608 parameters; 3 of them, 80 of the table: 2 x (3·608 + 80) bytes."""
    model, rules = dense(layers=5, hidden=8, intermediate=16, vocab=10), load_engine()
    per_layer = 4 * 64 + 3 * 128  # q, k, v, o of 8x8; gate, up, down of 8x16
    gains = 2 * 8
    run = Execution(BF16, Plan(pp=2))
    found = memory(model, run, device(), rules, batch=1.0, input_len=2.0, output_len=1.0)
    assert found.weights_bytes == 2 * (3 * (per_layer + gains) + 10 * 8)
    # 3 layers x 2 (k, v) x 8 values x 2 bytes x 3 tokens
    assert found.kv_cache_bytes == 3 * 2 * 8 * 2 * 3


@pytest.mark.parametrize("name", MODEL_IDS)
def test_more_devices_never_need_more_memory_each(name: str) -> None:
    model, rules = load(name), load_engine()
    gpu = device(capacity=8e10)

    def need(plan: Plan) -> float:
        found = memory(
            model, Execution(BF16, plan), gpu, rules, batch=16.0, input_len=512.0, output_len=64.0
        )
        return float(found.total_bytes)

    for plan in (Plan(), Plan(tp=2), Plan(4, 2), Plan(2, 1, 2, 2), Plan(8, 3), Plan(1, 1, 8, 8)):
        if fault(model, plan):
            continue
        for grown in (
            replace(plan, tp=2 * plan.tp),
            replace(plan, pp=2 * plan.pp),
            replace(plan, dp=2 * plan.dp),
        ):
            if not fault(model, grown):
                assert need(grown) <= need(plan) * (1 + 1e-12), (plan, grown)


def test_answers_say_what_stands_on_several_devices() -> None:
    shared = llmroof.estimate(model="qwen2.5-7b", gpu="h100", tp=28)
    assert "4 KV heads on tp=28: each stands on 7 GPUs" in shared.notes
    latent = llmroof.estimate(model="deepseek-v3", gpu="h200", tp=8)
    assert "the latent KV cache of MLA stands whole on each of tp=8 GPUs" in latent.notes
    assert llmroof.estimate(model="llama-3.1-70b", gpu="h100", tp=8).notes == ()


@pytest.mark.parametrize("name", [
    "llama-3.1-8b", "qwen3-235b-a22b", "deepseek-v3", "deepseek-v3.2", "gpt-oss-120b",
    "gemma-3-27b", "nemotron-h-56b", "qwen3-next-80b-a3b", "deepseek-v4-flash",
])  # fmt: skip
def test_useful_work_is_the_same_on_any_number_of_devices(name: str) -> None:
    """What several devices do alike counts once: the FLOP of one device are the useful ones."""
    model = load(name)
    step = Step(3.0, 7.0, 20.0)

    def useful(plan: Plan) -> float:
        ops = model.operators((step,), Execution(BF16, plan))
        return plan.tp * sum(op.flop * op.count * op.useful for op in ops)

    for plan in plans(model):
        if plan.dp == plan.pp == 1:
            assert useful(plan) == pytest.approx(useful(Plan()), rel=2e-3), plan


def test_mfu_counts_useful_work_only() -> None:
    """8 KV heads on 16 devices: k and v are computed twice, which no MFU counts."""
    asked = {"model": "llama-3.1-70b", "gpu": "gb200", "batch": 32, "limit": True}
    wide = llmroof.estimate(**asked, tp=16)
    whole = llmroof.estimate(**asked, tp=1)
    assert wide.prefill.flop > whole.prefill.flop
    device = 16 * wide.prefill.time * wide.deployment.hardware.peak("bf16")
    assert wide.prefill.mfu == pytest.approx(whole.prefill.flop / device, rel=1e-6)
    assert 0 < wide.prefill.mfu < wide.prefill.flop / device <= 1


def test_ranks_without_sequences_run_along_for_their_experts() -> None:
    """1 sequence on 8 ranks: all 8 read their weights, so the bytes are 8 times a device's."""
    found = llmroof.estimate(
        model="deepseek-v3", gpu="h200", precision="fp8", tp=1, dp=8, ep=8, batch=1, limit=True
    )
    decode = found.decode
    device = sum(cost.operator.bytes * cost.operator.count for cost in decode.operators)
    assert decode.bytes == pytest.approx(8 * device, rel=1e-12)
    assert decode.arithmetic_intensity == pytest.approx(decode.flop / decode.bytes, rel=1e-12)
    moved = 8 * decode.time * found.deployment.hardware.memory.bandwidth
    assert decode.mbu == pytest.approx(decode.bytes / moved, rel=1e-9)
    assert 0 < decode.mfu <= decode.mbu <= 1
    full = llmroof.estimate(
        model="deepseek-v3", gpu="h200", precision="fp8", tp=1, dp=8, ep=8, batch=8, limit=True
    ).decode
    assert full.bytes == pytest.approx(decode.bytes, rel=1e-12)
    assert full.time == decode.time
    assert full.flop == pytest.approx(8 * decode.flop, rel=1e-12)


def test_what_stands_on_several_devices_is_said() -> None:
    """KV heads beyond one a device are copied, and so is a latent cache; the rest is split."""
    grouped, one_head = load_model("llama-3.1-70b"), load_model("starcoder-15b")
    assert remarks(grouped, Plan(tp=4)) == remarks(grouped, Plan(tp=8)) == ()
    assert remarks(grouped, Plan(tp=16)) == ("8 KV heads on tp=16: each stands on 2 GPUs",)
    assert remarks(one_head, Plan()) == ()
    assert remarks(one_head, Plan(tp=4)) == ("1 KV head on tp=4: each stands on 4 GPUs",)
    latent = load_model("deepseek-v3")
    assert remarks(latent, Plan(ep=4, dp=4)) == ()
    assert remarks(latent, Plan(tp=8)) == (
        "the latent KV cache of MLA stands whole on each of tp=8 GPUs",
    )
