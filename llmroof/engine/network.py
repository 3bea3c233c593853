"""Collectives on the links of a deployment: who crosses which level, and how fast.

Devices are numbered tensor-parallel first, then data-parallel, then pipeline stages, so
that a group of up to `domain` neighbours talks over the scale-up link alone. A larger
group is hierarchical: within the domain first, then each device with its peers in the
other domains over its own share of the network.
Sources: Thakur et al. 2005, sections 3-4 (ring, recursive doubling); NCCL documentation
on hierarchical and switch-reduced (NVLS) collectives; DeepSeek-V3 report, section 3.2.2
(node-limited all-to-all).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from llmroof.errors import Unsupported
from llmroof.operators import Number, Operator
from llmroof.specs.hardware import Hardware

#: devices that one host joins over PCIe when the profile states no domain
PCIE_DOMAIN: Final = 8


@dataclass(frozen=True, slots=True)
class Route:
    """Bytes that one device sends over each level for one collective, in one direction."""

    local: Number
    remote: Number
    members: int
    domains: int


def route(operator: Operator, domain: int) -> Route:
    """Split a collective's traffic over the scale-up domain and the network beyond it.

    All-reduce over N domains of d devices: reduce-scatter and all-gather inside move
    2(d−1)/d of the message, and each device exchanges 2(N−1)/N of its 1/d part outside;
    the one-sided collectives move half of that. All-to-all sends each peer an equal
    part. A pipeline send crosses one link.
    """
    world = int(operator.shape["world"])
    message = operator.shape["message"]
    if world <= domain:
        return Route(operator.network_bytes, 0.0, world, 1)
    domains = -(-world // domain)
    if operator.kind == "send":
        return Route(0.0, message, 1, 2)
    if operator.kind == "all_to_all":
        inside = (domain - 1) / world
        return Route(message * inside, message * ((world - domain) / world), domain, domains)
    passes = 2 if operator.kind == "all_reduce" else 1
    inside = passes * (domain - 1) / domain
    outside = passes * (domains - 1) / domains / domain
    return Route(message * inside, message * outside, domain, domains)


def scale_up(hardware: Hardware) -> tuple[float, int]:
    """(bytes/s one way, devices) of the fastest level; Unsupported when none is known."""
    if "scale_up" in hardware.links:
        link = hardware.links["scale_up"]
        return link.bandwidth, link.domain or PCIE_DOMAIN
    for name in ("pcie", "host"):
        if name in hardware.links:
            return hardware.links[name].bandwidth, PCIE_DOMAIN
    raise Unsupported(
        f"the profile of {hardware.name} states no link: one device only (add 'links')"
    )


def scale_out(hardware: Hardware) -> float:
    """Bytes/s one way of a device's share of the network between domains."""
    if "nic" in hardware.links:
        return hardware.links["nic"].bandwidth
    _, domain = scale_up(hardware)
    raise Unsupported(
        f"the profile of {hardware.name} states no network beyond {domain} devices "
        f"(add 'links: nic: bandwidth')"
    )


def transfer_time(operator: Operator, hardware: Hardware) -> Number:
    """Least seconds of one collective: its bytes at the full rate of each level it uses.

    The levels are separate wires: of an all-to-all both run at once, the steps of a
    hierarchical all-reduce follow each other.
    """
    bandwidth, domain = scale_up(hardware)
    path = route(operator, domain)
    inside = path.local / bandwidth
    if path.domains == 1:
        return inside
    outside = path.remote / scale_out(hardware)
    if operator.kind == "all_to_all":
        return np.maximum(inside, outside)
    return inside + outside
