"""One candidate judged: its steady state at every load, and the best that meets the goal."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from llmroof.engine.deployment import Deployment
from llmroof.engine.estimate import Estimate
from llmroof.engine.loaded import estimate_load, served
from llmroof.engine.service import ServingEstimate
from llmroof.engine.serving import Load, kv_slots, queue_share, serve
from llmroof.errors import LlmroofError
from llmroof.search.goal import Goal
from llmroof.search.space import Candidate, Question

#: replicas tried one by one for a request rate before larger steps
_ONE_BY_ONE: Final = 64


@dataclass(frozen=True, slots=True)
class Point:
    """A candidate at its best load: a score per goal, or how far it falls short."""

    score: float
    excess: float
    concurrency: float
    replicas: int
    limited_by: str = ""
    reasons: tuple[str, ...] = ()


def bounds(one: Candidate, goal: Goal, question: Question) -> tuple[float, float]:
    """(least score, least excess) that a candidate could have, its passes at their floors.

    A request waits for its own prefill, and its decode steps are at least as long as a
    share κ of them that carries a chunk of another's prompt makes them (in a pipeline
    a chunk holds up one stage at a time); where κ is above 1 the steps of `serve` grow with
    the difference of two passes, of which only the mixed one is a bound.
    """
    deployment = one.deployment
    rules, dp = deployment.rules, deployment.run.plan.dp
    beta = queue_share(load_of(goal), rules)
    others = (question.running - 1) * one.chunks / goal.output_len
    kappa = (1 - beta) * others / deployment.run.plan.pp
    if rules.mixes_prefill:
        tpot = one.step + np.minimum(kappa, 1.0) * np.maximum(one.mixed - one.step, 0.0)
    else:
        tpot = one.step + kappa * one.chunk
    ttft = one.chunks * one.chunk + np.zeros_like(tpot)
    excess = np.maximum(_over(ttft, goal.slo_ttft), _over(tpot, goal.slo_tpot))
    least = float(np.min(excess)) if excess.size else math.inf
    e2e = ttft + (goal.output_len - 1) * tpot
    running = _running(one, question) * dp
    rate = running / e2e
    devices = _fewest(goal, rate, running) * one.num_gpus
    least = max(least, devices / goal.max_gpus)
    rate = np.where(excess <= 1, rate, 0.0)
    if devices > goal.max_gpus or not np.any(rate > 0):
        return math.inf, least
    return float(np.min(_score(deployment, goal, rate, e2e))), least


def _running(one: Candidate, question: Question) -> Any:
    """Sequences per rank at each place of the grid, 0 beyond the room; the last place fills it."""
    room = question.running <= one.slots
    running = np.where(room, question.running, 0.0)
    if room.any():
        most = min(one.slots, one.deployment.rules.max_num_seqs)
        running[np.count_nonzero(room) - 1] = max(most, float(np.max(running)))
    return running


def _fewest(goal: Goal, rate: Any, running: Any) -> float:
    """Replicas without which the load of a goal cannot be carried: 1 where it names none."""
    wanted, each = goal.request_rate, rate
    if wanted is None:
        wanted, each = goal.concurrency, running
    most = float(np.max(each, initial=0.0))
    if wanted is None or most <= 0:
        return 1.0
    return max(1.0, math.ceil(wanted / most * (1.0 - 1e-9)))


def _over(value: Any, target: float | None) -> Any:
    return np.zeros_like(value) if target is None else value / target


def _score(deployment: Deployment, goal: Goal, rate: Any, e2e: Any, replicas: Any = None) -> Any:
    """What the objective minimises, from requests/s of one replica and seconds of a request.

    Cost and energy: per request, or of the whole fleet where a load is given; of a tie the
    candidate with the lower bound is kept.
    """
    devices = deployment.num_gpus
    with np.errstate(divide="ignore", invalid="ignore"):
        if goal.objective == "latency":
            return np.where(rate > 0, e2e, math.inf)
        if goal.objective == "throughput":
            return np.where(rate > 0, -rate / devices, math.inf)
        watts = deployment.watts or deployment.hardware.tdp
        price = deployment.usd_per_gpu_hour if goal.objective == "cost" else watts
        each = (price or 0.0) * devices
        wanted = goal.request_rate or goal.concurrency
        if wanted is None:
            return np.where(rate > 0, each / rate, math.inf)
        if replicas is None:
            load = rate if goal.request_rate else rate * e2e
            replicas = np.maximum(np.ceil(wanted / load - 1e-9), 1.0)
        return each * replicas


def judge(one: Candidate, goal: Goal, question: Question) -> Point:
    """The candidate at its best load, worked out; or by how much it misses the goal."""
    deployment = one.deployment
    load = load_of(goal)
    try:
        grid, curve = closed_curve(deployment, load, question)
    except LlmroofError as error:
        return Point(math.inf, math.inf, 1.0, 1, "hardware", (str(error),))
    if not grid.size:
        return Point(math.inf, math.inf, 1.0, 1, "memory", ("no room for a sequence",))
    if goal.request_rate is not None:
        return _fleet_of_rate(deployment, goal, load, grid, curve)
    return _fleet(deployment, goal, grid, curve)


def load_of(goal: Goal) -> Load:
    """The requests of a goal, as a closed load."""
    return Load(goal.input_len, goal.output_len, prefix_hit_rate=goal.prefix_hit_rate)


def _room(deployment: Deployment, load: Load) -> float:
    """Sequences per rank that the engine's KV pool and rules allow."""
    return math.floor(min(float(kv_slots(deployment, load)), deployment.rules.max_num_seqs))


@dataclass(frozen=True, slots=True)
class Curve:
    """Figures of a replica at each number of requests in flight."""

    ttft: Any
    tpot: Any
    e2e: Any
    rate: Any


