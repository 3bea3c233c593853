"""Estimates per second: a grid of batch × context in one call, on one core.

Each point is a whole estimate: both phases, memory, serving figures and cost. numpy runs
elementwise arithmetic on one core.
"""

from __future__ import annotations

import resource
import statistics
import time

import numpy as np

import llmroof

RUNS = 5


def grid(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Batch on one axis, prompt length on the other, as near to square as it gets."""
    side = round(points**0.5)
    batch = np.arange(1, side + 1, dtype=float)[:, None]
    return batch, np.linspace(128, 65536, side).round()[None, :]


def main() -> None:
    print("points      mode      points/s  (median of 5)")
    for points in (10_000, 1_000_000):
        batch, input_len = grid(points)
        for limit in (True, False):
            question = {"gpu": "a100", "num_gpus": 1, "limit": limit}
            question |= {"batch": batch, "input_len": input_len}
            llmroof.estimate(**question)
            times = []
            for _ in range(RUNS):
                begin = time.perf_counter()
                llmroof.estimate(**question)
                times.append(time.perf_counter() - begin)
            rate = batch.size * input_len.size / statistics.median(times)
            mode = "limit" if limit else "expected"
            print(f"{batch.size * input_len.size:>9,}  {mode:<8}  {rate:>12,.0f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory {peak / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
