"""Ends of ranges and rare paths of the counting, the engine and the readers of specs."""

from __future__ import annotations

import importlib
import os
import pkgutil
from dataclasses import is_dataclass
from pathlib import Path

import numpy as np
import pytest

import llmroof
from llmroof import load_hardware, load_model, units
from llmroof.errors import InputError, LlmroofError, SpecError
from llmroof.operators import Execution, Plan, Step
from llmroof.render.basis import basis
from llmroof.specs.catalog import HARDWARE, MODELS
from llmroof.specs.schema import Kind
from llmroof.specs.tree import parse_yaml

MODEL_IDS = sorted(MODELS.files())


@pytest.mark.parametrize("name", MODEL_IDS)
def test_every_block_says_what_it_is(name: str) -> None:
    """The words of `models show`: one printable line."""
    for block, count in load_model(name).parts():
        assert count >= 1
        assert block.describe()
        assert block.describe().isprintable()


@pytest.mark.parametrize("name", ["mixtral-8x7b", "deepseek-v3", "gpt-oss-120b", "qwen3-30b-a3b"])
def test_attention_data_parallel_gathers_what_experts_need(name: str) -> None:
    """With dp the devices exchange tokens before and after the experts; without it they add up."""
    plans = ({"tp": 8}, {"tp": 4, "dp": 2}, {"tp": 4, "dp": 2, "ep": 8}, {"tp": 8, "ep": 8})
    sent = []
    for plan in plans:
        found = llmroof.estimate(model=name, gpu="h200", batch=64, num_gpus=8, **plan)
        names = {cost.operator.name for cost in found.decode.operators}
        assert any(part in name for name in names for part in ("moe", "all_reduce"))
        sent.append(float(found.decode.network_bytes))
    assert all(value > 0 for value in sent)


def test_a_draft_that_is_always_right() -> None:
    """α = 1: every step yields its drafts and one token more, the limit of the formula."""
    sure = llmroof.estimate(batch=4, gpu="h100", speculative_tokens=3, acceptance_rate=1.0)
    near = llmroof.estimate(batch=4, gpu="h100", speculative_tokens=3, acceptance_rate=1 - 1e-9)
    assert sure.deployment.speculation is not None
    assert sure.deployment.speculation.tokens_per_step == 4.0
    assert sure.serving.tpot == pytest.approx(near.serving.tpot, rel=1e-6)


def test_experts_are_not_shared_where_there_are_none() -> None:
    with pytest.raises(InputError, match=r"needs experts, and Llama 3\.1 8B has none"):
        llmroof.estimate(tp=2, ep=2, num_gpus=2)


def test_a_stage_of_a_pipeline_waits_for_the_slowest() -> None:
    one = llmroof.estimate(model="llama-3.1-70b", gpu="h100", tp=4, pp=2, concurrency=16,
                           disaggregated=True)  # fmt: skip
    two = llmroof.estimate(model="llama-3.1-70b", gpu="h100", tp=8, concurrency=16,
                           disaggregated=True)  # fmt: skip
    assert one.deployment.num_gpus == two.deployment.num_gpus
    assert float(one.serving.tpot) > float(two.serving.tpot) > 0


def test_an_estimate_in_a_notebook_is_html() -> None:
    html = llmroof.estimate(batch=4)._repr_html_()
    assert html.lstrip().startswith("<")
    assert "TPOT" in html


# --- files ----------------------------------------------------------------------------


def test_a_base_that_is_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hardware_specs").mkdir()
    (tmp_path / "hardware_specs" / "list.yaml").write_text("- a\n")
    child = tmp_path / "hardware_specs" / "child.yaml"
    child.write_text("extends: list\nname: B\n")
    monkeypatch.setenv("LLMROOF_SPECS", str(tmp_path))
    with pytest.raises(SpecError, match=r"list\.yaml:1: must be a table"):
        load_hardware("child")


def test_a_device_that_extends_without_sources_keeps_those_of_its_base(tmp_path: Path) -> None:
    child = tmp_path / "mine.yaml"
    child.write_text("extends: a100-sxm-80gb\nname: Mine\n")
    base = load_hardware("a100-sxm-80gb")
    mine = load_hardware(str(child))
    assert mine.memory == base.memory
    assert mine.name == "Mine"
    assert mine.sources == base.sources


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    source = HARDWARE.files()["a100-sxm-80gb"].read_text("utf-8")
    file = tmp_path / "mine.yaml"
    file.write_text(source)
    before = load_hardware(str(file))
    file.write_text(source.replace("name: ", "name: New ", 1))
    os.utime(file, (1, 1))
    assert load_hardware(str(file)).name == f"New {before.name}"
    file.unlink()
    with pytest.raises(LlmroofError, match="no such"):
        load_hardware(str(file))


def test_text_that_no_yaml_reader_takes() -> None:
    for text in ("a: \x00", "a: \ud800", "? [" + "[" * 2000, "!!int x: %"):
        with pytest.raises(SpecError, match=r"x\.yaml"):
            parse_yaml(text, "x.yaml")


def test_a_kind_must_say_how_it_is_read() -> None:
    with pytest.raises(TypeError, match="abstract class Kind"):
        Kind()  # type: ignore[abstract]


def test_hub_names_lead_to_files() -> None:
    found = MODELS.hub_names()
    assert found["meta-llama/llama-3.1-8b"] == MODELS.files()["llama-3.1-8b"]
    assert all(name == name.lower() for name in found)


