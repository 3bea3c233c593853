"""The KV cache between a prefill worker and a decode worker: its bytes, its link, its time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from llmroof.engine.deployment import Deployment, Workers
from llmroof.engine.network import levels
from llmroof.engine.stages import stages
from llmroof.operators import Number

#: a link that the user stated, not the profile
GIVEN: Final = "given"


@dataclass(frozen=True, slots=True)
class Transfer:
    """The KV cache of one prompt on its way to a decode worker.

    `bytes` over all devices, `device_bytes` of the busiest one; `time` in seconds, of which
    `exposed` is not hidden behind the prefill. `link` names where `bandwidth` comes from.
    """

    bytes: Number
    device_bytes: Number
    link: str
    bandwidth: float
    time: Number
    exposed: Number


def prompt_side(deployment: Deployment) -> Deployment:
    """One prefill worker."""
    workers = workers_of(deployment)
    return replace(deployment, run=replace(deployment.run, plan=workers.plan), workers=None)


def token_side(deployment: Deployment) -> Deployment:
    """One decode worker."""
    return replace(deployment, workers=None)


def workers_of(deployment: Deployment) -> Workers:
    """The workers of a disaggregated deployment."""
    assert deployment.workers is not None
    return deployment.workers


def transfer(deployment: Deployment, tokens: Number, prefill: Number, at_once: Number) -> Transfer:
    """The KV cache of prompts of `tokens` sent after a `prefill` of that many seconds.

    Each device of the decode rank receives what it will hold, copies of replicated heads
    and latents included; the devices of the prefill rank share the sending. `at_once`
    prompts of a rank go together. Layer by layer all but the last layer's part hides
    behind the prefill, as far as that is long enough.
    """
    workers, run = workers_of(deployment), deployment.run
    precision, tp = run.precision, run.plan.tp
    parts = [
        stage.kv_cache_bytes(tokens, precision, tp)
        for stage in stages(deployment.model, run.plan.pp)
    ]
    received = np.max(np.stack(np.broadcast_arrays(*parts)), axis=0)[()]
    total = tp * sum(parts)
    device = np.maximum(received, total / (workers.plan.tp * workers.plan.pp)) * at_once
    link, bandwidth = link_between(deployment)
    time = device / bandwidth
    if deployment.calibration is not None:
        links = deployment.calibration.links
        time = links.transfer_start + time / links.transfer_share
    exposed = time
    if workers.overlap == "layers":
        layers = deployment.model.num_layers
        exposed = np.maximum(time / layers, time - prefill * ((layers - 1) / layers))
    return Transfer(total, device / at_once, link, bandwidth, time, exposed)


def link_between(deployment: Deployment) -> tuple[str, float]:
    """(name, bytes/s of a device one way) of the link that the KV cache crosses.

    The outermost link that joins all workers, unless a bandwidth is given. Raises
    Unsupported where the profile states none.
    """
    workers = workers_of(deployment)
    if workers.bandwidth is not None:
        return GIVEN, workers.bandwidth
    outer = levels(deployment.hardware, int(np.max(deployment.num_gpus)))[-1]
    return outer.link, outer.bandwidth


def link_rate(deployment: Deployment, sent: Transfer) -> Number:
    """Requests/s whose KV cache the busier side of the link carries at the share it reaches."""
    workers, plan = workers_of(deployment), deployment.run.plan
    givers = workers.prefill * workers.plan.num_gpus
    takers = workers.decode * plan.num_gpus
    calibration = deployment.calibration
    share = calibration.links.transfer_share if calibration is not None else 1.0
    return np.minimum(givers, takers) * sent.bandwidth * share / np.maximum(sent.bytes, 1.0)
