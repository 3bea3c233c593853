"""Results of `llmroof check` as JUnit XML: one suite per file, one case per point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from llmroof.errors import printable
from llmroof.regression.check import Checked
from llmroof.render.check import show


def check_junit(results: Sequence[Checked]) -> str:
    """The XML text; the same result gives the same bytes, so it holds no time."""
    root = ET.Element("testsuites", name="llmroof check")
    for result in results:
        _suite(root, result)
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, "unicode") + "\n"


def _suite(root: ET.Element, result: Checked) -> None:
    suite = ET.SubElement(root, "testsuite", name=result.file.path.as_posix())
    faults: dict[str, list[str]] = {}
    errors: dict[str, str] = {}
    for fault in result.faults:
        if fault.kind == "failed":
            errors[fault.scenario] = str(fault.current)
            continue
        values = (show(fault.metric, value) for value in (fault.baseline, fault.current))
        text = f"{fault.kind}: {fault.metric} {' -> '.join(values)}"
        change = "" if fault.relative is None else f" ({fault.relative:+.2%})"
        faults.setdefault(fault.scenario, []).append(text + change)
    for broken in result.broken:
        if broken.scenario not in errors:
            told = ", ".join(f"{n} = {show(n, v)}" for n, v in broken.figures.items())
            faults.setdefault(broken.scenario, []).append(f"assert: {broken.condition} ({told})")
    for point in dict.fromkeys((*result.current, *faults)):
        _case(suite, result, point, errors.get(point), faults.get(point, []))
    for bound in result.judged:
        place = ",".join(f"{name}={value}" for name, value in bound.partition.items())
        name = f"measured {bound.metric}[{place}] {bound.condition}"
        wrong = [] if bound.holds is not False else [_told(bound.figures)]
        case = _case(suite, result, name, None, wrong)
        if bound.holds is None:
            ET.SubElement(case, "skipped", message="too few rows")
    counts = {"tests": len(suite), "failures": "failure", "errors": "error"}
    for key, tag in counts.items():
        count = tag if isinstance(tag, int) else len(suite.findall(f"./testcase/{tag}"))
        suite.set(key, str(count))
    if result.skipped:
        ET.SubElement(suite, "system-out").text = printable(f"skipped: {result.skipped}")


def _told(figures: Mapping[str, float | None]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in figures.items())


def _case(
    suite: ET.Element, result: Checked, name: str, error: str | None, faults: Sequence[str]
) -> ET.Element:
    case = ET.SubElement(suite, "testcase", name=printable(name), classname=result.file.path.stem)
    if error is not None:
        ET.SubElement(case, "error", message=printable(error))
    elif faults:
        failure = ET.SubElement(case, "failure", message=printable(faults[0]))
        failure.text = "\n".join(printable(fault) for fault in faults)
    return case
