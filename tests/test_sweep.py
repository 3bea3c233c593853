"""Sweeps: points equal single questions, order, pieces, choices, files, interrupts."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

import llmroof
from llmroof.cli.main import cli
from llmroof.cli.streaming import Rest, note, read_rest
from llmroof.errors import InputError, UnknownName
from llmroof.figures import COLUMNS, more_is_better
from llmroof.render.plots import lines, style
from llmroof.render.rows import _cells
from llmroof.render.table import columns as json_columns
from llmroof.search.axes import make_axes
from llmroof.search.sweep import (
    STATIC,
    Choice,
    Tally,
    chosen_columns,
    joined,
    make_choice,
    run_sweep,
)

GRID: dict[str, Any] = {
    "gpu": ["a100", "h100"],
    "precision": ["bf16", "w4a16"],
    "tp": [1, 2],
    "batch": [1, 8, 512],
    "input_len": [128, 4096],
}


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, list(args))


def rows(
    question: dict[str, Any], choice: Choice | None = None, **how: Any
) -> list[dict[str, Any]]:
    axes = make_axes(question)
    names = chosen_columns(axes)
    parts = list(run_sweep(axes, choice or Choice(), names, **how))
    whole = joined(parts, names)
    return [
        {"point": int(point), **{name: whole.columns[name][i] for name in names}}
        for i, point in enumerate(whole.points)
    ]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float | np.floating) and np.isnan(one):
        return bool(np.isnan(other))
    return bool(one == other)


def alone(row: dict[str, Any], question: dict[str, Any]) -> Any:
    """The question of one row, asked by itself with everything stated."""
    names = [name for name in ("batch", "concurrency", "request_rate") if name in question]
    asked = {name: float(row[name]) for name in (*names, "input_len", "output_len")}
    asked |= {name: int(row[name]) for name in ("tp", "pp", "dp", "ep")}
    asked |= {"gpu": row["hardware"], "model": row["model"]}
    asked |= {name: row[name] for name in ("weights", "activations", "kv_cache_dtype", "engine")}
    kept = ("prefix_hit_rate", "chunked_prefill", "speculative_tokens", "acceptance_rate", "load")
    asked |= {name: question[name] for name in kept if name in question}
    return llmroof.estimate(**asked)


@pytest.mark.parametrize(
    "question",
    [
        GRID,
        {"gpu": ["h100", "l40s"], "batch": [4], "prefix_hit_rate": 0.5, "input_len": [512, 2000]},
        {"gpu": "h100", "batch": [1, 7, 33], "chunked_prefill": 300, "input_len": [299, 301, 900]},
        {"gpu": "h100", "batch": [1, 50], "speculative_tokens": 3, "acceptance_rate": 0.7},
        {"gpu": ["h100", "a100"], "concurrency": [1, 3, 64, 500], "input_len": [100, 3000]},
        {"gpu": "h100", "concurrency": [2, 48], "engine": ["vllm", "sglang"], "load": "burst"},
        {"gpu": "h100", "request_rate": [0.1, 1.5], "input_len": [200, 1000]},
        {"model": "mistral-7b", "gpu": "h100", "batch": [1, 9], "input_len": [1000, 9000]},
    ],
    ids=" ".join,
)
def test_every_point_is_the_same_question_asked_alone(question: dict[str, Any]) -> None:
    """Bit for bit, every column."""
    found = rows(question)
    assert len(found) == make_axes(question).points
    for row in found:
        single = alone(row, question)
        for name in row:
            if name in COLUMNS and name not in ("usd_per_gpu_hour",):
                expected = COLUMNS[name](single)
                assert same(row[name], expected), (name, row[name], expected)


@settings(max_examples=15)
@given(piece=st.integers(1, 12), start=st.integers(0, 30))
def test_pieces_and_starts_change_nothing(piece: int, start: int) -> None:
    whole = rows(GRID)
    part = rows(GRID, piece=piece, start=start)
    assert [row["point"] for row in part] == [
        row["point"] for row in whole if row["point"] >= start
    ]
    for one, other in zip(part, whole[len(whole) - len(part) :], strict=True):
        assert all(same(one[name], other[name]) for name in one)


def test_the_order_is_that_of_the_categories_and_then_of_the_mesh() -> None:
    found = rows({"gpu": ["h100", "a100"], "tp": [1, 2], "batch": [2, 1], "input_len": [64, 128]})
    assert [row["point"] for row in found] == list(range(16))
    places = [(row["hardware"], row["tp"], row["batch"], row["input_len"]) for row in found]
    assert places[:5] == [
        ("h100-sxm", 1, 2, 64),
        ("h100-sxm", 1, 2, 128),
        ("h100-sxm", 1, 1, 64),
        ("h100-sxm", 1, 1, 128),
        ("h100-sxm", 2, 2, 64),
    ]
    assert places[8][0] == "a100-sxm-80gb"


def test_the_columns_are_those_of_the_json() -> None:
    static = llmroof.estimate(gpu="h100", batch=4)
    assert [*STATIC, "defaults"] == sorted(json_columns(static), key=[*STATIC, "defaults"].index)
    loaded = llmroof.estimate(gpu="h100", concurrency=4)
    names = chosen_columns(make_axes({"concurrency": 4}))
    assert set(names) | {"defaults"} == set(json_columns(loaded))


@pytest.mark.parametrize("pareto", [("tpot_s", "output_tokens_per_s_per_gpu"),
                                    ("ttft_s", "usd_per_million_output_tokens", "mfu_")[:2],
                                    ("tpot_s", "ttft_s", "joule_per_output_token")])  # fmt: skip
@pytest.mark.parametrize("piece", [1, 4, 1 << 14])
def test_the_frontier_of_a_sweep_against_brute_force(pareto: tuple[str, ...], piece: int) -> None:
    fit = [row for row in rows(GRID) if row["fits"]]

    def beats(one: dict[str, Any], other: dict[str, Any]) -> bool:
        signs = [-1 if more_is_better(name) else 1 for name in pareto]
        pairs = [(s * one[n], s * other[n]) for s, n in zip(signs, pareto, strict=True)]
        return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)

    expected = {row["point"] for row in fit if not any(beats(other, row) for other in fit)}
    found = rows(GRID, make_choice(pareto=pareto), piece=piece)
    assert {row["point"] for row in found} == expected
    order = [row[pareto[0]] * (-1 if more_is_better(pareto[0]) else 1) for row in found]
    assert order == sorted(order)


@pytest.mark.parametrize("piece", [1, 5, 1 << 14])
@pytest.mark.parametrize("by", ["usd_per_million_output_tokens", "output_tokens_per_s_per_gpu"])
def test_the_top_of_a_sweep_against_sorting(by: str, piece: int) -> None:
    sign = -1 if more_is_better(by) else 1
    fit = sorted((r for r in rows(GRID) if r["fits"]), key=lambda r: (sign * r[by], r["point"]))
    found = rows(GRID, make_choice(top=4, by=by), piece=piece)
    assert [row["point"] for row in found] == [row["point"] for row in fit[:4]]


def test_where_keeps_what_holds() -> None:
    kept = rows(GRID, make_choice(where="tpot_s < 10 ms and fits and hardware = 'h100-sxm'"))
    assert kept
    expected = [
        row["point"]
        for row in rows(GRID)
        if row["tpot_s"] < 0.01 and row["fits"] and row["hardware"] == "h100-sxm"
    ]
    assert [row["point"] for row in kept] == expected


def test_what_cannot_be_is_skipped_with_its_reason() -> None:
    last: list[Tally] = []
    found = rows(
        {"gpu": ["a100", "h100"], "precision": ["bf16", "fp8"], "batch": [1, 2]}, tell=last.append
    )
    assert len(found) == 6
    tally = last[-1]
    assert (tally.total, tally.seen, tally.skipped) == (8, 8, 2)
    assert any("fp8" in reason for reason in tally.reasons)


def test_points_beyond_the_context_are_skipped() -> None:
    last: list[Tally] = []
    found = rows({"model": "gpt2", "gpu": "h100", "input_len": [128, 900], "output_len": 128},
                 tell=last.append)  # fmt: skip
    assert [row["input_len"] for row in found] == [128.0]
    assert last[-1].skipped == 1


def test_nothing_possible_is_a_fault() -> None:
    with pytest.raises(llmroof.LlmroofError, match="fp8"):
        rows({"gpu": "a100", "precision": "fp8"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top": 3}, "go together"),
        ({"by": "tpot_s"}, "go together"),
        ({"top": 0, "by": "tpot_s"}, "1 or more"),
        ({"pareto": "tpot_s,hardware"}, "no numbers"),
        ({"pareto": "tpot_s", "top": 1, "by": "tpot_s"}, "different choices"),
    ],
)
def test_choices_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_choice(**options)


def test_unknown_names() -> None:
    with pytest.raises(UnknownName, match="did you mean 'tpot_s'"):
        make_choice(pareto="tpots,ttft_s")
    with pytest.raises(UnknownName, match="did you mean 'batch'"):
        make_axes({"bach": 3})
    with pytest.raises(InputError, match="different things"):
        make_axes({"batch": 3, "concurrency": 2})


# --- files and the command -------------------------------------------------------------


def test_csv_and_parquet_hold_the_same(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    args = ("sweep", "--gpu", "h100,l40s", "-b", "1:64:x2", "--isl", "128,512")
    for name in ("a.csv", "a.parquet"):
        assert run(*args, "-o", str(tmp_path / name)).exit_code == 0
    read = pandas.read_csv(tmp_path / "a.csv")
    columnar = pandas.read_parquet(tmp_path / "a.parquet")
    assert list(read.columns) == list(columnar.columns) == list(STATIC)
    assert len(read) == len(columnar) == 28
    for name in ("tpot_s", "usd_per_million_output_tokens", "kv_cache_bytes"):
        assert read[name].tolist() == columnar[name].tolist()
    assert read["fits"].tolist() == columnar["fits"].tolist()
    assert read["decode_bound"].tolist() == columnar["decode_bound"].astype(str).tolist()
    frame = llmroof.sweep(gpu=["h100", "l40s"], batch=[1, 2, 4, 8, 16, 32, 64],
                          input_len=[128, 512])  # fmt: skip
    assert frame["tpot_s"].tolist() == read["tpot_s"].tolist()


def test_parts_add_up_to_the_whole(tmp_path: Path) -> None:
    args = ("sweep", "--gpu", "h100,a100", "-b", "1:8", "--columns", "hardware,batch,tpot_s")
    whole = run(*args, "--format", "csv").stdout.splitlines()
    rest = run(*args, "--format", "csv", "--start", "11").stdout.splitlines()
    assert whole[:1] + whole[12:] == rest
    assert whole[0] == "hardware,batch,tpot_s"
    parts = [run(*args, "--format", "csv", "--start", str(n), "--end", str(n + 5)).stdout
             for n in (0, 5, 10, 15)]  # fmt: skip
    assert [line for part in parts for line in part.splitlines()[1:]] == whole[1:]
    asked = {"gpu": ["h100", "a100"], "batch": list(range(1, 9)), "columns": ["tpot_s"]}
    frame = llmroof.sweep(**asked)
    halves = [llmroof.sweep(**asked, end=7), llmroof.sweep(**asked, start=7, end=99)]
    assert [len(half) for half in halves] == [7, 9]
    assert frame["tpot_s"].tolist() == [t for half in halves for t in half["tpot_s"]]


def stop_after(pieces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C comes during each sweep from now on, in its n-th piece of four points."""
    import llmroof.search.sweep as module

    original = module._views

    def views(axes: Any, start: int, _: int, tally: Tally) -> Any:
        for count, view in enumerate(original(axes, start, 4, tally), 1):
            if count == pieces:
                os.kill(os.getpid(), signal.SIGINT)
            yield view

    monkeypatch.setattr(module, "_views", views)


