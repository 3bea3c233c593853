"""Mutants of the engine and the counting code, each against the tests that run its lines.

    python tests/mutation/run.py --seed 1 --sample 300

draws mutants, tries each, and prints the rate, its 95 % interval and the survivors. Needs
`pip install cosmic-ray coverage`. First the tests run once, to learn which runs which line
(minutes). Verdicts lie in build/mutation/, one JSON line a mutant: a run that was stopped goes on
with what is left, unless code or tests have changed.

A mutant is the code with one operator of cosmic-ray applied at one place. Bit operators are not
put in (floats refuse them), nor is anything in an annotation (it is never evaluated). A mutant
inside a function replaces the code of that function in a fork of a process that has collected the
tests; one of a module's or class's own statements is imported afresh. The tests of a mutant are
those that run a line of its statement, those of the file that mirrors it first, then the pinned
estimates, then the quickest, up to `--seconds` of them: the rate is a lower bound. Killed is what
a test fails on, or what exceeds its processor time or memory.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.machinery
import importlib.util
import json
import math
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from types import CodeType
from typing import Any

import pandas as pd  # noqa: F401  (imported before the forks)
import pytest
from hypothesis import HealthCheck, Phase, settings
from mutants import CODE, ROOT, draw, is_inside, replace_code, sources, statement

PINNED = "tests/test_estimates.py"
TESTS = (
    "blocks", "capacity", "cost", "deployments", "disaggregated", "edges", "estimate", "estimates",
    "explain", "extend", "floors", "goldens", "kernels", "measured_times", "model",
    "models_counted", "models_precision", "network", "operators", "pitfalls", "plans",
    "properties", "rates", "roofline", "routing", "schema", "search_where", "serving", "sharding",
    "silicon_times", "validation", "worked_examples",
)  # fmt: skip
#: tests that look at classes themselves and so run no line of theirs
INSPECTING = (
    "tests/test_edges.py::test_values_are_frozen",
    "tests/test_blocks.py::test_a_kind_of_block_that_leaves_a_part_open_cannot_be_made",
)
PYTEST = ["-o", "addopts=", "-q", "-p", "no:cacheprovider", "--hypothesis-profile", "mutants"]
PYTEST += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is imported here
MEMORY = 16 << 30  # bytes of address space


class Mapper:
    """Notes which lines each test runs, and how long it takes."""

    def __init__(self) -> None:
        import coverage

        self.coverage = coverage.Coverage(
            data_file=None, source=[str(ROOT / "llmroof")], config_file=False
        )
        self.seconds: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """One context per test."""
        self.coverage.switch_context(item.nodeid)
        try:
            return (yield)
        finally:
            self.coverage.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Seconds of a test; one that fails or is skipped unmutated kills nothing."""
        taken = self.seconds.get(report.nodeid, 0.0) + report.duration
        self.seconds[report.nodeid] = taken if report.passed else float("inf")


def state() -> Path:
    """Where the results of these very tests and this very code lie."""
    files = [path for part in CODE for path in sources(ROOT / part)]
    files += [*map(Path, test_files()), *sorted((ROOT / "tests" / "estimates").glob("*.*"))]
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()
    folder = ROOT / "build" / "mutation" / digest[:12]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def read_map() -> dict[str, Any]:
    """Seconds of each test, and by file and line the places of the tests that run it."""
    path = state() / "map.json"
    if not path.is_file():  # in a process of its own: mutants need one that never had the package
        if (child := os.fork()) == 0:
            write_map(path)
            os._exit(0)
        os.waitpid(child, 0)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def write_map(path: Path) -> None:
    """Runs the tests once and writes what each runs."""
    os.environ["COVERAGE_CORE"] = "ctrace"
    mapper = Mapper()
    mapper.coverage.start()
    pytest.main([*PYTEST, *test_files()], plugins=[mapper])
    mapper.coverage.stop()
    data = mapper.coverage.get_data()
    names = sorted(name for name, seconds in mapper.seconds.items() if seconds < 30)
    place = {name: at for at, name in enumerate(names)}
    lines = {
        str(file.relative_to(ROOT)): {
            line: sorted(place[name] for name in contexts if name in place)
            for line, contexts in data.contexts_by_lineno(str(file)).items()
        }
        for part in CODE
        for file in sources(ROOT / part)
    }
    tests = [(name, round(mapper.seconds[name], 4)) for name in names]
    path.write_text(json.dumps({"tests": tests, "lines": lines}))


def test_files() -> list[str]:
    """The quick test files that the mutants are tried against."""
    return [str(file) for name in TESTS if (file := ROOT / "tests" / f"test_{name}.py").is_file()]


def chosen(one: dict[str, Any], known: dict[str, Any], seconds: float) -> list[str]:
    """The tests that run the mutant's statement; of a module's own statements, any of its lines."""
    lines = {int(line): tests for line, tests in known["lines"][one["file"]].items()}
    span = statement((ROOT / one["file"]).read_text(), one["line"])
    found = {test for line in span for test in lines.get(line, ())}
    inside = bool(found)
    found = found or {test for tests in lines.values() for test in tests}
    names: list[tuple[str, float]] = [tuple(known["tests"][at]) for at in found]
    mirrors = (
        f"tests/test_{Path(one['file']).stem}.py",
        f"tests/test_{Path(one['file']).parts[1]}.py",
    )
    names.sort(
        key=lambda test: (
            not test[0].startswith(mirrors),
            not test[0].startswith(PINNED),
            test[1],
            test[0],
        )
    )
    picked, left = ([] if inside else list(INSPECTING)), seconds
    for name, taken in names:
        left -= taken
        if picked and left < 0:
            break
        picked.append(name)
    return list(dict.fromkeys(picked))


