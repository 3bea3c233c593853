"""Every fault a user can cause: one line on stderr, exit code 2, nothing written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import llmroof
from llmroof.cli.main import cli
from llmroof.errors import InputError, LlmroofError

#: arguments -> a part of the message
FAULTS: list[tuple[list[str], str]] = [
    (["estimate", "--gpu", "a1000"], "unknown GPU 'a1000'; did you mean 'a100'?"),
    (["estimate", "--gpu", "zzzzzzzz"], "unknown GPU 'zzzzzzzz' (see llmroof gpus)"),
    (["estimate", "--model", "llama-3.1-9b"], "did you mean 'llama-3.1-8b'?"),
    (["estimate", "--model", "zzz"], "see llmroof models"),
    (["estimate", "--gpu", ""], "is empty"),
    (["estimate", "--gpu", "no/such.yaml"], "no such GPU file: 'no/such.yaml'"),
    (["estimate", "--model", "no/such.json"], "no such model"),
    (["estimate", "--gpu", "x" * 5000], "unknown GPU"),
    (["estimate", "--gpu", "a\x00b"], "unknown GPU"),
    (["estimate", "--batch", "0"], "0 is not between 1 and 1000000000"),
    (["estimate", "--batch", "-3"], "-3 is not between 1 and 1000000000"),
    (["estimate", "--batch", "1.5"], "'1.5' is not a whole number or a range"),
    (["estimate", "--batch", "nan"], "'nan' is not a whole number or a range"),
    (["estimate", "--batch", "lots"], "'lots' is not a whole number or a range"),
    (["estimate", "--batch", "1" + "0" * 30], "is not a whole number"),
    (["estimate", "--batch", ""], "is not a whole number"),
    (["estimate", "--batch", "1:9:x1"], "never reaches the end"),
    (["estimate", "--batch", "1:99999", "--isl", "1:99"], "points, more than 100000"),
    (["estimate", "--input-len", "0"], "0 is not between"),
    (["estimate", "--output-len", "-1"], "-1 is not between"),
    (["estimate", "--input-len", "200000"], "beyond the 131072 that Llama 3.1 8B was made for"),
    (["estimate", "--tp", "0"], "0 is not in the range"),
    (["estimate", "--tp", "two"], "'two' is not a valid whole number"),
    (["estimate", "--tp", "3"], "tp=3 does not divide the 32 attention heads"),
    (["estimate", "--pp", "99"], "pp=99 is more than the 32 layers"),
    (["estimate", "--num-gpus", "3", "--tp", "2"], "num_gpus=3"),
    (["estimate", "--precision", "fp9"], "unknown precision 'fp9'; did you mean 'fp"),
    (["estimate", "--weights", "int5"], "unknown number format 'int5'; did you mean 'int"),
    (["estimate", "--kv-cache-dtype", "tiny"], "unknown number format 'tiny'"),
    (["estimate", "--gpu", "a100", "--precision", "fp8"], "has no fp8 arithmetic"),
    (["estimate", "--engine", "vlm"], "unknown engine 'vlm'; did you mean 'vllm'?"),
    (["estimate", "--attention", "slow"], "'slow' is not one of 'flash', 'naive'"),
    (["estimate", "--format", "xml"], "'xml' is not one of"),
    (["estimate", "--price", "free"], "'free' is not a valid number"),
    (["estimate", "--price", "-1"], "price must be zero or more"),
    (["estimate", "--price", "nan"], "price must be zero or more"),
    (["estimate", "--price", "1e300"], "price of 1e+300 USD per GPU-hour is beyond any"),
    (["estimate", "--power", "1e10"], "is beyond any"),
    (["estimate", "-r", "1e-214"], "is not a number above 0"),
    (["recommend", "--price", "1e300", "-r", "1"], "is beyond any"),
    (["recommend", "--gpu", "h100", "--pp", "35"], "pp=35 is more than the 32 layers"),
    (["estimate", "--price", "inf"], "price must be zero or more"),
    (["estimate", "--dtype", "fp8"], "No such option '--dtype': here it is --precision."),
    (["sweep", "--qps", "3"], "No such option '--qps': here it is --request-rate."),
    (["estimate", "-p", "int4"], "int4 is a number format, not a precision: --weights int4, or"),
    (["estimate", "-p", "q4_k"], "--weights q4_k, or --precision w4a16"),
    (["gpus", "h100"], "llmroof gpus show NAME shows one"),
    (["models", "list"], "'list' is no command of models (import, show): alone it lists all"),
    (["gpus", "--where", ""], "a column, a number or 'text' is missing"),
    (["sweep", "--where", ""], "a column, a number or 'text' is missing"),
    (["recommend", "--slo-ttft", "0 ms"], "0.0 is not in the range x>0"),
    (["recommend", "--slo-tpot", "fast"], "'fast' is not a number with a unit of s"),
    (["estimate", "-o", "x.xlsx"], "no answer is written as '.xlsx': name a file in .json, .csv"),
    (["gpus", "-o", "x.xml"], "no answer is written as '.xml': name a file in .json, .csv, .md"),
    (["sweep", "-o", "x.xlsx"], "name a file in .csv, .parquet, .json, .md, .txt, or say --format"),
    (["compare", "a100", "tp=2"], "'tp=2' names no GPU: write GPU,option=value, or --gpu for all"),
    (["compare", "a100", "l4", "--gpu", "b200"], "--gpu is for those that do not"),
    (["compare", "h100,tp=2,tp=4", "l4"], "'h100,tp=2,tp=4': tp is given twice"),
    (["compare", "h100,gpu=l4", "l4"], "gpu is given twice"),
    (["validate", "no.csv"], "no.csv: cannot be read: No such file or directory"),
    (["estimate", "--gpu-memory-utilization", "0"], "gpu_memory_utilization must be above 0"),
    (["estimate", "--gpu-memory-utilization", "nan"], "gpu_memory_utilization must be above 0"),
    (["estimate", "--gpu-memory-utilization", "90"], "gpu_memory_utilization must be above 0"),
    (["estimate", "--specs", "/no/such/folder"], "/no/such/folder"),
    (["estimate", "--colour"], "No such option"),
    (["estimate", "stray"], "unexpected extra argument"),
    (["estimate", "--batch"], "requires an argument"),
    (["estimate", "-o", "/no/such/folder/x.json"], "does not exist"),
    (["estimate", "-o", "/"], "is a folder: name a file"),
    (["layers", "--batch", "1,2"], "layers takes one value for --batch, not 2"),
    (["explain", "--isl", "1:4"], "explain takes one value for --input-len, not 4"),
    (["explain", "--section", "poem"], "'poem' is not one of"),
    (["kv", "--contexts", "0"], "0 is not between"),
    (["kv", "--contexts", "999999999"], "beyond the 131072"),
    (["plot"], "Missing option '--output' / '-o'"),
    (["plot", "-o", "/no/such/folder/x.png"], "does not exist"),
    (["gpus", "show"], "Missing argument"),
    (["gpus", "show", "h1000"], "unknown GPU 'h1000'"),
    (["gpus", "--sort", "beauty"], "no column 'beauty' to sort by"),
    (["models", "show", "llama"], "unknown model 'llama'"),
    (["estimat"], "unknown command 'estimat'; did you mean 'estimate'?"),
    (["estimate", "--load", "burst"], "load=burst needs concurrency"),
    (["estimate", "--load", "burst", "-r", "2"], "load=burst needs concurrency"),
    (["estimate", "--random-lengths"], "random_lengths needs concurrency or request_rate"),
    (["zzzzzz"], "unknown command 'zzzzzz' (see llmroof --help)"),
    (["--nope"], "No such option"),
]


def fault(arguments: list[str]) -> str:
    """The message, checked to be the only thing there is."""
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("Error: ")
    assert "Traceback" not in lines[0]
    assert "unexpected Runtime" not in lines[0]
    return lines[0]


@pytest.mark.parametrize(("arguments", "message"), FAULTS, ids=lambda v: " ".join(v)[:60])
def test_fault(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in fault(arguments)
    assert list(tmp_path.iterdir()) == []


GOOD = (
    b"name: A\nmemory: {capacity: 80 GB, bandwidth: 1 TB/s}\ncompute: {bf16: 9 TFLOP/s}\n"
    b"sources: [{of: [memory, compute], title: a note}]\n"
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"name: [", "is not valid YAML"),
        (b"name: \xff\xfe", "is not UTF-8"),
        (b"nome: x", "unknown key; did you mean 'name'?"),
        (b"name: A\nname: B", "stands here twice"),
        (b"a: &x [1]\nb: *x", "anchors and aliases"),
        (GOOD.replace(b"80 GB", b"-80 GB"), "memory.capacity: "),
        (GOOD.replace(b"80 GB", b"80 TFLOP"), "unit 'TFLOP' measures FLOP, but B is due"),
        (GOOD.replace(b"80 GB", b"80"), "memory.capacity: "),
        (GOOD.replace(b"[memory, compute]", b"[memory]"), "compute.bf16: has no source"),
    ],
)
def test_bad_hardware_file(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(content)
    line = fault(["estimate", "--gpu", str(file)])
    assert message in line
    assert "bad.yaml" in line


def test_bad_model_file(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"model_type": "llama",')
    assert "config.json" in fault(["estimate", "--model", str(file)])


def test_unreadable_folder_is_no_file(tmp_path: Path) -> None:
    assert "cannot be read" in fault(["estimate", "--gpu", str(tmp_path)])


def test_read_only_folder(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o500)
    assert "cannot write" in fault(["estimate", "-o", str(tmp_path / "x.json")])


def test_a_fault_of_ours_is_one_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody thought of: no traceback unless LLMROOF_DEBUG asks for it."""
    import llmroof.cli.ask

    def broken(_: object) -> None:
        raise RuntimeError("out of\nluck")

    monkeypatch.setattr(llmroof.cli.ask, "ask", broken)
    monkeypatch.delenv("LLMROOF_DEBUG", raising=False)
    result = CliRunner().invoke(cli, ["estimate"])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: unexpected RuntimeError: out of luck")
    assert len(result.stderr.splitlines()) == 1
    monkeypatch.setenv("LLMROOF_DEBUG", "1")
    assert isinstance(CliRunner().invoke(cli, ["estimate"]).exception, RuntimeError)


