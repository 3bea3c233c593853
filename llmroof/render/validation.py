"""Predictions against measurements: summary, worst rows with their reasons, JSON and rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from llmroof import units
from llmroof.evidence.rows import JUDGED, METRICS
from llmroof.evidence.validate import explain, summary
from llmroof.render.page import Item, Line, Page, grid, heading, page
from llmroof.render.record import head, plain

if TYPE_CHECKING:
    import pandas as pd

_SHOWN: Final = 3
_REASONS: Final = 5
#: a time this many times off is a slip of the unit, sooner than a slow machine
_SLIP: Final = 100.0
_FIGURES: Final = ("n", "failed", "mape", "median_ape", "bias", "p80_ape", "inside_range")


def validation_document(frame: pd.DataFrame, by: Sequence[str]) -> dict[str, Any]:
    """`llmroof.validation/1`: every row, the summary over all, and one `by` any columns."""
    found = {"rows": [_row(row) for row in frame.to_dict("records")]}
    parts = {"summary": [plain(row) for row in summary(frame).to_dict("records")]}
    if by:
        parts["by"] = [plain(row) for row in summary(frame, by).to_dict("records")]
    return head("validation") | found | parts


def _row(row: Mapping[Any, Any]) -> dict[str, Any]:
    """One row: measured, predicted and relative error of what was measured, or the fault."""
    known: dict[str, Any] = {"id": str(row["id"]), "error": row["error"] or None}
    for name in JUDGED:
        if _known(row.get(name)):
            inside = row.get(f"inside_{name}")
            known[name] = {
                "measured": plain(row[name]),
                "predicted": plain(row[f"predicted_{name}"]),
                "relative_error": plain(row[f"error_{name}"]),
                "inside_range": bool(inside) if _known(inside) else None,
            }
    return known


def _known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def validation_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as given with predictions and errors beside them."""
    kept = frame.loc[:, [name for name in frame.columns if not frame[name].isna().all()]]
    return [
        {str(key): plain(value) for key, value in row.items()} for row in kept.to_dict("records")
    ]


def validation_page(frame: pd.DataFrame, by: Sequence[str]) -> Page:
    """Summary, the same by columns, and the worst rows explained."""
    items: list[Item] = [heading(f"{len(frame)} measured rows against their predictions")]
    items.append(_table(summary(frame), ()))
    if by:
        items += [Line(""), heading(f"By {', '.join(by)}"), _table(summary(frame, by), by)]
    return page([*items, *_faults(frame), *_worst(frame), *_assumed(frame)])


def _assumed(frame: pd.DataFrame) -> list[Item]:
    """How requests in flight are taken to start, where rows do not say."""
    if "concurrency" not in frame or not frame["concurrency"].notna().any():
        return []
    if "load" in frame and (frame["load"].fillna("") != "").all():
        return []
    return [
        Line(
            "- requests in flight are taken to start all at once, as benchmarks do "
            "(--load burst of estimate); a column `load` says closed where they do not",
            hang=2,
        )
    ]


def _table(found: pd.DataFrame, by: Sequence[str]) -> Item:
    body = []
    for row in found.to_dict("records"):
        cells = [str(row[name]) for name in by]
        cells += [row["metric"], str(row["n"]), str(row["failed"])]
        cells += [f"{row[name]:.1%}" if _known(row[name]) else "-" for name in _FIGURES[2:]]
        body.append(tuple(cells))
    words = ("metric", "rows", "failed", "MAPE", "median", "bias", "p80", "in range")
    return grid((*by, *words), body, "<" * (len(by) + 1) + ">" * 7)


def _faults(frame: pd.DataFrame) -> list[Item]:
    failed = frame[frame["error"] != ""]
    counts = failed["error"].value_counts()
    if counts.empty:
        return []
    lines = []
    for text, count in counts.head(_REASONS).items():
        names = [str(name) for name in failed.loc[failed["error"] == text, "id"].head(_SHOWN)]
        named = ", ".join([*names, "..."] if count > _SHOWN else names)
        rows = "1 row" if count == 1 else f"{count} rows"
        lines.append(Line(f"- {rows} ({named}): {text}", hang=2))
    further = len(counts) - _REASONS
    more = [Line(f"- and {further} further reasons")] if further > 0 else []
    return [Line(""), heading("Not predicted"), *lines, *more]


def _worst(frame: pd.DataFrame) -> list[Item]:
    """The rows furthest off, and what their prediction is made of."""
    names = [name for name in METRICS if f"error_{name}" in frame.columns]
    if not names:
        return []
    errors = frame[[f"error_{name}" for name in names]].abs().max(axis=1)
    found: list[Item] = []
    for index in errors.dropna().sort_values(ascending=False).head(_SHOWN).index:
        row = frame.loc[index]
        words = [
            f"{name} {_show(row[f'predicted_{name}'], name)} against "
            f"{_show(row[name], name)} ({row[f'error_{name}']:+.0%})"
            for name in names
            if _known(row[name])
        ]
        found.append(Line(f"- {row['id']}: {'; '.join(words)}", hang=2))
        found.append(Line(f"  predicted: {explain(frame, index)}", hang=2))
        slips = [name for name in names if _slipped(row, name)]
        if slips:
            found.append(Line(f"  {', '.join(slips)}: in which unit? Times are seconds", hang=2))
    return [Line(""), heading("Furthest off"), *found] if found else []


def _slipped(row: pd.Series[Any], name: str) -> bool:
    """Whether a measured time is a hundred times off, and no rate."""
    if "per_s" in name or not _known(row[name]) or not _known(row[f"predicted_{name}"]):
        return False
    ratio = row[name] / row[f"predicted_{name}"]
    return bool(ratio > _SLIP or ratio < 1 / _SLIP)


def _show(value: float, name: str) -> str:
    if name.endswith("per_s"):
        return f"{units.significant(value)} tokens/s"
    return units.show(value, "s")
