"""Flat rows: data frames, CSV, Markdown; and JSON text. One row per point."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from llmroof.engine.estimate import Estimate
from llmroof.figures import flat_name
from llmroof.render.record import Tree, plain, shape, tree

_LISTS: Final = ("defaults",)


def columns(estimate: Estimate) -> dict[str, Any]:
    """Column name -> scalar or array, as in the JSON; a range has a column for each end."""
    found: dict[str, Any] = {}
    for part, values in tree(estimate).items():
        for name, value in values.items():
            if name.endswith("_range"):
                base = name.removesuffix("_range")
                found[f"{base}_low"], found[f"{base}_high"] = value
            else:
                found[flat_name(part, name)] = " ".join(value) if name in _LISTS else value
    return found


def to_frame(estimate: Estimate) -> Any:
    """The estimate as a pandas DataFrame; scalars are repeated for every point."""
    import pandas as pd

    size = shape(estimate)
    flat = {
        name: np.broadcast_to(np.asarray(value), size).ravel() if size else [_scalar(value)]
        for name, value in columns(estimate).items()
    }
    return pd.DataFrame(flat)


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic | np.ndarray) else value


def rows(estimate: Estimate) -> list[dict[str, Any]]:
    """One flat row of plain values per point."""
    size = shape(estimate)
    flat = {
        name: np.broadcast_to(np.asarray(value, dtype=object), size).ravel()
        for name, value in columns(estimate).items()
    }
    count = int(np.prod(size, dtype=int))
    return [{name: plain(values[i]) for name, values in flat.items()} for i in range(count)]


def to_json(document: Tree) -> str:
    """JSON text; refuses NaN and infinity."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(table: Sequence[Tree]) -> str:
    """CSV with a header; unknown is an empty cell."""
    stream = io.StringIO()
    names = _names(table)
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _csv_cell(row.get(name)) for name in names} for row in table)
    return stream.getvalue()


def _names(table: Sequence[Tree]) -> list[str]:
    """The columns of all rows; a deployment may have figures that another lacks."""
    names: Tree = {}
    for row in table:
        if row.keys() != names.keys():
            names |= row
    return list(names)


def to_markdown(table: Sequence[Tree]) -> str:
    """A Markdown table, one row per point; empty without rows."""
    if not table:
        return ""
    names = _names(table)
    return _markdown(names, [[_cell(row.get(name)) for name in names] for row in table])


def _markdown(names: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [names, ["---"] * len(names), *body]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _csv_cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value


def _cell(value: Any) -> str:
    text = str(_csv_cell(value))
    return text.replace("|", "\\|").replace("\n", " ")
