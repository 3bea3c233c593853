"""A recommendation for people and for programs, with the commands that start it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from llmroof import units
from llmroof.engine.estimate import Estimate
from llmroof.render.commands import checkpoint, commands, folded
from llmroof.render.flags import flags, same_question
from llmroof.render.page import Item, Line, Page, grid, heading, page
from llmroof.render.record import Tree, head, plain_tree, tree
from llmroof.render.sweep import devices_words
from llmroof.search.goal import Answer, Goal, Miss, Option
from llmroof.search.headroom import up_to_most
from llmroof.specs.precision import RECIPES, recipe

#: what keeps a replica from carrying more, after "more at once"
_LIMITS: Final = {
    "slo_ttft": "miss the TTFT target",
    "slo_tpot": "miss the TPOT target",
    "memory": "find no room in the KV cache",
    "max_num_seqs": "are beyond the engine's limit of sequences",
    "hardware": "gain nothing",
}
#: a replica that could carry no more than this part above its load carries what it can
_SLACK: Final = 0.02
_TARGETS: Final = {"slo_ttft": "TTFT", "slo_tpot": "TPOT", "max_gpus": "GPUs"}


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
        "most_concurrency": option.most,
        "most_requests_per_s": option.most_per_s,
        "bound": str(option.estimate.decode.bound),
        **_replica(option.estimate),
        "commands": commands(option.estimate, option.most),
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
            "most_concurrency": option.most,
            "most_requests_per_s": option.most_per_s,
            **rows(option.estimate)[0],
        }
        for place, option in enumerate(answer.options, 1)
    ]


def curve_rows(answer: Answer) -> list[Tree]:
    """A replica of every option from one request in flight to the most it could carry."""
    from llmroof.render.table import rows

    return [row for option in answer.options for row in rows(up_to_most(option))]


def recommend_page(answer: Answer) -> Page:
    """The best few as a table, the best one in words and as commands; or the nearest miss."""
    goal = answer.goal
    items: list[Item] = [heading(_question(answer)), Line("")]
    if not answer.options:
        return page([*items, *_nothing(answer), *_notes(answer)])
    items += [_table(answer), Line(""), heading("What each carries, and what limits it")]
    items += [Line(_carries(option, goal), hang=2) for option in answer.options]
    best = answer.options[0]
    items += [
        Line(""),
        heading(f"To start {'each of the first' if best.replicas > 1 else 'the first'}"),
    ]
    texts = commands(best.estimate, best.most)
    chosen = best.estimate.deployment.engine
    engines = [chosen] if chosen in texts else list(texts)
    for engine in engines:
        items += [Line(line, "verbatim") for line in folded(texts[engine])]
    items += [Line(f"  ({text})", hang=3) for text in _remarks(best.estimate, engines)]
    items += [Line(""), heading("To check it")]
    items += [Line(f"  llmroof estimate {flags(same_question(best.estimate))}", hang=4)]
    return page([*items, *_notes(answer)])


def _remarks(estimate: Estimate, engines: Sequence[str]) -> Iterator[str]:
    """What the commands take for granted."""
    deployment = estimate.deployment
    wanted = {name: kind for name in engines if (kind := checkpoint(deployment, name))}
    for kind in dict.fromkeys(wanted.values()):
        who = [name for name in engines if wanted.get(name) == kind]
        of = "" if who == engines else f" for {' and '.join(who)}"
        yield f"name a checkpoint of the model in {kind} format{of}, if that is another one"


def _question(answer: Answer) -> str:
    goal = answer.goal
    wishes = [
        f"TTFT ≤ {units.show(goal.slo_ttft, 's')}" if goal.slo_ttft else "",
        f"TPOT ≤ {units.show(goal.slo_tpot, 's')}" if goal.slo_tpot else "",
        f"{goal.request_rate:g} requests/s" if goal.request_rate else "",
        f"{goal.concurrency:g} requests in flight" if goal.concurrency else "",
        f"at most {goal.max_gpus} GPU{'s' * (goal.max_gpus > 1)}",
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
                _format(estimate),
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
    return f"{replicas:,} of {devices_words(row)}" if replicas > 1 else devices_words(row)


def _format(estimate: Estimate) -> str:
    """The precision by name, and the bits of the activations where the name leaves them at 16."""
    precision = estimate.deployment.run.precision
    kept = recipe(precision.name).activations if precision.name in RECIPES else None
    if kept is None or kept.bits == precision.activations.bits:
        return precision.name
    return f"{precision.name} a{precision.activations.bits}"


def _dollars(value: Any) -> str:
    return "-" if value is None else units.significant(float(value))


def _carries(option: Option, goal: Goal) -> str:
    """What a replica carries and could carry, what ends that, and what a step is bound by."""
    estimate, most = option.estimate, option.most
    assert estimate.load is not None
    now = float(estimate.load.concurrency)
    rate = float(estimate.serving.requests_per_s)
    who = _deployment(1, estimate)
    if option.replicas > 1:
        who = f"{option.replicas} replicas of {who}, {option.num_gpus} GPUs in all: each"
    else:
        who = f"{who}:"
    carried = f"{now:,.0f} at once, {rate:.3g} requests/s"
    asked = goal.request_rate is not None or goal.concurrency is not None
    if asked and most > now * (1 + _SLACK):
        carried += f"; it could carry {most:,.0f}, {option.most_per_s:.3g} requests/s"
    if goal.objective == "latency" and option.limited_by == "hardware":
        limit = "more at once take longer"
    else:
        limit = f"more {_LIMITS[option.limited_by]}"
    bound = str(estimate.decode.bound)
    share = float(getattr(estimate.decode.times, bound)) / float(estimate.decode.time)
    return f"- {who} {carried}; {limit}. A decode step is {bound}-bound ({min(share, 1):.0%} of it)"


def _nothing(answer: Answer) -> Iterator[Item]:
    miss, goal = answer.nearest, answer.goal
    if miss is None:
        yield Line("Nothing holds the model within these limits.", "bad")
        return
    serving = miss.estimate.serving
    figures = {
        "slo_ttft": (units.show(serving.ttft, "s"), units.show(goal.slo_ttft or 0.0, "s")),
        "slo_tpot": (units.show(serving.tpot, "s"), units.show(goal.slo_tpot or 0.0, "s")),
        "max_gpus": (
            f"{miss.replicas * miss.estimate.deployment.num_gpus:,}",
            f"{goal.max_gpus:,}",
        ),
    }
    yield Line("No configuration meets all of it.", "bad")
    missed = ", ".join(
        f"{_TARGETS[name]} {figures[name][0]} instead of {figures[name][1]}"
        for name in miss.reasons
    )
    yield Line(
        f"Nearest: {_deployment(miss.replicas, miss.estimate)} in "
        f"{_format(miss.estimate)}: {missed}. {_why(miss, goal)}",
        hang=2,
    )


def _why(miss: Miss, goal: Goal) -> str:
    """Which roof the missed target hangs on."""
    estimate = miss.estimate
    if "slo_tpot" in miss.reasons:
        floor = units.show(estimate.decode.roofline_time, "s")
        return f"Decode is {estimate.decode.bound}-bound; its physical limit is {floor} a step."
    if "slo_ttft" in miss.reasons:
        floor = units.show(estimate.prefill.roofline_time, "s")
        return f"Prefill is {estimate.prefill.bound}-bound; its physical limit is {floor}."
    within = " within the targets" if goal.slo_ttft or goal.slo_tpot else ""
    return f"Fewer GPUs do not carry it{within}."


def _notes(answer: Answer) -> Iterator[Item]:
    yield Line("")
    if answer.tried:
        counts = f"- {answer.tried:,} deployments have room for the model"
        if answer.evaluated < answer.tried:
            counts += (
                f"; {answer.evaluated:,} had to be worked out: the least time of the others is "
                f"too long to win"
            )
        yield Line(counts, hang=2)
    if any(option.estimate.deployment.run.precision.weights.quantized for option in answer.options):
        yield Line(
            "- fewer bits cost some quality: --precision bf16 keeps to what was asked", hang=2
        )
    if any(_format(option.estimate).endswith(" a4") for option in answer.options):
        yield Line("- a4: activations in four bits too (--activations)", hang=2)
    for note in answer.notes:
        yield Line(f"- {note}", hang=2)
