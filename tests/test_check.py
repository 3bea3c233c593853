"""`llmroof check`: what is pinned, what counts as moved, and every way to say so."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import llmroof
from llmroof import testing
from llmroof.cli.main import cli
from llmroof.errors import SpecError, UnknownName
from llmroof.regression import editor
from llmroof.regression.baseline import ERROR, parse_baseline, to_text, value_of, write_baseline
from llmroof.regression.compare import KINDS, compare
from llmroof.regression.options import ALIASES, NEGATED, OPTIONS
from llmroof.regression.scenarios import read_scenarios
from llmroof.regression.tolerance import Tolerance, rounded
from llmroof.render.check import SHOWN
from llmroof.specs.tree import read_yaml

OWN = Path(__file__).resolve().parent / "estimates"
SMALL = """\
defaults: {model: llama-3-8b, gpu: a100, num_gpus: 1}
metrics: [tpot_s, fits, decode_bound, total_bytes]
scenarios:
  one: {batch: 4}
  grid:
    batch: 1:4:x2
    gpu: [a100, h100]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "scenarios.yaml"
    path.write_text(SMALL)
    assert run(path, "--update").exit_code == 0
    return path


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(cli, ["check", *map(str, args)])


def document(*args: str | Path) -> Any:
    return json.loads(run(*args, "--format", "json").stdout)


def lock(file: Path) -> Path:
    return file.with_name("scenarios.lock.csv")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def kinds(file: Path, *args: str) -> list[tuple[str, str, str]]:
    return [
        (one["kind"], one["scenario"], one["metric"])
        for one in document(file, *args)["differences"]
    ]


# --- differences ----------------------------------------------------------------------


def test_nothing_moved(file: Path) -> None:
    before = lock(file).read_bytes()
    result = run(file)
    assert result.exit_code == 0, result.output
    assert "7 points: nothing moved" in result.stdout
    assert result.stderr == ""
    assert lock(file).read_bytes() == before


def test_the_lock_has_one_line_per_figure(file: Path) -> None:
    lines = lock(file).read_text().splitlines()
    assert lines[0].startswith("# llmroof.baseline/1 ")
    rows = list(csv.DictReader(lines[1:]))
    assert len(rows) == 7 * 4
    found = llmroof.estimate(model="llama-3-8b", gpu="h100", num_gpus=1, batch=2)
    value = next(
        row["value"]
        for row in rows
        if row["scenario"] == "grid[gpu=h100 batch=2]" and row["metric"] == "tpot_s"
    )
    assert value == f"{float(found.serving.tpot):.6g}"


def test_drift_names_what_moved(file: Path) -> None:
    pinned = next(
        line for line in lock(file).read_text().splitlines() if line.startswith("one,tpot_s,")
    )
    old = float(pinned.rpartition(",")[2])
    edit(lock(file), pinned, f"one,tpot_s,{old * 2:.6g}")
    result = run(file)
    assert result.exit_code == 1
    assert "one" in result.stdout
    assert "-50.00%" in result.stdout
    assert "--update" in result.stderr
    (found,) = document(file)["differences"]
    assert found["kind"] == "drift"
    assert found["current"] == pytest.approx(old)
    assert found["relative_change"] == pytest.approx(-0.5, abs=1e-5)


def test_words_and_truth_values_are_equal_or_not(file: Path) -> None:
    edit(lock(file), "one,fits,true", "one,fits,false")
    edit(lock(file), "one,decode_bound,memory", "one,decode_bound,compute")
    assert kinds(file) == [("drift", "one", "fits"), ("drift", "one", "decode_bound")]


