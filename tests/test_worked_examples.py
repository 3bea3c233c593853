"""Published worked numbers, each recomputed with this package's own operators and blocks.

A row is (id, value, tolerance in percent, what, how to compute it). Ids, values and
tolerances are those of the collection `series/worked_examples.csv`; the source stands at
the head of each group. Where a source gives its own device figures they are typed in
(`device(...)`); where it names a device that is shipped, the shipped profile is used.
Rows that are not here have their reason in `docs/worked-examples.md`.

The textbook's model of N weights is `weights(N, ...)`: one square matrix, met by a batch.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from builders import dense, device, run, weights_only

import llmroof
from llmroof import load_hardware, load_model, units
from llmroof.blocks.attention import Attention
from llmroof.blocks.latent import LatentAttention
from llmroof.blocks.mlp import MLP
from llmroof.calibration.load import EngineRules
from llmroof.engine.cost import price
from llmroof.engine.deployment import Deployment, Speculation, Workload
from llmroof.engine.estimate import decode_phase, serve_static
from llmroof.engine.network import ONE_SIDED, transfer_time
from llmroof.engine.phases import run_phase
from llmroof.engine.roofline import Times, limit
from llmroof.operators import Execution, Linear, Operator, Step, matmul
from llmroof.operators.collective import all_gather, all_reduce, all_to_all
from llmroof.render.hardware_compare import compare_rows
from llmroof.specs.hardware import Hardware, Link, Memory
from llmroof.specs.precision import Format, Precision

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "worked-examples.md"


@dataclass(frozen=True)
class Row:
    """One published number and how this package computes it."""

    id: str
    value: float
    tolerance: float
    what: str
    compute: Callable[[], float]


ROWS: list[Row] = []


def rows(*group: tuple[str, float, float, str, Callable[[], float]]) -> None:
    ROWS.extend(Row(*entry) for entry in group)


# --- what the sources' formulas are, in this package's terms --------------------------

#: devices as the sources describe them
A100_15 = device(312e12, 1.5e12)  # "312 TFLOP/s, 1.5 TB/s"
A100_20 = device(312e12, 2e12)
V5E = device(1.97e14, 8.2e11, 16e9, low=3.94e14)  # the book also uses 8.1e11
V5E_81 = device(1.97e14, 8.1e11, 16e9, low=3.94e14)
RULES = EngineRules(0.9, 8192.0)
V4 = device(275e12, 1.2e12, 32 * 2**30)
H100_8BIT = device(1e15, 3.35e12, low=2e15)


def weights(
    parameters: float, gpu: Hardware, *, batch: float = 1.0, precision: str = "bf16", tp: int = 1
) -> Times:
    """Roofline times of `parameters` weights met by `batch` vectors."""
    return limit(weights_only(parameters, batch, run(precision, tp=tp)), gpu)


def stored(parameters: float) -> float:
    """Bytes of 16-bit weights."""
    return weights_only(parameters, 1.0, run()).weight_bytes


def kv(
    layers: int,
    kv_heads: int,
    head_dim: int,
    tokens: float = 1.0,
    *,
    heads: int | None = None,
    how: Execution | None = None,
    tp: int = 1,
) -> float:
    """Bytes of KV cache of one sequence on one device."""
    width = (heads or kv_heads) * head_dim
    block = Attention(hidden=width, heads=heads or kv_heads, kv_heads=kv_heads, head_dim=head_dim)
    return layers * block.cache()[0].bytes(tokens, (how or run()).precision, tp)


def kv_of(model: str, tokens: float = 1.0, precision: str = "bf16") -> float:
    """The same of a shipped model."""
    return load_model(model).kv_cache_bytes(tokens, run(precision).precision)


def cached(precision: str, kv_cache: str, tp: int) -> Execution:
    """A run whose KV cache has its own format."""
    how = run(precision, tp=tp)
    return replace(how, precision=how.precision.with_parts(kv_cache=kv_cache))


def core(block: Attention, step: Step, how: Execution) -> Operator:
    """The attention kernel of a block."""
    return next(op for op in block.operators((step,), how) if op.name == "attention")


def decode(
    parameters: float,
    block: Attention,
    layers: int,
    gpu: Hardware,
    how: Execution,
    batch: float,
    context: float,
) -> float:
    """Seconds of one decode step: weights and cache alone, as the source counts."""
    kernel = core(block, Step(batch, 1.0, context - 1), how)
    parts = (weights_only(parameters, batch, how), replace(kernel, count=layers))
    return sum(limit(replace(op, activation_bytes=0.0), gpu).total for op in parts)


def forward(layers: int, width: int, head_dim: int = 128) -> float:
    """FLOP per token of the matrices of a plain decoder: 24·L·d²."""
    step = (Step(1.0, 1.0, 0.0),)
    attention = Attention(
        hidden=width, heads=width // head_dim, kv_heads=width // head_dim, head_dim=head_dim
    )
    mlp = MLP(hidden=width, intermediate=4 * width, gated=False)
    found = (*attention.operators(step, run()), *mlp.operators(step, run()))
    return layers * sum(op.flop for op in found if op.kind == "gemm")


def matrices(layers: int, width: int, head_dim: int = 128) -> float:
    """Weights of the same: 12·L·d²."""
    return forward(layers, width, head_dim) / 2


def utilization(
    parameters: float, gpu: Hardware, seconds: float, *, tokens: float = 1.0, tp: int = 1
) -> tuple[float, float]:
    """(MFU, MBU) in percent of a measured pass over `tokens` tokens."""
    model: Any = SimpleNamespace(
        operators=lambda steps, how: (weights_only(parameters, steps[0].new_tokens, how),)
    )

    def measured(_: Sequence[Operator], floors: Sequence[Times]) -> list[Times]:
        return [replace(floor, total=seconds) for floor in floors]

    found = run_phase(model, (Step(1.0, tokens),), run(tp=tp), gpu, measured)
    return 100 * found.mfu, 100 * found.mbu


def measured_mbu(estimate: llmroof.Estimate, tokens_per_s: float) -> float:
    """Percent of the bandwidth that a measured decode rate uses."""
    return 100 * tokens_per_s * estimate.decode.roofline_time


def residual(model: str, gpu: str, step: float, tp: int, precision: str) -> float:
    """Microseconds per layer beyond the weights at 90 % of the bandwidth; KV neglected."""
    loaded, how = load_model(model), run(precision, tp=tp)
    ops = loaded.operators((Step(1.0, 1.0, 0.0),), how)
    moved = sum(op.weight_bytes * op.count for op in ops if op.kind != "embedding")
    bandwidth = load_hardware(gpu).memory.bandwidth
    return (step - moved / (0.9 * bandwidth)) / loaded.num_layers * 1e6


def usd(tokens_per_s: float, per_hour: float) -> float:
    """USD per thousand tokens at a rate, the devices doing nothing else."""
    deployment = Deployment(dense(), device(), run(), RULES, usd_per_gpu_hour=per_hour)
    requests = tokens_per_s / 1000
    found = price(
        deployment, requests_per_s=requests, prefill_share=0.0, input_len=1.0, output_len=1000.0
    )
    return found.usd_per_million_output_tokens / 1000


# --- Pierre Lienhart, "LLM Inference Series" parts 3 and 4 (2023-24) -------------------
# medium.com/@plienhar/llm-inference-series-3-kv-caching-unveiled-048152e461c8
# medium.com/@plienhar/llm-inference-series-4-kv-caching-a-deeper-look-4ba9a77746c8


def score_flop(new: float, past: float) -> float:
    block = Attention(hidden=4096, heads=32, kv_heads=32, head_dim=128)
    found = block.operators((Step(1.0, new, past),), run(attention="naive"))
    return next(op.flop for op in found if op.name == "qk_matmul")


rows(
    # all pairs are counted there, the causal ones here: (2048·2049)/(1024·1025) = 3.998
    ("W001", 4, 0.1, "twice the prompt, four times the scores",
     lambda: score_flop(2048, 0) / score_flop(1024, 0)),
    ("W002", 10, 2, "with a cache token 1001 scores ten times what token 101 does",
     lambda: score_flop(1, 1000) / score_flop(1, 100)),
    ("W003", 100, 3, "without a cache a hundred times",
     lambda: score_flop(1001, 0) / score_flop(101, 0)),
    ("W005", 524288, 0, "KV per token, Llama-2-7B", lambda: kv_of("llama-2-7b")),
    ("W008", 8192, 0, "KV per token, Falcon-7B (MQA)", lambda: kv(32, 1, 64, heads=71)),
    ("W009", 122880, 0, "KV per token, Falcon-40B", lambda: kv(60, 8, 64, heads=128)),
    ("W010", 163840, 0, "KV per token, Falcon-180B", lambda: kv(80, 8, 64, heads=232)),
    ("W011", 131072, 0, "KV per token, Mistral-7B", lambda: kv_of("mistral-7b")),
    ("W012", 32768, 0, "KV per token, PaLM-8B (MQA)", lambda: kv(32, 1, 256, heads=16)),
    ("W015", 1e6, 50, "about 1 MB per token with MHA", lambda: kv_of("llama-2-13b")),
    ("W016", 8, 0, "GQA shrinks the cache of Llama-2-70B",
     lambda: kv(80, 64, 128) / kv_of("llama-2-70b")),
    ("W017", 536870910, 1e-6, "a window of 4096 caps the cache, Mistral-7B",
     lambda: 32 * Attention(hidden=4096, heads=32, kv_heads=8, head_dim=128, window=4096)
     .cache()[0].bytes(32768.0, run().precision)),
    ("W018", 2147483600, 1e-5, "KV at 4096 tokens, Llama-2-7B", lambda: kv_of("llama-2-7b", 4096)),
    ("W019", 6.28, 1, "sequences of 4096 whose cache equals the weights, Llama-2-7B",
     lambda: load_model("llama-2-7b").weights_bytes(run().precision) / kv_of("llama-2-7b", 4096)),
)  # fmt: skip

# --- Carol Chen (kipply), "Transformer Inference Arithmetic" (2022) --------------------
# kipp.ly/transformer-inference-arithmetic/ : a 52B model of 64 layers of width 8192


def kv_projections() -> float:
    block = Attention(hidden=8192, heads=64, kv_heads=64, head_dim=128)
    found = block.operators((Step(1.0, 1.0),), run(fusion="none"))
    return 64 * sum(op.flop for op in found if op.name in ("k_proj", "v_proj"))


def spare(devices: int) -> float:
    return devices * load_hardware("a100-sxm-40gb").memory.capacity - stored(52e9)


rows(
    ("W020", 17179869000, 1e-5, "FLOP of the K and V projections per token", kv_projections),
    ("W021", 2097152, 0, "KV per token, 52B", lambda: kv(64, 64, 128)),
    ("W022", 208, 0.1, "ridge point of an A100 of 1.5 TB/s", lambda: A100_15.ridge_point("bf16")),
    ("W023", 69, 1, "ms to load the 52B once",
     lambda: 1e3 * weights(matrices(64, 8192), A100_15).memory),
    ("W024", 17, 2, "the same on four devices",
     lambda: 1e3 * weights(matrices(64, 8192), A100_15, tp=4).memory),
    ("W025", 2, 0.5, "a prompt of 416 tokens against one memory-bound step",
     lambda: weights(52e9, A100_15, batch=416).compute / weights(52e9, A100_15).memory),
    ("W027", 103079220000, 1e-5, "FLOP per token, 52B", lambda: forward(64, 8192)),
    ("W028", 16, 3, "GB left on three A100 of 40 GB", lambda: spare(3) / 1e9),
    ("W029", 8000, 5, "tokens of cache in them", lambda: spare(3) / kv(64, 64, 128)),
    ("W031", 26702.881, 5, "tokens of cache on four (the source prints 23,000)",
     lambda: spare(4) / kv(64, 64, 128)),
    ("W032", 21.7, 1, "ms of memory, 260B on 16",
     lambda: 1e3 * weights(260e9, A100_15, tp=16).memory),
    ("W034", 53, 2, "ms of compute at batch 512",
     lambda: 1e3 * weights(260e9, A100_15, batch=512, tp=16).compute),
    ("W036", 21, 2, "ms of compute, 52B on 4, batch 256",
     lambda: 1e3 * weights(52e9, A100_15, batch=256, tp=4).compute),
    ("W038", 8.4, 1, "ms per step, 13B on 2",
     lambda: 1e3 * weights(matrices(40, 5120), A100_15, tp=2).memory),
    ("W040", 86, 1, "us of an output projection at batch 512",
     lambda: 1e6 * limit(matmul("o", (Linear("o", 5120, 5120, "attention"),), 512.0, run()),
                         A100_15).compute),
)  # fmt: skip

# --- Carol Chen (kipply), "H100 implications for transformer inference" (2022) ---------
# kipp.ly/h100_implications_for_transformer_inference/ : a 530B of 105 layers of width 20480

rows(
    ("W044", 17, 7, "ms of compute, 530B, batch 512, 16 H100 in 8 bits",
     lambda: 1e3 * weights(530e9, H100_8BIT, batch=512, tp=16, precision="fp8").compute),
    ("W046", 8, 7, "the same on 32",
     lambda: 1e3 * weights(530e9, H100_8BIT, batch=512, tp=32, precision="fp8").compute),
    ("W048", 4, 7, "the same on 64",
     lambda: 1e3 * weights(530e9, H100_8BIT, batch=512, tp=64, precision="fp8").compute),
    ("W050", 1.27, 1, "GB of cache of 148 tokens", lambda: kv(105, 160, 128, 148) / 1e9),
    ("W051", 44, 1, "ms to load the weights, 16 A100",
     lambda: 1e3 * weights(530e9, A100_15, tp=16).memory),
    ("W052", 170, 3, "requests in 220 GB", lambda: 220e9 / kv(105, 160, 128, 148)),
)  # fmt: skip


def gathers(layer_bytes: float, link: float) -> float:
    """Milliseconds of 4 all-gathers of [512, 20480] in each of 105 layers over 16 devices.

    The source lets a device send the whole message; here it sends all but its own part.
    """
    (gather,) = all_gather("gather", 512 * 20480 * layer_bytes, 16)
    times = limit(replace(gather, count=4 * 105), device(1e15, 1e12, link=link))
    return 1e3 * times.total * 16 / 15


rows(
    ("W043", 29, 3, "ms of communication, 16 A100, 16 bits", lambda: gathers(2, 300e9)),
    ("W045", 10, 3, "16 H100, 8 bits", lambda: gathers(1, 450e9)),
    ("W049", 10, 3, "64 H100, 8 bits: the same, each sends the whole", lambda: gathers(1, 450e9)),
)  # fmt: skip

# --- Varun Shenoy and Philip Kiely (Baseten), "A guide to LLM inference and performance" (2023)
# baseten.co/blog/llm-transformer-inference-guide/


def baseten(ttft: float, tpot: float) -> float:
    """350 tokens in, then 150 steps."""
    return serve_static(Workload(1.0, 350.0, 151.0), ttft, tpot, 1).e2e_latency


def prompt_350(gpu: str) -> float:
    return weights(7e9, load_hardware(gpu), batch=350, precision="fp16").compute


def step_7b(gpu: str) -> float:
    return weights(7e9, load_hardware(gpu), precision="fp16").memory


rows(
    ("W053", 208.3, 0.1, "ridge point, A10", lambda: load_hardware("a10").ridge_point("fp16")),
    ("W054", 116.6, 0.1, "ridge point, A10G", lambda: load_hardware("a10g").ridge_point("fp16")),
    ("W056", 524288, 0, "KV per token, Llama-2-7B", lambda: kv(32, 32, 128)),
    ("W057", 19230, 1, "tokens in what 14 GB of weights leave on an A10",
     lambda: (load_hardware("a10").memory.capacity - stored(7e9)) / kv_of("llama-2-7b")),
    ("W060", 23, 2, "ms per token, 7B on A10", lambda: 1e3 * step_7b("a10")),
    ("W061", 6.8661108, 2, "ms per token, 7B on A100 (printed as 6)",
     lambda: 1e3 * step_7b("a100-sxm-80gb")),
    ("W062", 75, 2, "ms for a prompt of 350 on T4", lambda: 1e3 * prompt_350("t4")),
    ("W064", 16, 2, "ms for a prompt of 350 on A100", lambda: 1e3 * prompt_350("a100-sxm-80gb")),
    ("W065", 6.98, 1, "s for 350 in and 150 out on T4", lambda: baseten(0.075, 0.046)),
    ("W066", 3.49, 1, "the same on A10", lambda: baseten(0.039, 0.023)),
    ("W067", 1.0456218, 5, "the same on A100 (the source's 0.92 has the 6 ms)",
     lambda: baseten(prompt_350("a100-sxm-80gb"), step_7b("a100-sxm-80gb"))),
)  # fmt: skip

# --- Databricks, "LLM Inference Performance Engineering: Best Practices" (2023);
#     NVIDIA, "Mastering LLM Techniques: Inference Optimization" (2023);
#     Kwon et al. 2023 (PagedAttention) --------------------------------------------------


rows(
    ("W068", 50, 0.1, "MBU of a 7B at 14 ms per token on 2 TB/s",
     lambda: utilization(7e9, device(1e15, 2e12), 0.014)[1]),
    ("W071", 5, 0.1, "GiB of cache, Llama-2-70B, 16 of 1024",
     lambda: units.gib(16 * kv_of("llama-2-70b", 1024))),
    ("W072", 10, 0.1, "32 of 1024", lambda: units.gib(32 * kv_of("llama-2-70b", 1024))),
    ("W073", 20, 0.1, "64 of 1024", lambda: units.gib(64 * kv_of("llama-2-70b", 1024))),
    ("W074", 2, 8, "GB of cache, Llama-2-7B, 4096 tokens", lambda: kv_of("llama-2-7b", 4096) / 1e9),
    ("W075", 14, 0.1, "GB of weights, 7B", lambda: stored(7e9) / 1e9),
    ("W076", 800, 0, "KiB of cache per token, OPT-13B", lambda: kv_of("opt-13b") / 1024),
    ("W077", 1.6, 6, "GB of cache of 2048 tokens, OPT-13B", lambda: kv_of("opt-13b", 2048) / 1e9),
    ("W078", 65, 1, "percent of an A100 of 40 GB that a 13B takes",
     lambda: 100 * stored(13e9) / load_hardware("a100-sxm-40gb").memory.capacity),
)  # fmt: skip

# --- Yuan et al. 2024, "LLM Inference Unveiled: Survey and Roofline Model Insights" ----
# Llama-2-7B on an A6000 of 155 TFLOP/s and 768 GB/s, prompt 2,048, batch 1, fp16

A6000 = replace(device(155e12, 768e9), memory=Memory(48e9, 768e9))
#: all pairs over the causal ones: the survey multiplies S², we count S(S+1)/2
NOT_CAUSAL = 2 * 2048 / 2049


@cache
def survey(phase: str, name: str) -> Operator:
    """One operator of the survey's setting, unfused; decode's one step sees 2,048 keys."""
    lengths = {"prefill": (2048, 1), "decode": (2047, 2)}[phase]
    found = llmroof.estimate(
        model="llama-2-7b", gpu=A6000, batch=1, input_len=lengths[0], output_len=lengths[1],
        precision="fp16", limit=True, attention="naive", fusion="none",
    )  # fmt: skip
    return next(
        cost.operator for cost in getattr(found, phase).operators if cost.operator.name == name
    )


def intensity(op: Operator) -> float:
    return op.flop / op.bytes


def attainable(op: Operator) -> float:
    """FLOP/s that the roofline allows."""
    return op.flop * op.count / limit(op, A6000).total


rows(
    ("W083", 69e9, 3, "prefill q/k/v/o_proj: FLOP", lambda: survey("prefill", "o_proj").flop),
    ("W084", 67e6, 3, "bytes", lambda: survey("prefill", "o_proj").bytes),
    ("W087", 185e9, 3, "prefill gate/up_proj: FLOP", lambda: survey("prefill", "up_proj").flop),
    ("W088", 152e6, 3, "bytes", lambda: survey("prefill", "up_proj").bytes),
    ("W090", 155e12, 3, "attainable", lambda: attainable(survey("prefill", "gate_proj"))),
    # ours is causal: times NOT_CAUSAL it is the survey's figure
    ("W091", 34e9, 3, "prefill qk_matmul: FLOP of all pairs",
     lambda: NOT_CAUSAL * survey("prefill", "qk_matmul").flop),
    ("W092", 302e6, 3, "bytes", lambda: survey("prefill", "qk_matmul").bytes),
    ("W093", 114, 2, "intensity, all pairs",
     lambda: NOT_CAUSAL * intensity(survey("prefill", "qk_matmul"))),
    ("W096", 537e6, 3, "prefill softmax: bytes", lambda: survey("prefill", "softmax").bytes),
    ("W097", 1.25, 2, "intensity", lambda: intensity(survey("prefill", "softmax"))),
    ("W098", 960e9, 3, "attainable", lambda: attainable(survey("prefill", "softmax"))),
    ("W099", 59e6, 3, "prefill norm: FLOP", lambda: survey("prefill", "mlp_norm").flop),
    ("W107", 34e6, 3, "decode q/k/v/o_proj: FLOP", lambda: survey("decode", "q_proj").flop),
    ("W108", 34e6, 3, "bytes", lambda: survey("decode", "q_proj").bytes),
    ("W109", 1, 2, "intensity", lambda: intensity(survey("decode", "q_proj"))),
    ("W110", 768e9, 3, "attainable", lambda: attainable(survey("decode", "q_proj"))),
    ("W111", 90e6, 3, "decode gate/up_proj: FLOP", lambda: survey("decode", "up_proj").flop),
    ("W112", 90e6, 3, "bytes", lambda: survey("decode", "up_proj").bytes),
    ("W113", 1, 2, "intensity", lambda: intensity(survey("decode", "up_proj"))),
    ("W114", 768e9, 3, "attainable", lambda: attainable(survey("decode", "up_proj"))),
    ("W115", 17e6, 3, "decode qk_matmul: FLOP", lambda: survey("decode", "qk_matmul").flop),
    ("W116", 17e6, 3, "bytes", lambda: survey("decode", "qk_matmul").bytes),
    ("W117", 0.99, 2, "intensity", lambda: intensity(survey("decode", "qk_matmul"))),
    ("W118", 762e9, 3, "attainable", lambda: attainable(survey("decode", "qk_matmul"))),
)  # fmt: skip

# --- Austin et al. 2025, "How to Scale Your Model" (jax-ml.github.io/scaling-book) -----


def critical_batch(gpu: Hardware, precision: str) -> float:
    """The batch whose compute time equals the time to read the weights."""
    times = weights(1e12, gpu, precision=precision)
    return times.memory / times.compute


def crossing() -> float:
    """The first batch at which an int8 [16384, 4096] matmul is bound by compute on v5e."""
    batch = np.arange(1.0, 1001.0)
    times = limit(matmul("w", (Linear("w", 16384, 4096, "mlp"),), batch, run("int8")), V5E_81)
    return float(batch[np.argmax(times.compute >= times.memory)])


def prompt_intensity(length: float) -> float:
    """FLOP per byte of one head's attention over a whole prompt, all pairs counted."""
    block = Attention(hidden=128, heads=1, kv_heads=1, head_dim=128)
    step = Step(1.0, length)
    return intensity(core(block, step, run())) * length**2 / step.pairs()


