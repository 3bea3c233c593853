"""Text for people: pages at any width, in any encoding, with and without colour; words."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import llmroof
from llmroof.cli.main import cli
from llmroof.render.basis import basis
from llmroof.render.flags import command, words
from llmroof.render.page import Line, Page, grid, in_encoding, page, to_text
from llmroof.render.record import plain
from llmroof.render.table import to_csv, to_markdown
from llmroof.render.why import byte_shares, crossed, distance, phase_sentence, ridge_sentence
from llmroof.search.again import again
from llmroof.search.levers import levers, ridge_batch, ways_out

TABLE = grid(("name", "size", "time"), [("attention", "1.5 GB", "2 ms"), ("mlp", "3 GB", "40 ms")])


def test_table_aligns() -> None:
    assert to_text(page([TABLE])).splitlines() == [
        "  name         size   time",
        "  attention  1.5 GB   2 ms",
        "  mlp          3 GB  40 ms",
    ]


def test_table_too_wide_becomes_one_block_per_row() -> None:
    assert to_text(page([TABLE]), 20).splitlines() == [
        "  attention",
        "    size: 1.5 GB",
        "    time: 2 ms",
        "  mlp",
        "    size: 3 GB",
        "    time: 40 ms",
    ]


def test_lines_wrap_and_hang() -> None:
    text = to_text(page([Line("- one two three four", hang=2)]), 12)
    assert text == "- one two\n  three four\n"


@given(st.lists(st.text("abc ", max_size=60).map(str.strip), max_size=5), st.integers(12, 90))
def test_no_line_is_wider_than_asked(words: list[str], width: int) -> None:
    wide = [Line(" ".join(word[:12] for word in text.split())) for text in words]
    assert all(len(line) <= width for line in to_text(page(wide), width).splitlines())


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("utf-8", "2 × 3 → 6"), ("ascii", "2 x 3 -> 6"), ("latin-1", "2 x 3 -> 6"), ("none", "2 x")],
)
def test_encodings(encoding: str, shown: str) -> None:
    assert in_encoding("2 × 3 → 6", encoding).startswith(shown)


def test_plain_data() -> None:
    values = {"a": np.float64(2.0), "b": float("nan"), "c": float("inf"), "d": [np.True_, 0.5]}
    assert plain(values) == {"a": 2, "b": None, "c": None, "d": [True, 0.5]}
    assert isinstance(plain(np.float64(2.0)), int)


def test_csv_and_markdown_cells() -> None:
    rows = [{"a": None, "b": True, "c": "x|y,z"}, {"a": 1.5, "b": False, "c": ""}]
    assert to_csv(rows) == 'a,b,c\n,true,"x|y,z"\n1.5,false,\n'
    assert to_markdown(rows).splitlines()[2] == "|  | true | x\\|y,z |"
    assert to_markdown([]) == ""


@pytest.mark.parametrize("width", [40, 60, 80])
@pytest.mark.parametrize(
    "command",
    [
        "estimate --gpu a100 --batch 32",
        "estimate --model llama-3.1-70b --gpu a100 --tp 1",
        "estimate --batch 1:8:x2",
        "kv",
        "models show llama-3.1-8b",
    ],
)
def test_pages_fit_the_terminal(command: str, width: int) -> None:
    result = CliRunner(env={"COLUMNS": str(width)}).invoke(cli, command.split())
    for line in result.stdout.splitlines():
        wide = max((len(word) for word in line.split()), default=0)
        assert len(line) <= width or wide > width - 12, line


def terminal(env: dict[str, str]) -> str:
    """What the command shows on a pseudo-terminal."""
    pty = pytest.importorskip("pty")
    main, side = pty.openpty()
    command = [sys.executable, "-m", "llmroof", "estimate", "--model", "llama-3.1-70b"]
    with subprocess.Popen(
        [*command, "--gpu", "a100", "--tp", "1"],
        stdout=side,
        stderr=subprocess.STDOUT,
        stdin=side,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"} | env,
    ) as process:
        os.close(side)
        shown = b""
        while True:
            try:
                part = os.read(main, 65536)
            except OSError:  # the terminal is gone: all has been read
                break
            if not part:
                break
            shown += part
        process.wait()
    os.close(main)
    return shown.decode().replace("\r\n", "\n")


def test_colour_only_on_a_terminal_and_only_if_wanted() -> None:
    pytest.importorskip("rich")
    coloured = terminal({"NO_COLOR": ""})
    assert "\x1b[" in coloured
    assert "Does not fit" in coloured
    assert "\x1b" not in terminal({"NO_COLOR": "1"})
    assert "\x1b" not in terminal({"NO_COLOR": "", "TERM": "dumb"})


def test_distance_to_the_ridge() -> None:
    """A100: 312e12 / 2.039e12 = 153.0 FLOP/B; 153.0 / 24.97 = 6.13."""
    estimate = llmroof.estimate(gpu="a100", batch=32)
    assert distance(estimate.decode) == "6.1× left of the ridge"
    assert distance(estimate.prefill) == "17× right of the ridge"
    shares = dict(byte_shares(estimate.decode))
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["weights"] == pytest.approx((16.06e9 - 1.05e9) / 20.01e9, abs=0.001)


@pytest.mark.parametrize("question", [{"input_len": 64, "output_len": 16}, {"gpu": "h20"}])
def test_the_ridge_batch_is_the_first_that_reaches_it(question: dict[str, object]) -> None:
    estimate = llmroof.estimate(**{"gpu": "a100", **question})
    batch, _ = ridge_batch(estimate)
    assert batch is not None
    here = again(estimate, batch=float(batch)).decode
    before = again(estimate, batch=float(batch - 1)).decode
    assert here.arithmetic_intensity >= here.ridge_point
    assert before.arithmetic_intensity < before.ridge_point


def test_the_ridge_that_is_never_reached() -> None:
    estimate = llmroof.estimate(gpu="a100", batch=32)
    batch, high = ridge_batch(estimate)
    assert batch is None
    assert high < estimate.decode.ridge_point
    assert "No batch reaches the ridge" in ridge_sentence(estimate)


def test_what_ends_the_batch_under_a_load_is_named() -> None:
    """KV cache for 1,041 sequences, of which SGLang runs 1,024; half the GPUs hold fewer."""
    asked = {"model": "llama-3.1-70b", "gpu": "h100", "engine": "sglang", "concurrency": 8}
    many, few = (ridge_sentence(llmroof.estimate(**asked, tp=tp)) for tp in (8, 4))
    assert "at most 1,024 sequences at once (--max-num-seqs)" in many
    assert "memory first" in few
    workers = {"disaggregated": True, "prefill_workers": 1, "decode_workers": 3}
    assert "memory first" in ridge_sentence(llmroof.estimate(**asked, tp=4, **workers))


def test_levers_are_the_estimate_run_again() -> None:
    estimate = llmroof.estimate(gpu="a100", batch=32)
    for lever in levers(estimate):
        alone = llmroof.estimate(gpu="a100", batch=32, **{"tp": 1, **lever.change})
        assert lever.result.serving == alone.serving
        assert lever.gain == pytest.approx(1 - alone.serving.tpot / estimate.serving.tpot)
    gains = [lever.gain for lever in levers(estimate)]
    assert gains == sorted(gains, reverse=True)


@pytest.mark.parametrize(
    "question",
    [
        {"model": "llama-3.1-70b", "gpu": "a100", "tp": 1},
        {"model": "llama-3.1-405b", "gpu": "h100", "tp": 8},
        {"model": "llama-3.1-8b", "gpu": "a100", "tp": 1, "batch": 5000},
        {"model": "llama-3.1-8b", "gpu": "t4", "tp": 1},
        {"model": "llama-3.1-8b", "gpu": "l4", "tp": 1, "input_len": 120_000, "output_len": 1000},
    ],
)
def test_ways_out_fit(question: dict[str, object]) -> None:
    estimate = llmroof.estimate(**question)
    assert not estimate.fits
    ways = ways_out(estimate)
    assert ways
    for way in ways:
        assert way.result.fits
        line = command(estimate, question, way.change).split()
        assert CliRunner().invoke(cli, line[1:]).exit_code == 0, line


def test_command_text_quotes_names() -> None:
    estimate = llmroof.estimate(gpu="h100")
    text = command(estimate, {"gpu": "my gpu.yaml", "kv_cache": False}, {"batch": 4.0})
    assert text == "llmroof estimate --gpu 'my gpu.yaml' --no-kv-cache --batch 4"
    assert command(estimate, {}, {}).startswith("llmroof estimate --model llama-3.1-8b")


def test_empty_page() -> None:
    assert to_text(Page(())) == "\n"


def test_a_bound_on_the_other_side_of_the_ridge_is_explained() -> None:
    """Left of the datasheet's ridge and right of the one that kernels have."""
    estimate = llmroof.estimate(model="mixtral-8x7b", gpu="h100")
    phase = estimate.prefill
    assert crossed(phase)
    sentence = phase_sentence("prefill", phase)
    assert sentence.startswith("Prefill is compute-bound although ")
    said = re.search(
        r"reach (\d+)% of the peak and (\d+)% of the bandwidth.* at ([\d.]+) FLOP/B", sentence
    )
    assert said is not None
    peak, bandwidth, ridge = map(float, said.groups())
    assert ridge == pytest.approx(phase.ridge_point * peak / bandwidth, rel=0.03)
    assert ridge < phase.arithmetic_intensity < phase.ridge_point
    limit = llmroof.estimate(model="mixtral-8x7b", gpu="h100", limit=True)
    assert not crossed(limit.prefill)
    assert "although" not in phase_sentence("prefill", limit.prefill)


