"""config.json of a model on the Hugging Face hub: local cache first, then the network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from llmroof.errors import InputError

#: an organisation and a model, as the hub names them
NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


def fetch_config(name: str) -> Path:
    """The config.json of `org/name`; InputError when it cannot be had."""
    try:
        from huggingface_hub import hf_hub_download, try_to_load_from_cache
    except ImportError:
        raise InputError(
            f"'{name}' is no shipped model and no path; to read it from the hub, "
            "install llmroof[hub]"
        ) from None
    cached = try_to_load_from_cache(name, "config.json")
    if isinstance(cached, str):
        return Path(cached)
    try:
        return Path(hf_hub_download(name, "config.json"))
    except Exception as error:  # the hub's client raises dozens of kinds
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"cannot get the config of '{name}' from the hub: {reason}") from None
