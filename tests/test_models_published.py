"""Architectures outside of transformers 5.23 or unknown to its meta device: published sizes.

Each config is that of a published checkpoint, cut down to the keys that matter; the totals
are those of the hub's safetensors metadata or of the authors.
"""

from __future__ import annotations

from typing import Any

import pytest

from llmroof.errors import SpecError
from llmroof.models.hf_config.read import model_of
from llmroof.models.hf_config.view import Config
from llmroof.models.model import Model
from llmroof.operators import Execution, Step
from llmroof.specs.precision import recipe

BF16 = recipe("bf16")

#: apple/OpenELM-270M
OPENELM = {
    "model_type": "openelm",
    "model_dim": 1280,
    "head_dim": 64,
    "num_transformer_layers": 16,
    "num_query_heads": [12] * 5 + [16] * 7 + [20] * 4,
    "num_kv_heads": [3] * 5 + [4] * 7 + [5] * 4,
    "ffn_multipliers": [
        *(0.5, 0.73, 0.97, 1.2, 1.43, 1.67, 1.9, 2.13),
        *(2.37, 2.6, 2.83, 3.07, 3.3, 3.53, 3.77, 4.0),
    ],
    "ffn_dim_divisor": 256,
    "normalize_qk_projections": True,
    "share_input_output_layers": True,
    "vocab_size": 32000,
}
#: jetmoe/jetmoe-8b
JETMOE = {
    "model_type": "jetmoe",
    "hidden_size": 2048,
    "num_hidden_layers": 24,
    "num_key_value_heads": 16,
    "kv_channels": 128,
    "intermediate_size": 5632,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "vocab_size": 32000,
}
#: the first files of tiiuae/falcon-7b and falcon-40b, before transformers knew them
FALCON_7B = {
    "model_type": "RefinedWebModel",
    "hidden_size": 4544,
    "n_layer": 32,
    "n_head": 71,
    "multi_query": True,
    "parallel_attn": True,
    "bias": False,
    "alibi": False,
    "vocab_size": 65024,
}
FALCON_40B = FALCON_7B | {
    "model_type": "RefinedWeb",
    "hidden_size": 8192,
    "n_layer": 60,
    "n_head": 128,
    "n_head_kv": 8,
}
#: Snowflake/snowflake-arctic-instruct
ARCTIC = {
    "model_type": "arctic",
    "hidden_size": 7168,
    "intermediate_size": 4864,
    "num_hidden_layers": 35,
    "num_attention_heads": 56,
    "num_key_value_heads": 8,
    "num_local_experts": 128,
    "num_experts_per_tok": 2,
    "moe_layer_frequency": 1,
    "parallel_attn_mlp_res": True,
    "vocab_size": 32000,
}
#: facebook/opt-350m: a table narrower than the layers, no norm behind the last
OPT_350M = {
    "model_type": "opt",
    "hidden_size": 1024,
    "word_embed_proj_dim": 512,
    "ffn_dim": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "max_position_embeddings": 2048,
    "do_layer_norm_before": False,
    "vocab_size": 50272,
}
#: zai-org/chatglm3-6b
CHATGLM3 = {
    "model_type": "chatglm",
    "hidden_size": 4096,
    "ffn_hidden_size": 13696,
    "num_layers": 28,
    "num_attention_heads": 32,
    "kv_channels": 128,
    "multi_query_attention": True,
    "multi_query_group_num": 2,
    "add_qkv_bias": True,
    "add_bias_linear": False,
    "padded_vocab_size": 65024,
}
#: Qwen/Qwen-7B
QWEN_7B = {
    "model_type": "qwen",
    "hidden_size": 4096,
    "intermediate_size": 22016,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 151936,
}
#: google/recurrentgemma-2b: two layers with a state, then one with attention
RECURRENT_GEMMA = {
    "model_type": "recurrent_gemma",
    "hidden_size": 2560,
    "intermediate_size": 15360,
    "num_hidden_layers": 26,
    "num_attention_heads": 10,
    "num_key_value_heads": 1,
    "head_dim": 256,
    "vocab_size": 256000,
}
#: Zyphra/Zamba-7B-v1: one transformer before layers 2, 7, 13 ... of 76
ZAMBA = {
    "model_type": "zamba",
    "hidden_size": 3712,
    "attention_hidden_size": 7424,
    "attention_head_dim": 464,
    "intermediate_size": 14848,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "num_hidden_layers": 76,
    "attn_layer_period": 6,
    "attn_layer_offset": 4,
    "mamba_dt_rank": "auto",
    "vocab_size": 32000,
}
QWEN2_7B = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "tie_word_embeddings": False,
    "vocab_size": 152064,
}
PATCHES = {"in_chans": 3, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2}
#: Qwen/Qwen2-VL-7B-Instruct
QWEN2_VL = {
    **QWEN2_7B,
    "model_type": "qwen2_vl",
    "vision_config": PATCHES
    | {"depth": 32, "embed_dim": 1280, "mlp_ratio": 4, "hidden_size": 3584},
}
#: Qwen/Qwen2.5-VL-7B-Instruct
QWEN2_5_VL = {
    **QWEN2_7B,
    "model_type": "qwen2_5_vl",
    "vision_config": PATCHES
    | {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 3584},
}
#: meta-llama/Llama-4-Scout-17B-16E-Instruct
SCOUT = {
    "model_type": "llama4",
    "text_config": {
        "model_type": "llama4_text",
        "hidden_size": 5120,
        "intermediate_size": 8192,
        "intermediate_size_mlp": 16384,
        "num_hidden_layers": 48,
        "num_attention_heads": 40,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "num_local_experts": 16,
        "num_experts_per_tok": 1,
        "interleave_moe_layer_step": 1,
        "attention_chunk_size": 8192,
        "vocab_size": 202048,
    },
    "vision_config": {
        "hidden_size": 1408,
        "intermediate_size": 5632,
        "num_hidden_layers": 34,
        "image_size": 336,
        "patch_size": 14,
        "projector_input_dim": 4096,
        "projector_output_dim": 4096,
        "vision_output_dim": 4096,
    },
}
#: meta-llama/Llama-3.2-11B-Vision, the text decoder
MLLAMA = {
    "model_type": "mllama",
    "text_config": {
        "model_type": "mllama_text_model",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 40,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "cross_attention_layers": [3, 8, 13, 18, 23, 28, 33, 38],
        "vocab_size": 128256,
    },
}


