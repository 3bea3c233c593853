"""How a scenario writes the options of `llmroof.estimate`: names, values, lists and ranges.

Names are those of the command line with or without its dashes (`input-len`, `input_len`,
`isl`); a list or a range is an axis, as in a sweep.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from llmroof.api import KEYWORDS
from llmroof.arguments import ARRAYS, FLAGS, LOADED, NUMBERS, TEXTS, WHOLE
from llmroof.ranges import parse_numbers
from llmroof.specs.schema import MISSING, Field, Flag, Kind, Quantity, Report, Table, Text
from llmroof.specs.tree import Node, scalar

#: other spelling -> the option
ALIASES: Final[Mapping[str, str]] = {
    "hardware": "gpu",
    "batch_size": "batch",
    "isl": "input_len",
    "osl": "output_len",
    "tensor_parallel_size": "tp",
    "pipeline_parallel_size": "pp",
    "data_parallel_size": "dp",
    "expert_parallel_size": "ep",
}
#: a flag of the command line that says no to an option
NEGATED: Final[Mapping[str, str]] = {"no_kv_cache": "kv_cache"}
#: different ways to say how many at once: one of them replaces the others
TOGETHER: Final = ("batch", "concurrency", "request_rate")
#: numbers that count things, and so are whole
_COUNTS: Final = (
    *(name for name in ARRAYS if name != "request_rate"),
    *WHOLE,
    *(name for name in NUMBERS if name.startswith(("max_", "chunked_"))),
)
_DOCS: Final[Mapping[str, str]] = {
    "model": "id, YAML or config.json; ./paths start at this file",
    "gpu": "id, alias or YAML; ./paths start at this file",
    "batch": "sequences together; a number, a list or a range (1:512:x2)",
    "concurrency": "requests in flight at a server, in place of a batch",
    "request_rate": "requests per second that arrive, in place of a batch",
    "input_len": "prompt tokens per sequence",
    "output_len": "generated tokens per sequence",
    "limit": "true: the physical limit in place of what to expect",
}
_FILES: Final = (".yaml", ".yml", ".json", ".gguf", ".safetensors")


@dataclass(frozen=True, slots=True)
class Axis:
    """The values of one option; `listed` when it is written as a list or a range."""

    values: tuple[Any, ...]
    listed: bool


@dataclass(frozen=True, slots=True)
class Counts(Kind):
    """A whole number or a range of them: 8, 1:256, 1:512:x2."""

    def read(self, node: Node, key: str, report: Report) -> Any:
        """A tuple."""
        if not isinstance(node.value, str):
            report.add(node, key, "must be a whole number or a range")
            return MISSING
        try:
            return parse_numbers(node.value)
        except ValueError as error:
            report.add(node, key, str(error))
            return MISSING

    def json_schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "integer", "minimum": 1},
                          {"type": "string", "pattern": r"^\+?\d"}]}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Share(Kind):
    """A number of zero or more."""

    def read(self, node: Node, key: str, report: Report) -> Any:
        """A tuple of one float."""
        value = scalar(node.value) if isinstance(node.value, str) else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            report.add(node, key, "must be a number")
            return MISSING
        if not (math.isfinite(value) and value >= 0):
            report.add(node, key, f"must be zero or more, not {node.value[:40]}")
            return MISSING
        return (float(value),)

    def json_schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": 0}


@dataclass(frozen=True, slots=True)
class Single(Kind):
    """One value of another kind, as a tuple."""

    kind: Kind

    def read(self, node: Node, key: str, report: Report) -> Any:
        """A tuple of one."""
        value = self.kind.read(node, key, report)
        return MISSING if value is MISSING else (value,)

    def json_schema(self) -> dict[str, Any]:
        return self.kind.json_schema()


@dataclass(frozen=True, slots=True)
class Values(Kind):
    """A value or a list of them, each once."""

    item: Kind

    def read(self, node: Node, key: str, report: Report) -> Any:
        """An Axis."""
        before = len(report.problems)
        many = isinstance(node.value, list)
        parts = node.value if many else [node]
        found = [
            self.item.read(part, f"{key}[{i}]" if many else key, report)
            for i, part in enumerate(parts)
        ]
        if len(report.problems) > before:
            return MISSING
        values = tuple(value for part in found for value in part)
        if not values:
            report.add(node, key, "is empty: name a value")
        twice = [value for value in values if values.count(value) > 1] if len(values) < 200 else []
        if twice:
            report.add(node, key, f"holds {twice[0]} twice")
        return MISSING if twice or not values else Axis(values, many or len(values) > 1)

    def json_schema(self) -> dict[str, Any]:
        item = self.item.json_schema()
        return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]}


def _kind(name: str) -> Kind:
    if name in _COUNTS:
        return Values(Counts())
    if name in FLAGS:
        return Values(Single(Flag()))
    if name in TEXTS or name in LOADED:
        return Values(Single(Text()))
    return Values(Single(Quantity("B/s")) if name.endswith("_bandwidth") else Share())


#: every option of an estimate, those that name things first
OPTIONS: Final[Mapping[str, Field]] = {
    name: Field(_kind(name), _DOCS.get(name, f"as --{name.replace('_', '-')} of llmroof estimate"))
    for name in (*LOADED, *TEXTS, *ARRAYS, *NUMBERS, *FLAGS)
    if name in KEYWORDS
}
_NO: Final = {name: Field(Flag(), f"true: {option} is false") for name, option in NEGATED.items()}


@dataclass(frozen=True, slots=True)
class Question(Kind):
    """A table of options, with the `others` keys beside them."""

    others: Mapping[str, Field]

    def read(self, node: Node, key: str, report: Report) -> Any:
        """A dict: options as Axis under "options", the other keys as they are."""
        found = Table({**self.others, **OPTIONS, **_NO}).read(
            _spelled(node, key, report), key, report
        )
        if found is MISSING:
            return MISSING
        for name, option in NEGATED.items():
            if name in found:
                found[option] = Axis((not found.pop(name),), False)
        options = {name: found.pop(name) for name in OPTIONS if name in found}
        return found | {"options": options}

    def json_schema(self) -> dict[str, Any]:
        """The options as references to `definitions`."""
        table = Table({**self.others, **_NO}).json_schema()
        known = table["properties"]
        for written in (*OPTIONS, *ALIASES, *_NO):
            option = ALIASES.get(written, written)
            place = known[written] if option in _NO else {"$ref": f"#/$defs/{option}"}
            known[written] = known[written.replace("_", "-")] = place
        return table


def definitions() -> dict[str, Any]:
    """The JSON Schema of every option by name."""
    return {
        name: {"description": entry.doc, **entry.kind.json_schema()}
        for name, entry in OPTIONS.items()
    }


def _spelled(node: Node, key: str, report: Report) -> Node:
    """The table with every option under its one name."""
    if not isinstance(node.value, dict):
        return node
    lines = node.key_lines or {}
    values: dict[str, Node] = {}
    places: dict[str, int] = {}
    for written, child in node.value.items():
        plain = written.replace("-", "_")
        name = ALIASES.get(plain, plain)
        name = name if name in OPTIONS or name in NEGATED else written
        line = lines.get(written, node.line)
        if name in values:
            report.add(line, f"{key}.{written}", f"says {name} a second time")
        values[name], places[name] = child, line
    return replace(node, value=values, key_lines=places)


def located(name: str, value: Any, folder: Path) -> Any:
    """A name as `estimate` takes it: a path that is relative starts at `folder`."""
    if name not in LOADED or not isinstance(value, str):
        return value
    if value.startswith(("./", "../")) or (
        value.lower().endswith(_FILES) and not Path(value).is_absolute()
    ):
        return str(folder / value)
    return value
