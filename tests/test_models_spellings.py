"""One architecture, several spellings: keys that say the same thing give the same model.

The bases are configs of `counted_models.json`, whose figures are those of the real modules;
each change spells out, by another key, what the base leaves to the class or says by its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmroof.errors import SpecError
from llmroof.models.hf_config.read import model_of
from llmroof.models.hf_config.view import Config
from llmroof.models.model import Model

COUNTED: dict[str, Any] = json.loads(
    Path(__file__).with_name("counted_models.json").read_text("utf-8")
)
#: what these tests start from where no counted config is at hand
SIZES: dict[str, Any] = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "num_hidden_layers": 6,
    "vocab_size": 100,
}
EXPERTS = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
STEP3 = {
    **SIZES,
    **EXPERTS,
    "model_type": "step3p5",
    "layer_types": ["full_attention"] * 6,
    "share_expert_dim": 64,
}
ZAMBA2 = COUNTED["zamba2"]["config"]
ZAMBA = {**SIZES, "model_type": "zamba", "attn_layer_period": 3, "attn_layer_offset": 1}
V4 = {**COUNTED["deepseek_v4"]["config"], "num_hidden_layers": 4}
GLM = {**COUNTED["glm_moe_dsa"]["config"], "num_hidden_layers": 8}
V3 = {**COUNTED["deepseek_v3"]["config"], "num_hidden_layers": 6}
MINIMAX = {**COUNTED["minimax"]["config"], "num_hidden_layers": 4}
KIMI = {**COUNTED["kimi_linear"]["config"], "num_hidden_layers": 6}
SCOUT = {**COUNTED["llama4_text"]["config"], "num_hidden_layers": 8}
LFM2 = {**COUNTED["lfm2"]["config"], "num_hidden_layers": 4, "intermediate_size": 12288}
MIMO = {**COUNTED["mimo_v2_flash"]["config"], "sliding_window": 128}
LAGUNA = {**COUNTED["laguna"]["config"], "num_hidden_layers": 3}
HUNYUAN = {**COUNTED["hunyuan-a13b"]["config"], "num_hidden_layers": 3}
EXAONE = {
    **SIZES,
    "model_type": "exaone4",
    "sliding_window": 64,
    "sliding_window_pattern": 4,
}


def read(config: dict[str, Any]) -> Model:
    return model_of(Config(config, "config.json"))


FULL, LINEAR = "full_attention", "linear_attention"
HEAVY, LIGHT = "heavily_compressed_attention", "compressed_sparse_attention"
SAME: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "Llama 4: every fourth layer is full": (
        SCOUT,
        {"layer_types": ([*["chunked_attention"] * 3, FULL]) * 2},
    ),
    "Zamba2: hybrid layers by number": (
        ZAMBA2,
        {"layers_block_type": None, "hybrid_layer_ids": [6, 12, 18, 24, 30, 36, 42, 47, 51]},
    ),
    "Zamba: layer 2, then by period": (
        ZAMBA,
        {"layers_block_type": ["mamba", "mamba", "hybrid", "mamba", "hybrid", "mamba"]},
    ),
    "DeepSeek V4: kinds by their rate": (V4, {"compress_ratios": [128, 128, 128, 4]}),
    "DeepSeek V4: kinds by name": (V4, {"layer_types": [HEAVY, HEAVY, HEAVY, LIGHT]}),
    "GLM-5: indexers by name": (
        {**GLM, "index_topk_freq": 4, "index_skip_topk_offset": 3},
        {"indexer_types": [*["full"] * 3, *["shared"] * 3, "full", "shared"]},
    ),
    "GLM-5: indexers by letters": (
        {**GLM, "index_topk_freq": 4, "index_skip_topk_offset": 3},
        {"index_topk_pattern": "FFFSSSFS"},
    ),
    "MiniMax: a mark per layer": (MINIMAX, {"attn_type_list": [1, 0, 1, 0]}),
    "MiniMax: kinds by name": (MINIMAX, {"layer_types": [FULL, LINEAR] * 2}),
    "Kimi Linear: full layers counted from one": (
        KIMI,
        {"linear_attn_config": {"full_attn_layers": [5]}},
    ),
    "Step 3.5: experts from layer 3 on": (STEP3, {"moe_layers_enum": "3,4,5"}),
    "Step 3.5: experts as a list": (STEP3, {"moe_layers_enum": [3, 4, 5]}),
    "Step 3.5: experts by name": (
        STEP3,
        {"mlp_layer_types": [*["dense"] * 3, *["sparse"] * 3]},
    ),
    "DeepSeek V3: the first layers are dense": (V3, {"moe_layer_freq": [0, 0, 0, 1, 1, 1]}),
    "DeepSeek V3: experts by number": (V3, {"moe_layers": [3, 4, 5]}),
    "LFM2: attention by number": (LFM2, {"full_attn_idxs": [0, 1, 2, 3]}),
    "LFM2: a width that is meant as it is": (
        LFM2,  # 2/3 of 12,288 is 8,192
        {"intermediate_size": 8192, "block_auto_adjust_ff_dim": False},
    ),
    "MiMo: a window that leaves out the query's own key": (
        MIMO,
        {"sliding_window": None, "sliding_window_size": 127},
    ),
    "Laguna: query heads per layer": (LAGUNA, {"num_attention_heads_per_layer": [48] * 3}),
    "Hunyuan: experts per layer": (HUNYUAN, {"num_experts": [64] * 3, "moe_topk": [8] * 3}),
    "EXAONE 4: a pattern as a word": (EXAONE, {"sliding_window_pattern": "LLLG"}),
}


@pytest.mark.parametrize(("config", "change"), SAME.values(), ids=SAME)
def test_spellings_of_one_thing_give_one_model(
    config: dict[str, Any], change: dict[str, Any]
) -> None:
    assert read({**config, **change}).layers == read(config).layers


OTHER: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    # a head more: q, o and gate of a 128-wide head on a width of 2,048
    "Laguna": (LAGUNA, {"num_attention_heads_per_layer": [48, 48, 49]}, 2 * 128 * 2048 + 2048),
    # 64 experts fewer, each with three matrices and a row of the router
    "Hunyuan": (HUNYUAN, {"num_experts": [64, 64, 32]}, -32 * (3 * 3072 * 4096 + 4096)),
    # one layer more that is dense: one FFN for eight, a router and a shared one
    "Step 3.5": (
        STEP3,
        {"moe_layers_enum": "4,5"},
        3 * 256 * 512 - (8 + 1) * 3 * 64 * 256 - 8 * 256,
    ),
}


@pytest.mark.parametrize(("config", "change", "difference"), OTHER.values(), ids=OTHER)
def test_layers_of_their_own_count_as_such(
    config: dict[str, Any], change: dict[str, Any], difference: int
) -> None:
    assert read({**config, **change}).parameters - read(config).parameters == difference


def test_sliding_layers_may_have_other_query_heads() -> None:
    kinds = ["full_attention", *["sliding_attention"] * 5]
    asked = {**STEP3, "layer_types": kinds, "sliding_window": 64}
    more = {**asked, "attention_other_setting": {"num_attention_heads": 17}}
    # five layers with one head of 16 more: q and o, and a gate
    assert read(more).parameters - read(asked).parameters == 5 * (2 * 16 * 256 + 256)


@pytest.mark.parametrize(
    ("config", "change", "message"),
    [
        (V4, {"compress_ratios": [128, 128, 128, 5]}, "may hold 0, 4, 128 only"),
        (V4, {"layer_types": [HEAVY, HEAVY, HEAVY, "lightly"]}, "unknown kind of layer 'lightly'"),
        (STEP3, {"moe_layers_enum": "3,four"}, "must list the layers with experts"),
        (STEP3, {"moe_layers_enum": 3}, "must list the layers with experts"),
        (
            {**SIZES, "model_type": "mistral", "layer_types": ["sliding_attention"] * 6},
            {"sliding_window": None},
            "sliding_window: is missing, but layers slide",
        ),
    ],
)
def test_a_list_of_layers_that_says_nothing_is_refused(
    config: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        read({**config, **change})
