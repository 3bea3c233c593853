"""The engine's formulas as data: equal to the engine everywhere, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from llmroof.errors import InputError
from llmroof.report.content import LONGEST, Wanted, calculation, content, formulas_of
from llmroof.report.formulas import NotRecorded, record
from llmroof.resolve import deploy

WORK: dict[str, int | None] = {"batch": 8, "input_len": 1000, "output_len": 200}


def wanted(**changed: Any) -> Wanted:
    options = changed.pop("options", {})
    asked = {"model": "llama-3.1-8b", "gpus": ["h100"], "precisions": ["bf16"], "degrees": [1]}
    return Wanted(**{**asked, "work": WORK, "options": options, **changed})


def points(many: int, seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {name: random.integers(1, end, many).astype(float) for name, end in LONGEST.items()}


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("llama-3.1-8b", {"gpu": "h100"}),
        ("llama-3.1-70b", {"gpu": "mi300x", "tp": 4, "precision": "fp8"}),
        ("llama-3.1-70b", {"gpu": "a100", "tp": 2, "pp": 2, "engine": "vllm"}),
        ("deepseek-v3", {"gpu": "b200", "tp": 8, "dp": 2, "ep": 16}),
        ("mixtral-8x7b", {"gpu": "h200", "tp": 2, "precision": "w4a16"}),
        ("gemma-3-27b", {"gpu": "l40s", "attention": "naive", "fusion": "none"}),
        ("gpt-oss-120b", {"gpu": "h100", "limit": True}),
    ],
)
def test_formulas_equal_the_engine_at_ten_thousand_random_points(
    model: str, options: dict[str, Any]
) -> None:
    """Every figure, every operator, bit for bit; other points than those recorded at."""
    deployment, _ = deploy(model=model, **options)
    work = points(10_000, seed=len(model))
    found = formulas_of(deployment)(**work)
    for name, value in calculation(deployment, **work).items():
        truth = np.broadcast_to(value, (10_000,))
        assert np.array_equal(np.broadcast_to(found[name], (10_000,)), truth), name


def test_steps_are_recorded_once_and_only_where_an_output_needs_them() -> None:
    def both(x: Any, y: Any) -> dict[str, Any]:
        np.exp(x)  # nobody asks for it
        return {"a": (x + y) * 2.0, "b": (x + y) ** 0.5, "c": 7.0}

    found = record(both, {"x": [1.0, 2.0], "y": [3.0, 5.0]})
    assert len(found.program.steps) == 3  # x + y, times 2, its root
    assert found.constants == (2.0, 7.0)
    at = found(x=np.array([1.0, 4.0]), y=8.0)
    assert at["a"].tolist() == [18.0, 24.0]
    assert at["b"].tolist() == [3.0, 12.0**0.5]
    assert at["c"] == 7.0


def test_choices_are_recorded_with_both_sides() -> None:
    found = record(
        lambda x: {"y": np.where(x > 10.0, np.minimum(x, 20.0), np.clip(x, 2.0, 5.0))},
        {"x": [1.0, 3.0]},  # neither is above 10
    )
    assert found(x=np.array([0.0, 4.0, 9.0, 15.0, 90.0]))["y"].tolist() == [2, 4, 5, 15, 20]


def test_a_recording_stands_for_every_workload_at_once() -> None:
    """A choice for all points together is taken as if some were so and others were not."""

    def skipping(x: Any) -> dict[str, Any]:
        y = 3.0 * x
        if np.any(x > 100.0):
            y = np.where((x > 100.0) & (x < 200.0), 0.0, y)
        return {"y": y, "all": 1.0 if np.all(x < 100.0) else 2.0}

    found = record(skipping, {"x": [1.0, 3.0]})
    assert found(x=np.array([1.0, 150.0, 300.0]))["y"].tolist() == [3.0, 0.0, 900.0]
    assert found(x=1.0)["all"] == 2.0


def test_tables_are_recorded_as_their_sections() -> None:
    places, values = np.array([1.0, 3.0, 7.0]), np.array([2.0, 8.0, 1.0])
    found = record(lambda x: {"y": np.interp(x, places, values)}, {"x": [1.0, 2.0]})
    x = np.array([0.0, 1.0, 1.7, 3.0, 4.4, 7.0, 11.0])
    assert found(x=x)["y"].tolist() == np.interp(x, places, values).tolist()


@pytest.mark.parametrize(
    "calculation",
    [
        lambda x: {"y": x[0]},
        lambda x: {"y": x[..., None]},
        lambda x: {"y": np.sum(x)},
        lambda x: {"y": np.sin(x)},
        lambda x: {"y": np.asarray(x) + x},
        lambda x: {"y": np.interp(2.0, np.asarray(x), x)},
        lambda x: {"y": np.cumsum(x)},
        lambda x: {"y": np.maximum.accumulate(x)},
    ],
)
def test_what_cannot_be_recorded_is_refused(calculation: Any) -> None:
    with pytest.raises(NotRecorded):
        record(calculation, {"x": [1.0, 2.0]})


def test_a_choice_by_if_is_refused_by_numpy() -> None:
    with pytest.raises(ValueError, match="ambiguous"):
        record(lambda x: {"y": x if x > 1 else -x}, {"x": [1.0, 2.0]})


def test_a_recording_that_is_wrong_elsewhere_is_not_handed_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A number frozen while recording is found at the points that are compared."""
    from llmroof.report import content as module

    deployment, _ = deploy(model="llama-3.1-8b", gpu="h100")
    real = calculation

    def frozen(deployment: Any, **work: Any) -> dict[str, Any]:
        found = real(deployment, **work)
        few = len(work["batch"]) < 10
        return {**found, "serving.ttft_s": 1.0 if few else found["serving.ttft_s"]}

    monkeypatch.setattr(module, "calculation", frozen)
    with pytest.raises(NotRecorded, match=r"serving\.ttft_s"):
        formulas_of(deployment)


