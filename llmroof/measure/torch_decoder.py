"""A decoder of PyTorch from a model's blocks, with random weights: the shapes, not the words.

Softmax attention over full or sliding keys, latent attention, dense and routed feed-forward
networks. Kinds of blocks that PyTorch has no kernel for are refused by name.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from llmroof.blocks.attention import Attention
from llmroof.blocks.base import Block
from llmroof.blocks.experts import MoE
from llmroof.blocks.latent import LatentAttention
from llmroof.blocks.mlp import MLP
from llmroof.errors import Unsupported
from llmroof.measure import torch_kernels as kernels
from llmroof.measure import torch_latent as latent
from llmroof.models.model import Model

if TYPE_CHECKING:
    import torch

#: what operators are summed up under, by kind of work
FAMILIES: Final = ("gemm", "attention", "moe", "elementwise")
_DEVIATION: Final = 0.02
_ROPE_BASE: Final = 10000.0


@dataclass
class Watch:
    """Sums the seconds of each family of kernels while `on`; costs nothing while off."""

    wait: Callable[[], None]
    on: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    def __call__(self, family: str, call: Callable[..., Any], *args: Any) -> Any:
        """`call(*args)`, its time added to the family's."""
        if not self.on:
            return call(*args)
        self.wait()
        start = time.perf_counter()
        found = call(*args)
        self.wait()
        self.seconds[family] = self.seconds.get(family, 0.0) + time.perf_counter() - start
        return found


def require_kinds(model: Model) -> None:
    """Raise Unsupported, naming the block, where a layer cannot be built."""
    for _, blocks in model.layers:
        for block in blocks:
            if reason := _refusal(block):
                raise Unsupported(f"measure model cannot build {model.name}: {reason}")
    if model.around:
        raise Unsupported(f"measure model cannot build {model.name}: blocks outside of the layers")


def _refusal(block: Block) -> str:
    if isinstance(block, Attention):
        odd = {
            "chunked attention": block.chunk,
            "an indexer": block.topk,
            "shared keys and values": block.shares_kv or block.key_is_value,
            "gated attention": block.gate,
            "several attention maps": block.passes > 1,
            "a width of its own": block.inputs,
            "values of another width": block.value_dim != block.head_dim,
        }
        return next((name for name, there in odd.items() if there), "")
    if isinstance(block, LatentAttention):
        return latent.refusal(block)
    if isinstance(block, MoE):
        odd = {"latent experts": block.latent, "identity experts": block.idle_experts}
        odd |= {"experts without a gate": not block.gated}
        return next((name for name, there in odd.items() if there), "")
    return "" if isinstance(block, MLP) else f"no kernel for {block.describe()}"


