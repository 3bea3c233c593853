"""An estimate under load: the operating point of a server, and what follows from it.

A server's operating curve tells, for each number of running sequences, how many
requests it finishes and how long they take. A closed load picks the point whose
requests in flight are `concurrency`, an open one the point whose throughput is the
arrival rate. Sources: Little 1961; Pollaczek-Khinchine formula for the wait of a
Poisson stream for a server of constant service time (Kleinrock 1975, section 5.6).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from llmroof.engine.capacity import MemoryEstimate
from llmroof.engine.cost import price
from llmroof.engine.curves import crossing, last_axis
from llmroof.engine.deployment import Deployment, Workload
from llmroof.engine.disaggregated import both_sides, of_all, serve_split
from llmroof.engine.estimate import Estimate, decode_phase, memory_of
from llmroof.engine.passes import prefill_pass
from llmroof.engine.phases import PhaseEstimate, run_phase, scheduled
from llmroof.engine.service import ServingEstimate, with_ranges
from llmroof.engine.serving import Load, Steady, StepCosts, operate, rank_slots
from llmroof.engine.transfer import prompt_side, token_side
from llmroof.errors import Overloaded
from llmroof.operators import Number

#: points of the operating curve between one running sequence and a full cache
CURVE_POINTS: Final = 64


def estimate_load(deployment: Deployment, load: Load, rate: Number | None = None) -> Estimate:
    """Both phases, memory, serving figures and cost under a load.

    `rate` is the arrival rate of a "poisson" load in requests per second; otherwise
    `load.concurrency` requests are in flight. Raises Overloaded when a single question
    asks for more than the deployment can sustain; in arrays such points do not fit
    (`fits` is False), and their figures are those at capacity.
    """
    if deployment.workers is not None:
        return _disaggregated(deployment, load, rate)
    if load.kind == "poisson":
        assert rate is not None
        steady, load, costs = serve_rate(deployment, load, rate)
    else:
        steady, costs = operate(deployment, load)
    work = Workload(
        steady.running,
        load.input_len,
        load.output_len,
        load.prefix_hit_rate,
        deployment.rules.chunk_tokens,
    )
    prefill, decode = _phases(deployment, steady, costs)
    plain = served(load, steady, deployment.num_gpus)
    serving = with_ranges(plain, deployment, open_loop=load.kind == "poisson")
    serving = replace(serving, arrivals_per_s=rate)
    share = prompts_share(serving.requests_per_s, deployment.run.plan.dp, steady)
    return Estimate(
        deployment,
        work,
        prefill,
        decode,
        _sustained(_memory(deployment, work, steady), steady, rate),
        serving,
        price(
            deployment,
            requests_per_s=serving.requests_per_s,
            prefill_share=share,
            input_len=load.input_len,
            output_len=load.output_len,
        ),
        steady,
        load,
    )


def _disaggregated(deployment: Deployment, load: Load, rate: Number | None) -> Estimate:
    """The same with prefill and decode on workers of their own."""
    assert deployment.workers is not None
    steady, load, split = serve_split(deployment, load, rate)
    chunk = deployment.rules.chunk_tokens
    work = Workload(steady.running, load.input_len, load.output_len, load.prefix_hit_rate, chunk)
    each = replace(work, batch=np.maximum(steady.running / deployment.workers.decode, 1.0))
    prompts, one = prompt_side(deployment), token_side(deployment)
    prompt, schedule = prefill_pass(replace(work, batch=1.0), prompts.run.plan)
    prefill = run_phase(
        prompts.model, (prompt,), prompts.run, prompts.hardware, prompts.prompt_model, schedule
    )
    decode, _ = decode_phase(one, each)
    memory = both_sides(deployment, _memory(one, each, steady), split)
    serving = replace(served(load, steady, deployment.num_gpus), arrivals_per_s=rate)
    return Estimate(
        deployment,
        work,
        prefill,
        of_all(decode, deployment.workers.decode),
        _sustained(replace(memory, max_batch=steady.slots), steady, rate),
        serving,
        price(
            deployment,
            requests_per_s=serving.requests_per_s,
            prefill_share=deployment.prefill_share,
            input_len=load.input_len,
            output_len=load.output_len,
        ),
        steady,
        load,
        split,
    )


def prompts_share(requests_per_s: Number, dp: int, steady: Steady) -> Number:
    """The part of a server's time that goes to prompts: what input tokens pay for."""
    return np.minimum(requests_per_s / dp * steady.marginal, 1.0)