def test_turning_the_cache_on_is_named() -> None:
    assert words({"kv_cache": True}) == "without --no-kv-cache"
    assert words({"kv_cache": False}) == "--no-kv-cache"
    text = CliRunner().invoke(cli, ["estimate", "--gpu", "h100", "--no-kv-cache"]).stdout
    assert "What would move it: without --no-kv-cache (TPOT -" in " ".join(text.split())


def test_one_token_out_has_no_decode() -> None:
    text = CliRunner().invoke(cli, ["estimate", "--gpu", "h100", "--output-len", "1"]).stdout
    assert "1 token out" in text
    assert "No decode step" in text
    assert "decode step  " not in text
    assert "TPOT -" not in text.replace("TPOT  ", "")
    assert "left of the ridge" not in text


def test_no_run_beats_the_peak_in_a_pipeline() -> None:
    arguments = ["--model", "llama-3.1-70b", "--gpu", "h100", "-tp", "2", "-pp", "2", "-b", "8"]
    result = CliRunner().invoke(cli, ["layers", *arguments, "--format", "json"])
    peak = llmroof.load_hardware("h100").peak("bf16")
    found = [row for row in json.loads(result.stdout)["operators"] if row["flop"]]
    assert found
    rates = [row["flop"] / row["roofline_time_s"] / peak for row in found]
    assert max(rates) <= 1 + 1e-9
    assert max(rates) == pytest.approx(1)  # the matmuls of prefill stand at the peak


