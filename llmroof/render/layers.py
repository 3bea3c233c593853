"""The operators of both phases as a table."""

from __future__ import annotations

from typing import Any

from llmroof import units
from llmroof.engine.estimate import Estimate
from llmroof.render.page import Grid, Item, Line, Page, grid, heading, note_lines, page
from llmroof.render.record import layers_document
from llmroof.render.report import title

_HEADER = ("operator", "×", "FLOP", "weights", "KV", "activ.", "FLOP/B", "bound", "time", "share")


def layers_page(estimate: Estimate) -> Page:
    """Both phases; FLOP and bytes of one run on one device, time and share of all runs."""
    operators = layers_document(estimate)["operators"]
    items: list[Item] = [*title(estimate)]
    for name, phase in (("prefill", estimate.prefill), ("decode", estimate.decode)):
        own = [row for row in operators if row["phase"] == name]
        step = "Prefill" if name == "prefill" else "Decode step"
        items += [
            heading(f"{step}: {units.show(phase.time, 's')}"),
            _table(own),
            Line(""),
        ]
    items.append(
        Line(
            "FLOP and bytes: one run on one device; × runs (layers); time and share: all runs. "
            "Norms and the like are fused: no traffic at the limit, some in expected times.",
            "quiet",
        )
    )
    notes = list(estimate.notes)
    if not estimate.fits:
        memory = estimate.memory
        needed, there = (units.show(n, "B") for n in (memory.total_bytes, memory.capacity_bytes))
        notes.append(f"does not fit: {needed} needed per GPU, {there} there")
    return page([*items, *note_lines(notes)])


def layers_rows(estimate: Estimate) -> list[dict[str, Any]]:
    """One flat row per operator, as in the JSON."""
    return list(layers_document(estimate)["operators"])


def _table(operators: list[dict[str, Any]]) -> Grid:
    return grid(_HEADER, (_row(row) for row in operators), indent=0, gap=1)


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    intensity = row["arithmetic_intensity"]
    return (
        row["name"],
        f"{row['count']:g}",
        _short(row["flop"], "FLOP"),
        _short(row["weight_bytes"], "B"),
        _short(row["kv_bytes"], "B"),
        _short(row["activation_bytes"], "B"),
        "-" if intensity is None else units.significant(intensity),
        row["bound"],
        units.show(row["total_time_s"], "s").replace(" ", ""),
        f"{row['share']:.1%}",
    )


def _short(value: float, unit: str) -> str:
    """`68.7G` for 68.7 GFLOP: the head of the column names the unit."""
    return units.show(value, unit).removesuffix(unit).replace(" ", "") if value else "-"
