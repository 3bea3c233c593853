"""`llmroof models`: the list, sorted and filtered as the accelerators are."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from click.testing import CliRunner, Result

from llmroof.cli.main import cli
from llmroof.render.model import COLUMNS


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, ["models", *args])


@cache
def rows(*args: str) -> list[dict[str, Any]]:
    result = run(*args, "--format", "json")
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)["models"]
    return found


@pytest.mark.parametrize("column", ["id", "active", "context", "experts"])
def test_columns_sort_unknown_last(column: str) -> None:
    key, measure = COLUMNS[column]
    values = [row[key] for row in rows("--sort", column)]
    known = [value for value in values if value is not None]
    assert known == sorted(known, reverse=measure is not None)
    assert None not in values[: len(known)]
    assert len(values) == len(rows())


def test_the_condition_chooses() -> None:
    small = {r["id"] for r in rows() if r["weights_bytes"] <= 80e9 and r["active_parameters"] < 4e9}
    assert {r["id"] for r in rows("--where", "weights <= 80 GB and active < 4e9")} == small
    assert {r["family"] for r in rows("--where", "family = 'gemma2'")} == {"gemma2"}
    assert all(r["experts"] for r in rows("--where", "experts >= 100"))
    assert "No model meets the condition." in run("--where", "weights > 9 PB").stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--sort", "parms"], "no column 'parms' to sort by; did you mean 'parameters'?"),
        (["--where", "wieghts > 8 GB"], "no column 'wieghts'; did you mean 'weights'?"),
        (["--where", "weights > 3 s"], "compares B with s"),
    ],
)
def test_what_is_no_column(args: list[str], message: str) -> None:
    found = run(*args)
    assert found.exit_code == 2
    assert message in found.stderr
    assert found.stderr.count("\n") == 1


def test_the_table_fits_80_columns() -> None:
    lines = run().stdout.splitlines()
    assert len(lines) > len(rows())
    assert max(map(len, lines)) <= 80
    assert lines[0].split()[:3] == ["id", "total", "active"]
    assert any(line.startswith("gpt-oss-120b") and "mxfp4" in line for line in lines)


def test_an_estimate_says_what_stands_beside_the_text_decoder() -> None:
    found = CliRunner().invoke(cli, ["estimate", "--model", "gemma-3-27b", "--format", "json"])
    texts = [entry["text"] for entry in json.loads(found.stdout)["basis"]]
    assert any(text.startswith("the vision tower (423 M parameters in bf16)") for text in texts)
    found = CliRunner().invoke(
        cli, ["estimate", "--model", "deepseek-v3", "--gpu", "b200", "--format", "json"]
    )
    texts = [entry["text"] for entry in json.loads(found.stdout)["basis"]]
    assert "MTP layers are neither held nor run" in texts
