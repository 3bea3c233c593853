"""Which part of a model a matrix product belongs to: attention, projection, experts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from torch import nn

from validation.matrix_products import Product


def experts_of(module: nn.Module) -> dict[str, nn.Module]:
    """Modules that hold all routed experts of a layer, by name."""
    found: dict[str, nn.Module] = {}
    for name, child in module.named_modules():
        last = name.rpartition(".")[2]
        shared = "shared" in last
        routed = (last.endswith("experts") or "Experts" in type(child).__name__) and not shared
        if routed and not any(name.startswith(f"{other}.") for other in found):
            found[name] = child
    return found


def classify(product: Product, module: nn.Module, experts: Mapping[str, nn.Module]) -> str:
    """The column that a product belongs to."""
    path = product.path
    last = path.rpartition(".")[2]
    kinds = [type(module.get_submodule(p)).__name__ for p in _ancestors(path)]
    if product.convolution:
        return "conv"
    if "indexer" in path.lower():
        return "indexer"
    if any(path == e or path.startswith(e + ".") for e in experts):
        return "experts" if product.with_weight or product.shapes[0][0] > 1 else "other_bmm"
    if product.with_weight:
        if path and module.get_submodule(path) is module.get_output_embeddings():
            return "lm_head"
        if last in ("kv_b_proj", "kv_b_proj_with_mqa"):
            return "mla_kv_b"
        if "outer" in kinds[-1] or kinds[-1].endswith(("Router", "Gate")) or last == "gate":
            return "router"
        return "linear"
    if any(_recurs(module.get_submodule(p)) for p in _ancestors(path)):
        return "mixer_core"
    return "attn_core" if any("Attention" in k for k in kinds) else "other_bmm"


_RECURRENT = ("Mixer", "Mamba", "Delta", "Lightning", "Rglru", "SelfAttentionRwkv")


def _recurs(module: nn.Module) -> bool:
    """A recurrent token mixer: by its name, or a short convolution beside linear attention."""
    name = type(module).__name__
    if "DecoderLayer" in name or "Model" in name:
        return False
    return any(word in name for word in _RECURRENT) or (
        "Attention" in name and vars(module).get("layer_type") == "linear_attention"
    )


def _ancestors(path: str) -> list[str]:
    pieces = path.split(".") if path else []
    return [".".join(pieces[:i]) for i in range(len(pieces) + 1)]


def window_of(path: str, module: nn.Module, config: Any) -> int | None:
    """Sliding window of the attention module at ``path``; None where every token is seen."""
    for name in reversed(_ancestors(path)):
        child = module.get_submodule(name)
        if "sliding_window" in vars(child):
            window = child.sliding_window
            unused = vars(child).get("is_sliding") is False
            return int(window) if window and not unused else None
        kind = vars(child).get("layer_type") or vars(child).get("attention_type")
        index = vars(child).get("layer_idx")
        types = getattr(config, "layer_types", None)
        if kind is None and isinstance(index, int) and types and index < len(types):
            kind = types[index]
        if kind is not None:
            window = attribute(config, "sliding_window") or attribute(config, "window_size")
            local = "sliding" in str(kind) or kind == "local"
            return int(window) if local and window else None
    return None


def causal_pairs(tokens: int, window: int | None) -> int:
    """Attended (query, key) pairs of a prompt: a triangle, cut at ``window`` keys per query."""
    width = min(tokens, window or tokens)
    return width * (width + 1) // 2 + (tokens - width) * width


def expert_counts(module: nn.Module, config: Any) -> tuple[int | None, int | None]:
    """(experts, experts per token), read from the expert tensors and the config's own name."""
    sizes: Counter[int] = Counter()
    for child in experts_of(module).values():
        if isinstance(child, nn.ModuleList):
            sizes[len(child)] += 1
        else:
            first = [p.shape[0] for p in child.parameters() if p.dim() == 3]
            sizes[first[0] if first else len(list(child.children()))] += 1
    if not sizes:
        return None, None
    for key in (
        "num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_topk", "moe_k",
        "moe_top_k", "top_k", "num_experts_per_topk", "experts_per_token", "num_selected_experts",
    ):  # fmt: skip
        value = attribute(config, key)
        if isinstance(value, list):
            value = value[0]
        if isinstance(value, int):
            return sizes.most_common(1)[0][0], value
    ffn = attribute(config, "ffn_config")  # DBRX holds all experts in flat matrices
    number = getattr(ffn, "moe_num_experts", None) or sizes.most_common(1)[0][0]
    return number, getattr(ffn, "moe_top_k", None)


def attribute(config: Any, name: str) -> Any:
    """A config attribute; None where it is absent or differs between layers."""
    try:
        return getattr(config, name, None)
    except Exception:  # transformers refuses a global reading of a per-layer attribute
        return None
