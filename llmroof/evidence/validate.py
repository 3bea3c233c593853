"""Measured against predicted: errors by row, summaries by any column.

Rows that share a deployment are predicted in one vectorised call. Errors are relative,
(predicted − measured) / measured; a row that cannot be predicted keeps the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llmroof.api import estimate
from llmroof.errors import LlmroofError
from llmroof.evidence.rows import DEPLOYMENT, METRICS, lengths, options, read_rows

if TYPE_CHECKING:
    import pandas as pd

    from llmroof.engine.estimate import Estimate

#: told after each deployment: (rows done, rows in all)
Progress = Callable[[int, int], None]


def validate(
    rows: pd.DataFrame | Path | str, progress: Progress | None = None, **overrides: Any
) -> pd.DataFrame:
    """The rows with `predicted_<metric>`, `error_<metric>` and `error` (why not predicted).

    `overrides` replace options of every row (`limit=True` holds the pure roofline
    against the measurements). Raises InputError when the file cannot be read.
    """
    frame = read_rows(Path(rows)) if isinstance(rows, (str, Path)) else rows.copy()
    frame = frame.reset_index(drop=True)
    for metric in METRICS:
        frame[f"predicted_{metric}"] = np.nan
    frame["error"] = ""
    keys = [name for name in DEPLOYMENT if name in frame.columns]
    done = 0
    for _, group in frame.fillna(dict.fromkeys(keys, "")).groupby(keys, sort=False):
        _predict_group(frame, group, overrides)
        done += len(group)
        if progress is not None:
            progress(done, len(frame))
    for metric in METRICS:
        if metric in frame.columns:
            measured = frame[metric]
            frame[f"error_{metric}"] = (frame[f"predicted_{metric}"] - measured) / measured
    return frame


def _predict_group(frame: pd.DataFrame, group: pd.DataFrame, overrides: dict[str, Any]) -> None:
    """Predict the rows of one deployment together; one by one where that is refused."""
    try:
        found = _ask(group, overrides)
    except LlmroofError as error:
        if len(group) == 1:
            frame.loc[group.index, "error"] = str(error)
            return
        for index in group.index:
            _predict_group(frame, group.loc[[index]], overrides)
        return
    for metric, values in figures(found, group).items():
        frame.loc[group.index, f"predicted_{metric}"] = np.broadcast_to(values, len(group))


def _ask(group: pd.DataFrame, overrides: dict[str, Any]) -> Estimate:
    first = {name: str(group[name].iloc[0]) for name in DEPLOYMENT if name in group.columns}
    drawn = lengths(first.get("lengths", ""))
    question: dict[str, Any] = {
        **options(first),
        "input_len": np.maximum(np.rint(group["input_len"].to_numpy() * drawn.mean), 1),
        "output_len": np.maximum(np.rint(group["output_len"].to_numpy() * drawn.mean), 1),
    }
    if "concurrency" in group.columns and group["concurrency"].notna().all():
        question["concurrency"] = group["concurrency"].to_numpy()
        question["load"] = first.get("load") or "burst"
        question["random_lengths"] = drawn.random
    else:
        question["batch"] = group["batch"].fillna(1.0).to_numpy() if "batch" in group else 1.0
    return estimate(**(question | overrides))


def figures(found: Estimate, group: pd.DataFrame) -> dict[str, Any]:
    """The predicted value of every metric that a row may have been measured in."""
    work, serving = found.workload, found.serving
    return {
        "ttft_s": serving.ttft,
        "tpot_s": serving.tpot,
        "e2e_latency_s": serving.e2e_latency,
        "prefill_tokens_per_s": work.batch * work.input_len / serving.ttft,
        "decode_tokens_per_s": work.batch / serving.tpot,
        "output_tokens_per_s": serving.output_tokens_per_s,
    }


def summary(frame: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """One row per metric (and value of `by`): n, failed, mape, median_ape, bias, p80_ape.

    All errors are fractions; `failed` counts rows with a measurement and no prediction.
    """
    import pandas as pd

    groups: list[tuple[Any, pd.DataFrame]] = [((), frame)]
    if by:
        groups = list(frame.groupby(list(by), sort=True, dropna=False))
    found = []
    for values, group in groups:
        labels = dict(zip(by, values if isinstance(values, tuple) else (values,), strict=True))
        for metric in METRICS:
            if metric not in frame.columns or not group[metric].notna().any():
                continue
            errors = group.loc[group[metric].notna(), f"error_{metric}"]
            known = errors.dropna()
            absolute = known.abs()
            found.append(
                labels
                | {
                    "metric": metric,
                    "n": len(errors),
                    "failed": int(errors.isna().sum()),
                    "mape": absolute.mean(),
                    "median_ape": absolute.median(),
                    "bias": known.mean(),
                    "p80_ape": absolute.quantile(0.8),
                }
            )
    return pd.DataFrame(found)
