"""Derivations of a phase's time: what each operator takes, adding up to the whole.

What kernels reach is read off the times themselves (limit over expected), so that the
derivation holds under any model of expected times: taken = the longest of the roofs, each
divided by the share of it that is reached, + start x runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from llmroof import units
from llmroof.engine.estimate import Estimate
from llmroof.engine.network import ALL_REDUCE, AUTO, ONE_SIDED, Leg, route
from llmroof.engine.phases import OperatorCost, PhaseEstimate
from llmroof.render.derive import Quantity, Step, identifier, number, same, unique
from llmroof.render.page import Grid, Line, grid

#: the operators without arithmetic or message, in one row
REST: Final = "norms and the like"
#: bytes that leave a device for a message, per way to move it; n devices on the link
_SENT: Final = {
    "ring": "2 * (n - 1) / n * message",
    "tree": "2 * (n - 1) / n * message",
    "one-shot": "(n - 1) * message",
    "switch": "(n + 1) / n * message",
    "once": "(n - 1) / n * message",
    "send": "message",
}
_PER_BYTE: Final[Mapping[str, Callable[[float], float]]] = {
    **{name: way.sent for name, way in ALL_REDUCE.items()},
    "once": ONE_SIDED.sent,
    "send": lambda n: 1.0,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One operator, or the rest together: bytes, runs, and seconds over all runs.

    `compute`, `memory` and `network` are at the roofs (memory with the traffic that today's
    kernels cause), the `taken_` ones what each takes alone when expected.
    """

    name: str
    flop: float
    bytes: float
    runs: float
    compute: float
    memory: float
    network: float
    taken_compute: float
    taken_memory: float
    taken_network: float
    overhead: float
    taken: float

    @property
    def start(self) -> float:
        """Seconds to start one run."""
        return self.overhead / self.runs

    @property
    def longest(self) -> float:
        """The longest of the roofs, as taken."""
        return max(self.taken_compute, self.taken_memory, self.taken_network)

    @property
    def joint(self) -> float:
        """How much longer than the longest roof the work takes: 1 where the rest hides."""
        return (self.taken - self.overhead) / self.longest if self.longest else 1.0


def rows(phase: PhaseEstimate, estimate: Estimate) -> list[Row]:
    """A row per operator with arithmetic or a message, and one for all others."""
    own = [cost for cost in phase.operators if counts(cost)]
    rest = [cost for cost in phase.operators if not counts(cost)]
    names = unique([cost.operator.name for cost in own])
    found = [_row(name, [cost], phase, estimate) for name, cost in zip(names, own, strict=True)]
    return [*found, *([_row(REST, rest, phase, estimate)] if rest else [])]


def counts(cost: OperatorCost) -> bool:
    """True for operators with arithmetic or a message."""
    return bool(float(cost.operator.flop) or float(cost.operator.network_bytes))


def _row(name: str, costs: Sequence[OperatorCost], phase: PhaseEstimate, estimate: Estimate) -> Row:
    rounds, bandwidth = float(phase.rounds), estimate.deployment.hardware.memory.bandwidth
    kept = estimate.deployment.calibration is None  # at the limit fused traffic costs nothing

    def total(read: Any) -> float:
        return sum(float(read(cost)) for cost in costs)

    fused = 0.0 if kept else total(lambda c: c.operator.fused_bytes * c.operator.count)
    return Row(
        name=name,
        flop=total(lambda c: c.operator.flop * c.operator.count),
        bytes=total(lambda c: c.operator.bytes * c.operator.count) + fused,
        runs=total(lambda c: c.operator.count) * rounds,
        compute=total(lambda c: c.limit.compute),
        memory=total(lambda c: c.limit.memory) + fused * rounds / bandwidth,
        network=total(lambda c: c.limit.network),
        taken_compute=total(lambda c: c.times.compute),
        taken_memory=total(lambda c: c.times.memory),
        taken_network=total(lambda c: c.times.network),
        overhead=total(lambda c: c.times.overhead),
        taken=total(lambda c: c.times.total),
    )


def time_table(found: Sequence[Row], phase: PhaseEstimate) -> Grid:
    """FLOP, bytes, the time at each roof and the time taken; the last row is the sum."""
    body = [
        (
            row.name,
            units.show(row.flop, "FLOP"),
            units.show(row.bytes, "B"),
            units.show(row.compute, "s"),
            units.show(row.memory, "s"),
            units.show(row.taken, "s"),
        )
        for row in found
    ]
    body.append(("all", "", "", "", "", units.show(float(phase.time), "s")))
    return grid(("operator", "FLOP", "bytes", "FLOP/peak", "bytes/bandw.", "taken"), body)


def sum_step(found: Sequence[Row], name: str) -> Step:
    """The phase's time as the sum of what its operators take."""
    words = [identifier(row.name) for row in found]
    taken = {word: number(row.taken, "s") for word, row in zip(words, found, strict=True)}
    return Step(name, " + ".join(words), taken, number(sum(row.taken for row in found), "s"))


