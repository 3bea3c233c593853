"""The block kinds that a model spec may name, and the schema of each.

The schema of a kind is read off its dataclass: every field is a key, its default is
the default, `hidden` and `vocab` come from the model. So a new kind needs no second
description.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import fields
from typing import Any, Final

from llmroof.blocks.attention import Attention
from llmroof.blocks.base import Block
from llmroof.blocks.mlp import MLP
from llmroof.specs.schema import Field, Flag, Kind, Number, Table, Text

#: kind -> block; a new module in this folder is named here and nowhere else
KINDS: Final[dict[str, type[Block]]] = {block.kind: block for block in (Attention, MLP)}

#: fields that the model gives to all its blocks
SHARED: Final = ("hidden", "vocab")

_DIMENSION: Final = Number(1, 1e9, whole=True)
_COUNT: Final = Number(0, 1e9, whole=True)
_KINDS_BY_TYPE: Final[dict[str, Kind]] = {
    "int": _COUNT,
    "int | None": _DIMENSION,
    "float": Number(0, 1e9),
    "float | None": Number(0, 1e9),
    "bool": Flag(),
    "str": Text(),
    "str | None": Text(),
}


def block_schema(block: type[Block]) -> Table:
    """The keys of a block of this kind in a model spec."""
    table = {"kind": Field(Text((block.kind,)), "which kind of block", required=True)}
    for entry in fields(block):  # type: ignore[arg-type]
        if entry.name in SHARED:
            continue
        required = entry.default is NO_DEFAULT and entry.default_factory is NO_DEFAULT
        kind = _DIMENSION if required and entry.type == "int" else _KINDS_BY_TYPE[str(entry.type)]
        table[entry.name] = Field(kind, entry.name.replace("_", " "), required)
    return Table(table)


def make_block(values: Mapping[str, Any], shared: Mapping[str, int]) -> Block:
    """A block from the checked values of its table and what the model shares."""
    block = KINDS[values["kind"]]
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