def shell(line: str) -> subprocess.CompletedProcess[str]:
    command = line.replace("llmroof", f"{sys.executable} -m llmroof")
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(sys.platform == "win32", reason="needs bash")
@pytest.mark.parametrize(
    ("line", "begin"),
    [
        ("gpus --format json", '{\n  "schem'),
        ("sweep --gpu h100 --batch 1:60000 --format csv", "model,hard"),  # more than a pipe holds
        ("sweep --gpu h100 --batch 1:60000 --format csv -o /dev/stdout", "model,hard"),
        ("estimate --gpu h100 --batch 1:500 --format json -o /dev/stdout", '{\n  "schem'),
    ],
)
def test_closed_pipe_is_no_fault(line: str, begin: str) -> None:
    done = shell(f"llmroof {line} | head -c 10")
    assert done.stdout == begin
    assert done.stderr == ""
    assert done.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk() -> None:
    done = shell("llmroof gpus > /dev/full")
    assert done.returncode == 2
    assert done.stderr == "Error: cannot write: No space left on device\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs bash")
def test_a_terminal_without_utf8() -> None:
    done = shell("PYTHONIOENCODING=ascii llmroof estimate --gpu a100 --batch 32")
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert "6.1x left of the ridge" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs bash")
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("llmroof estimate >&-", 0),
        ("llmroof gpus --format json >&-", 0),
        ("llmroof --help >&-", 0),
        ("llmroof estimate --gpu zzz >&-", 2),
        ("llmroof estimate --gpu zzz >&- 2>&-", 2),
        ("llmroof sweep --gpu h100 --batch 1,2 --format csv >&-", 0),
    ],
)
def test_closed_standard_output(line: str, code: int) -> None:
    done = shell(line)
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == (1 if code and "2>&-" not in line else 0)
    assert done.returncode == code