def decode_30b(batch: float) -> float:
    """30B in int8, computed in 16 bits, 100 kB of int8 cache per token, 16 v5e, context 8192."""
    block = Attention(hidden=2000, heads=16, kv_heads=16, head_dim=125)  # 25 layers: 100 kB
    return decode(30e9, block, 25, V5E_81, cached("w8a16", "int8", 16), batch, 8192)


def decode_13b(batch: float, kv_heads: int = 40) -> float:
    """Llama-2-13B on 8 v5e at context 8192: the source's 13e9 weights, the real cache."""
    block = Attention(hidden=5120, heads=40, kv_heads=kv_heads, head_dim=128)
    return decode(13e9, block, 40, V5E, run(tp=8), batch, 8192)


def dot_product() -> float:
    return intensity(matmul("dot", (Linear("dot", 1e6, 1, "mlp"),), 1.0, run()))


def kv_70b(tokens: float, kv_cache: str = "bf16") -> float:
    return load_model("llama-3-70b").kv_cache_bytes(tokens, cached("bf16", kv_cache, 1).precision)


def qps(batch: float, step: float, chips: int) -> float:
    """Requests per second and chip: 512 steps each, prefill elsewhere."""
    return serve_static(Workload(batch, 1.0, 513.0), 0.0, step, chips).requests_per_s / chips


