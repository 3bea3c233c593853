"""Options of a sweep: everything that may be given several times, from flags or a YAML."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from llmroof.cli.options import specs_option
from llmroof.cli.types import NUMBER, Decimals, Numbers, Rate, SpecName
from llmroof.errors import InputError
from llmroof.ranges import parse_decimals, parse_numbers

Command = TypeVar("Command", bound=Callable[..., Any])


class Names(click.ParamType):  # type: ignore[type-arg]
    """Names joined by commas, as a tuple."""

    name = "names"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, ...]:
        """Split; an empty name is a slip."""
        if isinstance(value, tuple):
            return value
        found = tuple(part.strip() for part in str(value).split(","))
        if not all(found):
            self.fail(f"'{str(value)[:40]}' has an empty name", param, ctx)
        return found


class SpecNames(SpecName):
    """GPUs or models joined by commas; completes the last one."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Split; an empty name is a slip."""
        return Names().convert(value, param, ctx)


_RANGE: Final = "numbers or ranges: 1,2,4 or 1:512:x2"
#: option -> (flags, type, help); the names are axes of `llmroof.sweep`
_OPTIONS: Final[dict[str, tuple[tuple[str, ...], Any, str]]] = {
    "model": (("--model", "-m"), SpecNames("model"), "Models, joined by commas."),
    "gpu": (("--gpu", "--hardware", "-g"), SpecNames("gpu"), "GPUs, joined by commas."),
    "precision": (("--precision", "-p"), Names(), "Precisions, joined by commas."),
    "weights": (("--weights",), Names(), "Number formats of the weights."),
    "activations": (("--activations",), Names(), "Number formats of the operands of matmuls."),
    "kv_cache_dtype": (("--kv-cache-dtype",), Names(), "Number formats of the KV cache."),
    "batch": (("--batch", "--batch-size", "-b"), Numbers(), f"Sequences together; {_RANGE}."),
    "concurrency": (("--concurrency", "-c"), Numbers(), "Requests in flight, for a load."),
    "request_rate": (("--request-rate", "-r"), Decimals(), "Requests per second that arrive."),
    "input_len": (("--input-len", "--isl"), Numbers(), "Prompt tokens per sequence."),
    "output_len": (("--output-len", "--osl"), Numbers(), "Generated tokens per sequence."),
    "num_gpus": (("--num-gpus",), Numbers(), "Devices, tp x pp x dp."),
    "tp": (("--tensor-parallel-size", "-tp", "--tp"), Numbers(), "Tensor parallel degrees."),
    "pp": (("--pipeline-parallel-size", "-pp", "--pp"), Numbers(), "Pipeline parallel degrees."),
    "dp": (("--data-parallel-size", "-dp", "--dp"), Numbers(), "Attention data parallel degrees."),
    "ep": (("--expert-parallel-size", "-ep", "--ep"), Numbers(), "Expert parallel degrees."),
    "engine": (("--engine",), Names(), "Serving engines whose rules apply."),
    "attention": (("--attention",), Names(), "flash, naive."),
    "fusion": (("--fusion",), Names(), "fused, none."),
    "gpu_memory_utilization": (
        ("--gpu-memory-utilization",),
        Decimals(),
        "Shares of device memory the engine may use.",
    ),
    "max_num_seqs": (("--max-num-seqs",), Numbers(), "Sequences a replica runs at once."),
    "max_num_batched_tokens": (
        ("--max-num-batched-tokens",),
        Numbers(),
        "Prompt tokens worked on in one step.",
    ),
    "chunked_prefill": (("--chunked-prefill",), Numbers(), "Tokens per pass of a static prefill."),
    "prefix_hit_rate": (
        ("--prefix-hit-rate",),
        Decimals(zero=True),
        "Shares of each prompt found in the prefix cache.",
    ),
    "speculative_tokens": (("--speculative-tokens",), Numbers(), "Tokens drafted per step."),
    "acceptance_rate": (
        ("--acceptance-rate",),
        Decimals(zero=True),
        "Chances that a drafted token is accepted.",
    ),
    "draft_model": (("--draft-model",), SpecNames("model"), "Models that draft."),
    "prefill_workers": (
        ("--prefill-workers",),
        Numbers(),
        "Workers that only prefill, of --disaggregated.",
    ),
    "decode_workers": (
        ("--decode-workers",),
        Numbers(),
        "Workers that only decode, of --disaggregated.",
    ),
    "prefill_tp": (("--prefill-tp",), Numbers(), "Tensor parallel degrees of prefill workers."),
}
_SINGLE: Final = {
    "price": click.option("--price", type=NUMBER, metavar="USD", help="USD per GPU-hour."),
    "power": click.option("--power", type=NUMBER, metavar="WATTS", help="Power of one GPU."),
    "limit": click.option("--limit", is_flag=True, help="Answer with the physical limit."),
    "load": click.option(
        "--load", type=click.Choice(["closed", "burst"]), help="How requests arrive."
    ),
    "random_lengths": click.option(
        "--random-lengths", is_flag=True, help="Lengths vary from request to request."
    ),
    "disaggregated": click.option(
        "--disaggregated", is_flag=True, help="Prefill and decode on workers of their own."
    ),
    "transfer_bandwidth": click.option(
        "--transfer-bandwidth", type=Rate(), metavar="RATE", help="Of the KV cache, per GPU."
    ),
    "transfer_overlap": click.option(
        "--transfer-overlap", type=click.Choice(["none", "layers"]), help="When it is sent."
    ),
    "file": click.option(
        "--axes",
        "file",
        metavar="FILE",
        help="YAML of axes (gpu: [a100, h100], batch: 1:512:x2); options override it.",
    ),
}


