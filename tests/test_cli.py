"""The commands as a user sees them: keys, files, exit codes, lazy imports."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from llmroof.cli.axes import Names
from llmroof.cli.main import COMMANDS, cli
from llmroof.cli.types import Decimals, Numbers, Rate

PLAN = ["num_gpus", "tp", "pp", "dp", "ep"]


def run(*args: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, list(args), env=env)


def ok(*args: str) -> str:
    """Standard output of a command that answers."""
    result = run(*args)
    assert result.exit_code == 0, result.output
    return result.stdout


def document(*args: str, code: int = 0) -> Any:
    result = run(*args, "--format", "json")
    assert result.exit_code == code, result.output
    assert result.stderr == ""
    return json.loads(result.stdout)


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in leaves(part)]
    if isinstance(value, list):
        return [leaf for part in value for leaf in leaves(part)]
    return [value]


def test_the_question_of_the_first_page() -> None:
    result = run("estimate", "--gpu", "a100", "--batch", "32")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) <= 31
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in result.stdout
    for word in ("TTFT", "TPOT", "tokens/s", "USD", "fits", "largest batch", "ridge", "MFU"):
        assert word in result.stdout
    assert "a100 stands for a100-sxm-80gb" in result.stdout
    assert "memory-bound, 6.1× left of the ridge" in result.stdout  # 153.0 / 24.97


def test_json_has_the_keys_of_the_interface() -> None:
    found = document("estimate", "--gpu", "a100", "--batch", "32")
    assert found["schema"] == "llmroof.estimate/1"
    keys = {
        "inputs": ["model", "hardware", *PLAN, "batch", "input_len", "output_len", "weights",
                   "activations", "kv_cache_dtype", "engine", "usd_per_gpu_hour", "defaults"],
        "model": ["parameters", "active_parameters", "weights_bytes", "kv_cache_bytes_per_token"],
        "prefill": ["flop", "bytes", "network_bytes", "arithmetic_intensity", "ridge_point",
                    "bound", "time_s", "roofline_time_s", "mfu", "mbu"],
        "memory": ["weights_bytes", "kv_cache_bytes", "activation_bytes", "reserved_bytes",
                   "total_bytes", "capacity_bytes", "fits", "max_batch", "max_context"],
        "serving": ["ttft_s", "tpot_s", "e2e_latency_s", "output_tokens_per_s",
                    "total_tokens_per_s", "output_tokens_per_s_per_gpu", "requests_per_s"],
        "cost": ["usd_per_hour", "usd_per_million_output_tokens",
                 "usd_per_million_input_tokens", "usd_per_million_total_tokens"],
        "energy": ["joule_per_output_token"],
    }  # fmt: skip
    keys["decode"] = keys["prefill"]
    for part, names in keys.items():
        assert set(names) <= set(found[part]), part
    assert found["basis"]
    assert all({"text", "source"} == set(line) for line in found["basis"])
    assert found["inputs"]["hardware"] == "a100-sxm-80gb"
    assert found["model"]["parameters"] == 8_030_261_248
    assert found["model"]["kv_cache_bytes_per_token"] == 131_072
    assert {"model", "input_len"} <= set(found["inputs"]["defaults"])
    assert not {"batch", "hardware"} & set(found["inputs"]["defaults"])
    for leaf in leaves(found):
        assert not isinstance(leaf, float) or math.isfinite(leaf)


def test_limit_is_the_hand_worked_roofline() -> None:
    """Llama-3-8B, batch 32, A100: 20.0 GB over 2.039 TB/s are 9.8 ms."""
    found = document("estimate", "--gpu", "a100", "--batch", "32", "--limit")
    decode = found["decode"]
    assert decode["bytes"] == pytest.approx(20.01e9, rel=1e-3)
    assert decode["arithmetic_intensity"] == pytest.approx(24.97, rel=1e-3)
    assert decode["time_s"] == pytest.approx(9.81e-3, rel=1e-3)
    assert decode["time_s"] == decode["roofline_time_s"]
    assert found["serving"]["tpot_s"] == decode["time_s"]


@pytest.mark.parametrize(
    ("option", "other"),
    [
        (["--hardware", "h100"], ["--gpu", "h100-sxm"]),
        (["--batch-size", "4"], ["-b", "4"]),
        (["--isl", "64"], ["--input-len", "64"]),
        (["--osl", "64"], ["--output-len", "64"]),
        (["--tensor-parallel-size", "2"], ["-tp", "2"]),
        (["--pipeline-parallel-size", "2"], ["-pp", "2"]),
        (["--data-parallel-size", "2", "-b", "2"], ["-dp", "2", "--batch", "2"]),
    ],
)
def test_aliases_ask_the_same(option: list[str], other: list[str]) -> None:
    one, two = document("estimate", *option), document("estimate", *other)
    assert one["serving"] == two["serving"]


def test_a_range_gives_one_row_per_point_equal_to_single_questions() -> None:
    args = ("--gpu", "h100", "--tp", "1", "--batch", "1,16", "--input-len", "256:512:x2")
    result = run("estimate", *args, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    points = [(row["batch"], row["input_len"]) for row in rows]
    assert points == [("1", "256"), ("1", "512"), ("16", "256"), ("16", "512")]
    for row in rows:
        alone = document("estimate", "--gpu", "h100", "--tp", "1", "--batch", row["batch"],
                         "--input-len", row["input_len"])  # fmt: skip
        for name in ("ttft_s", "tpot_s", "output_tokens_per_s"):
            assert float(row[name]) == alone["serving"][name]
        assert float(row["decode_flop"]) == alone["decode"]["flop"]
    several = document("estimate", *args)
    assert several["schema"] == "llmroof.estimates/1"
    assert len(several["estimates"]) == 4
    assert len(run("estimate", *args).stdout.splitlines()) >= 6
    assert run("estimate", *args, "--format", "markdown").stdout.count("\n") == 6


def test_frame_has_the_columns_of_the_csv() -> None:
    import llmroof

    result = run("estimate", "--gpu", "h100", "--batch", "8", "--format", "csv")
    header = result.stdout.splitlines()[0].split(",")
    frame = llmroof.estimate(gpu="h100", batch=8).to_frame()
    assert list(frame.columns) == header
    assert len(frame) == 1
    grid = llmroof.estimate(gpu="h100", batch=[[1], [8]], input_len=[64, 128, 256]).to_frame()
    assert len(grid) == 6
    assert list(grid["batch"]) == [1, 1, 1, 8, 8, 8]
    assert grid["ttft_s"].is_monotonic_increasing
    assert frame["tpot_s"][0] == llmroof.estimate(gpu="h100", batch=8).serving.tpot


def test_does_not_fit_is_a_no_with_ways_out_that_work() -> None:
    args = ("estimate", "--model", "llama-3.1-70b", "--gpu", "a100", "--tp", "1")
    result = run(*args)
    assert result.exit_code == 1
    assert result.stderr == ""
    assert "Does not fit" in result.stdout
    ways = [line.split()[1:] for line in _joined(result.stdout) if line.startswith("llmroof ")]
    assert len(ways) >= 2
    for way in ways:
        assert run(*way).exit_code == 0, way
    assert document(*args, code=1)["memory"]["fits"] is False


def test_too_large_a_batch_names_the_largest() -> None:
    result = run("estimate", "--gpu", "a100", "--tp", "1", "--batch", "4000")
    assert result.exit_code == 1
    ways = [line for line in _joined(result.stdout) if line.startswith("llmroof ")]
    assert any("--batch 327" in way for way in ways)
    assert document("estimate", "--gpu", "a100", "--tp", "1", "--batch", "327")["memory"]["fits"]


def _joined(text: str) -> list[str]:
    """Paragraphs with their wrapped lines put together again."""
    found: list[str] = []
    for line in text.splitlines():
        if line.startswith("    ") and found:
            found[-1] += " " + line.strip()
        else:
            found.append(line.strip())
    return found


def test_layers_json() -> None:
    found = document("layers", "--gpu", "a100", "--batch", "32")
    assert found["schema"] == "llmroof.layers/1"
    names = ["phase", "name", "kind", "count", "flop", "bytes", "weight_bytes", "kv_bytes",
             "activation_bytes", "network_bytes", "arithmetic_intensity", "bound", "time_s",
             "roofline_time_s", "share"]  # fmt: skip
    whole = document("estimate", "--gpu", "a100", "--batch", "32")
    for phase in ("prefill", "decode"):
        own = [row for row in found["operators"] if row["phase"] == phase]
        assert set(names) <= set(own[0])
        assert sum(row["share"] for row in own) == pytest.approx(1)
        assert sum(row["count"] * row["flop"] for row in own) == pytest.approx(whole[phase]["flop"])
        assert sum(row["total_time_s"] for row in own) == pytest.approx(whole[phase]["time_s"])
        for row in own:
            parts = row["weight_bytes"] + row["kv_bytes"] + row["activation_bytes"]
            assert row["bytes"] == pytest.approx(parts)


def test_layers_text_fits_the_screen() -> None:
    lines = run("layers", "--gpu", "a100", "--batch", "32").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("down_proj") for line in lines)


def test_kv_of_llama() -> None:
    """2 x 32 layers x 8 heads x 128 x 2 bytes = 131,072 bytes per token."""
    found = document("kv", "--gpu", "a100")
    assert found["kv_cache_bytes_per_token"] == 2 * 32 * 8 * 128 * 2
    assert [row["context"] for row in found["contexts"]] == [2**n for n in range(10, 18)]
    for row in found["contexts"]:
        assert row["kv_cache_bytes_per_sequence"] == 131_072 * row["context"]
    batches = [row["max_batch"] for row in found["contexts"]]
    assert batches == sorted(batches, reverse=True)
    last = found["contexts"][-1]
    fits = ("estimate", "--gpu", "a100", "--tp", "1", "--output-len", "1")
    fits += ("--input-len", "131071", "--batch")
    assert document(*fits, str(last["max_batch"]))["memory"]["fits"]
    assert not document(*fits, str(last["max_batch"] + 1), code=1)["memory"]["fits"]


def test_kv_contexts_can_be_chosen() -> None:
    found = document("kv", "--model", "llama-2-7b", "--contexts", "100,200")
    sizes = [row["kv_cache_bytes_per_sequence"] for row in found["contexts"]]
    assert sizes == [524_288 * 100, 524_288 * 200]


def test_kv_of_what_does_not_fit_at_all() -> None:
    result = run("kv", "--model", "llama-3.1-70b", "--gpu", "t4", "--tp", "1", "-p", "fp16")
    assert result.exit_code == 1
    assert "Not one sequence fits" in result.stdout


def test_gpus() -> None:
    rows = document("gpus")["hardware"]
    assert len(rows) > 50
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    fast = document("gpus", "--sort", "bandwidth_bytes_per_s")["hardware"]
    speeds = [row["bandwidth_bytes_per_s"] for row in fast]
    assert speeds == sorted(speeds, reverse=True)
    assert "a100-sxm-80gb" in run("gpus").stdout


def test_gpus_show_prints_sources() -> None:
    found = document("gpus", "show", "a100")
    assert found["schema"] == "llmroof.hardware/1"
    bandwidth = found["fields"]["memory.bandwidth"]
    assert (bandwidth["value"], bandwidth["unit"]) == (2.039e12, "B/s")
    assert bandwidth["source"]["title"]
    assert found["ridge_points"]["bf16"] == pytest.approx(153.0, rel=1e-3)
    text = run("gpus", "show", "a100").stdout
    assert "2.039 TB/s" in text
    assert bandwidth["source"]["title"] in " ".join(text.split())
    assert "compute.bf16" in run("gpus", "show", "a100", "--format", "csv").stdout


def test_models_show() -> None:
    found = document("models", "show", "llama-3.1-8b")
    assert found["schema"] == "llmroof.model/1"
    assert found["parameters"] == 8_030_261_248
    assert found["embedding_parameters"] == 128_256 * 4096
    assert found["tied_embeddings"] is False
    assert found["kv_cache_bytes"] == {str(n): 131_072 * n for n in (1024, 4096, 32768, 131072)}
    assert found["state_bytes_per_sequence"] == 0
    assert sum(found["parameters_by_part"].values()) == found["parameters"]
    assert found["sources"]
    assert "8,030,261,248 parameters" in run("models", "show", "llama-3.1-8b").stdout


def test_a_hybrid_is_shown_with_its_pattern_and_its_state() -> None:
    """Twelve times three layers with a state and one with a cache."""
    text = " ".join(ok("models", "show", "qwen3-next-80b-a3b").split())
    assert "12 × 3 × gated delta net" in text
    found = document("models", "show", "qwen3-next-80b-a3b")
    # 36 layers hold 32 states of 128 x 128 in fp32 and four tokens of a convolution in bf16
    state = 36 * (32 * 128 * 128 * 4 + 4 * (2 * 16 * 128 + 32 * 128) * 2)
    assert found["state_bytes_per_sequence"] == state
    assert "and recurrent state, at any context: 77.86 MB" in text


def test_a_model_is_shown_with_what_it_holds_beside_and_its_warning() -> None:
    tower = document("models", "show", "gemma-3-12b")["extras"]["vision_tower"]
    assert f"vision_tower: {tower:,} parameters (held, not modelled)" in ok(
        "models", "show", "gemma-3-12b"
    )
    assert "Beware: " in ok("models", "show", "bamba-9b")


def test_tables_of_one_thing_are_flat() -> None:
    """As CSV: one row per model, per context, per operator, per deployment; the JSON's figures."""

    def table(*args: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(ok(*args, "--format", "csv"))))

    (model,) = table("models", "show", "gpt2")
    assert model["parameters"] == "124439808"
    assert int(model["kv_cache_bytes_1024"]) == 1024 * int(model["kv_cache_bytes_per_token"])
    question = ("--model", "gpt2", "--gpu", "a100", "--contexts", "128,512")
    rows = table("kv", *question)
    assert [row["context"] for row in rows] == ["128", "512"]
    assert {row["hardware"] for row in rows} == {"a100-sxm-80gb"}
    held = [int(row["kv_cache_bytes_per_sequence"]) for row in rows]
    assert held[1] == 4 * held[0]
    short = ("--model", "gpt2", "--gpu", "a100", "--input-len", "64", "--output-len", "16")
    operators = table("layers", *short)
    assert len(operators) == len(document("layers", *short)["operators"])
    both = table("compare", "a100", "h100")
    assert [row["hardware"] for row in both] == ["a100-sxm-80gb", "h100-sxm"]


