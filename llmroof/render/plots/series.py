"""What a roofline chart shows, as numbers: roofs, points and the path of decode.

All rates are per device and per second: work of the deployment over devices and time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from llmroof.engine.estimate import Estimate, Workload
from llmroof.engine.estimate import estimate as run_estimate
from llmroof.engine.phases import OperatorCost, PhaseEstimate
from llmroof.errors import InputError
from llmroof.operators import Number
from llmroof.render.plots.words import devices, labels
from llmroof.specs.hardware import Hardware

Array = npt.NDArray[np.float64]

#: more than this and colours repeat and labels find no room
MOST_SERIES: Final = 7
#: peaks drawn in the background where there is one GPU
_STANDARD: Final = ("fp4", "fp8", "int8", "bf16", "fp16", "tf32", "fp32")
#: doublings after which a path ends where memory does not end it
_LONGEST_PATH: Final = 20
#: how far the axes reach beyond the ridge points and the outermost data, as factors;
#: labels of roofs stand at the right, the longer ones with the names of GPUs
_RIGHT_OF_RIDGE: Final = 4.0
_LEFT: Final = 1.9
_RIGHT: Final = 6.5
_RIGHT_OF_NAMES: Final = 13.0
_BELOW: Final = 3.2
_ABOVE: Final = 2.1


@dataclass(frozen=True, slots=True)
class Point:
    """One phase or operator: intensity, the rate at the limit and the one to expect."""

    name: str
    phase: str
    intensity: float
    limit: float
    rate: float
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Path:
    """Decode as the batch grows; `full` when it ends because memory does.

    `asked` when its batches were asked for, rather than chosen to show the way.
    """

    batch: Array
    intensity: Array
    rate: Array
    full: bool
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """One deployment under one workload, ready to be drawn.

    `label` says what sets it apart from the other series (empty for a single one);
    `computes` are the arithmetics in play, the slowest first. `path` is None where an
    earlier series has the same one; the steps of the `first` path are named.
    """

    label: str
    estimate: Estimate
    computes: tuple[str, ...]
    prefill: Point
    decode: Point
    path: Path | None
    first: bool

    @property
    def hardware(self) -> Hardware:
        """The device."""
        return self.estimate.deployment.hardware

    @property
    def limited(self) -> bool:
        """True when times are the physical limit itself."""
        return self.estimate.deployment.calibration is None


@dataclass(frozen=True, slots=True)
class Roof:
    """A compute roof in play and the memory roof below it; `names` share the peak."""

    hardware: Hardware
    names: tuple[str, ...]
    peak: float

    @property
    def ridge(self) -> float:
        """FLOP per byte at which compute and memory take equal time."""
        return self.hardware.ridge_point(self.names[0])

    def attainable(self, intensity: Number) -> Number:
        """FLOP/s at an intensity: the lower of the two roofs."""
        return attainable(self.hardware, self.names[0], intensity)


@dataclass(frozen=True, slots=True)
class Chart:
    """All that one chart shows, and the range of its axes.

    `background` holds other peaks as (names, FLOP/s, ridge point); `names` calls each
    GPU by name, and is empty where there is only one.
    """

    series: tuple[Series, ...]
    roofs: tuple[Roof, ...]
    background: tuple[tuple[str, float, float], ...]
    operators: tuple[Point, ...]
    names: Mapping[str, str]
    x: tuple[float, float]
    y: tuple[float, float]

    def memory_roofs(self) -> list[tuple[Hardware, float]]:
        """Each GPU with the intensity at which its memory roof meets the highest peak in play."""
        ends: dict[str, tuple[Hardware, float]] = {}
        for roof in self.roofs:
            _, known = ends.get(roof.hardware.id, (roof.hardware, 0.0))
            ends[roof.hardware.id] = (roof.hardware, max(known, roof.ridge))
        return list(ends.values())


def chart(estimates: Sequence[Estimate], batches: Sequence[int] | None = None) -> Chart:
    """The content of a chart. InputError for no or too many estimates, or a batch below 1."""
    if batches is not None and (not len(batches) or min(batches) < 1):
        raise InputError("the batches of a decode path must be whole numbers of 1 or more")
    series = gather(estimates, batches)
    roofs = _roofs(series)
    hardware = list({one.hardware.id: one.hardware for one in series}.values())
    alone, only = series[0], len(hardware) == 1
    used = [name for roof in roofs for name in roof.names]
    behind = background(hardware[0], used) if only else []
    operators = operator_points(alone.estimate) if len(series) == 1 else []
    names = {} if only else dict(zip([one.id for one in hardware], devices(hardware), strict=True))
    x, y = _limits(series, roofs, behind, operators)
    return Chart(tuple(series), roofs, tuple(behind), tuple(operators), names, x, y)


def _roofs(series: Sequence[Series]) -> tuple[Roof, ...]:
    found: dict[tuple[str, float], tuple[Hardware, list[str]]] = {}
    for one in series:
        for name in one.computes:
            key = (one.hardware.id, one.hardware.peak(name))
            names = found.setdefault(key, (one.hardware, []))[1]
            if name not in names:
                names.append(name)
    return tuple(Roof(gpu, tuple(names), peak) for (_, peak), (gpu, names) in found.items())


def _limits(
    series: Sequence[Series],
    roofs: Sequence[Roof],
    behind: Sequence[tuple[str, float, float]],
    operators: Sequence[Point],
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Ranges of the axes: the data, the ridges and the peaks, with room around."""
    points = [*operators, *(point for one in series for point in (one.prefill, one.decode))]
    x = [point.intensity for point in points] + [_RIGHT_OF_RIDGE * roof.ridge for roof in roofs]
    x += [ridge for _, _, ridge in behind]
    y = [value for point in points for value in (point.limit, point.rate)]
    for one in series:
        if one.path is not None:
            x += [float(value) for value in one.path.intensity]
            y += [float(value) for value in one.path.rate]
    right = max(x) * (_RIGHT_OF_NAMES if len({roof.hardware.id for roof in roofs}) > 1 else _RIGHT)
    top = max([peak for _, peak, _ in behind] + [roof.peak for roof in roofs])
    return (min(x) / _LEFT, right), (min(y) / _BELOW, top * _ABOVE)


