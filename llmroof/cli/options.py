"""Options that several commands share: the question, and where the answer goes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final, TypeVar

import click

from llmroof.cli.types import Decimals, Numbers, SpecName

Command = TypeVar("Command", bound=Callable[..., Any])

#: the numbers of a workload, which may sweep
WORKLOAD: Final = ("batch", "input_len", "output_len", "concurrency", "request_rate")
_ENGINES: Final = ("generic", "vllm", "sglang", "trtllm")
_LONG_HELP: Final = "number or range: 8, 1,8,64, 1:256, 64:4096:+64, 1:512:x2"


def _use_specs(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    """Point LLMROOF_SPECS at the folder for as long as the command runs."""
    if value is None:
        return
    before = os.environ.get("LLMROOF_SPECS")

    def restore() -> None:
        if before is None:
            os.environ.pop("LLMROOF_SPECS", None)
        else:
            os.environ["LLMROOF_SPECS"] = before

    os.environ["LLMROOF_SPECS"] = value
    ctx.call_on_close(restore)


def _option(*names: str, **settings: Any) -> Callable[[Command], Command]:
    return click.option(*names, **settings)


#: options whose default stands in the signature of `llmroof.estimate`
_DEFAULTED: Final = (
    "limit", "attention", "fusion", "all_reduce", "routing_skew", "load", "random_lengths",
    "prefix_hit_rate",
)  # fmt: skip
_DEGREE: Final = click.IntRange(min=1, max=65536)

specs_option: Final = _option(
    "--specs",
    metavar="DIR",
    expose_value=False,
    is_eager=True,
    callback=_use_specs,
    help="Folder with your own hardware_specs/ and model_specs/ (environment: LLMROOF_SPECS).",
)
#: option -> decorator, in the order of `--help`; the names are the keywords of `llmroof.estimate`
QUESTION: Final = {
    "model": _option(
        "--model",
        "-m",
        "model",
        type=SpecName("model"),
        metavar="MODEL",
        help="Model: id (`llmroof models`), YAML or config.json.  [default: llama-3.1-8b]",
    ),
    "gpu": _option(
        "--gpu",
        "--hardware",
        "-g",
        "gpu",
        type=SpecName("gpu"),
        metavar="GPU",
        help="Accelerator: id or alias (`llmroof gpus`), or YAML.  [default: h100]",
    ),
    "batch": _option(
        "--batch",
        "--batch-size",
        "-b",
        "batch",
        type=Numbers(),
        metavar="N",
        help=f"Sequences processed together; {_LONG_HELP}.  [default: 1]",
    ),
    "input_len": _option(
        "--input-len",
        "--isl",
        "input_len",
        type=Numbers(),
        metavar="N",
        help="Prompt tokens per sequence; number or range.  [default: 1024]",
    ),
    "output_len": _option(
        "--output-len",
        "--osl",
        "output_len",
        type=Numbers(),
        metavar="N",
        help="Generated tokens per sequence; number or range.  [default: 256]",
    ),
    "precision": _option(
        "--precision",
        "-p",
        metavar="RECIPE",
        help="bf16, fp16, fp8, int8, w8a16, w4a16, nvfp4, mxfp4 ...  "
        "[default: as the model is stored]",
    ),
    "weights": _option("--weights", metavar="FORMAT", help="Number format of the weights."),
    "activations": _option(
        "--activations", metavar="FORMAT", help="Number format of the operands of matmuls."
    ),
    "kv_cache_dtype": _option(
        "--kv-cache-dtype", metavar="FORMAT", help="Number format of the KV cache."
    ),
    "num_gpus": _option(
        "--num-gpus",
        type=_DEGREE,
        metavar="N",
        help="Devices, tp x pp x dp.  [default: the fewest that hold it]",
    ),
    "tp": _option(
        "--tensor-parallel-size",
        "-tp",
        "--tp",
        "tp",
        type=_DEGREE,
        metavar="N",
        help="Tensor parallel degree.",
    ),
    "pp": _option(
        "--pipeline-parallel-size",
        "-pp",
        "--pp",
        "pp",
        type=_DEGREE,
        metavar="N",
        help="Pipeline parallel degree.",
    ),
    "dp": _option(
        "--data-parallel-size",
        "-dp",
        "--dp",
        "dp",
        type=_DEGREE,
        metavar="N",
        help="Attention data parallel degree.",
    ),
    "ep": _option(
        "--expert-parallel-size",
        "-ep",
        "--ep",
        "ep",
        type=_DEGREE,
        metavar="N",
        help="Expert parallel degree.",
    ),
    "price": _option(
        "--price",
        type=float,
        metavar="USD",
        help="USD per GPU-hour.  [default: the first price of the GPU's profile]",
    ),
    "limit": _option(
        "--limit",
        is_flag=True,
        help="Answer with the physical limit: datasheet peaks, no overhead.",
    ),
    "engine": _option(
        "--engine",
        metavar="NAME",
        help=f"Serving engine whose rules apply: {', '.join(_ENGINES)}.  [default: generic]",
    ),
    "attention": _option(
        "--attention",
        type=click.Choice(["flash", "naive"]),
        help="flash keeps the scores on chip, naive writes and reads them.  [default: flash]",
    ),
    "fusion": _option(
        "--fusion",
        type=click.Choice(["fused", "none"]),
        help="none runs every operator of the textbook as a kernel of its own.  [default: fused]",
    ),
    "all_reduce": _option(
        "--all-reduce",
        type=click.Choice(["auto", "ring", "tree", "one-shot", "switch"]),
        help="How partial sums of tensor parallel devices are added up.  [default: auto]",
    ),
    "routing_skew": _option(
        "--routing-skew",
        type=float,
        metavar="S",
        help="Popularity of experts falls as 1/rank^S (Zipf).  [default: 0, even routing]",
    ),
    "no_kv_cache": _option(
        "--no-kv-cache", is_flag=True, help="Recompute the whole context in every step."
    ),
    "gpu_memory_utilization": _option(
        "--gpu-memory-utilization",
        type=float,
        metavar="SHARE",
        help="Share of device memory the engine may use, 0 to 1.  [default: the engine's]",
    ),
    "max_num_seqs": _option(
        "--max-num-seqs",
        type=_DEGREE,
        metavar="N",
        help="Sequences a replica runs at once.  [default: the engine's]",
    ),
    "max_num_batched_tokens": _option(
        "--max-num-batched-tokens",
        type=click.IntRange(min=1),
        metavar="N",
        help="Prompt tokens worked on in one step.  [default: the engine's]",
    ),
    "power": _option(
        "--power",
        type=float,
        metavar="WATTS",
        help="Power that one GPU draws.  [default: its limit in the profile]",
    ),
}
#: what serving adds to a question: a load in place of a batch, and what speeds it up
SERVING: Final = {
    "concurrency": _option(
        "--concurrency",
        "-c",
        type=Numbers(),
        metavar="N",
        help="Requests in flight at a server, in place of a static batch; number or range.",
    ),
    "request_rate": _option(
        "--request-rate",
        "-r",
        type=Decimals(),
        metavar="RATE",
        help="Requests per second that arrive (Poisson), in place of a static batch; 2 or 1,2,4.",
    ),
    "load": _option(
        "--load",
        type=click.Choice(["closed", "burst"]),
        help="closed: each finished request is replaced at once; burst: as benchmarks begin, "
        "all at once.  [default: closed]",
    ),
    "random_lengths": _option(
        "--random-lengths", is_flag=True, help="Lengths vary from request to request."
    ),
    "prefix_hit_rate": _option(
        "--prefix-hit-rate",
        type=float,
        metavar="SHARE",
        help="Share of each prompt found in the prefix cache, 0 to below 1.  [default: 0]",
    ),
    "chunked_prefill": _option(
        "--chunked-prefill",
        type=click.IntRange(min=1),
        metavar="N",
        help="Prefill a static batch in passes of N tokens.",
    ),
    "speculative_tokens": _option(
        "--speculative-tokens",
        type=click.IntRange(min=1, max=64),
        metavar="N",
        help="Tokens drafted per step (speculative decoding); needs --acceptance-rate.",
    ),
    "acceptance_rate": _option(
        "--acceptance-rate",
        type=float,
        metavar="SHARE",
        help="Chance that a drafted token is accepted, 0 to 1.",
    ),
    "draft_model": _option(
        "--draft-model",
        type=SpecName("model"),
        metavar="MODEL",
        help="Model that drafts, on the same GPUs.  [default: drafts cost nothing (n-gram)]",
    ),
}


def question(command: Command) -> Command:
    """Add the options of a question; the command gets them as one mapping `asked`.

    `asked` are keywords of `llmroof.estimate`; an option that was not given is None or
    absent. The numbers of the workload are tuples.
    """
    return _asking(command, QUESTION)


def serving_question(command: Command) -> Command:
    """As `question`, with a load and what speeds serving up."""
    return _asking(command, QUESTION | SERVING)


def _asking(command: Command, options: Mapping[str, Callable[[Any], Any]]) -> Command:
    @wraps(command)
    def run(**given: Any) -> Any:
        asked = {name: given.pop(name) for name in options}
        if asked.pop("no_kv_cache"):
            asked["kv_cache"] = False
        for name in _DEFAULTED:
            if not asked.get(name):
                asked.pop(name, None)
        return command(asked=asked, **given)

    decorated: Any = specs_option(run)
    for decorate in reversed(list(options.values())):
        decorated = decorate(decorated)
    return decorated  # type: ignore[no-any-return]


def single(asked: dict[str, Any], command: str) -> dict[str, Any]:
    """`asked` with plain numbers; UsageError when a range was given to a one-point command."""
    plain = dict(asked)
    for name in WORKLOAD:
        if name not in plain:
            continue
        values = plain[name]
        if values is not None and len(values) != 1:
            flag = "--" + name.replace("_", "-")
            raise click.UsageError(f"{command} takes one value for {flag}, not {len(values)}")
        plain[name] = None if values is None else values[0]
    return plain


def output(*formats: str) -> Callable[[Command], Command]:
    """Add --format, -o and --force; the command gets one `Target` as `target`."""
    choices = formats or ("table", "json", "csv", "markdown")

    def decorate(command: Command) -> Command:
        @wraps(command)
        def run(**given: Any) -> Any:
            from llmroof.cli.output import target

            chosen = target(given.pop("format"), given.pop("output"), given.pop("force"), choices)
            return command(target=chosen, **given)

        decorated: Any = click.option(
            "--force", is_flag=True, help="Overwrite the output file if it exists."
        )(run)
        decorated = click.option(
            "--output", "-o", metavar="FILE", help="Write to this file instead of the screen."
        )(decorated)
        decorated = click.option(
            "--format",
            type=click.Choice(choices),
            help="Form of the answer.  [default: by the file's ending, else table]",
        )(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate
