"""Expected times: what kernels reach on real silicon instead of the datasheet.

time = launch + max(FLOP/(e_c·peak), bytes/(e_m·bandwidth)); the coefficients are data
(`llmroof/calibration`), the physics stays the roofline's.
A collective costs its start, a term per doubling of the devices, and its bytes.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from llmroof.calibration.load import Calibration
from llmroof.engine.roofline import Times, compute_time, network_time
from llmroof.operators import Operator
from llmroof.specs.hardware import Hardware

#: width in bits of the operands of each arithmetic
_BITS: Final = {"fp8": 8, "int8": 8, "fp8_fp16acc": 8, "fp4": 4, "int4": 4, "fp32": 32}


def expected(operator: Operator, hardware: Hardware, calibration: Calibration) -> Times:
    """Times of one operator over all its runs on one device.

    Never below the physical limit: every share is at most what the fit says a kernel
    reaches, and elementwise work pays the traffic that a perfect fusion would avoid.
    """
    if operator.compute == "network":
        return _collective(operator, hardware, calibration)
    fit = calibration.kind(operator.kind)
    count = operator.count
    share = fit.compute[_BITS.get(operator.compute, 16)]
    compute = compute_time(operator, hardware) / share
    moved = operator.bytes + operator.fused_bytes
    memory = moved / (hardware.memory.bandwidth * fit.memory)
    total = np.maximum(compute, memory) + fit.launch
    return Times(count * compute, count * memory, 0.0, count * fit.launch, count * total)


def _collective(operator: Operator, hardware: Hardware, calibration: Calibration) -> Times:
    fit = calibration.network
    start = fit.latency + fit.per_doubling * np.log2(operator.shape["world"])
    network = network_time(operator, hardware) / fit.bandwidth
    count = operator.count
    return Times(0.0, 0.0, count * network, count * start, count * (network + start))
