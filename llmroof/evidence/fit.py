"""The few physical coefficients of a profile, fitted to measured rows.

Shares of the peaks that matrix products reach, seconds per kernel and per pass; all other
kinds of kernels keep their ratio to the products. Least squares on the logarithm of
predicted over measured (Levenberg 1944, Marquardt 1963), numpy alone, no random numbers.
A coefficient that too few rows can tell is left as it was, and said so.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from llmroof.api import estimate
from llmroof.calibration.load import load_calibration
from llmroof.errors import InputError, LlmroofError
from llmroof.evidence.rows import DEPLOYMENT, METRICS
from llmroof.evidence.validate import figures, question_of
from llmroof.models.load import load_model
from llmroof.specs.hardware import Hardware
from llmroof.specs.measured import Fitted

if TYPE_CHECKING:
    import pandas as pd

#: rows that must tell a coefficient before it is fitted
ROWS_EACH: Final = 5
#: a row tells a coefficient that makes up this part of its time
_TELLS: Final = 0.05
#: two coefficients whose effects are more alike than this cannot be told apart
_ALIKE: Final = 0.98
FOLDS: Final = 5
_ROUNDS: Final = 15
#: a step that lessens the squared error by less than this part is the last
_GAIN: Final = 1e-5
#: mean squared error, as logarithms, that is none
_EXACT: Final = 1e-8
_STEP: Final = 0.02
#: coefficient -> (lowest, highest value)
BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "compute": (0.02, 1.0),
    "memory": (0.02, 1.0),
    "launch": (1e-8, 1e-2),
    "step": (1e-7, 10.0),
}
#: where the search for the seconds per pass starts: shipped profiles have none
_FIRST_STEP: Final = 1e-4
_Values = dict[str, float]


class NoBetter(LlmroofError):
    """The fitted profile predicts left-out rows no better than the profile as it is."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Coefficient:
    """One coefficient: where it was, where it is (None: left), and how many rows tell it."""

    name: str
    before: float
    after: float | None
    rows: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class Fit:
    """Coefficients with median absolute errors: as it was, of the fit, of rows left out.

    `by_metric` has (n, before, in sample, left out) for each measured figure.
    """

    hardware: Hardware
    fitted: Fitted
    coefficients: tuple[Coefficient, ...]
    rows: int
    before: float
    in_sample: float
    left_out: float
    by_metric: Mapping[str, tuple[int, float, float, float]]


@dataclass(frozen=True, slots=True)
class _Observed:
    """Measured figures of rows that share a deployment, and the question they ask."""

    question: Mapping[str, Any]
    rows: Any
    measured: Mapping[str, Any]


