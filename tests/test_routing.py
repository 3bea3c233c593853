"""Routing of tokens to experts: how many different ones a step touches."""

from __future__ import annotations

import numpy as np
import pytest

import llmroof
from llmroof.blocks.experts import distinct_experts
from llmroof.errors import InputError


def test_even_routing_by_hand() -> None:
    """8 experts, 2 per token, 2 tokens: 8·(1 − (6/8)²) = 3.5."""
    assert distinct_experts(8, 2, 2) == pytest.approx(3.5)
    assert distinct_experts(256, 8, 32) == pytest.approx(163.3, abs=0.05)


@pytest.mark.parametrize("skew", [0.0, 0.3, 1, 1.5, 4.0])
@pytest.mark.parametrize(("experts", "top_k"), [(8, 2), (256, 8), (128, 4), (2, 2)])
def test_one_token_touches_exactly_its_experts(experts: int, top_k: int, skew: float) -> None:
    assert distinct_experts(experts, top_k, 1, skew) == pytest.approx(top_k)


def test_skew_touches_fewer_and_more_tokens_touch_more() -> None:
    counts = np.array([1, 2, 8, 64, 4096])
    even, skewed = (distinct_experts(128, 8, counts, skew) for skew in (0.0, 1.2))
    assert np.all(skewed[1:] < even[1:])
    assert np.all(np.diff(even) > 0)
    assert np.all(np.diff(skewed) > 0)
    assert np.all(skewed <= 128)


@pytest.mark.parametrize("skew", [0.0, 1.0])
def test_a_grid_of_tokens_equals_its_points_to_the_last_bit(skew: float) -> None:
    """A processor with wide vectors raises arrays to a power by another routine than numbers."""
    counts = np.arange(1.0, 600.0) / 3.0
    grid = distinct_experts(256, 8, counts, skew)
    assert [distinct_experts(256, 8, float(one), skew) for one in counts] == grid.tolist()


def test_skew_is_an_option_that_saves_bytes_not_flop() -> None:
    question = {"model": "mixtral-8x7b", "gpu": "h100", "num_gpus": 2, "batch": 4}
    even, skewed = (llmroof.estimate(**question, routing_skew=skew) for skew in (0.0, 1.0))
    assert skewed.decode.flop == even.decode.flop
    assert skewed.decode.bytes < even.decode.bytes
    with pytest.raises(InputError, match="routing_skew must be 0 to 4"):
        llmroof.estimate(**question, routing_skew=-1.0)
