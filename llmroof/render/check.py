"""Results of `llmroof check`: a page, JSON, flat rows, and Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from llmroof import units
from llmroof.regression.baseline import ERROR, Value, to_text
from llmroof.regression.check import Checked
from llmroof.regression.compare import KINDS, Difference
from llmroof.regression.expectations import Judged
from llmroof.render.page import Item, Line, Page, grid, heading, page
from llmroof.render.record import Tree, head

#: more differences than this are counted, not shown, where people read
SHOWN: Final = 40
_HEADER: Final = ("kind", "scenario", "figure", "baseline", "now", "change")
_MEANING: Final = {
    "failed": "cannot be answered",
    "drift": "moved",
    "fixed": "answered again",
    "added": "not in the baseline",
    "removed": "only in the baseline",
}


def check_document(results: Sequence[Checked]) -> Tree:
    """`llmroof.check/1`."""
    return head("check") | {
        "ok": all(one.ok for one in results),
        "files": [
            {
                "path": one.file.path.as_posix(),
                "points": len(one.current),
                "pinned": one.baseline is not None,
                "ok": one.ok,
                "skipped": one.skipped,
            }
            for one in results
        ],
        "counts": {kind: sum(one.counts[kind] for one in results) for kind in KINDS},
        "differences": check_rows(results),
        "assertions": [
            {
                "file": one.file.path.as_posix(),
                "scenario": found.scenario,
                "condition": found.condition,
                "holds": found.holds,
                "figures": dict(found.figures),
            }
            for one in results
            for found in one.assertions
        ],
        "measured": [_judged(one, found) for one in results for found in one.judged],
    }


def _judged(result: Checked, found: Judged) -> Tree:
    return {
        "file": result.file.path.as_posix(),
        "metric": found.metric,
        "partition": dict(found.partition),
        "condition": found.condition,
        "holds": found.holds,
        "figures": dict(found.figures),
    }


def check_rows(results: Sequence[Checked]) -> list[Tree]:
    """One flat row per difference."""
    return [
        {
            "file": one.file.path.as_posix(),
            "scenario": found.scenario,
            "metric": found.metric,
            "kind": found.kind,
            "baseline": found.baseline,
            "current": found.current,
            "relative_change": found.relative,
            "allowed": found.kind in one.allowed,
        }
        for one in results
        for found in one.differences
    ]


def verdict(results: Sequence[Checked]) -> str:
    """One sentence: how many points, and what is wrong."""
    points = sum(len(one.current) for one in results)
    words = [
        f"{_figures_word(count)} {_MEANING[kind]}"
        for kind in KINDS
        if (count := sum(one.counts[kind] for one in results))
    ]
    words += [
        f"{count} of {all_} {what} {'does' if count == 1 else 'do'} not hold"
        for what, count, all_ in (
            (
                "assertions",
                sum(len(one.broken) for one in results),
                sum(len(one.assertions) for one in results),
            ),
            (
                "bounds on measured errors",
                sum(len(one.missed) for one in results),
                sum(len(one.judged) for one in results),
            ),
        )
        if count
    ]
    counted = f"{points} {'point' if points == 1 else 'points'}"
    return f"{counted}: {', '.join(words or _fine(results))}"


def _fine(results: Sequence[Checked]) -> list[str]:
    """What holds, where nothing is wrong."""
    words = ["nothing moved"] if any(one.baseline is not None for one in results) else []
    for what, count in (
        ("assertion", sum(len(one.assertions) for one in results)),
        ("bound on measured errors", sum(len(one.judged) for one in results)),
    ):
        if count:
            noun = what.replace("assertion", "assertions").replace("bound ", "bounds ")
            words.append(f"1 {what} holds" if count == 1 else f"{count} {noun} hold")
    return words or ["nothing to hold against"]


def check_page(results: Sequence[Checked]) -> Page:
    """The verdict, what moved, and what does not hold."""
    items: list[Item] = [heading(verdict(results))]
    for result in results:
        if len(results) > 1 or result.differences or result.broken or result.missed:
            items += [Line(""), heading(result.file.path.as_posix())]
        items += _moved(result.differences)
        items += [
            Line(f"- {scenario}: {text}", hang=2) for scenario, text in _broken(result)[:SHOWN]
        ]
        items += _more(len(_broken(result)))
        if result.skipped:
            items.append(Line(f"skipped: {result.skipped}"))
    return page(items)


def _more(count: int) -> list[Item]:
    return [Line(f"  ... and {count - SHOWN} more")] if count > SHOWN else []


def _moved(differences: Sequence[Difference]) -> list[Item]:
    """The differences under the point they belong to; a point that is all new is one line."""
    items: list[Item] = []
    points: dict[str, list[Difference]] = {}
    for found in differences:
        points.setdefault(found.scenario, []).append(found)
    for point, own in list(points.items())[:SHOWN]:
        kinds = {found.kind for found in own}
        if kinds <= {"added"} or kinds <= {"removed"}:
            items.append(Line(f"{point}: {own[0].kind}, {_figures_word(len(own))}", hang=2))
            continue
        items.append(Line(point))
        for found in (one for one in own if one.metric == ERROR):
            items.append(Line(f"  {found.kind}: {found.current or found.baseline}", hang=2))
        rows = [(one.kind, *_cells(one)[2:]) for one in own if one.metric != ERROR]
        items += [grid(_HEADER[:1] + _HEADER[2:], rows, "<<>>>")] if rows else []
    return [*items, *_more(len(points))]


def _figures_word(count: int) -> str:
    return f"{count} {'figure' if count == 1 else 'figures'}"


def _cells(found: Difference) -> tuple[str, ...]:
    change = "" if found.relative is None else f"{found.relative:+.2%}"
    values = (show(found.metric, found.baseline), show(found.metric, found.current))
    return (found.kind, found.scenario, found.metric, *values, change)


def _broken(result: Checked) -> list[tuple[str, str]]:
    """(where, sentence) of every assertion and bound that does not hold."""
    found = [
        (one.scenario, f"{one.condition} does not hold: {_figures(one.figures)}")
        for one in result.broken
    ]
    for bound in result.missed:
        place = ", ".join(f"{name}={value}" for name, value in bound.partition.items())
        words = ", ".join(_error(name, bound.figures[name]) for name in bound.used)
        found.append(
            (
                f"{bound.metric} of {place or 'all rows'}",
                f"{bound.condition} does not hold: {words}, {bound.figures['n']:.0f} rows",
            )
        )
    return found


def _error(name: str, value: float | None) -> str:
    if value is None:
        return f"{name} unknown"
    return f"{name} = {value:.0f}" if name in ("n", "failed") else f"{name} = {value:.1%}"


def _figures(figures: Any) -> str:
    return ", ".join(
        value if name == ERROR else f"{name} = {show(name, value)}"
        for name, value in figures.items()
    )


def show(metric: str, value: Value) -> str:
    """A figure for people: with its unit where it has one of time or size."""
    if value is None:
        return "-" if metric != ERROR else ""
    if isinstance(value, float) and not metric.endswith("_per_s"):
        if metric.endswith("_s"):
            return units.show(value, "s", 4)
        if metric.endswith("bytes"):
            return units.show(value, "B", 4)
    return to_text(value)


def check_markdown(results: Sequence[Checked]) -> str:
    """A comment for a pull request: the verdict, and tables of what moved and does not hold."""
    mark = "✅" if all(one.ok for one in results) else "❌"
    lines = [f"### {mark} llmroof check: {verdict(results)}", ""]
    for result in results:
        broken = _broken(result)
        if result.differences or broken:
            lines += [f"**{result.file.path.as_posix()}**", ""]
        if result.differences:
            lines += [_row(_HEADER), _row(["---"] * 3 + ["---:"] * 3)]
            lines += [_row(_cells(found)) for found in result.differences[:SHOWN]]
            if len(result.differences) > SHOWN:
                lines += ["", f"… and {len(result.differences) - SHOWN} more"]
            lines.append("")
        if broken:
            lines += [f"- `{_safe(scenario)}`: {_safe(text)}" for scenario, text in broken[:SHOWN]]
            if len(broken) > SHOWN:
                lines.append(f"- … and {len(broken) - SHOWN} more")
            lines.append("")
        if result.skipped:
            lines += [f"Skipped: {_safe(result.skipped)}", ""]
    return "\n".join(lines).rstrip() + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_safe(cell) for cell in cells) + " |"


def _safe(text: str) -> str:
    """Text that Markdown takes as it is: one line, no table, no HTML, nobody mentioned."""
    plain = " ".join(text.split()).replace("|", "\\|").replace("`", "'")
    return plain.replace("<", "&lt;").replace("@", "@\u200b")