def mlp_matrix(batch: float) -> Times:
    """One [8192, 28672] matrix over 32 v5e."""
    how = run(tp=32)
    return limit(matmul("w", (Linear("w", 8192, 28672, "mlp"),), batch, how), V5E_81)


def two_chips() -> float:
    """The D from which x[B, D/2]·w[D/2, F] takes longer than summing its partial results."""
    how = run(tp=2)
    gpu = device(1.97e14, 8.2e11, link=4.5e10)
    product = matmul("w", (Linear("w", 1000, 1000, "mlp", "inputs"),), 1000.0, how)
    (total,) = all_reduce("sum", 1000 * 1000 * 2, 2)
    return 1000 * limit(total, gpu).network / limit(product, gpu).compute


def gather_over_ici() -> float:
    """Microseconds to gather bf16[64, 8192] over 32 chips on two axes of 4.5e10 B/s."""
    (gather,) = all_gather("gather", 2 * 64 * 8192, 32)
    return 1e6 * limit(gather, device(1.97e14, 8.1e11, link=9e10)).total


rows(
    ("W121", 0.5, 0.1, "intensity of a dot product", dot_product),
    ("W122", 243, 0.3, "critical batch, int8 on v5e", lambda: critical_batch(V5E_81, "int8")),
    ("W123", 120, 0.3, "critical batch, int8 weights in bf16",
     lambda: critical_batch(V5E, "w8a16")),
    ("W124", 298, 1, "critical batch, H100",
     lambda: critical_batch(load_hardware("h100-sxm"), "bf16")),
    ("W125", 8755, 0.2, "D from which two v5e are bound by compute", two_chips),
    ("W126", 4096, 0.1, "intensity of attention over 8192 tokens, all pairs",
     lambda: prompt_intensity(8192.0)),
    ("W128", 2.5, 3, "ms per step, 30B on 16 v5e, batch 4", lambda: 1e3 * decode_30b(4)),
    ("W129", 21, 3, "batch 256", lambda: 1e3 * decode_30b(256)),
    ("W130", 6.7, 1, "GB of cache, Llama-2-13B at 8192", lambda: kv_of("llama-2-13b", 8192) / 1e9),
    ("W131", 4.98, 0.2, "ms per step, Llama-2-13B on 8 v5e, batch 1",
     lambda: 1e3 * decode_13b(1)),
    ("W132", 200.61, 0.3, "tokens/s", lambda: 1 / decode_13b(1)),
    ("W133", 12.13, 0.2, "batch 8", lambda: 1e3 * decode_13b(8)),
    ("W134", 659.3, 0.3, "tokens/s", lambda: 8 / decode_13b(8)),
    ("W135", 20.3, 0.2, "batch 16", lambda: 1e3 * decode_13b(16)),
    ("W136", 787.99, 0.3, "tokens/s", lambda: 16 / decode_13b(16)),
    ("W137", 36.65, 0.2, "batch 32", lambda: 1e3 * decode_13b(32)),
    ("W139", 69.33, 0.2, "batch 64", lambda: 1e3 * decode_13b(64)),
    ("W140", 923.13, 0.3, "tokens/s", lambda: 64 / decode_13b(64)),
    ("W141", 249.09, 0.2, "batch 240", lambda: 1e3 * decode_13b(240)),
    ("W142", 963.53, 0.3, "tokens/s", lambda: 240 / decode_13b(240)),
    ("W143", 4.17, 0.3, "a fifth of the KV heads, batch 1", lambda: 1e3 * decode_13b(1, 8)),
    ("W145", 7.23, 0.3, "batch 16", lambda: 1e3 * decode_13b(16, 8)),
    ("W147", 17.04, 0.3, "batch 64", lambda: 1e3 * decode_13b(64, 8)),
    ("W148", 52.99, 0.3, "batch 240", lambda: 1e3 * decode_13b(240, 8)),
    ("W149", 18.4e9, 0.2, "parameters of an invented model",
     lambda: dense(layers=64, hidden=4096, heads=32, kv_heads=8, head_dim=256,
                   intermediate=16384, vocab=32128, tied=True).parameters),
    ("W151", 70.4e9, 0.3, "parameters of Llama-3-70B",
     lambda: load_model("llama-3-70b").parameters),
    ("W155", 86, 3, "v5e that hold 240 int8 caches of 32k and the int8 weights",
     lambda: (240 * kv_70b(32768, "int8") + 70e9) / V5E.memory.capacity),
    ("W156", 112, 1.5, "GB: int8 weights and 32 int8 caches of 8192",
     lambda: (70e9 + 32 * kv_70b(8192, "int8")) / 1e9),
    ("W160", 8.75, 0, "v5e that hold 70B in 16 bits",
     lambda: round(stored(70e9) / V5E.memory.capacity, 6)),
    ("W161", 43, 0, "caches of 8k in 116 GB", lambda: math.floor(116e9 / kv_70b(8192))),
    ("W163", 43, 3, "int8 caches in 58 GB (the source prints 68 and 52)",
     lambda: math.floor(58e9 / kv_70b(8192, "int8"))),
    ("W165", 19, 3, "ms to read all of a v5e's memory",
     lambda: 1e3 * limit(Operator("all", "gemm", "bf16", 0.0, 16e9), V5E).total),
    ("W166", 0.27, 3, "requests/s per chip, bf16", lambda: qps(43, 0.019, 16)),
    ("W167", 0.66, 2, "int8, from the printed 52", lambda: qps(52, 0.019, 8)),
    ("W172", 11.650844, 7, "us to gather the activations over 32 v5e", gather_over_ici),
    ("W173", 18, 1, "us to read a 32nd of a matrix", lambda: 1e6 * mlp_matrix(0.0).memory),
    ("W174", 4.7691578, 20, "us to compute it at batch 64 (printed as 4)",
     lambda: 1e6 * mlp_matrix(64.0).compute),
    ("W180", 61000, 1, "critical batch with the weights behind PCIe, v6e",
     lambda: device(9.2e14, 1.5e10).ridge_point("bf16")),
    ("W181", 271, 4, "int8 matmul turns compute-bound, activations counted", crossing),
    ("W184", 0.91, 1, "s for a prompt of 8192 on 16 v5e at 40 %",
     lambda: weights(70e9, V5E, batch=8192, tp=16).compute / 0.4),
    ("W186", 10, 3, "ms to stream 200B on 32 TPU v4",
     # the book's own table of chips has 1.23 TB/s; our profile and its text 1.2
     lambda: 1e3 * weights(200e9, device(275e12, 1.23e12), tp=32).memory),
)  # fmt: skip

