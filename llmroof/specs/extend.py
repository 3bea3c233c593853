"""`extends:` — a profile that is another one with some values changed.

The child's tables are laid over the base's, key by key; lists are replaced whole. A
figure that the child states needs a source of the child's own: the base's source speaks
of the base's value. Aliases are not inherited.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from llmroof.errors import LlmroofError, Problem, SpecError
from llmroof.specs.tree import Node, read_yaml

#: longest chain of profiles that extend each other
MAX_CHAIN: Final = 5

#: keys whose base value says nothing about the child
_OWN: Final = ("aliases", "extends", "sources")


def extended(
    node: Node, path: Path, find: Callable[[str], Path], chain: tuple[Path, ...] = ()
) -> tuple[Node, Node | None]:
    """(the profile with its base filled in, the base), or (the profile itself, None).

    `find` turns an id, alias or path into a file; a relative path is seen from the
    folder of the profile. Raises SpecError for a missing base, a circle or a long chain.
    """
    if not isinstance(node.value, dict) or "extends" not in node.value:
        return node, None
    name = node.value["extends"]
    if not isinstance(name.value, str):
        raise SpecError([Problem(str(path), name.line, "extends", "must be the id of a profile")])
    beside = path.parent / name.value
    try:
        file = (beside if beside.is_file() else find(name.value)).resolve()
    except LlmroofError as error:
        raise SpecError([Problem(str(path), name.line, "extends", str(error))]) from None
    if file in chain or file == path.resolve() or len(chain) >= MAX_CHAIN:
        raise SpecError([Problem(str(path), name.line, "extends", "goes round in a circle")])
    base, _ = extended(read_yaml(file), file, find, (*chain, path.resolve()))
    if not isinstance(base.value, dict):
        raise SpecError([Problem(str(file), base.line, "", "must be a table")])
    return _laid_over(base, node), base


def bases(path: Path, find: Callable[[str], Path]) -> list[Path]:
    """The file and those it extends, nearest first, as far as they can be found."""
    found = [path]
    while len(found) <= MAX_CHAIN:
        node = read_yaml(found[-1])
        name = node.value.get("extends") if isinstance(node.value, dict) else None
        if name is None or not isinstance(name.value, str):
            break
        beside = found[-1].parent / name.value
        found.append(beside if beside.is_file() else find(name.value))
    return found


def _laid_over(base: Node, child: Node) -> Node:
    inherited = {key: value for key, value in base.value.items() if key not in _OWN}
    merged = _merge(replace(base, value=inherited), child)
    merged.value.pop("extends")
    own = child.value.get("sources")
    entries = list(own.value) if own is not None and isinstance(own.value, list) else []
    if "sources" in base.value:
        entries += base.value["sources"].value
        merged.value["sources"] = Node(entries, (own or child).line)
    return merged


def _merge(base: Node, child: Node) -> Node:
    if not (isinstance(base.value, dict) and isinstance(child.value, dict)):
        return child
    values = dict(base.value)
    for key, value in child.value.items():
        values[key] = _merge(values[key], value) if key in values else value
    lines = {**(base.key_lines or {}), **(child.key_lines or {})}
    return Node(values, child.line, key_lines=lines)
