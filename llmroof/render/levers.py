"""What would change the answer: the question asked again with one thing different.

Every figure here comes from running the estimate anew, never from a rule of thumb.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from llmroof.api import resolve_precision, smallest_plan
from llmroof.engine.estimate import Estimate
from llmroof.engine.estimate import estimate as run
from llmroof.engine.plans import check_plan
from llmroof.engine.roofline import require_support
from llmroof.errors import LlmroofError
from llmroof.operators import Plan
from llmroof.specs.precision import Precision

#: keyword of `llmroof.estimate` -> its flag on the command line
FLAGS: Final = {
    "model": "--model",
    "gpu": "--gpu",
    "batch": "--batch",
    "input_len": "--input-len",
    "output_len": "--output-len",
    "precision": "--precision",
    "weights": "--weights",
    "activations": "--activations",
    "kv_cache_dtype": "--kv-cache-dtype",
    "num_gpus": "--num-gpus",
    "tp": "--tp",
    "pp": "--pp",
    "dp": "--dp",
    "ep": "--ep",
    "price": "--price",
    "engine": "--engine",
    "attention": "--attention",
    "fusion": "--fusion",
    "gpu_memory_utilization": "--gpu-memory-utilization",
}
_SWITCHES: Final = {"limit": (True, "--limit"), "kv_cache": (False, "--no-kv-cache")}
_WORKLOAD: Final = ("batch", "input_len", "output_len")
_PLAN: Final = ("num_gpus", "tp", "pp", "dp", "ep")
#: a batch beyond which nobody serves; the search for the ridge ends there
_LARGEST_BATCH: Final = 2.0**20
#: smaller gains are not worth a line
_WORTH: Final = 0.02

Change = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Lever:
    """One change and the answer under it; `gain` is the part of TPOT that it saves."""

    change: Change
    result: Estimate
    gain: float

    @property
    def flags(self) -> str:
        """The change as it is typed."""
        return flags(self.change)


def again(estimate: Estimate, **change: Any) -> Estimate:
    """The same question with `change`, in keywords of `llmroof.estimate`.

    Known are the workload, the number formats, `tp`, `attention` and `kv_cache`;
    `num_gpus=None` leaves the plan open: the fewest devices that hold it.
    Raises LlmroofError where the model or the device does not allow it.
    """
    deployment = estimate.deployment
    execution, model = deployment.run, deployment.model
    precision = _precision(estimate, change)
    require_support(deployment.hardware, precision)
    plan = replace(execution.plan, tp=change.get("tp", execution.plan.tp))
    plan = Plan() if "num_gpus" in change else plan
    check_plan(model, plan)
    execution = replace(
        execution,
        precision=precision,
        plan=plan,
        attention=change.get("attention", execution.attention),
        kv_cache=change.get("kv_cache", execution.kv_cache),
    )
    numbers = {name: change[name] for name in _WORKLOAD if name in change}
    work = replace(estimate.workload, **numbers)
    changed = replace(deployment, run=execution)
    if "num_gpus" in change:
        changed, _ = smallest_plan(changed, work)
    return run(changed, work)


def _precision(estimate: Estimate, change: Change) -> Precision:
    """The formats under `change`; a KV cache format chosen apart stays chosen."""
    deployment = estimate.deployment
    now = deployment.run.precision
    chosen = now
    if change.get("precision") is not None:
        chosen, _ = resolve_precision(deployment.model, deployment.hardware, change["precision"])
        if now.kv_cache != now.base:
            chosen = replace(chosen, kv_cache=now.kv_cache)
    return chosen.with_parts(
        change.get("weights"), change.get("activations"), change.get("kv_cache_dtype")
    )


def at_limit(estimate: Estimate) -> Estimate:
    """The same deployment at the physical limit."""
    if estimate.deployment.calibration is None:
        return estimate
    return run(replace(estimate.deployment, calibration=None), estimate.workload)


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
        for change, result in _answers(estimate, _changes(estimate))
    ]
    return sorted((lever for lever in found if lever.gain >= _WORTH), key=lambda v: -v.gain)


def double_batch(estimate: Estimate) -> Estimate | None:
    """The answer at twice the batch; None where that does not fit."""
    doubled = again(estimate, batch=2 * estimate.workload.batch)
    return doubled if doubled.fits else None


def _changes(estimate: Estimate) -> Iterator[Change]:
    run_as = estimate.deployment.run
    precision = run_as.precision
    if precision.weights.bits >= 16:
        yield {"weights": "int8"}
        yield {"weights": "int4"}
    elif precision.weights.bits >= 8:
        yield {"weights": "int4", "activations": precision.base.id}
    if precision.kv_cache.bits >= 16 and run_as.kv_cache:
        yield {"kv_cache_dtype": "fp8"}
    yield {"tp": 2 * run_as.plan.tp}
    if run_as.attention == "naive":
        yield {"attention": "flash"}
    if not run_as.kv_cache:
        yield {"kv_cache": True}


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
    for change, result in _answers(estimate, changes):
        if result.fits:
            return Lever(change, result, 0.0)
    return None


def _ways(estimate: Estimate) -> Iterator[list[Change]]:
    memory, work, plan = estimate.memory, estimate.workload, estimate.deployment.run.plan
    yield [{"tp": plan.tp * 2**power} for power in range(1, 7)]
    if 1 <= memory.max_batch < work.batch:
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


def _answers(estimate: Estimate, changes: Iterable[Change]) -> Iterator[tuple[Change, Estimate]]:
    """Answers to the changes that the model and the device allow."""
    for change in changes:
        try:
            yield change, again(estimate, **change)
        except LlmroofError:
            continue


def flags(options: Mapping[str, Any]) -> str:
    """Keywords of `llmroof.estimate` as command-line options."""
    words = []
    for name, value in options.items():
        if name in _SWITCHES:
            wanted, flag = _SWITCHES[name]
            words += [flag] if value is wanted else []
        elif value is not None:
            words.append(f"{FLAGS[name]} {shlex.quote(_text(value))}")
    return " ".join(words)


def command(estimate: Estimate, asked: Change, change: Change) -> str:
    """The command line that asks the same with a change; `asked` are the options given."""
    kept = dict(asked) or _named(estimate)
    if any(name in change for name in _PLAN):
        kept = {name: value for name, value in kept.items() if name not in _PLAN}
        if "tp" in change:
            plan = estimate.deployment.run.plan
            others = {"pp": plan.pp, "dp": plan.dp, "ep": plan.ep}
            kept |= {name: degree for name, degree in others.items() if degree > 1}
    return f"llmroof estimate {flags({**kept, **change})}"


def _named(estimate: Estimate) -> dict[str, Any]:
    """The options that name an estimate made from Python."""
    deployment, work = estimate.deployment, estimate.workload
    numbers = {name: getattr(work, name) for name in _WORKLOAD}
    return {"model": deployment.model.id, "gpu": deployment.hardware.id, **numbers}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"
