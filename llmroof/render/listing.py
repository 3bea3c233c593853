"""Lists that are sorted by a column and filtered by a condition: accelerators, models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from llmroof.errors import InputError, nearest
from llmroof.render.record import Tree
from llmroof.search.where import parse_where

#: short name of a column -> (what a row holds it under, its dimension; None: text)
Columns: TypeAlias = Mapping[str, tuple[str, str | None]]

#: every list has these: ties are settled by the first
ID: Final = "id"


def known(columns: Columns) -> Columns:
    """Either name of each column: the short one and what rows hold it under."""
    return {**columns, **{key: (key, measure) for key, measure in columns.values()}}


def chosen(rows: Sequence[Tree], columns: Columns, sort: str, where: str | None) -> list[Tree]:
    """The rows that meet `where`, in the order of `sort`.

    Figures descend, names ascend, unknown comes last. `where` is a condition over the
    columns, such as `memory >= 80 GB and fp8`. Raises InputError.
    """
    names = known(columns)
    if sort not in names:
        guess = nearest(sort, names)
        hint = f"; did you mean '{guess}'?" if guess else f"; known: {', '.join(columns)}"
        raise InputError(f"there is no column '{sort[:40]}' to sort by{hint}")
    kept = list(rows) if where is None else _filtered(rows, names, where)
    key, measure = names[sort]
    if measure is None:
        return sorted(kept, key=lambda row: (row[key] or "", row[ID]))
    return sorted(kept, key=lambda row: (row[key] is None, -(row[key] or 0), row[ID]))


def _filtered(rows: Sequence[Tree], names: Columns, where: str) -> list[Tree]:
    import numpy as np

    condition = parse_where(where, names, {name: measure for name, (_, measure) in names.items()})
    values = {
        name: np.array([row[names[name][0]] for row in rows], dtype=object)
        for name in condition.columns
    }
    mask = np.broadcast_to(condition.mask(values.__getitem__), len(rows))
    return [row for row, kept in zip(rows, mask, strict=True) if kept]
