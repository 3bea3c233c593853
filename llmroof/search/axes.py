"""The axes of a sweep: what varies, in which order, and how many points that makes.

Categories (GPU, model, precision, plan ...) come first, in the order of CATEGORIES; the
numbers of the workload form an open mesh under each of them. A point's place in this
order never changes, so that a sweep can be taken up where it stopped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np

from llmroof.errors import InputError, UnknownName
from llmroof.ranges import MAX_VALUE, MIN_VALUE
from llmroof.resolve import DEFAULTS, whole
from llmroof.specs.tree import read_yaml

#: options of `llmroof.estimate` that may be given several times, outermost first
CATEGORIES: Final = (
    "model",
    "gpu",
    "precision",
    "weights",
    "activations",
    "kv_cache_dtype",
    "num_gpus",
    "tp",
    "pp",
    "dp",
    "ep",
    "engine",
    "attention",
    "fusion",
    "kv_cache",
    "gpu_memory_utilization",
    "max_num_seqs",
    "max_num_batched_tokens",
    "speculative_tokens",
    "acceptance_rate",
    "draft_model",
    "prefix_hit_rate",
    "chunked_prefill",
    "disaggregated",
    "prefill_workers",
    "decode_workers",
    "prefill_tp",
)
#: numbers that broadcast; the first three are different ways to say how many at once
NUMBERS: Final = ("batch", "concurrency", "request_rate", "input_len", "output_len")
#: options that hold for the whole sweep
FIXED: Final = (
    *("price", "limit", "load", "random_lengths", "power"),
    *("transfer_bandwidth", "transfer_overlap"),
)
_TOGETHER: Final = NUMBERS[:3]


@dataclass(frozen=True, slots=True)
class Axes:
    """`categories` and `numbers` by name, each with its values; `fixed` holds for all."""

    categories: Mapping[str, tuple[Any, ...]]
    numbers: Mapping[str, tuple[float, ...]]
    fixed: Mapping[str, Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """The mesh of numbers under each combination of categories."""
        return tuple(len(values) for values in self.numbers.values())

    @property
    def combinations(self) -> int:
        """Combinations of categories."""
        return math.prod(len(values) for values in self.categories.values())

    @property
    def points(self) -> int:
        """Points in all."""
        return self.combinations * math.prod(self.shape)

    def each(self) -> Iterator[dict[str, Any]]:
        """The options of every combination of categories, in order."""
        for values in product(*self.categories.values()):
            yield {**self.fixed, **dict(zip(self.categories, values, strict=True))}

    def mesh(self) -> dict[str, Any]:
        """The numbers as arrays that broadcast to `shape`, one axis each."""
        found = {}
        for axis, (name, values) in enumerate(self.numbers.items()):
            sizes = [1] * len(self.numbers)
            sizes[axis] = len(values)
            found[name] = np.array(values, dtype=np.float64).reshape(sizes)
        return found


def make_axes(options: Mapping[str, Any]) -> Axes:
    """Axes from options of `llmroof.estimate`; a list, tuple or array is an axis.

    Options that are None are left out. Raises InputError and UnknownName.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in (*CATEGORIES, *NUMBERS, *FIXED):
            raise UnknownName("axis", name, (*CATEGORIES, *NUMBERS, *FIXED))
    together = [name for name in _TOGETHER if name in given]
    if len(together) > 1:
        raise InputError(f"{' and '.join(together)} ask for different things: give one of them")
    first = together[0] if together else "batch"
    numbers = {
        name: _values(name, given.get(name, DEFAULTS.get(name)))
        for name in (first, "input_len", "output_len")
    }
    return Axes(
        {name: _several(name, given[name]) for name in CATEGORIES if name in given},
        numbers,
        {name: given[name] for name in FIXED if name in given},
    )


def _values(name: str, value: Any) -> tuple[float, ...]:
    if name == "request_rate":
        array = np.atleast_1d(np.asarray(value, dtype=np.float64))
        if not array.size or not np.all((array >= MIN_VALUE) & (array <= MAX_VALUE)):
            raise InputError(f"request_rate must be above zero, {MIN_VALUE:g} to {MAX_VALUE:g}")
    else:
        array = np.atleast_1d(whole(name, value))
    return tuple(array.ravel().tolist())


def _several(name: str, value: Any) -> tuple[Any, ...]:
    if isinstance(value, (str, bytes)) or not isinstance(value, (Sequence, np.ndarray)):
        return (value,)
    found = tuple(value.tolist() if isinstance(value, np.ndarray) else value)
    if not found:
        raise InputError(f"{name} is empty")
    return found


def check_part(start: int, end: int | None) -> None:
    """Raise InputError where the points from `start` to before `end` are none."""
    if end is not None and start >= end:
        raise InputError(f"no point lies from start {start} to before end {end}")


def read_axes(path: Path) -> dict[str, Any]:
    """Options from a YAML of axes: `gpu: [a100, h100]`, `batch: 1:512:x2`.

    Ranges are still text; `output-len` is `output_len`. Raises InputError for anything but
    scalars and lists of them.
    """
    found = read_yaml(path).plain()
    if not isinstance(found, dict):
        raise InputError(f"{path}: axes are written as `name: value` or `name: [values]`")
    options = {str(name).replace("-", "_"): value for name, value in found.items()}
    if len(options) < len(found):
        raise InputError(f"{path}: an axis is written twice, once with - and once with _")
    for name, value in options.items():
        parts = value if isinstance(value, list) else [value]
        if any(isinstance(part, (dict, list)) for part in parts):
            raise InputError(f"{path}: {name}: a value or a list of values is due")
    return options
