"""A small declarative schema: one description reads, checks and documents a spec file.

A `Kind` turns a node of the file into a value and reports every problem it meets;
the same description is exported as JSON Schema, so that editors complete and check.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from llmroof import units
from llmroof.errors import Problem, SpecError, nearest
from llmroof.specs.tree import Node, scalar

MISSING: Final = object()


@dataclass(slots=True)
class Report:
    """The problems found so far in one file."""

    file: str
    problems: list[Problem] = field(default_factory=list)

    def add(self, node: Node | int, key: str, message: str) -> None:
        """Note a fault of `key` at a node's line, or at a line by its number."""
        line = node if isinstance(node, int) else node.line
        self.problems.append(Problem(self.file, line, key, message))

    def finish(self) -> None:
        """Raise SpecError with everything found, in file order."""
        if self.problems:
            raise SpecError(sorted(self.problems, key=lambda problem: problem.line))


class Kind(ABC):
    """What a value of a spec file may be. `read` returns MISSING after reporting a fault."""

    @abstractmethod
    def read(self, node: Node, key: str, report: Report) -> Any:
        """The value that `node` stands for; `key` is its path in the file, for messages."""

    @abstractmethod
    def json_schema(self) -> dict[str, Any]:
        """The same rules as JSON Schema."""


@dataclass(frozen=True, slots=True)
class Quantity(Kind):
    """A number with a unit of one dimension: `3.35 TB/s`; above zero unless `low` is 0."""

    dimension: str
    low: float | None = None

    def read(self, node: Node, key: str, report: Report) -> Any:
        if not isinstance(node.value, str):
            report.add(node, key, f"must be a quantity in {self.dimension}")
            return MISSING
        try:
            value = units.parse(node.value, self.dimension)
        except ValueError as error:
            report.add(node, key, str(error))
            return MISSING
        if value < 0 or (value == 0 and self.low is None):
            report.add(node, key, f"must be above zero, not '{node.value[:40]}'")
            return MISSING
        return value

    def json_schema(self) -> dict[str, Any]:
        bases = "|".join(units.DIMENSIONS[self.dimension])
        pattern = rf"^\d+(\.\d+)?(e[+-]?\d+)? ?[A-Za-zµ]{{0,2}}({bases})$"
        return {"type": "string", "pattern": pattern}


@dataclass(frozen=True, slots=True)
class Number(Kind):
    """A bare number within bounds; `whole` asks for an integer."""

    low: float = 0.0
    high: float = math.inf
    whole: bool = False

    def read(self, node: Node, key: str, report: Report) -> Any:
        value = scalar(node.value) if isinstance(node.value, str) and not node.quoted else None
        wanted = "a whole number" if self.whole else "a number"
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            report.add(node, key, f"must be {wanted}")
            return MISSING
        if not (math.isfinite(value) and self.low <= value <= self.high):
            upper = f" to {self.high:g}" if math.isfinite(self.high) else " or more"
            report.add(node, key, f"must be {self.low:g}{upper}, not {value:g}")
            return MISSING
        return value

    def json_schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "integer" if self.whole else "number"}
        schema["minimum"] = self.low
        if math.isfinite(self.high):
            schema["maximum"] = self.high
        return schema


@dataclass(frozen=True, slots=True)
class Text(Kind):
    """A line or paragraph of text; with `choices`, one of them."""

    choices: tuple[str, ...] = ()

    def read(self, node: Node, key: str, report: Report) -> Any:
        if not isinstance(node.value, str) or not node.value.strip():
            report.add(node, key, "must be text")
            return MISSING
        if self.choices and node.value not in self.choices:
            guess = nearest(node.value, self.choices)
            hint = f"; did you mean '{guess}'?" if guess else f"; one of {', '.join(self.choices)}"
            report.add(node, key, f"unknown value '{node.value[:40]}'{hint}")
            return MISSING
        return node.value

    def json_schema(self) -> dict[str, Any]:
        return {"enum": list(self.choices)} if self.choices else {"type": ["string", "number"]}


@dataclass(frozen=True, slots=True)
class Flag(Kind):
    """true or false."""

    def read(self, node: Node, key: str, report: Report) -> Any:
        value = scalar(node.value) if isinstance(node.value, str) and not node.quoted else None
        if not isinstance(value, bool):
            report.add(node, key, "must be true or false")
            return MISSING
        return value

    def json_schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class ListOf(Kind):
    """A list whose items are all of one kind."""

    item: Kind

    def read(self, node: Node, key: str, report: Report) -> Any:
        if not isinstance(node.value, list):
            report.add(node, key, "must be a list")
            return MISSING
        items = [self.item.read(n, f"{key}[{i}]", report) for i, n in enumerate(node.value)]
        return MISSING if any(item is MISSING for item in items) else tuple(items)

    def json_schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.item.json_schema()}


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a table: its kind, whether it must stand, and what it means."""

    kind: Kind
    doc: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Table(Kind):
    """A mapping with known keys; `make` turns the dict of values into the final value."""

    fields: Mapping[str, Field]
    make: Callable[[dict[str, Any]], Any] | None = None

    def read(self, node: Node, key: str, report: Report) -> Any:
        if not isinstance(node.value, dict):
            report.add(node, key, f"must be a table with {', '.join(self.fields)}")
            return MISSING
        before = len(report.problems)
        values = {}
        for name, child in node.value.items():
            path = f"{key}.{name}" if key else name
            if name not in self.fields:
                report.add(_key_line(node, name), path, _unknown_key(name, self.fields))
            else:
                values[name] = self.fields[name].kind.read(child, path, report)
        for name, entry in self.fields.items():
            if entry.required and name not in node.value:
                report.add(node, f"{key}.{name}" if key else name, f"is missing: {entry.doc}")
        if len(report.problems) > before:
            return MISSING
        return self.make(values) if self.make else values

    def json_schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "additionalProperties": False,
            "required": [name for name, entry in self.fields.items() if entry.required],
            "properties": {
                name: {"description": entry.doc, **entry.kind.json_schema()}
                for name, entry in self.fields.items()
            },
        }


@dataclass(frozen=True, slots=True)
class MapOf(Kind):
    """A mapping from free names (or some of `names`) to values of one kind."""

    item: Kind
    names: tuple[str, ...] = ()

    def read(self, node: Node, key: str, report: Report) -> Any:
        if not isinstance(node.value, dict):
            report.add(node, key, "must be a table")
            return MISSING
        values = {}
        for name, child in node.value.items():
            if self.names and name not in self.names:
                report.add(_key_line(node, name), f"{key}.{name}", _unknown_key(name, self.names))
                continue
            values[name] = self.item.read(child, f"{key}.{name}", report)
        return MISSING if any(value is MISSING for value in values.values()) else values

    def json_schema(self) -> dict[str, Any]:
        item = self.item.json_schema()
        if not self.names:
            return {"type": "object", "additionalProperties": item}
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": dict.fromkeys(self.names, item),
        }


def read_spec(node: Node, kind: Kind, path: Path | str) -> Any:
    """Read a whole file as `kind`; SpecError with every problem when it does not hold."""
    report = Report(str(path))
    value = kind.read(node, "", report)
    report.finish()
    return value


def _key_line(node: Node, name: str) -> int:
    return (node.key_lines or {}).get(name, node.line)


def _unknown_key(name: str, known: Mapping[str, Any] | Sequence[str]) -> str:
    guess = nearest(name, known)
    return "unknown key" + (f"; did you mean '{guess}'?" if guess else "")
