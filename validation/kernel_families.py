"""The families of kernels: which tables, which columns, what is left out and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from kernel_tables import FORMATS, Family, family, read


def gemm(folder: Path, dtype: str, host_bound: bool = False) -> Family:
    """GEMM tables of one format.

    Left out unless `host_bound`: vLLM's block-fp8 tables, which time the host (55-380 us whatever
    the shape), and the B60's, whose SYCL launch floor of 17-50 us hides the kernel.
    The collector runs six weight sets in turn, so small weights stay in the cache.
    """
    rows = read(folder, "gemm")
    rows = rows[rows.gemm_dtype == dtype]
    apart = (rows.gpu == "b60") | ((rows.gemm_dtype == "fp8_block") & (rows.engine == "vllm"))
    rows = rows[apart == host_bound].reset_index(drop=True)
    weight, activation, compute = FORMATS[dtype]
    name = f"gemm {dtype}" + (" host-bound" if host_bound else "")
    return family(
        name,
        folder,
        rows,
        compute,
        rows.engine,
        m=rows.m,
        n=rows.n,
        k=rows.k,
        weight=weight,
        activation=activation,
        copies=6.0,
    )


def kernel(source: pd.Series) -> pd.Series:
    """Short name of an attention kernel: what runs, without the engine that calls it."""
    return source.str.replace("vllm_", "").str.replace("torch_flow", "trtllm")


def _apart(rows: pd.DataFrame) -> pd.DataFrame:
    """Tables whose latencies are the kernel's: all but the B60's (host launch 30-60 us)."""
    return rows[rows.gpu != "b60"].reset_index(drop=True)


def _older(rows: pd.DataFrame, *versions: str) -> pd.Series:
    """Suffix that sets apart the kernels of an engine's old version (other code, other speed)."""
    return rows.version.where(rows.version.isin(versions), "").map(lambda v: f" v{v}" if v else "")


def _graphed(rows: pd.DataFrame) -> pd.DataFrame:
    """MLA tables without vLLM's, which were timed eagerly (80-350 us of host work per call)."""
    return rows[rows.engine != "vllm"].reset_index(drop=True)


def decode(folder: Path) -> Family:
    """Decode attention; a window caps the context."""
    rows = _apart(read(folder, "generation_attention"))
    window = rows.window_size.fillna(0).to_numpy()
    context = rows.step.to_numpy() + 1.0
    scope = rows.engine + " " + kernel(rows.kernel_source) + " kv-" + rows.kv_cache_dtype
    return family(
        "decode attention",
        folder,
        rows,
        "bf16",
        scope,
        batch=rows.batch_size,
        heads=rows.num_heads,
        kv_heads=rows.num_key_value_heads,
        context=np.where(window > 0, np.minimum(window, context), context),
        kv_elements=2.0 * rows.head_dim,
        mac_elements=2.0 * rows.head_dim,
        copies=1.0,
        kv_byte=np.where(rows.kv_cache_dtype == "fp8", 1.0, 2.0),
    )


def prefill(folder: Path) -> Family:
    """Prefill attention from an empty cache."""
    rows = _apart(read(folder, "context_attention"))
    window = rows.window_size.fillna(0).to_numpy()
    scope = rows.engine + " " + kernel(rows.kernel_source) + " " + rows.attn_dtype
    scope = scope + " kv-" + rows.kv_cache_dtype
    return family(
        "prefill attention",
        folder,
        rows,
        np.where(rows.attn_dtype == "fp8", "fp8", "bf16"),
        scope,
        batch=rows.batch_size,
        heads=rows.num_heads,
        kv_heads=rows.num_key_value_heads,
        new=rows.isl,
        window=np.where(window > 0, window, np.inf),
        head_size=rows.head_dim,
        kv_byte=np.where(rows.kv_cache_dtype == "fp8", 1.0, 2.0),
    )


def mla_decode(folder: Path) -> Family:
    """Absorbed MLA decode attention: 576 stored and 576 + 512 multiplied elements per token."""
    rows = _graphed(read(folder, "generation_mla"))
    scope = rows.engine + " " + kernel(rows.kernel_source) + _older(rows, "1.0.0")
    scope = scope + " kv-" + rows.kv_cache_dtype
    return family(
        "MLA decode",
        folder,
        rows,
        "bf16",
        scope,
        batch=rows.batch_size,
        heads=rows.num_heads,
        kv_heads=1.0,
        context=rows.step + 1.0,
        kv_elements=576.0,
        mac_elements=1088.0,
        copies=1.0,
        kv_byte=np.where(rows.kv_cache_dtype == "fp8", 1.0, 2.0),
    )


