"""Derivations under a load: what a request meets, TTFT and TPOT from it, throughput, the cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from llmroof import units
from llmroof.engine.estimate import Estimate
from llmroof.engine.loaded import prompts_share
from llmroof.engine.passes import per_rank
from llmroof.engine.serving import (
    Load,
    StepCosts,
    held_back,
    operate,
    other_ranks,
    queue_share,
)
from llmroof.render.derive import Quantity, Section, Step, number
from llmroof.render.page import Line
from llmroof.render.split import ratio_words, workers_words


def load_section(estimate: Estimate) -> Section:
    """TTFT, TPOT and throughput of a server with requests coming and going."""
    items = _shared_items(estimate) if estimate.split is None else _split_items(estimate)
    return Section("serving", "Latency and throughput", (*items, *_throughput(estimate)))


def _shared_items(estimate: Estimate) -> list[Any]:
    """Prefill and decode on the same devices: each disturbs the other."""
    load, steady = _loaded(estimate)
    at, costs = _operating_point(estimate)
    plan = estimate.deployment.run.plan
    share = number(queue_share(load, estimate.deployment.rules), "", _source(estimate))
    running, marginal = number(_on_a_rank(estimate)), number(costs.marginal, "s")
    stream = load.kind == "poisson"
    here = f"{running.value:.4g} sequences run{' on each rank' if plan.dp > 1 else ''}"
    how = (
        "every prompt that arrives while one decodes is met between two of its tokens."
        if stream
        else "every other one's prompt is met once: while queueing, or between two tokens."
    )
    room = f"{steady.slots / plan.dp:,.0f}"
    if stream:
        meets = Step(
            "prompts met between tokens",
            "running",
            {"running": running},
            running,
            "as many arrive in the time of an answer: Little's law",
        )
        queue = _queue_of_arrivals(estimate)
    else:
        meets = Step(
            "prompts met between tokens",
            "(1 - queued) * (running - 1)",
            {"queued": share, "running": running},
            number((1.0 - share.value) * (running.value - 1.0)),
            "queued: the share of them that is met before the first token",
        )
        queue = _queue_of_others(estimate, at.interference, share, running, marginal)
    return [
        Line(f"  {here}, the engine has room for {room}; {how}", hang=2),
        *drafted_tokens(estimate),
        meets,
        _between_tokens(estimate, costs, meets.result, marginal),
        *queue,
        *_lag(estimate),
        _first_token(estimate),
    ]


def _source(estimate: Estimate) -> str:
    return estimate.deployment.rules.source


def _loaded(estimate: Estimate) -> tuple[Load, Any]:
    assert estimate.load is not None
    assert estimate.steady is not None
    return estimate.load, estimate.steady


def at_load(estimate: Estimate) -> Load:
    """The load of the operating point: what runs, where requests come as they like."""
    load, steady = _loaded(estimate)
    if load.kind != "poisson":
        return load
    return replace(load, concurrency=steady.running)


def _on_a_rank(estimate: Estimate) -> float:
    """Sequences that run on the busiest data-parallel rank; of a stream, on average."""
    deployment, load = estimate.deployment, at_load(estimate)
    _, steady = _loaded(estimate)
    plan = deployment.run.plan
    slots = steady.slots / plan.dp
    if load.kind == "poisson":
        return float(np.minimum(load.concurrency / plan.dp, slots))
    return float(np.maximum(np.minimum(per_rank(load.concurrency, plan), slots), 1))


def _operating_point(estimate: Estimate) -> tuple[Any, StepCosts]:
    """The steps that the answer is made of, worked out anew."""
    return operate(estimate.deployment, at_load(estimate))


def _between_tokens(
    estimate: Estimate, costs: StepCosts, met: Quantity, marginal: Quantity
) -> Step:
    """TPOT: a decode step, and what the prompts of others add to it."""
    load, steady = _loaded(estimate)
    inputs = {
        "step": number(steady.step, "s"),
        "met": met,
        "delay": marginal,
        "output": number(load.output_len),
    }
    tpot = number(steady.tpot, "s")
    note = "delay: what one more prompt costs those that decode"
    room = load.output_len / costs.span
    if met.value <= room:
        return Step("TPOT", "step + met * delay / output", inputs, tpot, note)
    inputs |= {"room": number(room), "alone": number(max(costs.alone, costs.marginal), "s")}
    formula = "step + (room * delay + (met - room) * alone) / output"
    return Step("TPOT", formula, inputs, tpot, f"{note}; room: prompts that the steps can hold")


def _queue_of_arrivals(estimate: Estimate) -> list[Any]:
    """The wait for the prompts of those that came before, of a stream at random."""
    _, steady = _loaded(estimate)
    if not steady.interference:
        return []
    prefill = number(steady.prefill, "s")
    rate = number(steady.requests_per_s)
    inputs = {"rate": rate, "prefill": prefill, "ranks": number(estimate.deployment.run.plan.dp)}
    busy = Step("busy with prompts", "rate * prefill / ranks", inputs, _product(inputs))
    wait = Step(
        "prefill of others",
        "busy * prefill / (2 * (1 - busy))",
        {"busy": busy.result, "prefill": prefill},
        number(steady.interference, "s"),
        "Pollaczek-Khinchine, service of constant length",
    )
    return [busy, wait] if np.isclose(_mean_wait(wait), wait.result.value) else [busy]


def _product(inputs: dict[str, Quantity]) -> Quantity:
    return number(inputs["rate"].value * inputs["prefill"].value / inputs["ranks"].value)


def _mean_wait(step: Step) -> float:
    busy, prefill = step.inputs["busy"].value, step.inputs["prefill"].value
    return busy * prefill / (2 * (1 - busy)) if busy < 1 else np.inf


def _queue_of_others(
    estimate: Estimate, wait: Any, share: Quantity, running: Quantity, marginal: Quantity
) -> list[Any]:
    """The prompts of others before the first token, of requests that replace each other."""
    load, steady = _loaded(estimate)
    rules, plan = estimate.deployment.rules, estimate.deployment.run.plan
    if not wait:
        return []
    terms = ["queued * (running - 1) * delay"]
    inputs = {"queued": share, "running": running, "delay": marginal}
    ranks = other_ranks(load, plan.dp)
    if ranks and rules.rank_coupling:
        terms.append("coupling * ranks * delay")
        inputs |= {"coupling": number(rules.rank_coupling, "", rules.source)}
        inputs |= {"ranks": number(ranks)}
    if rules.clump and not load.random and load.kind == "burst":
        terms.append("clump * (running - 1) / running * prefill")
        inputs |= {
            "clump": number(rules.clump, "", rules.source),
            "prefill": number(steady.prefill, "s"),
        }
    return [Step("prefill of others", " + ".join(terms), inputs, number(wait, "s"))]


def _lag(estimate: Estimate) -> list[Any]:
    """The engine's own time before a first token, and the wait for room in the cache."""
    _, steady = _loaded(estimate)
    rules, items = estimate.deployment.rules, []
    if steady.lag > 0:
        inputs = {
            "start": number(rules.start, "s", rules.source),
            "steps": number(rules.pipeline_lag, "", rules.source),
            "step": number(steady.step, "s"),
        }
        formula = "start + steps * step"
        held = float(held_back(at_load(estimate), rules, estimate.deployment.run.plan.dp))
        if estimate.split is not None:  # what takes decode steps is at the other workers
            inputs, formula = {"start": inputs["start"]}, "start"
        elif held:
            inputs |= {"held_back": number(held, "", rules.source)}
            formula = "start + (steps + held_back) * step"
        items.append(Step("the engine's lag", formula, inputs, number(steady.lag, "s")))
    if steady.memory_wait > 0 and estimate.split is None:
        stay = estimate.serving.e2e_latency - steady.memory_wait
        items.append(
            Step(
                "waiting for memory",
                "share * waiting * stay / running",
                {
                    "share": number(rules.wait_share, "", rules.source),
                    "waiting": number(steady.waiting),
                    "stay": number(stay, "s"),
                    "running": number(steady.running),
                },
                number(steady.memory_wait, "s"),
                "Little's law: who has no room waits for one that ends",
            )
        )
    return items


