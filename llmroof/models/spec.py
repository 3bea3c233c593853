"""Model specs: the schema of `model_specs/` and the Model it becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from llmroof.blocks.base import Block, Reused
from llmroof.blocks.ends import Embedding, Head
from llmroof.blocks.registry import KINDS, block_class, block_schema, make_block
from llmroof.errors import LlmroofError, nearest
from llmroof.models.model import MOST_LAYERS, Layers, Model, joined
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

_DIMENSION: Final = Number(1, 2**31, whole=True)
_COUNT: Final = Number(0, 1e30, whole=True)


class _BlockKind(Kind):
    """A block table: its `kind` key picks the schema of the rest."""

    def read(self, node: Node, key: str, report: Report) -> Any:
        kind = node.value.get("kind") if isinstance(node.value, dict) else None
        name = kind.value if kind is not None else None
        if name == Reused.kind:
            return _REUSED.read(node, key, report)
        if not isinstance(name, str) or name not in KINDS:
            known = [*KINDS, Reused.kind]
            guess = nearest(str(name), known)
            hint = f"; did you mean '{guess}'?" if guess else f"; one of {', '.join(known)}"
            report.add(kind or node, f"{key}.kind", f"unknown block kind '{name}'{hint}")
            return MISSING
        return block_schema(block_class(name)).read(node, key, report)

    def json_schema(self) -> dict[str, Any]:
        kinds = [block_schema(block_class(kind)) for kind in KINDS]
        return {"oneOf": [kind.json_schema() for kind in (*kinds, _REUSED)]}


_REUSED: Final = Table(
    {
        "kind": Field(Text((Reused.kind,)), "which kind of block", required=True),
        "of": Field(Text(), "the block whose weights it runs with", required=True),
    }
)


class _FormatKind(Kind):
    """The id of a number format, or a name with its parameters (`int4-g32`)."""

    def read(self, node: Node, key: str, report: Report) -> Any:
        try:
            return number_format(node.value if isinstance(node.value, str) else "").id
        except LlmroofError as error:
            report.add(node, key, str(error))
            return MISSING

    def json_schema(self) -> dict[str, Any]:
        return {"anyOf": [{"enum": list(FORMATS)}, {"pattern": "^(int[2-8]-g|fp8-b|mixed-)"}]}


_FORMAT: Final = _FormatKind()


class _PrecisionKind(Kind):
    """A recipe's name, or a table of the formats of the parts."""

    _table: Final = Table(
        {
            "weights": Field(_FORMAT, "format of the matrices", required=True),
            "activations": Field(_FORMAT, "format of the operands", required=True),
            "kv_cache": Field(_FORMAT, "format of the KV cache"),
            "base": Field(_FORMAT, "format of all that is not quantized"),
            "roles": Field(MapOf(_FORMAT), "formats of single roles"),
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
                    "width": Field(_DIMENSION, "width of a row where it is not the model's"),
                    "positions": Field(_COUNT, "learned position vectors"),
                    "more_vocab": Field(_COUNT, "rows of a second table, looked up for the layers"),
                    "more_width": Field(_COUNT, "width of a row of the second table"),
                    "norms": Field(_COUNT, "norms behind the embedding"),
                    "norm_bias": Field(Flag(), "norms with bias"),
                    "scales": Field(_COUNT, "other small parameters"),
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
                        "blocks": Field(ListOf(Text()), "their parts, in order"),
                        "pattern": Field(
                            ListOf(ListOf(Text())), "the parts of a group of layers that repeats"
                        ),
                    }
                )
            ),
            "the pattern of layers, in order",
            required=True,
        ),
        "around": Field(ListOf(Text()), "blocks outside of the layers"),
        "head": Field(
            Table(
                {
                    "tied": Field(Flag(), "shares the embedding's table"),
                    "bias": Field(Flag(), "vocabulary bias"),
                    "norms": Field(_COUNT, "final norms"),
                    "norm_bias": Field(Flag(), "norms with bias"),
                    "width": Field(_DIMENSION, "width of its input where it is not the model's"),
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
    blocks = _blocks(values["blocks"], shared, node, report)
    layers = _layers(values["layers"], blocks, node, report)
    around = _named(values.get("around", ()), blocks, node.value.get("around"), "around", report)
    report.finish()
    kept = ("name", "family", "hidden", "max_context", "precision", "extras", "unused")
    return Model(
        id=path.stem,
        embedding=Embedding(**shared, **values.get("embedding", {})),
        layers=layers,
        head=Head(**shared, **values.get("head", {})),
        around=around,
        hub=values.get("hub", ()),
        sources=values["sources"],
        notes=values.get("notes", ""),
        file=str(path),
        **{key: values[key] for key in kept if key in values},
    )


def _blocks(
    tables: dict[str, dict[str, Any]], shared: dict[str, int], node: Node, report: Report
) -> dict[str, Block]:
    """The named blocks; those that reuse another's weights last, so that it is known."""
    found: dict[str, Block] = {}
    for name, table in sorted(tables.items(), key=lambda item: item[1]["kind"] == Reused.kind):
        line = node.value["blocks"].value[name]
        if table["kind"] == Reused.kind:
            if table["of"] in found:
                found[name] = Reused(found[table["of"]])
            else:
                report.add(line, f"blocks.{name}.of", f"no block is named '{table['of']}'")
            continue
        if fault := _contradiction(table):
            report.add(line, f"blocks.{name}", fault)
        found[name] = make_block(table, shared)
    return found


def _contradiction(table: dict[str, Any]) -> str:
    """What two sizes of a block cannot both be; "" for nothing."""
    heads, groups = table.get("heads"), table.get("kv_heads")
    if heads and groups and heads % groups:
        return f"{groups} KV heads do not divide {heads} query heads"
    experts, chosen = table.get("experts"), table.get("top_k")
    if experts and chosen and chosen > experts:
        return f"{chosen} of {experts} experts cannot be chosen"
    return ""


def _layers(
    entries: tuple[dict[str, Any], ...], blocks: dict[str, Block], node: Node, report: Report
) -> Layers:
    found: list[tuple[int, tuple[Block, ...]]] = []
    for index, entry in enumerate(entries):
        line, key = node.value["layers"].value[index], f"layers[{index}]"
        if ("blocks" in entry) == ("pattern" in entry):
            report.add(line, key, "needs either 'blocks' or 'pattern'")
        elif "blocks" in entry:
            named = _named(entry["blocks"], blocks, line, f"{key}.blocks", report)
            found.append((entry["count"], named))
        else:
            group = [
                (1, _named(names, blocks, line, f"{key}.pattern", report))
                for names in entry["pattern"]
            ]
            found += group * min(entry["count"], MOST_LAYERS)
    if not found:
        report.add(node.value["layers"], "layers", "a model needs at least one layer")
    if sum(count for count, _ in found) > MOST_LAYERS:
        report.add(node.value["layers"], "layers", f"no model has more than {MOST_LAYERS} layers")
    return joined(found)


def _named(
    names: tuple[str, ...],
    blocks: dict[str, Block],
    line: Node | None,
    key: str,
    report: Report,
) -> tuple[Block, ...]:
    """The blocks of these names; an unknown one is a problem."""
    for name in names:
        if name not in blocks:
            guess = nearest(name, blocks)
            hint = f"; did you mean '{guess}'?" if guess else ""
            report.add(line or 0, key, f"no block is named '{name}'{hint}")
    return tuple(blocks[name] for name in names if name in blocks)
