"""Model -> YAML: a spec that a person can read, edit and load again."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, Final

from llmroof.blocks.base import Block, Reused
from llmroof.blocks.registry import block_values
from llmroof.models.model import Model
from llmroof.specs.precision import RECIPES, Precision, recipe

#: words that YAML would read as something else than text
_NOT_TEXT: Final = {"true", "false", "null", "yes", "no", "on", "off", "~", ""}


def to_yaml(model: Model, schema: str = "") -> str:
    """The spec of `model`; reading it gives the same blocks, ends and precision.

    `schema` is where an editor finds the JSON Schema, from the file that is written.
    """
    names = _name_blocks(model)
    lines = [f"# yaml-language-server: $schema={schema}"] if schema else []
    lines += [f"name: {_text(model.name)}", f"family: {_text(model.family)}"]
    if model.hub:
        lines.append(f"hub: {_flow(list(model.hub))}")
    lines += [f"hidden: {model.hidden}", f"vocab: {model.embedding.vocab}"]
    if model.max_context:
        lines.append(f"max_context: {model.max_context}")
    embedding = _differences(model.embedding)
    if embedding:
        lines.append(f"embedding: {_flow(embedding)}")
    lines += _blocks(names)
    lines.append("layers:")
    lines += [f"  - {_flow(entry)}" for entry in _layers(model, names)]
    if model.around:
        lines.append(f"around: {_flow([names[block] for block in model.around])}")
    lines.append(f"head: {_flow({'tied': model.head.tied} | _differences(model.head))}")
    lines.append(f"precision: {_flow(precision_values(model.precision))}")
    for key in ("extras", "unused"):
        if values := getattr(model, key):
            lines.append(f"{key}: {_flow(dict(values))}")
    if model.notes:
        lines.append(f"notes: {_text(model.notes)}")
    return "\n".join([*lines, *_sources(model)]) + "\n"


def precision_values(precision: Precision) -> Any:
    """A recipe's name where the precision is one, else the table of its formats."""
    for name in RECIPES:
        if recipe(name) == precision:
            return name
    values: dict[str, Any] = {
        "weights": precision.weights.id,
        "activations": precision.activations.id,
        "kv_cache": precision.kv_cache.id,
        "base": precision.base.id,
    }
    if precision.roles:
        values["roles"] = {role: fmt.id for role, fmt in precision.roles.items()}
    return values


def _name_blocks(model: Model) -> dict[Block, str]:
    """Every different block of the layers and around them, under a name of its own."""
    found: dict[Block, str] = {}
    stand = [block for _, blocks in model.layers for block in blocks]
    for block in (*stand, *model.around):
        if block not in found:
            found[block] = _free_name(_base_name(block), found.values())
    return found


def _base_name(block: Block) -> str:
    if isinstance(block, Reused):
        return f"reused_{_base_name(block.block)}"
    own = getattr(block, "name", None) or block.kind
    if getattr(block, "window", None) and block.kind == "attention":
        return "sliding_attention"
    if getattr(block, "chunk", None):
        return "chunked_attention"
    return str(own)


def _free_name(name: str, taken: Any) -> str:
    used = set(taken)
    number = 2
    free = name
    while free in used:
        free, number = f"{name}_{number}", number + 1
    return free


def _blocks(names: dict[Block, str]) -> list[str]:
    lines = ["blocks:"]
    for block, name in names.items():
        if isinstance(block, Reused):
            values: dict[str, Any] = {"kind": block.kind, "of": names[block.block]}
        else:
            values = block_values(block)
        lines.append(f"  {name}: {_flow(values)}")
    return lines


def _layers(model: Model, names: dict[Block, str]) -> list[dict[str, Any]]:
    """The pattern of layers: runs of equal layers, repeating groups as one entry."""
    entries: list[dict[str, Any]] = []
    for times, group in model.pattern():
        layers = [[names[block] for block in blocks] for blocks in group]
        what = {"pattern": layers} if len(layers) > 1 else {"blocks": layers[0]}
        entries.append({"count": times, **what})
    return entries


def _differences(block: Block) -> dict[str, Any]:
    """Fields of an end of the decoder that differ from their defaults."""
    return {
        entry.name: getattr(block, entry.name)
        for entry in fields(block)  # type: ignore[arg-type]
        if entry.name not in ("vocab", "hidden", "tied")
        and getattr(block, entry.name) != entry.default
    }


def _sources(model: Model) -> list[str]:
    lines = ["sources:"]
    for source in model.sources:
        values = {"of": list(source.of)} if source.of else {}
        for key in ("title", "url", "checked", "confidence"):
            if value := getattr(source, key):
                values[key] = value
        lines.append(f"  - {_flow(values)}")
    return lines


def _flow(value: Any) -> str:
    """A value in YAML's flow style."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return _text(str(value))


def _text(value: str) -> str:
    """A word as it is, anything that YAML could misread in quotes."""
    plain = value.replace("-", "a").replace(".", "a").replace("_", "a").replace("/", "a")
    plain = plain.replace(" ", "a")
    if plain.isalnum() and value[:1].isalpha() and value.lower() not in _NOT_TEXT:
        return value
    return json.dumps(value, ensure_ascii=False)
