"""Operating curves: figures at many loads along the last axis, and where they reach a target."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from llmroof.engine.serving import Load
from llmroof.operators import Number


def last_axis(load: Load, running: Number) -> Load:
    """The load at every point of the curve, which is the last axis."""

    def one(number: Number) -> Number:
        return number if np.ndim(number) == 0 else np.asarray(number)[..., None]

    return replace(
        load,
        concurrency=running,
        kind="closed" if load.kind == "burst" else load.kind,
        input_len=one(load.input_len),
        output_len=one(load.output_len),
        prefix_hit_rate=one(load.prefix_hit_rate),
    )


def crossing(values: Number, grid: Number, wanted: Number) -> Number:
    """Where the rising curve `values` over `grid` (last axis) reaches `wanted`.

    Below the first point it is a line through zero.
    """
    target = np.asarray(wanted, dtype=np.float64)[..., None]
    shape = np.broadcast_shapes(target.shape[:-1], values.shape[:-1])
    values = np.broadcast_to(values, (*shape, values.shape[-1]))
    values = np.maximum.accumulate(values, axis=-1)  # kernels make steps: more may finish less
    above = np.clip(np.sum(values < target, axis=-1, keepdims=True), 0, values.shape[-1] - 1)
    below = np.maximum(above - 1, 0)
    grid = np.broadcast_to(grid, values.shape)
    y1, y0 = (np.take_along_axis(values, index, -1) for index in (above, below))
    x1, x0 = (np.take_along_axis(grid, index, -1) for index in (above, below))
    first = above == 0
    y0, x0 = np.where(first, 0.0, y0), np.where(first, 0.0, x0)
    place = x0 + (x1 - x0) * (target - y0) / np.maximum(y1 - y0, np.finfo(float).tiny)
    return place[..., 0][()]
