"""Deployment x workload -> estimate: both phases, memory, serving figures, cost.

A static batch: `batch` sequences prefill together, then decode together until each
has `output_len` tokens. Every number of the workload may be an array; arrays broadcast
against each other and every figure of the answer has their joint shape.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from llmroof import units
from llmroof.engine.capacity import MemoryEstimate, memory
from llmroof.engine.cost import CostEstimate, price
from llmroof.engine.deployment import Deployment, Speculation, Workload
from llmroof.engine.disaggregated import (
    Split,
    batch_prefill,
    batch_split,
    both_sides,
    decode_work,
    of_all,
)
from llmroof.engine.passes import decode_pass, prefill_pass
from llmroof.engine.phases import PhaseEstimate, run_phase
from llmroof.engine.service import ServingEstimate, serve_static, served_batches
from llmroof.engine.serving import Load, Steady, per_token, prompted
from llmroof.engine.transfer import token_side
from llmroof.operators import Number

__all__ = [
    "CostEstimate",
    "Deployment",
    "Estimate",
    "Load",
    "MemoryEstimate",
    "PhaseEstimate",
    "ServingEstimate",
    "Speculation",
    "Steady",
    "Workload",
    "estimate",
    "memory_of",
    "serve_static",
]


@dataclass(frozen=True, slots=True, repr=False)
class Estimate:
    """The whole answer to one question, or to an array of them."""

    deployment: Deployment
    workload: Workload
    prefill: PhaseEstimate
    decode: PhaseEstimate
    memory: MemoryEstimate
    serving: ServingEstimate
    cost: CostEstimate
    steady: Steady | None = None
    load: Load | None = None
    split: Split | None = None
    defaults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def fits(self) -> Number:
        """True where weights, cache and activations fit the device."""
        return self.memory.fits

    def __repr__(self) -> str:
        """One line: what was asked where, and the answer; a range tells its size."""
        one, serving = self.deployment, self.serving
        where = f"{one.model.id} in {one.run.precision.name} on {one.num_gpus} x {one.hardware.id}"
        points = np.size(serving.ttft + serving.tpot)
        if points > 1:
            return f"<Estimate: {where}, {points:,} points>"
        ttft, tpot = (units.show(float(time), "s") for time in (serving.ttft, serving.tpot))
        rate = f"{float(serving.output_tokens_per_s):,.0f} output tokens/s"
        return f"<Estimate: {where}, TTFT {ttft}, TPOT {tpot}, {rate}>"

    def to_frame(self) -> Any:
        """The answer as a pandas DataFrame, one row per question, columns as in the JSON."""
        from llmroof.render.table import to_frame  # the one step up: a result shows itself

        return to_frame(self)

    def _repr_html_(self) -> str:
        """What a notebook shows: the figures and the roofline."""
        from llmroof.render.notebook import estimate_html

        return estimate_html(self)


def estimate(deployment: Deployment, work: Workload) -> Estimate:
    """Both phases, memory, serving figures and cost of a static batch."""
    if deployment.workers is not None:
        return _disaggregated(deployment, work)
    prompt, prompt_schedule = prefill_pass(work, deployment.run.plan)
    prefill = run_phase(
        deployment.model,
        (prompt,),
        deployment.run,
        deployment.hardware,
        deployment.prompt_model,
        prompt_schedule,
    )
    decode, step_time = decode_phase(deployment, work)
    ttft = prompted(deployment, work, prefill.time)
    serving = serve_static(work, ttft, step_time, deployment.num_gpus)
    return Estimate(
        deployment,
        work,
        prefill,
        decode,
        memory_of(deployment, work),
        serving,
        price(
            deployment,
            requests_per_s=serving.requests_per_s,
            prefill_share=serving.ttft / serving.e2e_latency,
            input_len=work.input_len,
            output_len=work.output_len,
        ),
    )


def _disaggregated(deployment: Deployment, work: Workload) -> Estimate:
    """The same with prefill and decode on workers of their own, a batch after the other."""
    assert deployment.workers is not None
    prefill = batch_prefill(deployment, work)
    one, each = token_side(deployment), decode_work(deployment, work)
    decode, step = decode_phase(one, each)
    ttft, pace, split = batch_split(deployment, work, prefill, step)
    serving = served_batches(work, ttft, step, pace, deployment.num_gpus)
    memory = both_sides(deployment, memory_of(one, each), split)
    return Estimate(
        deployment,
        work,
        prefill,
        of_all(decode, work.batch / each.batch),
        memory,
        serving,
        price(
            deployment,
            requests_per_s=pace,
            prefill_share=deployment.prefill_share,
            input_len=work.input_len,
            output_len=work.output_len,
        ),
        split=split,
    )


def decode_phase(deployment: Deployment, work: Workload) -> tuple[PhaseEstimate, Number]:
    """(one decode step, seconds per token of it).

    With speculation the step verifies γ+1 tokens after γ passes of the draft model and
    yields `tokens_per_step` of them (Leviathan et al. 2023, section 3.3).
    """
    guess = deployment.speculation
    step, schedule = decode_pass(work, deployment.run, 1.0 if guess is None else guess.tokens + 1.0)
    phase = run_phase(
        deployment.model,
        (step,),
        deployment.run,
        deployment.hardware,
        deployment.time_model,
        schedule,
    )
    return phase, per_token(deployment, step, phase.time)


def memory_of(deployment: Deployment, work: Workload) -> MemoryEstimate:
    """Memory of one device of the deployment under this work.

    Activations are those of one pass: of a chunk, where the prefill is cut into chunks.
    """
    rules = deployment.rules
    if work.chunk_tokens is not None:
        rules = replace(rules, chunk_tokens=work.chunk_tokens)
    return memory(
        deployment.model,
        deployment.run,
        deployment.hardware,
        rules,
        batch=work.batch,
        input_len=work.input_len,
        output_len=work.output_len,
        draft=deployment.speculation.draft if deployment.speculation else None,
    )
