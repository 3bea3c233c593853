"""How much more a replica could carry within the targets, and what ends it.

A fleet for a given load has whole replicas: what each carries is seldom all that it could.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from llmroof.engine.deployment import Deployment
from llmroof.engine.estimate import Estimate
from llmroof.engine.loaded import estimate_load
from llmroof.search.goal import Goal, Option
from llmroof.search.judge import (
    Curve,
    Point,
    closed_curve,
    excess_of,
    figures_of,
    limit_of,
    load_of,
    missed,
)
from llmroof.search.space import Candidate, Question

#: rates of arrival tried between the one that is carried and the largest
_RATES: Final = 48
#: loads between one request in flight and the most
_LOADS: Final = 20


@dataclass(frozen=True, slots=True)
class Headroom:
    """The largest load of one replica within the targets, and what keeps it from more.

    `concurrency` requests in flight, `requests_per_s` finished; `limited_by` is one of
    LIMITS.
    """

    concurrency: float
    requests_per_s: float
    limited_by: str


def headroom(one: Candidate, point: Point, goal: Goal, question: Question) -> Headroom:
    """What a candidate chosen at `point` could carry at most. Raises LlmroofError."""
    deployment, load = one.deployment, load_of(goal)
    grid, curve = closed_curve(deployment, load, question)
    if goal.request_rate is not None:
        return _of_rates(deployment, goal, point, grid, curve)
    place = int(np.argmin(np.abs(grid - point.concurrency)))
    if goal.concurrency is not None:
        good = np.flatnonzero(excess_of(goal, curve) <= 1)
        place = int(good[-1]) if good.size else place
    limit = point.limited_by
    if goal.concurrency is not None:
        limit = limit_of(deployment, goal, grid, curve, place)
    if grid[place] < point.concurrency:
        return Headroom(point.concurrency, float(curve.rate[place]), limit)
    return Headroom(float(grid[place]), float(curve.rate[place]), limit)


def up_to_most(option: Option) -> Estimate:
    """A replica of an option at loads from one request in flight to the most it could carry."""
    deployment, load = option.estimate.deployment, option.estimate.load
    assert load is not None
    least = float(deployment.run.plan.dp)
    most = max(option.most, float(load.concurrency), least)
    grid = np.unique(np.round(np.append(np.geomspace(least, most, _LOADS), load.concurrency), 6))
    return estimate_load(deployment, replace(load, kind="closed", concurrency=grid))


def _of_rates(
    deployment: Deployment, goal: Goal, point: Point, grid: Any, curve: Curve
) -> Headroom:
    """The largest rate of arrival within the targets; beyond it the first target that is missed."""
    top, now = float(np.max(curve.rate)), point.concurrency
    rates = np.geomspace(now, max(top, now), _RATES)
    found = estimate_load(deployment, replace(load_of(goal), kind="poisson"), rates)
    assert found.load is not None
    figures = figures_of(found.serving, rates.shape)
    bad = np.flatnonzero(excess_of(goal, figures) > 1)
    first = int(bad[0]) if bad.size else len(rates)
    last = max(first - 1, 0)
    if first < len(rates):
        limit = "slo_tpot" if missed(goal.slo_tpot, float(figures.tpot[first])) else "slo_ttft"
    else:
        place = int(np.argmax(curve.rate))
        free = replace(goal, slo_ttft=None, slo_tpot=None)
        limit = limit_of(deployment, free, grid, curve, place)
    in_flight = np.broadcast_to(found.load.concurrency, rates.shape)
    return Headroom(float(in_flight[last]), float(rates[last]), limit)
