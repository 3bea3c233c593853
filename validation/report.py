"""Makes docs/validation.md and its charts: how far predictions lie from measurements.

    python validation/report.py

Reads <shared>/measured, where <shared> is `../shared` or the environment variable LLMROOF_SHARED;
without it it says so and stops. Deterministic; about two minutes on one core.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import published
import ranges
import recommend
import serving
from kernel_tables import shared

from llmroof.evidence.rows import read_rows
from llmroof.evidence.validate import validate
from llmroof.render.plots.parity import draw

ROOT = Path(__file__).resolve().parents[1]
TARGETS = {"TPOT": (11, 8), "TTFT": (28, 20)}
OUTLIERS = Path(__file__).resolve().parent / "outliers.md"
PUBLISHED = OUTLIERS.with_name("published.md")
#: made by `validation/measure_cpu.py`
HERE = Path(__file__).resolve().parent / "measured" / "section.md"


def targets(rows: pd.DataFrame) -> str:
    """Left-out errors against what was asked for."""
    lines = [
        "| figure | left out: mean | asked for | median | asked for |",
        "| --- |" + " ---: |" * 4,
    ]
    for word, name in (("TPOT", "tpot_s"), ("TTFT", "ttft_s")):
        size = 100 * rows[f"outside {name}"].abs()
        mean, median = TARGETS[word]
        lines.append(
            f"| {word} | {size.mean():.1f} % | {mean} % | {size.median():.1f} % | {median} % |"
        )
    return "\n".join(lines)


def kernel_table() -> str:
    """Errors of the formulas on isolated kernels, as kernels.yaml states them."""
    path = ROOT / "llmroof" / "calibration" / "kernels.yaml"
    lines = ["| kernels | rows | in sample | GPU left out |", "| --- |" + " ---: |" * 3]
    for name, family in yaml.safe_load(path.read_text())["families"].items():
        error = family["error"]
        lines.append(
            f"| {name} | {error['rows']:,} | {error['in_sample']} % | {error['gpu_left_out']} % |"
        )
    return "\n".join(lines)


def coverage(rows: pd.DataFrame) -> str:
    """How many left-out rows lie inside the range that the other groups give."""
    known = ranges.labelled(rows)
    hits = ranges.covered(known, ranges.choose(known)).assign(engine=known.engine)
    lines = ["| engine | TTFT inside | TPOT inside |", "| --- | ---: | ---: |"]
    for name, part in [*hits.groupby("engine"), ("all", hits)]:
        lines.append(f"| {name} | {part.ttft_s.mean():.0%} | {part.tpot_s.mean():.0%} |")
    return "\n".join(lines)


def main() -> int:
    """Write the page and its charts."""
    folder = shared()
    if folder is None:
        print("no measured rows at hand (set LLMROOF_SHARED): nothing to do")
        return 0
    whole = read_rows(folder / "measured" / "e2e.csv")
    rows, _ = serving.judge(serving.pieces(whole))
    good = serving.bands(rows[rows.trust == "ok"])
    frame = validate(whole)
    columns = ("all", "engine", "hardware", "model", "precision", "concurrency")
    parts = [
        "# Predictions against measurements",
        "Made by `validation/report.py` from measured rows of served models (InferenceX and "
        "engine benchmarks in aiconfigurator's public silicon sample, Apache-2.0); errors in "
        "percent of the measured value, mean / median. Left out: the constants were fitted "
        "without the row's own "
        "(model, GPU) pair. No coefficient belongs to a model or a GPU.",
        targets(good),
        f"{len(whole)} rows, {len(rows)} predicted, {len(good)} of them with labels to rely on. "
        "Those not predicted are racks labelled as one worker of 12 to 72 GPUs, which no head "
        "count divides.",
        "![Parity of TTFT and TPOT](images/parity.png)",
        *(serving.table(good, by) for by in columns),
        "All rows, whatever their labels are worth, none dropped:",
        serving.table(serving.bands(rows), "all"),
        serving.table(serving.bands(rows), "trust"),
        "## Ranges",
        "Each range is that of the nearest class in `llmroof/calibration/ranges.yaml`. Rows "
        "inside, their own (model, GPU) pair left out of the fit and of the ranges (80 % is the "
        "aim):",
        coverage(rows[rows.trust == "ok"]),
        "Static batches have none: nothing like them is among the rows.",
        "## Choices",
        recommend.section(frame),
        "## Kernels",
        "The formulas of `llmroof/engine/kernels.py` and `validation/kernel_formulas.py` on "
        "isolated timings (`validation/kernels.py`), MAPE over rows:",
        kernel_table(),
        "## Published figures",
        published.section(folder),
        PUBLISHED.read_text(),
        OUTLIERS.read_text(),
        HERE.read_text() if HERE.is_file() else "",
    ]
    (ROOT / "docs" / "validation.md").write_text("\n\n".join(parts).rstrip() + "\n")
    draw(frame[frame.trust == "ok"], ROOT / "docs" / "images" / "parity.png")
    print("wrote docs/validation.md and docs/images/parity.png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
