"""Measured against predicted: errors by row, summaries by any column.

Rows that share a deployment are predicted in one vectorised call. Errors are relative,
(predicted − measured) / measured; a row that cannot be predicted keeps the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from llmroof.api import estimate
from llmroof.calibration.ranges import METRICS as RANGED
from llmroof.errors import InputError, LlmroofError
from llmroof.evidence.families import family_seconds
from llmroof.evidence.rows import (
    DEPLOYMENT,
    FAMILY_COLUMNS,
    JUDGED,
    lengths,
    options,
    read_rows,
)
from llmroof.models.load import load_model
from llmroof.specs.hardware import load_hardware

if TYPE_CHECKING:
    import pandas as pd

    from llmroof.engine.estimate import Estimate
    from llmroof.engine.phases import PhaseEstimate

#: what a prediction adds to a row
_COLUMNS: Final = (
    *(f"predicted_{metric}" for metric in JUDGED),
    *(f"{end}_{metric}" for metric in RANGED for end in ("low", "high")),
)
#: a part of TTFT below this share is not told
_TOLD: Final = 0.05
#: told after each deployment: (rows done, rows in all)
Progress = Callable[[int, int], None]


def validate(
    rows: pd.DataFrame | Path | str,
    progress: Progress | None = None,
    given: Mapping[str, str] | None = None,
    **overrides: Any,
) -> pd.DataFrame:
    """The rows with `predicted_<metric>`, `error_<metric>` and `error` (why not predicted).

    Where the prediction has a range, `low_<metric>` and `high_<metric>` are its ends and
    `inside_<metric>` tells whether the measurement lies between them.
    `overrides` replace options of every row (`limit=True` holds the pure roofline
    against the measurements); `given` fills columns that the file leaves
    empty. Raises InputError when the file cannot be read.
    """
    frame = read_rows(Path(rows), given) if isinstance(rows, (str, Path)) else rows.copy()
    frame = frame.reset_index(drop=True)
    keys = [name for name in DEPLOYMENT if name in frame.columns]
    found = {name: np.full(len(frame), np.nan) for name in _COLUMNS}
    faults = np.full(len(frame), "", dtype=object)
    asker, done = _Asker(overrides), 0
    for _, group in frame.fillna(dict.fromkeys(keys, "")).groupby(keys, sort=False):
        _predict_group(asker, group, found, faults)
        done += len(group)
        if progress is not None:
            progress(done, len(frame))
    frame = frame.assign(**found, error=faults)
    unknown = [f"predicted_{name}" for name in FAMILY_COLUMNS if name not in frame.columns]
    frame = frame.drop(columns=unknown)
    for metric in JUDGED:
        if metric in frame.columns:
            measured = frame[metric]
            frame[f"error_{metric}"] = (frame[f"predicted_{metric}"] - measured) / measured
    for metric in RANGED:
        if metric in frame.columns:
            ends = frame[f"low_{metric}"], frame[f"high_{metric}"]
            inside = frame[metric].between(*ends).astype(float)
            frame[f"inside_{metric}"] = inside.where(ends[0].notna() & frame[metric].notna())
    return frame


class _Asker:
    """Asks for rows of one deployment; models and hardware are read once."""

    def __init__(self, overrides: Mapping[str, Any]) -> None:
        self.overrides = overrides
        self.model = lru_cache(maxsize=None)(load_model)
        self.hardware = lru_cache(maxsize=None)(load_hardware)

    def __call__(self, group: pd.DataFrame) -> Estimate:
        return self._ask(question_of(group))

    def one(self, row: pd.DataFrame) -> Estimate:
        """The answer for one row, its operators included."""
        return self._ask(_scalar(question_of(row)))

    def _ask(self, asked: dict[str, Any]) -> Estimate:
        question = {**asked, **self.overrides}
        for name, read in (("model", self.model), ("gpu", self.hardware)):
            if isinstance(question[name], str):
                question[name] = read(question[name])
        return estimate(**question)


def _predict_group(asker: _Asker, group: pd.DataFrame, found: dict[str, Any], faults: Any) -> None:
    """Predict the rows of one deployment together; one by one where that is refused."""
    place = group.index.to_numpy()
    try:
        answer = asker(group)
    except LlmroofError as error:
        if len(group) == 1:
            faults[place] = str(error)
            return
        for index in group.index:
            _predict_group(asker, group.loc[[index]], found, faults)
        return
    for name, values in figures(answer).items():
        found[name][place] = values
    timed = [name for name in FAMILY_COLUMNS if name in group.columns]
    for index in group.index[group[timed].notna().any(axis=1)]:
        one = asker.one(group.loc[[index]])  # only a single point tells its operators
        for name, value in family_seconds(one).items():
            found[name][index] = value


def question_of(group: pd.DataFrame) -> dict[str, Any]:
    """The keywords of `estimate` for rows that share a deployment."""
    first = {name: str(group[name].iloc[0]) for name in DEPLOYMENT if name in group.columns}
    drawn = lengths(first.get("lengths", ""))
    question: dict[str, Any] = dict(options(first))
    with np.errstate(all="ignore"):  # lengths beyond any number are refused with the question
        for name in ("input_len", "output_len"):
            question[name] = np.maximum(np.rint(group[name].to_numpy() * drawn.mean), 1)
    if "concurrency" in group.columns and group["concurrency"].notna().all():
        question["concurrency"] = group["concurrency"].to_numpy()
        question["load"] = first.get("load") or "burst"
        question["random_lengths"] = drawn.random
    else:
        question["batch"] = group["batch"].fillna(1.0).to_numpy() if "batch" in group else 1.0
    return question


def figures(found: Estimate) -> dict[str, Any]:
    """The predicted value of every metric that a row may have been measured in, and ranges."""
    work, serving = found.workload, found.serving
    values = {
        "predicted_ttft_s": serving.ttft,
        "predicted_tpot_s": serving.tpot,
        "predicted_e2e_latency_s": serving.e2e_latency,
        "predicted_prefill_tokens_per_s": work.batch * work.input_len / serving.ttft,
        "predicted_decode_tokens_per_s": work.batch / serving.tpot,
        "predicted_output_tokens_per_s": serving.output_tokens_per_s,
    }
    for metric, span in zip(RANGED, (serving.ttft_range, serving.tpot_range), strict=True):
        if span is not None:
            values |= {f"low_{metric}": span[0], f"high_{metric}": span[1]}
    return values


def check_columns(frame: pd.DataFrame, by: Sequence[str]) -> None:
    """Raise InputError for a column of `by` that the rows lack."""
    for name in by:
        if name not in frame.columns:
            raise InputError(f"--by: no column '{name[:40]}'; there are {', '.join(frame.columns)}")


def summary(frame: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """One row per metric (and value of `by`): n, failed, mape, median_ape, bias, p80_ape.

    All errors are fractions; `failed` counts rows with a measurement and no prediction,
    `inside_range` is the share of measurements within their range (NaN without ranges).
    Raises InputError for a column that the rows lack.
    """
    import pandas as pd

    check_columns(frame, by)
    groups: list[tuple[Any, pd.DataFrame]] = [((), frame)]
    if by:
        groups = list(frame.groupby(list(by), sort=True, dropna=False))
    found = []
    for values, group in groups:
        labels = dict(zip(by, values if isinstance(values, tuple) else (values,), strict=True))
        for metric in JUDGED:
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
                    "inside_range": group.get(f"inside_{metric}", known.head(0)).mean(),
                }
            )
    return pd.DataFrame(found)


def explain(frame: pd.DataFrame, index: Any, **overrides: Any) -> str:
    """What one row's prediction is made of: parts of TTFT, and the largest operators."""
    keys = [name for name in DEPLOYMENT if name in frame.columns]
    group = frame.loc[[index]].fillna(dict.fromkeys(keys, ""))
    found = estimate(**{**_scalar(question_of(group)), **overrides})
    parts = [f"{_largest(found.prefill)} of prefill", f"{_largest(found.decode)} of decode"]
    steady = found.steady
    if steady is not None:
        waits = {
            "own prefill": steady.prefill,
            "prefill of others": steady.interference,
            "lag": steady.lag,
            "waiting for memory": steady.memory_wait,
        }
        shares = {name: float(value / steady.ttft) for name, value in waits.items()}
        words = [f"{share:.0%} {name}" for name, share in shares.items() if share >= _TOLD]
        between = 1 - float(steady.step / steady.tpot)
        parts += [f"TTFT {', '.join(words)}", f"TPOT {between:.0%} prefill of others"]
        parts += [f"{steady.running:.0f} of {steady.running + steady.waiting:.0f} running"]
    return "; ".join(parts)


def _scalar(question: dict[str, Any]) -> dict[str, Any]:
    """The question with plain numbers in place of arrays of one."""
    names = ("batch", "concurrency", "input_len", "output_len")
    return question | {
        name: float(np.ravel(question[name])[0]) for name in names if name in question
    }


def _largest(phase: PhaseEstimate) -> str:
    """The operators that take most of a phase."""
    costs = sorted(phase.operators, key=lambda cost: -float(phase.share(cost)))[:2]
    return ", ".join(f"{cost.operator.name} {float(phase.share(cost)):.0%}" for cost in costs)
