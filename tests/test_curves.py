"""Where an operating curve reaches a target, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from llmroof.engine.curves import crossing

GRID = np.array([1.0, 2.0, 4.0, 8.0])
CURVE = np.array([10.0, 20.0, 30.0, 70.0])


@pytest.mark.parametrize(
    ("wanted", "place"),
    [(5.0, 0.5), (10.0, 1.0), (15.0, 1.5), (25.0, 3.0), (50.0, 6.0), (70.0, 8.0)],
)
def test_between_points_a_curve_is_a_line_and_below_the_first_one_through_zero(
    wanted: float, place: float
) -> None:
    assert crossing(CURVE, GRID, wanted) == pytest.approx(place)


def test_a_dip_does_not_bring_the_target_back() -> None:
    """More sequences may finish less: what was reached before counts."""
    assert crossing(np.array([10.0, 30.0, 25.0, 50.0]), GRID, 40.0) == pytest.approx(6.0)


def test_several_curves_and_several_targets_meet_in_pairs_or_all() -> None:
    both = np.stack([CURVE, 2 * CURVE])
    assert crossing(both, GRID, 30.0) == pytest.approx([4.0, 1.5])
    assert crossing(both, GRID, np.array([15.0, 100.0])) == pytest.approx([1.5, 6.0])
    assert crossing(CURVE, GRID, np.array([15.0, 50.0])) == pytest.approx([1.5, 6.0])
