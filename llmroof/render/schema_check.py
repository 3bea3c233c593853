"""The JSON Schema of what `llmroof check` answers."""

from __future__ import annotations

from typing import Final

from llmroof.render.schema_parts import (
    COUNT,
    FLAG,
    NUMBER,
    TEXT,
    Schema,
    keys,
    mapping,
    maybe,
    record,
    several,
)

_PINNED: Final[Schema] = {"type": ["number", "string", "boolean", "null"]}
#: the keys of `llmroof.check/1`
CHECKED: Final[dict[str, Schema]] = {
    "ok": FLAG,
    "files": several(record(path=TEXT, points=COUNT, pinned=FLAG, ok=FLAG, skipped=maybe(TEXT))),
    "counts": record(keys(COUNT, "failed", "drift", "fixed", "added", "removed")),
    "differences": several(
        record(
            keys(TEXT, "file", "scenario", "metric"),
            keys(_PINNED, "baseline", "current"),
            kind={"enum": ["failed", "drift", "fixed", "added", "removed"]},
            relative_change=maybe(NUMBER),
            allowed=FLAG,
        )
    ),
    "assertions": several(
        record(keys(TEXT, "file", "scenario", "condition"), holds=FLAG, figures=mapping(_PINNED))
    ),
    "measured": several(
        record(
            keys(TEXT, "file", "metric", "condition"),
            partition=mapping(TEXT),
            holds=maybe(FLAG),
            figures=mapping(maybe(NUMBER)),
        )
    ),
}
