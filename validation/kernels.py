"""Fits kernel coefficients to isolated timings, judges them on GPUs left out, writes them.

    python validation/kernels.py [--family NAME ...] [--write]

Reads <shared>/measured/kernels and <shared>/facts/hardware.csv, where <shared> is `../shared` or
the environment variable LLMROOF_SHARED; without them it says so and stops. `--write` makes
llmroof/calibration/kernels.yaml. Deterministic; about two minutes on one core.

Weighting. The fit gives every (GPU, engine, kernel, format) table the same weight. Errors are
stated over rows (each row of every table once) and over tables (the mean of their means).
Left out, with the reason, in `kernel_families`: host-bound tables and the Intel B60.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kernel_families import READERS
from kernel_fit import Fit, Judgement, judge, mape
from kernel_models import MODELS
from kernel_tables import Family, hardware_row, shared

TARGETS = {
    "gemm bfloat16": 13,
    "gemm fp8": 20,
    "gemm nvfp4": 20,
    "decode attention": 25,
    "prefill attention": 25,
    "MoE": 28,
    "all-reduce": 25,
}
HEAD = """\
# What kernels reach on real silicon: coefficients of the formulas in llmroof/engine/kernels.py
# and validation/kernel_formulas.py.
# Made by validation/kernels.py; do not edit. `value` is universal; `scopes` replaces it for one
# engine, kernel and number format (a scope that is not listed takes the universal value).
# `launch` is the floor of the timing loop of isolated kernels; inside a CUDA graph launches cost
# less, and the engine uses its own term there.
# error: MAPE in percent over rows; in sample, and predicting each GPU from the others.
"""

SOURCE = """\
source:
  title: >-
    isolated kernel timings of ai-dynamo/aiconfigurator (Apache-2.0) on A100, H200, B200, GB200 and
    L40S under vLLM 0.14-0.24, SGLang 0.5.10-0.5.14, TensorRT-LLM 1.0-1.3 and NCCL 2.27-2.29
  url: https://github.com/ai-dynamo/aiconfigurator
  fitted: 2026-11-22
  how: >-
    soft-L1 least squares of log ratios, every (GPU, engine, kernel, format) table weighing the
    same; deviations of scopes drawn to zero; "held" coefficients drawn to the stated value, because
    a single left-out GPU would leave them undetermined
"""


def report(data: Family, found: Judgement) -> dict[str, tuple[float, float]]:
    """Errors by GPU and over all, in sample and left out; printed as one line each."""
    lines = {}
    for gpu in [*np.unique(data.gpu.astype(str)), "all rows"]:
        own = np.full(len(data.seconds), True) if gpu == "all rows" else data.gpu == gpu
        lines[gpu] = (mape(found.inside[own]), mape(found.outside[own]))
    lines["all tables"] = (mape(found.inside, data.table), mape(found.outside, data.table))
    cells = "  ".join(f"{gpu} {a:.1f}/{b:.1f}" for gpu, (a, b) in lines.items())
    target = f"  target {TARGETS[data.name]}" if data.name in TARGETS else ""
    print(f"{data.name:18s} {len(data.seconds):8d} rows  {cells}{target}", flush=True)
    return lines


def _figure(value: float) -> str:
    return f"{value:.3e}"  # always with a point, or PyYAML reads a string


def entry(data: Family, found: Fit, errors: dict[str, tuple[float, float]], folder: Path) -> str:
    """The YAML block of one family."""
    _, table, _ = MODELS[data.name]
    rows, left = errors["all rows"]
    lines = [
        f"  {data.name}:",
        f"    error: {{rows: {len(data.seconds)}, in_sample: {rows:.1f}, "
        f"gpu_left_out: {left:.1f}}}",
        "    scopes:",
    ]
    for scope in np.unique(data.scope.astype(str)):
        own = np.unique(data.gpu[data.scope == scope].astype(str))
        kinds = sorted({hardware_row(folder, gpu)["architecture"].split()[0] for gpu in own})
        lines.append(f"      {scope}: [{', '.join(kinds)}]")
    lines.append("    coefficients:")
    for c in table:
        fitted = {0: "stated"}.get(c.prior, "fitted") if c.prior is not None else "fitted"
        if c.prior:
            fitted = f"fitted, held to {c.start:.3g} within a factor {np.exp(c.prior):.2f}"
        lines.append(f"      {c.name}:")
        lines.append(f"        value: {_figure(np.exp(found.universal[c.name]))}")
        lines.append(f'        unit: "{c.unit}"')
        lines.append(f"        meaning: {c.meaning}")
        lines.append(f"        how: {fitted}")
        own = found.deviation.get(c.name, {})
        if own:
            lines.append("        scopes:")
            for scope, shift in own.items():
                value = np.exp(found.universal[c.name] + shift)
                lines.append(f"          {scope}: {_figure(value)}")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Fit, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--family", action="append", choices=list(READERS), help="only these")
    parser.add_argument("--write", action="store_true", help="write the coefficients")
    asked = parser.parse_args()
    folder = shared()
    if folder is None:
        print("no measured kernels at hand (set LLMROOF_SHARED): nothing to do")
        return 0
    print("MAPE in percent, in sample / predicted from the other GPUs")
    blocks = []
    for name in asked.family or READERS:
        began = time.time()
        data = READERS[name](folder)
        times, table, per_table = MODELS[name]
        found = judge(data, times, table, per_table)
        errors = report(data, found)
        print(f"{'':18s} {time.time() - began:.0f} s", file=sys.stderr, flush=True)
        blocks.append(entry(data, found.fit, errors, folder))
    if asked.write and not asked.family:
        target = Path(__file__).resolve().parents[1] / "llmroof" / "calibration" / "kernels.yaml"
        target.write_text(HEAD + SOURCE + "families:\n" + "".join(blocks))
        print(f"wrote {target.name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
