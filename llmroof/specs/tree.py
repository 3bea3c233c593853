"""YAML and JSON text -> a tree of nodes that remember their lines.

Reading is safe by construction: only scalars, lists and mappings exist, scalars
stay text until a schema gives them a type, and size, depth, aliases and duplicate
keys are checked while events stream in, so that a hostile file costs little.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from llmroof.errors import Problem, SpecError
from llmroof.specs.memo import note

#: far above any honest spec or config.json (the largest known is below 1 MB)
MAX_BYTES: Final = 4_000_000
MAX_DEPTH: Final = 40
MAX_NODES: Final = 50_000

#: libyaml's parser where PyYAML was built with it (12 times faster)
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Node:
    """One value of a spec file: `value` is str, None, list[Node] or dict[str, Node]."""

    value: Any
    line: int
    quoted: bool = False
    key_lines: dict[str, int] | None = None

    def plain(self) -> Any:
        """The tree below as plain lists, dicts and scalars (YAML 1.1 types undone)."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value if self.quoted else scalar(self.value)


def scalar(text: str | None) -> Any:
    """A bare word as bool, int, float, None or itself; nothing else exists here."""
    if text is None or text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text[0] in "tT"
    digits = text[1:] if text[0] in "+-" else text
    if not digits[:1].isdecimal() and digits[:1] != ".":
        return text
    bare = digits.replace("_", "")
    try:
        whole = bare.isascii() and bare.isdecimal() and len(bare) <= 40
        return int(text) if whole else float(text)
    except ValueError:
        return text


def read_text(path: Path) -> str:
    """The file's text as UTF-8; SpecError when it cannot be read, is huge or is not text."""
    name = str(path)
    try:
        note(path)
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise _fault(name, 0, f"{size} bytes is no spec file (limit {MAX_BYTES})")
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise _fault(name, 0, f"cannot be read: {error.strerror or error}") from None
    if len(raw) > MAX_BYTES:
        raise _fault(name, 0, f"longer than {MAX_BYTES} bytes: no spec file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise _fault(name, line, "is not UTF-8 text") from None


def read_yaml(path: Path) -> Node:
    """One YAML document as a tree. Raises SpecError naming file and line."""
    return parse_yaml(read_text(path), str(path))


def parse_yaml(text: str, name: str) -> Node:
    """As `read_yaml`, from text; `name` stands for the file in messages."""
    builder = _Builder(name)
    try:
        for event in _events(text):
            builder.take(event)
    except yaml.YAMLError as error:
        raise _fault(name, *_yaml_fault(error)) from None
    except (ValueError, RecursionError):
        raise _fault(name, 0, "is not valid YAML") from None
    if builder.root is None:
        raise _fault(name, 0, "is empty")
    return builder.root


def read_json(path: Path, constants: bool = False) -> Any:
    """One JSON document as plain values. Raises SpecError naming file and line.

    With `constants` Infinity and NaN, which Python writes though JSON has no such thing,
    are read as floats; whoever uses one as a size must refuse it.
    """
    text = read_text(path)
    name = str(path)
    if _nesting(text) > MAX_DEPTH:
        raise _fault(name, 0, f"nested deeper than {MAX_DEPTH} levels")
    try:
        return json.loads(
            text,
            parse_constant=float if constants else _refuse_constant,
            parse_int=_bounded_int,
            parse_float=_finite_float,
            object_pairs_hook=_unique_keys,
        )
    except json.JSONDecodeError as error:
        raise _fault(name, error.lineno, f"is not valid JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise _fault(name, 0, f"is not valid JSON: {error}") from None


def _bounded_int(text: str) -> int:
    if len(text) > 40:
        raise ValueError(f"the number {text[:12]}… is out of any range")
    return int(text)


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:12]} is out of any range")
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's keys and values; a key that stands twice has no meaning."""
    found = dict(pairs)
    if len(found) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key '{twice[:80]}' stands in it twice")
    return found


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is no number a config may hold")


def _nesting(text: str) -> int:
    """Upper bound of the nesting depth: brackets outside of strings."""
    depth = deepest = 0
    quoted = escaped = False
    for char in text:
        if quoted:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                quoted = False
        elif char == '"':
            quoted = True
        elif char in "[{":
            depth += 1
            if depth > deepest:
                deepest = depth
                if deepest > MAX_DEPTH:
                    break
        elif char in "]}":
            depth -= 1
    return deepest


def _events(text: str) -> Iterator[Any]:
    loader = _LOADER(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    finally:
        loader.dispose()


def _yaml_fault(error: yaml.YAMLError) -> tuple[int, str]:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
    line = mark.line + 1 if mark else 0
    if "nesting depth" in what:  # newer libyaml reads ahead and stops at a depth of its own
        return line, f"nested deeper than {MAX_DEPTH} levels"
    return line, f"is not valid YAML: {what}"


def _fault(name: str, line: int, message: str, key: str = "") -> SpecError:
    return SpecError([Problem(name, line, key, message)])


class _Builder:
    """Turns a stream of YAML events into one tree, refusing what no spec needs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.root: Node | None = None
        self._open: list[tuple[Node, str | None]] = []
        self._nodes = 0

    def take(self, event: Any) -> None:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _fault(self.name, line, "anchors and aliases are not used in spec files")
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._start(event, line)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._close(line)
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event, line)
        elif isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            raise _fault(self.name, line, "holds more than one document")

    def _start(self, event: Any, line: int) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise _fault(self.name, line, f"nested deeper than {MAX_DEPTH} levels")
        mapping = isinstance(event, yaml.MappingStartEvent)
        if mapping and self._awaits_key():
            raise _fault(self.name, line, "a mapping cannot be a key")
        node = Node({}, line, key_lines={}) if mapping else Node([], line)
        self._open.append((node, None))

    def _close(self, line: int) -> None:
        node, _ = self._open.pop()
        self._put(node, line)

    def _scalar(self, event: Any, line: int) -> None:
        if self._awaits_key():
            node, _ = self._open[-1]
            if event.value in node.value:
                raise _fault(self.name, line, "stands here twice", event.value[:80])
            assert node.key_lines is not None
            node.key_lines[event.value] = line
            self._open[-1] = (node, event.value)
        else:
            self._put(Node(event.value, line, quoted=event.style in ("'", '"')), line)

    def _put(self, node: Node, line: int) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _fault(self.name, line, f"holds more than {MAX_NODES} values")
        if not self._open:
            self.root = node
            return
        parent, key = self._open[-1]
        if isinstance(parent.value, list):
            parent.value.append(node)
        elif key is None:
            raise _fault(self.name, line, "a list cannot be a key")
        else:
            parent.value[key] = node
            self._open[-1] = (parent, None)

    def _awaits_key(self) -> bool:
        return (
            bool(self._open)
            and isinstance(self._open[-1][0].value, dict)
            and (self._open[-1][1] is None)
        )
