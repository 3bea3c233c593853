"""The block kinds that a model spec may name, and the schema of each.

The schema of a kind is read off its dataclass: every field is a key, its default is
the default, `hidden` and `vocab` come from the model. So a new kind needs no second
description.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import fields
from importlib import import_module
from typing import Any, Final

from llmroof.blocks.base import Block
from llmroof.specs.schema import Field, Flag, Kind, ListOf, Number, Table, Text

#: kind -> module:class; a new module in this folder is named here and nowhere else. A kind
#: is imported when a model has it, so that a dense model starts as fast as ever.
KINDS: Final[dict[str, str]] = {
    "attention": "attention:Attention",
    "attention_experts": "attention_experts:AttentionExperts",
    "mla": "latent:LatentAttention",
    "compressed_attention": "compressed:CompressedAttention",
    "indexer": "indexer:Indexer",
    "mlp": "mlp:MLP",
    "moe": "experts:MoE",
    "mamba": "ssm:Mamba",
    "mamba2": "ssm:Mamba2",
    "rglru": "ssm:GatedRecurrence",
    "short_conv": "ssm:ShortConv",
    "rwkv_time_mix": "rwkv:TimeMix",
    "rwkv_channel_mix": "rwkv:ChannelMix",
    "delta_net": "linear_attention:DeltaNet",
    "kimi_delta": "linear_attention:KimiDelta",
    "lightning": "linear_attention:Lightning",
    "chain": "chain:Chain",
    "idle": "chain:Idle",
}


def block_class(kind: str) -> type[Block]:
    """The class of a kind of block (a key of KINDS)."""
    module, _, name = KINDS[kind].partition(":")
    found: type[Block] = getattr(import_module(f"llmroof.blocks.{module}"), name)
    return found


#: fields that the model gives to all its blocks
SHARED: Final = ("hidden", "vocab")

_DIMENSION: Final = Number(1, 2**48, whole=True)
_COUNT: Final = Number(0, 1e30, whole=True)
_KINDS_BY_TYPE: Final[dict[str, Kind]] = {
    "int": _COUNT,
    "int | None": _DIMENSION,
    "bool": Flag(),
    "str": Text(),
    "tuple[int, ...]": ListOf(_DIMENSION),
}


def block_schema(block: type[Block]) -> Table:
    """The keys of a block of this kind in a model spec."""
    table = {"kind": Field(Text((block.kind,)), "which kind of block", required=True)}
    for entry in fields(block):  # type: ignore[arg-type]
        if entry.name in SHARED:
            continue
        required = entry.default is NO_DEFAULT and entry.default_factory is NO_DEFAULT
        kind = _KINDS_BY_TYPE[str(entry.type)]
        if required and entry.type == "int" and entry.name not in MAY_BE_ZERO:
            kind = _DIMENSION
        table[entry.name] = Field(kind, entry.name.replace("_", " "), required)
    return Table(table)


#: required sizes of which zero is a value (MLA without rotary part)
MAY_BE_ZERO: Final = ("rope",)


def make_block(values: Mapping[str, Any], shared: Mapping[str, int]) -> Block:
    """A block from the checked values of its table and what the model shares."""
    block = block_class(values["kind"])
    own = {entry.name for entry in fields(block)}  # type: ignore[arg-type]
    given = {key: value for key, value in values.items() if key != "kind"}
    return block(**{key: shared[key] for key in SHARED if key in own}, **given)


def block_values(block: Block) -> dict[str, Any]:
    """The table that `make_block` would read: what differs from the defaults."""
    values: dict[str, Any] = {"kind": block.kind}
    for entry in fields(block):  # type: ignore[arg-type]
        value = getattr(block, entry.name)
        if entry.name not in SHARED and value != entry.default:
            values[entry.name] = value
    return values
