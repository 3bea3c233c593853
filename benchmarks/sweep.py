"""Sweeps: points per second and memory, as they grow; and how long a recommendation takes.

Each point is a whole estimate: both phases, memory, serving figures and cost, through
the axes, pieces and choices of `llmroof.sweep`. A sweep either keeps its frontier or
streams rows to a Parquet or CSV file. Every run is a process of its own, so that its peak
memory is its own. Seconds are of processor time: one core, whatever else the machine does.

    python benchmarks/sweep.py            10^4, 10^6 and 10^7 points
    python benchmarks/sweep.py --quick    10^4 and 10^6
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

#: columns of a file of decisions; all of them make a row eight times as large
COLUMNS = ("hardware", "batch", "input_len", "ttft_s", "tpot_s", "output_tokens_per_s_per_gpu",
           "usd_per_million_output_tokens", "fits")  # fmt: skip
RUNS = 5
ROOT = Path(__file__).resolve().parent.parent


def run(points: int, kind: str) -> tuple[float, float]:
    """(seconds, MiB) of one sweep over a GPU's batches and prompt lengths."""
    from llmroof.render.rows import CsvWriter, ParquetWriter
    from llmroof.search.axes import make_axes
    from llmroof.search.sweep import STATIC, make_choice, run_sweep

    side = round(points**0.5)
    lengths = [128 + 16 * n for n in range(side)]
    axes = make_axes(
        {
            "gpu": "a100",
            "tp": 1,
            "batch": list(range(1, side + 1)),
            "input_len": lengths,
            "limit": kind.endswith("limit") or None,
        }
    )
    choice = make_choice(pareto=("tpot_s", "output_tokens_per_s_per_gpu"))
    begin = time.process_time()
    if kind.startswith("frontier"):
        for _ in run_sweep(axes, choice, COLUMNS):
            pass
    else:
        names = STATIC if kind == "parquet, all columns" else COLUMNS
        make = CsvWriter if kind == "csv" else ParquetWriter
        with tempfile.TemporaryFile() as stream:
            writer = make(stream, names)
            for rows in run_sweep(axes, make_choice(), names):
                writer.write(rows)
            writer.close()
    seconds = time.process_time() - begin
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(points: int, kind: str) -> None:
    """One line of the table, from processes of their own."""
    times, peak = [], 0.0
    for _ in range(RUNS if points <= 1_000_000 else 1):
        line = subprocess.run(
            [sys.executable, __file__, "--one", str(points), kind],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        seconds, memory = map(float, line.split())
        times.append(seconds)
        peak = max(peak, memory)
    rate = round(points**0.5) ** 2 / statistics.median(times)
    print(f"{points:>10,}  {kind:<22}{rate:>12,.0f}  {peak:>8,.0f}", flush=True)


def recommendation() -> None:
    """A 70B model over all GPUs, plans, precisions and loads, from a cold start."""
    command = [sys.executable, "-m", "llmroof", "recommend", "-m", "llama-3.1-70b",
               "--slo-ttft", "0.5", "--slo-tpot", "0.03"]  # fmt: skip
    times = []
    for _ in range(RUNS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, capture_output=True, check=True, cwd=ROOT)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    print(f"\nllmroof recommend, cold: {statistics.median(times):.2f} s (median of {RUNS})")


def main() -> None:
    sys.path.insert(0, str(ROOT))
    if "--one" in sys.argv:
        place = sys.argv.index("--one")
        print(*run(int(sys.argv[place + 1]), sys.argv[place + 2]))
        return
    print("    points  kept                    points/s  peak MiB  (median of 5, processor time)")
    sizes = (10_000, 1_000_000) if "--quick" in sys.argv else (10_000, 1_000_000, 10_000_000)
    for points in sizes:
        for kind in ("frontier", "frontier, limit", "parquet", "csv"):
            if kind != "csv" or points <= 1_000_000:
                measure(points, kind)
    measure(1_000_000, "parquet, all columns")
    recommendation()


if __name__ == "__main__":
    main()
