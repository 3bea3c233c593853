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
from llmroof.engine.deployment import Deployment, Workload
from llmroof.engine.estimate import Estimate, decode_phase, memory_of
from llmroof.engine.passes import prefill_pass
from llmroof.engine.phases import run_phase
from llmroof.engine.service import ServingEstimate, with_ranges
from llmroof.engine.serving import Load, Steady, kv_slots, serve
from llmroof.errors import LlmroofError
from llmroof.operators import Number

#: points of the operating curve between one running sequence and a full cache
CURVE_POINTS: Final = 64


class Overloaded(LlmroofError):
    """More requests arrive than the deployment can finish; says the largest rate it can."""

    exit_code = 1


def estimate_load(deployment: Deployment, load: Load, rate: Number | None = None) -> Estimate:
    """Both phases, memory, serving figures and cost under a load.

    `rate` is the arrival rate of a "poisson" load in requests per second; otherwise
    `load.concurrency` requests are in flight. Raises Overloaded when a single question
    asks for more than the deployment can sustain; in arrays such points are at capacity.
    """
    if load.kind == "poisson":
        assert rate is not None
        steady, load = serve_rate(deployment, load, rate)
    else:
        steady = serve(deployment, load)
    work = Workload(
        steady.running,
        load.input_len,
        load.output_len,
        load.prefix_hit_rate,
        deployment.rules.chunk_tokens,
    )
    prompt, schedule = prefill_pass(replace(work, batch=1.0), deployment.run.plan)
    prefill = run_phase(
        deployment.model,
        (prompt,),
        deployment.run,
        deployment.hardware,
        deployment.prompt_model,
        schedule,
    )
    decode, _ = decode_phase(deployment, work)
    serving = with_ranges(served(load, steady, deployment.num_gpus), deployment)
    share = serving.requests_per_s / deployment.run.plan.dp * steady.marginal
    return Estimate(
        deployment,
        work,
        prefill,
        decode,
        _memory(deployment, work, steady),
        serving,
        price(
            deployment,
            requests_per_s=serving.requests_per_s,
            prefill_share=np.minimum(share, 1.0),
            input_len=load.input_len,
            output_len=load.output_len,
        ),
        steady,
        load,
    )


def _memory(deployment: Deployment, work: Workload, steady: Steady) -> MemoryEstimate:
    """Memory with the running sequences; what fits is what the engine's KV pool holds."""
    found = memory_of(deployment, work)
    return replace(found, fits=steady.slots >= 1, max_batch=steady.slots)


def served(load: Load, steady: Steady, devices: int) -> ServingEstimate:
    """What users and operators see; requests per second by Little's law."""
    e2e = steady.ttft + (load.output_len - 1) * steady.tpot
    requests = load.concurrency / e2e
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


def serve_rate(deployment: Deployment, load: Load, rate: Number) -> tuple[Steady, Load]:
    """(steady state, load with the concurrency that follows) of a Poisson stream.

    Below one running sequence the server is idle part of the time; above, the point of
    the operating curve with the stream's throughput is found by interpolation. An
    arrival waits for the prefills before its own, ρP/(2(1−ρ)), ρ = rate x P.
    """
    plan = deployment.run.plan
    slots = np.minimum(kv_slots(deployment, load), deployment.rules.max_num_seqs) * plan.dp
    most = np.maximum(np.asarray(slots, dtype=np.float64), plan.dp)[..., None]
    grid = np.geomspace(1.0, np.maximum(most / plan.dp, 1.0 + 1e-9)[..., 0], CURVE_POINTS, axis=-1)
    curve = serve(deployment, _last_axis(load, grid * plan.dp))
    finished = curve.requests_per_s
    top = np.max(finished, axis=-1)
    if np.ndim(rate) == 0 and np.ndim(top) == 0 and rate > top:
        raise Overloaded(
            f"{rate:g} requests/s are more than the deployment can finish: "
            f"the largest sustainable rate is {float(top):.4g} requests/s"
        )
    running = _crossing(finished, grid, np.minimum(rate, top)) * plan.dp
    steady = serve(deployment, replace(load, concurrency=np.maximum(running, plan.dp)))
    busy = np.minimum(rate / plan.dp * steady.prefill, 1.0 - 1.0 / CURVE_POINTS)
    wait = busy * steady.prefill / (2 * (1 - busy))
    ttft = steady.prefill + steady.lag + wait
    steady = replace(steady, ttft=ttft, interference=wait, running=running)
    done = np.minimum(rate, top)[()]  # what is beyond capacity is not served
    in_flight = done * (ttft + (load.output_len - 1) * steady.tpot)
    return replace(steady, requests_per_s=done), replace(load, concurrency=in_flight)


def _last_axis(load: Load, running: Number) -> Load:
    """The load at every point of the curve, which is the last axis."""

    def one(number: Number) -> Number:
        return number if np.ndim(number) == 0 else np.asarray(number)[..., None]

    return replace(
        load,
        concurrency=running,
        kind="closed",
        input_len=one(load.input_len),
        output_len=one(load.output_len),
        prefix_hit_rate=one(load.prefix_hit_rate),
    )


def _crossing(values: Number, grid: Number, wanted: Number) -> Number:
    """Where the rising curve `values` over `grid` (last axis) reaches `wanted`.

    Below the first point it is a line through zero.
    """
    target = np.asarray(wanted, dtype=np.float64)[..., None]
    shape = np.broadcast_shapes(target.shape[:-1], values.shape[:-1])
    values = np.broadcast_to(values, (*shape, values.shape[-1]))
    values = np.maximum.accumulate(values, axis=-1)  # kernels make steps: more may finish less
    above = np.clip(np.sum(values < target, axis=-1, keepdims=True), 0, values.shape[-1] - 1)
    below = np.maximum(above - 1, 0)
    grid = np.broadcast_to(grid, values.shape)
    y1, y0 = (np.take_along_axis(values, index, -1) for index in (above, below))
    x1, x0 = (np.take_along_axis(grid, index, -1) for index in (above, below))
    first = above == 0
    y0, x0 = np.where(first, 0.0, y0), np.where(first, 0.0, x0)
    place = x0 + (x1 - x0) * (target - y0) / np.maximum(y1 - y0, np.finfo(float).tiny)
    return place[..., 0][()]