@pytest.mark.parametrize("name", ["grid.csv", "grid.parquet"])
@pytest.mark.parametrize("where", [(), ("--where", "batch != 3 and fits")])
def test_an_interrupt_keeps_what_is_done_and_resume_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, where: tuple[str, ...]
) -> None:
    pytest.importorskip("pyarrow")
    args = ("sweep", "--gpu", "a100,h100", "-b", "1:14", "-p", "bf16,fp8", *where,
            "--columns", "hardware,weights,batch,tpot_s,fits")  # fmt: skip
    path, whole = tmp_path / name, tmp_path / f"whole-{name}"
    assert run(*args, "-o", str(whole)).exit_code == 0
    with monkeypatch.context() as patch:
        stop_after(2, patch)
        result = run(*args, "-o", str(path))
        assert result.exit_code == 130
        assert "interrupted after 8 of 56 points" in result.stderr
        assert "--resume goes on" in result.stderr
        assert "another sweep" in run(*args, "--limit", "-o", str(path), "--resume").stderr
        if name.endswith("csv"):
            with path.open("a") as file:
                file.write("half a li")  # what a crash may leave
        result = run(*args, "-o", str(path), "--resume")
        assert "interrupted after 14 of 56" in result.stderr
        assert result.exit_code == 130
    result = run(*args, "-o", str(path), "--resume")
    assert result.exit_code == 0, result.output
    total = 56 - 14 - (3 if where else 0)
    assert f"wrote {total} of 56 points" in result.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([name, f"whole-{name}"])
    if name.endswith("csv"):
        assert path.read_bytes() == whole.read_bytes()
    else:
        pandas = pytest.importorskip("pandas")
        assert pandas.read_parquet(path).equals(pandas.read_parquet(whole))
    assert "is whole" in run(*args, "-o", str(path), "--resume").stderr


