"""Options that have no bearing on the question they stand in: refused, or told in a note.

What contradicts the question, or what another option says in its place, is refused; what
a script hands over to every question alike, and changes nothing here, is told.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from llmroof.engine import sharding
from llmroof.engine.deployment import Deployment
from llmroof.engine.network import AUTO
from llmroof.engine.serving import LOADS
from llmroof.errors import InputError
from llmroof.models.model import Model
from llmroof.operators import Number


def check_load(
    load: str,
    random_lengths: bool,
    chunked_prefill: Number | None,
    *,
    concurrency: bool,
    request_rate: bool,
) -> None:
    """Raise InputError where an option of a load stands without one, or of a batch under one.

    `concurrency` and `request_rate` say whether they were given.
    """
    if load not in LOADS:
        raise InputError(f"load must be {' or '.join(LOADS)}, not '{load[:40]}'")
    if load == "poisson" and not request_rate:
        raise InputError("a Poisson load needs request_rate")
    if load == "burst" and not concurrency:
        raise InputError(f"load={load} needs concurrency: how many requests are in flight")
    under_load = concurrency or request_rate
    if random_lengths and not under_load:
        raise InputError("random_lengths needs concurrency or request_rate: a batch has one length")
    if chunked_prefill is not None and under_load:
        raise InputError(
            "chunked_prefill splits the prefill of a static batch: under a load "
            "max_num_batched_tokens says how many tokens a step takes"
        )


def check_hits(share: float) -> None:
    """Raise InputError for a share of prompts in the prefix cache that cannot be."""
    if not 0 <= share < 1:
        raise InputError(f"prefix_hit_rate must be 0 or more and below 1, not {share:g}")


def check_routing(model: Model, draft: Model | None, skew: float) -> None:
    """Raise InputError where a skew of the routing meets a model that routes nothing."""
    if skew and not any(one is not None and _experts(one) for one in (model, draft)):
        raise InputError(
            f"routing_skew={skew:g} needs experts, and {model.name} has none: leave it out"
        )


def _experts(model: Model) -> bool:
    return any(getattr(block, "experts", None) for block, _ in model.parts())


def most_at_once(deployment: Deployment) -> Number:
    """Sequences that the engine's limit (max_num_seqs) lets all replicas run at once."""
    decode = 1 if deployment.workers is None else deployment.workers.decode
    return deployment.rules.max_num_seqs * deployment.run.plan.dp * decode


def check_batch(deployment: Deployment, batch: Number) -> None:
    """Raise InputError where a static batch is more than the limit that was asked for."""
    if reason := beyond(deployment, float(np.max(batch))):
        raise InputError(reason)


def beyond(deployment: Deployment, batch: float) -> str:
    """What keeps so many sequences from running at once; "" for nothing."""
    most, limit = most_at_once(deployment), deployment.rules.max_num_seqs
    if batch <= most:
        return ""
    ranks = round(float(most / limit))
    each = f" on each of {ranks} ranks" if ranks > 1 else ""
    return f"batch {batch:.0f} is more than max_num_seqs={limit:g}{each} runs at once"


def limits(
    deployment: Deployment, max_num_seqs: Any, numbers: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Why some points of a mesh have no answer, and where the others are, reason by reason."""
    longest, model = deployment.model.max_context, deployment.model.name
    if longest is not None:
        tokens = numbers["input_len"] + numbers["output_len"]
        yield f"longer than the {longest} tokens {model} takes", tokens <= longest
    if max_num_seqs is not None and "batch" in numbers:
        most = most_at_once(deployment)
        reason = f"more sequences than the {most:.0f} that max_num_seqs={max_num_seqs:g} allows"
        yield reason, numbers["batch"] <= most


def remarks(
    deployment: Deployment, max_num_seqs: Any = None, *, static: bool = True
) -> tuple[str, ...]:
    """What a plan holds several times, and which options change nothing here, in words."""
    model, plan = deployment.model, deployment.run.plan
    return (*sharding.remarks(model, plan), *_idle(deployment, max_num_seqs, static))


def _idle(deployment: Deployment, max_num_seqs: Any, static: bool) -> Iterator[str]:
    plans = [deployment.run.plan] + ([deployment.workers.plan] if deployment.workers else [])
    way = deployment.run.all_reduce
    if way != AUTO and all(plan.tp == 1 for plan in plans):
        yield f"all_reduce={way} changes nothing: with tp=1 there is nothing to add up"
    if max_num_seqs is not None and static and math.isfinite(max_num_seqs):
        yield (
            f"max_num_seqs={max_num_seqs:g} bounds a static batch and changes nothing else of it: "
            "the largest batch counts memory alone"
        )
