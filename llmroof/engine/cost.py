"""What the tokens cost: USD and joules."""

from __future__ import annotations

from dataclasses import dataclass

from llmroof.engine.deployment import Deployment, Workload
from llmroof.engine.service import ServingEstimate
from llmroof.operators import Number
from llmroof.units import HOUR, MILLION


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """USD and joules. Input pays for the time of prefill, output for that of decode.

    USD figures are None without a price, joules and watts None without a power figure.
    """

    usd_per_hour: Number | None
    usd_per_million_output_tokens: Number | None
    usd_per_million_input_tokens: Number | None
    usd_per_million_total_tokens: Number | None
    joule_per_output_token: Number | None
    watts: Number | None = None


def price(
    deployment: Deployment,
    work: Workload,
    serving: ServingEstimate,
    prefill_share: Number | None = None,
) -> CostEstimate:
    """Cost of a stream of requests; `prefill_share` of the devices' time goes to prompts.

    Input and output tokens pay for their share of the time, so that the two add up to
    the whole; a static batch spends TTFT of its latency on prompts. Energy takes the
    power limit of every device for the whole time: an upper bound, as devices draw less
    while memory-bound.
    """
    power = deployment.hardware.tdp if deployment.watts is None else deployment.watts
    watts = None if power is None else power * deployment.num_gpus
    joule = None if watts is None else watts / serving.output_tokens_per_s
    if deployment.usd_per_gpu_hour is None:
        return CostEstimate(None, None, None, None, joule, watts)
    share = serving.ttft / serving.e2e_latency if prefill_share is None else prefill_share
    per_hour = deployment.usd_per_gpu_hour * deployment.num_gpus
    per_million_requests = per_hour / HOUR * MILLION / serving.requests_per_s
    return CostEstimate(
        usd_per_hour=per_hour,
        usd_per_million_output_tokens=per_million_requests * (1 - share) / work.output_len,
        usd_per_million_input_tokens=per_million_requests * share / work.input_len,
        usd_per_million_total_tokens=per_million_requests / (work.input_len + work.output_len),
        joule_per_output_token=joule,
        watts=watts,
    )
