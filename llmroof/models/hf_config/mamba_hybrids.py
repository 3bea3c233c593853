"""Readers of architectures with Mamba layers, alone or beside attention."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from llmroof.blocks.attention import Attention
from llmroof.blocks.base import Block, Reused
from llmroof.blocks.chain import Chain
from llmroof.blocks.experts import MoE
from llmroof.blocks.mlp import MLP
from llmroof.blocks.ssm import Mamba, Mamba2
from llmroof.models.hf_config.decoder import Decoder, assemble, ffn
from llmroof.models.hf_config.layers import FULL, HYBRID, LINEAR, TYPE_KEYS, kinds
from llmroof.models.hf_config.parts import attention, mlp, moe
from llmroof.models.hf_config.traits import Experts, Traits
from llmroof.models.hf_config.view import EXPERTS, Config

_BIAS: Final = ("attention_bias", False)
_MLP_BIAS: Final = ("mlp_bias", False)


def mamba_config(config: Config) -> Decoder:
    """Mamba-1 and Falcon-Mamba: one mixer per layer, no FFN."""
    inner = config.size("intermediate_size", default=_expanded(config))
    block = Mamba(
        hidden=config.hidden,
        inner_width=inner,
        state=config.size("state_size"),
        dt_rank=_dt_rank(config, "time_step_rank"),
        conv_kernel=config.size("conv_kernel", default=4),
        conv_bias=config.flag("use_conv_bias", True),
        bias=config.flag("use_bias", False),
    )
    return assemble(config, Traits(tied=True), lambda index: (block,))


def _expanded(config: Config, key: str = "expand") -> int:
    return int(config.factor(key, 2) * config.hidden)


def _dt_rank(config: Config, key: str) -> int:
    """Rank of the step-size projection; "auto" is a sixteenth of the width."""
    if config.get(key) in (None, "auto"):
        return math.ceil(config.hidden / 16)
    return config.size(key)


def mamba2_config(config: Config) -> Decoder:
    """Mamba-2 of the transformers format."""
    block = Mamba2(
        hidden=config.hidden,
        heads=config.size("num_heads", meaning="heads"),
        head_dim=config.size("head_dim", meaning="width of a head"),
        state=config.size("state_size"),
        groups=config.size("n_groups", default=8),
        conv_kernel=config.size("conv_kernel", default=4),
        conv_bias=config.flag("use_conv_bias", True),
        bias=config.flag("use_bias", False),
        output_bias=config.flag("use_bias", False),
    )
    return assemble(config, Traits(), lambda index: (block,))


def bamba_mixer(config: Config, gated_norm: bool = True) -> Mamba2:
    """Mamba-2 under the `mamba_*` keys of Bamba, Granite 4 and Falcon-H1."""
    width = config.size("mamba_d_ssm", default=_expanded(config, "mamba_expand"))
    heads = config.size("mamba_n_heads", meaning="heads of the Mamba layers")
    given = config.get("mamba_d_head") not in (None, "auto")
    bias = config.flag("mamba_proj_bias", False)
    return Mamba2(
        hidden=config.hidden,
        heads=heads,
        head_dim=config.size("mamba_d_head")
        if given
        else config.each(width, heads, "mamba_n_heads"),
        state=config.size("mamba_d_state", meaning="state of the Mamba layers"),
        groups=config.size("mamba_n_groups", default=1),
        conv_kernel=config.size("mamba_d_conv", default=4),
        conv_bias=config.flag("mamba_conv_bias", True),
        bias=bias,
        output_bias=bias,
        gated_norm=gated_norm,
    )


def bamba(config: Config) -> Decoder:
    """Mamba-2 layers with attention at `attn_layer_indices`, a dense FFN in each."""
    traits = Traits(bias=_BIAS, mlp_bias=_MLP_BIAS)
    full = config.numbers("attn_layer_indices")
    kind_of = (
        kinds(config, traits)
        if full is None and config.has("layer_types")
        else tuple(FULL if index in (full or ()) else LINEAR for index in range(config.layers))
    )
    mamba, attended = bamba_mixer(config), attention(config, traits)

    def layer(index: int) -> tuple[Block, ...]:
        return (attended if kind_of[index] == FULL else mamba, mlp(config, traits))

    return assemble(config, traits, layer)


def granite_hybrid(config: Config) -> Decoder:
    """Granite 4: Mamba-2 or attention, then experts (where there are any) and a shared MLP."""
    traits = Traits(bias=_BIAS)
    shared = config.size("shared_intermediate_size", default=1024)
    has_experts = config.size(*EXPERTS, default=8, low=0) > 0
    experts = Experts(width=("intermediate_size",), shared_width=("shared_intermediate_size", 1024))
    block: Block = moe(config, traits, experts) if has_experts else mlp(config, traits, shared)
    listed = config.has(*TYPE_KEYS)
    kind_of = kinds(config, traits) if listed else (LINEAR,) * config.layers

    def layer(index: int) -> tuple[Block, ...]:
        recurrent = kind_of[index] == LINEAR
        return (bamba_mixer(config) if recurrent else attention(config, traits), block)

    return assemble(config, traits, layer)


def falcon_h1(config: Config) -> Decoder:
    """Falcon-H1: Mamba-2 and attention side by side behind one norm."""
    traits = Traits(bias=_BIAS, mlp_bias=_MLP_BIAS)
    gated = config.flag("mamba_rms_norm", False)
    mamba = replace(
        bamba_mixer(config, gated), norms=0, output_bias=config.flag("projectors_bias", False)
    )
    blocks = (attention(config, traits), mamba, mlp(config, traits))
    return assemble(config, traits, lambda index: blocks)


def jamba(config: Config) -> Decoder:
    """Jamba: attention in every n-th layer, experts in every m-th."""
    traits = Traits(experts=Experts(width=("intermediate_size",)))
    mamba = Mamba(
        hidden=config.hidden,
        inner_width=_expanded(config, "mamba_expand"),
        state=config.size("mamba_d_state", default=16),
        dt_rank=_dt_rank(config, "mamba_dt_rank"),
        conv_kernel=config.size("mamba_d_conv", default=4),
        conv_bias=config.flag("mamba_conv_bias", True),
        bias=config.flag("mamba_proj_bias", False),
        inner_norms=True,
    )
    period, offset = config.size("attn_layer_period"), config.size("attn_layer_offset", low=0)
    expert_period = config.size("expert_layer_period")
    expert_offset = config.size("expert_layer_offset", low=0)
    many = config.size(*EXPERTS) > 1

    def layer(index: int) -> tuple[Block, ...]:
        attended = index % period == offset
        return (
            attention(config, traits) if attended else mamba,
            ffn(config, traits, many and index % expert_period == expert_offset),
        )

    return assemble(config, traits, layer)


def nemotron_h(config: Config) -> Decoder:
    """Nemotron-H: every layer is one block: Mamba-2, attention, MLP or experts."""
    traits = Traits(gated=False, mlp_bias=_MLP_BIAS, head_dim=128)
    kind_of = _nemotron_kinds(config)
    bias = config.flag("use_bias", False)
    mamba = Mamba2(
        hidden=config.hidden,
        heads=config.size("mamba_num_heads"),
        head_dim=config.size("mamba_head_dim"),
        state=config.size("ssm_state_size"),
        groups=config.size("n_groups", "mamba_n_groups", default=8),
        conv_kernel=config.size("conv_kernel", "mamba_d_conv", default=4),
        conv_bias=config.flag("use_conv_bias", True),
        bias=bias,
        output_bias=bias,
    )

    def block(kind: str) -> Block:
        if kind == LINEAR:
            return mamba
        if kind == FULL:
            return attention(config, traits)
        return _nemotron_experts(config, traits) if kind == "moe" else mlp(config, traits)

    made = {kind: block(kind) for kind in dict.fromkeys(kind_of)}
    pattern = Config({**config.values, "num_hidden_layers": len(kind_of)}, config.file)
    return assemble(pattern, traits, lambda index: (made[kind_of[index]],))


def _nemotron_kinds(config: Config) -> tuple[str, ...]:
    """The pattern string (M mamba, * attention, E experts, - MLP) or the list of kinds."""
    text = config.get("hybrid_override_pattern")
    if text is None:
        return kinds(Config({"num_hidden_layers": _length(config), **config.values}, config.file),
                     Traits())  # fmt: skip
    signs = {"M": LINEAR, "*": FULL, "E": "moe", "-": "mlp"}
    if not isinstance(text, str) or not text or set(text) - set(signs):
        config.fault("hybrid_override_pattern", "must be a word of the letters M, *, E and -")
    return tuple(signs[sign] for sign in text)


def _length(config: Config) -> int:
    listed = config.words("layers_block_type") or config.words("layer_types")
    if not listed:
        config.fault("hybrid_override_pattern", "is missing: the kind of every layer")
    return len(listed)


def _nemotron_experts(config: Config, traits: Traits) -> MoE:
    experts = Experts(gated=False, shared_width=("moe_shared_expert_intermediate_size", 7688))
    latent = config.optional("moe_latent_size")
    biased = config.flag("mlp_bias", False)
    return replace(moe(config, traits, experts), latent=latent, latent_bias=biased)


def zamba(config: Config) -> Decoder:
    """Zamba: Mamba-1 layers; one shared transformer, of twice the width, before some."""
    traits = Traits(tied=True)
    hidden = config.hidden
    width = config.size("attention_hidden_size", default=2 * hidden)
    heads = config.heads
    mamba = Mamba(
        hidden=hidden,
        inner_width=_expanded(config, "mamba_expand"),
        state=config.size("mamba_d_state", default=16),
        dt_rank=_dt_rank(config, "mamba_dt_rank"),
        conv_kernel=config.size("mamba_d_conv", default=4),
        conv_bias=config.flag("mamba_conv_bias", True),
        bias=config.flag("mamba_proj_bias", False),
        splits=config.size("n_mamba_heads", default=2),
    )
    shared = Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=config.kv_heads(),
        head_dim=config.size("attention_head_dim", "head_dim", default=None)
        or config.each(2 * hidden, heads, "num_attention_heads"),
        inputs=width,
        rotary=False,
    )
    return _zamba_layers(config, traits, mamba, (shared, mlp(config, traits)), 1)


def zamba2(config: Config) -> Decoder:
    """Zamba2: Mamba-2 layers; shared transformers, each use with a linear of its own."""
    traits = Traits(tied=True, mlp_bias=("add_bias_linear", False))
    hidden = config.hidden
    heads, count = config.heads, config.size("n_mamba_heads")
    bias = config.flag("add_bias_linear", False)
    mamba = Mamba2(
        hidden=hidden,
        heads=count,
        head_dim=config.each(_expanded(config, "mamba_expand"), count, "n_mamba_heads"),
        state=config.size("mamba_d_state", default=64),
        groups=config.size("mamba_ngroups", default=1),
        conv_kernel=config.size("mamba_d_conv", default=4),
        bias=bias,
        output_bias=bias,
    )
    shared = Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=config.kv_heads(),
        head_dim=config.size("attention_head_dim", "head_dim", default=None)
        or config.each(2 * hidden, heads, "num_attention_heads"),
        inputs=config.size("attention_hidden_size", default=2 * hidden),
        rotary=config.flag("use_mem_rope", False),
    )
    inner = config.size("intermediate_size", "ffn_hidden_size", default=4 * hidden)
    blocks = config.size("num_mem_blocks", default=1)
    rank = config.size("adapter_rank", default=128)
    adapters: tuple[Block, ...] = (Chain("mlp_adapter", (hidden, rank, 2 * inner)),)
    if config.flag("use_shared_attention_adapter", False):
        adapters += (Chain("qkv_adapter", (2 * hidden, rank, 2 * hidden), copies=3),)
    transformer = (shared, mlp(config, traits, inner))
    return _zamba_layers(config, traits, mamba, transformer, blocks, adapters)


def _zamba_layers(
    config: Config,
    traits: Traits,
    mamba: Block,
    transformer: tuple[Attention, MLP],
    copies: int,
    adapters: tuple[Block, ...] = (),
) -> Decoder:
    """The first `copies` hybrid layers hold the shared transformers, later ones reuse them."""
    listed = config.words("layers_block_type", config.layers if config.has("layers_block_type")
                          else None)  # fmt: skip
    chosen = config.numbers("hybrid_layer_ids")
    if listed is not None:
        hybrid = [kind == HYBRID for kind in listed]
    elif chosen is not None:
        hybrid = [index in chosen for index in range(config.layers)]
    else:
        period, offset = config.size("attn_layer_period"), config.size("attn_layer_offset", low=0)
        hybrid = [i == 2 or (i > 2 and (i - 3) % period == offset) for i in range(config.layers)]
    linear = Chain("linear", (config.hidden, config.hidden))
    seen = 0
    layers: list[tuple[Block, ...]] = []
    for index in range(config.layers):
        if not hybrid[index]:
            layers.append((mamba,))
            continue
        blocks = transformer if seen < copies else tuple(Reused(block) for block in transformer)
        layers.append((*blocks, *adapters, linear, mamba))
        seen += 1
    return assemble(config, traits, lambda index: layers[index])