def test_a_note_that_does_not_belong_to_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with pytest.raises(InputError, match=r"nothing to go on with: .* does not exist"):
        read_rest(path, "q")
    path.write_text("model\n")
    with pytest.raises(InputError, match=r"nothing to go on with: .* is whole"):
        read_rest(path, "q")
    rest = Rest("q", seen=2, total=9, kept=1, size=6)
    rest.write(path)
    assert read_rest(path, "q") == rest
    with pytest.raises(InputError, match="is of another sweep"):
        read_rest(path, "another")
    path.write_text("mod")
    with pytest.raises(InputError, match="is shorter than its note says: start anew with --force"):
        read_rest(path, "q")
    note(path).write_text("{broken")
    with pytest.raises(InputError, match=r"cannot read '.*out"):
        read_rest(path, "q")


def test_an_interrupted_choice_is_of_what_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    stop_after(2, monkeypatch)
    args = ("sweep", "--gpu", "h100", "-b", "1:16", "--top", "1", "--by", "batch")
    result = run(*args, "--format", "json")
    assert result.exit_code == 130
    assert "interrupted after 8 of 16 points" in result.stderr
    found = json.loads(result.stdout)
    assert (found["seen"], found["points"]) == (8, 16)
    assert len(found["rows"]) == 1


def test_a_fault_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    assert run("sweep", "--gpu", "nonsense", "-o", str(path)).exit_code == 2
    assert list(tmp_path.iterdir()) == []
    path.write_text("mine")
    assert "--force overwrites" in run("sweep", "-o", str(path)).stderr
    assert path.read_text() == "mine"


