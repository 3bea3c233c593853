"""What users and operators of a service see, and how far off that may be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from llmroof.calibration.ranges import Class, load_ranges
from llmroof.engine.deployment import Deployment, Workload
from llmroof.operators import Number

#: low and high end of a range, each of the shape of the figure
Span: TypeAlias = tuple[Number, Number]


@dataclass(frozen=True, slots=True)
class ServingEstimate:
    """What a user and an operator of the service see (seconds, tokens per second).

    80 % of measurements are expected within the ranges; None where none were made.
    """

    ttft: Number
    tpot: Number
    e2e_latency: Number
    output_tokens_per_s: Number
    total_tokens_per_s: Number
    output_tokens_per_s_per_gpu: Number
    requests_per_s: Number
    ttft_range: Span | None = None
    tpot_range: Span | None = None
    range_class: Class | None = None
    #: requests that arrive per second, of an open load; more than are finished is no fit
    arrivals_per_s: Number | None = None


def serve_static(
    work: Workload, prefill_time: Number, step_time: Number, devices: int
) -> ServingEstimate:
    """TTFT is the prefill of the whole batch; the other output−1 tokens take a step each."""
    e2e = prefill_time + (work.output_len - 1) * step_time
    return served_batches(work, prefill_time, step_time, work.batch / e2e, devices)


def served_batches(
    work: Workload, ttft: Number, step_time: Number, requests: Number, devices: Number
) -> ServingEstimate:
    """Batches that follow each other at `requests` per second."""
    e2e = ttft + (work.output_len - 1) * step_time
    output = requests * work.output_len
    return ServingEstimate(
        ttft=ttft,
        tpot=step_time,
        e2e_latency=e2e,
        output_tokens_per_s=output,
        total_tokens_per_s=requests * (work.input_len + work.output_len),
        output_tokens_per_s_per_gpu=output / devices,
        requests_per_s=requests,
    )


def with_ranges(
    serving: ServingEstimate, deployment: Deployment, open_loop: bool = False
) -> ServingEstimate:
    """The same with the ranges that held-out measurements of its class give.

    They are wider for an `open_loop`, where requests arrive at a rate of their own.
    At the physical limit there is nothing to be off from, and no ranges.
    """
    if deployment.calibration is None:
        return serving
    found, factors = load_ranges().find(*kind_of(deployment), open_loop)
    (ttft_low, ttft_high), (tpot_low, tpot_high) = factors["ttft_s"], factors["tpot_s"]
    return replace(
        serving,
        ttft_range=(serving.ttft * ttft_low, serving.ttft * ttft_high),
        tpot_range=(serving.tpot * tpot_low, serving.tpot * tpot_high),
        range_class=found,
    )


def kind_of(deployment: Deployment) -> tuple[str, int, str]:
    """(engine, bits of the weights: 4, 8 or 16, GPU architecture) of a deployment."""
    bits = deployment.run.precision.weights.bits
    width = next((width for width in (4, 8) if bits <= width), 16)
    return deployment.engine, width, deployment.hardware.architecture.partition(" ")[0]
