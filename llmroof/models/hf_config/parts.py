"""From a config and the traits of its architecture to attention and FFN blocks."""

from __future__ import annotations

from llmroof.blocks.attention import Attention
from llmroof.blocks.base import Block
from llmroof.blocks.experts import MoE
from llmroof.blocks.indexer import Indexer
from llmroof.blocks.latent import LatentAttention
from llmroof.blocks.mlp import MLP
from llmroof.models.hf_config.layers import CHUNKED, SLIDING, window_size
from llmroof.models.hf_config.traits import Experts, Traits, flag
from llmroof.models.hf_config.view import EXPERTS, FFN, TOP_K, Config

#: marks a q/k norm per head that has biases beside its gains
BIASED = " biased"


def attention(config: Config, traits: Traits, kind: str = "full") -> Attention:
    """Softmax attention of one layer of the given kind."""
    bias = flag(config, traits.bias)
    norm = qk_norm(config, traits)
    scales = traits.attention_scales(config) if traits.attention_scales else 0
    if norm.endswith(BIASED):
        norm, scales = norm.removesuffix(BIASED), scales + 2 * config.head_dim(traits.head_dim)
    return Attention(
        hidden=config.hidden,
        heads=config.heads,
        kv_heads=config.kv_heads(),
        head_dim=config.head_dim(traits.head_dim),
        v_head_dim=_value_dim(config),
        window=window(config, traits, kind),
        chunk=config.size("attention_chunk_size") if kind == CHUNKED else None,
        qkv_bias=bias,
        output_bias=bias if traits.output_bias is None else flag(config, traits.output_bias),
        qk_norm=norm,
        inner_norm=traits.inner_norms,
        gate=traits.gate,
        sinks=traits.sinks,
        rotary=traits.rotary,
        passes=traits.passes,
        norms=traits.norms[0],
        norm_bias=flag(config, traits.norm_bias),
        scales=scales,
    )


def _value_dim(config: Config) -> int | None:
    own = config.optional("v_head_dim")
    return own if own and own != config.optional("head_dim") else None


def qk_norm(config: Config, traits: Traits) -> str:
    """The kind of q/k norm, where a key may switch it off."""
    if isinstance(traits.qk_norm, str):
        return traits.qk_norm
    key, default, kind = traits.qk_norm
    return kind if config.flag(key, default) else ""


def window(config: Config, traits: Traits, kind: str) -> int | None:
    """The window of a layer of this kind; a sliding layer without a size is a fault."""
    if kind != SLIDING:
        return None
    found = (
        window_size(config, traits.window) if traits.window else config.optional("sliding_window")
    )
    if found is None:
        key = traits.window.key if traits.window else "sliding_window"
        config.fault(key, "is missing, but layers slide")
    return found


def latent_attention(config: Config, traits: Traits, kind: str = "full") -> LatentAttention:
    """MLA of one layer."""
    return LatentAttention(
        hidden=config.hidden,
        heads=config.heads,
        kv_lora=config.size("kv_lora_rank", meaning="width of the KV latent"),
        nope=config.size("qk_nope_head_dim", meaning="head width without position"),
        rope=config.size("qk_rope_head_dim", low=0, meaning="head width with rotary position"),
        v_head_dim=config.size("v_head_dim", meaning="width of a value head"),
        q_lora=config.optional("q_lora_rank"),
        window=window(config, traits, kind),
        topk=config.optional("index_topk"),
        bias=flag(config, traits.bias),
        gate=traits.gate,
        norms=traits.norms[0],
        scales=traits.attention_scales(config) if traits.attention_scales else 0,
    )


def indexer(config: Config, query_inputs: int | None) -> Indexer:
    """DeepSeek's lightning indexer: LayerNorm on the keys, a weight per head."""
    dim = config.size("index_head_dim")
    return Indexer(
        hidden=config.hidden,
        heads=config.size("index_n_heads"),
        head_dim=dim,
        query_inputs=query_inputs,
        norm_values=2 * dim,
    )


def ffn_width(config: Config, traits: Traits) -> int:
    """Width of the dense FFN."""
    default = traits.ffn_factor * config.hidden if traits.ffn_factor else None
    if default:
        return config.size(*FFN, default=default)
    return config.size(*FFN, meaning="width of the FFN")


def mlp(config: Config, traits: Traits, width: int | None = None) -> MLP:
    """Dense FFN of one layer."""
    return MLP(
        hidden=config.hidden,
        intermediate=width or ffn_width(config, traits),
        gated=traits.gated,
        bias=flag(config, traits.mlp_bias),
        norms=traits.norms[1],
        norm_bias=flag(config, traits.norm_bias),
        inner_norm=traits.inner_norms,
        scales=traits.mlp_scales,
    )


def moe(config: Config, traits: Traits, experts: Experts) -> MoE:
    """Mixture of experts of one layer."""
    width = config.size(*experts.width, meaning="width of an expert")
    count, top_k = expert_counts(config)
    return MoE(
        hidden=config.hidden,
        intermediate=width,
        experts=count,
        top_k=top_k,
        gated=experts.gated,
        bias=experts.bias,
        router_bias=experts.router_bias,
        correction=experts.correction,
        shared=_shared_width(config, experts, width),
        shared_gated=experts.gated,
        shared_gate=experts.shared_gate,
        shared_bias=flag(config, traits.mlp_bias),
        norms=traits.norms[1] + experts.norms_more,
        norm_bias=flag(config, traits.norm_bias),
    )


def expert_counts(config: Config) -> tuple[int, int]:
    """(experts, experts per token)."""
    count = config.size(*EXPERTS, meaning="routed experts")
    top_k = config.size(*TOP_K, meaning="experts per token")
    if top_k > count:
        config.fault(config.name_of(*TOP_K), f"{top_k} of {count} experts cannot be chosen")
    return count, top_k


def _shared_width(config: Config, experts: Experts, width: int) -> int:
    """Width of all shared experts side by side."""
    if experts.shared_width:
        key, default = experts.shared_width
        return config.size(key, default=default, low=0)
    if experts.shared_count:
        key, default = experts.shared_count
        return config.size(key, "num_shared_experts", default=default, low=0) * width
    return 0


def mixer(config: Config, traits: Traits, kind: str) -> tuple[Block, ...]:
    """The token mixer of one layer: attention, or MLA with its indexer."""
    if not traits.latent:
        return (attention(config, traits, kind),)
    block = latent_attention(config, traits, kind)
    if block.topk is None:
        return (block,)
    return (indexer(config, block.q_lora), block)
