"""Rows of architectures with experts behind softmax attention.

Every row repeats what the published modelling code of the architecture fixes
(Hugging Face transformers 5.23, `modeling_<type>.py` and `configuration_<type>.py`).
"""

from __future__ import annotations

from typing import Final

from llmroof.models.hf_config.traits import Experts, Traits, Window, after, every, first_of

_BIAS: Final = ("attention_bias", False)
_BIASED: Final = ("attention_bias", True)
_MLP_BIAS: Final = ("mlp_bias", False)
_PARALLEL: Final = (1, 0, 1)
_SANDWICH: Final = (2, 2, 1)
#: every layer slides when the config names a window
UNIFORM: Final = Window()
_SHARED: Final = ("n_shared_experts", 1)

EXPERTS: Final[dict[str, Traits]] = {
    "mixtral": Traits(window=UNIFORM, experts=Experts(width=("intermediate_size",))),
    "phimoe": Traits(
        bias=_BIAS,
        head_bias=("lm_head_bias", False),
        norm_bias=True,
        window=UNIFORM,
        experts=Experts(width=("intermediate_size",)),
    ),
    "qwen2_moe": Traits(
        bias=("qkv_bias", True),
        output_bias=False,
        window=Window(flag=("use_sliding_window", False), pattern=every("window_step", 2)),
        experts=Experts(shared_width=("shared_expert_intermediate_size", 5632), shared_gate=True),
    ),
    "qwen3_moe": Traits(
        bias=_BIAS,
        qk_norm="head",
        window=Window(flag=("use_sliding_window", False)),
        experts=Experts(),
    ),
    "qwen3_vl_moe_text": Traits(tied=True, bias=_BIAS, qk_norm="head", experts=Experts()),
    "qwen3_omni_moe_text": Traits(bias=_BIAS, qk_norm="head", experts=Experts()),
    "olmoe": Traits(bias=_BIAS, qk_norm="full", experts=Experts(width=("intermediate_size",))),
    "flex_olmo": Traits(bias=_BIAS, qk_norm="full", experts=Experts(width=("intermediate_size",))),
    "granitemoe": Traits(bias=_BIAS, experts=Experts(width=("intermediate_size",))),
    "granitemoeshared": Traits(
        bias=_BIAS,
        experts=Experts(width=("intermediate_size",), shared_width=("shared_intermediate_size", 0)),
    ),
    "granitemoe_swa": Traits(
        bias=_BIAS,
        sinks=True,
        window=Window(pattern=first_of(4), size=128),
        experts=Experts(width=("intermediate_size",), shared_width=("shared_intermediate_size", 0)),
    ),
    "gpt_oss": Traits(
        bias=_BIASED,
        sinks=True,
        head_dim=64,
        window=Window(pattern=every("sliding_window_pattern", 2), size=128),
        experts=Experts(width=("intermediate_size",), bias=True, router_bias=True),
    ),
    "minimax_m2": Traits(
        qk_norm="full", head_dim=128, experts=Experts(width=("intermediate_size",))
    ),
    "glm4_moe": Traits(
        bias=_BIAS,
        output_bias=False,
        qk_norm=("use_qk_norm", False, "head"),
        experts=Experts(shared_count=_SHARED, first_dense=1),
    ),
    "glm4v_moe_text": Traits(
        bias=_BIASED, output_bias=False, experts=Experts(shared_count=_SHARED, first_dense=1)
    ),
    "deepseek": Traits(bias=_BIAS, experts=Experts(shared_count=("n_shared_experts", 0))),
    "bailing_moe": Traits(
        bias=("use_qkv_bias", False),
        output_bias=("use_bias", False),
        qk_norm=("use_qk_norm", False, "head"),
        experts=Experts(shared_count=("num_shared_experts", 0)),
    ),
    "solar_open": Traits(
        bias=_BIAS, output_bias=False, head_dim=128, experts=Experts(shared_count=_SHARED)
    ),
    "dots1": Traits(
        bias=_BIAS,
        qk_norm="head",
        window=Window(pattern=after("max_window_layers", 62), size=4096),
        experts=Experts(shared_count=("n_shared_experts", 0)),
    ),
    "exaone_moe": Traits(
        qk_norm="head",
        window=Window(pattern=every("sliding_window_pattern", 4), size=4096),
        experts=Experts(shared_count=("num_shared_experts", 1), first_dense=1),
    ),
    "hunyuan_v1_moe": Traits(
        bias=_BIAS,
        qk_norm="head",
        experts=Experts(width=("intermediate_size",), shared_width=("intermediate_size", 0)),
    ),
    "ernie4_5_moe": Traits(
        tied=True,
        bias=("use_bias", False),
        mlp_bias=("use_bias", False),
        head_bias=("use_bias", False),
        experts=Experts(shared_count=("moe_num_shared_experts", 2), correction=True),
    ),
    "afmoe": Traits(
        bias=_BIAS,
        norms=_SANDWICH,
        qk_norm="head",
        head_dim=128,
        gate="full",
        window=Window(pattern=every("global_attn_every_n_layers", 4), size=1024),
        experts=Experts(shared_count=("num_shared_experts", 2), correction=True, first_dense=1),
    ),
    "aria_text": Traits(
        bias=_BIAS,
        mlp_bias=_MLP_BIAS,
        experts=Experts(width=("intermediate_size",), shared_count=("moe_num_shared_experts", 2)),
    ),
    "hy_v3": Traits(
        bias=_BIAS,
        mlp_bias=_MLP_BIAS,
        qk_norm="head",
        head_dim=128,
        experts=Experts(shared_count=("num_shared_experts", 1), first_dense=1),
    ),
    "beam": Traits(
        bias=_BIAS,
        norms=_SANDWICH,
        qk_norm="head",
        head_dim=128,
        gate="full",
        attention_scales=lambda c: c.heads,
        window=Window(pattern=lambda c, i: bool((i + 1) % 6) and i < c.layers - 1, size=512),
        experts=Experts(first_dense=3),
    ),
    "flint": Traits(
        bias=_BIAS,
        qk_norm="head",
        head_dim=128,
        sinks=True,
        window=Window(pattern=lambda c, i: 1 < i < c.layers - 1 and i % 4 != 1, size=513),
        experts=Experts(shared_width=("shared_expert_intermediate_size", 0), dense_layers=(0, 1)),
    ),
    "kolibri1": Traits(
        norms=_SANDWICH,
        qk_norm="head",
        head_dim=128,
        window=Window(pattern=every("sliding_window_pattern", 5), size=513),
        experts=Experts(shared_width=("shared_expert_intermediate_size", 0)),
    ),
    "mellum": Traits(bias=_BIAS, qk_norm="head", head_dim=128, window=Window(), experts=Experts()),
    "grok-1": Traits(tied=True, norms=_SANDWICH, experts=Experts(width=("intermediate_size",))),
    "cohere2_moe": Traits(
        tied=True,
        bias=_BIAS,
        norms=_PARALLEL,
        head_dim=128,
        window=Window(pattern=every("sliding_window_pattern", 4), size=4096),
        experts=Experts(width=("intermediate_size",), shared_count=("num_shared_experts", 0)),
    ),
}
