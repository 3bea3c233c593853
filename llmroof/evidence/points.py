"""Measured passes as points of a roofline chart, beside the predicted ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from llmroof.api import estimate
from llmroof.errors import LlmroofError
from llmroof.evidence.rows import DEPLOYMENT
from llmroof.evidence.validate import question_of

if TYPE_CHECKING:
    import pandas as pd

    from llmroof.specs.hardware import Hardware

#: phase -> the measured figure that is the time of one pass of a static batch
_TIMES: Final = {"prefill": "ttft_s", "decode": "tpot_s"}


@dataclass(frozen=True, slots=True)
class Points:
    """Passes of one phase on one kind of device: FLOP per byte, and FLOP/s per device.

    `compute` is the arithmetic of the matrix products; arrays have a value per row.
    """

    phase: str
    hardware: Hardware
    compute: str
    intensity: Any
    measured: Any
    predicted: Any


def points(frame: pd.DataFrame) -> list[Points]:
    """The points of all rows that ran as a static batch and could be predicted."""
    found: list[Points] = []
    if "batch" not in frame.columns:
        return found
    static = frame[frame["batch"].notna()]
    if "concurrency" in frame.columns:
        static = static[static["concurrency"].isna()]
    keys = [name for name in DEPLOYMENT if name in frame.columns]
    for _, group in static.fillna(dict.fromkeys(keys, "")).groupby(keys, sort=False):
        try:
            answer = estimate(**question_of(group))
        except LlmroofError:
            continue  # the table says why
        deployment = answer.deployment
        compute = deployment.run.precision.compute("mlp")
        for phase, metric in _TIMES.items():
            if metric not in group.columns:
                continue
            pass_ = getattr(answer, phase)
            rate = pass_.flop / deployment.num_gpus
            times = group[metric].to_numpy(dtype=float)
            shape = np.broadcast(times, rate).shape
            found.append(
                Points(
                    phase,
                    deployment.hardware,
                    compute,
                    np.broadcast_to(pass_.arithmetic_intensity, shape),
                    rate / times,
                    np.broadcast_to(rate / pass_.time, shape),
                )
            )
    return found
