"""Expected times: what kernels reach on real silicon instead of the datasheet.

time = launch + max(FLOP/(e_c·peak), bytes/(e_m·bandwidth)); the coefficients are data
(`llmroof/calibration`), the physics stays the roofline's.
A collective costs its start, a term per doubling of the devices, and its bytes.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from llmroof.calibration.load import Calibration
from llmroof.engine.roofline import Times, nothing
from llmroof.operators import Operator

#: width in bits of the operands of each arithmetic
_BITS: Final = {"fp8": 8, "int8": 8, "fp8_fp16acc": 8, "fp4": 4, "int4": 4, "fp32": 32}


def expected(
    operator: Operator,
    floor: Times,
    calibration: Calibration,
    bandwidth: float,
    launch_scale: float = 1.0,
) -> Times:
    """Times of one operator over all its runs on one device, from its physical limit.

    Elementwise work also pays the traffic that a perfect fusion would avoid, at
    `bandwidth` bytes/s; `launch_scale` is the engine's multiplier on launches. Shares
    are at most 1, so that no time falls below the limit.
    """
    if operator.compute == "network":
        return _collective(operator, floor, calibration)
    fit = calibration.kind(operator.kind)
    compute = floor.compute
    if not nothing(compute):
        compute = compute / fit.compute[_BITS.get(operator.compute, 16)]
    memory = floor.memory
    if not nothing(operator.fused_bytes):
        memory = memory + operator.fused_bytes * (operator.count / bandwidth)
    memory = memory / fit.memory
    launch = operator.count * (fit.launch * launch_scale)
    longest = memory if nothing(compute) else np.maximum(compute, memory)
    return Times(compute, memory, 0.0, launch, longest + launch)


def _collective(operator: Operator, floor: Times, calibration: Calibration) -> Times:
    """Start, bytes at the share of the link that is reached, and steps between devices.

    Left to the library (`auto`), the start inside a domain is measured, a term per
    doubling; a way that is named costs its steps on each link (`calibration/links.yaml`).
    """
    fit, links = calibration.network, calibration.links
    steps, named = operator.shape["steps"], operator.shape["algorithm"] != "auto"
    if named and operator.kind == "all_reduce":
        one = links.start + sum(links.step[link] * count for link, count in steps.items())
    else:
        one = fit.latency + fit.per_doubling * np.log2(operator.shape["world"])
        one = one + links.step["nic"] * steps.get("nic", 0.0)
    start, network = operator.count * one, floor.network / fit.bandwidth
    return Times(0.0, 0.0, network, start, network + start)
