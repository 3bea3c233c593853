"""Model specs: the schema of `model_specs/` and the Model it becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from llmroof.blocks.base import Block
from llmroof.blocks.ends import Embedding, Head
from llmroof.blocks.registry import KINDS, block_schema, make_block
from llmroof.errors import LlmroofError, nearest
from llmroof.models.model import Model
from llmroof.specs.hardware import CONFIDENCE, Source
from llmroof.specs.precision import FORMATS, RECIPES, Precision, number_format, recipe
from llmroof.specs.schema import (
    MISSING,
    Field,
    Flag,
    Kind,
    ListOf,
    MapOf,
    Number,
    Report,
    Table,
    Text,
    read_spec,
)
from llmroof.specs.tree import Node

_DIMENSION: Final = Number(1, 1e9, whole=True)
_COUNT: Final = Number(0, 1e15, whole=True)


class _BlockKind(Kind):
    """A block table: its `kind` key picks the schema of the rest."""

    def read(self, node: Node, key: str, report: Report) -> Any:
        kind = node.value.get("kind") if isinstance(node.value, dict) else None
        name = kind.value if kind is not None else None
        if not isinstance(name, str) or name not in KINDS:
            guess = nearest(str(name), KINDS)
            hint = f"; did you mean '{guess}'?" if guess else f"; one of {', '.join(KINDS)}"
            report.add(kind or node, f"{key}.kind", f"unknown block kind '{name}'{hint}")
            return MISSING
        return block_schema(KINDS[name]).read(node, key, report)

    def json_schema(self) -> dict[str, Any]:
        return {"oneOf": [block_schema(block).json_schema() for block in KINDS.values()]}


class _PrecisionKind(Kind):
    """A recipe's name, or a table of the formats of the parts."""

    _table: Final = Table(
        {
            "weights": Field(Text(tuple(FORMATS)), "format of the matrices", required=True),
            "activations": Field(Text(tuple(FORMATS)), "format of the operands", required=True),
            "kv_cache": Field(Text(tuple(FORMATS)), "format of the KV cache"),
            "base": Field(Text(tuple(FORMATS)), "format of all that is not quantized"),
            "roles": Field(MapOf(Text(tuple(FORMATS))), "formats of single roles"),
        }
    )

    def read(self, node: Node, key: str, report: Report) -> Any:
        if isinstance(node.value, str):
            name = Text(tuple(RECIPES)).read(node, key, report)
            return MISSING if name is MISSING else recipe(name)
        values = self._table.read(node, key, report)
        return MISSING if values is MISSING else make_precision(**values)

    def json_schema(self) -> dict[str, Any]:
        return {"oneOf": [{"enum": list(RECIPES)}, self._table.json_schema()]}


def make_precision(
    weights: str,
    activations: str,
    kv_cache: str | None = None,
    base: str = "bf16",
    roles: dict[str, str] | None = None,
) -> Precision:
    """A precision from the names of its formats."""
    kept = number_format(base)
    by_role = {role: number_format(name) for role, name in (roles or {}).items()}
    same = {weights, activations}
    return Precision(
        number_format(weights),
        number_format(activations),
        number_format(kv_cache or base),
        kept,
        by_role,
        name=weights if len(same) == 1 else f"{weights} weights, {activations} activations",
    )


_SOURCE: Final = Table(
    {
        "of": Field(ListOf(Text()), "keys it covers; all when left out"),
        "title": Field(Text(), "what the source is called", required=True),
        "url": Field(Text(), "its address"),
        "checked": Field(Text(), "date of the look-up"),
        "confidence": Field(Text(CONFIDENCE), "how much to trust it"),
    },
    lambda v: Source(**{"of": (), **v}),
)
SCHEMA: Final = Table(
    {
        "name": Field(Text(), "full name", required=True),
        "family": Field(Text(), "architecture, as Hugging Face's model_type", required=True),
        "hub": Field(ListOf(Text()), "names on the Hugging Face hub"),
        "aliases": Field(ListOf(Text()), "short names people type"),
        "hidden": Field(_DIMENSION, "width of the residual stream", required=True),
        "vocab": Field(_DIMENSION, "rows of the token embedding", required=True),
        "max_context": Field(_DIMENSION, "tokens the model was made for"),
        "embedding": Field(
            Table(
                {
                    "positions": Field(_COUNT, "learned position vectors"),
                    "norms": Field(_COUNT, "norms behind the embedding"),
                    "norm_bias": Field(Flag(), "norms with bias"),
                }
            ),
            "what differs from a plain table",
        ),
        "blocks": Field(MapOf(_BlockKind()), "the parts of the layers, by name", required=True),
        "layers": Field(
            ListOf(
                Table(
                    {
                        "count": Field(_DIMENSION, "equal layers in a row", required=True),
                        "blocks": Field(ListOf(Text()), "their parts, in order", required=True),
                    }
                )
            ),
            "the pattern of layers, in order",
            required=True,
        ),
        "head": Field(
            Table(
                {
                    "tied": Field(Flag(), "shares the embedding's table"),
                    "bias": Field(Flag(), "vocabulary bias"),
                    "norms": Field(_COUNT, "final norms"),
                    "norm_bias": Field(Flag(), "norms with bias"),
                }
            ),
            "final norm and LM head",
        ),
        "precision": Field(_PrecisionKind(), "what the checkpoint stores"),
        "extras": Field(MapOf(_COUNT), "parameters held but not modelled (vision tower)"),
        "unused": Field(MapOf(_COUNT), "parameters in the files that are neither held nor run"),
        "notes": Field(Text(), "what to beware of"),
        "sources": Field(ListOf(_SOURCE), "where the figures come from", required=True),
    }
)


def read_model(node: Node, path: Path) -> Model:
    """A model from the tree of its spec. Raises SpecError with every problem."""
    values = read_spec(node, SCHEMA, path)
    shared = {"hidden": values["hidden"], "vocab": values["vocab"]}
    report = Report(str(path))
    blocks: dict[str, Block] = {}
    for name, table in values["blocks"].items():
        try:
            blocks[name] = make_block(table, shared)
        except LlmroofError as error:
            report.add(node.value["blocks"].value[name], f"blocks.{name}", str(error))
    layers = _layers(values["layers"], blocks, node, report)
    report.finish()
    kept = ("name", "family", "hidden", "max_context", "precision", "extras", "unused")
    return Model(
        id=path.stem,
        embedding=Embedding(**shared, **values.get("embedding", {})),
        layers=layers,
        head=Head(**shared, **values.get("head", {})),
        hub=values.get("hub", ()),
        sources=values["sources"],
        notes=values.get("notes", ""),
        file=str(path),
        **{key: values[key] for key in kept if key in values},
    )


def _layers(
    entries: tuple[dict[str, Any], ...], blocks: dict[str, Block], node: Node, report: Report
) -> tuple[tuple[int, tuple[Block, ...]], ...]:
    found = []
    for index, entry in enumerate(entries):
        line = node.value["layers"].value[index]
        for name in entry["blocks"]:
            if name not in blocks:
                guess = nearest(name, blocks)
                hint = f"; did you mean '{guess}'?" if guess else ""
                report.add(line, f"layers[{index}].blocks", f"no block is named '{name}'{hint}")
        found.append((entry["count"], tuple(blocks[n] for n in entry["blocks"] if n in blocks)))
    if not found:
        report.add(node.value["layers"], "layers", "a model needs at least one layer")
    return tuple(found)
