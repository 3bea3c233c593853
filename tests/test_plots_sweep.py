"""Charts of sweeps: what a cell, a line and a point stand for, on rows made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmroof.errors import InputError, UnknownName
from llmroof.render.plots import frontier, heat, lines, style

ROW: dict[str, Any] = {
    "model": "small",
    "hardware": "h100-sxm",
    "num_gpus": 1,
    "tp": 1,
    "pp": 1,
    "dp": 1,
    "ep": 1,
    "weights": "bf16",
    "activations": "bf16",
    "kv_cache_dtype": "bf16",
    "engine": "vllm",
    "attention": "flash",
    "input_len": 128,
    "output_len": 32,
    "batch": 1,
    "concurrency": None,
    "fits": True,
    "limit": False,
    "tpot_s": 0.01,
    "e2e_latency_s": 1.0,
    "requests_per_s": 2.0,
    "output_tokens_per_s_per_gpu": 100.0,
    "usd_per_million_total_tokens": 1.0,
    "kv_cache_bytes": 1e9,
    "decode_arithmetic_intensity": 10.0,
    "decode_ridge_point": 100.0,
}


def grid(**columns: list[Any]) -> list[dict[str, Any]]:
    """Rows that differ in these columns, value by value."""
    names = list(columns)
    return [
        ROW | dict(zip(names, values, strict=True))
        for values in zip(*columns.values(), strict=True)
    ]


def texts(figure: Any) -> list[str]:
    """Every text inside the axes and above them."""
    inside = [text.get_text() for axes in figure.axes for text in axes.texts]
    return inside + [text.get_text() for text in figure.texts]


def heated(rows: list[dict[str, Any]], value: str, x: str = "batch", y: str = "tp") -> Any:
    with style.look():
        return heat.compose(rows, x, y, value)


SQUARE = {"batch": [1, 2, 1, 2], "tp": [1, 1, 2, 2]}


def test_a_cell_shows_its_best_row_that_fits() -> None:
    found = heated(
        grid(
            batch=[1, 2, 1, 2, 2, 2],
            tp=[1, 1, 2, 2, 2, 2],
            tpot_s=[0.010, 0.020, 0.030, 0.045, 0.040, 0.001],
            fits=[True, True, True, True, True, False],
        ),
        "tpot_s",
    )
    said = texts(found)
    assert {"10.0 ms", "20.0 ms", "30.0 ms", "40.0 ms"} <= set(said)
    assert not {"45.0 ms", "1.00 ms"} & set(said)
    assert "small: the best TPOT is 10.0 ms, at batch 1 and tp 1" in said


def test_more_is_better_where_it_is() -> None:
    found = heated(grid(**SQUARE, output_tokens_per_s_per_gpu=[100.0, 200.0, 50.0, 25.0]),
                   "output_tokens_per_s_per_gpu")  # fmt: skip
    title = next(text for text in texts(found) if "the best" in text)
    assert title.endswith("output tokens/s per GPU is 200, at batch 2 and tp 1")


def test_names_stand_in_their_order_numbers_by_size() -> None:
    rows = grid(batch=[8, 1, 8, 1], hardware=["l4", "l4", "a100", "a100"])
    (axes,) = heated(rows, "tpot_s", y="hardware").axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "8"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["l4", "a100"]


def test_a_cell_where_nothing_fits_says_so() -> None:
    rows = grid(**SQUARE, fits=[True, True, True, False], kv_cache_bytes=[1e9, 2e9, 3e9, 4e9])
    said = texts(heated(rows, "kv_cache_bytes"))
    assert said.count("no room") == 1
    assert "3.00 GB" in said


def test_many_cells_have_a_scale_in_place_of_numbers() -> None:
    count = heat._NAMED_CELLS + 1
    batches = list(range(1, count + 1)) * 2
    rows = grid(batch=batches, tp=[1] * count + [2] * count, tpot_s=[b / 1000 for b in batches])
    found = heated(rows, "tpot_s")
    cells, scale = found.axes
    assert not cells.texts
    ticks = [label.get_text() for label in scale.get_yticklabels()]
    assert all(text.endswith((" ms", "")) for text in ticks)
    assert any(text.endswith(" ms") for text in ticks)


@pytest.mark.parametrize(
    ("rows", "value", "message"),
    [
        (grid(**SQUARE), "engine", "'engine' holds no numbers: nothing to colour"),
        (grid(**SQUARE, fits=[False] * 4), "tpot_s", "no row that fits has tpot_s"),
        (grid(**SQUARE, tpot_s=[None] * 4), "tpot_s", "no row that fits has tpot_s"),
        (grid(batch=[1, 2], tp=[1, 1]), "tpot_s", "'tp' has 1 value: a heat map needs two or more"),
        (
            grid(batch=list(range(500)), tp=[1, 2] * 250),
            "tpot_s",
            f"'batch' has 500 values: a heat map shows {heat.MOST_CELLS}",
        ),
    ],
)
def test_what_no_heat_map_can_show(rows: list[dict[str, Any]], value: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        heated(rows, value)
    assert str(error.value) == message


def test_a_column_that_is_none_is_named() -> None:
    with pytest.raises(UnknownName, match="unknown column 'tpot_ss'; did you mean 'tpot_s'"):
        heated(grid(**SQUARE), "tpot_ss")


# --- lines over batches --------------------------------------------------------------


def lined(rows: list[dict[str, Any]]) -> Any:
    with style.look():
        return lines.compose(rows)


def test_the_ridge_lies_where_intensity_passes_it() -> None:
    """5 and 20 FLOP/B about a ridge of 10, batches 4 and 16: half way in logarithms, at 8."""
    rows = grid(
        batch=[1, 4, 16],
        decode_arithmetic_intensity=[1.0, 5.0, 20.0],
        decode_ridge_point=[10.0] * 3,
        tpot_s=[0.01, 0.01, 0.02],
        output_tokens_per_s_per_gpu=[100.0, 400.0, 800.0],
    )
    found = lined(rows)
    assert "ridge at 8" in texts(found)
    labels = [text.get_text() for legend in found.legends for text in legend.get_texts()]
    assert "decode reaches the ridge" in labels
    assert not any("no batch that fits reaches the ridge" in text for text in texts(found))


def test_a_ridge_out_of_reach_is_told() -> None:
    found = lined(grid(batch=[1, 4], tpot_s=[0.01, 0.01]))
    assert any("no batch that fits reaches the ridge" in text for text in texts(found))


def test_lines_are_named_by_what_differs() -> None:
    rows = grid(
        batch=[1, 4, 1, 4],
        model=["small", "small", "large", "large"],
        weights=["bf16", "bf16", "fp8", "fp8"],
        activations=["bf16", "bf16", "fp8", "fp8"],
        input_len=[128, 128, 2048, 2048],
    )
    found = lined(rows)
    names = [text.get_text() for text in found.legends[-1].get_texts()]
    both = ["small, h100-sxm, bf16, 128 in", "large, h100-sxm, fp8, 2,048 in"]
    assert [name for name in names if "h100" in name] == both


@pytest.mark.parametrize(
    "rows",
    [
        grid(batch=[1, 4], fits=[True, False]),
        grid(batch=[1, 4], tpot_s=[None, None]),
    ],
)
def test_one_point_is_no_line(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(InputError) as error:
        lined(rows)
    assert str(error.value) == "this chart needs several values of batch that fit"


# --- frontiers -----------------------------------------------------------------------


def test_a_frontier_needs_rows_that_fit(tmp_path: Path) -> None:
    path = tmp_path / "none.png"
    with pytest.raises(InputError, match="a chart needs rows that fit and have"):
        frontier.draw(grid(batch=[1, 2], fits=[False, False]), path)
    assert not path.exists()


def test_points_of_a_stream_are_named_by_their_rate() -> None:
    rows = grid(
        batch=[None, None],
        requests_per_s=[2.0, 12.5],
        tpot_s=[0.01, 0.02],
        output_tokens_per_s_per_gpu=[100.0, 200.0],
        limit=[True, True],
    )
    with style.look():
        said = texts(frontier.compose(rows, frontier._FRONTIER))
    assert any("12.5 requests/s" in text for text in said)
    assert any("at the physical limit" in text for text in said)
