"""Recommendations: the same as trying all, monotone in what is allowed, honest in a no."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

import llmroof
from llmroof.cli.main import cli
from llmroof.errors import InputError, LlmroofError, Unsupported
from llmroof.render.commands import commands
from llmroof.render.page import to_text
from llmroof.render.recommend import recommend_page
from llmroof.search.advise import advise
from llmroof.search.goal import Answer, Goal, make_goal
from llmroof.search.judge import bounds, judge
from llmroof.search.recommend import best_first, recommend, running_grid
from llmroof.search.space import PRECISIONS, Question, candidates, deployments, plans
from llmroof.specs.hardware import load_hardware

GPUS = ("a100-sxm-80gb", "h100-sxm", "l40s", "b200-sxm")
GOALS: list[dict[str, Any]] = [
    {"slo_ttft": 0.5, "slo_tpot": 0.03},
    {"slo_ttft": 0.5, "slo_tpot": 0.03, "request_rate": 20, "max_gpus": 32},
    {"slo_tpot": 0.05, "concurrency": 300, "max_gpus": 64},
    {"objective": "throughput"},
    {"objective": "latency", "max_gpus": 8},
    {"objective": "energy", "slo_tpot": 0.04},
    {"slo_tpot": 0.02, "input_len": 8000, "output_len": 64},
    {"slo_tpot": 0.001},
    {"slo_ttft": 0.001, "request_rate": 3, "max_gpus": 4},
    {"slo_tpot": 0.05, "engine": "sglang"},
    {"slo_tpot": 0.05, "engine": "vllm", "prefix_hit_rate": 0.5},
    {"request_rate": 150, "max_gpus": 3},
    {"concurrency": 5000, "max_gpus": 5, "objective": "latency"},
]


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, list(args))


def everything(model: str, goal: dict[str, Any], gpus: Sequence[str]) -> dict[str, float]:
    """GPU -> the best score of all its candidates, each worked out; infinite for none."""
    goal = dict(goal)
    options = {"engine": goal.pop("engine")} if "engine" in goal else {}
    asked = make_goal(**{name: goal.get(name, default) for name, default in DEFAULTS.items()})
    hardware = [load_hardware(name) for name in gpus]
    loaded = llmroof.load_model(model)
    bases = list(deployments(loaded, hardware, [None, *PRECISIONS], **options))
    question = Question(
        asked.input_len, asked.output_len, running_grid(bases), asked.prefix_hit_rate
    )
    best: dict[str, float] = {}
    for one in candidates(bases, question, asked.max_gpus):
        point = judge(one, asked, question)
        score, excess = bounds(one, asked, question)
        assert score <= point.score * (1 + 1e-12) or (point.score < 0 and score <= point.score)
        assert excess <= max(point.excess, 1.0) * (1 + 1e-12)
        name = one.deployment.hardware.id
        best[name] = min(best.get(name, math.inf), point.score)
    return best


DEFAULTS: dict[str, Any] = {
    name: field.default if field.default is not None else None
    for name, field in Goal.__dataclass_fields__.items()
    if name not in ("input_len", "output_len")
} | {"input_len": None, "output_len": None}


@pytest.mark.parametrize(
    ("model", "goal", "gpus"),
    [
        (("llama-3.1-8b", "llama-3.1-70b")[i % 2], goal, (GPUS[i % 4], GPUS[(i + 1) % 4]))
        for i, goal in enumerate(GOALS)
    ],
    ids=str,
)
def test_the_search_finds_what_trying_all_finds(
    model: str, goal: dict[str, Any], gpus: tuple[str, str]
) -> None:
    """Also: no candidate is better than its bound."""
    expected = everything(model, goal, gpus)
    answer = recommend(model=model, gpu=gpus, count=2, **goal)
    wanted = sorted(score for score in expected.values() if math.isfinite(score))[:2]
    assert [option.score for option in answer.options] == wanted
    assert answer.evaluated <= answer.tried
    assert (answer.nearest is None) == bool(answer.options)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5), st.sampled_from("abc"))),
       st.integers(1, 3))  # fmt: skip
def test_branch_and_bound_against_sorting(items: list[tuple[int, int, str]], count: int) -> None:
    """Items are (bound, what the score lies above it, group)."""
    scores = [float(bound + above) for bound, above, _ in items]
    groups = [group for _, _, group in items]
    found = best_first([float(b) for b, _, _ in items], groups, scores.__getitem__, count)
    least = {group: min(s for s, g in zip(scores, groups, strict=True) if g == group)
             for group in set(groups)}  # fmt: skip
    assert [scores[i] for i in found] == sorted(least.values())[:count]
    assert len({groups[i] for i in found}) == len(found)


def best(answer: Answer) -> float:
    return answer.options[0].score if answer.options else math.inf


TARGETS = st.tuples(
    st.sampled_from([None, 0.1, 0.5, 2.0]), st.sampled_from([None, 0.005, 0.02, 0.05, 0.2])
)


@settings(max_examples=4)
@given(
    targets=TARGETS,
    looser=st.floats(1.0, 3.0),
    load=st.sampled_from([{}, {"request_rate": 10}, {"concurrency": 200}]),
    objective=st.sampled_from(["cost", "throughput", "latency", "energy"]),
    gpus=st.integers(0, 5),
)
def test_looser_targets_and_more_gpus_are_never_worse(
    targets: tuple[float | None, float | None],
    looser: float,
    load: dict[str, int],
    objective: str,
    gpus: int,
) -> None:
    asked: dict[str, Any] = {
        "model": "llama-3.1-8b",
        "gpu": GPUS[1:3],
        "objective": objective,
        **load,
    }
    names = ("slo_ttft", "slo_tpot")
    tight = dict(zip(names, targets, strict=True))
    loose = {name: None if value is None else value * looser for name, value in tight.items()}
    few, many = 2**gpus, 2 ** (gpus + 1)
    first = best(recommend(**asked, **tight, max_gpus=few))
    assert best(recommend(**asked, **loose, max_gpus=few)) <= first
    assert best(recommend(**asked, **tight, max_gpus=many)) <= first


@pytest.mark.parametrize("goal", GOALS[:7], ids=str)
def test_an_answer_keeps_its_promises(goal: dict[str, Any]) -> None:
    answer = recommend(model="llama-3.1-70b", gpu=GPUS, **goal)
    assert answer.options
    for option in answer.options:
        estimate = option.estimate
        assert estimate.fits
        assert estimate.serving.ttft <= goal.get("slo_ttft", math.inf) * (1 + 1e-9)
        assert estimate.serving.tpot <= goal.get("slo_tpot", math.inf) * (1 + 1e-9)
        assert option.num_gpus <= goal.get("max_gpus", 16)
        assert estimate.steady is not None
        assert estimate.load is not None
        assert np.isclose(estimate.steady.waiting, 0)
        if "request_rate" in goal:
            carried = option.replicas * estimate.serving.requests_per_s
            assert carried == pytest.approx(goal["request_rate"])
        if "concurrency" in goal:
            assert option.replicas * estimate.load.concurrency >= goal["concurrency"]
    assert len({option.estimate.deployment.hardware.id for option in answer.options}) == len(
        answer.options
    )
    scores = [option.score for option in answer.options]
    assert scores == sorted(scores)


def test_one_replica_less_does_not_do() -> None:
    """The fleet for a rate is the smallest: with a GPU less the same deployment misses."""
    asked = {"model": "llama-3.1-70b", "slo_ttft": 0.5, "slo_tpot": 0.03, "request_rate": 20}
    option = recommend(**asked, gpu="h100", max_gpus=64).options[0]
    plan = option.estimate.deployment.run.plan
    assert option.replicas > 1
    fewer = recommend(
        **asked,
        gpu="h100",
        precision=option.estimate.deployment.run.precision.name,
        tp=plan.tp,
        pp=plan.pp,
        max_gpus=option.num_gpus - plan.num_gpus,
    )
    assert not fewer.options
    assert fewer.nearest is not None


@pytest.mark.parametrize("load", [{"request_rate": 7.0}, {"concurrency": 70}], ids=str)
def test_what_a_replica_could_carry_is_the_most(load: dict[str, float]) -> None:
    """The stated largest load keeps the targets; a little more misses what is said to limit it."""
    targets = {"slo_ttft": 0.5, "slo_tpot": 0.03}
    option = recommend(model="llama-3.1-70b", gpu="h100", **targets, **load).options[0]
    one = option.estimate.deployment
    assert option.limited_by == "slo_tpot"
    assert option.estimate.load is not None
    assert option.most >= option.estimate.load.concurrency
    asked: dict[str, Any] = {"model": "llama-3.1-70b", "gpu": "h100"}
    asked |= {"precision": one.run.precision.name, "tp": one.run.plan.tp, "pp": one.run.plan.pp}
    name = next(iter(load))
    most = option.most_per_s if name == "request_rate" else option.most
    within = llmroof.estimate(**asked, **{name: most})
    assert within.serving.tpot <= 0.03
    assert within.serving.requests_per_s == pytest.approx(option.most_per_s)
    beyond = llmroof.estimate(
        **asked, **{name: most * 1.15 if name == "request_rate" else most + 1}
    )
    assert beyond.serving.tpot > 0.03


def test_commands_of_every_engine_take_options_that_exist() -> None:
    """Attention data parallelism and a small cache are where the engines differ."""
    estimate = llmroof.estimate(
        model="deepseek-r1", gpu="h200", tp=2, dp=4, ep=8, concurrency=100, input_len=20000,
        kv_cache_dtype="fp8",
    )  # fmt: skip
    texts = commands(estimate, 99.5)
    vllm, sglang = (shlex.split(texts[name]) for name in ("vllm", "sglang"))
    assert vllm[:3] == ["vllm", "serve", "deepseek-ai/DeepSeek-R1"]
    flags = dict(zip(vllm[3:], [*vllm[4:], ""], strict=True))
    assert flags["--tensor-parallel-size"] == "2"
    assert flags["--data-parallel-size"] == "4"
    assert flags["--max-num-seqs"] == "25"  # of each of four ranks
    assert flags["--max-model-len"] == "20256"
    assert "--enable-expert-parallel" in vllm
    assert "--quantization" not in vllm  # stored in fp8
    flags = dict(zip(sglang, [*sglang[1:], ""], strict=True))
    assert (flags["--tp-size"], flags["--dp-size"], flags["--ep-size"]) == ("8", "4", "8")
    assert flags["--max-running-requests"] == "100"  # of all ranks
    assert flags["--kv-cache-dtype"] == "fp8_e4m3"
    assert flags["--mem-fraction-static"] == "0.85"  # its own share, not the generic 0.9
    trtllm = texts["trtllm"]
    assert trtllm.startswith("echo '{enable_attention_dp: true, kv_cache_config: {dtype: fp8,")
    assert "--extra_llm_api_options trtllm.yaml" in trtllm
    assert "--enable_chunked_prefill" in trtllm
    assert "--kv_cache_free_gpu_memory_fraction" not in trtllm
    written = yaml.safe_load(shlex.split(trtllm)[1])
    assert written["kv_cache_config"]["free_gpu_memory_fraction"] == 0.9


@pytest.mark.parametrize(
    ("gpu", "engines"),
    [("h100", ["vllm", "sglang", "trtllm"]), ("mi355x", ["vllm", "sglang"])],
)
def test_commands_are_of_engines_that_run_on_the_gpu(gpu: str, engines: list[str]) -> None:
    """TensorRT-LLM is NVIDIA's alone."""
    assert list(commands(llmroof.estimate(gpu=gpu, concurrency=8))) == engines
    page = run("recommend", "-m", "llama-3.1-8b", "--gpu", gpu, "-p", "int8").stdout
    assert ("trtllm-serve" in page) == ("trtllm" in engines)
    assert "for vllm and sglang" not in page  # all that are named need the checkpoint


