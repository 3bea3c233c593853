"""Types of option values: ranges of numbers, decimals, names of specs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

from llmroof.ranges import MAX_VALUE, parse_decimals, parse_numbers

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType


class Numbers(_ParamType):
    """A whole number or a range of them, as a tuple."""

    name = "numbers"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        """Parse, or fail with the parser's sentence."""
        if isinstance(value, tuple):
            return value
        try:
            return parse_numbers(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Decimals(_ParamType):
    """A number or several joined by commas, as a tuple."""

    name = "decimals"

    def __init__(self, zero: bool = False) -> None:
        self.zero = zero

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[float, ...]:
        """Parse; what is no finite number fails."""
        if isinstance(value, tuple):
            return value
        try:
            return parse_decimals(str(value), self.zero)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Rate(_ParamType):
    """A rate of bytes with its unit (`50 GB/s`, `400 Gbit/s`) as bytes per second."""

    name = "rate"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Parse, or fail with the parser's sentence."""
        if isinstance(value, float):
            return value
        from llmroof import units

        try:
            return units.parse(str(value), "B/s")
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Within(click.FloatRange):
    """As click's range; no comparison keeps nan out of that one."""

    name = "number"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """The number, or fail with click's sentence or ours."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail("nan is no number", param, ctx)
        return number


class Whole(click.IntRange):
    """A whole number within bounds; a fault says so in words of people."""

    name = "whole number"


class Seconds(Within):
    """A time above zero: a plain number of seconds, or with its unit (`500 ms`)."""

    name = "number of seconds"

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Parse, or fail with the parser's sentence."""
        text = str(value).strip()
        if text[-1:].isalpha() and text.lower() not in ("nan", "inf", "infinity"):
            from llmroof import units

            try:
                value = units.parse(text, "s")
            except ValueError as error:
                self.fail(str(error), param, ctx)
        return float(super().convert(value, param, ctx))


class _Number(click.types.FloatParamType):
    """Any number."""

    name = "number"


NUMBER: Final = _Number()
#: a count that has no bound of its own
COUNT: Final = Whole(min=1, max=MAX_VALUE)
#: what charts are written as
CHARTS: Final = (".png", ".svg", ".pdf")


class ChartFile(_ParamType):
    """The file of a chart: its ending is one that charts have."""

    name = "chart"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """The text as it is, before any work is done for it."""
        if not str(value).lower().endswith(CHARTS):
            self.fail(
                f"a chart is written as {', '.join(CHARTS)}, not as '{value[-40:]}'", param, ctx
            )
        return str(value)


class SpecName(_ParamType):
    """A GPU or a model: an id, an alias or a path; completes ids and aliases."""

    name = "name"

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """The text as it is; an empty one is a slip."""
        if not str(value).strip():
            self.fail("is empty", param, ctx)
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Ids and aliases that begin with what is typed."""
        return [CompletionItem(name) for name in names(self.kind) if name.startswith(incomplete)]


def names(kind: str) -> list[str]:
    """Every id and alias of the `gpu` or `model` catalog, sorted."""
    from llmroof.specs.catalog import HARDWARE, MODELS

    catalog = HARDWARE if kind == "gpu" else MODELS
    return sorted({*catalog.files(), *catalog.aliases()})
