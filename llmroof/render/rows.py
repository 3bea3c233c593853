"""The rows of a sweep as files: CSV or Parquet, written as they come."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from itertools import repeat
from pathlib import Path
from typing import IO, Any, Final, Protocol

import numpy as np

from llmroof.errors import InputError
from llmroof.render.record import plain
from llmroof.search.sweep import Rows
from llmroof.search.where import kind_of

#: rows per group of a Parquet file: large enough to compress, small enough for memory
_GROUP: Final = 1 << 17
#: whole numbers below it fit an int64
_WHOLE: Final = 2.0**63


class Writer(Protocol):
    """Takes rows as they come; `close` writes what is left."""

    def write(self, rows: Rows) -> None:
        """Append rows."""

    def close(self) -> None:
        """Finish the file."""


class CsvWriter:
    """CSV with a header; unknown is an empty cell, whole numbers have no point.

    The header comes with the first rows, so that a question that is refused writes nothing.
    """

    def __init__(self, stream: IO[bytes], columns: Sequence[str], header: bool = True) -> None:
        self.stream = stream
        self.columns = tuple(columns)
        self.header = header

    def write(self, rows: Rows) -> None:
        """Append rows."""
        cells = [_cells(rows.columns[name], len(rows)) for name in self.columns]
        self._append(zip(*cells, strict=True))

    def _append(self, rows: Iterable[Any]) -> None:
        text = io.StringIO(newline="")
        lines = csv.writer(text, lineterminator="\n")
        if self.header:
            lines.writerow(self.columns)
            self.header = False
        lines.writerows(rows)
        self.stream.write(text.getvalue().encode())  # one write for all rows of a piece

    def close(self) -> None:
        """Flush; the stream stays open. Without rows the header stands alone."""
        self._append(())
        self.stream.flush()


def _cells(value: Any, size: int) -> Any:
    """A column as cells; numbers are told apart by whole columns, not cell by cell."""
    if not isinstance(value, np.ndarray):
        return repeat(_cell(value), size)
    if value.dtype == np.bool_:
        return np.where(value, "true", "false").tolist()
    if value.dtype != np.float64:
        return [_cell(one) for one in value.tolist()]
    odd = (value == np.floor(value)) | ~np.isfinite(value)
    if not odd.any():
        return value.tolist()
    if odd.all() and np.all(np.abs(value) < _WHOLE):
        return value.astype(np.int64).tolist()
    cells = value.tolist()
    for place in np.flatnonzero(odd).tolist():
        cells[place] = _cell(cells[place])
    return cells


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
        # figures hardly repeat: a dictionary of them is no gain, like bytes side by side is
        self.file = parquet.ParquetWriter(
            stream,
            self.schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=[name for name in columns if kind_of(name) == "text"],
            use_byte_stream_split=[name for name in columns if kind_of(name) == "number"],
        )
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
        if value is None:
            return arrow.nulls(size, kind)
        if arrow.types.is_dictionary(kind):
            return self._words(value, size)
        if not isinstance(value, np.ndarray):
            value = np.full(size, plain(value))
        if arrow.types.is_boolean(kind):
            bits = np.packbits(value.astype(np.bool_), bitorder="little")
            return arrow.Array.from_buffers(kind, size, [None, arrow.py_buffer(bits)])
        values = np.ascontiguousarray(value, dtype=np.float64)
        return self._buffered(values, kind, np.isfinite(values))

    def _words(self, value: Any, size: int) -> Any:
        """Text as places in a list of words; None is null."""
        arrow, words = self.arrow, dict[str, int]()
        places = np.zeros(size, dtype=np.int32)
        if isinstance(value, np.ndarray):
            cells = value.tolist()
            places[:] = [-1 if one is None else words.setdefault(one, len(words)) for one in cells]
        else:
            words[str(plain(value))] = 0
        letters = [word.encode() for word in words]
        ends = np.cumsum([0, *map(len, letters)], dtype=np.int32)
        buffers = (arrow.py_buffer(ends), arrow.py_buffer(b"".join(letters)))
        listed = arrow.StringArray.from_buffers(len(letters), *buffers)
        known = places >= 0
        indices = self._buffered(np.maximum(places, 0), arrow.int32(), known)
        return arrow.DictionaryArray.from_arrays(indices, listed)

    def _buffered(self, values: Any, kind: Any, known: Any) -> Any:
        """Numbers as they lie in memory (`pyarrow.array` would import pandas)."""
        arrow, valid = self.arrow, None
        if not known.all():
            valid = arrow.py_buffer(np.packbits(known, bitorder="little"))
        return arrow.Array.from_buffers(kind, len(values), [valid, arrow.py_buffer(values)])

    def _flush(self) -> None:
        if self.waiting:
            table = self.arrow.Table.from_batches(self.waiting, self.schema).unify_dictionaries()
            self.file.write_table(table)
            self.waiting, self.count = [], 0

    def copy(self, path: Path) -> None:
        """Append the row groups of a file that another sweep of the same columns wrote."""
        import pyarrow.parquet as parquet

        with parquet.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                self.file.write_table(file.read_row_group(group).cast(self.schema))

    def close(self) -> None:
        """Write the last group and the footer."""
        self._flush()
        self.file.close()
