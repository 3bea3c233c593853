"""What the readers share: numbers out of nested results, and units of time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmroof import units

Row = dict[str, Any]


def number(document: Any, *path: str) -> float | None:
    """The number at a path of keys; None where it is absent or none."""
    for key in path:
        document = document.get(key) if isinstance(document, Mapping) else None
    if isinstance(document, bool) or not isinstance(document, int | float):
        return None
    return float(document)


def text(document: Any, *path: str) -> str:
    """The text at a path of keys, of a list its first item; "" where there is none."""
    for key in path:
        document = document.get(key) if isinstance(document, Mapping) else None
    if isinstance(document, list) and document:
        document = document[0]
    return document if isinstance(document, str) else ""


def found(document: Any, name: str) -> float | None:
    """The first number called `name`, however deep it lies."""
    if isinstance(document, Mapping):
        value = document.get(name)
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        document = list(document.values())
    if isinstance(document, list):
        inside = (found(child, name) for child in document)
        return next((value for value in inside if value is not None), None)
    return None


def milliseconds(value: float | None) -> float | None:
    """Milliseconds as seconds."""
    return None if value is None else value * units.SMALL["m"]


def per(whole: float | None, parts: float | None) -> float | None:
    """`whole` shared by `parts`; None where either is unknown or there are no parts."""
    return whole / parts if whole is not None and parts else None


def in_flight(
    limit: float | None, requests_per_s: float | None, e2e: float | None, all_at_once: float | None
) -> float | None:
    """Requests in flight: the limit that was set, else Little's law, else all that were sent."""
    if limit is not None:
        return limit
    if requests_per_s and e2e and all_at_once is None:
        return max(1.0, round(requests_per_s * e2e))
    return all_at_once


def length_of_answer(ttft: float | None, tpot: float | None, tokens: float | None) -> float | None:
    """Seconds from arrival to the last token, of the means."""
    if ttft is None or tpot is None or tokens is None:
        return None
    return ttft + (tokens - 1) * tpot