def gather(estimates: Sequence[Estimate], batches: Sequence[int] | None = None) -> list[Series]:
    """The series of a chart; an estimate of arrays gives one series per question.

    Raises InputError for none, or for more than a chart can hold.
    """
    alone = [one for estimate in estimates for one in _each(estimate)]
    if not alone:
        raise InputError("a chart needs at least one estimate")
    _check_number(len(alone))
    result: list[Series] = []
    for index, (estimate, label) in enumerate(zip(alone, labels(alone), strict=True)):
        known = any(_same_path(estimate, other) for other in alone[:index])
        result.append(
            Series(
                label,
                estimate,
                computes(estimate),
                phase_point("prefill", estimate, estimate.prefill),
                phase_point("decode", estimate, estimate.decode),
                None if known else decode_path(estimate, batches),
                first=index == 0,
            )
        )
    return result


def _check_number(many: int) -> None:
    if many > MOST_SERIES:
        raise InputError(
            f"a roofline chart of {many} deployments cannot be read: "
            f"at most {MOST_SERIES} GPUs x precisions x batches"
        )


def _same_path(one: Estimate, other: Estimate) -> bool:
    """True when two questions differ in nothing but the batch."""
    work = replace(other.workload, batch=one.workload.batch)
    return one.deployment == other.deployment and one.workload == work


def _each(estimate: Estimate) -> Iterator[Estimate]:
    """The questions of an estimate, one by one."""
    work = estimate.workload
    rows = np.broadcast(work.batch, work.input_len, work.output_len)
    if rows.shape == ():
        yield estimate
        return
    _check_number(rows.size)
    for batch, input_len, output_len in rows:
        one = Workload(float(batch), float(input_len), float(output_len))
        yield replace(run_estimate(estimate.deployment, one), notes=estimate.notes)


