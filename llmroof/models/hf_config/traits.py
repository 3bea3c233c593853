"""What a model_type fixes that its config.json does not say: one row per architecture.

A row states facts of the published modelling code of that architecture: which biases
and norms exist, which key means what, what holds when a key is absent. Everything
else is read from the config by its features (`parts`, `layers`). A new architecture of
a known kind is one row in `families`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from llmroof.models.hf_config.view import Config

#: a fact, or (key, value when the key is absent)
Flag: TypeAlias = bool | tuple[str, bool]

#: (config, layer index) -> does the layer slide, when no `layer_types` says so
Pattern: TypeAlias = Callable[[Config, int], bool]


@dataclass(frozen=True, slots=True)
class Window:
    """Which layers attend to a window.

    Without `pattern` all of them (or those that `layer_types` names); `flag` is a key
    that must be true for any window to hold; `size` the window when the key is absent.
    """

    key: str = "sliding_window"
    flag: tuple[str, bool] | None = None
    pattern: Pattern | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Experts:
    """The mixture of experts of an architecture.

    `width` is the key of an expert's width; shared experts are `shared_count` (key and
    default) of that width each, or of the width under `shared_width`. Layers that no
    key marks as dense or sparse are sparse from `first_dense` on.
    """

    width: tuple[str, ...] = ("moe_intermediate_size",)
    shared_count: tuple[str, int] | None = None
    shared_width: tuple[str, int] | None = None
    shared_gate: bool = False
    bias: bool = False
    router_bias: bool = False
    correction: bool = False
    gated: bool = True
    first_dense: int = 0
    dense_layers: tuple[int, ...] = ()
    #: norms that layers with experts have beyond those of dense layers
    norms_more: int = 0


@dataclass(frozen=True, slots=True)
class Traits:
    """One architecture. `norms` are those of the mixer, of the FFN, and behind the layers."""

    tied: bool = False
    bias: Flag = False
    output_bias: Flag | None = None
    mlp_bias: Flag = False
    head_bias: Flag = False
    norms: tuple[int, int, int] = (1, 1, 1)
    norm_bias: Flag = False
    qk_norm: str | tuple[str, bool, str] = ""
    head_dim: int | None = None
    inner_norms: bool = False
    gated: bool = True
    gate: str = ""
    sinks: bool = False
    rotary: bool = True
    #: attention maps over the same keys (differential attention has two)
    passes: int = 1
    attention_scales: Callable[[Config], int] | None = None
    mlp_scales: int = 0
    window: Window | None = None
    latent: bool = False
    experts: Experts | None = None
    #: learned positions: rows beyond the context length; None when there are none
    positions: int | None = None
    #: FFN width as a multiple of the hidden size when no key says it
    ffn_factor: int | None = None
    #: sizes that a published config of this architecture may leave out
    defaults: tuple[tuple[str, int], ...] = ()


def flag(config: Config, value: Flag) -> bool:
    """A flag of a row, looked up where it is a key."""
    return value if isinstance(value, bool) else config.flag(*value)


def every(size_key: str, default: int) -> Pattern:
    """All layers slide but each n-th; n stands under `size_key`, or a word such as LLLG."""

    def slides(config: Config, index: int) -> bool:
        word = config.get(size_key)
        if isinstance(word, str) and word and not set(word) - {"L", "G"}:
            return word[index % len(word)] == "L"
        step = config.size(size_key, default=default, low=0)
        return bool(step) and bool((index + 1) % step)

    return slides


def first_of(step: int) -> Pattern:
    """All layers slide but the first of every `step`."""
    return lambda config, index: bool(index % step)


def after(size_key: str, default: int) -> Pattern:
    """Layers slide from the one under `size_key` on."""
    return lambda config, index: index >= config.size(size_key, default=default, low=0)
