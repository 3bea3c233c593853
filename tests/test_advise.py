"""Levers: each is the estimate asked again, ranked, with the range in which it pays."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import llmroof
from llmroof.cli.main import cli
from llmroof.errors import InputError
from llmroof.render.advise import _parts, _percent
from llmroof.render.plots import style
from llmroof.render.plots.gains import compose
from llmroof.search.advise import GAINS, PAYS, Pull, advise
from llmroof.search.compare import compare, time_shift
from llmroof.search.levers import draft_for

QUESTIONS: list[dict[str, Any]] = [
    {"gpu": "h100", "batch": 32},
    {"gpu": "a100", "model": "llama-3.1-70b", "tp": 4, "batch": 8, "precision": "w4a16"},
    {"gpu": "h100", "model": "llama-3.1-70b", "tp": 4, "concurrency": 64},
    {"gpu": "l40s", "request_rate": 2.0},
    {"gpu": "h100", "batch": 4, "attention": "naive"},
]


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, list(args))


def find(pulls: list[Pull], title: str) -> Pull:
    return next(pull for pull in pulls if pull.title == title)


@pytest.mark.parametrize(
    ("question", "by"),
    [(question, tuple(GAINS)[i % len(GAINS)]) for i, question in enumerate(QUESTIONS)],
    ids=str,
)
def test_every_lever_is_the_estimate_asked_again(question: dict[str, Any], by: str) -> None:
    estimate = llmroof.estimate(**question)
    pulls = advise(estimate, by)
    assert len(pulls) >= 6
    for pull in pulls:
        again = llmroof.estimate(**{**stated(estimate), **question, **pull.change})
        assert again.serving == pull.result.serving, pull.title
        assert again.cost == pull.result.cost, pull.title
        part, field, more = GAINS[by]
        old, new = (getattr(getattr(one, part), field) for one in (estimate, again))
        assert pull.gains[by] == pytest.approx(float(new / old - 1 if more else 1 - new / old))
    free = [pull.gains[by] or 0.0 for pull in pulls if not pull.in_use]
    assert free == sorted(free, reverse=True)
    assert [pull.in_use for pull in pulls] == sorted(pull.in_use for pull in pulls)


def stated(estimate: llmroof.Estimate) -> dict[str, Any]:
    plan = estimate.deployment.run.plan
    return {"tp": plan.tp, "pp": plan.pp, "dp": plan.dp, "ep": plan.ep}


@pytest.mark.parametrize("question", QUESTIONS[:3], ids=str)
def test_a_lever_pays_where_it_says(question: dict[str, Any]) -> None:
    """At both ends it gains 5 % on its figure."""
    estimate = llmroof.estimate(**question)
    name = "concurrency" if "concurrency" in question else "batch"
    checked = 0
    for pull in advise(estimate):
        if pull.pays is None or pull.in_use:
            continue
        part, field, more = GAINS[pull.metric]
        for at in pull.pays:
            asked = {**stated(estimate), **question, name: at}
            old, new = (
                float(getattr(getattr(llmroof.estimate(**each), part), field))
                for each in (asked, asked | dict(pull.change))
            )
            assert (new / old - 1 if more else 1 - new / old) >= PAYS - 1e-12, pull.title
            checked += 1
    assert checked >= 6


def test_int4_stops_paying_at_a_large_batch() -> None:
    """Its weights are expanded to 16 bits: once arithmetic binds there is nothing to save."""
    pull = find(advise(llmroof.estimate(gpu="l40s", batch=1, input_len=64, output_len=16,
                                        model="llama-3.2-1b")), "int4 weights")  # fmt: skip
    assert pull.pays is not None
    assert pull.scanned is not None
    assert pull.pays[0] == 1
    assert pull.pays[1] < pull.scanned[1]


@pytest.mark.parametrize(
    ("model", "draft"),
    [("llama-3.1-70b", "llama-3.2-1b"), ("llama-3.2-1b", None), ("gpt-oss-120b", None)],
)
def test_a_draft_model_is_small_and_of_the_same_make(model: str, draft: str | None) -> None:
    loaded = llmroof.load_model(model)
    assert draft_for(loaded) == draft
    if draft is None:
        return
    small = llmroof.load_model(draft)
    assert small.head.vocab == loaded.head.vocab
    pulls = advise(llmroof.estimate(model=model, gpu="h100", tp=4, batch=8))
    paid = find(pulls, f"speculative decoding drafted by {draft}").gains["tpot"]
    free = find(pulls, "speculative decoding").gains["tpot"]
    assert paid is not None
    assert free is not None
    assert 0 < paid < free


def test_why_a_lever_stops_paying() -> None:
    """int4 ends where the bytes are KV cache, eight-way tensor parallel over PCIe in its links."""
    pulls = advise(llmroof.estimate(model="llama-3.1-70b", gpu="h100", tp=4, batch=32))
    stop = find(pulls, "int4 weights").stop
    assert stop is not None
    assert (stop.phase, stop.bound) == ("decode", "memory")
    at = llmroof.estimate(model="llama-3.1-70b", gpu="h100", tp=4, batch=stop.at, weights="int4")
    moved = sum(cost.operator.bytes * cost.operator.count for cost in at.decode.operators)
    cache = sum(cost.operator.kv_bytes * cost.operator.count for cost in at.decode.operators)
    assert stop.kv_share == pytest.approx(cache / moved)
    assert stop.kv_share > 0.5
    pulls = advise(llmroof.estimate(model="llama-3.1-70b", gpu="l40s", tp=4, concurrency=64))
    pull = find(pulls, "tensor parallel over 8")
    assert pull.stop is not None
    assert pull.stop.bound == "network"
    times = pull.result.decode.times
    assert pull.stop.share == times.network / times.total
    assert (pull.gains["tpot"] or 0.0) < 0
    text = " ".join(run("advise", "-m", "llama-3.1-70b", "--gpu", "l40s", "--tp", "4",
                        "-c", "64").stdout.split())  # fmt: skip
    assert re.search(r"tensor parallel over 8: -\d+% of TPOT; the links take \d+% of a", text)


def test_tensor_parallel_over_pcie_pays_less_than_over_nvlink() -> None:
    def gain(gpu: str) -> float:
        estimate = llmroof.estimate(model="llama-3.1-8b", gpu=gpu, tp=4, batch=64, input_len=2048)
        found = find(advise(estimate), "tensor parallel over 8").gains["ttft"]
        assert found is not None
        return found

    assert gain("l40s") < gain("h100") - 0.1


def test_other_gpus_cost_no_more() -> None:
    estimate = llmroof.estimate(gpu="h100", batch=32)
    others = [pull for pull in advise(estimate) if "no more money" in pull.title]
    assert others
    for pull in others:
        assert pull.result.cost.usd_per_hour <= estimate.cost.usd_per_hour
    assert not [p for p in advise(estimate, hardware=False) if "no more money" in p.title]


def test_no_lever_for_what_does_not_fit() -> None:
    with pytest.raises(InputError, match="does not fit"):
        advise(llmroof.estimate(model="llama-3.1-70b", gpu="h100", tp=1))
    with pytest.raises(InputError, match="must be one of"):
        advise(llmroof.estimate(), "speed")


def test_the_page() -> None:
    result = run("advise", "--gpu", "h100", "-b", "32")
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    text = " ".join(result.stdout.split())
    for words in ("int4 weights", "stops paying beyond batch", "decode memory time -",
                  "Already in use - flash attention: without it", "assumed"):  # fmt: skip
        assert words in text
    command = re.search(r"To see the first one (llmroof estimate [^\n]*?) - assumed", text)
    assert command
    assert run(*command[1].split()[1:]).exit_code == 0


def test_documents_and_frames() -> None:
    found = json.loads(run("advise", "--gpu", "h100", "-b", "8", "--format", "json").stdout)
    titles = [lever["title"] for lever in found["levers"]]
    frame = llmroof.advise(llmroof.estimate(gpu="h100", batch=8))
    assert frame["lever"].tolist() == titles
    lines = run("advise", "--gpu", "h100", "-b", "8", "--format", "csv").stdout.splitlines()
    assert len(lines) == len(titles) + 1


# --- compare ---------------------------------------------------------------------------


def test_a_batch_beside_a_load_is_named_by_what_each_has() -> None:
    page = run("compare", "h100,concurrency=4", "l4,batch=2", "-m", "gpt2").stdout.splitlines()
    assert page[:2] == ["A: h100-sxm, fp32, concurrency 4", "B: l4, fp32, batch 2"]


def test_rows_of_deployments_that_have_different_figures() -> None:
    """What only one of them has is an empty cell of the other."""
    pair = ("compare", "h100", "h100,tp=2,disaggregated", "-m", "gpt2", "-c", "8")
    first, second = csv.DictReader(io.StringIO(run(*pair, "--format", "csv").stdout))
    assert first["disaggregated_limited_by"] == ""
    assert second["disaggregated_limited_by"] != ""
    assert "disaggregated_limited_by" in run(*pair, "--format", "markdown").stdout


def test_compare_is_the_estimates_side_by_side() -> None:
    result = run("compare", "h100,tp=4", "mi300x,tp=2,precision=fp8", "-m", "llama-3.1-70b",
                 "-b", "32", "--format", "json")  # fmt: skip
    assert result.exit_code == 0
    found = json.loads(result.stdout)["deployments"]
    one = llmroof.estimate(model="llama-3.1-70b", gpu="h100", tp=4, batch=32)
    two = llmroof.estimate(model="llama-3.1-70b", gpu="mi300x", tp=2, precision="fp8", batch=32)
    for document, estimate in zip(found, (one, two), strict=True):
        assert document["serving"]["tpot_s"] == estimate.serving.tpot
    assert found[1]["ratios"]["tpot_s"] == two.serving.tpot / one.serving.tpot
    assert found[0]["ratios"]["ttft_s"] == 1.0
    frame = llmroof.compare(one, two)
    assert frame.loc["tpot_s", "B"] == two.serving.tpot


def test_differences_are_what_the_times_say() -> None:
    one = llmroof.estimate(gpu="h100", batch=8)
    two = llmroof.estimate(gpu="a100", batch=8)
    shifts = time_shift(one, two, "decode")
    assert shifts["memory"] == two.decode.times.memory - one.decode.times.memory
    assert compare([one, two]).differing[0] == "hardware"
    result = run("compare", "h100", "a100", "-b", "8")
    text = " ".join(result.stdout.split())
    assert "a decode pass spends more on device memory" in text
    assert "worse: TTFT" in text
    assert "the same within" in run("compare", "h100", "h100").stdout


def test_switches_and_units_of_a_deployment() -> None:
    args = ("compare", "h100", "h100,kv-cache-dtype=fp8", "h100,batch=64", "-b", "16")
    found = json.loads(run(*args, "--format", "json").stdout)
    assert [d["inputs"]["batch"] for d in found["deployments"]] == [16, 16, 64]
    assert found["deployments"][1]["inputs"]["kv_cache_dtype"] == "fp8"
    assert {"kv_cache_dtype", "batch"} <= set(found["differing"])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("h100",), "two or more"),
        (("h100", "a100,b200"), "write GPU,option=value"),
        (("h100", "a100,tq=2"), "did you mean"),
        (("h100", "a100,tp=x"), "not a valid whole number"),
        (("h100", "a100,batch=1:4"), "one value"),
        (("h100", "nonsense"), "unknown GPU"),
        (("h100", "a100,limit=true"), "is a switch"),
    ],
)
def test_faults_of_compare(args: tuple[str, ...], message: str) -> None:
    result = run("compare", *args)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_what_does_not_fit_is_a_no(tmp_path: Path) -> None:
    path = tmp_path / "memory.svg"
    result = run("compare", "h100,tp=4", "a100,tp=1", "-m", "llama-3.1-70b", "--plot", str(path))
    assert result.exit_code == 1
    assert "it does not fit" in result.stdout
    assert path.stat().st_size > 5_000


@pytest.mark.parametrize("by", ["tpot", "cost"])
def test_of_what_is_free_nothing_is_saved(by: str) -> None:
    """Found by fuzzing: a price of nothing made 0/0 of every gain in cost."""
    levers = json.loads(
        run("advise", "--gpu", "h100", "--price", "0", "--by", by, "--format", "json").stdout
    )["levers"]
    assert levers
    assert {lever["gains"]["cost"] for lever in levers} == {None}


def test_the_chart_of_the_levers(tmp_path: Path) -> None:
    path, again = tmp_path / "levers.png", tmp_path / "again.png"
    args = ("advise", "--gpu", "h100", "-b", "32", "--by", "cost", "--plot")
    for file in (path, again):
        assert run(*args, str(file)).exit_code == 0
    assert path.stat().st_size > 5_000
    assert path.read_bytes() == again.read_bytes()
    assert "exists" in run(*args, str(path)).stderr
    assert run(*args, str(path), "--force").exit_code == 0
    with style.look():
        estimate = llmroof.estimate(gpu="h100", batch=32)
        pulls = advise(estimate, "cost")
        figure = compose(estimate, pulls, "cost")
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["TTFT saved", "TPOT saved", "tok/s/GPU added", "USD/M saved"]
    shown = [text.get_text() for text in figure.axes[3].texts]
    free = [pull for pull in pulls if not pull.in_use]
    assert f"{free[0].gains['cost']:+.0%}" == shown[0]


def test_a_chart_says_of_which_load_it_is() -> None:
    for load, words in (
        ({"concurrency": 16}, "16 requests in flight"),
        ({"request_rate": 2.0}, "2 requests/s"),
    ):
        estimate = llmroof.estimate(gpu="h100", **load)
        with style.look():
            figure = compose(estimate, advise(estimate, "tpot"), "tpot")
        assert any(words in text.get_text() for text in figure.texts)


def test_nothing_to_gain_is_nothing_to_draw() -> None:
    estimate = llmroof.estimate(gpu="h100")
    used = [replace(pull, in_use=True) for pull in advise(estimate, "tpot")]
    with style.look(), pytest.raises(InputError, match="no lever buys anything here"):
        compose(estimate, used, "tpot")


def test_a_gain_that_is_unknown_has_no_bar() -> None:
    """Without a price nothing is known of what a lever saves."""
    estimate = llmroof.estimate(gpu="h100", price=0.0)
    pulls = advise(estimate, "tpot")
    with style.look():
        figure = compose(estimate, pulls, "tpot")
    assert not figure.axes[3].patches or all(bar.get_width() == 0 for bar in figure.axes[3].patches)
    assert figure.axes[1].patches


def test_what_is_left_off_is_the_first_lever() -> None:
    """Naive attention and recomputing every key: turning either off is a lever of its own."""
    naive = advise(llmroof.estimate(gpu="h100", batch=4, attention="naive"), "tpot")
    assert any(pull.change == {"attention": "flash"} and not pull.in_use for pull in naive)
    without = advise(llmroof.estimate(gpu="h100", batch=4, kv_cache=False), "tpot")
    cache = find(without, "KV cache")
    assert cache.change == {"kv_cache": True}
    assert cache.gains["tpot"] == max(pull.gains["tpot"] or 0.0 for pull in without)


def test_loads_that_deployments_share_stand_above_them() -> None:
    text = " ".join(run("compare", "h100", "h200", "-c", "24").stdout.split())
    assert "24 requests in flight, 1,024 tokens in" in text
    assert "batch" not in text.partition("tokens in")[0]


def test_collectives_are_compared_by_kind_not_by_what_binds_them() -> None:
    """All-reduces whose label flips to overhead are no saving of network time."""
    asked = {"model": "llama-3.1-70b", "gpu": "h100", "tp": 4}
    before, after = (llmroof.estimate(**asked, batch=many).decode for many in (32, 64))
    found = [
        sum(one.times.total for one in phase.operators if one.operator.compute == "network")
        for phase in (before, after)
    ]
    assert [_parts(phase)["network"] for phase in (before, after)] == found
    assert found[1] > found[0]


@pytest.mark.parametrize(
    "title", ["8 × NVIDIA GH200 96 GB HBM3 (per GPU) for no more money", "W" * 60]
)
def test_names_of_levers_stay_on_the_chart(title: str) -> None:
    """Neither cut off at the left nor run into the bars, wide letters or narrow ones."""
    pulls = [replace(pull, title=title) for pull in advise(llmroof.estimate(gpu="h100"))]
    with style.look():
        figure = compose(llmroof.estimate(gpu="h100"), pulls, "tpot")
        figure.canvas.draw()
        label = figure.axes[0].get_yticklabels()[0]
        box, bars = label.get_window_extent(), figure.axes[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= bars.x0
    assert len(label.get_text()) > 10


def test_a_figure_many_times_as_large_is_told_as_a_loss() -> None:
    """27 times the TTFT, in a list of gains, reads as a gain unless it says longer."""
    assert _percent(-26.0) == "27× as much"
    assert _percent(-0.5) == "-50%"
    assert _percent(12.0) == "13×"  # of throughput: times cannot be saved more than once


def test_a_bar_that_is_cut_off_shows_it() -> None:
    """What gains or loses more than the panel is wide has a mark of two strokes in its bar."""
    pulls = advise(llmroof.estimate(gpu="h100", concurrency=4, engine="vllm"))
    with style.look():
        figure = compose(llmroof.estimate(gpu="h100"), pulls, "tpot")
    shown = [pull for pull in pulls if not pull.in_use and max(pull.gains.values()) >= PAYS][:12]
    beyond = [gain for pull in shown for gain in pull.gains.values() if abs(gain) > 1]
    marks = [line for axes in figure.axes for line in axes.lines if line.get_gid() == "cut"]
    assert beyond
    assert len(marks) == 2 * len(beyond)
