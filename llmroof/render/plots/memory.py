"""Memory of one device as stacked bars against what it has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from llmroof.engine.estimate import Estimate
from llmroof.errors import InputError
from llmroof.render.plots import style
from llmroof.render.plots.frame import axes_between, blank
from llmroof.units import DECIMAL, show

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_BARS: Final = 10
#: part -> (its name, how much white is in the GPU's colour)
_PARTS: Final = {
    "weights_bytes": ("weights", 0.0),
    "kv_cache_bytes": ("KV cache", 0.45),
    "activation_bytes": ("activations", 0.72),
    "reserved_bytes": ("kept free for the engine", 0.9),
}
#: a part narrower than this share of the widest bar has no room for its size
_ROOM: Final = 0.07
_BAR: Final = 0.58


def draw(estimates: Sequence[Estimate], labels: Sequence[str], path: Path) -> None:
    """Write one bar per estimate. Raises InputError for none, or for too many."""
    style.check_path(path)
    with style.look():
        style.save(compose(estimates, labels), path)


def compose(estimates: Sequence[Estimate], labels: Sequence[str]) -> Figure:
    """The chart as a figure; call it inside `style.look()`."""
    if not 0 < len(estimates) <= MOST_BARS:
        raise InputError(f"a memory chart shows 1 to {MOST_BARS} deployments, not {len(estimates)}")
    colors = style.colors([one.deployment.hardware.id for one in estimates])
    figure = blank()
    axes = axes_between(figure, _title(estimates, labels), _subtitle(estimates), _legend())
    widest = max(
        max(float(one.memory.total_bytes), float(one.memory.capacity_bytes)) for one in estimates
    )
    giga = DECIMAL["G"]
    for row, (one, label) in enumerate(zip(estimates, labels, strict=True)):
        _bar(axes, one, row, colors[one.deployment.hardware.id], widest)
        axes.text(
            0, row - _BAR / 2 - 0.06, label, va="bottom", size=style.SMALL_SIZE, weight="bold"
        )
    axes.set_xlim(0, widest * 1.04 / giga)
    axes.set_ylim(len(estimates) - 0.4, -0.75)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("GB per GPU")
    return figure


def _bar(axes: Axes, one: Estimate, row: int, color: str, widest: float) -> None:
    start, giga = 0.0, DECIMAL["G"]
    for name, (_, white) in _PARTS.items():
        size = float(getattr(one.memory, name))
        shade = style.mix(color, "#FFFFFF", white)
        axes.barh(
            row, size / giga, left=start / giga, height=_BAR, color=shade, edgecolor="white", lw=1.0
        )
        if size > _ROOM * widest:
            ink = "white" if white < 0.3 else style.INK
            axes.text(
                (start + size / 2) / giga, row, show(size, "B"), ha="center", va="center",
                color=ink, size=style.SMALL_SIZE,
            )  # fmt: skip
        start += size
    capacity = float(one.memory.capacity_bytes) / giga
    axes.plot([capacity] * 2, [row - _BAR / 2 - 0.04, row + _BAR / 2 + 0.04], color=style.INK, lw=2)
    over = start > float(one.memory.capacity_bytes)
    words = f"{'does not fit: ' if over else ''}{show(one.memory.capacity_bytes, 'B')} there"
    axes.text(
        capacity, row + _BAR / 2 + 0.06, words, ha="right", va="top",
        size=style.SMALL_SIZE, color=style.PALETTE["vermillion"] if over else style.MUTED,
    )  # fmt: skip


def _title(estimates: Sequence[Estimate], labels: Sequence[str]) -> str:
    models = " and ".join(dict.fromkeys(one.deployment.model.name for one in estimates))
    misses = [
        label for one, label in zip(estimates, labels, strict=True) if not bool(one.memory.fits)
    ]
    if not misses:
        return f"{models} fits: memory of one GPU"
    return f"{models} does not fit on {'; '.join(misses)}"


def _subtitle(estimates: Sequence[Estimate]) -> str:
    said = []
    for name, word in (
        ("batch", "batch {}"),
        ("input_len", "{} tokens in"),
        ("output_len", "{} out"),
    ):
        values = {float(getattr(one.workload, name)) for one in estimates}
        if len(values) == 1:
            said.append(word.format(f"{values.pop():,.0f}"))
    return " · ".join(said)


def _legend() -> list[list[Any]]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    grey = style.MUTED
    parts: list[Any] = [
        Patch(color=style.mix(grey, "#FFFFFF", white), label=word)
        for word, white in _PARTS.values()
    ]
    return [[*parts, Line2D([], [], color=style.INK, lw=2, label="what the device has")]]
