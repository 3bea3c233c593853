"""Scenario files: questions with grids, what of their answers is pinned, and what must hold."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

from llmroof.errors import InputError
from llmroof.figures import COLUMNS
from llmroof.regression.expectations import EXPECTATIONS, Measured
from llmroof.regression.options import OPTIONS, TOGETHER, Axis, Question, located
from llmroof.regression.tolerance import Tolerance, Tolerances, check_metric
from llmroof.search.where import Condition, parse_where
from llmroof.specs.schema import MISSING, Field, Kind, ListOf, Report, Table, Text
from llmroof.specs.tree import Node, read_yaml

#: figures that are pinned where a file does not name its own
METRICS: Final = (
    "num_gpus",
    "fits",
    "total_bytes",
    "max_batch",
    "prefill_bound",
    "decode_bound",
    "ttft_s",
    "tpot_s",
    "output_tokens_per_s_per_gpu",
    "usd_per_million_output_tokens",
    "joule_per_output_token",
)
#: more points than this are a sweep, not a set of pinned estimates
MAX_POINTS: Final = 10_000
#: what the baseline of `x.yaml` is called
LOCK: Final = ".lock.csv"
_NAME: Final = re.compile(r"[^\W_][\w .()/+:-]{0,79}")


@dataclass(frozen=True, slots=True)
class Point:
    """One question: the scenario's name, with its place on the axes, and its options."""

    id: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named question with axes; `metrics` are pinned, `conditions` must hold at every point."""

    name: str
    line: int
    axes: Mapping[str, Axis]
    metrics: tuple[str, ...]
    tolerances: Mapping[str, Tolerance]
    conditions: tuple[Condition, ...]

    @property
    def size(self) -> int:
        """How many points it has."""
        return math.prod(len(axis.values) for axis in self.axes.values())

    def points(self, folder: Path) -> Iterator[Point]:
        """Every point; paths of models and GPUs start at `folder`."""
        grid = product(*(axis.values for axis in self.axes.values()))
        for place, values in zip(self.ids(), grid, strict=True):
            options = zip(self.axes, values, strict=True)
            yield Point(place, {name: located(name, value, folder) for name, value in options})

    def ids(self) -> Iterator[str]:
        """The name of every point, in the order of `points`."""
        texts = [
            [f"{name}={_shown(value)}" if axis.listed else "" for value in axis.values]
            for name, axis in self.axes.items()
        ]
        for parts in product(*texts):
            place = " ".join(filter(None, parts))
            yield f"{self.name}[{place}]" if place else self.name


@dataclass(frozen=True, slots=True)
class ScenarioFile:
    """A whole file. `baseline` is the lock's path, or None where nothing is pinned."""

    path: Path
    scenarios: tuple[Scenario, ...]
    baseline: Path | None
    measured: Measured | None = None


def read_scenarios(path: Path) -> ScenarioFile:
    """Read a scenario file (or the one beside a lock). SpecError names every problem."""
    file = scenarios_of(path)
    node = read_yaml(file)
    report = Report(str(file))
    found = _FILE.read(node, "", report)
    scenarios = () if found is MISSING else _scenarios(found, node, report)
    report.finish()
    assert found is not MISSING
    baseline = found.get("baseline", file.name.removesuffix(file.suffix) + LOCK)
    lock = None if baseline is False else file.parent / baseline
    return ScenarioFile(file, scenarios, lock, found.get("measured"))


def scenarios_of(path: Path) -> Path:
    """The scenario file that is meant: a lock stands for the file it belongs to."""
    if not path.name.endswith(LOCK):
        return path
    stem = path.name.removesuffix(LOCK)
    found = [path.with_name(stem + end) for end in (".yaml", ".yml")]
    return next((file for file in found if os.path.exists(file)), found[0])


def _scenarios(found: dict[str, Any], node: Node, report: Report) -> tuple[Scenario, ...]:
    """Scenarios with the defaults of their file."""
    defaults = found.get("defaults", {}).get("options", {})
    named = found.get("scenarios", {})
    if not named and "measured" not in found:
        report.add(node, "scenarios", "is missing: named questions")
    places = (node.value["scenarios"].key_lines or {}) if named else {}
    made = tuple(
        Scenario(
            name,
            places.get(name, 0),
            _merged(defaults, body["options"]),
            body.get("metrics", found.get("metrics", METRICS)),
            found.get("tolerances", {}) | body.get("tolerances", {}),
            (*found.get("assert", ()), *body.get("assert", ())),
        )
        for name, body in named.items()
    )
    points = sum(scenario.size for scenario in made)
    if points > MAX_POINTS:
        report.add(node, "scenarios", f"make {points} points, more than {MAX_POINTS}")
        return made
    for scenario in made:
        twice = [name for name, count in Counter(scenario.ids()).items() if count > 1]
        if twice:
            line = scenario.line or node.line
            report.add(line, f"scenarios.{scenario.name}", f"asks {twice[0][:120]} twice")
    return made


