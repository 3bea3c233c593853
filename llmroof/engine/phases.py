"""One pass of a deployment: its operators, their times, and what they add up to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from llmroof.engine.roofline import Times, add, limit
from llmroof.models.model import Model
from llmroof.operators import Execution, Number, Operator, Step
from llmroof.specs.hardware import Hardware

#: operator -> times: the physical limit, or what to expect
TimeModel: TypeAlias = Callable[[Operator], Times]


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
    bound: Number
    time: Number
    roofline_time: Number
    mfu: Number
    mbu: Number
    times: Times
    operators: tuple[OperatorCost, ...]
    devices: int = 1

    def share(self, cost: OperatorCost) -> Number:
        """Part of the phase's time that an operator takes."""
        return cost.times.total / self.time


def run_phase(
    model: Model,
    steps: Sequence[Step],
    run: Execution,
    hardware: Hardware,
    time_model: TimeModel | None = None,
) -> PhaseEstimate:
    """The costs of one pass; `steps` are per data-parallel rank.

    Time is the sum over operators of one device, one after the other; without
    `time_model` it is the physical limit. The ridge point of a pass with several
    arithmetics is where their joint compute time equals the memory time.
    """
    operators = model.operators(steps, run)
    costs = tuple(_cost(operator, hardware, time_model) for operator in operators)
    times = add(cost.times for cost in costs)
    floor = add(cost.limit for cost in costs)
    devices = run.plan.tp * run.plan.dp
    flop = sum(operator.flop * operator.count for operator in operators)
    moved = sum(operator.bytes * operator.count for operator in operators)
    sent = sum(operator.network_bytes * operator.count for operator in operators)
    return PhaseEstimate(
        flop=flop * devices,
        bytes=moved * devices,
        network_bytes=sent * devices,
        arithmetic_intensity=flop / moved,
        ridge_point=flop / floor.compute / hardware.memory.bandwidth,
        bound=times.bound,
        time=times.total,
        roofline_time=floor.total,
        mfu=floor.compute / times.total,
        mbu=floor.memory / times.total,
        times=times,
        operators=costs,
        devices=devices,
    )


def _cost(operator: Operator, hardware: Hardware, time_model: TimeModel | None) -> OperatorCost:
    floor = limit(operator, hardware)
    return OperatorCost(operator, time_model(operator) if time_model else floor, floor)


def scalar(value: Number) -> Number:
    """A 0-d array as a plain float; anything else as it is."""
    return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
