"""Levers that a page names beside an answer: what saves TPOT, and what makes it fit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from llmroof.bearing import beyond
from llmroof.engine.estimate import Estimate
from llmroof.engine.estimate import estimate as run
from llmroof.errors import LlmroofError
from llmroof.models.load import load_model
from llmroof.models.model import Model
from llmroof.search.again import Change, again
from llmroof.specs.catalog import MODELS

#: a batch beyond which nobody serves; the search for the ridge ends there
_LARGEST_BATCH: Final = 2.0**20
#: a model that drafts has at most this part of the parameters that a token uses
_SMALL: Final = 8.0
#: smaller gains are not worth a line
WORTH: Final = 0.02


@dataclass(frozen=True, slots=True)
class Lever:
    """One change and the answer under it; `gain` is the part of TPOT that it saves."""

    change: Change
    result: Estimate
    gain: float


def ridge_batch(estimate: Estimate) -> tuple[int | None, float]:
    """(smallest batch at which decode reaches the ridge, intensity at a huge batch).

    None when no batch does: each sequence brings KV cache of its own, so that the
    intensity levels off.
    """
    ends = np.array([1.0, _LARGEST_BATCH])
    high = 0.0
    for _ in range(3):
        grid = np.round(np.geomspace(ends[0], ends[1], 129))
        grid = grid[np.diff(grid, prepend=0.0) > 0]  # np.unique would import numpy.ma
        decode = _decode_at(estimate, grid)
        reached = np.broadcast_to(decode.arithmetic_intensity >= decode.ridge_point, grid.shape)
        high = high or float(np.broadcast_to(decode.arithmetic_intensity, grid.shape)[-1])
        if not reached.any():
            return None, high
        first = int(np.argmax(reached))
        if first == 0 or grid[first] - grid[first - 1] <= 1:
            break
        ends = np.array([grid[first - 1], grid[first]])
    return int(grid[first]), high


def _decode_at(estimate: Estimate, batch: Any) -> Any:
    work = replace(estimate.workload, batch=batch)
    return run(replace(estimate.deployment, calibration=None), work).decode


def levers(estimate: Estimate) -> list[Lever]:
    """The changes that save TPOT, largest gain first."""
    found = [
        Lever(change, result, 1 - float(result.serving.tpot / estimate.serving.tpot))
        for change, result in answers(estimate, _changes(estimate))
    ]
    return sorted((lever for lever in found if lever.gain >= WORTH), key=lambda v: -v.gain)


def more_at_once(estimate: Estimate) -> Lever | None:
    """Twice as many sequences; None where they do not fit, or arrive as they come."""
    load = estimate.load
    if load is not None and load.kind == "poisson":
        return None
    change = (
        {"batch": 2 * estimate.workload.batch}
        if load is None
        else {"concurrency": 2 * load.concurrency}
    )
    return _first_that_fits(estimate, [change])


def _changes(estimate: Estimate) -> Iterator[Change]:
    run_as = estimate.deployment.run
    yield from format_changes(estimate)
    yield {"tp": 2 * run_as.plan.tp}
    if run_as.attention == "naive":
        yield {"attention": "flash"}
    if not run_as.kv_cache:
        yield {"kv_cache": True}


def format_changes(estimate: Estimate) -> Iterator[Change]:
    """Smaller weights in the same arithmetic, and a smaller KV cache."""
    run_as = estimate.deployment.run
    precision = run_as.precision
    if precision.weights.bits >= 16:
        yield {"weights": "int8"}
        yield {"weights": "int4"}
    elif precision.weights.bits >= 8:
        yield {"weights": "int4", "activations": precision.base.id}
    if precision.kv_cache.bits >= 16 and run_as.kv_cache:
        yield {"kv_cache_dtype": "fp8"}


def draft_for(model: Model) -> str | None:
    """The smallest known model of the same make and vocabulary that could draft for `model`.

    It must be small against what it drafts for, or its passes cost what they save.
    """
    make = re.match(r"[a-z]+-?\d+", model.id)  # llama-3, qwen3
    if make is None:
        return None
    names = (name for name in MODELS.files() if re.match(rf"{make[0]}(?!\d)", name))
    found = [load_model(name) for name in names if name != model.id]
    able = [
        one
        for one in found
        if one.head.vocab == model.head.vocab and one.parameters * _SMALL <= model.active_parameters
    ]
    return min(able, key=lambda one: one.parameters).id if able else None


def ways_out(estimate: Estimate, most: int = 5) -> list[Lever]:
    """Changes under which the work fits, each checked by asking again.

    One of each kind (more devices, smaller numbers, smaller batch, shorter prompt);
    smaller numbers on more devices only where nothing else helps.
    """
    found = [lever for kind in _ways(estimate) if (lever := _first_that_fits(estimate, kind))]
    if not found:
        both = _first_that_fits(estimate, [{"num_gpus": None, **_recipe("w4a16")}])
        found = [both] if both else []
    return found[:most]


def _first_that_fits(estimate: Estimate, changes: Iterable[Change]) -> Lever | None:
    for change, result in answers(estimate, changes):
        if result.fits:
            return Lever(change, result, 0.0)
    return None


def _ways(estimate: Estimate) -> Iterator[list[Change]]:
    memory, work, plan = estimate.memory, estimate.workload, estimate.deployment.run.plan
    yield [{"tp": plan.tp * 2**power} for power in range(1, 7)]
    if estimate.load is None and 1 <= memory.max_batch < work.batch:
        yield [{"batch": int(memory.max_batch)}]
    room = float(memory.max_context - work.output_len)
    if 1 <= room < work.input_len:
        yield [{"input_len": int(room)}]
    if estimate.deployment.run.precision.kv_cache.bits > 8:
        yield [{"kv_cache_dtype": "fp8"}]
    yield [_recipe("fp8"), _recipe("w8a16")]
    yield [_recipe("w4a16")]


def _recipe(name: str) -> Change:
    """A whole precision, in place of single formats given before."""
    return {"precision": name, "weights": None, "activations": None}


def answers(estimate: Estimate, changes: Iterable[Change]) -> Iterator[tuple[Change, Estimate]]:
    """Answers to the changes that the model, the device and the engine's limit allow."""
    for change in changes:
        try:
            result = again(estimate, **change)
        except LlmroofError:
            continue
        if not too_many(result, change):
            yield change, result


def too_many(result: Estimate, change: Change) -> bool:
    """True where a change asks for a static batch that the engine would not run at once."""
    return "batch" in change and bool(
        beyond(result.deployment, float(np.max(result.workload.batch)))
    )