def test_targets_take_units() -> None:
    args = ("recommend", "-m", "llama-3.1-8b", "--gpu", "h100", "--format", "json")
    goal = json.loads(run(*args, "--slo-ttft", "800ms", "--slo-tpot", "0.025").stdout)["goal"]
    assert (goal["slo_ttft_s"], goal["slo_tpot_s"]) == (0.8, 0.025)
    for text, said in (
        ("800msec", "unknown unit"),
        ("0", "not in the range x>0"),
        ("nan", "nan is no number"),
        ("-5 ms", "-0.005 is not in the range x>0"),
    ):
        fault = run(*args, "--slo-ttft", text)
        assert fault.exit_code == 2
        assert said in fault.stderr
        assert "--slo-ttft" in fault.stderr


def test_four_bits_are_those_of_the_vendor() -> None:
    for gpu, name in (("b200", "nvfp4"), ("mi355x", "mxfp4")):
        bases = deployments(llmroof.load_model("llama-3.1-8b"), [load_hardware(gpu)], ["fp4"])
        (one,) = bases
        assert one.run.precision.weights.id == one.run.precision.activations.id == name


def test_the_estimate_of_an_option_can_be_asked_again() -> None:
    option = recommend(model="llama-3.1-8b", gpu="h100", slo_tpot=0.02).options[0]
    estimate = option.estimate
    run_as, load = estimate.deployment.run, estimate.load
    assert load is not None
    again = llmroof.estimate(
        model="llama-3.1-8b",
        gpu="h100",
        precision=run_as.precision.name,
        tp=run_as.plan.tp,
        pp=run_as.plan.pp,
        concurrency=load.concurrency,
    )
    assert again.serving == estimate.serving


