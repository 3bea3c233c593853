"""Reading files: whatever a file holds, the answer is a tree or one line, and soon."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmroof.errors import SpecError
from llmroof.specs.tree import (
    MAX_BYTES,
    MAX_DEPTH,
    parse_yaml,
    read_json,
    read_text,
    read_yaml,
    scalar,
)

#: seconds after which a refusal is too slow; they take well below one
SOON = 3.0 if sys.gettrace() is None else 30.0  # a tracer of coverage slows what it watches

HOSTILE_YAML = {
    "billion laughs": (
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "f.yaml:1: anchors and aliases are not used in spec files",
    ),
    "anchor alone": ("a: &x 1\n", "f.yaml:1: anchors and aliases are not used in spec files"),
    "deep lists": ("[" * 1_000_000, f"f.yaml:1: nested deeper than {MAX_DEPTH} levels"),
    "deep mappings": ("{a: " * 300_000, f"f.yaml:1: nested deeper than {MAX_DEPTH} levels"),
    "deep dashes": ("- " * 500_000, f"f.yaml:1: nested deeper than {MAX_DEPTH} levels"),
    "deep indent": (
        "\n".join(" " * i + "a:" for i in range(2000)),
        f"f.yaml:41: nested deeper than {MAX_DEPTH} levels",
    ),
    "doubled key": ("a: 1\nb: 2\na: 3\n", "f.yaml:3: a: stands here twice"),
    "doubled key below": ("t:\n  a: 1\n  a: 3\n", "f.yaml:3: a: stands here twice"),
    "many keys": (
        "".join(f"k{i}: 1\n" for i in range(200_000)),
        "f.yaml:50001: holds more than 50000 values",
    ),
    "long list": ("[" + "a," * 1_000_000 + "]", "f.yaml:1: holds more than 50000 values"),
    "two documents": ("a: 1\n---\nb: 2\n", "f.yaml:2: holds more than one document"),
    "tab": (
        "a:\n\tb: 1\n",
        "f.yaml:2: is not valid YAML: found character that cannot start any token",
    ),
    "empty": ("", "f.yaml: is empty"),
    "comment only": ("# nothing\n", "f.yaml: is empty"),
    "list as key": ("[a]: 1\n", "f.yaml:1: a list cannot be a key"),
    "mapping as key": ("{a: 1}: 2\n", "f.yaml:1: a mapping cannot be a key"),
    "complex keys": ("? " * 500_000, "f.yaml:1: a mapping cannot be a key"),
}
# what libyaml and PyYAML's own parser word differently
BROKEN_YAML = {
    "nul": "a: \x00",
    "bell": "a: \x07b",
    "open quote": 'a: "b',
    "open bracket": "a: [1, 2",
    "long key": "x" * 3_900_000 + ": 1",
    "colons": ":" * 3_000_000,
    "commas": "[" + "," * 1_000_000,
    "stars": "*" * 1_000_000,
    "directives": "%TAG ! x\n" * 100_000,
    "version": "%YAML 9.9\n---\na: 1",
    "two colons": "a: b: c",
}


@pytest.mark.parametrize(("text", "message"), HOSTILE_YAML.values(), ids=HOSTILE_YAML)
def test_hostile_yaml_is_one_line_and_soon(text: str, message: str) -> None:
    start = time.perf_counter()
    with pytest.raises(SpecError) as error:
        parse_yaml(text, "f.yaml")
    assert time.perf_counter() - start < SOON
    assert str(error.value) == message


@pytest.mark.parametrize("text", BROKEN_YAML.values(), ids=BROKEN_YAML)
def test_broken_yaml_is_one_line_and_soon(text: str) -> None:
    start = time.perf_counter()
    with pytest.raises(SpecError) as error:
        parse_yaml(text, "f.yaml")
    assert time.perf_counter() - start < SOON
    assert str(error.value).startswith("f.yaml")
    assert "is not valid YAML" in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


def test_tags_run_nothing(tmp_path: Path) -> None:
    """A tag that would make PyYAML's unsafe loader run a command is just text here."""
    flag = tmp_path / "flag"
    tree = parse_yaml(f"a: !!python/object/apply:os.system ['touch {flag}']\n", "f.yaml")
    assert tree.plain() == {"a": [f"touch {flag}"]}
    assert not flag.exists()


