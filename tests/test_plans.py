"""Plans: what divides, what a pipeline gains, the smallest that fits, every refusal's way out."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from builders import dense, device

import llmroof
from llmroof.engine.deployment import Workload
from llmroof.engine.passes import decode_pass, prefill_pass
from llmroof.engine.phases import Schedule
from llmroof.engine.plans import check_plan, fault, growing_plans
from llmroof.engine.stages import layer_counts
from llmroof.errors import InputError
from llmroof.models.load import load_model
from llmroof.operators import Execution, Plan
from llmroof.specs.precision import recipe


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (Plan(tp=3), "tp=3 does not divide the 28 attention heads of .*; possible: 1, 2, 4, 28$"),
        (
            Plan(tp=7),
            "tp=7 neither divides nor is a multiple of the 4 KV heads of .*; possible: 1,",
        ),
        (Plan(pp=29), "pp=29 is more than the 28 layers"),
        (Plan(ep=2), "ep=2 needs experts, and .* has none: leave ep out"),
        (Plan(tp=0), "tp must be 1 or more"),
    ],
)
def test_plans_that_cannot_be_say_why(plan: Plan, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        check_plan(load_model("qwen2.5-7b"), plan)


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (
            Plan(tp=2, dp=3, ep=4),
            "ep=4 does not divide tp x dp = 6, the devices that experts",
        ),
        (
            Plan(dp=12, ep=12),
            "ep=12 does not divide the 8 experts of .*; possible: 1, 2, 4$",
        ),
    ],
)
def test_experts_spread_evenly_or_the_degrees_that_would_are_named(
    plan: Plan, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        check_plan(load_model("mixtral-8x7b"), plan)


def test_the_degrees_that_a_refusal_names_work() -> None:
    model = load_model("qwen2.5-7b")
    for degree in re.findall(r"\d+", fault(model, Plan(tp=3)).partition("possible: ")[2]):
        assert not fault(model, Plan(tp=int(degree)))


def test_degrees_up_to_64_are_named() -> None:
    named = fault(load_model("llama-3.1-405b"), Plan(tp=3)).partition("possible: ")[2]
    assert named == "1, 2, 4, 8, 16, 32, 64"  # 128 heads: 128 would go, too


def test_a_domain_holds_the_tensor_parallel_devices_and_stages_the_rest() -> None:
    """71 heads go on one device only; more are stages, of 32 layers at most."""
    plans = list(growing_plans(load_model("falcon-7b"), 64))
    assert plans == [Plan(1, pp) for pp in (1, 2, 4, 8, 16, 32)]


@pytest.mark.parametrize(
    ("layers", "pp", "counts"),
    [(8, 4, (2, 2, 2, 2)), (9, 4, (2, 2, 3, 2)), (11, 4, (3, 3, 3, 2)), (5, 2, (3, 2))],
)
def test_what_is_left_over_stands_before_the_last_stage(
    layers: int, pp: int, counts: tuple[int, ...]
) -> None:
    assert layer_counts(layers, pp) == counts


def test_plans_grow_inside_the_domain_first() -> None:
    plans = list(growing_plans(load_model("llama-3.1-70b"), 32, domain=8))
    assert plans == [Plan(1), Plan(2), Plan(4), Plan(8), Plan(8, 2), Plan(8, 4)]


def test_a_plan_left_open_stays_in_one_host_while_it_can() -> None:
    """405B in 16 bits: 812 GB of weights need 16 H100: two hosts, a pipeline between them."""
    found = llmroof.estimate(model="llama-3.1-405b", gpu="h100")
    assert found.deployment.run.plan == Plan(tp=8, pp=2)
    assert "16 GPUs (tp=8, pp=2): the fewest of 1, 2, 4 ... that hold it" in found.notes
    half = llmroof.estimate(model="llama-3.1-405b", gpu="h100", num_gpus=8)
    assert not half.fits


# --- pipelines -------------------------------------------------------------------------


@pytest.mark.parametrize(("micro", "stages"), [(1, 2), (2, 2), (4, 4), (3, 4)])
def test_even_stages_have_the_bubble_of_gpipe(micro: int, stages: int) -> None:
    """(m + p − 1)/p passes (Huang et al. 2019, 2.3)."""
    rounds = Schedule(in_a_row=micro).rounds(1 / stages)
    assert rounds == pytest.approx((micro + stages - 1) / stages)


def test_a_pipeline_gains_no_latency_for_one_sequence() -> None:
    """Each token passes all layers: one sequence decodes as fast as on one device, not faster."""
    model, gpu = dense(layers=4), replace(device(link=1e12), tdp=None)
    one, two = (
        llmroof.estimate(
            model=model, gpu=gpu, batch=1, input_len=8, output_len=8, limit=True, pp=pp
        )
        for pp in (1, 2)
    )
    hand_over = sum(float(c.times.total) for c in two.decode.operators if c.operator.kind == "send")
    assert two.decode.time == pytest.approx(one.decode.time + hand_over, rel=1e-12)
    assert two.serving.ttft >= one.serving.ttft


def test_a_pipeline_of_two_halves_a_full_prefill() -> None:
    """Even stages, two micro-batches: (2 + 1)/2 passes of half of the batch."""
    work = Workload(batch=8.0, input_len=100.0, output_len=10.0)
    step, schedule = prefill_pass(work, Plan(pp=2))
    assert (step.batch, schedule.passes, schedule.in_a_row) == (4.0, 2.0, 2.0)
    assert schedule.rounds(0.5) == 1.5


def test_chunks_follow_each_other_through_a_pipeline() -> None:
    """One prompt in 4 chunks over 2 stages: 1 + 3/2 passes, not 4 x 3/2: filled once."""
    work = Workload(batch=1.0, input_len=400.0, output_len=10.0, chunk_tokens=100.0)
    step, schedule = prefill_pass(work, Plan(pp=2))
    assert (step.new_tokens, schedule.in_a_row) == (100.0, 4.0)
    assert schedule.rounds(0.5) == 2.5
    _, alone = prefill_pass(work, Plan())
    assert alone.in_a_row == 4.0


def test_the_slowest_stage_sets_the_pace_of_decode() -> None:
    """3 of 5 layers on the first stage: two micro-batches take 2 x 3/5 of a pass each round."""
    assert Schedule(in_a_row=2.0, endless=True).rounds(0.6) == pytest.approx(1.2)
    assert Schedule(in_a_row=2.0, endless=True).rounds(0.5) == 1.0
    assert Schedule(in_a_row=1.0, endless=True).rounds(0.6) == 1.0


def test_uneven_stages_cost_more_than_even_ones() -> None:
    """Layers of equal cost, no head to speak of: 5 layers in 2 stages wait for the 3."""
    model = dense(layers=5, hidden=64, intermediate=256, vocab=1, heads=4, head_dim=16)
    gpu = device(link=1e12)
    asked = {"gpu": gpu, "batch": 2, "input_len": 64, "output_len": 2, "limit": True}
    one, two = (llmroof.estimate(model=model, **asked, pp=pp) for pp in (1, 2))
    half = llmroof.estimate(model=model, **asked | {"batch": 1})
    share = float(two.prefill.time / half.prefill.time)
    assert share == pytest.approx(1 + 3 / 5, rel=0.02)
    assert two.prefill.flop == one.prefill.flop


def test_arrays_and_single_questions_agree_in_a_pipeline() -> None:
    """A grid of batches is the same as each alone, bit for bit, uneven stages included."""
    batches = np.array([1.0, 2.0, 3.0, 8.0, 17.0])
    asked = {"model": "phi-4", "gpu": "h100", "tp": 2, "pp": 3, "input_len": 512}
    grid = llmroof.estimate(batch=batches, **asked)
    for index, batch in enumerate(batches):
        alone = llmroof.estimate(batch=batch, **asked)
        for field in ("ttft", "tpot"):
            whole = np.broadcast_to(getattr(grid.serving, field), batches.shape)
            assert whole[index] == getattr(alone.serving, field)
        total = np.broadcast_to(grid.memory.total_bytes, batches.shape)
        assert total[index] == alone.memory.total_bytes


# --- data parallel ---------------------------------------------------------------------


def test_data_parallel_ranks_share_the_batch() -> None:
    """10 sequences over 4 ranks: the busiest has 3; the work is that of all 10."""
    work = Workload(batch=10.0, input_len=8.0, output_len=4.0)
    run = Execution(recipe("bf16"), Plan(dp=4))
    step, schedule = decode_pass(work, run)
    assert step.batch == 3.0
    assert step.batch * schedule.passes == pytest.approx(10.0)


def test_fewer_sequences_than_ranks_leave_ranks_idle() -> None:
    one, four = (
        llmroof.estimate(model="llama-3.1-8b", gpu="h100", batch=2, dp=dp, limit=True)
        for dp in (2, 4)
    )
    assert four.serving.tpot == one.serving.tpot
    assert four.decode.flop == one.decode.flop
    assert four.decode.mbu == pytest.approx(one.decode.mbu / 2)


@pytest.mark.parametrize(
    "plan", [{"tp": 4}, {"pp": 2}, {"pp": 3, "tp": 2}, {"dp": 4}, {"dp": 2, "tp": 2, "pp": 2}]
)
def test_utilizations_stay_shares_under_every_plan(plan: dict[str, int]) -> None:
    for batch in (1, 3, 8, 64):
        found = llmroof.estimate(
            model="llama-3.1-8b", gpu="h100", batch=batch, input_len=300, limit=True, **plan
        )
        for phase in (found.prefill, found.decode):
            assert 0 < phase.mfu <= 1 + 1e-9
            assert 0 < phase.mbu <= 1 + 1e-9


@pytest.mark.parametrize("plan", [{"pp": 2}, {"pp": 3}, {"dp": 2}, {"tp": 2}, {"tp": 4, "pp": 2}])
def test_flop_of_the_whole_deployment_do_not_depend_on_the_plan(plan: dict[str, int]) -> None:
    asked = {"model": "llama-3.1-8b", "gpu": "h100", "batch": 12, "limit": True}
    one, many = llmroof.estimate(**asked, num_gpus=1), llmroof.estimate(**asked, **plan)
    assert many.prefill.flop == pytest.approx(one.prefill.flop, rel=1e-12)
    assert many.decode.flop == pytest.approx(one.decode.flop, rel=1e-12)


def test_a_server_with_a_pipeline_serves_more_and_each_token_no_faster() -> None:
    asked = {"model": "llama-3.1-70b", "gpu": "h100", "concurrency": 64, "tp": 4}
    one, two = (llmroof.estimate(**asked, pp=pp) for pp in (1, 2))
    assert two.serving.output_tokens_per_s > one.serving.output_tokens_per_s
    single = {**asked, "concurrency": 1}
    alone, staged = (llmroof.estimate(**single, pp=pp) for pp in (1, 2))
    assert staged.serving.tpot >= alone.serving.tpot


def test_a_refused_split_of_experts_is_told_at_once_on_any_number_of_devices() -> None:
    """Only what divides the 256 experts is looked at, not every number up to 2^30."""
    model = load_model("deepseek-v3")
    said = fault(model, Plan(tp=1, dp=2**30, ep=2**30))
    assert said.endswith("possible: 1, 2, 4, 8, 16, 32, 64, 128, 256")
