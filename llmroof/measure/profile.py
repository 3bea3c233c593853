"""One device through all kernels: the curves of its profile, or a refusal where it was noisy."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from llmroof.errors import InputError
from llmroof.measure.backend import Backend, Device
from llmroof.measure.cases import SWEEPS, Case, Sweep
from llmroof.measure.timing import (
    MAX_SPREAD,
    Effort,
    Sample,
    refuse_noise,
    time_kernel,
    typical_spread,
)
from llmroof.specs.measured import STREAMS, AllReduce, Curve, Measured, Surface

#: told after each kernel: (done, of, what)
Progress = Callable[[int, int, str], None]
#: times the sums over all devices of the machine, by message: `torch_collective.all_reduce`
Sums = Callable[[Sequence[int]], Sequence[Sample]]

#: a working set this many times the last-level cache is in memory
_OUTSIDE: Final = 4.0


@dataclass(frozen=True, slots=True)
class Point:
    """One kernel that was timed."""

    case: Case
    sample: Sample


@dataclass(frozen=True, slots=True)
class Profile:
    """What a device reaches: its curves, every point behind them, and the roofs they stand for.

    `compute` are the best FLOP/s by arithmetic, `bandwidth` the best bytes/s outside of all
    caches. `absent` names the arithmetics that were asked for and could not be timed.
    """

    device: Device
    measured: Measured
    points: tuple[Point, ...]
    compute: dict[str, float]
    bandwidth: float
    absent: tuple[str, ...] = ()


class _Timer:
    """Times cases one after the other and keeps every point."""

    def __init__(self, backend: Backend, effort: Effort, total: int, told: Progress | None):
        self.backend, self.effort, self.total, self.told = backend, effort, total, told
        self.points: list[Point] = []
        self.done = 0

    def skip(self, cases: int) -> None:
        """Count cases that are not run."""
        self.done += cases

    def __call__(self, case: Case) -> Sample | None:
        """The case's time; None where it cannot run here."""
        self.done += 1
        if self.told is not None:
            self.told(min(self.done, self.total), self.total, f"{case.kind} {case.precision}")
        prepared = self.backend.prepare(case)
        if prepared is None:
            return None
        found = time_kernel(prepared.run, self.backend.clock, self.effort)
        one = Sample(found.seconds / prepared.unit, found.spread, found.runs)
        self.points.append(Point(case, one))
        return one


def measure_profile(
    backend: Backend,
    *,
    precisions: Sequence[str] = (),
    sweep: Sweep | None = None,
    effort: Effort | None = None,
    max_spread: float = MAX_SPREAD,
    sums: Sums | None = None,
    progress: Progress | None = None,
) -> Profile:
    """Time all kernels of `sweep` on the backend's device.

    Raises Noisy when readings spread by more than `max_spread` in the median, or the first
    kernel has moved at the end; InputError when no precision can be timed.
    """
    device = backend.device
    sweep = sweep or SWEEPS["cpu" if device.kind == "cpu" else "gpu"]
    wanted = tuple(precisions) or backend.precisions
    timer = _Timer(backend, effort or Effort(), _count(sweep, len(wanted), device), progress)
    anchor, first = _anchor(timer, sweep, wanted)
    launch, graph = timer(Case("launch")), timer(Case("graph"))
    streams = {kind: _stream(timer, sweep, kind, device) for kind in STREAMS}
    parts: dict[str, dict[str, object]] = {}
    for precision in wanted:
        parts[precision] = _precision(timer, sweep, precision, device)
    kept = {name: part for name, part in parts.items() if part.get("gemm") is not None}
    if not kept:
        raise InputError(f"none of {', '.join(wanted)} can be multiplied on {device.name} here")
    reduce = _all_reduce(sums, sweep, device)
    again = timer(anchor)
    spread = typical_spread(point.sample for point in timer.points)
    moved = (first.seconds, again.seconds) if first and again else (1.0, 1.0)
    refuse_noise(spread, *moved, max_spread)
    measured = Measured(
        date=datetime.date.today().isoformat(),
        device=device.name,
        spread=round(spread, 4),
        driver=device.driver,
        versions=dict(backend.versions),
        threads=device.threads,
        launch=launch.seconds if launch else None,
        graph=graph.seconds if graph else None,
        streams={kind: curve for kind, curve in streams.items() if curve is not None},
        all_reduce=reduce,
        **_by_part(kept),  # type: ignore[arg-type]
    )
    return Profile(
        device,
        measured,
        tuple(timer.points),
        compute=_best_products(timer.points),
        bandwidth=_best_bandwidth(timer.points, device),
        absent=tuple(name for name in wanted if name not in kept),
    )


def _anchor(timer: _Timer, sweep: Sweep, wanted: Sequence[str]) -> tuple[Case, Sample | None]:
    """The product that is timed first and last, in the first arithmetic that runs here."""
    rows, outputs, inputs = sweep.rows[-1] // 2 or 1, sweep.outputs[0], sweep.inputs[0]
    cases = [Case("gemm", name, rows=rows, n=outputs, k=inputs) for name in wanted]
    for case in cases:
        if (sample := timer(case)) is not None:
            return case, sample
    return cases[0], None


def _count(sweep: Sweep, precisions: int, device: Device) -> int:
    """Kernels to time, for the progress bar."""
    prompts, caches = sweep.attention("fp32")
    small = sum(len(cases) for cases in sweep.small("fp32").values())
    each = _cells(sweep.gemms("fp32")) + len(prompts) + len(caches) + small
    if device.kind != "cpu":
        each += _cells(sweep.grouped("fp32"))
    return precisions * each + len(STREAMS) * len(sweep.sets) + 4


