"""Which parallel plans a model allows, and the smallest one that fits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from llmroof.errors import InputError
from llmroof.models.model import Model
from llmroof.operators import Plan

#: degrees of tensor parallelism beyond this are not listed as a way out
_MOST_TP: Final = 64


def growing_plans(model: Model, largest: int, domain: float = math.inf) -> Iterator[Plan]:
    """Plans of 1, 2, 4 ... devices: tensor parallel inside a `domain`, then pipeline stages."""
    devices = 1
    while devices <= largest:
        for tp in (devices >> shift for shift in range(devices.bit_length())):
            plan = Plan(tp=tp, pp=devices // tp)
            if tp > domain or fault(model, plan):
                continue
            yield plan
            break
        devices *= 2


def check_plan(model: Model, plan: Plan) -> None:
    """Raise InputError, naming the fault and the nearest way out, when the plan cannot be."""
    for name, value in (("tp", plan.tp), ("pp", plan.pp), ("dp", plan.dp), ("ep", plan.ep)):
        if value < 1:
            raise InputError(f"{name} must be 1 or more, not {value}")
    if found := fault(model, plan):
        raise InputError(found)


def fault(model: Model, plan: Plan) -> str:
    """What keeps a model from running under a plan, as one sentence; "" for nothing."""
    if plan.pp > model.num_layers:
        return f"pp={plan.pp} is more than the {model.num_layers} layers of {model.name}"
    reason = _uneven_heads(model, plan.tp)
    if reason:
        possible = [str(tp) for tp in range(1, _MOST_TP + 1) if not _uneven_heads(model, tp)]
        return f"{reason}; possible: {', '.join(possible)}"
    return _uneven_experts(model, plan)


def _uneven_heads(model: Model, tp: int) -> str:
    """Query heads are dealt out evenly; key and value heads too, or each to several devices."""
    for heads in _counts(model, "heads"):
        if heads % tp:
            return f"tp={tp} does not divide the {heads} attention heads of {model.name}"
    for heads in _counts(model, "kv_heads"):
        if heads % tp and tp % heads:
            return (
                f"tp={tp} neither divides nor is a multiple of the {heads} KV heads of {model.name}"
            )
    return ""


def _uneven_experts(model: Model, plan: Plan) -> str:
    """Experts are spread over devices of one pipeline stage, the same number on each."""
    if plan.ep == 1:
        return ""
    experts = _counts(model, "experts")
    if not experts:
        return f"ep={plan.ep} needs experts, and {model.name} has none: leave ep out"
    if (plan.tp * plan.dp) % plan.ep:
        return (
            f"ep={plan.ep} does not divide tp x dp = {plan.tp * plan.dp}, the devices that experts "
            f"are spread over"
        )
    for count in experts:
        if count % plan.ep:
            ways = range(1, min(plan.tp * plan.dp, count) + 1)  # none above divides the experts
            even = [str(n) for n in ways if (plan.tp * plan.dp) % n == 0 and count % n == 0]
            return (
                f"ep={plan.ep} does not divide the {count} experts of {model.name}; "
                f"possible: {', '.join(even)}"
            )
    return ""


def _counts(model: Model, name: str) -> list[int]:
    """The different values of a count over the blocks that have one."""
    found = (getattr(block, name, None) for block, _ in model.parts())
    return sorted({value for value in found if value})
