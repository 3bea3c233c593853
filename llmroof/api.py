"""The calculator as one function: names and numbers in, a frozen Estimate out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from llmroof.calibration.load import load_calibration, load_engine
from llmroof.engine.estimate import Deployment, Estimate, Workload, memory_of
from llmroof.engine.grid import estimate_grid
from llmroof.engine.plans import check_plan, growing_plans
from llmroof.engine.roofline import require_support
from llmroof.errors import InputError
from llmroof.models.load import load_model
from llmroof.models.model import Model
from llmroof.operators import Execution, Number, Plan
from llmroof.operators.execution import ATTENTION, FUSION
from llmroof.specs.hardware import Hardware, load_hardware
from llmroof.specs.precision import Precision, recipe

#: what a question that leaves something out is asked with
DEFAULTS: Final[Mapping[str, Any]] = {
    "model": "llama-3.1-8b",
    "gpu": "h100",
    "batch": 1,
    "input_len": 1024,
    "output_len": 256,
    "engine": "generic",
}
#: largest number of devices that a plan left open may grow to
_MAX_GPUS: Final = 64


def estimate(
    *,
    model: str | Model | None = None,
    gpu: str | Hardware | None = None,
    batch: Number = None,
    input_len: Number = None,
    output_len: Number = None,
    **options: Any,
) -> Estimate:
    """Latency, throughput, memory and cost of serving a model on accelerators.

    `model` and `gpu` are names (as on the command line) or loaded values; `batch`,
    `input_len` and `output_len` are numbers or arrays that broadcast, and every figure
    of the result has their joint shape. Further `options` are those of `deploy`.
    All figures are SI: seconds, bytes, FLOP, USD. Raises LlmroofError.
    """
    deployment, notes = deploy(model=model, gpu=gpu, **options)
    given = {"batch": batch, "input_len": input_len, "output_len": output_len}
    numbers = {
        name: _whole(name, DEFAULTS[name] if value is None else value)
        for name, value in given.items()
    }
    work = Workload(**numbers)
    check_context(deployment.model, work)
    if _plan_is_open(options):
        deployment, found = smallest_plan(deployment, work)
        notes = (*notes, *found)
    asked = {"model": model, "gpu": gpu, **given, **options}
    defaults = tuple(name for name, value in asked.items() if value is None)
    missing = tuple(
        name
        for name in ("precision", "weights", "activations", "kv_cache_dtype", "price", "engine")
        if name not in options
    )
    result = estimate_grid(deployment, work)
    return replace(result, defaults=(*defaults, *missing), notes=notes)


def deploy(
    *,
    model: str | Model | None = None,
    gpu: str | Hardware | None = None,
    precision: str | None = None,
    weights: str | None = None,
    activations: str | None = None,
    kv_cache_dtype: str | None = None,
    num_gpus: int | None = None,
    tp: int | None = None,
    pp: int | None = None,
    dp: int | None = None,
    ep: int | None = None,
    price: float | None = None,
    limit: bool = False,
    engine: str | None = None,
    attention: str = "flash",
    fusion: str = "fused",
    kv_cache: bool = True,
    gpu_memory_utilization: float | None = None,
) -> tuple[Deployment, tuple[str, ...]]:
    """A deployment from names and numbers, and what was decided on the way."""
    loaded = model if isinstance(model, Model) else load_model(model or DEFAULTS["model"])
    hardware = gpu if isinstance(gpu, Hardware) else load_hardware(gpu or DEFAULTS["gpu"])
    chosen, notes = resolve_precision(loaded, hardware, precision)
    chosen = chosen.with_parts(weights, activations, kv_cache_dtype)
    require_support(hardware, chosen)
    _one_of("attention", attention, ATTENTION)
    _one_of("fusion", fusion, FUSION)
    plan = make_plan(num_gpus, tp, pp, dp, ep)
    check_plan(loaded, plan)
    rules = load_engine(engine or DEFAULTS["engine"])
    if gpu_memory_utilization is not None:
        if not 0 < gpu_memory_utilization <= 1:
            raise InputError(
                f"gpu_memory_utilization must be above 0 and at most 1, "
                f"not {gpu_memory_utilization:g}"
            )
        rules = replace(rules, utilization=gpu_memory_utilization)
    if price is not None and not (price >= 0 and math.isfinite(price)):
        raise InputError(f"price must be zero or more USD per GPU-hour, not {price:g}")
    listed = hardware.price.usd_per_hour if hardware.price else None
    deployment = Deployment(
        loaded,
        hardware,
        Execution(chosen, plan, attention, fusion, kv_cache),
        rules,
        None if limit else load_calibration(),
        listed if price is None else price,
        engine or DEFAULTS["engine"],
    )
    return deployment, notes


def resolve_precision(
    model: Model, hardware: Hardware, name: str | None
) -> tuple[Precision, tuple[str, ...]]:
    """The named recipe, or what the checkpoint stores; 16-bit parts in what the device has."""
    base = model.precision.base.id
    swap = base == "bf16" and "bf16" not in hardware.compute and "fp16" in hardware.compute
    if name is None:
        if not swap:
            return model.precision, ()
        name, note = "fp16", f"{hardware.name} has no bf16: computed in fp16"
        return recipe(name), (note,)
    if swap and name.lower() not in ("bf16", "bfloat16"):
        return recipe(name, "fp16"), ()
    return recipe(name, base if base == "fp16" and name.lower() != "bf16" else None), ()


def make_plan(
    num_gpus: int | None, tp: int | None, pp: int | None, dp: int | None, ep: int | None
) -> Plan:
    """A plan from the degrees given; tp takes up what `num_gpus` leaves."""
    for name, value in (("num_gpus", num_gpus), ("tp", tp), ("pp", pp), ("dp", dp), ("ep", ep)):
        if value is not None and value < 1:
            raise InputError(f"{name} must be 1 or more, not {value}")
    stages, ranks = pp or 1, dp or 1
    if tp is None:
        tp, rest = divmod(num_gpus or stages * ranks, stages * ranks)
        if rest or tp < 1:
            raise InputError(f"num_gpus={num_gpus} is not a multiple of pp x dp = {stages * ranks}")
    plan = Plan(tp, stages, ranks, ep or 1)
    if num_gpus is not None and plan.num_gpus != num_gpus:
        raise InputError(
            f"num_gpus={num_gpus} contradicts tp x pp x dp = {plan.tp} x {plan.pp} x {plan.dp} "
            f"= {plan.num_gpus}"
        )
    return plan


def smallest_plan(deployment: Deployment, work: Workload) -> tuple[Deployment, tuple[str, ...]]:
    """The fewest devices that hold the work: tensor parallel, then pipeline stages."""
    for plan in growing_plans(deployment.model, _MAX_GPUS):
        candidate = replace(deployment, run=replace(deployment.run, plan=plan))
        if np.all(memory_of(candidate, work).fits):
            degrees = f"tp={plan.tp}" + (f", pp={plan.pp}" if plan.pp > 1 else "")
            note = f"{plan.num_gpus} GPUs ({degrees}): the fewest that hold it"
            return candidate, (note,) if plan.num_gpus > 1 else ()
    return deployment, ()


def check_context(model: Model, work: Workload) -> None:
    """Raise InputError when the work is longer than the model was made for."""
    longest = float(np.max(np.asarray(work.input_len) + np.asarray(work.output_len)))
    if model.max_context is not None and longest > model.max_context:
        raise InputError(
            f"input_len + output_len = {longest:.0f} tokens is beyond the {model.max_context} "
            f"that {model.name} was made for"
        )


def _plan_is_open(options: Mapping[str, Any]) -> bool:
    return all(options.get(name) is None for name in ("num_gpus", "tp", "pp", "dp", "ep"))


def _whole(name: str, value: Number) -> Number:
    """`value` as float64, scalar or array; InputError unless whole numbers of 1 or more."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} must be a whole number, not '{str(value)[:40]}'") from None
    if array.size == 0:
        raise InputError(f"{name} is empty")
    bad = array[~((array >= 1) & (array <= 1e9) & (array == np.floor(array)))]
    if bad.size:
        raise InputError(f"{name} must be a whole number from 1 to 10^9, not {bad.flat[0]:g}")
    return float(array) if array.ndim == 0 else array


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{name} must be {' or '.join(choices)}, not '{value[:40]}'")
