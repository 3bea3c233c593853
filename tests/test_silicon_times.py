"""What the formulas of single kernels see of a device and of an operator."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from builders import device

from llmroof import load_hardware
from llmroof.calibration.graphs import load_graph_kernels
from llmroof.engine.kernels import REFERENCE_CLOCK
from llmroof.engine.silicon_times import Family, family, silicon
from llmroof.operators import Operator


def test_a_profile_that_states_everything_is_taken_as_it_is() -> None:
    h100 = load_hardware("h100-sxm")
    seen = silicon(h100, "fp8", 0.5, math.inf)
    assert (seen.peak, seen.bandwidth) == (h100.peak("fp8") / 2, h100.memory.bandwidth)
    assert (seen.processors, seen.cache) == (132, h100.caches["l2"])
    assert (seen.clock, seen.power) == (h100.processors["clock"], h100.tdp)


def test_what_a_profile_leaves_open_is_neutral() -> None:
    """An H100's processor has 7.5 TFLOP/s in bf16: 300 of them make forty."""
    seen = silicon(device(peak=300e12), "bf16", 1.0, math.inf)
    assert seen.processors == 40
    assert (seen.cache, seen.clock, seen.power) == (1.0, REFERENCE_CLOCK, math.inf)
    assert silicon(device(peak=1e9), "bf16", 1.0, math.inf).processors == 1


def test_a_processor_takes_in_no_more_than_its_lane() -> None:
    h100 = load_hardware("h100-sxm")
    assert silicon(h100, "bf16", 1.0, 1e9).bandwidth == 132e9
    assert silicon(h100, "bf16", 1.0, 1e12).bandwidth == h100.memory.bandwidth


@pytest.mark.parametrize("missing", ["count", "clock"])
def test_a_count_or_a_clock_alone_is_used(missing: str) -> None:
    known = {"count": 20.0, "clock": 1e9}
    seen = silicon(
        replace(device(peak=75e12), processors={k: v for k, v in known.items() if k != missing}),
        "bf16",
        1.0,
        math.inf,
    )
    assert seen.processors == (10 if missing == "count" else 20)
    assert seen.clock == (REFERENCE_CLOCK if missing == "clock" else 1e9)


def test_which_operators_have_a_formula() -> None:
    """Products and experts that multiply, in formats and on chips that were measured."""
    graph, h100 = load_graph_kernels(), load_hardware("h100-sxm")
    start, quantize = graph.launch["gemm"], graph.launch["quantize"]
    product = Operator("up_proj", "gemm", "bf16", flop=1.0, weight_bytes=1.0)
    assert family(product, graph, h100) == Family("gemm bfloat16", start)
    for compute, name in (("fp16", "gemm bfloat16"), ("fp8", "gemm fp8"), ("fp4", "gemm nvfp4")):
        found = family(replace(product, compute=compute), graph, h100)
        assert found == Family(name, start + (0.0 if compute == "fp16" else quantize))
    assert family(replace(product, kind="moe"), graph, h100) == Family("MoE", graph.launch["moe"])
    for without in ({"flop": 0.0}, {"compute": "int8"}, {"kind": "attention"}):
        assert family(replace(product, **without), graph, h100) is None  # type: ignore[arg-type]
    assert family(product, graph, load_hardware("mi300x")) is None