def fit(frame: pd.DataFrame, hardware: Hardware) -> Fit:
    """Fit the coefficients to the rows of one device.

    Raises InputError where too few rows were measured and can be predicted, NoBetter where
    rows left out of the fit are predicted no better than before.
    """
    bare = replace(hardware, fitted=None)
    groups = _groups(frame, bare)
    row = np.concatenate([_flat(group, "rows") for group in groups]) if groups else np.array([])
    count = len(np.unique(row))
    if count < ROWS_EACH:
        raise InputError(
            f"{count} rows can be predicted: each coefficient needs {ROWS_EACH} that tell it"
        )
    metric = np.concatenate([_names(group) for group in groups])
    start = _start()

    def errors(values: _Values | None) -> Any:
        return _errors(groups, bare if values is None else _variant(bare, values))

    every = np.ones(len(row), dtype=bool)
    near = _solve(errors, start, tuple(BOUNDS), every)  # what a row tells depends on where one is
    slopes = _slopes(errors, near, tuple(BOUNDS))
    told = {name: _tellers(row, slopes[name]) for name in BOUNDS}
    free, why = _free(slopes, told)
    if not free:
        words = ", ".join(f"{name} {told[name]}" for name in BOUNDS)
        raise InputError(
            f"no coefficient has the {ROWS_EACH} rows it needs (rows that tell it: {words})"
        )
    before = errors(None)
    first = start | {name: near[name] for name in free}
    values = _solve(errors, first, free, every)
    inside, outside = errors(values), np.full(len(row), np.nan)
    order = np.unique(row, return_inverse=True)[1]
    for fold in range(FOLDS):
        own = order % FOLDS == fold
        kept = _solve(errors, values, free, ~own)
        outside[own] = errors(kept)[own]
    was, within, without = (_median(one) for one in (before, inside, outside))
    if without >= was:
        raise NoBetter(
            f"rows left out of the fit are predicted no better than without it: median error "
            f"{without:.1%} against {was:.1%} of {count} rows; nothing was written"
        )
    fitted = Fitted(
        date=datetime.date.today().isoformat(),
        rows=count,
        before=was,
        after=without,
        **{name: values[name] for name in BOUNDS if name != "step"},
        step=values["step"] if "step" in free else None,
    )
    return Fit(
        hardware,
        fitted,
        tuple(
            Coefficient(n, start[n], values[n] if n in free else None, told[n], why.get(n, ""))
            for n in BOUNDS
        ),
        count,
        was,
        within,
        without,
        {
            str(name): (
                int((metric == name).sum()),
                _median(before[metric == name]),
                _median(inside[metric == name]),
                _median(outside[metric == name]),
            )
            for name in dict.fromkeys(metric)
        },
    )


def _groups(frame: pd.DataFrame, hardware: Hardware) -> list[_Observed]:
    """The measured figures by deployment; rows that cannot be predicted are left out."""
    keys = [name for name in DEPLOYMENT if name in frame.columns]
    models = {name: load_model(name) for name in dict.fromkeys(frame["model"])}
    found = []
    frame = frame.reset_index(drop=True)
    for _, group in frame.fillna(dict.fromkeys(keys, "")).groupby(keys, sort=False):
        question = question_of(group)
        question |= {"gpu": hardware, "model": models[question["model"]]}
        measured = {
            name: group[name].to_numpy(dtype=float)
            for name in METRICS
            if name in group.columns and group[name].notna().any()
        }
        try:
            estimate(**question)
        except LlmroofError:
            continue
        if measured:
            found.append(_Observed(question, group.index.to_numpy(), measured))
    return found


def _flat(group: _Observed, what: str) -> Any:
    parts = [getattr(group, what)[np.isfinite(values)] for values in group.measured.values()]
    return np.concatenate(parts)


def _names(group: _Observed) -> Any:
    parts = [[name] * int(np.isfinite(v).sum()) for name, v in group.measured.items()]
    return np.array([name for part in parts for name in part])


def _errors(groups: Sequence[_Observed], hardware: Hardware) -> Any:
    """log(predicted / measured) of every measured figure; rates turned into times."""
    found = []
    for group in groups:
        answer = figures(estimate(**{**group.question, "gpu": hardware}))
        for name, measured in group.measured.items():
            known = np.isfinite(measured)
            predicted = np.broadcast_to(answer[f"predicted_{name}"], measured.shape)[known]
            sign = 1.0 if name.endswith("_s") and not name.endswith("per_s") else -1.0
            found.append(sign * np.log(predicted / measured[known]))
    return np.concatenate(found)


def _start() -> _Values:
    """The coefficients that profiles without a fit are predicted with."""
    gemm = load_calibration().kind("gemm")
    return {
        "compute": gemm.compute[16],
        "memory": gemm.memory,
        "launch": gemm.launch,
        "step": _FIRST_STEP,
    }


def _variant(hardware: Hardware, values: _Values) -> Hardware:
    return replace(hardware, fitted=Fitted("", 0, 0.0, 0.0, **values))


