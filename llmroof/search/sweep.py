"""Sweeps: every combination of the axes through the vectorised engine, piece by piece.

A piece is a run of consecutive points of one combination of categories, small enough for
the processor's cache; what is kept of it is decided on whole columns. Only the columns
that somebody wants are ever computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import numpy as np

from llmroof import bearing
from llmroof.api import COUNTS, smallest_plan, worker_splits
from llmroof.engine.deployment import Deployment, Workload
from llmroof.engine.estimate import Estimate
from llmroof.engine.estimate import estimate as estimate_static
from llmroof.engine.grid import PIECE, regions
from llmroof.engine.loaded import CURVE_POINTS, estimate_load
from llmroof.engine.serving import Load
from llmroof.errors import InputError, LlmroofError, UnknownName
from llmroof.figures import COLUMNS, FIGURES, SPANS, STEADY, flat_name, more_is_better
from llmroof.resolve import deploy
from llmroof.search.axes import Axes
from llmroof.search.frontier import Mask, best, numbers, pareto
from llmroof.search.where import Condition, kind_of, parse_where

#: columns of every sweep, in the order of the JSON, and those that a load adds
STATIC: Final = tuple(
    flat_name(part, name) for part, figures in FIGURES.items() for name in figures
)
UNDER_LOAD: Final = (*SPANS, *(flat_name("steady", name) for name in STEADY))
_PLAN: Final = ("num_gpus", "tp", "pp", "dp", "ep")
_WORK: Final = ("prefix_hit_rate", "chunked_prefill")
#: rows of a selection kept before it is thinned out again
_POOL: Final = 8192


@dataclass(frozen=True, slots=True)
class Rows:
    """Some points of a sweep: their numbers in it, and a column (array or scalar) by name."""

    points: Any
    columns: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.points)


@dataclass(slots=True)
class Tally:
    """How far a sweep is: points seen, in all and left out first; those that fit, kept, skipped."""

    total: int
    seen: int = 0
    start: int = 0
    fit: int = 0
    kept: int = 0
    skipped: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def skip(self, points: int, reason: str) -> None:
        """Count points that have no answer."""
        self.skipped += points
        self.reasons[reason] = self.reasons.get(reason, 0) + points


@dataclass(frozen=True, slots=True)
class Choice:
    """What to keep: a condition, and then all rows, the first `top` by `by`, or a frontier.

    Rankings and frontiers consider the points that fit. `pareto` and `by` are columns.
    """

    where: Condition | None = None
    top: int | None = None
    by: str | None = None
    pareto: tuple[str, ...] = ()

    @property
    def selects(self) -> bool:
        """True when points compete with each other."""
        return self.top is not None or bool(self.pareto)


def make_choice(
    where: str | None = None,
    top: int | None = None,
    by: str | None = None,
    pareto: str | Sequence[str] | None = None,
) -> Choice:
    """A choice from its options. Raises InputError and UnknownName."""
    names = [name.strip() for name in pareto.split(",")] if isinstance(pareto, str) else pareto
    for name in (*(names or ()), *([by] if by else ())):
        if name not in COLUMNS:
            raise UnknownName("column", name, COLUMNS, "llmroof sweep --help")
        if kind_of(name) != "number":
            raise InputError(f"'{name}' holds no numbers: nothing to rank by")
    if top is not None and top < 1:
        raise InputError(f"top must be 1 or more, not {top}")
    if (top is None) != (by is None):
        raise InputError("--top N and --by COLUMN go together")
    if top is not None and names:
        raise InputError("--top and --pareto are different choices: give one of them")
    condition = None if where is None else parse_where(where, COLUMNS)
    return Choice(condition, top, by, tuple(names or ()))


def chosen_columns(axes: Axes, wanted: Sequence[str] | None = None) -> tuple[str, ...]:
    """The columns of a sweep's rows: `wanted`, or all there are. Raises UnknownName."""
    if wanted is None:
        loaded = not {"concurrency", "request_rate"}.isdisjoint(axes.numbers)
        return STATIC + (UNDER_LOAD if loaded else ())
    for name in wanted:
        if name not in COLUMNS:
            raise UnknownName("column", name, COLUMNS)
    return tuple(wanted)


def run_sweep(
    axes: Axes,
    choice: Choice,
    columns: Sequence[str],
    *,
    start: int = 0,
    end: int | None = None,
    piece: int = PIECE,
    tell: Callable[[Tally], None] = lambda tally: None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Rows]:
    """The rows of a sweep, in the order of its points or, of a selection, best first.

    Only the points from `start` to before `end` are asked. `tell` hears after every
    piece how far the sweep is; it ends there when `stop` says so. Raises InputError when
    no combination can be answered at all.
    """
    total = axes.points if end is None else min(end, axes.points)
    tally = Tally(total, seen=min(start, total), start=min(start, total))
    pool = _Pool(choice, columns) if choice.selects else None
    for view in _views(axes, start, piece, tally):
        mask = view.mask
        if choice.where is not None:
            mask = mask & np.broadcast_to(choice.where.mask(view.column), mask.shape)
        tally.fit += int(np.count_nonzero(view.fits & view.mask))
        if pool is not None:
            pool.add(view, mask & view.fits)
        elif mask.any():
            tally.kept += int(np.count_nonzero(mask))
            yield view.rows(mask, columns)
        tally.seen = min(int(view.points[-1]) + 1, total)
        tell(tally)
        if stop():
            break
    rows = None if pool is None else pool.rows()
    if rows is not None:
        tally.kept = len(rows)
    tell(tally)
    if rows is not None and len(rows):
        yield rows


