"""Rows of a sweep written as they come, with a bar; what an interrupt leaves and how to go on.

An interrupted file is whole as far as it goes. Beside it lies a note, `FILE.rest`: which
sweep it was, how many points are done, how many bytes they take. `--resume` reads it.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from llmroof.cli.output import is_device
from llmroof.cli.progress import progress
from llmroof.errors import InputError

if TYPE_CHECKING:
    from llmroof.search.axes import Axes
    from llmroof.search.sweep import Choice, Tally

#: exit code of a program ended by Ctrl-C (128 + SIGINT)
INTERRUPTED: Final = 130


@dataclass(frozen=True, slots=True)
class Rest:
    """What an interrupted file lacks: points `seen` of `total`, `kept` rows in `size` bytes."""

    question: str
    seen: int
    total: int
    kept: int
    size: int

    def write(self, path: Path) -> None:
        """Leave the note beside the file."""
        note(path).write_text(json.dumps(asdict(self)) + "\n", "utf-8")


def note(path: Path) -> Path:
    """Where the note of a file lies."""
    return path.with_name(f"{path.name}.rest")


def read_rest(path: Path, question: str) -> Rest:
    """The note of an interrupted file. InputError when there is none, or of another sweep."""
    try:
        rest = Rest(**json.loads(note(path).read_text("utf-8")))
    except FileNotFoundError:
        state = "is whole" if path.exists() else "does not exist"
        raise InputError(f"nothing to go on with: '{path}' {state}") from None
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"cannot read '{note(path)}': {str(error)[:100]}") from None
    if rest.question != question:
        raise InputError(f"'{path}' is of another sweep: --resume takes the same options")
    if not path.is_file() or path.stat().st_size < rest.size:
        raise InputError(f"'{path}' is shorter than its note says: start anew with --force")
    return rest


def stream(
    axes: Axes,
    choice: Choice,
    columns: tuple[str, ...],
    part: tuple[int, int | None],
    form: str,
    path: Path | None,
    resume: bool,
) -> int:
    """Write the rows as they come; an interrupt keeps what is done and says how to go on."""
    from llmroof.search.sweep import Tally, run_sweep

    if resume and (path is None or choice.selects):
        raise InputError("--resume goes on with -o FILE, without --top and --pareto")
    question = _question(axes, choice, columns, part)
    rest = read_rest(path, question) if resume and path is not None else None
    start, end = rest.seen if rest else part[0], part[1]
    last = [Tally(axes.points, seen=start)]
    with _file(path, columns, form, rest) as writer, progress("points") as told:

        def tell(now: Tally) -> None:
            last[0] = now
            if told is not None:
                told(now.seen, now.total)

        with stoppable() as stop:
            for rows in run_sweep(
                axes, choice, columns, start=start, end=end, tell=tell, stop=stop
            ):
                writer.write(rows)
        writer.close()
    tally = last[0]
    kept = tally.kept + (rest.kept if rest else 0)
    for reason, points in tally.reasons.items():
        click.echo(f"skipped {points:,} points: {reason}", err=True)
    passed_on = path is None or is_device(path)  # nothing is kept that a note could be of
    if tally.seen < tally.total:
        if choice.selects:
            return interrupted(tally, "the choice is of these")
        if path is None or passed_on:
            return interrupted(tally, f"--start {tally.seen} goes on")
        Rest(question, tally.seen, tally.total, kept, path.stat().st_size).write(path)
        return interrupted(tally, f"'{path}' holds what is done; the same with --resume goes on")
    if path is not None:
        if not passed_on:
            note(path).unlink(missing_ok=True)
        asked = tally.total - min(part[0], tally.total)
        click.echo(f"wrote {kept:,} of {asked:,} points to {path}", err=True)
    return 0 if kept else 1


def interrupted(tally: Tally, how: str) -> int:
    """Say how far it came; the exit code."""
    click.echo(f"interrupted after {tally.seen:,} of {tally.total:,} points: {how}", err=True)
    return INTERRUPTED


def _question(axes: Axes, choice: Choice, columns: Sequence[str], part: Any) -> str:
    """A fingerprint of all that decides on the rows and their order."""
    where = choice.where.text if choice.where else None
    values = [dict(one) for one in (axes.categories, axes.numbers, axes.fixed)]
    text = json.dumps([values, where, list(columns), part], default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Asks whether Ctrl-C or SIGTERM came; a second one ends at once."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def remember(number: int, _: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {one: signal.signal(one, remember) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _file(path: Path | None, columns: Sequence[str], form: str, rest: Rest | None) -> Iterator[Any]:
    """A writer on the stream to write to: standard output, a draft, or a file to go on with.

    A draft lies beside the file and takes its place in the end; a fault removes it.
    """
    from llmroof.render.rows import CsvWriter, ParquetWriter

    if path is None:
        sys.stdout.flush()
        yield CsvWriter(sys.stdout.buffer, columns)
        return
    try:
        if is_device(path):
            with path.open("wb") as stream:
                yield (CsvWriter if form == "csv" else ParquetWriter)(stream, columns)
            return
        if rest is not None and form == "csv":
            with path.open("r+b") as stream:
                stream.truncate(rest.size)
                stream.seek(rest.size)
                yield CsvWriter(stream, columns, header=False)
            return
        with _draft(path) as stream:
            if form == "csv":
                yield CsvWriter(stream, columns)
                return
            writer = ParquetWriter(stream, columns)
            if rest is not None:
                writer.copy(path)
            yield writer
    except BrokenPipeError:
        raise  # of a pipe that was named: its reader has what it wanted
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror or error}") from None


@contextmanager
def _draft(path: Path) -> Iterator[Any]:
    path = path.resolve()  # a link stays, what it names is replaced
    draft = path.with_name(f".{path.name[:40]}.{os.getpid()}")
    try:
        with draft.open("xb") as stream:
            yield stream
        draft.replace(path)
    finally:
        with suppress(OSError):
            draft.unlink()