def test_axes_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "axes.yaml"
    path.write_text("gpu: [h100, a100]\nbatch: 1:4:x2\ninput_len: [64, 128]\nlimit: true\n")
    args = ("sweep", "--axes", str(path), "--format", "csv", "--columns", "hardware,batch,limit")
    lines = run(*args).stdout.splitlines()
    assert len(lines) == 1 + 2 * 3 * 2
    assert lines[1] == "h100-sxm,1,true"
    assert len(run(*args, "--gpu", "h200").stdout.splitlines()) == 1 + 3 * 2
    path.write_text("gpu: {a: b}\n")
    assert "a value or a list" in run(*args).stderr
    path.write_text("gpus: [h100]\n")
    assert "did you mean 'gpu'" in run(*args).stderr
    path.write_text("batch: 9:1\n")
    assert "runs backwards" in run(*args).stderr
    path.write_text("[h100, a100]\n")
    assert "axes are written as `name: value` or `name: [values]`" in run(*args).stderr


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"prefix_hit_rate": 1.0}, "prefix_hit_rate must be 0 or more and below 1, not 1"),
        ({"concurrency": [8], "load": "gauss"}, "load must be closed or burst or poisson, not"),
        ({"request_rate": [0.0, 1.0]}, "request_rate must be above zero"),
        ({"gpu": []}, "gpu is empty"),
    ],
)
def test_axes_that_make_no_sense(question: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        rows({"gpu": "h100", **question})


def test_the_page_and_the_document() -> None:
    args = ("sweep", "--gpu", "h100,mi300x", "-b", "1:64:x2", "--tp", "1,2")
    page = run(*args)
    assert page.exit_code == 0
    assert "28 points, 28 fit" in page.stdout
    assert "Pareto frontier" in page.stdout
    assert max(map(len, page.stdout.splitlines())) <= 80
    found = json.loads(run(*args, "--format", "json", "--top", "3", "--by", "tpot_s").stdout)
    assert found["schema"] == "llmroof.sweep/1"
    assert found["points"] == 28
    assert len(found["rows"]) == 3
    assert set(STATIC) == set(found["rows"][0])


def test_a_table_names_what_was_varied_and_came_out_the_same() -> None:
    """The best rows are all in fp8: a reader of the table alone has to know."""
    args = ("sweep", "--gpu", "h100", "-b", "1,64", "-p", "bf16,fp8", "--isl", "512,1024")
    page = run(*args, "--top", "1", "--by", "output_tokens_per_s_per_gpu").stdout
    assert "every row: weights fp8, in 512" in page
    both = run(*args, "--top", "8", "--by", "output_tokens_per_s_per_gpu").stdout
    assert "every row" not in both  # all differ, each in a column of its own
    assert {"weights", "in"} <= set(both.split())


def test_no_point_left_is_a_no() -> None:
    result = run("sweep", "--gpu", "h100", "-b", "1,2", "--where", "tpot_s < 1 us")
    assert result.exit_code == 1
    assert "No point is left" in result.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--where", "__import__('os')"), "there is no column '__import__'"),
        (("--columns", "tpot"), "did you mean 'tpot_s'"),
        (("--format", "parquet"), "name a file with -o"),
        (("--pareto", "hardware,tpot_s"), "holds no numbers"),
        (("--gpu", "h100,,a100"), "empty name"),
        (("--plot", "x.png", "--chart", "heat", "--heat", "a,b"), "three columns"),
        (("--plot", "x.png", "--chart", "heat", "--heat", ",,"), "three columns"),
        (("--plot", "x.png", "--heat", "batch,tp,tpot_s"), "--heat names the columns of --chart"),
        (("--chart", "heat"), "--chart says what --plot draws: name its file"),
        (("--tp", "3", "--format", "csv"), "tp=3 does not divide"),
        (("--resume",), "--resume goes on with"),
        (("--resume", "-o", "x.csv", "--top", "2", "--by", "tpot_s"), "without --top and --pareto"),
    ],
)
def test_faults_of_the_command(args: tuple[str, ...], message: str) -> None:
    result = run("sweep", *args)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("frontier.png", ("--gpu", "h100,mi300x", "-b", "1:64:x2", "--tp", "1,2")),
        ("cost.svg", ("--gpu", "h100,mi300x", "-c", "1:64:x2", "--chart", "cost")),
        (
            "batch.png",
            ("--gpu", "h100,l40s", "-b", "1:1024:x2", "--isl", "256", "--chart", "batch"),
        ),
        ("heat.pdf", ("--gpu", "h100", "-b", "1:64:x2", "--isl", "64:512:x2", "--chart", "heat")),
    ],
)
def test_charts_are_written_and_repeat(tmp_path: Path, name: str, args: tuple[str, ...]) -> None:
    path, again = tmp_path / name, tmp_path / f"again-{name}"
    for file in (path, again):
        result = run("sweep", *args, "--plot", str(file))
        assert result.exit_code == 0, result.output
    assert path.stat().st_size > 5_000
    assert path.read_bytes() == again.read_bytes()


