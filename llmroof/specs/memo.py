"""What was read from spec files, kept as long as those files stay as they were.

A question by name takes a millisecond, a profile takes five to parse: each is read once.
A file that was edited, or one that came or went in its folder, is noticed; an alias that
moves from one existing file to another is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

from llmroof.specs.catalog import Catalog, is_path

T = TypeVar("T")
#: a file or folder, when it was changed last (ns), its size
Stamp: TypeAlias = tuple[Path, int, int]

_reading: ContextVar[list[Stamp] | None] = ContextVar("_reading", default=None)
_MOST: Final = 512


def note(path: Path) -> None:
    """Say that a file is being read: what is made of it depends on it."""
    seen = _reading.get()
    if seen is not None:
        seen.append(_stamp(path))


@contextmanager
def watched(*catalogs: Catalog) -> Iterator[list[Stamp]]:
    """The stamps of the folders of `catalogs` and of every spec file that is read inside."""
    found = [_stamp(folder) for catalog in catalogs for folder in catalog.folders()]
    token = _reading.set(found)
    try:
        yield found
    finally:
        _reading.reset(token)


def current(stamps: list[Stamp]) -> bool:
    """True while the files are as they were."""
    return all(_unchanged(stamp) for stamp in stamps)


def _tell(stamps: list[Stamp]) -> None:
    """What is being made of a value that was kept depends on the files behind it."""
    seen = _reading.get()
    if seen is not None:
        seen.extend(stamps)


def remembered(catalog: Catalog) -> Callable[[Callable[[str], T]], Callable[[str], T]]:
    """Decorates a reader of shipped specs: ids and aliases are read once, paths every time."""

    def decorate(read: Callable[[str], T]) -> Callable[[str], T]:
        kept: dict[tuple[str, tuple[Stamp, ...]], tuple[list[Stamp], T]] = {}

        def load(name: str) -> T:
            if is_path(name):
                return read(name)
            key = (name, tuple(_stamp(folder) for folder in catalog.folders()))
            held = kept.get(key)
            if held is not None and current(held[0]):
                _tell(held[0])
                return held[1]
            found: list[Stamp] = []
            token = _reading.set(found)
            try:
                value = read(name)
            finally:
                _reading.reset(token)
            if len(kept) >= _MOST:
                kept.clear()
            kept[key] = (found, value)
            _tell(found)
            return value

        load.__doc__ = read.__doc__
        load.__name__ = read.__name__
        load.__module__ = read.__module__
        return load

    return decorate


def _stamp(path: Path) -> Stamp:
    found = path.stat()
    return path, found.st_mtime_ns, found.st_size


def _unchanged(stamp: Stamp) -> bool:
    try:
        return _stamp(stamp[0]) == stamp
    except OSError:
        return False
