"""A model spec written by hand: what it means, and where its slips are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmroof.errors import InputError, SpecError
from llmroof.models.load import load_model

SPEC = """\
name: Mine
family: llama
hidden: 64
vocab: 100
blocks:
  attention: {kind: attention, heads: 4, kv_heads: 2, head_dim: 16}
  mlp: {kind: mlp, intermediate: 96}
layers:
  - {count: 3, blocks: [attention, mlp]}
precision: bf16
sources: [{title: written by hand}]
"""
MATRICES = 2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 96 + 2 * 64


def write(folder: Path, old: str = "", new: str = "") -> str:
    assert old in SPEC
    file = folder / "mine.yaml"
    file.write_text(SPEC.replace(old, new) if old else SPEC)
    return str(file)


def test_a_spec_counts_what_it_says(tmp_path: Path) -> None:
    model = load_model(write(tmp_path))
    assert model.num_layers == 3
    assert model.parameters == 3 * MATRICES + 2 * 100 * 64 + 64


def test_a_reused_block_is_run_but_not_held_twice(tmp_path: Path) -> None:
    new = "  again: {kind: reused, of: mlp}\n  mlp: {"
    text = SPEC.replace("  mlp: {", new).replace("[attention, mlp]", "[attention, mlp, again]")
    file = tmp_path / "reused.yaml"
    file.write_text(text)
    assert load_model(str(file)).parameters == load_model(write(tmp_path)).parameters


def test_formats_of_single_parts(tmp_path: Path) -> None:
    new = "precision: {weights: int4-g32, activations: bf16, kv_cache: fp8, roles: {mlp: fp8}}"
    found = load_model(write(tmp_path, "precision: bf16", new)).precision
    assert (found.weight("mlp").id, found.weight("attention").id) == ("fp8", "int4-g32")
    assert (found.kv_cache.id, found.base.id) == ("fp8", "bf16")
    assert found.name == "int4-g32 weights, bf16 activations"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "[attention, mlp]",
            "[attention, mpl]",
            "mine.yaml:9: layers[0].blocks: no block is named 'mpl'; did you mean 'mlp'?",
        ),
        (
            "[attention, mlp]",
            "[attention, xyz]",
            "mine.yaml:9: layers[0].blocks: no block is named 'xyz'",
        ),
        ("blocks: [attention, mlp]", "", "mine.yaml:9: layers[0]: needs either 'blocks' or"),
        (
            "blocks: [attention, mlp]",
            "blocks: [mlp], pattern: [[mlp]]",
            "mine.yaml:9: layers[0]: needs either 'blocks' or 'pattern'",
        ),
        ("\n  - {count: 3, blocks: [attention, mlp]}", " []", "a model needs at least one layer"),
        ("count: 3", "count: 100000", "mine.yaml:9: layers: no model has more than"),
        (
            "{kind: mlp, intermediate: 96}",
            "{kind: reused, of: mpl}",
            "mine.yaml:7: blocks.mlp.of: no block is named 'mpl'",
        ),
        (
            "kv_heads: 2",
            "kv_heads: 3",
            "mine.yaml:6: blocks.attention: 3 KV heads do not divide 4 query heads",
        ),
        (
            "{kind: mlp, intermediate: 96}",
            "{kind: moe, intermediate: 96, experts: 4, top_k: 5}",
            "mine.yaml:7: blocks.mlp: 5 of 4 experts cannot be chosen",
        ),
        ("precision: bf16", "precision: bf61", "mine.yaml:10: precision: unknown value 'bf61'"),
        (
            "precision: bf16",
            "precision: {weights: fp5, activations: bf16}",
            "mine.yaml:10: precision.weights: unknown number format 'fp5'",
        ),
        (
            "precision: bf16",
            "precision: {weights: [fp8], activations: bf16}",
            "mine.yaml:10: precision.weights: unknown number format ''",
        ),
    ],
)
def test_slips_have_a_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        load_model(write(tmp_path, old, new))
    assert message in str(error.value)


def test_what_stands_at_a_path_must_be_a_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no config\.json"):
        load_model(str(tmp_path))
    file = tmp_path / "model.bin"
    file.write_bytes(b"\0")
    with pytest.raises(InputError, match=r"is no model spec, config\.json, checkpoint folder or"):
        load_model(str(file))
