"""Readers of architectures with compressed or convolved attention."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from llmroof.blocks.base import Block
from llmroof.blocks.compressed import CompressedAttention
from llmroof.models.hf_config.decoder import Decoder, assemble
from llmroof.models.hf_config.parts import moe
from llmroof.models.hf_config.sparse_latent import hyper_connections
from llmroof.models.hf_config.traits import Experts, Traits
from llmroof.models.hf_config.view import Config

#: tokens per pooled token -> what configs call the layer
_RATES: Final = {
    "sliding_attention": 0,
    "compressed_sparse_attention": 4,
    "heavily_compressed_attention": 128,
}


def deepseek_v4(config: Config) -> Decoder:
    """DeepSeek-V4: windowed attention over pooled history, hyper-connections, experts."""
    experts = Experts(shared_count=("n_shared_experts", 1))
    block = moe(config, Traits(), experts)
    streams = config.size("hc_mult", default=4)
    outputs = (2 + streams) * streams
    mix = hyper_connections(config, outputs, outputs + 3)
    kinds = _kinds(config)
    rates = {**_RATES, **{k: config.table("compress_rates").size(k, default=v, low=0)
                          for k, v in _RATES.items()}}  # fmt: skip
    made = {kind: _attention(config, kind, rates[kind]) for kind in dict.fromkeys(kinds)}

    def layer(index: int) -> tuple[Block, ...]:
        return (mix, made[kinds[index]], mix, block)

    last = hyper_connections(config, streams, streams + 1)
    return assemble(config, Traits(), layer, around=(last,))


def _kinds(config: Config) -> tuple[str, ...]:
    """The kind of every layer: by name, by `compress_ratios`, or alternating."""
    count = config.layers
    if config.has("layer_types"):
        named = config.words("layer_types", count) or ()
        for name in named:
            if name not in _RATES:
                config.fault("layer_types", f"unknown kind of layer '{name[:60]}'")
        return named
    ratios = config.numbers("compress_ratios", count if config.has("compress_ratios") else None)
    if ratios is None:
        heavy, light = "heavily_compressed_attention", "compressed_sparse_attention"
        return tuple(light if i > 1 and (i - 2) % 2 else heavy for i in range(count))
    by_rate = {rate: name for name, rate in _RATES.items()}
    if set(ratios) - set(by_rate):
        config.fault("compress_ratios", f"may hold {', '.join(map(str, by_rate))} only")
    return tuple(by_rate[ratio] for ratio in ratios)


def _attention(config: Config, kind: str, rate: int) -> CompressedAttention:
    block = CompressedAttention(
        hidden=config.hidden,
        heads=config.heads,
        head_dim=config.size("head_dim"),
        q_lora=config.size("q_lora_rank"),
        window=config.size("sliding_window"),
        output_groups=config.size("o_groups"),
        output_lora=config.size("o_lora_rank"),
        rate=rate,
    )
    if kind != "compressed_sparse_attention":
        return block
    return replace(
        block,
        pools=2,
        topk=config.size("index_topk"),
        index_heads=config.size("index_n_heads"),
        index_dim=config.size("index_head_dim"),
    )
