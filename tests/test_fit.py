"""`calibrate`: coefficients found again, cross-validated, and refused where rows cannot tell."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from llmroof import estimate
from llmroof.calibration.device import with_fitted
from llmroof.calibration.load import load_calibration
from llmroof.cli.main import cli
from llmroof.errors import InputError
from llmroof.evidence.fit import Fit, NoBetter, fit
from llmroof.specs.hardware import load_hardware
from llmroof.specs.measured import Fitted

TRUTH = Fitted("", 1, 0.0, 0.0, compute=0.4, memory=0.55, launch=9e-6, step=2e-3)
BIG, SMALL = "llama-3.1-8b", "llama-3.2-1b"
GRID = [(m, b, c) for m in (BIG, SMALL) for b in (1, 8, 64) for c in (128, 1024, 4096)]


@lru_cache
def fit_of(noise: float) -> Fit:
    return fit(rows(noise), load_hardware("h100"))


def rows(noise: float = 0.0, grid: list[tuple[str, int, int]] = GRID) -> pd.DataFrame:
    """Rows of a device that is H100 with other coefficients; noise alternates in sign."""
    device = replace(load_hardware("h100"), fitted=TRUTH)
    made = []
    for place, (model, batch, context) in enumerate(grid):
        asked = {"model": model, "precision": "bf16", "batch": batch, "num_gpus": 1}
        found = estimate(gpu=device, input_len=context, output_len=2, **asked).serving
        factor = 1 + noise * (-1) ** place
        made.append(
            asked
            | {"hardware": "h100", "input_len": float(context), "output_len": 2.0}
            | {"ttft_s": float(found.ttft) * factor, "tpot_s": float(found.tpot) * factor}
        )
    frame = pd.DataFrame(made)
    return frame.assign(batch=frame["batch"].astype(float), id="x")


def test_coefficients_behind_made_up_rows_are_found_again() -> None:
    found = fit_of(0.0)
    assert found.fitted.compute == pytest.approx(TRUTH.compute, rel=0.02)
    assert found.fitted.memory == pytest.approx(TRUTH.memory, rel=0.02)
    assert found.fitted.launch == pytest.approx(TRUTH.launch, rel=0.1)
    assert found.fitted.step == pytest.approx(TRUTH.step, rel=0.05)
    assert found.before > 0.3
    assert found.left_out < 0.01
    assert found.rows == len(GRID)
    assert set(found.by_metric) == {"ttft_s", "tpot_s"}


def test_the_same_rows_give_the_same_fit() -> None:
    first, second = fit_of(0.05), fit(rows(0.05), load_hardware("h100"))
    assert first.fitted == second.fitted
    assert 0.02 < first.in_sample <= first.left_out < 0.15


def test_a_coefficient_that_no_row_tells_is_left_alone() -> None:
    long = rows(grid=[(BIG, b, c) for b in (8, 16, 32) for c in (2048, 4096, 8192)])
    found = fit(long.drop(columns="tpot_s"), load_hardware("h100"))
    told = {one.name: one for one in found.coefficients}
    assert told["compute"].after == pytest.approx(TRUTH.compute, rel=0.05)
    assert told["step"].after is None
    assert "of the 5 rows that it needs tell it" in told["step"].why
    assert found.fitted.step is None


def test_launch_and_step_need_models_of_several_depths() -> None:
    found = fit(rows(grid=[one for one in GRID if one[0] == BIG]), load_hardware("h100"))
    told = {one.name: one for one in found.coefficients}
    assert told["step"].why == "the rows cannot tell it from launch"
    assert found.fitted.launch > TRUTH.launch  # it stands for both
    assert found.left_out < 0.02


def test_few_rows_are_refused_with_their_number() -> None:
    with pytest.raises(InputError, match="3 rows can be predicted: each coefficient needs 5"):
        fit(rows().head(3), load_hardware("h100"))


def test_a_fit_that_does_not_help_is_not_written() -> None:
    """What the profile predicts exactly cannot be predicted better."""
    device = load_hardware("h100")
    frame = rows()
    for index, row in frame.iterrows():
        found = estimate(
            model=row["model"], gpu=device, precision="bf16", batch=row["batch"], num_gpus=1,
            input_len=row["input_len"], output_len=2,
        ).serving  # fmt: skip
        frame.loc[index, "ttft_s"] = float(found.ttft)
        frame.loc[index, "tpot_s"] = float(found.tpot)
    with pytest.raises(NoBetter, match="no better than without it") as refused:
        fit(frame, device)
    assert refused.value.exit_code == 1


def test_fitted_coefficients_move_all_kinds_together() -> None:
    plain = load_calibration()
    found = with_fitted(plain, TRUTH)
    assert found.kind("gemm").compute[16] == pytest.approx(0.4)
    share = plain.kind("attention").compute[16] * 0.4 / plain.kind("gemm").compute[16]
    assert found.kind("attention").compute[16] == pytest.approx(share)
    assert found.kind("attention").launch == pytest.approx(7e-6 * 9e-6 / 3e-6)
    assert (
        max(kind.memory for kind in with_fitted(plain, replace(TRUTH, memory=1.0)).kinds.values())
        <= 1
    )
    assert with_fitted(plain, None) is plain


def test_the_step_is_paid_once_per_pass() -> None:
    device = load_hardware("h100")
    asked = {"model": "llama-3.1-8b", "precision": "bf16", "input_len": 128, "output_len": 2}
    times = [
        float(estimate(gpu=replace(device, fitted=replace(TRUTH, step=step)), **asked).serving.tpot)
        for step in (0.0, 0.01)
    ]
    assert times[1] - times[0] == pytest.approx(0.01)


def test_the_command_writes_a_profile_that_predicts(tmp_path: Path) -> None:
    path, out = tmp_path / "rows.csv", tmp_path / "mine.yaml"
    rows(0.03).to_csv(path, index=False)
    done = CliRunner().invoke(cli, ["calibrate", str(path), "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert "left out" in done.output
    read = load_hardware(str(out))
    assert read.fitted is not None
    assert read.fitted.compute == pytest.approx(TRUTH.compute, rel=0.05)
    tpot = float(
        estimate(
            model="llama-3.1-8b", gpu=str(out), batch=16, input_len=1024, output_len=2
        ).serving.tpot
    )
    measured = float(rows(grid=[(BIG, 16, 1024)])["tpot_s"].iloc[0])
    assert np.isclose(tpot, measured, rtol=0.1)


def test_a_profile_does_not_overwrite_what_it_extends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, more = tmp_path / "my.yaml", tmp_path / "more.yaml"
    mine.write_text("name: Mine\nextends: h100-sxm\n")
    more.write_text("name: More\nextends: my.yaml\n")
    path = tmp_path / "rows.csv"
    for base in (mine, more):
        rows().assign(hardware=str(base)).to_csv(path, index=False)
        done = CliRunner().invoke(cli, ["calibrate", str(path), "-o", str(mine), "--force"])
        assert done.exit_code == 2, done.output
        assert "is what the new profile would extend" in done.output
    assert mine.read_text() == "name: Mine\nextends: h100-sxm\n"
    own = tmp_path / "hardware_specs"
    own.mkdir()
    monkeypatch.setenv("LLMROOF_SPECS", str(tmp_path))
    rows().assign(hardware="h100-sxm").to_csv(path, index=False)
    done = CliRunner().invoke(cli, ["calibrate", str(path), "-o", str(own / "h100-sxm.yaml")])
    assert done.exit_code == 2, done.output
    assert "would hide h100-sxm" in done.output
    bare = tmp_path / "h100-sxm"
    done = CliRunner().invoke(cli, ["calibrate", str(path), "-o", str(bare)])
    assert done.exit_code == 2
    assert not bare.exists()


def test_rows_of_several_devices_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    frame = rows()
    frame.loc[0, "hardware"] = "a100"
    frame.to_csv(path, index=False)
    done = CliRunner().invoke(cli, ["calibrate", str(path), "-o", str(tmp_path / "x.yaml")])
    assert done.exit_code == 2
    assert "rows of several devices: a100, h100" in done.output
