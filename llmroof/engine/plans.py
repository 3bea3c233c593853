"""Which parallel plans a model allows, and the smallest one that fits."""

from __future__ import annotations

from collections.abc import Iterator

from llmroof.errors import InputError
from llmroof.models.model import Model
from llmroof.operators import Plan


def growing_plans(model: Model, largest: int) -> Iterator[Plan]:
    """Plans of 1, 2, 4 ... devices: tensor parallel while the heads divide, then pipeline."""
    devices = 1
    while devices <= largest:
        for tp in (devices >> shift for shift in range(devices.bit_length())):
            plan = Plan(tp=tp, pp=devices // tp)
            try:
                check_plan(model, plan)
            except InputError:
                continue
            yield plan
            break
        devices *= 2


def check_plan(model: Model, plan: Plan) -> None:
    """Raise InputError, naming the fault and the nearest way out, when the plan cannot be."""
    for name, value in (("tp", plan.tp), ("pp", plan.pp), ("dp", plan.dp), ("ep", plan.ep)):
        if value < 1:
            raise InputError(f"{name} must be 1 or more, not {value}")
    if plan.pp > model.num_layers:
        raise InputError(f"pp={plan.pp} is more than the {model.num_layers} layers of {model.name}")
    for heads in sorted({getattr(block, "heads", plan.tp) for block, _ in model.parts()}):
        if heads % plan.tp:
            divisors = [str(n) for n in range(1, heads + 1) if heads % n == 0 and n <= 64]
            raise InputError(
                f"tp={plan.tp} does not divide the {heads} attention heads of {model.name}; "
                f"possible: {', '.join(divisors)}"
            )
    if (plan.tp * plan.dp) % plan.ep:
        raise InputError(f"ep={plan.ep} does not divide tp x dp = {plan.tp * plan.dp}")
