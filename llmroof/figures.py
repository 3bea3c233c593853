"""Every figure of an estimate by the name it has outside: the one table of names.

Names end in their unit (`time_s`, `kv_cache_bytes`). JSON nests them by part; flat rows
put `prefill_`, `decode_` and `model_` before the figures of these parts. A figure is read
only when it is asked for, so that a sweep pays for the columns it uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Final, TypeAlias

from llmroof.engine.estimate import Estimate

Getter: TypeAlias = Callable[[Estimate], Any]

_PHASE: Final = {
    "flop": "flop",
    "bytes": "bytes",
    "network_bytes": "network_bytes",
    "arithmetic_intensity": "arithmetic_intensity",
    "ridge_point": "ridge_point",
    "bound": "bound",
    "time_s": "time",
    "roofline_time_s": "roofline_time",
    "mfu": "mfu",
    "mbu": "mbu",
}


def _paths(base: str, *names: str) -> dict[str, Getter]:
    return {name: attrgetter(f"{base}.{name}") for name in names}


def _phase(base: str) -> dict[str, Getter]:
    return {name: attrgetter(f"{base}.{field}") for name, field in _PHASE.items()}


def _seconds(*names: str) -> dict[str, Getter]:
    return {f"{name}_s": attrgetter(f"serving.{name}") for name in names}


def _under_load(name: str) -> Getter:
    return lambda e: None if e.load is None else getattr(e.load, name)


def _guessed(name: str) -> Getter:
    return lambda e: getattr(e.deployment.speculation, name, None)


def _draft(estimate: Estimate) -> str | None:
    guess = estimate.deployment.speculation
    return None if guess is None or guess.draft is None else guess.draft.id


def _rate(estimate: Estimate) -> Any:
    """The arrival rate asked for: a Poisson stream is the only load that has one."""
    return estimate.serving.arrivals_per_s


def _closed(estimate: Estimate) -> Any:
    load = estimate.load
    return None if load is None or load.kind == "poisson" else load.concurrency


def _workers(path: str) -> Getter:
    """A field of the workers; None where prefill and decode share devices."""

    def read(estimate: Estimate) -> Any:
        workers = estimate.deployment.workers
        return None if workers is None else attrgetter(path)(workers)

    return read


def _of_split(path: str) -> Getter:
    """A field of a disaggregated answer; None where there is none."""
    return lambda e: None if e.split is None else attrgetter(path)(e.split)


def _power(estimate: Estimate) -> float | None:
    deployment = estimate.deployment
    return deployment.hardware.tdp if deployment.watts is None else deployment.watts


#: part of the answer -> name -> how to read it; the order is that of every output
FIGURES: Final[Mapping[str, Mapping[str, Getter]]] = {
    "inputs": {
        "model": attrgetter("deployment.model.id"),
        "hardware": attrgetter("deployment.hardware.id"),
        "num_gpus": attrgetter("deployment.num_gpus"),
        **_paths("deployment.run.plan", "tp", "pp", "dp", "ep"),
        "batch": lambda e: e.workload.batch if e.load is None else None,
        "input_len": attrgetter("workload.input_len"),
        "output_len": attrgetter("workload.output_len"),
        "weights": attrgetter("deployment.run.precision.weights.id"),
        "activations": attrgetter("deployment.run.precision.activations.id"),
        "kv_cache_dtype": attrgetter("deployment.run.precision.kv_cache.id"),
        "engine": attrgetter("deployment.engine"),
        "usd_per_gpu_hour": attrgetter("deployment.usd_per_gpu_hour"),
        **_paths("deployment.run", "attention", "fusion", "kv_cache", "all_reduce", "routing_skew"),
        "limit": lambda e: e.deployment.calibration is None,
        "gpu_memory_utilization": attrgetter("deployment.rules.utilization"),
        "max_num_seqs": attrgetter("deployment.rules.max_num_seqs"),
        "max_num_batched_tokens": attrgetter("deployment.rules.chunk_tokens"),
        "power_watts": _power,
        "concurrency": _closed,
        "request_rate": _rate,
        "load": _under_load("kind"),
        "random_lengths": _under_load("random"),
        "prefix_hit_rate": attrgetter("workload.prefix_hit_rate"),
        "chunked_prefill": lambda e: e.workload.chunk_tokens if e.load is None else None,
        "speculative_tokens": _guessed("tokens"),
        "acceptance_rate": _guessed("acceptance"),
        "draft_model": _draft,
        "disaggregated": lambda e: e.deployment.workers is not None,
        "prefill_workers": _workers("prefill"),
        "decode_workers": _workers("decode"),
        **{f"prefill_{name}": _workers(f"plan.{name}") for name in ("tp", "pp", "dp", "ep")},
        "transfer_bandwidth": _workers("bandwidth"),
        "transfer_overlap": _workers("overlap"),
    },
    "model": {
        **_paths("deployment.model", "parameters", "active_parameters"),
        "weights_bytes": lambda e: e.deployment.model.weights_bytes(e.deployment.run.precision),
        "kv_cache_bytes_per_token": lambda e: e.deployment.model.kv_cache_bytes_per_token(
            e.deployment.run.precision
        ),
    },
    "prefill": _phase("prefill"),
    "decode": _phase("decode"),
    "memory": _paths(
        "memory",
        *("weights_bytes", "kv_cache_bytes", "activation_bytes", "reserved_bytes", "total_bytes"),
        *("capacity_bytes", "fits", "max_batch", "max_context"),
    ),
    "serving": _seconds("ttft", "tpot", "e2e_latency")
    | _paths(
        "serving",
        *("output_tokens_per_s", "total_tokens_per_s", "output_tokens_per_s_per_gpu"),
        "requests_per_s",
    ),
    "cost": _paths(
        "cost",
        *("usd_per_hour", "usd_per_million_output_tokens", "usd_per_million_input_tokens"),
        "usd_per_million_total_tokens",
    ),
    "energy": _paths("cost", "joule_per_output_token", "watts"),
}
#: the steady state of a server under load: requests, and the parts of its TTFT
STEADY: Final[Mapping[str, Getter]] = {
    "running": attrgetter("steady.running"),
    "waiting": attrgetter("steady.waiting"),
    "slots": attrgetter("steady.slots"),
    "prefill_s": attrgetter("steady.prefill"),
    "interference_s": attrgetter("steady.interference"),
    "lag_s": attrgetter("steady.lag"),
    "memory_wait_s": attrgetter("steady.memory_wait"),
    "transfer_s": attrgetter("steady.transfer"),
}
#: both sides of a disaggregated deployment and the link between them, in requests/s each
SPLIT: Final[Mapping[str, Getter]] = {
    "limited_by": _of_split("limited_by"),
    "prefill_requests_per_s": _of_split("prefill_rate"),
    "transfer_requests_per_s": _of_split("transfer_rate"),
    "decode_requests_per_s": _of_split("decode_rate"),
    "prefill_workers_per_decode_worker": _of_split("balance"),
    "prefill_busy": _of_split("busy"),
    "kv_cache_sent_bytes": _of_split("transfer.bytes"),
    "kv_cache_sent_bytes_per_gpu": _of_split("transfer.device_bytes"),
    "link": _of_split("transfer.link"),
    "link_bytes_per_s": _of_split("transfer.bandwidth"),
    "transfer_s": _of_split("transfer.time"),
    "exposed_transfer_s": _of_split("transfer.exposed"),
    "prefill_memory_bytes": _of_split("prefill_memory.total_bytes"),
}


def _end(name: str, place: int) -> Getter:
    """One end of a range; None where none is known."""

    def read(estimate: Estimate) -> Any:
        span = getattr(estimate.serving, f"{name}_range")
        return None if span is None else span[place]

    return read


#: the ranges of JSON (`ttft_s_range`: [low, high]) as flat columns
SPANS: Final[Mapping[str, Getter]] = {
    f"{name}_s_{end}": _end(name, place)
    for name in ("ttft", "tpot")
    for place, end in enumerate(("low", "high"))
}
#: parts whose names stand for themselves in a flat row
_BARE: Final = ("inputs", "memory", "serving", "cost", "energy")
#: what a name ends in when less of it is better
_LESS: Final = (
    *("_s", "_low", "_high", "_bytes", "_flop", "num_gpus", "power_watts"),
    *("per_million_output_tokens", "per_million_input_tokens", "per_million_total_tokens"),
    *("usd_per_hour", "usd_per_gpu_hour", "joule_per_output_token", "watts"),
)
_MORE: Final = ("tokens_per_s", "requests_per_s", "_per_gpu")


def tree(estimate: Estimate) -> dict[str, dict[str, Any]]:
    """All figures by part and name; leaves are text, numbers or arrays, unconverted."""
    return {
        part: {name: get(estimate) for name, get in figures.items()}
        for part, figures in parts(estimate).items()
    }


def parts(estimate: Estimate) -> dict[str, Mapping[str, Getter]]:
    """The parts that this estimate has: `steady` under a load, `disaggregated` with workers."""
    found = {**FIGURES}
    if estimate.steady is not None:
        found["steady"] = STEADY
    if estimate.split is not None:
        found["disaggregated"] = SPLIT
    return found


def flat_name(part: str, name: str) -> str:
    """The column of a figure; the bare `weights_bytes` is memory's: bytes per GPU."""
    if part in _BARE or (part == "model" and name != "weights_bytes"):
        return name
    return f"{part}_{name}"


#: column of a flat row -> how to read it
COLUMNS: Final[Mapping[str, Getter]] = {
    flat_name(part, name): get
    for part, figures in {**FIGURES, "steady": STEADY, "disaggregated": SPLIT}.items()
    for name, get in figures.items()
} | dict(SPANS)


def more_is_better(column: str) -> bool:
    """True for rates and shares, False for times, sizes and costs."""
    if column.endswith(_MORE):
        return True
    return not column.endswith(_LESS)
