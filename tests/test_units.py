"""Quantities: the prefix table against powers of ten written out, text in and out."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmroof import units

# written out digit by digit: a round trip cannot see a wrong table
BYTES = {
    "1 B": 1,
    "1 kB": 1_000,
    "1 KB": 1_000,
    "1 MB": 1_000_000,
    "1 GB": 1_000_000_000,
    "1 TB": 1_000_000_000_000,
    "1 PB": 1_000_000_000_000_000,
    "1 EB": 1_000_000_000_000_000_000,
    "1 KiB": 1_024,
    "1 MiB": 1_048_576,
    "1 GiB": 1_073_741_824,
    "1 TiB": 1_099_511_627_776,
    "8 bit": 1,
    "8 Gbit": 1_000_000_000,
}
OTHERS = [
    ("3.35 TB/s", "B/s", 3_350_000_000_000),
    ("400 Gbit/s", "B/s", 50_000_000_000),
    ("989.4 TFLOP/s", "FLOP/s", 989_400_000_000_000),
    ("1979 TOP/s", "FLOP/s", 1_979_000_000_000_000),
    ("2.5 PFLOP/s", "FLOP/s", 2_500_000_000_000_000),
    ("7 GFLOP", "FLOP", 7_000_000_000),
    ("0.7 kW", "W", 700),
    ("1980 MHz", "Hz", 1_980_000_000),
    ("3 us", "s", 0.000003),
    ("3 µs", "s", 0.000003),
    ("20 ms", "s", 0.020),
    ("5 ns", "s", 0.000000005),
    ("2 s", "s", 2),
    ("30 kUSD", "USD", 30_000),
    ("1e3 W", "W", 1000),
]


@pytest.mark.parametrize(("text", "value"), BYTES.items())
def test_byte_prefixes_are_powers_written_out_by_hand(text: str, value: float) -> None:
    assert units.parse(text, "B") == value


@pytest.mark.parametrize(("text", "dimension", "value"), OTHERS)
def test_each_dimension_reads_its_units(text: str, dimension: str, value: float) -> None:
    assert units.parse(text, dimension) == pytest.approx(value, rel=1e-15)


def test_every_prefix_stands_in_the_tests_above() -> None:
    read = {text.split()[1].removesuffix("B") for text in BYTES if text.endswith("B")}
    assert read == set(units.DECIMAL) | set(units.BINARY)
    small = {"": 1, "m": 0.001, "u": 0.000001, "µ": 0.000001, "n": 0.000000001}
    assert small == units.SMALL


def test_hour_million_and_gib() -> None:
    assert units.HOUR == 60 * 60
    assert units.MILLION == 1_000_000
    assert units.gib(80_000_000_000) == pytest.approx(74.5058, abs=5e-5)  # 80e9 / 2^30


@pytest.mark.parametrize(
    ("text", "dimension", "message"),
    [
        ("989 TFLOP", "FLOP/s", "unit 'TFLOP' measures FLOP, but FLOP/s is due"),
        ("80 GB/s", "B", "unit 'GB/s' measures B/s, but B is due"),
        ("80 GB", "B/s", "unit 'GB' measures B, but B/s is due"),
        ("700 J", "W", "unknown unit 'J': W is due, e.g. '1 W'"),
        ("80 gb", "B", "unknown unit 'gb': B is due, e.g. '1 GB'"),
        ("80", "B", "'80' is not a number with a unit of B"),
        ("GB", "B", "'GB' is not a number with a unit of B"),
        ("", "B", "'' is not a number with a unit of B"),
        ("nan GB", "B", "'nan GB' is not a number with a unit of B"),
        ("1e999 GB", "B", "'1e999 GB' is not finite"),
        ("1,5 GB", "B", "'1,5 GB' is not a number with a unit of B"),
        ("1 GFLOPS", "FLOP/s", "unknown unit 'GFLOPS': FLOP/s is due, e.g. '1 TFLOP/s'"),
        ("9" * 100 + " B", "B", f"'{'9' * 64}' is not a number with a unit of B"),
    ],
)
def test_a_wrong_unit_is_named(text: str, dimension: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        units.parse(text, dimension)
    assert str(error.value) == message


@pytest.mark.parametrize(
    "text", ["1 GB\nB", "١ GB", "1 G\u0412", "0x10 B", "1e B", "--1 B", "1 kiB"]
)
def test_look_alikes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is due|is not a number"):
        units.parse(text, "B")


@pytest.mark.parametrize(
    ("value", "dimension", "text"),
    [
        (3_350_000_000_000, "B/s", "3.35 TB/s"),
        (80_000_000_000, "B", "80.0 GB"),
        (999_499_999, "B", "999 MB"),
        (999_600_000, "B", "1.00 GB"),
        (0.0098136, "s", "9.81 ms"),
        (0.9998, "s", "1.00 s"),
        (12.0, "s", "12.0 s"),
        (0.0, "FLOP", "0 FLOP"),
        (0.5, "W", "0.500 W"),
        (math.inf, "B", "inf B"),
        (2e-10, "s", "0.200 ns"),
        (-2_000, "B", "-2.00 kB"),
    ],
)
def test_show(value: float, dimension: str, text: str) -> None:
    assert units.show(value, dimension) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(9.81, "9.81"), (98.14, "98.1"), (981.4, "981"), (9812, "9812"), (9.999, "10.0"), (0, "0")],
)
def test_significant_digits(value: float, text: str) -> None:
    assert units.significant(value, 3) == text


@given(
    value=st.floats(1e-12, 1e21),
    dimension=st.sampled_from(sorted(units.DIMENSIONS)),
    digits=st.integers(2, 12),
)
def test_what_is_shown_reads_back(value: float, dimension: str, digits: int) -> None:
    """parse(show(x)) = x to half a unit of the last digit shown."""
    back = units.parse(units.show(value, dimension, digits), dimension)
    assert back == pytest.approx(value, rel=0.5000001 * 10 ** (1 - digits))


@given(st.text(max_size=80), st.sampled_from(sorted(units.DIMENSIONS)))
def test_any_text_is_a_number_or_a_sentence(text: str, dimension: str) -> None:
    said = ""
    try:
        value = units.parse(text, dimension)
    except ValueError as error:
        value, said = 0.0, str(error)
    assert math.isfinite(value)
    assert not said or dimension in said or "finite" in said
