"""genai-perf (`profile_export_genai_perf.json`) and aiperf (`profile_export_aiperf.json`).

Each metric is an object with its unit and statistics; the inter-token latency of both is the
mean per request, which is TPOT.
"""

from __future__ import annotations

from typing import Any, Final

from llmroof import units
from llmroof.evidence.readers.fields import Row, found, in_flight, number, text

#: unit as the tools write it -> seconds
_SECONDS: Final = {"ms": units.SMALL["m"], "us": units.SMALL["u"], "ns": units.SMALL["n"]}


def recognises(document: Any) -> bool:
    """True for the summary of a run of either tool."""
    known = {"request_latency", "request_throughput"}
    return isinstance(document, dict) and known <= document.keys()


def rows(document: Any) -> list[Row]:
    """The one row of a run."""
    config = document.get("input_config")
    e2e = _seconds(document, "request_latency")
    tool = "aiperf" if "aiperf_version" in document else "genai-perf"
    return [
        {
            "model": _model(config) or text(document, "model"),
            "engine": "generic",
            "concurrency": in_flight(
                found(config, "concurrency") or number(document, "concurrency"),
                number(document, "request_throughput", "avg"),
                e2e,
                None,
            ),
            "input_len": number(document, "input_sequence_length", "avg"),
            "output_len": number(document, "output_sequence_length", "avg"),
            "ttft_s": _seconds(document, "time_to_first_token"),
            "tpot_s": _seconds(document, "inter_token_latency"),
            "e2e_latency_s": e2e,
            "output_tokens_per_s": number(document, "output_token_throughput", "avg"),
            "source": tool,
        }
    ]


def _model(config: Any) -> str:
    return (
        text(config, "endpoint", "model_names")
        or text(config, "model_names")
        or text(config, "model")
    )


def _seconds(document: Any, metric: str) -> float | None:
    """The mean of a metric in seconds; milliseconds where it tells no unit."""
    value = number(document, metric, "avg")
    scale = _SECONDS.get(text(document, metric, "unit") or "ms", 1.0)
    return None if value is None else value * scale
