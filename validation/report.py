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

import ranges
import serving
from kernel_tables import shared

from llmroof.errors import LlmroofError
from llmroof.evidence.rows import read_rows
from llmroof.evidence.validate import validate
from llmroof.render.plots.parity import draw
from llmroof.specs.hardware import load_hardware

ROOT = Path(__file__).resolve().parents[1]
TARGETS = {"TPOT": (11, 8), "TTFT": (28, 20)}
OUTLIERS = Path(__file__).resolve().parent / "outliers.md"
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


#: static decode and prefill points of published.csv: metric, the figure of the estimate
PUBLISHED = {"decode_tok_s": "decode", "prefill_tok_s": "prefill"}

#: models of the same shapes under another name
SAME = {"llama-7b": "llama-2-7b", "llama-13b": "llama-2-13b"}


def published(folder: Path) -> str:
    """Median errors of published single figures by family of devices; what is not answered."""
    rows = pd.read_csv(folder / "measured" / "published.csv", low_memory=False)
    rows = rows[(rows.quality == "ok") & rows.metric.isin(PUBLISHED) & (rows.n_gpu == 1)]
    found = [_ask(row) for row in rows.to_dict("records")]
    rows = rows.assign(ratio=[one[0] for one in found], family=[one[1] for one in found])
    lines = ["| devices | metric | rows | answered | median error | bias |"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: |")
    for (family, metric), part in rows.groupby(["family", "metric"]):
        known = part.ratio.dropna() - 1
        if len(known) < 10:
            continue
        lines.append(
            f"| {family} | {PUBLISHED[metric]} | {len(part)} | {len(known)} | "
            f"{known.abs().median():.0%} | {known.median():+.0%} |"
        )
    return "\n".join(lines)


def _ask(row: dict[str, object]) -> tuple[float, str]:
    """(predicted over measured, family of the device) of a published figure; NaN if unanswered."""
    from llmroof.api import estimate

    try:
        gpu = load_hardware(str(row["hardware"]))
    except LlmroofError:
        return float("nan"), "unknown device"
    family = f"{gpu.vendor} {gpu.architecture.removeprefix(gpu.vendor)}".replace("  ", " ")
    try:
        batch = float(str(row["batch"]))
        model = SAME.get(str(row["model"]), str(row["model"]))
        asked = {"model": model, "gpu": gpu, "batch": batch, "num_gpus": 1}
        for name, column in (("input_len", "input_len"), ("output_len", "output_len")):
            if column in row and row[column] == row[column] and float(str(row[column])) >= 1:
                asked[name] = round(float(str(row[column])))
        if str(row.get("precision", "")) not in ("", "nan"):
            asked["precision"] = str(row["precision"])
        found = estimate(**asked, **_llamacpp(row, gpu.vendor))
    except (LlmroofError, ValueError):
        return float("nan"), family
    rate = batch / found.serving.tpot
    if row["metric"] == "prefill_tok_s":
        rate = batch * found.workload.input_len / found.serving.ttft
    if row.get("scope") == "per_seq":
        rate = rate / batch
    return float(rate) / float(str(row["value"])), family


def _llamacpp(row: dict[str, object], vendor: str) -> dict[str, object]:
    """What a table of llama.cpp says about its build: back end, graphs, flash attention."""
    build = str(row["engine"])
    if "llama.cpp" not in build:
        return {}
    old = "May 2024" in build
    engine = "llamacpp-eager" if old else "llamacpp"
    asked: dict[str, object] = {
        "engine": "llamacpp-metal" if vendor == "Apple" else engine,
        "chunked_prefill": 512,  # the micro-batch of llama-bench
    }
    if old or "no FA" in build or vendor == "Apple":
        asked["attention"] = "naive"
    return asked


def main() -> int:
    """Write the page and its charts."""
    folder = shared()
    if folder is None:
        print("no measured rows at hand (set LLMROOF_SHARED): nothing to do")
        return 0
    whole = read_rows(folder / "measured" / "e2e.csv")
    rows, _ = serving.judge(serving.pieces(whole))
    good = serving.bands(rows[rows.trust == "ok"])
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
        "## Kernels",
        "The formulas of `llmroof/engine/kernels.py` and `validation/kernel_formulas.py` on "
        "isolated timings (`validation/kernels.py`), MAPE over rows:",
        kernel_table(),
        "## Published single figures",
        "Throughput of single devices in public tables, asked as static batches: rows of llama.cpp "
        "with its own rules (`llamacpp`, `-eager` before decode steps were captured in graphs, "
        "`-metal`), micro-batches of 512 tokens and, where the build had none, without flash "
        "attention; all others with the generic engine. Four figures were fitted to these rows, "
        "none per device or model: the share of the libraries' rate that the engine's own matrix "
        "kernels reach with prompts, and the multiplier on launches of each of the three. Aims: "
        "20 % (decode) and 30 % (prefill) by family.",
        published(folder),
        OUTLIERS.read_text(),
        HERE.read_text() if HERE.is_file() else "",
    ]
    (ROOT / "docs" / "validation.md").write_text("\n\n".join(parts).rstrip() + "\n")
    frame = validate(whole)
    draw(frame[frame.trust == "ok"], ROOT / "docs" / "images" / "parity.png")
    print("wrote docs/validation.md and docs/images/parity.png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
