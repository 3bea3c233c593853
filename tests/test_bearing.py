"""Options without a bearing on the question they stand in: refused, or told, by every command."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import llmroof
from llmroof.bearing import beyond, most_at_once
from llmroof.cli.main import cli
from llmroof.errors import InputError
from llmroof.regression.check import check
from llmroof.resolve import deploy

SMALL = ["--model", "gpt2", "--gpu", "l4"]


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(cli, list(arguments))
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return result.stderr


def answered(*arguments: str) -> Any:
    result = CliRunner().invoke(cli, [*arguments, "--format", "json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("load", [["-c", "4"], ["-r", "2"]], ids=" ".join)
@pytest.mark.parametrize("command", [["estimate"], ["sweep"], ["advise"], ["compare", "l4", "t4"]])
def test_chunks_of_a_static_prefill_are_refused_under_a_load(
    command: list[str], load: list[str]
) -> None:
    """The passes of a server are as long as max_num_batched_tokens says: two would contradict."""
    said = refused(*command, "--model", "gpt2", *load, "--chunked-prefill", "64")
    assert "under a load max_num_batched_tokens says how many tokens a step takes" in said


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--load", "burst"], "load=burst needs concurrency"),
        (["--load", "burst", "-r", "2"], "load=burst needs concurrency"),
        (["--random-lengths"], "random_lengths needs concurrency or request_rate"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("command", ["estimate", "sweep"])
def test_options_of_a_load_need_one(command: str, given: list[str], message: str) -> None:
    assert message in refused(command, *SMALL, *given)


@pytest.mark.parametrize("load", ["open", ""])
def test_an_unknown_kind_of_load_is_refused_without_a_load_too(load: str) -> None:
    with pytest.raises(InputError, match="load must be closed or burst or poisson"):
        llmroof.estimate(model="gpt2", gpu="l4", load=load)


@pytest.mark.parametrize("command", [["estimate"], ["layers"], ["explain"], ["kv"],
                                     ["compare", "h100", "a100"]])  # fmt: skip
def test_a_skew_of_the_routing_needs_experts(command: list[str]) -> None:
    said = refused(*command, "--routing-skew", "1")
    assert "routing_skew=1 needs experts, and Llama 3.1 8B has none: leave it out" in said


def test_a_skew_of_the_routing_may_be_that_of_the_model_that_drafts() -> None:
    asked = {"model": "mixtral-8x7b", "gpu": "h100", "tp": 2, "routing_skew": 1.0}
    assert llmroof.estimate(**asked).fits
    guess = {"draft_model": "gpt-oss-20b", "speculative_tokens": 2, "acceptance_rate": 0.5}
    drafted = llmroof.estimate(model="gpt2", gpu="h100", routing_skew=1.0, **guess)
    assert drafted.deployment.run.routing_skew == 1.0


# --- sequences at once --------------------------------------------------------------------


def test_a_batch_beyond_what_runs_at_once_is_refused() -> None:
    for command in (["estimate"], ["layers"], ["explain"], ["advise"], ["compare", "l4", "t4"]):
        said = refused(*command, "--model", "gpt2", "--batch", "9", "--max-num-seqs", "8")
        assert "batch 9 is more than max_num_seqs=8 runs at once" in said
    assert answered("estimate", *SMALL, "--batch", "8", "--max-num-seqs", "8")


def test_each_rank_runs_so_many() -> None:
    """Two ranks of attention data parallelism run 2 x 8; three decode workers of them 3 x 2 x 8."""
    asked: dict[str, Any] = {"model": "gpt2", "gpu": "h100", "tp": 1, "max_num_seqs": 8}
    two, _ = deploy(**asked, dp=2)
    assert most_at_once(two) == 16
    apart, _ = deploy(**asked, dp=2, disaggregated=True, prefill_workers=1, decode_workers=3)
    assert most_at_once(apart) == 48
    assert beyond(two, 16.0) == ""
    assert (
        beyond(two, 17.0) == "batch 17 is more than max_num_seqs=8 on each of 2 ranks runs at once"
    )
    llmroof.estimate(**asked, dp=2, batch=16)
    with pytest.raises(InputError, match="batch 17 is more than"):
        llmroof.estimate(**asked, dp=2, batch=np.array([1.0, 17.0]))


def test_a_limit_that_was_not_asked_for_refuses_no_batch() -> None:
    """A static batch is what was asked, also where an engine's default is smaller."""
    found = llmroof.estimate(model="gpt2", gpu="h100", batch=4096)
    assert found.deployment.rules.max_num_seqs < found.workload.batch


