"""What the tokens cost: USD and joules."""

from __future__ import annotations

from dataclasses import dataclass

from llmroof.engine.deployment import Deployment
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
    *,
    requests_per_s: Number,
    prefill_share: Number,
    input_len: Number,
    output_len: Number,
) -> CostEstimate:
    """Cost of a stream of requests; `prefill_share` of the devices' time goes to prompts.

    Input and output tokens pay for their share of the time, so that the two add up to
    the whole. Energy takes the power limit of every device for the whole time: an upper
    bound, as devices draw less while memory-bound.
    """
    power = deployment.hardware.tdp if deployment.watts is None else deployment.watts
    watts = None if power is None else power * deployment.num_gpus
    joule = None if watts is None else watts / (requests_per_s * output_len)
    if deployment.usd_per_gpu_hour is None:
        return CostEstimate(None, None, None, None, joule, watts)
    per_hour = deployment.usd_per_gpu_hour * deployment.num_gpus
    per_million_requests = per_hour / HOUR * MILLION / requests_per_s
    return CostEstimate(
        usd_per_hour=per_hour,
        usd_per_million_output_tokens=per_million_requests * (1 - prefill_share) / output_len,
        usd_per_million_input_tokens=per_million_requests * prefill_share / input_len,
        usd_per_million_total_tokens=per_million_requests / (input_len + output_len),
        joule_per_output_token=joule,
        watts=watts,
    )
