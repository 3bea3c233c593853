"""Readers of architectures that share their blocks with no other family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from llmroof.blocks.attention_experts import AttentionExperts
from llmroof.blocks.base import Block
from llmroof.blocks.chain import Chain
from llmroof.blocks.rwkv import ChannelMix, TimeMix
from llmroof.models.hf_config.decoder import Decoder, assemble, plain
from llmroof.models.hf_config.families import TRAITS
from llmroof.models.hf_config.layers import kinds
from llmroof.models.hf_config.parts import attention, expert_counts, mlp, moe
from llmroof.models.hf_config.traits import Experts, Traits, Window, first_of
from llmroof.models.hf_config.view import EXPERTS, Config

_BIAS: Final = ("attention_bias", False)


def jetmoe(config: Config) -> Decoder:
    """JetMoE: experts hold query and output projections; one vector behind each mixture."""
    traits = Traits(tied=True, experts=Experts(width=("intermediate_size",)))
    experts, top_k = expert_counts(config)
    attended = AttentionExperts(
        hidden=config.hidden,
        kv_heads=config.size("num_key_value_heads", meaning="heads of an expert"),
        head_dim=config.size("kv_channels", meaning="width of a head"),
        experts=experts,
        top_k=top_k,
        scales=config.hidden,
    )
    assert traits.experts is not None
    layer = (attended, replace(moe(config, traits, traits.experts), scales=config.hidden))
    return assemble(config, traits, lambda index: layer)


def rwkv(config: Config) -> Decoder:
    """RWKV-4: time mixing and channel mixing; a LayerNorm behind the embedding."""
    hidden = config.hidden
    layer = (
        TimeMix(hidden, config.size("attention_hidden_size", default=hidden)),
        ChannelMix(hidden, config.size("intermediate_size", default=4 * hidden)),
    )
    embedding = {"norms": 1, "norm_bias": True}
    return assemble(config, Traits(norm_bias=True), lambda index: layer, embedding=embedding)


def modernbert_decoder(config: Config) -> Decoder:
    """ModernBERT as a decoder: local layers between full ones, a dense layer before the head."""
    traits = Traits(
        tied=True,
        bias=_BIAS,
        mlp_bias=("mlp_bias", False),
        head_bias=("decoder_bias", True),
        norm_bias=("norm_bias", False),
        window=Window(
            size=config.size("local_attention", default=128) // 2,
            pattern=first_of(config.size("global_attn_every_n_layers", default=3)),
        ),
    )
    kind_of, dense = kinds(config, traits), mlp(config, traits)
    blocks = {kind: attention(config, traits, kind) for kind in dict.fromkeys(kind_of)}

    def layer(index: int) -> tuple[Block, ...]:
        block = blocks[kind_of[index]]
        return (block if index else replace(block, norms=0), dense)

    biases = config.flag("norm_bias", False) + config.flag("classifier_bias", False)
    before = Chain("head_dense", (config.hidden,) * 2, scales=config.hidden * (1 + biases))
    embedding = {"norms": 1, "norm_bias": config.flag("norm_bias", False)}
    return assemble(config, traits, layer, embedding=embedding, around=(before,))


def cpmant(config: Config) -> Decoder:
    """CPM-Ant: biases of positions shared by all layers, prompt and segment tables."""
    renamed = {"intermediate_size": config.get("dim_ff"), "head_dim": config.get("dim_head")}
    here = Config({**config.values, **renamed, "tie_word_embeddings": False}, config.file)
    prompts = config.size("prompt_types", default=32) * config.size("prompt_length", default=32)
    segments = config.size("segment_types", default=32)
    buckets = segments**2 + config.size("position_bias_num_buckets", default=512)
    traits = Traits(rotary=False)
    layer = (attention(here, traits), mlp(here, traits))
    tables = {
        "vocab": here.vocab + prompts,
        "scales": segments * here.hidden + buckets * here.heads,
    }
    return assemble(here, traits, lambda index: layer, embedding=tables)


def minicpm(config: Config) -> Decoder:
    """MiniCPM, dense or with experts of the FFN's width."""
    experts = Experts(width=("intermediate_size",)) if config.has(*EXPERTS) else None
    return plain(config, replace(TRAITS["minicpm"], experts=experts))


