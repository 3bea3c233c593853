"""Which deployment to buy: the best that meets the targets, what binds it, how many of it.

Candidates are met in the order of the best they could possibly do (no pass below its
floor); the search ends when no further one can win, so that its answer is the same as
that of trying all (branch and bound; Land & Doig 1960). A candidate is judged by its
steady state under a load at every number of requests in flight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from llmroof import units
from llmroof.api import check_context, lengths_of
from llmroof.arguments import check_values
from llmroof.engine.deployment import Deployment, Workload
from llmroof.errors import InputError, LlmroofError, UnknownName
from llmroof.models.load import load_model
from llmroof.models.model import Model
from llmroof.operators import Plan
from llmroof.resolve import DEFAULTS, deploy
from llmroof.search.goal import Answer, Goal, Miss, Option, make_goal
from llmroof.search.headroom import headroom
from llmroof.search.judge import Point, bounds, estimate_at, judge
from llmroof.search.space import PRECISIONS, Candidate, Question, candidates, deployments, plans
from llmroof.specs.catalog import HARDWARE
from llmroof.specs.hardware import Hardware, load_hardware

#: every number of sequences up to here is tried, then steps of 6 %
_EVERY: Final = 64
_RATIO: Final = 1.06


def recommend(
    *,
    model: str | Model | None = None,
    gpu: str | Hardware | Sequence[str | Hardware] | None = None,
    precision: str | Sequence[str] | None = None,
    input_len: float | None = None,
    output_len: float | None = None,
    slo_ttft: float | None = None,
    slo_tpot: float | None = None,
    request_rate: float | None = None,
    concurrency: float | None = None,
    max_gpus: int = 16,
    objective: str = "cost",
    prefix_hit_rate: float = 0.0,
    count: int = 3,
    tp: int | None = None,
    pp: int | None = None,
    dp: int | None = None,
    ep: int | None = None,
    **options: Any,
) -> Answer:
    """The best deployments for a goal, searched over GPUs × precisions × plans × load.

    `gpu` and `precision` may be lists; left out, all profiles and the common precisions
    are tried. `options` are those of `deploy` that hold for every candidate.
    Raises LlmroofError for a question that cannot be asked.
    """
    own = {name: value for name, value in locals().items() if name != "options"}
    check_values(own | options, several=True)
    known = tuple(deploy.__kwdefaults__ or ())
    if unknown := next((name for name in options if name not in known), None):
        raise UnknownName("argument", unknown, (*own, *known))
    if options.get("disaggregated"):
        raise InputError("recommend searches whole replicas: advise has the lever disaggregated")
    loaded = model if isinstance(model, Model) else load_model(model or DEFAULTS["model"])
    lengths = lengths_of(loaded, input_len, output_len)
    goal = make_goal(
        **lengths,
        slo_ttft=slo_ttft,
        slo_tpot=slo_tpot,
        request_rate=request_rate,
        concurrency=concurrency,
        max_gpus=max_gpus,
        objective=objective,
        prefix_hit_rate=prefix_hit_rate,
    )
    check_context(loaded, Workload(1.0, goal.input_len, goal.output_len))
    plan = None if (tp, pp, dp, ep) == (None,) * 4 else Plan(tp or 1, pp or 1, dp or 1, ep or 1)
    hardware = _hardware(gpu)
    names = [None, *PRECISIONS] if precision is None else _list(precision)
    bases = list(deployments(loaded, hardware, names, **options))
    if not bases:
        _fault(loaded, hardware, names, options)
    bases, notes = _comparable(bases, goal)
    question = Question(goal.input_len, goal.output_len, running_grid(bases), goal.prefix_hit_rate)
    found = candidates(bases, question, goal.max_gpus, plan)
    if not found:
        notes = (*notes, _no_room(bases, goal.max_gpus, plan))
    return _search(loaded, goal, question, found, count, notes)


def _fault(
    model: Model, hardware: Sequence[Hardware], names: Sequence[Any], options: dict[str, Any]
) -> None:
    """Raise what keeps every GPU from every precision: the first reason."""
    for gpu in hardware:
        for name in names:
            deploy(model=model, gpu=gpu, precision=name, **options)


def _no_room(bases: Sequence[Deployment], largest: int, only: Plan | None) -> str:
    """What comes nearest to holding the weights, and by how much it fails."""

    def over(base: Deployment, plan: Plan) -> float:
        weights = float(base.model.weights_bytes(base.run.precision, plan))
        return weights / base.hardware.memory.usable

    tried = (
        (base, plan)
        for base in bases
        for plan in ([only] if only else plans(base.model, base.hardware, largest))
    )
    found = min(tried, key=lambda pair: over(*pair), default=None)
    if found is None:
        return "no plan of the model is possible within these limits"
    base, plan = found
    weights = base.model.weights_bytes(base.run.precision, plan)
    return (
        f"nearest: {plan.num_gpus} × {base.hardware.id} in {base.run.precision.name}, "
        f"{units.show(weights, 'B')} of weights per GPU, which has "
        f"{units.show(base.hardware.memory.usable, 'B')}"
    )


def running_grid(bases: Sequence[Deployment]) -> Any:
    """Numbers of sequences per rank: each up to 64, then steps of 6 %, to the engine's most."""
    most = max((base.rules.max_num_seqs for base in bases), default=1.0)
    steps = np.arange(_EVERY, _EVERY * 40)
    grid = np.concatenate([np.arange(1.0, _EVERY), np.floor(_EVERY * _RATIO ** (steps - _EVERY))])
    return np.append(grid[grid < most], most)