def test_the_title_of_batches_says_whose_figures_they_are() -> None:
    """Two GPUs are the faster for one, a single one does more work per GPU."""
    grid = rows({"gpu": "h100", "tp": [1, 2], "batch": [1, 64]})
    with style.look():
        words = " ".join(lines.compose(grid).texts[0].get_text().split())
    least = min(row["tpot_s"] for row in grid) * 1e3
    assert f"From {least:.3g} ms a token alone (2 × h100-sxm) to" in words
    assert words.endswith("per GPU together (h100-sxm)")


def test_a_chart_of_batches_takes_the_best_of_many(tmp_path: Path) -> None:
    """Eight plans of two GPUs are more than a chart holds: the best of each GPU come first."""
    grid = rows({"gpu": ["h100", "a100"], "tp": [1, 2, 4, 8], "batch": [1, 8, 64]})
    with style.look():
        figure = lines.compose(grid)
    names = [text.get_text() for text in figure.legends[-1].get_texts()]
    assert len(names) == lines.MOST_SERIES
    assert {name.partition(" × ")[2] or name for name in names} == {"h100-sxm", "a100-sxm-80gb"}
    assert any("7 of 8 deployments" in text.get_text() for text in figure.texts)


def test_the_notebook_runs() -> None:
    path = Path(__file__).resolve().parent.parent / "docs" / "search.ipynb"
    if not path.is_file():
        pytest.skip("no docs beside the tests")
    names: dict[str, Any] = {}
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), str(path), "exec"), names)
    assert len(names["grid"]) == 108
    assert names["frontier"]["tpot_s"].is_monotonic_increasing
    assert names["answer"].options


