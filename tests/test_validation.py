"""Measured rows against predictions: reading, errors, ranges, the command, and the real rows."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import llmroof
from llmroof.calibration.ranges import load_ranges
from llmroof.cli.main import cli
from llmroof.errors import InputError
from llmroof.evidence.rows import lengths, options, read_rows
from llmroof.evidence.validate import summary, validate
from llmroof.render.basis import range_words
from llmroof.search.again import at_limit

SHARED = Path(os.environ.get("LLMROOF_SHARED", Path(__file__).resolve().parents[2] / "shared"))
E2E = SHARED / "measured" / "e2e.csv"
HEAD = (
    "id,model,hardware,tp,precision,engine,concurrency,input_len,output_len,lengths,ttft_s,tpot_s"
)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Four rows: two of one deployment, one without TTFT, one of an unknown model."""
    file = tmp_path / "rows.csv"
    file.write_text(
        f"{HEAD}\n"
        "a,meta-llama/Llama-3.1-70B,h200,4,fp8,vllm,8,1024,1024,uniform 0.8-1.0,0.1,0.011\n"
        "b,meta-llama/Llama-3.1-70B,h200,4,fp8,vllm,32,1024,1024,uniform 0.8-1.0,0.2,0.014\n"
        "c,llama-3.1-8b,h100,,,,1,128,128,,,0.009\n"
        "d,no-such-model,h100,,,,1,128,128,,0.1,0.009\n"
    )
    return file


def test_rows_of_one_deployment_are_predicted_as_if_asked_alone(rows: Path) -> None:
    frame = validate(rows)
    for _, row in frame.head(2).iterrows():
        alone = llmroof.estimate(
            model="llama-3.1-70b",
            gpu="h200",
            tp=4,
            precision="fp8",
            engine="vllm",
            concurrency=row.concurrency,
            load="burst",
            random_lengths=True,
            input_len=round(1024 * 0.9),
            output_len=round(1024 * 0.9),
        )
        assert row.predicted_tpot_s == alone.serving.tpot
        assert row.predicted_ttft_s == alone.serving.ttft
        assert row.error_tpot_s == pytest.approx(alone.serving.tpot / row.tpot_s - 1)


def test_a_row_that_cannot_be_predicted_keeps_its_reason(rows: Path) -> None:
    frame = validate(rows)
    assert "no-such-model" in frame.error.iloc[3]
    assert frame.predicted_tpot_s.isna().tolist() == [False, False, False, True]
    found = summary(frame).set_index("metric")
    assert found.loc["tpot_s", "n"] == 4
    assert found.loc["tpot_s", "failed"] == 1
    assert found.loc["ttft_s", "n"] == 3


def test_the_summary_is_that_of_the_errors(rows: Path) -> None:
    frame = validate(rows)
    errors = frame.error_tpot_s.dropna()
    found = summary(frame).set_index("metric").loc["tpot_s"]
    assert found["mape"] == errors.abs().mean()
    assert found["bias"] == errors.mean()
    by = summary(frame, ["engine"])
    assert set(by.engine) == {"", "vllm"}
    with pytest.raises(InputError, match="no column 'colour'"):
        summary(frame, ["colour"])


def test_inside_means_between_the_ends_of_the_range(rows: Path) -> None:
    frame = validate(rows).head(3)
    between = (frame.low_tpot_s <= frame.tpot_s) & (frame.tpot_s <= frame.high_tpot_s)
    assert (frame.inside_tpot_s == between).all()
    assert (frame.low_tpot_s <= frame.predicted_tpot_s).all()
    assert (frame.predicted_tpot_s <= frame.high_tpot_s).all()


def test_limit_is_below_the_expectation(rows: Path) -> None:
    assert (
        validate(rows, limit=True).predicted_tpot_s.head(3)
        < validate(rows).predicted_tpot_s.head(3)
    ).all()


