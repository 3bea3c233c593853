"""A model as sums over its layers, and its layers as repeated groups."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import dense

from llmroof.blocks.mlp import MLP
from llmroof.models.model import Model, joined
from llmroof.operators import Plan
from llmroof.specs.precision import recipe

A, B, C = ((MLP(8, width),) for width in (8, 16, 24))


def layered(*layers: tuple[MLP]) -> Model:
    """A model of these layers, one after the other."""
    return replace(dense(), layers=tuple((1, layer) for layer in layers))


def test_equal_neighbours_are_counted_together() -> None:
    assert joined([(1, A), (2, A), (1, B), (3, A)]) == ((3, A), (1, B), (3, A))


def test_layers_are_told_as_the_groups_that_cover_most() -> None:
    assert layered(A, A, A).pattern() == ((3, (A,)),)
    assert layered(A, B, A, B, A).pattern() == ((2, (A, B)), (1, (A,)))
    assert layered(C, A, B, A, B).pattern() == ((1, (C,)), (2, (A, B)))
    assert layered(A, A, B, A, A, B).pattern() == ((2, (A, A, B)),)
    assert layered(A, B, C).pattern() == ((1, (A,)), (1, (B,)), (1, (C,)))


def test_groups_of_up_to_twelve_layers_are_found() -> None:
    twelve, thirteen = (A,) * 11 + (B,), (A,) * 12 + (B,)
    assert layered(*twelve, *twelve).pattern() == ((2, twelve),)
    assert layered(*thirteen, *thirteen).pattern()[0] == (12, (A,))


def test_sums_over_the_layers() -> None:
    """Two layers of width 8: 4 x 64 and 3 x 128 weights and two norms, 10 tokens each end."""
    model = dense()
    layer = 4 * 8 * 8 + 3 * 8 * 16 + 2 * 8
    assert (model.num_layers, model.embedding_parameters) == (2, 80)
    assert model.parameters == model.active_parameters == 2 * layer + 80 + 80 + 8
    assert model.kv_cache_bytes(100.0, recipe("bf16")) == 2 * 2 * 8 * 100 * 2
    assert model.kv_cache_bytes_per_token(recipe("bf16")) == 2 * 2 * 8 * 2
    assert model.state_bytes_per_sequence(recipe("bf16")) == 0.0


def test_stages_share_the_weights_and_each_holds_the_extras() -> None:
    model = replace(dense(), extras={"vision": 1000, "audio": 10})
    whole = model.weights_bytes(recipe("bf16"))
    assert whole == 2 * (model.parameters + 1010)
    assert model.weights_bytes(recipe("bf16"), Plan(pp=2)) == model.parameters + 2 * 1010


def test_alive_at_once_are_the_residual_stream_and_the_widest_block() -> None:
    model = dense(hidden=8, intermediate=16)
    widest = max(block.workspace(Plan()) for block, _ in model.parts())
    assert model.workspace(Plan()) == 2 * 8 + widest
    assert widest == pytest.approx(model.layers[0][1][1].workspace(Plan()))
