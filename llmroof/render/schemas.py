"""JSON Schemas of the outputs: described here once, kept as files in `llmroof/schemas/`.

`python -m llmroof.render.schemas` writes the files; a test compares them with this
description and validates real outputs against them. Objects may gain keys, never lose them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from llmroof.evidence.rows import FAMILY_COLUMNS
from llmroof.render.schema_check import CHECKED
from llmroof.render.schema_parts import (
    AMOUNT,
    BOUND,
    COUNT,
    FLAG,
    NUMBER,
    POSITIVE,
    SHARE,
    SPAN,
    TEXT,
    Schema,
    keys,
    mapping,
    maybe,
    optional,
    record,
    several,
)

FOLDER: Final = Path(__file__).resolve().parent.parent / "schemas"
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

INPUTS: Final = record(
    keys(TEXT, "model", "hardware"),
    keys(POSITIVE, "num_gpus", "tp", "pp", "dp", "ep", "input_len", "output_len"),
    {"batch": maybe(POSITIVE)},
    keys(maybe(AMOUNT), "concurrency", "request_rate", "prefix_hit_rate", "chunked_prefill"),
    keys(maybe(AMOUNT), "speculative_tokens", "acceptance_rate"),
    keys(maybe(TEXT), "load", "draft_model", "transfer_overlap"),
    keys(maybe(POSITIVE), "prefill_workers", "decode_workers"),
    keys(maybe(POSITIVE), "prefill_tp", "prefill_pp", "prefill_dp", "prefill_ep"),
    keys(POSITIVE, "max_num_seqs", "max_num_batched_tokens"),
    keys(maybe(AMOUNT), "power_watts", "transfer_bandwidth"),
    {"random_lengths": maybe(FLAG)},
    keys(TEXT, "weights", "activations", "kv_cache_dtype", "engine"),
    usd_per_gpu_hour=maybe(AMOUNT),
    attention={"enum": ["flash", "naive"]},
    fusion={"enum": ["fused", "none"]},
    all_reduce={"enum": ["auto", "ring", "tree", "one-shot", "switch"]},
    routing_skew=AMOUNT,
    kv_cache=FLAG,
    disaggregated=FLAG,
    limit=FLAG,
    gpu_memory_utilization=SHARE,
    defaults=several(TEXT),
)
_PHASE: Final = record(
    flop=AMOUNT,
    bytes=AMOUNT,
    network_bytes=AMOUNT,
    arithmetic_intensity=AMOUNT,
    ridge_point=AMOUNT,
    bound=BOUND,
    time_s=AMOUNT,
    roofline_time_s=AMOUNT,
    mfu=SHARE,
    mbu=SHARE,
)
_MEMORY: Final = record(
    keys(AMOUNT, "weights_bytes", "kv_cache_bytes", "activation_bytes", "reserved_bytes"),
    keys(AMOUNT, "total_bytes", "capacity_bytes"),
    fits=FLAG,
    max_batch=maybe(COUNT),
    max_context=maybe(COUNT),
)
_SERVING: Final = optional(
    record(
        keys(AMOUNT, "ttft_s", "tpot_s", "e2e_latency_s", "output_tokens_per_s"),
        keys(AMOUNT, "total_tokens_per_s", "output_tokens_per_s_per_gpu", "requests_per_s"),
    ),
    ttft_s_range=maybe(SPAN),
    tpot_s_range=maybe(SPAN),
)
_COST: Final = record(
    usd_per_hour=maybe(AMOUNT),
    usd_per_million_output_tokens=maybe(AMOUNT),
    usd_per_million_input_tokens=maybe(AMOUNT),
    usd_per_million_total_tokens=maybe(AMOUNT),
)
_BASIS: Final = several(record(text=TEXT, source=maybe(TEXT)))
_POINT: Final[dict[str, Schema]] = {
    "inputs": INPUTS,
    "model": record(
        parameters=POSITIVE,
        active_parameters=POSITIVE,
        weights_bytes=AMOUNT,
        kv_cache_bytes_per_token=AMOUNT,
    ),
    "prefill": _PHASE,
    "decode": _PHASE,
    "memory": _MEMORY,
    "serving": _SERVING,
    "cost": _COST,
    "energy": record(joule_per_output_token=maybe(AMOUNT), watts=maybe(AMOUNT)),
}
_OPERATOR: Final = record(
    keys(AMOUNT, "count", "flop", "bytes", "weight_bytes", "kv_bytes", "activation_bytes"),
    keys(AMOUNT, "network_bytes", "time_s", "roofline_time_s"),
    keys(AMOUNT, "total_flop", "total_bytes", "total_time_s"),
    phase={"enum": ["prefill", "decode"]},
    name=TEXT,
    kind=TEXT,
    arithmetic_intensity=maybe(AMOUNT),
    bound=BOUND,
    share=SHARE,
)
_SOURCE: Final = record(
    title=TEXT,
    url=maybe(TEXT),
    checked=maybe(TEXT),
    confidence={"enum": ["high", "medium", "low"]},
)
_QUANTITY: Final = record(value=NUMBER, unit=maybe(TEXT), source=maybe(TEXT))
_STEP: Final = record(
    name=TEXT,
    formula=TEXT,
    inputs=mapping(_QUANTITY),
    result=NUMBER,
    unit=maybe(TEXT),
    note=maybe(TEXT),
)

_STEADY: Final = record(
    keys(AMOUNT, "running", "waiting", "slots"),
    keys(AMOUNT, "prefill_s", "interference_s", "lag_s", "memory_wait_s", "transfer_s"),
)
_SPLIT: Final = record(
    keys(AMOUNT, "prefill_requests_per_s", "transfer_requests_per_s", "decode_requests_per_s"),
    keys(AMOUNT, "prefill_workers_per_decode_worker", "kv_cache_sent_bytes"),
    keys(AMOUNT, "kv_cache_sent_bytes_per_gpu", "link_bytes_per_s", "transfer_s"),
    keys(AMOUNT, "exposed_transfer_s", "prefill_memory_bytes"),
    prefill_busy=SHARE,
    limited_by={"enum": ["prefill", "transfer", "decode"]},
    link={"enum": ["scale_up", "pcie", "nic", "given"]},
)
_REPLICA: Final[dict[str, Schema]] = {
    "inputs": INPUTS,
    "decode": _PHASE,
    "memory": _MEMORY,
    "serving": _SERVING,
    "cost": _COST,
    "energy": _POINT["energy"],
    "steady": _STEADY,
}
_OPTION: Final = record(
    _REPLICA,
    replicas=POSITIVE,
    total_gpus=POSITIVE,
    fleet_usd_per_hour=maybe(AMOUNT),
    limited_by={"enum": ["slo_ttft", "slo_tpot", "memory", "max_num_seqs", "hardware"]},
    most_concurrency=AMOUNT,
    most_requests_per_s=AMOUNT,
    bound=BOUND,
    commands=mapping(TEXT),
)
_MISS: Final = record(
    _REPLICA,
    replicas=POSITIVE,
    total_gpus=POSITIVE,
    missed=several({"enum": ["slo_ttft", "slo_tpot", "max_gpus"]}),
    excess=AMOUNT,
)
_GAINS: Final = record(keys(maybe(NUMBER), "ttft", "tpot", "throughput", "cost"))
_AT_ONCE: Final = maybe({"type": "array", "items": POSITIVE, "minItems": 2, "maxItems": 2})

#: kind of document -> (what it is, its keys)
_JUDGED: Final = record(
    measured=NUMBER,
    predicted=maybe(NUMBER),
    relative_error=maybe(NUMBER),
    inside_range=maybe(FLAG),
)
_MEASURED: Final = optional(
    record(id=TEXT, error=maybe(TEXT)),
    **keys(_JUDGED, "ttft_s", "tpot_s", "e2e_latency_s"),
    **keys(_JUDGED, "prefill_tokens_per_s", "decode_tokens_per_s", "output_tokens_per_s"),
    **keys(_JUDGED, *FAMILY_COLUMNS),
)
_SUMMARY: Final = record(
    keys(COUNT, "n", "failed"),
    keys(maybe(NUMBER), "mape", "median_ape", "bias", "p80_ape", "inside_range"),
    metric=TEXT,
)
DOCUMENTS: Final[dict[str, tuple[str, dict[str, Schema]]]] = {
    "estimate": (
        "Answer to one question; under a load `steady` tells the state of the server",
        {**_POINT, "basis": _BASIS},
    ),
    "estimates": (
        "Answers over ranges, one per point",
        {"estimates": several(record(**_POINT)), "basis": _BASIS},
    ),
    "validation": (
        "Measured rows against predictions; errors are fractions of the measured value",
        {"rows": several(_MEASURED), "summary": several(_SUMMARY)},
    ),
    "check": ("Pinned estimates against their baseline, and what was asserted", CHECKED),
    "layers": (
        "Operators of both phases; amounts and times of one run on one device, `total_*` and "
        "`share` over all `count` runs",
        {"inputs": INPUTS, "operators": several(_OPERATOR)},
    ),
    "kv": (
        "KV cache and the largest batch at each context",
        {
            "inputs": INPUTS,
            "kv_cache_bytes_per_token": AMOUNT,
            "state_bytes_per_sequence": AMOUNT,
            **keys(AMOUNT, "weights_bytes", "capacity_bytes", "reserved_bytes", "available_bytes"),
            "contexts": several(
                record(
                    context=POSITIVE,
                    kv_cache_bytes_per_sequence=AMOUNT,
                    max_batch=maybe(COUNT),
                    max_tokens=maybe(COUNT),
                )
            ),
        },
    ),
    "explain": (
        "Derivation of each figure; a formula is plain arithmetic over the names of its inputs",
        {
            "inputs": INPUTS,
            "sections": several(
                record(name=TEXT, title=TEXT, steps=several(_STEP), remarks=several(TEXT))
            ),
        },
    ),
    "model": (
        "A model",
        {
            **keys(TEXT, "id", "name", "family"),
            "hub": several(TEXT),
            **keys(POSITIVE, "parameters", "active_parameters"),
            "embedding_parameters": COUNT,
            "tied_embeddings": FLAG,
            "parameters_by_part": mapping(COUNT),
            "kv_cache_bytes_per_token": AMOUNT,
            "kv_cache_bytes": mapping(AMOUNT),
            "state_bytes_per_sequence": AMOUNT,
            "max_context": maybe(POSITIVE),
            "num_layers": POSITIVE,
            "layers": several(
                record(count=POSITIVE, blocks=several(record(kind=TEXT, description=TEXT)))
            ),
            "sources": several(_SOURCE),
        },
    ),
    "sweep": (
        "Points of a sweep that were kept, one row each with the columns of the CSV",
        {
            "axes": mapping(several({"type": ["number", "string", "boolean"]})),
            "points": COUNT,
            "seen": COUNT,
            "fit": COUNT,
            "skipped": several(record(points=COUNT, reason=TEXT)),
            "rows": several({"type": "object"}),
        },
    ),
    "recommendation": (
        "The best deployments for a goal, one per GPU, or the nearest miss; figures of one replica",
        {
            "model": TEXT,
            "goal": record(
                keys(maybe(AMOUNT), "slo_ttft_s", "slo_tpot_s", "request_rate", "concurrency"),
                keys(POSITIVE, "input_len", "output_len", "max_gpus"),
                objective={"enum": ["cost", "throughput", "latency", "energy"]},
            ),
            "met": FLAG,
            "options": several(_OPTION),
            "nearest": maybe(_MISS),
            **keys(COUNT, "candidates", "evaluated"),
        },
    ),
    "advice": (
        "Levers of a deployment, most useful first; gains are parts saved, of throughput added",
        {
            "inputs": INPUTS,
            "by": {"enum": ["ttft", "tpot", "throughput", "cost"]},
            "levers": several(
                record(
                    title=TEXT,
                    flags={"type": "string"},
                    in_use=FLAG,
                    gains=_GAINS,
                    moves=several(record(phase=TEXT, before=BOUND, after=BOUND)),
                    pays_at=_AT_ONCE,
                    scanned=_AT_ONCE,
                    stop=maybe(
                        record(
                            keys(SHARE, "share", "kv_share"),
                            at=AMOUNT,
                            phase={"enum": ["prefill", "decode"]},
                            bound=BOUND,
                        )
                    ),
                    serving=_SERVING,
                    cost=_COST,
                )
            ),
        },
    ),
    "comparison": (
        "Deployments side by side; `ratios` are to the first one",
        {
            "differing": several(TEXT),
            "deployments": several(
                record(
                    {
                        name: part
                        for name, part in _POINT.items()
                        if name not in ("inputs", "model")
                    },
                    label=TEXT,
                    inputs=INPUTS,
                    ratios=mapping(maybe(NUMBER)),
                    words=several(TEXT),
                    notes=several(TEXT),
                )
            ),
        },
    ),
    "model_list": ("All models", {"models": several(record(id=TEXT, parameters=POSITIVE))}),
    "hardware": (
        "An accelerator: every figure with its unit and source",
        {
            "id": TEXT,
            "name": TEXT,
            "fields": mapping(
                record(value={"anyOf": [NUMBER, TEXT]}, unit=maybe(TEXT), source=maybe(_SOURCE))
            ),
            "ridge_points": mapping(AMOUNT),
            "prices": several(record(usd_per_hour=AMOUNT, provider=TEXT, unit=TEXT)),
            "achieved": several(record(metric=TEXT, fraction=AMOUNT, unit=TEXT)),
        },
    ),
    "hardware_list": (
        "All accelerators",
        {"hardware": several(record(id=TEXT, memory_bytes=AMOUNT, bandwidth_bytes_per_s=AMOUNT))},
    ),
    "hardware_comparison": (
        "Accelerators side by side; `best` names the one that is best at a metric",
        {
            "hardware": several(record(id=TEXT, memory_bytes=AMOUNT, bandwidth_bytes_per_s=AMOUNT)),
            "best": mapping(maybe(TEXT)),
            "missing": several(TEXT),
        },
    ),
}


#: documents that tell in sentences what they rest on
_NOTED: Final = ("layers", "kv", "explain", "recommendation", "advice")
#: keys that a document of a kind has where they mean something
_SOMETIMES: Final[dict[str, dict[str, Schema]]] = {
    "estimate": {"steady": _STEADY, "disaggregated": _SPLIT},
}


def schema(kind: str) -> Schema:
    """The JSON Schema of `llmroof.<kind>/1`."""
    title, content = DOCUMENTS[kind]
    first = {"schema": {"const": f"llmroof.{kind}/1"}, "llmroof_version": TEXT}
    last = {"notes": several(TEXT)} if kind in _NOTED else {}
    whole = optional(record(first, content, last), **_SOMETIMES.get(kind, {}))
    return {"$schema": _DIALECT, "title": f"llmroof.{kind}/1", "description": title, **whole}


def text(kind: str) -> str:
    """The file's content."""
    return json.dumps(schema(kind), indent=1, ensure_ascii=False) + "\n"


def path(kind: str) -> Path:
    """The file of a kind of document."""
    return FOLDER / f"output-{kind.replace('_', '-')}-1.json"


def write() -> None:
    """Write all files."""
    for kind in DOCUMENTS:
        path(kind).write_text(text(kind), "utf-8")


if __name__ == "__main__":
    write()
