"""Models for people: the architecture as they think of it, parameters, KV cache, sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from llmroof import units
from llmroof.models.model import Model, joined
from llmroof.render.listing import Columns, chosen
from llmroof.render.page import Item, Line, Page, grid, heading, page
from llmroof.render.record import Tree, head, model_document, plain

#: the columns of the list
COLUMNS: Final[Columns] = {
    "id": ("id", None),
    "name": ("name", None),
    "family": ("family", None),
    "parameters": ("parameters", ""),
    "active": ("active_parameters", ""),
    "weights": ("weights_bytes", "B"),
    "precision": ("precision", None),
    "kv": ("kv_cache_bytes_per_token", "B"),
    "state": ("state_bytes_per_sequence", "B"),
    "context": ("max_context", ""),
    "layers": ("layers", ""),
    "experts": ("experts", ""),
}


def list_rows(models: Sequence[Model], sort: str = "id", where: str | None = None) -> list[Tree]:
    """One flat row per model, sorted and filtered (`listing.chosen`). Raises InputError."""
    return chosen([plain(_row(model)) for model in models], COLUMNS, sort, where)


def _row(model: Model) -> Tree:
    return {
        "id": model.id,
        "name": model.name,
        "family": model.family,
        "parameters": model.parameters,
        "active_parameters": model.active_parameters,
        "weights_bytes": model.weights_bytes(model.precision),
        "precision": model.precision.name or None,
        "kv_cache_bytes_per_token": model.kv_cache_bytes_per_token(model.precision),
        "state_bytes_per_sequence": model.state_bytes_per_sequence(model.precision),
        "max_context": model.max_context,
        "layers": model.num_layers,
        "experts": max((getattr(block, "experts", 0) for block, _ in model.parts()), default=0)
        or None,
        "hub": " ".join(model.hub),
    }


def list_document(rows: Sequence[Tree]) -> Tree:
    """`llmroof.model_list/1`."""
    return head("model_list") | {"models": list(rows)}


def list_page(rows: Sequence[Tree]) -> Page:
    """The table of all models."""
    if not rows:
        return page([Line("No model meets the condition.")])
    header = ("id", "total", "active", "weights", "stored in", "KV/token", "context")
    body = [
        (
            row["id"],
            count(row["parameters"]),
            count(row["active_parameters"]),
            units.show(row["weights_bytes"], "B"),
            (row["precision"] or "-").partition(" ")[0],
            units.show(row["kv_cache_bytes_per_token"], "B"),
            "-" if row["max_context"] is None else count(row["max_context"]),
        )
        for row in rows
    ]
    note = (
        "Parameters in all and per token; KV cache per token of a sequence; context in tokens. "
        "llmroof models show ID: all, with sources."
    )
    return page([grid(header, body, "<>>><>>", indent=0), Line(""), Line(note, "quiet")])


def count(parameters: float) -> str:
    """Parameters with three digits: `8.03 B` for people is 8.03 billion."""
    return units.show(parameters, "FLOP").removesuffix("FLOP").strip().replace("G", "B")


def model_page(model: Model) -> Page:
    """Pattern of layers, parameters by part, KV cache by context, sources."""
    document = model_document(model)
    per_token = units.show(document["kv_cache_bytes_per_token"], "B", 4)
    items: list[Item] = [
        heading(f"{model.name} ({model.id})"),
        Line(
            f"{document['parameters']:,} parameters"
            + (
                f", {document['active_parameters']:,} active per token"
                if document["active_parameters"] != document["parameters"]
                else ""
            )
            + f"; family {model.family}; stored in {model.precision.name}"
            + (f"; made for {model.max_context:,} tokens" if model.max_context else "")
        ),
        Line(""),
        heading(f"Layers ({model.num_layers})"),
        *_layers(model),
        Line(f"  embedding: {model.embedding.describe()}; {model.head.describe()}", hang=4),
        Line(""),
        heading("Parameters by part"),
        grid(
            (),
            [
                (name, f"{size:,}", f"{size / document['parameters']:.1%}")
                for name, size in document["parameters_by_part"].items()
            ],
            "<>>",
        ),
        *_apart(model),
        Line(""),
        heading(f"KV cache in bf16: {per_token} per token"),
        grid(
            ("context", "per sequence"),
            [
                (f"{int(length):,}", units.show(size, "B", 4))
                for length, size in document["kv_cache_bytes"].items()
            ],
            ">>",
        ),
    ]
    if document["state_bytes_per_sequence"]:
        state = units.show(document["state_bytes_per_sequence"], "B", 4)
        items.append(Line(f"  and recurrent state, at any context: {state}"))
    items += [Line(""), heading("Sources")]
    items += [
        Line(f"  {source['title']}" + (f" <{source['url']}>" if source["url"] else ""), hang=4)
        for source in document["sources"]
    ]
    if model.notes:
        items += [Line(""), Line(f"Beware: {model.notes}")]
    return page(items)


def _layers(model: Model) -> list[Item]:
    items: list[Item] = []
    for times, group in model.pattern():
        runs = joined((1, blocks) for blocks in group)
        indent = "  "
        if len(runs) > 1:
            items.append(Line(f"  {times} ×"))
            indent = "    "
        for number, blocks in runs:
            shown = number if len(runs) > 1 else number * times
            what = "; ".join(text for text in (block.describe() for block in blocks) if text)
            items.append(Line(f"{indent}{shown} × {what}", hang=len(indent) + 4))
    return items


def _apart(model: Model) -> list[Item]:
    found: list[Item] = []
    for what, parts in (("held, not modelled", model.extras), ("not held", model.unused)):
        for name, size in parts.items():
            found.append(Line(f"  {name}: {size:,} parameters ({what})", hang=4))
    return found


def model_rows(model: Model) -> list[Tree]:
    """One flat row: the figures of the JSON that are single numbers, KV cache by context."""
    document = model_document(model)
    flat = {
        name: value
        for name, value in document.items()
        if not isinstance(value, dict | list) and name not in ("schema", "llmroof_version")
    }
    return [
        flat
        | {f"kv_cache_bytes_{length}": size for length, size in document["kv_cache_bytes"].items()}
    ]