# --- Pope et al. 2022, "Efficiently Scaling Transformer Inference" ---------------------
# arxiv.org/abs/2211.05102 : PaLM on TPU v4 (275 TFLOP/s); 30 % of 64 x 32 GiB for the cache


def palm_mfu(parameters: float, tokens: float, seconds: float, chips: int) -> float:
    return utilization(parameters, V4, seconds, tokens=tokens, tp=chips)[0]


def palm_context(batch: float, kv_heads: int, head_dim: int, *, tp: int = 1, dp: int = 1) -> float:
    """Tokens per sequence in 30 % of each of 64 chips, 118 layers."""
    held = kv(118, kv_heads, head_dim, heads=64, tp=tp)
    return 0.3 * V4.memory.capacity / (batch / dp * held)


rows(
    ("W191", 14, 5, "MFU, PaLM-540B, 64 steps of 64 in 1.82 s",
     lambda: palm_mfu(540e9, 64 * 64, 1.82, 64)),
    ("W192", 76, 5, "prefill of 512 x 2048 in 85.2 s",
     lambda: palm_mfu(540e9, 512 * 2048, 85.2, 64)),
    ("W194", 36, 5, "PaLM-62B, prefill of 2048 in 0.16 s on 16",
     lambda: palm_mfu(62e9, 2048, 0.16, 16)),
    ("W195", 8, 5, "64 steps of 32 in 0.73 s", lambda: palm_mfu(62e9, 64 * 32, 0.73, 16)),
    ("W196", 73, 5, "prefill of 512 x 2048 in 20.2 s on 32",
     lambda: palm_mfu(62e9, 512 * 2048, 20.2, 32)),
    ("W197", 37, 5, "64 steps of 512 in 5.1 s on 8", lambda: palm_mfu(62e9, 64 * 512, 5.1, 8)),
    ("W200", 14.1, 1, "ms to load 540B on 64", lambda: 1e3 * weights(540e9, V4, tp=64).memory),
    ("W202", 1320, 2, "context, MHA of 64 heads, batch 128",
     lambda: palm_context(128, 64, 128, tp=64)),
    ("W203", 330, 2, "batch 512", lambda: palm_context(512, 64, 128, tp=64)),
    ("W204", 43000, 2, "MQA, sequences spread over the chips, batch 128",
     lambda: palm_context(128, 1, 256, dp=64)),
    ("W205", 10700, 1, "batch 512", lambda: palm_context(512, 1, 256, dp=64)),
    ("W206", 660, 3, "MQA, the one KV head on every chip",
     lambda: palm_context(128, 1, 256, tp=64)),
)  # fmt: skip

