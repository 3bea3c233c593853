"""Rates beyond what can be finished, and the parts, axes and sums that messages name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import llmroof
from llmroof.cli.main import cli
from llmroof.errors import InputError, Overloaded


def run(*args: str) -> tuple[int, str]:
    """Exit code and everything printed."""
    result = CliRunner().invoke(cli, args)
    return result.exit_code, result.output


@pytest.mark.parametrize("largest", [12.4153, 12.4189, 0.00099999, 9999.9, 22.154, 1.0, 1e-7])
def test_the_printed_rate_is_never_above_the_largest(largest: float) -> None:
    words = str(Overloaded(1e6, largest)).rsplit(" is ", 1)[1]
    printed = float(words.split()[0])
    assert printed <= largest
    assert printed == pytest.approx(largest, rel=1.1e-3)


def test_the_printed_rate_can_be_asked_for() -> None:
    question = ("estimate", "-g", "h100", "-m", "llama-3.1-8b", "--isl", "1000", "--osl", "100")
    with pytest.raises(Overloaded) as raised:
        llmroof.estimate(
            gpu="h100", model="llama-3.1-8b", input_len=1000, output_len=100, request_rate=5000
        )
    largest = str(raised.value).rsplit(" is ", 1)[1].split()[0]
    assert run(*question, "-r", largest)[0] == 0


def test_compare_names_the_overloaded_deployment() -> None:
    code, said = run("compare", "h100", "a100,tp=1", "-m", "llama-3.1-8b", "-r", "16")
    assert code == 1
    assert "more than 'a100,tp=1' can finish" in said


def test_a_part_counts_its_own_points() -> None:
    grid = ("sweep", "-g", "h100", "-m", "llama-3.1-8b", "-b", "1,2,4")
    code, said = run(*grid, "--start", "1", "--end", "2")
    assert code == 0
    assert "1 points, 1 fit" in said


@pytest.mark.parametrize("start", [2, 5])
def test_a_part_without_points_is_a_fault(start: int) -> None:
    grid = ("sweep", "-g", "h100", "-m", "llama-3.1-8b", "-b", "1:9")
    assert run(*grid, "--start", str(start), "--end", "2")[0] == 2
    with pytest.raises(InputError, match="no point lies from"):
        llmroof.sweep(gpu="h100", model="llama-3.1-8b", batch=[1, 2], start=start, end=2)


def test_axes_of_a_file_take_dashes(tmp_path: Path) -> None:
    file = tmp_path / "axes.yaml"
    base = "gpu: h100\nmodel: llama-3.1-8b\noutput-len: [16, 32]\n"
    file.write_text(base, "utf-8")
    code, said = run("sweep", "--axes", str(file), "--format", "csv", "--columns", "output_len")
    assert (code, said.split()) == (0, ["output_len", "16", "32"])
    file.write_text(base + "output_len: 8\n", "utf-8")
    code, said = run("sweep", "--axes", str(file))
    assert code == 2
    assert "written twice" in said


def test_the_sum_beyond_the_context_is_the_one_asked() -> None:
    with pytest.raises(InputError, match=r"input_len [+] output_len = 201024 tokens"):
        llmroof.estimate(gpu="h100", model="llama-3.1-8b", output_len=200_000)


RATES = ("sweep", "-g", "h100", "-m", "llama-3.1-8b", "-r", "1,10,500")


def test_a_range_keeps_the_rates_asked_and_marks_those_beyond() -> None:
    found = llmroof.estimate(
        gpu="h100", model="llama-3.1-8b", request_rate=np.array([1.0, 10.0, 500.0])
    )
    assert np.array_equal(found.fits, [True, True, False])
    assert found.serving.requests_per_s[2] < 500
    frame = llmroof.sweep(gpu="h100", model="llama-3.1-8b", request_rate=[1, 10, 500])
    for rows in (frame, found.to_frame()):
        assert list(rows["request_rate"]) == [1, 10, 500]
        assert list(rows["fits"]) == [True, True, False]


def test_disaggregated_rates_are_marked_too() -> None:
    found = llmroof.estimate(
        gpu="h100", model="llama-3.1-8b", tp=1, disaggregated=True, request_rate=[1.0, 5000.0]
    )
    assert np.array_equal(found.fits, [True, False])


@pytest.mark.parametrize(
    "choice",
    [
        ("--top", "1", "--by", "usd_per_million_output_tokens"),
        ("--pareto", "tpot_s,output_tokens_per_s_per_gpu"),
    ],
)
def test_a_rate_beyond_is_never_chosen(choice: tuple[str, ...]) -> None:
    code, said = run(*RATES, *choice, "--format", "csv", "--columns", "request_rate")
    assert code == 0
    assert "10" in said.split()
    assert "500" not in said.split()
    assert "3 points, 2 sustained" in run(*RATES, *choice)[1]


def test_the_page_of_a_range_says_what_is_beyond() -> None:
    code, said = run("estimate", "-g", "h100", "-m", "llama-3.1-8b", "-r", "1,500")
    assert code == 0
    assert "rates beyond what can be finished do not fit" in " ".join(said.split())
