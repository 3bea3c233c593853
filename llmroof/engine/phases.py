"""One pass of a deployment: its operators, their times, and what they add up to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from llmroof.engine.roofline import Times, add, limit, nothing, scale, total
from llmroof.models.model import Model
from llmroof.operators import Execution, Number, Operator, Step, tokens
from llmroof.operators.collective import send
from llmroof.specs.hardware import Hardware

#: operator and its physical limit -> the times to expect
TimeModel: TypeAlias = Callable[[Operator, Times], Times]


@dataclass(frozen=True, slots=True)
class OperatorCost:
    """One operator with its times at the limit and under the time model in use."""

    operator: Operator
    times: Times
    limit: Times


@dataclass(frozen=True, slots=True)
class PhaseEstimate:
    """One pass, prefill or one decode step. FLOP and bytes are of the whole deployment.

    `mfu` is useful FLOP over what the devices could have done in `time`, `mbu` the
    necessary bytes over what memory could have moved; both are at most 1.
    """

    flop: Number
    bytes: Number
    network_bytes: Number
    arithmetic_intensity: Number
    ridge_point: Number
    time: Number
    roofline_time: Number
    mfu: Number
    mbu: Number
    times: Times
    operators: tuple[OperatorCost, ...]

    @property
    def bound(self) -> Number:
        """What takes longest: `compute`, `memory`, `network` or `overhead`."""
        return self.times.bound

    def share(self, cost: OperatorCost) -> Number:
        """Part of the phase's time that an operator takes."""
        return cost.times.total / self.time


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often a pass runs, and for how long the batch waits for it.

    `passes` counts the passes of all data-parallel ranks and micro-batches that make up
    one round over the whole batch; `rounds` is the time of that round in passes
    through all layers (above 1 only for a pipeline that fills and drains).
    """

    passes: Number = 1.0
    rounds: Number = 1.0


def run_phase(
    model: Model,
    steps: Sequence[Step],
    run: Execution,
    hardware: Hardware,
    time_model: TimeModel | None = None,
    schedule: Schedule | None = None,
) -> PhaseEstimate:
    """The costs of one pass; `steps` are those of one rank and one micro-batch.

    Time is the sum over operators of one device, one after the other; without
    `time_model` it is the physical limit. The ridge point of a pass with several
    arithmetics is where their joint compute time equals the memory time.
    """
    plan, schedule = run.plan, schedule or Schedule()
    operators = (*model.operators(steps, run), *_handover(model, steps, run))
    costs = tuple(_cost(op, hardware, time_model, schedule.rounds) for op in operators)
    times = add([cost.times for cost in costs])
    floor = add([cost.limit for cost in costs])
    flop = total(cost.operator.flop * cost.operator.count for cost in costs)
    moved = total(cost.operator.bytes * cost.operator.count for cost in costs)
    sent = total(cost.operator.network_bytes * cost.operator.count for cost in costs)
    everywhere = plan.tp * schedule.passes
    busy = schedule.passes / (plan.dp * plan.pp * schedule.rounds) / times.total
    return PhaseEstimate(
        flop=flop * everywhere,
        bytes=moved * everywhere,
        network_bytes=sent * everywhere,
        arithmetic_intensity=flop / moved,
        ridge_point=flop * schedule.rounds / floor.compute / hardware.memory.bandwidth,
        time=times.total,
        roofline_time=floor.total,
        mfu=floor.compute * busy,
        mbu=floor.memory * busy,
        times=times,
        operators=costs,
    )


def _handover(model: Model, steps: Sequence[Step], run: Execution) -> tuple[Operator, ...]:
    """What a pipeline stage sends the next one: each tensor-parallel device its share."""
    plan = run.plan
    if plan.pp == 1:
        return ()
    message = tokens(steps) * (model.hidden * run.precision.base.bytes / plan.tp)
    sends = send("stage_send", message, plan.tp * plan.dp)
    return tuple(replace(operator, count=plan.pp - 1) for operator in sends)


def _cost(
    operator: Operator, hardware: Hardware, time_model: TimeModel | None, rounds: Number
) -> OperatorCost:
    floor = limit(operator, hardware)
    times = time_model(operator, floor) if time_model else floor
    if nothing(rounds - 1.0):
        return OperatorCost(operator, times, floor)
    return OperatorCost(operator, scale(times, rounds), scale(floor, rounds))
