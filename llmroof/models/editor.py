"""JSON Schemas of the spec files, for editors that complete and check YAML.

`python -m llmroof.models.editor` writes them to `llmroof/schemas/`; a test holds that
they are what the readers really accept.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from llmroof.models import spec
from llmroof.specs import hardware
from llmroof.specs.schema import Kind

FOLDER: Final = Path(__file__).resolve().parent.parent / "schemas"
#: file -> (what it describes, the schema that the reader uses)
SPECS: Final[dict[str, tuple[str, Kind]]] = {
    "hardware": ("A hardware profile of llmroof (hardware_specs/)", hardware.SCHEMA),
    "model": ("A model spec of llmroof (model_specs/)", spec.SCHEMA),
}


def text(name: str) -> str:
    """The content of `schemas/<name>.json`."""
    title, kind = SPECS[name]
    document: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **kind.json_schema(),
    }
    if "extends" in document["properties"]:  # what the base states need not stand again
        document["anyOf"] = [{"required": ["extends"]}, {"required": document.pop("required")}]
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def write() -> None:
    """Write all files."""
    for name in SPECS:
        (FOLDER / f"{name}.json").write_text(text(name), "utf-8")


if __name__ == "__main__":
    write()
