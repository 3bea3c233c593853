"""Derivations as values: a formula, the numbers put in, the result, where they come from.

A formula is plain arithmetic over names (`2 * layers * kv_heads`), so that a program, a
test or a reader with paper can do it again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from llmroof import units
from llmroof.render.page import Grid, Item, Line, heading
from llmroof.render.record import Tree, plain

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
#: functions that a formula may use
FUNCTIONS: Final = ("max", "min", "ceil", "floor")
_DIGITS: Final = 4
#: a derivation that is no longer than this stands on one line
_ONE_LINE: Final = 80
#: whole numbers below this are written out, with a comma per thousand
_WRITTEN_OUT: Final = 10**13


class Quantity(NamedTuple):
    """A number, its unit ("" for counts and ratios) and its source."""

    value: float
    unit: str = ""
    source: str | None = None


class Step(NamedTuple):
    """`name` = `formula` over `inputs` = `result`; `note` says why."""

    name: str
    formula: str
    inputs: Mapping[str, Quantity]
    result: Quantity
    note: str = ""


class Section(NamedTuple):
    """A part of the explanation: derivations, tables and sentences in reading order."""

    name: str
    title: str
    items: tuple[Step | Grid | Line, ...]


def number(value: Any, unit: str = "", source: str | None = None) -> Quantity:
    """A quantity from any number of the engine."""
    return Quantity(float(value), unit, source)


def text(quantity: Quantity) -> str:
    """The quantity as printed: counts written out, the rest with four digits and a prefix."""
    value, unit = quantity.value, quantity.unit
    if not unit:
        if value.is_integer() and abs(value) < _WRITTEN_OUT:
            return f"{value:,.0f}"
        small = value != 0 and abs(value) < 10.0**-_DIGITS
        return f"{value:.4g}" if small else _trim(units.significant(value, _DIGITS))
    if unit == "USD":
        return f"{_trim(units.significant(value, _DIGITS))} USD"
    amount, _, name = units.show(value, unit, _DIGITS).partition(" ")
    return f"{_trim(amount)} {name}"


def _trim(digits: str) -> str:
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def arithmetic(step: Step) -> str:
    """The formula with the numbers in place of the names."""
    return _shown(_NAME.sub(lambda match: _value(match[0], step), step.formula))


def formula(step: Step) -> str:
    """The formula for people."""
    return _shown(step.formula.replace("_", " ") if "_" in step.formula else step.formula)


def _value(name: str, step: Step) -> str:
    return name if name in FUNCTIONS else text(step.inputs[name])


def _shown(expression: str) -> str:
    return expression.replace(" ** ", "^").replace("*", "×")


def lines(step: Step, known: bool = False) -> list[Item]:
    """`name = formula = numbers = result`, on two lines where one is too short.

    A formula that the reader knows already is not repeated.
    """
    said = f" ({step.note})" if step.note else ""
    numbers = f"{arithmetic(step)} = {text(step.result)}"
    head = f"  {step.name} ="
    if known or numbers.startswith(f"{formula(step)} = "):
        return [Line(f"{head} {numbers}{said}", hang=4)]
    head += f" {formula(step)}"
    whole = f"{head} = {numbers}{said}"
    if len(whole) <= _ONE_LINE:
        return [Line(whole)]
    return [Line(f"{head}{said}", hang=4), Line(f"    = {numbers}", hang=4)]


def section_items(section: Section) -> list[Item]:
    """A section laid out, its sources last."""
    items: list[Item] = [heading(section.title)]
    seen: set[str] = set()
    for item in section.items:
        if not isinstance(item, Step):
            items.append(item)
            continue
        known = item.formula in seen or _sums_up(item, seen)
        items += lines(item._replace(note="") if known else item, known=known)
        seen |= {item.formula, identifier(item.name)}
    sources = _sources(section.items)
    if sources:
        items.append(Line(f"  from: {'; '.join(sources)}", "quiet", hang=4))
    return items


def _sums_up(step: Step, seen: set[str]) -> bool:
    """True for the plain sum of figures that stand right above."""
    return step.formula.count("+") == len(step.inputs) - 1 > 1 and seen >= set(step.inputs)


def identifier(name: str) -> str:
    """`name` as a word of a formula."""
    clean = "".join(char if char.isalnum() else "_" for char in name)
    return f"_{clean}" if clean[:1].isdigit() else clean


def unique(names: Sequence[str]) -> list[str]:
    """Names with a number behind each that stands more than once."""
    return [
        f"{name}_{names[: place + 1].count(name)}" if names.count(name) > 1 else name
        for place, name in enumerate(names)
    ]


def _sources(items: Sequence[Step | Grid | Line]) -> list[str]:
    """`bandwidth: datasheet`, one text per source with all that came from it."""
    by_source: dict[str, list[str]] = {}
    for step in items:
        if isinstance(step, Step):
            for name, quantity in step.inputs.items():
                if quantity.source and name not in by_source.setdefault(quantity.source, []):
                    by_source[quantity.source].append(name)
    return [f"{', '.join(_words(names))}: {source}" for source, names in by_source.items()]


def _words(names: Sequence[str]) -> list[str]:
    return [name.replace("_", " ") for name in names]


def section_document(section: Section) -> Tree:
    """A section as plain data; only the derivations, numbers in SI."""
    steps = [item for item in section.items if isinstance(item, Step)]
    words = [item.text.strip() for item in section.items if isinstance(item, Line)]
    return {
        "name": section.name,
        "title": section.title,
        "steps": [_step_document(step) for step in steps],
        "remarks": [word for word in words if word],
    }


def _step_document(step: Step) -> Tree:
    return {
        "name": step.name,
        "formula": step.formula,
        "inputs": {name: _quantity(quantity) for name, quantity in step.inputs.items()},
        "result": plain(step.result.value),
        "unit": step.result.unit or None,
        "note": step.note or None,
    }


def _quantity(quantity: Quantity) -> Tree:
    return {
        "value": plain(quantity.value),
        "unit": quantity.unit or None,
        "source": quantity.source,
    }


def same(one: float, other: float) -> bool:
    """Equal but for rounding: decides whether a closed form may stand for a sum."""
    return math.isclose(one, other, rel_tol=1e-12)