def closed_curve(deployment: Deployment, load: Load, question: Question) -> tuple[Any, Curve]:
    """(requests in flight, figures) from one per rank to a full cache; empty without room.

    Raises LlmroofError where the device cannot run it.
    """
    most = _room(deployment, load)
    grid = question.running[question.running <= most]
    if not grid.size:
        return grid, Curve(grid, grid, grid, grid)
    grid = np.append(grid[grid < most], most) * deployment.run.plan.dp
    return grid, _curve(deployment, load, grid)


def figures_of(serving: ServingEstimate, shape: tuple[int, ...]) -> Curve:
    """The figures of an estimate as arrays of one shape."""
    found = (serving.ttft, serving.tpot, serving.e2e_latency, serving.requests_per_s)
    return Curve(*(np.broadcast_to(value, shape) for value in found))


def _curve(deployment: Deployment, load: Load, grid: Any) -> Curve:
    at = replace(load, concurrency=grid)
    serving = served(at, serve(deployment, at), deployment.num_gpus)
    return figures_of(serving, grid.shape)


def excess_of(goal: Goal, curve: Curve) -> Any:
    """The worst ratio of a figure to its target; above 1 it is missed."""
    return np.maximum(_over(curve.ttft, goal.slo_ttft), _over(curve.tpot, goal.slo_tpot))


def _fleet(deployment: Deployment, goal: Goal, grid: Any, curve: Curve) -> Point:
    """Without a rate: the load with the best score; with requests in flight, enough replicas."""
    excess = excess_of(goal, curve)
    good = excess <= 1
    replicas = np.ones_like(grid)
    if goal.concurrency is not None:
        replicas = np.ceil(goal.concurrency / grid)
    excess = np.maximum(excess, replicas * deployment.num_gpus / goal.max_gpus)
    good &= replicas * deployment.num_gpus <= goal.max_gpus
    if not good.any():
        return _short(goal, grid, curve, excess, replicas * deployment.num_gpus, replicas)
    score = np.where(good, _score(deployment, goal, curve.rate, curve.e2e, replicas), math.inf)
    best = int(np.argmin(score))
    count = int(replicas[best])
    point = Point(
        float(score[best]),
        0.0,
        float(grid[best]),
        count,
        limit_of(deployment, goal, grid, curve, best),
    )
    if goal.concurrency is None:
        return point
    return replace(point, concurrency=math.ceil(goal.concurrency / count))


def _fleet_of_rate(
    deployment: Deployment, goal: Goal, load: Load, grid: Any, curve: Curve
) -> Point:
    """The fewest replicas that finish the stream within the targets."""
    assert goal.request_rate is not None
    top = float(np.max(curve.rate))
    fewest = max(1, math.ceil(goal.request_rate / top * (1 + 1e-9)))
    steps = np.arange(_ONE_BY_ONE, dtype=np.float64)
    counts = fewest + np.concatenate([steps, _ONE_BY_ONE * 1.25 ** steps[1:]]).round()
    at = estimate_load(deployment, replace(load, kind="poisson"), goal.request_rate / counts)
    figures = figures_of(at.serving, counts.shape)
    carried = figures.rate >= goal.request_rate / counts  # at capacity, the rest would queue up
    excess = np.where(carried, excess_of(goal, figures), math.inf)
    devices = counts * deployment.num_gpus
    good = (excess <= 1) & (devices <= goal.max_gpus)
    if not good.any():
        excess = np.maximum(excess, devices / goal.max_gpus)
        return _short(goal, counts * 0 + 1, figures, excess, devices, counts)
    score = np.where(good, _score(deployment, goal, figures.rate, figures.e2e, counts), math.inf)
    best = int(np.argmin(score))
    count = int(counts[best])
    return Point(float(score[best]), 0.0, goal.request_rate / count, count)


def missed(target: float | None, value: float) -> bool:
    """True where there is a target and the value is above it."""
    return target is not None and value > target


def _short(goal: Goal, grid: Any, curve: Curve, excess: Any, devices: Any, replicas: Any) -> Point:
    """The point that misses least, and which targets it misses."""
    least = int(np.argmin(excess))
    reasons = []
    for name, target, value in (
        ("slo_ttft", goal.slo_ttft, curve.ttft[least]),
        ("slo_tpot", goal.slo_tpot, curve.tpot[least]),
        ("max_gpus", goal.max_gpus, devices[least]),
    ):
        if missed(target, value):
            reasons.append(name)
    count = int(replicas[least])
    at = grid[least] if goal.request_rate is None else goal.request_rate / count
    return Point(math.inf, float(excess[least]), float(at), count, "", tuple(reasons))


def limit_of(deployment: Deployment, goal: Goal, grid: Any, curve: Curve, best: int) -> str:
    """What keeps the load from growing beyond the chosen point."""
    if best + 1 < len(grid):
        if missed(goal.slo_ttft, curve.ttft[best + 1]):
            return "slo_ttft"
        if missed(goal.slo_tpot, curve.tpot[best + 1]):
            return "slo_tpot"
        return "hardware"
    per_rank = grid[best] / deployment.run.plan.dp
    return "max_num_seqs" if per_rank >= deployment.rules.max_num_seqs else "memory"


def estimate_at(one: Candidate, point: Point, goal: Goal) -> Estimate:
    """One replica of the candidate at the load of the point. Raises LlmroofError."""
    load = load_of(goal)
    if goal.request_rate is not None:
        rate = point.concurrency
        return estimate_load(one.deployment, replace(load, kind="poisson"), rate)
    return estimate_load(one.deployment, replace(load, concurrency=point.concurrency))
