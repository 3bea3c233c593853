"""Which shipped profile a device is, by the name that its driver gives it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from llmroof.measure.backend import Device
from llmroof.specs.hardware import Hardware

#: a device reports so much less memory than its datasheet states, or more, and is the same
_MEMORY = 0.12


def matching(device: Device, profiles: Iterable[Hardware]) -> Hardware | None:
    """The profile of a device, or None where none, or more than one, is meant.

    The model word of the profile (`h100`, `4090`, `mi300x`) must stand in the device's name and
    the memory must agree; of several the one whose other words stand there too is taken.
    A processor must have as many cores as its datasheet: half of a socket reaches half.
    """
    words = _words(device.name)
    found = [
        (_agreement(one, words), one) for one in profiles if _model_word(one) in words
        if _same_size(one, device)
    ]  # fmt: skip
    best = max((score for score, _ in found), default=0)
    chosen = [one for score, one in found if score == best]
    return chosen[0] if len(chosen) == 1 else None


def _words(name: str) -> set[str]:
    """Words of a driver's name; SXM4 and HBM3 also without their number."""
    words = {word for word in re.split(r"[^a-z0-9]+", name.lower()) if word}
    return words | {word.rstrip("0123456789") for word in words if word.startswith(("sxm", "hbm"))}


def _model_word(hardware: Hardware) -> str:
    """The first word of the id that holds a digit."""
    return next((word for word in hardware.id.split("-") if re.search(r"\d", word)), hardware.id)


def _same_size(hardware: Hardware, device: Device) -> bool:
    if device.kind == "cpu":
        return hardware.processors.get("count") == device.processors
    return abs(device.memory / hardware.memory.usable - 1) < _MEMORY


def _agreement(hardware: Hardware, words: set[str]) -> int:
    """Words of the id and of the kind of memory that the driver repeats, less those it leaves out.

    SXM parts are the ones that the driver names by nothing else.
    """
    told = set(hardware.id.split("-")) - {"sxm"}
    memory = _words(hardware.memory.type) & words
    return len(told & words) - len(told - words) + len(memory)
