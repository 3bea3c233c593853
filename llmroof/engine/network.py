"""Collectives on the links of a deployment: who crosses which level, and how fast.

Devices are numbered tensor-parallel first, then data-parallel, then pipeline stages, so
that a group of up to `domain` neighbours talks over the inner link alone. A larger
group is hierarchical: within the domain first, then each device with its peers in the
other domains over its own share of the outer link. A bridge that joins fewer devices
than a host has (NVLink pairs) is the inner level up to one host, with PCIe outside;
beyond the host PCIe is the inner level and the network the outer one.
Sources: Thakur et al. 2005, sections 3-4 (ring); Sanders et al. 2009 (double tree);
Klenk et al. 2020 (reduction in the switch); NCCL documentation on hierarchical
collectives; DeepSeek-V3 report, section 3.2.2 (node-limited all-to-all).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np

from llmroof.errors import Unsupported
from llmroof.operators import Number, Operator
from llmroof.specs.hardware import Hardware

#: devices that one host joins over PCIe when the profile states no domain
PCIE_DOMAIN: Final = 8


@dataclass(frozen=True, slots=True)
class Level:
    """One kind of link: its name in `links`, bytes/s one way, and how many it joins."""

    link: str
    bandwidth: float
    domain: float


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A way to sum over n devices: bytes sent per byte of the message, and steps.

    `sent` is what leaves one device in one direction; a step is a hop that the next
    one has to wait for.
    """

    sent: Callable[[float], float]
    steps: Callable[[float], float]
    meaning: str


#: the ways that `--all-reduce` names; `auto` sends what a ring does, at the measured rate
ALL_REDUCE: Final[Mapping[str, Algorithm]] = {
    "ring": Algorithm(lambda n: 2 * (n - 1) / n, lambda n: 2 * (n - 1), "parts go round twice"),
    "tree": Algorithm(
        lambda n: 2 * (n - 1) / n,
        lambda n: 2 * math.ceil(math.log2(n)),
        "two binary trees, up and down",
    ),
    "one-shot": Algorithm(lambda n: n - 1, lambda _: 1, "everyone sends all to everyone"),
    "switch": Algorithm(lambda n: (n + 1) / n, lambda _: 2, "the switch adds up (NVLS)"),
}
AUTO: Final = "auto"
#: all-gather and reduce-scatter: one turn of the ring instead of two
ONE_SIDED: Final = Algorithm(lambda n: (n - 1) / n, lambda n: n - 1, "parts go round once")


@dataclass(frozen=True, slots=True)
class Leg:
    """One collective's part on one level: bytes that a device sends one way, and steps."""

    level: Level
    sent: Number
    steps: float


Route: TypeAlias = tuple[Leg, ...]


def levels(hardware: Hardware, world: int) -> tuple[Level, ...]:
    """The links that `world` neighbours use, the inner one first; Unsupported if one is missing."""
    inner = _inner(hardware)
    if world <= inner.domain:
        return (inner,)
    host = _host(hardware)
    if host is not None and inner.domain < host.domain:
        if world <= host.domain:
            return inner, replace(host, domain=math.inf)
        inner = host
    if "nic" not in hardware.links:
        raise Unsupported(
            f"the profile of {hardware.name} states no network beyond {inner.domain:.0f} devices: "
            f"'links.nic.bandwidth' is missing"
        )
    return inner, Level("nic", hardware.links["nic"].bandwidth, math.inf)


def _inner(hardware: Hardware) -> Level:
    if "scale_up" in hardware.links:
        link = hardware.links["scale_up"]
        return Level("scale_up", link.bandwidth, link.domain or PCIE_DOMAIN)
    host = _host(hardware)
    if host is None:
        raise Unsupported(
            f"the profile of {hardware.name} states no link to other devices: "
            f"'links.scale_up' or 'links.pcie' is missing, so one device only"
        )
    return host


def _host(hardware: Hardware) -> Level | None:
    if "pcie" not in hardware.links:
        return None
    return Level("pcie", hardware.links["pcie"].bandwidth, PCIE_DOMAIN)