def _first_token(estimate: Estimate) -> Step:
    """TTFT as the sum of its parts."""
    load, steady = _loaded(estimate)
    waiting = 0.0 if load.kind == "poisson" and estimate.split is None else steady.memory_wait
    parts = {
        "prefill": steady.prefill,
        "prefill_of_others": steady.interference,
        "lag": steady.lag,
        "waiting": waiting,
        "transfer": steady.transfer,
    }
    parts = {name: time for name, time in parts.items() if time > 0}
    inputs = {name: number(time, "s") for name, time in parts.items()}
    return Step("TTFT", " + ".join(inputs), inputs, number(steady.ttft, "s"))


def _split_items(estimate: Estimate) -> list[Any]:
    """Workers of their own: no prompt is met between two tokens."""
    _, steady = _loaded(estimate)
    words = (
        f"  {workers_words(estimate)}; {steady.running:.4g} sequences decode. TPOT is a decode "
        f"worker's step, {units.show(float(steady.tpot), 's', 4)}: no prefill disturbs it."
    )
    return [
        Line(words, hang=2),
        *drafted_tokens(estimate),
        *_lag(estimate),
        _first_token(estimate),
        Line(f"  {ratio_words(estimate)}", hang=2),
    ]


def drafted_tokens(estimate: Estimate) -> list[Any]:
    """Tokens that a step yields where some are drafted; nothing without speculation."""
    guess = estimate.deployment.speculation
    if guess is None:
        return []
    inputs = {"accepted": number(guess.acceptance), "drafted": number(guess.tokens)}
    result = number(guess.tokens_per_step)
    if guess.acceptance >= 1:
        return [Step("tokens per step", "drafted + accepted", inputs, result)]
    formula = "(1 - accepted ** (drafted + 1)) / (1 - accepted)"
    return [Step("tokens per step", formula, inputs, result, "Leviathan et al. 2023, equation 1")]


