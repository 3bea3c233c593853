"""What Jupyter shows: tables and a chart, made only when they are shown."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np

import llmroof
from llmroof import units
from llmroof.render.notebook import page_html
from llmroof.render.page import Line, grid, page


class Cells(HTMLParser):
    """The text of all cells, and every tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


def test_an_estimate_is_a_table_and_a_roofline() -> None:
    answer = llmroof.estimate(gpu="a100", batch=32)
    text = answer._repr_html_()
    cells = Cells(text).cells
    assert cells[cells.index("TTFT") + 1] == units.show(answer.serving.ttft, "s")
    picture = re.search(
        r'<img alt="([^"]+)" width="640" src="data:image/png;base64,([^"]+)">', text
    )
    assert picture
    data = base64.b64decode(picture[2])
    assert data.startswith(b"\x89PNG")
    assert len(text) < 150_000


def test_several_points_are_a_table_cut_with_a_word() -> None:
    text = llmroof.estimate(gpu="a100", batch=np.arange(1, 51))._repr_html_()
    assert Cells(text).tags.count("tr") == 21
    assert "... 30 more rows: to_frame() has all" in text
    assert "<img" not in text


def test_what_does_not_fit_says_so() -> None:
    text = llmroof.estimate(model="llama-3.1-70b", gpu="a100", num_gpus=1)._repr_html_()
    assert "Does not fit" in text
    assert "<img" not in text


def test_a_recommendation_is_a_table() -> None:
    found = llmroof.recommend(
        model="llama-3.1-8b", gpu="h100", slo_tpot=0.05, slo_ttft=1.0, input_len=500, output_len=50
    )
    assert "vllm serve" in found._repr_html_()


def test_text_stays_text() -> None:
    text = page_html(page([Line("<b>&"), Line("<i>", "verbatim"), grid(("<u>",), [("<s>",)])]))
    assert not set(Cells(text).tags) & {"b", "i", "u", "s"}


def test_nothing_heavy_is_imported_before_something_is_shown() -> None:
    code = (
        "import sys, llmroof; e = llmroof.estimate(gpu='a100');"
        "assert 'matplotlib' not in sys.modules and 'pandas' not in sys.modules;"
        "assert e._repr_html_().startswith('<div>')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
