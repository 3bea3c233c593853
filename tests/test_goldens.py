"""Counts of 71 configs against figures made with other software, to the digit.

The figures stand beside the project (LLMROOF_SHARED): transformers modules counted on the
meta device with torch's FLOP counter. Which column may be asserted follows from a row's
grade: A everything; B everything but the raw sums; C (linear attention, SSM) parameters,
cache, state and matmul FLOP; D parameters only.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import TypeAlias

import pytest
from conftest import shared_folder

from llmroof.models.hf_config import read_config
from llmroof.models.model import Model
from llmroof.operators import Execution, Step
from llmroof.specs.precision import recipe

Row: TypeAlias = dict[str, str]

BF16 = recipe("bf16")
PREFILL = {"p_b1_s1024": (1, 1024), "p_b4_s2048": (4, 2048)}
DECODE = {"d_b8_c1024": (8, 1024), "d_b1_c4096": (1, 4096)}
MATMULS = {"gemm", "moe"}
ATTENTION = {"attention", "mla"}


@cache
def _folder() -> Path:
    folder = shared_folder()
    return folder / "models" if folder else Path()


def _rows() -> list[Row]:
    file = _folder() / "goldens.csv"
    if not file.is_file():
        return []
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def rows_of(grades: str) -> list[object]:
    """Parameters of a test: one per config of these grades, or one that skips."""
    found = [pytest.param(row, id=row["slug"]) for row in _rows() if row["grade"] in grades]
    nothing = pytest.mark.skip(reason="no folder of shared data (LLMROOF_SHARED)")
    return found or [pytest.param({}, id="none", marks=nothing)]


@cache
def model(slug: str) -> Model:
    return read_config(_folder() / "configs" / f"{slug}.json")


def flop(row: Row, kinds: set[str], batch: int, new: int, past: int) -> float:
    """FLOP of the operators of these kinds in one pass, over all layers."""
    operators = model(row["slug"]).operators([Step(batch, new, past)], Execution(BF16))
    return float(sum(one.flop * one.count for one in operators if one.kind in kinds))


@pytest.mark.parametrize("row", rows_of("ABCD"))
def test_parameters(row: Row) -> None:
    found = model(row["slug"])
    assert found.parameters == int(row["total_params"])
    assert found.active_parameters == int(row["active_params_per_token"])
    assert found.head.tied == (row["tied"] == "True")
    assert found.num_layers == int(row["num_layers"])


@pytest.mark.parametrize("row", rows_of("ABCD"))
def test_parameters_of_the_whole_checkpoint(row: Row) -> None:
    """Vision towers are held; a config without a word about its tower cannot be counted."""
    found = model(row["slug"])
    whole = row["full_multimodal_params"]
    if not whole or row["slug"] == "llama-4-scout":
        assert not found.extras
    else:
        assert found.parameters + sum(found.extras.values()) == int(whole)


@pytest.mark.parametrize("row", rows_of("ABC"))
def test_cache_and_state(row: Row) -> None:
    found = model(row["slug"])
    assert found.kv_cache_bytes_per_token(BF16) == float(row["kv_bytes_per_token_serving"])
    assert found.state_bytes_per_sequence(BF16) == float(row["state_bytes_per_seq_hf"])


def asserted(
    row: Row, scenarios: dict[str, tuple[int, int]], *columns: str
) -> list[tuple[str, int, int, float]]:
    """(name, batch, length, figure) of the scenarios that the row has a figure for."""
    found = []
    for name, (batch, length) in scenarios.items():
        figure = next((row[f"{name}_{c}"] for c in columns if row[f"{name}_{c}"]), None)
        if figure is not None:  # one model's table of positions ends before 4,096
            found.append((name, batch, length, float(figure)))
    assert found
    return found


@pytest.mark.parametrize("row", rows_of("ABC"))
def test_matmul_flop(row: Row) -> None:
    for name, batch, length, figure in asserted(row, PREFILL, "weight_flops_lastlogit"):
        assert flop(row, MATMULS, batch, length, 0) == figure, name
    for name, batch, context, figure in asserted(row, DECODE, "weight_flops_lastlogit"):
        assert flop(row, MATMULS, batch, 1, context - 1) == figure, name


@pytest.mark.parametrize("row", rows_of("ABC"))
def test_attention_flop_of_prefill(row: Row) -> None:
    for name, batch, length, figure in asserted(row, PREFILL, "attn_causal"):
        assert flop(row, ATTENTION, batch, length, 0) == figure, name


@pytest.mark.parametrize("row", rows_of("ABC"))
def test_attention_flop_of_decode(row: Row) -> None:
    """One query over exactly C keys; latent attention in its absorbed form.

    DeepSeek-V3.2's figure at 4,096 keys is of attention to all of them; the model picks
    2,048, which is what is counted here.
    """
    for name, batch, context, figure in asserted(row, DECODE, "attn_mla_absorbed", "attn_core_raw"):
        sparse = (row["slug"], name) == ("deepseek-v3.2", "d_b1_c4096")
        expected = figure / 2 if sparse else figure
        assert flop(row, ATTENTION, batch, 1, context - 1) == expected, name
