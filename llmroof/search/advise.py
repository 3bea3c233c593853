"""Every lever on a deployment, each pulled by asking again: what it buys, what it moves.

A lever's gain is measured on four figures; `pays` tells over which numbers of sequences
at once it still buys something, found by asking the whole range in one call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import log
from typing import Any, Final

import numpy as np

from llmroof.engine.estimate import Estimate
from llmroof.errors import InputError, LlmroofError
from llmroof.search.again import Change, again
from llmroof.search.levers import draft_for, format_changes, too_many
from llmroof.search.space import formats_of
from llmroof.search.stops import Stop, stop_at
from llmroof.specs.catalog import HARDWARE
from llmroof.specs.hardware import load_hardware

#: figure -> (how to read it, True where more is better)
GAINS: Final[Mapping[str, tuple[str, str, bool]]] = {
    "ttft": ("serving", "ttft", False),
    "tpot": ("serving", "tpot", False),
    "throughput": ("serving", "output_tokens_per_s_per_gpu", True),
    "cost": ("cost", "usd_per_million_total_tokens", False),
}
#: smaller gains are not worth pulling a lever
PAYS: Final = 0.05
#: what is assumed of levers whose gain depends on the text: stated with every answer
ASSUMED_HITS: Final = 0.5
ASSUMED_TOKENS: Final = 3
ASSUMED_ACCEPTANCE: Final = 0.7
#: prompt tokens per pass that the chunked prefill lever tries
_CHUNK: Final = 2048
#: workers in all that the lever of separate prefill and decode tries
_MOST_WORKERS: Final = 8
#: points between one sequence at once and a full cache
_SCAN: Final = 48
#: other GPUs at the same price that are shown
_OTHERS: Final = 3


@dataclass(frozen=True, slots=True)
class Pull:
    """One lever pulled: `gains` are parts saved (or added, of throughput) by figure.

    `metric` is the figure it works on; `pays` the least and the largest number at once
    where that gains 5 %, of those up to `scanned`; None where it never does. `stop` tells
    what stands against it where it does not pay. `in_use` tells that the deployment has
    the lever, and the gains are what it would lose.
    """

    title: str
    change: Change
    metric: str
    result: Estimate
    gains: Mapping[str, float | None]
    pays: tuple[int, int] | None = None
    scanned: tuple[int, int] | None = None
    in_use: bool = False
    stop: Stop | None = None

    def moved(self, before: Estimate) -> list[tuple[str, str, str]]:
        """(phase, bound before, bound after) of the phases whose roof changes."""
        found = []
        for phase in ("prefill", "decode"):
            old, new = (str(getattr(one, phase).bound) for one in (before, self.result))
            if old != new:
                found.append((phase, old, new))
        return found


def advise(estimate: Estimate, by: str = "tpot", hardware: bool = True) -> list[Pull]:
    """All levers that the deployment allows, the most useful for `by` first.

    Levers that it has already come last. With `hardware` other GPUs for the same money
    are tried. Raises InputError for an unknown figure or when nothing fits to begin with.
    """
    if by not in GAINS:
        raise InputError(f"by must be one of {', '.join(GAINS)}, not '{by[:40]}'")
    if not _holds(estimate):
        raise InputError(
            "it does not fit: no lever makes it faster (llmroof estimate names the ways out)"
        )
    pulls = [
        pull
        for title, change, metric, used in _levers(estimate)
        if (pull := _pull(estimate, title, change, metric, used)) is not None
    ]
    if hardware:
        pulls += _other_gpus(estimate, by)
    return sorted(pulls, key=lambda pull: (pull.in_use, -(pull.gains[by] or 0.0)))


def _holds(estimate: Estimate) -> bool:
    """True when it can serve: under a load what finds no room waits."""
    if estimate.load is None:
        return bool(estimate.fits)
    return float(estimate.memory.max_batch) >= 1


def _levers(estimate: Estimate) -> Iterator[tuple[str, Change, str, bool]]:
    """(title, change, figure it works on, whether the deployment has it already)."""
    deployment, load = estimate.deployment, estimate.load
    run = deployment.run
    for change in format_changes(estimate):
        if "weights" in change:
            yield f"{change['weights']} weights", change, "tpot", False
        else:
            yield "fp8 KV cache", change, "tpot", False
    for bits, name in ((8, "fp8"), (4, "fp4")):
        recipe = formats_of(deployment.hardware, name)
        if run.precision.weights.bits > bits:
            yield f"{recipe['precision']} weights and arithmetic", recipe, "tpot", False
    yield f"tensor parallel over {2 * run.plan.tp}", {"tp": 2 * run.plan.tp}, "tpot", False
    if run.plan.tp > 1:
        change = {"tp": run.plan.tp // 2, "pp": run.plan.pp * 2}
        yield "pipeline stages in place of tensor parallel", change, "throughput", False
    yield from _load_levers(estimate)
    if run.attention == "naive":
        yield "flash attention", {"attention": "flash"}, "ttft", False
    else:
        yield "flash attention", {"attention": "naive"}, "ttft", True
    if run.kv_cache and load is None and deployment.workers is None:
        yield "KV cache", {"kv_cache": False}, "tpot", True
    elif not run.kv_cache:
        yield "KV cache", {"kv_cache": True}, "tpot", False
    if estimate.workload.prefix_hit_rate < ASSUMED_HITS:
        yield "prefix cache", {"prefix_hit_rate": ASSUMED_HITS}, "ttft", False
    if deployment.speculation is None:
        change = {"speculative_tokens": ASSUMED_TOKENS, "acceptance_rate": ASSUMED_ACCEPTANCE}
        yield "speculative decoding", change, "tpot", False
        draft = draft_for(deployment.model)
        if draft is not None:
            title = f"speculative decoding drafted by {draft}"
            yield title, change | {"draft_model": draft}, "tpot", False
    if load is not None and deployment.rules.chunk_tokens > _CHUNK:
        yield "smaller prefill chunks", {"max_num_batched_tokens": _CHUNK}, "tpot", False
    yield from _workers(estimate)
    if load is None and estimate.workload.chunk_tokens is None:
        yield "chunked prefill", {"chunked_prefill": _CHUNK}, "ttft", False


def _workers(estimate: Estimate) -> Iterator[tuple[str, Change, str, bool]]:
    """Prefill and decode apart: workers like this one in the ratio that suits both.

    As many times the load go to as many workers, so that each has to do what it did.
    """
    load, apart = estimate.load, {"disaggregated": True}
    if estimate.deployment.workers is not None or not estimate.deployment.run.kv_cache:
        return
    try:
        split = again(estimate, **apart).split
    except LlmroofError:
        return
    assert split is not None
    balance = float(split.balance)
    pairs = [(p, d) for p in range(1, _MOST_WORKERS) for d in range(1, _MOST_WORKERS + 1 - p)]
    prefill, decode = min(pairs, key=lambda pair: (abs(log(pair[0] / pair[1] / balance)), pair))
    name = "batch" if load is None else "concurrency"
    now = estimate.workload.batch if load is None else load.concurrency
    if load is not None and load.kind == "poisson":
        assert estimate.steady is not None
        name, now = "request_rate", estimate.steady.requests_per_s
    many = {"prefill_workers": prefill, "decode_workers": decode, name: (prefill + decode) * now}
    title = f"disaggregated, {prefill} + {decode} workers"
    yield title, apart | many, "tpot", False


def _load_levers(estimate: Estimate) -> Iterator[tuple[str, Change, str, bool]]:
    """More and fewer sequences at once."""
    load = estimate.load
    name = "batch" if load is None else "concurrency"
    if load is not None and load.kind == "poisson":
        return
    now = estimate.workload.batch if load is None else load.concurrency
    yield "twice as many at once", {name: 2 * now}, "throughput", False
    if now >= 2:
        yield "half as many at once", {name: now // 2}, "tpot", False


def _pull(estimate: Estimate, title: str, change: Change, metric: str, used: bool) -> Pull | None:
    try:
        result = again(estimate, **change)
    except LlmroofError:
        return None
    if too_many(result, change) or not _holds(result):
        return None
    scan = None
    if not {"batch", "concurrency", "request_rate"} & change.keys():
        scan = _scan(estimate, change, metric, used)
    gains = gains_of(estimate, result)
    pays, scanned, stop = scan or (None, None, None)
    if not used and (gains[metric] or 0.0) < PAYS:
        held = estimate if "kv_cache_dtype" in change else result
        stop = stop_at(held, metric, float(estimate.workload.batch))
    return Pull(title, change, metric, result, gains, pays, scanned, used, stop)


def gains_of(before: Estimate, after: Estimate) -> dict[str, float | None]:
    """Part saved of each figure, or added of throughput; None where a figure is unknown."""
    return {name: _gain(name, before, after) for name in GAINS}


def _gain(name: str, before: Estimate, after: Estimate) -> Any:
    part, field, more = GAINS[name]
    old, new = (getattr(getattr(one, part), field) for one in (before, after))
    if old is None or new is None or np.any(np.equal(old, 0)):
        return None  # of something free nothing can be saved
    found = new / old - 1 if more else 1 - new / old
    return float(found) if np.ndim(found) == 0 else found


def _scan(
    estimate: Estimate, change: Change, metric: str, used: bool
) -> tuple[tuple[int, int] | None, tuple[int, int], Stop | None] | None:
    """(where it pays, where that was looked for, why it ends there); None where unknown.

    In sequences at once.
    """
    load = estimate.load
    if load is not None and load.kind == "poisson":
        return None
    name = "batch" if load is None else "concurrency"
    try:
        most = min(float(one.memory.max_batch) for one in (estimate, again(estimate, **change)))
        grid = np.unique(np.round(np.geomspace(1.0, max(most, 1.0), _SCAN)))
        before = again(estimate, **{name: grid})
        after = again(estimate, **{**change, name: grid})
    except LlmroofError:
        return None
    if used:
        before, after = after, before
    gain = np.broadcast_to(_gain(metric, before, after), grid.shape)
    good = grid[gain >= PAYS]
    ends = (int(grid[0]), int(grid[-1]))
    if not good.size:
        return None, ends, None
    last = int(np.searchsorted(grid, good[-1]))
    stop = None
    if last + 1 < len(grid) and not used:
        stop = stop_at(after, metric, float(grid[last + 1]), last + 1)
    return (int(good[0]), int(good[-1])), ends, stop


def _other_gpus(estimate: Estimate, by: str) -> list[Pull]:
    """As many of another GPU as the same money rents, in the same precision."""
    spent = estimate.cost.usd_per_hour
    if spent is None:
        return []
    found = []
    for name in HARDWARE.files():
        hardware = load_hardware(name)
        if name == estimate.deployment.hardware.id or hardware.price is None:
            continue
        many = int(float(spent) // hardware.price.usd_per_hour)
        if many < 1:
            continue
        result = _on(estimate, name, many)
        if result is not None:
            devices = result.deployment.num_gpus
            title = f"{devices} × {hardware.name} for no more money"
            change = {"gpu": name, "tp": result.deployment.run.plan.tp}
            gains = gains_of(estimate, result)
            found.append(Pull(title, change, by, result, gains))
    found.sort(key=lambda pull: -(pull.gains[by] or 0.0))
    return [pull for pull in found if (pull.gains[by] or 0.0) >= PAYS][:_OTHERS]


def _on(estimate: Estimate, gpu: str, many: int) -> Estimate | None:
    """The work on up to `many` of another GPU, tensor parallel; None where it cannot be."""
    workers, degree = estimate.deployment.workers, 1
    if workers is not None:  # each of them has as many
        many //= int(workers.prefill + workers.decode)
    while 2 * degree <= many:
        degree *= 2
    while 1 <= degree <= many:
        try:
            result = again(estimate, gpu=load_hardware(gpu), tp=degree, pp=1, dp=1, ep=1)
        except LlmroofError:
            result = None
        if result is not None:
            return result if _holds(result) else None
        degree //= 2
    return None
