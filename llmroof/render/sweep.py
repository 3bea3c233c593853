"""The rows of a sweep: a page for people, and CSV or Parquet written as they come."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import IO, Any, Final, Protocol

import numpy as np

from llmroof import units
from llmroof.errors import InputError
from llmroof.figures import COLUMNS
from llmroof.render.page import Grid, Item, Line, Page, grid, heading, page, screen_width
from llmroof.render.plots.text import WIDTH, scatter
from llmroof.render.record import Tree, head, plain
from llmroof.search.axes import Axes
from llmroof.search.sweep import Choice, Rows, Tally
from llmroof.search.where import kind_of

#: the two sides of every serving decision: speed for one user, work per device
INTERACTIVITY: Final = ("tpot_s", "output_tokens_per_s_per_gpu")
#: rows of a table for people; more are for files
MOST_ROWS: Final = 40
#: rows per group of a Parquet file: large enough to compress, small enough for memory
_GROUP: Final = 1 << 17
_SHOWN: Final = ("ttft_s", "tpot_s", "output_tokens_per_s_per_gpu", "usd_per_million_output_tokens")
_PLAN: Final = ("tp", "pp", "dp", "ep")


class Writer(Protocol):
    """Takes rows as they come; `close` writes what is left."""

    def write(self, rows: Rows) -> None:
        """Append rows."""

    def close(self) -> None:
        """Finish the file."""


class CsvWriter:
    """CSV with a header; unknown is an empty cell, whole numbers have no point."""

    def __init__(self, stream: IO[bytes], columns: Sequence[str]) -> None:
        self.text = io.TextIOWrapper(stream, "utf-8", newline="", write_through=True)
        self.rows = csv.writer(self.text, lineterminator="\n")
        self.columns = tuple(columns)
        self.rows.writerow(columns)

    def write(self, rows: Rows) -> None:
        """Append rows."""
        cells = [_cells(rows.columns[name], len(rows)) for name in self.columns]
        self.rows.writerows(zip(*cells, strict=True))

    def close(self) -> None:
        """Flush; the stream stays open."""
        self.text.flush()
        self.text.detach()


def _cells(value: Any, size: int) -> Any:
    if not isinstance(value, np.ndarray):
        return repeat(_cell(value), size)
    return [_cell(one) for one in value.tolist()]


def _cell(value: Any) -> Any:
    value = plain(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value


class ParquetWriter:
    """Parquet by pyarrow, row group by row group. Raises InputError without pyarrow."""

    def __init__(self, stream: IO[bytes], columns: Sequence[str]) -> None:
        try:
            import pyarrow
            import pyarrow.parquet as parquet
        except ImportError:
            raise InputError(
                "Parquet needs pyarrow: pip install 'llmroof[parquet]', or write .csv"
            ) from None
        self.arrow = pyarrow
        self.columns = tuple(columns)
        self.schema = pyarrow.schema([(name, self._type(name)) for name in columns])
        self.file = parquet.ParquetWriter(stream, self.schema, compression="zstd")
        self.waiting: list[Any] = []
        self.count = 0

    def _type(self, name: str) -> Any:
        kind = kind_of(name)
        if kind == "text":
            return self.arrow.dictionary(self.arrow.int32(), self.arrow.string())
        return self.arrow.bool_() if kind == "truth" else self.arrow.float64()

    def write(self, rows: Rows) -> None:
        """Append rows; a group is written when it is full."""
        size = len(rows)
        arrays = [self._array(rows.columns[field.name], field.type, size) for field in self.schema]
        self.waiting.append(self.arrow.record_batch(arrays, schema=self.schema))
        self.count += size
        if self.count >= _GROUP:
            self._flush()

    def _array(self, value: Any, kind: Any, size: int) -> Any:
        arrow = self.arrow
        if isinstance(value, np.ndarray):
            if arrow.types.is_dictionary(kind):
                return arrow.array(value.astype(object), arrow.string()).dictionary_encode()
            if arrow.types.is_floating(kind):
                values = np.asarray(value, dtype=np.float64)
                return arrow.array(values, kind, mask=~np.isfinite(values))
            return arrow.array(value, kind)
        value = plain(value)
        if arrow.types.is_dictionary(kind):
            place = np.zeros(size, dtype=np.int32)
            words = arrow.array([value or ""], arrow.string())
            if value is None:
                return arrow.nulls(size, kind)
            return arrow.DictionaryArray.from_arrays(arrow.array(place), words)
        if value is None:
            return arrow.nulls(size, kind)
        return arrow.array(np.full(size, value), kind)

    def _flush(self) -> None:
        if self.waiting:
            table = self.arrow.Table.from_batches(self.waiting, self.schema).unify_dictionaries()
            self.file.write_table(table)
            self.waiting, self.count = [], 0

    def close(self) -> None:
        """Write the last group and the footer."""
        self._flush()
        self.file.close()


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
        "points": tally.total,
        "fit": tally.fit,
        "skipped": [{"points": n, "reason": why} for why, n in tally.reasons.items()],
        "rows": rows,
    }


def sweep_page(axes: Axes, choice: Choice, tally: Tally, rows: list[Tree]) -> Page:
    """What was asked, the best rows as a table, and the frontier as a small chart."""
    items: list[Item] = [
        heading(_title(axes, choice)),
        Line(
            f"{tally.total:,} points, {tally.fit:,} fit"
            + (f", {tally.skipped:,} skipped" if tally.skipped else "")
        ),
        Line(""),
    ]
    if not rows:
        return page([*items, Line("No point is left.", "bad"), *_reasons(tally)])
    shown = rows[:MOST_ROWS]
    items.append(table(axes, shown))
    if len(rows) > len(shown):
        items.append(Line(f"  ... {len(rows) - len(shown):,} more; -o FILE writes all of them"))
    chart = _chart(choice, rows)
    return page([*items, *chart, *_reasons(tally)])


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
    names = [name for name in _varying(axes) if len({row[name] for row in rows}) > 1]
    names = [name for name in names if name not in _PLAN and name != at_once]
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
    """`tp4 pp2` of a row; empty for a single device."""
    return " ".join(f"{name}{row[name]}" for name in _PLAN if row[name] > 1)


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
