"""`llmroof gpus`: sorted, filtered, compared, checked; profiles of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from llmroof import load_hardware
from llmroof.cli.main import cli
from llmroof.render.hardware import COLUMNS
from llmroof.specs.catalog import HARDWARE

MINE = """\
name: Mine
memory: {capacity: 99 GB, bandwidth: 1 TB/s}
compute: {bf16: 100 TFLOP/s}
sources: [{of: [memory, compute], title: a note}]
"""


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, ["gpus", *args])


def rows(*args: str) -> list[dict[str, Any]]:
    result = run(*args, "--format", "json")
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)["hardware"]
    return found


# --- sorted and filtered ---------------------------------------------------------------


@pytest.mark.parametrize("column", COLUMNS)
def test_every_column_sorts_unknown_last(column: str) -> None:
    key, measure = COLUMNS[column]
    values = [row[key] for row in rows("--sort", column)]
    known = [value for value in values if value is not None]
    assert len(known) > 5
    assert values[: len(known)] == known or measure is None
    assert known == sorted(known, reverse=measure is not None)


@pytest.mark.parametrize(
    ("condition", "inside", "outside"),
    [
        ("memory>=80GB and fp8", {"h100-sxm", "mi300x", "b200-sxm"}, {"a100-sxm-80gb", "l40s"}),
        ("memory >= 75 GiB", {"h200-sxm"}, {"h100-sxm", "a100-sxm-80gb"}),
        ("not fp8 and vendor = 'NVIDIA'", {"a100-sxm-80gb", "t4"}, {"h100-sxm", "mi210"}),
        ("bandwidth > 3 TB/s and tdp <= 700 W", {"h100-sxm", "h200-sxm"}, {"mi300x", "l4"}),
        ("bf16 / bandwidth > 300", {"gb200", "mi355x"}, {"h100-sxm", "t4"}),
        ("price < 1.5 or nic >= 800 Gbit/s", {"b300-sxm"}, {"h100-sxm"}),
        ("usd_per_hour < 1000 and memory_bytes > 1 GB", {"h100-sxm"}, {"gb200"}),
        ("fp4 >= 5 PFLOP/s", {"b200-sxm"}, {"h100-sxm"}),
    ],
)
def test_conditions_know_units(condition: str, inside: set[str], outside: set[str]) -> None:
    found = {row["id"] for row in rows("--where", condition)}
    assert inside <= found
    assert not outside & found


def test_conditions_agree_with_the_profiles() -> None:
    expected = {
        name
        for name in HARDWARE.files()
        if load_hardware(name).memory.capacity >= 80e9 and "fp8" in load_hardware(name).compute
    }
    assert {row["id"] for row in rows("--where", "memory>=80GB and fp8")} == expected


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--where", "memoy > 80 GB"], "no column 'memoy'; did you mean 'memory'?"),
        (["--where", "memory > 3 s"], "compares B with s"),
        (["--where", "memory > "], "is missing at the end"),
        (["--where", "__import__('os')"], "no column '__import__'"),
        (["--where", "memory"], None),
        (["--where", "80 GB"], "is no condition"),
        (["--sort", "bandwith"], "no column 'bandwith' to sort by; did you mean 'bandwidth'?"),
    ],
)
def test_slips_are_told(arguments: list[str], sentence: str | None) -> None:
    result = run(*arguments)
    if sentence is None:
        assert result.exit_code == 0
        return
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


def test_nothing_meets_the_condition() -> None:
    assert "No accelerator meets the condition." in run("--where", "memory > 900 TB").stdout
    assert rows("--where", "memory > 900 TB") == []


# --- compared --------------------------------------------------------------------------


def test_side_by_side_by_hand() -> None:
    """A100: 312e12 / 2.039e12 = 153 FLOP/B; 312e12 x 3600 / 2.79 = 403 PFLOP per USD;
    312e12 / 400 = 780 GFLOP and 2.039e12 / 400 = 5.1 GB per joule.
    """
    result = run("compare", "a100", "h100", "mi300x", "--format", "json")
    document = json.loads(result.stdout)
    assert document["schema"] == "llmroof.hardware_comparison/1"
    found = {row["id"]: row for row in document["hardware"]}
    a100 = found["a100-sxm-80gb"]
    assert a100["bf16_ridge_point"] == pytest.approx(312 / 2.039)
    assert a100["bf16_flop_per_usd"] == pytest.approx(312e12 * 3600 / 2.79)
    assert a100["bytes_per_usd"] == pytest.approx(2.039e12 * 3600 / 2.79)
    assert a100["bf16_flop_per_joule"] == pytest.approx(312e12 / 400)
    assert a100["bytes_per_joule"] == pytest.approx(2.039e12 / 400)
    assert a100["fp8_flop_per_s"] is None
    best = document["best"]
    assert (best["memory_bytes"], best["tdp_w"]) == ("mi300x", "a100-sxm-80gb")
    assert (best["usd_per_hour"], best["link_bytes_per_s"]) == ("mi300x", "h100-sxm")
    assert best["bf16_ridge_point"] is None  # neither more nor less is better
    assert document["missing"] == []


def test_the_best_is_marked_and_what_is_missing_is_named() -> None:
    text = " ".join(run("compare", "h100", "gb200", "apple-m4-max").stdout.split())
    assert "8.00 TB/s*" in text
    assert "the profile of gb200 states no 'prices'" in text
    assert "the profile of apple-m4-max states no 'links'" in text


def test_comparison_in_every_form() -> None:
    assert run("compare", "a100", "h100", "--format", "csv").stdout.startswith("id,name,memory_by")
    assert "| a100-sxm-80gb |" in run("compare", "a100", "h100", "--format", "markdown").stdout
    assert run("compare").exit_code == 2
    assert "unknown GPU 'h1000'" in run("compare", "h1000").stderr


# --- profiles of one's own -------------------------------------------------------------


@pytest.mark.parametrize("name", HARDWARE.files())
def test_shipped_profiles_are_sound(name: str) -> None:
    result = run("check", name)
    assert (result.stdout, result.exit_code) == ("ok\n", 0)


def test_check_names_every_problem_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "name: Mine\n"
        "memory: {capacity: 99 GB, bandwith: 1 TB/s}\n"
        "compute:\n"
        "  bf16: 100 TFLOP\n"
        "  fp9: 200 TFLOP/s\n"
        "power: {tdp: 400 W}\n"
        "sources:\n"
        "  - {of: [memory], title: a note, confidence: certain}\n"
    )
    result = run("check", str(file))
    assert result.exit_code == 2
    assert result.stdout.splitlines() == [
        f"{file}:2: memory.bandwith: unknown key; did you mean 'bandwidth'?",
        f"{file}:2: memory.bandwidth: is missing: peak of device memory",
        f"{file}:4: compute.bf16: unit 'TFLOP' measures FLOP, but FLOP/s is due",
        f"{file}:5: compute.fp9: unknown key; did you mean 'fp8'?",
        f"{file}:8: sources[0].confidence: unknown value 'certain'; one of high, medium, low",
    ]


def test_check_tells_figures_without_a_source_beside_other_faults(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(MINE.replace("100 TFLOP/s", "fast") + "power:\n  tdp: 400 W\n")
    lines = run("check", str(file)).stdout.splitlines()
    assert lines[0].startswith(f"{file}:3: compute.bf16: 'fast' is not a number")
    assert lines[1] == f"{file}:6: power.tdp: has no source: name it in 'sources: of'"


def test_check_of_what_is_no_profile(tmp_path: Path) -> None:
    assert "no such GPU file" in run("check", str(tmp_path / "none.yaml")).stderr
    file = tmp_path / "list.yaml"
    file.write_text("- 1\n")
    assert "must be a table" in run("check", str(file)).stdout


def test_own_profiles_work_everywhere(tmp_path: Path) -> None:
    folder = tmp_path / "hardware_specs"
    folder.mkdir()
    (folder / "mine.yaml").write_text(MINE)
    assert run("check", str(folder / "mine.yaml")).stdout == "ok\n"
    option = ("--specs", str(tmp_path))
    assert "mine" in {row["id"] for row in rows("--where", "memory = 99 GB", *option)}
    assert "Mine" in run("compare", str(folder / "mine.yaml"), "h100", "--format", "csv").stdout


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--tp", "2"], "states no link to other devices: 'links.scale_up' or 'links.pcie'"),
        (["--precision", "fp8"], "has no fp8 arithmetic"),
    ],
)
def test_a_question_that_needs_an_absent_value_says_which(
    tmp_path: Path, options: list[str], sentence: str
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(MINE)
    result = CliRunner().invoke(cli, ["estimate", "--gpu", str(file), *options])
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_no_network_no_price_no_power(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    linked = MINE + "links: {scale_up: {bandwidth: 100 GB/s, domain: 2}}\n"
    file.write_text(linked.replace("[memory, compute]", "[memory, compute, links]"))
    beyond = CliRunner().invoke(cli, ["estimate", "--gpu", str(file), "--tp", "4"])
    assert "Mine states no network beyond 2 devices: 'links.nic.bandwidth' is missing" in (
        beyond.stderr
    )
    one = CliRunner().invoke(cli, ["estimate", "--gpu", str(file)])
    text = " ".join(one.stdout.split())
    assert "the profile of mine states no 'prices'; --price USD gives one" in text
    document = json.loads(
        CliRunner().invoke(cli, ["estimate", "--gpu", str(file), "--format", "json"]).stdout
    )
    said = [line["text"] for line in document["basis"]]
    assert "no joules: the profile of mine states no 'power.tdp'; --power WATTS gives one" in said
    assert document["energy"]["joule_per_output_token"] is None


def test_every_datacentre_gpu_counts_its_processors() -> None:
    """Times of matrix products go by waves over the processors: none is guessed."""
    shipped = [load_hardware(name) for name in HARDWARE.files()]
    wanted = [one for one in shipped if one.vendor == "NVIDIA" and "fp8" in one.compute]
    assert wanted
    assert [one.id for one in wanted if not one.processors.get("count")] == []
