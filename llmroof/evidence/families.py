"""Predicted seconds of each family of kernels in a pass, beside what was timed of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from llmroof.evidence.rows import FAMILIES

if TYPE_CHECKING:
    from llmroof.engine.estimate import Estimate
    from llmroof.engine.phases import PhaseEstimate

#: kind of operator -> family, where they differ
_FAMILY: Final[Mapping[str, str]] = {"embedding": "elementwise", "mla": "attention"}


def family_seconds(found: Estimate) -> dict[str, Any]:
    """`predicted_<phase>_<family>_s` of one pass; NaN for a family that the model has not."""
    phases = {"prefill": found.prefill, "decode": found.decode}
    return {
        f"predicted_{phase}_{family}_s": _seconds(estimate, family)
        for phase, estimate in phases.items()
        for family in FAMILIES
    }


def _seconds(phase: PhaseEstimate, family: str) -> Any:
    times = [
        cost.times.total
        for cost in phase.operators
        if _FAMILY.get(cost.operator.kind, cost.operator.kind) == family
    ]
    return sum(times[1:], times[0]) if times else np.nan
