"""What can go wrong, each as a value that writes its own sentence.

Every error a user can cause derives from `LlmroofError`; the command line
prints it as one line and exits with its `exit_code` (2: the question cannot
be answered, 1: it was answered and the answer is no).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to `name` in spelling, or None when none is close."""
    names = list(known)
    by_lower = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower()[:80], list(by_lower), n=1, cutoff=0.5)
    return by_lower[close[0]] if close else None


def printable(text: str) -> str:
    """`text` on one line, with control characters and the like written out as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class LlmroofError(Exception):
    """Base of every error that llmroof raises on purpose: one printable line."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class InputError(LlmroofError):
    """An option or argument whose value cannot be used."""


class UnknownName(LlmroofError):
    """A name that stands for nothing known; says the nearest one and where to see all."""

    def __init__(self, what: str, name: str, known: Iterable[str], see: str = "") -> None:
        self.what, self.name, self.known = what, name, sorted(known)
        guess = nearest(name, self.known)
        hint = f"; did you mean '{guess}'?" if guess else ""
        if see:
            hint += f" (see {see})"
        elif not guess:
            hint += f"; known: {', '.join(self.known)}"
        super().__init__(f"unknown {what} '{_clip(name)}'{hint}")


class Unsupported(LlmroofError):
    """A combination that does not exist on the device or in the model."""


class Overloaded(LlmroofError):
    """More requests arrive than can be finished; says the largest rate, and what sets it."""

    exit_code = 1

    def __init__(
        self, rate: float, largest: float, side: str = "", who: str = "the deployment"
    ) -> None:
        self.rate, self.largest, self.side = rate, largest, side
        why = f", set by {side}" if side else ""
        super().__init__(
            f"{rate:g} requests/s are more than {who} can finish: "
            f"the largest sustainable rate is {_at_most(largest):.4g} requests/s{why}"
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in a spec file: where it is and what would be right."""

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.key}: {self.message}" if self.key else f"{where}: {self.message}"


class SpecError(LlmroofError):
    """A spec file with one or more problems; `problems` holds all of them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        more = len(self.problems) - 1
        tail = f" (and {more} more problem{'s' if more > 1 else ''})" if more else ""
        super().__init__(f"{self.problems[0]}{tail}")


def _at_most(value: float) -> float:
    """`value` rounded down to four digits: what is printed can be asked for."""
    if not value > 0:
        return value
    rounded = float(f"{value:.4g}")
    unit = 10.0 ** (math.floor(math.log10(value)) - 3)
    return rounded if rounded <= value else float(f"{rounded - unit:.4g}")


def _clip(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
