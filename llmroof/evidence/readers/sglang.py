"""SGLang's `bench_serving --output-file`: one JSON object per line and run."""

from __future__ import annotations

from typing import Any

from llmroof.evidence.readers.fields import (
    Row,
    in_flight,
    milliseconds,
    number,
    per,
    text,
)


def recognises(document: Any) -> bool:
    """True for one line of a serving benchmark of SGLang."""
    known = {"mean_e2e_latency_ms", "total_output_tokens", "completed"}
    return isinstance(document, dict) and known <= document.keys()


def rows(document: Any) -> list[Row]:
    """The row of a run. Random lengths keep their nominal values and their spread."""
    completed = number(document, "completed")
    asked, answer = number(document, "random_input_len"), number(document, "random_output_len")
    ratio = number(document, "random_range_ratio")
    drawn = text(document, "dataset_name").startswith("random") and asked and answer and ratio
    backend = text(document, "backend")
    return [
        {
            "model": text(document, "model") or text(document, "server_info", "model_path"),
            "engine": "sglang" if backend.startswith("sglang") else "generic",
            "concurrency": in_flight(
                number(document, "max_concurrency"), None, None, number(document, "concurrency")
            ),
            "input_len": asked if drawn else per(number(document, "total_input_tokens"), completed),
            "output_len": answer
            if drawn
            else per(number(document, "total_output_tokens"), completed),
            "lengths": f"uniform {ratio:g}-1.0" if drawn and ratio != 1 else "fixed",
            "ttft_s": milliseconds(number(document, "mean_ttft_ms")),
            "tpot_s": milliseconds(number(document, "mean_tpot_ms")),
            "e2e_latency_s": milliseconds(number(document, "mean_e2e_latency_ms")),
            "output_tokens_per_s": number(document, "output_throughput"),
            "source": "sglang bench_serving",
        }
    ]
