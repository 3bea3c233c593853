"""Options that several commands share: the question, and where the answer goes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final, TypeVar

import click

from llmroof.cli.questions import DISAGGREGATED, QUESTION, SERVING

__all__ = ["DISAGGREGATED", "QUESTION", "SERVING"]

Command = TypeVar("Command", bound=Callable[..., Any])

#: the numbers of a workload, which may sweep
WORKLOAD: Final = ("batch", "input_len", "output_len", "concurrency", "request_rate")


def _use_specs(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    """Point LLMROOF_SPECS at the folder for as long as the command runs."""
    if value is None:
        return
    before = os.environ.get("LLMROOF_SPECS")

    def restore() -> None:
        if before is None:
            os.environ.pop("LLMROOF_SPECS", None)
        else:
            os.environ["LLMROOF_SPECS"] = before

    os.environ["LLMROOF_SPECS"] = value
    ctx.call_on_close(restore)


#: options whose default stands in the signature of `llmroof.estimate`
_DEFAULTED: Final = (
    "limit", "attention", "fusion", "all_reduce", "routing_skew", "load", "random_lengths",
    "prefix_hit_rate", "disaggregated",
)  # fmt: skip

specs_option: Final = click.option(
    "--specs",
    metavar="DIR",
    expose_value=False,
    is_eager=True,
    callback=_use_specs,
    help="Folder with your own hardware_specs/ and model_specs/ (environment: LLMROOF_SPECS).",
)


def question(command: Command) -> Command:
    """Add the options of a question; the command gets them as one mapping `asked`.

    `asked` are keywords of `llmroof.estimate`; an option that was not given is None or
    absent. The numbers of the workload are tuples.
    """
    return asking(command, QUESTION)


def serving_question(command: Command) -> Command:
    """As `question`, with a load and what speeds serving up."""
    return asking(command, QUESTION | SERVING | DISAGGREGATED)


def split_question(command: Command) -> Command:
    """As `question`, also of prefill and decode on workers of their own."""
    return asking(command, QUESTION | DISAGGREGATED)


def asking(command: Command, options: Mapping[str, Callable[[Any], Any]]) -> Command:
    """Add these options; the command gets them as one mapping `asked`, as in `question`."""

    @wraps(command)
    def run(**given: Any) -> Any:
        asked = {name: given.pop(name) for name in options}
        if asked.pop("no_kv_cache", False):
            asked["kv_cache"] = False
        for name in _DEFAULTED:
            if not asked.get(name):
                asked.pop(name, None)
        return command(asked=asked, **given)

    decorated: Any = specs_option(run)
    for decorate in reversed(list(options.values())):
        decorated = decorate(decorated)
    return decorated  # type: ignore[no-any-return]


def single(asked: dict[str, Any], command: str) -> dict[str, Any]:
    """`asked` with plain numbers; UsageError when a range was given to a one-point command."""
    plain = dict(asked)
    for name in WORKLOAD:
        if name not in plain:
            continue
        values = plain[name]
        if values is not None and len(values) != 1:
            flag = "--" + name.replace("_", "-")
            raise click.UsageError(f"{command} takes one value for {flag}, not {len(values)}")
        plain[name] = None if values is None else values[0]
    return plain


def output(*formats: str) -> Callable[[Command], Command]:
    """Add --format, -o and --force; the command gets one `Target` as `target`."""
    choices = formats or ("table", "json", "csv", "markdown")

    def decorate(command: Command) -> Command:
        @wraps(command)
        def run(**given: Any) -> Any:
            from llmroof.cli.output import target

            chosen = target(given.pop("format"), given.pop("output"), given.pop("force"), choices)
            return command(target=chosen, **given)

        decorated: Any = click.option(
            "--force", is_flag=True, help="Overwrite the output file if it exists."
        )(run)
        decorated = click.option(
            "--output", "-o", metavar="FILE", help="Write to this file instead of the screen."
        )(decorated)
        decorated = click.option(
            "--format",
            type=click.Choice(choices),
            help="Form of the answer.  [default: by the file's ending, else table]",
        )(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate
