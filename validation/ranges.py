"""Ranges around predictions: quantiles of left-out residuals by class of deployment.

A class is an engine, the bits of the weights and a GPU architecture, or what is left of them
where fewer groups were measured. The factors are quantiles of measured over predicted, each row
predicted without its own (model, GPU) group. A group's own residuals say little about the
next one's, so the quantiles are taken a little outside of 10 and 90 %: at the level that, with
each group again left out, covers 80 % of its rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from llmroof.calibration.ranges import METRICS, Class, Ranges
from llmroof.models.load import load_model
from llmroof.resolve import resolve_precision
from llmroof.specs.hardware import load_hardware

#: finest first; a class counts from this many rows of this many groups on
KEYS = (("engine", "bits", "architecture"), ("engine", "bits"), ("engine",), ())
ROWS, GROUPS = 40, 2
UNSEEN = 1.5
COVERAGE = 0.8
HEAD = """\
# How far measurements lay from predictions, by class: 80 % of unseen rows fall inside.
# Made by validation/serving.py; do not edit. `ttft_s` and `tpot_s` are factors on the prediction:
# quantiles of measured over predicted, each row predicted without its own (model, GPU) group.
# The finest class that matches counts. unseen: where engine or architecture was not measured,
# the logarithms of the widest class are stretched by this factor (a decision); and once more
# where requests arrive at a rate: all rows are closed loops.
"""


def labelled(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with the class columns and the ratio of measured to predicted of each metric."""
    out = rows.copy()
    kinds = {name: load_hardware(name).architecture.split()[0] for name in rows.hardware.unique()}
    out["architecture"] = out.hardware.map(kinds)
    bits = {}
    for model, gpu, name in {*zip(rows.model, rows.hardware, rows.precision, strict=True)}:
        precision, _ = resolve_precision(load_model(model), load_hardware(gpu), name)
        bits[model, gpu, name] = weight_bits(precision.weights.bits)
    out["bits"] = [bits[key] for key in zip(out.model, out.hardware, out.precision, strict=True)]
    for name in METRICS:
        out[f"ratio {name}"] = 1 / (1 + out[f"outside {name}"])
    return out


def weight_bits(bits: float) -> int:
    """4, 8 or 16: the width that decides which kernels run."""
    return next((width for width in (4, 8) if bits <= width), 16)


def classes(rows: pd.DataFrame, level: float) -> Iterator[Class]:
    """The classes that hold enough rows of enough groups, the finest first."""
    for keys in KEYS:
        parts = rows.groupby(list(keys)) if keys else [((), rows)]
        for values, part in parts:
            if keys and (len(part) < ROWS or part.group.nunique() < GROUPS):
                continue
            named = dict(zip(keys, values, strict=True))
            factors = {
                name: tuple(float(part[f"ratio {name}"].quantile(at)) for at in (level, 1 - level))
                for name in METRICS
            }
            yield Class(**named, rows=len(part), groups=part.group.nunique(), **factors)


def ranges(rows: pd.DataFrame, level: float) -> Ranges:
    """What the file holds, from the rows at hand."""
    return Ranges(tuple(classes(rows, level)), UNSEEN, "")


def inside(rows: pd.DataFrame, found: Ranges) -> pd.DataFrame:
    """For each row and metric: does the measurement lie in the range?"""
    hits = {name: [] for name in METRICS}
    for row in rows.itertuples():
        _, factors = found.find(row.engine, row.bits, row.architecture)
        for name in METRICS:
            low, high = factors[name]
            ratio = 1 / (1 + getattr(row, f"outside_{name}"))
            hits[name].append(low <= ratio <= high)
    return pd.DataFrame(hits, index=rows.index)


def covered(rows: pd.DataFrame, level: float) -> pd.DataFrame:
    """`inside` of every row, its own group left out of the ranges too."""
    renamed = rows.rename(columns={f"outside {name}": f"outside_{name}" for name in METRICS})
    found = [
        inside(renamed[renamed.group == group], ranges(rows[rows.group != group], level))
        for group in rows.group.unique()
    ]
    return pd.concat(found).loc[rows.index]


def choose(rows: pd.DataFrame) -> float:
    """The innermost quantile that covers 80 % of left-out rows, both metrics together."""
    levels = np.arange(0.02, 0.101, 0.01)
    shares = np.array([float(covered(rows, level).to_numpy().mean()) for level in levels])
    enough = np.flatnonzero(shares >= COVERAGE)
    return float(levels[enough[-1] if enough.size else 0])


def write(rows: pd.DataFrame, level: float, path: Path) -> None:
    """ranges.yaml from the residuals of all trustworthy rows."""
    lines = [HEAD + f"unseen: {UNSEEN}", "classes:"]
    for one in classes(rows, level):
        named = {"engine": one.engine, "bits": one.bits, "architecture": one.architecture}
        words = [f"{key}: {value}" for key, value in named.items() if value]
        words += [f"rows: {one.rows}", f"groups: {one.groups}"]
        for name in METRICS:
            low, high = getattr(one, name)
            words.append(f"{name}: [{low:.3f}, {high:.3f}]")
        lines.append(f"  - {{{', '.join(words)}}}")
    lines.append(
        "sources:\n  - title: >-\n      closed-loop benchmarks of served models, "
        "aiconfigurator's public silicon sample (Apache-2.0),\n      each (model, GPU) group "
        f"left out; quantiles at {level:.2f} and {1 - level:.2f}\n"
        "    url: https://github.com/ai-dynamo/aiconfigurator\n    checked: 2026-11-22"
    )
    path.write_text("\n".join(lines) + "\n")
