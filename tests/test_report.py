"""`llmroof report`: one file, nothing from outside, figures of the engine."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from llmroof import __version__, estimate, figures
from llmroof.cli.main import cli
from llmroof.errors import InputError
from llmroof.report.content import Wanted, content
from llmroof.report.formulas import OPERATIONS, Formulas, Program
from llmroof.report.make import make
from llmroof.report.page import OWN, VENDORED, asset, page
from llmroof.specs.catalog import HARDWARE

MEGABYTE = 10**6


@lru_cache
def written() -> str:
    return make(
        Wanted(
            model="llama-3.1-70b",
            gpus=("h100", "a100"),
            precisions=("bf16", "fp8"),
            degrees=(2, 4),
            work={"batch": 4, "input_len": 2048, "output_len": 128},
            options={},
        )
    )


class Tags(HTMLParser):
    """Every tag with its attributes, and the text of scripts by their id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[str, str]] = []
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag == "script"
        if self.inside:
            self.scripts.append((dict(attrs).get("id") or "", ""))

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            name, text = self.scripts[-1]
            self.scripts[-1] = (name, text + data)


def content_of(text: str) -> dict[str, Any]:
    packed = dict(Tags(text).scripts)["content"]
    found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(packed)))
    return found


def run(*args: str) -> Any:
    return CliRunner().invoke(cli, list(args), prog_name="llmroof")


def test_page_is_small_and_says_what_made_it() -> None:
    text = written()
    assert len(text.encode()) < 3 * MEGABYTE
    assert text.startswith("<!doctype html>")
    assert f"llmroof {__version__}" in text
    assert "{{" not in text.replace(asset("vendor/plot.min.js"), "").replace(
        asset("vendor/d3.min.js"), ""
    )


def test_page_loads_nothing() -> None:
    """No tag refers to a file or a host; links to sources are made by the script, on a click."""
    for tag, attributes in Tags(written()).tags:
        assert "src" not in attributes, tag
        assert "srcset" not in attributes, tag
        assert not {name for name in attributes if name.startswith("on")}, tag
        if href := attributes.get("href"):
            assert href.startswith(("#", "data:,")), href
    style = asset("page.css")
    assert "url(" not in style
    assert "@import" not in style
    for name in OWN:
        assert not re.search(r"fetch\(|XMLHttpRequest|WebSocket|import\(|eval\(", asset(name)), name


def test_policy_lets_only_the_own_scripts_run() -> None:
    text = written()
    policy = next(a["content"] for _, a in Tags(text).tags if a.get("http-equiv"))
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "connect-src 'none'" in policy
    scripts = [script for name, script in Tags(text).scripts if not name]
    assert len(scripts) == len(VENDORED) + len(OWN)
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert policy.count("sha256-") == len(scripts)


def test_licences_of_what_is_inside_are_inside() -> None:
    licences = asset("vendor/LICENSES.txt")
    assert html.escape(licences) in written()
    for name in VENDORED:
        version = re.search(r"v(\d+\.\d+\.\d+)", asset(name)[:200])
        assert version
        assert f"{version[1]} ({name.removeprefix('vendor/')})" in licences
    for holder in ("Observable, Inc.", "Mike Bostock", "Mikola Lysenko", "Mapbox"):
        assert holder in licences


def test_same_request_is_the_same_file() -> None:
    before = written()
    written.cache_clear()
    assert written() == before


def test_a_reader_without_scripts_gets_the_answer() -> None:
    inside = written().partition("<noscript>")[2].partition("</noscript>")[0]
    assert "2 × NVIDIA H100" in inside
    assert "TTFT" in inside
    assert "Decode is memory-bound" in html.unescape(inside)


def test_figures_in_the_file_are_those_of_an_estimate() -> None:
    """The formulas as the file holds them, at random questions, against the command's JSON."""
    content = content_of(written())
    assert content["operations"] == list(OPERATIONS)
    random = np.random.default_rng(9)
    for one in content["deployments"]:
        kept = content["programs"][one["program"]]
        steps = np.reshape(kept["steps"], (-1, 4)).tolist()
        program = Program(
            tuple(kept["inputs"]), kept["constants"], tuple(map(tuple, steps)), kept["outputs"]
        )
        formulas = Formulas(program, tuple(float(value) for value in one["constants"]))
        for _ in range(5):
            work = {
                name: int(random.integers(1, content["limits"][name])) // 2 + 1
                for name in ("batch", "input_len", "output_len")
            }
            options = {"gpu": one["gpu"], "tp": one["tp"], "precision": one["precision"]}
            truth = estimate(model="llama-3.1-70b", **work, **options)
            found = formulas(**work)
            for part in ("prefill", "decode", "memory", "serving", "cost", "energy"):
                for name, read in figures.FIGURES[part].items():
                    if name != "bound":
                        assert found[f"{part}.{name}"] == read(truth), (options, work, name)


