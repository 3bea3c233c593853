"""From a name to a Model: shipped id, YAML, config.json, folder, checkpoint or hub name."""

from __future__ import annotations

from pathlib import Path

from llmroof.errors import InputError
from llmroof.models.model import Model
from llmroof.models.spec import read_model
from llmroof.specs import catalog
from llmroof.specs.tree import read_yaml


def load_model(name: str) -> Model:
    """The model that `name` stands for.

    Raises UnknownName, InputError, or SpecError with every problem of its file.
    """
    path = catalog.MODELS.path(name)
    if path.suffix in (".yaml", ".yml"):
        return read_model(read_yaml(path), path)
    raise InputError(f"'{path}' is not a model spec")
