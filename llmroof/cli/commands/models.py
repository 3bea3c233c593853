"""`llmroof models`: list models, show one, turn a config.json into a spec."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llmroof.cli.grouped import Listing
from llmroof.cli.options import output, specs_option
from llmroof.cli.types import SpecName

if TYPE_CHECKING:
    from llmroof.cli.output import Target


@click.group("models", cls=Listing, invoke_without_command=True)
@specs_option
@click.option(
    "--sort", default="id", show_default=True, metavar="COLUMN",
    help="Order of the list by parameters, active, weights, kv, state, context, layers, experts, "
    "family ...; figures descend.",
)  # fmt: skip
@click.option(
    "--where", metavar="CONDITION",
    help="Only those that meet it: 'weights<=80GB and active<1e10'.",
)  # fmt: skip
@output()
@click.pass_context
def command(ctx: click.Context, sort: str, where: str | None, target: Target) -> None:
    """List the models; show one with its sources; import one as a spec to edit."""
    if ctx.invoked_subcommand is not None:
        return
    from llmroof.models.load import load_model
    from llmroof.render import model
    from llmroof.specs.catalog import MODELS

    rows = model.list_rows([load_model(name) for name in MODELS.files()], sort, where)
    target.show(lambda: model.list_page(rows), lambda: model.list_document(rows), lambda: rows)


@command.command("show")
@click.argument("model", type=SpecName("model"))
@specs_option
@output()
def show(model: str, target: Target) -> None:
    """One model: layers, parameters by part, KV cache by context, sources."""
    from llmroof.models.load import load_model
    from llmroof.render import model as render
    from llmroof.render.record import model_document

    loaded = load_model(model)
    target.show(
        lambda: render.model_page(loaded),
        lambda: model_document(loaded),
        lambda: render.model_rows(loaded),
    )


@command.command("import")
@click.argument("source", type=SpecName("model"))
@specs_option
@output("yaml")
def import_(source: str, target: Target) -> None:
    """Write a spec to edit: from a config.json, a checkpoint's folder or a GGUF file."""
    from llmroof.models.export import to_yaml
    from llmroof.models.load import load_model

    target.write(to_yaml(load_model(source)))
