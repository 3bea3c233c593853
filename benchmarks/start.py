"""Cold start: `llmroof estimate --gpu a100 --batch 32` beside the import of its libraries.

The two commands run in turn, so that a machine whose speed drifts slows both alike.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

RUNS = 15
ESTIMATE = [sys.executable, "-m", "llmroof", "estimate", "--gpu", "a100", "--batch", "32"]
IMPORTS = [sys.executable, "-c", "import numpy, click, yaml"]


#: byte code is kept, as after any installation
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


def seconds(command: list[str]) -> float:
    """Wall time of one run of the command."""
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT)
    return time.perf_counter() - begin


def main() -> None:
    for command in (ESTIMATE, IMPORTS):  # byte code and file cache
        seconds(command)
    pairs = [(seconds(ESTIMATE), seconds(IMPORTS)) for _ in range(RUNS)]
    estimate, imports = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"estimate {estimate * 1000:.0f} ms, imports {imports * 1000:.0f} ms (median of {RUNS})")
    print(f"ratio {ratio:.2f} (median of {RUNS} pairs)")


if __name__ == "__main__":
    main()
