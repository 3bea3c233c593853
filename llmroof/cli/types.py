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

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """The number, or fail with click's sentence or ours."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail("nan is no number", param, ctx)
        return number


#: a count that has no bound of its own
COUNT: Final = click.IntRange(min=1, max=MAX_VALUE)
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
