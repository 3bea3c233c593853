"""The keywords of `llmroof.estimate`: unknown ones and wrong kinds of value, each named.

The command line hands over what click has converted; a call from Python may hold
anything, and a wrong kind must not end in an error from deep inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from llmroof.errors import InputError, nearest
from llmroof.models.model import Model
from llmroof.specs.hardware import Hardware

#: numbers that may be arrays, which broadcast against each other
ARRAYS: Final = ("batch", "input_len", "output_len", "concurrency", "request_rate")
NUMBERS: Final = (
    "num_gpus", "tp", "pp", "dp", "ep", "price", "power", "gpu_memory_utilization",
    "max_num_batched_tokens", "max_num_seqs", "speculative_tokens", "acceptance_rate",
    "prefix_hit_rate", "chunked_prefill", "routing_skew", "prefill_workers", "decode_workers",
    "prefill_tp", "prefill_pp", "prefill_dp", "prefill_ep", "transfer_bandwidth",
    "slo_ttft", "slo_tpot", "max_gpus", "count", "top", "start", "end",
)  # fmt: skip
WHOLE: Final = (
    "num_gpus", "tp", "pp", "dp", "ep", "speculative_tokens", "prefill_workers", "decode_workers",
    "prefill_tp", "prefill_pp", "prefill_dp", "prefill_ep", "max_gpus", "count", "top", "start",
    "end",
)  # fmt: skip
TEXTS: Final = (
    "precision", "weights", "activations", "kv_cache_dtype", "engine", "attention", "fusion",
    "all_reduce", "load", "transfer_overlap", "objective", "by", "where", "pareto", "columns",
)  # fmt: skip
FLAGS: Final = ("limit", "kv_cache", "random_lengths", "disaggregated")
LOADED: Final[Mapping[str, tuple[type, str]]] = {
    "model": (Model, "the name of a model or a loaded Model"),
    "draft_model": (Model, "the name of a model or a loaded Model"),
    "gpu": (Hardware, "the name of a GPU or a loaded Hardware"),
}
_SHOWN: Final = 40


def check_arguments(given: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raise InputError on an unknown keyword or a value of the wrong kind; None is left out."""
    names = list(known)
    for name in given:
        if name not in names:
            guess = nearest(name, names)
            hint = f"; did you mean '{guess}'?" if guess else f"; known: {', '.join(names)}"
            raise InputError(f"unknown argument '{name[:_SHOWN]}'{hint}")
    check_values(given)
    _check_shapes({name: given[name] for name in ARRAYS if given.get(name) is not None})


def check_values(given: Mapping[str, Any], several: bool = False) -> None:
    """Raise InputError on a value of the wrong kind; None is left out, as is an unknown name.

    With `several` a list, tuple or array holds one value after the other, each checked alone.
    """
    for name, value in given.items():
        many = several and isinstance(value, list | tuple | np.ndarray) and name not in ARRAYS
        for one in value if many else (value,):
            if one is not None:
                _check(name, one)


def _check(name: str, value: Any) -> None:
    if name in LOADED:
        kind, due = LOADED[name]
        if not isinstance(value, str | kind):
            raise _wrong(name, due, value)
    elif name in TEXTS:
        if not isinstance(value, str):
            raise _wrong(name, "a name", value)
    elif name in FLAGS:
        if not isinstance(value, bool | np.bool_):
            raise _wrong(name, "True or False", value)
    elif name in ARRAYS:
        if not _numeric(value):
            raise _wrong(name, "a number or an array of numbers", value)
    elif name in NUMBERS and not (_numeric(value) and np.ndim(value) == 0):
        raise _wrong(name, "a number", value)
    elif name in WHOLE and value != int(value):
        raise _wrong(name, "a whole number", value)


def _numeric(value: Any) -> bool:
    """True for numbers and arrays of them; truth values and texts are none."""
    if isinstance(value, list | tuple):
        return all(_numeric(part) for part in value)
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    if kind is not None:
        return kind in "iuf"
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_shapes(arrays: Mapping[str, Any]) -> None:
    try:
        shapes = {name: np.shape(value) for name, value in arrays.items()}
        np.broadcast_shapes(*shapes.values())
    except ValueError:
        sizes = ", ".join(f"{name} {np.shape(arrays[name])}" for name in arrays
                          if not isinstance(arrays[name], list | tuple))  # fmt: skip
        raise InputError(
            f"the arrays do not fit each other: {sizes or ', '.join(arrays)}; give them one shape, "
            "or an axis each"
        ) from None


def _wrong(name: str, due: str, value: Any) -> InputError:
    shown = " ".join(repr(value).split())[:_SHOWN]
    return InputError(f"{name} must be {due}, not {shown}")
