"""Time of one kernel: warmed up, repeated, the median told with its spread; noise is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from llmroof.errors import LlmroofError

#: runs `repeat` kernels and waits for the last one
Run = Callable[[int], None]
Clock = Callable[[], float]

#: a profile whose typical point spreads more than this is refused
MAX_SPREAD: Final = 0.10
#: ... or whose first point, timed again at the end, has moved more than this
MAX_DRIFT: Final = 0.15


class Noisy(LlmroofError):
    """The machine was too busy, or its clocks moved, for a figure to mean anything."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds of one kernel: median of `runs`, and interquartile range over median."""

    seconds: float
    spread: float
    runs: int


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to look: `least` seconds per reading, `budget` per kernel, readings at least.

    A kernel is warmed up once, and then until half of `warm` has passed; readings are
    repeated until the budget is spent, at least `fewest` and at most `most` times. What takes
    longer than `long` is read twice, the first run included.
    """

    least: float = 2e-3
    budget: float = 0.12
    warm: float = 0.03
    fewest: int = 5
    most: int = 41
    long: float = 4.0


def time_kernel(run: Run, clock: Clock, effort: Effort) -> Sample:
    """Median seconds of one run of a kernel, over readings of several runs each."""
    one = _once(run, clock, 1)
    warmed = one
    while warmed < effort.warm:
        repeat = max(1, min(512, round(effort.least / max(one, 1e-7))))
        spent = _once(run, clock, repeat)
        one, warmed = spent / repeat, warmed + spent
    repeat = max(1, round(effort.least / max(one, 1e-7)))
    readings = [one] if one > effort.long else []  # seconds long: nothing is cold in it
    left = effort.budget
    while len(readings) < effort.fewest or (left > 0 and len(readings) < effort.most):
        spent = _once(run, clock, repeat)
        readings.append(spent / repeat)
        left -= spent
        if one > effort.long and len(readings) >= 2:
            break
    return sample(readings)


def sample(readings: Iterable[float]) -> Sample:
    """Median and relative interquartile range of repeated readings."""
    values = np.array(list(readings), dtype=np.float64)
    low, middle, high = np.percentile(values, (25, 50, 75))
    return Sample(float(middle), float((high - low) / middle), len(values))


def _once(run: Run, clock: Clock, repeat: int) -> float:
    start = clock()
    run(repeat)
    return max(clock() - start, 1e-12)


def typical_spread(samples: Iterable[Sample]) -> float:
    """Median spread of many points."""
    return float(np.median([one.spread for one in samples]))


def refuse_noise(spread: float, first: float, again: float, limit: float = MAX_SPREAD) -> None:
    """Raise Noisy when the typical point spreads too much, or the first one has moved."""
    if spread > limit:
        raise Noisy(
            f"the machine was too noisy: readings of the typical kernel spread by {spread:.0%} "
            f"around their median (limit {limit:.0%}); stop what else runs here, or raise "
            f"--max-spread and live with it"
        )
    drift = again / first - 1
    if abs(drift) > max(MAX_DRIFT, limit):
        raise Noisy(
            f"the machine changed while it was measured: the first kernel took {drift:+.0%} at the "
            f"end (limit {max(MAX_DRIFT, limit):.0%}); clocks or other load moved, measure again"
        )
