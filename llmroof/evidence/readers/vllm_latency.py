"""`vllm bench latency --output-json`: seconds of one static batch, and nothing about it.

Batch and lengths are not in the file: they come with `validate --set`.
"""

from __future__ import annotations

from typing import Any

from llmroof.evidence.readers.fields import Row, number


def recognises(document: Any) -> bool:
    """True for the result of a latency benchmark of vLLM."""
    return isinstance(document, dict) and {"avg_latency", "latencies"} <= document.keys()


def rows(document: Any) -> list[Row]:
    """The one row of a run: end to end, prompt and answer."""
    e2e = number(document, "avg_latency")
    return [{"engine": "vllm", "e2e_latency_s": e2e, "source": "vllm bench latency"}]
