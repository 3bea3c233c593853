"""`vllm bench serve --save-result`: one JSON object per run.

Metadata given to the benchmark (`--metadata tp=4 gpu=h100`) fills the columns of its names.
"""

from __future__ import annotations

from typing import Any, Final

from llmroof.evidence.readers.fields import (
    Row,
    in_flight,
    length_of_answer,
    milliseconds,
    number,
    per,
    text,
)

#: names that people give to metadata -> column
_METADATA: Final = {
    "tp": "tp",
    "tensor_parallel_size": "tp",
    "gpu": "hardware",
    "hardware": "hardware",
    "precision": "precision",
    "quantization": "precision",
    "kv_cache_dtype": "kv_cache_dtype",
}


def recognises(document: Any) -> bool:
    """True for the result of a serving benchmark of vLLM."""
    return isinstance(document, dict) and {"model_id", "mean_ttft_ms"} <= document.keys()


def rows(document: Any) -> list[Row]:
    """The one row of a run."""
    completed = number(document, "completed")
    output = per(number(document, "total_output_tokens"), completed)
    ttft = milliseconds(number(document, "mean_ttft_ms"))
    tpot = milliseconds(number(document, "mean_tpot_ms"))
    e2e = milliseconds(number(document, "mean_e2el_ms"))
    endless = text(document, "request_rate") == "inf"
    found: Row = {
        column: str(document[name]) for name, column in _METADATA.items() if name in document
    }
    return [
        found
        | {
            "model": text(document, "model_id"),
            "engine": "vllm",
            "concurrency": in_flight(
                number(document, "max_concurrency"),
                number(document, "request_throughput"),
                e2e or length_of_answer(ttft, tpot, output),
                number(document, "num_prompts") if endless else None,
            ),
            "input_len": per(number(document, "total_input_tokens"), completed),
            "output_len": output,
            "ttft_s": ttft,
            "tpot_s": tpot,
            "e2e_latency_s": e2e,
            "output_tokens_per_s": number(document, "output_throughput"),
            "source": f"vllm bench serve {text(document, 'date')}".strip(),
        }
    ]
