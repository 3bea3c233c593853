"""Steady state under a load: what the prompts of others cost the tokens of each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import llmroof
from llmroof import load_hardware
from llmroof.calibration.load import load_engine
from llmroof.engine.serving import (
    Load,
    StepCosts,
    between_steps,
    pass_of,
    queue_share,
    steady_state,
)
from llmroof.operators import Plan, Step

#: 32 tokens out per request: 128 at once bring 127 / 32 = 4 prompts a step
SHORT: dict[str, Any] = {
    "model": "llama-3.1-8b", "gpu": "h100", "num_gpus": 1, "engine": "vllm",
    "input_len": 256, "output_len": 32, "concurrency": 128,
}  # fmt: skip


def parts(answer: llmroof.Estimate) -> tuple[float, float, float]:
    """(decode step, prompt alone, prompts of others that a request meets per token)."""
    met = (1 - queue_share(answer.load, answer.deployment.rules)) * (answer.steady.running - 1)
    return answer.steady.step, answer.prefill.time, met / answer.load.output_len


def mixed(answer: llmroof.Estimate, prompts: float) -> float:
    """Seconds of a step that holds the decode tokens and `prompts` whole prompts."""
    work, load = answer.workload, answer.load
    tokens = Step(work.batch, 1.0, load.input_len + load.output_len / 2 - 1, 1.0)
    prompt = Step(prompts, load.input_len)
    return pass_of(answer.deployment, (tokens, prompt), prompts=True).time


def test_few_prompts_meet_few_steps() -> None:
    """127 prompts over 1,024 steps: one step in eight is a mixed one."""
    answer = llmroof.estimate(**{**SHORT, "output_len": 1024})
    step, _, met = parts(answer)
    assert met < 0.13
    assert answer.serving.tpot == pytest.approx(step + met * (mixed(answer, 1.0) - step))


def test_short_answers_put_several_prompts_into_every_step() -> None:
    """Four prompts arrive for every token: each step holds all of them, read the weights once."""
    answer = llmroof.estimate(**SHORT)
    _, alone, met = parts(answer)
    assert 3 < met < 4
    assert answer.serving.tpot == pytest.approx(mixed(answer, met))
    assert answer.serving.tpot < mixed(answer, 1.0) + (met - 1) * alone


def test_prompts_beyond_the_token_budget_run_in_passes_of_their_own() -> None:
    """A budget of one prompt a step: the other ones cost a whole pass each."""
    answer = llmroof.estimate(**SHORT, max_num_batched_tokens=256)
    _, alone, met = parts(answer)
    assert answer.serving.tpot == pytest.approx(mixed(answer, 1.0) + (met - 1) * alone)


@pytest.mark.parametrize("budget", [256, 8192])
@pytest.mark.parametrize("output_len", [2, 32, 1024])
def test_more_bandwidth_never_slows_tokens_down(output_len: int, budget: int) -> None:
    """Quicker decode steps are not paid back by the prompts that are mixed into them."""
    asked = {**SHORT, "output_len": output_len, "max_num_batched_tokens": budget}
    slow = load_hardware("h100-sxm")
    memory = replace(slow.memory, bandwidth=2 * slow.memory.bandwidth)
    fast = replace(slow, memory=memory)
    times = [llmroof.estimate(**{**asked, "gpu": gpu}).serving.tpot for gpu in (slow, fast)]
    assert times[1] <= times[0]


def test_tokens_drafted_together_leave_fewer_steps_for_prompts() -> None:
    """γ = 3 at acceptance 1 gives 4 tokens a step: a quarter of the steps takes all prompts."""
    drafted = {"speculative_tokens": 3, "acceptance_rate": 1.0}
    plain, quick = (llmroof.estimate(**SHORT, **more) for more in ({}, drafted))
    assert quick.deployment.speculation.tokens_per_step == 4
    _, _, met = parts(quick)
    several = met * 4
    tokens = Step(128.0, 4.0, 256 + 16 - 1, 4.0)
    prompt = Step(several, 256.0)
    step = pass_of(quick.deployment, (tokens, prompt), prompts=True).time
    assert quick.serving.tpot == pytest.approx(step / 4)
    assert quick.serving.tpot < plain.serving.tpot


def test_each_micro_batch_of_a_pipeline_has_room_for_prompts() -> None:
    """Two stages take turns with two passes a token: half of the prompts fall to each."""
    answer = llmroof.estimate(**SHORT | {"num_gpus": 2}, pp=2)
    step, _, met = parts(answer)
    rounds = llmroof.estimate(**SHORT | {"num_gpus": 2}, pp=2, max_num_batched_tokens=256)
    tokens = Step(64.0, 1.0, 256 + 16 - 1, 1.0)
    passes = [
        pass_of(answer.deployment, (tokens, Step(met / 2, 256.0)), prompts=True),
        pass_of(answer.deployment, (tokens,)),
        pass_of(answer.deployment, (Step(1.0, 256.0),), prompts=True),
    ]
    mixed_time, plain, prompt = (one.time for one in passes)
    stage = passes[2].slowest
    assert answer.serving.tpot == pytest.approx(step + 2 * stage * (mixed_time - plain))
    assert rounds.serving.tpot > answer.serving.tpot + (met - 2) * prompt * stage / 2


@pytest.mark.parametrize("rate", [0.05, 4.0])
def test_a_stream_meets_the_prompts_that_arrive_while_it_decodes(rate: float) -> None:
    """As many as decode at once (Little's law): no share of them is met in the queue."""
    asked = {**SHORT, "engine": "sglang", "output_len": 256, "concurrency": None}
    answer = llmroof.estimate(**asked, request_rate=rate)
    steady, load = answer.steady, answer.load
    assert steady.tpot == pytest.approx(steady.step + steady.running * steady.marginal / 256)
    assert load.concurrency == pytest.approx(rate * answer.serving.e2e_latency)
    decoding = rate * (256 * steady.tpot + steady.prefill)  # what the operating curve counts
    assert steady.running == pytest.approx(decoding, rel=0.02)


def test_a_stream_that_is_nearly_none_is_one_request_alone() -> None:
    asked = {**SHORT, "output_len": 8, "concurrency": None}
    rare = llmroof.estimate(**asked, request_rate=1e-4)
    alone = llmroof.estimate(**{**asked, "concurrency": 1})
    assert rare.serving.tpot == pytest.approx(alone.serving.tpot, rel=1e-4)


def test_a_request_alone_meets_no_other_ranks_prompts() -> None:
    asked = {"model": "qwen3-30b-a3b", "gpu": "h200", "tp": 1, "dp": 8, "ep": 8, "num_gpus": 8}
    alone = llmroof.estimate(**asked, engine="vllm", concurrency=1)
    assert alone.steady is not None
    assert alone.steady.interference == 0.0
    some = llmroof.estimate(**asked, engine="vllm", concurrency=np.array([2.0, 4.0, 8.0, 16.0]))
    assert some.steady is not None
    assert np.all(np.diff(some.steady.interference) > 0)


def test_ranks_that_wait_for_each_other_cost_decode_steps() -> None:
    # 25 steps of 10 ms, once every rank has another request's answer to work on
    rules = replace(load_engine("generic"), balance=25.0)
    costs = StepCosts(decode=10e-3, prefill=20e-3, marginal=0.0, alone=0.0, span=1.0)
    for ranks, concurrency, steps in (
        (1, 8.0, 0.0),
        (2, 1.0, 0.0),
        (2, 2.0, 0.0),
        (2, 3.0, 12.5),
        (2, 4.0, 25.0),
        (8, 64.0, 25.0),
    ):
        steady = steady_state(costs, Load(100.0, 10.0, concurrency), rules, 64.0, ranks)
        assert steady.lag == pytest.approx(steps * 10e-3)
        assert steady.ttft == pytest.approx(20e-3 + steps * 10e-3)


def test_the_host_works_between_two_steps_for_each_sequence_and_for_the_other_devices() -> None:
    """5 ms a step, 2 ms more where a model is shared out, 10 us a sequence; none at the limit."""
    one = llmroof.estimate(gpu="h100", model="llama-3.1-8b").deployment
    hosted = replace(one.rules, host_step=5e-3, host_ranks=2e-3, host_sequence=1e-5)
    alone = replace(one, rules=hosted)
    assert between_steps(alone, 300.0) == pytest.approx(5e-3 + 300 * 1e-5)
    for plan in (Plan(tp=2), Plan(pp=2)):
        shared = replace(alone, run=replace(one.run, plan=plan))
        assert between_steps(shared, 300.0) == pytest.approx(5e-3 + 2e-3 + 300 * 1e-5)
    assert between_steps(replace(alone, calibration=None), 300.0) == 0.0
    assert between_steps(replace(one, rules=replace(one.rules, host_step=0.0)), 300.0) == 0.0


@pytest.mark.parametrize("engine", ["generic", "trtllm"])
def test_ranks_that_are_nearly_idle_answer_like_one(engine: str) -> None:
    asked = {**SHORT, "output_len": 64, "concurrency": None, "engine": engine, "num_gpus": None}
    one, two = (
        llmroof.estimate(**asked, tp=1, dp=ranks, request_rate=1e-4 * ranks) for ranks in (1, 2)
    )
    assert two.serving.tpot == pytest.approx(one.serving.tpot, rel=1e-6)
