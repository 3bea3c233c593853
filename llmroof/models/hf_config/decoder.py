"""A decoder in the making: blocks of every layer, embedding, head, and what stands around."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from llmroof.blocks.base import Block
from llmroof.blocks.ends import Embedding, Head
from llmroof.models.hf_config.layers import kinds, sparse
from llmroof.models.hf_config.parts import mixer, mlp, moe
from llmroof.models.hf_config.traits import Traits, flag
from llmroof.models.hf_config.view import CONTEXT, Config
from llmroof.models.model import Layers, joined


@dataclass(frozen=True, slots=True)
class Decoder:
    """What a reader makes of a config, one tuple of blocks per layer.

    `reused` holds the blocks of each layer that run with an earlier layer's weights;
    `around` those that stand outside of the layers.
    """

    layers: tuple[tuple[Block, ...], ...]
    embedding: Embedding
    head: Head
    around: tuple[Block, ...] = ()

    def run_lengths(self) -> Layers:
        """Equal neighbours counted: ((count, blocks), ...)."""
        return joined((1, blocks) for blocks in self.layers)


def assemble(
    config: Config,
    traits: Traits,
    layer: Callable[[int], tuple[Block, ...]],
    embedding: dict[str, Any] | None = None,
    head: dict[str, Any] | None = None,
    around: tuple[Block, ...] = (),
) -> Decoder:
    """A decoder from a function that gives the blocks of a layer; the ends from the traits."""
    return Decoder(
        layers=tuple(layer(index) for index in range(config.layers)),
        embedding=replace(make_embedding(config, traits), **(embedding or {})),
        head=replace(make_head(config, traits), **(head or {})),
        around=around,
    )


def plain(config: Config, traits: Traits) -> Decoder:
    """One token mixer and one FFN per layer, as the traits and `layer_types` say."""
    kind_of = kinds(config, traits)
    with_experts = sparse(config, traits.experts) if traits.experts else (False,) * len(kind_of)

    def layer(index: int) -> tuple[Block, ...]:
        return (*mixer(config, traits, kind_of[index]), ffn(config, traits, with_experts[index]))

    return assemble(config, traits, layer)


def ffn(config: Config, traits: Traits, with_experts: bool) -> Block:
    """The dense FFN or the mixture of experts of a layer."""
    if traits.experts and with_experts:
        return moe(config, traits, traits.experts)
    return mlp(config, traits)


def make_embedding(config: Config, traits: Traits) -> Embedding:
    """The token embedding, with learned positions where the architecture has them."""
    rows = 0
    if traits.positions is not None:
        rows = config.size(*CONTEXT, meaning="learned positions") + traits.positions
    return Embedding(config.vocab, config.hidden, positions=rows)


def make_head(config: Config, traits: Traits) -> Head:
    """The LM head; tied as the config or, when it is silent, the architecture says."""
    return Head(
        config.vocab,
        config.hidden,
        tied=config.flag("tie_word_embeddings", traits.tied),
        bias=flag(config, traits.head_bias),
        norms=traits.norms[2],
        norm_bias=flag(config, traits.norm_bias),
    )
