"""Where an answer goes: the screen, or a file written whole or not at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from llmroof.errors import InputError

if TYPE_CHECKING:
    from llmroof.render.page import Page

_BY_ENDING: Final = {
    ".json": "json",
    ".csv": "csv",
    ".md": "markdown",
    ".txt": "table",
    ".xml": "junit",
    ".yaml": "yaml",
    ".yml": "yaml",
}
#: endings of what no answer of a command is
_OTHERS: Final = frozenset(
    (".xlsx", ".xls", ".ods", ".parquet", ".toml", ".html", ".htm", ".pdf", ".png",
     ".svg", ".jpg", ".docx", ".tsv", ".db", ".zip", ".gz")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """The form of an answer and the file it goes to (None: standard output)."""

    format: str
    path: Path | None = None
    force: bool = False

    def show(
        self,
        page: Callable[[], Page],
        document: Callable[[], dict[str, Any]],
        rows: Callable[[], Sequence[dict[str, Any]]],
        notes: Iterable[str] = (),
    ) -> None:
        """Write the answer in the chosen form; only that form is made.

        `notes` go to stderr where the form is rows, which have no place for a sentence.
        """
        if self.format == "table":
            self._show_page(page())
            return
        from llmroof.render.table import to_csv, to_json, to_markdown

        if self.format == "json":
            self.write(to_json(document()))
        else:
            self.write((to_csv if self.format == "csv" else to_markdown)(rows()))
            for note in notes:
                click.echo(f"note: {note}", err=True)

    def _show_page(self, page: Page) -> None:
        from llmroof.render.page import screen_width, to_text

        if self.path is None and _wants_colour():
            from llmroof.render.terminal import show

            show(page, screen_width())
            return
        self.write(to_text(page, screen_width()))

    def write(self, text: str) -> None:
        """Text, ending in a newline, to the file or the screen."""
        if self.path is None:
            sys.stdout.write(_printable(text, sys.stdout.encoding))
        else:
            write_file(self.path, text.encode("utf-8"), force=self.force)


def target(form: str | None, path: str | None, force: bool, formats: Sequence[str]) -> Target:
    """The target of the options; InputError when the file is in the way or cannot be."""
    if path is None:
        return Target(form or formats[0], force=force)
    file = Path(path)
    check_writable(file, force=force)
    return Target(form or form_of(file, formats), file, force)


def form_of(path: Path, formats: Sequence[str], by_ending: Mapping[str, str] = _BY_ENDING) -> str:
    """The form that a file's ending stands for; text for people where it stands for none.

    InputError where it is that of something else: a spreadsheet, a chart, a page.
    """
    ending = path.suffix.lower()
    form = by_ending.get(ending, "")
    if form in formats:
        return form
    if ending in _OTHERS or form:
        known = [one for one, made in by_ending.items() if made in formats]
        ways = f"name a file in {', '.join(known)}, or say --format"
        raise InputError(f"no answer is written as '{ending}': {ways}")
    return formats[0]


def check_writable(path: Path, *, force: bool) -> None:
    """Raise InputError now rather than after the work when `path` cannot be written."""
    try:
        if path.is_dir():
            raise InputError(f"'{path}' is a folder: name a file")
        if path.exists() and not (force or is_device(path)):
            raise InputError(f"'{path}' exists; --force overwrites it")
        if not path.parent.is_dir():
            raise InputError(f"the folder '{path.parent}' does not exist")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot write '{str(path)[:200]}': {reason}") from None


def is_device(path: Path) -> bool:
    """True for what is written to as it is and never replaced: a terminal, a pipe, /dev/null."""
    return path.exists() and not path.is_file() and not path.is_dir()


def check_chart(path: str | None, *, force: bool) -> None:
    """As `check_writable`, for a chart that may not be asked for."""
    if path is not None:
        check_writable(Path(path), force=force)


def write_file(path: Path, data: bytes, *, force: bool) -> None:
    """Write `data` to `path` whole or not at all; InputError says why not."""
    import tempfile  # 20 ms that only a file needs

    check_writable(path, force=force)
    try:
        if is_device(path):
            with path.open("wb") as stream:
                stream.write(data)
            return
        path = path.resolve()  # a link stays, what it names is replaced
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                os.fchmod(stream.fileno(), 0o666 & ~_umask())
            os.replace(name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
    except BrokenPipeError:
        raise  # of a pipe that was named: its reader has what it wanted
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror or error}") from None


def _wants_colour() -> bool:
    """True for a person at a terminal who has not asked for none (https://no-color.org)."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not plain


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _printable(text: str, encoding: str | None) -> str:
    """`text` with what the terminal cannot show written in ASCII."""
    from llmroof.render.page import in_encoding

    return in_encoding(text, encoding or "utf-8")