def test_the_nearest_miss_is_the_nearest() -> None:
    answer = recommend(model="llama-3.1-8b", gpu=GPUS, slo_tpot=0.0005)
    assert not answer.options
    assert answer.nearest is not None
    assert answer.nearest.reasons == ("slo_tpot",)
    fastest = recommend(model="llama-3.1-8b", gpu=GPUS, slo_tpot=answer.nearest.excess * 0.0005)
    assert fastest.options
    barely = recommend(model="llama-3.1-8b", gpu=GPUS, slo_tpot=answer.nearest.excess * 0.000499)
    assert not barely.options


@pytest.mark.parametrize("load", [{"request_rate": 1e9}, {"concurrency": 10**9}], ids=str)
def test_a_load_beyond_all_gpus_is_missed_at_once(load: dict[str, float]) -> None:
    """No plan of 16 GPUs comes near it, which the bounds alone tell; the nearest carries it."""
    answer = recommend(model="llama-3.1-8b", gpu=GPUS, **load)
    assert not answer.options
    assert answer.evaluated <= 10 < answer.tried
    miss = answer.nearest
    assert miss is not None
    assert miss.reasons == ("max_gpus",)
    carried = miss.estimate.serving.requests_per_s if "request_rate" in load else (
        miss.estimate.load.concurrency)  # fmt: skip
    assert miss.replicas * float(carried) == pytest.approx(1e9)
    page = " ".join(run("recommend", "--gpu", ",".join(GPUS), "-r", "1e9").stdout.split())
    assert "No configuration meets all of it." in page
    assert "Fewer GPUs do not carry it." in page
    assert "to be worked out" in page