def _throughput(estimate: Estimate) -> list[Any]:
    """Latency, requests and tokens per second, and the measured range of cases like it."""
    load, _ = _loaded(estimate)
    serving = estimate.serving
    out = number(load.output_len)
    latency = number(serving.e2e_latency, "s")
    rate = number(serving.requests_per_s)
    flying = number(load.concurrency)
    items: list[Any] = [
        Step(
            "latency",
            "TTFT + (output - 1) * TPOT",
            {"TTFT": number(serving.ttft, "s"), "output": out, "TPOT": number(serving.tpot, "s")},
            latency,
            "arrival to last token",
        )
    ]
    if load.kind == "poisson":
        items.append(
            Step(
                "requests in flight",
                "rate * latency",
                {"rate": rate, "latency": latency},
                flying,
                "Little's law",
            )
        )
    else:
        items.append(
            Step(
                "requests/s",
                "in_flight / latency",
                {"in_flight": flying, "latency": latency},
                rate,
                "Little's law",
            )
        )
    items.append(
        Step(
            "output tokens/s",
            "requests_per_s * output",
            {"requests_per_s": rate, "output": out},
            number(serving.output_tokens_per_s),
        )
    )
    if serving.ttft_range is not None and serving.tpot_range is not None:
        low, high = (units.show(float(end), "s") for end in serving.ttft_range)
        least, most = (units.show(float(end), "s") for end in serving.tpot_range)
        items.append(
            Line(
                f"  80% of measured cases like it: TTFT {low} to {high}, TPOT {least} to {most}.",
                hang=2,
            )
        )
    return items


def prefill_share(estimate: Estimate) -> float:
    """The part of a server's time that goes to prompts: what input tokens pay for."""
    _, steady = _loaded(estimate)
    ranks = estimate.deployment.run.plan.dp
    return float(prompts_share(estimate.serving.requests_per_s, ranks, steady))
