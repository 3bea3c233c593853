"""The derivations: each formula gives the estimate's figure, on paper as in the program."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from click.testing import CliRunner

from llmroof import units
from llmroof.cli.main import cli
from llmroof.render.explain import SECTIONS

QUESTIONS = [
    ["--gpu", "a100", "--batch", "32"],
    ["--gpu", "a100", "--batch", "32", "--limit"],
    ["--gpu", "h100", "--precision", "fp8", "--kv-cache-dtype", "fp8", "-b", "64"],
    ["--gpu", "h100", "--precision", "w4a16"],
    ["--model", "llama-3.1-70b", "--gpu", "h100", "-tp", "4", "-b", "8"],
    ["--model", "llama-3.1-70b", "--gpu", "h100", "-tp", "2", "-pp", "2", "-b", "8"],
    ["--model", "llama-3.1-8b", "--gpu", "h100", "-dp", "2", "-b", "8"],
    ["--model", "gpt2", "--gpu", "t4", "--isl", "100", "--osl", "20"],
    ["--model", "mistral-7b", "--gpu", "l4", "--isl", "8000", "-b", "4", "--price", "1"],
    ["--gpu", "h200", "--no-kv-cache"],
    ["--model", "deepseek-v2-lite", "--gpu", "h200", "-b", "4"],
    ["--model", "gemma-3-12b", "--gpu", "h200", "-b", "4", "--isl", "5000"],
    ["--model", "qwen3-next-80b-a3b", "--gpu", "h200", "-tp", "2", "-b", "4"],
    ["--model", "nemotron-h-56b", "--gpu", "h200", "-tp", "2", "-b", "4"],
    ["--model", "falcon-mamba-7b", "--gpu", "h200", "-b", "4"],
    ["--gpu", "h200", "--attention", "naive"],
    ["--gpu", "h200", "--fusion", "none"],
    ["--gpu", "h200", "-b", "4096"],
    ["--gpu", "h100", "-b", "8", "--speculative-tokens", "3", "--acceptance-rate", "0.7"],
    ["--gpu", "h100", "-c", "32"],
    ["--gpu", "h100", "-c", "32", "--engine", "trtllm", "--load", "burst"],
    ["--gpu", "h100", "-c", "600", "--engine", "vllm", "--input-len", "4096"],
    ["--gpu", "h100", "-c", "256", "--engine", "vllm", "--osl", "8"],
    ["--gpu", "h100", "-c", "64", "--engine", "vllm", "--osl", "8",
     "--max-num-batched-tokens", "1024"],
    ["--gpu", "h100", "--request-rate", "3", "--engine", "sglang"],
    ["--gpu", "h200", "-m", "deepseek-v3", "-tp", "1", "-dp", "8", "-ep", "8", "-c", "33",
     "--engine", "sglang", "--load", "burst", "--random-lengths"],
    ["--gpu", "h100", "-m", "llama-3.1-70b", "-tp", "2", "-pp", "2", "-c", "24"],
    ["--gpu", "h100", "-c", "16", "--engine", "vllm", "--speculative-tokens", "4",
     "--acceptance-rate", "1", "--draft-model", "llama-3.2-1b", "--prefix-hit-rate", "0.5"],
    ["--gpu", "h100", "-tp", "1", "--disaggregated", "-c", "64"],
    ["--gpu", "h100", "-tp", "1", "--disaggregated", "--request-rate", "5"],
    ["--gpu", "h100", "-tp", "1", "-dp", "2", "--disaggregated", "-c", "64", "--engine", "trtllm"],
    ["--gpu", "h100", "-tp", "1", "-dp", "2", "--request-rate", "0.01", "--engine", "trtllm"],
]  # fmt: skip


def explained(arguments: list[str], *more: str) -> Any:
    result = CliRunner().invoke(cli, ["explain", *arguments, *more, "--format", "json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def figures(arguments: list[str]) -> Any:
    return json.loads(CliRunner().invoke(cli, ["estimate", *arguments, "--format", "json"]).stdout)


def evaluate(formula: str, inputs: dict[str, float]) -> float:
    """Plain arithmetic; the names stand for the numbers put in."""
    known = {"max": max, "min": min, "ceil": math.ceil, "floor": math.floor}
    return float(eval(formula, {"__builtins__": {}}, known | inputs))


@pytest.mark.parametrize("arguments", QUESTIONS, ids=" ".join)
def test_every_formula_gives_its_result(arguments: list[str]) -> None:
    found = explained(arguments)
    assert [section["name"] for section in found["sections"]] == list(SECTIONS)
    count = 0
    for section in found["sections"]:
        for step in section["steps"]:
            inputs = {name: given["value"] for name, given in step["inputs"].items()}
            assert set(re.findall(r"[A-Za-z_]\w*", step["formula"])) <= {*inputs, "min", "max"}
            value = evaluate(step["formula"], inputs)
            assert value == pytest.approx(step["result"], rel=1e-9), step
            count += 1
    assert count > 20


@pytest.mark.parametrize("arguments", QUESTIONS, ids=" ".join)
def test_results_are_those_of_the_estimate(arguments: list[str]) -> None:
    found, whole = explained(arguments), figures(arguments)
    by_name = {
        (section["name"], step["name"]): step["result"]
        for section in found["sections"]
        for step in section["steps"]
    }
    same = {
        ("weights", "parameters"): whole["model"]["parameters"],
        ("weights", "weights"): whole["model"]["weights_bytes"],
        ("kv", "KV per token"): whole["model"]["kv_cache_bytes_per_token"],
        ("memory", "memory per GPU"): whole["memory"]["total_bytes"],
        ("serving", "latency"): whole["serving"]["e2e_latency_s"],
        ("serving", "output tokens/s"): whole["serving"]["output_tokens_per_s"],
        ("cost", "USD per million output tokens"): whole["cost"]["usd_per_million_output_tokens"],
        ("cost", "USD per million input tokens"): whole["cost"]["usd_per_million_input_tokens"],
    }
    for phase in ("prefill", "decode"):
        flop = "FLOP of all GPUs" if (phase, "FLOP of all GPUs") in by_name else "FLOP"
        same[phase, flop] = whole[phase]["flop"]
        same[phase, "intensity"] = whole[phase]["arithmetic_intensity"]
        same[phase, "ridge point"] = whole[phase]["ridge_point"]
        if (phase, "MFU") in by_name:
            same[phase, "MFU"] = whole[phase]["mfu"]
            same[phase, "MBU"] = whole[phase]["mbu"]
    for key, value in same.items():
        if value is not None:
            assert by_name[key] == pytest.approx(value, rel=1e-12), key


NUMBER = r"\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?"
#: a number with a unit that units.py knows, or a bare one
QUANTITY = re.compile(rf"({NUMBER}) ([kMGTPmun]?(?:FLOP/s|B/s|FLOP|B|s|USD)\b)|({NUMBER})")
DIMENSIONS = {"FLOP/s": "FLOP/s", "B/s": "B/s", "FLOP": "FLOP", "B": "B", "s": "s", "USD": "USD"}


def read(match: re.Match[str]) -> str:
    """The quantity as an SI number in a Python expression."""
    amount, unit, bare = match.groups()
    if bare:
        return bare.replace(",", "")
    end = max((name for name in DIMENSIONS if unit.endswith(name)), key=len)
    return repr(units.parse(f"{amount.replace(',', '')} {unit}", DIMENSIONS[end]))


def paper(text: str) -> list[tuple[str, float, float]]:
    """(line, left side recomputed, right side) of every printed `numbers = result`."""
    joined: list[str] = []
    for line in text.splitlines():
        fresh = line.startswith("    = ") or re.match(r"  \S", line)
        if fresh or not joined or not line.startswith("      "):
            joined.append(line.strip())
        else:
            joined[-1] += " " + line.strip()
    found = []
    for line in joined:
        parts = [re.sub(r" \(FLOP per byte\)$", "", part.strip()) for part in line.split(" = ")]
        parts = [part.removeprefix("= ") for part in parts]
        if line.endswith("."):  # a sentence, not a derivation
            continue
        expressions = [QUANTITY.sub(read, part).replace("×", "*") for part in parts[-2:]]
        if len(parts) >= 2 and all(re.fullmatch(r"[-+*/(). \de]+", e) for e in expressions):
            left, right = (float(eval(e, {"__builtins__": {}})) for e in expressions)
            found.append((line, left, right))
    return found


@pytest.mark.parametrize("arguments", QUESTIONS[:9], ids=" ".join)
def test_the_printed_arithmetic_can_be_done_on_paper(arguments: list[str]) -> None:
    """Four digits are printed, so that a product of several is right to three."""
    result = CliRunner().invoke(cli, ["explain", *arguments])
    assert result.exit_code == 0
    checked = paper(result.stdout)
    assert len(checked) > 20
    for line, left, right in checked:
        assert left == pytest.approx(right, rel=2e-3), line


def test_it_is_readable() -> None:
    text = CliRunner().invoke(cli, ["explain", "--gpu", "a100", "--batch", "32"]).stdout
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 200
    for word in (
        "8,030,261,248",
        "2 × 32 × 8 × 128 × 2 B = 131.1 kB",
        "a100-sxm-80gb.yaml",
        "llama-3.1-8b.yaml",
        "Why decode is memory-bound",
        "What KV caching trades",
        "--precision w4a16",
    ):
        assert word in text, word


@pytest.mark.parametrize(
    ("load", "tokens"),
    [(["--batch", "40"], "81,920"), (["-c", "40"], "2,048"), (["-r", "1"], "2,048")],
)  # 40 × 2,048 in one pass, or one prompt at a time
def test_a_prefill_pass_is_told_by_its_own_tokens(load: list[str], tokens: str) -> None:
    asked = ["explain", "--gpu", "h100", "--isl", "2048", *load, "--section", "model"]
    text = " ".join(CliRunner().invoke(cli, asked).stdout.split())
    assert f"Prefill puts {tokens} tokens through the same weights" in text


def test_an_engine_that_lets_in_more_than_its_memory_holds_at_the_end_says_so() -> None:
    """SGLang counts on most sequences not being at their last token: 129 GB of 128 GB "fits"."""
    asked = ["--gpu", "h200", "-m", "deepseek-v3", "--engine", "sglang", "--tp", "8"]
    asked += ["--isl", "1024", "--osl", "1024"]
    full, some = (
        " ".join(CliRunner().invoke(cli, ["estimate", *asked, "-c", many]).stdout.split())
        for many in ("600", "64")
    )
    assert "of 128 GB per GPU, were all at their last token" in full
    assert "last token" not in some
    memory = CliRunner().invoke(cli, ["explain", *asked, "-c", "600", "--section", "memory"])
    text = " ".join(memory.stdout.split())
    assert "as the engine counts on most not being at their last token" in text


def test_steps_under_a_load_are_not_called_tpot() -> None:
    """A TPOT of a load has prompts of others in it, a step of the table has not."""
    asked = ["explain", "--gpu", "h100", "--section", "ridge"]
    head = [
        CliRunner()
        .invoke(cli, [*asked, *load])
        .stdout.partition("  batch  FLOP/B")[2]
        .split("\n")[0]
        for load in (["-b", "8"], ["-c", "8"])
    ]
    assert head[0].split() == ["TPOT", "tokens/s"]
    assert head[1].split() == ["step", "tokens/s", "as", "a", "static", "batch"]


def test_one_section_alone() -> None:
    found = explained(QUESTIONS[0], "--section", "kv", "--section", "cost")
    assert [section["name"] for section in found["sections"]] == ["kv", "cost"]


def test_precisions_that_the_device_lacks_are_left_out() -> None:
    text = CliRunner().invoke(cli, ["explain", "--gpu", "a100", "--section", "model"]).stdout
    assert "--precision fp8" not in text
    text = CliRunner().invoke(cli, ["explain", "--gpu", "h100", "--section", "model"]).stdout
    assert "--precision fp8" in text


def test_the_largest_batch_is_the_largest() -> None:
    """The sentence gives both sides; they straddle the capacity."""
    text = CliRunner().invoke(cli, ["explain", "--gpu", "a100", "--section", "memory"]).stdout
    held, there, more = (float(n) for n in re.findall(r"(\d+\.\d+) GB", text)[-3:])
    assert held <= there < more


def test_csv_has_one_row_per_derivation() -> None:
    result = CliRunner().invoke(cli, ["explain", *QUESTIONS[0], "--format", "csv"])
    steps = sum(len(section["steps"]) for section in explained(QUESTIONS[0])["sections"])
    assert len(result.stdout.splitlines()) == steps + 1


LOADED: list[list[str]] = [
    *QUESTIONS,
    ["--model", "llama-3.1-70b", "--gpu", "h100", "-tp", "16", "-b", "8"],
    ["--model", "deepseek-v3", "--gpu", "h200", "-dp", "8", "-ep", "8", "-b", "64"],
    ["--model", "llama-3.1-70b", "--gpu", "h100", "-tp", "4", "--all-reduce", "one-shot"],
]


@pytest.mark.parametrize("phase", ["prefill", "decode"])
@pytest.mark.parametrize("arguments", LOADED, ids=" ".join)
def test_what_operators_take_adds_up(arguments: list[str], phase: str) -> None:
    """Norms and collectives included: the sum is the phase's time."""
    (section,) = explained(arguments, "--section", phase)["sections"]
    name = "at the limit" if "--limit" in arguments else "expected"
    (step,) = (step for step in section["steps"] if step["name"] == name)
    assert "norms_and_the_like" in step["inputs"]
    whole = figures(arguments)[phase]["time_s"]
    assert step["result"] == pytest.approx(whole, rel=1e-12)
    assert sum(part["value"] for part in step["inputs"].values()) == pytest.approx(whole, rel=1e-12)


UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def table_after(text: str, head: str) -> dict[str, list[str]]:
    """Rows of the table with that heading: name -> cells."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip().startswith(head))
    found = {}
    for line in lines[start + 1 :]:
        cells = re.split(r" {2,}", line.strip())
        if len(cells) < 2 or " = " in line:
            break
        found[cells[0]] = cells[1:]
    return found


def seconds(cell: str) -> float:
    amount, unit = cell.split()
    return float(amount) * UNITS[unit]


@pytest.mark.parametrize(
    "arguments", [QUESTIONS[0], QUESTIONS[2], QUESTIONS[4], QUESTIONS[11]], ids=" ".join
)
@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_every_row_can_be_redone_from_the_printed_shares(arguments: list[str], phase: str) -> None:
    """Taken = longest of (time at the roof / share reached) + start x runs, as printed."""
    text = CliRunner().invoke(cli, ["explain", *arguments, "--section", phase]).stdout
    times = table_after(text, "operator  ")
    shares = table_after(text, "reached of")
    together = "together" in text
    assert set(shares) == set(times) - {"all"}
    checked = 0
    for name, cells in shares.items():
        peak, bandwidth, link, *joint, start, runs = cells
        _, _, compute, memory, taken = times[name]
        if link != "-":
            continue  # the time on the link stands in its own derivation
        longest = max(
            seconds(at) / (float(share.rstrip("%")) / 100)
            for at, share in ((compute, peak), (memory, bandwidth))
            if share != "-"
        )
        assert bool(joint) == together
        longest *= float(joint[0].removeprefix("×")) if joint else 1.0
        again = longest + seconds(start) * float(runs.replace(",", ""))
        assert again == pytest.approx(seconds(taken), rel=0.015), name
        checked += 1
    assert checked > 5
    assert sum(seconds(row[-1]) for row in times.values()) == pytest.approx(
        2 * seconds(times["all"][-1]), rel=0.01
    )


def test_a_collective_shows_message_link_and_way() -> None:
    arguments = ["--model", "llama-3.1-70b", "--gpu", "h100", "-tp", "4", "-b", "8"]
    (section,) = explained(arguments, "--section", "decode")["sections"]
    steps = {step["name"]: step for step in section["steps"]}
    step = steps["mlp_all_reduce on the link"]
    assert step["inputs"]["message"]["value"] == 8 * 8192 * 2
    assert step["inputs"]["bandwidth"]["value"] == 450e9
    assert step["inputs"]["n"]["value"] == 4
    assert "ring" in step["note"]
    assert step["result"] == pytest.approx(80 * 2 * 3 / 4 * 8 * 8192 * 2 / 450e9)
    ways = {"one-shot": 3.0, "switch": 5 / 4}
    for way, sent in ways.items():
        (section,) = explained([*arguments, "--all-reduce", way], "--section", "decode")["sections"]
        steps = {step["name"]: step for step in section["steps"]}
        result = steps["mlp_all_reduce on the link"]["result"]
        assert result == pytest.approx(80 * sent * 8 * 8192 * 2 / 450e9)


def test_an_all_reduce_left_open_is_told_as_it_is_modelled() -> None:
    """The bytes of a ring at the limit, one or two shots in expected times."""
    asked = ["explain", "--gpu", "h100", "--tp", "2", "-b", "4", "--section", "decode"]
    text = " ".join(CliRunner().invoke(cli, asked).stdout.split())
    assert "at least what a ring sends; expected: one or two shots, the faster one" in text
    assert "left to the library" not in text
    named = CliRunner().invoke(cli, [*asked, "--all-reduce", "tree"])
    assert "tree: two binary trees, up and down" in " ".join(named.stdout.split())


def test_what_is_held_and_what_is_active_is_told() -> None:
    """Routed experts are not all run; a vision tower is held, and never run for text."""
    active = CliRunner().invoke(cli, ["explain", "-m", "mixtral-8x7b", "--gpu", "h200", "-tp", "2"])
    assert "Active per token: 12,879,925,248 (routed experts)." in " ".join(active.stdout.split())
    held = CliRunner().invoke(cli, ["explain", "-m", "gemma-3-12b", "--gpu", "h200"])
    assert "Held but not modelled: vision_tower, " in " ".join(held.stdout.split())


def test_a_model_without_a_cache_has_a_state() -> None:
    found = explained(["-m", "falcon-mamba-7b", "--gpu", "h200"])
    steps = {step["name"]: step for section in found["sections"] for step in section["steps"]}
    assert steps["KV per token"]["result"] == 0