def test_replicas_that_are_chosen_carry_the_stream() -> None:
    """Also where the rate is close to what the fewest replicas finish."""
    for rate in (37.3, 100.0, 148.0, 1000.0, 1e6):
        answer = recommend(model="llama-3.1-8b", gpu="h100", request_rate=rate, max_gpus=10**9)
        (option,) = answer.options
        assert float(option.estimate.serving.requests_per_s) * option.replicas >= rate * (1 - 1e-12)


def test_targets_may_have_units_and_lists_come_in_parts() -> None:
    goal = ("--slo-ttft", "0.5", "--slo-tpot", "0.03")
    same = ("--slo-ttft", "500ms", "--slo-tpot", "30000 us")
    parts = ("-g", "h100", "-g", "l40s", "-p", "fp8", "-p", "bf16")
    one = run("recommend", *goal, "-g", "h100,l40s", "-p", "fp8,bf16")
    assert one.exit_code == 0
    assert run("recommend", *same, *parts).stdout == one.stdout


def test_lengths_are_within_what_the_model_was_made_for() -> None:
    """GPT-2 takes 1,024 tokens: the default prompt shrinks as in estimate, a longer one is none."""
    answer = recommend(model="gpt2", gpu="h100")
    assert (answer.goal.input_len, answer.goal.output_len) == (768, 256)
    refused = run("recommend", "-m", "gpt2", "--gpu", "h100", "--isl", "5000")
    assert refused.exit_code == 2
    assert "5256 tokens is beyond the 1024 that GPT-2 124M was made for" in refused.stderr


