"""Expected times: what kernels reach on real silicon instead of the datasheet.

time = launch + max(FLOP/(e_c·peak), bytes/(e_m·bandwidth)); the coefficients are data
(`llmroof/calibration`), the physics stays the roofline's.
A collective costs its start, a term per doubling of the devices, and its bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from llmroof.calibration.load import Calibration
from llmroof.engine.measured_times import measured_times
from llmroof.engine.roofline import Times, nothing
from llmroof.engine.silicon_times import kernel_times
from llmroof.operators import Number, Operator, choose, larger
from llmroof.specs.hardware import Hardware

#: kinds whose matrix products an engine may have kernels of its own for
_PRODUCTS: Final = ("gemm", "moe")
#: width in bits of the operands of each arithmetic
BITS: Final = {"fp8": 8, "int8": 8, "fp8_fp16acc": 8, "fp4": 4, "int4": 4, "fp32": 32}


def expected(
    operators: Sequence[Operator],
    floors: Sequence[Times],
    calibration: Calibration,
    hardware: Hardware,
    launch_scale: float,
    rate: float,
    lane: float,
) -> list[Times]:
    """Times of operators over all their runs on one device, from their physical limits.

    Kinds with a formula of their own take that (`silicon_times`), devices that were measured
    their curves. Elementwise work also pays the traffic that a perfect fusion would avoid;
    `launch_scale` is the engine's multiplier on launches, `rate` what its matrix products
    reach of the libraries' rate, `lane` the bytes/s that a processor takes in with them. Shares are
    at most 1: no time falls below the limit.
    """
    own: dict[int, Times] = kernel_times(
        operators, floors, calibration.graph, hardware, launch_scale, rate, lane
    )
    pairs = list(zip(operators, floors, strict=True))
    if hardware.measured is not None and hardware.fitted is None:
        for at, pair in enumerate(pairs):
            timed = measured_times(*pair, hardware.measured)
            if timed is not None:
                own[at] = timed
    return [
        own[at] if at in own else _shares(*pair, calibration, hardware, launch_scale, rate)
        for at, pair in enumerate(pairs)
    ]


def paced(times: Sequence[Times], floors: Sequence[Times], pace: float) -> list[Times]:
    """All times multiplied by `pace`, none of them below its physical limit."""
    return [
        Times(
            one.compute * pace,
            one.memory * pace,
            one.network * pace,
            one.overhead * pace,
            larger(one.total * pace, floor.total),
        )
        for one, floor in zip(times, floors, strict=True)
    ]


def _shares(
    operator: Operator,
    floor: Times,
    calibration: Calibration,
    hardware: Hardware,
    launch_scale: float,
    rate: float,
) -> Times:
    """Times of an operator at the shares of the peaks that its kind reaches."""
    if operator.compute == "network":
        return _collective(operator, floor, calibration)
    fit = calibration.kind(operator.kind)
    compute = floor.compute
    if not nothing(compute):
        share = fit.compute[BITS.get(operator.compute, 16)]
        compute = compute / (share * rate if operator.kind in _PRODUCTS else share)
    memory = floor.memory
    if not nothing(operator.fused_bytes):
        memory = memory + operator.fused_bytes * (operator.count / hardware.memory.bandwidth)
    memory = memory / fit.memory
    launch = operator.count * (fit.launch * launch_scale)
    if operator.kind == "embedding":  # once in every pass
        launch = launch + calibration.step
    longest = memory if nothing(compute) else larger(compute, memory)
    return Times(compute, memory, 0.0, launch, longest + launch)


def _collective(operator: Operator, floor: Times, calibration: Calibration) -> Times:
    """Start, bytes at the share of the link that is reached, and steps between devices.

    Left to the library (`auto`), an all-reduce inside one level takes the faster of one
    shot and two shots; a way that is named costs its steps on each link
    (`calibration/links.yaml`).
    """
    steps, devices = operator.shape["steps"], operator.shape["world"]
    sums = operator.kind == "all_reduce"
    fit = calibration.network["all_reduce" if sums else "others"]
    inner = next(iter(steps))
    network = floor.network / fit.share[inner]
    if inner == "pcie":
        network = network * larger(devices / 2.0, 1.0) ** fit.crowding
    if sums and operator.shape["algorithm"] != "auto":
        links = calibration.links
        one = links.start + sum(links.step[link] * count for link, count in steps.items())
        return _sent(operator.count * one, network)
    one = fit.start + fit.per_doubling * math.log2(devices)
    one = one + calibration.links.step["nic"] * steps.get("nic", 0.0)
    start = operator.count * one
    if not sums or len(steps) > 1:
        return _sent(start, network)
    second = operator.count * fit.second * math.sqrt(devices)
    shot = network * (devices / 2.0 / fit.one_shot)  # (n−1)·m instead of 2(n−1)/n·m
    once = shot < network + second
    return _sent(start + choose(once, 0.0, second), choose(once, shot, network))


def _sent(start: Number, network: Number) -> Times:
    return Times(0.0, 0.0, network, start, network + start)
