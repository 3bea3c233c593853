"""A small chart in letters: points on logarithmic axes, one letter per series."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from llmroof.units import show, significant

WIDTH: Final = 56
HEIGHT: Final = 12
_MARKS: Final = "ox+*#@%&abcdefghijklmnpqrstuvwyz"


def scatter(
    points: Sequence[tuple[float, float, str]],
    x_name: str,
    y_name: str,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> list[str]:
    """Lines of a chart of (x, y, series); points that are not above zero are left out.

    Where two points share a cell the first one shows.
    """
    kept = [point for point in points if point[0] > 0 and point[1] > 0]
    if not kept:
        return []
    series = list(dict.fromkeys(name for _, _, name in kept))
    marks = {name: _MARKS[i % len(_MARKS)] for i, name in enumerate(series)}
    x_range, y_range = _range([p[0] for p in kept]), _range([p[1] for p in kept])
    cells = [[" "] * width for _ in range(height)]
    for x, y, name in reversed(kept):
        column = round(_share(x, x_range) * (width - 1))
        row = round((1 - _share(y, y_range)) * (height - 1))
        cells[row][column] = marks[name]
    labels = [_figure(y_range[1], y_name), *[""] * (height - 2), _figure(y_range[0], y_name)]
    margin = max(map(len, labels))
    lines = [f"  {y_name}"]
    lines += [
        f"  {label.rjust(margin)} |{''.join(row).rstrip()}"
        for label, row in zip(labels, cells, strict=True)
    ]
    lines.append(f"  {' ' * margin} +{'-' * width}")
    low, high = _figure(x_range[0], x_name), _figure(x_range[1], x_name)
    gap = max(width - len(low) - len(high), 1)
    lines.append(f"  {' ' * margin}  {low}{' ' * gap}{high}  {x_name}")
    lines.append(f"  {' ' * margin}  {'  '.join(f'{marks[name]} {name}' for name in series)}")
    return lines


def _figure(value: float, name: str) -> str:
    """A value with its unit where the name of the column ends in seconds."""
    return show(value, "s") if name.endswith("_s") and "_per_" not in name else significant(value)


def _range(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _share(value: float, ends: tuple[float, float]) -> float:
    low, high = ends
    return 0.5 if low == high else math.log(value / low) / math.log(high / low)