def arctic(config: Config) -> Decoder:
    """Arctic: a dense MLP as wide as the model beside the experts, each behind its own norm."""
    experts = Experts(width=("intermediate_size",))
    traits = Traits(experts=experts)
    step = config.size("moe_layer_frequency", default=2)
    beside = config.flag("parallel_attn_mlp_res", False)
    block, dense = attention(config, traits), mlp(config, traits)
    residual = (mlp(config, traits, config.hidden),) if beside else ()
    routed = (*residual, moe(config, traits, experts))

    def layer(index: int) -> tuple[Block, ...]:
        return (block, *(routed if (index + 1) % step == 0 else (dense,)))

    return assemble(config, traits, layer)


def openelm(config: Config) -> Decoder:
    """OpenELM: heads and FFN widths grow from layer to layer."""
    traits = Traits(qk_norm="head" if config.flag("normalize_qk_projections", True) else "")
    count = config.size("num_transformer_layers", meaning="decoder layers")
    queries, keys = (_listed(config, key, count) for key in ("num_query_heads", "num_kv_heads"))
    factors = config.sequence("ffn_multipliers", count) or [4.0] * count
    step = config.size("ffn_dim_divisor", default=256)
    hidden = config.size("model_dim", meaning="width of the model")
    tied = config.flag("share_input_output_layers", True)
    outer = {"hidden_size": hidden, "num_hidden_layers": count, "tie_word_embeddings": tied}
    here = Config({**config.values, **outer}, config.file)

    def layer(index: int) -> tuple[Block, ...]:
        heads = {"num_attention_heads": queries[index], "num_key_value_heads": keys[index]}
        mixer = attention(Config({**here.values, **heads}, config.file), traits)
        factor = Config({"ffn_multipliers": factors[index]}, config.file).factor(
            "ffn_multipliers", 4.0
        )
        return (mixer, mlp(here, traits, divisible(factor * hidden, step)))

    return assemble(here, traits, layer)


def divisible(width: float, step: int) -> int:
    """The multiple of `step` nearest to `width`, but never below nine tenths of it."""
    found = max(step, int(width + step / 2) // step * step)
    return found + step if found < 0.9 * width else found


def _listed(config: Config, key: str, count: int) -> tuple[int, ...]:
    if isinstance(config.get(key), list):
        return tuple(config.whole(key, item) for item in config.sequence(key, count) or ())
    return (config.size(key),) * count


def nemotron_nas(config: Config) -> Decoder:
    """Nemotron from architecture search: any layer may lack attention or FFN, or be linear."""
    traits = Traits(bias=_BIAS, mlp_bias=("mlp_bias", False))
    count, hidden = config.layers, config.hidden
    listed = config.sequence("block_configs", count)
    if listed is None:
        config.fault("block_configs", "is missing: the shape of every layer")

    def part(index: int, name: str) -> Config:
        entry = listed[index]
        if not isinstance(entry, Mapping):
            config.fault("block_configs", "must hold one table per layer")
        return Config(dict[str, Any](entry), config.file, "block_configs").table(name)

    def layer(index: int) -> tuple[Block, ...]:
        mixer, ffn = part(index, "attention"), part(index, "ffn")
        found: list[Block] = []
        if mixer.flag("replace_with_linear", False):
            found.append(Chain("linear_attention", (hidden, hidden), scales=hidden))
        elif not mixer.flag("no_op", False):
            group = mixer.size("n_heads_in_group", meaning="query heads per KV head")
            heads = {"num_key_value_heads": mixer.each(config.heads, group, "n_heads_in_group")}
            found.append(attention(Config({**config.values, **heads}, config.file), traits))
        if ffn.flag("replace_with_linear", False):
            found.append(Chain("linear_ffn", (hidden, hidden), scales=hidden))
        elif not ffn.flag("no_op", False):
            if not ffn.has("ffn_mult"):
                ffn.fault("ffn_mult", "is missing: the width of the FFN as a multiple")
            width = int(2 * ffn.factor("ffn_mult", 1.0) * hidden / 3)
            found.append(mlp(config, traits, -(-width // 256) * 256))
        return tuple(found)

    return assemble(config, traits, layer)


def minicpm3(config: Config) -> Decoder:
    """MiniCPM3: a value head is as wide as the model over its heads unless the config says so."""
    width = config.size(
        "v_head_dim", default=config.each(config.hidden, config.heads, "v_head_dim")
    )
    values = {**config.values, "v_head_dim": width}
    return plain(Config(values, config.file, config.where, config.assumed), TRAITS["minicpm3"])
