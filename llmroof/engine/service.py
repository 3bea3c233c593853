"""What users and operators of a service see of a static batch."""

from __future__ import annotations

from dataclasses import dataclass

from llmroof.engine.deployment import Workload
from llmroof.operators import Number


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
