"""Number ranges: what each form stands for, and what is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmroof.ranges import MAX_POINTS, parse_decimals, parse_numbers


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("8", (8,)),
        ("1,8,64", (1, 8, 64)),
        (" 1, 8 ", (1, 8)),
        ("3:6", (3, 4, 5, 6)),
        ("64:256:+64", (64, 128, 192, 256)),
        ("64:250:+64", (64, 128, 192)),  # the last one only where a step hits it
        ("1:512:x2", (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)),
        ("3:100:x3", (3, 9, 27, 81)),
        ("1,4:8:x2,100", (1, 4, 8, 100)),
        ("7:7", (7,)),
        ("1000000000", (1_000_000_000,)),
    ],
)
def test_forms(text: str, numbers: tuple[int, ...]) -> None:
    assert parse_numbers(text) == numbers


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "is not a whole number or a range"),
        ("abc", "'abc' is not a whole number or a range"),
        ("1.5", "'1.5' is not a whole number"),
        ("1e3", "'1e3' is not a whole number"),
        ("0", "0 is not between 1 and"),
        ("-4", "-4 is not between 1 and"),
        ("1,,2", "is not a whole number"),
        ("9:1", "'9:1' runs backwards: 9 is above 1"),
        ("1:10:x1", "step 'x1' in '1:10:x1' never reaches the end"),
        ("1:10:+0", "never reaches the end"),
        ("1:10:2", "step '2' in '1:10:2': write +64 or x2"),
        ("1:10:x", "write +64 or x2"),
        ("1:2:3:4", "is not a number or a range"),
        ("1:1000000", f"holds more than {MAX_POINTS} numbers"),
        ("9" * 30, "is not a whole number"),
        ("2000000000", "is not between 1 and 1000000000"),
        ("٣", "is not a whole number"),
        ("1" * 500, "…"),
    ],
)
def test_faults(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=re.escape(part)) as caught:
        parse_numbers(text)
    assert len(str(caught.value)) < 200


@given(st.text("0123456789:,x+- ", max_size=20))
def test_any_text_gives_numbers_or_a_sentence(text: str) -> None:
    try:
        found = parse_numbers(text)
    except ValueError:
        return
    assert found
    assert all(1 <= value <= 1_000_000_000 for value in found)


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=20))
def test_lists_come_back(numbers: list[int]) -> None:
    assert parse_numbers(",".join(map(str, numbers))) == tuple(numbers)


def test_decimals_may_be_zero_only_where_that_means_something() -> None:
    assert parse_decimals("0,0.5", zero=True) == (0.0, 0.5)
    assert parse_decimals("1e-9,2") == (1e-9, 2.0)
    for text, zero in (("0", False), ("-1", True), ("nan", True), ("1e-10", True)):
        due = "of 0 or more" if zero else "above 0"
        with pytest.raises(ValueError, match=f"'{text}' is not a number {due}"):
            parse_decimals(text, zero)