def read(config: dict[str, Any]) -> Model:
    return model_of(Config(config, "config.json"))


@pytest.mark.parametrize(
    ("config", "parameters", "kv_cache"),
    [
        (OPENELM, 271_527_168, 2 * 2 * 64 * (5 * 3 + 7 * 4 + 4 * 5)),
        (JETMOE, 8_522_237_952, 2 * 2 * 24 * 16 * 128),
        (FALCON_7B, 6_921_720_704, 8192),
        (FALCON_40B, 41_303_293_952, 60 * 2 * 2 * 8 * 64),
        (OPT_350M, 331_196_416, 24 * 2 * 2 * 1024),
        (CHATGLM3, 6_243_584_000, 28 * 2 * 2 * 2 * 128),
        (QWEN_7B, 7_721_324_544, 32 * 2 * 2 * 4096),
        (RECURRENT_GEMMA, 2_682_862_080, 8 * 2 * 2 * 256),
    ],
)
def test_sizes_of_published_checkpoints(
    config: dict[str, Any], parameters: int, kv_cache: int
) -> None:
    model = read(config)
    assert model.parameters == parameters
    assert model.kv_cache_bytes_per_token(BF16) == kv_cache


def test_a_shared_transformer_keeps_a_cache_wherever_it_runs() -> None:
    assert read(ZAMBA).kv_cache_bytes_per_token(BF16) == 13 * 2 * 2 * 16 * 464


@pytest.mark.parametrize(
    ("config", "parameters"),
    [(QWEN2_VL, 8_291_375_616), (QWEN2_5_VL, 8_292_166_656), (SCOUT, 108_641_793_536)],
)
def test_a_checkpoint_is_its_decoder_and_its_tower(config: dict[str, Any], parameters: int) -> None:
    model = read(config)
    assert model.parameters + model.extras["vision_tower"] == parameters


def test_text_skips_the_layers_that_look_at_images() -> None:
    """40 layers are held, 32 of them have a cache; the eight others have norms and gates more."""
    model = read(MLLAMA)
    layer = 2 * 4096 * (4096 + 1024) + 3 * 4096 * 14336 + 2 * 4096
    tables = (2 * 128256 + 8) * 4096  # eight tokens of images
    crossed = 8 * (2 * 128 + 2)
    assert model.parameters == 40 * layer + crossed + tables + 4096
    assert model.kv_cache_bytes_per_token(BF16) == 32 * 2 * 2 * 1024
    operators = model.operators([Step(1, 1, 100)], Execution(BF16))
    products = sum(op.flop * op.count for op in operators if op.kind == "gemm")
    assert products == 2 * (32 * (layer - 2 * 4096) + 128256 * 4096)


def test_arctic() -> None:
    """480B with 17B active, as its authors round them; a dense MLP in every layer."""
    model = read(ARCTIC)
    assert model.parameters == pytest.approx(480e9, rel=0.01)
    assert model.active_parameters == pytest.approx(17e9, rel=0.02)
    attention = 2 * 7168**2 + 2 * 7168 * 1024
    each = attention + 3 * 7168**2 + 128 * (3 * 7168 * 4864 + 7168) + 3 * 7168
    assert model.parameters == 35 * each + 2 * 32000 * 7168 + 7168


