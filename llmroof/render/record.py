"""The estimate as nested plain data: one tree serves JSON, rows and data frames.

Names are those of the public interface and end in their unit (`time_s`, `kv_cache_bytes`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from llmroof import __version__
from llmroof.engine.estimate import Deployment, Estimate
from llmroof.engine.phases import OperatorCost, PhaseEstimate
from llmroof.models.model import Model
from llmroof.render.basis import NOTHING, basis
from llmroof.specs.precision import Precision

Tree = dict[str, Any]

#: keyword of `estimate` -> the name of that input in the output
_INPUT_NAMES: Final = {"gpu": "hardware", "price": "usd_per_gpu_hour"}
_PRECISION_PARTS: Final = ("weights", "activations")


def head(kind: str) -> Tree:
    """What every document begins with."""
    return {"schema": f"llmroof.{kind}/1", "llmroof_version": __version__}


def estimate_document(estimate: Estimate, asked: Mapping[str, Any] = NOTHING) -> Tree:
    """`llmroof.estimate/1` for one point, `llmroof.estimates/1` for several."""
    sentences = basis(estimate, asked)
    if shape(estimate) == ():
        return head("estimate") | plain_tree(tree(estimate)) | {"basis": sentences}
    points = [plain(point) for point in points_of(estimate)]
    return head("estimates") | {"estimates": points, "basis": sentences}


def shape(estimate: Estimate) -> tuple[int, ...]:
    """The joint shape of the workload's numbers; () for one point."""
    work = estimate.workload
    return np.broadcast_shapes(
        np.shape(work.batch), np.shape(work.input_len), np.shape(work.output_len)
    )


def tree(estimate: Estimate) -> Tree:
    """All figures as nested names; leaves are text, numbers or arrays, still unconverted."""
    return {
        "inputs": inputs(estimate),
        "model": model_figures(estimate.deployment),
        "prefill": phase_figures(estimate.prefill),
        "decode": phase_figures(estimate.decode),
        "memory": _fields(
            estimate.memory,
            ("weights_bytes", "kv_cache_bytes", "activation_bytes", "reserved_bytes"),
            ("total_bytes", "capacity_bytes", "fits", "max_batch", "max_context"),
        ),
        "serving": serving_figures(estimate),
        "cost": _fields(
            estimate.cost,
            ("usd_per_hour", "usd_per_million_output_tokens", "usd_per_million_input_tokens"),
            ("usd_per_million_total_tokens",),
        ),
        "energy": {"joule_per_output_token": estimate.cost.joule_per_output_token},
    }


def inputs(estimate: Estimate) -> Tree:
    """Everything resolved, and the names of what was not given."""
    deployment, work = estimate.deployment, estimate.workload
    run = deployment.run
    return {
        "model": deployment.model.id,
        "hardware": deployment.hardware.id,
        "num_gpus": deployment.num_gpus,
        "tp": run.plan.tp,
        "pp": run.plan.pp,
        "dp": run.plan.dp,
        "ep": run.plan.ep,
        "batch": work.batch,
        "input_len": work.input_len,
        "output_len": work.output_len,
        "weights": run.precision.weights.id,
        "activations": run.precision.activations.id,
        "kv_cache_dtype": run.precision.kv_cache.id,
        "engine": deployment.engine,
        "usd_per_gpu_hour": deployment.usd_per_gpu_hour,
        "attention": run.attention,
        "fusion": run.fusion,
        "kv_cache": run.kv_cache,
        "limit": deployment.calibration is None,
        "gpu_memory_utilization": deployment.rules.utilization,
        "defaults": defaults(estimate),
    }


def defaults(estimate: Estimate) -> list[str]:
    """Names of the inputs that were not given; a named recipe gives weights and activations."""
    left = set(estimate.defaults)
    recipe_given = "precision" not in left
    found = [
        _INPUT_NAMES.get(name, name)
        for name in estimate.defaults
        if name != "precision" and not (recipe_given and name in _PRECISION_PARTS)
    ]
    return list(dict.fromkeys(found))


def model_figures(deployment: Deployment) -> Tree:
    """What the model is under this precision, before it is split over devices."""
    model, precision = deployment.model, deployment.run.precision
    return {
        "parameters": model.parameters,
        "active_parameters": model.active_parameters,
        "weights_bytes": model.weights_bytes(precision),
        "kv_cache_bytes_per_token": model.kv_cache_bytes_per_token(precision),
    }


def phase_figures(phase: PhaseEstimate) -> Tree:
    """One pass of the whole deployment."""
    return _fields(
        phase, ("flop", "bytes", "network_bytes", "arithmetic_intensity", "ridge_point", "bound")
    ) | {
        "time_s": phase.time,
        "roofline_time_s": phase.roofline_time,
        "mfu": phase.mfu,
        "mbu": phase.mbu,
    }