def domains(hardware: Hardware) -> tuple[float, ...]:
    """How many devices each level inside the network joins, in rising order; () for none."""
    try:
        inner = _inner(hardware)
    except Unsupported:
        return ()
    host = _host(hardware)
    if host is not None and inner.domain < host.domain:
        return inner.domain, host.domain
    return (inner.domain,)


def reach(hardware: Hardware) -> float:
    """The most devices that the links of a profile join; 1 when it states none."""
    if "nic" in hardware.links and domains(hardware):
        return math.inf
    return max(domains(hardware), default=1)


def boundaries(hardware: Hardware, width: int, stages: int) -> dict[int, int]:
    """Hand-overs between pipeline stages of `width` devices, by what they have to cross.

    Distance in devices (1: inside the innermost domain; else just out of a domain) ->
    how many of the stages − 1 hand-overs go that far.
    """
    joined = domains(hardware)
    found: dict[int, int] = {}
    for stage in range(1, stages):
        here, there = (stage - 1) * width, stage * width
        crossed = [
            size for size in joined if any((here + t) // size != (there + t) // size
                                           for t in {0, width - 1})
        ]  # fmt: skip
        distance = int(crossed[-1]) if crossed else 1
        found[distance] = found.get(distance, 0) + 1
    return found


def route(operator: Operator, hardware: Hardware) -> Route:
    """A collective's traffic on each level that it uses.

    All-reduce over N domains of d devices: reduce-scatter and all-gather inside, and each
    device sums its 1/d part with its peers outside, in a ring; the one-sided collectives
    do half of that. All-to-all sends each peer an equal part. A pipeline send crosses
    the outermost link on its way.
    """
    world, message = int(operator.shape["world"]), operator.shape["message"]
    used = levels(hardware, world)
    inner, outer = used[0], used[-1]
    if operator.kind == "send":
        return (Leg(outer, message, 1.0),)
    if operator.kind == "all_to_all":
        if len(used) == 1:
            return (Leg(inner, message * ((world - 1) / world), 1.0),)
        size = inner.domain
        inside, outside = message * ((size - 1) / world), message * ((world - size) / world)
        return Leg(inner, inside, 1.0), Leg(outer, outside, 1.0)
    way = _way(operator, len(used))
    if len(used) == 1:
        return (Leg(inner, message * way.sent(world), way.steps(world)),)
    size, others = inner.domain, math.ceil(world / inner.domain)
    ring = ALL_REDUCE["ring"] if operator.kind == "all_reduce" else ONE_SIDED
    return (
        Leg(inner, message * way.sent(size), way.steps(size)),
        Leg(outer, message * (ring.sent(others) / size), ring.steps(others)),
    )


def _way(operator: Operator, used: int) -> Algorithm:
    if operator.kind != "all_reduce":
        return ONE_SIDED
    name = operator.shape.get("algorithm", AUTO)
    if name == "one-shot" and used > 1:
        raise Unsupported(
            "a one-shot all-reduce works inside one domain, and "
            f"{operator.shape['world']} devices need more: use --all-reduce ring"
        )
    return ALL_REDUCE["ring" if name == AUTO else name]


def on_links(operator: Operator, hardware: Hardware, algorithm: str) -> Operator:
    """A collective with what its way over the links adds: bytes sent, legs, steps by link."""
    shape = {**operator.shape, "algorithm": algorithm}
    name, kind, count = operator.name, operator.kind, operator.count
    legs = route(Operator(name, kind, "network", count=count, shape=shape), hardware)
    shape["legs"] = legs
    shape["steps"] = {leg.level.link: leg.steps for leg in legs}
    sent = sum([leg.sent for leg in legs])
    return Operator(name, kind, "network", network_bytes=sent, count=count, shape=shape)


def transfer_time(operator: Operator, hardware: Hardware) -> Number:
    """Least seconds of one collective: its bytes at the full rate of each level it uses.

    The levels are separate wires: of an all-to-all both run at once, the steps of a
    hierarchical all-reduce follow each other.
    """
    legs: Route = operator.shape.get("legs") or route(operator, hardware)
    times = [leg.sent / leg.level.bandwidth for leg in legs]
    if len(times) > 1 and operator.kind == "all_to_all":
        return np.maximum(*times)
    return sum(times[1:], times[0])