def test_nemotron_from_architecture_search() -> None:
    """Layers without attention, with linear maps in its place, and FFNs of other widths."""
    hidden = 64
    config = {
        "model_type": "nemotron-nas",
        "hidden_size": hidden,
        "num_attention_heads": 8,
        "num_hidden_layers": 3,
        "vocab_size": 100,
        "block_configs": [
            {"attention": {"n_heads_in_group": 4}, "ffn": {"ffn_mult": 6.0}},
            {"attention": {"no_op": True, "n_heads_in_group": None}, "ffn": {"ffn_mult": 1.0}},
            {"attention": {"replace_with_linear": True}, "ffn": {"no_op": True, "ffn_mult": None}},
        ],
    }
    model = read(config)
    attention = hidden * (8 + 2 + 2 + 8) * 8
    ffn = 3 * hidden * 256  # 2/3 of 6 x 64; the other is rounded up to a multiple of 256
    norms = hidden * (2 + 1 + 1 + 1)
    assert model.parameters == attention + 2 * ffn + hidden**2 + norms + 2 * 100 * hidden
    assert model.kv_cache_bytes_per_token(BF16) == 2 * 2 * 2 * 8
    with pytest.raises(SpecError, match="block_configs"):
        read({**config, "block_configs": None})
    with pytest.raises(SpecError, match="ffn_mult"):
        read({**config, "block_configs": [{"attention": {"n_heads_in_group": 1}, "ffn": {}}] * 3})


def test_a_silent_config_has_the_heads_of_its_class() -> None:
    """Absent is the class's value; null is as many as query heads."""
    config = {
        "model_type": "mistral",
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_attention_heads": 16,
        "num_hidden_layers": 2,
        "vocab_size": 100,
    }
    silent, null = read(config), read({**config, "num_key_value_heads": None})
    assert silent.kv_cache_bytes_per_token(BF16) == 2 * 2 * 2 * 8 * 16
    assert "num_key_value_heads 8" in silent.notes
    assert null.kv_cache_bytes_per_token(BF16) == 2 * 2 * 2 * 16 * 16
    assert not null.notes


def test_minicpm_with_experts() -> None:
    """openbmb/MiniCPM-MoE-8x2B: 13.9B held, every FFN eight times."""
    dense = {
        "model_type": "minicpm",
        "hidden_size": 2304,
        "intermediate_size": 5760,
        "num_attention_heads": 36,
        "num_hidden_layers": 40,
        "vocab_size": 122753,
    }
    small, large = read(dense), read({**dense, "num_experts": 8, "num_experts_per_tok": 2})
    ffn = 40 * 3 * 2304 * 5760
    assert large.parameters - small.parameters == 7 * ffn + 40 * 8 * 2304
    assert large.active_parameters - small.parameters == ffn + 40 * 8 * 2304


@pytest.mark.parametrize(
    ("model_type", "more", "names"),
    [
        ("llama", {"num_local_experts": 8}, "8 experts"),
        ("qwen2", {"n_routed_experts": 64, "num_key_value_heads": 2}, "64 experts"),
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention"),
        ("qwen3_next", {}, "expert"),
        ("lfm2_moe", {}, "expert"),
    ],
)
def test_never_a_silent_dense_guess(model_type: str, more: dict[str, Any], names: str) -> None:
    config = {
        "model_type": model_type,
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_attention_heads": 16,
        "num_hidden_layers": 4,
        "vocab_size": 100,
        "max_position_embeddings": 128,
        **{f"linear_{key}": 16 for key in ("num_key_heads", "num_value_heads")},
        **{f"linear_{key}_head_dim": 16 for key in ("key", "value")},
        **more,
    }
    with pytest.raises(SpecError, match=names):
        read(config)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "doge", "is_moe": False, "num_experts": 64},
        {"model_type": "gemma4_text", "enable_moe_block": False, "num_experts": 64},
        {"model_type": "nemotron_h", "hybrid_override_pattern": "M*-M", "n_routed_experts": 8}
        | {"mamba_num_heads": 4, "mamba_head_dim": 64, "ssm_state_size": 16},
        {"model_type": "hunyuan_v1_dense", "num_experts": 1},
    ],
)
def test_experts_that_are_switched_off_are_none(config: dict[str, Any]) -> None:
    sizes = {
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "num_hidden_layers": 4,
        "vocab_size": 100,
    }
    model = read({**sizes, **config})
    assert model.active_parameters == model.parameters
