"""JSON Schema of scenario files, for editors that complete and check YAML.

`python -m llmroof.regression.editor` writes it to `llmroof/schemas/scenarios.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from llmroof.figures import COLUMNS
from llmroof.regression.options import definitions
from llmroof.regression.scenarios import SCHEMA

PATH: Final = Path(__file__).resolve().parent.parent / "schemas" / "scenarios.json"


def text() -> str:
    """The content of the file."""
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Scenarios of llmroof check",
    }
    parts = {"$defs": {"figure": {"enum": list(COLUMNS)}, **definitions()}}
    return json.dumps(head | SCHEMA.json_schema() | parts, indent=1, ensure_ascii=False) + "\n"


def write() -> None:
    """Write the file."""
    PATH.write_text(text(), "utf-8")


if __name__ == "__main__":
    write()
