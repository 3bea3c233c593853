"""Frontiers and rankings against trying every pair."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmroof.search.frontier import best, pareto

#: few different values, so that ties and equal points are common
VALUE = st.sampled_from([0.0, 1.0, 2.0, 3.0, -1.0, math.inf, -math.inf, math.nan])


def brute_force(points: list[tuple[float, ...]]) -> list[bool]:
    def beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
        pairs = list(zip(one, other, strict=True))
        return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)

    known = [not any(map(math.isnan, point)) for point in points]
    return [
        known[i] and not any(known[j] and beats(points[j], points[i]) for j in range(len(points)))
        for i in range(len(points))
    ]


@pytest.mark.parametrize("columns", [1, 2, 3])
@given(data=st.data())
def test_the_frontier_holds_no_dominated_point_and_misses_none(
    columns: int, data: st.DataObject
) -> None:
    points = data.draw(st.lists(st.tuples(*[VALUE] * columns), max_size=40))
    costs = [np.array([point[i] for point in points]) for i in range(columns)]
    assert pareto(costs).tolist() == brute_force(points)


def test_a_large_frontier_of_random_points() -> None:
    random = np.random.default_rng(1)
    costs = random.random((2, 2000))
    assert pareto(list(costs)).tolist() == brute_force([tuple(p) for p in costs.T.tolist()])


@given(st.lists(VALUE, max_size=40), st.integers(1, 10))
def test_the_best_are_those_of_sorting(values: list[float], count: int) -> None:
    found = best(np.array(values, dtype=float), count)
    known = [i for i, value in enumerate(values) if not math.isnan(value)]
    assert found.tolist() == sorted(known, key=lambda i: (values[i], i))[:count]