@dataclass(frozen=True, slots=True)
class View:
    """One piece of a sweep: its estimate, read column by column as flat arrays."""

    estimate: Estimate
    points: Any
    shape: tuple[int, ...]
    mask: Mask

    def column(self, name: str) -> Any:
        """A column as the estimate has it: a scalar, or a flat array."""
        value = _get(self.estimate, name)
        if isinstance(value, np.ndarray):
            return np.broadcast_to(value, self.shape).reshape(-1)
        return value

    @property
    def fits(self) -> Mask:
        """Which points fit the devices."""
        return np.broadcast_to(np.asarray(self.column("fits")), self.mask.shape)

    def rows(self, mask: Mask, columns: Sequence[str]) -> Rows:
        """The rows where `mask` holds."""
        found = {name: self.column(name) for name in columns}
        if mask.all():
            return Rows(self.points, found)
        kept = {n: v[mask] if isinstance(v, np.ndarray) else v for n, v in found.items()}
        return Rows(self.points[mask], kept)


def _get(estimate: Estimate, name: str) -> Any:
    try:
        return COLUMNS[name](estimate)
    except AttributeError:  # figures of a load, of an estimate without one
        if estimate.steady is None:
            return None
        raise


def _views(axes: Axes, start: int, piece: int, tally: Tally) -> Iterator[View]:
    """Every piece of the sweep that ends after point `start`."""
    size = int(np.prod(axes.shape, dtype=int))
    mesh = axes.mesh()
    first, answered, fault = 0, False, None
    for options in axes.each():
        if first >= tally.total:
            break
        if first + size > start:
            try:
                ask, limits = _combination(options, mesh)
            except LlmroofError as error:
                fault = fault or error
                lost = min(first + size, tally.total) - max(first, start)
                tally.skip(lost, str(error))
                tally.seen = min(first + size, tally.total)
            else:
                answered = True
                yield from _mesh_views(ask, limits, mesh, axes.shape, first, start, piece, tally)
        first += size
    if fault is not None and not answered and start == 0:
        raise fault


#: the numbers of one piece -> its estimate
_Ask = Callable[[Mapping[str, Any]], Estimate]
#: the numbers of one piece -> why some points have no answer, and where the others are
_Limits = Callable[[Mapping[str, Any]], Iterator[tuple[str, Any]]]


def _combination(options: dict[str, Any], mesh: Mapping[str, Any]) -> tuple[_Ask, _Limits]:
    """How to ask one combination of categories, and what no point of it may exceed."""
    rest = dict(options)
    work = {name: rest.pop(name) for name in _WORK if rest.get(name) is not None}
    kind, random = rest.pop("load", "closed"), rest.pop("random_lengths", False)
    loaded = {name: name in mesh for name in ("concurrency", "request_rate")}
    bearing.check_load(kind, random, work.get("chunked_prefill"), **loaded)
    deployment, notes = deploy(**rest)
    if all(rest.get(name) is None for name in _PLAN):
        deployment, found = smallest_plan(deployment, _smallest(mesh))
        notes = (*notes, *found)
    if rest.get("num_gpus") is not None and all(rest.get(name) is None for name in COUNTS):
        worker_splits(deployment, several=True)
    limits = partial(bearing.limits, deployment, rest.get("max_num_seqs"))
    return _asking(deployment, kind, random, work, notes), limits


def _smallest(mesh: Mapping[str, Any]) -> Workload:
    """The least work of the mesh: what a plan left open must hold."""
    at_once = mesh.get("batch", np.ones(1))
    lengths = (mesh["input_len"], mesh["output_len"])
    return Workload(float(np.min(at_once)), *(float(np.min(one)) for one in lengths))


def _asking(
    deployment: Deployment, kind: str, random: bool, work: dict[str, Any], notes: tuple[str, ...]
) -> _Ask:
    hit = work.get("prefix_hit_rate", 0.0)
    bearing.check_hits(hit)

    def ask(numbers: Mapping[str, Any]) -> Estimate:
        lengths = {"input_len": numbers["input_len"], "output_len": numbers["output_len"]}
        if "batch" in numbers:
            static = Workload(
                numbers["batch"],
                **lengths,
                prefix_hit_rate=hit,
                chunk_tokens=work.get("chunked_prefill"),
            )
            return replace(estimate_static(deployment, static), notes=notes)
        rate = numbers.get("request_rate")
        load = Load(
            **lengths,
            concurrency=numbers.get("concurrency", 1.0),
            kind=kind if rate is None else "poisson",
            random=random,
            prefix_hit_rate=hit,
        )
        return replace(estimate_load(deployment, load, rate), notes=notes)

    return ask


