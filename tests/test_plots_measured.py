"""Empirical rooflines: levels of memory, points of validate, and what cannot be drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_measured_times import MEASURED, machine

from llmroof import estimate
from llmroof.errors import InputError
from llmroof.evidence.points import points
from llmroof.evidence.rows import read_rows
from llmroof.render.plots.measured import draw_points, draw_profile, levels
from llmroof.specs.hardware import load_hardware
from llmroof.specs.measured import Curve

ROWS = (
    "model,hardware,num_gpus,precision,batch,input_len,output_len,ttft_s,tpot_s\n"
    "llama-3.1-8b,h100,1,bf16,1,1024,2,0.02,0.006\n"
    "llama-3.1-8b,h100,1,bf16,8,1024,2,,0.007\n"
)


def rows(folder: Path, text: str = ROWS) -> pd.DataFrame:
    path = folder / "rows.csv"
    path.write_text(text, "utf-8")
    return read_rows(path)


def test_levels_are_memory_and_the_caches_that_show() -> None:
    sizes = (1e4, 1e5, 1e6, 1e7, 1e8)
    copy = Curve(sizes, (9e10, 1e11, 5e10, 1.9e10, 2e10))
    read = Curve(sizes, (2e11, 1e11, 4e10, 2.1e10, 1.8e10))
    found = levels(replace(MEASURED, streams={"copy": copy, "read": read}))
    # the best of both is 200, 100, 50, 21, 20 GB/s: 21 is still memory
    assert found == [(1e8, 2.1e10), (1e6, 5e10), (1e5, 1e11), (1e4, 2e11)]


def test_points_are_flop_over_the_measured_time(tmp_path: Path) -> None:
    found = {one.phase: one for one in points(rows(tmp_path))}
    one = estimate(
        model="llama-3.1-8b", gpu="h100", num_gpus=1, precision="bf16", input_len=1024, output_len=2
    )
    assert found["prefill"].measured[0] == pytest.approx(float(one.prefill.flop) / 0.02)
    assert np.isnan(found["prefill"].measured[1])
    assert found["decode"].intensity[0] == pytest.approx(float(one.decode.arithmetic_intensity))
    share = found["decode"].predicted[0] * float(one.decode.time)
    assert share == pytest.approx(float(one.decode.flop))


def test_loads_are_no_points(tmp_path: Path) -> None:
    text = ROWS.replace("batch", "concurrency")
    assert points(rows(tmp_path, text)) == []
    with pytest.raises(InputError, match="no static batch was both measured and predicted"):
        draw_points(rows(tmp_path, text), tmp_path / "x.png")


def test_charts_are_written(tmp_path: Path) -> None:
    draw_points(rows(tmp_path), tmp_path / "points.svg")
    text = (tmp_path / "points.svg").read_text("utf-8")
    assert text.startswith("<?xml")
    draw_profile(machine(), tmp_path / "roof.png")
    assert (tmp_path / "roof.png").stat().st_size > 10_000


def test_a_profile_that_was_not_measured_has_no_empirical_roofline(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="was not measured"):
        draw_profile(load_hardware("h100"), tmp_path / "roof.png")


def test_an_ending_that_charts_lack_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a chart is written as"):
        draw_points(rows(tmp_path), tmp_path / "points.bmp")
