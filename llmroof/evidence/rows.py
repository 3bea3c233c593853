"""Measured rows: the CSV they stand in, and the question that each of them asks."""

from __future__ import annotations

import difflib
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from llmroof.errors import InputError
from llmroof.ranges import MAX_VALUE, MIN_VALUE
from llmroof.specs.catalog import is_path

if TYPE_CHECKING:
    import pandas as pd

#: measured figures that a row may hold, as named in the CSV
METRICS: Final = (
    "ttft_s",
    "tpot_s",
    "e2e_latency_s",
    "prefill_tokens_per_s",
    "decode_tokens_per_s",
    "output_tokens_per_s",
)
#: families of kernels whose seconds in one pass a row may hold: `prefill_gemm_s` ...
FAMILIES: Final = ("gemm", "attention", "moe", "elementwise")
FAMILY_COLUMNS: Final = tuple(
    f"{phase}_{family}_s" for phase in ("prefill", "decode") for family in FAMILIES
)
#: everything that is held against a prediction
JUDGED: Final = (*METRICS, *FAMILY_COLUMNS)
#: columns that decide which deployment a row ran on
DEPLOYMENT: Final = (
    "model",
    "hardware",
    "num_gpus",
    "tp",
    "pp",
    "dp",
    "ep",
    "precision",
    "kv_cache_dtype",
    "engine",
    "lengths",
    "load",
)
#: columns that must stand in the file
REQUIRED: Final = ("model", "hardware", "input_len", "output_len")
#: every column that is read
_KNOWN: Final = (*DEPLOYMENT, *JUDGED, "id", "input_len", "output_len", "concurrency", "batch")
#: other words for a column, and how alike a name must be to be taken for a slip
_WORDS: Final = {"gpu": "hardware", "device": "hardware", "batch_size": "batch"}
_ALIKE: Final = 0.8
_WHOLE: Final = ("num_gpus", "tp", "pp", "dp", "ep")


@dataclass(frozen=True, slots=True)
class Lengths:
    """How a benchmark draws its lengths: mean over nominal, and whether they vary."""

    mean: float
    random: bool


def read_rows(path: Path, given: Mapping[str, str] | None = None) -> pd.DataFrame:
    """The rows of a CSV, or of a benchmark tool's results (`evidence/readers`).

    Unknown columns are carried along; `given` fills the columns that a row leaves empty.
    Models and hardware named by a path are also looked for beside the file. Raises
    InputError, naming the file and the column, when a needed column is missing or a number
    is none.
    """
    rows = _read(path)
    for name, value in (given or {}).items():
        if name not in rows.columns:
            rows[name] = value
        rows[name] = rows[name].where(rows[name].str.strip() != "", value)
    for name in REQUIRED:
        if name not in rows.columns:
            hint = "".join(f"; {one}" for one in misnamed(rows.columns) if f"'{name}'" in one)
            raise InputError(f"{path}: column '{name}' is missing{hint}")
    for name in ("model", "hardware"):
        rows[name] = [_beside(path, value) for value in rows[name]]
    if "concurrency" not in rows.columns and "batch" not in rows.columns:
        raise InputError(f"{path}: needs a column 'concurrency' or 'batch'")
    if not set(JUDGED) & set(rows.columns):
        hint = "".join(f"; {one}" for one in misnamed(rows.columns))
        raise InputError(
            f"{path}: no column of what was measured ({', '.join(METRICS[:2])} ...){hint}"
        )
    if "id" not in rows.columns:
        rows.insert(0, "id", [str(index) for index in range(1, len(rows) + 1)])
    for name in ("concurrency", "batch", "input_len", "output_len", *JUDGED):
        if name in rows.columns:
            rows[name] = _numbers(rows[name], path, name)
    return rows


