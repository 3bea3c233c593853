"""Sizes that an architecture has when its config does not say.

A key that stands with null says "none" (as many KV heads as query heads, no query latent); one
that is absent means the value of the configuration class.
Source: Hugging Face transformers 5.23, `configuration_<type>.py`.
"""

from __future__ import annotations

from typing import Final

#: model_type -> `num_key_value_heads`; those that are not listed have as many as query heads
KV_HEADS: Final = {
    "bamba": 8,
    "beam": 8,
    "bitnet": 5,
    "cosmos3_edge_text": 8,
    "cwm": 8,
    "dots1": 32,
    "emu3_text_model": 8,
    "ernie4_5": 2,
    "ernie4_5_moe": 4,
    "exaone4": 32,
    "exaone_moe": 32,
    "falcon_h1": 8,
    "flint": 4,
    "gemma": 16,
    "gemma2": 4,
    "gemma3_text": 4,
    "gemma3n_text": 2,
    "gemma4_text": 4,
    "gemma4_unified_text": 4,
    "glm": 2,
    "glm4": 2,
    "glm4_moe": 8,
    "glm4v_moe_text": 8,
    "glm4v_text": 2,
    "glm_ocr_text": 8,
    "gpt_oss": 8,
    "granite_docling_text": 4,
    "granite_swa": 4,
    "helium": 20,
    "hy_v3": 8,
    "internlm3": 2,
    "iquestcoder": 8,
    "jamba": 8,
    "kolibri1": 4,
    "laguna": 8,
    "lfm2": 8,
    "lfm2_moe": 8,
    "lfm3": 4,
    "llama4_text": 8,
    "mellum": 4,
    "mimo_v2_flash": 4,
    "minimax": 8,
    "minimax_m2": 8,
    "minimax_m3_vl_text": 4,
    "ministral": 8,
    "ministral3": 8,
    "mistral": 8,
    "mixtral": 8,
    "mllama_text_model": 8,
    "nemotron_h": 8,
    "paddleocr_vl_text": 2,
    "phi4_multimodal": 8,
    "phimoe": 8,
    "qwen2": 32,
    "qwen2_5_omni_text": 4,
    "qwen2_5_vl_text": 8,
    "qwen2_moe": 16,
    "qwen2_vl_text": 8,
    "qwen3": 32,
    "qwen3_5_moe_text": 2,
    "qwen3_5_text": 4,
    "qwen3_moe": 4,
    "qwen3_next": 2,
    "qwen3_omni_moe_text": 4,
    "qwen3_vl_moe_text": 16,
    "qwen3_vl_text": 32,
    "seed_oss": 8,
    "smollm3": 4,
    "solar_open": 8,
    "stablelm": 32,
    "starcoder2": 2,
    "vaultgemma": 4,
    "zamba": 16,
}

#: model_type -> (`q_lora_rank`, `v_head_dim`) of latent attention; None: no query latent, or no
#: width of its own
LATENT: Final[dict[str, tuple[int | None, int | None]]] = {
    "axk1": (1536, 128),
    "axk2": (384, 64),
    "bailing_hybrid": (None, 128),
    "deepseek_v2": (1536, 128),
    "deepseek_v3": (1536, 128),
    "deepseek_v32": (1536, 128),
    "dots3_note_text": (1024, 128),
    "glm4_moe_lite": (768, 256),
    "glm5_next_text": (1536, 256),
    "glm_moe_dsa": (2048, 256),
    "hy_v4": (1536, 256),
    "kimi_linear": (None, 128),
    "longcat_flash": (1536, 128),
    "minicpm3": (768, None),
    "mistral4": (1024, 128),
    "youtu": (1536, 128),
}


def optional_sizes(name: str, silent_on_heads: bool) -> dict[str, int]:
    """Sizes that a config of this architecture may leave out, under their first names."""
    found: dict[str, int] = {}
    if silent_on_heads and name in KV_HEADS:
        found["num_key_value_heads"] = KV_HEADS[name]
    rank, width = LATENT.get(name, (None, None))
    return found | {k: v for k, v in (("q_lora_rank", rank), ("v_head_dim", width)) if v}
