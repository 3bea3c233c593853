"""The estimate as nested plain data: one tree serves JSON, rows and data frames.

Names are those of the public interface and end in their unit (`time_s`, `kv_cache_bytes`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from llmroof import __version__, figures
from llmroof.engine.estimate import Estimate
from llmroof.engine.phases import OperatorCost, PhaseEstimate
from llmroof.models.model import Model
from llmroof.render.basis import NOTHING, basis
from llmroof.specs.precision import Precision

Tree = dict[str, Any]

#: keyword of `estimate` -> the name of that input in the output
_INPUT_NAMES: Final = {"gpu": "hardware", "price": "usd_per_gpu_hour", "power": "power_watts"}
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
    found = figures.tree(estimate)
    found["inputs"]["defaults"] = defaults(estimate)
    found["serving"] |= _ranges(estimate)
    return found


def inputs(estimate: Estimate) -> Tree:
    """Everything resolved, and the names of what was not given."""
    found = {name: get(estimate) for name, get in figures.FIGURES["inputs"].items()}
    return {**found, "defaults": defaults(estimate)}


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


def _ranges(estimate: Estimate) -> Tree:
    """Ranges of the serving figures where the engine knows them."""
    spans = {name: getattr(estimate.serving, f"{name}_range", None) for name in ("ttft", "tpot")}
    return {f"{name}_s_range": list(span) for name, span in spans.items() if span is not None}


def layers_document(estimate: Estimate) -> Tree:
    """`llmroof.layers/1` of one point."""
    operators = [
        operator_figures(name, phase, cost)
        for name, phase in (("prefill", estimate.prefill), ("decode", estimate.decode))
        for cost in phase.operators
    ]
    return (
        head("layers")
        | plain_tree({"inputs": inputs(estimate), "operators": operators})
        | {"notes": list(estimate.notes)}
    )


def operator_figures(name: str, phase: PhaseEstimate, cost: OperatorCost) -> Tree:
    """One operator: amounts and times of one run on one device, totals over all its runs.

    Total times are those of all passes of the schedule, as in the phase's time.
    """
    operator, count = cost.operator, cost.operator.count
    moved, runs = operator.bytes, cost.operator.count * phase.rounds
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
        "time_s": cost.times.total / runs,
        "roofline_time_s": cost.limit.total / runs,
        "share": phase.share(cost),
        "total_flop": operator.flop * count,
        "total_bytes": moved * count,
        "total_time_s": cost.times.total,
    }


def model_document(model: Model) -> Tree:
    """`llmroof.model/1`."""
    precision = model.precision.with_parts(kv_cache="bf16")
    contexts = (1024, 4096, 32768, 131072)
    state = model.state_bytes_per_sequence(precision)
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
                str(length): model.kv_cache_bytes(float(length), precision) - state
                for length in contexts
            },
            "state_bytes_per_sequence": state,
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
    if isinstance(value, list):
        return [_at(part, size, index) for part in value]
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
