"""Published single figures of serving against what the calculator answers to the same question.

    python validation/published.py [--rows FILE]

Reads <shared>/measured/published.csv, where <shared> is `../shared` or the environment variable
LLMROOF_SHARED; without it it says so and stops. Every row marked usable is asked or has a reason
why not. `--rows` writes what each row was asked and answered. Two minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kernel_tables import shared

from llmroof.api import estimate
from llmroof.engine.estimate import Estimate
from llmroof.errors import LlmroofError
from llmroof.models.load import load_model
from llmroof.models.model import Model
from llmroof.specs.hardware import Hardware, load_hardware

#: models of the same shapes under another name
SAME = {
    "llama-7b": "llama-2-7b",
    "llama-13b": "llama-2-13b",
    "qwen2-72b": "qwen2.5-72b",
    "qwen2.5-coder-7b": "qwen2.5-7b",
}
#: shapes that no spec has: what the table says of them (layers, heads, width of a head), or
#: table 2.1 of Brown et al. 2020 for the names of GPT-3's series
GPT = {
    "GPT-350M": (24, 16, 64),
    "GPT-1.3B": (24, 16, 128),
    "GPT-6.7B": (32, 32, 128),
    "GPT-20B": (44, 48, 128),
    "GPT-89B": (48, 96, 128),
    "GPT-175B": (96, 96, 128),
    "Megatron-530B": (105, 128, 160),
}
LLAMA = {"llama-33b": (60, 52, 6656, 17920), "openllama-3b": (26, 32, 3200, 8640)}
#: packages of two dies that their software shows as two devices: a row of one is half a profile
DIES = ("mi250x", "max-1550")
#: decode share of a predicted latency from which on its error is that of decode
MOSTLY = 0.9
#: tokens that llama-bench's prompts go through the layers with, and those of a logical batch, at
#: whose end a pipeline over several cards runs empty
MICRO_BATCH, LOGICAL_BATCH = 512, 2048
#: requests in flight that fill any server
MAX_IN_FLIGHT = 1 << 16


#: words of a refusal -> the reason without its names
REASONS = {
    "requests/s are more": "rate beyond what is predicted to be sustained",
    "has no": "the device has no such arithmetic",
    "no peak": "the device has no such arithmetic",
    "head": "the heads do not divide among the devices",
    "precision": "format that only one engine has (EXL2, GF4)",
}


class Unanswered(Exception):
    """Why a row has no figure to be held against."""


@dataclass(frozen=True)
class Answer:
    """Predicted over measured of one row, what it tells about, or why there is none."""

    family: str
    told: str
    ratio: float = float("nan")
    reason: str = ""
    engine: str = ""


def answer(row: Mapping[str, Any]) -> Answer:
    """What the calculator says to a published figure."""
    family, told = str(row["device"]), str(row["metric"])
    try:
        gpu = device(row)
        family = f"{gpu.vendor} {gpu.architecture.removeprefix(gpu.vendor).strip()}"
        found = ask(row, gpu)
        figure, told = read(row, found)
    except Unanswered as why:
        return Answer(family, told, reason=str(why))
    except LlmroofError as error:
        return Answer(family, told, reason=kind_of(str(error)))
    ratio = figure / float(row["value"])
    ratio = 1 / ratio if row["metric"].endswith("_ms") else ratio
    return Answer(family, told, ratio, engine=found.deployment.engine)


def kind_of(message: str) -> str:
    """The reason of a refusal without the names in it."""
    for words, reason in REASONS.items():
        if words in message:
            return reason
    return message[:80]


def device(row: Mapping[str, Any]) -> Hardware:
    """The profile of a row's device; one die where the table counts dies."""
    if not isinstance(row["hardware"], str):
        raise Unanswered("device without a profile")
    try:
        gpu = load_hardware(row["hardware"])
    except LlmroofError:
        raise Unanswered("device without a profile") from None
    if "PCIe only" in str(row["note"]):  # no bridge between the cards
        gpu = replace(gpu, links={k: v for k, v in gpu.links.items() if k != "scale_up"})
    return half(gpu) if gpu.id in DIES else gpu


