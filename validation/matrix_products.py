"""Every matrix product that a torch module executes, with the module it ran in.

The module stands on the meta device: shapes flow, no number is computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import DynamicCache

aten = torch.ops.aten


@dataclass
class Product:
    """One matrix product as it was executed."""

    path: str
    flop: int
    with_weight: bool
    shapes: tuple[tuple[int, ...], ...]
    convolution: bool = False


@dataclass
class Listener(TorchDispatchMode):
    """Writes down every matrix product, the module it ran in and whether a weight took part.

    A tensor counts as a weight when it shares storage with a parameter or was made from one alone
    (a cast, a gather of experts).
    """

    module: nn.Module
    products: list[Product] = field(default_factory=list)
    stack: list[str] = field(default_factory=list)
    weights: dict[int, torch.Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()
        for parameter in self.module.parameters():
            self._mark(parameter)

    def _mark(self, tensor: torch.Tensor) -> None:
        self.weights[tensor.untyped_storage()._cdata] = tensor

    def _is_weight(self, tensor: torch.Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self.weights

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        tensors = list(_tensors(args))
        if packet in _FLOP:
            operands = tensors[-2:] if packet is not aten.convolution else tensors[:2]
            self.products.append(
                Product(
                    path=self.stack[-1] if self.stack else "",
                    flop=_FLOP[packet](operands[0].shape, operands[1].shape, out.shape),
                    with_weight=any(self._is_weight(t) for t in operands),
                    shapes=tuple(tuple(t.shape) for t in operands),
                    convolution=packet is aten.convolution,
                )
            )
        elif (packet in _KEEPS_WEIGHT and self._is_weight(tensors[0])) or (
            packet in _MADE_OF_WEIGHTS and all(self._is_weight(tensor) for tensor in tensors)
        ):
            self._mark(out)
        return out

    @contextmanager
    def listening(self) -> Iterator[None]:
        handles = []
        for name, child in self.module.named_modules():
            handles.append(child.register_forward_pre_hook(self._enter(name)))
            handles.append(child.register_forward_hook(self._leave))
        try:
            with torch.no_grad(), self:
                yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, name: str) -> Any:
        return lambda module, args: self.stack.append(name)

    def _leave(self, module: nn.Module, args: Any, out: Any) -> None:
        self.stack.pop()


def _tensors(args: Any) -> Iterator[torch.Tensor]:
    for arg in args:
        if isinstance(arg, torch.Tensor):
            yield arg
        elif isinstance(arg, (list, tuple)):
            yield from _tensors(arg)


def _mm(a: Any, b: Any, out: Any) -> int:
    return int(2 * a.numel() * b[-1])


def _conv(a: Any, weight: Any, out: Any) -> int:
    return int(2 * out.numel() * weight[1:].numel())


_FLOP = {
    aten.mm: _mm,
    aten.addmm: _mm,
    aten.bmm: _mm,
    aten.baddbmm: _mm,
    aten.mv: lambda a, b, out: int(2 * a.numel()),
    aten.convolution: _conv,
}
#: the result is a weight when the first operand is one: a cast, a choice of experts
_KEEPS_WEIGHT = {aten._to_copy, aten.clone, aten.index, aten.index_select, aten.neg, aten.exp}
#: the result is a weight when all operands are; a norm's gain times its input is none
_MADE_OF_WEIGHTS = {aten.cat, aten.stack, aten.mul, aten.div}


def run(
    module: nn.Module, config: Any, batch: int, new: int, past: int
) -> tuple[Any, list[Product]]:
    """Run one step after ``past`` tokens; return the cache and the step's products."""
    cache = _new_cache(config)
    if past:
        with torch.no_grad():
            cache = _forward(module, cache, batch, past)
    listener = Listener(module)
    with listener.listening():
        cache = _forward(module, cache, batch, new)
    return cache, listener.products


def _new_cache(config: Any) -> Any:
    try:
        return DynamicCache(config=config)
    except Exception:  # a config that the cache class cannot read: let the module make its own
        return None


def _forward(module: nn.Module, cache: Any, batch: int, tokens: int) -> Any:
    ids = torch.zeros(batch, tokens, dtype=torch.long, device="meta")
    kwargs: dict[str, Any] = {"input_ids": ids, "use_cache": True}
    names = module.forward.__code__.co_varnames
    own = "cache_params" if "cache_params" in names else "past_key_values"
    if cache is not None:
        kwargs[own] = cache
    try:
        out = module(**kwargs)
    except ValueError:
        if cache is None or _filled(cache):
            raise
        del kwargs[own]  # some modules accept only a cache of their own making
        out = module(**kwargs)
    return getattr(out, own, None) or getattr(out, "past_key_values", None)


def _filled(cache: Any) -> bool:
    return cache_bytes(cache) > 0


def cache_bytes(cache: Any, seen: set[int] | None = None) -> int:
    """Bytes of all tensors reachable in a cache object, each storage view counted by its shape."""
    seen = set() if seen is None else seen
    if cache is None or id(cache) in seen:
        return 0
    seen.add(id(cache))
    if isinstance(cache, torch.Tensor):
        return cache.numel() * cache.element_size() if cache.dim() > 1 else 0
    if isinstance(cache, Mapping):
        return sum(cache_bytes(value, seen) for value in cache.values())
    if isinstance(cache, (list, tuple)):
        return sum(cache_bytes(value, seen) for value in cache)
    if hasattr(cache, "__dict__") and not isinstance(cache, nn.Module) and not callable(cache):
        return sum(
            cache_bytes(value, seen) for key, value in vars(cache).items() if key != "config"
        )
    return 0
