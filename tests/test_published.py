"""How rows of public tables are asked (validation/published.py)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from llmroof.specs.hardware import load_hardware

FOLDER = Path(__file__).resolve().parent.parent / "validation"
if not FOLDER.is_dir():
    pytest.skip("no validation scripts beside the tests", allow_module_level=True)
sys.path.insert(0, str(FOLDER))
import published  # noqa: E402

ROW: dict[str, Any] = {
    "device": "H100", "hardware": "h100-sxm", "model": "llama-3-8b", "precision": "fp16",
    "n_gpu": 1, "parallel": "TP1", "engine": "someone's", "source": "a table", "note": "",
    "batch": "16", "input_len": 1024.0, "output_len": 128.0, "metric": "e2e_ms",
    "scope": "per_seq", "value": 1000.0,
}  # fmt: skip


def asked(**changes: Any) -> tuple[Any, float, str]:
    """(estimate, figure, what it tells) of a row."""
    row = ROW | changes
    found = published.ask(row, published.device(row))
    return found, *published.read(row, found)


@pytest.mark.parametrize(
    ("parallel", "engine", "count", "plan"),
    [
        ("TP4", "vLLM", 4, (4, 1)),
        ("TP8xPP3", "FasterTransformer", 24, (8, 3)),
        ("layer split", "llama.cpp (May 2024)", 4, (1, 4)),
        ("n=2", "MLC LLM", 2, (2, 1)),
        ("n=2", "ExLlamaV2", 2, (1, 2)),
    ],
)
def test_devices_share_the_model_as_the_table_says(
    parallel: str, engine: str, count: int, plan: tuple[int, int]
) -> None:
    found = published.plan(ROW | {"parallel": parallel, "engine": engine, "n_gpu": count})
    assert (found["tp"], found.get("pp", 1)) == plan
    assert found["num_gpus"] == count


def test_a_row_that_does_not_tell_how_devices_share_is_not_guessed() -> None:
    with pytest.raises(published.Unanswered, match="no word on how"):
        published.plan(ROW | {"n_gpu": 8, "parallel": float("nan")})


def test_figures_are_those_of_the_scope() -> None:
    whole, latency, told = asked()
    assert latency == pytest.approx(1e3 * whole.serving.e2e_latency)
    assert told in ("latency, decode", "latency, both")
    two = {"n_gpu": 2, "parallel": "TP2", "metric": "out_tok_s"}
    found, system, _ = asked(**two, scope="system")
    # 16 sequences of 128 tokens in one latency
    assert system == pytest.approx(16 * 128 / found.serving.e2e_latency)
    assert asked(**two, scope="per_gpu")[1] == pytest.approx(system / 2)
    one, rate, _ = asked(metric="decode_tok_s")
    assert rate == pytest.approx(1 / one.serving.tpot)  # of each of the 16


def test_answers_tell_speed_whatever_the_metric() -> None:
    found, latency, _ = asked()
    slow = published.answer(ROW | {"value": 2 * latency})  # measured twice as long
    assert slow.ratio == pytest.approx(2.0)
    assert slow.family == "NVIDIA Hopper"
    fast = published.answer(ROW | {"metric": "decode_tok_s", "value": 2 / found.serving.tpot})
    assert fast.ratio == pytest.approx(0.5)


def test_saturated_and_streaming_loads_are_asked_as_such() -> None:
    full, rate, told = asked(metric="out_tok_s", scope="system", batch="max")
    assert told == "throughput, saturated"
    assert rate == pytest.approx(full.steady.pace * 128)
    stream, done, told = asked(metric="out_tok_s", scope="system", batch="QPS=2")
    assert told == "throughput at a rate"
    assert done == pytest.approx(2 * 128)  # all that arrives is finished
    assert stream.load.random


def test_one_die_of_two_is_half_a_package() -> None:
    row = ROW | {"hardware": "mi250x", "device": "MI250"}
    die, package = published.device(row), load_hardware("mi250x")
    assert 2 * die.memory.bandwidth == package.memory.bandwidth
    assert 2 * die.memory.usable == package.memory.usable
    assert 2 * die.compute["fp16"] == package.compute["fp16"]


def test_shapes_of_a_table_make_the_model() -> None:
    # 96 layers of 96 heads of 128: 12 · 96 · 12,288² and the embeddings, 175 billion
    assert published.model("GPT-175B").parameters == pytest.approx(175e9, rel=0.01)
    assert published.model("Megatron-530B").parameters == pytest.approx(530e9, rel=0.01)
    assert published.model("llama-33b").parameters == pytest.approx(32.5e9, rel=0.01)


def test_what_has_no_figure_says_why() -> None:
    reasons = {
        "device without a profile": {"hardware": float("nan")},
        "ratio of two kernels": {"metric": "speedup"},
        "model without a spec": {"model": "t5-xxl MHA"},
        "lengths are not told": {"batch": "offline", "input_len": float("nan")},
        "only one engine": {"precision": "exl2-4.0bpw"},
        "ran in waves": {"batch": "100000"},
    }
    for words, change in reasons.items():
        found = published.answer(ROW | change)
        assert words in found.reason
        assert found.ratio != found.ratio
