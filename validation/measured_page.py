"""What was measured on a processor, as a section of docs/validation.md.

The section stands between two marks and is kept in `validation/measured/section.md`, so that
`validation/report.py` can put it back.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from llmroof.evidence.validate import validate
from llmroof.specs.hardware import load_hardware

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(__file__).resolve().parent / "measured"
START, END = "<!-- measured here -->", "<!-- end of measured here -->"
#: asked for: median error of prefill and of decode
TARGET = 0.20
PHASES = {"prefill": "ttft_s", "decode": "tpot_s"}
FAMILIES = ("gemm", "attention", "elementwise")


def section(profile: Path, rows: Path, bench: Path | None, spec: Path) -> str:
    """Tables of the model's rows, of the families of kernels, and of llama-bench."""
    hardware, frame = load_hardware(str(profile)), validate(rows)
    measured = hardware.measured
    assert measured is not None
    versions = ", ".join(f"{name} {text}" for name, text in measured.versions.items())
    medians = {phase: frame[f"error_{metric}"].abs().median() for phase, metric in PHASES.items()}
    met = all(value < TARGET for value in medians.values())
    words = ", ".join(f"{phase} {value:.1%}" for phase, value in medians.items())
    parts = [
        START,
        "## Measured here",
        f"`validation/measure_cpu.py` on {measured.device}, {measured.threads:.0f} threads "
        f"({measured.driver}; {versions}), {measured.date}: the profile first, then a decoder of "
        f"four layers in Llama's shape with random weights (`{spec.relative_to(ROOT)}`), batch 1 "
        f"to 16 x context 128 to 2,048. Nothing was fitted to its passes: the profile knows "
        f"kernels at other sizes. Readings of its typical kernel spread by {measured.spread:.1%}.",
        f"Median error: {words}; below {TARGET:.0%} was asked for: {'met' if met else 'not met'}.",
        _phases(frame),
        "Errors by family of kernels (seconds of a watched pass, scaled to the unwatched one):",
        _families(frame),
        "![Measured and predicted passes](images/measured-points.png)",
        "![Parity of the measured passes](images/measured-parity.png)",
        "![Empirical roofline of the processor](images/measured-roofline.png)",
    ]
    if bench is not None:
        parts += [
            "`llama-bench` of llama.cpp on the same processor, a GGUF file of random weights "
            f"(`validation/llama_bench.py`, `{(FOLDER / 'llama-bench.yaml').relative_to(ROOT)}`), "
            "predicted with the profile that PyTorch's kernels gave: llama.cpp has kernels of its "
            "own, so this is what carrying a profile from one framework to another costs.",
            _bench(bench, profile),
        ]
    return "\n\n".join([*parts, END]) + "\n"


def _phases(frame: pd.DataFrame) -> str:
    lines = [
        "| precision | phase | passes | median error | mean | bias | largest |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for precision, group in frame.groupby("precision", sort=False):
        for phase, metric in PHASES.items():
            errors = group[f"error_{metric}"].dropna()
            lines.append(f"| {precision} | {phase} | {_figures(errors)} |")
    return "\n".join(lines)


def _families(frame: pd.DataFrame) -> str:
    lines = [
        "| precision | phase | family | share of the time | median error | bias |",
        "| --- | --- | --- | ---: | ---: | ---: |",
    ]
    for precision, group in frame.groupby("precision", sort=False):
        for phase, metric in PHASES.items():
            for family in FAMILIES:
                name = f"{phase}_{family}_s"
                errors = group[f"error_{name}"].dropna()
                share = (group[name] / group[metric]).median()
                lines.append(
                    f"| {precision} | {phase} | {family} | {share:.0%} | "
                    f"{errors.abs().median():.1%} | {errors.mean():+.0%} |"
                )
    return "\n".join(lines)


def _bench(bench: Path, profile: Path) -> str:
    given = {"hardware": str(profile), "model": str(FOLDER / "llama-bench.yaml")}
    frame = validate(bench, given=given)
    lines = [
        "| test | format | measured, tokens/s | predicted | error |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for row in frame.to_dict("records"):
        for metric in ("prefill_tokens_per_s", "decode_tokens_per_s"):
            if row["error"]:
                lines.append(
                    f"| {row['id']} | {row['precision']} | not predicted: {row['error']} | | |"
                )
                break
            if pd.notna(row.get(metric)):
                lines.append(
                    f"| {row['id']} | {row['precision']} | {row[metric]:,.0f} | "
                    f"{row[f'predicted_{metric}']:,.0f} | {row[f'error_{metric}']:+.0%} |"
                )
    return "\n".join(lines)


def _figures(errors: pd.Series) -> str:
    absolute = errors.abs()
    return (
        f"{len(errors)} | {absolute.median():.1%} | {absolute.mean():.1%} | "
        f"{errors.mean():+.1%} | {absolute.max():.0%}"
    )


def put(text: str) -> None:
    """The section in its file, and in docs/validation.md in place of the one before."""
    (FOLDER / "section.md").write_text(text, "utf-8")
    page = ROOT / "docs" / "validation.md"
    whole = page.read_text("utf-8")
    if START in whole:
        before, rest = whole.split(START, 1)
        whole = before.rstrip("\n") + "\n\n" + text + rest.split(END, 1)[1].lstrip("\n")
    else:
        whole = whole.rstrip("\n") + "\n\n" + text
    page.write_text(whole, "utf-8")