def test_points_of_a_grid_are_those_asked_alone_at_the_edges() -> None:
    """One point, one row and one column: arrays of any shape give their joint shape."""
    for batch in (np.array([4]), np.array([[4], [8]]), np.array([[4, 8]])):
        grid = llmroof.estimate(batch=batch)
        assert np.shape(grid.serving.tpot) == batch.shape
        alone = llmroof.estimate(batch=4, num_gpus=grid.deployment.num_gpus)
        assert float(np.ravel(grid.serving.tpot)[0]) == float(alone.serving.tpot)


# --- mutants that lived -----------------------------------------------------------------


def scan(name: str, tokens: int, tp: int = 1) -> float:
    """FLOP of one recurrence of a model on one device, for a sequence of so many tokens."""
    loaded = load_model(name)
    run = Execution(loaded.precision, Plan(tp, 1, 1, 1))
    found = [o for o in loaded.operators([Step(1, tokens, 0)], run) if o.kind == "scan"]
    assert found
    return float(found[0].flop)


@pytest.mark.parametrize(
    "name", ["bamba-9b", "falcon-mamba-7b", "kimi-linear-48b-a3b", "minimax-text-01"]
)
def test_a_recurrence_computes_per_token_and_is_shared_out(name: str) -> None:
    assert scan(name, 1) > 0
    assert scan(name, 64) == pytest.approx(64 * scan(name, 1))
    assert scan(name, 64, tp=2) == pytest.approx(scan(name, 64) / 2)


def test_the_scan_of_bamba_by_hand() -> None:
    """128 heads of 64 channels with 256 states each; three multiply-adds per state value."""
    assert scan("bamba-9b", 1) == 2 * 3 * 128 * 64 * 256


def test_a_prefix_found_shortens_a_prefill_of_its_own_worker() -> None:
    ttft = [
        float(
            llmroof.estimate(
                gpu="h100", concurrency=8, disaggregated=True, input_len=4000, prefix_hit_rate=hit
            ).serving.ttft
        )
        for hit in (0.0, 0.5, 0.9)
    ]
    assert ttft[0] > ttft[1] > ttft[2] > 0


DRAFTED = {
    "model": "llama-3.1-70b", "gpu": "h100", "tp": 4, "speculative_tokens": 4,
    "acceptance_rate": 0.8, "input_len": 1024, "output_len": 256,
}  # fmt: skip


@pytest.mark.parametrize("limit", [False, True])
def test_a_draft_model_prefills_the_prompts_too(limit: bool) -> None:
    """TTFT is that of both models alone: 8 prompts are large enough to be one pass each."""
    free = llmroof.estimate(**DRAFTED, batch=8, limit=limit)
    both = llmroof.estimate(**DRAFTED, batch=8, limit=limit, draft_model="llama-3.1-8b")
    alone = llmroof.estimate(model="llama-3.1-8b", gpu="h100", tp=4, batch=8, limit=limit)
    assert both.serving.ttft == free.prefill.time + alone.prefill.time
    assert both.prefill.time == free.prefill.time
    assert both.cost.usd_per_million_input_tokens > free.cost.usd_per_million_input_tokens


def test_a_draft_model_prefills_under_load() -> None:
    free = llmroof.estimate(**DRAFTED, concurrency=64, load="burst")
    both = llmroof.estimate(**DRAFTED, concurrency=64, load="burst", draft_model="llama-3.1-8b")
    small = llmroof.estimate(model="llama-3.1-8b", gpu="h100", tp=4, concurrency=64, load="burst")
    assert both.steady.prefill == free.steady.prefill + small.steady.prefill
    assert both.steady.marginal > free.steady.marginal
    assert both.steady.interference > free.steady.interference
    assert both.cost.usd_per_million_input_tokens > free.cost.usd_per_million_input_tokens


@pytest.mark.parametrize("asked", ["batch", "concurrency"])
def test_a_grid_with_a_draft_equals_its_points(asked: str) -> None:
    drafted = DRAFTED | {"draft_model": "llama-3.1-8b"}
    grid = llmroof.estimate(**drafted, **{asked: [1, 8, 100]})
    for at, many in enumerate((1, 8, 100)):
        one = llmroof.estimate(**drafted, **{asked: many})
        assert grid.serving.ttft[at] == one.serving.ttft
        assert grid.serving.tpot[at] == one.serving.tpot


def test_the_answer_tells_what_is_drafted_and_what_is_cached() -> None:
    answer = llmroof.estimate(**DRAFTED, batch=8, draft_model="llama-3.1-8b", prefix_hit_rate=0.3)
    said = " ".join(line["text"] for line in basis(answer))
    assert "4 tokens drafted per step by Llama 3.1 8B, each accepted with 80%" in said
    step = answer.serving.tpot * answer.deployment.speculation.tokens_per_step
    whole, token = (units.show(float(time), "s") for time in (step, answer.serving.tpot))
    assert f"4 passes of the draft take {whole}, {token} per token" in said
    assert "prefix cache: 30%" in said
    plain = " ".join(line["text"] for line in basis(llmroof.estimate(gpu="h100")))
    assert "drafted" not in plain
    assert "prefix" not in plain


def test_values_are_frozen() -> None:
    """A formula cannot change what it is given, nor add to it by a slip of the pen."""
    loose = []
    for layer in ("engine", "operators", "blocks", "models", "regression"):
        package = importlib.import_module(f"llmroof.{layer}")
        for found in pkgutil.iter_modules(package.__path__, f"llmroof.{layer}."):
            module = importlib.import_module(found.name)
            for name, value in vars(module).items():
                if (
                    isinstance(value, type)
                    and is_dataclass(value)
                    and value.__module__ == found.name
                ):
                    params = value.__dataclass_params__  # type: ignore[attr-defined]
                    if not params.frozen or "__slots__" not in vars(value):
                        loose.append(f"{found.name}.{name}")
    assert loose == []
