"""One pass of a deployment: its operators, their times, and what they add up to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Final, TypeAlias

import numpy as np

from llmroof.engine.network import boundaries, on_links
from llmroof.engine.roofline import Times, add, limit, nothing, scale, total
from llmroof.engine.stages import distinct_stages
from llmroof.models.model import Model
from llmroof.operators import Execution, Number, Operator, Step, tokens
from llmroof.operators.collective import send
from llmroof.specs.hardware import Hardware

#: operators and their physical limits -> the times to expect
TimeModel: TypeAlias = Callable[[Sequence[Operator], Sequence[Times]], Sequence[Times]]
#: kinds whose work depends on the context: summed last, so that on a mesh the sums of all
#: others stay as narrow as the batch
_READS_CONTEXT: Final = frozenset({"attention", "mla", "scan", "indexer"})


@dataclass(frozen=True, slots=True)
class OperatorCost:
    """One operator with its times at the limit and under the time model in use."""

    operator: Operator
    times: Times
    limit: Times


@dataclass(frozen=True, slots=True)
class PhaseEstimate:
    """One pass, prefill or one decode step. FLOP and bytes are of the whole deployment.

    `mfu` is useful FLOP over what the devices could have done in `time`: `flop` without
    what several devices of a tensor parallel group do alike. `mbu` is the bytes over what
    memory could have moved; both are at most 1. The bytes are those of all ranks that run,
    also of those without sequences that run along for their experts. The times of
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


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass through all layers, on one device of each stage, before any schedule.

    FLOP and bytes are of that device; `floor` are the times at the limit, `slowest` the
    longest pipeline stage's share of the pass. `repeated` is the part of the compute time
    that other devices spend on the same work.
    """

    operators: tuple[OperatorCost, ...]
    times: Times
    floor: Times
    flop: Number
    bytes: Number
    network_bytes: Number
    slowest: Number
    repeated: Number = 0.0

    @property
    def time(self) -> Number:
        """Seconds of the pass."""
        return self.times.total


def run_phase(
    model: Model,
    steps: Sequence[Step],
    run: Execution,
    hardware: Hardware,
    time_model: TimeModel | None = None,
    schedule: Schedule | None = None,
) -> PhaseEstimate:
    """The costs of a phase; `steps` are those of one rank and one micro-batch."""
    one = run_pass(model, steps, run, hardware, time_model)
    return scheduled(one, run, hardware, schedule or Schedule())


def run_pass(
    model: Model,
    steps: Sequence[Step],
    run: Execution,
    hardware: Hardware,
    time_model: TimeModel | None = None,
) -> Pass:
    """The costs of one pass of one rank and one micro-batch.

    Time is the sum over operators of one device, one after the other; without
    `time_model` it is the physical limit.
    """
    operators = (*_operators(model, steps, run, hardware), *_handover(model, steps, run, hardware))
    narrow_first = sorted(operators, key=lambda operator: operator.kind in _READS_CONTEXT)
    moved = [operator.bytes for operator in narrow_first]
    costs = _costs(narrow_first, hardware, time_model, moved)
    flop = _flop(narrow_first)
    through = _in_all(moved, narrow_first)
    floor = Times(
        total([amount / hardware.peak(kind) for kind, amount in flop.items()]),
        through / hardware.memory.bandwidth,
        total([cost.limit.network for cost in costs]),
        0.0,
        total([cost.limit.total for cost in costs]),
    )
    return Pass(
        operators=tuple(_in_order(costs, operators)),
        times=add([cost.times for cost in costs]) if time_model else floor,
        floor=floor,
        flop=total(flop.values()),
        bytes=through,
        network_bytes=_in_all([operator.network_bytes for operator in narrow_first], narrow_first),
        slowest=slowest_stage(model, steps, run, hardware, time_model),
        repeated=total(
            one.flop * (one.count * (1.0 - one.useful) / hardware.peak(one.compute))
            for one in operators
            if one.useful < 1.0
        ),
    )


def _flop(operators: Sequence[Operator]) -> dict[str, Number]:
    """FLOP of all runs by arithmetic."""
    kinds = dict.fromkeys(one.compute for one in operators if not nothing(one.flop))
    alike = {kind: [one for one in operators if one.compute == kind] for kind in kinds}
    return {kind: _in_all([one.flop for one in some], some) for kind, some in alike.items()}


def _in_order(costs: Sequence[OperatorCost], order: Sequence[Operator]) -> list[OperatorCost]:
    """The costs in the order of their operators."""
    place = {id(operator): at for at, operator in enumerate(order)}
    return sorted(costs, key=lambda cost: place[id(cost.operator)])


def scheduled(one: Pass, run: Execution, hardware: Hardware, schedule: Schedule) -> PhaseEstimate:
    """The phase that runs a pass by a schedule.

    The ridge point of a pass with several arithmetics is where their joint compute time
    equals the memory time.
    """
    plan = run.plan
    rounds = schedule.rounds(one.slowest) if plan.pp > 1 else schedule.in_a_row
    everywhere = plan.tp * schedule.passes
    share = 1.0 / (plan.dp * plan.pp * rounds) / one.times.total
    ranks = schedule.passes
    if any(cost.operator.kind == "all_to_all" for cost in one.operators):
        ranks = plan.dp * schedule.in_a_row  # ranks without sequences run along
    times = _again(one.times, rounds)
    return PhaseEstimate(
        flop=one.flop * everywhere,
        bytes=one.bytes * (plan.tp * ranks),
        network_bytes=0.0 if nothing(one.network_bytes) else one.network_bytes * everywhere,
        arithmetic_intensity=one.flop / one.bytes * (schedule.passes / ranks),
        ridge_point=one.flop / one.floor.compute / hardware.memory.bandwidth,
        time=times.total,
        roofline_time=_again(one.floor, rounds).total,
        mfu=(one.floor.compute - one.repeated) * (schedule.passes * share),
        mbu=one.floor.memory * (ranks * share),
        times=times,
        operators=tuple(
            OperatorCost(cost.operator, _again(cost.times, rounds), _again(cost.limit, rounds))
            for cost in one.operators
        ),
        rounds=rounds,
    )


def _again(times: Times, rounds: Number) -> Times:
    """The times of `rounds` passes; the same object for a single one."""
    return times if nothing(rounds - 1.0) else scale(times, rounds)


def _in_all(amounts: Sequence[Number], operators: Sequence[Operator]) -> Number:
    """Sum of amount x count, one product per count: operators of all layers share it."""
    found: dict[Number, Number] = {}
    for amount, operator in zip(amounts, operators, strict=True):
        if not nothing(amount):
            count = operator.count
            found[count] = found[count] + amount if count in found else amount
    return total([amount * count for count, amount in found.items()])


def slowest_stage(
    model: Model,
    steps: Sequence[Step],
    run: Execution,
    hardware: Hardware,
    time_model: TimeModel | None = None,
) -> Number:
    """The longest pipeline stage's share of the time of a pass; 1 without a pipeline."""

    def time(part: Model) -> Number:
        operators = tuple(_operators(part, steps, run, hardware))
        moved = [operator.bytes for operator in operators]
        costs = _costs(operators, hardware, time_model, moved)
        return total([cost.times.total for cost in costs])

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


def _costs(
    operators: Sequence[Operator],
    hardware: Hardware,
    time_model: TimeModel | None,
    moved: Sequence[Number],
) -> tuple[OperatorCost, ...]:
    """Times of each operator, of which `moved` are the bytes per run."""
    floors = [limit(one, hardware, size) for one, size in zip(operators, moved, strict=True)]
    times = time_model(operators, floors) if time_model else floors
    return tuple(map(OperatorCost, operators, times, floors))
