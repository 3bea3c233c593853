"""Expectations of predictions against measured rows: error bounds per metric and partition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from llmroof.errors import InputError
from llmroof.evidence.rows import METRICS
from llmroof.evidence.validate import Progress, summary, validate
from llmroof.search.where import Condition, parse_where
from llmroof.specs.schema import (
    MISSING,
    Field,
    Flag,
    Kind,
    ListOf,
    MapOf,
    Number,
    Report,
    Table,
    Text,
)
from llmroof.specs.tree import Node

if TYPE_CHECKING:
    import pandas as pd

#: figures of a partition that a bound may use, as `llmroof validate` sums them up
FIGURES: Final = ("n", "failed", "mape", "median_ape", "bias", "p80_ape", "inside_range")


@dataclass(frozen=True, slots=True)
class Bound:
    """What must hold of one metric's errors: over all rows, or in every part `by` columns.

    `where` keeps the rows whose columns hold these texts; a part of fewer than `min_rows`
    measurements is not judged.
    """

    metric: str
    conditions: tuple[Condition, ...]
    by: tuple[str, ...] = ()
    where: Mapping[str, str] | None = None
    min_rows: int = 1


@dataclass(frozen=True, slots=True)
class Measured:
    """Measured rows and what is expected; with `optional` rows that are absent are no fault."""

    bounds: tuple[Bound, ...]
    rows: str | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """One partition's errors against one bound. `holds` is None where there are too few rows.

    `used` are the figures that the bound speaks of.
    """

    metric: str
    partition: Mapping[str, str]
    condition: str
    holds: bool | None
    figures: Mapping[str, float | None]
    used: tuple[str, ...] = ()


def judge(
    rows: Path | pd.DataFrame, bounds: Sequence[Bound], progress: Progress | None = None
) -> list[Judged]:
    """Predict the rows and hold every bound against their errors. Raises InputError."""
    frame = validate(rows, progress)
    return [judged for bound in bounds for judged in _judge(frame, bound)]


def _judge(frame: pd.DataFrame, bound: Bound) -> list[Judged]:
    chosen = frame
    for name, value in (bound.where or {}).items():
        if name not in frame.columns:
            raise InputError(f"measured rows have no column '{name[:40]}'")
        chosen = chosen[chosen[name].astype(str) == value]
    parts = summary(chosen, bound.by) if len(chosen) else None
    rows = [] if parts is None else parts.to_dict("records")
    found = [{str(key): value for key, value in row.items()} for row in rows]
    found = [row for row in found if row["metric"] == bound.metric]
    if not found:
        what = ", ".join(f"{name}={value}" for name, value in (bound.where or {}).items())
        raise InputError(f"no measured row has {bound.metric}{f' with {what}' if what else ''}")
    return [_hold(bound, row, condition) for row in found for condition in bound.conditions]


def _hold(bound: Bound, row: Mapping[str, Any], condition: Condition) -> Judged:
    known = {name: _number(row[name]) for name in FIGURES}
    few = row["n"] < bound.min_rows
    holds = None if few else bool(np.all(condition.mask(known.__getitem__)))
    place = dict(bound.where or {}) | {name: str(row[name]) for name in bound.by}
    used = tuple(name for name in FIGURES if name in condition.columns)
    return Judged(bound.metric, place, condition.text, holds, known, used)


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def parse_bound(text: str, by: Sequence[str] = ()) -> Bound:
    """`tpot_s: mape <= 12 %` as a bound. Raises InputError."""
    metric, sign, rest = text.partition(":")
    if not sign or metric.strip() not in METRICS:
        raise InputError(
            f"expectation '{text[:60]}' is not like 'tpot_s: mape <= 12 %'; "
            f"metrics: {', '.join(METRICS)}"
        )
    return Bound(metric.strip(), (_condition(rest.strip()),), tuple(by))


def _condition(text: str) -> Condition:
    return parse_where(text, FIGURES, name="expectation")


@dataclass(frozen=True, slots=True)
class _Bounds(Kind):
    """Conditions over the errors of a partition: `mape <= 12 %`; one or a list."""

    def read(self, node: Node, key: str, report: Report) -> Any:
        """A tuple of Condition."""
        parts = node.value if isinstance(node.value, list) else [node]
        found = []
        for part in parts:
            try:
                found.append(_condition(part.value if isinstance(part.value, str) else ""))
            except InputError as error:
                report.add(part, key, str(error))
        if not parts:
            report.add(node, key, "is empty: write mape <= 12 %")
        return tuple(found) if found and len(found) == len(parts) else MISSING

    def json_schema(self) -> dict[str, Any]:
        one = {"type": "string"}
        return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}


def _bound(values: dict[str, Any]) -> Bound:
    return Bound(
        values["metric"],
        values["assert"],
        values.get("by", ()),
        values.get("where"),
        values.get("min_rows", 1),
    )


EXPECTATIONS: Final = Table(
    {
        "rows": Field(Text(), "CSV of measured rows; a relative path starts at this file"),
        "optional": Field(Flag(), "true: rows that are absent are skipped"),
        "expect": Field(
            ListOf(
                Table(
                    {
                        "metric": Field(Text(METRICS), "measured figure", required=True),
                        "assert": Field(_Bounds(), "mape <= 12 %, bias < 5 %", required=True),
                        "by": Field(ListOf(Text()), "columns that part the rows"),
                        "where": Field(MapOf(Text()), "keep rows with these values"),
                        "min_rows": Field(Number(1, whole=True), "smaller parts are not judged"),
                    },
                    _bound,
                )
            ),
            "bounds",
            required=True,
        ),
    },
    lambda values: Measured(values["expect"], values.get("rows"), values.get("optional", False)),
)
