"""`llama-bench -o json|jsonl|csv`: prompts (pp), answers (tg) and both (pg) of one sequence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from llmroof import units
from llmroof.evidence.readers.fields import Row

#: how llama.cpp calls a file's number format in `model_type` -> recipe
_FORMATS: Final = {
    "all F32": "fp32",
    "BF16": "bf16",
    "F16": "fp16",
    "Q4_0": "q4_0",
    "Q4_K": "q4_k_m",
    "Q5_K": "q5_k_m",
    "Q6_K": "q6_k",
    "Q8_0": "q8_0",
    "IQ4_XS": "iq4_xs",
    "MXFP4": "mxfp4",
}


def recognises(document: Any) -> bool:
    """True for the records of llama-bench, or one of them."""
    records = document if isinstance(document, list) else [document]
    known = {"n_prompt", "n_gen", "avg_ns"}
    return bool(records) and all(isinstance(r, dict) and known <= r.keys() for r in records)


def rows(document: Any) -> list[Row]:
    """A row per test. Prompts behind a depth are left out: no column says what was cached."""
    records = document if isinstance(document, list) else [document]
    found = [_row(record) for record in records]
    return [row for row in found if row is not None]


def _row(record: dict[str, Any]) -> Row | None:
    prompt, answer = int(record["n_prompt"]), int(record["n_gen"])
    depth = int(record.get("n_depth") or 0)
    seconds = float(record["avg_ns"]) * units.SMALL["n"]
    row: Row = {
        "id": _name(prompt, answer, depth),
        "model": _model(str(record.get("model_filename") or "")),
        "precision": _precision(str(record.get("model_type") or "")),
        "engine": "generic",
        "batch": 1.0,
        "device": record.get("gpu_info") or record.get("cpu_info") or "",
        "source": f"llama-bench {record.get('build_commit') or ''}".strip(),
    }
    if not answer:
        if depth or not prompt:
            return None
        return row | {
            "input_len": prompt,
            "output_len": 1,
            "prefill_tokens_per_s": prompt / seconds,
        }
    if not prompt:
        lengths = {"input_len": max(depth, 1), "output_len": answer + 1}
        return row | lengths | {"decode_tokens_per_s": answer / seconds}
    if depth:
        return None
    return row | {"input_len": prompt, "output_len": answer, "e2e_latency_s": seconds}


def _name(prompt: int, answer: int, depth: int) -> str:
    parts = [f"pp{prompt}" if prompt else "", f"tg{answer}" if answer else ""]
    return "+".join(part for part in parts if part) + (f"@{depth}" if depth else "")


def _model(file: str) -> str:
    """The GGUF file where it lies here; its name alone names no model."""
    return file if file and Path(file).is_file() else ""


def _precision(words: str) -> str:
    """The recipe of a file's format: `llama 8B Q4_K - Medium` is q4_k_m; "" for others."""
    for name in sorted(_FORMATS, key=len, reverse=True):
        if re.search(rf"(^|\s){re.escape(name)}(\s|$)", words):
            return _FORMATS[name]
    return ""
