"""Where spec files lie and what they are called.

A name is looked up in the folder the user names (`--specs DIR`, LLMROOF_SPECS),
then beside this package (a wheel), then in the checkout. A value with a path
separator or the ending .yaml/.yml/.json is a path.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from llmroof.errors import InputError, UnknownName

_PACKAGE: Final = Path(__file__).resolve().parent.parent
#: how much of a spec file is searched for its names
_TOP_BYTES: Final = 1500
#: endings of the files that hold a spec, a config or a checkpoint
ENDINGS: Final = (".yaml", ".yml", ".json", ".gguf", ".safetensors")


@dataclass(frozen=True, slots=True)
class Catalog:
    """One kind of spec file: the folder it lives in and the command that lists it."""

    what: str
    folder: str
    command: str

    def folders(self) -> Iterator[Path]:
        """Existing folders, the user's first."""
        own = os.environ.get("LLMROOF_SPECS")
        if own:
            base = Path(own)
            if not base.is_dir():
                raise InputError(f"the folder of specs '{own}' (--specs, LLMROOF_SPECS) is missing")
            if (base / self.folder).is_dir():
                yield base / self.folder
        yield from _shipped(self.folder)

    def files(self) -> dict[str, Path]:
        """Id -> file, sorted by id; a user's file hides a shipped one of the same id."""
        found: dict[str, Path] = {}
        for folder in self.folders():
            for path in folder.glob("*.yaml"):
                found.setdefault(path.stem, path)
        return dict(sorted(found.items()))

    def path(self, name: str) -> Path:
        """The file that `name` (id, alias or path) stands for. Raises UnknownName, InputError."""
        if is_path(name):
            return _existing(name, self.what)
        for folder in self.folders():
            path = folder / f"{name.lower()}.yaml"
            if _is_file(path):
                return path
        aliases = self.aliases()
        if name.lower() in aliases:
            return self.files()[aliases[name.lower()]]
        raise UnknownName(self.what, name, [*self.files(), *aliases], f"llmroof {self.command}")

    def aliases(self) -> dict[str, str]:
        """Alias -> id, read from the `aliases:` line of each file without parsing the rest."""
        found: dict[str, str] = {}
        for stem, path in self.files().items():
            for alias in _listed(path, "aliases"):
                found.setdefault(alias.lower(), stem)
        return found

    def hub_names(self) -> dict[str, Path]:
        """Name on the hub, in lower case -> file, read from the `hub:` line of each file."""
        found: dict[str, Path] = {}
        for path in self.files().values():
            for name in _listed(path, "hub"):
                found.setdefault(name.lower(), path)
        return found


@cache
def _shipped(folder: str) -> tuple[Path, ...]:
    """The folder inside the package, else the one beside it; it does not move while this runs."""
    found = [base / folder for base in (_PACKAGE, _PACKAGE.parent) if (base / folder).is_dir()]
    return tuple(found[:1])


def is_path(name: str) -> bool:
    """True when `name` is meant as a path, not as an id of a shipped file."""
    return name.endswith(ENDINGS) or os.sep in name or "/" in name or name in (".", "..")


def _existing(name: str, what: str) -> Path:
    path = Path(name)
    try:
        exists = path.exists()
    except (OSError, ValueError):
        exists = False
    if not exists:
        raise InputError(f"no such {what} file: '{name[:200]}'")
    return path


def _is_file(path: Path) -> bool:
    """As Path.is_file, and False for a name that no file system takes (too long)."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _listed(path: Path, key: str) -> list[str]:
    """The items of a list near the top of a file, without parsing the rest of it."""
    try:
        with path.open("rb") as stream:
            top = stream.read(_TOP_BYTES)
    except OSError:
        return []
    _, found, rest = top.partition(f"\n{key}:".encode())
    inside = rest.partition(b"[")[2].partition(b"]")[0] if found else b""
    items = inside.decode("utf-8", errors="replace").split(",")
    return [item.strip().strip("'\"") for item in items if item.strip()]


HARDWARE: Final = Catalog("GPU", "hardware_specs", "gpus")
MODELS: Final = Catalog("model", "model_specs", "models")
