"""A file of results, whichever tool wrote it, as measured rows."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from llmroof.errors import InputError
from llmroof.evidence.readers import genai_perf, llama_bench, sglang, vllm_latency, vllm_serve
from llmroof.evidence.readers.fields import Row

#: formats in the order in which they are tried
READERS: Final[tuple[ModuleType, ...]] = (
    llama_bench,
    vllm_serve,
    vllm_latency,
    sglang,
    genai_perf,
)
_KNOWN: Final = "vllm bench serve or latency, SGLang bench_serving, llama-bench, genai-perf, aiperf"


def results(path: Path, content: str) -> list[Row] | None:
    """The rows of a file of results; None for a CSV that is none of a tool known here.

    Raises InputError for JSON that no reader recognises.
    """
    if content.lstrip()[:1] in ("{", "["):
        return _from_json(path, content)
    header = content.lstrip("\ufeff").partition("\n")[0]
    if {"n_prompt", "n_gen", "avg_ns"} <= {name.strip().strip('"') for name in header.split(",")}:
        return llama_bench.rows(list(csv.DictReader(io.StringIO(content))))
    return None


def _from_json(path: Path, content: str) -> list[Row]:
    documents = _documents(path, content)
    found: list[Row] = []
    for document in documents:
        reader = next((one for one in READERS if one.recognises(document)), None)
        if reader is None:
            raise InputError(f"{path}: JSON of none of the tools that are read: {_KNOWN}")
        try:
            found += reader.rows(document)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path}: not what its tool writes: {error}") from None
    return found


def _documents(path: Path, content: str) -> list[Any]:
    """One JSON document, or one per line."""
    try:
        return [json.loads(content)]
    except (ValueError, RecursionError):
        pass
    try:
        return [json.loads(line) for line in content.splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: neither JSON nor a JSON object per line: {error}") from None
