"""The same question asked again with one thing different.

Every figure that compares comes from running the estimate anew, never from a rule of
thumb.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from llmroof.api import check_context, resolve_precision, smallest_plan
from llmroof.calibration.device import of_device
from llmroof.calibration.load import load_calibration
from llmroof.engine.deployment import Deployment, Workers, Workload
from llmroof.engine.estimate import Estimate
from llmroof.engine.estimate import estimate as run_static
from llmroof.engine.loaded import estimate_load
from llmroof.engine.plans import check_plan
from llmroof.engine.roofline import require_support
from llmroof.engine.transfer import link_between
from llmroof.operators import Plan
from llmroof.resolve import as_run, engine_formats, speculate
from llmroof.specs.hardware import Hardware
from llmroof.specs.precision import Precision

#: keywords of `llmroof.estimate` and their new values; `gpu` is a loaded Hardware
Change = Mapping[str, Any]

_FORMATS: Final = ("precision", "weights", "activations", "kv_cache_dtype")
_DEGREES: Final = ("tp", "pp", "dp", "ep")
_LENGTHS: Final = ("input_len", "output_len", "prefix_hit_rate")
_RUN: Final = ("attention", "fusion", "kv_cache", "routing_skew", "all_reduce")
_RULES: Final = {"max_num_seqs": "max_num_seqs", "max_num_batched_tokens": "chunk_tokens"}


def again(estimate: Estimate, **change: Any) -> Estimate:
    """The same question with `change`, in keywords of `llmroof.estimate`.

    `num_gpus=None` leaves the plan open: the fewest devices that hold it. Under a load
    `concurrency` or `request_rate` change it, and a `batch` asks for a static one.
    Raises LlmroofError where the model or the device does not allow it.
    """
    deployment = _deployment(estimate, change)
    work = static_work(estimate, change)
    check_context(deployment.model, work)
    if "num_gpus" in change:
        deployment, _ = smallest_plan(deployment, work)
    if estimate.load is None or "batch" in change:
        return run_static(deployment, work)
    lengths = {name: change[name] for name in _LENGTHS if name in change}
    load = replace(estimate.load, **lengths)
    if "concurrency" in change:
        load = replace(load, concurrency=change["concurrency"])
    rate = None
    if load.kind == "poisson":
        assert estimate.steady is not None
        rate = change.get("request_rate", estimate.steady.requests_per_s)
    return estimate_load(deployment, load, rate)


def static_work(estimate: Estimate, change: Change) -> Workload:
    """The workload of the question under `change`, as one of a static batch."""
    work = estimate.workload
    if estimate.load is not None and "batch" in change:
        work = replace(work, chunk_tokens=None)
    numbers = {name: change[name] for name in ("batch", *_LENGTHS) if name in change}
    if "chunked_prefill" in change:
        numbers["chunk_tokens"] = change["chunked_prefill"]
    return replace(work, **numbers)


def _deployment(estimate: Estimate, change: Change) -> Deployment:
    deployment = estimate.deployment
    if "gpu" in change:
        deployment = on_hardware(deployment, change["gpu"])
    model, execution = deployment.model, deployment.run
    precision = _precision(deployment, change)
    roles = {tensor.role for tensor, _ in model.tensors()}
    require_support(deployment.hardware, precision, roles)
    degrees = {name: change[name] for name in _DEGREES if name in change}
    plan = Plan() if "num_gpus" in change else replace(execution.plan, **degrees)
    check_plan(model, plan)
    kept = {name: change[name] for name in _RUN if name in change}
    rules = {field: change[name] for name, field in _RULES.items() if name in change}
    return replace(
        deployment,
        run=replace(execution, precision=precision, plan=plan, **kept),
        rules=replace(deployment.rules, **rules),
        speculation=_speculation(deployment, change),
        workers=_workers(deployment, change, plan),
    )


def _workers(deployment: Deployment, change: Change, plan: Plan) -> Workers | None:
    """Prefill workers keep the plan of the decode workers where they had the same.

    `disaggregated` True makes one worker of each of what there was, False none.
    """
    now = deployment.workers
    if not change.get("disaggregated", now is not None):
        return None
    if now is None:
        now = Workers(1, 1, plan)
    elif now.plan == deployment.run.plan:
        now = replace(now, plan=plan)
    prefill = change.get("prefill_workers", now.prefill)
    found = replace(now, prefill=prefill, decode=change.get("decode_workers", now.decode))
    link_between(replace(deployment, workers=found))
    return found


def on_hardware(deployment: Deployment, hardware: Hardware) -> Deployment:
    """The same on other devices: their listed price, own power and own fitted coefficients."""
    price, calibration = hardware.price, deployment.calibration
    if calibration is not None:
        calibration = of_device(load_calibration(), hardware)
    return replace(
        deployment,
        hardware=as_run(hardware, deployment.rules),
        calibration=calibration,
        usd_per_gpu_hour=None if price is None else price.usd_per_hour,
        watts=None,
    )


def _precision(deployment: Deployment, change: Change) -> Precision:
    """The formats under `change`; a KV cache format chosen apart stays chosen.

    Where none was, it is the engine's own choice for these weights, as in a new question.
    """
    now, rules = deployment.run.precision, deployment.rules
    if not any(change.get(name) for name in _FORMATS):
        return now
    engines = rules.kv_cache and now.activations.quantized and now.kv_cache.id == rules.kv_cache
    apart = bool(now.kv_cache != now.base and not engines)
    chosen = now
    if change.get("precision") is not None:
        chosen, _ = resolve_precision(deployment.model, deployment.hardware, change["precision"])
        if apart:
            chosen = replace(chosen, kv_cache=now.kv_cache)
    chosen = chosen.with_parts(*(change.get(name) for name in _FORMATS[1:]))
    named = (change.get("activations") is not None, apart or bool(change.get("kv_cache_dtype")))
    return engine_formats(chosen, rules, deployment.hardware, *named)[0]


def _speculation(deployment: Deployment, change: Change) -> Any:
    if "speculative_tokens" not in change:
        return deployment.speculation
    return speculate(
        change["speculative_tokens"], change.get("acceptance_rate"), change.get("draft_model")
    )


def at_limit(estimate: Estimate) -> Estimate:
    """The same question at the physical limit."""
    if estimate.deployment.calibration is None:
        return estimate
    there = estimate.deployment
    ideal = replace(there, calibration=None, rules=there.rules.ideal())
    return again(replace(estimate, deployment=ideal))