def phase_point(name: str, estimate: Estimate, phase: PhaseEstimate) -> Point:
    """A phase: its work over all devices and the time they take."""
    work = float(phase.flop) / estimate.deployment.num_gpus
    return Point(
        name,
        name,
        float(phase.arithmetic_intensity),
        work / float(phase.roofline_time),
        work / float(phase.time),
    )


def operator_points(estimate: Estimate) -> list[Point]:
    """The operators of both phases with arithmetic, the largest share of time first.

    Those without FLOP (copies, fused norms, collectives) have no place on a log scale.
    """
    hardware = estimate.deployment.hardware
    points = [
        _operator(cost, name, phase, hardware)
        for name, phase in (("prefill", estimate.prefill), ("decode", estimate.decode))
        for cost in phase.operators
        if float(cost.operator.flop) > 0 and float(cost.operator.bytes) > 0
    ]
    return sorted(points, key=lambda point: (-point.share, point.phase, point.name))


def _operator(cost: OperatorCost, name: str, phase: PhaseEstimate, hardware: Hardware) -> Point:
    operator = cost.operator
    intensity = float(operator.flop / operator.bytes)
    limit = float(attainable(hardware, operator.compute, intensity))
    rate = limit * float(cost.limit.total / cost.times.total)
    return Point(operator.name, name, intensity, limit, rate, float(phase.share(cost)))


def attainable(hardware: Hardware, compute: str, intensity: Number) -> Number:
    """The roof: min(peak, intensity·bandwidth) (Williams et al. 2009, section 3)."""
    return np.minimum(hardware.peak(compute), intensity * hardware.memory.bandwidth)


def computes(estimate: Estimate) -> tuple[str, ...]:
    """The arithmetics that the operators of either phase use, the slowest first."""
    hardware = estimate.deployment.hardware
    used = {
        cost.operator.compute
        for phase in (estimate.prefill, estimate.decode)
        for cost in phase.operators
        if float(cost.operator.flop) > 0 and cost.operator.kind != "elementwise"
    }
    return tuple(sorted(used, key=lambda name: (hardware.peak(name), name)))


def background(hardware: Hardware, used: Sequence[str]) -> list[tuple[str, float, float]]:
    """Other standard peaks: names (equal ones together), FLOP/s, ridge point.

    Peaks that the arithmetics `used` have too are left out.
    """
    found: dict[float, list[str]] = {}
    shown = {hardware.compute[name] for name in used}
    for name in _STANDARD:
        peak = hardware.compute.get(name)
        if peak is not None and peak not in shown:
            found.setdefault(peak, []).append(name)
    return [
        (", ".join(names), peak, hardware.ridge_point(names[0])) for peak, names in found.items()
    ]


def decode_path(estimate: Estimate, batches: Sequence[int] | None) -> Path | None:
    """Decode at batch 1, 2, 4 ... to the largest that fits, in one call of the engine.

    `batches` replaces the doublings; those that do not fit are left out. None when
    fewer than two are left.
    """
    largest = float(estimate.memory.max_batch)
    first = float(estimate.deployment.run.plan.dp)
    doublings = first * 2.0 ** np.arange(_LONGEST_PATH)
    wanted = doublings if batches is None else np.unique(np.asarray(batches, dtype=np.float64))
    kept = wanted[(wanted <= largest) & (wanted >= 1)]
    full = bool(largest >= first and (batches is None or np.any(wanted > largest)))
    full = full and largest <= doublings[-1]
    batch = np.unique(np.append(kept, largest)) if full else kept
    if len(batch) < 2:
        return None
    work = replace(estimate.workload, batch=batch)
    found = run_estimate(estimate.deployment, work)
    flop = found.decode.flop / estimate.deployment.num_gpus
    intensity = np.broadcast_to(found.decode.arithmetic_intensity, batch.shape)
    rate = np.broadcast_to(flop / found.decode.time, batch.shape)
    whole = np.asarray(batch, dtype=np.float64)
    return Path(whole, intensity, rate, full, batches is not None)
