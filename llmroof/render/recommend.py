"""A recommendation for people and for programs, with the commands that start it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any, Final

from llmroof import units
from llmroof.engine.deployment import Deployment
from llmroof.engine.estimate import Estimate
from llmroof.render.page import Item, Line, Page, grid, heading, page
from llmroof.render.record import Tree, head, plain_tree, tree
from llmroof.render.sweep import devices_words
from llmroof.search.goal import Answer, Goal, Miss, Option

#: why a replica carries no more, in words
_LIMITS: Final = {
    "slo_ttft": "the TTFT target",
    "slo_tpot": "the TPOT target",
    "memory": "memory: the KV cache is full",
    "max_num_seqs": "the engine's limit of sequences",
    "hardware": "the GPUs: more at once gains nothing",
    "replicas": "the GPUs: a replica less could not carry the stream",
    "load": "nothing: the load is carried",
}
_TARGETS: Final = {"slo_ttft": "TTFT", "slo_tpot": "TPOT", "max_gpus": "GPUs"}
#: formats that vLLM and SGLang make from a 16-bit checkpoint as it loads
_ON_LOAD: Final = ("fp8",)
#: precision -> what to look for where a checkpoint in that format is needed
_CHECKPOINT: Final = {"int4": "AWQ or GPTQ", "nvfp4": "NVFP4", "mxfp4": "MXFP4", "int8": "INT8"}


def recommend_document(answer: Answer) -> Tree:
    """`llmroof.recommendation/1`."""
    goal = answer.goal
    return head("recommendation") | plain_tree(
        {
            "model": answer.model.id,
            "goal": {
                "input_len": goal.input_len,
                "output_len": goal.output_len,
                "slo_ttft_s": goal.slo_ttft,
                "slo_tpot_s": goal.slo_tpot,
                "request_rate": goal.request_rate,
                "concurrency": goal.concurrency,
                "max_gpus": goal.max_gpus,
                "objective": goal.objective,
                "prefix_hit_rate": goal.prefix_hit_rate,
            },
            "met": bool(answer.options),
            "options": [option_figures(option) for option in answer.options],
            "nearest": None if answer.nearest is None else miss_figures(answer.nearest, goal),
            "candidates": answer.tried,
            "evaluated": answer.evaluated,
            "notes": list(answer.notes),
        }
    )


def option_figures(option: Option) -> Tree:
    """One option: the fleet, what binds it, a replica's figures, the commands."""
    return {
        "replicas": option.replicas,
        "total_gpus": option.num_gpus,
        "fleet_usd_per_hour": option.usd_per_hour,
        "limited_by": option.limited_by,
        "bound": str(option.estimate.decode.bound),
        **_replica(option.estimate),
        "commands": commands(option.estimate),
    }


def miss_figures(miss: Miss, goal: Goal) -> Tree:
    """The nearest miss and the targets it misses."""
    return {
        "replicas": miss.replicas,
        "total_gpus": miss.replicas * miss.estimate.deployment.num_gpus,
        "missed": list(miss.reasons),
        "excess": miss.excess,
        **_replica(miss.estimate),
    }


def _replica(estimate: Estimate) -> Tree:
    parts = tree(estimate)
    return {
        name: parts[name]
        for name in ("inputs", "decode", "memory", "serving", "cost", "energy", "steady")
    }


def recommend_rows(answer: Answer) -> list[Tree]:
    """One flat row per option."""
    from llmroof.render.table import rows

    return [
        {
            "rank": place,
            "replicas": option.replicas,
            "total_gpus": option.num_gpus,
            "fleet_usd_per_hour": option.usd_per_hour,
            "limited_by": option.limited_by,
            **rows(option.estimate)[0],
        }
        for place, option in enumerate(answer.options, 1)
    ]


def recommend_page(answer: Answer) -> Page:
    """The best few as a table, the best one in words and as commands; or the nearest miss."""
    goal = answer.goal
    items: list[Item] = [heading(_question(answer)), Line("")]
    if not answer.options:
        return page([*items, *_nothing(answer), *_notes(answer)])
    items += [_table(answer), Line(""), Line(_best(answer.options[0], goal), hang=2)]
    items += [Line(""), heading("To start it")]
    texts = commands(answer.options[0].estimate)
    chosen = answer.options[0].estimate.deployment.engine
    order = [chosen] if chosen in texts else list(texts)
    for engine in order:
        items += [Line(line, "verbatim") for line in folded(texts[engine])]
    checkpoint = _checkpoint(answer.options[0].estimate.deployment)
    items += [Line(f"  ({checkpoint})", hang=2)] if checkpoint else []
    return page([*items, *_notes(answer)])


