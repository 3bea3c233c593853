"""Readers of architectures with linear attention, gated recurrence or short convolutions."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from llmroof.blocks.base import Block
from llmroof.blocks.linear_attention import DeltaNet, KimiDelta, Lightning
from llmroof.blocks.ssm import GatedRecurrence, ShortConv
from llmroof.models.hf_config.decoder import Decoder, assemble, ffn
from llmroof.models.hf_config.layers import FULL, LINEAR, kinds, sparse
from llmroof.models.hf_config.parts import attention, mixer, mlp
from llmroof.models.hf_config.traits import Experts, Traits
from llmroof.models.hf_config.view import Config

_BIAS: Final = ("attention_bias", False)


def recurrent_gemma(config: Config) -> Decoder:
    """RecurrentGemma: RG-LRU layers with local attention in every third."""
    traits = Traits(tied=True, bias=_BIAS, output_bias=True, mlp_bias=True)
    listed = config.words("block_types") or config.words("_block_types")
    cycle = listed or ("recurrent", "recurrent", "attention")
    window = config.size("attention_window_size", "sliding_window", default=2048)
    attended = replace(attention(config, traits), window=window)
    width = config.size("lru_width", default=config.hidden)
    mixers: dict[str, Block] = {
        "attention": attended,
        "recurrent": GatedRecurrence(
            config.hidden, width, config.heads, config.size("conv1d_width", default=4)
        ),
    }
    inner = config.each(config.size("intermediate_size"), 2, "intermediate_size")

    def layer(index: int) -> tuple[Block, ...]:
        name = cycle[index % len(cycle)]
        if name not in mixers:
            config.fault("block_types", f"unknown kind of layer '{name[:60]}'")
        return (mixers[name], mlp(config, traits, inner))

    return assemble(config, traits, layer)


def lfm2(config: Config) -> Decoder:
    """LFM2: gated short convolutions and attention, dense or with experts."""
    traits = Traits(tied=True, qk_norm="head", experts=Experts())
    tied = config.flag("tie_embedding", config.flag("tie_word_embeddings", True))
    chosen = config.numbers("full_attn_idxs")
    kind_of = (
        kinds(config, traits)
        if config.has("layer_types")
        else tuple(FULL if chosen is None or i in chosen else "conv" for i in range(config.layers))
    )
    conv = ShortConv(
        config.hidden, config.size("conv_L_cache", default=3), config.flag("conv_bias", False)
    )
    routed = config.model_type == "lfm2_moe"
    dense = config.size("num_dense_layers", default=2, low=0) if routed else config.layers
    plain_mlp = mlp(config, traits, config.size("intermediate_size", "block_ff_dim")
                    if routed else _lfm2_width(config))  # fmt: skip

    def layer(index: int) -> tuple[Block, ...]:
        block = attention(config, traits) if kind_of[index] == FULL else conv
        return (block, plain_mlp if index < dense else ffn(config, traits, True))

    return assemble(config, traits, layer, head={"tied": tied})


def _lfm2_width(config: Config) -> int:
    """LFM2 writes the width before its 2/3 and rounding to a multiple."""
    width = config.size("block_ff_dim", "intermediate_size")
    if not config.flag("block_auto_adjust_ff_dim", True):
        return width
    width = int(config.factor("block_ffn_dim_multiplier", 1.0) * int(2 * width / 3))
    step = config.size("block_multiple_of", default=256)
    return step * ((width + step - 1) // step)


def lfm3(config: Config) -> Decoder:
    """LFM3: convolutions, sliding and full attention; norms before and behind; head gates."""
    sandwich = config.flag("use_sandwich_norm", True)
    traits = Traits(
        tied=True,
        bias=_BIAS,
        qk_norm="head",
        norms=(2, 2, 1) if sandwich else (1, 1, 1),
        gate="head" if config.flag("use_attention_gate", True) else "",
    )
    kind_of = kinds(config, traits)
    conv = ShortConv(
        config.hidden,
        config.size("conv_L_cache", default=7),
        config.flag("conv_bias", False),
        norms=traits.norms[0],
    )

    def layer(index: int) -> tuple[Block, ...]:
        kind = kind_of[index]
        return (conv if kind == "conv" else attention(config, traits, kind), mlp(config, traits))

    return assemble(config, traits, layer)


def delta_net(config: Config) -> DeltaNet:
    """Gated delta net under the `linear_*` keys."""
    return DeltaNet(
        hidden=config.hidden,
        key_heads=config.size("linear_num_key_heads"),
        heads=config.size("linear_num_value_heads"),
        key_dim=config.size("linear_key_head_dim"),
        value_dim=config.size("linear_value_head_dim"),
        conv_kernel=config.size("linear_conv_kernel_dim", default=4),
    )


def qwen3_next(config: Config) -> Decoder:
    """Qwen3-Next and Qwen3.5: three gated delta nets to one gated attention."""
    experts = Experts(shared_width=("shared_expert_intermediate_size", 512), shared_gate=True)
    routed = config.model_type not in ("qwen3_5_text", "qwen3_5")
    traits = Traits(
        bias=_BIAS, qk_norm="head", head_dim=256, gate="full", experts=experts if routed else None
    )
    kind_of = _every_fourth(config, traits)
    with_experts = sparse(config, experts) if routed else (False,) * config.layers

    attended = attention(config, traits)
    gate_biases = attended.heads * attended.head_dim if attended.qkv_bias else 0
    attended = replace(attended, scales=gate_biases)

    def layer(index: int) -> tuple[Block, ...]:
        block = attended if kind_of[index] == FULL else delta_net(config)
        return (block, ffn(config, traits, with_experts[index]))

    return assemble(config, traits, layer)


def _every_fourth(config: Config, traits: Traits) -> tuple[str, ...]:
    if config.has("layer_types"):
        return kinds(config, traits)
    step = config.size("full_attention_interval", default=4)
    return tuple(LINEAR if (i + 1) % step else FULL for i in range(config.layers))


def olmo_hybrid(config: Config) -> Decoder:
    """OLMo hybrid: delta nets with separate gates, attention with norms behind."""
    traits = Traits(bias=_BIAS, qk_norm="full")
    kind_of = _every_fourth(config, traits)
    heads = config.heads
    keys = config.size("linear_num_key_heads", default=heads)
    key_dim = config.size("linear_key_head_dim", default=int(0.75 * config.hidden / keys))
    block = DeltaNet(
        hidden=config.hidden,
        key_heads=keys,
        heads=config.size("linear_num_value_heads", default=heads),
        key_dim=key_dim,
        value_dim=config.size("linear_value_head_dim", default=2 * key_dim),
        conv_kernel=config.size("linear_conv_kernel_dim", default=4),
    )

    def layer(index: int) -> tuple[Block, ...]:
        full = kind_of[index] == FULL
        return (attention(config, traits) if full else block, mlp(config, traits))

    return assemble(config, traits, layer)


def kimi_linear(config: Config) -> Decoder:
    """Kimi Linear: Kimi delta attention with MLA in every fourth layer, experts behind."""
    experts = Experts(shared_count=("num_shared_experts", 1), first_dense=1)
    if config.has("n_shared_experts"):
        experts = replace(experts, shared_count=("n_shared_experts", 1))
    traits = Traits(bias=_BIAS, latent=True, experts=experts)
    linear = config.table("linear_attn_config")
    head_dim = linear.size("head_dim", default=config.size("linear_head_dim", default=128))
    block = KimiDelta(
        hidden=config.hidden,
        heads=linear.size("num_heads", default=config.size("linear_num_heads", default=32)),
        head_dim=head_dim,
        gate_rank=head_dim,
        conv_kernel=linear.size(
            "short_conv_kernel_size", default=config.size("linear_conv_kernel_dim", default=4)
        ),
    )
    kind_of = _kimi_kinds(config, traits, linear)
    with_experts = sparse(config, experts)

    def layer(index: int) -> tuple[Block, ...]:
        full = kind_of[index] == FULL
        blocks = mixer(config, traits, FULL) if full else (block,)
        return (*blocks, ffn(config, traits, with_experts[index]))

    return assemble(config, traits, layer)


def _kimi_kinds(config: Config, traits: Traits, linear: Config) -> tuple[str, ...]:
    """`layer_types`, or the 1-based list of full layers, or every fourth."""
    if config.has("layer_types"):
        return kinds(config, traits)
    full = linear.numbers("full_attn_layers")
    if full is not None:
        return tuple(FULL if i + 1 in full else LINEAR for i in range(config.layers))
    return tuple(FULL if i and i % 4 == 0 else LINEAR for i in range(config.layers))


def bailing_hybrid(config: Config) -> Decoder:
    """Ling 2.5 kind: Kimi delta attention with full-rank gates, gated MLA every n-th layer."""
    experts = Experts(shared_count=("num_shared_experts", 1), first_dense=2)
    if config.has("n_shared_experts"):
        experts = replace(experts, shared_count=("n_shared_experts", 1))
    traits = Traits(bias=_BIAS, latent=True, gate="head", experts=experts)
    step = config.size("layer_group_size", default=6)
    kind_of = (
        kinds(config, traits)
        if config.has("layer_types")
        else tuple(LINEAR if (i + 1) % step else FULL for i in range(config.layers))
    )
    head_dim = config.size("linear_head_dim", default=config.head_dim(128))
    block = KimiDelta(
        hidden=config.hidden,
        heads=config.size("linear_num_heads", default=config.heads),
        head_dim=head_dim,
        conv_kernel=config.size("linear_conv_kernel_dim", "short_conv_kernel_size", default=4),
    )
    with_experts = sparse(config, experts)

    def layer(index: int) -> tuple[Block, ...]:
        full = kind_of[index] == FULL
        blocks = mixer(config, traits, FULL) if full else (block,)
        return (*blocks, ffn(config, traits, with_experts[index]))

    return assemble(config, traits, layer)


def minimax_text(config: Config) -> Decoder:
    """MiniMax-Text-01: Lightning attention with softmax attention in between, experts."""
    traits = Traits(experts=Experts(width=("intermediate_size",)))
    length = config.layers if config.has("attn_type_list") else None
    listed = config.numbers("attn_type_list", length)
    if listed is not None:
        kind_of = tuple(FULL if entry else LINEAR for entry in listed)
    elif config.has("layer_types"):
        kind_of = kinds(config, traits)
    else:
        kind_of = tuple(FULL if (i + 1) % 2 else LINEAR for i in range(config.layers))
    block = Lightning(config.hidden, config.heads, config.head_dim())

    def layer(index: int) -> tuple[Block, ...]:
        full = kind_of[index] == FULL
        return (attention(config, traits) if full else block, ffn(config, traits, True))

    return assemble(config, traits, layer)
