"""Formulas of single kernels that the fits try and the engine does not use.

Attention, collectives and linear attention on isolated timings. The engine times attention and
linear attention by plain shares of the peaks (docs/formulas.md says why) and collectives by the
links they cross. Conventions are those of `llmroof/engine/kernels.py`: seconds, SI, arguments
broadcast, coefficients `c` are data (`llmroof/calibration/kernels.yaml`).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from llmroof.engine.kernels import (
    Coefficients,
    Number,
    Silicon,
    norm,
    resident,
    rotated,
    slowness,
    stream,
    waves,
)
from llmroof.operators import Step

MMA_ROWS: Final = 16.0
"""Query rows that one tensor instruction takes together (the smallest MMA tile)."""


def decode_attention(
    silicon: Silicon,
    c: Coefficients,
    *,
    batch: Number,
    heads: Number,
    kv_heads: Number,
    context: Number,
    kv_elements: Number,
    mac_elements: Number,
    kv_byte: Number,
    copies: Number | None = None,
) -> Number:
    """One new query per sequence against `context` cached tokens.

    kv_elements: stored per token and kv head (2·head_dim; MLA: latent + rope, 576);
    mac_elements: multiplied per token and query head (2·head_dim; MLA: 576 + 512).
    One thread block takes one (sequence, kv head, 16 query heads); the context is split over idle
    processors (flash decoding, Dao et al. 2023) in pieces of at least `piece` tokens, at the price
    of a `merge` per doubling of the splits. One block streams at most `lane` bytes/s.
    copies: caches used in turn by a benchmark, which may stay in the last-level cache; 0 in
    serving.
    """
    late = slowness(silicon, c)
    cache = batch * kv_heads * context * kv_elements * kv_byte
    size = cache + batch * heads * mac_elements * 2.0
    units = batch * kv_heads * np.ceil(heads / kv_heads / MMA_ROWS)
    split = np.clip(silicon.processors / units, 1.0, np.maximum(context / c["piece"], 1.0))
    lanes = units * split
    cached = rotated(copies, size, 0.0, silicon)
    memory = stream(size, cached, silicon, c)
    turns = np.ceil(lanes / silicon.processors - 1e-9)  # units x (processors / units) may round up
    lane = cache / lanes * turns * late / c["lane"]
    compute = 2.0 * batch * heads * context * mac_elements / (c["compute"] * silicon.peak)
    busy = norm(c["overlap"], memory, lane, compute)
    blocks = units / silicon.processors * c["block"] * late
    merging: Number = c["merge"] * np.log2(split) * late
    return c["launch"] * late + busy + blocks + merging


def prefill_attention(
    silicon: Silicon,
    c: Coefficients,
    *,
    batch: Number,
    heads: Number,
    kv_heads: Number,
    new: Number,
    window: Number,
    head_size: Number,
    kv_byte: Number,
) -> Number:
    """Causal attention of `new` tokens per sequence from an empty cache (FlashAttention, Dao 2022).

    window: tokens a query sees (infinity: all); head_size: mean width of queries/keys and values.
    Blocks take 128 queries, of one head or (`packing` towards 1) of all heads that share a kv head.
    The masked half of the diagonal blocks costs `diagonal` keys per query more. The exponentials
    run on the special-function units, 16 per processor and clock.
    """
    late = slowness(silicon, c)
    seen = Step(1.0, new).pairs(np.minimum(new, window))
    pairs = batch * heads * (seen + new * c["diagonal"])
    apart = batch * heads * np.ceil(new / 128.0)
    together = batch * kv_heads * np.ceil(new * heads / kv_heads / 128.0)
    blocks = apart * (together / apart) ** c["packing"]
    uneven = waves(blocks, silicon, c) * silicon.processors / blocks
    compute = 4.0 * pairs * head_size * uneven / (c["compute"] * silicon.peak)
    exponentials = pairs / (c["exponential"] * 16.0 * silicon.processors * silicon.clock)
    size = batch * new * head_size * (4.0 * heads + 2.0 * kv_heads * (2.0 + kv_byte))
    memory = stream(size, resident(size, silicon), silicon, c)
    chain = c["step"] * np.minimum(new, window) * (head_size / 128.0) ** 0.5 * late
    busy = norm(2.0, norm(c["overlap"], compute, exponentials, memory), chain)
    return c["launch"] * late + busy + blocks / silicon.processors * c["block"] * late


def all_reduce(
    c: Coefficients, *, devices: Number, size: Number, link: Number, switched: Number
) -> Number:
    """Sum `size` bytes over `devices`; link: bytes/s of one device in one direction.

    Two ways, the faster is taken: one shot (each device reads every other's whole message, one
    synchronisation) or two shots (reduce-scatter and all-gather, 2(n−1)/n of the message; Thakur
    et al. 2005). switched: 1 where every pair has the full link (NVLink); else the devices share
    paths through host memory and the rate falls with devices² / 4 to the power `shared`.
    """
    start = c["launch"] + c["doubling"] * np.log2(devices)
    crowd = np.where(np.asarray(switched) > 0, 1.0, (devices / 2.0) ** c["shared"])
    rate = np.where(np.asarray(switched) > 0, c["bandwidth"], c["host_bandwidth"]) * link / crowd
    one = (devices - 1) * size / (c["one_shot"] * rate)
    two = 2.0 * (devices - 1) / devices * size / rate + c["second"] * devices**0.5
    return start + np.minimum(one, two)


def collective(
    c: Coefficients, *, devices: Number, size: Number, link: Number, switched: Number
) -> Number:
    """All-gather, reduce-scatter or all-to-all of `size` bytes per device in total.

    Each device sends and receives (n−1)/n of it once.
    """
    start = c["launch"] + c["doubling"] * np.log2(devices)
    crowd = np.where(np.asarray(switched) > 0, 1.0, (devices / 2.0) ** c["shared"])
    rate = np.where(np.asarray(switched) > 0, c["bandwidth"], c["host_bandwidth"]) * link / crowd
    return start + (devices - 1) / devices * size / rate


def delta_net(
    silicon: Silicon,
    c: Coefficients,
    *,
    flop: Number,
    size: Number,
    steps: Number,
    blocks: Number,
) -> Number:
    """One kernel of a linear-attention layer (causal convolution, gated delta rule).

    flop, size: arithmetic and bytes moved; steps: dependent chunks along the sequence;
    blocks: independent thread blocks (sequences × value heads × column tiles).
    """
    late = slowness(silicon, c)
    memory = stream(size, resident(size, silicon), silicon, c)
    compute = flop / (c["compute"] * silicon.peak)
    chain = c["step"] * steps * late * np.maximum(blocks / silicon.processors / c["resident"], 1.0)
    return c["launch"] * late + norm(c["overlap"], memory, compute, chain)
