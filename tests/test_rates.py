"""Rates beyond what can be finished, and the parts, axes and sums that messages name."""

from __future__ import annotations

from pathlib import Path

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
