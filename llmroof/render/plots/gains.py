"""What each lever buys: bars of four figures side by side, one row per lever."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from llmroof.engine.estimate import Estimate
from llmroof.errors import InputError
from llmroof.render.plots import style
from llmroof.render.plots.frame import axes_between, blank, width
from llmroof.render.plots.words import devices
from llmroof.search.advise import GAINS, PAYS, Pull

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LEVERS: Final = 12
#: bars end here, with a mark where they are cut: beyond, only their number tells
_LIMIT: Final = 1.0
#: where the two strokes of the mark cross a bar, and how far they lean
_CUTS: Final = (0.8, 0.86)
_LEAN: Final = 0.025
#: inches for the names of the levers, around each name, and between the panels
_NAMES: Final = 3.1
_ROOM: Final = 0.1
_GAP: Final = 0.16
_BAR: Final = 0.62
#: what a name can do without
_SHORTER: Final = (
    (" for no more money", ", same money"), ("NVIDIA ", ""), ("AMD ", ""), (" (per GPU)", ""),
)  # fmt: skip
_BETTER: Final = style.PALETTE["blue"]
_WORSE: Final = style.PALETTE["vermillion"]
_TITLES: Final = {
    "ttft": "TTFT saved",
    "tpot": "TPOT saved",
    "throughput": "tok/s/GPU added",
    "cost": "USD/M saved",
}


def draw(estimate: Estimate, pulls: Sequence[Pull], by: str, path: Path) -> None:
    """Write the levers that buy something, the best by `by` first. InputError for none."""
    style.check_path(path)
    with style.look():
        style.save(compose(estimate, pulls, by), path)


def compose(estimate: Estimate, pulls: Sequence[Pull], by: str) -> Figure:
    """The chart as a figure; call it inside `style.look()`."""
    good = [
        pull
        for pull in pulls
        if not pull.in_use and max(value or 0.0 for value in pull.gains.values()) >= PAYS
    ][:MOST_LEVERS]
    if not good:
        raise InputError("no lever buys anything here: nothing to draw")
    figure = blank()
    whole = axes_between(figure, _title(estimate, good, by), _subtitle(estimate), [])
    for place, (axes, name) in enumerate(zip(_panels(figure, whole), GAINS, strict=True)):
        _panel(axes, good, name, named=place == 0, ranked=name == by)
    return figure


def _panels(figure: Figure, axes: Axes) -> list[Axes]:
    """A panel per figure, in the place of one, with room for names at the left."""
    box = axes.get_position()
    axes.remove()
    left, gap = box.x0 + (_NAMES - 0.82) / style.WIDTH, _GAP / style.WIDTH
    width = (box.x1 - left - gap * (len(GAINS) - 1)) / len(GAINS)
    top = box.height - 0.3 / style.HEIGHT
    return [
        figure.add_axes((left + place * (width + gap), box.y0, width, top))
        for place in range(len(GAINS))
    ]


def _panel(axes: Axes, pulls: Sequence[Pull], name: str, named: bool, ranked: bool) -> None:
    axes.set_title(_TITLES[name], size=style.SMALL_SIZE, weight="bold" if ranked else "normal")
    for row, pull in enumerate(pulls):
        gain = pull.gains[name]
        if gain is None:
            continue
        size = max(-_LIMIT, min(_LIMIT, gain))
        axes.barh(row, size, height=_BAR, color=_BETTER if gain > 0 else _WORSE)
        if abs(gain) > _LIMIT:
            for cut in _CUTS:
                at, up = size * cut, _BAR / 2 + 0.06
                axes.plot(
                    (at - _LEAN, at + _LEAN), (row + up, row - up), color="white", lw=2.0,
                    gid="cut", solid_capstyle="butt",
                )  # fmt: skip
        if abs(gain) >= 0.005:
            text = f"{gain:+.0%}" if abs(gain) < 10 else f"{1 + abs(gain):,.0f}×"
            side = "left" if size < 0 else "right"  # on the free side of zero
            axes.text(
                0.04 if side == "left" else -0.04, row, text, va="center", ha=side,
                size=style.SMALL_SIZE, color=style.INK,
            )  # fmt: skip
    axes.axvline(0, color=style.MUTED, lw=0.8)
    axes.set_xlim(-_LIMIT * 1.05, _LIMIT * 1.05)
    axes.set_ylim(len(pulls) - 0.4, -0.6)
    ticks: dict[str, Any] = {"labels": []}
    if named:
        figure: Any = axes.figure
        ticks["labels"] = [_short(figure, pull.title) for pull in pulls]
    axes.set_yticks(range(len(pulls)), **ticks)
    axes.set_xticks([])
    axes.tick_params(axis="both", length=0, labelsize=style.SMALL_SIZE)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _short(figure: Figure, title: str) -> str:
    """A title that fits beside its bars."""
    for long, short in _SHORTER:
        title = title.replace(long, short)
    kept = len(title)
    text = title
    while width(figure, text, style.SMALL_SIZE, "normal") > _NAMES - 2 * _ROOM:
        kept -= 1
        text = f"{title[:kept].rstrip()}…"
    return text


def _title(estimate: Estimate, pulls: Sequence[Pull], by: str) -> str:
    deployment = estimate.deployment
    (name,) = devices([deployment.hardware])
    many = f"{deployment.num_gpus} × " * (deployment.num_gpus > 1)
    best = max(pulls, key=lambda pull: pull.gains[by] or 0.0)
    verb = "adds" if by == "throughput" else "saves"
    of = _TITLES[by].rsplit(" ", 1)[0]
    gain = best.gains[by] or 0.0
    return f"{deployment.model.name} on {many}{name}: {best.title} {verb} {gain:.0%} of {of}"


def _subtitle(estimate: Estimate) -> str:
    work, load = estimate.workload, estimate.load
    at = f"batch {work.batch:,.0f}"
    if load is not None:
        rate = float(estimate.serving.requests_per_s)
        at = f"{load.concurrency:,.0f} requests in flight"
        at = f"{rate:g} requests/s" if load.kind == "poisson" else at
    return (
        f"{deployment_format(estimate)} · {at} · {work.input_len:,.0f} tokens in · "
        f"{work.output_len:,.0f} out · every lever alone"
    )


def deployment_format(estimate: Estimate) -> str:
    """The precision by name."""
    return estimate.deployment.run.precision.name
