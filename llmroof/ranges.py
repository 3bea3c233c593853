"""Number ranges as people write them: `1,8,64`, `1:256`, `64:4096:+64`, `1:512:x2`.

Parts are joined by commas; each is a whole number, or first:last with a step added
(`+64`, default +1) or multiplied (`x2`). Both ends belong to the range; the last one
only where a step hits it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

#: more points than this in one range is a slip of the pen
MAX_POINTS: Final = 100_000
#: no count of tokens, sequences or devices is larger
MAX_VALUE: Final = 1_000_000_000
#: no rate is lower (one request in thirty years), no share smaller
MIN_VALUE: Final = 1e-9

_FORMS: Final = "write 8, 1,8,64, 1:256, 64:4096:+64 or 1:512:x2"


def parse_numbers(text: str, smallest: int = 1) -> tuple[int, ...]:
    """The numbers that `text` stands for, in the order written.

    Raises ValueError with a sentence when it is malformed, leaves
    `smallest` .. MAX_VALUE, or holds more than MAX_POINTS numbers.
    """
    found: list[int] = []
    for part in text.split(","):
        for value in _part(part.strip(), text, smallest):
            found.append(value)
            if len(found) > MAX_POINTS:
                raise ValueError(f"'{_short(text)}' holds more than {MAX_POINTS} numbers")
    return tuple(found)


def parse_decimals(text: str, zero: bool = False) -> tuple[float, ...]:
    """Numbers above zero, or with `zero` also that, joined by commas.

    Raises ValueError with a sentence.
    """
    found, due = [], "of 0 or more" if zero else "above 0"
    for part in text.split(","):
        try:
            value = float(part) if part.isascii() and "_" not in part else math.nan
        except ValueError:
            value = math.nan
        if not (MIN_VALUE <= value <= MAX_VALUE or (zero and value == 0)):
            raise ValueError(f"'{_short(text)}' is not a number {due}: write 0.5 or 1,2,4")
        found.append(value)
    if len(found) > MAX_POINTS:
        raise ValueError(f"'{_short(text)}' holds more than {MAX_POINTS} numbers")
    return tuple(found)


def _part(part: str, text: str, smallest: int) -> Iterator[int]:
    pieces = part.split(":")
    if len(pieces) > 3:
        raise ValueError(f"'{_short(text)}' is not a number or a range: {_FORMS}")
    first = _number(pieces[0], text, smallest)
    if len(pieces) == 1:
        yield first
        return
    last = _number(pieces[1], text, smallest)
    if last < first:
        raise ValueError(f"'{_short(part)}' runs backwards: {first} is above {last}")
    add, times = _step(pieces[2] if len(pieces) == 3 else "+1", text)
    value = first
    while value <= last:
        yield value
        value = value * times + add


def _step(step: str, text: str) -> tuple[int, int]:
    """(added, multiplied) per step."""
    kind, size = step[:1], step[1:]
    if kind not in ("+", "x") or not _digits(size):
        raise ValueError(f"step '{_short(step)}' in '{_short(text)}': write +64 or x2")
    if kind == "+" and int(size) >= 1:
        return int(size), 1
    if kind == "x" and int(size) >= 2:
        return 0, int(size)
    raise ValueError(f"step '{_short(step)}' in '{_short(text)}' never reaches the end")


def _number(piece: str, text: str, smallest: int) -> int:
    digits = piece[1:] if piece[:1] in ("+", "-") else piece
    if not _digits(digits):
        raise ValueError(f"'{_short(text)}' is not a whole number or a range: {_FORMS}")
    value = int(piece)
    if not smallest <= value <= MAX_VALUE:
        raise ValueError(f"{value} is not between {smallest} and {MAX_VALUE}")
    return value


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
