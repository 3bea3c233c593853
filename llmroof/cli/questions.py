"""The options of a question, as tables: what is asked, under which load, on which workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from llmroof.cli.types import COUNT, NUMBER, Decimals, Numbers, Rate, SpecName, Whole

Command = TypeVar("Command", bound=Callable[..., Any])

_ENGINES: Final = (
    "generic", "vllm", "sglang", "trtllm", "llamacpp", "llamacpp-eager", "llamacpp-metal",
    "vllm-2024", "vllm-eager", "trtllm-2024", "pytorch",
)  # fmt: skip
_LONG_HELP: Final = "number or range: 8, 1,8,64, 1:256, 64:4096:+64, 1:512:x2"
_DEGREE: Final = Whole(min=1, max=65536)


def _option(*names: str, **settings: Any) -> Callable[[Command], Command]:
    return click.option(*names, **settings)


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
        type=NUMBER,
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
        type=NUMBER,
        metavar="S",
        help="Popularity of experts falls as 1/rank^S (Zipf).  [default: 0, even routing]",
    ),
    "no_kv_cache": _option(
        "--no-kv-cache", is_flag=True, help="Recompute the whole context in every step."
    ),
    "gpu_memory_utilization": _option(
        "--gpu-memory-utilization",
        type=NUMBER,
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
        type=COUNT,
        metavar="N",
        help="Prompt tokens worked on in one step.  [default: the engine's]",
    ),
    "power": _option(
        "--power",
        type=NUMBER,
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
        type=NUMBER,
        metavar="SHARE",
        help="Share of each prompt found in the prefix cache, 0 to below 1.  [default: 0]",
    ),
    "chunked_prefill": _option(
        "--chunked-prefill",
        type=COUNT,
        metavar="N",
        help="Prefill a static batch in passes of N tokens.",
    ),
    "speculative_tokens": _option(
        "--speculative-tokens",
        type=Whole(min=1, max=64),
        metavar="N",
        help="Tokens drafted per step (speculative decoding); needs --acceptance-rate.",
    ),
    "acceptance_rate": _option(
        "--acceptance-rate",
        type=NUMBER,
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
#: prefill and decode on devices of their own
DISAGGREGATED: Final = {
    "disaggregated": _option(
        "--disaggregated",
        is_flag=True,
        help="Prefill and decode on workers of their own, each a replica under --tp, --pp ...",
    ),
    "prefill_workers": _option(
        "--prefill-workers",
        type=_DEGREE,
        metavar="N",
        help="Workers that only prefill.  [default: 1, or the best split of --num-gpus]",
    ),
    "decode_workers": _option(
        "--decode-workers",
        type=_DEGREE,
        metavar="N",
        help="Workers that only decode.  [default: 1, or the best split of --num-gpus]",
    ),
    **{
        f"prefill_{name}": _option(
            f"--prefill-{name}",
            type=_DEGREE,
            metavar="N",
            help=f"{what} degree of a prefill worker.  [default: --{name}]",
        )
        for name, what in (
            ("tp", "Tensor parallel"),
            ("pp", "Pipeline parallel"),
            ("dp", "Attention data parallel"),
            ("ep", "Expert parallel"),
        )
    },
    "transfer_bandwidth": _option(
        "--transfer-bandwidth",
        type=Rate(),
        metavar="RATE",
        help="Of the KV cache, per GPU and direction: 50 GB/s, 400 Gbit/s.  [default: the link "
        "of the profile that joins all workers]",
    ),
    "transfer_overlap": _option(
        "--transfer-overlap",
        type=click.Choice(["none", "layers"]),
        help="none sends the KV cache after the prefill, layers while it runs.  [default: none]",
    ),
}
