"""The roofline chart: its figures, its words, its file, and that it can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llmroof
from llmroof.engine.estimate import Estimate
from llmroof.errors import InputError
from llmroof.render.plots import style
from llmroof.render.plots.roofline import compose, draw
from llmroof.render.plots.series import MOST_SERIES, chart
from llmroof.render.plots.words import devices, labels, title
from llmroof.specs import catalog
from llmroof.specs.hardware import load_hardware

CASES: dict[str, list[dict[str, Any]]] = {
    "one": [{"gpu": "a100", "batch": 32}],
    "fp8": [{"gpu": "h100", "batch": 64, "precision": "fp8"}],
    "limit": [{"gpu": "h100", "batch": 32, "limit": True}],
    "small model": [{"gpu": "t4", "batch": 4, "model": "gpt2", "input_len": 256}],
    "unfused": [{"gpu": "a100", "batch": 32, "attention": "naive", "fusion": "none"}],
    "no KV cache": [{"gpu": "a100", "batch": 2, "kv_cache": False}],
    "several devices": [{"gpu": "h100", "batch": 32, "model": "llama-3.1-70b", "tp": 4}],
    "does not fit": [{"gpu": "l4", "batch": 64, "num_gpus": 1}],
    "pipeline": [{"gpu": "h100", "batch": 32, "tp": 2, "pp": 2}],
    "three GPUs": [{"gpu": gpu, "batch": 32} for gpu in ("a100", "h100", "mi300x")],
    "precisions": [{"gpu": "h100", "batch": 32, "precision": p} for p in ("bf16", "fp8", "w4a16")],
    "batches": [{"gpu": "h100", "batch": batch} for batch in (1, 8, 64)],
    "GPUs and precisions": [
        {"gpu": gpu, "batch": 256, "precision": precision}
        for gpu in ("h100", "mi300x")
        for precision in ("bf16", "fp8")
    ],
    "many GPUs": [
        {"gpu": gpu, "batch": 16} for gpu in ("l4", "a100", "h100", "h200", "b200", "mi300x")
    ],
}


def asked(*questions: dict[str, Any]) -> list[Estimate]:
    return [llmroof.estimate(**question) for question in questions]


def figure_of(questions: list[dict[str, Any]], batches: list[int] | None = None) -> Any:
    content = chart(asked(*questions), batches)
    with style.look():
        figure = compose(content)
        figure.canvas.draw()
    return figure


def inside_box(text: Any, renderer: Any) -> Any:
    """Points all over the box of a text, turned as the text is, in pixels [n, 2].

    Worked out apart from the placement: matplotlib's own extent of the drawn text.
    """
    from matplotlib.text import Text

    angle = text.get_rotation()
    drawn = Text.get_window_extent(text, renderer)
    text.set_rotation(0.0)
    flat = Text.get_window_extent(text, renderer)
    text.set_rotation(angle)
    u, v = np.meshgrid(np.linspace(-0.5, 0.5, 90), np.linspace(-0.5, 0.5, 13))
    grid = np.stack([u.ravel() * flat.width, v.ravel() * flat.height], axis=-1)
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    center = np.array([(drawn.x0 + drawn.x1) / 2, (drawn.y0 + drawn.y1) / 2])
    return grid @ np.array([[cos, sin], [-sin, cos]]) + center


def marker_boxes(figure: Any) -> list[tuple[float, ...]]:
    """The boxes of all markers of the data, in pixels."""
    from matplotlib.collections import PathCollection

    axes = figure.axes[0]
    boxes = []
    for collection in axes.findobj(PathCollection):
        unit = collection.get_paths()[0].get_extents()
        scale = np.sqrt(collection.get_sizes()[0]) * figure.dpi / 72
        for center in axes.transData.transform(collection.get_offsets()):
            boxes.append((*(center + unit.min * scale), *(center + unit.max * scale)))
    return boxes


def texts(figure: Any) -> list[Any]:
    """Every text that shows: labels, title, legends, names and numbers of the axes."""
    axes = figure.axes[0]
    found = [*axes.texts, *figure.texts, axes.xaxis.label, axes.yaxis.label]
    for legend in figure.legends:
        found += legend.get_texts()
    for axis in (axes.xaxis, axes.yaxis):
        low, high = axis.get_view_interval()
        found += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [text for text in found if text.get_visible() and text.get_text()]


def within(points: Any, box: tuple[float, ...]) -> bool:
    x0, y0, x1, y1 = box
    x, y = points.T
    return bool(np.any((x > x0) & (x < x1) & (y > y0) & (y < y1)))


@pytest.mark.parametrize("name", CASES)
def test_labels_cover_neither_each_other_nor_data_and_stay_in_the_figure(name: str) -> None:
    figure = figure_of(CASES[name])
    renderer = figure.canvas.get_renderer()
    shown = texts(figure)
    clouds = [inside_box(text, renderer) for text in shown]
    whole = figure.bbox
    for text, cloud in zip(shown, clouds, strict=True):
        said = text.get_text()
        assert cloud.min() >= 0, said
        assert cloud[:, 0].max() <= whole.x1, said
        assert cloud[:, 1].max() <= whole.y1, said
    markers = marker_boxes(figure)
    assert len(markers) >= 4 * len(CASES[name])
    upright = [(text, cloud) for text, cloud in zip(shown, clouds, strict=True)]
    for index, (text, cloud) in enumerate(upright):
        for marker in markers:
            assert not within(cloud, marker), f"'{text.get_text()}' covers a marker"
        for other, points in upright[index + 1 :]:
            met = _meet(text, cloud, other, points)
            assert not met, f"'{text.get_text()}' and '{other.get_text()}'"


def _meet(text: Any, cloud: Any, other: Any, points: Any) -> bool:
    """True when two boxes meet; a turned one is the cloud, the upright one the box."""
    if other.get_rotation() % 180 and not text.get_rotation() % 180:
        cloud, points = points, cloud
    return within(cloud, (*points.min(axis=0), *points.max(axis=0)))


def test_the_check_itself_sees_an_overlap() -> None:
    figure = figure_of(CASES["one"])
    label = next(text for text in figure.axes[0].texts if text.get_text().startswith("ridge"))
    figure.axes[0].annotate("on top", label.xy, label.get_position(), textcoords="offset points")
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    added = figure.axes[0].texts[-1]
    clouds = [inside_box(text, renderer) for text in (added, label)]
    assert _meet(added, clouds[0], label, clouds[1])


def test_every_main_label_has_a_place() -> None:
    said = " ".join(text.get_text() for text in texts(figure_of(CASES["one"])))
    for words in ("ridge point 153", "bf16 312 TFLOP/s", "memory 2.04 TB/s", "prefill, batch 32",
                  "decode, batch 32", "memory full at batch", "batch 1", "gate_up_proj",
                  "memory-bound", "compute-bound"):  # fmt: skip
        assert words in said


def test_points_are_work_per_device_and_time() -> None:
    estimate = llmroof.estimate(gpu="h100", model="llama-3.1-70b", tp=4, batch=8)
    series = chart([estimate]).series[0]
    for point, phase in ((series.prefill, estimate.prefill), (series.decode, estimate.decode)):
        assert point.intensity == pytest.approx(float(phase.arithmetic_intensity))
        assert point.rate == pytest.approx(float(phase.flop) / 4 / float(phase.time))
        assert point.limit == pytest.approx(float(phase.flop) / 4 / float(phase.roofline_time))
        assert point.rate <= point.limit <= 989.4e12


def test_operators_stand_under_the_roof_and_their_shares_add_up() -> None:
    content = chart(asked({"gpu": "a100", "batch": 32, "limit": True}))
    for phase in ("prefill", "decode"):
        points = [point for point in content.operators if point.phase == phase]
        assert 0.99 < sum(point.share for point in points) <= 1 + 1e-12
        for point in points:
            roof = min(312e12, point.intensity * 2039e9)
            assert point.rate == pytest.approx(roof)
    expected = chart(asked({"gpu": "a100", "batch": 32}))
    assert all(point.rate < point.limit for point in expected.operators)


def test_path_doubles_to_the_largest_batch_and_agrees_with_single_questions() -> None:
    estimate = llmroof.estimate(gpu="a100", batch=32)
    path = chart([estimate]).series[0].path
    assert path is not None
    assert path.full
    largest = int(estimate.memory.max_batch)
    assert list(path.batch) == [1, 2, 4, 8, 16, 32, 64, 128, 256, largest]
    assert np.all(np.diff(path.intensity) > 0)
    for batch, intensity, rate in zip(path.batch, path.intensity, path.rate, strict=True):
        decode = llmroof.estimate(gpu="a100", batch=int(batch), num_gpus=1).decode
        assert intensity == pytest.approx(float(decode.arithmetic_intensity), rel=1e-12)
        assert rate == pytest.approx(float(decode.flop / decode.time), rel=1e-12)


def test_batches_of_the_path_are_those_given_as_far_as_they_fit() -> None:
    estimate = llmroof.estimate(gpu="a100", batch=32)
    path = chart([estimate], [3, 5, 10]).series[0].path
    assert path is not None
    assert list(path.batch) == [3, 5, 10]
    assert not path.full
    longer = chart([estimate], [3, 100000]).series[0].path
    assert longer is not None
    assert list(longer.batch) == [3, int(estimate.memory.max_batch)]
    assert longer.full
    assert chart([estimate], [7]).series[0].path is None
    for wrong in ([], [0, 4]):
        with pytest.raises(InputError, match="1 or more"):
            chart([estimate], wrong)


def test_one_path_for_series_that_differ_in_batch_only() -> None:
    series = chart(asked(*CASES["batches"])).series
    assert [one.path is not None for one in series] == [True, False, False]
    assert all(one.path is not None for one in chart(asked(*CASES["three GPUs"])).series)


def test_arrays_are_questions_one_by_one() -> None:
    many = chart([llmroof.estimate(gpu="h100", batch=np.array([1, 8, 64]))])
    single = chart(asked(*CASES["batches"]))
    assert [one.label for one in many.series] == ["batch 1", "batch 8", "batch 64"]
    assert [one.decode for one in many.series] == [one.decode for one in single.series]


def test_roofs_in_play_and_behind() -> None:
    content = chart(asked({"gpu": "h100", "batch": 64, "precision": "fp8"}))
    assert {(roof.names, roof.ridge) for roof in content.roofs} == {
        (("bf16",), 989.4e12 / 3.35e12),
        (("fp8",), 1979e12 / 3.35e12),
    }
    assert [(names, peak) for names, peak, _ in content.background] == [
        ("tf32", 494.7e12),
        ("fp32", 67e12),
    ]
    assert not chart(asked(*CASES["three GPUs"])).background


def test_titles_give_the_verdict() -> None:
    def words(*questions: dict[str, Any]) -> str:
        return title(asked(*questions)).replace("\u00a0", " ")

    # 153 / 25.0 = 6.1 (issue's worked case: intensity 24.97 on 312 TFLOP/s and 2.039 TB/s)
    assert words({"gpu": "a100", "batch": 32}) == (
        "Llama 3.1 8B on A100 SXM4 80 GB: decode at batch 32 is memory-bound, "
        "6.1x left of the ridge"
    )
    assert words(*CASES["does not fit"]).startswith("Llama 3.1 8B does not fit on L4")
    recomputing = asked(*CASES["no KV cache"])[0].decode
    beyond = float(recomputing.arithmetic_intensity / recomputing.ridge_point)
    assert beyond > 1
    assert words(*CASES["no KV cache"]).endswith(f"compute-bound, {beyond:.1f}x right of the ridge")
    assert words(*CASES["three GPUs"]) == (
        "Llama 3.1 8B on A100, H100 and MI300X: decode at batch 32 is memory-bound, "
        "6.1 to 12x left of the ridge"
    )
    assert "on all 6 GPUs" in words(*CASES["many GPUs"])
    both = words(*CASES["one"], *CASES["no KV cache"])
    assert "memory-bound (" in both
    assert "; compute-bound (" in both
    assert "on 4 x H100 SXM5" in words(*CASES["several devices"])


def test_labels_say_what_differs_and_nothing_else() -> None:
    assert labels(asked(*CASES["one"])) == [""]
    assert labels(asked(*CASES["precisions"])) == ["bf16", "fp8", "w4a16"]
    assert labels(asked(*CASES["GPUs and precisions"])) == [
        "H100, bf16", "H100, fp8", "MI300X, bf16", "MI300X, fp8",
    ]  # fmt: skip


def test_device_names_are_short_and_differ() -> None:
    every = [load_hardware(name) for name in catalog.HARDWARE.files()]
    named = devices(every)
    assert len(set(named)) == len(every)
    pair = [load_hardware("a100-sxm-80gb"), load_hardware("a100-sxm-40gb")]
    assert devices(pair) == ["A100 SXM4 80 GB", "A100 SXM4 40 GB"]
    assert devices([load_hardware("rtx-4090"), load_hardware("l4")]) == ["RTX 4090", "L4"]


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf", ".SVG"])
def test_the_same_chart_is_the_same_file(tmp_path: Path, ending: str) -> None:
    estimates = asked(*CASES["one"])
    first, second = tmp_path / f"a{ending}", tmp_path / f"b{ending}"
    draw(estimates, first)
    draw(estimates, second)
    assert first.read_bytes() == second.read_bytes()
    magic = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
    assert first.read_bytes().startswith(magic[ending.lower()])
    assert {path.name for path in tmp_path.iterdir()} == {first.name, second.name}


def test_a_user_style_changes_nothing_and_is_left_as_it_was(tmp_path: Path) -> None:
    import matplotlib

    estimates = asked(*CASES["one"])
    draw(estimates, tmp_path / "plain.png")
    with matplotlib.rc_context({"font.size": 30.0, "axes.facecolor": "black"}):
        before = dict(matplotlib.rcParams)
        draw(estimates, tmp_path / "styled.png")
        assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "styled.png").read_bytes()


@pytest.mark.parametrize("name", ["chart.jpg", "chart", "chart.png.txt"])
def test_other_endings_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"written as \.png, \.svg, \.pdf"):
        draw(asked(*CASES["one"]), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_no_folder_nothing_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file or directory"):
        draw(asked(*CASES["one"]), tmp_path / "missing" / "chart.png")
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        draw(asked(*CASES["one"]), tmp_path / "taken.png")
    assert [path.name for path in tmp_path.iterdir()] == ["taken.png"]


def test_too_many_and_none_are_refused() -> None:
    with pytest.raises(InputError, match="cannot be read"):
        chart(asked({"gpu": "h100"}) * (MOST_SERIES + 1))
    with pytest.raises(InputError, match="cannot be read"):
        chart([llmroof.estimate(gpu="h100", batch=np.arange(1, 100))])
    with pytest.raises(InputError, match="at least one"):
        chart([])


def test_batches_asked_for_are_marked_and_named() -> None:
    """Each of the points asked for has a full marker and its batch beside it."""
    question = {"gpu": "h100", "batch": 1}
    figure = figure_of([question], [1, 8, 32, 128])
    words = [text.get_text() for text in figure.findobj(match=lambda one: hasattr(one, "get_text"))]
    for batch in (8, 32, 128):
        assert f"batch {batch}" in words
    assert any(word.startswith("decode, batch 1\n") for word in words)
    paths = [chart(asked(question), batches).series[0].path for batches in ([1, 8, 32, 128], None)]
    assert [path is not None and path.asked for path in paths] == [True, False]