# --- Aman Sanger (Cursor), "Why GPT-3.5 is (mostly) cheaper than Llama 2" (2023) -------
# cursor.com/blog/llama-inference : Llama-2-70B on two A100

SUSTAINED = device(200e12, 2e12)

rows(
    ("W207", 140e9, 0, "FLOP per token, 70B",
     lambda: round(weights_only(70e9, 1.0, run()).flop)),
    ("W208", 320, 0, "KiB of cache per token", lambda: kv_of("llama-2-70b") / 1024),
    ("W209", 156, 0.1, "critical batch at 2 TB/s", lambda: critical_batch(A100_20, "bf16")),
    ("W210", 2857, 0.1, "prompt tokens/s at 200 TFLOP/s",
     lambda: 1 / weights(70e9, SUSTAINED, tp=2).compute),
    ("W211", 0.00042, 3, "USD per 1k prompt tokens",
     lambda: usd(1 / weights(70e9, SUSTAINED, tp=2).compute, 4.42)),
    ("W213", 530, 3, "ms for a prompt of 1536",
     lambda: 1e3 * weights(70e9, SUSTAINED, batch=1536, tp=2).compute),
    ("W215", 0.066, 1, "USD per 1k tokens at 18.6 tokens/s", lambda: usd(18.6, 4.42)),
    ("W217", 0.00206, 0.3, "the same at batch 32", lambda: usd(32 * 18.6, 4.42)),
    ("W218", 74.4, 0.1, "tokens/s on 8 devices from 18.6 on 2, at the roofline",
     lambda: 18.6 * weights(70e9, A100_20, tp=2).memory / weights(70e9, A100_20, tp=8).memory),
    ("W219", 1.3, 4, "GB of cache of 4096 tokens", lambda: kv_of("llama-2-70b", 4096) / 1e9),
)  # fmt: skip