def _phases(
    deployment: Deployment, steady: Steady, costs: StepCosts
) -> tuple[PhaseEstimate, PhaseEstimate]:
    """Prefill of one prompt, and the decode step of all that run, at least one sequence."""
    prompt, decode = costs.turns
    passes = np.maximum(steady.running, 1.0) / decode.step.batch
    turns = replace(decode.schedule, passes=passes)
    run, hardware = deployment.run, deployment.hardware
    return (
        scheduled(prompt.cost, run, hardware, prompt.schedule),
        scheduled(decode.cost, run, hardware, turns),
    )


def _memory(deployment: Deployment, work: Workload, steady: Steady) -> MemoryEstimate:
    """Memory with the running sequences; what fits is what the engine's KV pool holds."""
    found = memory_of(deployment, work)
    return replace(found, fits=steady.slots >= 1, max_batch=steady.slots)


def _sustained(memory: MemoryEstimate, steady: Steady, rate: Number | None) -> MemoryEstimate:
    """The same, a rate that cannot be finished being no fit."""
    if rate is None:
        return memory
    return replace(memory, fits=memory.fits & (np.asarray(rate) <= steady.requests_per_s))


def served(load: Load, steady: Steady, devices: int) -> ServingEstimate:
    """What users and operators see of a steady state."""
    e2e = steady.ttft + (load.output_len - 1) * steady.tpot
    requests = steady.requests_per_s
    output = requests * load.output_len
    return ServingEstimate(
        ttft=steady.ttft,
        tpot=steady.tpot,
        e2e_latency=e2e,
        output_tokens_per_s=output,
        total_tokens_per_s=requests * (load.input_len + load.output_len),
        output_tokens_per_s_per_gpu=output / devices,
        requests_per_s=requests,
    )


def serve_rate(deployment: Deployment, load: Load, rate: Number) -> tuple[Steady, Load, StepCosts]:
    """(steady state, load with the concurrency that follows, steps) of a Poisson stream.

    Below one running sequence the server is idle part of the time; above, the point of
    the operating curve with the stream's throughput is found by interpolation. An
    arrival waits for the prefills before its own, ρP/(2(1−ρ)), ρ = rate x P.
    """
    plan = deployment.run.plan
    slots = np.asarray(rank_slots(deployment, load), dtype=np.float64)
    grid = np.geomspace(1.0, np.maximum(slots, 1.0 + 1e-9), CURVE_POINTS, axis=-1)
    curve, _ = operate(deployment, last_axis(load, grid * plan.dp), slots[..., None])
    finished = curve.pace
    top = np.max(finished, axis=-1)
    if np.ndim(rate) == 0 and np.ndim(top) == 0 and rate > top:
        raise Overloaded(float(rate), float(top))
    running = crossing(finished, grid, np.minimum(rate, top)) * plan.dp
    at = replace(load, concurrency=running)
    steady, costs = operate(deployment, at, slots[()])
    busy = np.minimum(rate / plan.dp * steady.prefill, 1.0 - 1.0 / CURVE_POINTS)
    wait = busy * steady.prefill / (2 * (1 - busy))
    ttft = steady.prefill + steady.lag + wait
    steady = replace(steady, ttft=ttft, interference=wait, running=running)
    done = np.minimum(rate, top)[()]  # what is beyond capacity is not served
    in_flight = done * (ttft + (load.output_len - 1) * steady.tpot)
    return replace(steady, requests_per_s=done), replace(load, concurrency=in_flight), costs
