"""The command that serves a deployment with vLLM, SGLang or TensorRT-LLM, as text to copy.

Options as of vLLM 0.19 (`vllm serve --help`), SGLang 0.5 (docs/advanced_features/
server_arguments) and TensorRT-LLM 1.2 (tensorrt_llm/commands/serve.py). What TensorRT-LLM
has no option for goes into a YAML file that the command writes first.
"""

from __future__ import annotations

import math
import shlex
from typing import Any, Final

from llmroof.calibration.load import load_engine
from llmroof.engine.deployment import Deployment
from llmroof.engine.estimate import Estimate

ENGINES: Final = ("vllm", "sglang", "trtllm")
#: formats that vLLM and SGLang make from a 16-bit checkpoint as it loads
_ON_LOAD: Final = ("vllm", "sglang")
#: weights -> what to look for where a checkpoint in that format is needed
_CHECKPOINT: Final = {"int4": "AWQ or GPTQ", "nvfp4": "NVFP4", "mxfp4": "MXFP4", "int8": "INT8"}
_FILE: Final = "trtllm.yaml"


def commands(estimate: Estimate, at_once: float | None = None) -> dict[str, str]:
    """Engine -> the command that serves this deployment with it, of engines that run on its GPU.

    `at_once` is the largest number of requests in flight to let in; by default the
    load of the estimate.
    """
    deployment, load = estimate.deployment, estimate.load
    if at_once is None:
        at_once = estimate.workload.batch if load is None else load.concurrency
    length = math.ceil(estimate.workload.input_len + estimate.workload.output_len)
    sequences = max(1, math.ceil(float(at_once)))
    found = {
        "vllm": _vllm(deployment, length, sequences),
        "sglang": _sglang(deployment, length, sequences),
    }
    if load_engine("trtllm").runs_on(deployment.hardware.vendor):
        found["trtllm"] = _trtllm(deployment, length, sequences)
    return found


def _vllm(one: Deployment, length: int, sequences: int) -> str:
    plan = one.run.plan
    return _line(
        ["vllm", "serve", _name(one)],
        ("--tensor-parallel-size", plan.tp, plan.tp > 1),
        ("--pipeline-parallel-size", plan.pp, plan.pp > 1),
        ("--data-parallel-size", plan.dp, plan.dp > 1),
        ("--enable-expert-parallel", "", plan.ep > 1),
        ("--quantization", "fp8", _quantized_on_load(one)),
        ("--kv-cache-dtype", "fp8", _small_cache(one)),
        ("--max-model-len", length, True),
        ("--max-num-seqs", math.ceil(sequences / plan.dp), True),  # of each rank
        ("--max-num-batched-tokens", f"{one.rules.chunk_tokens:.0f}", True),
        ("--gpu-memory-utilization", _share(one, "vllm"), True),
    )


def _sglang(one: Deployment, length: int, sequences: int) -> str:
    plan = one.run.plan
    wide = plan.tp * plan.dp  # attention data parallelism splits the tensor parallel group
    return _line(
        ["sglang", "serve", "--model-path", _name(one)],
        ("--tp-size", wide, wide > 1),
        ("--pp-size", plan.pp, plan.pp > 1),
        ("--dp-size", plan.dp, plan.dp > 1),
        ("--enable-dp-attention", "", plan.dp > 1),
        ("--ep-size", plan.ep, plan.ep > 1),
        ("--quantization", "fp8", _quantized_on_load(one)),
        ("--kv-cache-dtype", "fp8_e4m3", _small_cache(one)),
        ("--context-length", length, True),
        ("--max-running-requests", sequences, True),
        ("--chunked-prefill-size", f"{one.rules.chunk_tokens:.0f}", True),
        ("--mem-fraction-static", _share(one, "sglang"), True),
    )


def _trtllm(one: Deployment, length: int, sequences: int) -> str:
    plan = one.run.plan
    wide = plan.tp * plan.dp
    extra = ["enable_attention_dp: true"] if plan.dp > 1 else []
    share = _share(one, "trtllm")
    if _small_cache(one):
        extra.append(f"kv_cache_config: {{dtype: fp8, free_gpu_memory_fraction: {share}}}")
    command = _line(
        ["trtllm-serve", _name(one)],
        ("--tp_size", wide, wide > 1),
        ("--pp_size", plan.pp, plan.pp > 1),
        ("--ep_size", plan.ep, plan.ep > 1),
        ("--max_seq_len", length, True),
        ("--max_batch_size", math.ceil(sequences / plan.dp), True),  # of each rank
        ("--max_num_tokens", f"{one.rules.chunk_tokens:.0f}", True),
        ("--enable_chunked_prefill", "", length > one.rules.chunk_tokens),
        ("--kv_cache_free_gpu_memory_fraction", share, not _small_cache(one)),
        ("--extra_llm_api_options", _FILE, bool(extra)),
    )
    if not extra:
        return command
    return f"echo '{{{', '.join(extra)}}}' > {_FILE} && {command}"


def _name(one: Deployment) -> str:
    return one.model.hub[0] if one.model.hub else one.model.id


def _small_cache(one: Deployment) -> bool:
    return one.run.precision.kv_cache.bits <= 8


def _quantized_on_load(one: Deployment) -> bool:
    weights, stored = one.run.precision.weights, one.model.precision.weights
    return weights.id == "fp8" and not stored.quantized


def _share(one: Deployment, engine: str) -> str:
    """The share of memory that was asked for, else the engine's own."""
    usual = load_engine(one.engine).utilization
    asked = one.rules.utilization != usual or one.engine == engine
    return f"{one.rules.utilization if asked else load_engine(engine).utilization:g}"


def _line(start: list[str], *options: tuple[str, Any, bool]) -> str:
    words = [shlex.quote(word) for word in start]
    for flag, value, wanted in options:
        if wanted:
            words.append(f"{flag} {value}" if value != "" else flag)
    return " ".join(words)


def folded(command: str, width: int = 76) -> list[str]:
    """A command over several lines that can be copied as they are."""
    words = command.replace(" && ", " &&\n").replace(" --", "\n--").split("\n")
    lines, line = [], f"  {words[0]}"
    for word in words[1:]:
        if line.endswith("&&"):
            lines.append(line)  # the shell reads on by itself
            line = f"  {word}"
        elif len(line) + len(word) + 3 > width:
            lines.append(f"{line} \\")
            line = f"      {word}"
        else:
            line += f" {word}"
    return [*lines, line]


def checkpoint(one: Deployment, engine: str) -> str:
    """What the weights must be stored as, where `engine` does not make it on load; else empty."""
    weights, stored = one.run.precision.weights, one.model.precision.weights
    if weights == stored or not weights.quantized:
        return ""
    if weights.id == "fp8" and engine in _ON_LOAD and not stored.quantized:
        return ""
    return _CHECKPOINT.get(weights.id.partition("-")[0], weights.id.upper())
