"""The pattern of layers: which attend fully, slide, recur; which hold experts."""

from __future__ import annotations

from typing import Final

from llmroof.models.hf_config.traits import Experts, Traits, Window
from llmroof.models.hf_config.view import Config

#: keys under which configs list the kind of every layer
TYPE_KEYS: Final = ("layer_types", "layers_block_type", "block_types")

FULL, SLIDING, CHUNKED, LINEAR, CONV, HYBRID = (
    "full",
    "sliding",
    "chunked",
    "linear",
    "conv",
    "hybrid",
)

#: what configs call a kind of layer -> what it is called here
KINDS: Final = {
    "full_attention": FULL,
    "attention": FULL,
    "global": FULL,
    "indexed_attention": FULL,
    "minimax_m3_sparse": FULL,
    "sliding_attention": SLIDING,
    "local": SLIDING,
    "chunked_attention": CHUNKED,
    "linear_attention": LINEAR,
    "mamba": LINEAR,
    "recurrent": LINEAR,
    "conv": CONV,
    "hybrid": HYBRID,
    "hybrid_sliding": "hybrid sliding",
    "mlp": "mlp",
    "moe": "moe",
}


def raw_types(config: Config) -> tuple[str, ...] | None:
    """The list of layer kinds as the config spells it; None when there is none."""
    key = config.name_of(*TYPE_KEYS)
    return config.words(key, config.layers if config.has(key) else None)


def kinds(config: Config, traits: Traits) -> tuple[str, ...]:
    """The kind of every layer, from `layer_types` or from the architecture's rule."""
    listed = raw_types(config)
    if listed is not None:
        return tuple(known_kind(config, name) for name in listed)
    window = traits.window
    return tuple(
        SLIDING if window and slides(config, window, index) else FULL
        for index in range(config.layers)
    )


def known_kind(config: Config, name: str) -> str:
    """One entry of `layer_types`; an unknown one is a fault, never taken for attention."""
    if name not in KINDS:
        config.fault(config.name_of(*TYPE_KEYS), f"unknown kind of layer '{name[:60]}'")
    return KINDS[name]


def window_size(config: Config, window: Window) -> int | None:
    """Keys that a query of a sliding layer sees; None when no window holds."""
    if window.flag and not config.flag(*window.flag):
        return None
    if window.key not in config.values and window.size:
        return window.size
    size = config.optional(window.key, low=0)
    return size or None


def slides(config: Config, window: Window, index: int) -> bool:
    """True when the architecture's own rule makes this layer slide."""
    if window_size(config, window) is None:
        return False
    return window.pattern is None or window.pattern(config, index)


def sparse(config: Config, experts: Experts) -> tuple[bool, ...]:
    """Which layers hold experts, by whichever key the config marks them with."""
    count = config.layers
    named = config.words("mlp_layer_types", count if config.has("mlp_layer_types") else None)
    if named is not None:
        return tuple(name not in ("dense", "mlp") for name in named)
    indices = config.numbers("moe_layers")
    if indices is not None:
        return tuple(index in indices for index in range(count))
    if config.has("moe_layer_start_index") or config.has("moe_layer_interval"):
        return _between(config, count)
    dense = config.numbers("mlp_only_layers")
    skipped = experts.dense_layers if dense is None else dense
    first = config.size(
        "first_k_dense_replace", "num_dense_layers", default=experts.first_dense, low=0
    )
    step = config.size("decoder_sparse_step", "interleave_moe_layer_step", default=1)
    offset = 1 if config.has("decoder_sparse_step", "interleave_moe_layer_step") else 0
    frequency = _frequency(config, count)
    return tuple(
        index >= first
        and index not in skipped
        and (index + offset) % step == 0
        and frequency[index]
        for index in range(count)
    )


def _between(config: Config, count: int) -> tuple[bool, ...]:
    """Every n-th layer from a first to a last one (ERNIE 4.5)."""
    start = config.size("moe_layer_start_index", default=1, low=0)
    last = config.get("moe_layer_end_index")
    end = count - 1 if last in (None, -1) else config.whole("moe_layer_end_index", last, low=0)
    step = config.size("moe_layer_interval", default=1)
    return tuple(start <= i <= end and (i + 1) % step == 0 for i in range(count))


def _frequency(config: Config, count: int) -> tuple[bool, ...]:
    """`moe_layer_freq`: every n-th layer, or a list with one entry per layer."""
    if isinstance(config.get("moe_layer_freq"), list):
        listed = config.numbers("moe_layer_freq", count)
        return tuple(bool(entry) for entry in listed or ())
    step = config.size("moe_layer_freq", default=1)
    return tuple(index % step == 0 for index in range(count))
