"""The schema: every problem at once, each with file, line, key and the nearest name."""

from __future__ import annotations

import json
import re

import jsonschema
import pytest

from llmroof.errors import LlmroofError, SpecError
from llmroof.specs.schema import (
    Field,
    Flag,
    ListOf,
    MapOf,
    Number,
    Quantity,
    Table,
    Text,
    read_spec,
)
from llmroof.specs.tree import parse_yaml

SCHEMA = Table(
    {
        "name": Field(Text(), "what it is called", required=True),
        "colour": Field(Text(("red", "green")), "its colour"),
        "bandwidth": Field(Quantity("B/s"), "rate", required=True),
        "count": Field(Number(1, 10, whole=True), "how many"),
        "share": Field(Number(0.0), "a fraction"),
        "flag": Field(Flag(), "yes or no"),
        "tags": Field(ListOf(Text()), "words"),
        "peaks": Field(MapOf(Quantity("FLOP/s"), ("fp8", "bf16")), "rates by format"),
        "free": Field(MapOf(Number()), "numbers by any name"),
    }
)
GOOD = """\
name: thing
colour: red
bandwidth: 3.35 TB/s
count: 3
share: 0.25
flag: true
tags: [a, b]
peaks: {bf16: 2 TFLOP/s}
free: {x: 1}
"""


def read(text: str) -> object:
    return read_spec(parse_yaml(text, "f.yaml"), SCHEMA, "f.yaml")


def problems(text: str) -> list[str]:
    with pytest.raises(SpecError) as error:
        read(text)
    return [str(problem) for problem in error.value.problems]


def test_a_good_file_becomes_si_values() -> None:
    assert read(GOOD) == {
        "name": "thing",
        "colour": "red",
        "bandwidth": 3_350_000_000_000,
        "count": 3,
        "share": 0.25,
        "flag": True,
        "tags": ("a", "b"),
        "peaks": {"bf16": 2_000_000_000_000},
        "free": {"x": 1},
    }


def test_every_problem_at_once_in_file_order() -> None:
    found = problems(
        "nme: thing\nbandwidth: 989 TFLOP\ncount: 11\npeaks:\n  fp9: 1 TFLOP/s\n  bf16: 0 TFLOP/s\n"
    )
    assert found == [
        "f.yaml:1: nme: unknown key; did you mean 'name'?",
        "f.yaml:1: name: is missing: what it is called",
        "f.yaml:2: bandwidth: unit 'TFLOP' measures FLOP, but B/s is due",
        "f.yaml:3: count: must be 1 to 10, not 11",
        "f.yaml:5: peaks.fp9: unknown key; did you mean 'fp8'?",
        "f.yaml:6: peaks.bf16: must be above zero, not '0 TFLOP/s'",
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("colour: gren", "colour: unknown value 'gren'; did you mean 'green'?"),
        ("colour: 7", "colour: unknown value '7'; one of red, green"),
        ("colour:", "colour: must be text"),
        ("colour: [red]", "colour: must be text"),
        ("count: 2.5", "count: must be a whole number"),
        ("count: '2'", "count: must be a whole number"),
        ("count: true", "count: must be a whole number"),
        ("count: two", "count: must be a whole number"),
        ("count: 0", "count: must be 1 to 10, not 0"),
        ("share: -1", "share: must be 0 or more, not -1"),
        ("share: nan", "share: must be a number"),
        ("share: .inf", "share: must be a number"),
        ("share: 1e999", "share: must be 0 or more, not inf"),
        ("share: --5", "share: must be a number"),
        ("flag: yes", "flag: must be true or false"),
        ("flag: 1", "flag: must be true or false"),
        ("tags: a", "tags: must be a list"),
        ("tags: [a, {b: 1}]", "tags[1]: must be text"),
        ("tags: [a, '']", "tags[1]: must be text"),
        ("peaks: 3 TFLOP/s", "peaks: must be a table"),
        ("peaks: {fp8: 3e12}", "peaks.fp8: '3e12' is not a number with a unit of FLOP/s"),
        ("peaks: {fp8: [1]}", "peaks.fp8: must be a quantity in FLOP/s"),
        ("free: {x: a}", "free.x: must be a number"),
    ],
)
def test_each_wrong_value_says_what_is_due(line: str, message: str) -> None:
    assert problems(f"name: a\nbandwidth: 1 B/s\n{line}\n") == [f"f.yaml:3: {message}"]


def test_a_file_that_is_no_table() -> None:
    assert problems("- a\n") == [f"f.yaml:1: must be a table with {', '.join(SCHEMA.fields)}"]
    assert problems("text\n") == [f"f.yaml:1: must be a table with {', '.join(SCHEMA.fields)}"]


def test_the_error_is_one_line_that_counts_the_others() -> None:
    with pytest.raises(LlmroofError) as error:
        read("name: a\nbandwidth: 1 W\ncount: x\nflag: x\n")
    assert str(error.value) == (
        "f.yaml:2: bandwidth: unit 'W' measures W, but B/s is due (and 2 more problems)"
    )
    assert error.value.exit_code == 2


def test_the_exported_json_schema_agrees_with_the_reader() -> None:
    """What editors are told accepts the good file and refuses the same faults."""
    exported = json.loads(json.dumps(SCHEMA.json_schema()))
    jsonschema.Draft202012Validator.check_schema(exported)
    validator = jsonschema.Draft202012Validator(exported)
    good = parse_yaml(GOOD, "f.yaml").plain()
    assert list(validator.iter_errors(good)) == []
    for change in (
        {"nme": "x"},
        {"colour": "gren"},
        {"bandwidth": "989 TFLOP"},
        {"count": 11},
        {"count": 2.5},
        {"flag": "yes"},
        {"tags": "a"},
        {"peaks": {"fp9": "1 TFLOP/s"}},
    ):
        assert list(validator.iter_errors(good | change)), change
    del good["bandwidth"]
    assert list(validator.iter_errors(good))


def test_the_exported_quantity_pattern_reads_like_units() -> None:
    pattern = re.compile(Quantity("B/s").json_schema()["pattern"])
    assert pattern.search("3.35 TB/s")
    assert pattern.search("400 Gbit/s")
    assert not pattern.search("3.35 TB")
    assert not pattern.search("fast")


def test_a_key_with_a_line_break_stays_one_line() -> None:
    with pytest.raises(SpecError) as error:
        read('name: a\nbandwidth: 1 B/s\n"x\\ny\\e[31m": 1\n')
    assert str(error.value).isprintable()
