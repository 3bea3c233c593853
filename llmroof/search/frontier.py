"""The best of many points: the first N by one column, or the Pareto frontier of several.

A point is dominated when another is at least as good in every column and better in one
(Pareto). Both selections work piece by piece, so that a sweep of any size needs little
memory, and both are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def pareto(costs: Sequence[Array]) -> Mask:
    """Which points [n] no other dominates; each of `costs` is better when it is smaller.

    Equal points stand or fall together; a point with a NaN is never on the frontier.
    Two columns take a sort; more take one pass over the frontier per point of it.
    """
    table = np.stack([np.asarray(cost, dtype=np.float64) for cost in costs], axis=-1)
    found = np.zeros(len(table), dtype=np.bool_)
    known = np.flatnonzero(~np.isnan(table).any(axis=-1))
    if known.size:
        keep = _staircase(table[known]) if len(costs) <= 2 else _cull(table[known])
        found[known[keep]] = True
    return found


def _staircase(table: Array) -> npt.NDArray[np.intp]:
    """Indices of the frontier of one or two columns, in any order."""
    first, second = table[:, 0], table[:, -1]
    order = np.lexsort((second, first))
    a, b = first[order], second[order]
    start = np.ones(len(a), dtype=np.bool_)
    start[1:] = a[1:] != a[:-1]
    group = np.cumsum(start) - 1
    lowest = b[start]  # sorted: each group begins with its best
    before = np.minimum.accumulate(np.append(np.inf, lowest))[:-1]
    kept: npt.NDArray[np.intp] = order[(b == lowest[group]) & _better(lowest, before)[group]]
    return kept


def _better(lowest: Array, before: Array) -> Mask:
    """True for groups better than all before; the first counts even at infinity."""
    found: Mask = lowest < before
    found[0] = True
    return found


def _cull(table: Array) -> npt.NDArray[np.intp]:
    """Indices of the frontier of many columns: each survivor removes what it dominates."""
    alive = np.lexsort(table.T[::-1])
    done = 0
    while done < len(alive):
        point = table[alive[done]]
        rest = table[alive]
        dominated = np.all(rest >= point, axis=-1) & np.any(rest > point, axis=-1)
        alive = alive[~dominated]
        done += 1  # in lexicographic order no later point dominates an earlier one
    return alive


def best(cost: Array, count: int) -> npt.NDArray[np.intp]:
    """Indices of the `count` smallest, smallest first, ties in their order; no NaN."""
    known = np.flatnonzero(~np.isnan(cost))
    if known.size > count:
        limit = np.partition(cost[known], count - 1)[count - 1]
        known = known[cost[known] <= limit]
    order: npt.NDArray[np.intp] = known[np.argsort(cost[known], kind="stable")]
    return order[:count]


def numbers(value: Any, size: int) -> Array:
    """A column of a piece as float64 [size]; unknown is NaN."""
    if value is None:
        return np.full(size, np.nan)
    array = np.asarray(value)
    if array.dtype == object:
        array = np.array([np.nan if one is None else one for one in array], dtype=np.float64)
    return np.broadcast_to(array.astype(np.float64, copy=False), (size,))