def _hardware(gpu: Any) -> list[Hardware]:
    names = list(HARDWARE.files()) if gpu is None else _list(gpu)
    loaded = [one if isinstance(one, Hardware) else load_hardware(one) for one in names]
    return list({one.id: one for one in loaded}.values())


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _comparable(bases: list[Deployment], goal: Goal) -> tuple[list[Deployment], tuple[str, ...]]:
    """Those that the objective can rank, and a note on those that it cannot."""
    unknown = {"cost": "usd_per_gpu_hour", "energy": "watts"}.get(goal.objective)

    def known(one: Deployment) -> bool:
        if unknown == "watts":
            return (one.watts or one.hardware.tdp) is not None
        return unknown is None or one.usd_per_gpu_hour is not None

    kept = [one for one in bases if known(one)]
    left = {one.hardware.id for one in bases} - {one.hardware.id for one in kept}
    what = "price" if unknown == "usd_per_gpu_hour" else "power"
    if left and not kept:
        raise InputError(f"no {what} is known for any of these GPUs: --{what} gives one")
    note = f"{len(left)} GPUs without a known {what} are left out"
    return kept, (note,) if left else ()


def _search(
    model: Model,
    goal: Goal,
    question: Question,
    found: Sequence[Candidate],
    count: int,
    notes: tuple[str, ...],
) -> Answer:
    """Best first: the best options of `count` GPUs, else the nearest miss."""
    points: dict[int, Point] = {}

    def point(index: int) -> Point:
        if index not in points:
            points[index] = judge(found[index], goal, question)
        return points[index]

    least = [bounds(one, goal, question) for one in found]
    groups = [one.deployment.hardware.id for one in found]
    chosen = best_first(
        [score for score, _ in least], groups, lambda index: point(index).score, count
    )
    options = tuple(_option(found[index], points[index], goal, question) for index in chosen)
    nearest = None
    if not options and found:
        index = best_first(
            [excess for _, excess in least], groups, lambda index: point(index).excess, 1
        )
        nearest = _miss(found[index[0]], points[index[0]], goal) if index else None
    return Answer(goal, model, options, nearest, len(found), len(points), notes)


def best_first(
    bounds: Sequence[float], groups: Sequence[str], score: Callable[[int], float], count: int
) -> list[int]:
    """Indices of the `count` groups with the least scores, one index per group, best first.

    No score is below its bound; those whose bound cannot win are never scored.
    An infinite score never wins.
    """
    best: dict[str, tuple[float, int]] = {}
    for index in np.argsort(np.asarray(bounds), kind="stable").tolist():
        scores = sorted(value for value, _ in best.values())
        last = scores[count - 1] if len(scores) >= count else math.inf
        if bounds[index] >= last or math.isinf(bounds[index]):
            break
        own, _ = best.get(groups[index], (math.inf, -1))
        if bounds[index] >= own:
            continue
        value = score(index)
        if value < own:
            best[groups[index]] = (value, index)
    return [index for _, index in sorted(best.values())][:count]


def _option(one: Candidate, point: Point, goal: Goal, question: Question) -> Option:
    most = headroom(one, point, goal, question)
    return Option(
        estimate_at(one, point, goal),
        point.replicas,
        most.limited_by,
        point.score,
        most.concurrency,
        most.requests_per_s,
    )


def _miss(one: Candidate, point: Point, goal: Goal) -> Miss | None:
    try:
        found = estimate_at(one, point, goal)
    except LlmroofError:
        return None
    return Miss(found, point.replicas, point.reasons, point.excess)
