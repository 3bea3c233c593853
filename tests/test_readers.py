"""Results of benchmark tools as measured rows: files of our own in the shape of each tool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

from llmroof.cli.main import cli
from llmroof.errors import InputError
from llmroof.evidence.readers.results import READERS
from llmroof.evidence.rows import read_rows
from llmroof.evidence.validate import validate

VLLM = {
    "date": "20261120-101112",
    "endpoint_type": "openai",
    "backend": "openai",
    "label": None,
    "model_id": "meta-llama/Llama-3.1-8B-Instruct",
    "tokenizer_id": "meta-llama/Llama-3.1-8B-Instruct",
    "num_prompts": 160,
    "request_rate": "inf",
    "burstiness": 1.0,
    "max_concurrency": 16,
    "duration": 40.0,
    "completed": 160,
    "failed": 0,
    "total_input_tokens": 163840,
    "total_output_tokens": 20480,
    "request_throughput": 4.0,
    "output_throughput": 512.0,
    "total_token_throughput": 4608.0,
    "mean_ttft_ms": 250.0,
    "median_ttft_ms": 240.0,
    "mean_tpot_ms": 12.5,
    "mean_itl_ms": 12.4,
}
LATENCY = {"avg_latency": 1.5, "std_latency": 0.01, "latencies": [1.5, 1.5], "percentiles": {}}
SGLANG = {
    "tag": None,
    "backend": "sglang",
    "dataset_name": "random",
    "request_rate": "inf",
    "max_concurrency": 8,
    "random_input_len": 1024,
    "random_output_len": 512,
    "random_range_ratio": 0.5,
    "duration": 30.0,
    "completed": 80,
    "total_input_tokens": 61440,
    "total_output_tokens": 30720,
    "request_throughput": 2.7,
    "output_throughput": 1024.0,
    "mean_e2e_latency_ms": 2900.0,
    "mean_ttft_ms": 90.0,
    "mean_tpot_ms": 7.3,
    "mean_itl_ms": 7.3,
    "concurrency": 7.8,
}
BENCH = {
    "build_commit": "abc1234",
    "cpu_info": "Some processor",
    "gpu_info": "NVIDIA GeForce RTX 4090",
    "model_filename": "models/llama-8b-q4.gguf",
    "model_type": "llama 8B Q4_K - Medium",
    "n_batch": 2048,
    "n_prompt": 512,
    "n_gen": 0,
    "n_depth": 0,
    "avg_ns": 100000000,
    "avg_ts": 5120.0,
}
AIPERF = {
    "schema_version": "1.3",
    "aiperf_version": "0.10.0",
    "request_throughput": {"unit": "requests/sec", "avg": 0.8},
    "request_latency": {"unit": "ms", "avg": 2400.0, "p50": 2390.0},
    "time_to_first_token": {"unit": "ms", "avg": 200.0},
    "inter_token_latency": {"unit": "ms", "avg": 35.0},
    "output_token_throughput": {"unit": "tokens/sec", "avg": 52.0},
    "input_sequence_length": {"unit": "tokens", "avg": 256.0},
    "output_sequence_length": {"unit": "tokens", "avg": 64.0},
    "input_config": {
        "endpoint": {"model_names": ["Qwen/Qwen3-8B"], "type": "chat"},
        "loadgen": {"concurrency": 2},
    },
}
GENAI = {
    key: value for key, value in AIPERF.items() if key not in ("schema_version", "aiperf_version")
} | {
    "input_config": {
        "model_names": ["Qwen/Qwen3-8B"],
        "perf_analyzer": {"stimulus": {"concurrency": 4}},
    }
}
GIVEN = {"hardware": "h100", "precision": "bf16"}


def write(folder: Path, document: Any, name: str = "result.json") -> Path:
    path = folder / name
    path.write_text(document if isinstance(document, str) else json.dumps(document), "utf-8")
    return path


def row(folder: Path, document: Any, **given: str) -> pd.Series:
    found = read_rows(write(folder, document), {**GIVEN, **given})
    assert len(found) == 1
    return found.iloc[0]


def test_vllm_serve(tmp_path: Path) -> None:
    found = row(tmp_path, VLLM)
    assert (found["model"], found["engine"]) == ("meta-llama/Llama-3.1-8B-Instruct", "vllm")
    assert (found["input_len"], found["output_len"]) == (1024, 128)  # 163840 and 20480 over 160
    assert found["concurrency"] == 16
    assert (found["ttft_s"], found["tpot_s"]) == (0.25, 0.0125)
    assert found["output_tokens_per_s"] == 512
    assert "e2e_latency_s" not in found  # was not among the percentiles that were asked for


def test_vllm_metadata_names_the_deployment(tmp_path: Path) -> None:
    told = VLLM | {"tp": "4", "gpu": "h200", "quantization": "fp8"}
    found = row(tmp_path, told)
    assert (found["tp"], found["hardware"], found["precision"]) == ("4", "h200", "fp8")


def test_requests_in_flight_without_a_limit(tmp_path: Path) -> None:
    # 4 requests/s x (0.25 s + 127 x 12.5 ms) = 7.35 in flight, by Little's law
    found = row(tmp_path, VLLM | {"max_concurrency": None, "request_rate": 4.0})
    assert found["concurrency"] == 7
    found = row(tmp_path, VLLM | {"max_concurrency": None})
    assert found["concurrency"] == 160  # all at once


def test_vllm_latency_knows_nothing_of_its_batch(tmp_path: Path) -> None:
    path = write(tmp_path, LATENCY)
    with pytest.raises(InputError, match="column 'model' is missing"):
        read_rows(path)
    given = {"model": "llama-3.1-8b", "batch": "8", "input_len": "32", "output_len": "128"}
    found = row(tmp_path, LATENCY, **given)
    assert (found["batch"], found["input_len"], found["e2e_latency_s"]) == (8, 32, 1.5)


def test_sglang_has_a_row_per_line(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps(SGLANG | {"max_concurrency": n}) for n in (1, 8))
    found = read_rows(write(tmp_path, lines, "out.jsonl"), GIVEN | {"model": "llama-3.1-8b"})
    assert list(found["concurrency"]) == [1, 8]
    first = found.iloc[0]
    assert (first["input_len"], first["output_len"]) == (1024, 512)
    assert first["lengths"] == "uniform 0.5-1.0"
    assert (first["ttft_s"], first["tpot_s"]) == pytest.approx((0.09, 0.0073))
    assert first["e2e_latency_s"] == pytest.approx(2.9)


def test_sglang_of_other_data_takes_the_lengths_that_came(tmp_path: Path) -> None:
    found = row(tmp_path, SGLANG | {"dataset_name": "sharegpt"}, model="llama-3.1-8b")
    assert (found["input_len"], found["output_len"]) == (768, 384)  # 61440 and 30720 over 80
    assert found["lengths"] == "fixed"


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_llama_bench(tmp_path: Path, form: str) -> None:
    tests = [
        BENCH,
        BENCH | {"n_prompt": 0, "n_gen": 128, "avg_ns": 10**9},
        BENCH | {"n_prompt": 0, "n_gen": 128, "n_depth": 4096, "avg_ns": 2 * 10**9},
        BENCH | {"n_prompt": 256, "n_gen": 64, "avg_ns": 10**9},
        BENCH | {"n_depth": 4096},
    ]
    if form == "csv":
        lines = [",".join(BENCH)]
        lines += [",".join(f'"{value}"' for value in test.values()) for test in tests]
        text = "\n".join(lines) + "\n"
    elif form == "jsonl":
        text = "\n".join(json.dumps(test) for test in tests)
    else:
        text = json.dumps(tests)
    path = write(tmp_path, text, f"bench.{form}")
    found = read_rows(path, {"model": "llama-3.1-8b", "hardware": "rtx-4090"})
    assert list(found["id"]) == ["pp512", "tg128", "tg128@4096", "pp256+tg64"]
    assert set(found["precision"]) == {"q4_k_m"}
    assert found["prefill_tokens_per_s"].iloc[0] == 5120
    assert list(found["decode_tokens_per_s"].iloc[1:3]) == [128, 64]
    assert list(found["input_len"]) == [512, 1, 4096, 256]
    assert found["e2e_latency_s"].iloc[3] == 1.0
    assert set(found["device"]) == {"NVIDIA GeForce RTX 4090"}


@pytest.mark.parametrize(
    ("words", "precision"),
    [
        ("llama 8B Q4_K - Medium", "q4_k_m"),
        ("qwen3 14B BF16", "bf16"),
        ("llama ?B all F32", "fp32"),
        ("llama 1B F16", "fp16"),
        ("llama 8B IQ4_XS - 4.25 bpw", "iq4_xs"),
        ("llama 8B Q8_0", "q8_0"),
    ],
)
def test_llama_bench_formats(tmp_path: Path, words: str, precision: str) -> None:
    path = write(tmp_path, [BENCH | {"model_type": words}])
    found = read_rows(path, {"model": "llama-3.1-8b", "hardware": "rtx-4090"})
    assert found["precision"].iloc[0] == precision


@pytest.mark.parametrize(
    ("document", "concurrency", "tool"), [(AIPERF, 2, "aiperf"), (GENAI, 4, "genai-perf")]
)
def test_genai_perf_and_aiperf(
    tmp_path: Path, document: dict[str, Any], concurrency: int, tool: str
) -> None:
    found = row(tmp_path, document)
    assert (found["model"], found["source"]) == ("Qwen/Qwen3-8B", tool)
    assert found["concurrency"] == concurrency
    assert (found["input_len"], found["output_len"]) == (256, 64)
    times = (found["ttft_s"], found["tpot_s"], found["e2e_latency_s"])
    assert times == pytest.approx((0.2, 0.035, 2.4))


def test_units_of_aiperf_are_read(tmp_path: Path) -> None:
    told = AIPERF | {"time_to_first_token": {"unit": "us", "avg": 5000.0}}
    assert row(tmp_path, told)["ttft_s"] == pytest.approx(0.005)


def test_each_file_has_one_reader() -> None:
    samples = (VLLM, LATENCY, SGLANG, [BENCH], AIPERF, GENAI)
    for sample in samples:
        assert sum(bool(reader.recognises(sample)) for reader in READERS) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"some": "thing"}', "JSON of none of the tools"),
        ("{broken", "neither JSON nor a JSON object per line"),
        ("[]", "JSON of none of the tools"),
        ("[1, 2]", "JSON of none of the tools"),
        (json.dumps([BENCH | {"avg_ns": "soon"}]), "not what its tool writes"),
        (json.dumps([BENCH | {"n_depth": 8}]), "holds no result"),
    ],
)
def test_files_that_are_no_results_are_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_rows(write(tmp_path, text), GIVEN)


def test_results_are_predicted_and_judged(tmp_path: Path) -> None:
    frame = validate(write(tmp_path, VLLM), given=GIVEN)
    assert list(frame["error"]) == [""]
    assert frame["predicted_tpot_s"].iloc[0] > 0
    expected = frame["predicted_tpot_s"].iloc[0] / 0.0125 - 1
    assert frame["error_tpot_s"].iloc[0] == pytest.approx(expected)


def test_the_command_fills_what_a_file_leaves_open(tmp_path: Path) -> None:
    path = str(write(tmp_path, LATENCY))
    asked = ["validate", path, "--gpu", "h100", "--model", "llama-3.1-8b", "--format", "json"]
    asked += ["--set", "batch=8", "--set", "input_len=32", "--set", "output_len=128"]
    done = CliRunner().invoke(cli, asked)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["rows"][0]
    assert found["e2e_latency_s"]["measured"] == 1.5
    done = CliRunner().invoke(cli, ["validate", path, "--set", "batch"])
    assert done.exit_code == 2
    assert "--set takes COLUMN=VALUE, not 'batch'" in done.output


def test_rates_are_shown_as_rates(tmp_path: Path) -> None:
    path = str(write(tmp_path, [BENCH]))
    asked = ["validate", path, "--gpu", "rtx-4090", "--model", "llama-3.1-8b"]
    done = CliRunner().invoke(cli, asked)
    assert done.exit_code == 0, done.output
    assert "against 5120 tokens/s" in " ".join(done.stdout.split())


def test_files_named_in_rows_lie_beside_them(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "in").mkdir()
    text = "name: Mine\nextends: h100\n"
    (tmp_path / "in" / "mine.yaml").write_text(text, "utf-8")
    rows = "model,hardware,batch,input_len,output_len,ttft_s\nllama-3.1-8b,mine.yaml,1,64,2,0.01\n"
    path = write(tmp_path / "in", rows, "rows.csv")
    monkeypatch.chdir(tmp_path)
    assert list(validate(path)["error"]) == [""]


def test_families_of_kernels_are_judged_where_they_were_timed(tmp_path: Path) -> None:
    rows = (
        "model,hardware,precision,batch,input_len,output_len,ttft_s,prefill_gemm_s,decode_moe_s\n"
        "llama-3.1-8b,h100,bf16,1,1024,2,0.02,0.015,\n"
    )
    frame = validate(write(tmp_path, rows, "rows.csv"))
    gemm, whole = frame["predicted_prefill_gemm_s"].iloc[0], frame["predicted_ttft_s"].iloc[0]
    assert 0.5 * whole < gemm < whole
    assert frame["error_prefill_gemm_s"].iloc[0] == pytest.approx(gemm / 0.015 - 1)
    assert "predicted_prefill_attention_s" not in frame.columns  # nothing of it was timed