def half(gpu: Hardware) -> Hardware:
    """One of the two dies of a package."""
    memory = replace(
        gpu.memory, capacity=gpu.memory.capacity / 2, bandwidth=gpu.memory.bandwidth / 2
    )
    return replace(
        gpu,
        memory=memory,
        compute={name: rate / 2 for name, rate in gpu.compute.items()},
        processors={**gpu.processors, "count": gpu.processors["count"] / 2},
    )


@lru_cache
def model(name: str) -> Model:
    """The model of a row: a spec, or a config of the shapes that the table tells."""
    if name in GPT:
        layers, heads, width = GPT[name]
        hidden = heads * width
        return _config(
            name, model_type="gpt2", n_layer=layers, n_head=heads, n_embd=hidden,
            n_positions=2048, vocab_size=51200,
        )  # fmt: skip
    if name in LLAMA:
        layers, heads, hidden, width = LLAMA[name]
        return _config(
            name, model_type="llama", num_hidden_layers=layers, num_attention_heads=heads,
            hidden_size=hidden, intermediate_size=width, vocab_size=32000,
            max_position_embeddings=2048,
        )  # fmt: skip
    if name.startswith(("t5-", "palm-", "opt-175b")):
        raise Unanswered(f"model without a spec ({name.split('-')[0]})")
    try:
        return load_model(SAME.get(name, name))
    except LlmroofError:
        raise Unanswered("model without a spec") from None


def _config(name: str, **values: Any) -> Model:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.json"
        path.write_text(json.dumps({"torch_dtype": "float16", **values}))
        return load_model(str(path))


def plan(row: Mapping[str, Any]) -> dict[str, int]:
    """How a row's devices share the model: as its table says."""
    count, words = int(row["n_gpu"]), str(row["parallel"])
    if count == 1:
        return {"num_gpus": 1}
    if words == "layer split" or (words.startswith("n=") and "llama.cpp" in str(row["engine"])):
        return {"num_gpus": count, "tp": 1, "pp": count}
    if words.startswith("n=") and "ExLlama" in str(row["engine"]):
        return {"num_gpus": count, "tp": 1, "pp": count}
    if words.startswith("n="):
        return {"num_gpus": count, "tp": count}
    found = re.fullmatch(r"TP(\d+)(?:xPP(\d+))?", words)
    if found is None:
        raise Unanswered("several devices, and no word on how they share the model")
    return {"num_gpus": count, "tp": int(found[1]), "pp": int(found[2] or 1)}


def precision(row: Mapping[str, Any], gpu: Hardware) -> dict[str, str]:
    """The format of a row; the other one of 16 bits where a device has only that."""
    name = str(row["precision"])
    if name in ("", "nan"):
        return {}
    if name == "fp16" and "fp16" not in gpu.compute:
        name = "bf16"
    return {"precision": name}


def build(row: Mapping[str, Any], gpu: Hardware) -> dict[str, Any]:
    """What a table says about the software: its rules, graphs, flash attention."""
    engine, source = str(row["engine"]), str(row["source"])
    if "llama.cpp" in engine:
        return _llamacpp(engine, gpu)
    if engine.startswith("vLLM"):
        if source.startswith("MLC"):
            return {"engine": "pytorch"}  # 2023: before its graphs
        if source.startswith("Argonne") and gpu.vendor == "AMD":
            return {"engine": "vllm-eager"}  # a step takes as long over eight devices as over one
        recent = engine.startswith(("vLLM 0.8", "vLLM 0.9", "vLLM 0.10"))
        return {"engine": "vllm" if recent else "vllm-2024"}
    if engine.startswith("TensorRT-LLM"):
        return {"engine": "trtllm-2024"}
    if engine == "FasterTransformer":
        return {"engine": "trtllm-2024"}  # its kernels, before it
    if engine in ("Deepspeed-MII", "Megatron"):
        return {"engine": "pytorch"}
    return {}


def _llamacpp(engine: str, gpu: Hardware) -> dict[str, Any]:
    old = "May 2024" in engine
    rules = "llamacpp-eager" if old else "llamacpp"
    asked: dict[str, Any] = {"engine": "llamacpp-metal" if gpu.vendor == "Apple" else rules}
    asked["chunked_prefill"] = MICRO_BATCH
    if old or "no FA" in engine or gpu.vendor == "Apple":
        asked["attention"] = "naive"
    return asked


