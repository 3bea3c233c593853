"""How far a long command is: a bar on a terminal, silence in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Told(Protocol):
    """Takes how many are done of how many, and what is being done now."""

    def __call__(self, done: int, total: int, now: str = "") -> None: ...


@contextmanager
def progress(what: str) -> Iterator[Told | None]:
    """A bar for `what` (rows, points) on standard error; None where that is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*parts, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def told(done: int, total: int, now: str = "") -> None:
            title = f"{what}: {now}" if now else what
            bar.update(task, completed=done, total=total, description=title)

        yield told
