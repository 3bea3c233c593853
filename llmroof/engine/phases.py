"""One pass of a deployment: its operators, their times, and what they add up to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TypeAlias

import numpy as np

from llmroof.engine.network import boundaries, on_links
from llmroof.engine.roofline import Times, add, limit, nothing, scale, total
from llmroof.engine.stages import distinct_stages
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
    necessary bytes over what memory could have moved; both are at most 1. The times of
    `operators` are those of `rounds` passes, all that the schedule waits for.
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
    rounds: Number = 1.0

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
    one round over the whole batch. `in_a_row` of them follow each other on the same
    devices: in a pipeline the next one starts as soon as the first stage is free, and
    an `endless` round (decode) needs no filling and draining.
    """

    passes: Number = 1.0
    in_a_row: Number = 1.0
    endless: bool = False

    def rounds(self, slowest: Number) -> Number:
        """Time of the round in passes; `slowest` is the longest stage's share of a pass.

        A pass and then one stage time per follower, 1 + (n − 1)·f; round and round, the
        slowest stage sets the pace unless a token is still under way: max(1, n·f).
        With pp even stages f = 1/pp: GPipe's bubble of (n + pp − 1)/pp.
        """
        if self.endless:
            return np.maximum(1.0, self.in_a_row * slowest)
        return 1.0 + (self.in_a_row - 1.0) * slowest


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
    rounds = _rounds(model, steps, run, hardware, time_model, schedule)
    operators = (*_operators(model, steps, run, hardware), *_handover(model, steps, run, hardware))
    costs = tuple(_cost(op, hardware, time_model, rounds) for op in operators)
    times = add([cost.times for cost in costs])
    floor = add([cost.limit for cost in costs])
    flop = total(cost.operator.flop * cost.operator.count for cost in costs)
    moved = total(cost.operator.bytes * cost.operator.count for cost in costs)
    sent = total(cost.operator.network_bytes * cost.operator.count for cost in costs)
    everywhere = plan.tp * schedule.passes
    busy = schedule.passes / (plan.dp * plan.pp * rounds) / times.total
    return PhaseEstimate(
        flop=flop * everywhere,
        bytes=moved * everywhere,
        network_bytes=sent * everywhere,
        arithmetic_intensity=flop / moved,
        ridge_point=flop * rounds / floor.compute / hardware.memory.bandwidth,
        time=times.total,
        roofline_time=floor.total,
        mfu=floor.compute * busy,
        mbu=floor.memory * busy,
        times=times,
        operators=costs,
        rounds=rounds,
    )


def _rounds(
    model: Model,
    steps: Sequence[Step],
    run: Execution,
    hardware: Hardware,
    time_model: TimeModel | None,
    schedule: Schedule,
) -> Number:
    """Time of the schedule's round, in passes through all layers."""
    if run.plan.pp == 1:
        return schedule.in_a_row
    return schedule.rounds(slowest_stage(model, steps, run, hardware, time_model))


def slowest_stage(
    model: Model,
    steps: Sequence[Step],
    run: Execution,
    hardware: Hardware,
    time_model: TimeModel | None = None,
) -> Number:
    """The longest pipeline stage's share of the time of a pass; 1 without a pipeline."""

    def time(part: Model) -> Number:
        operators = _operators(part, steps, run, hardware)
        return total(_cost(op, hardware, time_model, 1.0).times.total for op in operators)

    if run.plan.pp == 1:
        return 1.0
    longest = reduce(np.maximum, (time(stage) for stage in distinct_stages(model, run.plan.pp)))
    return longest / time(model)


def _operators(
    model: Model, steps: Sequence[Step], run: Execution, hardware: Hardware
) -> Iterator[Operator]:
    """The operators of a pass, collectives with their way over the links of the device."""
    for operator in model.operators(steps, run):
        network = operator.compute == "network"
        yield on_links(operator, hardware, run.all_reduce) if network else operator


def _handover(
    model: Model, steps: Sequence[Step], run: Execution, hardware: Hardware
) -> tuple[Operator, ...]:
    """What pipeline stages send the next ones: each tensor-parallel device its share.

    Stages side by side in one domain use its link, the others the network.
    """
    plan = run.plan
    if plan.pp == 1:
        return ()
    message = tokens(steps) * (model.hidden * run.precision.base.bytes / plan.tp)
    found = boundaries(hardware, plan.tp * plan.dp, plan.pp)
    return tuple(
        on_links(replace(operator, count=count), hardware, run.all_reduce)
        for distance, count in found.items()
        for operator in send("stage_send" if distance == 1 else "stage_send_far", message, distance)
    )


def _cost(
    operator: Operator, hardware: Hardware, time_model: TimeModel | None, rounds: Number
) -> OperatorCost:
    floor = limit(operator, hardware)
    times = time_model(operator, floor) if time_model else floor
    if nothing(rounds - 1.0):
        return OperatorCost(operator, times, floor)
    return OperatorCost(operator, scale(times, rounds), scale(floor, rounds))