def reached(found: Sequence[Row], estimate: Estimate) -> list[Any]:
    """The share of each roof that an operator reaches and its start; one row done again."""
    calibration = estimate.deployment.calibration
    if calibration is None:
        return []
    joint = any(not same(row.joint, 1.0) for row in found)
    body = []
    for row in found:
        cells = [
            row.name,
            _share(row.compute, row.taken_compute),
            _share(row.memory, row.taken_memory),
            _share(row.network, row.taken_network),
            *([f"× {units.significant(row.joint, 3)}"] if joint else []),
            units.show(row.start, "s"),
            f"{row.runs:,.4g}",
        ]
        body.append(tuple(cells))
    middle = ("together",) if joint else ()
    header = ("reached of", "peak", "bandwidth", "link", *middle, "start", "runs")
    largest = max(found, key=lambda row: row.taken)
    return [
        Line(
            "  expected: each roof divided by the share of it that kernels reach, the longest "
            f"{'with what the others add ' if joint else ''}plus the start of every run:",
            hang=2,
        ),
        grid(header, body),
        again_step(largest, calibration.source),
    ]


def _share(limit: float, taken: float) -> str:
    return f"{limit / taken:.1%}" if taken and limit else "-"


def again_step(row: Row, source: str) -> Step:
    """What an operator takes, from its roofs, the shares reached and its start."""
    roofs = (
        ("FLOP_time", "share_of_peak", row.compute, row.taken_compute),
        ("byte_time", "share_of_bandwidth", row.memory, row.taken_memory),
        ("link_time", "share_of_link", row.network, row.taken_network),
    )
    used = [roof for roof in roofs if roof[2] and roof[3]]
    inputs: dict[str, Quantity] = {}
    for time, share, limit, taken in used:
        inputs |= {time: number(limit, "s"), share: number(limit / taken, "", source)}
    parts = [f"{time} / {share}" for time, share, *_ in used]
    longest = parts[0] if len(parts) == 1 else f"max({', '.join(parts)})"
    if not same(row.joint, 1.0):
        longest = f"{longest} * together"
        inputs["together"] = number(row.joint)
    inputs |= {"start": number(row.start, "s", source), "runs": number(row.runs)}
    return Step(f"{row.name} takes", f"{longest} + start * runs", inputs, number(row.taken, "s"))


def network_items(phase: PhaseEstimate, estimate: Estimate) -> list[Any]:
    """Each collective: message, devices, links crossed, algorithm, and its time on the link."""
    costs = [cost for cost in phase.operators if float(cost.operator.network_bytes)]
    if not costs:
        return []
    names = unique([cost.operator.name for cost in costs])
    items: list[Any] = [Line("  messages between devices, each over its links:", hang=2)]
    for name, cost in zip(names, costs, strict=True):
        items += _message(name, cost, float(phase.rounds), estimate)
    return items


def _message(name: str, cost: OperatorCost, rounds: float, estimate: Estimate) -> list[Any]:
    operator, hardware = cost.operator, estimate.deployment.hardware
    legs = route(operator, hardware)
    found: list[Any] = []
    several = len(legs) > 1
    for place, leg in enumerate(legs):
        sent = _sent(operator.kind, str(operator.shape.get("algorithm", AUTO)), place)
        devices = _devices(operator.kind, int(operator.shape["world"]), legs, place)
        found.append(_leg_step(name, cost, leg, sent, devices, several, rounds))
    if several:
        word = "max" if operator.kind == "all_to_all" else "sum"
        total = units.show(float(cost.limit.network), "s", 4)
        found.append(Line(f"  {name} on its links: the {word} of these = {total}", hang=4))
    return found


def _sent(kind: str, algorithm: str, place: int) -> tuple[str, str]:
    """(name of the formula in `_SENT`, words for it)."""
    if kind == "send":
        return "send", "to the next stage"
    if kind != "all_reduce":
        return "once", {"all_to_all": "to each its part"}.get(kind, "parts go round once")
    if algorithm == AUTO and not place:
        return "ring", "at least what a ring sends; expected: one or two shots, the faster one"
    way = "ring" if algorithm == AUTO else algorithm
    way = "ring" if place else way
    return way, f"{way}: {ALL_REDUCE[way].meaning}"


def _devices(kind: str, world: int, legs: Sequence[Leg], place: int) -> float:
    """The devices that the formula counts on this leg."""
    if len(legs) == 1 or kind in ("send", "all_to_all"):
        return float(world)
    return legs[0].level.domain if place == 0 else float(-(-world // int(legs[0].level.domain)))


def _leg_step(
    name: str,
    cost: OperatorCost,
    leg: Leg,
    sent: tuple[str, str],
    devices: float,
    several: bool,
    rounds: float,
) -> Step:
    operator = cost.operator
    runs = float(operator.count) * rounds
    message, way = float(operator.shape["message"]), _SENT[sent[0]]
    bandwidth = number(leg.level.bandwidth, "B/s")
    inputs = {"n": number(devices), "message": number(message, "B")}
    if not same(message * _PER_BYTE[sent[0]](devices), float(leg.sent)):  # part of an exchange
        way, inputs = "sent", {"sent": number(leg.sent, "B")}
    if sent[0] == "send":
        inputs.pop("n", None)
    inputs |= {"bandwidth": bandwidth, "runs": number(runs)}
    on = f"{name} over {leg.level.link}" if several else f"{name} on the link"
    return Step(
        on,
        f"{way} / bandwidth * runs",
        inputs,
        number(float(leg.sent) / leg.level.bandwidth * runs, "s"),
        f"{leg.level.link}, {sent[1]}",
    )
