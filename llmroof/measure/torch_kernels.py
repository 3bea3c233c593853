"""The kernels of a decoder as PyTorch runs them: used by the profile and by whole models alike.

Matrix products are merged as serving engines merge them (q, k and v; gate and up), attention
is `scaled_dot_product_attention`, elementwise work is what PyTorch offers without a compiler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import torch

#: the largest value of torch.float8_e4m3fn, to which rows are scaled
_FP8_TOP: Final = 448.0
_EPSILON: Final = 1e-5


def dtype(precision: str) -> torch.dtype:
    """The type of PyTorch that stores `precision`."""
    import torch

    names = {"fp32": "float32", "tf32": "float32", "fp16": "float16", "bf16": "bfloat16"}
    found = getattr(torch, {**names, "fp8": "float8_e4m3fn"}[precision])
    assert isinstance(found, torch.dtype)
    return found


def linear(rows: torch.Tensor, weight: Any) -> torch.Tensor:
    """`rows` times a matrix [outputs, inputs]; a pair (fp8 matrix, scales) quantizes the rows."""
    import torch

    if not isinstance(weight, tuple):
        return torch.nn.functional.linear(rows, weight)
    matrix, scales = weight
    flat = rows.reshape(-1, rows.shape[-1])
    top = flat.abs().amax(dim=1, keepdim=True).float().clamp(min=_EPSILON) / _FP8_TOP
    small = (flat.float() / top).to(torch.float8_e4m3fn)
    out = torch._scaled_mm(small, matrix.t(), scale_a=top, scale_b=scales, out_dtype=rows.dtype)
    return out.reshape(*rows.shape[:-1], -1)


def to_fp8(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A matrix [outputs, inputs] in fp8 with one scale per output."""
    import torch

    scales = weight.float().abs().amax(dim=1, keepdim=True).clamp(min=_EPSILON) / _FP8_TOP
    return (weight.float() / scales).to(torch.float8_e4m3fn), scales.t().contiguous()


def grouped(rows: torch.Tensor, matrices: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """Rows sorted by expert times the matrix [inputs, outputs] of each; `ends` closes each group.

    One kernel on a GPU; elsewhere one product per expert that has rows.
    """
    import torch

    if rows.is_cuda and rows.dtype == torch.bfloat16:
        return torch._grouped_mm(rows, matrices, offs=ends)
    parts, start = [], 0
    for expert, end in enumerate(ends.tolist()):
        if end > start:
            parts.append(rows[start:end] @ matrices[expert])
        start = end
    return torch.cat(parts)


def add_norm(
    inputs: torch.Tensor, residual: torch.Tensor, gain: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Residual addition and RMS norm: (normed, new residual)."""
    import torch

    residual = residual + inputs
    return torch.nn.functional.rms_norm(residual, gain.shape, gain, _EPSILON), residual


def norm(rows: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
    """RMS norm over the last axis."""
    import torch

    return torch.nn.functional.rms_norm(rows, gain.shape, gain, _EPSILON)


def gate(merged: torch.Tensor) -> torch.Tensor:
    """Silu of the first half times the second half."""
    import torch

    half, other = merged.chunk(2, dim=-1)
    return torch.nn.functional.silu(half) * other


def rotate(heads: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Rotary embedding of [batch, heads, tokens, head_dim]; cosine, sine [tokens, head_dim/2]."""
    import torch

    low, high = heads.chunk(2, dim=-1)
    return torch.cat((low * cosine - high * sine, high * cosine + low * sine), dim=-1)


def rotary(
    merged: torch.Tensor,
    cosine: torch.Tensor,
    sine: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    at: int,
    shape: tuple[int, int, int],
) -> torch.Tensor:
    """Queries of a merged projection [batch, tokens, ...], rotated; keys and values to the cache.

    `keys`, `values` are [batch, kv_heads, capacity, head_dim], written from token `at` on;
    `shape` is (heads, kv_heads, head_dim).
    """
    heads, kv_heads, head_dim = shape
    batch, tokens, _ = merged.shape
    split = merged.view(batch, tokens, heads + 2 * kv_heads, head_dim).transpose(1, 2)
    queries = rotate(split[:, :heads], cosine, sine)
    keys[:, :, at : at + tokens] = rotate(split[:, heads : heads + kv_heads], cosine, sine)
    values[:, :, at : at + tokens] = split[:, heads + kv_heads :]
    return queries


def attend(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float | None = None
) -> torch.Tensor:
    """Causal attention of a prompt, or of one new token per sequence to all that is cached.

    queries [batch, heads, tokens, d]; keys, values [batch, kv_heads, context, d]. One new
    token sees everything, so the queries of a group of heads stand as rows of one product:
    no key is repeated.
    """
    import torch

    attention = torch.nn.functional.scaled_dot_product_attention
    batch, heads, tokens, head_dim = queries.shape
    groups = keys.shape[1]
    if tokens == 1:
        rows = queries.reshape(batch, groups, heads // groups, head_dim)
        out = attention(rows, keys, values, scale=scale)
        return out.reshape(batch, heads, 1, out.shape[-1])
    return attention(queries, keys, values, is_causal=True, scale=scale, enable_gqa=heads != groups)
