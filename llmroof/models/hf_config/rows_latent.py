"""Rows of architectures with multi-head latent attention.

Every row repeats what the published modelling code of the architecture fixes
(Hugging Face transformers 5.23, `modeling_<type>.py` and `configuration_<type>.py`).
"""

from __future__ import annotations

from typing import Final

from llmroof.models.hf_config.traits import Experts, Traits

_BIAS: Final = ("attention_bias", False)
_MLP_BIAS: Final = ("mlp_bias", False)
_SHARED: Final = ("n_shared_experts", 1)

LATENT: Final[dict[str, Traits]] = {
    "deepseek_v2": Traits(
        bias=_BIAS, mlp_bias=_MLP_BIAS, latent=True,
        experts=Experts(shared_count=("n_shared_experts", 2)),
    ),
    "deepseek_v3": Traits(
        bias=_BIAS,
        latent=True,
        experts=Experts(shared_count=_SHARED, first_dense=3),
    ),
    "deepseek_v32": Traits(
        bias=_BIAS,
        latent=True,
        experts=Experts(shared_count=_SHARED, first_dense=3),
        defaults=(
            ("index_n_heads", 64),
            ("index_head_dim", 128),
            ("index_topk", 2048),
        ),
    ),
    "glm4_moe_lite": Traits(
        bias=_BIAS, latent=True, experts=Experts(shared_count=_SHARED, first_dense=1)
    ),
    "axk1": Traits(
        bias=_BIAS,
        latent=True,
        experts=Experts(shared_count=_SHARED, first_dense=1, norms_more=1),
    ),
    "mistral4": Traits(bias=_BIAS, latent=True, experts=Experts(shared_count=_SHARED)),
    "minicpm3": Traits(tied=True, bias=_BIAS, mlp_bias=_MLP_BIAS, latent=True),
    "youtu": Traits(tied=True, bias=_BIAS, latent=True),
}  # fmt: skip