def test_a_fault_of_ours_can_be_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line and exit code 2, unless the traceback is asked for."""
    from llmroof.specs.catalog import Catalog

    def broken(self: Catalog, name: str) -> Path:
        raise ZeroDivisionError("for this test")

    monkeypatch.setattr(Catalog, "path", broken)
    told = run("estimate", "--gpu", "no-such-file.yaml")
    assert told.exit_code == 2
    assert "Error: unexpected ZeroDivisionError: for this test" in told.stderr
    traced = run("estimate", "--gpu", "no-such-file.yaml", env={"LLMROOF_DEBUG": "1"})
    assert isinstance(traced.exception, ZeroDivisionError)


@pytest.mark.parametrize(
    ("kind", "value"),
    [(Numbers(), (1, 2)), (Decimals(), (0.5,)), (Rate(), 5e10), (Names(), ("a", "b"))],
    ids=lambda one: type(one).__name__,
)
def test_a_value_that_was_converted_stays_itself(kind: click.ParamType, value: Any) -> None:
    """Click converts defaults and what callers hand over once more."""
    assert kind.convert(value, None, None) is value


def test_models_list() -> None:
    rows = document("models")["models"]
    assert "llama-3.1-8b" in {row["id"] for row in rows}
    assert "llama-3.1-8b" in run("models").stdout


def test_own_specs_folder(tmp_path: Path) -> None:
    folder = tmp_path / "hardware_specs"
    folder.mkdir()
    (folder / "mine.yaml").write_text(
        "name: Mine\nmemory: {capacity: 99 GB, bandwidth: 1 TB/s}\n"
        "compute: {bf16: 100 TFLOP/s}\nsources: [{of: [memory, compute], title: a note}]\n"
    )
    option = ("--specs", str(tmp_path))
    found = document("estimate", "--gpu", "mine", *option)
    assert found["memory"]["capacity_bytes"] == 99e9
    assert found["cost"]["usd_per_hour"] is None
    assert document("gpus", "show", "mine", *option)["id"] == "mine"
    assert run("estimate", "--gpu", "mine").exit_code == 2  # forgotten again
    assert run("estimate", "--gpu", "mine", env={"LLMROOF_SPECS": str(tmp_path)}).exit_code == 0
    assert run("estimate", "--gpu", str(folder / "mine.yaml")).exit_code == 0


@pytest.mark.parametrize("ending", ["png", "SVG", "pdf", "parquet", "html"])
def test_no_table_hides_in_a_file_of_another_kind(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"answer.{ending}"
    result = run("estimate", "-o", str(file))
    assert result.exit_code == 2
    assert f"no answer is written as '.{ending.lower()}'" in result.stderr
    assert "name a file in .json, .csv, .md, .txt, or say --format" in result.stderr
    assert not file.exists()
    assert run("estimate", "-o", str(file), "--format", "json").exit_code == 0  # as asked


def test_output_file_is_written_whole_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "answer.json"
    assert run("estimate", "--gpu", "a100", "-o", str(file)).stdout == ""
    first = json.loads(file.read_text())
    assert first["schema"] == "llmroof.estimate/1"  # the ending chose the form
    result = run("estimate", "--gpu", "h100", "-o", str(file))
    assert result.exit_code == 2
    assert "exists; --force overwrites it" in result.stderr
    assert json.loads(file.read_text()) == first
    assert run("estimate", "--gpu", "h100", "-o", str(file), "--force").exit_code == 0
    assert json.loads(file.read_text())["inputs"]["hardware"] == "h100-sxm"
    assert [path.name for path in tmp_path.iterdir()] == ["answer.json"]


def test_help_and_version_import_nothing_heavy() -> None:
    for args in (["--version"], ["--help"], ["estimate", "--help"]):
        script = (
            "import sys, atexit\n"
            f"sys.argv = ['llmroof', *{args!r}]\n"
            "heavy = {'numpy', 'pandas', 'matplotlib', 'yaml', 'rich'}\n"
            "atexit.register(lambda: print('LOADED', sorted(heavy & set(sys.modules))))\n"
            "from llmroof.cli.main import main\n"
            "main()\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        assert done.stdout.endswith("LOADED []\n"), done.stdout


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, click.Command]]:
    context = click.Context(group)
    found = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found.append((" ".join((*path, name)), command))
        if isinstance(command, click.Group):
            found += commands(command, (*path, name))
    return found


@pytest.mark.parametrize(("name", "command"), commands(cli))
def test_every_command_and_option_has_help(name: str, command: click.Command) -> None:
    assert command.help, name
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.name}"


def test_every_command_is_listed() -> None:
    text = run("--help").stdout
    assert all(f"\n  {name} " in text for name in COMMANDS)
    assert run().stdout == text


def test_completion_of_ids() -> None:
    from click.shell_completion import ShellComplete

    complete = ShellComplete(cli, {}, "llmroof", "_LLMROOF_COMPLETE")
    gpus = [item.value for item in complete.get_completions(["estimate", "--gpu"], "h10")]
    assert {"h100", "h100-sxm", "h100-pcie"} <= set(gpus)
    assert all(name.startswith("h10") for name in gpus)
    models = [item.value for item in complete.get_completions(["models", "show"], "llama-3.1")]
    assert "llama-3.1-8b" in models


def test_a_windowed_model_keeps_its_window_only(tmp_path: Path) -> None:
    """4 layers of 2 x 8 heads x 64 x 2 bytes: 2 keep all tokens, 2 the last 100."""
    spec = tmp_path / "windowed.yaml"
    spec.write_text(
        "name: Windowed\nfamily: test\nhidden: 512\nvocab: 1000\nmax_context: 4096\nblocks:\n"
        "  near: {kind: attention, heads: 8, kv_heads: 8, head_dim: 64, window: 100}\n"
        "  far: {kind: attention, heads: 8, kv_heads: 8, head_dim: 64}\n"
        "  mlp: {kind: mlp, intermediate: 2048}\n"
        "layers: [{count: 2, blocks: [near, mlp]}, {count: 2, blocks: [far, mlp]}]\n"
        "sources: [{title: made for this test}]\n"
    )
    per_layer = 2 * 8 * 64 * 2
    found = document("kv", "--model", str(spec), "--contexts", "50,4000")
    assert found["kv_cache_bytes_per_token"] == 4 * per_layer
    assert [row["kv_cache_bytes_per_sequence"] for row in found["contexts"]] == [
        4 * 50 * per_layer,
        2 * (100 + 4000) * per_layer,
    ]
    text = run("explain", "--model", str(spec), "--section", "kv").stdout
    assert "min(1,024 + 256, 100)" in " ".join(text.split())


@pytest.mark.parametrize(
    ("flag", "values", "head"),
    [("--concurrency", "1,8", "in flight"), ("--request-rate", "1,2.5", "req/s")],
)
def test_a_range_of_loads_is_a_table(flag: str, values: str, head: str) -> None:
    text = ok("estimate", "--gpu", "h100", flag, values)
    header, *rows = text.splitlines()[1:4]
    assert header.startswith("  GPUs")
    assert head in header
    assert [row.split()[1] for row in rows] == values.split(",")


def test_rates_beyond_capacity_are_told() -> None:
    assert "largest sustainable rate" in ok("estimate", "--gpu", "h100", "-r", "1,5000")
    assert "largest sustainable rate" not in ok("estimate", "--gpu", "h100", "-r", "1,2")


def test_a_load_is_headed_as_one_and_its_parts_add_up() -> None:
    text = ok("estimate", "--gpu", "h100", "--concurrency", "64", "--engine", "vllm")
    assert "64 requests in flight (closed load)" in text
    said = " ".join(text.partition("under load: ")[2].partition("  fits:")[0].split())
    ttft, tpot = said.split("; ")
    for parts, row in ((ttft, "TTFT"), (tpot, "TPOT")):
        times = re.findall(r"([\d.]+) (ms|us|s)\b", parts)
        total = sum(float(n) * {"s": 1.0, "ms": 1e-3, "us": 1e-6}[unit] for n, unit in times)
        number, unit = re.search(rf"{row} +([\d.]+) (ms|s)", text).groups()  # type: ignore[union-attr]
        assert total == pytest.approx(float(number) * {"s": 1.0, "ms": 1e-3}[unit], rel=0.01)
    assert "5 requests/s (Poisson)" in ok("estimate", "--gpu", "h100", "--request-rate", "5")


def test_a_range_says_how_many_gpus_and_why() -> None:
    arguments = ("estimate", "--gpu", "h100", "--model", "llama-3.1-70b", "--batch", "1,8,64")
    text = ok(*arguments)
    assert text.splitlines()[2].split()[0] == "4"
    assert "hold the largest point" in text
    result = run(*arguments, "--format", "csv")
    assert "note: 4 GPUs (tp=4)" in result.stderr
    assert {row["num_gpus"] for row in csv.DictReader(io.StringIO(result.stdout))} == {"4"}


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--gpu", "h100", "-c", "8", "--random-lengths"),
        ("--gpu", "h100", "-r", "2", "--power", "500", "--max-num-seqs", "64"),
    ],
    ids=" ".join,
)
def test_inputs_hold_every_default_and_every_option(arguments: tuple[str, ...]) -> None:
    inputs = document("estimate", *arguments)["inputs"]
    assert [name for name in inputs["defaults"] if name not in inputs] == []
    options = {param.name for param in cli.get_command(None, "estimate").params}  # type: ignore[arg-type,union-attr]
    named = {"gpu": "hardware", "price": "usd_per_gpu_hour", "power": "power_watts",
             "no_kv_cache": "kv_cache", "precision": "weights"}  # fmt: skip
    apart = {"specs", "format", "output", "force", "calibrate_with"}  # the basis tells it
    assert {named.get(str(name), name) for name in options - apart} <= set(inputs)


def test_inputs_tell_the_options_in_use() -> None:
    inputs = document(
        "estimate", "--gpu", "h100", "--tp", "2", "--all-reduce", "ring", "--power", "500",
        "--max-num-seqs", "64", "--max-num-batched-tokens", "2048",
    )["inputs"]  # fmt: skip
    assert inputs["all_reduce"] == "ring"
    assert inputs["power_watts"] == 500
    assert inputs["max_num_seqs"] == 64
    assert inputs["max_num_batched_tokens"] == 2048
    assert "power_watts" not in inputs["defaults"]


def test_kv_ends_at_the_models_own_context_and_says_what_it_assumes() -> None:
    for model in ("gemma-3-27b", "llama-3.1-8b", "qwen3-8b"):
        found = document("kv", "--model", model, "--gpu", "h100")
        contexts = [row["context"] for row in found["contexts"]]
        assert contexts == sorted(set(contexts))
        assert contexts[-1] == document("models", "show", model)["max_context"]
    text = " ".join(ok("kv", "--model", "gemma-3-27b", "--gpu", "h100").split())
    assert "per token, over all layers while no window is full" in text
    assert "52 layers keep the last 1,024 tokens, 10 layers keep all" in text
    assert "weights in bf16, KV cache in bf16, tp=1" in text
    assert "window" not in ok("kv", "--gpu", "h100")


@pytest.mark.parametrize("command", ["estimate", "explain", "kv", "advise", "recommend", "sweep"])
def test_help_is_in_groups(command: str) -> None:
    """Every option stands under a heading, once, and the answer's own come last."""
    text = ok(command, "--help")
    headings = [line for line in text.splitlines() if line.endswith(":") and line[0] != " "]
    assert headings[0] == "Model and hardware:"
    assert headings[-1] == "Answer:"
    assert len(headings) == len(set(headings)) >= 5
    for flag in ("--gpu", "--precision", "--format"):
        assert text.count(f"{flag} ") + text.count(f"{flag},") >= 1
    assert text.index("--gpu") < text.index("--precision") < text.index("--format")


def test_grouped_options_exist() -> None:
    """No heading lists an option that no command has."""
    import click

    from llmroof.cli.grouped import GROUPS
    from llmroof.cli.main import COMMANDS, cli

    context = click.Context(cli)
    known = set()
    for name in COMMANDS:
        command = cli.get_command(context, name)
        known |= {parameter.name for parameter in command.params}
        known |= {p.name for sub in getattr(command, "commands", {}).values() for p in sub.params}
    assert {name for names in GROUPS.values() for name in names} <= known


@pytest.mark.parametrize("command", [[], *([name] for name in cli.list_commands(None))])  # type: ignore[arg-type]
def test_help_keeps_its_examples_on_lines_of_their_own(command: list[str]) -> None:
    shown = CliRunner().invoke(cli, [*command, "--help"]).output
    assert "\\b" not in shown
    assert all(line.count("llmroof ") <= 1 or "`" in line for line in shown.splitlines())
