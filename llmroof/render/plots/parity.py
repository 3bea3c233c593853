"""Parity chart: each measured row against its prediction, one panel per metric."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from llmroof.errors import InputError
from llmroof.evidence.rows import METRICS
from llmroof.render.plots import style

if TYPE_CHECKING:
    import pandas as pd

_WORDS: Final = {
    "ttft_s": "TTFT, s",
    "tpot_s": "TPOT, s",
    "e2e_latency_s": "latency, s",
    "prefill_tokens_per_s": "prefill, tokens/s",
    "decode_tokens_per_s": "decode, tokens/s",
    "output_tokens_per_s": "output, tokens/s",
}
#: a prediction this far off (as a factor) leaves the shaded band
_BAND: Final = 1.2


def draw(frame: pd.DataFrame, path: Path) -> None:
    """Write the chart; InputError when no row was both measured and predicted."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style.check_path(path)
    names = [name for name in METRICS if _points(frame, name)[0].size]
    if not names:
        raise InputError("no row was both measured and predicted: there is nothing to draw")
    with style.look():
        figure = Figure(figsize=(style.HEIGHT * len(names), style.HEIGHT), dpi=style.DPI)
        FigureCanvasAgg(figure)
        for place, name in enumerate(names):
            _panel(figure.add_subplot(1, len(names), place + 1), frame, name)
        figure.tight_layout()
        style.save(figure, path)


def _points(frame: pd.DataFrame, name: str) -> tuple[Any, Any, Any]:
    """(measured, predicted, hardware) of the rows that have both."""
    if name not in frame.columns:
        return np.array([]), np.array([]), np.array([])
    known = frame[frame[name].gt(0) & frame[f"predicted_{name}"].gt(0)]
    return known[name].to_numpy(), known[f"predicted_{name}"].to_numpy(), known["hardware"]


def _panel(axes: Any, frame: pd.DataFrame, name: str) -> None:
    measured, predicted, hardware = _points(frame, name)
    ends = np.array([min(measured.min(), predicted.min()), max(measured.max(), predicted.max())])
    ends = ends * [0.8, 1.25]
    axes.fill_between(ends, ends / _BAND, ends * _BAND, color=style.MEMORY_SIDE, zorder=0)
    axes.plot(ends, ends, color=style.MUTED, linewidth=1, zorder=1)
    kinds = sorted(set(hardware))
    for kind, color in style.colors(kinds).items():
        own = (hardware == kind).to_numpy()
        axes.scatter(measured[own], predicted[own], s=9, color=color, alpha=0.55, label=kind)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    error = np.abs(predicted / measured - 1)
    axes.set_title(
        f"{_WORDS[name]}: {len(measured)} rows, median error {np.median(error):.1%}",
        fontsize=style.TITLE_SIZE,
    )
    axes.set_xlabel("measured")
    axes.set_ylabel(f"predicted (shaded: within {_BAND - 1:.0%})")
    axes.legend(fontsize=style.SMALL_SIZE, loc="upper left")
