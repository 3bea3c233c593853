"""Are recommendations right where the truth is known?

Rows of served models that share model, GPU and lengths are one question: which of the
measured configurations (engine, precision, plan) gives the most throughput per GPU within
a TPOT bound? The calculator answers from its predictions alone; its choice is judged by
what was measured. Three choices are judged: the configuration, run at its best measured
load within the bound; configuration with load, as predicted; and the configuration where
loads between the measured ones count too, as measured loads double from row to row.

    python validation/recommend.py              ../shared/measured/e2e.csv
    python validation/recommend.py ROWS.csv     rows of your own
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from llmroof.evidence.validate import validate  # noqa: E402

QUESTION = ["model", "hardware", "input_len", "output_len", "lengths"]
CONFIGURATION = ["engine", "precision", "kv_cache_dtype", "num_gpus", "tp", "pp", "dp", "ep"]
#: seconds per token that a service may promise: fast, usual, relaxed
BOUNDS = (0.01, 0.02, 0.03, 0.05, 0.1)
#: within this part of the best a choice is right
RIGHT = 0.10
#: a prediction may miss the bound by as much before its load counts as a miss
SLACK = 0.10


def per_gpu(rows: pd.DataFrame, ttft: str, tpot: str) -> pd.Series:
    """Output tokens/s per GPU of a closed load (Little 1961)."""
    latency = rows[ttft] + (rows["output_len"] - 1) * rows[tpot]
    return rows["concurrency"] * rows["output_len"] / latency / rows["num_gpus"]


def judge(group: pd.DataFrame, bound: float) -> dict[str, float] | None:
    """What the choices under one bound lose against the best; None where there is no choice."""
    allowed = group[group["tpot_s"] <= bound]
    if allowed.groupby(CONFIGURATION, dropna=False).ngroups < 2:
        return None
    best = allowed["measured"].max()
    promised = group[group["predicted_tpot_s"] <= bound]
    if promised.empty:
        return {"configuration": 1.0, "load": 1.0}
    chosen = promised.loc[promised["predicted"].idxmax()]
    same = np.logical_and.reduce(
        [
            (allowed[name] == chosen[name]) | (allowed[name].isna() & pd.isna(chosen[name]))
            for name in CONFIGURATION
        ]
    )
    reached = allowed.loc[same, "measured"].max() if same.any() else 0.0
    kept = chosen["tpot_s"] <= bound * (1 + SLACK)
    return {
        "configuration": 1 - reached / best,
        "load": 1 - min(chosen["measured"] / best, 1.0) if kept else 1.0,
    }


def at_bound(rows: pd.DataFrame, tpot: str, throughput: str, bound: float) -> float:
    """The most throughput within a bound, interpolated between loads; 0 where none is.

    Between the last load within it and the first beyond it both are taken as straight lines
    of logarithms.
    """
    rows = rows.sort_values("concurrency")
    times, rates = rows[tpot].to_numpy(float), rows[throughput].to_numpy(float)
    best = float(rates[times <= bound].max(initial=0.0))
    for place in np.flatnonzero((times[:-1] <= bound) & (times[1:] > bound)):
        ends = slice(place, place + 2)
        between = np.interp(np.log(bound), np.log(times[ends]), np.log(rates[ends]))
        best = max(best, float(np.exp(between)))
    return best


def between_loads(group: pd.DataFrame, bound: float) -> float:
    """What the configuration with most predicted throughput at the bound loses there."""
    found = [
        (
            at_bound(rows, "predicted_tpot_s", "predicted", bound),
            at_bound(rows, "tpot_s", "measured", bound),
        )
        for _, rows in group.groupby(CONFIGURATION, dropna=False)
    ]
    promised, reached = max(found)
    return 1 - reached / max(rate for _, rate in found) if promised else 1.0


def choices(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per question and bound with what each choice loses; rows are those of `validate`."""
    if "trust" in rows.columns:
        rows = rows[rows["trust"] == "ok"]
    known = rows[rows["error"] == ""].dropna(subset=["ttft_s", "tpot_s", "concurrency"])
    for name in ("num_gpus", "concurrency", "output_len", "ttft_s", "tpot_s"):
        known = known.assign(**{name: pd.to_numeric(known[name])})
    known = known.assign(
        measured=per_gpu(known, "ttft_s", "tpot_s"),
        predicted=per_gpu(known, "predicted_ttft_s", "predicted_tpot_s"),
    )
    found = []
    for names, group in known.groupby(QUESTION, dropna=False):
        for bound in BOUNDS:
            regret = judge(group, bound)
            if regret is not None:
                regret["between"] = between_loads(group, bound)
                found.append({**dict(zip(QUESTION, names, strict=True)), "bound": bound, **regret})
    return pd.DataFrame(found)


def section(rows: pd.DataFrame) -> str:
    """What is lost by following the predictions, as a table of the validation page."""
    table = choices(rows)
    if table.empty:
        return "No question with a choice."
    questions = table.groupby(QUESTION, dropna=False).ngroups
    bounds = ", ".join(f"{1000 * bound:.0f}" for bound in BOUNDS)
    lines = [
        f"{len(table)} choices of the configuration with most throughput per GPU: {questions} "
        f"questions (rows that share model, GPU and lengths) under {bounds} ms per token, "
        f"where at least two configurations were measured. A choice is right within {RIGHT:.0%} of "
        f"the best measured one; regret is what it loses (`validation/recommend.py`).",
        "",
        "| judged | choices | right | mean regret | median |",
        "| --- | ---: | ---: | ---: | ---: |",
        _line("configuration, at its best measured load", table["configuration"]),
        _line("configuration and load", table["load"]),
        _line("configuration, loads between the measured ones too", table["between"]),
    ]
    for model, part in table.groupby("model"):
        lines.append(_line(str(model), part["configuration"]))
    for bound, part in table.groupby("bound"):
        lines.append(_line(f"TPOT up to {1000 * bound:.0f} ms", part["configuration"]))
    return "\n".join(lines)


def _line(name: str, regret: pd.Series) -> str:
    right = (regret <= RIGHT).mean()
    figures = f"{right:.0%} | {regret.mean():.1%} | {regret.median():.1%}"
    return f"| {name} | {len(regret)} | {figures} |"


def main() -> None:
    """Command line."""
    shared = Path(os.environ.get("LLMROOF_SHARED", ROOT.parent / "shared"))
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else shared / "measured" / "e2e.csv"
    if not path.is_file():
        print(f"no measured rows at {path}: nothing to judge")
        return
    print(section(validate(path)))


if __name__ == "__main__":
    main()