def test_whole_numbers_beyond_64_bits_stay_themselves() -> None:
    """FLOP of long prompts pass 2^63; as int64 they came out negative."""
    assert list(_cells(np.array([6.2e19, 2.0]), 2)) == [int(6.2e19), 2]
    assert list(_cells(np.array([6.2e18, 2.0]), 2)) == [int(6.2e18), 2]


def test_a_sweep_shares_no_devices_out_between_workers() -> None:
    """Each point would have a best split of its own: refused, unless there is one only."""
    apart = {"disaggregated": [True], "tp": [1], "concurrency": [64], "input_len": [4096]}
    with pytest.raises(InputError, match="say prefill_workers and decode_workers"):
        rows({**apart, "num_gpus": [8]})
    for counts in ({"num_gpus": [2]}, {"prefill_workers": [5], "decode_workers": [3]}):
        [row] = rows({**apart, **counts})
        alone = llmroof.estimate(**{name: one[0] for name, one in {**apart, **counts}.items()})
        assert row["ttft_s"] == alone.serving.ttft


def test_nothing_found_and_nothing_accepted_are_shares_to_sweep() -> None:
    """A share of 0 is what a question without the option has."""
    args = ["sweep", "--gpu", "h100", "--prefix-hit-rate", "0,0.5", "--columns", "ttft_s",
            "--top", "9", "--by", "ttft_s", "--format", "json"]  # fmt: skip
    rows = json.loads(CliRunner().invoke(cli, args).stdout)["rows"]
    assert rows[-1]["ttft_s"] == float(llmroof.estimate(gpu="h100").serving.ttft)
    assert rows[0]["ttft_s"] < rows[-1]["ttft_s"]
    guess = ["sweep", "--gpu", "h100", "--speculative-tokens", "3", "--acceptance-rate", "0,0.9"]
    assert CliRunner().invoke(cli, guess).exit_code == 0


def test_a_list_given_in_parts_is_one_list() -> None:
    parts = ["-g", "h100", "-g", "l4,t4", "-b", "1", "-b", "2:3", "--where", "batch >= 1"]
    whole = ["-g", "h100,l4,t4", "-b", "1,2,3", "--where", "batch >= 1"]
    asked = ["sweep", "--columns", "hardware,batch,tpot_s", "--format", "csv", "-m", "llama-3.2-1b"]
    rows = CliRunner().invoke(cli, [*asked, *parts]).stdout
    assert rows.count("\n") == 1 + 3 * 3
    assert rows == CliRunner().invoke(cli, [*asked, *whole]).stdout


@pytest.mark.parametrize("form", ["json", "csv", "table"])
def test_a_part_without_answers_is_no_interrupt(form: str) -> None:
    """Two combinations, both refused; the part begins at the second: skipped, none is left."""
    part = ["--tp", "3,5", "--start", "1", "--format", form]
    result = CliRunner().invoke(cli, ["sweep", "--gpu", "h100", *part])
    assert result.exit_code == 1, result.stderr
    assert "interrupted" not in result.stderr
    assert "tp=5 does not divide" in result.stdout + result.stderr