def test_every_kind_of_difference(file: Path) -> None:
    edit(lock(file), "one,tpot_s,", "gone,tpot_s,")  # so `one` lacks a figure it has now
    edit(file, "  one: {batch: 4}", "  one: {batch: 4}\n  new: {batch: 5}\n  bad: {tp: 3}")
    edit(file, "num_gpus: 1", "pp: 1")
    found = kinds(file)
    assert ("added", "one", "tpot_s") in found
    assert ("removed", "gone", "tpot_s") in found
    assert [metric for kind, name, metric in found if name == "new"] == [
        "tpot_s", "fits", "decode_bound", "total_bytes"
    ]  # fmt: skip
    assert ("failed", "bad", ERROR) in found
    assert run(file).exit_code == 1
    assert run(file, "--update").exit_code == 0
    assert run(file).exit_code == 0  # known not to have an answer
    edit(file, "tp: 3", "tp: 4")
    assert kinds(file) == [("fixed", "bad", ERROR)]
    assert run(file).exit_code == 1
    assert run(file, "--allow", "fixed,added").exit_code == 0
    assert run(file, "--allow", "drift").exit_code == 1


def test_kinds_that_are_allowed(file: Path) -> None:
    edit(file, "  one: {batch: 4}", "  one: {batch: 4}\n  new: {batch: 5}")
    assert run(file).exit_code == 1
    assert run(file, "--allow", "added").exit_code == 0
    result = run(file, "--allow", "aded")
    assert result.exit_code == 2
    assert "unknown kind of difference 'aded'; did you mean 'added'?" in result.stderr


@pytest.mark.parametrize(
    ("tolerance", "moved"),
    [
        ("tpot_s: 2%", 1.019),
        ("tpot_s: 1 ms", 1.05),
        ("default: 2%", 1.019),
        ("tpot_s: [0.1%, 1 ms]", 1.05),
        ("tpot_s: 0.001", 1.05),
    ],
)
def test_a_tolerance_forgives(file: Path, tolerance: str, moved: float) -> None:
    pinned = next(
        line for line in lock(file).read_text().splitlines() if line.startswith("one,tpot_s,")
    )
    value = float(pinned.rpartition(",")[2])
    assert 1e-3 / value > 0.05, "1 ms is more than 5 % here"
    edit(lock(file), pinned, f"one,tpot_s,{value * moved:.6g}")
    assert run(file).exit_code == 1
    edit(file, "scenarios:", f"tolerances: {{{tolerance}}}\nscenarios:")
    assert run(file).exit_code == 0
    edit(lock(file), f"one,tpot_s,{value * moved:.6g}", f"one,tpot_s,{value * 1.3:.6g}")
    assert run(file).exit_code == 1


def test_the_last_digit_may_differ_between_processors() -> None:
    assert Tolerance().allows(1.23456, 1.23457)
    assert not Tolerance().allows(1.23456, 1.23458)
    assert Tolerance().allows(0.0, 0.0)
    assert not Tolerance().allows(0.0, 1e-12)
    assert Tolerance(relative=0.02).allows(100, 102)
    assert not Tolerance(relative=0.02).allows(100, 102.01)
    assert Tolerance(absolute=5).allows(100, 95)


# --- assertions -----------------------------------------------------------------------


def asserting(tmp_path: Path, condition: str) -> Path:
    file = tmp_path / "plan.yaml"
    file.write_text(
        "baseline: false\n"
        "scenarios: {chat: {model: llama-3-8b, gpu: a100, batch: 8, "
        f"assert: ['{condition}']}}}}\n"
    )
    return file


@pytest.mark.parametrize(
    "condition",
    [
        "tpot_s < 30 ms",
        "fits",
        "usd_per_million_output_tokens <= 4",
        "total_bytes < 80 GB and fits",
    ],
)
def test_an_assertion_that_holds(tmp_path: Path, condition: str) -> None:
    result = run(asserting(tmp_path, condition))
    assert result.exit_code == 0, result.output
    assert [path.name for path in tmp_path.iterdir()] == ["plan.yaml"]


@pytest.mark.parametrize("condition", ["tpot_s < 30 us", "not fits", "max_batch = 0"])
def test_an_assertion_that_does_not(tmp_path: Path, condition: str) -> None:
    result = run(asserting(tmp_path, condition))
    assert result.exit_code == 1
    assert "1 of 1 assertions does not hold" in result.stdout
    assert condition in result.stdout
    assert condition.removeprefix("not ").split()[0] + " = " in result.stdout