# --- DeepSeek, "Insights into DeepSeek-V3" (ISCA 2025), arxiv.org/abs/2505.09343 -------


def mla(layers: int = 61) -> float:
    block = LatentAttention(
        hidden=7168, heads=128, kv_lora=512, nope=128, rope=64, v_head_dim=128, q_lora=1536
    )
    return layers * block.cache()[0].bytes(1.0, run().precision)


rows(
    ("W227", 70.272, 0, "kB of cache per token, DeepSeek-V3", lambda: mla() / 1000),
    ("W228", 327.68, 0, "Qwen2.5-72B", lambda: kv_of("qwen2.5-72b") / 1000),
    ("W230", 7.3442623, 0.5, "Llama-3.1-405B over DeepSeek-V3 (prints 7.28)",
     lambda: kv_of("llama-3.1-405b") / mla()),
)  # fmt: skip

# --- Leviathan et al. 2022, "Fast Inference from Transformers via Speculative Decoding" -
# arxiv.org/abs/2211.17192


def speculating(tokens: int, acceptance: float) -> Deployment:
    """A memory-bound device, and a draft of a twentieth of the layers (c = 0.05)."""
    shape = {"hidden": 16384, "heads": 128, "intermediate": 65536, "vocab": 1}
    guess = Speculation(tokens, acceptance, dense(layers=1, **shape))
    return Deployment(
        dense(layers=20, **shape), device(1e30, 1e12), run(), RULES, speculation=guess
    )


