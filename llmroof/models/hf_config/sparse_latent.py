"""Readers of MLA architectures with more to them: shared indexers, gates, hyper-connections."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from llmroof.blocks.base import Block
from llmroof.blocks.chain import Chain
from llmroof.blocks.latent import LatentAttention
from llmroof.blocks.linear_attention import KimiDelta
from llmroof.models.hf_config.decoder import Decoder, assemble, ffn
from llmroof.models.hf_config.layers import LINEAR, SLIDING, kinds, raw_types, sparse
from llmroof.models.hf_config.parts import (
    attention,
    expert_counts,
    indexer,
    latent_attention,
    mlp,
    moe,
)
from llmroof.models.hf_config.traits import Experts, Traits
from llmroof.models.hf_config.view import Config

_BIAS: Final = ("attention_bias", False)
_SHARED: Final = ("n_shared_experts", 1)


def indexed_layers(config: Config, offset: int = 2) -> tuple[bool, ...]:
    """Which layers have an indexer of their own; the others use the last one's choice."""
    count = config.layers
    named = config.words("indexer_types", count if config.has("indexer_types") else None)
    if named is not None:
        return tuple(name == "full" for name in named)
    pattern = config.get("index_topk_pattern")
    if isinstance(pattern, str):
        return tuple(sign == "F" for sign in pattern[:count])
    step = config.size("index_topk_freq", default=1)
    skip = config.size("index_skip_topk_offset", default=offset, low=0)
    return tuple(max(i - skip + 1, 0) % step == 0 for i in range(count))


def glm_dsa(config: Config) -> Decoder:
    """GLM-5: DeepSeek sparse attention; some layers reuse the choice of an earlier indexer."""
    traits = Traits(bias=_BIAS, latent=True, experts=Experts(shared_count=_SHARED, first_dense=3))
    assert traits.experts is not None
    config = config.filled({"index_n_heads": 32, "index_head_dim": 128, "index_topk": 2048})
    own, routed = indexed_layers(config), sparse(config, traits.experts)
    block = latent_attention(config, traits)

    def layer(index: int) -> tuple[Block, ...]:
        first = (indexer(config, block.q_lora),) if own[index] else ()
        return (*first, block, ffn(config, traits, routed[index]))

    return assemble(config, traits, layer)


def axk2(config: Config) -> Decoder:
    """A.X K2: norms with a small gate network, queries and output gate from two latents."""
    experts = Experts(shared_count=_SHARED, first_dense=1)
    traits = Traits(bias=_BIAS, latent=True, experts=experts)
    block = latent_attention(config, traits)
    rank = block.q_lora or config.size("q_lora_rank")
    block = replace(block, q_inputs=2 * rank, gate="full", gate_inputs=2 * rank)
    gate = Chain("norm_gate", (config.hidden, config.size("gated_norm_rank", default=16),
                               config.hidden))  # fmt: skip
    routed = sparse(config, experts)

    def layer(index: int) -> tuple[Block, ...]:
        behind = (gate,) if routed[index] else ()
        before = (gate, indexer(config, rank), block)
        return (*before, *behind, ffn(config, traits, routed[index]))

    return assemble(config, traits, layer)


def hyper_connections(config: Config, outputs: int, scales: int) -> Chain:
    """Learned mixing of the parallel residual streams around one block."""
    streams = config.size("hc_mult", default=4)
    widths = (streams * config.hidden, outputs)
    return Chain("hyper_connection", widths, scales=scales)


def hy_v4(config: Config) -> Decoder:
    """Hunyuan V4: sparse MLA with an output gate and sinks, hyper-connections."""
    experts = Experts(shared_count=_SHARED, first_dense=1)
    traits = Traits(bias=_BIAS, latent=True, gate="full", experts=experts)
    block = replace(latent_attention(config, traits), scales=config.heads)
    own = (
        indexed_layers(config)
        if config.has("indexer_types")
        else tuple(i == 0 or (i - 1) % 4 == 0 for i in range(config.layers))
    )
    routed = sparse(config, experts)
    streams = config.size("hc_mult", default=4)
    mix = hyper_connections(config, 2 * streams, 2 * streams + 2)

    def layer(index: int) -> tuple[Block, ...]:
        first = (indexer(config, block.q_lora),) if own[index] else ()
        return (mix, *first, block, mix, ffn(config, traits, routed[index]))

    last = hyper_connections(config, streams, streams + 1)
    return assemble(config, traits, layer, around=(last,))