def serving_figures(estimate: Estimate) -> Tree:
    """What a user and an operator see; ranges where the engine knows them."""
    serving = estimate.serving
    found: Tree = {
        "ttft_s": serving.ttft,
        "tpot_s": serving.tpot,
        "e2e_latency_s": serving.e2e_latency,
    } | _fields(
        serving,
        ("output_tokens_per_s", "total_tokens_per_s", "output_tokens_per_s_per_gpu"),
        ("requests_per_s",),
    )
    for name in ("ttft", "tpot"):
        span = getattr(serving, f"{name}_range", None)
        if span is not None:
            found[f"{name}_s_range"] = list(span)
    return found


def layers_document(estimate: Estimate) -> Tree:
    """`llmroof.layers/1` of one point."""
    operators = [
        operator_figures(name, phase, cost)
        for name, phase in (("prefill", estimate.prefill), ("decode", estimate.decode))
        for cost in phase.operators
    ]
    return head("layers") | plain_tree({"inputs": inputs(estimate), "operators": operators})


def operator_figures(name: str, phase: PhaseEstimate, cost: OperatorCost) -> Tree:
    """One operator: amounts and times of one run on one device, totals over all its runs."""
    operator, count = cost.operator, cost.operator.count
    moved = operator.bytes
    return {
        "phase": name,
        "name": operator.name,
        "kind": operator.kind,
        "compute": operator.compute,
        "count": count,
        "flop": operator.flop,
        "bytes": moved,
        "weight_bytes": operator.weight_bytes,
        "kv_bytes": operator.kv_bytes,
        "activation_bytes": operator.activation_bytes,
        "network_bytes": operator.network_bytes,
        "arithmetic_intensity": operator.flop / moved if moved else None,
        "bound": cost.limit.bound if operator.bytes or operator.flop else cost.times.bound,
        "time_s": cost.times.total / count,
        "roofline_time_s": cost.limit.total / count,
        "share": phase.share(cost),
        "total_flop": operator.flop * count,
        "total_bytes": moved * count,
        "total_time_s": cost.times.total,
    }


def model_document(model: Model) -> Tree:
    """`llmroof.model/1`."""
    precision = model.precision.with_parts(kv_cache="bf16")
    contexts = (1024, 4096, 32768, 131072)
    return head("model") | plain_tree(
        {
            "id": model.id,
            "name": model.name,
            "family": model.family,
            "hub": list(model.hub),
            "parameters": model.parameters,
            "active_parameters": model.active_parameters,
            "embedding_parameters": model.embedding_parameters,
            "tied_embeddings": model.head.tied,
            "parameters_by_part": parameters_by_part(model),
            "extras": dict(model.extras),
            "unused": dict(model.unused),
            "precision": precision_figures(model.precision),
            "weights_bytes": model.weights_bytes(model.precision),
            "kv_cache_bytes_per_token": model.kv_cache_bytes_per_token(precision),
            "kv_cache_bytes": {
                str(length): model.kv_cache_bytes(float(length), precision) for length in contexts
            },
            "state_bytes_per_sequence": model.state_bytes_per_sequence(precision),
            "max_context": model.max_context,
            "num_layers": model.num_layers,
            "layers": [
                {
                    "count": count,
                    "blocks": [
                        {"kind": block.kind, "description": block.describe()} for block in blocks
                    ],
                }
                for count, blocks in model.layers
            ],
            "notes": model.notes or None,
            "sources": [
                {
                    "of": list(source.of),
                    "title": source.title,
                    "url": source.url or None,
                    "checked": source.checked or None,
                    "confidence": source.confidence,
                }
                for source in model.sources
            ],
        }
    )


def precision_figures(precision: Precision) -> Tree:
    """The formats of a precision by part."""
    return {
        "name": precision.name or None,
        "weights": precision.weights.id,
        "activations": precision.activations.id,
        "kv_cache": precision.kv_cache.id,
        "base": precision.base.id,
    }


def parameters_by_part(model: Model) -> Tree:
    """Parameters of each kind of block over the whole model."""
    found: dict[str, float] = {}
    for block, count in model.parts():
        found[block.kind] = found.get(block.kind, 0) + block.parameters * count
    return dict(found)


def points_of(estimate: Estimate) -> Iterator[Tree]:
    """The tree of every point, in row-major order of the workload's joint shape."""
    whole, size = tree(estimate), shape(estimate)
    for index in range(math.prod(size)):
        yield _at(whole, size, index)


def _at(value: Any, size: tuple[int, ...], index: int) -> Any:
    if isinstance(value, dict):
        return {key: _at(part, size, index) for key, part in value.items()}
    if isinstance(value, np.ndarray):
        return np.broadcast_to(value, size).flat[index]
    return value


def plain_tree(value: Mapping[str, Any]) -> Tree:
    """`plain` of a mapping."""
    return {str(key): plain(part) for key, part in value.items()}


def plain(value: Any) -> Any:
    """Plain JSON data: whole numbers as int, unknown, NaN and infinite as None."""
    if isinstance(value, Mapping):
        return plain_tree(value)
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, np.generic | np.ndarray):
        value = value.item()
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() else value
    return value


def _fields(record: Any, *names: tuple[str, ...]) -> Tree:
    return {name: getattr(record, name) for group in names for name in group}
