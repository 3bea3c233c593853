"""From a name to a Model: shipped id, YAML, config.json, folder, checkpoint or hub name.

The readers of other formats than YAML are imported when such a file is at hand: a shipped
model answers in a blink.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from llmroof.errors import InputError
from llmroof.models.hub import NAME, fetch_config
from llmroof.models.model import Model
from llmroof.models.quantized import quantized, split_ending
from llmroof.models.spec import read_model
from llmroof.specs import catalog
from llmroof.specs.hardware import Source
from llmroof.specs.memo import remembered
from llmroof.specs.tree import read_yaml


@remembered(catalog.MODELS)
def load_model(name: str) -> Model:
    """The model that `name` stands for.

    `name` is an id or alias of a shipped spec, a hub name that a spec lists, a path
    (spec, config.json, folder with one, GGUF file), or `org/name` of the hub.
    Raises UnknownName, InputError, or SpecError with every problem of its file.
    """
    if _is_hub_name(name):
        listed = catalog.MODELS.hub_names()
        if name.lower() in listed:
            return _read(listed[name.lower()])
        return _quantized_from(name, listed) or _from_hub(name)
    return _read(catalog.MODELS.path(name))


def _is_hub_name(name: str) -> bool:
    """True for `org/name` where no such path exists and no file is meant."""
    if not NAME.fullmatch(name) or name.endswith(catalog.ENDINGS):
        return False
    try:
        return not Path(name).exists()
    except (OSError, ValueError):
        return False


def _quantized_from(name: str, listed: Mapping[str, Path]) -> Model | None:
    """A quantized checkpoint (`nvidia/Qwen3-32B-NVFP4`) of a model that a spec lists."""
    whole, recipe = split_ending(name)
    base = whole.lower().partition("/")[2]
    names = (base, f"{base}-bf16")  # some name the format of the plain checkpoint too
    same = [path for hub, path in listed.items() if hub.partition("/")[2] in names]
    if not recipe or not same:
        return None
    model = _read(same[0])
    return replace(model, precision=quantized(model, recipe))


def _from_hub(name: str) -> Model:
    from llmroof.models.hf_config import read_config

    model = read_config(fetch_config(name))
    address = f"https://huggingface.co/{name}/blob/main/config.json"
    source = Source((), f"config.json of {name}", address, confidence="high")
    return replace(model, id=name.partition("/")[2], name=name, hub=(name,), sources=(source,))


def _read(path: Path) -> Model:
    """A spec, a config or a checkpoint, by what stands at the path."""
    if path.is_dir():
        return _read_folder(path)
    if path.suffix in (".yaml", ".yml"):
        return read_model(read_yaml(path), path)
    if path.suffix == ".json":
        from llmroof.models.hf_config import read_config

        return read_config(path)
    if path.suffix == ".gguf":
        from llmroof.models.gguf_model import read_gguf_model

        return read_gguf_model(path)
    if path.suffix == ".safetensors":
        return _read_folder(path.parent)
    raise InputError(f"'{path}' is no model spec, config.json, checkpoint folder or GGUF file")


def _read_folder(folder: Path) -> Model:
    """A folder with config.json, and the stored formats where weight files lie beside it."""
    from llmroof.models.hf_config import read_config
    from llmroof.models.safetensors_file import read_folder
    from llmroof.models.stored import with_stored

    if not (folder / "config.json").is_file():
        files = sorted(folder.glob("*.gguf"))
        if len(files) == 1:
            from llmroof.models.gguf_model import read_gguf_model

            return read_gguf_model(files[0])
        raise InputError(f"'{folder}' holds no config.json")
    model = read_config(folder)
    tensors = read_folder(folder)
    return with_stored(model, tensors) if tensors else model
