"""The project's own estimates against their baseline and against measured rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmroof import testing

OWN = Path(__file__).resolve().parent / "estimates"


@pytest.mark.parametrize("name", ["scenarios", "kinds", "loads", "workers"])
def test_own_estimates_hold_still(name: str) -> None:
    """What a change moves stands in the message; where it is meant, check --update."""
    testing.check(OWN / f"{name}.yaml")


def test_predictions_stay_as_near_to_the_measured_rows(shared: Path) -> None:
    testing.check(OWN / "measured.yaml", rows=shared / "measured" / "e2e.csv")
