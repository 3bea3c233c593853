"""Placing of labels on a board, with boxes small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmroof.render.plots import families, style
from llmroof.render.plots.labels import Board, Density, box, overlap, turned
from llmroof.specs.catalog import HARDWARE


def fresh() -> Board:
    return Board((0.0, 0.0, 200.0, 100.0), line=10.0, gap=(2.0, 1.0))


def test_a_box_about_its_centre() -> None:
    assert box(np.array([10.0, 5.0]), (4.0, 2.0)).tolist() == [8.0, 4.0, 12.0, 6.0]


def test_touching_is_no_overlap() -> None:
    boxes = np.array([[0.0, 0.0, 1.0, 1.0], [0.5, 0.5, 2.0, 2.0]])
    assert overlap(boxes, np.array([[1.0, 0.0, 2.0, 0.9]])).tolist() == [False, True]


def test_a_label_takes_the_best_direction_at_the_gap() -> None:
    place = fresh().near((20.0, 8.0), np.array([50.0, 50.0]), 5.0)
    assert place is not None
    # right of the marker: radius 5 + gap 2 + half of 20
    assert place.center.tolist() == [67.0, 50.0]
    assert not place.leader


def test_a_taken_side_is_left_alone() -> None:
    crowded = fresh()
    crowded.block(np.array([[55.0, 40.0, 200.0, 60.0]]))
    place = crowded.near((20.0, 8.0), np.array([50.0, 50.0]), 5.0)
    assert place is not None
    assert place.center.tolist() == [33.0, 50.0]


def test_no_room_is_none() -> None:
    full = fresh()
    full.block(np.array([[0.0, 0.0, 200.0, 100.0]]))
    assert full.near((20.0, 8.0), np.array([50.0, 50.0]), 5.0) is None
    assert full.among((20.0, 8.0), np.array([[50.0, 50.0]])) is None
    assert fresh().near((300.0, 8.0), np.array([50.0, 50.0]), 5.0) is None


def test_a_line_is_avoided_where_another_place_is_as_near() -> None:
    lined = fresh()
    points = np.stack([np.linspace(0, 200, 100), np.full(100, 50.0)], axis=-1)
    lined.lines = Density.of(points)
    place = lined.near((20.0, 8.0), np.array([50.0, 50.0]), 5.0)
    assert place is not None
    assert abs(place.center[1] - 50.0) > 4.0


def test_a_worst_cost_leaves_the_label_out() -> None:
    crowded = fresh()
    crowded.block(np.array([[0.0, 30.0, 200.0, 70.0]]))
    point = np.array([50.0, 50.0])
    assert crowded.near((20.0, 8.0), point, 5.0) is not None  # far off, with a leader
    assert crowded.near((20.0, 8.0), point, 5.0, worst=5.0) is None


def test_density_counts_points_in_cells() -> None:
    points = np.array([[0.0, 0.0], [30.0, 30.0], [30.0, 30.0], [90.0, 0.0]])
    counts = Density.of(points).covered(
        np.array([[-9.0, -9.0, 99.0, 99.0], [15.0, 15.0, 45.0, 45.0], [60.0, 60.0, 80.0, 80.0]])
    )
    assert counts.tolist() == [4.0, 2.0, 0.0]


@given(
    angle=st.floats(-1.4, 1.4),
    width=st.floats(5.0, 300.0),
    height=st.floats(4.0, 20.0),
    along=st.floats(-0.5, 0.5),
    across=st.floats(-0.5, 0.5),
)
def test_upright_boxes_cover_the_turned_one(
    angle: float, width: float, height: float, along: float, across: float
) -> None:
    boxes = turned(np.zeros(2), (width, height), angle)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    x, y = np.array([along * width, across * height]) @ turn
    low, high = boxes[:, :2] - 1e-9, boxes[:, 2:] + 1e-9
    assert np.any(np.all((low <= (x, y)) & ((x, y) <= high), axis=1))


@given(
    points=st.lists(
        st.tuples(st.floats(5, 195), st.floats(5, 95)), min_size=1, max_size=12, unique=True
    )
)
def test_placed_labels_never_meet(points: list[tuple[float, float]]) -> None:
    crowded = fresh()
    centers = np.array(points)
    markers = box(centers, (6.0, 6.0))
    crowded.block(markers)
    placed = []
    for center in centers:
        place = crowded.near((24.0, 9.0), center, 3.0)
        if place is not None:
            placed.append(box(place.center, (24.0, 9.0)))
    assert not any(overlap(label[None], markers)[0] for label in placed)
    for index, label in enumerate(placed):
        assert not overlap(label[None], np.reshape(placed[:index], (-1, 4)))[0]
        assert np.all(label[:2] >= 0)
        assert np.all(label[2:] <= (200.0, 100.0))


def test_a_gpu_keeps_its_colour_and_neighbours_differ() -> None:
    alone = style.colors(["h100-sxm"])
    pair = style.colors(["a100-sxm-80gb", "h100-sxm", "h100-pcie"])
    assert pair["h100-sxm"] == alone["h100-sxm"] == style.PALETTE["vermillion"]
    assert len(set(pair.values())) == 3
    every = [gpu for gpus in families.FAMILIES.values() for gpu in gpus]
    assert set(every) == set(HARDWARE.files())
    looks = {gpu: (color, style.mark(gpu)) for gpu, color in style.colors(every).items()}
    assert all(looks[gpu] == (style.colors([gpu])[gpu], style.mark(gpu)) for gpu in every)
    assert len(set(looks.values())) == len(every)
    many = style.colors([f"gpu-{index}" for index in range(len(style.PALETTE))])
    assert len(set(many.values())) == len(style.PALETTE)


def test_shades_differ_in_lightness() -> None:
    from matplotlib.colors import to_rgb

    greys = [np.dot(to_rgb(shade), (0.299, 0.587, 0.114)) for shade in style.shades("#D55E00", 4)]
    assert greys == sorted(greys, reverse=True)
    assert np.min(-np.diff(greys)) > 0.05
    assert style.shades("#D55E00", 1) == [pytest.approx("#d55e00")]
