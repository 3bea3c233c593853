"""Deployment x workload -> estimate: both phases, memory, serving figures, cost.

A static batch: `batch` sequences prefill together, then decode together until each
has `output_len` tokens. Every number of the workload may be an array; arrays broadcast
against each other and every figure of the answer has their joint shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llmroof.calibration.load import Calibration, EngineRules
from llmroof.engine.capacity import MemoryEstimate, memory
from llmroof.engine.expected import expected
from llmroof.engine.phases import PhaseEstimate, Schedule, TimeModel, run_phase
from llmroof.models.model import Model
from llmroof.operators import Execution, Number, Plan, Step
from llmroof.specs.hardware import Hardware
from llmroof.units import HOUR, MILLION


@dataclass(frozen=True, slots=True)
class Deployment:
    """What serves: a model on devices under a plan, with an engine's rules and a price.

    Without `calibration` times are the physical limit; `usd_per_gpu_hour` None means
    that no price is known and no cost is computed.
    """

    model: Model
    hardware: Hardware
    run: Execution
    rules: EngineRules
    calibration: Calibration | None = None
    usd_per_gpu_hour: float | None = None
    engine: str = "generic"

    @property
    def num_gpus(self) -> int:
        """Devices of the deployment."""
        return self.run.plan.num_gpus

    @property
    def time_model(self) -> TimeModel | None:
        """Operator -> times; None is the physical limit."""
        calibration = self.calibration
        if calibration is None:
            return None
        bandwidth = self.hardware.memory.bandwidth
        return lambda operator, floor: expected(operator, floor, calibration, bandwidth)


@dataclass(frozen=True, slots=True)
class Workload:
    """What is asked: sequences together, tokens in and tokens out per sequence."""

    batch: Number
    input_len: Number
    output_len: Number


@dataclass(frozen=True, slots=True)
class ServingEstimate:
    """What a user and an operator of the service see (seconds, tokens per second)."""

    ttft: Number
    tpot: Number
    e2e_latency: Number
    output_tokens_per_s: Number
    total_tokens_per_s: Number
    output_tokens_per_s_per_gpu: Number
    requests_per_s: Number


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """USD and joules. Input pays for the time of prefill, output for that of decode.

    USD figures are None without a price, joules None without a power figure.
    """

    usd_per_hour: Number | None
    usd_per_million_output_tokens: Number | None
    usd_per_million_input_tokens: Number | None
    usd_per_million_total_tokens: Number | None
    joule_per_output_token: Number | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """The whole answer to one question, or to an array of them."""

    deployment: Deployment
    workload: Workload
    prefill: PhaseEstimate
    decode: PhaseEstimate
    memory: MemoryEstimate
    serving: ServingEstimate
    cost: CostEstimate
    defaults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fits(self) -> Number:
        """True where weights, cache and activations fit the device."""
        return self.memory.fits

    def to_frame(self) -> Any:
        """The answer as a pandas DataFrame, one row per question, columns as in the JSON."""
        from llmroof.render.table import to_frame

        return to_frame(self)


def prefill_pass(work: Workload, plan: Plan) -> tuple[Step, Schedule]:
    """The pass over the prompts of the busiest rank.

    A pipeline of pp stages works on m = min(sequences, pp) micro-batches at once; the
    round takes m + pp − 1 stage times, a stage being 1/pp of a pass
    (Huang et al. 2019, GPipe, section 2.3: the bubble).
    """
    local = per_rank(work.batch, plan)
    if plan.pp == 1:
        return Step(local, work.input_len, 0.0), Schedule(work.batch / local)
    together = np.minimum(local, plan.pp)
    micro = local / together
    schedule = Schedule(work.batch / micro, (together + plan.pp - 1) / plan.pp)
    return Step(micro, work.input_len, 0.0), schedule


def decode_pass(work: Workload, run: Execution) -> tuple[Step, Schedule]:
    """The decode step at the mean context of the generation, on the busiest rank.

    Token i of the answer (i = 1 … output−1 after the first) attends to input + i keys,
    itself included: on average input + output/2. Without a KV cache the step recomputes
    that whole context. Pipeline stages work on different sequences at the same time:
    each token still passes every layer, so that a pipeline gains no latency.
    """
    context = work.input_len + work.output_len / 2
    local = per_rank(work.batch, run.plan)
    micro = local if run.plan.pp == 1 else np.ceil(local / run.plan.pp)
    schedule = Schedule(work.batch / micro)
    if run.kv_cache:
        return Step(micro, 1.0, context - 1), schedule
    return Step(micro, context, 0.0), schedule


def per_rank(batch: Number, plan: Plan) -> Number:
    """Sequences of the busiest data-parallel rank."""
    return batch if plan.dp == 1 else np.ceil(batch / plan.dp)


def estimate(deployment: Deployment, work: Workload) -> Estimate:
    """Both phases, memory, serving figures and cost of a static batch."""
    model, run, hardware = deployment.model, deployment.run, deployment.hardware
    prompt, prompt_schedule = prefill_pass(work, run.plan)
    token, token_schedule = decode_pass(work, run)
    times = deployment.time_model
    prefill = run_phase(model, (prompt,), run, hardware, times, prompt_schedule)
    decode = run_phase(model, (token,), run, hardware, times, token_schedule)
    serving = serve_static(work, prefill.time, decode.time, deployment.num_gpus)
    return Estimate(
        deployment,
        work,
        prefill,
        decode,
        memory_of(deployment, work),
        serving,
        price(deployment, work, serving),
    )


def memory_of(deployment: Deployment, work: Workload) -> MemoryEstimate:
    """Memory of one device of the deployment under this work."""
    return memory(
        deployment.model,
        deployment.run,
        deployment.hardware,
        deployment.rules,
        batch=work.batch,
        input_len=work.input_len,
        output_len=work.output_len,
    )


def serve_static(
    work: Workload, prefill_time: Number, step_time: Number, devices: int
) -> ServingEstimate:
    """TTFT is the prefill of the whole batch; the other output−1 tokens take a step each."""
    e2e = prefill_time + (work.output_len - 1) * step_time
    requests = work.batch / e2e
    output = requests * work.output_len
    return ServingEstimate(
        ttft=prefill_time,
        tpot=step_time,
        e2e_latency=e2e,
        output_tokens_per_s=output,
        total_tokens_per_s=requests * (work.input_len + work.output_len),
        output_tokens_per_s_per_gpu=output / devices,
        requests_per_s=requests,
    )


def price(deployment: Deployment, work: Workload, serving: ServingEstimate) -> CostEstimate:
    """Cost of the tokens of a batch, and energy at the devices' power limit.

    Input tokens pay for the prefill time and output tokens for the decode time, so that
    the two add up to the whole. Energy takes TDP for the whole time: an upper bound.
    """
    tdp = deployment.hardware.tdp
    tokens_out = work.batch * work.output_len
    joule = None
    if tdp is not None:
        joule = tdp * deployment.num_gpus * serving.e2e_latency / tokens_out
    if deployment.usd_per_gpu_hour is None:
        return CostEstimate(None, None, None, None, joule)
    per_hour = deployment.usd_per_gpu_hour * deployment.num_gpus
    scale = per_hour / HOUR * MILLION
    decode_time = serving.e2e_latency - serving.ttft
    return CostEstimate(
        usd_per_hour=per_hour,
        usd_per_million_output_tokens=scale * decode_time / tokens_out,
        usd_per_million_input_tokens=scale * serving.ttft / (work.batch * work.input_len),
        usd_per_million_total_tokens=scale
        * serving.e2e_latency
        / (work.batch * (work.input_len + work.output_len)),
        joule_per_output_token=joule,
    )
