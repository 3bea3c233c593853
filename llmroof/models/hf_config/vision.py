"""Parameters of vision towers: held in memory, though text never runs them.

One function per kind of tower, its projector to the text decoder included; towers of
other kinds (and audio encoders) are named as not counted.
Source: the modelling code of each architecture in Hugging Face transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from llmroof.errors import SpecError
from llmroof.models.hf_config.view import FFN, HIDDEN, LAYERS, Config

#: (vision table, whole config, width of the text decoder) -> parameters
Tower: TypeAlias = Callable[[Config, Config, int], int]

_HIDDEN: Final = ("hidden_size", "embed_dim", "vt_hidden_size", "width", *HIDDEN)
_LAYERS: Final = ("num_hidden_layers", "depth", "vt_num_hidden_layers", "layers", *LAYERS)
_FFN: Final = ("intermediate_size", "vt_intermediate_size", *FFN)
#: tables under which configs describe encoders of other inputs
_ENCODERS: Final = ("vision_config", "visual", "vision_model", "audio_config")


def towers(config: Config, hidden: int) -> tuple[dict[str, int], tuple[str, ...]]:
    """({tower: parameters}, notes on what is not counted) of a whole config."""
    counted: dict[str, int] = {}
    notes: list[str] = []
    for outer in (config, config.table("thinker_config")):
        for key in _ENCODERS:
            table = outer.table(key) if isinstance(outer.get(key), dict) else None
            if table is None or not table.values:
                continue
            name = key.removesuffix("_config")
            kind = _kind(table, outer)
            try:
                counted[f"{name}_tower"] = TOWERS[kind](table, outer, hidden)
            except KeyError:
                notes.append(f"the {name} encoder of the config ('{kind[:40]}') is not counted")
            except SpecError as error:  # the decoder is known all the same
                notes.append(f"the {name} encoder is not counted: {error.problems[0].message}")
    return counted, tuple(notes)


def _kind(table: Config, outer: Config) -> str:
    """The kind of tower: by the model that holds it where its projector belongs to it."""
    whole = str(outer.get("model_type") or "")
    own = str(table.get("model_type") or "")
    return next((kind for kind in (whole, own) if kind in TOWERS), own or whole)


def _sizes(table: Config) -> tuple[int, int, int]:
    return (
        table.size(*_HIDDEN, meaning="width of the tower"),
        table.size(*_FFN, meaning="FFN width of the tower"),
        table.size(*_LAYERS, meaning="layers of the tower"),
    )


def _encoder(hidden: int, ffn: int, layers: int) -> int:
    """Plain transformer encoder: biases everywhere, two LayerNorms, two-matrix MLP."""
    attention = 4 * (hidden * hidden + hidden)
    return layers * (attention + 2 * hidden * ffn + ffn + hidden + 4 * hidden)


def _patch(table: Config) -> int:
    """Values of one image patch."""
    return table.size("num_channels", "in_channels", "in_chans", default=3) * (
        table.size("patch_size", "spatial_patch_size") ** 2
    )


def _siglip(table: Config, outer: Config, text: int) -> int:
    """SigLIP with Gemma 3's projector: one matrix and a norm."""
    hidden, ffn, layers = _sizes(table)
    positions = (table.size("image_size") // table.size("patch_size")) ** 2
    patches = _patch(table) * hidden + hidden + positions * hidden
    projector = hidden * text + hidden
    return _encoder(hidden, ffn, layers) + patches + 2 * hidden + projector


def _clip(table: Config, outer: Config, text: int) -> int:
    """CLIP with LLaVA's projector: class token, norms before and behind, two linears.

    LLaVA-NeXT learns one more vector, for the end of a row of patches.
    """
    kind = table.get("model_type")
    if kind not in (None, "clip_vision_model"):
        table.fault("model_type", f"'{str(kind)[:40]}' is not known here")
    newline = text if outer.model_type == "llava_next" else 0
    hidden, ffn, layers = _sizes(table)
    positions = (table.size("image_size") // table.size("patch_size")) ** 2 + 1
    ends = (1 + _patch(table) + positions + 4) * hidden
    return _encoder(hidden, ffn, layers) + ends + (hidden + text + 2) * text + newline


def _merger(hidden: int, merged: int, text: int, norm: int) -> int:
    """Norm, then two linears from merged patches to the text width."""
    return 2 * norm + merged * merged + merged + merged * text + text


def _qwen3(table: Config, outer: Config, text: int) -> int:
    """Qwen3-VL, Qwen3.5: learned positions, a merger, and one more per deep stack level."""
    hidden, ffn, layers = _sizes(table)
    temporal = table.size("temporal_patch_size", default=2)
    merged = hidden * table.size("spatial_merge_size", default=2) ** 2
    out = table.size("out_hidden_size", default=text)
    patches = _patch(table) * temporal * hidden + hidden
    positions = table.size("num_position_embeddings", default=2304) * hidden
    deep = len(table.sequence("deepstack_visual_indexes") or ())
    mergers = _merger(hidden, merged, out, hidden) + deep * _merger(hidden, merged, out, merged)
    return _encoder(hidden, ffn, layers) + patches + positions + mergers


def _qwen2(table: Config, outer: Config, text: int) -> int:
    """Qwen2-VL: LayerNorms, two-matrix MLP, rotary positions."""
    hidden = table.size("embed_dim", default=1280)
    layers = table.size("depth", default=32)
    ffn = table.size("mlp_ratio", default=4) * hidden
    merged = hidden * table.size("spatial_merge_size", default=2) ** 2
    patches = _patch(table) * table.size("temporal_patch_size", default=2) * hidden
    out = table.size("hidden_size", default=text)
    return _encoder(hidden, ffn, layers) + patches + _merger(hidden, merged, out, hidden)


def _qwen2_5(table: Config, outer: Config, text: int) -> int:
    """Qwen2.5-VL: RMS norms, gated MLP with biases, rotary positions."""
    hidden, ffn, layers = _sizes(table)
    merged = hidden * table.size("spatial_merge_size", default=2) ** 2
    patches = _patch(table) * table.size("temporal_patch_size", default=2) * hidden
    layer = 4 * (hidden * hidden + hidden) + 3 * hidden * ffn + 2 * ffn + hidden + 2 * hidden
    out = table.size("out_hidden_size", default=text)
    merger = hidden + merged * merged + merged + merged * out + out
    return layers * layer + patches + merger


def _pixtral(table: Config, outer: Config, text: int) -> int:
    """Pixtral with Mistral 3's projector: no biases, gated MLP, patches merged by four."""
    hidden, ffn, layers = _sizes(table)
    layer = 4 * hidden * hidden + 3 * hidden * ffn + 2 * hidden
    merge = outer.size("spatial_merge_size", default=2) ** 2
    projector = hidden + merge * hidden * hidden + hidden * text + text * text
    return layers * layer + _patch(table) * hidden + hidden + projector


def _gemma4(table: Config, outer: Config, text: int) -> int:
    """Gemma 4: gated MLP, four norms and q/k norms per layer, two tables of positions."""
    hidden, ffn, layers = _sizes(table)
    head = table.size("head_dim", default=hidden // table.size("num_attention_heads"))
    layer = 4 * hidden * hidden + 3 * hidden * ffn + 4 * hidden + 2 * head
    positions = 2 * table.size("position_embedding_size", default=10240) * hidden
    return layers * layer + _patch(table) * hidden + positions + hidden * text


def _llama4(table: Config, outer: Config, text: int) -> int:
    """Llama 4: class token, learned positions, pixel shuffle, a projector."""
    hidden, ffn, layers = _sizes(table)
    positions = (table.size("image_size") // table.size("patch_size")) ** 2 + 1
    ends = _patch(table) * hidden + hidden + positions * hidden + 4 * hidden
    inner, out = table.size("projector_input_dim"), table.size("projector_output_dim")
    adapter = ffn * inner + out * out
    return _encoder(hidden, ffn, layers) + ends + adapter + table.size("vision_output_dim") * text


def _moonvit(table: Config, outer: Config, text: int) -> int:
    """MoonViT with Kimi's patch merger."""
    hidden, ffn, layers = _sizes(table)
    grid = table.size("init_pos_emb_height", default=64) * table.size(
        "init_pos_emb_width", default=64
    )
    merge = table.numbers("merge_kernel_size") or (2, 2)
    merged = hidden * merge[0] * merge[-1]
    patches = _patch(table) * hidden + hidden + grid * hidden
    return (
        _encoder(hidden, ffn, layers) + patches + 2 * hidden + _merger(hidden, merged, text, hidden)
    )


TOWERS: Final[dict[str, Tower]] = {
    "gemma3": _siglip,
    "gemma4": _gemma4,
    "kimi_k25": _moonvit,
    "kimi_vl": _moonvit,
    "llama4": _llama4,
    "llava": _clip,
    "llava_next": _clip,
    "mistral3": _pixtral,
    "qwen2_vl": _qwen2,
    "qwen2_5_vl": _qwen2_5,
    "qwen3_vl": _qwen3,
    "qwen3_vl_moe": _qwen3,
    "qwen3_5": _qwen3,
    "qwen3_5_moe": _qwen3,
}