def _question(answer: Answer) -> str:
    goal = answer.goal
    wishes = [
        f"TTFT ≤ {units.show(goal.slo_ttft, 's')}" if goal.slo_ttft else "",
        f"TPOT ≤ {units.show(goal.slo_tpot, 's')}" if goal.slo_tpot else "",
        f"{goal.request_rate:g} requests/s" if goal.request_rate else "",
        f"{goal.concurrency:g} requests in flight" if goal.concurrency else "",
        f"at most {goal.max_gpus} GPUs",
        f"least {goal.objective}" if goal.objective != "throughput" else "most throughput per GPU",
    ]
    return (
        f"{answer.model.name}, {goal.input_len:,.0f} tokens in, {goal.output_len:,.0f} out: "
        + ", ".join(filter(None, wishes))
    )


def _table(answer: Answer) -> Item:
    header = ("GPUs", "format", "load", "TTFT", "TPOT", "tok/s/GPU", "USD/h", "USD/M")
    body = []
    for option in answer.options:
        estimate = option.estimate
        assert estimate.load is not None
        body.append(
            (
                _deployment(option.replicas, estimate),
                estimate.deployment.run.precision.name,
                f"{estimate.load.concurrency:,.0f}",
                units.show(estimate.serving.ttft, "s"),
                units.show(estimate.serving.tpot, "s"),
                f"{estimate.serving.output_tokens_per_s_per_gpu:,.0f}",
                _dollars(option.usd_per_hour),
                _dollars(estimate.cost.usd_per_million_total_tokens),
            )
        )
    return grid(header, body, "<<>>>>>>", gap=1)


def _deployment(replicas: int, estimate: Estimate) -> str:
    row = tree(estimate)["inputs"]
    return f"{replicas} of {devices_words(row)}" if replicas > 1 else devices_words(row)


def _dollars(value: Any) -> str:
    return "-" if value is None else units.significant(float(value))


def _best(option: Option, goal: Goal) -> str:
    estimate = option.estimate
    steady, memory = estimate.steady, estimate.memory
    assert steady is not None
    assert estimate.load is not None
    each = "each " if option.replicas > 1 else ""
    fleet = f"{option.replicas} replicas, {option.num_gpus} GPUs in all. " * (option.replicas > 1)
    free = float(steady.slots)
    return (
        f"Best: {_deployment(1, estimate)} in {estimate.deployment.run.precision.name}. {fleet}"
        f"{each.capitalize() or 'It '}carries {estimate.load.concurrency:,.0f} requests at once "
        f"({estimate.serving.requests_per_s:.3g} requests/s); what limits it is "
        f"{_LIMITS[option.limited_by]}. Decode is {estimate.decode.bound}-bound; memory holds "
        f"{free:,.0f} sequences, {units.show(memory.weights_bytes, 'B')} of weights per GPU."
    )


def _nothing(answer: Answer) -> Iterator[Item]:
    miss, goal = answer.nearest, answer.goal
    if miss is None:
        yield Line("Nothing holds the model within these limits.", "bad")
        return
    serving = miss.estimate.serving
    figures = {
        "slo_ttft": (units.show(serving.ttft, "s"), units.show(goal.slo_ttft or 0.0, "s")),
        "slo_tpot": (units.show(serving.tpot, "s"), units.show(goal.slo_tpot or 0.0, "s")),
        "max_gpus": (str(miss.replicas * miss.estimate.deployment.num_gpus), str(goal.max_gpus)),
    }
    yield Line("No configuration meets all of it.", "bad")
    missed = ", ".join(
        f"{_TARGETS[name]} {figures[name][0]} instead of {figures[name][1]}"
        for name in miss.reasons
    )
    yield Line(
        f"Nearest: {_deployment(miss.replicas, miss.estimate)} in "
        f"{miss.estimate.deployment.run.precision.name}: {missed}. {_why(miss)}",
        hang=2,
    )


