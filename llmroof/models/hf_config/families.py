"""The table of architectures: model_type -> traits."""

from __future__ import annotations

from typing import Final

from llmroof.models.hf_config.rows_dense import DENSE
from llmroof.models.hf_config.rows_experts import EXPERTS
from llmroof.models.hf_config.rows_latent import LATENT
from llmroof.models.hf_config.traits import Traits

#: model_type -> traits of everything that is attention (or MLA) and an FFN per layer
TRAITS: Final[dict[str, Traits]] = {**DENSE, **EXPERTS, **LATENT}

#: other names of an architecture -> its row (parts of multimodal models, remote code)
SAME_AS: Final = {
    "aquila": "llama",
    "baichuan": "llama",
    "bailing_moe_v2": "bailing_moe",
    "dots_ocr": "qwen2",
    "emu3_text_model": "llama",
    "exaone": "llama",
    "exaone4_5_text": "exaone4",
    "gpt-sw3": "gpt2",
    "granite4_vision_text": "granite",
    "granite_docling_text": "granite",
    "hunyuan_vl_text": "hunyuan_v1_dense",
    "kimi_k2": "deepseek_v3",
    "mimo": "qwen2",
    "paddleocr_vl_text": "ernie4_5",
    "phi-msft": "phi",
    "phi3_v": "phi3",
    "phi4mm": "phi4_multimodal",
    "qwen2_5_omni_text": "qwen2",
    "qwen2_5_vl": "qwen2",
    "qwen2_5_vl_text": "qwen2",
    "qwen2_vl": "qwen2",
    "qwen2_vl_text": "qwen2",
    "xverse": "llama",
    "yi": "llama",
    "Yi": "llama",
}
