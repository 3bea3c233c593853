"""`llmroof check`: pinned estimates against their baseline, and predictions against rows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from llmroof.cli.options import output, specs_option
from llmroof.cli.progress import progress
from llmroof.errors import InputError

if TYPE_CHECKING:
    from llmroof.cli.output import Target
    from llmroof.regression.check import Checked

_FORMATS: Final = ("table", "json", "csv", "markdown", "junit")


def _kinds(_: click.Context, __: click.Parameter, text: str | None) -> frozenset[str]:
    """`added,fixed` as a set."""
    from llmroof.errors import UnknownName
    from llmroof.regression.compare import KINDS

    names = [name.strip() for name in text.split(",")] if text else []
    for name in names:
        if name not in KINDS:
            raise UnknownName("kind of difference", name, KINDS)
    return frozenset(names)


@click.command("check")
@click.argument("scenarios", nargs=-1, type=click.Path(), metavar="SCENARIOS...")
@specs_option
@click.option("--update", is_flag=True, help="Write the baseline anew: these figures are meant.")
@click.option(
    "--allow",
    metavar="KINDS",
    callback=_kinds,
    help="Kinds of difference that are no fault: added,fixed,removed ...",
)
@click.option(
    "--against-measured",
    "measured",
    metavar="ROWS",
    help="CSV of measured rows, held against `measured:` of the scenarios or --expect.",
)
@click.option(
    "--expect",
    multiple=True,
    metavar="BOUND",
    help="Bound on measured errors: 'tpot_s: mape <= 12 %'; may be given several times.",
)
@click.option("--by", metavar="A,B", help="Columns that part the rows for --expect.")
@output(*_FORMATS)
def command(
    scenarios: tuple[str, ...],
    update: bool,
    allow: frozenset[str],
    measured: str | None,
    expect: tuple[str, ...],
    by: str | None,
    target: Target,
) -> int:
    """Hold the estimates of SCENARIOS (YAML) against their baseline.

    The baseline of x.yaml is x.lock.csv; --update writes it. Exit code 1 when a figure
    moved beyond its tolerance, was added or removed, or an assertion does not hold.
    """
    from llmroof.render import check as render
    from llmroof.render.check_junit import check_junit

    results = [*_scenarios(scenarios, update, allow, measured if not expect else None)]
    if expect or by:
        results.append(_expected(measured, expect, by, update))
    elif not results:
        raise InputError("name a scenario file, or measured rows and what to --expect of them")
    if update:
        _refuse_shared(results)
        _write(results)
    if target.format == "markdown":
        target.write(render.check_markdown(results))
    elif target.format == "junit":
        target.write(check_junit(results))
    else:
        target.show(
            lambda: render.check_page(results),
            lambda: render.check_document(results),
            lambda: render.check_rows(results),
        )
    if update:
        return 0 if not any(one.broken or one.missed for one in results) else 1
    if any(one.faults for one in results):
        click.echo("llmroof check --update takes these figures as the new baseline", err=True)
    return 0 if all(one.ok for one in results) else 1


def _scenarios(
    names: Sequence[str], update: bool, allow: frozenset[str], measured: str | None
) -> Iterator[Checked]:
    """Each file checked once, also where both it and its lock are named."""
    from llmroof.regression.check import check
    from llmroof.regression.scenarios import scenarios_of

    files = dict.fromkeys(scenarios_of(Path(name)) for name in names)
    rows = None if measured is None else Path(measured)
    with progress("points") as advance:
        for file in files:
            yield check(file, allow=allow, update=update, rows=rows, progress=advance)


def _expected(measured: str | None, expect: Sequence[str], by: str | None, update: bool) -> Checked:
    """Measured rows held against the bounds of the command line."""
    from llmroof.regression.check import check_rows
    from llmroof.regression.expectations import parse_bound

    if measured is None or not expect:
        raise InputError("--expect, --by and --against-measured go together")
    if update:
        raise InputError("--update writes figures of scenarios; bounds on rows have no baseline")
    columns = [name.strip() for name in by.split(",")] if by else []
    return check_rows(Path(measured), [parse_bound(text, columns) for text in expect])


def _refuse_shared(results: Sequence[Checked]) -> None:
    """Raise InputError where two files would write one baseline: the later would win."""
    owner: dict[str, Path] = {}
    for result in results:
        lock, file = result.file.baseline, result.file.path
        if lock is None or not result.file.scenarios:
            continue
        first = owner.setdefault(os.path.realpath(lock), file)
        if os.path.realpath(first) != os.path.realpath(file):
            raise InputError(f"{first} and {file} name the same baseline '{lock}'")


def _write(results: Sequence[Checked]) -> None:
    """Every baseline, whole or not at all."""
    from llmroof.cli.output import write_file

    for result in results:
        lock = result.file.baseline
        if lock is None or not result.file.scenarios:
            continue
        write_file(lock, result.lock().encode("utf-8"), force=True)
        click.echo(f"wrote {lock}", err=True)