def test_an_unknown_figure_meets_no_condition(tmp_path: Path) -> None:
    """gaudi2 has no price: a cost that nobody knows is not below 1 USD."""
    file = asserting(tmp_path, "usd_per_million_output_tokens <= 1")
    edit(file, "gpu: a100", "gpu: gaudi2")
    assert document(file)["assertions"][0]["figures"] == {"usd_per_million_output_tokens": None}
    assert run(file).exit_code == 1


def test_an_unknown_figure_does_not_meet_a_negated_condition(tmp_path: Path) -> None:
    """Without workers of their own nothing is transferred."""
    assert run(asserting(tmp_path, "not disaggregated_transfer_s > 1 s")).exit_code == 1


def test_an_update_does_not_hide_a_broken_assertion(file: Path) -> None:
    edit(file, "one: {batch: 4}", "one: {batch: 4, assert: not fits}")
    assert run(file, "--update").exit_code == 1


# --- forms of the answer --------------------------------------------------------------


def test_junit(file: Path) -> None:
    edit(lock(file), "one,fits,true", "one,fits,false")
    edit(file, "  one: {batch: 4}", "  one: {batch: 4}\n  bad: {tp: 3, num_gpus: 3}")
    root = ET.fromstring(run(file, "--format", "junit").stdout.encode())
    suite = root[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("8", "1", "1")
    failure = suite.find("./testcase[@name='one']/failure")
    assert failure is not None
    assert failure.get("message") == "drift: fits false -> true"
    error = suite.find("./testcase[@name='bad']/error")
    assert error is not None
    assert "tp=3 does not divide" in str(error.get("message"))
    assert suite.find("./testcase[@name='grid[gpu=a100 batch=1]']") is not None


def test_junit_and_markdown_tell_what_does_not_hold_and_what_was_skipped(
    file: Path, tmp_path: Path
) -> None:
    edit(file, "one: {batch: 4}", "one: {batch: 4, assert: [not fits, tpot_s < 1 ns]}")
    edit(
        file,
        "scenarios:",
        "measured:\n  rows: none.csv\n  optional: true\n"
        "  expect: [{metric: tpot_s, assert: mape < 1}]\nscenarios:",
    )
    suite = ET.fromstring(run(file, "--format", "junit").stdout.encode())[0]
    failure = suite.find("./testcase[@name='one']/failure")
    assert failure is not None
    assert "assert: not fits (fits = true)" in str(failure.get("message"))
    told = suite.find("system-out")
    assert told is not None
    assert told.text == "skipped: the measured rows 'none.csv' are not here"
    text = run(file, "--format", "markdown").stdout
    assert "Skipped: the measured rows 'none.csv' are not here" in text


def test_junit_marks_bounds_with_too_few_rows(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(ROWS)
    file = tmp_path / "m.yaml"
    file.write_text(
        "measured:\n  rows: rows.csv\n  expect:\n"
        "  - {metric: tpot_s, by: [hardware], min_rows: 2, assert: mape < 50 %}\n"
    )
    suite = ET.fromstring(run(file, "--format", "junit").stdout.encode())[0]
    cases = {case.get("name"): case.find("skipped") is not None for case in suite}
    assert cases == {
        "measured tpot_s[hardware=a100] mape < 50 %": False,
        "measured tpot_s[hardware=h100] mape < 50 %": True,
    }


def test_long_markdown_is_cut_and_counted(file: Path) -> None:
    edit(file, "batch: 1:4:x2", "batch: 1:60\n    assert: not fits")
    text = run(file, "--format", "markdown").stdout
    moved = 4 * 2 * (60 - 3)  # figures of the batches that were not pinned, on two GPUs
    assert f"… and {moved - SHOWN} more" in text
    assert f"- … and {2 * 60 - SHOWN} more" in text


def test_rows_that_nobody_named_are_skipped(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text("measured: {expect: [{metric: tpot_s, assert: mape < 1}]}\n")
    result = run(file)
    assert result.exit_code == 0, result.output
    assert "no measured rows: --against-measured names them" in result.stdout


def test_junit_by_the_files_ending(file: Path, tmp_path: Path) -> None:
    assert run(file, "-o", tmp_path / "out.xml").exit_code == 0
    assert ET.parse(tmp_path / "out.xml").getroot().get("failures") == "0"


def test_markdown(file: Path) -> None:
    assert run(file, "--format", "markdown").stdout.startswith("### ✅ llmroof check: 7 points")
    edit(lock(file), "one,fits,true", "one,fits,false")
    edit(file, "one: {batch: 4}", "one: {batch: 4, assert: not fits}")
    text = run(file, "--format", "markdown").stdout
    assert text.startswith("### ❌ llmroof check: 7 points: 1 figure moved, 1 of 1 assertions")
    assert "| drift | one | fits | false | true |  |" in text
    assert "- `one`: not fits does not hold: fits = true" in text


def test_csv_has_a_row_per_difference(file: Path) -> None:
    edit(lock(file), "one,fits,true", "one,fits,false")
    (row,) = csv.DictReader(run(file, "--format", "csv").stdout.splitlines())
    assert (row["kind"], row["metric"], row["baseline"], row["current"]) == (
        "drift", "fits", "false", "true"
    )  # fmt: skip


def test_long_reports_are_cut_and_counted(file: Path) -> None:
    edit(file, "batch: 1:4:x2", "batch: 1:60")
    text = run(file).stdout
    assert len(text.splitlines()) < 60
    assert "more" in text


def test_documents_follow_the_schema(file: Path, tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    from llmroof.render.schemas import schema

    edit(lock(file), "one,fits,true", "one,fits,false")
    edit(lock(file), "one,tpot_s,", "gone,tpot_s,")
    edit(
        file, "  one: {batch: 4}", "  one: {batch: 4, assert: [fits]}\n  bad: {tp: 3, num_gpus: 3}"
    )
    rows = tmp_path / "rows.csv"
    rows.write_text(ROWS)
    validator = jsonschema.Draft202012Validator(schema("check"))
    args = [["--against-measured", str(rows), "--expect", "tpot_s: mape < 1 %"]]
    for more in ([], *args):
        found = document(file, *more)
        assert [e.message for e in validator.iter_errors(found)] == []
        assert found["ok"] is False
    assert found["measured"][0]["holds"] is False
    assert set(found["counts"]) == set(KINDS)


# --- the baseline's file --------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no baseline: its first line must be"),
        ("# llmroof.baseline/0\nx", "baseline format 0 is of an older llmroof"),
        ("# llmroof.baseline/2\nx", "baseline format 2 is of a newer llmroof"),
        ("# llmroof.baseline/1\n", ":2: the columns must be scenario,metric,value"),
        ("# llmroof.baseline/1\na,b\n", ":2: the columns must be"),
        ("# llmroof.baseline/1\nscenario,metric,value\na,b\n", ":3: holds 2 cells, not 3"),
        ("# llmroof.baseline/1\nscenario,metric,value\na,tpot_s,x\n", "'x' is not a number"),
        ("# llmroof.baseline/1\nscenario,metric,value\na,tpot_s,nan\n", "'nan' is not a number"),
        ("# llmroof.baseline/1\nscenario,metric,value\na,tpot_s,1_0\n", "is not a number"),
        ("# llmroof.baseline/1\nscenario,metric,value\na,fits,yes\n", "neither true nor false"),
        ("# llmroof.baseline/1\nscenario,metric,value\na,x,1\na,x,1\n", "stands here twice"),
        ('# llmroof.baseline/1\nscenario,metric,value\n"a,x,1\n', "is no CSV"),
    ],
)
def test_a_baseline_that_cannot_be_read(file: Path, text: str, message: str) -> None:
    lock(file).write_text(text)
    result = run(file)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert lock(file).read_text() == text
    assert run(file, "--update").exit_code == 0
    assert run(file).exit_code == 0


@pytest.mark.parametrize("text", ["my notes\n", "scenario,metric,value\n", "\0", "\n"])
def test_an_update_overwrites_baselines_only(file: Path, text: str) -> None:
    lock(file).write_text(text)
    assert "is no baseline: its first line must be" in run(file).stderr
    result = run(file, "--update")
    assert result.exit_code == 2
    assert "is no baseline, so --update leaves it alone" in result.stderr
    assert lock(file).read_text() == text


@pytest.mark.parametrize("top", ["", "# llmroof.baseline/1\n"])
def test_an_update_does_not_overwrite_the_scenarios(tmp_path: Path, top: str) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(text := f"{top}baseline: s.yaml\n{SMALL}")
    result = run(file, "--update")
    assert result.exit_code == 2
    assert "names the scenario file itself" in result.stderr
    assert file.read_text() == text


def test_two_files_do_not_share_a_baseline(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    for file in (one, two):
        file.write_text(f"baseline: all.lock.csv\n{SMALL}")
    result = run(one, two, "--update")
    assert result.exit_code == 2
    assert "name the same baseline" in result.stderr
    assert not (tmp_path / "all.lock.csv").exists()


def test_values_that_look_alike_are_points_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("scenarios: {a: {request_rate: [0.5, 0.12345678, 0.12345679]}}\n")
    ids = [point.id for point in read_scenarios(file).scenarios[0].points(tmp_path)]
    assert ids == [f"a[request_rate={rate}]" for rate in ("0.5", "0.12345678", "0.12345679")]


def test_a_point_that_is_asked_twice_is_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("scenarios:\n  a: {model: [m, m gpu=b], gpu: [c, b gpu=c]}\n")
    with pytest.raises(SpecError, match=r"asks a\[model=m gpu=b gpu=c\] twice"):
        read_scenarios(file)


def test_binary_and_absent_baselines(file: Path) -> None:
    lock(file).write_bytes(b"\xff\xfe")
    assert "is not UTF-8 text" in run(file).stderr
    lock(file).unlink()
    result = run(file)
    assert result.exit_code == 2
    assert "llmroof check --update writes it" in result.stderr


@pytest.mark.parametrize("update", [(), ("--update",)])
def test_a_baseline_whose_name_no_file_can_have(tmp_path: Path, update: tuple[str, ...]) -> None:
    """Found by fuzzing: the system refuses to look for a name of 300 letters."""
    file = tmp_path / "x.yaml"
    file.write_text(f"baseline: {'x' * 300}\nscenarios: {{a: {{}}}}\n")
    result = run(file, *update)
    assert result.exit_code == 2
    assert "unexpected" not in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_windows_line_ends_and_blank_lines_are_read(file: Path) -> None:
    text = lock(file).read_text().replace("\n", "\r\n") + "\r\n"
    lock(file).write_bytes(text.encode("utf-8-sig"))
    assert run(file).exit_code == 0


words = st.text(max_size=20).filter(lambda text: "\0" not in text)
figures = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))


@given(st.dictionaries(words, st.dictionaries(st.sampled_from(["tpot_s", "batch"]), figures)))
def test_a_baseline_that_is_written_is_read_the_same(points: Any) -> None:
    pinned = {
        name.replace("\r", "").replace("\n", ""): {k: value_of(v) for k, v in own.items()}
        for name, own in points.items()
        if own
    }
    pinned = {name: own for name, own in pinned.items() if len(name.splitlines()) < 2}
    text = write_baseline(pinned)
    if any(name.splitlines() != [name] for name in pinned if name):
        return  # ends in an exotic line break, which no scenario name has
    found = parse_baseline(text, "x")
    assert compare(found, pinned, {}) == []
    assert compare(pinned, found, {}) == []


@given(st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False))
def test_what_is_pinned_is_stable(value: float) -> None:
    """Rounding twice is rounding once, and the neighbour of a float never drifts."""
    once = rounded(value)
    if math.isinf(once):
        return
    assert rounded(once) == once
    assert float(to_text(once)) == once
    near = rounded(math.nextafter(value, math.inf))
    assert math.isinf(near) or Tolerance().allows(once, near)


