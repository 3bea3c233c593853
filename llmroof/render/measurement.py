"""What was measured on a device, and what was fitted to measurements, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from llmroof import units
from llmroof.render.page import Item, Line, Page, grid, heading, page
from llmroof.render.record import head, plain

if TYPE_CHECKING:
    from llmroof.evidence.fit import Coefficient, Fit
    from llmroof.measure.profile import Profile

_WORDS: Final = {
    "compute": "share of the peak (products)",
    "memory": "share of the bandwidth",
    "launch": "launch of a kernel",
    "step": "host work per pass",
}


def fit_page(found: Fit) -> Page:
    """Coefficients before and after, and the errors of the fit."""
    rows = [
        (_WORDS[one.name], _value(one, one.before), _after(one), str(one.rows), one.why or "fitted")
        for one in found.coefficients
    ]
    errors = [
        (name, str(n), f"{before:.1%}", f"{inside:.1%}", f"{outside:.1%}")
        for name, (n, before, inside, outside) in found.by_metric.items()
    ]
    errors.append(
        (
            "all",
            str(sum(one[0] for one in found.by_metric.values())),
            f"{found.before:.1%}",
            f"{found.in_sample:.1%}",
            f"{found.left_out:.1%}",
        )
    )
    items: list[Item] = [
        heading(f"{found.hardware.name}: fitted to {found.rows} measured rows"),
        grid(("coefficient", "start", "fitted", "rows that tell it", ""), rows, "<>>><"),
        Line(""),
        heading("Median absolute error"),
        grid(("metric", "figures", "before", "of the fit", "left out"), errors, "<>>>>"),
    ]
    return page(items)


def _value(one: Coefficient, value: float) -> str:
    seconds = one.name in ("launch", "step")
    return units.show(value, "s") if seconds else f"{value:.1%}"


def _after(one: Coefficient) -> str:
    return "left" if one.after is None else _value(one, one.after)


def profile_page(profile: Profile, matched: str | None) -> Page:
    """What the device reaches, and what stood for its datasheet."""
    measured, device = profile.measured, profile.device
    rows = [
        (f"products in {kind}", units.show(rate, "FLOP/s"), "best of the sweep")
        for kind, rate in profile.compute.items()
    ]
    rows.append(("memory", units.show(profile.bandwidth, "B/s"), "best outside of the caches"))
    for name, words in (("launch", "one by one"), ("graph", "replayed from a graph")):
        if (value := getattr(measured, name)) is not None:
            rows.append(("kernel launch", units.show(value, "s"), words))
    if (sums := measured.all_reduce) is not None:
        best = max(size / time for size, time in zip(sums.at, sums.times, strict=True))
        rows.append((f"sum over {sums.devices:.0f}", units.show(best, "B/s"), "message per second"))
    known = f"datasheet of {matched}" if matched else "no datasheet known: measured roofs stand in"
    spread = f"{len(profile.points)} kernels, typical spread of readings {measured.spread:.1%}"
    items: list[Item] = [
        heading(f"{device.name} ({device.kind})"),
        Line(f"{known}; {spread}"),
        Line(""),
        grid(("figure", "reached", ""), rows, "<><"),
    ]
    if profile.absent:
        items.append(Line(f"Not measured, for PyTorch has no kernel: {', '.join(profile.absent)}"))
    return page(items)


def profile_document(profile: Profile, matched: str | None) -> dict[str, Any]:
    """`llmroof.measurement/1`: the roofs that were reached and every point behind the curves."""
    measured = profile.measured
    return head("measurement") | {
        "device": profile.device.name,
        "matched": matched,
        "date": measured.date,
        "versions": dict(measured.versions),
        "spread": measured.spread,
        "compute_flop_per_s": dict(profile.compute),
        "bandwidth_bytes_per_s": profile.bandwidth,
        "launch_s": measured.launch,
        "graph_s": measured.graph,
        "absent": list(profile.absent),
        "points": profile_rows(profile),
    }


def profile_rows(profile: Profile) -> list[dict[str, Any]]:
    """One row per kernel that was timed."""
    names = ("kind", "precision", "rows", "n", "k", "keys", "heads", "kv_heads", "head_dim", "size")
    return [
        {name: plain(getattr(point.case, name)) for name in names}
        | {
            "flop": point.case.flop,
            "bytes": point.case.bytes,
            "time_s": point.sample.seconds,
            "spread": point.sample.spread,
            "readings": point.sample.runs,
        }
        for point in profile.points
    ]
