"""From the options of a command to an estimate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from llmroof.cli.options import WORKLOAD
from llmroof.errors import InputError

if TYPE_CHECKING:
    from llmroof.engine.estimate import Estimate

#: more rows than this are no table for the screen
MAX_POINTS: Final = 100_000


def ask(asked: dict[str, Any]) -> Estimate:
    """The answer; ranges of the workload become an open mesh, one axis each."""
    from llmroof.api import estimate

    return estimate(**asked | _mesh(asked))


def given(asked: dict[str, Any]) -> dict[str, Any]:
    """The options that were really given, single numbers as numbers."""
    return {
        name: value[0] if isinstance(value, tuple) and len(value) == 1 else value
        for name, value in asked.items()
        if value is not None
    }


def _mesh(asked: dict[str, Any]) -> dict[str, Any]:
    ranges = {name: asked[name] for name in WORKLOAD if isinstance(asked.get(name), tuple)}
    points = math.prod(len(values) for values in ranges.values())
    if points > MAX_POINTS:
        raise InputError(f"the ranges make {points} points, more than {MAX_POINTS}")
    swept = [name for name, values in ranges.items() if len(values) > 1]
    found: dict[str, Any] = {}
    for name, values in ranges.items():
        if name not in swept:
            found[name] = values[0]
            continue
        import numpy as np

        axes = [1] * len(swept)
        axes[swept.index(name)] = len(values)
        found[name] = np.array(values, dtype=np.float64).reshape(axes)
    return found
