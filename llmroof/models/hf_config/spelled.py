"""Readers of architectures that spell their sizes in a way of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from llmroof.blocks.attention import Attention
from llmroof.blocks.base import Block
from llmroof.blocks.chain import Chain, Idle
from llmroof.blocks.experts import MoE
from llmroof.models.hf_config.decoder import Decoder, assemble, ffn, plain
from llmroof.models.hf_config.families import TRAITS
from llmroof.models.hf_config.layers import CHUNKED, FULL, SLIDING, kinds, sparse
from llmroof.models.hf_config.parts import attention, mlp, moe
from llmroof.models.hf_config.traits import Experts, Traits
from llmroof.models.hf_config.view import Config

_BIAS: Final = ("attention_bias", False)


def falcon(config: Config) -> Decoder:
    """Falcon: one KV head unless the new architecture says otherwise; parallel blocks."""
    new = config.flag("new_decoder_architecture", config.model_type == "RefinedWeb")
    single = config.flag("multi_query", True) and not new
    parallel = config.flag("parallel_attn", True)
    norms = config.size("num_ln_in_parallel_attn", default=2 if new else 1)
    both = not parallel or norms == 2
    traits = Traits(
        tied=True,
        bias=("bias", False),
        mlp_bias=("bias", False),
        gated=False,
        norm_bias=True,
        norms=(1, 1 if both else 0, 1),
        rotary=not config.flag("alibi", False),
        ffn_factor=4,
    )
    block = attention(config, traits)
    heads = 1 if single else config.kv_heads() if new else config.heads
    layer = (replace(block, kv_heads=heads), mlp(config, traits))
    return assemble(config, traits, lambda index: layer)


def mpt(config: Config) -> Decoder:
    """MPT: sizes under `d_model` and `attn_config`, no biases at all, ALiBi."""
    traits = Traits(tied=True, gated=False, rotary=False)
    table = config.table("attn_config")
    heads = config.heads
    block = attention(config, traits)
    layer = (
        replace(block, kv_heads=table.size("kv_n_heads", default=heads)),
        mlp(config, traits, config.size("expansion_ratio", default=4) * config.hidden),
    )
    return assemble(config, traits, lambda index: layer)


def dbrx(config: Config) -> Decoder:
    """DBRX: sizes in `attn_config` and `ffn_config`."""
    traits = Traits()
    inner = config.table("attn_config")
    outer = config.table("ffn_config")
    layer = (
        replace(attention(config, traits), kv_heads=inner.size("kv_n_heads", default=1)),
        MoE(
            hidden=config.hidden,
            intermediate=outer.size("ffn_hidden_size", meaning="width of an expert"),
            experts=outer.size("moe_num_experts", meaning="routed experts"),
            top_k=outer.size("moe_top_k", meaning="experts per token"),
        ),
    )
    return assemble(config, traits, lambda index: layer)


def gpt_bigcode(config: Config) -> Decoder:
    """GPT-BigCode: GPT-2 with one key/value head."""
    traits = TRAITS["gpt2"]
    heads = 1 if config.flag("multi_query", True) else config.heads
    layer = (replace(attention(config, traits), kv_heads=heads), mlp(config, traits))
    return assemble(config, traits, lambda index: layer)


def gpt_neo(config: Config) -> Decoder:
    """GPT-Neo: `attention_types` [[kinds, repeats], ...] says which layers are local."""
    traits = TRAITS["gpt_neo"]
    kind_of: list[str] = []
    for entry in config.sequence("attention_types") or [[["global", "local"], config.layers // 2]]:
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], list)):
            config.fault("attention_types", "must be a list of [kinds, repeats]")
        kind_of += list(entry[0]) * config.whole("attention_types", entry[1])
    if len(kind_of) != config.layers or set(kind_of) - {"global", "local"}:
        config.fault("attention_types", f"does not name {config.layers} global or local layers")
    blocks = {
        "global": attention(config, traits, FULL),
        "local": attention(config, traits, SLIDING),
    }
    return assemble(config, traits, lambda i: (blocks[kind_of[i]], mlp(config, traits)))


def gpt_neox_japanese(config: Config) -> Decoder:
    """GPT-NeoX Japanese: no biases but one behind the last attention."""
    traits = Traits(tied=True, gated=False, norm_bias=True)
    width = config.size("intermediate_multiple_size", default=4) * config.hidden
    block, last = attention(config, traits), config.layers - 1

    def layer(index: int) -> tuple[Block, ...]:
        own = replace(block, output_bias=True) if index == last else block
        return (own, mlp(config, traits, width))

    return assemble(config, traits, layer)


def opt(config: Config) -> Decoder:
    """OPT: two more positions than context; OPT-350M has a narrow embedding and no last norm."""
    biased = config.flag("enable_bias", True)
    affine = config.flag("layer_norm_elementwise_affine", True)
    before = config.flag("do_layer_norm_before", True)
    final = before and not config.flag("_remove_final_layer_norm", False)
    norms = (1, 1, int(final)) if affine else (0, 0, 0)
    traits = Traits(
        tied=True,
        bias=biased,
        mlp_bias=biased,
        gated=False,
        norm_bias=True,
        norms=norms,
        rotary=False,
        positions=2,
    )
    layer = (attention(config, traits), mlp(config, traits))
    hidden = config.hidden
    width = config.size("word_embed_proj_dim", default=hidden)
    if width == hidden:
        return assemble(config, traits, lambda index: layer)
    ends = (Chain("project_in", (width, hidden)), Chain("project_out", (hidden, width)))
    narrow = {"width": width}
    return assemble(config, traits, lambda i: layer, embedding=narrow, head=narrow, around=ends)


def bloom(config: Config) -> Decoder:
    """BLOOM: a norm behind the embedding, ALiBi."""
    decoder = plain(config, TRAITS["bloom"])
    return replace(decoder, embedding=replace(decoder.embedding, norms=1, norm_bias=True))


def stablelm(config: Config) -> Decoder:
    """StableLM: LayerNorms, one per layer where attention and MLP run side by side."""
    parallel = config.flag("use_parallel_residual", False)
    traits = Traits(
        bias=("use_qkv_bias", False),
        output_bias=False,
        norms=(1, 0 if parallel else 1, 1),
        norm_bias=True,
        qk_norm=("qk_layernorm", False, "full"),
    )
    return plain(config, traits)


def hyperclovax(config: Config) -> Decoder:
    """HyperCLOVA X: norms behind the blocks too, unless `use_post_norm` is false."""
    traits = TRAITS["hyperclovax"]
    if not config.flag("use_post_norm", True):
        traits = replace(traits, norms=(1, 1, 1))
    return plain(config, traits)


def hunyuan_moe(config: Config) -> Decoder:
    """Hunyuan MoE: numbers of experts may stand per layer; one shared MLP of expert width."""
    traits = TRAITS["hunyuan_v1_moe"]
    count = config.layers

    def listed(key: str) -> tuple[int, ...]:
        if isinstance(config.get(key), list):
            return config.numbers(key, count) or ()
        return (config.size(key),) * count

    experts = listed("num_experts")
    top_k = listed(config.name_of("moe_topk", "num_experts_per_tok"))

    def layer(index: int) -> tuple[Block, ...]:
        own = {"num_experts": experts[index], "num_experts_per_tok": top_k[index], "moe_topk": None}
        here = Config({**config.values, **own}, config.file)
        assert traits.experts is not None
        return (attention(config, traits), moe(here, traits, traits.experts))

    return assemble(config, traits, layer)


def llama4(config: Config) -> Decoder:
    """Llama 4: chunked layers with a full one in between, experts in every n-th layer."""
    traits = Traits(bias=_BIAS, experts=Experts(width=("intermediate_size",),
                                                shared_width=("intermediate_size", 0)))  # fmt: skip
    count = config.layers
    step = config.size("no_rope_layer_interval", default=4)
    rope = config.numbers("no_rope_layers", count) if config.get("no_rope_layers") else None
    if config.has("layer_types"):
        kind_of = kinds(config, traits)
    else:
        marks = rope or tuple(int((i + 1) % step != 0) for i in range(count))
        kind_of = tuple(CHUNKED if mark else FULL for mark in marks)
    every = config.size("interleave_moe_layer_step", default=1)
    chosen = config.numbers("moe_layers")
    routed = range(every - 1, count, every) if chosen is None else chosen
    assert traits.experts is not None
    experts = moe(config, traits, traits.experts)
    dense = mlp(config, traits, config.size("intermediate_size_mlp", default=16384))

    def layer(index: int) -> tuple[Block, ...]:
        block = attention(config, traits, kind_of[index])
        return (block, experts if index in routed else dense)

    return assemble(config, traits, layer)


def mimo(config: Config) -> Decoder:
    """MiMo-V2-Flash: values narrower than keys; sliding layers have twice the KV heads, sinks."""
    experts = Experts(first_dense=1)
    traits = Traits(bias=_BIAS, output_bias=False, experts=experts)
    pattern = config.numbers(
        "hybrid_layer_pattern", config.layers if config.has("hybrid_layer_pattern") else None
    )
    if pattern is None and not config.has("layer_types"):
        config.fault("layer_types", "is missing: which layers slide")
    kind_of = tuple(SLIDING if mark else FULL for mark in pattern or ()) or kinds(config, traits)
    for key in ("head_dim", "v_head_dim"):
        config.size(key, meaning="width of a head")
    full = attention(config, traits, FULL)
    if config.has("sliding_window_size"):
        reach = config.size("sliding_window_size") + 1
    else:
        reach = config.size("sliding_window", default=129)
    local = replace(full, window=reach, kv_heads=2 * full.kv_heads, sinks=True)
    routed = sparse(config, experts)

    def layer(index: int) -> tuple[Block, ...]:
        block = local if kind_of[index] == SLIDING else full
        return (block, ffn(config, traits, routed[index]))

    return assemble(config, traits, layer)


def mllama(config: Config) -> Decoder:
    """Llama 3.2 Vision: text skips the cross-attention layers; they are held all the same."""
    traits = Traits()
    crossed = config.numbers("cross_attention_layers") or (3, 8, 13, 18, 23, 28, 33, 38)
    block, dense = attention(config, traits), mlp(config, traits)
    gates = 2 + 2 * block.head_dim
    idle = Idle("cross_attention", int(block.parameters + dense.parameters) + gates)

    def layer(index: int) -> tuple[Block, ...]:
        return (idle,) if index in crossed else (block, dense)

    more = Idle("image_tokens", 8 * config.hidden)
    return assemble(config, traits, layer, around=(more,))


def doge(config: Config) -> Decoder:
    """Doge: a gate on the values per KV head, a scaled residual."""
    traits = Traits(bias=_BIAS, mlp_bias=("mlp_bias", False), qk_norm="head")
    if config.flag("is_moe", False):
        config.fault("is_moe", "the cross-domain mixture of experts of Doge is not modelled")
    block = replace(attention(config, traits), scales=config.kv_heads() + config.hidden)
    biases = block.kv_heads if config.flag(*_BIAS) else 0
    widths = (block.kv_heads * block.head_dim, block.kv_heads)
    step = Chain("dt_proj", widths, scales=biases)
    dense = replace(mlp(config, traits), scales=config.hidden)
    return assemble(config, traits, lambda index: (step, block, dense))


def laguna(config: Config) -> Decoder:
    """Laguna: query heads may differ between layers; a gate per head or per value."""
    gating = config.get("gating")
    gate = "head" if gating in (None, True, "per-head") else "full"
    experts = Experts(
        shared_width=("shared_expert_intermediate_size", 0), correction=True, first_dense=1
    )
    traits = Traits(bias=_BIAS, qk_norm="head", head_dim=128, gate=gate, experts=experts)
    kind_of, routed = kinds(config, traits), sparse(config, experts)
    heads = config.numbers("num_attention_heads_per_layer", config.layers if config.has(
        "num_attention_heads_per_layer") else None)  # fmt: skip

    def layer(index: int) -> tuple[Block, ...]:
        block: Attention = attention(config, traits, kind_of[index])
        if heads is not None:
            block = replace(block, heads=heads[index])
        return (block, ffn(config, traits, routed[index]))

    return assemble(config, traits, layer)


def step3(config: Config) -> Decoder:
    """Step-3.5: sliding layers may have other query heads; a gate per head; shared expert."""
    gate = "head" if config.get("gating") in (None, True, "per-head") else "full"
    experts = Experts(shared_width=(config.name_of("share_expert_dim", "share_expert_dims"), 0))
    traits = Traits(
        bias=_BIAS, mlp_bias=("mlp_bias", False), qk_norm="head", gate=gate, experts=experts
    )
    outer = {"num_key_value_heads": config.get("num_key_value_heads", "num_attention_groups")}
    here = Config({**config.values, **outer}, config.file, config.where)
    kind_of, count = kinds(here, traits), here.layers
    other = here.table("attention_other_setting")
    local_heads = here.size(
        "num_sliding_attention_heads", default=other.size("num_attention_heads", default=here.heads)
    )
    routed = sparse(here, experts) if here.has("mlp_layer_types") else _enumerated(here, count)

    def layer(index: int) -> tuple[Block, ...]:
        block: Attention = attention(here, traits, kind_of[index])
        if kind_of[index] == SLIDING:
            block = replace(block, heads=local_heads)
        return (block, ffn(here, traits, routed[index]))

    return assemble(here, traits, layer)


def _enumerated(config: Config, count: int) -> tuple[bool, ...]:
    """`moe_layers_enum`: the layers with experts as text "3,4,5" or a list; from 3 on if absent."""
    listed = config.get("moe_layers_enum")
    if listed is None:
        return tuple(index >= 3 for index in range(count))
    words = listed.split(",") if isinstance(listed, str) else listed
    if not isinstance(words, list) or not all(str(word).strip().isdigit() for word in words):
        config.fault("moe_layers_enum", "must list the layers with experts")
    chosen = {int(word) for word in words}
    return tuple(index in chosen for index in range(count))


def chatglm(config: Config) -> Decoder:
    """ChatGLM2/3 and GLM-4 of the original format: sizes under names of their own."""
    bias = ("add_bias_linear", False)
    traits = Traits(
        bias=("add_qkv_bias", True),
        output_bias=bias,
        mlp_bias=bias,
        norms=(1, 1, 1 if config.flag("post_layer_norm", True) else 0),
    )
    shared = config.flag("multi_query_attention", False)
    heads = config.size("multi_query_group_num", default=1) if shared else config.heads
    renamed = {
        "num_key_value_heads": heads,
        "vocab_size": config.get("padded_vocab_size", "vocab_size"),
        "head_dim": config.get("kv_channels"),
    }
    here = Config({**config.values, **renamed}, config.file, config.where)
    layer = (attention(here, traits), mlp(here, traits))
    return assemble(here, traits, lambda index: layer)


def qwen1(config: Config) -> Decoder:
    """Qwen (the first): half of `intermediate_size` per matrix, biases on q, k and v."""
    traits = Traits(bias=True, output_bias=False)
    width = config.each(config.size("intermediate_size"), 2, "intermediate_size")
    layer = (attention(config, traits), mlp(config, traits, width))
    return assemble(config, traits, lambda index: layer)
