"""What a checkpoint holds when a model is quantized by the name of a recipe.

Four-bit checkpoints of mixture-of-experts models keep attention, shared experts and dense
layers in 16 bits: the routed experts are most of the bytes and bear it best. Source: model
cards of nvidia/DeepSeek-R1-NVFP4, nvidia/Kimi-K2.5-NVFP4, moonshotai/Kimi-K2.5 and
openai/gpt-oss-120b, sections on quantization.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from llmroof.models.model import Model
from llmroof.specs.precision import Precision, recipe

#: recipes that are applied to the routed experts alone where a model has them
EXPERTS_ONLY: Final = ("nvfp4", "mxfp4", "w4a16")
#: roles that such a checkpoint keeps in 16 bits
KEPT: Final = ("attention", "mlp", "shared_experts", "mixer", "indexer")
#: ending of a checkpoint's name -> the recipe it stands for
ENDINGS: Final = {
    "-fp8": "fp8",
    "-fp8-kv": "fp8",
    "-fp8-dynamic": "fp8",
    "-nvfp4": "nvfp4",
    "-fp4": "nvfp4",
    "-mxfp4": "mxfp4",
    "-mxfp4-preview": "mxfp4",
    "-w4a16": "w4a16",
    "-int4": "w4a16",
    "-awq": "w4a16",
    "-gptq-int4": "w4a16",
}


def quantized(model: Model, name: str) -> Precision:
    """The precision of `model` under the recipe `name`. Raises UnknownName.

    A model that is stored in the recipe's format, or in a block-wise kind of it (`fp8` and
    `fp8-block`), keeps what its checkpoint says of each part.
    """
    asked, stored = _with_table(model, recipe(name)), model.precision
    kind, held = asked.weights.id, stored.weights.id
    if asked.weights.quantized and (held == kind or held.startswith(f"{kind}-")):
        return stored
    if asked.name in EXPERTS_ONLY and _has_experts(model):
        return replace(asked, roles={**asked.roles, **dict.fromkeys(KEPT, asked.base)})
    return asked


def _with_table(model: Model, asked: Precision) -> Precision:
    """llama.cpp stores a table that is the LM head too in the format of the head."""
    if not (model.head.tied and {"embedding", "lm_head"} <= asked.roles.keys()):
        return asked
    return replace(asked, roles={**asked.roles, "embedding": asked.roles["lm_head"]})


def _has_experts(model: Model) -> bool:
    return any(tensor.over == "experts" for tensor, _ in model.tensors())


def split_ending(name: str) -> tuple[str, str]:
    """(`org/name`, recipe) of a quantized checkpoint's name; the recipe is "" for others."""
    for ending in sorted(ENDINGS, key=len, reverse=True):
        if name.lower().endswith(ending):
            return name[: -len(ending)], ENDINGS[ending]
    return name, ""
