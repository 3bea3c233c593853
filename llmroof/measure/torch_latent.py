"""Multi-head latent attention by PyTorch: expanded for prompts, absorbed for decode.

Letters as in `blocks/latent.py`: H heads, c latent, r rope, n nope, v value width. The cache of
a layer is one tensor [batch, 1, context, c + r]: all heads share it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llmroof.blocks.latent import LatentAttention
from llmroof.measure import torch_kernels as kernels

if TYPE_CHECKING:
    import torch


def refusal(block: LatentAttention) -> str:
    """What of a latent attention has no kernel here; "" where all of it has."""
    odd = {
        "keys picked by an indexer": block.topk,
        "a sliding window of latents": block.window,
        "gated latent attention": block.gate,
        "a shared latent": block.shares_kv,
        "queries from another width": block.q_inputs,
    }
    return next((name for name, there in odd.items() if there), "")


def weights(
    block: LatentAttention, matrix: Callable[..., Any], random: Callable[..., Any]
) -> dict[str, Any]:
    """The matrices of a layer: both down projections merged, kv_b split for absorption.

    `matrix(outputs, inputs)` is stored in the precision that was asked for; kv_b stays in 16
    bits, as engines keep what they absorb.
    """
    queries = block.heads * (block.nope + block.rope)
    expansion = block.heads * (block.nope + block.v_head_dim)
    narrow = block.q_lora or queries
    parts = {
        "down": matrix(narrow + block.latent, block.hidden),
        "kv_gain": random(block.kv_lora) + 1.0,
        "kv_b": random(expansion, block.kv_lora),
        "o": matrix(block.hidden, block.heads * block.v_head_dim),
    }
    if block.q_lora:
        parts["q_gain"] = random(block.q_lora) + 1.0
        parts["q_b"] = matrix(queries, block.q_lora)
    return parts


def _by_head(block: LatentAttention, parts: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """kv_b as [H, n, c] for keys and [H, v, c] for values: views, nothing is copied."""
    split = parts["kv_b"].view(block.heads, block.nope + block.v_head_dim, block.kv_lora)
    return split[:, : block.nope], split[:, block.nope :]


def attention(
    block: LatentAttention,
    parts: dict[str, Any],
    rows: torch.Tensor,
    cache: torch.Tensor,
    turn: tuple[torch.Tensor, torch.Tensor],
    past: int,
    watch: Callable[..., Any],
) -> Any:
    """`rows` [batch, tokens, hidden] through the layer, their latents written to the cache.

    `turn` are cosine and sine of these positions; `watch(family, call, *args)` runs a kernel.
    """
    merged = watch("gemm", kernels.linear, rows, parts["down"])
    narrow, latent, shared = merged.split(
        (merged.shape[-1] - block.latent, block.kv_lora, block.rope), dim=-1
    )
    if block.q_lora:
        narrow = watch("elementwise", kernels.norm, narrow, parts["q_gain"])
        narrow = watch("gemm", kernels.linear, narrow, parts["q_b"])
    latent = watch("elementwise", kernels.norm, latent, parts["kv_gain"])
    queries = watch("elementwise", _rotated, block, narrow, latent, shared, cache, turn, past)
    core = _absorbed if rows.shape[1] == 1 else _expanded
    out = core(block, parts, queries, latent, cache, past + rows.shape[1], watch)
    flat = out.transpose(1, 2).reshape(*rows.shape[:-1], -1)
    return watch("gemm", kernels.linear, flat, parts["o"])


def _rotated(
    block: LatentAttention,
    narrow: torch.Tensor,
    latent: torch.Tensor,
    shared: torch.Tensor,
    cache: torch.Tensor,
    turn: tuple[torch.Tensor, torch.Tensor],
    past: int,
) -> torch.Tensor:
    """Queries [batch, H, tokens, n + r], the rope part rotated; latent and key to the cache."""
    import torch

    batch, tokens, _ = narrow.shape
    split = narrow.view(batch, tokens, block.heads, block.nope + block.rope).transpose(1, 2)
    plain, turned = split.split((block.nope, block.rope), dim=-1)
    new = cache[:, 0, past : past + tokens]
    new[..., : block.kv_lora] = latent
    new[..., block.kv_lora :] = kernels.rotate(shared[:, None], *turn)[:, 0]
    return torch.cat((plain, kernels.rotate(turned, *turn)), dim=-1)


def _expanded(
    block: LatentAttention,
    parts: dict[str, Any],
    queries: torch.Tensor,
    latent: torch.Tensor,
    cache: torch.Tensor,
    end: int,
    watch: Callable[..., Any],
) -> Any:
    """A prompt from an empty cache: every head has keys and values of its own."""
    import torch

    batch, heads, tokens, _ = queries.shape
    wide = watch("gemm", kernels.linear, latent, parts["kv_b"])
    split = wide.view(batch, tokens, heads, -1).transpose(1, 2)
    keys, values = split.split((block.nope, block.v_head_dim), dim=-1)
    shared = cache[:, :, end - tokens : end, block.kv_lora :].expand(-1, heads, -1, -1)
    whole = watch("elementwise", torch.cat, (keys, shared), -1)
    return watch("attention", kernels.attend, queries, whole, values, _scale(block))


def _absorbed(
    block: LatentAttention,
    parts: dict[str, Any],
    queries: torch.Tensor,
    latent: torch.Tensor,
    cache: torch.Tensor,
    end: int,
    watch: Callable[..., Any],
) -> Any:
    """One new token: queries move into the latent's space, and all heads attend to it."""
    import torch

    to_keys, to_values = _by_head(block, parts)
    plain, turned = queries.split((block.nope, block.rope), dim=-1)
    narrow = watch("gemm", _each_head, plain, to_keys)
    seen = cache[:, :, :end]
    whole = watch("elementwise", torch.cat, (narrow, turned), -1)
    values = seen[..., : block.kv_lora]
    out = watch("attention", kernels.attend, whole, seen, values, _scale(block))
    return watch("gemm", _each_head, out, to_values.transpose(1, 2))


def _each_head(rows: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """[batch, H, 1, a] times the [H, a, b] of each head: one batched product."""
    import torch

    found = torch.bmm(rows[:, :, 0].transpose(0, 1), matrices)
    return found.transpose(0, 1)[:, :, None]


def _scale(block: LatentAttention) -> float:
    return float((block.nope + block.rope) ** -0.5)