def _merged(defaults: Mapping[str, Axis], own: Mapping[str, Axis]) -> dict[str, Axis]:
    """The options of a scenario over those of the file, in the order of OPTIONS."""
    if any(name in own for name in TOGETHER):
        defaults = {name: axis for name, axis in defaults.items() if name not in TOGETHER}
    merged = {**defaults, **own}
    return {name: merged[name] for name in OPTIONS if name in merged}


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, float):
        return str(value)
    short = f"{value:g}"  # two values that differ must not look the same
    return short if float(short) == value else repr(float(value))


@dataclass(frozen=True, slots=True)
class Metrics(Kind):
    """Names of figures, as in the CSV of `llmroof sweep`."""

    def read(self, node: Node, key: str, report: Report) -> Any:
        """A tuple of names."""
        names = ListOf(Text()).read(node, key, report)
        if names is MISSING:
            return MISSING
        if not names:
            report.add(node, key, "is empty: name a figure")
        known = [
            check_metric(name, child, key, report)
            for name, child in zip(names, node.value, strict=True)
        ]
        return tuple(dict.fromkeys(names)) if names and all(known) else MISSING

    def json_schema(self) -> dict[str, Any]:
        return {"type": "array", "items": {"$ref": "#/$defs/figure"}, "minItems": 1}


@dataclass(frozen=True, slots=True)
class Conditions(Kind):
    """Conditions over the figures, with units: `tpot_s < 30 ms`, `fits`; one or a list."""

    def read(self, node: Node, key: str, report: Report) -> Any:
        """A tuple of Condition."""
        parts = node.value if isinstance(node.value, list) else [node]
        found = []
        for part in parts:
            if not isinstance(part.value, str):
                report.add(part, key, "must be a condition like tpot_s < 30 ms")
                continue
            try:
                found.append(parse_where(part.value, COLUMNS, name="condition"))
            except InputError as error:
                report.add(part, key, str(error))
        return tuple(found) if len(found) == len(parts) else MISSING

    def json_schema(self) -> dict[str, Any]:
        one = {"type": "string"}
        return {"anyOf": [one, {"type": "array", "items": one}]}


@dataclass(frozen=True, slots=True)
class Baseline(Kind):
    """The name of the baseline's file, or false."""

    def read(self, node: Node, key: str, report: Report) -> Any:
        """A path as text, or False."""
        if node.value == "false" and not node.quoted:
            return False
        if not isinstance(node.value, str) or not node.value.strip() or "\0" in node.value:
            report.add(node, key, "must be the name of a file, or false")
            return MISSING
        return node.value

    def json_schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, {"const": False}]}


@dataclass(frozen=True, slots=True)
class Named(Kind):
    """A table from names that can stand in a report to values of one kind."""

    item: Kind

    def read(self, node: Node, key: str, report: Report) -> Any:
        """A dict."""
        if not isinstance(node.value, dict):
            report.add(node, key, "must be a table of named questions")
            return MISSING
        before = len(report.problems)
        found = {}
        for name, child in node.value.items():
            if not _NAME.fullmatch(name) or name != name.strip():
                line = (node.key_lines or {}).get(name, node.line)
                report.add(line, f"{key}.{name[:40]}", "names are letters, digits and ' .()/+:-_'")
            found[name] = self.item.read(child, f"{key}.{name[:80]}", report)
        return found if len(report.problems) == before else MISSING

    def json_schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self.item.json_schema()}


_OWN: Final = {
    "metrics": Field(Metrics(), "figures that the baseline pins"),
    "tolerances": Field(Tolerances(), "how far figures may move: {ttft_s: 2%}"),
    "assert": Field(Conditions(), "conditions that must hold at every point"),
}
_FILE: Final = Table(
    {
        "defaults": Field(Question({}), "options of every scenario that has none of its own"),
        **_OWN,
        "baseline": Field(Baseline(), "file of the pinned figures; false for assertions alone"),
        "scenarios": Field(
            Named(Question({**_OWN, "why": Field(Text(), "what the scenario is for")})),
            "named questions",
        ),
        "measured": Field(EXPECTATIONS, "how far predictions may be from measured rows"),
    }
)
SCHEMA: Final[Kind] = _FILE
