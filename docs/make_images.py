"""Draws the charts that the README and the docs show: `python docs/make_images.py`."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "images"
#: file -> the command that draws it
CHARTS = {
    "roofline.png": "plot --gpu a100 --batch 32",
    "gpus.png": "plot --gpu a100,h100,mi300x --batch 32",
}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, command in CHARTS.items():
        target = str(FOLDER / name)
        arguments = [*shlex.split(command), "-o", target, "--force"]
        subprocess.run([sys.executable, "-m", "llmroof", *arguments], check=True)
        print(f"docs/images/{name}: llmroof {command}")


if __name__ == "__main__":
    main()
