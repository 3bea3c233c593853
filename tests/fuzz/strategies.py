"""Hostile input: honest files with faults put in, and command lines of odd values."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import click
from hypothesis import strategies as st

from llmroof.cli.main import cli
from llmroof.specs.catalog import HARDWARE, MODELS

OWN: Final = Path(__file__).resolve().parent.parent
#: what is put in the place of a value
ODD: Final = (
    "", "0", "-1", "1e400", "-0.0", "nan", ".nan", ".inf", "-.inf", "null", "~", "true", "[]", "{}",
    "1", "2", "3", "7", "1e-320", "1e308", "999999999999999999999", "0x10", "0o17", "1_000",
    "1:2:3",
    "80 GB", "-80 GB", "0 GB", "1e300 GB", "3 TB/s", "1 mB", "9 TFLOP/s", "'", '"', "[", "{", "- a",
    "&a [1]", "*a", "!!python/object/apply:os.system [x]", "!!binary aGk=", "a: b: c", "\t", "é",
    "∞",
    "\u2028", "\ud7ff", "bf16", "fp8", "int4", "attention", "mlp", "moe", "yes", "2024-01-01",
    "...",
    "---", "%", "#", "x" * 300, "[" * 50, "{a: " * 45, "1" * 50, "../x", "/", "h100", "llama-3-8b",
    "a,b", '"a', "64", "4096", "1:4:x2", "fits", "tpot_s < 3 ms", "2%", "=1+1", "\0",
)  # fmt: skip
odd = st.one_of(
    st.sampled_from(ODD),
    st.integers(-3, 2**70).map(str),
    st.floats().map(repr),
    st.text(max_size=12),
)


@st.composite
def faulty(draw: st.DrawFn, honest: Callable[[], list[str]], separators: str = ":,-[]{} ") -> str:
    """An honest text with one to four faults: lines lost, doubled, moved, values replaced."""
    lines = draw(st.sampled_from(honest())).split("\n")
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(lines) - 1))
        line, kind = lines[place], draw(st.integers(0, 7))
        if kind == 0:
            lines[place : place + 1] = []
        elif kind == 1:
            lines.insert(draw(st.integers(0, len(lines) - 1)), line)
        elif kind == 2:
            lines.insert(place, draw(odd))
        elif kind == 3:
            cut = draw(st.integers(0, len(line)))
            lines[place] = line[:cut] + draw(odd) + line[cut:]
        elif kind == 4:
            lines[place] = draw(st.sampled_from((" ", "  ", "\t"))) + line
        else:
            cuts = [i + 1 for i, char in enumerate(line) if char in separators] or [0]
            begin = draw(st.sampled_from(cuts))
            end = next((i for i in cuts if i > begin), len(line) + 1) - 1
            gap = " " if line[begin - 1 : begin] == ":" else ""
            lines[place] = line[:begin] + gap + draw(odd) + line[max(begin, end) :]
        lines = lines or [""]
    return "\n".join(lines)


def _texts(paths: list[Path]) -> list[str]:
    return [path.read_text("utf-8") for path in paths]


@cache
def hardware() -> list[str]:
    """Every shipped profile."""
    return _texts(sorted(HARDWARE.files().values()))


@cache
def models() -> list[str]:
    """Every shipped model."""
    return _texts(sorted(MODELS.files().values()))


_DENSE: Final = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
    "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2,
    "num_hidden_layers": 2, "vocab_size": 100, "max_position_embeddings": 512,
    "torch_dtype": "bfloat16", "tie_word_embeddings": False,
}  # fmt: skip
_CONFIGS: Final[tuple[dict[str, Any], ...]] = (
    _DENSE,
    _DENSE | {"head_dim": 32, "sliding_window": 16, "model_type": "mistral",
              "architectures": ["MistralForCausalLM"]},
    _DENSE | {"architectures": ["MixtralForCausalLM"], "model_type": "mixtral",
              "num_local_experts": 4, "num_experts_per_tok": 2},
    _DENSE | {"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "num_experts": 8,
              "num_experts_per_tok": 2, "moe_intermediate_size": 32, "decoder_sparse_step": 1,
              "mlp_only_layers": [], "head_dim": 16},
    _DENSE | {"architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3",
              "n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2,
              "moe_intermediate_size": 32, "first_k_dense_replace": 1, "kv_lora_rank": 32,
              "q_lora_rank": 48, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16,
              "moe_layer_freq": 1, "num_key_value_heads": 4, "num_nextn_predict_layers": 1},
    _DENSE | {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 32}},
    _DENSE | {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}},
    {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": 64, "n_head": 4,
     "n_layer": 2, "vocab_size": 100, "n_positions": 512},
    {"architectures": ["MambaForCausalLM"], "model_type": "mamba", "hidden_size": 64,
     "state_size": 16, "num_hidden_layers": 2, "vocab_size": 100, "intermediate_size": 128,
     "conv_kernel": 4, "time_step_rank": 4, "expand": 2},
)  # fmt: skip


@cache
def configs() -> list[str]:
    """Small configurations of the kinds of model that are read."""
    return [json.dumps(config, indent=0) for config in _CONFIGS]


@cache
def rows() -> list[str]:
    """Measured rows."""
    return [
        "id,model,hardware,num_gpus,tp,engine,precision,concurrency,input_len,output_len,lengths,"
        "ttft_s,tpot_s\n"
        "a,llama-3-8b,h100,1,1,vllm,fp8,8,128,32,fixed,0.02,0.007\n"
        "b,gpt2,a100,,,,,1,64,16,uniform 0.8-1.0,0.01,0.002\n",
        "model,hardware,batch,input_len,output_len,tpot_s,e2e_latency_s\n"
        "llama-3-8b,a100,4,64,8,0.011,\nllama-3-8b,t4,1,64,8,,0.5\n",
    ]


@cache
def baselines() -> list[str]:
    """Baselines."""
    return [
        "# llmroof.baseline/1 written by llmroof 0.1.0\nscenario,metric,value\n"
        'one,tpot_s,0.0123\none,fits,true\n"a[b=1,c=2]",decode_bound,memory\nbad,error,why\n'
    ]


@cache
def scenarios() -> list[str]:
    """Scenario files whose questions are quick."""
    return [
        "defaults: {model: gpt2, gpu: a100, num_gpus: 1}\nmetrics: [tpot_s, fits]\n"
        "tolerances: {tpot_s: [2%, 1 ms], default: 1%}\nscenarios:\n  one:\n    batch: 4\n"
        "    assert: [fits, tpot_s < 30 ms]\n  two:\n    why: a grid\n    batch: 1:4:x2\n"
        "    gpu: [a100, l4]\n    input-len: 64\n    limit: true\n",
        "baseline: false\nscenarios:\n  load: {model: gpt2, concurrency: 4, isl: 64, osl: 8}\n",
    ]


#: values of options by what they are for, valid ones first
VALUES: Final[dict[str, tuple[str, ...]]] = {
    "model": ("gpt2", "llama-3-8b", "mixtral-8x7b", "deepseek-v3", "llama-3.1-70b", "gpt-oss-20b"),
    "draft_model": ("gpt2", "llama-3.2-1b"),
    "gpu": ("a100", "h100", "l4", "t4", "mi300x", "gaudi2", "b200", "a100-pcie-40gb"),
    "batch": ("1", "32", "2", "7", "100000"),
    "concurrency": ("1", "16", "64", "5000"),
    "request_rate": ("0.5", "2", "4", "1e-9", "1e9"),
    "input_len": ("1", "128", "1000", "8192", "1000000"),
    "output_len": ("1", "16", "256", "1000000"),
    "contexts": ("1", "1024", "1024,4096", "1:100000:x3"),
    "precision": ("bf16", "fp16", "fp8", "int8", "w8a16", "w4a16", "nvfp4", "mxfp4"),
    "weights": ("bf16", "int4", "fp8", "q4_k"),
    "activations": ("bf16", "fp8"),
    "kv_cache_dtype": ("bf16", "fp8", "int4"),
    "engine": ("vllm", "sglang", "trtllm", "generic", "llamacpp"),
    "num_gpus": ("1", "2", "8", "3"),
    "tp": ("1", "2", "4", "8"),
    "pp": ("1", "2", "3"),
    "dp": ("1", "2", "4"),
    "ep": ("1", "2", "8"),
    **{f"prefill_{name}": ("1", "2", "4") for name in ("tp", "pp", "dp", "ep")},
    "prefill_workers": ("1", "2", "60000"),
    "decode_workers": ("1", "3", "60000"),
    "transfer_bandwidth": ("50 GB/s", "400 Gbit/s", "1 B/s"),
    "price": ("0", "2.5", "1e300"),
    "power": ("0", "350"),
    "gpu_memory_utilization": ("0.9", "1", "0.01"),
    "max_num_seqs": ("1", "64", "65536"),
    "max_num_batched_tokens": ("1", "2048", "1000000000"),
    "chunked_prefill": ("1", "512", "1000000000"),
    "prefix_hit_rate": ("0", "0.5", "0.999"),
    "acceptance_rate": ("0", "0.7", "1"),
    "speculative_tokens": ("1", "4", "64"),
    "routing_skew": ("0", "1", "4"),
    "slo_ttft": ("0.5", "0.001", "1e6"),
    "slo_tpot": ("0.03", "1e-9"),
    "max_gpus": ("1", "8", "1000000000"),
    "count": ("1", "5"),
    "calibrate_with": ("tpot=12ms", "ttft=0.2,tpot=10ms", "ttft=1e-9", "tpot=1e9"),
    "where": ("fits", "tpot_s < 30 ms", "tpot_s / 0 > 1", "memory >= 80 GB", "batch ="),
    "sort": ("memory", "bandwidth", "parameters", "id"),
    "top": ("3",),
    "by": ("tpot_s", "model", "tpot"),
    "pareto": ("tpot_s,ttft_s", "fits,tpot_s"),
    "columns": ("tpot_s,fits", "batch"),
    "start": ("0", "1", "99"),
    "end": ("1", "2", "99"),
    "heat": ("batch,input_len,tpot_s",),
    "allow": ("added", "removed,fixed"),
    "expect": ("tpot_s: mape < 1", "tpot_s: n >= 1"),
    "measured": (),
    "section": ("decode",),
}
#: options of a sweep that may hold several of those values
_SEVERAL: Final = ("batch", "concurrency", "request_rate", "input_len", "output_len", "gpu",
                   "precision", "tp", "engine")  # fmt: skip
_DEPLOYMENTS: Final = (
    "h100", "a100,tp=2", "t4,precision=fp16", "b200,kv-cache-dtype=fp8", "h100,tp=2,disaggregated",
    "l4,batch=4", "mi300x,engine=sglang", "h100,model=gpt2",
)  # fmt: skip
#: what the arguments of a command may name, valid ones first; files are made for each run
_ARGUMENTS: Final[dict[str, tuple[str, ...]]] = {
    "deployments": _DEPLOYMENTS,
    "gpus": ("h100", "a100", "t4", "mi300x"),
    "gpu": ("h100", "a100", "t4", "mi300x"),
    "model": ("gpt2", "llama-3-8b", "mixtral-8x7b", "deepseek-v3"),
    "source": ("gpt2", "llama-3-8b"),
    "rows": ("{rows}",),
    "scenarios": ("{plan}", "{plan}", "{rows}"),
}
_OTHER: Final = ("h100", "gpt2", "a100,tp=2", "nothing", "", ".", "/dev/null", "{plan}")
#: options that write files, wait, or ask other machines
_LEFT_OUT: Final = frozenset(
    ("output", "force", "plot", "help", "version", "specs", "axes", "file", "update", "html")
)
#: commands that write, serve, measure this machine or take long by their nature
_QUIET: Final = frozenset(("plot", "measure", "report", "serve", "calibrate"))
#: options that mean nothing without others
_TOGETHER: Final[dict[str, tuple[str, ...]]] = {
    "speculative_tokens": ("--acceptance-rate", "0.7"),
    "acceptance_rate": ("--speculative-tokens", "3"),
    "draft_model": ("--acceptance-rate", "0.7", "--speculative-tokens", "3"),
    **dict.fromkeys(("transfer_bandwidth", "transfer_overlap", "prefill_workers", "decode_workers",
                     "prefill_tp", "prefill_pp", "prefill_dp", "prefill_ep"), ("--disaggregated",)),
    "top": ("--by", "tpot_s"),
    "load": ("--concurrency", "8"),
    "random_lengths": ("--concurrency", "8"),
}  # fmt: skip


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command with up to six options: all of honest values, or with one or more odd ones."""
    names = [name for name in cli.list_commands(None) if name not in _QUIET]  # type: ignore[arg-type]
    name = draw(st.sampled_from(names))
    command = cli.get_command(None, name)  # type: ignore[arg-type]
    args = [name]
    if isinstance(command, click.Group):
        sub = draw(st.sampled_from([None, *command.list_commands(None)]))  # type: ignore[arg-type]
        if sub is not None:
            args.append(sub)
            command = command.get_command(None, sub)  # type: ignore[arg-type]
    assert command is not None
    options = [
        param
        for param in command.params
        if isinstance(param, click.Option) and param.name not in _LEFT_OUT
    ]
    oddness = draw(st.sampled_from((0, 0, 0, 1, 2)))  # none, one value in eight, one in two
    chosen = draw(st.lists(st.sampled_from(options), max_size=6)) if options else []
    for param in command.params:
        if isinstance(param, click.Argument):
            args += draw(_arguments(param, oddness))
    for param in chosen:
        args.append(draw(st.sampled_from(param.opts)))
        if not param.is_flag:
            args.append(draw(_value(param, name, oddness)))
        if draw(st.booleans()):
            args += _TOGETHER.get(param.name or "", ())
    return args


def _arguments(param: click.Argument, oddness: int) -> st.SearchStrategy[list[str]]:
    known = st.sampled_from(_ARGUMENTS.get(param.name or "", _OTHER))
    one = known if oddness == 0 else st.one_of(known, known, st.sampled_from(_OTHER))
    if oddness:
        return st.lists(one, max_size=3)
    least = 2 if param.name in ("deployments", "gpus") else 1
    return st.lists(one, min_size=least, max_size=3 if param.nargs == -1 else 1)


def _value(param: click.Option, command: str, oddness: int) -> st.SearchStrategy[str]:
    several = command == "sweep" and param.name in _SEVERAL
    if isinstance(param.type, click.Choice):
        honest = st.sampled_from([str(choice) for choice in param.type.choices])
    else:
        values = VALUES.get(param.name or "", ()) or ("1", "2", "0.5", "a")
        honest = st.sampled_from(values)
        if several:
            honest = st.lists(honest, min_size=1, max_size=3).map(",".join)
    if oddness == 0:
        return honest
    return st.one_of(*[honest] * (7 if oddness == 1 else 1), odd)
