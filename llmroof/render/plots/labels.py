"""Where labels go: next to what they name, over no data, over no other label.

A board knows, in display pixels, the boxes that must stay free (markers, labels already
placed) and the points of lines that should. Labels are placed one after the other,
the most important first: of many candidate places the cheapest free one is taken, so
the same chart always looks the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: directions in which a label may stand off its point, the best first (degrees)
_DIRECTIONS: Final = (0, 180, 90, 270, 30, 150, -30, -150, 60, 120, -60, -120, 15, 165, -15, -165)
#: how far off, in multiples of the height of a line of text
_DISTANCES: Final = np.array([0.0, 0.4, 0.9, 1.5, 2.2, 3.0, 4.0, 5.0, 6.2, 7.5, 9.0, 11.0, 14.0])
#: costs: of a line of text further away, of a worse direction, of covering a line's
#: point, of a leader through a box, through a line
_FAR: Final = 4.0
_DIRECTION: Final = 0.25
_COVER: Final = 1.5
_LEADER_BOX: Final = 100.0
_LEADER_LINE: Final = 0.5
_LEADER_STEPS: Final = 24
#: pixels: a cell of the table of line points
_CELL: Final = 3.0
#: pixels: the size of a point of a leader
_DOT: Final = (1.0, 1.0)
#: lines of text between a label and its marker above which a leader joins them
_TOUCHING: Final = 0.5


def box(center: Array, size: tuple[float, float]) -> Array:
    """Boxes (x0, y0, x1, y1) of one size about centres [..., 2]."""
    half = np.array(size) / 2
    return np.concatenate([center - half, center + half], axis=-1)


def turned(center: Array, size: tuple[float, float], angle: float) -> Array:
    """Upright boxes [n, 4] that together cover a box turned by `angle` (radians)."""
    width, height = size
    many = max(1, int(np.ceil(width / height * 2)))
    along = (np.arange(many) + 0.5) / many * width - width / 2
    centers = center + along[:, None] * np.array([np.cos(angle), np.sin(angle)])
    part = width / many
    cos, sin = abs(np.cos(angle)), abs(np.sin(angle))
    return box(centers, (part * cos + height * sin, part * sin + height * cos))


def overlap(some: Array, others: Array) -> npt.NDArray[np.bool_]:
    """Which of `some` boxes [n, 4] meet any of `others` [m, 4]."""
    if not len(others):
        return np.zeros(len(some), dtype=np.bool_)
    low = np.maximum(some[:, None, :2], others[None, :, :2])
    high = np.minimum(some[:, None, 2:], others[None, :, 2:])
    meets: npt.NDArray[np.bool_] = np.any(np.all(low < high, axis=-1), axis=1)
    return meets


@dataclass(frozen=True, slots=True)
class Density:
    """How many points lie in any box, from a table of sums over square cells."""

    origin: Array
    sums: Array

    @classmethod
    def of(cls, points: Array) -> Density:
        """The table of `points` [p, 2], in cells of `_CELL` pixels."""
        origin = points.min(axis=0) if len(points) else np.zeros(2)
        cells = np.floor((points - origin) / _CELL).astype(np.intp)
        shape = cells.max(axis=0) + 2 if len(points) else np.array([1, 1])
        sums = np.zeros(tuple(shape))
        np.add.at(sums, (cells[:, 0] + 1, cells[:, 1] + 1), 1.0)
        return cls(origin, sums.cumsum(axis=0).cumsum(axis=1))

    def covered(self, boxes: Array) -> Array:
        """Points in each of `boxes` [n, 4], to the nearest cell."""
        corners = np.round((np.reshape(boxes, (-1, 2, 2)) - self.origin) / _CELL).astype(np.intp)
        corners = np.clip(corners, 0, np.array(self.sums.shape) - 1)
        (x0, y0), (x1, y1) = corners[:, 0].T, corners[:, 1].T
        sums = self.sums
        return np.asarray(sums[x1, y1] - sums[x0, y1] - sums[x1, y0] + sums[x0, y0])


@dataclass(frozen=True, slots=True)
class Place:
    """Where a label went, whether it needs a line to its point, and what that cost."""

    center: Array
    leader: bool
    cost: float


@dataclass(slots=True)
class Board:
    """The free and the taken places of one chart, in display pixels.

    `taken` boxes stay free, `lines` are covered only where nothing else is free;
    `bounds` (x0, y0, x1, y1) is where labels may be, `line` the height of a line of
    text, `gap` what stays free beside and above a label.
    """

    bounds: tuple[float, float, float, float]
    line: float
    gap: tuple[float, float]
    taken: Array = field(default_factory=lambda: np.zeros((0, 4)))
    lines: Density = field(default_factory=lambda: Density.of(np.zeros((0, 2))))

    def block(self, boxes: Array) -> None:
        """Keep `boxes` [n, 4] free of labels."""
        self.taken = np.concatenate([self.taken, np.reshape(boxes, (-1, 4))])

    def near(
        self,
        size: tuple[float, float],
        point: Array,
        radius: float,
        directions: tuple[float, ...] = (),
        worst: float = np.inf,
    ) -> Place | None:
        """Place a label of `size` beside a marker of `radius` at `point`; None if nowhere.

        `directions` (degrees) replace the usual ones, the best first; a place that
        costs more than `worst` is none.
        """
        angles = np.radians(directions or _DIRECTIONS)
        reach = radius + np.array(self.gap) + _DISTANCES[:, None, None] * self.line
        ways = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        offset = ways * (reach + np.array(size) / 2)
        centers = np.reshape(point + offset, (-1, 2))
        base = np.ravel(_FAR * _DISTANCES[:, None] + _DIRECTION * np.arange(len(angles)))
        leader = np.repeat(_DISTANCES > _TOUCHING, len(angles))
        boxes = box(centers, size)
        cost = self._cost(boxes[:, None], base)
        index, least = self._with_leader(boxes, cost, leader, point, radius, worst)
        if index is None:
            return None
        self.block(box(centers[index], size))
        if leader[index]:
            path = _between(point, _nearest(boxes[index], point))
            self.block(box(path, _DOT))
        return Place(centers[index], bool(leader[index]), least)

    def among(self, size: tuple[float, float], centers: Array, angle: float = 0.0) -> Place | None:
        """Place a label, turned by `angle`, at one of `centers`, the first being the best."""
        boxes = np.stack([turned(center, size, angle) for center in centers])
        cost = self._cost(boxes, np.arange(len(centers)) * 0.2)
        index = int(np.argmin(cost))
        if not np.isfinite(cost[index]):
            return None
        self.block(boxes[index])
        return Place(centers[index], False, float(cost[index]))

    def _margin(self) -> Array:
        """What a box grows by on each side to keep its distance."""
        return np.concatenate([-np.array(self.gap), np.array(self.gap)])

    def _cost(self, boxes: Array, base: npt.NDArray[np.floating[Any]]) -> Array:
        """The cost of each candidate [n, parts, 4]; infinite where it is not free."""
        many, parts = boxes.shape[:2]
        flat = np.reshape(boxes, (-1, 4))
        roomy = flat + self._margin()
        x0, y0, x1, y1 = self.bounds
        outside = np.any((flat[:, :2] < (x0, y0)) | (flat[:, 2:] > (x1, y1)), axis=-1)
        bad = np.any(np.reshape(outside | overlap(roomy, self.taken), (many, parts)), axis=1)
        lines = np.sum(np.reshape(self.lines.covered(roomy), (many, parts)), axis=1)
        return np.asarray(np.where(bad, np.inf, base + _COVER * lines), dtype=np.float64)

    def _with_leader(
        self,
        boxes: Array,
        cost: Array,
        leader: npt.NDArray[np.bool_],
        point: Array,
        radius: float,
        worst: float,
    ) -> tuple[int | None, float]:
        """The candidate that is cheapest, leaders counted, and its cost."""
        best, least = None, worst
        for index in np.argsort(cost, kind="stable"):
            if cost[index] >= least:
                break
            whole = cost[index]
            if leader[index]:
                whole += self._leader_cost(boxes[index], point, radius)
            if whole < least:
                best, least = int(index), float(whole)
        return best, least

    def _leader_cost(self, label: Array, point: Array, radius: float) -> float:
        """What a line from a marker to its label runs through."""
        path = _between(point, _nearest(label, point))
        free = path[np.linalg.norm(path - point, axis=-1) > radius + max(self.gap)]
        if not len(free):
            return 0.0
        dots = box(free, _DOT)
        boxes = np.count_nonzero(overlap(dots, self.taken))
        near = dots + self._margin()
        lines = np.count_nonzero(self.lines.covered(near))
        return _LEADER_BOX * boxes + _LEADER_LINE * lines


def _nearest(boxes: Array, point: Array) -> Array:
    """The point of each box that is nearest to `point`."""
    return np.clip(point, boxes[..., :2], boxes[..., 2:])


def _between(start: Array, ends: Array) -> Array:
    steps = np.linspace(0.0, 1.0, _LEADER_STEPS)[:, None]
    return np.reshape(start + steps * (np.expand_dims(ends, -2) - start), (-1, 2))