def ask(row: Mapping[str, Any], gpu: Hardware) -> Estimate:
    """The estimate of the row's question. Raises Unanswered and LlmroofError."""
    if row["metric"] == "speedup":
        raise Unanswered("ratio of two kernels, no figure of a deployment")
    if row["scope"] in ("per_node", "per_chip"):
        raise Unanswered("mean of a fleet in production, or of a task without lengths")
    shape = replace(model(str(row["model"])), max_context=None)  # tables run beyond it
    asked: dict[str, Any] = {"model": shape, "gpu": gpu, **plan(row)}
    asked |= build(row, gpu)
    for name in ("input_len", "output_len"):
        value = float(row[name])
        if value == value:
            asked[name] = max(1, round(value))  # no prompt: one token starts it
    if asked.get("pp", 1) > 1 and asked.get("chunked_prefill") == MICRO_BATCH:
        asked["input_len"] = min(asked.get("input_len", LOGICAL_BATCH), LOGICAL_BATCH)
    asked |= precision(row, gpu)
    batch, running = str(row["batch"]), "decode" if row["metric"] == "decode_tok_s" else ""
    if batch.replace(".", "").isdigit():
        found = estimate(batch=int(float(batch)), **asked)
        if not np.all(found.fits) and not running and row["metric"] != "prefill_tok_s":
            raise Unanswered("does not fit at once: ran in waves")
        return found
    if "input_len" not in asked:
        raise Unanswered("load of a data set whose lengths are not told (MLPerf)")
    if batch.startswith("QPS=") and batch != "QPS=INF":
        return estimate(request_rate=float(batch[4:]), random_lengths=True, **asked)
    if batch in ("max", "QPS=INF") and row["metric"] == "out_tok_s":
        return estimate(concurrency=MAX_IN_FLIGHT, **asked)
    raise Unanswered("latency at a load of unknown size")


def read(row: Mapping[str, Any], found: Estimate) -> tuple[float, str]:
    """(the figure that the row tells, what it is about)."""
    serving, work = found.serving, found.workload
    metric, scope = str(row["metric"]), str(row["scope"])
    if found.steady is not None:
        online = f"{metric} under load"
        if metric == "out_tok_s":
            rate = found.steady.pace * work.output_len
            if str(row["batch"]).startswith("QPS=") and row["batch"] != "QPS=INF":
                rate = serving.output_tokens_per_s
                return float(rate), "throughput at a rate"
            return float(rate), "throughput, saturated"
        return 1e3 * float(serving.ttft if metric == "ttft_ms" else serving.tpot), online
    batch = float(work.batch)
    share = {"system": 1.0, "per_gpu": 1.0 / found.deployment.num_gpus}.get(scope, 1.0 / batch)
    if metric == "decode_tok_s":
        return share * batch / float(serving.tpot), "decode"
    if metric == "prefill_tok_s":
        return share * batch * float(work.input_len) / float(serving.ttft), "prefill"
    if metric == "ttft_ms":
        return 1e3 * float(serving.ttft), "prefill"
    if metric == "tpot_ms":
        return 1e3 * float(serving.tpot), "decode"
    decoding = 1.0 - float(serving.ttft / serving.e2e_latency)
    told = "decode" if decoding >= MOSTLY else "prefill" if decoding <= 1 - MOSTLY else "both"
    if metric == "e2e_ms":
        return 1e3 * float(serving.e2e_latency), f"latency, {told}"
    return share * float(serving.output_tokens_per_s), f"throughput, {told}"


def judge(folder: Path) -> pd.DataFrame:
    """Usable rows with what they were answered: `ratio` is predicted over measured speed."""
    rows = pd.read_csv(folder / "measured" / "published.csv", low_memory=False)
    rows = rows[rows.quality == "ok"]
    found = [answer(row) for row in rows.to_dict("records")]
    names = ("family", "told", "ratio", "reason", "engine")
    return rows.assign(
        **{("asked" if name == "engine" else name): [getattr(one, name) for one in found]
           for name in names}
    )  # fmt: skip


#: what a row tells about -> the aim of its median error
AIMS = {"decode": 20, "prefill": 30}
#: fewer rows make no median
FEWEST = 3


