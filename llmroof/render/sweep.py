"""The rows of a sweep for people: a table and a small chart; and as plain rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from llmroof import units
from llmroof.figures import COLUMNS
from llmroof.render.page import Grid, Item, Line, Page, grid, heading, page, screen_width
from llmroof.render.plots.text import WIDTH, scatter
from llmroof.render.record import Tree, head, plain
from llmroof.search.axes import Axes
from llmroof.search.sweep import Choice, Rows, Tally

#: the two sides of every serving decision: speed for one user, work per device
INTERACTIVITY: Final = ("tpot_s", "output_tokens_per_s_per_gpu")
#: rows of a table for people; more are for files
MOST_ROWS: Final = 40
_SHOWN: Final = ("ttft_s", "tpot_s", "output_tokens_per_s_per_gpu", "usd_per_million_output_tokens")
_PLAN: Final = ("tp", "pp", "dp", "ep")


def plain_rows(parts: Sequence[Rows], columns: Sequence[str]) -> list[Tree]:
    """Rows as plain dicts, in order."""
    found: list[Tree] = []
    for rows in parts:
        cells = {name: _plain(rows.columns[name], len(rows)) for name in columns}
        found += [
            dict(zip(cells, values, strict=True)) for values in zip(*cells.values(), strict=True)
        ]
    return found


def _plain(value: Any, size: int) -> list[Any]:
    if not isinstance(value, np.ndarray):
        return [plain(value)] * size
    return [plain(one) for one in value.tolist()]


def sweep_document(axes: Axes, tally: Tally, rows: list[Tree]) -> Tree:
    """`llmroof.sweep/1`."""
    return head("sweep") | {
        "axes": {
            name: [plain(value) for value in values]
            for name, values in {**axes.categories, **axes.numbers}.items()
        },
        "points": tally.total - tally.start,
        "seen": tally.seen - tally.start,
        "fit": tally.fit,
        "skipped": [{"points": n, "reason": why} for why, n in tally.reasons.items()],
        "rows": rows,
    }


def sweep_page(axes: Axes, choice: Choice, tally: Tally, rows: list[Tree]) -> Page:
    """What was asked, the best rows as a table, and the frontier as a small chart."""
    items: list[Item] = [
        heading(_title(axes, choice)),
        Line(
            f"{tally.total - tally.start:,} points, {tally.fit:,} {_fitting(axes)}"
            + (f", {tally.skipped:,} skipped" if tally.skipped else "")
        ),
        Line(""),
    ]
    if not rows:
        return page([*items, Line("No point is left.", "bad"), *_reasons(tally)])
    shown = rows[:MOST_ROWS]
    items.append(table(axes, shown))
    if same := _same(axes, shown):
        items.append(Line(f"  every row: {same}", hang=2))
    if len(rows) > len(shown):
        items.append(Line(f"  ... {len(rows) - len(shown):,} more; -o FILE writes all of them"))
    chart = _chart(choice, rows)
    return page([*items, *chart, *_reasons(tally)])


def _fitting(axes: Axes) -> str:
    """What a point does that may be chosen: it fits, and a stream of requests is sustained."""
    return "sustained" if "request_rate" in axes.numbers else "fit"


def _title(axes: Axes, choice: Choice) -> str:
    models = ", ".join(str(name) for name in axes.categories.get("model", ("default model",)))
    if choice.top is not None:
        return f"{models}: the best {choice.top} by {choice.by}"
    return f"{models}: the Pareto frontier of {' and '.join(choice.pareto)}"


def _reasons(tally: Tally) -> Iterator[Item]:
    if tally.reasons:
        yield Line("")
        yield heading("Skipped")
        for reason, points in tally.reasons.items():
            yield Line(f"- {points:,} points: {reason}", hang=2)


def table(axes: Axes, rows: Sequence[Tree]) -> Grid:
    """The figures of a decision, and the inputs in which the rows differ."""
    at_once = next(iter(axes.numbers))
    names = [name for name in _inputs(axes) if len({row[name] for row in rows}) > 1]
    header = ["GPUs", *(_word(name) for name in names), _word(at_once)]
    header += ["TTFT", "TPOT", "tok/s/GPU", "USD/M out"]
    body = [
        (
            devices_words(row),
            *(_value(row[name]) for name in (*names, at_once)),
            *(_figure(name, row[name]) for name in _SHOWN),
        )
        for row in rows
    ]
    return grid(header, body)


def _same(axes: Axes, rows: Sequence[Tree]) -> str:
    """The inputs that were varied and are the same in all rows, for which no column stands."""
    names = [name for name in _inputs(axes) if len({row[name] for row in rows}) == 1]
    return ", ".join(f"{_word(name)} {_value(rows[0][name])}" for name in names)


def _inputs(axes: Axes) -> list[str]:
    """Columns that tell rows apart, beside the devices with their plan and the load."""
    at_once = next(iter(axes.numbers))
    return [name for name in _varying(axes) if name not in _PLAN and name != at_once]


def _varying(axes: Axes) -> list[str]:
    """Columns of the inputs with more than one value, but for the GPU and how many."""
    names = {"precision": "weights"}
    found = [
        names.get(name, name)
        for name, values in {**axes.categories, **axes.numbers}.items()
        if len(values) > 1 and name not in ("gpu", "num_gpus")
    ]
    return [name for name in dict.fromkeys(found) if name in COLUMNS]


def devices_words(row: Mapping[str, Any]) -> str:
    """`8 × mi300x`, with the plan where it is more than tensor parallel."""
    many = f"{row['num_gpus']} × {row['hardware']}" if row["num_gpus"] > 1 else row["hardware"]
    plan = plan_words(row)
    return many if row["tp"] == row["num_gpus"] else f"{many} {plan}"


def plan_words(row: Mapping[str, Any]) -> str:
    """`tp4 pp2` of a row, `1+3 disaggregated` before it; empty for a single device."""
    words = [f"{name}{row[name]}" for name in _PLAN if row[name] > 1]
    if row.get("disaggregated"):
        words = [f"{row['prefill_workers']:g}+{row['decode_workers']:g} disaggregated", *words]
    return " ".join(words)


def _word(name: str) -> str:
    return {"input_len": "in", "output_len": "out", "kv_cache_dtype": "KV cache"}.get(name, name)


def _value(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _figure(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name.endswith("_s") and not name.endswith("per_s"):
        return units.show(value, "s")
    return f"{value:,.0f}" if value >= 100 else units.significant(value)


def _chart(choice: Choice, rows: Sequence[Tree]) -> Iterator[Item]:
    names = choice.pareto if len(choice.pareto) == 2 else ()
    if not names or len(rows) < 3:
        return
    points = [
        (float(row[names[0]]), float(row[names[1]]), str(row["hardware"]))
        for row in rows
        if row[names[0]] is not None and row[names[1]] is not None
    ]
    yield Line("")
    for line in scatter(points, names[0], names[1], width=min(WIDTH, screen_width() - 18)):
        yield Line(line, "verbatim")
