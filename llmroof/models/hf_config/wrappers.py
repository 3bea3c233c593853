"""Multimodal configs: where the text decoder stands and what its table may leave out.

A nested table is written as the difference from the class default of its model_type,
so that a missing size has a known value there; a file's own top level is not.
Values: Hugging Face transformers 5.23, `configuration_<type>.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from llmroof.models.hf_config.class_defaults import optional_sizes
from llmroof.models.hf_config.families import SAME_AS, TRAITS
from llmroof.models.hf_config.view import FFN, HEADS, HIDDEN, KV_HEADS, LAYERS, Config

#: keys under which multimodal configs keep the text decoder, outermost first
TEXT_KEYS: Final = ("thinker_config", "text_config", "llm_config", "language_config")

#: multimodal model_type -> model_type of its text decoder when the inner table names none
TEXT_TYPES: Final = {
    "aria": "aria_text",
    "aya_vision": "cohere2",
    "cohere2_vision": "cohere2",
    "cohere_compass": "cohere_compass_text",
    "cosmos3_edge": "cosmos3_edge_text",
    "deepseek_vl": "llama",
    "deepseek_vl_hybrid": "llama",
    "dots3_note": "dots3_note_text",
    "emu3": "emu3_text_model",
    "exaone4_5": "exaone4",
    "fast_vlm": "qwen2",
    "fuyu": "persimmon",
    "gemma3": "gemma3_text",
    "gemma3n": "gemma3n_text",
    "gemma4": "gemma4_text",
    "gemma4_unified": "gemma4_unified_text",
    "glm46v": "glm4v_text",
    "glm4v": "glm4v_text",
    "glm4v_moe": "glm4v_moe_text",
    "glm5_next": "glm5_next_text",
    "glm_ocr": "glm_ocr_text",
    "got_ocr2": "qwen2",
    "granite4_vision": "granite4_vision_text",
    "granite_docling": "granite_docling_text",
    "granite_speech": "granite",
    "hunyuan_vl": "hunyuan_vl_text",
    "idefics2": "mistral",
    "idefics3": "llama",
    "internvl": "qwen2",
    "janus": "llama",
    "kimi_k25": "deepseek_v3",
    "kimi_vl": "deepseek_v3",
    "lfm2_vl": "lfm2",
    "lfm3_vl": "lfm3",
    "lighton_ocr": "qwen3",
    "llama4": "llama4_text",
    "llava": "llama",
    "llava_next": "llama",
    "llava_next_video": "llama",
    "llava_onevision": "qwen2",
    "minimax_m3_vl": "minimax_m3_vl_text",
    "mistral3": "mistral",
    "mllama": "mllama_text_model",
    "ovis2": "qwen2",
    "paddleocr_vl": "paddleocr_vl_text",
    "paligemma": "gemma",
    "perception_lm": "llama",
    "pixtral": "mistral",
    "qwen2_5_omni": "qwen2_5_omni_text",
    "qwen2_audio": "qwen2",
    "qwen3_5": "qwen3_5_text",
    "qwen3_5_moe": "qwen3_5_moe_text",
    "qwen3_omni_moe": "qwen3_omni_moe_text",
    "qwen3_omni_moe_thinker": "qwen3_omni_moe_text",
    "qwen3_vl": "qwen3_vl_text",
    "qwen3_vl_moe": "qwen3_vl_moe_text",
    "shieldgemma2": "gemma3_text",
    "smolvlm": "llama",
    "step3p7": "step3p5",
    "video_llama_3": "qwen2",
    "video_llava": "llama",
    "vipllava": "llama",
    "voxtral": "llama",
}

_NAMES: Final = (("vocab_size",), HIDDEN, FFN, LAYERS, HEADS, KV_HEADS)

#: vocabulary, width, FFN width, layers, query heads, KV heads of the class default
DEFAULTS: Final = {
    "llama": (32000, 4096, 11008, 32, 32, None),
    "mistral": (32000, 4096, 14336, 32, 32, 8),
    "ministral3": (131072, 4096, 14336, 34, 32, 8),
    "gemma": (256000, 3072, 24576, 28, 16, 16),
    "gemma2": (256000, 2304, 9216, 26, 8, 4),
    "gemma3_text": (262208, 2304, 9216, 26, 8, 4),
    "gemma3n_text": (262400, 2048, 16384, 35, 8, 2),
    "gemma4_text": (262144, 2304, 9216, 30, 8, 4),
    "qwen2": (151936, 4096, 22016, 32, 32, 32),
    "qwen2_vl_text": (152064, 8192, 29568, 80, 64, 8),
    "qwen2_5_vl_text": (152064, 8192, 29568, 80, 64, 8),
    "qwen3": (151936, 4096, 22016, 32, 32, 32),
    "qwen3_vl_text": (151936, 4096, 22016, 32, 32, 32),
    "qwen3_vl_moe_text": (151936, 2048, 5632, 24, 16, 16),
    "qwen3_5_text": (248320, 4096, 12288, 32, 16, 4),
    "qwen3_5_moe_text": (248320, 2048, None, 40, 16, 2),
    "cohere2": (256000, 8192, 22528, 40, 64, None),
    "llama4_text": (202048, 5120, 8192, 48, 40, 8),
    "mllama_text_model": (128256, 4096, 14336, 40, 32, 8),
    "glm4v_text": (151552, 4096, 13696, 40, 32, 2),
    "glm4v_moe_text": (151424, 4096, 10944, 46, 96, 8),
    "phi3": (32064, 3072, 8192, 32, 32, None),
    "granite": (32000, 4096, 11008, 32, 32, None),
    "exaone4": (102400, 4096, 16384, 32, 32, 32),
}


def text_config(config: Config) -> Config:
    """The table of the text decoder, with what outer tables and class defaults say for it."""
    found, nested = config, False
    for key in TEXT_KEYS:
        if isinstance(found.get(key), Mapping):
            found, nested = _inner(found, key), True
    name = found.model_type
    own = TRAITS.get(SAME_AS.get(name, name))
    missing = dict(own.defaults) if own else {}
    silent = not any(key in found.values for key in KV_HEADS)
    missing |= optional_sizes(SAME_AS.get(name, name), silent)
    if nested:
        missing |= _class_defaults(found, name)
    return found.filled(missing)


def _inner(outer: Config, key: str) -> Config:
    """The table under `key`; weight tying and the model_type may stand outside of it."""
    inner = outer.table(key)
    values: dict[str, Any] = dict(inner.values)
    if outer.has("tie_word_embeddings"):
        values["tie_word_embeddings"] = outer.get("tie_word_embeddings")
    if not inner.has("model_type"):
        name = outer.get("model_type")
        values["model_type"] = TEXT_TYPES.get(name, name) if isinstance(name, str) else name
    return Config(values, outer.file, inner.where)


def _class_defaults(found: Config, name: str) -> dict[str, int]:
    sizes = DEFAULTS.get(name)
    if sizes is None:
        return {}
    pairs = zip(_NAMES, sizes, strict=True)
    return {names[0]: size for names, size in pairs if size is not None and not found.has(*names)}
