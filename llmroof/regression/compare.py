"""What moved between a baseline and now: pure comparison of pinned figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from llmroof.regression.baseline import ERROR, Baseline, Value
from llmroof.regression.tolerance import Tolerance, tolerance_of

#: kinds of difference, the worst first
KINDS: Final = ("failed", "drift", "fixed", "added", "removed")
_NONE: Final = Tolerance()


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure that is not what the baseline says.

    failed: has no answer any more (or never had one). drift: moved beyond its tolerance.
    fixed: has an answer again. added, removed: only now, or only in the baseline.
    """

    kind: str
    scenario: str
    metric: str
    baseline: Value = None
    current: Value = None

    @property
    def relative(self) -> float | None:
        """(current − baseline) / baseline where both are numbers."""
        if not (_is_number(self.baseline) and _is_number(self.current)):
            return None
        before, after = float(self.baseline or 0), float(self.current or 0)
        return (after - before) / before if before else None


def compare(
    before: Baseline, now: Baseline, tolerances: Mapping[str, Mapping[str, Tolerance]]
) -> list[Difference]:
    """Every difference, in the order of `now`; `tolerances` are those of each point's figures."""
    found: list[Difference] = []
    for point, figures in now.items():
        found += _point(point, before.get(point), figures, tolerances.get(point, {}))
    for point, figures in before.items():
        if point not in now:
            found += [Difference("removed", point, name, old) for name, old in figures.items()]
    return found


def _point(
    point: str,
    old: Mapping[str, Value] | None,
    new: Mapping[str, Value],
    tolerances: Mapping[str, Tolerance],
) -> Iterator[Difference]:
    """The differences of one point."""
    if ERROR in new:
        if old is None or ERROR not in old:
            yield Difference("failed", point, ERROR, None, new[ERROR])
        return
    if old is None:
        yield from (Difference("added", point, name, None, value) for name, value in new.items())
        return
    if ERROR in old:
        yield Difference("fixed", point, ERROR, old[ERROR], None)
        return
    for name, value in new.items():
        if name not in old:
            yield Difference("added", point, name, None, value)
        elif not _same(old[name], value, tolerance_of(name, tolerances)):
            yield Difference("drift", point, name, old[name], value)
    for name in old:
        if name not in new:
            yield Difference("removed", point, name, old[name], None)


def _same(before: Value, after: Value, tolerance: Tolerance = _NONE) -> bool:
    """True when the figure holds still; words, truth values and unknowns must be equal."""
    if _is_number(before) and _is_number(after):
        return tolerance.allows(float(before or 0), float(after or 0))
    return before == after


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