def test_a_tree_remembers_lines_quotes_and_order() -> None:
    tree = parse_yaml("b: 1\na:\n  - '1'\n  - x: null\n    y: yes\n", "f.yaml")
    assert list(tree.value) == ["b", "a"]
    assert tree.key_lines == {"b": 1, "a": 2}
    first, second = tree.value["a"].value
    assert (first.value, first.line, first.quoted) == ("1", 3, True)
    assert second.value["y"].line == 5
    # YAML 1.1's yes/no trap does not exist: only true and false are flags
    assert tree.plain() == {"b": 1, "a": ["1", {"x": None, "y": "yes"}]}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (None, None),
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("no", "no"),
        ("8", 8),
        ("-8", -8),
        ("1_000", 1000),
        ("010", 10),
        ("1e9", 1000000000.0),
        (".5", 0.5),
        ("1.5e-3", 0.0015),
        ("1:30", "1:30"),
        ("0x10", "0x10"),
        ("nan", "nan"),
        (".inf", ".inf"),
        ("-", "-"),
        ("--5", "--5"),
        ("+-5", "+-5"),
        ("_1", "_1"),
        ("1__0", "1__0"),
        ("3.35 TB/s", "3.35 TB/s"),
    ],
)
def test_scalars(text: str | None, value: object) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


@given(st.text(max_size=60))
def test_any_text_is_some_scalar(text: str) -> None:
    assert isinstance(scalar(text), str | int | float | bool | None)


@given(st.text(max_size=200))
def test_any_text_is_a_tree_or_one_line(text: str) -> None:
    said = ""
    try:
        parse_yaml(text, "f.yaml").plain()
    except SpecError as error:
        said = str(error)
    assert "\n" not in said


def test_files_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"a: 1\nb: \xff\xfe")
    with pytest.raises(SpecError, match=r"f\.yaml:2: is not UTF-8 text$"):
        read_yaml(path)
    path.write_bytes("a: 1".encode("utf-16"))
    with pytest.raises(SpecError, match=r"f\.yaml:1: is not UTF-8 text$"):
        read_yaml(path)
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")  # a byte order mark and DOS lines are fine
    assert read_yaml(path).plain() == {"a": 1, "b": 2}


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"cannot be read: No such file or directory$"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(SpecError, match=r"cannot be read: Is a directory$"):
        read_yaml(tmp_path)


def test_huge_files_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    with path.open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)  # sparse: costs no disk
    with pytest.raises(SpecError, match=rf"{MAX_BYTES + 1} bytes is no spec file"):
        read_text(path)
    # a device claims size 0 and never ends
    if Path("/dev/zero").exists():
        with pytest.raises(SpecError, match=r"no spec file$"):
            read_text(Path("/dev/zero"))


HOSTILE_JSON = {
    "deep": ("[" * 100_000, f"c.json: nested deeper than {MAX_DEPTH} levels"),
    "nan": ('{"a": NaN}', "c.json: is not valid JSON: NaN is no number a config may hold"),
    "infinity": (
        '{"a": -Infinity}',
        "c.json: is not valid JSON: -Infinity is no number a config may hold",
    ),
    "overflow": ('{"a": 1e999}', "c.json: is not valid JSON: the number 1e999 is out of any range"),
    "long number": (
        "9" * 5000,
        "c.json: is not valid JSON: the number 999999999999… is out of any range",
    ),
    "doubled key": (
        '{"a": 1, "b": {"c": 1, "c": 2}}',
        "c.json: is not valid JSON: the key 'c' stands in it twice",
    ),
    "cut short": ('{\n"a":', "c.json:2: is not valid JSON: Expecting value"),
    "empty": ("", "c.json:1: is not valid JSON: Expecting value"),
    "two documents": ("{}\n{}", "c.json:2: is not valid JSON: Extra data"),
    "trailing comma": (
        '{"a": 1,}',
        "c.json:1: is not valid JSON: Expecting property name enclosed in double quotes",
    ),
    "yaml": ("a: 1", "c.json:1: is not valid JSON: Expecting value"),
}


@pytest.mark.parametrize(("text", "message"), HOSTILE_JSON.values(), ids=HOSTILE_JSON)
def test_hostile_json_is_one_line_and_soon(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(text)
    start = time.perf_counter()
    with pytest.raises(SpecError) as error:
        read_json(path)
    assert time.perf_counter() - start < SOON
    said = str(error.value)
    assert said.startswith(str(path))
    if "trailing" not in text and "," not in text[-3:]:  # newer Pythons word that one anew
        assert said == f"{tmp_path}/{message}"


def test_brackets_in_strings_are_no_nesting(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"a": "' + "[" * 100 + '\\"{", "b": [1.5, true, null]}')
    assert read_json(path) == {"a": "[" * 100 + '"{', "b": [1.5, True, None]}