def test_content_holds_every_choice_once_and_says_why_the_others_are_none() -> None:
    page = content(wanted(gpus=["h100", "a100"], precisions=["bf16", "fp8"], degrees=[1, 2]))
    made = {(d["gpu"], d["precision"], d["tp"]) for d in page["deployments"]}
    assert len(made) == len(page["deployments"]) == 6
    assert ("a100-sxm-80gb", "fp8", 1) not in made
    assert {(r["gpu"], r["precision"]) for r in page["refused"]} == {("a100-sxm-80gb", "fp8")}
    assert "no fp8 arithmetic" in page["refused"][0]["why"]
    assert page["start"] == {
        "gpu": "h100-sxm", "precision": "bf16", "tp": 1, "pp": 1, "dp": 1, "ep": 1,
        "batch": 8, "input_len": 1000, "output_len": 200,
    }  # fmt: skip


def test_plans_grow_to_what_holds_the_model() -> None:
    page = content(wanted(model="llama-3.1-405b", degrees=None))
    plans = [(d["tp"], d["pp"]) for d in page["deployments"]]
    assert plans == [(1, 1), (2, 1), (4, 1), (8, 1), (8, 2)]  # 810 GB need 16 of 80 GB
    assert (page["start"]["tp"], page["start"]["pp"]) == (8, 2)


def test_equal_programs_are_kept_once() -> None:
    page = content(wanted(gpus=["h100", "h200"]))
    assert [d["program"] for d in page["deployments"]] == [0, 0]
    assert page["deployments"][0]["constants"] != page["deployments"][1]["constants"]


def test_sliders_end_with_the_context_of_the_model() -> None:
    page = content(wanted())
    assert page["limits"] == {"batch": 4096, "input_len": 131071, "output_len": 16384}


def test_errors_are_those_of_an_estimate() -> None:
    with pytest.raises(InputError, match="does not divide"):
        content(wanted(degrees=[3]))
    many = wanted(
        gpus=["h100", "h200", "a100", "b200", "mi300x", "l40s"],
        degrees=[1, 2, 4, 8],
        precisions=["bf16", "fp16", "w4a16", "w8a16", "mxfp4", "nf4"],
    )
    with pytest.raises(InputError, match="name fewer"):
        content(many)
