"""From a request to a page."""

from __future__ import annotations

from llmroof.api import estimate
from llmroof.render.page import WIDE, to_text
from llmroof.render.record import Tree
from llmroof.render.report import estimate_page
from llmroof.report.content import Wanted, content
from llmroof.report.page import page


def make(wanted: Wanted) -> str:
    """The page of a request as HTML text. Raises LlmroofError as an estimate does."""
    return page_of(wanted, content(wanted))


def page_of(wanted: Wanted, found: Tree, *, live: bool = False) -> str:
    """The page of a request whose content is at hand; a `live` one asks its server."""
    start = found["start"]
    plan = {name: start[name] for name in ("tp", "pp", "dp", "ep")}
    options = {name: value for name, value in wanted.options.items() if name not in plan}
    first = estimate(
        model=wanted.model,
        gpu=wanted.gpus[0],
        precision=wanted.precisions[0] if wanted.precisions else None,
        **{name: start[name] for name in ("batch", "input_len", "output_len")},
        **plan,
        **options,
    )
    text = to_text(estimate_page(first), WIDE)
    name = f"{found['model']['name']} on {', '.join(gpu['short'] for gpu in found['gpus'])}"
    return page(found, title=f"llmroof: {name}", text=text, live=live)
