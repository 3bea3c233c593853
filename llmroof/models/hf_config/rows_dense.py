"""Rows of dense architectures: attention and one FFN in every layer.

Every row repeats what the published modelling code of the architecture fixes
(Hugging Face transformers 5.23, `modeling_<type>.py` and `configuration_<type>.py`).
"""

from __future__ import annotations

from typing import Final

from llmroof.models.hf_config.traits import Traits, Window, after, every, first_of

_BIAS: Final = ("attention_bias", False)
_BIASED: Final = ("attention_bias", True)
_MLP_BIAS: Final = ("mlp_bias", False)
_PARALLEL: Final = (1, 0, 1)
_SANDWICH: Final = (2, 2, 1)
_BARE: Final = (0, 0, 0)
#: every layer slides when the config names a window
UNIFORM: Final = Window()
_QWEN_WINDOW: Final = Window(
    flag=("use_sliding_window", False), pattern=after("max_window_layers", 28)
)

DENSE: Final[dict[str, Traits]] = {
    "llama": Traits(bias=_BIAS, mlp_bias=_MLP_BIAS),
    "granite": Traits(bias=_BIAS, mlp_bias=_MLP_BIAS),
    "internlm3": Traits(bias=("qkv_bias", False), mlp_bias=("bias", False)),
    "iquestcoder": Traits(bias=_BIAS, mlp_bias=_MLP_BIAS, head_dim=128),
    "helium": Traits(bias=_BIAS, output_bias=False, mlp_bias=_MLP_BIAS, head_dim=128),
    "seed_oss": Traits(
        bias=_BIASED, output_bias=("attention_out_bias", False), mlp_bias=_MLP_BIAS, head_dim=128
    ),
    "hyperclovax": Traits(bias=_BIAS, mlp_bias=_MLP_BIAS, norms=_SANDWICH),
    "cwm": Traits(mlp_bias=_MLP_BIAS, head_dim=128, window=Window(pattern=first_of(4), size=8192)),
    "mistral": Traits(window=UNIFORM),
    "ministral": Traits(window=UNIFORM),
    "ministral3": Traits(window=UNIFORM),
    "smollm3": Traits(
        tied=True,
        bias=_BIAS,
        mlp_bias=_MLP_BIAS,
        window=Window(flag=("use_sliding_window", False), pattern=every("no_rope_interval", 4)),
    ),
    "qwen2": Traits(bias=True, output_bias=False, window=_QWEN_WINDOW),
    "minicpm": Traits(tied=True, bias=_BIAS),
    "internlm": Traits(bias=("bias", True)),
    "internlm2": Traits(bias=("bias", False)),
    "orion": Traits(norm_bias=True),
    "glm4v_text": Traits(bias=True, output_bias=False, norms=_SANDWICH),
    "glm_ocr_text": Traits(norms=_SANDWICH),
    "cosmos3_edge_text": Traits(bias=_BIAS, mlp_bias=_MLP_BIAS, gated=False, head_dim=128),
    "qwen3": Traits(bias=_BIAS, qk_norm="head", head_dim=128, window=_QWEN_WINDOW),
    "qwen3_vl_text": Traits(bias=_BIAS, qk_norm="head", head_dim=128),
    "gemma": Traits(tied=True, bias=_BIAS, head_dim=256, defaults=(("vocab_size", 256000),)),
    "gemma2": Traits(
        tied=True,
        bias=_BIAS,
        head_dim=256,
        norms=_SANDWICH,
        window=Window(pattern=every("sliding_window_pattern", 2), size=4096),
        defaults=(("vocab_size", 256000),),
    ),
    "gemma3_text": Traits(
        tied=True,
        bias=_BIAS,
        head_dim=256,
        norms=_SANDWICH,
        qk_norm="head",
        window=Window(pattern=every("sliding_window_pattern", 6), size=4096),
        defaults=(("vocab_size", 262208),),
    ),
    "vaultgemma": Traits(
        tied=True,
        bias=_BIAS,
        head_dim=256,
        window=Window(pattern=every("sliding_window_pattern", 2), size=4096),
    ),
    "phi3": Traits(window=UNIFORM),
    "phi4_multimodal": Traits(window=UNIFORM),
    "phi": Traits(
        ffn_factor=4,
        bias=True,
        mlp_bias=True,
        head_bias=True,
        gated=False,
        norms=_PARALLEL,
        norm_bias=True,
        qk_norm=("qk_layernorm", False, "head biased"),
    ),
    "starcoder2": Traits(
        tied=True,
        bias=("use_bias", True),
        mlp_bias=("use_bias", True),
        gated=False,
        norm_bias=True,
        window=UNIFORM,
    ),
    "cohere": Traits(
        tied=True, bias=_BIAS, norms=_PARALLEL, qk_norm=("use_qk_norm", False, "full")
    ),
    "cohere2": Traits(
        tied=True,
        bias=_BIAS,
        norms=_PARALLEL,
        window=Window(pattern=every("sliding_window_pattern", 4), size=4096),
    ),
    "cohere_compass_text": Traits(tied=True, bias=_BIAS, norms=_PARALLEL, window=Window()),
    "olmo": Traits(bias=_BIAS, norms=_BARE),
    "olmo2": Traits(bias=_BIAS, qk_norm="full"),
    "olmo3": Traits(
        bias=_BIAS,
        qk_norm="full",
        window=Window(pattern=every("sliding_window_pattern", 4), size=4096),
    ),
    "glm": Traits(bias=_BIASED, output_bias=False, head_dim=128),
    "glm4": Traits(bias=_BIASED, output_bias=False, head_dim=128, norms=_SANDWICH),
    "exaone4": Traits(
        qk_norm="head", window=Window(pattern=every("sliding_window_pattern", 4), size=4096)
    ),
    "hunyuan_v1_dense": Traits(bias=_BIAS, qk_norm="head"),
    "apertus": Traits(bias=_BIAS, gated=False, qk_norm="head", mlp_scales=2),
    "arcee": Traits(bias=_BIAS, mlp_bias=_MLP_BIAS, gated=False),
    "nemotron": Traits(bias=_BIAS, mlp_bias=_MLP_BIAS, gated=False, norm_bias=True),
    "jais2": Traits(bias=_BIASED, mlp_bias=("mlp_bias", True), gated=False, norm_bias=True),
    "bitnet": Traits(bias=_BIAS, inner_norms=True),
    "nanochat": Traits(bias=_BIAS, gated=False, norms=_BARE),
    "diffllama": Traits(bias=_BIAS, attention_scales=lambda c: 4 * c.head_dim(), passes=2),
    "persimmon": Traits(
        bias=True,
        mlp_bias=True,
        gated=False,
        norm_bias=True,
        qk_norm=("qk_layernorm", True, "head biased"),
    ),
    "ernie4_5": Traits(
        tied=True, bias=("use_bias", False), mlp_bias=("use_bias", False), head_dim=128
    ),
    "granite_swa": Traits(
        tied=True,
        bias=_BIAS,
        mlp_bias=_MLP_BIAS,
        sinks=True,
        window=Window(pattern=first_of(4), size=128),
    ),
    "gpt_neox": Traits(bias=_BIASED, mlp_bias=True, gated=False, norm_bias=True),
    "gptj": Traits(
        mlp_bias=True, head_bias=True, gated=False, norms=_PARALLEL, norm_bias=True, ffn_factor=4
    ),
    "codegen": Traits(
        mlp_bias=True, head_bias=True, gated=False, norms=_PARALLEL, norm_bias=True, ffn_factor=4
    ),
    "gpt2": Traits(
        tied=True,
        bias=True,
        mlp_bias=True,
        gated=False,
        norm_bias=True,
        rotary=False,
        positions=0,
        ffn_factor=4,
    ),
    "openai-gpt": Traits(
        tied=True,
        bias=True,
        mlp_bias=True,
        gated=False,
        norms=(1, 1, 0),
        norm_bias=True,
        rotary=False,
        positions=0,
        ffn_factor=4,
    ),
    "gpt_neo": Traits(
        tied=True,
        output_bias=True,
        mlp_bias=True,
        gated=False,
        norm_bias=True,
        rotary=False,
        positions=0,
        ffn_factor=4,
        window=Window(key="window_size", size=256),
    ),
    "biogpt": Traits(
        tied=True,
        bias=True,
        mlp_bias=True,
        gated=False,
        norm_bias=True,
        rotary=False,
        positions=2,
    ),
    "xglm": Traits(tied=True, bias=True, mlp_bias=True, gated=False, norm_bias=True, rotary=False),
    "ctrl": Traits(
        tied=True,
        bias=True,
        mlp_bias=True,
        head_bias=True,
        gated=False,
        norm_bias=True,
        rotary=False,
    ),
    "bloom": Traits(
        tied=True,
        bias=True,
        mlp_bias=True,
        gated=False,
        norm_bias=True,
        rotary=False,
        ffn_factor=4,
    ),
}