@pytest.mark.parametrize(
    ("text", "mean", "random"),
    [("", 1.0, False), ("fixed", 1.0, False), ("uniform 0.8-1.0", 0.9, True)],
)
def test_lengths(text: str, mean: float, random: bool) -> None:
    assert lengths(text).mean == pytest.approx(mean)
    assert lengths(text).random is random


@pytest.mark.parametrize("text", ["normal 3", "uniform", "uniform 1-x", "uniform -1-1"])
def test_unknown_lengths_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="lengths"):
        lengths(text)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("model,hardware,input_len,output_len\n", "'concurrency' or 'batch'"),
        ("hardware,input_len,output_len,batch\n", "column 'model'"),
        ("model,hardware,input_len,output_len,batch,ttft_ms\n", "is it 'ttft_s' (seconds)?"),
        ("model,hardware,input_len,output_len,batch\n", "no column of what was measured"),
        (f"{HEAD}\na,b,c,,,,x,1,1,,,\n", ":2: concurrency: 'x' is not a number"),
        (f"{HEAD}\na,b,c,,,,1,1,1,,inf,\n", ":2: ttft_s: 'inf' is not a number"),
        (f"{HEAD}\na,b,c,,,,1,1,1,,,0\n", ":2: tpot_s: what was measured is above zero"),
        (f"{HEAD}\na,b,c,,,,1,1,1,,-1,\n", ":2: ttft_s: what was measured is above zero"),
        (f"{HEAD}\na,b,c,,,,1,1,1,,,1e-320\n", ":2: tpot_s: '1e-320' is beyond what is measured"),
        (f"{HEAD}\na,b,c,,,,1,1,1,,1e300,\n", ":2: ttft_s: '1e300' is beyond what is measured"),
    ],
)
def test_faults_of_a_file_are_named(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(content)
    with pytest.raises(InputError, match=r"bad\.csv") as caught:
        read_rows(file)
    assert said in str(caught.value)
    result = CliRunner().invoke(cli, ["validate", str(file)])
    assert result.exit_code == 2


def test_empty_cells_are_left_to_the_defaults() -> None:
    row = {"model": "m", "hardware": "h", "tp": "2.0", "dp": "", "precision": " "}
    assert options(row) == {"model": "m", "gpu": "h", "tp": 2}


def test_the_command_writes_page_json_rows_and_chart(rows: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    chart = tmp_path / "parity.svg"
    text = run(cli, ["validate", str(rows), "--by", "engine", "--plot", str(chart)])
    assert text.exit_code == 0, text.output
    assert "Furthest off" in text.output
    assert "no-such-model" in text.output
    assert chart.read_text().count("<svg") == 1
    found = json.loads(run(cli, ["validate", str(rows), "--format", "json"]).output)
    assert found["schema"] == "llmroof.validation/1"
    assert [row["id"] for row in found["rows"]] == ["a", "b", "c", "d"]
    assert found["rows"][3]["tpot_s"]["predicted"] is None
    table = run(cli, ["validate", str(rows), "--format", "csv"]).output.splitlines()
    assert len(table) == 5
    assert "predicted_tpot_s" in table[0]


def test_ranges_come_from_the_nearest_class() -> None:
    known = load_ranges()
    fine, _ = known.find("vllm", 8, "Hopper")
    assert (fine.engine, fine.bits, fine.architecture) == ("vllm", 8, "Hopper")
    coarse, _ = known.find("trtllm", 16, "Hopper")
    assert (coarse.engine, coarse.bits) == ("trtllm", 0)
    for one in known.classes:
        for low, high in (one.ttft_s, one.tpot_s):
            assert 0 < low < high


def test_what_was_not_measured_has_a_wider_range() -> None:
    known = load_ranges()
    everything = known.classes[-1]
    _, factors = known.find("generic", 16, "CDNA 3")
    assert factors["tpot_s"][0] < min(everything.tpot_s[0], 1)
    assert factors["tpot_s"][1] > max(everything.tpot_s[1], 1)
    assert known.seen("vllm", "Hopper")
    assert not known.seen("vllm", "CDNA 3")


def test_a_static_batch_and_the_limit_have_no_range() -> None:
    assert llmroof.estimate(gpu="h100", batch=8, engine="vllm").serving.ttft_range is None
    limit = llmroof.estimate(gpu="h100", concurrency=8, engine="vllm", limit=True)
    assert limit.serving.tpot_range is None


def test_a_range_scales_with_its_prediction() -> None:
    found = llmroof.estimate(gpu="h100", concurrency=np.array([1.0, 8.0, 64.0]), engine="vllm")
    low, high = found.serving.tpot_range
    assert np.allclose(low / found.serving.tpot, low[0] / found.serving.tpot[0])
    assert (high > low).all()


@pytest.mark.skipif(not E2E.is_file(), reason="no measured rows at hand")
def test_the_measured_rows_are_predicted_as_well_as_stated() -> None:
    """In sample; `validation/serving.py` judges with each model and GPU left out."""
    frame = validate(E2E)
    good = frame[frame.trust == "ok"]
    assert (good.error == "").all()
    found = summary(good).set_index("metric")
    assert found.loc["tpot_s", "mape"] < 0.11
    assert found.loc["tpot_s", "median_ape"] < 0.08
    assert found.loc["ttft_s", "mape"] < 0.28
    assert found.loc["ttft_s", "median_ape"] < 0.20
    assert 0.75 < found.loc["tpot_s", "inside_range"] < 0.95
    unpredicted = frame[frame.error != ""]
    assert (unpredicted.trust != "ok").all()


def test_progress_counts_the_rows(rows: Path) -> None:
    told: list[tuple[int, int]] = []
    validate(rows, lambda done, total: told.append((done, total)))
    assert told[-1] == (4, 4)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_clumps_and_prompts_launched_one_by_one_lengthen_ttft() -> None:
    deployment, _ = llmroof.deploy(model="llama-3.1-8b", gpu="h100", engine="vllm")
    from llmroof.engine.serving import Load, serve

    load = Load(1024.0, 256.0, 16.0, kind="burst")
    whole = serve(deployment, load)
    for change in ({"clump": 0.0}, {"eager_scale": 0.1}, {"pipeline_lag": 0.0}):
        rules = replace(deployment.rules, **change)
        assert serve(replace(deployment, rules=rules), load).ttft < whole.ttft


def test_frames_are_taken_as_well_as_files(rows: Path) -> None:
    frame = read_rows(rows)
    pd.testing.assert_frame_equal(validate(frame), validate(rows))


LOADED = {"model": "llama-3.1-70b", "gpu": "h200", "tp": 4, "precision": "fp8", "engine": "vllm"}


@pytest.mark.parametrize(
    "question",
    [
        LOADED | {"concurrency": 32},
        LOADED | {"concurrency": 32, "load": "burst"},
        {"gpu": "h100", "batch": 8},
    ],
)
def test_a_calibrated_answer_meets_what_was_measured(question: dict[str, object]) -> None:
    plain = llmroof.estimate(**question)
    ttft, tpot = 1.4 * plain.serving.ttft, 1.2 * plain.serving.tpot
    found = llmroof.calibrate(plain, ttft=ttft, tpot=tpot)
    assert found.serving.tpot == pytest.approx(tpot, rel=1e-6)
    assert found.serving.ttft == pytest.approx(ttft, rel=1e-6)
    assert found.serving.tpot_range is None
    assert "calibrated: multiplier on launches" in found.notes[-1]
    shorter = llmroof.calibrate(plain, tpot=0.95 * plain.serving.tpot)
    assert shorter.serving.tpot == pytest.approx(0.95 * plain.serving.tpot, rel=1e-6)


@pytest.mark.parametrize("ttft", [None, 0.8, 0.6])
@pytest.mark.parametrize("tpot", [0.92, 0.8])
def test_what_no_host_explains_is_put_on_the_kernels(tpot: float, ttft: float | None) -> None:
    """A fifth below the prediction is in its range: launches keep to a third, kernels follow."""
    plain = llmroof.estimate(**LOADED, concurrency=32)
    asked = {"tpot": tpot * plain.serving.tpot}
    if ttft is not None:
        asked["ttft"] = ttft * plain.serving.ttft
    found = llmroof.calibrate(plain, **asked)
    for name, value in asked.items():
        assert getattr(found.serving, name) == pytest.approx(value, rel=1e-4)
    before, after = plain.deployment.rules, found.deployment.rules
    assert after.launch_scale >= before.launch_scale / 3.001
    assert 0.5 < after.step_time < 1.1
    limit, calibrated = at_limit(plain).serving, at_limit(found).serving
    assert (calibrated.ttft, calibrated.tpot) == (limit.ttft, limit.tpot)


@pytest.mark.parametrize("part", [0.15, 0.3, 0.6, 0.9, 1.3])
@pytest.mark.parametrize(
    "question",
    [
        {"gpu": "h100", "engine": "generic", "request_rate": 5, "input_len": 1000},
        {"gpu": "h100", "engine": "vllm", "request_rate": 12},
        {"gpu": "h100", "engine": "vllm-2024", "batch": 64},
        {"gpu": "h200", "model": "qwen3-30b-a3b", "engine": "trtllm", "dp": 2, "concurrency": 32},
    ],
    ids=str,
)
def test_what_lies_between_the_limit_and_the_prediction_is_met(
    question: dict[str, Any], part: float
) -> None:
    plain = llmroof.estimate(**question)
    least = at_limit(plain).serving.tpot
    wanted = least + part * (plain.serving.tpot - least)
    assert llmroof.calibrate(plain, tpot=wanted).serving.tpot == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    ("question", "factor"),
    [
        ({"gpu": "h100", "engine": "vllm", "concurrency": 1000}, 1.2),
        ({"gpu": "h100", "engine": "vllm", "disaggregated": True, "concurrency": 32,
          "num_gpus": 2}, 0.9),
        ({"gpu": "h200", "model": "qwen3-30b-a3b", "engine": "trtllm", "dp": 2,
          "concurrency": 32}, 0.6),
        ({"gpu": "h100", "batch": 8}, 5.0),
    ],
)  # fmt: skip
def test_a_first_token_is_met_wherever_it_waits(question: dict[str, Any], factor: float) -> None:
    plain = llmroof.estimate(**question)
    wanted = factor * plain.serving.ttft
    found = llmroof.calibrate(plain, ttft=wanted)
    assert found.serving.ttft == pytest.approx(wanted, rel=1e-6)
    before, after = plain.deployment.rules, found.deployment.rules
    assert after.eager_scale <= 20 * before.eager_scale


def test_a_static_first_token_below_its_launches_speeds_prompts_up() -> None:
    plain = llmroof.estimate(gpu="h100", batch=8)
    found = llmroof.calibrate(plain, ttft=0.8 * plain.serving.ttft)
    assert found.serving.ttft == pytest.approx(0.8 * plain.serving.ttft)
    assert found.serving.tpot == plain.serving.tpot
    assert found.deployment.rules.prompt_time < 1


def test_the_engine_takes_no_time_at_the_limit() -> None:
    """What is left of TTFT is the prompt and the prompts of others."""
    asked = LOADED | {"concurrency": 8, "engine": "sglang"}
    limit = llmroof.estimate(**asked, limit=True)
    assert limit.steady.lag == 0
    assert at_limit(llmroof.estimate(**asked)).serving.ttft == limit.serving.ttft


def test_calibration_to_itself_changes_nothing() -> None:
    plain = llmroof.estimate(**LOADED, concurrency=32)
    same = llmroof.calibrate(plain, ttft=plain.serving.ttft, tpot=plain.serving.tpot)
    assert same.serving.ttft == pytest.approx(plain.serving.ttft, rel=1e-9)
    assert same.deployment.rules.launch_scale == plain.deployment.rules.launch_scale


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tpot": 1e-5}, "which is the least here"),
        ({"ttft": 1e-5}, "which is the least here"),
        ({"ttft": -1.0}, "above zero"),
        ({"tpot": 12.0}, "plain numbers are seconds, is 12.0 ms meant"),
        ({"ttft": 210.0}, "is 210 ms meant"),
        ({"tpot": 0.2}, "launches .* times as dear"),
    ],
)
def test_impossible_measurements_are_refused(change: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        llmroof.calibrate(llmroof.estimate(**LOADED, concurrency=32), **change)


def test_tpot_alone_says_that_ttft_follows() -> None:
    plain = llmroof.estimate(**LOADED, concurrency=32)
    found = llmroof.calibrate(plain, tpot=1.2 * plain.serving.tpot)
    assert found.serving.ttft != plain.serving.ttft
    assert "as the same host launches prompts" in found.notes[-1]
    both = llmroof.calibrate(plain, tpot=1.2 * plain.serving.tpot, ttft=plain.serving.ttft)
    assert "the same host" not in both.notes[-1]


def test_the_calibration_that_the_readme_names_works() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    line = next(one for one in text.replace("\n", " ").split("`") if "--calibrate-with" in one)
    done = CliRunner().invoke(cli, line.split()[1:])
    assert done.exit_code == 0, done.output
    assert "calibrated: " in done.output


def test_calibration_needs_one_point_and_expected_times() -> None:
    many = llmroof.estimate(gpu="h100", batch=np.array([1.0, 2.0]))
    with pytest.raises(InputError, match="no range"):
        llmroof.calibrate(many, tpot=0.01)
    with pytest.raises(InputError, match="physics"):
        llmroof.calibrate(llmroof.estimate(gpu="h100", limit=True), tpot=0.01)


def test_the_command_line_calibrates() -> None:
    asked = "estimate --gpu h100 -c 16 --engine vllm --calibrate-with"
    run = CliRunner().invoke
    done = run(cli, [*asked.split(), "ttft=0.21,tpot=12 ms", "--format", "json"])
    assert done.exit_code == 0, done.output
    serving = json.loads(done.output)["serving"]
    assert serving["tpot_s"] == pytest.approx(0.012)
    assert serving["ttft_s"] == pytest.approx(0.21)
    for wrong in ("tpot", "speed=3", "tpot=soon", "tpot=1,tpot=2"):
        assert run(cli, [*asked.split(), wrong]).exit_code == 2


def test_ranges_are_wider_where_requests_arrive_at_a_rate() -> None:
    """All measurements are closed loops: a stream of arrivals is told and allowed for."""
    asked = {"model": "llama-3.1-70b", "gpu": "h100", "tp": 8, "engine": "vllm"}
    closed = llmroof.estimate(**asked, concurrency=8)
    stream = llmroof.estimate(**asked, request_rate=2.0)
    high = closed.serving.ttft_range[1] / closed.serving.ttft
    assert stream.serving.ttft_range[1] / stream.serving.ttft == pytest.approx(high**1.5)
    assert "no stream of arrivals was measured" in range_words(stream)
    assert "stretched" not in range_words(closed)


def test_llama_cpp_multiplies_prompts_with_kernels_of_its_own() -> None:
    """Half of the libraries' rate; sums in 16 bits where a card adds those up faster."""
    asked = {"model": "llama-3-8b", "batch": 1, "input_len": 512, "precision": "fp16"}
    data_centre = [llmroof.estimate(**asked, gpu="a100", engine=e) for e in ("generic", "llamacpp")]
    assert 1.5 < data_centre[1].serving.ttft / data_centre[0].serving.ttft < 2.1
    card = [llmroof.estimate(**asked, gpu="rtx-4090", engine=e) for e in ("generic", "llamacpp")]
    assert card[0].serving.ttft == pytest.approx(card[1].serving.ttft, rel=0.15)
    assert card[1].prefill.roofline_time < 0.6 * card[0].prefill.roofline_time
    slow = llmroof.estimate(**asked, gpu="a100", engine="llamacpp-eager")
    assert slow.serving.tpot > data_centre[1].serving.tpot


def test_products_of_a_few_tokens_are_bound_by_memory_on_a_small_card() -> None:
    """A tile of 16 rows is enough for one token: 82 processors of an RTX 3090 keep up."""
    found = llmroof.estimate(model="llama-3-8b", gpu="rtx-3090", batch=1, precision="fp16")
    assert found.decode.mbu > 0.7


def test_the_gpu_asked_for_is_the_one_predicted(rows: Path, tmp_path: Path) -> None:
    """A calibrated profile is checked on rows that name the shipped one."""
    slow = tmp_path / "slow.yaml"
    slow.write_text("extends: l4\nname: Slow\n")
    run = CliRunner().invoke
    plain = json.loads(run(cli, ["validate", str(rows), "--format", "json"]).stdout)
    asked = run(cli, ["validate", str(rows), "--gpu", str(slow), "--format", "json"])
    assert f"rows name h100, h200: predicted for --gpu {slow}" in asked.stderr
    old, new = (
        found["rows"][2]["tpot_s"]["predicted"] for found in (plain, json.loads(asked.stdout))
    )
    assert new > 2 * old
    same = run(cli, ["validate", str(rows), "--model", "llama-3.1-8b", "--format", "json"])
    assert "predicted for --model llama-3.1-8b" in same.stderr
    assert json.loads(same.stdout)["rows"][3]["error"] is None


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_a_refusal_is_one_line_whatever_there_was_to_note(rows: Path, form: str) -> None:
    asked = ["validate", str(rows), "--gpu", "l4", "--by", "tpot", "--format", form]
    result = CliRunner().invoke(cli, asked)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: --by: no column 'tpot'; there are id, model")
    assert result.stderr.count("\n") == 1


def test_misnamed_columns_and_slips_of_units_are_named(rows: Path) -> None:
    run = CliRunner().invoke
    text = rows.read_text()
    assert "not read" not in run(cli, ["validate", str(rows)]).stderr
    rows.write_text(text.replace("ttft_s", "ttft_ms"))
    said = run(cli, ["validate", str(rows)]).stderr
    assert said.count("column 'ttft_ms' is not read: is it 'ttft_s' (seconds)?") == 1
    rows.write_text(text.replace(",hardware,", ",gpu,"))
    assert "is it 'hardware'?" in run(cli, ["validate", str(rows)]).stderr
    rows.write_text(text.replace("0.009", "9"))
    page = run(cli, ["validate", str(rows)]).stdout
    assert "tpot_s: in which unit? Times are seconds" in page
    assert "1 row (d): unknown model" in page


def test_how_requests_in_flight_start_is_told(tmp_path: Path) -> None:
    """Validate takes a benchmark's burst, estimate a steady state: both say so."""
    head = "model,hardware,num_gpus,tp,precision,engine,input_len,output_len,ttft_s,tpot_s"
    row = "llama-3.1-8b,h100-sxm,1,1,bf16,vllm,1024,256,0.1,0.01"
    for more, value, told in (("concurrency", "8", True), ("batch", "8", False),
                              ("concurrency,load", "8,closed", False)):  # fmt: skip
        path = tmp_path / "rows.csv"
        path.write_text(f"id,{head},{more}\none,{row},{value}\n", "utf-8")
        done = CliRunner().invoke(cli, ["validate", str(path)])
        assert done.exit_code == 0, done.output
        assert ("start all at once" in done.output) == told
    plain = llmroof.estimate(**LOADED, concurrency=32)
    found = llmroof.calibrate(plain, ttft=1.1 * plain.serving.ttft)
    assert "asks for --load burst" in found.notes[-1]