def speculation_gain() -> float:
    deployment, work = speculating(4, 0.7), Workload(1.0, 1.0, 2.0)
    _, with_it = decode_phase(deployment, work)
    _, without = decode_phase(replace(deployment, speculation=None), work)
    return without / with_it


def speculation_work() -> float:
    """FLOP per token with speculation over FLOP per token without."""
    deployment = speculating(5, 0.8)
    guess, hardware = deployment.speculation, deployment.hardware
    assert guess is not None
    assert guess.draft is not None

    def flop(model: Any, tokens: float) -> float:
        return run_phase(model, (Step(1.0, tokens, 1.0),), deployment.run, hardware).flop

    checked = flop(deployment.model, 6.0) + 5 * flop(guess.draft, 1.0)
    return checked / guess.tokens_per_step / flop(deployment.model, 1.0)


rows(
    ("W239", 3.69, 0.1, "tokens per verification, acceptance 0.8 of 5",
     lambda: Speculation(5, 0.8).tokens_per_step),
    ("W241", 2.31, 0.3, "gain, acceptance 0.7 of 4", speculation_gain),
    ("W242", 1.69, 1, "work, acceptance 0.8 of 5", speculation_work),
)  # fmt: skip

# --- hardware, batching, the cache: single figures ------------------------------------
# Splitwise (arxiv.org/abs/2311.18677), FlashInfer (flashinfer.ai, 2024-02-02), Lequn Chen
# (le.qun.ch, 2023-05-13), Stas Bekman (ml-engineering), Karpathy (2023), systemoverflow.com


def ratio(one: str, other: str) -> float:
    return load_hardware(one).memory.bandwidth / load_hardware(other).memory.bandwidth


def group_intensity() -> float:
    """FLOP per byte of cache of a decode step with 32 heads over 4 KV heads."""
    block = Attention(hidden=4096, heads=32, kv_heads=4, head_dim=128)
    op = core(block, Step(1.0, 1.0, 4095.0), run())
    return op.flop / op.kv_bytes


def layers_of(model: str) -> float:
    loaded = load_model(model)
    return sum(count * block.parameters for count, blocks in loaded.layers for block in blocks)


rows(
    ("W245", 1.64, 0.3, "bandwidth of H100 over A100", lambda: ratio("h100-sxm", "a100-sxm-80gb")),
    ("W246", 163, 1, "ridge point, RTX 4090",
     lambda: load_hardware("rtx-4090").ridge_point("fp16")),
    ("W247", 8, 0, "intensity of GQA decode: the group", group_intensity),
    ("W248", 6.44e9, 0.2, "weights in the layers of a 6.7B", lambda: layers_of("opt-6.7b")),
    ("W249", 12.58e9, 0.2, "of a 13B", lambda: layers_of("opt-13b")),
    ("W250", 173.9e9, 0.2, "of a 175B", lambda: matrices(96, 12288)),
    ("W252", 134, 0.3, "MB of cache of 1024 tokens, Llama-3-8B",
     lambda: kv_of("llama-3-8b", 1024) / 1e6),
    ("W253", 17.2, 0.2, "GB of 128 such", lambda: 128 * kv_of("llama-3-8b", 1024) / 1e9),
    ("W259", 20, 5, "bandwidth of an A100 PCIe over the M2's 100 GB/s",
     lambda: load_hardware("a100-pcie-80gb").memory.bandwidth / 100e9),
    ("W261", 4, 1, "MB of cache per token, BLOOM-176B", lambda: kv(70, 112, 128) / 1e6),
    ("W262", 9.5367432, 5, "sessions of 2000 tokens beside 14 GB in 24 (the source says 3-4)",
     lambda: (24e9 - stored(7e9)) / kv_of("llama-2-7b", 2000)),
    ("W281", 87.6e12, 0.2, "FLOP/s that an intensity of 114 allows on an A6000",
     lambda: attainable(Operator("x", "gemm", "fp16", 114e9, 1e9))),
)  # fmt: skip

# --- measured rates against the roofline ----------------------------------------------
# zeux/calm README; llama.cpp discussion 4167; mlx-examples issue 1029; AMD ROCm blog
# "MI300X vs H100" (2025-01); gpt-fast README; MLPerf Inference v4.1 logs


@cache
def alone(model: str, gpu: str, context: int, weights: str | None = None) -> llmroof.Estimate:
    """One sequence at a context, at the limit, in 16 bits."""
    return llmroof.estimate(
        model=model, gpu=gpu, batch=1, input_len=context, output_len=1, precision="fp16",
        weights=weights, num_gpus=1, limit=True,
    )  # fmt: skip


def mlx_4bit() -> float:
    """MBU of 9.35 tokens/s of a 70B with 4.5 bits per weight on an M3 Max."""
    four = Format("int4-g64", 4, "int4", 64, 32)  # a 16-bit scale and bias per 64
    base = run("fp16").precision
    precision = Precision(four, base.base, base.base, base.base, {"lm_head": four})
    model = load_model("llama-3.1-70b")
    gpu = load_hardware("apple-m3-max")
    found = run_phase(model, (Step(1.0, 1.0, 0.0),), Execution(precision), gpu)
    return 100 * 9.35 * found.roofline_time


