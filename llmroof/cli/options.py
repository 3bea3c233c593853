"""Options that several commands share: the question, and where the answer goes."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click.shell_completion import CompletionItem

from llmroof.cli.ranges import parse_numbers

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType

Command = TypeVar("Command", bound=Callable[..., Any])

#: the three numbers of a workload, which may sweep
WORKLOAD: Final = ("batch", "input_len", "output_len")
_ENGINES: Final = ("generic", "vllm", "sglang", "trtllm")
_LONG_HELP: Final = "number or range: 8, 1,8,64, 1:256, 64:4096:+64, 1:512:x2"


class Numbers(_ParamType):
    """A whole number or a range of them, as a tuple."""

    name = "numbers"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        """Parse, or fail with the parser's sentence."""
        if isinstance(value, tuple):
            return value
        try:
            return parse_numbers(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class SpecName(_ParamType):
    """A GPU or a model: an id, an alias or a path; completes ids and aliases."""

    name = "name"

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """The text as it is; an empty one is a slip."""
        if not str(value).strip():
            self.fail("is empty", param, ctx)
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Ids and aliases that begin with what is typed."""
        return [CompletionItem(name) for name in names(self.kind) if name.startswith(incomplete)]


def names(kind: str) -> list[str]:
    """Every id and alias of the `gpu` or `model` catalog, sorted."""
    from llmroof.specs.catalog import HARDWARE, MODELS

    catalog = HARDWARE if kind == "gpu" else MODELS
    return sorted({*catalog.files(), *catalog.aliases()})


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
    "no_kv_cache": _option(
        "--no-kv-cache", is_flag=True, help="Recompute the whole context in every step."
    ),
    "gpu_memory_utilization": _option(
        "--gpu-memory-utilization",
        type=float,
        metavar="SHARE",
        help="Share of device memory the engine may use, 0 to 1.  [default: the engine's]",
    ),
}


def question(command: Command) -> Command:
    """Add the options of a question; the command gets them as one mapping `asked`.

    `asked` are keywords of `llmroof.estimate`; an option that was not given is None or
    absent. The three numbers of the workload are tuples.
    """

    @wraps(command)
    def run(**given: Any) -> Any:
        asked = {name: given.pop(name) for name in QUESTION}
        if asked.pop("no_kv_cache"):
            asked["kv_cache"] = False
        for name in ("limit", "attention", "fusion"):
            if not asked[name]:
                del asked[name]
        return command(asked=asked, **given)

    decorated: Any = specs_option(run)
    for decorate in reversed(QUESTION.values()):
        decorated = decorate(decorated)
    return decorated  # type: ignore[no-any-return]


def single(asked: dict[str, Any], command: str) -> dict[str, Any]:
    """`asked` with plain numbers; UsageError when a range was given to a one-point command."""
    plain = dict(asked)
    for name in WORKLOAD:
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