def test_devices_that_were_not_timed_are_told() -> None:
    from llmroof.calibration.load import load_calibration
    from llmroof.specs.catalog import HARDWARE

    devices = load_calibration().devices
    assert set(devices) <= set(HARDWARE.files())
    for gpu in ("a100", "h200", "h100", "mi300x"):
        text = CliRunner().invoke(cli, ["estimate", "--gpu", gpu]).stdout
        hardware = llmroof.load_hardware(gpu)
        words = " ".join(text.split())
        assert (f"not measured on {hardware.name}" in words) == (hardware.id not in devices)
        assert "efficiencies measured on" in words or "efficiencies carried over from" in words


@pytest.mark.parametrize(
    "options",
    [["--num-gpus", "4"], ["--num-gpus", "8", "--disaggregated", "-c", "64", "--tp", "4"]],
)
def test_a_lever_of_more_gpus_can_be_asked(options: list[str]) -> None:
    """Where the number of GPUs was asked, twice the tensor parallel degree names the new one."""
    asked = ["estimate", "-m", "llama-3.1-70b", "-g", "h100", "-p", "fp8", *options]
    text = " ".join(CliRunner().invoke(cli, asked).output.split())
    found = re.search(r"--num-gpus (\d+) --tp (\d+) \(TPOT", text)
    assert found is not None
    again = [*asked, "--num-gpus", found[1], "--tp", found[2]]
    assert CliRunner().invoke(cli, again).exit_code == 0


def test_sums_over_many_cards_on_pcie_say_what_they_rest_on() -> None:
    """Published rows of another host contradict the timed one, so the answer names it."""
    asked = {"model": "llama-3.1-70b", "batch": 8}
    for gpu, tp, limit, told in (("l40s", 4, False, True), ("l40s", 4, True, False),
                                 ("h100", 4, False, False), ("l40s", 2, False, False)):  # fmt: skip
        precision = "w4a16" if gpu == "l40s" else "bf16"
        answer = llmroof.estimate(**asked, gpu=gpu, tp=tp, limit=limit, precision=precision)
        said = [line["text"] for line in basis(answer) if "cards on PCIe" in line["text"]]
        assert bool(said) == told