# --- scenario files -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("[]", "must be a table"),
        ("{}", "scenarios: is missing: named questions"),
        ("scenarios: {}", "scenarios: is missing"),
        ("scenarios: [a]", "scenarios: must be a table of named questions"),
        (
            "scenarios:\n  a:\n    batchh: 3",
            ":3: scenarios.a.batchh: unknown key; did you mean 'batch'",
        ),
        ("scenarios:\n  a: {batch: x}", ":2: scenarios.a.batch: 'x' is not a whole number"),
        ("scenarios: {a: {batch: 0}}", "scenarios.a.batch: 0 is not between"),
        ("scenarios: {a: {batch: []}}", "is empty: name a value"),
        ("scenarios: {a: {batch: [1, 1]}}", "scenarios.a.batch: holds 1 twice"),
        ("scenarios: {a: {batch: [[1]]}}", "must be a whole number or a range"),
        ("scenarios: {a: {isl: 3, input-len: 3}}", "says input_len a second time"),
        ("scenarios: {a: {price: -1}}", "scenarios.a.price: must be zero or more, not -1"),
        ("scenarios: {a: {price: free}}", "scenarios.a.price: must be a number"),
        ("scenarios: {a: {limit: 3}}", "scenarios.a.limit: must be true or false"),
        ("scenarios: {a: {gpu: ''}}", "scenarios.a.gpu: must be text"),
        ("scenarios: {a: 3}", "scenarios.a: must be a table"),
        ("scenarios: {'a[': {}}", "names are letters, digits"),
        ("scenarios: {a: {assert: tpot < 3 ms}}", "there is no column 'tpot'; did you mean"),
        ("scenarios: {a: {assert: tpot_s < 3 GB}}", "compares s with B"),
        ("scenarios: {a: {assert: [{}]}}", "must be a condition like"),
        (
            "scenarios: {a: {metrics: [tpott_s]}}",
            "there is no figure 'tpott_s'; did you mean 'tpot_s'",
        ),
        ("scenarios: {a: {metrics: []}}", "is empty: name a figure"),
        ("scenarios: {a: {tolerances: {tpot_s: 3 GB}}}", "measures B, but s is due"),
        ("scenarios: {a: {tolerances: {tpot_s: -2%}}}", "must be zero or more"),
        ("scenarios: {a: {tolerances: {tpot_s: -2 ms}}}", "must be zero or more, not '-2 ms'"),
        ("scenarios: {a: {tolerances: {tpot_s: {}}}}", "must be like 2% or 0.5 ms"),
        ("scenarios: {a: {tolerances: {decode_flop: 3 GB}}}", "measures B, but FLOP is due"),
        ("scenarios: {a: {tolerances: {requests_per_s: 1 ms}}}", "is neither a share like 2%"),
        ("scenarios: {a: {metrics: tpot_s}}", "must be a list"),
        ("scenarios: {a: {tolerances: {default: 1 ms}}}", "need one like 2%"),
        ("scenarios: {a: {tolerances: {fits: 2%}}}", "is no number: it holds or it does not"),
        ("scenarios: {a: {tolerances: {ttft: 2%}}}", "there is no figure 'ttft'"),
        ("scenarios: {a: {tolerances: [2%]}}", "must be a table like"),
        ("scenarios: {a: {tolerances: {batch: 2 kg}}}", "is neither a share like 2%"),
        ("scenarios: {a: {tolerances: {batch: x%}}}", "is no tolerance"),
        ("scenarios: {a: {batch: 1:100, isl: 1:101}}", "make 10100 points, more than 10000"),
        ("baseline: []\nscenarios: {a: {}}", "baseline: must be the name of a file, or false"),
        ("measured: {expect: [{metric: tpot, assert: n > 1}]}", "unknown value 'tpot'"),
        ("measured: {expect: [{metric: tpot_s, assert: map < 1}]}", "there is no column 'map'"),
        ("measured: {expect: [{metric: tpot_s, assert: []}]}", "is empty: write mape"),
        ("measured: {}", "measured.expect: is missing"),
        ("scenarios: {a: {}}\nb: !!python/object/apply:os.system [x]", "b: unknown key"),
    ],
)
def test_a_scenario_file_with_a_fault(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "scenarios.yaml"
    file.write_text(text)
    result = run(file, "--update")
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert "scenarios.yaml" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["scenarios.yaml"]


def test_every_problem_is_found_at_once(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("scenarios:\n  a: {batch: 0}\n  b: {assert: [no, tpot_s]}\nmetric: [a]\n")
    with pytest.raises(SpecError) as caught:
        read_scenarios(file)
    assert [(one.line, one.key) for one in caught.value.problems] == [
        (2, "scenarios.a.batch"), (3, "scenarios.b.assert"), (3, "scenarios.b.assert"),
        (4, "metric"),
    ]  # fmt: skip


def test_the_options_are_those_of_an_estimate() -> None:
    from llmroof.cli.commands.estimate import command

    beside = {"format", "output", "force", "calibrate_with", "specs"}
    for option in command.params:
        if option.name in beside:
            continue
        for flag in option.opts:
            if flag.startswith("--"):
                plain = flag[2:].replace("-", "_")
                name = ALIASES.get(plain, plain)
                assert name in OPTIONS or name in NEGATED, f"a scenario cannot say {flag}"


def test_spellings_of_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(
        "scenarios: {a: {hardware: a100, batch-size: 2, isl: 5, output-len: 6, no-kv-cache: true,"
        " tensor-parallel-size: 2}}"
    )
    (scenario,) = read_scenarios(file).scenarios
    (point,) = scenario.points(tmp_path)
    assert point.id == "a"
    assert point.options == {
        "gpu": "a100", "batch": 2, "input_len": 5, "output_len": 6, "tp": 2, "kv_cache": False
    }  # fmt: skip


def test_a_load_replaces_the_batch_of_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("defaults: {batch: 4}\nscenarios: {a: {concurrency: 8}, b: {}}")
    a, b = read_scenarios(file).scenarios
    assert set(a.axes) == {"concurrency"}
    assert set(b.axes) == {"batch"}


def test_paths_start_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from llmroof.specs.catalog import HARDWARE

    (tmp_path / "sub").mkdir()
    shutil.copy(HARDWARE.files()["a100-sxm-80gb"], tmp_path / "sub" / "mine.yaml")
    file = tmp_path / "sub" / "x.yaml"
    file.write_text("scenarios: {a: {gpu: ./mine.yaml}}\nmetrics: [tpot_s]\n")
    monkeypatch.chdir(tmp_path)
    assert run("sub/x.yaml", "--update").exit_code == 0
    monkeypatch.chdir(tmp_path / "sub")
    assert run("x.yaml").exit_code == 0


def test_several_files_and_their_locks(file: Path) -> None:
    second = file.with_name("second.yml")
    second.write_text("baseline: deep.csv\nscenarios: {two: {batch: 2}}\nmetrics: [tpot_s]\n")
    assert run(file, second, "--update").exit_code == 0
    assert (file.parent / "deep.csv").exists()
    found = document(file, lock(file), second)
    assert [Path(one["path"]).name for one in found["files"]] == ["scenarios.yaml", "second.yml"]


def test_the_schema_for_editors_is_current() -> None:
    """After a change: python -m llmroof.regression.editor."""
    assert editor.PATH.read_text("utf-8") == editor.text()


def test_the_schema_for_editors_takes_what_the_reader_takes(file: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    found = json.loads(editor.text())
    jsonschema.Draft202012Validator.check_schema(found)
    validator = jsonschema.Draft202012Validator(found)
    for path in (file, *OWN.glob("*.yaml")):
        assert [e.message for e in validator.iter_errors(read_yaml(path).plain())] == []
    for wrong in ({"scenarios": {"a": {"bach": 1}}}, {"scenario": {}}, {"metrics": ["tpot"]}):
        assert not validator.is_valid(wrong)


# --- measured rows --------------------------------------------------------------------

ROWS = """\
id,model,hardware,num_gpus,engine,batch,input_len,output_len,tpot_s
a,llama-3-8b,a100,1,vllm,1,512,64,0.011
b,llama-3-8b,a100,1,vllm,8,512,64,0.012
c,llama-3-8b,h100,1,sglang,1,512,64,0.1
"""


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text(ROWS)
    return path


def test_bounds_of_the_command_line(rows: Path) -> None:
    assert run("--against-measured", rows, "--expect", "tpot_s: mape < 100 %").exit_code == 0
    result = run("--against-measured", rows, "--expect", "tpot_s: mape < 40 %", "--by", "engine")
    assert result.exit_code == 1
    assert "1 of 2 bounds on measured errors does not hold" in result.stdout
    assert "engine=sglang" in result.stdout
    assert "engine=vllm" not in result.stdout


def test_bounds_of_a_file(rows: Path) -> None:
    file = rows.with_name("m.yaml")
    file.write_text(
        "measured:\n  rows: rows.csv\n  expect:\n"
        "  - {metric: tpot_s, where: {engine: vllm}, assert: [mape < 50 %, failed = 0]}\n"
        "  - {metric: tpot_s, by: [hardware], min_rows: 2, assert: mape < 50 %}\n"
    )
    assert run(file).exit_code == 0, run(file).output
    found = document(file)["measured"]
    assert [(one["partition"], one["holds"]) for one in found] == [
        ({"engine": "vllm"}, True), ({"engine": "vllm"}, True),
        ({"hardware": "a100"}, True), ({"hardware": "h100"}, None),
    ]  # fmt: skip
    edit(file, "min_rows: 2, ", "")
    assert run(file).exit_code == 1
    assert '<skipped message="too few rows"' not in run(file, "--format", "junit").stdout
    edit(file, "rows.csv", "none.csv")
    assert run(file).exit_code == 2
    edit(file, "measured:\n", "measured:\n  optional: true\n")
    result = run(file)
    assert result.exit_code == 0
    assert "skipped: the measured rows 'none.csv' are not here" in result.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "name a scenario file"),
        (["--expect", "tpot_s: mape < 1"], "go together"),
        (["--against-measured", "{rows}"], "name a scenario file"),
        (["--against-measured", "{rows}", "--by", "engine"], "go together"),
        (["--against-measured", "{rows}", "--expect", "mape < 1"], "is not like 'tpot_s: mape"),
        (["--against-measured", "{rows}", "--expect", "tpot_s: mape"], "is no condition"),
        (
            ["--against-measured", "{rows}", "--expect", "ttft_s: mape < 1"],
            "no measured row has ttft_s",
        ),
        (
            ["--against-measured", "{rows}", "--expect", "tpot_s: n > 0", "--by", "x"],
            "no column 'x'",
        ),
        (
            ["--against-measured", "none.csv", "--expect", "tpot_s: n > 0"],
            "cannot be read: No such",
        ),
        (
            ["--against-measured", "{rows}", "--expect", "tpot_s: n > 0", "--update"],
            "have no baseline",
        ),
    ],
)
def test_questions_about_rows_that_cannot_be_asked(
    rows: Path, args: list[str], message: str
) -> None:
    result = run(*(arg.replace("{rows}", str(rows)) for arg in args))
    assert result.exit_code == 2, result.output
    assert message in result.stderr


# --- as a test ------------------------------------------------------------------------


def test_the_helper_for_pytest(file: Path) -> None:
    assert testing.check(file).ok
    edit(lock(file), "one,fits,true", "one,fits,false")
    with pytest.raises(AssertionError, match=r"7 points: 1 figure moved(.|\n)*fits"):
        testing.check(file)
    with pytest.raises(UnknownName, match=r"did you mean .added"):
        testing.check(file, allow=["aded"])
