"""Collectives: what parallel devices send each other.

`network_bytes` are what one device sends in one direction when the message is moved
with the least traffic (ring); latency belongs to the time model, which finds message
size and world in `shape`. Source: Thakur et al. 2005, sections 3-4; NCCL tests,
"performance" notes on bus bandwidth.
"""

from __future__ import annotations

from llmroof.operators.numbers import Number
from llmroof.operators.operator import Operator


def all_reduce(name: str, message: Number, world: int) -> tuple[Operator, ...]:
    """Sum `message` bytes over `world` devices; nothing for a single one."""
    return _collective("all_reduce", name, message, world, 2 * (world - 1) / world)


def all_gather(name: str, message: Number, world: int) -> tuple[Operator, ...]:
    """Give every device the whole of `message` bytes, of which each holds a part."""
    return _collective("all_gather", name, message, world, (world - 1) / world)


def all_to_all(name: str, message: Number, world: int) -> tuple[Operator, ...]:
    """Exchange parts: each device sends `message` bytes, all but its own share."""
    return _collective("all_to_all", name, message, world, (world - 1) / world)


def send(name: str, message: Number, distance: int) -> tuple[Operator, ...]:
    """Hand `message` bytes to the device `distance` places on (the next pipeline stage)."""
    return _collective("send", name, message, distance + 1, 1.0)


def _collective(
    kind: str, name: str, message: Number, world: int, traffic: float
) -> tuple[Operator, ...]:
    if world <= 1:
        return ()
    shape = {"message": message, "world": world}
    return (Operator(name, kind, "network", network_bytes=message * traffic, shape=shape),)