def mla_prefill(folder: Path) -> Family:
    """MLA prefill attention on expanded keys (192 wide) and values (128): mean width 160."""
    rows = _graphed(read(folder, "context_mla"))
    scope = rows.engine + " " + kernel(rows.kernel_source) + _older(rows, "1.0.0")
    scope = scope + " kv-" + rows.kv_cache_dtype
    return family(
        "MLA prefill",
        folder,
        rows,
        "bf16",
        scope,
        batch=rows.batch_size,
        heads=rows.num_heads,
        kv_heads=rows.num_heads,
        new=rows.isl,
        window=np.inf,
        head_size=160.0,
        kv_byte=np.where(rows.kv_cache_dtype == "fp8", 1.0, 2.0),
    )


def mla_bmm(folder: Path) -> Family:
    """Absorption products of MLA decode: per head [tokens,128]x[128,512] and its mirror."""
    rows = read(folder, "mla_bmm")
    before = (rows.op_name == "mla_gen_pre").to_numpy()
    fp8 = (rows.bmm_dtype == "fp8").to_numpy()
    kernels = rows.kernel_source.str.replace("^(sglang|vllm|trtllm)_", "", regex=True)
    default = np.where(rows.engine == "sglang", "torch_bmm", "bmm_out")
    kernels = kernels.where(kernels != "default", default)
    scope = rows.engine + " " + kernels + " " + rows.bmm_dtype
    return family(
        "MLA absorption",
        folder,
        rows,
        np.where(fp8, "fp8", "bf16"),
        scope,
        m=rows.num_tokens,
        k=np.where(before, 128.0, 512.0),
        n=np.where(before, 512.0, 128.0),
        batch=rows.num_heads,
        weight=np.where(fp8, 1.0, 2.0),
        activation=np.where(fp8, 1.0, 2.0),
        copies=1.0,
    )