def test_too_few_gpus_for_the_model() -> None:
    answer = recommend(model="llama-3.1-405b", gpu="t4", max_gpus=2)
    assert not answer.options
    assert answer.nearest is None
    assert answer.tried == 0
    (note,) = [note for note in answer.notes if note.startswith("nearest")]
    assert re.fullmatch(
        r"nearest: 2 × t4 in w4a16, 1\d\d GB of weights per GPU, which has 1\d\.?\d* GB", note
    )


def test_plans_are_possible_and_bounded() -> None:
    model, gpu = llmroof.load_model("llama-3.1-70b"), load_hardware("h100")
    found = list(plans(model, gpu, 16))
    assert len(set(found)) == len(found)
    assert {plan.num_gpus for plan in found} == {1, 2, 4, 8, 16}
    assert all(plan.tp <= 8 and 64 % plan.tp == 0 for plan in found)
    assert {plan.num_gpus for plan in plans(model, load_hardware("apple-m4-max"), 16)} == {1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "fun"}, "objective must be one of"),
        ({"slo_tpot": 0.0}, "above zero"),
        ({"slo_ttft": math.nan}, "above zero"),
        ({"request_rate": 1, "concurrency": 2}, "different things"),
        ({"max_gpus": 0}, "1 or more"),
        ({"gpu": "h100", "precision": "fp7"}, "unknown precision"),
        ({"gpu": "apple-m4-max"}, "--price"),
        ({"gpu": "a100", "precision": "nvfp4"}, "arithmetic"),
        ({"prefix_hit_rate": 1.0}, "below 1"),
    ],
)
def test_questions_that_cannot_be_asked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(LlmroofError, match=message):
        recommend(**options)


def test_a_given_price_makes_all_comparable() -> None:
    answer = recommend(model="llama-3.1-8b", gpu=["h100", "apple-m4-max"], price=1.0)
    assert len(answer.options) == 2
    assert answer.notes == ()
    assert recommend(model="llama-3.1-8b", gpu=["h100", "apple-m4-max"]).notes != ()
    with pytest.raises(InputError):
        recommend(gpu="apple-m4-max")


# --- the command -----------------------------------------------------------------------


def test_the_page_names_what_binds_and_how_to_start_it() -> None:
    result = run("recommend", "-m", "llama-3.1-70b", "--gpu", "h100,h200", "-p", "fp8",
                 "--slo-ttft", "0.5", "--slo-tpot", "0.03")  # fmt: skip
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    for words in ("TPOT target", "at once", "USD/h", "To start the first", "memory-bound"):
        assert words in " ".join(result.stdout.split())
    text = result.stdout.replace("\\\n", " ")
    lines = [shlex.split(line) for line in text.splitlines() if "meta-llama" in line]
    assert [words[0] for words in lines] == ["vllm", "sglang", "trtllm-serve"]
    vllm = lines[0]
    assert vllm[vllm.index("--max-model-len") + 1] == "1280"
    assert vllm[vllm.index("--quantization") + 1] == "fp8"
    assert "--tensor-parallel-size" in vllm
    assert "fewer bits cost some quality" in result.stdout


def test_no_is_exit_code_one_with_the_nearest_miss() -> None:
    result = run("recommend", "-m", "llama-3.1-70b", "--gpu", "h100", "--slo-tpot", "0.001")
    assert result.exit_code == 1
    text = " ".join(result.stdout.split())
    assert re.search(r"Nearest: 8 × h100-sxm in \w+: TPOT [\d.]+ ms instead of 1.00 ms", text)
    assert "physical limit" in text
    assert run("recommend", "-m", "llama-3.1-405b", "--gpu", "t4", "--max-gpus", "1").exit_code == 1


