"""A measured profile as the YAML of a hardware profile."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from llmroof import units
from llmroof.measure.profile import Profile
from llmroof.specs.hardware import Hardware
from llmroof.specs.measured import Curve, Measured, Surface

#: significant digits of what was measured: more than the spread is worth
_DIGITS = 4
_ROOFS = (
    "Roofs are the best rates that were measured: state the datasheet to see MFU and MBU of it."
)


def profile_yaml(profile: Profile, base: Hardware | None) -> str:
    """The file: `extends` the shipped profile that the device is, or stands alone.

    Alone, its roofs are the best rates that were measured, and their source says so: no
    datasheet is made up.
    """
    device, measured = profile.device, profile.measured
    lines = [f"name: {_text(_name(profile, base))}"]
    if base is not None:
        lines.append(f"extends: {base.id}")
    else:
        lines += _roofs(profile)
    lines += ["measured:", *(f"  {line}" for line in _measured(measured))]
    if base is None:
        title = f"measured here by llmroof measure, {measured.date}; no datasheet"
        paths = ["memory", "compute"] + (["caches"] if device.cache else [])
        flow = ", ".join(paths)
        lines.append(
            f"sources: [{{of: [{flow}], title: {_text(title)}, checked: {_text(measured.date)}, "
            f"confidence: medium}}]"
        )
    return "\n".join(lines) + "\n"


def _name(profile: Profile, base: Hardware | None) -> str:
    device = profile.device
    plural = "" if device.threads == 1 else "s"
    threads = f", {device.threads} thread{plural}" if device.threads else ""
    return f"{base.name if base else device.name}{threads}, measured {profile.measured.date}"


def _roofs(profile: Profile) -> Iterator[str]:
    device = profile.device
    capacity, rate = f"{device.memory:.0f} B", _quantity(profile.bandwidth, "B/s")
    yield f"memory: {{capacity: {capacity}, bandwidth: {rate}}}"
    yield "compute:  # the best rates that were measured"
    for precision, peak in profile.compute.items():
        yield f"  {precision}: {_quantity(peak, 'FLOP/s')}"
    if device.cache:
        yield f"caches: {{last_level: {device.cache:.0f} B}}"
    yield f"notes: {_text(_ROOFS)}"


def _measured(measured: Measured) -> Iterator[str]:
    yield f"date: {_text(measured.date)}"
    yield f"device: {_text(measured.device)}"
    if measured.driver:
        yield f"driver: {_text(measured.driver)}"
    versions = ", ".join(f"{name}: {_text(text)}" for name, text in measured.versions.items())
    yield f"versions: {{{versions}}}"
    if measured.threads:
        yield f"threads: {measured.threads:.0f}"
    yield f"spread: {measured.spread:.4f}  # median over all points of interquartile range / median"
    for name in ("launch", "graph"):
        if (value := getattr(measured, name)) is not None:
            yield f"{name}: {_quantity(value, 's')}"
    yield from _curves("streams", measured.streams, "B/s")
    for name in ("gemm", "grouped"):
        yield from _surfaces(name, getattr(measured, name))
    yield from _curves("prefill", measured.prefill, "FLOP/s")
    yield from _curves("decode", measured.decode, "B/s")
    if measured.small:
        yield "small:"
        for precision, curves in measured.small.items():
            yield from (f"  {line}" for line in _curves(precision, curves, "B/s"))
    if measured.all_reduce is not None:
        sums = measured.all_reduce
        times = ", ".join(_quantity(time, "s") for time in sums.times)
        yield f"all_reduce: {{devices: {sums.devices:.0f}, at: {_list(sums.at)}, times: [{times}]}}"


def _curves(name: str, curves: Mapping[str, Curve], unit: str) -> Iterator[str]:
    if curves:
        yield f"{name}:"
    for key, curve in curves.items():
        yield f"  {key}:"
        yield f"    at: {_list(curve.at)}"
        yield f"    rates: [{', '.join(_quantity(rate, unit) for rate in curve.rates)}]"


def _surfaces(name: str, surfaces: Mapping[str, Surface]) -> Iterator[str]:
    if surfaces:
        yield f"{name}:"
    for key, surface in surfaces.items():
        yield f"  {key}:"
        yield f"    rows: {_list(surface.rows)}"
        yield f"    inputs: {_list(surface.inputs)}"
        yield f"    outputs: {_list(surface.outputs)}"
        yield "    rates:"
        for lines in surface.rates:
            for first, rates in zip("-" + " " * len(lines), lines, strict=False):
                rate = ", ".join(_quantity(rate, "FLOP/s") for rate in rates)
                yield f"      {first} - [{rate}]"


def _quantity(value: float, unit: str) -> str:
    return units.show(value, unit, _DIGITS)


def _list(values: Sequence[float]) -> str:
    return f"[{', '.join(f'{value:.0f}' for value in values)}]"


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
