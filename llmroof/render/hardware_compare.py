"""Accelerators side by side: peaks, ridge points, and what a dollar and a joule buy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from llmroof import units
from llmroof.render.page import Line, Page, grid, heading, page
from llmroof.render.record import Tree, head, plain
from llmroof.specs.hardware import Hardware

#: a figure of a device; None where its profile does not state it
Figure: TypeAlias = Callable[[Hardware], float | None]

#: number formats whose peaks are compared, where any of the devices has one
_FORMATS: Final = ("bf16", "fp16", "fp8", "int8", "fp4")


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the comparison: name outside, words, unit, value.

    More is better, unless `best` is "least" or "" (neither).
    """

    name: str
    words: str
    unit: str
    of: Figure
    best: str = "most"

    def winner(self, profiles: Sequence[Hardware]) -> str | None:
        """Id of the one that is best; None where fewer than two are known or none leads."""
        known = [(value, one.id) for one in profiles if (value := self.of(one)) is not None]
        if len(known) < 2 or not self.best or len({value for value, _ in known}) == 1:
            return None
        return (min if self.best == "least" else max)(known, key=lambda pair: pair[0])[1]


def metrics(profiles: Sequence[Hardware]) -> Iterator[Metric]:
    """The lines that a comparison of these profiles has."""
    formats = [kind for kind in _FORMATS if any(kind in one.compute for one in profiles)]
    if all("bf16" in one.compute for one in profiles) and "fp16" in formats:
        formats.remove("fp16")  # one 16-bit line is enough
    yield Metric("memory_bytes", "memory", "B", lambda h: h.memory.capacity)
    yield Metric("bandwidth_bytes_per_s", "bandwidth", "B/s", _bandwidth)
    for kind in formats:
        yield Metric(f"{kind}_flop_per_s", f"{kind} dense", "FLOP/s", _peak(kind))
    for kind in formats:
        yield Metric(f"{kind}_ridge_point", f"ridge point {kind}", "FLOP/B", _ridge(kind), "")
    yield Metric("link_bytes_per_s", "link, one way", "B/s", _link)
    yield Metric("tdp_w", "power limit", "W", _watts, "least")
    yield Metric("usd_per_hour", "USD per hour", "", _price, "least")
    for buys, cost in (("usd", _usd_per_s), ("joule", _watts)):
        words = buys.upper() if buys == "usd" else buys
        for kind in formats:
            value = _per(_peak(kind), cost)
            yield Metric(f"{kind}_flop_per_{buys}", f"{kind} per {words}", "FLOP", value)
        value = _per(_bandwidth, cost)
        yield Metric(f"bytes_per_{buys}", f"bytes per {words}", "B", value)


def _peak(kind: str) -> Figure:
    return lambda hardware: hardware.compute.get(kind)


def _ridge(kind: str) -> Figure:
    return lambda hardware: hardware.ridge_point(kind) if kind in hardware.compute else None


def _bandwidth(hardware: Hardware) -> float | None:
    return hardware.memory.bandwidth


def _link(hardware: Hardware) -> float | None:
    link = hardware.links.get("scale_up") or hardware.links.get("pcie")
    return link.bandwidth if link else None


def _price(hardware: Hardware) -> float | None:
    return hardware.price.usd_per_hour if hardware.price else None


def _usd_per_s(hardware: Hardware) -> float | None:
    price = _price(hardware)
    return price / units.HOUR if price else None


def _watts(hardware: Hardware) -> float | None:
    return hardware.tdp


def _per(amount: Figure, cost: Figure) -> Figure:
    """A rate over USD/s or W: what one dollar, or one joule at the power limit, buys."""

    def value(hardware: Hardware) -> float | None:
        rate, paid = amount(hardware), cost(hardware)
        return None if rate is None or paid is None else rate / paid

    return value


def missing(profiles: Sequence[Hardware]) -> list[str]:
    """Which values of which profiles a full comparison would need."""
    needed: tuple[tuple[str, Figure], ...] = (
        ("prices", _price),
        ("power.tdp", _watts),
        ("links", _link),
    )
    return [
        f"the profile of {one.id} states no '{path}'"
        for one in profiles
        for path, value in needed
        if value(one) is None
    ]


def compare_rows(profiles: Sequence[Hardware]) -> list[Tree]:
    """One flat row per accelerator."""
    found = list(metrics(profiles))
    return [
        {"id": one.id, "name": one.name} | {metric.name: plain(metric.of(one)) for metric in found}
        for one in profiles
    ]


def compare_document(profiles: Sequence[Hardware]) -> Tree:
    """`llmroof.hardware_comparison/1`: rows, which of them is best at what, what is missing."""
    return head("hardware_comparison") | {
        "hardware": compare_rows(profiles),
        "best": {metric.name: metric.winner(profiles) for metric in metrics(profiles)},
        "missing": missing(profiles),
    }


def compare_page(profiles: Sequence[Hardware]) -> Page:
    """A column per accelerator; * marks the best of a line."""
    rows = []
    for metric in metrics(profiles):
        best = metric.winner(profiles)
        cells = [_cell(metric, one) + ("*" if one.id == best else " ") for one in profiles]
        rows.append((metric.words, *cells))
    header = ("per GPU", *(f"{one.id} " for one in profiles))
    note = "* best. Dense peaks; the first price of each profile; joules at the power limit."
    return page(
        [
            heading("From the datasheets"),
            grid(header, rows, indent=0),
            Line(""),
            Line(note, "quiet"),
            *(Line(f"- {text}", hang=2) for text in missing(profiles)),
        ]
    )


def _cell(metric: Metric, hardware: Hardware) -> str:
    value = metric.of(hardware)
    if value is None:
        return "-"
    if not metric.unit:
        return f"{value:.2f}"
    if metric.unit == "FLOP/B":
        return units.significant(value)
    return units.show(value, metric.unit)