def test_documents_and_rows() -> None:
    args = ("recommend", "-m", "llama-3.1-8b", "--gpu", "h100,l40s", "--slo-tpot", "0.05")
    found = json.loads(run(*args, "--format", "json").stdout)
    assert found["met"] is True
    assert {"vllm", "sglang", "trtllm"} == set(found["options"][0]["commands"])
    lines = run(*args, "--format", "csv").stdout.splitlines()
    assert lines[0].startswith("rank,replicas,total_gpus")
    assert len(lines) == 3
    frame = llmroof.recommend(model="llama-3.1-8b", gpu=["h100", "l40s"], slo_tpot=0.05).to_frame()
    assert frame["tpot_s"].tolist() == [o["serving"]["tpot_s"] for o in found["options"]]


def test_the_chart_of_the_options(tmp_path: Path) -> None:
    path = tmp_path / "options.png"
    result = run("recommend", "--gpu", "h100,l40s,a100", "--slo-tpot", "0.05", "--plot", str(path))
    assert result.exit_code == 0
    assert path.stat().st_size > 5_000


def test_an_engine_is_asked_on_devices_that_it_runs_on() -> None:
    asked = {"model": "llama-3.1-8b", "engine": "trtllm", "concurrency": 8}
    answer = recommend(model="llama-3.1-8b", gpu=["mi300x", "h100"], engine="trtllm")
    assert [one.estimate.deployment.hardware.id for one in answer.options] == ["h100-sxm"]
    with pytest.raises(Unsupported, match="runs on devices of NVIDIA alone, not on AMD Instinct"):
        llmroof.estimate(**asked, gpu="mi300x")
    with pytest.raises(Unsupported, match="of Apple alone"):
        llmroof.estimate(**asked | {"engine": "llamacpp-metal"}, gpu="h100")
    pulls = advise(llmroof.estimate(**asked, gpu="h100"))
    titles = " ".join(pull.title for pull in pulls)
    assert "NVIDIA" in titles
    assert "AMD" not in titles


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ("llama-3.1-70b", {"gpu": ["mi355x"], "slo_tpot": 0.03, "concurrency": 200}),
        ("llama-3.1-70b", {"gpu": ["h100", "l40s"], "slo_tpot": 0.03, "request_rate": 20}),
        ("qwen3-32b", {"gpu": ["b200"], "slo_ttft": 0.8, "request_rate": 15, "engine": "vllm"}),
        ("deepseek-v3", {"gpu": ["h200"], "concurrency": 64, "engine": "sglang"}),
        ("gpt-oss-120b", {"gpu": ["b200", "mi300x"], "request_rate": 3, "prefix_hit_rate": 0.3}),
        ("mixtral-8x7b", {"precision": "int8", "gpu": "a100", "slo_tpot": 0.05}),
        ("llama-3.1-8b", {"gpu": "h100", "max_gpus": 1, "limit": True, "price": 1.0}),
        (
            "llama-3.1-8b",
            {
                "gpu": "h100",
                "max_gpus": 1,
                "max_num_batched_tokens": 512,
                "max_num_seqs": 40,
                "gpu_memory_utilization": 0.7,
                "power": 300.0,
            },
        ),
    ],
)
def test_the_winner_can_be_checked_by_the_command_shown(model: str, more: dict[str, Any]) -> None:
    """The line that is printed asks the same question: every figure comes out again."""
    answer = recommend(model=model, **more)
    text = to_text(recommend_page(answer), 4000)
    line = text[text.index("llmroof estimate ") :].splitlines()[0]
    again = run(*line.split()[1:], "--format", "json")
    assert again.exit_code == 0, again.output
    found, best = json.loads(again.stdout), answer.options[0].estimate
    assert found["serving"]["ttft_s"] == pytest.approx(float(best.serving.ttft), rel=1e-9)
    assert found["serving"]["tpot_s"] == pytest.approx(float(best.serving.tpot), rel=1e-9)
    assert found["inputs"]["num_gpus"] == best.deployment.num_gpus
    assert found["cost"]["usd_per_hour"] == pytest.approx(best.cost.usd_per_hour)
