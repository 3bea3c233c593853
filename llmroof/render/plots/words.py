"""The words of a chart: what sets its series apart, and the verdict in its title."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from llmroof.engine.estimate import Estimate
from llmroof.specs.hardware import Hardware
from llmroof.units import significant

#: GPUs that a title names one by one
_NAMED_GPUS: Final = 4
#: within this factor of the ridge point a pass stands at it
_AT_RIDGE: Final = 1.1
#: share of a phase's time from which operators that are not drawn are mentioned
_WORTH_SAYING: Final = 0.005
_BOUND: Final = {
    "memory": "memory-bound",
    "compute": "compute-bound",
    "network": "network-bound",
    "overhead": "bound by launch overhead",
}


def device(hardware: Hardware) -> str:
    """The device without its vendor: `H100 SXM5 80 GB`."""
    return hardware.name.removeprefix(hardware.vendor).strip() or hardware.name


def devices(hardware: Sequence[Hardware]) -> list[str]:
    """Device names as short as they can be while all differ: `H100`, else `H100 SXM5`."""
    full = [device(one) for one in hardware]
    distinct = len({one.id for one in hardware})
    sizeless = [re.sub(r"\s+\d+ ?GB$", "", name) for name in full]
    for names in ([_number(name) for name in full], sizeless):
        if len(set(names)) == distinct:
            return names
    return full


def _number(name: str) -> str:
    """The word with the model number: `MI300X`, `RTX 4090`, `TPU v5e`."""
    for pattern in (r"\b[A-Z]+\d\w*", r"\w+ \w*\d\w*"):
        if found := re.search(pattern, name):
            return found[0]
    return name


def labels(estimates: Sequence[Estimate]) -> list[str]:
    """What sets each estimate apart: those of its properties in which the others differ."""
    named = devices([one.deployment.hardware for one in estimates])
    columns: list[list[str]] = [
        [one.deployment.model.name for one in estimates],
        named,
        [_plan(one) for one in estimates],
        [one.deployment.run.precision.name for one in estimates],
        [_cache(one) for one in estimates],
        [f"batch {whole(one.workload.batch)}" for one in estimates],
        [f"{whole(one.workload.input_len)} in" for one in estimates],
        [f"{whole(one.workload.output_len)} out" for one in estimates],
        [one.deployment.run.attention for one in estimates],
        [one.deployment.run.fusion for one in estimates],
    ]
    kept = [column for column in columns if len(set(column)) > 1]
    return [", ".join(filter(None, parts)) for parts in zip(*kept, strict=True)] or [
        "" for _ in estimates
    ]


def _plan(estimate: Estimate) -> str:
    plan = estimate.deployment.run.plan
    degrees = (("tp", plan.tp), ("pp", plan.pp), ("dp", plan.dp), ("ep", plan.ep))
    return " ".join(f"{name}{degree}" for name, degree in degrees if degree > 1)


def _cache(estimate: Estimate) -> str:
    run = estimate.deployment.run
    if not run.kv_cache:
        return "no KV cache"
    low = run.precision.kv_cache.id != run.precision.base.id
    return f"{run.precision.kv_cache.id} KV cache" if low else ""


def whole(value: float) -> str:
    """A count with thousands apart."""
    return f"{float(value):,.0f}"


def title(estimates: Sequence[Estimate]) -> str:
    """The verdict on decode in one sentence."""
    if len(estimates) == 1:
        return _verdict(estimates[0])
    models = _joined([one.deployment.model.name for one in estimates])
    batches = _joined([whole(one.workload.batch) for one in estimates])
    hardware = [one.deployment.hardware for one in estimates]
    names = list(dict.fromkeys(devices(hardware)))
    if len(names) > _NAMED_GPUS:
        where = f"all {len(names)} GPUs"
    else:
        alone = len(names) == 1
        where = _several(estimates[0], device(hardware[0])) if alone else _joined(names)
    return (
        f"{models} on {where}: decode at batch\u00a0{batches} is "
        f"{_outcome(estimates, labels(estimates))}"
    )


def _verdict(estimate: Estimate) -> str:
    deployment = estimate.deployment
    where = _several(estimate, device(deployment.hardware))
    batch = whole(estimate.workload.batch)
    if not bool(estimate.fits):
        return f"{deployment.model.name} does not fit on {where} at batch\u00a0{batch}"
    return (
        f"{deployment.model.name} on {where}: decode at batch\u00a0{batch} is "
        f"{_BOUND[str(estimate.decode.bound)]}, {_position([estimate])}"
    )


def _several(estimate: Estimate, name: str) -> str:
    many = estimate.deployment.num_gpus
    return f"{many} x {name}" if many > 1 else name


def _outcome(estimates: Sequence[Estimate], named: Sequence[str]) -> str:
    """`memory-bound on all three, 4 to 12x left of the ridge`, or who is bound by what."""
    groups: dict[str, list[str]] = {}
    for one, name in zip(estimates, named, strict=True):
        verdict = _BOUND[str(one.decode.bound)] if bool(one.fits) else "more than memory holds"
        groups.setdefault(verdict, []).append(name)
    if len(groups) == 1 and all(bool(one.fits) for one in estimates):
        return f"{next(iter(groups))}, {_position(estimates)}"
    return "; ".join(f"{verdict} ({' · '.join(names)})" for verdict, names in groups.items())


def _position(estimates: Sequence[Estimate]) -> str:
    """Where decode stands, seen from the ridge point."""
    ratios = [
        float(one.decode.ridge_point) / float(one.decode.arithmetic_intensity) for one in estimates
    ]
    if all(ratio > _AT_RIDGE for ratio in ratios):
        return f"{_range(ratios)}x left of the ridge"
    if all(ratio < 1 / _AT_RIDGE for ratio in ratios):
        return f"{_range([1 / ratio for ratio in ratios])}x right of the ridge"
    if all(1 / _AT_RIDGE <= ratio <= _AT_RIDGE for ratio in ratios):
        return "at the ridge"
    return "on both sides of the ridge"


def _range(values: Sequence[float]) -> str:
    ends = [significant(value, 2) for value in (min(values), max(values))]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def subtitle(estimates: Sequence[Estimate]) -> str:
    """The rest of the question: what all estimates share, and what times are shown."""
    said: tuple[Callable[[Estimate], str], ...] = (
        lambda one: one.deployment.run.precision.name,
        _cache,
        lambda one: f"{whole(one.workload.input_len)} tokens in",
        lambda one: f"{whole(one.workload.output_len)} out",
        _plan,
    )
    shared = []
    for say in said:
        words = {say(one) for one in estimates}
        if len(words) == 1 and (text := words.pop()):
            shared.append(text)
    if all(one.deployment.calibration is None for one in estimates):
        shared.append("at the physical limit")
    if len(estimates) == 1:
        shared.append(_undrawn(estimates[0]))
    return " · ".join(filter(None, shared))


def _undrawn(estimate: Estimate) -> str:
    """The time of operators without FLOP, which have no place on a log scale."""
    parts = []
    for name, phase in (("prefill", estimate.prefill), ("decode", estimate.decode)):
        silent = [cost for cost in phase.operators if not float(cost.operator.flop) > 0]
        share = sum(float(phase.share(cost)) for cost in silent)
        if share >= _WORTH_SAYING:
            parts.append(f"{100 * share:.0f} % of {name}")
    return f"not drawn: operators without FLOP ({', '.join(parts)})" if parts else ""


def _joined(parts: Sequence[str]) -> str:
    """`8, 32 and 128`, each once."""
    once = list(dict.fromkeys(parts))
    return once[0] if len(once) == 1 else f"{', '.join(once[:-1])} and {once[-1]}"
