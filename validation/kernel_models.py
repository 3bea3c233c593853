"""Which formula and which coefficients each family of kernels uses, with unit and meaning."""

from __future__ import annotations

from collections.abc import Callable

import kernel_formulas
import numpy as np
from kernel_fit import Coefficient
from kernel_tables import Family

from llmroof.engine import kernels

C = Coefficient
US, NS = 1e-6, 1e-9

# Shared by several formulas. The exponents are not identified when the fastest- or slowest-clocked
# GPU is left out, so they are stated, not fitted, or held close to the statement.
CLOCK = C("clock_share", 0.6, "1", "share of a latency that scales with 1/clock", prior=0.1)
CACHE = C("cache_rate", 50e9, "B/s", "last-level cache rate per processor at 1.8 GHz", prior=0.3)
ENERGY = [
    C("energy", 0.8e-12, "J", "energy per FLOP of a 10 TFLOP/s processor", 0.2, 0.5),
    C("energy_scaling", 0.5, "1", "fall of energy per FLOP with a processor's rate", prior=0.05),
]


def gemm_coefficients(precision: str) -> list[C]:
    """Coefficients of a matrix product; the chain's shape is held to the 16-bit tables'."""
    quantised = precision != "bfloat16"
    spread, held = (0.4, 0.7 if precision == "nvfp4" else 0.3) if quantised else (None, None)
    table = [
        C(
            "launch",
            5 * US if quantised else 2.3 * US,
            "s",
            "launch in the timing loop",
            0.7 if quantised else None,
        ),
        CLOCK,
        C(
            "compute",
            0.8 if quantised else 0.95,
            "1",
            "share of peak in full waves of big tiles",
            0.3,
            0.3,
        ),
        C("memory", 0.81, "1", "share of memory bandwidth", 0.1 if quantised else None, 0.1),
        C("overlap", 3.0, "1", "p of the norm of compute and memory", prior=0.3),
        C("chain_overlap", 1.3, "1", "p of the norm with the chain along k", prior=held),
        C("step", 2.1 * NS, "s", "chain time per element of k", spread, held),
        C("split", 2500.0, "1", "k beyond which split-k shortens the chain", prior=held),
        C(
            "fill",
            300.0 if quantised else 210.0,
            "1",
            "prologue and epilogue of a tile, as k steps",
            0.6 if quantised else None,
        ),
        C("small_tile", 0.83, "1", "efficiency of each halving of the tile", prior=0.2),
        C("wave", 0.25, "1", "how far waves are quantised", prior=0.5),
        CACHE,
        *ENERGY,
    ]
    if quantised:
        table += [
            C("quantize", 1.0, "1", "passes over the activations to quantise them", 0.5, 1.0),
            C("quantize_row", 0.6 * NS, "s", "quantising cost per row (a block each)", 1.0, 1.0),
        ]
    return table


def gemm_times(data: Family, c: dict[str, np.ndarray]) -> np.ndarray:
    """Matrix product and, for formats below 16 bits, the quantising of its activations."""
    d, silicon = data.columns, data.silicon()
    shape = {key: d[key] for key in ("m", "n", "k", "weight", "activation", "copies")}
    time = kernels.gemm(silicon, c, **shape, batch=d.get("batch", 1.0))
    if "quantize" in c:
        time = time + kernels.quantize(silicon, c, m=d["m"], k=d["k"])
    return time


