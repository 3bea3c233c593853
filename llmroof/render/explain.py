"""The estimate derived: every figure from a formula, the numbers put in, and their sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from llmroof.engine.estimate import Estimate
from llmroof.render.basis import NOTHING, basis
from llmroof.render.derive import Section, Step, section_document, section_items
from llmroof.render.explain_model import kv_section, weights_section
from llmroof.render.explain_phase import decode_section, prefill_section
from llmroof.render.explain_service import (
    cost_section,
    memory_section,
    model_section,
    ridge_section,
    serving_section,
)
from llmroof.render.page import Item, Line, Page, page
from llmroof.render.record import Tree, head, inputs, plain_tree
from llmroof.render.report import title

#: section -> what makes it, in reading order
SECTIONS: Final[dict[str, Callable[[Estimate], Section]]] = {
    "weights": weights_section,
    "kv": kv_section,
    "prefill": prefill_section,
    "decode": decode_section,
    "ridge": ridge_section,
    "memory": memory_section,
    "serving": serving_section,
    "cost": cost_section,
    "model": model_section,
}


def sections(estimate: Estimate, names: tuple[str, ...] = ()) -> list[Section]:
    """The sections asked for, all without a name."""
    return [make(estimate) for name, make in SECTIONS.items() if not names or name in names]


def explain_document(estimate: Estimate, names: tuple[str, ...] = ()) -> Tree:
    """`llmroof.explain/1`."""
    return head("explain") | {
        "inputs": plain_tree(inputs(estimate)),
        "sections": [section_document(section) for section in sections(estimate, names)],
        "notes": list(estimate.notes),
    }


def explain_page(
    estimate: Estimate, names: tuple[str, ...] = (), asked: Mapping[str, Any] = NOTHING
) -> Page:
    """The sections one after the other, and what all of it rests on."""
    items: list[Item] = [*title(estimate)]
    for section in sections(estimate, names):
        items += [*section_items(section), Line("")]
    said = [line["text"] for line in basis(estimate, asked) if line["source"] is None]
    calibration = estimate.deployment.calibration
    if calibration is not None:
        said.append(f"expected times rest on: {calibration.source}")
    return page([*items, *(Line(f"- {text}", hang=2) for text in said)])


def explain_rows(estimate: Estimate, names: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """One flat row per derivation."""
    return [
        {
            "section": section.name,
            "name": step["name"],
            "formula": step["formula"],
            "inputs": "; ".join(f"{name}={q['value']}" for name, q in step["inputs"].items()),
            "result": step["result"],
            "unit": step["unit"],
        }
        for section in sections(estimate, names)
        for step in section_document(section)["steps"]
    ]


def steps(estimate: Estimate) -> list[Step]:
    """Every derivation, for those who check them."""
    return [item for one in sections(estimate) for item in one.items if isinstance(item, Step)]