def summary(rows: pd.DataFrame) -> str:
    """Decode and prefill by family of devices, each row that tells of one of them alone."""
    lines = [
        "| devices | tells of | rows | median error | bias | aim |",
        "| --- | --- |" + " ---: |" * 4,
    ]
    known = rows[rows.ratio.notna()]
    known = known.assign(phase=[phase(told) for told in known.told])
    for (family, name), part in known.groupby(["family", "phase"]):
        if name not in AIMS or len(part) < FEWEST:
            continue
        error = 100 * (part.ratio - 1)
        size, aim = error.abs().median(), AIMS[name]
        lines.append(
            f"| {family} | {name} | {len(part)} | {size:.0f}% | {error.median():+.0f}% | "
            f"{aim} %{'' if size <= aim else ': missed'} |"
        )
    return "\n".join(lines)


def phase(told: str) -> str:
    """decode, prefill, or what no single phase explains."""
    last = told.rpartition(", ")[2]
    if told == "tpot_ms under load" or last == "saturated":
        return "decode"
    return last


def table(rows: pd.DataFrame, by: tuple[str, ...]) -> str:
    """Answered rows, median error and bias by columns; a row of all in the end."""
    heads = [{"asked": "rules asked", "told": "figure", "family": "devices"}.get(b, b) for b in by]
    lines = ["| " + " | ".join((*heads, "rows", "median error", "bias")) + " |"]
    lines.append("|" + " --- |" * len(by) + " ---: |" * 3)
    known = rows[rows.ratio.notna()]
    parts = [
        (key if isinstance(key, tuple) else (key,), part) for key, part in known.groupby(list(by))
    ]
    for key, part in [*parts, (("all", *[""] * (len(by) - 1)), known)]:
        if len(part) < FEWEST:
            continue
        error = 100 * (part.ratio - 1)
        cells = (
            *map(str, key),
            len(part),
            f"{error.abs().median():.0f}%",
            f"{error.median():+.0f}%",
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def unanswered(rows: pd.DataFrame) -> str:
    """The rows that have no answer, by reason."""
    none = rows[rows.ratio.isna()]
    lines = ["| why there is no answer | rows |", "| --- | ---: |"]
    lines += [f"| {why} | {count} |" for why, count in none.reason.value_counts().items()]
    return "\n".join(lines)


def outliers(rows: pd.DataFrame) -> str:
    """Groups of one table, device and engine that are far off: explained in published.md."""
    known = rows[rows.ratio.notna()].assign(off=lambda r: r.ratio - 1)
    lines = [
        "| table | device | engine | figure | rows | bias |",
        "| --- |" + " --- |" * 3 + " ---: |" * 2,
    ]
    keys = ["source", "device", "engine", "told"]
    for (source, name, engine, told), part in known.groupby(keys):
        limit = 0.3 if phase(told) != "decode" else 0.2
        if len(part) >= FEWEST and part.off.abs().median() > 1.5 * limit:
            short = re.sub(r"\s*\(.*", "", source)
            lines.append(
                f"| {short} | {name} | {engine} | {told} | {len(part)} | {part.off.median():+.0%} |"
            )
    return "\n".join(lines)


def section(folder: Path) -> str:
    """The part of docs/validation.md on published figures."""
    rows = judge(folder)
    answered = int(rows.ratio.notna().sum())
    return "\n\n".join(
        [
            f"{len(rows)} figures marked usable in public tables, {answered} answered "
            "(`validation/published.py`). A static batch is asked as one; `max` and unlimited "
            "rates as a saturated server; rates as Poisson streams. A latency tells of decode "
            f"(or prefill) where that is {MOSTLY:.0%} of the predicted time or more. Errors are "
            "of speed; a positive bias is too fast.",
            summary(rows),
            "By what is told, latencies and throughput in which both phases count included:",
            table(rows, ("family", "told")),
            "By the rules that were asked (`--engine`):",
            table(rows, ("asked",)),
            unanswered(rows),
            "Groups more than half beyond the aim, explained below:",
            outliers(rows),
        ]
    )


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", help="file for the rows with their answers")
    asked = parser.parse_args()
    folder = shared()
    if folder is None:
        print("no measured rows at hand (set LLMROOF_SHARED): nothing to do")
        return 0
    if asked.rows:
        judge(folder).to_csv(asked.rows, index=False)
    print(section(folder))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