class Warm:
    """Collects the tests once; then tries each mutant in a fork that runs only its tests."""

    def __init__(self, work: Sequence[dict[str, Any]], report: Callable[[dict[str, Any]], None]):
        self.work, self.report, self.failed = work, report, ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """The test that kills."""
        if report.failed:
            self.failed = self.failed or report.nodeid

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Forks for each mutant, instead of running what was collected."""
        by_name = {item.nodeid: item for item in session.items}
        for one in self.work:
            items = [by_name[name] for name in one["tests"]]
            self.report(one | {"verdict": forked(lambda: self._run(one, items), one["limit"])})  # noqa: B023
        return True

    def _run(self, one: dict[str, Any], items: list[pytest.Item]) -> str:
        if not replace_code(one["file"], one["source"]):
            return "untried"
        for item, after in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if self.failed:
                return self.failed
        return "survived"


class Cold(importlib.machinery.SourceFileLoader):
    """Imports one module from other source than its file's, and runs chosen tests in order."""

    def __init__(self, one: dict[str, Any]) -> None:
        self.module = one["file"].removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        super().__init__(self.module, str(ROOT / one["file"]))
        self.source, self.tests, self.failed = one["source"], one["tests"], ""

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        """The spec of that module; None leaves others to the usual finders."""
        if name != self.module:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def get_code(self, fullname: str) -> CodeType:
        """The mutant's code."""
        return compile(self.source, self.path, "exec", dont_inherit=True)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """The chosen tests alone."""
        by_name = {item.nodeid: item for item in items}
        items[:] = [by_name[name] for name in self.tests if name in by_name]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """The test that kills."""
        if report.failed:
            self.failed = self.failed or report.nodeid

    def run(self) -> str:
        """What kills the mutant, or `survived`."""
        sys.meta_path.insert(0, self)
        files = list(dict.fromkeys(name.split("::")[0] for name in self.tests))
        for few in (files[:2], files[2:]):  # collecting takes longer than most mutants live
            if few and pytest.main([*PYTEST, "-x", *few], plugins=[self]) != 0:
                return self.failed or "the tests cannot be collected"
        return "survived"


def forked(run: Callable[[], str], limit: int) -> str:
    """What `run` answers in a process of its own, with an end to its processor time and memory."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1), os.dup2(quiet, 2)
        try:
            answer = run()
        except BaseException as raised:  # whatever the mutant does, it ends here
            answer = f"raised {type(raised).__name__}"
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer or "ran out of time or memory"


def try_all(seed: int, size: int, seconds: float, part: tuple[int, int] = (0, 1)) -> None:
    """Tries each mutant of a sample that was not tried before, and appends its verdict.

    Of several processes `part` is (which, of how many): each takes its share of the sample.
    """
    known = read_map()
    times = dict(known["tests"])
    path = state() / f"seed-{seed}.jsonl"
    done = {_place(one) for one in verdicts(seed)}
    warm, cold = [], []
    for one in draw(seed, size)[part[0] :: part[1]]:
        if _place(one) in done:
            continue
        one["tests"] = chosen(one, known, seconds)
        one["limit"] = int(20 + 4 * sum(times[name] for name in one["tests"]))
        (warm if is_inside(one["file"], one["source"]) else cold).append(one)

    began = time.monotonic()

    def report(one: dict[str, Any]) -> None:
        nonlocal began
        taken, began = round(time.monotonic() - began, 1), time.monotonic()
        kept = {key: one[key] for key in ("file", "line", "operator", "nth", "verdict")}
        kept |= {"tests": len(one["tests"]), "seconds": taken, "change": _change(one)}
        with path.open("a") as file:
            file.write(json.dumps(kept) + "\n")

    for one in cold:
        report(one | {"verdict": forked(Cold(one).run, one["limit"])})
    pytest.main([*PYTEST, *test_files()], plugins=[Warm(warm, report)])


def _place(one: dict[str, Any]) -> tuple[Any, ...]:
    return one["file"], one["line"], one["operator"], one["nth"]


def _change(one: dict[str, Any]) -> str:
    """The mutant's first line that differs."""
    pairs = zip_longest((ROOT / one["file"]).read_text().splitlines(), one["source"].splitlines())
    return next((f"{new}".strip() for old, new in pairs if old != new), "")


def verdicts(seed: int) -> list[dict[str, Any]]:
    """What was found so far."""
    path = state() / f"seed-{seed}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def show(seed: int) -> None:
    """The share killed, its 95 % interval (Wilson), and the survivors."""
    found = [one for one in verdicts(seed) if one["verdict"] != "untried"]
    left = [one for one in found if one["verdict"] == "survived"]
    n, z = len(found), 1.96
    share = 1 - len(left) / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    print(
        f"{n - len(left)} of {n} killed: {share:.1%} ({middle - half:.1%} to {middle + half:.1%})"
    )
    for one in sorted(left, key=_place):
        name = one["operator"].split("/")[1]
        place = f"{one['file'].removeprefix('llmroof/')}:{one['line']}"
        print(f"| `{place}` | {name} | `{one['change']}` |")


def main() -> None:
    """Try, then show."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=40.0, help="tests tried per mutant, s")
    parser.add_argument("--part", default="0/1", help="one of several processes: 0/2, 1/2")
    asked = parser.parse_args()
    which, parts = map(int, asked.part.split("/"))
    os.chdir(ROOT)
    try_all(asked.seed, asked.sample, asked.seconds, (which, parts))
    show(asked.seed)


settings.register_profile(
    "mutants",
    derandomize=True,
    deadline=None,
    max_examples=15,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)

if __name__ == "__main__":
    main()
