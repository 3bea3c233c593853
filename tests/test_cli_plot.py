"""`llmroof plot`: what it hands to the chart, and what it refuses before drawing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from llmroof.cli.main import cli

roofline = pytest.importorskip("llmroof.render.plots.roofline")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The arguments of every chart, in place of the chart."""
    calls: list[Any] = []

    def draw(estimates: Any, path: Path, *, batches: Any = None) -> None:
        calls.append((list(estimates), path, batches))

    monkeypatch.setattr(roofline, "draw", draw)
    return calls


def plot(*args: str) -> Result:
    return CliRunner().invoke(cli, ["plot", *args])


def test_one_estimate(drawn: list[Any], tmp_path: Path) -> None:
    result = plot("--gpu", "a100", "--batch", "32", "-o", str(tmp_path / "r.png"))
    assert result.exit_code == 0
    ((estimates, path, batches),) = drawn
    assert path == tmp_path / "r.png"
    assert batches is None
    assert [float(one.workload.batch) for one in estimates] == [32]
    assert result.stdout == ""  # stdout is data
    assert "r.png" in result.stderr


def test_several_gpus_and_precisions_and_a_path(drawn: list[Any], tmp_path: Path) -> None:
    file = str(tmp_path / "r.svg")
    result = plot("--gpu", "h100,h200", "-p", "bf16,fp8", "-b", "1:64:x4", "-o", file)
    assert result.exit_code == 0
    ((estimates, _, batches),) = drawn
    found = [(e.deployment.hardware.id, e.deployment.run.precision.name) for e in estimates]
    assert found == [
        ("h100-sxm", "bf16"),
        ("h100-sxm", "fp8"),
        ("h200-sxm", "bf16"),
        ("h200-sxm", "fp8"),
    ]
    assert batches == (1, 4, 16, 64)


def test_an_existing_chart_stays(drawn: list[Any], tmp_path: Path) -> None:
    file = tmp_path / "r.png"
    file.write_bytes(b"mine")
    result = plot("-o", str(file))
    assert result.exit_code == 2
    assert "--force overwrites it" in result.stderr
    assert (file.read_bytes(), drawn) == (b"mine", [])
    assert plot("-o", str(file), "--force").exit_code == 0


def test_a_wrong_name_among_several(drawn: list[Any], tmp_path: Path) -> None:
    result = plot("--gpu", "h100,h1000", "-o", str(tmp_path / "r.png"))
    assert result.exit_code == 2
    assert "unknown GPU 'h1000'" in result.stderr
    assert drawn == []