def misnamed(columns: Iterable[str]) -> list[str]:
    """One hint per column that is not read, close to one that is read and not there."""
    names = list(columns)
    absent = [name for name in _KNOWN if name not in names]
    found = []
    for name in names:
        if name in _KNOWN:
            continue
        plain = name.strip().lower()
        close = difflib.get_close_matches(plain[:40], absent, n=1, cutoff=_ALIKE)
        word = _WORDS.get(plain)
        guess = word if word in absent else next(iter(close), None)
        if guess:
            unit = " (seconds)" if guess.endswith("_s") and "per" not in guess else ""
            found.append(f"column '{name[:40]}' is not read: is it '{guess}'{unit}?")
    return found


def replaced(rows: pd.DataFrame, name: str, value: str) -> list[str]:
    """Put `value` into all of a column, in place; the other names that stood there, sorted."""
    old = sorted({text for text in rows[name] if text != value})
    rows[name] = value
    return old


def _read(path: Path) -> pd.DataFrame:
    """The table as text: a CSV, or what a benchmark tool wrote."""
    import pandas as pd

    from llmroof.evidence.readers.results import results

    try:
        content = path.read_text("utf-8")
        found = results(path, content)
        if found is None:
            return pd.read_csv(io.StringIO(content), dtype=str, keep_default_na=False)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as CSV: {error}") from None
    if not found:
        raise InputError(f"{path}: holds no result that a prediction could be held against")
    columns = dict.fromkeys(key for row in found for key in row)
    cells = [["" if row.get(key) is None else str(row[key]) for key in columns] for row in found]
    rows = pd.DataFrame(cells, columns=list(columns), dtype=str)
    return rows.loc[:, [name for name in columns if rows[name].str.strip().any()]]


def _beside(path: Path, value: str) -> str:
    """A file named from the folder of the rows, as a path from here; other names as they are."""
    if not is_path(value) or Path(value).exists():
        return value
    beside = path.parent / value
    return str(beside) if beside.exists() else value


def _numbers(column: pd.Series[str], path: Path, name: str) -> pd.Series[float]:
    import pandas as pd

    stated = column.str.strip() != ""
    numbers = pd.to_numeric(column.where(stated, None), errors="coerce")
    numbers = numbers.where(numbers.abs() < math.inf)
    wrong = numbers.isna() & stated
    if wrong.any():
        line = wrong.tolist().index(True) + 2  # the header is line 1
        value = column[wrong].iloc[0][:40]
        raise InputError(f"{path}:{line}: {name}: '{value}' is not a number")
    none = numbers <= 0
    if name in JUDGED and none.any():  # an error relative to nothing has no size
        line = none.tolist().index(True) + 2
        raise InputError(f"{path}:{line}: {name}: what was measured is above zero")
    odd = stated & ~numbers.between(MIN_VALUE, MAX_VALUE)
    if name in JUDGED and odd.any():
        line, value = odd.tolist().index(True) + 2, column[odd].iloc[0][:40]
        raise InputError(f"{path}:{line}: {name}: '{value}' is beyond what is measured")
    return numbers.astype(float)


def options(row: Mapping[str, str]) -> dict[str, Any]:
    """The keywords of `estimate` that a row's deployment columns stand for."""
    asked: dict[str, Any] = {"model": row["model"], "gpu": row["hardware"]}
    for name in _WHOLE:
        if text := row.get(name, "").strip():
            try:
                asked[name] = round(float(text))
            except (ValueError, OverflowError):
                raise InputError(f"{name}: '{text[:40]}' is not a number") from None
    for name in ("precision", "kv_cache_dtype", "engine"):
        if text := row.get(name, "").strip():
            asked[name] = text
    return asked


def lengths(text: str) -> Lengths:
    """`fixed` (or nothing), or `uniform 0.8-1.0` of the nominal lengths."""
    kind, _, spread = text.strip().partition(" ")
    if kind in ("", "fixed"):
        return Lengths(1.0, False)
    low, _, high = spread.partition("-")
    try:
        mean = (float(low) + float(high)) / 2
    except ValueError:
        mean = math.nan
    if kind != "uniform" or not 0 < mean < math.inf:
        raise InputError(f"lengths: '{text[:40]}' is neither 'fixed' nor like 'uniform 0.8-1.0'")
    return Lengths(mean, True)