def _slopes(
    errors: Callable[[_Values | None], Any], at: _Values, names: Sequence[str]
) -> dict[str, Any]:
    """Slopes of every figure: d log(predicted) / d log(coefficient)."""
    base = errors(at)
    found = {}
    for name in names:
        low, high = BOUNDS[name]
        sign = -1.0 if at[name] * np.exp(_STEP) > high else 1.0
        moved = at | {name: float(np.clip(at[name] * np.exp(sign * _STEP), low, high))}
        found[name] = (errors(moved) - base) / (sign * _STEP)
    return found


def _tellers(row: Any, slope: Any) -> int:
    """How many rows tell a coefficient."""
    return len(np.unique(row[np.abs(slope) >= _TELLS]))


def _free(
    slopes: Mapping[str, Any], told: Mapping[str, int]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The coefficients that the rows can tell, and why the others cannot be."""
    free: list[str] = []
    why: dict[str, str] = {}
    for name in sorted(BOUNDS, key=lambda name: -float(np.abs(slopes[name]).sum())):
        if told[name] < ROWS_EACH:
            why[name] = f"{told[name]} of the {ROWS_EACH} rows that it needs tell it"
            continue
        twin = next((one for one in free if _likeness(slopes[name], slopes[one]) > _ALIKE), None)
        if twin:
            why[name] = f"the rows cannot tell it from {twin}"
        else:
            free.append(name)
    return tuple(name for name in BOUNDS if name in free), why


def _likeness(one: Any, other: Any) -> float:
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return abs(float(one @ other)) / size if size else 0.0


def _solve(
    errors: Callable[[_Values | None], Any], start: _Values, free: Sequence[str], kept: Any
) -> _Values:
    """The coefficients with the least sum of squared errors of the `kept` figures."""
    values, damping = dict(start), 1e-2
    if "step" not in free:
        values["step"] = BOUNDS["step"][0]
    found = errors(values)[kept]
    for _ in range(_ROUNDS):
        slopes = _slopes(errors, values, free)
        jacobian = np.stack([slopes[name][kept] for name in free], axis=1)
        normal = jacobian.T @ jacobian
        damped = normal + damping * (np.diag(np.diag(normal)) + 1e-9 * np.eye(len(free)))
        move = np.clip(-np.linalg.solve(damped, jacobian.T @ found), -1.0, 1.0)
        tried = dict(values)
        for name, shift in zip(free, move, strict=True):
            tried[name] = float(np.clip(values[name] * np.exp(shift), *BOUNDS[name]))
        after = errors(tried)[kept]
        if after @ after < found @ found:
            gain = 1 - (after @ after) / (found @ found)
            values, found, damping = tried, after, damping / 4
            if gain < _GAIN or after @ after < _EXACT * len(after):
                break
        else:
            damping *= 8
            if damping > 1e4:
                break
    return values


def _median(errors: Any) -> float:
    """Median absolute relative error behind logarithms."""
    return float(np.median(np.abs(np.expm1(errors))))


def fit_yaml(found: Fit, base: str) -> str:
    """The calibrated profile: `base` with the fitted coefficients."""
    import json

    from llmroof import units

    fitted = found.fitted
    name = f"{found.hardware.name}, calibrated {fitted.date}"
    lines = [f"name: {json.dumps(name, ensure_ascii=False)}", f"extends: {base}", "fitted:"]
    lines += [f'  date: "{fitted.date}"', f"  rows: {fitted.rows:.0f}"]
    lines += [
        f"  before: {fitted.before:.4f}  # median absolute error of the profile as it was",
        f"  after: {fitted.after:.4f}  # of rows left out of the fit, {FOLDS} folds",
    ]
    for key in ("compute", "memory"):
        if (share := getattr(fitted, key)) is not None:
            lines.append(f"  {key}: {share:.4f}")
    for key in ("launch", "step"):
        if (seconds := getattr(fitted, key)) is not None:
            lines.append(f"  {key}: {units.show(seconds, 's', 4)}")
    return "\n".join(lines) + "\n"