def axes_options(command: Command) -> Command:
    """Add the options of a sweep; the command gets `asked`, options of `llmroof.sweep`."""

    @wraps(command)
    def run(**given: Any) -> Any:
        asked: dict[str, Any] = {name: joined(given.pop(name)) for name in _OPTIONS}
        asked |= {name: given.pop(name) for name in _SINGLE}
        file = asked.pop("file")
        for name in ("limit", "random_lengths", "disaggregated"):
            asked[name] = asked[name] or None
        if file is not None:
            asked = _read(Path(file)) | {k: v for k, v in asked.items() if v is not None}
        return command(asked=asked, **given)

    decorated: Any = specs_option(run)
    for decorate in reversed(list(_SINGLE.values())):
        decorated = decorate(decorated)
    for name, (flags, kind, text) in reversed(list(_OPTIONS.items())):
        decorated = click.option(*flags, name, type=kind, metavar="LIST", multiple=True, help=text)(
            decorated
        )
    return decorated  # type: ignore[no-any-return]


def joined(lists: tuple[tuple[Any, ...], ...]) -> tuple[Any, ...] | None:
    """The values of an option that was given several times, one after the other; None for none."""
    return tuple(value for values in lists for value in values) or None


def _read(path: Path) -> dict[str, Any]:
    """The axes of a file, with ranges written as on the command line."""
    from llmroof.search.axes import read_axes

    found = read_axes(path)
    return {name: _ranges(name, value) for name, value in found.items()}


def _ranges(name: str, value: Any) -> Any:
    kind = _OPTIONS[name][1] if name in _OPTIONS else None
    parts = value if isinstance(value, list) else [value]
    if isinstance(kind, Names | SpecNames):
        return tuple(str(part) for part in parts)
    if not isinstance(kind, Numbers | Decimals):
        return value

    def parse(text: str) -> tuple[float, ...]:
        if isinstance(kind, Decimals):
            return parse_decimals(text, kind.zero)
        return parse_numbers(text)

    try:
        return tuple(number for part in parts for number in parse(str(part)))
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None