def expert_load(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Experts with work and rows on the measured rank, as the collector deals out tokens.

    balanced: (token, expert) pairs go round the experts one by one. power_law_a: expert loads are
    drawn between 1 and 0.8·tokens from a density x^-a (log-uniform near a = 1) and the *hottest*
    rank is timed; an expert works when its share rounds to one row. Expected maximum over ranks by
    the normal approximation; a rank cannot get more than every token once per local expert.
    """
    tokens, top_k = rows.num_tokens.to_numpy(float), rows.topk.to_numpy(float)
    experts, ranks = rows.num_experts.to_numpy(float), rows.moe_ep_size.to_numpy(float)
    pairs, local = tokens * top_k, experts / ranks
    level = np.minimum(local, np.ceil(pairs / ranks))
    top = np.maximum(0.8 * tokens, 2.0)
    spread = np.log(top)
    mean = (top - 1) / spread
    idle = np.clip(np.log(0.5 * mean * experts / pairs) / spread, 0, 1)
    working = np.clip((1 - idle) * experts, top_k, np.minimum(experts, pairs))
    variation = np.sqrt(np.maximum((top + 1) * spread / (2 * (top - 1)) - 1, 0))
    skew = rows.distribution.map({"balanced": 0.0, "power_law_1.01": 1.01, "power_law_1.2": 1.2})
    alpha = skew.to_numpy(float)
    heat = 1 + alpha**1.5 * variation / np.sqrt(local) * np.sqrt(2 * np.log(ranks))
    heat = np.where(ranks > 1, np.minimum(heat, np.minimum(experts / top_k, ranks)), 1.0)
    hot = np.minimum(pairs * heat / ranks, np.minimum(pairs, tokens * local))
    busy = np.minimum(working, np.ceil(np.minimum(working / ranks * heat, local)))
    received = np.where(alpha > 0, hot, pairs / ranks)
    return np.where(alpha > 0, busy, level), np.maximum(received, 1.0)


def moe_kernel(source: pd.Series) -> np.ndarray:
    """Which grouped-product implementation a table's kernel belongs to."""
    has = source.str.contains
    return np.select(
        [
            has("nongated"),
            has("marlin"),
            has("fused_moe_triton|triton_triton|oaitriton|vllm_fused_moe"),
            has("flashinfer_trtllm|trtllmgen"),
            has("cutlass"),
        ],
        ["cutlass-nongated", "marlin", "triton", "trtllm-gen", "cutlass"],
        "trtllm-torch",
    )


def moe(folder: Path) -> Family:
    """Fused MoE tables of all formats; the file's skew draws are reproduced in expectation."""
    rows = _apart(read(folder, "moe"))
    formats = {key: value for key, value in FORMATS.items() if key in set(rows.moe_dtype)}
    kernels = moe_kernel(rows.kernel_source)
    working, hot = expert_load(rows)
    pick = [rows.moe_dtype.map({k: v[i] for k, v in formats.items()}) for i in range(3)]
    return family(
        "MoE",
        folder,
        rows,
        pick[2].to_numpy(object),
        rows.engine + " " + pd.Series(kernels) + " " + rows.moe_dtype,
        rows=rows.num_tokens * rows.topk,
        local_rows=hot,
        experts=working,
        hidden=rows.hidden_size,
        inter=rows.inter_size / rows.moe_tp_size,
        matrices=np.where(kernels == "cutlass-nongated", 2.0, 3.0),
        weight=pick[0],
        activation=pick[1],
        copies=1.0,
        skewed=rows.distribution != "balanced",
        tokens=rows.num_tokens,
    )


def all_reduce(folder: Path) -> Family:
    """All-reduce from CUDA graphs and NCCL; `message_size` counts elements, not bytes.

    Eager timings (20-90 us of host work per call on every GPU) are left out.
    """
    custom = read(folder, "custom_allreduce")
    custom = custom[~custom.backend.fillna("trtllm").str.contains("eager")]
    custom = custom.assign(kind=custom.backend.fillna("trtllm").str.replace("_graph", ""), byte=2.0)
    nccl = read(folder, "nccl")
    nccl = nccl[nccl.op_name == "all_reduce"]
    byte = np.where(nccl.nccl_dtype == "half", 2.0, 1.0)
    nccl = nccl.assign(kind="nccl " + nccl.nccl_dtype, byte=byte)
    rows = pd.concat([custom, nccl], ignore_index=True)
    return family(
        "all-reduce",
        folder,
        rows,
        "bf16",
        rows.kind,
        devices=rows.num_gpus,
        size=rows.message_size * rows.byte,
    )


def collectives(folder: Path) -> Family:
    """NCCL all-gather, reduce-scatter and all-to-all."""
    rows = read(folder, "nccl")
    rows = rows[rows.op_name != "all_reduce"].reset_index(drop=True)
    byte = np.where(rows.nccl_dtype == "half", 2.0, 1.0)
    return family(
        "other collectives",
        folder,
        rows,
        "bf16",
        "nccl " + rows.op_name,
        devices=rows.num_gpus,
        size=rows.message_size * byte,
    )


def delta(folder: Path) -> Family:
    """Gated delta net: the causal convolution and the recurrence, in both phases.

    Counts per token: the convolution moves its channels (q, k, v) twice in 16 bits; the chunked
    rule (chunks of 64) moves q, k, v, o and multiplies 2·(2·dk·dv + 64·(dk + dv)) per value head;
    the recurrent form reads and writes a state of dk·dv in 32 bits (8 bytes) per sequence and head.
    """
    rows = read(folder, "gdn")
    keys, values = rows.num_k_heads.to_numpy(float), rows.num_v_heads.to_numpy(float)
    dk, dv = rows.head_k_dim.to_numpy(float), rows.head_v_dim.to_numpy(float)
    tokens, sequences = rows.num_tokens.to_numpy(float), rows.batch_size.to_numpy(float)
    channels = 2 * keys * dk + values * dv
    source = rows.kernel_source
    conv, chunk = source.str.contains("conv1d").to_numpy(), source.str.contains("chunk").to_numpy()
    state = sequences * values * dk * dv
    context = (rows.phase == "context").to_numpy()
    size = np.where(
        conv,
        tokens * channels * 4 + sequences * channels * 6,
        tokens * (channels + values * dv) * 2 + state * np.where(chunk, 4.0, 8.0),
    )
    rule = tokens * values * 2 * (2 * dk * dv + 64 * (dk + dv))
    flop = np.where(conv, 8 * tokens * channels, np.where(chunk, rule, 6 * state))
    return family(
        "delta net",
        folder,
        rows,
        "bf16",
        rows.engine + " " + source.str.replace("_packed_decode", "") + _older(rows, "0.5.10"),
        flop=flop,
        size=size,
        steps=np.where(context & chunk, np.ceil(rows.seq_len / 64), 1.0),
        blocks=sequences * values * 2,
    )


READERS: dict[str, Callable[[Path], Family]] = {
    "gemm bfloat16": lambda folder: gemm(folder, "bfloat16"),
    "gemm fp8": lambda folder: gemm(folder, "fp8"),
    "gemm nvfp4": lambda folder: gemm(folder, "nvfp4"),
    "gemm fp8_block": lambda folder: gemm(folder, "fp8_block"),
    "decode attention": decode,
    "prefill attention": prefill,
    "MoE": moe,
    "all-reduce": all_reduce,
    "other collectives": collectives,
    "MLA decode": mla_decode,
    "MLA prefill": mla_prefill,
    "MLA absorption": mla_bmm,
    "delta net": delta,
}
