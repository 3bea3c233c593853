"""Hardware profiles for people and programs: every figure with its unit and source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from llmroof import units
from llmroof.render.basis import cite
from llmroof.render.listing import Columns, chosen
from llmroof.render.page import Item, Line, Page, grid, heading, page
from llmroof.render.record import Tree, head, plain, plain_tree
from llmroof.specs.hardware import Achieved, Hardware, Price, Source
from llmroof.specs.measured import Surface

_TEXT: Final = ("vendor", "architecture", "form_factor", "year", "status", "aliases", "notes")
#: the columns of the list
COLUMNS: Final[Columns] = {
    "id": ("id", None),
    "name": ("name", None),
    "vendor": ("vendor", None),
    "architecture": ("architecture", None),
    "year": ("year", ""),
    "memory": ("memory_bytes", "B"),
    "bandwidth": ("bandwidth_bytes_per_s", "B/s"),
    "bf16": ("bf16_flop_per_s", "FLOP/s"),
    "fp16": ("fp16_flop_per_s", "FLOP/s"),
    "fp8": ("fp8_flop_per_s", "FLOP/s"),
    "int8": ("int8_flop_per_s", "FLOP/s"),
    "fp4": ("fp4_flop_per_s", "FLOP/s"),
    "ridge": ("ridge_point", ""),
    "link": ("link_bytes_per_s", "B/s"),
    "domain": ("link_domain", ""),
    "nic": ("nic_bytes_per_s", "B/s"),
    "tdp": ("tdp_w", "W"),
    "price": ("usd_per_hour", ""),
}


def list_rows(
    profiles: Sequence[Hardware], sort: str = "id", where: str | None = None
) -> list[Tree]:
    """One flat row per accelerator, sorted and filtered (`listing.chosen`). Raises InputError."""
    return chosen([plain(_row(hardware)) for hardware in profiles], COLUMNS, sort, where)


def _row(hardware: Hardware) -> Tree:
    wide = hardware.compute.get("bf16", hardware.compute.get("fp16"))
    memory, links = hardware.memory, hardware.links
    link = links.get("scale_up") or links.get("pcie")
    return {
        "id": hardware.id,
        "name": hardware.name,
        "vendor": hardware.vendor,
        "architecture": hardware.architecture or None,
        "year": hardware.year,
        "memory_bytes": memory.capacity,
        "bandwidth_bytes_per_s": memory.bandwidth,
        "bf16_flop_per_s": hardware.compute.get("bf16"),
        "fp16_flop_per_s": hardware.compute.get("fp16"),
        "fp8_flop_per_s": hardware.compute.get("fp8"),
        "int8_flop_per_s": hardware.compute.get("int8"),
        "fp4_flop_per_s": hardware.compute.get("fp4"),
        "ridge_point": None if wide is None else wide / memory.bandwidth,
        "link_bytes_per_s": link.bandwidth if link else None,
        "link_domain": (link.domain or None) if link else None,
        "nic_bytes_per_s": links["nic"].bandwidth if "nic" in links else None,
        "tdp_w": hardware.tdp,
        "usd_per_hour": hardware.price.usd_per_hour if hardware.price else None,
        "aliases": " ".join(hardware.aliases),
    }


def list_document(rows: Sequence[Tree]) -> Tree:
    """`llmroof.hardware_list/1`."""
    return head("hardware_list") | {"hardware": list(rows)}


def list_page(rows: Sequence[Tree]) -> Page:
    """The table of all accelerators."""
    header = ("id", "memory", "bandwidth", "16-bit", "fp8", "ridge", "USD/h")
    body = [
        (
            row["id"],
            units.show(row["memory_bytes"], "B"),
            units.show(row["bandwidth_bytes_per_s"], "B/s"),
            _rate(row["bf16_flop_per_s"] or row["fp16_flop_per_s"]),
            _rate(row["fp8_flop_per_s"]),
            "-" if row["ridge_point"] is None else units.significant(row["ridge_point"]),
            "-" if row["usd_per_hour"] is None else f"{row['usd_per_hour']:.2f}",
        )
        for row in rows
    ]
    note = "Dense peaks; ridge point in FLOP/byte at 16 bits. llmroof gpus show ID: all, sourced."
    if not body:
        return page([Line("No accelerator meets the condition.")])
    return page([grid(header, body, indent=0), Line(""), Line(note, "quiet")])


def _rate(value: float | None) -> str:
    return "-" if value is None else units.show(value, "FLOP/s").removesuffix("FLOP/s") + "F/s"


def hardware_document(hardware: Hardware) -> Tree:
    """`llmroof.hardware/1`: `fields` maps each path to its value, unit and source."""
    text = {name: getattr(hardware, name) or None for name in _TEXT}
    return head("hardware") | plain_tree(
        {
            "id": hardware.id,
            "name": hardware.name,
            **text,
            "fields": {
                path: {"value": value, "unit": unit, "source": _source(hardware.source(path))}
                for path, value, unit in figures(hardware)
            },
            "ridge_points": {kind: hardware.ridge_point(kind) for kind in hardware.compute},
            "prices": [_record(price, "USD/h") for price in hardware.prices],
            "achieved": [_record(one, "1") for one in hardware.achieved],
            "file": Path(hardware.file).name,
        }
    )


def figures(hardware: Hardware) -> Iterator[tuple[str, Any, str | None]]:
    """(path in the file, value in SI, unit) of every figure; None: a plain count or a name."""
    memory = hardware.memory
    if memory.type:
        yield "memory.type", memory.type, None
    yield "memory.capacity", memory.capacity, "B"
    if memory.reported is not None:
        yield "memory.reported", memory.reported, "B"
    yield "memory.bandwidth", memory.bandwidth, "B/s"
    for kind, peak in hardware.compute.items():
        yield f"compute.{kind}", peak, "FLOP/s"
    for name, size in hardware.caches.items():
        yield f"caches.{name}", size, "B"
    for name, value in hardware.processors.items():
        yield f"processors.{name}", value, "Hz" if name == "clock" else None
    for name, link in hardware.links.items():
        if link.name:
            yield f"links.{name}.name", link.name, None
        yield f"links.{name}.bandwidth", link.bandwidth, "B/s"
        for part in ("domain", "generation", "lanes"):
            if getattr(link, part):
                yield f"links.{name}.{part}", getattr(link, part), None
    if hardware.tdp is not None:
        yield "power.tdp", hardware.tdp, "W"
    if hardware.launch_latency is not None:
        yield "launch_latency", hardware.launch_latency, "s"
    if hardware.purchase_price is not None:
        yield "purchase_price", hardware.purchase_price, "USD"


def hardware_rows(hardware: Hardware) -> list[Tree]:
    """One flat row per figure."""
    return [
        {
            "id": hardware.id,
            "field": path,
            "value": plain(value),
            "unit": unit,
            "source": cite(hardware.source(path)),
        }
        for path, value, unit in figures(hardware)
    ]


def hardware_page(hardware: Hardware) -> Page:
    """The profile with the number of the source beside each figure."""
    shown = {path: hardware.source(path) for path, _, _ in figures(hardware)}
    sources = list(dict.fromkeys(source for source in shown.values() if source is not None))
    rows = [
        (path, _value(value, unit), _mark(shown[path], sources))
        for path, value, unit in figures(hardware)
    ]
    ridges = ", ".join(
        f"{kind} {units.significant(hardware.ridge_point(kind))}"
        for kind in ("bf16", "fp16", "fp8", "int8", "fp4")
        if kind in hardware.compute
    )
    about = (hardware.vendor, hardware.architecture, hardware.form_factor)
    year = (str(hardware.year),) if hardware.year else ()
    aliases = f"; also called {', '.join(hardware.aliases)}" if hardware.aliases else ""
    items: list[Item] = [
        heading(f"{hardware.name} ({hardware.id})"),
        Line(", ".join(part for part in (*about, *year) if part) + aliases),
        Line(""),
        grid(("figure", "value", "source"), rows, "<><"),
        Line(f"Ridge points (FLOP/byte): {ridges}"),
    ]
    if hardware.prices:
        items += [Line(""), heading("Prices (USD per GPU-hour; the first is the default)")]
        items += [Line(f"  {_price(price)}", hang=4) for price in hardware.prices]
    if hardware.achieved:
        items += [Line(""), heading("Measured shares of the peaks")]
        items += [Line(f"  {_achieved(one)}", hang=4) for one in hardware.achieved]
    items += _own(hardware)
    items += [Line(""), heading("Sources")]
    items += [
        Line(f"  [{number}] {_source_text(source)}", hang=6)
        for number, source in enumerate(sources, 1)
    ]
    if hardware.notes:
        items += [Line(""), Line(f"Beware: {hardware.notes}")]
    return page(items)


def _own(hardware: Hardware) -> list[Item]:
    """What was measured on the device itself, and what was fitted to its rows."""
    items: list[Item] = []
    if (measured := hardware.measured) is not None:
        best = {kind: _best(surface) for kind, surface in measured.gemm.items()}
        rates = ", ".join(f"{kind} {units.show(rate, 'FLOP/s')}" for kind, rate in best.items())
        items += [
            Line(""),
            heading(f"Measured here ({measured.date}, {measured.device})"),
            Line(f"  best product: {rates}; typical spread of readings {measured.spread:.1%}"),
        ]
    if (fitted := hardware.fitted) is not None:
        items += [
            Line(""),
            heading(f"Fitted to {fitted.rows:.0f} measured rows ({fitted.date})"),
            Line(f"  median error {fitted.before:.1%} before, {fitted.after:.1%} of rows left out"),
        ]
    return items


def _best(surface: Surface) -> float:
    """The most FLOP/s of a surface."""
    return max(rate for lines in surface.rates for line in lines for rate in line)


def _mark(source: Source | None, sources: list[Source]) -> str:
    return f"[{sources.index(source) + 1}]" if source else "none"


def _source_text(source: Source) -> str:
    checked = f", checked {source.checked}" if source.checked else ""
    return f"{cite(source)} (confidence {source.confidence}{checked})"


def _price(price: Price) -> str:
    where = price.url or price.title
    return f"{price.usd_per_hour:g} {price.offer}: {where}"


def _achieved(one: Achieved) -> str:
    precision = f" {one.precision}" if one.precision else ""
    return f"{one.metric}{precision} {one.fraction:.1%}: {one.conditions or one.title}"


def _value(value: Any, unit: str | None) -> str:
    if unit is None:
        return f"{value:g}" if isinstance(value, float) else str(value)
    return units.show(value, unit, 4)


def _source(source: Source | None) -> Tree | None:
    if source is None:
        return None
    return {
        "title": source.title,
        "url": source.url or None,
        "checked": source.checked or None,
        "confidence": source.confidence,
    }


def _record(record: Price | Achieved, unit: str) -> Tree:
    fields = {name: getattr(record, name) or None for name in record.__dataclass_fields__}
    return fields | {"unit": unit}
