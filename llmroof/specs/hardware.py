"""Hardware profiles: the schema of `hardware_specs/` and the frozen value it becomes.

A profile repeats the datasheet: dense peaks, one link direction, one device. What
was measured stands apart under `achieved` and never changes a datasheet figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from llmroof.errors import Problem, SpecError, Unsupported
from llmroof.specs import catalog
from llmroof.specs.extend import extended
from llmroof.specs.measured import PARTS, Fitted, Measured
from llmroof.specs.memo import remembered
from llmroof.specs.schema import (
    MISSING,
    Field,
    ListOf,
    MapOf,
    Number,
    Quantity,
    Report,
    Table,
    Text,
)
from llmroof.specs.tree import Node, read_yaml

#: what a peak can be stated for; `*_fp16acc` is the rate with 16-bit accumulation
COMPUTE_TYPES: Final = (
    "fp64",
    "fp64_tensor",
    "fp32",
    "tf32",
    "fp16",
    "fp16_fp16acc",
    "bf16",
    "fp8",
    "fp8_fp16acc",
    "int8",
    "int4",
    "fp4",
)
CONFIDENCE: Final = ("high", "medium", "low")


@dataclass(frozen=True, slots=True)
class Source:
    """Where figures come from; `of` are the paths of the fields it covers."""

    of: tuple[str, ...]
    title: str
    url: str = ""
    checked: str = ""
    confidence: str = "medium"

    def covers(self, path: str) -> bool:
        """True when `path` (such as `memory.bandwidth`) is one of `of` or lies below one."""
        return any(path == part or path.startswith(part + ".") for part in self.of)


@dataclass(frozen=True, slots=True)
class Memory:
    """Device memory: `capacity` as stated, `reported` as the device counts it (bytes)."""

    capacity: float
    bandwidth: float
    type: str = ""
    reported: float | None = None

    @property
    def usable(self) -> float:
        """Bytes that exist for software: what the device reports where that is known."""
        return self.capacity if self.reported is None else self.reported


@dataclass(frozen=True, slots=True)
class Link:
    """A way out of the device: bytes/s in one direction; `domain` devices share it."""

    bandwidth: float
    name: str = ""
    domain: int = 0
    generation: float = 0
    lanes: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    """One offer for one device-hour in USD; `date` is "" where the source states none."""

    usd_per_hour: float
    provider: str
    kind: str = "on-demand"
    date: str = ""
    title: str = ""
    url: str = ""
    confidence: str = "medium"

    @property
    def offer(self) -> str:
        """`Nebius, on-demand, undated`: whose, of what kind, and of when."""
        return f"{self.provider}, {self.kind}, {self.date or 'undated'}"


@dataclass(frozen=True, slots=True)
class Achieved:
    """A measured fraction of a datasheet peak."""

    metric: str
    fraction: float
    precision: str = ""
    conditions: str = ""
    title: str = ""
    url: str = ""
    confidence: str = "medium"


@dataclass(frozen=True, slots=True)
class Hardware:
    """One accelerator. Rates are per device and dense; SI units throughout."""

    id: str
    name: str
    memory: Memory
    compute: Mapping[str, float]
    sources: tuple[Source, ...]
    vendor: str = ""
    architecture: str = ""
    form_factor: str = ""
    year: int | None = None
    status: str = ""
    aliases: tuple[str, ...] = ()
    caches: Mapping[str, float] = field(default_factory=dict)
    processors: Mapping[str, float] = field(default_factory=dict)
    links: Mapping[str, Link] = field(default_factory=dict)
    tdp: float | None = None
    launch_latency: float | None = None
    prices: tuple[Price, ...] = ()
    purchase_price: float | None = None
    achieved: tuple[Achieved, ...] = ()
    measured: Measured | None = None
    fitted: Fitted | None = None
    notes: str = ""
    file: str = ""

    def peak(self, compute_type: str) -> float:
        """Dense FLOP/s for a number format; Unsupported names what the device does have."""
        try:
            return self.compute[compute_type]
        except KeyError:
            have = ", ".join(self.compute)
            raise Unsupported(
                f"{self.name} has no {compute_type} arithmetic in its profile (it has {have})"
            ) from None

    def ridge_point(self, compute_type: str) -> float:
        """FLOP per byte at which compute and memory take equal time (Williams et al. 2009)."""
        return self.peak(compute_type) / self.memory.bandwidth

    def source(self, path: str) -> Source | None:
        """The source of one figure, by its path in the file."""
        return next((source for source in self.sources if source.covers(path)), None)

    @property
    def price(self) -> Price | None:
        """The price used when the user names none: the first in the profile."""
        return self.prices[0] if self.prices else None


_SOURCED: Final = {
    "title": Field(Text(), "what the source is called", required=True),
    "url": Field(Text(), "its address"),
    "confidence": Field(Text(CONFIDENCE), "how much to trust it"),
}
_WHOLE: Final = Number(1, 1e6, whole=True)
_LINK: Final = Table(
    {
        "name": Field(Text(), "what the vendor calls it"),
        "bandwidth": Field(Quantity("B/s"), "per device, one direction", required=True),
        "domain": Field(_WHOLE, "how many devices one such network joins"),
        "generation": Field(Number(1, 20), "generation of the standard"),
        "lanes": Field(_WHOLE, "lanes of the slot"),
    },
    lambda v: Link(**v),
)
_FIELDS: Final[dict[str, Field]] = {
    "name": Field(Text(), "full marketing name", required=True),
    "extends": Field(Text(), "id or path of a profile that this one changes"),
    "vendor": Field(Text(), "who makes it"),
    "architecture": Field(Text(), "micro-architecture"),
    "form_factor": Field(Text(), "SXM, PCIe, OAM ..."),
    "year": Field(Number(1990, 2100, whole=True), "year of introduction"),
    "status": Field(Text(), "shipping, announced ..."),
    "aliases": Field(ListOf(Text()), "short names people type"),
    "memory": Field(
        Table(
            {
                "type": Field(Text(), "HBM3, GDDR6 ..."),
                "capacity": Field(Quantity("B"), "as stated, with the stated unit", required=True),
                "reported": Field(Quantity("B"), "as the device reports it"),
                "bandwidth": Field(Quantity("B/s"), "peak of device memory", required=True),
            },
            lambda v: Memory(**v),
        ),
        "device memory",
        required=True,
    ),
    "compute": Field(
        MapOf(Quantity("FLOP/s"), COMPUTE_TYPES), "dense peak per number format", required=True
    ),
    "caches": Field(
        MapOf(Quantity("B"), ("l2", "last_level", "shared_per_processor")), "on-chip memory"
    ),
    "processors": Field(
        Table(
            {
                "count": Field(_WHOLE, "SMs, CUs or cores"),
                "clock": Field(Quantity("Hz"), "boost clock"),
            }
        ),
        "SMs, compute units or cores",
    ),
    "links": Field(MapOf(_LINK, ("scale_up", "pcie", "host", "nic")), "ways out of the device"),
    "power": Field(Table({"tdp": Field(Quantity("W"), "board power limit")}), "power"),
    "launch_latency": Field(Quantity("s"), "floor of one kernel launch"),
    "prices": Field(
        ListOf(
            Table(
                {
                    "usd_per_hour": Field(Number(0.0), "per device", required=True),
                    "provider": Field(Text(), "who rents it out", required=True),
                    "kind": Field(Text(), "on-demand, spot, reserved ..."),
                    "date": Field(Text(), "when the price was seen"),
                    **_SOURCED,
                },
                lambda v: Price(**v),
            )
        ),
        "dated offers; the first is the default",
    ),
    "purchase_price": Field(Quantity("USD"), "street price of one device"),
    "achieved": Field(
        ListOf(
            Table(
                {
                    "metric": Field(Text(), "what was measured", required=True),
                    "precision": Field(Text(), "number format of the operands"),
                    "fraction": Field(Number(0.0, 10.0), "of the datasheet peak", required=True),
                    "conditions": Field(Text(), "how it was measured"),
                    **_SOURCED,
                },
                lambda v: Achieved(**v),
            )
        ),
        "measured fractions of the datasheet peaks",
    ),
    **{name: Field(kind, doc) for name, (kind, doc) in PARTS.items()},
    "notes": Field(Text(), "what to beware of"),
    "sources": Field(
        ListOf(
            Table(
                {
                    "of": Field(ListOf(Text()), "paths of the fields it covers", required=True),
                    "checked": Field(Text(), "date of the look-up"),
                    **_SOURCED,
                },
                lambda v: Source(**v),
            )
        ),
        "where the figures come from",
        required=True,
    ),
}
SCHEMA: Final = Table(_FIELDS)


@remembered(catalog.HARDWARE)
def load_hardware(name: str) -> Hardware:
    """The profile of an id, an alias or a YAML path.

    Raises UnknownName, InputError, or SpecError with every problem of the file.
    """
    path = catalog.HARDWARE.path(name)
    return read_hardware(read_yaml(path), path)


def read_hardware(node: Node, path: Path) -> Hardware:
    """A profile from its tree; `path` gives the id and stands in messages."""
    whole, base = extended(node, path, catalog.HARDWARE.path)
    report = Report(str(path))
    values = SCHEMA.read(whole, "", report)
    _require_sources(node, base is not None, report)
    report.finish()
    power = values.pop("power", {})
    return Hardware(id=path.stem, file=str(path), tdp=power.get("tdp"), **values)


def problems(name: str) -> tuple[Problem, ...]:
    """Everything that is wrong with the profile of an id, an alias or a path; () for nothing.

    Raises UnknownName or InputError where there is no such file.
    """
    try:
        load_hardware(name)
    except SpecError as error:
        return error.problems
    return ()


def _require_sources(node: Node, is_variant: bool, report: Report) -> None:
    """Every figure that the file itself states is covered by a source of its own."""
    if not isinstance(node.value, dict):
        return
    stated = node.value.get("sources")
    if stated is None and not is_variant:
        return  # the schema has said that the sources are missing
    own: Any = () if stated is None else _FIELDS["sources"].kind.read(stated, "", Report(""))
    if own is MISSING:
        return
    for key, line in figures(node):
        if not any(source.covers(key) for source in own):
            report.add(line, key, "has no source: name it in 'sources: of'")


def figures(node: Node) -> list[tuple[str, int]]:
    """Paths and lines of all figures of a profile that need a source."""
    parts = ("memory", "compute", "caches", "processors", "links", "power")
    found = [(key, node.value[key].line) for key in ("launch_latency",) if key in node.value]
    for part in parts:
        if part in node.value:
            found += _leaves(node.value[part], part)
    return [(key, line) for key, line in found if not key.endswith((".type", ".name"))]


def _leaves(node: Node, prefix: str) -> list[tuple[str, int]]:
    if not isinstance(node.value, dict):
        return [(prefix, node.line)]
    return [leaf for key, child in node.value.items() for leaf in _leaves(child, f"{prefix}.{key}")]
