"""The parts that the JSON Schemas of the outputs are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Schema = dict[str, Any]

NUMBER: Final[Schema] = {"type": "number"}
AMOUNT: Final[Schema] = {"type": "number", "minimum": 0}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
POSITIVE: Final[Schema] = {"type": "integer", "minimum": 1}
SHARE: Final[Schema] = {"type": "number", "minimum": 0, "maximum": 1.000001}
TEXT: Final[Schema] = {"type": "string", "minLength": 1}
FLAG: Final[Schema] = {"type": "boolean"}
BOUND: Final[Schema] = {"enum": ["compute", "memory", "network", "overhead"]}
SPAN: Final[Schema] = {"type": "array", "items": AMOUNT, "minItems": 2, "maxItems": 2}


def maybe(schema: Schema) -> Schema:
    """The same, or null for unknown."""
    return {"anyOf": [schema, {"type": "null"}]}


def record(*parts: Mapping[str, Schema], **fields: Schema) -> Schema:
    """An object with these keys, all required; others may follow."""
    properties = {name: schema for part in (*parts, fields) for name, schema in part.items()}
    return {"type": "object", "properties": properties, "required": list(properties)}


def optional(schema: Schema, **fields: Schema) -> Schema:
    """The same object, with keys that may be missing."""
    return {**schema, "properties": {**schema["properties"], **fields}}


def keys(schema: Schema, *names: str) -> dict[str, Schema]:
    """Several keys of the same kind."""
    return dict.fromkeys(names, schema)


def several(item: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": item}


def mapping(item: Schema) -> Schema:
    """An object whose keys are names."""
    return {"type": "object", "additionalProperties": item}