class Decoder:
    """The first `layers` layers of a model on one device, random weights, an empty KV cache."""

    def __init__(
        self,
        model: Model,
        precision: str,
        where: torch.device,
        layers: int,
        wait: Callable[[], None],
    ) -> None:
        import torch

        require_kinds(model)
        self.model, self.where, self.precision = model, where, precision
        self.kind = kernels.dtype("bf16" if precision == "fp8" else precision)
        self.watch = Watch(wait)
        stack = [blocks for count, blocks in model.layers for _ in range(count)][:layers]
        self.layers = [[self._build(block) for block in blocks] for blocks in stack]
        hidden, vocab = model.hidden, model.head.vocab
        self.table = self._random(vocab, hidden)
        self.gain = torch.ones(hidden, device=where, dtype=self.kind)
        self.head = self.table if model.head.tied else self._random(vocab, hidden)
        self.caches: list[tuple[torch.Tensor, ...]] = []
        self.angles: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def _random(self, *shape: int) -> torch.Tensor:
        import torch

        return torch.randn(*shape, device=self.where, dtype=self.kind).mul_(_DEVIATION)

    def _gain(self, width: int) -> torch.Tensor:
        return self._random(width) + 1.0

    def _matrix(self, outputs: float, inputs: float) -> Any:
        weight = self._random(int(outputs), int(inputs))
        return kernels.to_fp8(weight) if self.precision == "fp8" else weight

    def _build(self, block: Block) -> tuple[Block, dict[str, Any]]:
        """Weights of a block, merged as they are multiplied."""
        hidden = self.model.hidden
        parts: dict[str, Any] = {"gain": self._gain(hidden)}
        if isinstance(block, Attention):
            merged = (block.heads + 2 * block.kv_heads) * block.head_dim
            parts |= {"qkv": self._matrix(merged, hidden)}
            parts |= {"o": self._matrix(hidden, block.heads * block.head_dim)}
            if block.qk_norm == "full":
                parts |= {"q_gain": self._gain(block.heads * block.head_dim)}
                parts |= {"k_gain": self._gain(block.kv_heads * block.head_dim)}
            elif block.qk_norm:
                parts |= {"q_gain": self._gain(block.head_dim)}
        elif isinstance(block, LatentAttention):
            parts |= latent.weights(block, self._matrix, self._random)
        elif isinstance(block, MLP):
            parts |= self._feed_forward(block.intermediate, block.gated)
        elif isinstance(block, MoE):
            width = block.intermediate
            parts |= {"router": self._random(block.experts, hidden)}
            parts |= {"up": self._random(block.experts, hidden, 2 * width)}
            parts |= {"down": self._random(block.experts, width, hidden)}
            if block.shared:
                parts |= {"shared": self._feed_forward(block.shared, block.shared_gated)}
        return block, parts

    def _feed_forward(self, width: int, gated: bool) -> dict[str, Any]:
        hidden = self.model.hidden
        up = self._matrix(width * (2 if gated else 1), hidden)
        return {"up": up, "down": self._matrix(hidden, width), "gated": gated}

    def allot(self, batch: int, context: int) -> None:
        """An empty cache for `batch` sequences of `context` tokens."""
        import torch

        self.caches = []
        for blocks in self.layers:
            for block, _ in blocks:
                if isinstance(block, Attention):
                    turned, tensors = block.head_dim, 2
                    shape = (batch, block.kv_heads, context, block.head_dim)
                elif isinstance(block, LatentAttention):
                    turned, tensors, shape = block.rope, 1, (batch, 1, context, block.latent)
                else:
                    continue
                held = [
                    torch.randn(shape, device=self.where, dtype=self.kind) for _ in range(tensors)
                ]
                self.caches.append(tuple(held))
                if turned not in self.angles or self.angles[turned][0].shape[0] < context:
                    self.angles[turned] = self._angles(turned, context)

    def _angles(self, head_dim: int, context: int) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        steps = torch.arange(0, head_dim, 2, device=self.where, dtype=torch.float32)
        rates = _ROPE_BASE ** (-steps / head_dim)
        at = torch.arange(context, device=self.where, dtype=torch.float32)[:, None] * rates
        return at.cos().to(self.kind), at.sin().to(self.kind)

    def _turn(self, width: int, past: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosine and sine of the positions of a pass."""
        cosine, sine = self.angles[width]
        return cosine[past : past + tokens], sine[past : past + tokens]

    def __call__(self, tokens: torch.Tensor, past: int) -> torch.Tensor:
        """Scores of the last position for `tokens` [batch, new] behind `past` cached ones."""
        import torch

        watch = self.watch
        rows = watch("elementwise", torch.nn.functional.embedding, tokens, self.table)
        rest: Any = torch.zeros_like(rows)
        caches = iter(self.caches)
        for blocks in self.layers:
            for block, parts in blocks:
                normed, rest = watch("elementwise", kernels.add_norm, rows, rest, parts["gain"])
                if isinstance(block, Attention):
                    rows = self._attention(block, parts, normed, next(caches), past)
                elif isinstance(block, LatentAttention):
                    turn = self._turn(block.rope, past, normed.shape[1])
                    (cache,) = next(caches)
                    rows = latent.attention(block, parts, normed, cache, turn, past, watch)
                elif isinstance(block, MoE):
                    rows = self._experts(block, parts, normed)
                else:
                    rows = self._dense(parts, normed)
        normed, _ = watch("elementwise", kernels.add_norm, rows, rest, self.gain)
        found: torch.Tensor = watch("gemm", kernels.linear, normed[:, -1], self.head)
        return found

    def _attention(
        self,
        block: Attention,
        parts: dict[str, Any],
        rows: torch.Tensor,
        cache: tuple[torch.Tensor, ...],
        past: int,
    ) -> Any:
        watch, tokens = self.watch, rows.shape[1]
        merged = watch("gemm", kernels.linear, rows, parts["qkv"])
        if block.qk_norm:
            merged = watch("elementwise", self._head_norm, block, parts, merged)
        cosine, sine = self._turn(block.head_dim, past, tokens)
        shape = (block.heads, block.kv_heads, block.head_dim)
        keys, values = cache
        queries = watch(
            "elementwise", kernels.rotary, merged, cosine, sine, keys, values, past, shape
        )
        end, start = past + tokens, 0
        if block.window and tokens == 1:
            start = max(0, end - block.window)
        seen = keys[:, :, start:end], values[:, :, start:end]
        if block.window and tokens > block.window:
            out = watch("attention", self._sliding, queries, *seen, block.window)
        else:
            out = watch("attention", kernels.attend, queries, *seen)
        flat = out.transpose(1, 2).reshape(rows.shape[0], tokens, -1)
        return watch("gemm", kernels.linear, flat, parts["o"])

    def _head_norm(self, block: Attention, parts: dict[str, Any], merged: torch.Tensor) -> Any:
        """Queries and keys normed head by head, or over all heads; values as they are."""
        import torch

        queries, keys = (many * block.head_dim for many in (block.heads, block.kv_heads))
        if block.qk_norm == "full":
            q, k, values = merged.split((queries, keys, keys), dim=-1)
            q, k = kernels.norm(q, parts["q_gain"]), kernels.norm(k, parts["k_gain"])
            return torch.cat((q, k, values), dim=-1)
        both, values = merged.split((queries + keys, keys), dim=-1)
        heads = both.view(*both.shape[:-1], -1, block.head_dim)
        return torch.cat((kernels.norm(heads, parts["q_gain"]).flatten(-2), values), dim=-1)

    def _sliding(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, window: int
    ) -> Any:
        """A prompt longer than the window: masked, for PyTorch has no kernel that skips."""
        import torch

        at = torch.arange(keys.shape[2], device=self.where)
        gap = at[:, None] - at[None, :]
        mask = (gap >= 0) & (gap < window)
        attention = torch.nn.functional.scaled_dot_product_attention
        return attention(queries, keys, values, attn_mask=mask, enable_gqa=True)

    def _dense(self, parts: dict[str, Any], rows: torch.Tensor) -> Any:
        import torch

        wide = self.watch("gemm", kernels.linear, rows, parts["up"])
        act = kernels.gate if parts["gated"] else torch.nn.functional.gelu
        return self.watch(
            "gemm", kernels.linear, self.watch("elementwise", act, wide), parts["down"]
        )

    def _experts(self, block: MoE, parts: dict[str, Any], rows: torch.Tensor) -> Any:
        """Route, sort by expert, two grouped products, and back in place."""
        import torch

        watch, flat = self.watch, rows.reshape(-1, rows.shape[-1])
        scores = watch("gemm", kernels.linear, flat, parts["router"])
        weights, chosen = torch.topk(scores.softmax(dim=-1), block.top_k, dim=-1)
        order = chosen.flatten().argsort()
        counts = torch.zeros(block.experts, device=self.where, dtype=torch.int32)
        ones = torch.ones(order.shape, device=self.where, dtype=torch.int32)
        ends = counts.scatter_add_(0, chosen.flatten(), ones).cumsum(0).to(torch.int32)
        source = order // block.top_k
        wide = watch("moe", kernels.grouped, flat[source], parts["up"], ends)
        gated = watch("elementwise", kernels.gate, wide)
        narrow = watch("moe", kernels.grouped, gated, parts["down"], ends)
        scaled = narrow * weights.flatten()[order, None].to(narrow.dtype)
        out = torch.zeros_like(flat).index_add_(0, source, scaled).view_as(rows)
        if block.shared:
            out = out + self._dense(parts["shared"], rows)
        return out


def families(seconds: dict[str, float], total: float) -> dict[str, float]:
    """Shares of the families of one watched pass, scaled to the pass's time when unwatched."""
    whole = sum(seconds.values())
    return {name: value / whole * total for name, value in seconds.items()} if whole else {}