def test_one_broken_command_spares_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    from llmroof.cli.main import COMMANDS

    monkeypatch.setitem(COMMANDS, "kv", "llmroof.cli.commands.nowhere")
    monkeypatch.delenv("LLMROOF_DEBUG", raising=False)
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    assert "estimate" in result.stdout
    assert "(cannot be loaded)" in result.stdout
    assert "kv cannot be loaded" in fault(["kv", "--gpu", "h100"])


@pytest.mark.parametrize("model", ["deepseek-v3", "llama-3.1-8b"])
def test_the_ways_out_of_missing_arithmetic_work(model: str) -> None:
    """What the refusal names is no refusal again: exit code 0, or 1 where it does not fit."""
    question = ["estimate", "--model", model, "--gpu", "t4"]
    line = fault(question if model == "deepseek-v3" else [*question, "--precision", "fp8"])
    recipe = line.rpartition("--precision ")[2].split()[0]
    parts = line.partition("with ")[2].partition(",")[0].split()
    for way in (["--precision", recipe], parts):
        assert len(way) in (2, 4), line
        result = CliRunner().invoke(cli, [*question, *way])
        assert result.exit_code in (0, 1), result.stderr
        assert result.stderr == ""


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"model": 3}, "model must be the name of a model or a loaded Model, not 3"),
        ({"gpu": ["h100"]}, "gpu must be the name of a GPU or a loaded Hardware, not ['h100']"),
        ({"batch": True}, "batch must be a number or an array of numbers, not True"),
        ({"batch": "8"}, "batch must be a number or an array of numbers, not '8'"),
        ({"batch": [1, True]}, "batch must be a number or an array of numbers"),
        ({"tp": "2"}, "tp must be a number, not '2'"),
        ({"tp": 2.5}, "tp must be a whole number, not 2.5"),
        ({"price": True}, "price must be a number, not True"),
        ({"power": [1]}, "power must be a number, not [1]"),
        ({"precision": 8}, "precision must be a name, not 8"),
        ({"load": 3}, "load must be a name, not 3"),
        ({"kv_cache": "no"}, "kv_cache must be True or False, not 'no'"),
        ({"max_num_seqs": True}, "max_num_seqs must be a number"),
        ({"bacth": 1}, "unknown argument 'bacth'; did you mean 'batch'?"),
        ({"batch": np.ones(3), "input_len": np.ones(4)}, "the arrays do not fit each other"),
    ],
    ids=str,
)
def test_python_calls_are_checked(question: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        llmroof.estimate(**question)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_numbers_of_numpy_are_numbers() -> None:
    one = llmroof.estimate(gpu="h100", batch=8, tp=2)
    same = llmroof.estimate(gpu="h100", batch=np.int64(8), tp=np.int64(2), price=np.float32(3.99))
    assert same.serving == one.serving
    rows = llmroof.estimate(gpu="h100", batch=[1, 8], tp=2)
    assert rows.serving.tpot[1] == one.serving.tpot


WRONG_KINDS: list[tuple[str, dict[str, Any], str]] = [
    ("estimate", {"batch": "x"}, "batch must be a number or an array of numbers, not 'x'"),
    ("estimate", {"tp": "x"}, "tp must be a number, not 'x'"),
    ("estimate", {"disaggregated": 1}, "disaggregated must be True or False, not 1"),
    ("deploy", {"tp": "x"}, "tp must be a number, not 'x'"),
    ("deploy", {"tp": 1.5}, "tp must be a whole number, not 1.5"),
    ("deploy", {"model": 5}, "model must be the name of a model or a loaded Model, not 5"),
    ("deploy", {"kv_cache": "no"}, "kv_cache must be True or False, not 'no'"),
    ("recommend", {"slo_ttft": "x"}, "slo_ttft must be a number, not 'x'"),
    ("recommend", {"max_gpus": 2.5}, "max_gpus must be a whole number, not 2.5"),
    ("recommend", {"gpu": ["h100", 5]}, "gpu must be the name of a GPU or a loaded Hardware"),
    ("recommend", {"foo": 5}, "unknown argument 'foo'"),
    ("recommend", {"disaggregated": True}, "recommend searches whole replicas"),
    ("sweep", {"tp": [1, "x"]}, "tp must be a number, not 'x'"),
    ("sweep", {"batch": "x"}, "batch must be a number or an array of numbers, not 'x'"),
    ("sweep", {"price": "x"}, "price must be a number, not 'x'"),
    ("sweep", {"where": 5}, "where must be a name, not 5"),
    ("sweep", {"columns": 5}, "columns must be a name, not 5"),
    ("advise", {"estimate": "x"}, "advise takes an Estimate, not 'x'"),
    ("compare", {}, "compare takes two or more Estimates"),
]


@pytest.mark.parametrize(("function", "given", "sentence"), WRONG_KINDS)
def test_wrong_kinds_from_python_are_named_in_one_line(
    function: str, given: dict[str, Any], sentence: str
) -> None:
    from llmroof import api

    call = getattr(llmroof, function, None) or getattr(api, function)
    with pytest.raises(LlmroofError) as raised:
        call(**given)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_axis_may_be_a_list_a_tuple_or_an_array() -> None:
    for values in ([1, 2], (1, 2), np.array([1, 2])):
        assert list(llmroof.sweep(gpu="h100", batch=4, tp=values)["tp"]) == [1, 2]


def test_a_price_without_a_date_says_so() -> None:
    """The catalogue that some prices are from states no date: no empty comma, the word."""
    import re

    from llmroof.specs.catalog import HARDWARE
    from llmroof.specs.hardware import load_hardware

    undated = [
        price for name in HARDWARE.files() for price in load_hardware(name).prices if not price.date
    ]
    assert undated
    assert all(price.offer.endswith(", undated") for price in undated)
    shown = CliRunner().invoke(cli, ["gpus", "show", "h200"]).stdout
    assert "3.5 Nebius, on-demand, undated:" in shown
    assert not re.search(r", :|, \)", shown)
