"""Tolerances: how far a figure may move from its baseline before that is a drift."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from llmroof import units
from llmroof.figures import COLUMNS
from llmroof.search.where import kind_of
from llmroof.specs.schema import MISSING, Kind, Report
from llmroof.specs.tree import Node, scalar

#: significant digits of a baseline: what is below them differs between processors
DIGITS: Final = 6
#: the tolerance of every figure that has none of its own
DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A figure holds still within `relative` of its baseline, or within `absolute` (SI)."""

    relative: float = 0.0
    absolute: float = 0.0

    def allows(self, before: float, after: float) -> bool:
        """True when the move is allowed; one unit in the last digit kept always is."""
        moved = abs(after - before)
        last = 10.0 ** (exponent(before) - DIGITS + 1)
        slack = last * 1.001  # both are decimal fractions: their difference is not exact
        return moved <= max(self.relative * abs(before), self.absolute) * (1 + 1e-9) + slack


def exponent(value: float) -> int:
    """The power of ten of the first digit; of zero that of the smallest figure there is."""
    return math.floor(math.log10(abs(value))) if value else -308 + DIGITS


def rounded(value: float) -> float:
    """`value` with DIGITS significant digits: what a baseline holds."""
    return float(f"{value:.{DIGITS}g}")


def numeric(metric: str) -> bool:
    """True for figures that a tolerance can hold for."""
    return kind_of(metric) == "number"


@dataclass(frozen=True, slots=True)
class Tolerances(Kind):
    """A table of figures and how far each may move: `2%`, `0.5 ms`, or `[2%, 0.5 ms]`."""

    def read(self, node: Node, key: str, report: Report) -> Any:
        """A dict of name -> Tolerance."""
        if not isinstance(node.value, dict):
            report.add(node, key, "must be a table like {ttft_s: 2%}")
            return MISSING
        found = {}
        for name, child in node.value.items():
            place = f"{key}.{name}"
            if name != DEFAULT and not check_metric(name, child, place, report):
                continue
            if name != DEFAULT and not numeric(name):
                report.add(child, place, "is no number: it holds or it does not")
                continue
            found[name] = _read(name, child, place, report)
        return found

    def json_schema(self) -> dict[str, Any]:
        one = {"type": ["string", "number"]}
        item = {"anyOf": [one, {"type": "array", "items": one}]}
        names = {"anyOf": [{"const": DEFAULT}, {"$ref": "#/$defs/figure"}]}
        return {"type": "object", "propertyNames": names, "additionalProperties": item}


def check_metric(name: str, node: Node, key: str, report: Report) -> bool:
    """Report a figure that does not exist."""
    if name in COLUMNS:
        return True
    from llmroof.errors import nearest

    guess = nearest(name, COLUMNS)
    hint = f"; did you mean '{guess}'?" if guess else ""
    report.add(node, key, f"there is no figure '{name[:40]}'{hint}")
    return False


def _read(name: str, node: Node, key: str, report: Report) -> Tolerance:
    parts = node.value if isinstance(node.value, list) else [node]
    bounds: dict[str, float] = {}
    for part in parts:
        try:
            bounds |= _bound(part.value, name)
        except ValueError as error:
            report.add(part, key, str(error))
    return Tolerance(**bounds)


def _bound(text: Any, name: str) -> dict[str, float]:
    """One bound; ValueError with a sentence when it is none."""
    if not isinstance(text, str):
        raise ValueError("must be like 2% or 0.5 ms")
    if text.strip().endswith("%"):
        return {"relative": _amount(text.strip()[:-1].strip(), text) / 100}
    if name == DEFAULT:
        raise ValueError(f"'{text[:40]}' is no share: figures of all units need one like 2%")
    dimension = _dimension(name)
    number = scalar(text)
    if isinstance(number, int | float) and not isinstance(number, bool):
        return {"absolute": _amount(text, text)}
    if dimension is None:
        raise ValueError(f"'{text[:40]}' is neither a share like 2% nor a plain number")
    value = units.parse(text, dimension)
    if value < 0:
        raise ValueError(f"must be zero or more, not '{text[:40]}'")
    return {"absolute": value}


def _amount(text: str, whole: str) -> float:
    value = scalar(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"'{whole[:40]}' is no tolerance: write 2% or 0.5 ms")
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"must be zero or more, not '{whole[:40]}'")
    return float(value)


def _dimension(name: str) -> str | None:
    """What the figure is measured in; None for plain numbers and rates."""
    if name.endswith("_per_s"):
        return None
    if name.endswith(("_s", "_s_low", "_s_high")):
        return "s"
    if name.endswith("_flop"):
        return "FLOP"
    return "B" if name.endswith("bytes") else None


def tolerance_of(metric: str, tolerances: Mapping[str, Tolerance]) -> Tolerance:
    """The tolerance of a figure: its own, that of all, or none."""
    return tolerances.get(metric) or tolerances.get(DEFAULT) or Tolerance()
