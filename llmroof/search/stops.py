"""Why a lever stops paying: what a pass spends its time on where the gain ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from llmroof.engine.estimate import Estimate
from llmroof.engine.phases import PhaseEstimate
from llmroof.engine.roofline import BOUNDS

#: the pass that a figure hangs on
PHASES: Final = {"ttft": "prefill", "tpot": "decode", "throughput": "decode", "cost": "decode"}


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a lever does not pay: the pass with it, at `at` sequences at once.

    `bound` takes the part `share` of the pass's time; `kv_share` is the KV cache's part of
    the bytes that it moves.
    """

    at: float
    phase: str
    bound: str
    share: float
    kv_share: float


def stop_at(estimate: Estimate, metric: str, at: float, place: int | None = None) -> Stop:
    """The pass behind `metric` of an estimate; `place` chooses a point of an array."""
    name = PHASES[metric]
    phase: PhaseEstimate = getattr(estimate, name)

    def one(value: Any) -> float:
        array = np.asarray(value, dtype=np.float64)
        return float(array if array.ndim == 0 or place is None else array.reshape(-1)[place])

    parts = {part: one(getattr(phase.times, part)) for part in BOUNDS}
    bound = max(parts, key=lambda part: parts[part])
    cache = sum(one(cost.operator.kv_bytes * cost.operator.count) for cost in phase.operators)
    moved = sum(one(cost.operator.bytes * cost.operator.count) for cost in phase.operators)
    share = min(parts[bound] / one(phase.times.total), 1.0)
    return Stop(at, name, bound, share, cache / moved if moved else 0.0)
