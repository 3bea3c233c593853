"""Estimates over arrays: the same formulas, in pieces that stay in the processor's cache.

The workload's numbers form an open mesh. It is cut along its longest axis until a piece
is small, each piece is estimated in one call, and the results are laid side by side:
every point equals the same question asked alone, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np

from llmroof.engine.estimate import Deployment, Estimate, Workload
from llmroof.engine.estimate import estimate as estimate_piece

#: points per piece: a few arrays of float64 of this size fit a second-level cache
PIECE: Final = 1 << 14
#: by identity: a figure of a piece, and the whole array that it belongs to
_Rooms: TypeAlias = dict[int, tuple[Any, Any]]


def estimate_grid(deployment: Deployment, work: Workload, piece: int = PIECE) -> Estimate:
    """`estimate` for a workload of arrays, with bounded working memory.

    Every figure of the result has the workload's joint shape (figures that do not
    depend on it stay plain numbers); single operators are not kept.
    """
    shape = np.broadcast_shapes(*(np.shape(number) for number in _numbers(work)))
    if not shape:
        return estimate_piece(deployment, work)
    whole: Estimate | None = None
    rooms: _Rooms = {}
    for region in regions(shape, piece):
        part = without_operators(estimate_piece(deployment, _cut(work, region, len(shape))))
        if whole is None:
            wide = tuple(part_of.stop - part_of.start > 1 for part_of in region)
            whole = map_leaves(partial(_room, shape=shape, wide=wide, rooms=rooms), part)
        _write(whole, part, region, {})
    assert whole is not None
    whole = map_leaves(lambda leaf: _spread(leaf, shape), whole)
    return replace(whole, deployment=deployment, workload=work)


def regions(shape: tuple[int, ...], piece: int) -> Iterator[tuple[slice, ...]]:
    """Blocks of at most `piece` points that tile an array of `shape`, in C order."""
    sizes = list(shape)
    for axis, length in enumerate(shape):
        rest = int(np.prod(shape[axis + 1 :]))
        sizes[axis] = max(1, min(length, piece // rest))
    counts = [range(0, length, size) for length, size in zip(shape, sizes, strict=True)]
    for corner in np.ndindex(*(len(starts) for starts in counts)):
        starts = [starts[i] for i, starts in zip(corner, counts, strict=True)]
        yield tuple(slice(a, a + size) for a, size in zip(starts, sizes, strict=True))


def without_operators(estimate: Estimate) -> Estimate:
    """The same answer without its breakdown by operator."""
    return replace(
        estimate,
        prefill=replace(estimate.prefill, operators=()),
        decode=replace(estimate.decode, operators=()),
    )


def map_leaves(function: Callable[[Any], Any], value: Any) -> Any:
    """A copy of a result dataclass with `function` applied to each array or number."""
    if isinstance(value, (Deployment, Workload)) or not _is_node(value):
        return value
    changes = {
        entry.name: map_leaves(function, child) if _is_node(child) else function(child)
        for entry in fields(value)
        if _is_figure(child := getattr(value, entry.name))
    }
    return replace(value, **changes)


def _is_node(value: Any) -> bool:
    return is_dataclass(value) and not isinstance(value, type)


def _is_figure(value: Any) -> bool:
    return _is_node(value) or isinstance(value, (float, int, np.ndarray, np.generic))


def _room(leaf: Any, shape: tuple[int, ...], wide: tuple[bool, ...], rooms: _Rooms) -> Any:
    """An empty array for a figure that varies; the figure itself when it does not.

    It leaves out the axes of a `wide` piece that the figure does not vary along. A figure
    that is told twice (the prefill and the TTFT of a batch) has room once.
    """
    if not isinstance(leaf, np.ndarray):
        return leaf
    if id(leaf) not in rooms:
        own = (1,) * (len(shape) - leaf.ndim) + leaf.shape
        sizes = [
            1 if held == 1 and several else size
            for held, several, size in zip(own, wide, shape, strict=True)
        ]
        rooms[id(leaf)] = leaf, np.empty(sizes, leaf.dtype)
    return rooms[id(leaf)][1]


def _write(whole: Any, part: Any, region: tuple[slice, ...], written: _Rooms) -> None:
    """Lay a piece's figures where they belong; `written` are those that are there already."""
    for entry in fields(whole):
        target = getattr(whole, entry.name)
        if isinstance(target, (Deployment, Workload)):
            continue
        source = getattr(part, entry.name)
        if _is_node(target):
            _write(target, source, region, written)
        elif isinstance(target, np.ndarray):
            if id(target) not in written:
                target[_within(target, region)] = source
                written[id(target)] = source, target
            elif written[id(target)][0] is not source:
                raise AssertionError(f"{entry.name}: the same figure in one piece only")


def _within(array: Any, region: tuple[slice, ...]) -> tuple[slice, ...]:
    """The region of an array whose axes of length one stay open."""
    return tuple(
        slice(None) if length == 1 else part
        for length, part in zip(array.shape, region, strict=True)
    )


def _spread(leaf: Any, shape: tuple[int, ...]) -> Any:
    """The figure in its full shape; what does not vary along an axis is not written out."""
    return np.broadcast_to(leaf, shape) if isinstance(leaf, np.ndarray) else leaf


def _numbers(work: Workload) -> tuple[Any, Any, Any]:
    return work.batch, work.input_len, work.output_len


def _cut(work: Workload, region: tuple[slice, ...], dimensions: int) -> Workload:
    """The workload of one region; axes of length one stay open."""

    def one(number: Any) -> Any:
        array = np.asarray(number)
        if array.ndim == 0:
            return number
        padded = array.reshape((1,) * (dimensions - array.ndim) + array.shape)
        return padded[_within(padded, region)]

    batch, input_len, output_len = (one(number) for number in _numbers(work))
    return replace(work, batch=batch, input_len=input_len, output_len=output_len)
