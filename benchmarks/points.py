"""Estimates per second: a grid of batch × context in one call, on one core.

Each point is a whole estimate: both phases, memory, serving figures and cost; under load, two
passes more and the operating point. numpy runs elementwise arithmetic on one core. Rates are
per second of processor time, which other programs on the machine disturb less than the clock.
"""

from __future__ import annotations

import resource
import time
from typing import Any

import numpy as np

import llmroof

RUNS = 5
LOADS: dict[str, dict[str, Any]] = {
    "limit": {"limit": True},
    "expected": {"limit": False},
}


def grid(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Batch on one axis, prompt length on the other, as near to square as it gets."""
    side = round(points**0.5)
    batch = np.arange(1, side + 1, dtype=float)[:, None]
    return batch, np.linspace(128, 65536, side).round()[None, :]


def rate(points: int, question: dict[str, Any]) -> float:
    """Points per second, the median of some runs after a first one."""
    llmroof.estimate(**question)
    times = []
    for _ in range(RUNS):
        begin = time.process_time()
        llmroof.estimate(**question)
        times.append(time.process_time() - begin)
    return points / sorted(times)[RUNS // 2]


def main() -> None:
    print("points      mode      points/s  (median of 5)")
    for points in (10_000, 1_000_000):
        batch, lengths = grid(points)
        for mode, limit in LOADS.items():
            question = {"gpu": "a100", "num_gpus": 1, "batch": batch, "input_len": lengths, **limit}
            number = batch.size * lengths.size
            print(f"{number:>9,}  {mode:<8}  {rate(number, question):>12,.0f}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory {peak / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
