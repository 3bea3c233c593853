"""Baselines: the pinned figures as a CSV with one line per figure, so that reviews show each.

The first line names the format and who wrote it; then `scenario,metric,value`. Numbers have
a fixed count of significant digits, so that every platform and Python writes the same bytes.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from llmroof import __version__
from llmroof.errors import InputError
from llmroof.regression.tolerance import DIGITS, rounded
from llmroof.search.where import kind_of
from llmroof.specs.tree import MAX_BYTES

#: a pinned figure: a number, a word, a truth value, or nothing known
Value: TypeAlias = float | str | bool | None
#: point -> figure -> value; a point without an answer has the one figure ERROR
Baseline: TypeAlias = Mapping[str, Mapping[str, Value]]

#: the figure of a point that has no answer: why
ERROR: Final = "error"
FORMAT: Final = 1
_FIELDS: Final = ("scenario", "metric", "value")
_HEAD: Final = re.compile(r"# llmroof\.baseline/(\d{1,6})(?: .*)?")
_LONGEST: Final = 500
_WORDS: Final = {"true": True, "false": False}


def value_of(figure: Any) -> Value:
    """A figure as it is pinned: numbers rounded, unknown and infinite ones None."""
    if figure is None or isinstance(figure, str | bool):
        return figure
    if getattr(getattr(figure, "dtype", None), "kind", "") == "b":
        return bool(figure)
    number = float(figure)
    return rounded(number) if math.isfinite(number) else None


def to_text(value: Value) -> str:
    """The cell of a value; unknown is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else f"{value:.{DIGITS}g}"


def write_baseline(points: Baseline) -> str:
    """The text of a baseline."""
    stream = io.StringIO()
    stream.write(f"# llmroof.baseline/{FORMAT} written by llmroof {__version__}\n")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_FIELDS)
    for point, figures in points.items():
        writer.writerows((point, name, to_text(value)) for name, value in figures.items())
    return stream.getvalue()


def read_baseline(path: Path) -> dict[str, dict[str, Value]]:
    """The figures of a baseline's file. Raises InputError naming file and line."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise InputError(f"{path}: longer than {MAX_BYTES} bytes: no baseline")
        return parse_baseline(raw.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text: no baseline") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read: {reason}") from None


def refuse_overwriting(path: Path) -> None:
    """Raise InputError unless `path` is missing, empty, or a baseline of any format."""
    try:
        with path.open("rb") as stream:
            top = stream.read(_LONGEST)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read: {reason}") from None
    lines = top.decode("utf-8-sig", errors="replace").splitlines()
    if top and _HEAD.fullmatch(lines[0] if lines else "") is None:
        raise InputError(
            f"{path}:1: is no baseline, so --update leaves it alone: name another file as "
            f"`baseline`, or delete this one"
        )


def parse_baseline(text: str, name: str) -> dict[str, dict[str, Value]]:
    """As `read_baseline`, from text; `name` stands for the file in messages."""
    lines = text.splitlines()
    _check_head(lines[0] if lines else "", name)
    found: dict[str, dict[str, Value]] = {}
    try:
        rows = list(csv.reader(lines[1:], strict=True))
    except csv.Error as error:
        raise InputError(f"{name}: is no CSV: {error}") from None
    if not rows or tuple(rows[0]) != _FIELDS:
        raise InputError(f"{name}:2: the columns must be {','.join(_FIELDS)}")
    for line, row in enumerate(rows[1:], 3):
        if not row:
            continue
        if len(row) != len(_FIELDS):
            raise InputError(f"{name}:{line}: holds {len(row)} cells, not {len(_FIELDS)}")
        point, metric, cell = row
        figures = found.setdefault(point, {})
        if metric in figures:
            raise InputError(f"{name}:{line}: {point[:80]}: {metric[:40]} stands here twice")
        figures[metric] = _parse(metric, cell, f"{name}:{line}")
    return found


def _check_head(line: str, name: str) -> None:
    match = _HEAD.fullmatch(line)
    if match is None:
        raise InputError(
            f"{name}:1: is no baseline: its first line must be '# llmroof.baseline/{FORMAT}'"
        )
    if int(match[1]) != FORMAT:
        age = "a newer" if int(match[1]) > FORMAT else "an older"
        raise InputError(
            f"{name}:1: baseline format {int(match[1])} is of {age} llmroof; this one reads "
            f"format {FORMAT}: llmroof check --update writes it anew"
        )


def _parse(metric: str, cell: str, place: str) -> Value:
    """A cell as a value of its figure."""
    if metric == ERROR or kind_of(metric) == "text":
        return cell[:_LONGEST] or None
    if not cell:
        return None
    if kind_of(metric) == "truth":
        if cell not in _WORDS:
            raise InputError(f"{place}: {metric}: '{cell[:40]}' is neither true nor false")
        return _WORDS[cell]
    try:
        number = float(cell) if cell.isascii() and "_" not in cell else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{place}: {metric[:40]}: '{cell[:40]}' is not a number")
    return number
