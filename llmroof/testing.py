"""Pinned estimates as a test of one's own.

from llmroof.testing import check
def test_capacity_plan(): check("scenarios.yaml")
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from llmroof.errors import UnknownName
from llmroof.regression.check import Checked
from llmroof.regression.check import check as run_check
from llmroof.regression.compare import KINDS


def check(
    path: Path | str, *, allow: Iterable[str] = (), rows: Path | str | None = None
) -> Checked:
    """Hold the estimates of a scenario file against its baseline, as `llmroof check` does.

    Raises AssertionError that names what moved or does not hold, LlmroofError for a file
    that cannot be read. `allow` are kinds of difference that are no fault, `rows` measured
    rows in place of those that the file names.
    """
    allowed = frozenset(allow)
    for kind in allowed:
        if kind not in KINDS:
            raise UnknownName("kind of difference", kind, KINDS)
    result = run_check(path, allow=allowed, rows=None if rows is None else Path(rows))
    if not result.ok:
        from llmroof.render.check import check_page
        from llmroof.render.page import to_text

        raise AssertionError("\n" + to_text(check_page([result]), 100))
    return result
