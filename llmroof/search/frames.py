"""Sweeps, recommendations and advice as pandas frames: the same as on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from llmroof.arguments import check_values
from llmroof.engine.estimate import Estimate
from llmroof.errors import InputError
from llmroof.search import advise as levers
from llmroof.search import compare as side_by_side
from llmroof.search.axes import check_part, make_axes
from llmroof.search.sweep import chosen_columns, joined, make_choice, run_sweep


def sweep(
    *,
    where: str | None = None,
    top: int | None = None,
    by: str | None = None,
    pareto: str | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    start: int = 0,
    end: int | None = None,
    **axes: Any,
) -> Any:
    """Every combination of the axes as a DataFrame, one row per point, columns as in the JSON.

    `axes` are options of `llmroof.estimate`, each a value or a list of them. `where`
    keeps the points that meet a condition, `top` and `by` the best, `pareto` the
    frontier of several columns (of the points that fit). `start` and `end` ask a part of
    the points: parts laid end to end are the whole. Raises LlmroofError.
    """
    import pandas as pd

    choices = {"where": where, "top": top, "by": by, "pareto": pareto, "columns": columns}
    check_values(axes | choices | {"start": start, "end": end}, several=True)
    check_part(start, end)
    grid = make_axes(axes)
    choice = make_choice(where, top, by, pareto)
    names = chosen_columns(grid, columns)
    rows = joined(list(run_sweep(grid, choice, names, start=start, end=end)), names)
    frame = pd.DataFrame({name: _column(values) for name, values in rows.columns.items()})
    return frame.set_index(pd.Index(rows.points, name="point"))


def _column(values: Any) -> Any:
    """Whole numbers as integers, as the rows of an estimate have them."""
    if values.dtype.kind != "f" or not values.size or not np.all(np.isfinite(values)):
        return values
    return values.astype(np.int64) if np.all(values == np.floor(values)) else values


def advise(estimate: Estimate, by: str = "tpot") -> Any:
    """The levers of a deployment as a DataFrame, best first; `result` holds each estimate."""
    import pandas as pd

    if not isinstance(estimate, Estimate):
        raise InputError(f"advise takes an Estimate, not {repr(estimate)[:40]}")
    pulls = levers.advise(estimate, by)
    return pd.DataFrame(
        [
            {
                "lever": pull.title,
                **{f"{name}_gain": gain for name, gain in pull.gains.items()},
                "pays_from": pull.pays[0] if pull.pays else None,
                "pays_to": pull.pays[1] if pull.pays else None,
                "in_use": pull.in_use,
                "change": dict(pull.change),
                "result": pull.result,
            }
            for pull in pulls
        ]
    )


def compare(*estimates: Estimate) -> Any:
    """Estimates side by side as a DataFrame: figures down, one column each, and the ratios."""
    import pandas as pd

    if len(estimates) < 2 or not all(isinstance(one, Estimate) for one in estimates):
        raise InputError("compare takes two or more Estimates")
    found = side_by_side.compare(estimates)
    figures = {chr(ord("A") + i): dict(one) for i, one in enumerate(found.figures)}
    ratios = {f"{chr(ord('A') + i)}/A": dict(one) for i, one in enumerate(found.ratios) if i}
    return pd.DataFrame({**figures, **ratios})
