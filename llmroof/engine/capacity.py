"""Does it fit: weights, KV cache, activations and reserve against device memory.

Every function is of one device. The KV cache grows piecewise linearly with context
(windows fill up), so that the largest context is found exactly, not by trial. In a
pipeline the fullest stage decides: uneven layers, embedding and head are its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from llmroof.calibration.load import EngineRules
from llmroof.engine.stages import distinct_stages
from llmroof.models.model import Model
from llmroof.operators import Execution, Number
from llmroof.specs.hardware import Hardware
from llmroof.specs.precision import number_format


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes on one device, and the largest batch and context that would fit."""

    weights_bytes: Number
    kv_cache_bytes: Number
    activation_bytes: Number
    reserved_bytes: Number
    total_bytes: Number
    capacity_bytes: float
    fits: Number
    max_batch: Number
    max_context: Number


def memory(
    model: Model,
    run: Execution,
    hardware: Hardware,
    rules: EngineRules,
    *,
    batch: Number,
    input_len: Number,
    output_len: Number,
    draft: Model | None = None,
) -> MemoryEstimate:
    """Memory of one device for `batch` sequences that grow to input + output tokens.

    `batch` is of the whole deployment; a device serves batch / dp of it. The reserve is
    what the engine leaves alone, (1 − utilization) of the device. A `draft` model keeps
    its weights and cache beside the model's own; in a pipeline it lies on the last stage.
    """
    alone = replace(run, plan=replace(run.plan, pp=1))
    found = [
        _one_stage(stage, alone, hardware, rules, batch, input_len, output_len, draft)
        for stage in distinct_stages(model, run.plan.pp)
    ]
    return found[0] if len(found) == 1 else _fullest(found)


def _fullest(stages: list[MemoryEstimate]) -> MemoryEstimate:
    """The one that needs most, with the batch and the context that all of them hold."""
    most = stages[0]
    for stage in stages[1:]:
        fuller = stage.total_bytes > most.total_bytes
        chosen = {
            name: np.where(fuller, getattr(stage, name), getattr(most, name))[()]
            for name in ("weights_bytes", "kv_cache_bytes", "activation_bytes", "total_bytes")
        }
        most = replace(
            most,
            **chosen,
            fits=np.logical_and(most.fits, stage.fits),
            max_batch=np.minimum(stage.max_batch, most.max_batch),
            max_context=np.minimum(stage.max_context, most.max_context),
        )
    return most


def _one_stage(
    model: Model,
    run: Execution,
    hardware: Hardware,
    rules: EngineRules,
    batch: Number,
    input_len: Number,
    output_len: Number,
    draft: Model | None,
) -> MemoryEstimate:
    """Memory of one device of a pipeline stage, or of a model that is in one piece."""
    plan = run.plan
    last = ends(model)
    capacity = hardware.memory.usable
    reserved = capacity - capacity * rules.utilization
    weights = model.weights_bytes(run.precision, plan)
    context = input_len + output_len
    per_sequence = cache_bytes(model, run, context)
    if draft is not None and last:
        weights = weights + draft.weights_bytes(run.precision, plan)
        per_sequence = per_sequence + cache_bytes(draft, run, context)
    per_token = model.workspace(plan) * run.precision.base.bytes
    logits = model.head.vocab / plan.tp * number_format("fp32").bytes if last else 0.0
    local = batch if plan.dp == 1 else np.ceil(batch / plan.dp)
    activations = per_token * np.minimum(local * input_len, rules.chunk_tokens) + logits * local
    cache = local * per_sequence
    total = weights + cache + activations + reserved
    free = capacity - reserved - weights
    return MemoryEstimate(
        weights_bytes=weights,
        kv_cache_bytes=cache,
        activation_bytes=activations,
        reserved_bytes=reserved,
        total_bytes=total,
        capacity_bytes=capacity,
        fits=total <= capacity,
        max_batch=plan.dp
        * _largest_batch(free, per_sequence + logits, per_token, input_len, rules.chunk_tokens),
        max_context=np.minimum(
            _largest_context(model, run, (free - activations) / np.maximum(local, 1.0)),
            np.inf if model.max_context is None else model.max_context,
        ),
    )


def ends(model: Model) -> bool:
    """True for a whole model and for the last stage of a pipeline: it holds the head."""
    return any(block is model.head for block, _ in model.parts())


def cache_bytes(model: Model, run: Execution, context: Number) -> Number:
    """Bytes of one sequence's cache on one device; none is kept without a KV cache."""
    if not run.kv_cache:
        return 0.0 * context
    return model.kv_cache_bytes(context, run.precision, run.plan.tp)


def _largest_batch(
    free: Number, per_sequence: Number, per_token: Number, input_len: Number, chunk: Number
) -> Number:
    """Largest B with per_token·min(B·input, chunk) + B·per_sequence <= free, at least 0."""
    per_sequence = np.maximum(per_sequence, 1.0)  # a stage without cache and head keeps nothing
    below = free / (per_token * input_len + per_sequence)
    above = (free - per_token * chunk) / per_sequence
    return np.maximum(np.floor(np.where(below * input_len <= chunk, below, above)), 0.0)


def _largest_context(model: Model, run: Execution, room: Number) -> Number:
    """Largest context whose cache takes at most `room` bytes per sequence.

    Walks the windows from the shortest to the longest: between two of them the cache
    grows linearly. Infinite when it stops growing before the room is used up.
    """
    if not run.kv_cache:
        return np.full(np.shape(room), math.inf)[()]
    windows = sorted(
        {cache.window for block, _ in model.parts() for cache in block.cache()} | {math.inf}
    )
    start, best = 0.0, np.zeros(np.shape(room))
    for window in windows:
        held = cache_bytes(model, run, start)
        slope = cache_bytes(model, run, start + 1.0) - held
        reach = start + (room - held) / slope if slope > 0 else np.inf * np.sign(room - held)
        best = np.where(room >= held, np.minimum(reach, window), best)
        start = window
    return np.maximum(np.floor(best), 0.0)[()]
