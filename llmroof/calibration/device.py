"""Coefficients of the expected-time model as they hold for one device."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from llmroof.calibration.load import Calibration, Carried, KernelFit
from llmroof.specs.hardware import Hardware
from llmroof.specs.measured import Fitted

#: what `achieved` of a profile calls the best of many shapes
BEST_PRODUCT: Final = "gemm_best_shape"


def of_device(calibration: Calibration, hardware: Hardware) -> Calibration:
    """The coefficients that hold for `hardware`: fitted to it, timed, or carried over."""
    if hardware.fitted is not None:
        return with_fitted(calibration, hardware.fitted)
    timed = calibration.graph.covers(hardware.architecture) or hardware.id in calibration.devices
    return calibration if timed else carried_over(calibration, hardware)


def carried_over(calibration: Calibration, hardware: Hardware) -> Calibration:
    """The coefficients on a device whose kernels were not timed.

    Matrix arithmetic follows what the best product reaches there, held against the timed
    devices: clocks and power that a datasheet leaves out are those of every kernel. Launches
    and starts of collectives are the vendor's software.
    """
    found = calibration.carried.get(hardware.vendor, Carried())
    best = [one.fraction for one in hardware.achieved if _is_best(one.metric, one.precision)]
    reached = max(best, default=found.best_product or calibration.best_product)
    compute = reached / calibration.best_product
    kinds = {
        name: KernelFit(
            kind.launch * found.launch,
            kind.compute
            if name == "elementwise"
            else {bits: min(1.0, share * compute) for bits, share in kind.compute.items()},
            kind.memory,
        )
        for name, kind in calibration.kinds.items()
    }
    network = {
        name: replace(
            fit,
            start=fit.start * found.start,
            per_doubling=fit.per_doubling * found.start,
            second=fit.second * found.start,
        )
        for name, fit in calibration.network.items()
    }
    return replace(calibration, kinds=kinds, network=network)


def _is_best(metric: str, precision: str | None) -> bool:
    return metric == BEST_PRODUCT and precision in ("bf16", "fp16")


def with_fitted(calibration: Calibration, fitted: Fitted | None) -> Calibration:
    """The coefficients that were fitted to rows of one device, in place of the universal ones.

    Shares and launches of matrix products are the fitted ones; those of all other kinds keep
    their ratio to them. The formulas of single kernels, fitted elsewhere, step aside.
    """
    if fitted is None:
        return calibration
    base = calibration.kind("gemm")
    compute = 1.0 if fitted.compute is None else fitted.compute / base.compute[16]
    memory = 1.0 if fitted.memory is None else fitted.memory / base.memory
    launch = 1.0 if fitted.launch is None else fitted.launch / base.launch
    kinds = {
        name: KernelFit(
            kind.launch * launch,
            {bits: min(1.0, share * compute) for bits, share in kind.compute.items()},
            min(1.0, kind.memory * memory),
        )
        for name, kind in calibration.kinds.items()
    }
    return replace(
        calibration,
        kinds=kinds,
        graph=replace(calibration.graph, architectures=()),
        step=fitted.step or 0.0,
        source=f"llmroof calibrate: {fitted.rows:.0f} measured rows, {fitted.date}",
    )
