"""`llmroof compare`: deployments side by side, differences in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from llmroof.cli.grouped import Grouped
from llmroof.cli.options import DISAGGREGATED, QUESTION, SERVING, output, serving_question, single
from llmroof.cli.types import ChartFile
from llmroof.errors import Overloaded, UnknownName

if TYPE_CHECKING:
    from llmroof.cli.output import Target


#: switches of one deployment: their name alone
_SWITCHES: Final = ("disaggregated",)


@click.command("compare", cls=Grouped)
@click.argument("deployments", nargs=-1, required=True, metavar="DEPLOYMENT...")
@serving_question
@click.option(
    "--plot",
    type=ChartFile(),
    metavar="FILE",
    help="Memory of each as stacked bars: .png, .svg or .pdf.",
)
@output()
def command(
    deployments: tuple[str, ...], asked: dict[str, Any], plot: str | None, target: Target
) -> int:
    """Two or more deployments under the same question.

    Each is a GPU and options by their names: h100,tp=4,precision=fp8. Options of the
    command hold for all of them.

    \b
    llmroof compare h100,tp=4 mi300x,tp=2 --model llama-3.1-70b --batch 32
    llmroof compare h100 h100,precision=fp8 h100,kv-cache-dtype=fp8 -b 64
    llmroof compare h100,tp=4 h100,tp=2,disaggregated -c 64
    """  # noqa: D301 - click reads the control character
    from llmroof.cli.output import check_chart
    from llmroof.search.compare import compare

    if len(deployments) < 2:
        raise click.UsageError("compare takes two or more deployments, such as h100 a100,tp=2")
    check_chart(plot, force=target.force)
    question = single(asked, "compare")
    comparison = compare([_answer(one, text) for text, one in _questions(question, deployments)])

    def page() -> Any:
        from llmroof.render.compare import compare_page

        return compare_page(comparison)

    def document() -> Any:
        from llmroof.render.compare import compare_document

        return compare_document(comparison)

    def rows() -> Any:
        from llmroof.render.compare import compare_rows

        return compare_rows(comparison)

    said = [note for one in comparison.estimates for note in one.notes]
    target.show(page, document, rows, dict.fromkeys(said))
    if plot is not None:
        from pathlib import Path

        from llmroof.render.compare import labels
        from llmroof.render.plots import memory

        memory.draw(comparison.estimates, labels(comparison), Path(plot))
        click.echo(f"wrote {plot}", err=True)
    return 0 if all(bool(one.fits) for one in comparison.estimates) else 1


def _questions(
    question: dict[str, Any], deployments: tuple[str, ...]
) -> list[tuple[str, dict[str, Any]]]:
    """Each deployment and its question; --gpu is that of deployments that name none."""
    parsed = [(text, parse(text)) for text in deployments]
    without = [text for text, found in parsed if "gpu" not in found]
    if without and question.get("gpu") is None:
        raise click.UsageError(
            f"'{without[0][:60]}' names no GPU: write GPU,option=value, or --gpu for all"
        )
    if not without and question.get("gpu") is not None:
        raise click.UsageError("each deployment names its GPU: --gpu is for those that do not")
    return [(text, question | found) for text, found in parsed]


def _answer(question: dict[str, Any], text: str) -> Any:
    """The answer of one deployment; a rate it cannot finish is refused in its name."""
    from llmroof.cli.ask import ask

    try:
        return ask(question)
    except Overloaded as error:
        raise Overloaded(error.rate, error.largest, error.side, f"'{text[:60]}'") from None


def parse(text: str) -> dict[str, Any]:
    """`h100,tp=4,precision=fp8` as options of `llmroof.estimate`."""
    found: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        named = {"hardware": "gpu"}.get(name, name.replace("-", "_")) if equals else name
        if named in found:
            raise click.UsageError(f"'{text[:60]}': {named} is given twice")
        if not equals and name.replace("-", "_") in _SWITCHES and "gpu" in found:
            found[name.replace("-", "_")] = True
            continue
        if not equals:
            if "gpu" in found or not name:
                raise click.UsageError(f"'{text[:60]}': write GPU,option=value,option=value")
            found["gpu"] = name
            continue
        found[named] = _typed(named, value)
    return found


def _typed(name: str, value: str) -> Any:
    """The value as the option of that name reads it."""
    options = {**QUESTION, **SERVING, **DISAGGREGATED}
    if name not in options:
        raise UnknownName("option", name, options)
    probe = options[name](lambda: None)
    option = getattr(probe, "__click_params__")[0]  # noqa: B009
    if option.is_flag:
        raise click.UsageError(f"'{name}' is a switch: give it as --{name.replace('_', '-')}")
    read = option.type.convert(value, option, None)
    if not isinstance(read, tuple):
        return read
    if len(read) != 1:
        raise click.UsageError(f"compare takes one value for '{name}', not {len(read)}")
    return read[0]
