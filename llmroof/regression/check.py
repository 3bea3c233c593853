"""A scenario file asked, compared and judged: the whole of `llmroof check` but its output."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from llmroof.api import estimate
from llmroof.engine.estimate import Estimate
from llmroof.errors import InputError, LlmroofError
from llmroof.figures import COLUMNS
from llmroof.models.load import load_model
from llmroof.regression.baseline import (
    ERROR,
    Baseline,
    Value,
    read_baseline,
    refuse_overwriting,
    value_of,
    write_baseline,
)
from llmroof.regression.compare import Difference, compare
from llmroof.regression.expectations import Bound, Judged, Measured, judge
from llmroof.regression.scenarios import Point, Scenario, ScenarioFile, read_scenarios
from llmroof.regression.tolerance import Tolerance
from llmroof.search.where import Condition
from llmroof.specs.catalog import HARDWARE, MODELS
from llmroof.specs.hardware import load_hardware

#: told after each point: (points done, points in all)
Progress = Callable[[int, int], None]
_NOTHING: Final[Mapping[str, Tolerance]] = {}


@dataclass(frozen=True, slots=True)
class Assertion:
    """A condition at one point. `figures` are the values of the names it uses."""

    scenario: str
    condition: str
    holds: bool
    figures: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Checked:
    """One scenario file: what its points answer now, and what is wrong with that.

    `baseline` is None where nothing is pinned. `skipped` says why measured rows were not
    looked at. `allowed` are kinds of difference that are no fault.
    """

    file: ScenarioFile
    current: Baseline
    baseline: Baseline | None
    differences: tuple[Difference, ...]
    assertions: tuple[Assertion, ...]
    judged: tuple[Judged, ...] = ()
    skipped: str | None = None
    allowed: frozenset[str] = frozenset()

    @property
    def faults(self) -> tuple[Difference, ...]:
        """The differences that are not allowed."""
        return tuple(one for one in self.differences if one.kind not in self.allowed)

    @property
    def broken(self) -> tuple[Assertion, ...]:
        """The assertions that do not hold."""
        return tuple(one for one in self.assertions if not one.holds)

    @property
    def missed(self) -> tuple[Judged, ...]:
        """The bounds on measured errors that do not hold."""
        return tuple(one for one in self.judged if one.holds is False)

    @property
    def ok(self) -> bool:
        """True when nothing is wrong."""
        return not (self.faults or self.broken or self.missed)

    @property
    def counts(self) -> Counter[str]:
        """Differences by kind."""
        return Counter(one.kind for one in self.differences)

    def lock(self) -> str:
        """The text of a baseline that holds the figures of now."""
        return write_baseline(self.current)


def check(
    path: Path | str,
    *,
    allow: frozenset[str] = frozenset(),
    update: bool = False,
    rows: Path | None = None,
    progress: Progress | None = None,
) -> Checked:
    """Ask every point of a scenario file and compare. Raises LlmroofError on a faulty file.

    `allow` are kinds of difference that are no fault. With `update` a baseline that is
    missing, or of another format, is none either: every figure is then added. `rows` are
    measured rows in place of those that the file names.
    """
    file = read_scenarios(Path(path))
    for catalog in (HARDWARE, MODELS):
        catalog.files()  # a folder of specs that is not there is no fault of the scenarios
    before = _baseline(file, update)
    total = sum(scenario.size for scenario in file.scenarios)
    current: dict[str, dict[str, Value]] = {}
    tolerances: dict[str, Mapping[str, Tolerance]] = {}
    assertions: list[Assertion] = []
    for scenario, point, answer in _answers(file):
        current[point.id] = _figures(scenario, answer)
        tolerances[point.id] = scenario.tolerances
        assertions += _assertions(scenario, point, answer)
        if progress is not None:
            progress(len(current), total)
    if before is None:  # nothing is pinned: what has no answer still is a fault
        found = compare({}, {p: f for p, f in current.items() if ERROR in f}, {})
    else:
        found = compare(before, current, tolerances)
    judged, skipped = _measured(file, rows)
    return Checked(file, current, before, tuple(found), tuple(assertions), judged, skipped, allow)


def _baseline(file: ScenarioFile, update: bool) -> Baseline | None:
    """The figures of the lock; none where the file pins none."""
    if file.baseline is None or not file.scenarios:
        return None
    if update:
        if os.path.realpath(file.baseline) == os.path.realpath(file.path):
            raise InputError(f"{file.path}: `baseline` names the scenario file itself")
        refuse_overwriting(file.baseline)
    if not os.path.exists(file.baseline):
        if update:
            return {}
        raise InputError(
            f"there is no baseline '{file.baseline}': llmroof check --update writes it, "
            f"`baseline: false` in {file.path.name} does without"
        )
    try:
        return read_baseline(file.baseline)
    except InputError:
        if update:
            return {}
        raise


def _answers(file: ScenarioFile) -> Iterator[tuple[Scenario, Point, Estimate | LlmroofError]]:
    """Every point with its answer, or why it has none. Models and GPUs are read once."""
    readers: dict[str, Callable[[str], Any]] = {
        "model": lru_cache(maxsize=None)(load_model),
        "gpu": lru_cache(maxsize=None)(load_hardware),
    }
    readers["draft_model"] = readers["model"]
    for scenario in file.scenarios:
        for point in scenario.points(file.path.parent):
            asked = dict(point.options)
            try:
                for name, read in readers.items():
                    if name in asked:
                        asked[name] = read(asked[name])
                yield scenario, point, estimate(**asked)
            except LlmroofError as error:
                yield scenario, point, error


def _read(answer: Estimate, name: str) -> Value:
    """A figure; one that belongs to a load is unknown without it."""
    if name not in COLUMNS:
        raise InputError(f"there is no figure '{name}'")
    try:
        return value_of(COLUMNS[name](answer))
    except AttributeError:
        if answer.steady is None:
            return None
        raise


def _figures(scenario: Scenario, answer: Estimate | LlmroofError) -> dict[str, Value]:
    if isinstance(answer, LlmroofError):
        return {ERROR: str(answer)}
    return {name: _read(answer, name) for name in scenario.metrics}


def _assertions(
    scenario: Scenario, point: Point, answer: Estimate | LlmroofError
) -> Iterator[Assertion]:
    for condition in scenario.conditions:
        if isinstance(answer, LlmroofError):
            yield Assertion(point.id, condition.text, False, {ERROR: str(answer)})
            continue
        yield _hold(condition, point, answer)


def _hold(condition: Condition, point: Point, answer: Estimate) -> Assertion:
    known = {name: _read(answer, name) for name in condition.columns}
    holds = bool(np.all(condition.mask(known.__getitem__)))
    return Assertion(point.id, condition.text, holds, dict(sorted(known.items())))


def _measured(file: ScenarioFile, rows: Path | None) -> tuple[tuple[Judged, ...], str | None]:
    """The measured rows judged, or why they are skipped."""
    wanted = file.measured
    if wanted is None:
        if rows is not None:
            raise InputError(f"{file.path}: has no `measured:` that says what to expect of rows")
        return (), None
    if rows is None and wanted.rows is None:
        return (), "no measured rows: --against-measured names them"
    place = rows or file.path.parent / str(wanted.rows)
    if rows is None and wanted.optional and not os.path.exists(place):
        return (), f"the measured rows '{wanted.rows}' are not here"
    return tuple(judge(place, wanted.bounds)), None


def check_rows(rows: Path, bounds: Sequence[Bound]) -> Checked:
    """Measured rows alone held against bounds. Raises InputError."""
    file = ScenarioFile(rows, (), None, Measured(tuple(bounds), str(rows)))
    return Checked(file, {}, None, (), (), tuple(judge(rows, bounds)))