def test_command_of_a_deployment_asks_for_it() -> None:
    """What the page offers to copy gives the answer of the page."""
    one = content_of(written())["deployments"][-1]
    done = run(*f"estimate {one['flags']} --batch 3 --input-len 500 --output-len 40".split(),
               "--format", "json")  # fmt: skip
    inputs = json.loads(done.stdout)["inputs"]
    assert [inputs[name] for name in ("hardware", "tp", "weights", "batch")] == [
        one["gpu"], one["tp"], one["weights"], 3
    ]  # fmt: skip


def test_text_of_a_model_cannot_leave_its_place() -> None:
    """Names from files are data: no tag of theirs becomes one of the page."""
    text = page({"model": "</script><img src=x>"}, title="<b>&", text="</noscript><i>")
    tags = {tag for tag, _ in Tags(text).tags}
    assert not tags & {"img", "b"}
    assert "<title>&lt;b&gt;&amp;</title>" in text
    assert content_of(text) == {"model": "</script><img src=x>"}


def test_report_writes_a_file(tmp_path: Path) -> None:
    file = tmp_path / "r.html"
    args = ("report", "--gpu", "h100,l40s", "-p", "bf16", "-tp", "1,2", "-b", "4", "-o", str(file))
    done = run(*args)
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == f"wrote {file}\n"
    content = content_of(file.read_text("utf-8"))
    assert [(d["gpu"], d["tp"]) for d in content["deployments"]] == [
        ("h100-sxm", 1), ("h100-sxm", 2), ("l40s", 1), ("l40s", 2)
    ]  # fmt: skip
    assert content["start"]["batch"] == 4
    again = run(*args)
    assert again.exit_code == 2
    assert again.stderr.endswith("exists; --force overwrites it\n")
    assert run(*args, "--force").exit_code == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("-o", "r.txt"), "Error: a report is written as .html, not as 'r.txt'\n"),
        (("-o", "no/r.html"), "Error: the folder 'no' does not exist\n"),
        (
            ("--gpu", "h100,h20000", "-o", "r.html"),
            "Error: unknown GPU 'h20000'; did you mean 'h200'? (see llmroof gpus)\n",
        ),
        (
            ("--gpu", "a100", "-p", "fp8", "-o", "r.html"),
            "Error: NVIDIA A100 SXM4 80 GB has no fp8 arithmetic (it has fp64, fp64_tensor, fp32, "
            "tf32, fp16, bf16, int8, int4): keep the small weights and compute in 16 bits with "
            "--weights fp8 --activations bf16, or use --precision bf16\n",
        ),
        (
            ("-b", "1,2", "-o", "r.html"),
            "Error: a page takes one value for --batch, not 2\n",
        ),
        (
            ("--isl", "200000", "-o", "r.html"),
            "Error: input_len + output_len = 200256 tokens is beyond the 131072 that Llama 3.1 8B "
            "was made for\n",
        ),
    ],
)
def test_bad_requests_get_one_line(
    args: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("report", *args)
    assert (done.exit_code, done.stderr) == (2, message)
    assert not list(tmp_path.iterdir())


def offered(**wanted: Any) -> list[tuple[str, int, int]]:
    """(weights, tp, dp) of every deployment that a page offers to choose from."""
    asked = {"gpus": ("h100",), "precisions": (), "degrees": (), "options": {}, **wanted}
    found = content(Wanted(model="llama-3.1-8b", work={"batch": 4}, **asked))
    return [(one["weights"], one["tp"], one["dp"]) for one in found["deployments"]]


def test_degrees_that_are_left_open_double_beside_the_others() -> None:
    """8 KV heads are shared out over 1, 2, 4 and 8 GPUs, in two replicas each."""
    found = offered(precisions=("bf16",), options={"dp": 2})
    assert [(tp, dp) for _, tp, dp in found] == [(1, 2), (2, 2), (4, 2), (8, 2)]


def test_formats_that_were_asked_for_leave_no_choice_of_them() -> None:
    assert len({name for name, _, _ in offered(degrees=(1,))}) > 1
    assert len({name for name, _, _ in offered(degrees=(1,), options={"weights": "int4"})}) == 1


def test_a_page_of_too_many_choices_is_refused() -> None:
    with pytest.raises(InputError, match="GPUs x precisions x plans: name fewer"):
        offered(degrees=tuple(2**i for i in range(4)), gpus=tuple(HARDWARE.files()))