def _cells(lines: list[list[list[Case]]]) -> int:
    return sum(len(line) for inputs in lines for line in inputs)


def _precision(timer: _Timer, sweep: Sweep, precision: str, device: Device) -> dict[str, object]:
    """All curves of one arithmetic; fp8 multiplies, and leaves attention to 16 bits."""
    found: dict[str, object] = {"gemm": _surface(timer, sweep, sweep.gemms(precision))}
    prompts, caches = sweep.attention(precision)
    small = sweep.small(precision)
    if found["gemm"] is None or precision == "fp8":
        timer.skip(len(prompts) + len(caches) + sum(map(len, small.values())))
        return found
    found["prefill"] = _curve(timer, sweep, prompts, by_flop=True)
    found["decode"] = _curve(timer, sweep, caches)
    curves = {name: _curve(timer, sweep, cases) for name, cases in small.items()}
    found["small"] = {name: curve for name, curve in curves.items() if curve is not None}
    if device.kind != "cpu":
        found["grouped"] = _surface(timer, sweep, sweep.grouped(precision))
    return found


def _by_part(kept: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    """Precision -> part turned into part -> precision, empty ones left out."""
    names = ("gemm", "grouped", "prefill", "decode", "small")
    return {
        name: {precision: part[name] for precision, part in kept.items() if part.get(name)}
        for name in names
    }


def _timed(timer: _Timer, sweep: Sweep, cases: Sequence[Case]) -> list[Point]:
    """Cases of rising work, until one would take longer than the sweep allows."""
    found: list[Point] = []
    for place, case in enumerate(cases):
        if found:
            last = found[-1]
            work = (case.flop or case.bytes) / (last.case.flop or last.case.bytes)
            if last.sample.seconds * work > sweep.longest:
                timer.skip(len(cases) - place)
                break
        sample = timer(case)
        if sample is not None:
            found.append(Point(case, sample))
    return found


def _surface(timer: _Timer, sweep: Sweep, lines: list[list[list[Case]]]) -> Surface | None:
    """FLOP/s by matrix and rows. Points too slow to time keep the rate of the one before.

    None where a matrix cannot be multiplied at all.
    """
    rates = [[_line(timer, sweep, line) for line in inputs] for inputs in lines]
    if not all(line for inputs in rates for line in inputs):
        return None
    first = lines[0][0]
    return Surface(
        tuple(float(case.rows) for case in first),
        tuple(float(inputs[0][0].k) for inputs in lines),
        tuple(float(line[0].n) for line in lines[0]),
        tuple(tuple(inputs) for inputs in rates),
    )


def _line(timer: _Timer, sweep: Sweep, line: list[Case]) -> tuple[float, ...]:
    """FLOP/s of one matrix at rising rows; () where it cannot be multiplied."""
    points = _timed(timer, sweep, line)
    found = {one.case.rows: one.case.flop / one.sample.seconds for one in points}
    last = found[max(found)] if found else 0.0
    return tuple(found.get(case.rows, last) for case in line) if found else ()


def _curve(
    timer: _Timer, sweep: Sweep, cases: Sequence[Case], by_flop: bool = False
) -> Curve | None:
    """FLOP/s over tokens, or bytes/s over bytes."""
    found = _timed(timer, sweep, cases)
    if not found:
        return None
    at = [float(one.case.rows) if by_flop else one.case.bytes for one in found]
    rates = [(one.case.flop if by_flop else one.case.bytes) / one.sample.seconds for one in found]
    return Curve(tuple(at), tuple(rates))


def _stream(timer: _Timer, sweep: Sweep, kind: str, device: Device) -> Curve | None:
    """Bandwidth over the working set, as long as it fits into an eighth of the memory."""
    sets = [size for size in sweep.sets if size <= device.memory / 8]
    return _curve(timer, sweep, [Case(kind, size=size) for size in sets])


def _all_reduce(sums: Sums | None, sweep: Sweep, device: Device) -> AllReduce | None:
    if sums is None or device.count < 2 or not sweep.messages:
        return None
    samples = sums(sweep.messages)
    times = tuple(sample.seconds for sample in samples)
    return AllReduce(float(device.count), tuple(float(size) for size in sweep.messages), times)


def _best_products(points: Sequence[Point]) -> dict[str, float]:
    """The most FLOP/s that any product or prompt reached, by arithmetic."""
    best: dict[str, float] = {}
    for point in points:
        if point.case.flop:
            rate = point.case.flop / point.sample.seconds
            best[point.case.precision] = max(best.get(point.case.precision, 0.0), rate)
    return best


def _best_bandwidth(points: Sequence[Point], device: Device) -> float:
    """The most bytes/s from memory: streams outside of the caches, and weights of a product."""
    found = []
    for point in points:
        case = point.case
        streams = case.kind in STREAMS and case.size >= _OUTSIDE * device.cache
        weights = case.kind == "gemm" and case.rows == 1 and case.bytes >= device.cache / _OUTSIDE
        if streams or weights:
            found.append(case.bytes / point.sample.seconds)
    if not found:  # the sweep is too small to leave the caches: the largest set has to do
        sets = [point for point in points if point.case.kind in STREAMS]
        found = [one.case.bytes / one.sample.seconds for one in sets[-1:]]
    return max(found)