rows(
    ("W263", 69, 2, "tokens/s at 91 % of a 4090's bandwidth, Llama-2-7B",
     lambda: 0.91 / alone("llama-2-7b", "rtx-4090", 1).decode.time),
    ("W264", 103, 3, "tokens/s at 89 %, fp8 weights, fp16 cache of 4000",
     lambda: 0.89 / alone("llama-2-7b", "rtx-4090", 4000, "fp8").decode.time),
    ("W265", 68, 1, "MBU of 41.02 tokens/s on an M2 Ultra",
     lambda: measured_mbu(alone("llama-2-7b", "apple-m2-ultra", 1), 41.02)),
    # 2,048 output tokens per run: the length is not in the collection, it follows from it
    ("W271", 92, 2, "us per layer beyond the weights, 70B fp8 on 8 H100",
     lambda: residual("llama-3.1-70b", "h100-sxm", 20.92 / 2048, 8, "fp8")),
    ("W272", 116.5, 2, "405B fp8 on 8 MI300X",
     lambda: residual("llama-3.1-405b", "mi300x", 51.74 / 2048, 8, "fp8")),
    ("W273", 95.5, 2, "405B fp8 on 8 H100",
     lambda: residual("llama-3.1-405b", "h100-sxm", 58.92 / 2048, 8, "fp8")),
    ("W274", 83, 2, "Llama-2-70B on 8 A100",
     lambda: residual("llama-2-70b", "a100-sxm-80gb", 1 / 62.5, 8, "bf16")),
    ("W275", 67, 2, "Llama-2-7B on 8 A100",
     lambda: residual("llama-2-7b", "a100-sxm-80gb", 1 / 328, 8, "bf16")),
    ("W276", 73, 2, "Llama-2-7B on one A100",
     lambda: residual("llama-2-7b", "a100-sxm-80gb", 1 / 104.9, 1, "bf16")),
    ("W278", 388, 0.2, "requests in flight: 8.59 per second of 45.21 s",
     lambda: 8.59 / serve_static(Workload(1.0, 1.0, 2.0), 0.0, 45.21, 1).requests_per_s),
    ("W279", 45.2, 1, "TTFT and 292 steps",
     lambda: serve_static(Workload(1.0, 1.0, 293.0), 0.402, 0.1534, 1).e2e_latency),
    ("W280", 91, 1, "MBU of a 70B in 4.5 bits on an M3 Max", mlx_4bit),
)  # fmt: skip


# --- networks of several chips ---------------------------------------------------------
# DeepSeek, "Insights into DeepSeek-V3", ISCA 2025, https://arxiv.org/abs/2505.09343: 32 tokens
# to 9 experts each, 7k wide, dispatched in 1 byte and combined in 2. The source sends a device's
# own share as well. Austin et al. as above: a ring of 8, 45 GB/s, 1 us a hop.

RANKS = 320


def exchange(rate: float) -> float:
    """Seconds of dispatch and combine of one layer."""
    gpu = replace(device(), links={"scale_up": Link(rate, domain=RANKS)})
    messages = [width * 32 * 9 * 7e3 * RANKS / (RANKS - 1) for width in (1, 2)]
    return sum(
        float(transfer_time(one, gpu))
        for message in messages
        for one in all_to_all("exchange", message, RANKS)
    )


def hop_bound(devices: int, rate: float, hop: float) -> float:
    """Bytes of which a ring moves its parts in as long as it waits for its hops."""
    return ONE_SIDED.steps(devices) * hop / (ONE_SIDED.sent(devices) / rate)


def flop_rate_per_price(name: str) -> float:
    """FLOP/s that one dollar an hour buys, as `gpus compare` says it per dollar."""
    profile = load_hardware(name)
    return float(compare_rows([profile])[0]["bf16_flop_per_usd"]) / units.HOUR


rows(
    ("W178", 360, 0, "buffer (kB) below which a ring is latency-bound",
     lambda: hop_bound(8, 4.5e10, 1e-6) / 1e3),
    ("W187", 1.64e14, 1, "FLOP/s per dollar an hour of a v5e",
     lambda: flop_rate_per_price("tpu-v5e")),
    ("W231", 120.96, 0.1, "us of all-to-all per layer, DeepSeek-V3 on 50 GB/s",
     lambda: exchange(50e9) * 1e6),
    ("W232", 14.76, 0.1, "ms per token of it: 61 layers, two micro-batches",
     lambda: 61 * 2 * exchange(50e9) * 1e3),
    ("W233", 67, 2, "tokens/s of it", lambda: 1 / (61 * 2 * exchange(50e9))),
    ("W234", 6.72, 0.1, "us of it on 900 GB/s", lambda: exchange(900e9) * 1e6),
)  # fmt: skip


# --- the tests ------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_worked_example(row: Row) -> None:
    assert row.compute() == pytest.approx(row.value, rel=max(row.tolerance / 100, 1e-12))


def documented() -> dict[str, bool]:
    """Id -> whether the document says it is tested."""
    lines = re.findall(r"^\| (W\d{3}) \|.*\| (.*?) \|$", DOCUMENT.read_text("utf-8"), re.M)
    return {name: state == "tested" for name, state in lines}


def test_the_document_tells_every_tested_row() -> None:
    ids = [row.id for row in ROWS]
    assert len(ids) == len(set(ids))
    assert {name for name, tested in documented().items() if tested} == set(ids)


#: rows whose tolerance of 0 meets a value printed with eight digits, or a causal count
WIDER = {"W001", "W017", "W018", "W020", "W027"}


def published(shared: Path) -> Sequence[dict[str, str]]:
    with (shared / "series" / "worked_examples.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_every_published_row_is_tested_or_has_a_reason(shared: Path) -> None:
    collection = {row["id"]: row for row in published(shared)}
    assert set(documented()) == set(collection)
    for row in ROWS:
        source = collection[row.id]
        assert row.value == pytest.approx(float(source["assert_value"]), rel=1e-12), row.id
        if row.id not in WIDER:
            assert row.tolerance == float(source["tolerance_pct"]), row.id