def _why(miss: Miss) -> str:
    """Which roof the missed target hangs on."""
    estimate = miss.estimate
    if "slo_tpot" in miss.reasons:
        floor = units.show(estimate.decode.roofline_time, "s")
        return f"Decode is {estimate.decode.bound}-bound; its physical limit is {floor} a step."
    if "slo_ttft" in miss.reasons:
        floor = units.show(estimate.prefill.roofline_time, "s")
        return f"Prefill is {estimate.prefill.bound}-bound; its physical limit is {floor}."
    return "Fewer GPUs miss the other targets."


def _notes(answer: Answer) -> Iterator[Item]:
    yield Line("")
    yield Line(
        f"- {answer.tried:,} deployments have room for the model; {answer.evaluated:,} had to be "
        f"worked out: the least time of the others is too long to win",
        hang=2,
    )
    if any(option.estimate.deployment.run.precision.weights.quantized for option in answer.options):
        yield Line(
            "- fewer bits cost some quality: --precision bf16 keeps to what was asked", hang=2
        )
    for note in answer.notes:
        yield Line(f"- {note}", hang=2)


def commands(estimate: Estimate) -> dict[str, str]:
    """Engine -> the command that serves this deployment with it."""
    deployment, load = estimate.deployment, estimate.load
    name = deployment.model.hub[0] if deployment.model.hub else deployment.model.id
    length = f"{estimate.workload.input_len + estimate.workload.output_len:.0f}"
    at_once = 1.0 if load is None else float(load.concurrency)
    plan, precision = deployment.run.plan, deployment.run.precision
    small_cache = precision.kv_cache.bits <= 8
    on_load = precision.weights.id in _ON_LOAD
    sequences = f"{max(1, round(at_once)):d}"
    share = f"{deployment.rules.utilization:g}"
    return {
        "vllm": _line(
            ["vllm", "serve", name],
            ("--tensor-parallel-size", plan.tp, plan.tp > 1),
            ("--pipeline-parallel-size", plan.pp, plan.pp > 1),
            ("--data-parallel-size", plan.dp, plan.dp > 1),
            ("--enable-expert-parallel", "", plan.ep > 1),
            ("--quantization", "fp8", on_load),
            ("--kv-cache-dtype", "fp8", small_cache),
            ("--max-model-len", length, True),
            ("--max-num-seqs", sequences, True),
            ("--gpu-memory-utilization", share, True),
        ),
        "sglang": _line(
            ["sglang", "serve", "--model-path", name],
            ("--tp-size", plan.tp * plan.dp, plan.tp * plan.dp > 1),
            ("--pp-size", plan.pp, plan.pp > 1),
            ("--dp-size", plan.dp, plan.dp > 1),
            ("--enable-dp-attention", "", plan.dp > 1),
            ("--ep-size", plan.ep, plan.ep > 1),
            ("--quantization", "fp8", on_load),
            ("--kv-cache-dtype", "fp8_e4m3", small_cache),
            ("--context-length", length, True),
            ("--max-running-requests", sequences, True),
            ("--mem-fraction-static", share, True),
        ),
        "trtllm": _line(
            ["trtllm-serve", name],
            ("--tp_size", plan.tp * plan.dp, plan.tp * plan.dp > 1),
            ("--pp_size", plan.pp, plan.pp > 1),
            ("--ep_size", plan.ep, plan.ep > 1),
            ("--max_seq_len", length, True),
            ("--max_batch_size", sequences, True),
            ("--kv_cache_free_gpu_memory_fraction", share, True),
        ),
    }


def _line(start: list[str], *options: tuple[str, Any, bool]) -> str:
    words = [shlex.quote(word) for word in start]
    for flag, value, wanted in options:
        if wanted:
            words.append(f"{flag} {value}" if value != "" else flag)
    return " ".join(words)


def folded(command: str, width: int = 76) -> list[str]:
    """A command over several lines that can be copied as they are."""
    words = command.replace(" --", "\n--").split("\n")
    lines, line = [], f"  {words[0]}"
    for word in words[1:]:
        if len(line) + len(word) + 3 > width:
            lines.append(f"{line} \\")
            line = f"      {word}"
        else:
            line += f" {word}"
    return [*lines, line]


def _checkpoint(deployment: Deployment) -> str:
    """What the weights must be stored as, where the engine does not make it on load."""
    weights = deployment.run.precision.weights
    stored = deployment.model.precision.weights
    if weights == stored or not weights.quantized or weights.id in _ON_LOAD:
        return ""
    kind = _CHECKPOINT.get(weights.id.partition("-")[0], weights.id)
    return f"takes a checkpoint in {kind} format"