def _mesh_views(
    ask: _Ask,
    limits: _Limits,
    mesh: Mapping[str, Any],
    shape: tuple[int, ...],
    first: int,
    start: int,
    piece: int,
    tally: Tally,
) -> Iterator[View]:
    """The pieces of one mesh. Points beyond the limits have no answer."""
    if "request_rate" in mesh:
        piece = max(1, piece // CURVE_POINTS)
    for region in regions(shape, piece):
        sizes = tuple(len(range(*cut.indices(n))) for cut, n in zip(region, shape, strict=True))
        count = int(np.prod(sizes, dtype=int))
        if first >= tally.total:
            break
        if first + count > start:
            cut = {name: _cut(array, region) for name, array in mesh.items()}
            points = np.arange(first, first + count)
            mask = (points >= start) & (points < tally.total)
            for reason, inside in limits(cut):
                within = np.ravel(np.broadcast_to(inside, sizes))
                if lost := int(np.count_nonzero(mask & ~within)):
                    tally.skip(lost, reason)
                    mask = mask & within
            yield View(ask(cut), points, sizes, mask)
        first += count


def _cut(array: Any, region: tuple[slice, ...]) -> Any:
    return array[
        tuple(
            slice(None) if length == 1 else part
            for length, part in zip(array.shape, region, strict=True)
        )
    ]


class _Pool:
    """The candidates of a selection: thinned out whenever there are many of them."""

    def __init__(self, choice: Choice, columns: Sequence[str]) -> None:
        self.choice = choice
        self.keys = choice.pareto or ((choice.by,) if choice.by else ())
        self.columns = tuple(dict.fromkeys((*columns, *self.keys)))
        self.asked = tuple(columns)
        self.parts: list[Rows] = []

    def add(self, view: View, mask: Mask) -> None:
        """Take what may belong to the selection from one piece."""
        at = np.flatnonzero(mask)
        if not at.size:
            return
        costs = [_cost(name, numbers(view.column(name), len(mask))[at]) for name in self.keys]
        keep = np.zeros(len(mask), dtype=np.bool_)
        keep[at[self._select(costs)]] = True
        self.parts.append(view.rows(keep, self.columns))
        if sum(map(len, self.parts)) > _POOL:
            self.parts = [self._thin()]

    def rows(self) -> Rows:
        """The selection, best first: by rank, or by the frontier's first column."""
        found = self._thin()
        kept = {name: found.columns[name] for name in self.asked} if self.parts else {}
        return Rows(found.points, kept)

    def _thin(self) -> Rows:
        rows = joined(self.parts, self.columns)
        if not len(rows):
            return rows
        costs = [_cost(name, numbers(rows.columns[name], len(rows))) for name in self.keys]
        chosen = self._select(costs)
        if self.choice.pareto:
            chosen = chosen[np.lexsort((rows.points[chosen], costs[0][chosen]))]
        return Rows(rows.points[chosen], {n: v[chosen] for n, v in rows.columns.items()})

    def _select(self, costs: Sequence[Any]) -> Any:
        if self.choice.pareto:
            return np.flatnonzero(pareto(costs))
        return best(costs[0], self.choice.top or 0)


def select(parts: Sequence[Rows], choice: Choice, columns: Sequence[str]) -> Rows:
    """The selection from rows that are there already: `fits` must be a column of them."""
    pool = _Pool(choice, columns)
    rows = joined(parts, pool.columns)
    fits = np.asarray(rows.columns["fits"], dtype=np.bool_)
    pool.parts = [Rows(rows.points[fits], {n: v[fits] for n, v in rows.columns.items()})]
    return pool.rows()


def _cost(name: str, values: Any) -> Any:
    return -values if more_is_better(name) else values


def joined(parts: Sequence[Rows], columns: Sequence[str]) -> Rows:
    """Rows one after the other, every column an array."""
    points = np.concatenate([np.zeros(0, dtype=np.int64), *(part.points for part in parts)])
    found = {}
    for name in columns:
        pieces = [_spread(part.columns[name], len(part)) for part in parts]
        found[name] = np.concatenate(pieces) if pieces else np.zeros(0)
    return Rows(points, found)


def _spread(value: Any, size: int) -> Any:
    """A column as an array [size]; text, truth and unknown values as objects."""
    if isinstance(value, np.ndarray):
        return value
    plain = isinstance(value, (float, int, np.number)) and not isinstance(value, bool)
    return np.full(size, value, dtype=None if plain else object)