def glm5_next(config: Config) -> Decoder:
    """GLM-5 Next: Kimi delta attention and pooled sparse MLA in turn, hyper-connections."""
    experts = Experts(shared_count=_SHARED, first_dense=3)
    traits = Traits(bias=_BIAS, latent=True, experts=experts)
    linear = config.table("linear_attn_config")
    head_dim = linear.size("head_dim", default=config.size("linear_head_dim", default=128))
    delta = KimiDelta(
        hidden=config.hidden,
        heads=linear.size("num_heads", default=config.size("linear_num_heads", default=64)),
        head_dim=head_dim,
        gate_rank=head_dim,
        conv_kernel=linear.size(
            "short_conv_kernel_size", default=config.size("linear_conv_kernel_dim", default=4)
        ),
    )
    kind_of = (
        kinds(config, traits)
        if config.has("layer_types")
        else tuple(LINEAR if i % 4 != 3 else "full" for i in range(config.layers))
    )
    block, pool = latent_attention(config, traits), config.size("index_kpool", default=16)
    scorer = indexer(config, block.q_lora)
    pooled = replace(
        scorer, block=pool, scales=pool * scorer.head_dim + scorer.head_dim * config.hidden
    )
    own, routed = indexed_layers(config), sparse(config, experts)
    streams = config.size("hc_mult", default=4)
    outputs = (2 + streams) * streams
    mix = hyper_connections(config, outputs, outputs + 3)

    def layer(index: int) -> tuple[Block, ...]:
        first = (pooled,) if own[index] else ()
        mixers = (delta,) if kind_of[index] == LINEAR else (*first, block)
        return (mix, *mixers, mix, ffn(config, traits, routed[index]))

    return assemble(config, traits, layer)


def dots3(config: Config) -> Decoder:
    """dots3: sparse MLA with sliding MLA layers of another shape in between, head gates."""
    experts = Experts(shared_width=("shared_experts_intermediate_size", 1536), first_dense=1)
    traits = Traits(bias=_BIAS, latent=True, gate="head", experts=experts)
    listed = raw_types(config)
    if listed is None:
        config.fault("layer_types", "is missing: the kind of every layer")
    full = _rope_normed(replace(latent_attention(config, traits), topk=None))
    chosen = config.size("index_topk")
    local = _rope_normed(_sliding_latent(config, traits))
    scorer = indexer(config, full.q_lora)
    routed = sparse(config, experts)

    def layer(index: int) -> tuple[Block, ...]:
        mixers: tuple[Block, ...] = (full,)
        if listed[index] == "sliding_attention":
            mixers = (local,)
        elif listed[index] == "indexed_attention":
            mixers = (scorer, replace(full, topk=chosen))
        return (*mixers, ffn(config, traits, routed[index]))

    return assemble(config, traits, layer)


def _rope_normed(block: LatentAttention) -> LatentAttention:
    """With a norm's gain on the rotary part of the keys."""
    return replace(block, scales=block.scales + block.rope)


def _sliding_latent(config: Config, traits: Traits) -> LatentAttention:
    """The sliding layers' MLA: its sizes stand in `per_layer_config` or under `swa_*`."""
    own = next(
        (config.table("per_layer_config").table(key) for key in config.table(
            "per_layer_config").values),
        None,
    )  # fmt: skip
    sizes = dict(config.values)
    if own is not None:
        sizes |= own.values
    else:
        swa = {k.removeprefix("swa_"): v for k, v in config.values.items() if k.startswith("swa_")}
        sizes |= swa
    sizes["index_topk"] = None
    here = Config(sizes, config.file)
    return latent_attention(here, traits, SLIDING)


def longcat(config: Config) -> Decoder:
    """LongCat-Flash: two MLA and two dense MLPs per layer around one mixture of experts.

    Some router entries are identity experts that do no work.
    """
    traits = Traits(bias=_BIAS, latent=True)
    count = config.size("num_layers", default=None) or config.each(config.layers, 2, "num_layers")
    width = config.size("expert_ffn_hidden_size", "moe_intermediate_size")
    here = Config({**config.values, "num_hidden_layers": count}, config.file)
    block, dense = latent_attention(here, traits), mlp(here, traits)
    experts, top_k = expert_counts(config)
    routed = replace(
        moe(
            Config({**config.values, "moe_intermediate_size": width}, config.file),
            replace(traits, norms=(1, 0, 1)),
            Experts(router_bias=config.flag("router_bias", False)),
        ),
        experts=experts,
        top_k=top_k,
        idle_experts=config.size("zero_expert_num", default=256, low=0),
    )
    layer = (block, routed, dense, block, dense)
    return assemble(here, traits, lambda index: layer)


def minimax_m3(config: Config) -> Decoder:
    """MiniMax-M3: sparse layers whose indexer picks blocks of keys, shared expert."""
    experts = Experts(width=("intermediate_size",), shared_width=("shared_intermediate_size", 3072))
    traits = Traits(qk_norm="head", head_dim=128, experts=experts)
    listed = raw_types(config) or ("full_attention",) * config.layers
    block = attention(config, traits)
    size = config.size("index_block_size", default=128)
    picked = config.size("index_topk_blocks", default=16) + config.size(
        "index_local_blocks", default=1, low=0
    )
    dim = config.size("index_head_dim", default=128)
    scorer = replace(
        indexer(
            Config({**config.values, "index_head_dim": dim,
                    "index_n_heads": config.size("index_n_heads", default=4)}, config.file),
            None,
        ),
        weighted=False,
        norm_values=2 * dim,
    )  # fmt: skip
    chosen = replace(block, topk=picked * size)
    routed = sparse(config, experts)
    dense = mlp(config, traits, config.size("dense_intermediate_size", default=12288))

    def layer(index: int) -> tuple[Block, ...]:
        picks = listed[index] == "minimax_m3_sparse"
        last = ffn(config, traits, True) if routed[index] else dense
        return (*((scorer, chosen) if picks else (block,)), last)

    return assemble(config, traits, layer)
