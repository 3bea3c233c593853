"""One question: milliseconds of a warm estimate; and of all measured rows of served models.

A question under load is both phases, memory, queueing, ranges and cost, asked by name. The rows
are <shared>/measured/e2e.csv, where <shared> is `../shared` or the environment variable
LLMROOF_SHARED; without it they are left out.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import llmroof
from llmroof.evidence.rows import read_rows
from llmroof.evidence.validate import validate

REPEATS = 200
ROOT = Path(__file__).resolve().parent.parent
QUESTIONS = {
    "static batch, dense 8B": {"model": "llama-3.1-8b", "gpu": "a100", "batch": 32},
    "server, dense 70B": {
        "model": "llama-3.1-70b", "gpu": "h100", "tp": 8, "engine": "vllm", "concurrency": 32,
    },
    "server, experts and MLA": {
        "model": "deepseek-v3", "gpu": "h200", "tp": 8, "engine": "sglang", "concurrency": 32,
    },
    "server, Poisson arrivals": {
        "model": "llama-3.1-70b", "gpu": "h100", "tp": 8, "engine": "vllm", "request_rate": 2.0,
    },
}  # fmt: skip


def seconds(ask: Callable[[], object], repeats: int) -> float:
    """Median processor time of a call."""
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        ask()
        times.append(time.process_time() - begin)
    return sorted(times)[repeats // 2]


def main() -> None:
    print("question                      ms  (processor time, median of 200, warm)")
    for name, asked in QUESTIONS.items():
        llmroof.estimate(**asked)
        took = seconds(lambda asked=asked: llmroof.estimate(**asked), REPEATS)
        print(f"{name:<26}{1e3 * took:>6.2f}")
    path = Path(os.environ.get("LLMROOF_SHARED", ROOT.parent / "shared")) / "measured" / "e2e.csv"
    if not path.is_file():
        print("no measured rows at hand")
        return
    rows = read_rows(path)
    validate(rows.head(1))
    print(f"\n{len(rows)} measured rows predicted: {seconds(lambda: validate(rows), 3):.2f} s")


if __name__ == "__main__":
    main()
