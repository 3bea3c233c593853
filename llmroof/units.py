"""Quantities with units, at the edge: text in, SI numbers inside, text out.

This is the only module that knows a prefix. Inside the engine every number is
a plain float in bytes, seconds, FLOP, FLOP/s, bytes/s, watts or USD.
GB is 10^9 bytes and GiB is 2^30 bytes, always.
"""

from __future__ import annotations

import math
import re
from typing import Final

DECIMAL: Final = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
BINARY: Final = {
    "Ki": 1024.0,
    "Mi": 1048576.0,
    "Gi": 1073741824.0,
    "Ti": 1099511627776.0,
}
SMALL: Final = {"": 1.0, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "n": 1e-9}

#: seconds per hour and tokens per million: the scales in which prices are quoted
HOUR: Final = 3600.0
MILLION: Final = 1e6

#: dimension -> {base unit: (factor to SI, prefixes that may stand before it)}
DIMENSIONS: Final[dict[str, dict[str, tuple[float, dict[str, float]]]]] = {
    "B": {"B": (1.0, DECIMAL | BINARY), "bit": (0.125, DECIMAL)},
    "B/s": {"B/s": (1.0, DECIMAL | BINARY), "bit/s": (0.125, DECIMAL)},
    "FLOP": {"FLOP": (1.0, DECIMAL)},
    "FLOP/s": {"FLOP/s": (1.0, DECIMAL), "OP/s": (1.0, DECIMAL)},
    "W": {"W": (1.0, DECIMAL)},
    "Hz": {"Hz": (1.0, DECIMAL)},
    "s": {"s": (1.0, SMALL)},
    "USD": {"USD": (1.0, DECIMAL)},
}

_QUANTITY = re.compile(
    r"\s*((?>[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?))\s*([A-Za-zµ].*?)\s*", re.ASCII
)


def parse(text: str, dimension: str) -> float:
    """Read a quantity such as `3.35 TB/s` as a float in the SI unit of `dimension`.

    Raises ValueError with a sentence when the number is not finite, the unit is
    unknown, or it measures something else than `dimension` (a key of DIMENSIONS).
    """
    match = _QUANTITY.fullmatch(text) if len(text) <= 64 else None
    if match is None:
        raise ValueError(f"'{text[:64]}' is not a number with a unit of {dimension}")
    number, unit = float(match[1]), match[2]
    factor = _factor(unit, dimension)
    if factor is None:
        raise ValueError(_wrong_unit(unit, dimension))
    value = number * factor
    if not math.isfinite(value):
        raise ValueError(f"'{text}' is not finite")
    return value


def _factor(unit: str, dimension: str) -> float | None:
    for base, (scale, prefixes) in DIMENSIONS[dimension].items():
        if unit.endswith(base) and (prefix := unit[: -len(base)]) in prefixes:
            return scale * prefixes[prefix]
    return None


def _wrong_unit(unit: str, dimension: str) -> str:
    for other in DIMENSIONS:
        if other != dimension and _factor(unit, other) is not None:
            return f"unit '{unit}' measures {other}, but {dimension} is due"
    return f"unknown unit '{unit}': {dimension} is due, e.g. '1 {_example(dimension)}'"


def _example(dimension: str) -> str:
    examples = {"B": "GB", "B/s": "TB/s", "FLOP": "GFLOP", "FLOP/s": "TFLOP/s", "s": "us"}
    return examples.get(dimension, dimension)


def show(value: float, dimension: str, digits: int = 3) -> str:
    """Write an SI value for people: `show(3.35e12, "B/s")` is `3.35 TB/s`.

    `digits` are significant digits; trailing zeros stay, so that columns align.
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {dimension}"
    small = dimension == "s"
    prefixes = SMALL if small else DECIMAL
    order = [(scale, name) for name, scale in prefixes.items() if name not in ("K", "µ")]
    chosen = min(order) if small else (1.0, "")
    for scale, name in sorted(order, reverse=True):
        if abs(value) / scale >= 1.0 - 0.5 * 10.0**-digits:
            chosen = (scale, name)
            break
    return f"{significant(value / chosen[0], digits)} {chosen[1]}{dimension}"


def significant(value: float, digits: int = 3) -> str:
    """`value` with `digits` significant digits and no exponent: 9.81, 98.1, 981, 9812."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    exponent = math.floor(math.log10(abs(value)))
    if round(abs(value), digits - 1 - exponent) >= 10.0 ** (exponent + 1):
        exponent += 1
    return f"{value:.{max(0, digits - 1 - exponent)}f}"


def gib(value: float) -> float:
    """Bytes in GiB, for the tables of people who compare with nvidia-smi."""
    return value / BINARY["Gi"]