DECODE = [
    C("launch", 11 * US, "s", "launch in the timing loop", 0.5),
    CLOCK,
    C("memory", 0.85, "1", "share of memory bandwidth", 0.2, 0.2),
    C("lane", 40e9, "B/s", "rate at which one thread block streams the cache", 1.0),
    C("compute", 0.15, "1", "share of peak", 0.7),
    C("overlap", 3.0, "1", "p of the norm", prior=0.5),
    C("piece", 64.0, "1", "fewest tokens per split of the context", prior=1.0),
    C("merge", 0.5 * US, "s", "merging, per doubling of the splits", 0.7),
    C("block", 2 * US, "s", "scheduling one thread block on a processor", 0.7),
    CACHE,
]
PREFILL = [
    C("launch", 12 * US, "s", "launch in the timing loop", 0.5),
    CLOCK,
    C("memory", 0.6, "1", "share of memory bandwidth", 0.5, 0.5),
    C("compute", 0.6, "1", "share of peak", 1.0),
    C("exponential", 0.8, "1", "share of the special-function rate", 1.0, 0.5),
    C("overlap", 2.0, "1", "p of the norm", prior=0.5),
    C("diagonal", 64.0, "1", "masked keys computed per query", 0.7, 0.7),
    C("packing", 0.8, "1", "how far query heads of a kv head share blocks", 0.5, 0.5),
    C("wave", 0.5, "1", "how far waves are quantised", prior=0.7),
    C("step", 8 * NS, "s", "chain time per key of one block", 0.7),
    C("block", 1.0 * US, "s", "scheduling one thread block on a processor", 1.0),
    CACHE,
]
MOE = [
    C("launch", 20 * US, "s", "launches in the timing loop", 0.5),
    CLOCK,
    C("memory", 0.8, "1", "share of memory bandwidth", 0.2, 0.2),
    C("compute", 0.5, "1", "share of peak", 0.5),
    C("overlap", 2.0, "1", "p of the norm", prior=0.3),
    C("padding", 16.0, "1", "rows computed in vain per touched expert", 0.7, 1.0),
    C("permute", 0.5, "1", "passes over rows x hidden", 0.7),
    C("local", 0.5, "1", "passes over this rank's rows", 0.7),
    CACHE,
]
ALL_REDUCE = [
    C("launch", 3 * US, "s", "start of a collective", 0.7),
    C("doubling", 1 * US, "s", "added per doubling of the devices", 0.7),
    C("bandwidth", 0.8, "1", "share of a switched link's rate", 0.2),
    C("host_bandwidth", 0.6, "1", "share of a PCIe link's rate", prior=0.3),
    C("one_shot", 0.9, "1", "rate of the one-shot form over the two-shot form's", 0.5, 0.5),
    C("second", 3 * US, "s", "second synchronisation, per root of the devices", 0.5, 1.0),
    C("shared", 1.7, "1", "fall of the PCIe rate with the devices", prior=0.3),
]
COLLECTIVES = [
    C("launch", 6 * US, "s", "start of a collective", 0.5),
    C("doubling", 2 * US, "s", "added per doubling of the devices", 0.5),
    C("bandwidth", 0.75, "1", "share of a switched link's rate", 0.2),
    C("host_bandwidth", 0.6, "1", "share of a PCIe link's rate", prior=0.3),
    C("shared", 1.7, "1", "fall of the PCIe rate with the devices", prior=0.3),
]
DELTA = [
    C("launch", 4 * US, "s", "launch in the timing loop", 1.0),
    CLOCK,
    C("memory", 0.6, "1", "share of memory bandwidth", 0.4),
    C("compute", 0.1, "1", "share of peak", 0.7),
    C("overlap", 2.0, "1", "p of the norm", prior=0.5),
    C("step", 1 * US, "s", "chain time per chunk of 64 tokens", 0.7),
    C("resident", 4.0, "1", "thread blocks that a processor runs together", prior=0.7),
    CACHE,
]


def _columns(data: Family, *names: str) -> dict[str, np.ndarray]:
    return {name: data.columns[name] for name in names}


def decode_times(data: Family, c: dict[str, np.ndarray]) -> np.ndarray:
    """Decode attention, plain or latent."""
    names = (
        "batch",
        "heads",
        "kv_heads",
        "context",
        "kv_elements",
        "mac_elements",
        "kv_byte",
        "copies",
    )
    return kernel_formulas.decode_attention(data.silicon(), c, **_columns(data, *names))


def prefill_times(data: Family, c: dict[str, np.ndarray]) -> np.ndarray:
    """Prefill attention."""
    names = ("batch", "heads", "kv_heads", "new", "window", "head_size", "kv_byte")
    return kernel_formulas.prefill_attention(data.silicon(), c, **_columns(data, *names))


def moe_times(data: Family, c: dict[str, np.ndarray]) -> np.ndarray:
    """Mixture of experts on the measured rank."""
    names = (
        "rows",
        "local_rows",
        "experts",
        "hidden",
        "inter",
        "matrices",
        "weight",
        "activation",
        "copies",
    )
    return kernels.moe(data.silicon(), c, **_columns(data, *names))


def all_reduce_times(data: Family, c: dict[str, np.ndarray]) -> np.ndarray:
    """All-reduce."""
    return kernel_formulas.all_reduce(c, **_columns(data, "devices", "size", "link", "switched"))


def collective_times(data: Family, c: dict[str, np.ndarray]) -> np.ndarray:
    """All-gather, reduce-scatter, all-to-all."""
    return kernel_formulas.collective(c, **_columns(data, "devices", "size", "link", "switched"))


def delta_times(data: Family, c: dict[str, np.ndarray]) -> np.ndarray:
    """Convolution and recurrence of a gated delta net."""
    return kernel_formulas.delta_net(
        data.silicon(), c, **_columns(data, "flop", "size", "steps", "blocks")
    )


Model = tuple[Callable[[Family, dict[str, np.ndarray]], np.ndarray], list[C], int]
"""Formula, coefficients, rows per table in the fit."""

MODELS: dict[str, Model] = {
    "gemm bfloat16": (gemm_times, gemm_coefficients("bfloat16"), 800),
    "gemm fp8": (gemm_times, gemm_coefficients("fp8"), 600),
    "gemm nvfp4": (gemm_times, gemm_coefficients("nvfp4"), 600),
    "gemm fp8_block": (gemm_times, gemm_coefficients("fp8_block"), 600),
    "decode attention": (decode_times, DECODE, 200),
    "prefill attention": (prefill_times, PREFILL, 200),
    "MoE": (moe_times, MOE, 200),
    "all-reduce": (all_reduce_times, ALL_REDUCE, 1000),
    "other collectives": (collective_times, COLLECTIVES, 1000),
    "MLA decode": (decode_times, DECODE, 150),
    "MLA prefill": (prefill_times, PREFILL, 150),
    "MLA absorption": (gemm_times, gemm_coefficients("fp8"), 300),
    "delta net": (delta_times, DELTA, 200),
}