def test_a_sweep_skips_the_points_beyond_the_limit_and_says_why() -> None:
    given = "--isl 64 -b 1:16:x2 --max-num-seqs 4,8 --columns batch,max_num_seqs"
    both = ["--pareto", "tpot_s,output_tokens_per_s_per_gpu"]
    document = answered("sweep", *SMALL, *given.split(), *both)
    kept = [(row["batch"], row["max_num_seqs"]) for row in document["rows"]]
    assert kept
    assert all(batch <= most for batch, most in kept)
    # of batches 1, 2, 4, 8, 16 two are beyond 4 and one beyond 8
    assert document["skipped"] == [
        {"points": 2, "reason": "more sequences than the 4 that max_num_seqs=4 allows"},
        {"points": 1, "reason": "more sequences than the 8 that max_num_seqs=8 allows"},
    ]


def test_no_lever_asks_for_a_batch_beyond_the_limit() -> None:
    """Twice the batch is a lever at 4 of at most 8, and none at 8 of 8."""
    for batch, told in (("4", True), ("8", False)):
        levers = answered("advise", *SMALL, "-b", batch, "--max-num-seqs", "8")["levers"]
        assert ("twice as many at once" in {one["title"] for one in levers}) == told
        page = CliRunner().invoke(cli, ["estimate", *SMALL, "-b", batch, "--max-num-seqs", "8"])
        assert (f"--batch {2 * int(batch)}" in page.stdout) == told


# --- notes --------------------------------------------------------------------------------

IDLE = "all_reduce=ring changes nothing: with tp=1 there is nothing to add up"


def notes(document: dict[str, Any]) -> list[str]:
    """What an answer rests on, wherever its document tells it."""
    if "basis" in document:
        return [line["text"] for line in document["basis"]]
    if "deployments" in document:
        return [note for one in document["deployments"] for note in one["notes"]]
    return list(document["notes"])


@pytest.mark.parametrize("command", [["estimate"], ["layers"], ["explain"], ["advise"], ["kv"],
                                     ["compare", "h100", "h100,tp=2"]], ids=" ".join)  # fmt: skip
def test_every_command_tells_what_changes_nothing(command: list[str]) -> None:
    """One device adds nothing up; of two deployments only the one on a single device says so."""
    args = [] if command[0] in ("explain", "layers", "kv", "compare") else ["-b", "2"]
    given = [*command, "--model", "gpt2", *args, "--max-num-seqs", "64", "--all-reduce", "ring"]
    said = notes(answered(*given))
    assert said.count(IDLE) == 1
    assert sum("max_num_seqs=64 bounds a static batch" in note for note in said) == (
        2 if command[0] == "compare" else 1
    )
    page = " ".join(CliRunner().invoke(cli, given, env={"COLUMNS": "200"}).stdout.split())
    assert IDLE in page
    rows = CliRunner().invoke(cli, [*given, "--format", "csv"])
    assert f"note: {IDLE}" in rows.stderr
    assert IDLE not in rows.stdout


def test_nothing_is_told_of_options_that_do_something() -> None:
    found = llmroof.estimate(model="gpt2", gpu="h100", tp=2, all_reduce="ring", concurrency=4,
                             max_num_seqs=2)  # fmt: skip
    assert found.notes == ()
    plain = llmroof.estimate(model="gpt2", gpu="h100", num_gpus=1)
    assert plain.notes == ()
    apart = llmroof.estimate(model="gpt2", gpu="h100", all_reduce="ring", disaggregated=True,
                             tp=1, prefill_tp=2)  # fmt: skip
    assert not any("all_reduce" in note for note in apart.notes)


def test_a_scenario_is_refused_like_the_command(tmp_path: Any) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        "baseline: false\nscenarios:\n"
        "  skew: {model: gpt2, routing-skew: 1}\n"
        "  chunk: {model: gpt2, concurrency: 4, chunked-prefill: 64}\n"
        "  good: {model: gpt2, all-reduce: ring}\n"
    )
    found = check(plan)
    assert "needs experts" in str(found.current["skew"]["error"])
    assert "max_num_batched_tokens" in str(found.current["chunk"]["error"])
    assert "error" not in found.current["good"]
