"""Readers of Gemma 3n and Gemma 4: shared KV, embeddings per layer, layers of two shapes."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from llmroof.blocks.attention import Attention
from llmroof.blocks.base import Block, Reused
from llmroof.blocks.chain import Chain
from llmroof.blocks.mlp import MLP
from llmroof.models.hf_config.decoder import Decoder, assemble
from llmroof.models.hf_config.layers import FULL, kinds
from llmroof.models.hf_config.parts import attention, mlp, moe
from llmroof.models.hf_config.traits import Experts, Traits, Window, every
from llmroof.models.hf_config.view import FFN, Config

_BIAS: Final = ("attention_bias", False)

#: width of the embedding that every layer of Gemma 3n and 4 adds, when no key says it
_PER_LAYER: Final = 256


def gemma3n(config: Config) -> Decoder:
    """Gemma 3n: AltUp streams, LAuReL, an embedding per layer, KV of the last layers shared."""
    traits = Traits(
        tied=True,
        bias=_BIAS,
        head_dim=256,
        norms=(2, 2, 1),
        qk_norm="head",
        window=Window(pattern=every("sliding_window_pattern", 5), size=512),
    )
    hidden, count = config.hidden, config.layers
    streams = config.size("altup_num_inputs", default=4)
    own = count - config.size("num_kv_shared_layers", default=15, low=0)
    kind_of = kinds(config, traits)
    widths = _widths(config, count)
    router = Chain("altup_router", (hidden, streams), scales=hidden)
    rank = config.size("laurel_rank", default=64)
    extra: tuple[Block, ...] = (
        router,
        Chain("altup_predict", (streams, streams**2)),
        Chain("laurel", (hidden, rank, hidden), scales=hidden),
        Reused(router),
        Chain("altup_correct", (streams, streams), scales=hidden),
        *_per_layer_input(config),
    )

    def layer(index: int) -> tuple[Block, ...]:
        block = attention(config, traits, kind_of[index])
        shared = replace(block, shares_kv=index >= own)
        return (shared, mlp(config, traits, widths[index]), *extra)

    copies = streams - 1
    around = (
        *_per_layer_projection(config),
        Chain("altup_in", (hidden, hidden), copies=copies),
        Chain("altup_out", (hidden, hidden), copies=copies),
    )
    return assemble(config, traits, layer, embedding=_per_layer_embedding(config), around=around)


def _widths(config: Config, count: int) -> tuple[int, ...]:
    """`intermediate_size`: one for all layers, or a list."""
    if isinstance(config.get(*FFN), list):
        return config.numbers("intermediate_size", count) or ()
    return (config.size(*FFN, meaning="width of the FFN"),) * count


def _per_layer_width(config: Config) -> int:
    if "hidden_size_per_layer_input" not in config.values:
        return _PER_LAYER
    return config.size("hidden_size_per_layer_input", default=0, low=0)


def _per_layer_input(config: Config) -> tuple[Block, ...]:
    """Gate and projection that mix a layer's own embedding in."""
    width, hidden = _per_layer_width(config), config.hidden
    if not width:
        return ()
    return (Chain("per_layer_input", (hidden, width, hidden), scales=hidden),)


def _per_layer_projection(config: Config) -> tuple[Block, ...]:
    width = _per_layer_width(config)
    if not width:
        return ()
    return (Chain("per_layer_model", (config.hidden, config.layers * width), scales=width),)


def _per_layer_embedding(config: Config) -> dict[str, int]:
    width = _per_layer_width(config)
    if not width:
        return {}
    rows = config.size("vocab_size_per_layer_input", default=262144)
    return {"more_vocab": rows, "more_width": config.layers * width}


def gemma4(config: Config, per_layer: bool = True) -> Decoder:
    """Gemma 4: full layers have wider heads and fewer KV heads; experts beside a dense MLP."""
    traits = Traits(
        tied=True,
        bias=_BIAS,
        head_dim=256,
        norms=(2, 2, 1),
        qk_norm="head",
        window=Window(pattern=every("sliding_window_pattern", 6), size=512),
    )
    count = config.layers
    own = count - config.size("num_kv_shared_layers", default=0, low=0)
    kind_of = (*kinds(config, traits)[:-1], FULL)
    wide = config.flag("use_double_wide_mlp", False)
    extra = _per_layer_input(config) if per_layer else ()
    blocks = {kind: _gemma4_attention(config, traits, kind) for kind in dict.fromkeys(kind_of)}
    dense = mlp(config, traits)

    def layer(index: int) -> tuple[Block, ...]:
        shares = index >= own
        block = replace(blocks[kind_of[index]], shares_kv=shares)
        width = 2 * dense.intermediate if shares and wide else dense.intermediate
        return (block, replace(dense, intermediate=width), *_gemma4_experts(config, dense), *extra)

    if not per_layer:
        return assemble(config, traits, layer)
    return assemble(
        config,
        traits,
        layer,
        embedding=_per_layer_embedding(config),
        around=_per_layer_projection(config),
    )


def _gemma4_attention(config: Config, traits: Traits, kind: str) -> Attention:
    """Attention of a sliding or a full layer; keys serve as values in full ones if so said."""
    block = attention(config, traits, kind)
    if kind != FULL:
        return block
    same = config.flag("attention_k_eq_v", False)
    own = _layer_override(config)
    alike = "per_layer_config" in config.values and not config.has("per_layer_config")
    wide = block.head_dim if alike else 512
    heads = config.size("num_global_key_value_heads", default=block.kv_heads) if same else None
    return replace(
        block,
        head_dim=own.get("head_dim") or config.size("global_head_dim", default=wide),
        kv_heads=own.get("num_key_value_heads") or heads or block.kv_heads,
        key_is_value=same,
    )


def _layer_override(config: Config) -> dict[str, int]:
    """`per_layer_config` of newer files: the sizes of any layer that differs."""
    table = config.table("per_layer_config")
    for key in table.values:
        entry = table.table(key)
        return {name: entry.size(name) for name in entry.values if entry.has(name)}
    return {}


def _gemma4_experts(config: Config, dense: MLP) -> tuple[Block, ...]:
    """Routed experts beside the dense MLP, with norms of their own and a scaled router."""
    if not config.flag("enable_moe_block", False):
        return ()
    traits = Traits(norms=(0, 3, 0))
    block = moe(config, traits, Experts())
    return (replace(block, scales=config.hidden + block.experts),)
