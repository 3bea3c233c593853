"""Runs every benchmark in turn and writes results.md: the one command.

    python benchmarks/results.py

A quarter of an hour on a machine that does nothing else.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
SCRIPTS = ("questions.py", "points.py", "sweep.py", "start.py")


def machine() -> str:
    """The processor and the versions that figures depend on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor()
    return f"{name}, Python {platform.python_version()}, numpy {np.__version__}"


def main() -> None:
    text = [
        "# Figures of one run",
        f"{date.today()}, {machine()}. Made by `benchmarks/results.py`.",
    ]
    for script in SCRIPTS:
        done = subprocess.run(
            [sys.executable, str(HERE / script)],
            capture_output=True,
            text=True,
            check=True,
            cwd=HERE.parent,
        )
        text.append(f"## {script}\n\n```\n{done.stdout.strip()}\n```")
        print(text[-1], flush=True)
    (HERE / "results.md").write_text("\n\n".join(text) + "\n")


if __name__ == "__main__":
    main()
