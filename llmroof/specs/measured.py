"""What was measured on a device itself: the `measured` and `fitted` parts of a profile.

`llmroof measure` writes rates of kernels as curves over the sizes they were timed at, in
absolute units, beside the datasheet and never in place of it. `llmroof calibrate` writes the
few coefficients that it fitted to measured rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from llmroof.specs.schema import (
    MISSING,
    Field,
    Kind,
    ListOf,
    MapOf,
    Number,
    Quantity,
    Report,
    Table,
    Text,
)
from llmroof.specs.tree import Node

#: arithmetic of a dense matrix product that is timed, as named under `compute`
PRECISIONS: Final = ("fp32", "tf32", "fp16", "bf16", "fp8", "int8")
#: what reads and writes memory in the bandwidth sweep
STREAMS: Final = ("copy", "read", "triad")
#: elementwise kernels that are timed: an operator takes the one its name holds
SMALL_KERNELS: Final = ("norm", "rotary", "activation")


@dataclass(frozen=True, slots=True)
class Curve:
    """Rate of a kernel at rising sizes: `at` (bytes or tokens) and `rates` per second."""

    at: tuple[float, ...]
    rates: tuple[float, ...]

    def fault(self) -> str:
        """What keeps the curve from being one; "" for nothing."""
        return _axis_fault("at", self.at) or _length_fault("rates", self.rates, self.at)


@dataclass(frozen=True, slots=True)
class Surface:
    """FLOP/s of products: `rates[i][o][r]` for a matrix of `inputs[i]` x `outputs[o]`.

    The vectors that it multiplies are `rows[r]`.
    """

    rows: tuple[float, ...]
    inputs: tuple[float, ...]
    outputs: tuple[float, ...]
    rates: tuple[tuple[tuple[float, ...], ...], ...]

    def fault(self) -> str:
        """What keeps the surface from being one; "" for nothing."""
        axes = ("rows", "inputs", "outputs")
        found = [_axis_fault(name, getattr(self, name)) for name in axes]
        found.append(_length_fault("rates", self.rates, self.inputs))
        for lines in self.rates:
            found.append(_length_fault("each of rates", lines, self.outputs))
            found += [_length_fault("each line of rates", line, self.rows) for line in lines]
        return next((fault for fault in found if fault), "")


@dataclass(frozen=True, slots=True)
class AllReduce:
    """Seconds of a sum over `devices` at rising message sizes (bytes)."""

    devices: float
    at: tuple[float, ...]
    times: tuple[float, ...]

    def fault(self) -> str:
        """What keeps the curve from being one; "" for nothing."""
        return _axis_fault("at", self.at) or _length_fault("times", self.times, self.at)


@dataclass(frozen=True, slots=True)
class Measured:
    """Curves of one device. `launch` and `graph` are seconds per kernel, one by one and replayed.

    `gemm` and `grouped` map an arithmetic to FLOP/s, `prefill` to FLOP/s over tokens of a
    prompt, `decode` to bytes/s over bytes of cache, `small` an arithmetic and a kernel to
    bytes/s over bytes moved, `streams` a kernel to bytes/s over its working set. `spread`
    is the median over all points of the interquartile range over the median.
    """

    date: str
    device: str
    spread: float
    driver: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    threads: float | None = None
    launch: float | None = None
    graph: float | None = None
    streams: Mapping[str, Curve] = field(default_factory=dict)
    gemm: Mapping[str, Surface] = field(default_factory=dict)
    grouped: Mapping[str, Surface] = field(default_factory=dict)
    prefill: Mapping[str, Curve] = field(default_factory=dict)
    decode: Mapping[str, Curve] = field(default_factory=dict)
    small: Mapping[str, Mapping[str, Curve]] = field(default_factory=dict)
    all_reduce: AllReduce | None = None

    @property
    def kernel_launch(self) -> float:
        """Seconds that no kernel gets below: replayed from a graph where there are any."""
        return self.graph or self.launch or 0.0


@dataclass(frozen=True, slots=True)
class Fitted:
    """Coefficients that `llmroof calibrate` fitted to measured rows.

    `compute` and `memory` are the shares of the peaks that matrix products reach, `launch`
    seconds per kernel, `step` seconds of host work per pass; None was not fitted.
    """

    date: str
    rows: float
    before: float
    after: float
    compute: float | None = None
    memory: float | None = None
    launch: float | None = None
    step: float | None = None


def _axis_fault(name: str, axis: Sequence[float]) -> str:
    rises = all(low < high for low, high in pairwise(axis))
    return "" if axis and axis[0] > 0 and rises else f"{name} must rise from above zero"


def _length_fault(name: str, values: Sequence[Any], axis: Sequence[float]) -> str:
    return "" if len(values) == len(axis) else f"{name} must have {len(axis)} values"


class _Shaped(Table):
    """A table whose value knows what is wrong with its shape."""

    def read(self, node: Node, key: str, report: Report) -> Any:
        value = super().read(node, key, report)
        if value is not MISSING and (fault := value.fault()):
            report.add(node, key, fault)
            return MISSING
        return value


def _curve(unit: str) -> Table:
    rates = Field(ListOf(Quantity(unit)), "rate at each", required=True)
    at = Field(ListOf(Number(0.0)), "sizes, rising", required=True)
    return _Shaped({"at": at, "rates": rates}, lambda v: Curve(**v))


_SURFACE: Final = _Shaped(
    {
        "rows": Field(ListOf(Number(0.0)), "rows of the input, rising", required=True),
        "inputs": Field(ListOf(Number(0.0)), "inputs of the matrix, rising", required=True),
        "outputs": Field(ListOf(Number(0.0)), "outputs of the matrix, rising", required=True),
        "rates": Field(
            ListOf(ListOf(ListOf(Quantity("FLOP/s")))), "by inputs, outputs, rows", required=True
        ),
    },
    lambda v: Surface(**v),
)
_ALL_REDUCE: Final = _Shaped(
    {
        "devices": Field(Number(2, whole=True), "how many", required=True),
        "at": Field(ListOf(Number(0.0)), "bytes of the message, rising", required=True),
        "times": Field(ListOf(Quantity("s")), "at each", required=True),
    },
    lambda v: AllReduce(**v),
)
MEASURED: Final = Table(
    {
        "date": Field(Text(), "day of the measurement", required=True),
        "device": Field(Text(), "what the driver calls it", required=True),
        "spread": Field(Number(0.0), "median interquartile range over median", required=True),
        "driver": Field(Text(), "driver or kernel"),
        "versions": Field(MapOf(Text()), "software that ran"),
        "threads": Field(Number(1, whole=True), "threads of a CPU"),
        "launch": Field(Quantity("s"), "one kernel, launched one by one"),
        "graph": Field(Quantity("s"), "one kernel of a replayed graph"),
        "streams": Field(MapOf(_curve("B/s"), STREAMS), "bandwidth over the working set"),
        "gemm": Field(MapOf(_SURFACE, PRECISIONS), "matrix products"),
        "grouped": Field(MapOf(_SURFACE, PRECISIONS), "grouped products of experts"),
        "prefill": Field(MapOf(_curve("FLOP/s"), PRECISIONS), "attention of a prompt, by tokens"),
        "decode": Field(MapOf(_curve("B/s"), PRECISIONS), "attention over a cache, by its bytes"),
        "small": Field(
            MapOf(MapOf(_curve("B/s"), SMALL_KERNELS), PRECISIONS), "elementwise, by bytes moved"
        ),
        "all_reduce": Field(_ALL_REDUCE, "sum over the devices present"),
    },
    lambda v: Measured(**v),
)
_SHARE: Final = Number(0.001, 1.0)
FITTED: Final = Table(
    {
        "date": Field(Text(), "day of the fit", required=True),
        "rows": Field(Number(1, whole=True), "measured rows", required=True),
        "before": Field(Number(0.0), "median error before", required=True),
        "after": Field(Number(0.0), "cross-validated median error after", required=True),
        "compute": Field(_SHARE, "share of the peak that matrix products reach"),
        "memory": Field(_SHARE, "share of the bandwidth that matrix products reach"),
        "launch": Field(Quantity("s", low=0), "per kernel"),
        "step": Field(Quantity("s", low=0), "host work per pass"),
    },
    lambda v: Fitted(**v),
)
PARTS: Final[dict[str, tuple[Kind, str]]] = {
    "measured": (MEASURED, "what llmroof measure found on this device"),
    "fitted": (FITTED, "what llmroof calibrate fitted to measured rows"),
}
