"""Several deployments under the same question: every figure against the first one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from llmroof.engine.estimate import Estimate
from llmroof.figures import COLUMNS

#: what two deployments are compared by
FIGURES: Final = (
    "ttft_s",
    "tpot_s",
    "e2e_latency_s",
    "output_tokens_per_s",
    "output_tokens_per_s_per_gpu",
    "usd_per_hour",
    "usd_per_million_output_tokens",
    "usd_per_million_total_tokens",
    "joule_per_output_token",
    "max_batch",
)
#: times of a pass whose difference explains that of two deployments
PARTS: Final = ("compute", "memory", "network", "overhead")
_INPUTS: Final = (
    "model",
    "hardware",
    "num_gpus",
    "tp",
    "pp",
    "dp",
    "ep",
    "weights",
    "activations",
    "kv_cache_dtype",
    "batch",
    "concurrency",
    "request_rate",
    "input_len",
    "output_len",
    "engine",
    "attention",
    "fusion",
    "kv_cache",
    "usd_per_gpu_hour",
    "prefix_hit_rate",
    "speculative_tokens",
    "disaggregated",
    "prefill_workers",
    "decode_workers",
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Estimates side by side: `ratios` of every figure to that of the first."""

    estimates: tuple[Estimate, ...]
    figures: tuple[Mapping[str, float | None], ...]
    ratios: tuple[Mapping[str, float | None], ...]
    differing: tuple[str, ...]


def compare(estimates: Sequence[Estimate]) -> Comparison:
    """Compare single estimates with the first of them."""
    figures = [{name: _number(COLUMNS[name](one)) for name in FIGURES} for one in estimates]
    ratios = [
        {name: _ratio(value, figures[0][name]) for name, value in found.items()}
        for found in figures
    ]
    differing = tuple(
        name for name in _INPUTS if len({COLUMNS[name](one) for one in estimates}) > 1
    )
    return Comparison(tuple(estimates), tuple(figures), tuple(ratios), differing)


def time_shift(first: Estimate, other: Estimate, phase: str) -> dict[str, float]:
    """Seconds by which each part of a pass differs, other − first."""
    old, new = (getattr(one, phase).times for one in (first, other))
    return {name: float(getattr(new, name)) - float(getattr(old, name)) for name in PARTS}


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _ratio(value: float | None, base: float | None) -> float | None:
    return None if value is None or not base else value / base
