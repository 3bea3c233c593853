"""The labels of one chart: wishes are gathered while it is drawn, then placed and written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from llmroof.render.plots import style
from llmroof.render.plots.labels import Array, Board, Density, Place, box

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: points (1/72 inch) kept free beside and above labels, and inside the frame
_GAP: Final = (5.0, 2.0)
_INSET: Final = 3.0
#: points between two samples of a line that labels should not cover
_SAMPLE: Final = 2.5
#: points of white around letters
_HALO: Final = 2.4
#: orders in which labels may choose their places; the one with the best result is kept
ORDERS: Final = (
    ("side", "ridge", "roof", "phase", "end", "step", "operator", "background"),
    ("side", "ridge", "phase", "operator", "roof", "end", "step", "background"),
    ("side", "ridge", "roof", "operator", "phase", "end", "step", "background"),
    ("side", "operator", "ridge", "phase", "end", "roof", "step", "background"),
)
#: cost of a label left out, by what it names: steps of a path hardly matter
_LEFT_OUT: Final = {"step": 20.0, "background": 150.0}
_MISSED: Final = 300.0
#: cost above which a label that only helps is left out: its leader would cross others
NEARBY: Final = 95.0


@dataclass(frozen=True, slots=True)
class _Wish:
    """A label to place: beside a marker, or at the best of some centres."""

    text: str
    color: str
    size: float
    kind: str
    weight: str
    point: Array
    radius: float = 0.0
    centers: Array | None = None
    angle: float = 0.0
    directions: tuple[float, ...] = ()
    worst: float = np.inf
    share: float = 0.0


class Callouts:
    """Gathers obstacles and labels of an axes whose limits are final; `place` ends it."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes
        self.figure: Any = axes.figure
        self.pixel = self.figure.dpi / 72.0
        frame = axes.get_window_extent()
        inset = _INSET * self.pixel
        self.board = Board(
            (frame.x0 + inset, frame.y0 + inset, frame.x1 - inset, frame.y1 - inset),
            line=style.SMALL_SIZE * self.pixel,
            gap=(_GAP[0] * self.pixel, _GAP[1] * self.pixel),
        )
        self._wishes: list[_Wish] = []
        self._lines: list[Array] = [np.zeros((0, 2))]

    def at(self, x: Any, y: Any) -> Array:
        """Data coordinates as display pixels [..., 2]."""
        points = np.stack(np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float)), -1)
        return np.asarray(self.axes.transData.transform(points), dtype=np.float64)

    def radius(self, area: Any) -> Any:
        """Half the side of the square around a marker of `area` (pt²), in pixels.

        A marker of scatter size s is sqrt(s) points wide; its edge adds half a point.
        """
        return (np.sqrt(area) / 2 + 0.5) * self.pixel

    def marker(self, x: float, y: float, area: float) -> None:
        """Keep the place of a marker free."""
        side = 2 * self.radius(area)
        self.board.block(box(self.at(x, y)[None], (side, side)))

    def line(self, x: Any, y: Any) -> None:
        """Let labels stay off a polyline where they can."""
        corners = self.at(x, y)
        for start, end in pairwise(corners):
            many = max(2, int(np.hypot(*(end - start)) / (_SAMPLE * self.pixel)))
            steps = np.linspace(0.0, 1.0, many)[:, None]
            self._lines.append(start + steps * (end - start))

    def beside(
        self,
        text: str,
        x: float,
        y: float,
        *,
        area: float,
        color: str,
        kind: str,
        size: float = style.SMALL_SIZE,
        weight: str = "normal",
        directions: tuple[float, ...] = (),
        worst: float = np.inf,
        share: float = 0.0,
    ) -> None:
        """A label near a marker; of one kind, a larger `share` is placed earlier.

        `directions` (degrees) are tried instead of the usual ones, the best first.
        A label whose best place costs more than `worst` is left out.
        """
        point, radius = self.at(x, y), float(self.radius(area))
        self._wishes.append(
            _Wish(
                text,
                color,
                size,
                kind,
                weight,
                point,
                radius,
                directions=directions,
                worst=worst,
                share=share,
            )
        )

    def along(
        self,
        text: str,
        x: Array,
        y: Array,
        *,
        color: str,
        kind: str,
        size: float = style.SMALL_SIZE,
        weight: str = "normal",
        sides: Sequence[float] = (1.0,),
        turn: bool = False,
        inward: float = 0.0,
        left: float | None = None,
    ) -> None:
        """A label on a line, at the first free of its points (x, y), the best first.

        `sides` +1 is above and −1 below the line (0 on it); with `turn` it follows the
        line's slope. `inward` is where its middle lies in widths right of the point,
        `left` the x that it does not pass.
        """
        points = self.at(x, y)
        angle = 0.0
        if turn:
            run = points[-1] - points[0]
            angle = float(np.arctan(run[1] / run[0]))
        width, height = self._measure(text, size, weight)
        across = np.array([-np.sin(angle), np.cos(angle)]) * (height / 2 + 1.6 * self.pixel)
        shift = np.array([inward * width, 0.0])
        centers = np.concatenate([points + side * across + shift for side in sides])
        if left is not None:
            start = centers[:, 0] - width / 2
            centers = centers[start >= self.at(left, y[0])[0]]
        wish = _Wish(text, color, size, kind, weight, points[0], centers=centers, angle=angle)
        self._wishes.append(wish)

    def place(self) -> list[str]:
        """Place all labels, write them, and return those for which there was no room."""
        self.board.lines = Density.of(np.concatenate(self._lines))
        sizes = [self._measure(wish.text, wish.size, wish.weight) for wish in self._wishes]
        tries = [self._placed(order, sizes) for order in ORDERS]
        _, places = min(tries, key=lambda result: result[0])
        for wish, size, place in zip(self._wishes, sizes, places, strict=True):
            if place is not None:
                self._write(wish, place, size)
        found = zip(self._wishes, places, strict=True)
        return [wish.text for wish, place in found if place is None]

    def _placed(
        self, order: Sequence[str], sizes: Sequence[tuple[float, float]]
    ) -> tuple[float, list[Place | None]]:
        """The places of all wishes when they choose in this order, and what they cost."""
        board = replace(self.board)
        places: list[Place | None] = [None] * len(self._wishes)
        cost = 0.0
        ranks = [(order.index(wish.kind), -wish.share) for wish in self._wishes]
        for index in sorted(range(len(ranks)), key=ranks.__getitem__):
            wish = self._wishes[index]
            place = _choose(board, wish, sizes[index])
            cost += _LEFT_OUT.get(wish.kind, _MISSED) if place is None else place.cost
            places[index] = place
        return cost, places

    def _measure(self, text: str, size: float, weight: str) -> tuple[float, float]:
        probe = self.axes.text(0.5, 0.5, text, size=size, weight=weight)
        extent = probe.get_window_extent(self.figure.canvas.get_renderer())
        probe.remove()
        return float(extent.width), float(extent.height)

    def _write(self, wish: _Wish, place: Place, size: tuple[float, float]) -> None:
        from matplotlib.patheffects import withStroke

        data = self.axes.transData.inverted().transform(wish.point)
        if place.leader:
            self._lead(wish, place, size)
        text = self.axes.annotate(
            wish.text,
            xy=(float(data[0]), float(data[1])),
            xytext=tuple((place.center - wish.point) / self.pixel),
            textcoords="offset points",
            ha="center",
            va="center",
            multialignment="left",
            size=wish.size,
            weight=wish.weight,
            color=wish.color,
            rotation=np.degrees(wish.angle),
            annotation_clip=False,
            zorder=8,
        )
        text.set_path_effects([withStroke(linewidth=_HALO, foreground="white", alpha=0.85)])

    def _lead(self, wish: _Wish, place: Place, size: tuple[float, float]) -> None:
        """A thin line from the marker's edge to the nearest point of its label."""
        edges = box(place.center, size)
        end = np.clip(wish.point, edges[:2], edges[2:])
        away = end - wish.point
        length = float(np.hypot(*away))
        start = wish.point + away / length * min(wish.radius, length)
        ends = self.axes.transData.inverted().transform(np.stack([start, end]))
        self.axes.plot(*ends.T, color=style.MUTED, linewidth=0.7, zorder=4)


def _choose(board: Board, wish: _Wish, size: tuple[float, float]) -> Place | None:
    if wish.centers is None:
        return board.near(size, wish.point, wish.radius, wish.directions, wish.worst)
    return board.among(size, wish.centers, wish.angle) if len(wish.centers) else None
