"""The estimate for people: the answer first, then why, then what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import numpy as np

from llmroof import units
from llmroof.engine.estimate import Estimate
from llmroof.operators import Plan
from llmroof.render.basis import (
    NOTHING,
    arithmetics,
    basis,
    defaults_sentence,
    measured_words,
    price_basis,
    range_words,
)
from llmroof.render.flags import command, words
from llmroof.render.page import Grid, Item, Line, Page, fits, grid, heading, page
from llmroof.render.record import shape
from llmroof.render.split import split_sentences, workers_words
from llmroof.render.why import phase_sentence, ridge_sentence
from llmroof.search.again import at_limit
from llmroof.search.levers import Lever, levers, more_at_once, ways_out

#: the options of the question as they were given
Asked: TypeAlias = Mapping[str, Any]
_LEVERS_SHOWN: Final = 3
_COLUMN_NAMES: Final = {"concurrency": "in flight", "request_rate": "req/s"}
_USUAL_WIDTH: Final = 80


def estimate_page(estimate: Estimate, asked: Asked = NOTHING) -> Page:
    """One point: a screen of text. Several: one row per point."""
    if shape(estimate):
        return sweep_page(estimate, asked)
    if not estimate.fits:
        return no_fit_page(estimate, asked)
    return page(
        [
            *title(estimate),
            answer(estimate),
            *load_sentences(estimate),
            *split_sentences(estimate),
            Line(memory_sentence(estimate), hang=2),
            Line(""),
            why(estimate),
            Line(phase_sentence("prefill", estimate.prefill)),
            Line(decode_words(estimate)),
            *moves(estimate),
            *assumptions(estimate, asked),
        ]
    )


def decodes(estimate: Estimate) -> bool:
    """False where the first token is the last, so that no decode step is run."""
    return bool(estimate.workload.output_len > 1)


def decode_words(estimate: Estimate) -> str:
    """What binds decode and how far the ridge is."""
    if not decodes(estimate):
        return "No decode step: prefill gives the one token that is asked for."
    return f"{phase_sentence('decode', estimate.decode)} {ridge_sentence(estimate)}"


def title(estimate: Estimate) -> list[Item]:
    """What is deployed and what it is asked to do."""
    work = estimate.workload
    return [
        deployment_line(estimate),
        Line(
            f"{arrivals(estimate)}, {tokens(work.input_len)} in, "
            f"{tokens(work.output_len)} out per sequence"
        ),
        Line(""),
    ]


def tokens(number: float) -> str:
    """`1 token`, `256 tokens`."""
    return f"{number:,.0f} token{'' if number == 1 else 's'}"


def arrivals(estimate: Estimate) -> str:
    """What comes: a static batch, requests in flight, or a stream of them."""
    load, steady = estimate.load, estimate.steady
    if load is None or steady is None:
        return f"batch {estimate.workload.batch:,.0f}"
    if load.kind == "poisson":
        return f"{steady.requests_per_s:.4g} requests/s (Poisson)"
    return f"{load.concurrency:,.0f} requests in flight ({load.kind} load)"


def load_sentences(estimate: Estimate) -> list[Item]:
    """What TTFT and TPOT are made of under a load; nothing for a static batch."""
    steady, load = estimate.steady, estimate.load
    if steady is None or load is None:
        return []
    parts = (
        ("its own prefill", steady.prefill),
        ("prefill of others before it", steady.interference),
        ("the engine's lag", steady.lag),
        ("waiting for memory", steady.memory_wait),
        ("sending the KV cache", steady.transfer),
    )
    ttft = " + ".join(f"{units.show(time, 's')} {what}" for what, time in parts if time > 0)
    others = max(float(steady.tpot - steady.step), 0.0)
    disturbed = f" + {units.show(others, 's')} prefill of others between two tokens"
    if estimate.split is not None:
        disturbed = ", which no prefill disturbs"
    running = f"{steady.running:.3g} running"
    if load.kind == "poisson":
        running += f" of {load.concurrency:.3g} in flight on average"
    return [
        Line(
            f"  under load: TTFT = {ttft}; TPOT = {units.show(steady.step, 's')} decode step "
            f"({running}){disturbed}",
            hang=2,
        )
    ]


def deployment_line(estimate: Estimate) -> Line:
    """The model, its precision, the devices and how the model is split over them."""
    deployment = estimate.deployment
    plan = deployment.run.plan
    split = degrees(plan) if deployment.workers is None else workers_words(estimate)
    many = f"{deployment.num_gpus} × " if deployment.num_gpus > 1 else ""
    return heading(
        f"{deployment.model.name}, {deployment.run.precision.name}, on "
        f"{many}{deployment.hardware.name}{f' ({split})' if split else ''}"
    )


def degrees(plan: Plan) -> str:
    """`tp=4, dp=2`: the degrees above 1."""
    found = (("tp", plan.tp), ("pp", plan.pp), ("dp", plan.dp), ("ep", plan.ep))
    return ", ".join(f"{name}={degree}" for name, degree in found if degree > 1)


def answer(estimate: Estimate) -> Grid:
    """Latency, throughput and cost, as expected and at the physical limit."""
    limit = at_limit(estimate)
    kinds = [limit] if limit is estimate else [estimate, limit]
    names = ("at the limit",) if limit is estimate else ("expected", "at the limit")
    rows = [
        ("TTFT", *(_spanned(each.serving.ttft, each.serving.ttft_range) for each in kinds)),
        ("TPOT", *(_tpot(each) for each in kinds)),
        ("output tokens/s", *(f"{each.serving.output_tokens_per_s:,.0f}" for each in kinds)),
    ]
    if estimate.cost.usd_per_million_output_tokens is not None:
        rows.append(("USD/M tokens out, in", *(_prices(each) for each in kinds)))
    return grid(("", *names), rows)


def _tpot(estimate: Estimate) -> str:
    serving = estimate.serving
    return _spanned(serving.tpot, serving.tpot_range) if decodes(estimate) else "-"


def _spanned(value: Any, span: Any) -> str:
    """`8.4 ms (7.1-10.2 ms)`: the figure, and where 80 % of measurements are expected."""
    if span is None:
        return units.show(value, "s")
    low, high = (units.show(float(end), "s") for end in span)
    (less, unit), (_, other) = low.split(), high.split()
    return f"{units.show(value, 's')} ({less if unit == other else low}-{high})"


def _prices(estimate: Estimate) -> str:
    cost = estimate.cost
    both = (cost.usd_per_million_output_tokens, cost.usd_per_million_input_tokens)
    return ", ".join(units.significant(float(value)) for value in both if value is not None)


def memory_sentence(estimate: Estimate) -> str:
    """Does it fit, how full is it, how far could it go."""
    memory = estimate.memory
    used = units.show(memory.total_bytes - memory.reserved_bytes, "B")
    usable = units.show(memory.capacity_bytes - memory.reserved_bytes, "B")
    cache = units.show(memory.kv_cache_bytes, "B")
    most = f"{memory.max_batch:,.0f}"
    # an engine may let in more than it could hold to the end: sequences end at different times
    end = ", were all at their last token" if memory.total_bytes > memory.capacity_bytes else ""
    return f"  fits: {used} of {usable} per GPU{end} (KV cache {cache}); largest batch {most}"


def why(estimate: Estimate) -> Grid:
    """The phases that are run against the roofline."""
    phases = [("prefill", estimate.prefill), ("decode step", estimate.decode)]
    return grid(
        ("", "FLOP", "bytes", "FLOP/B", "ridge", "bound", "MFU", "MBU", "time"),
        [
            (
                name,
                units.show(phase.flop, "FLOP"),
                units.show(phase.bytes, "B"),
                units.significant(phase.arithmetic_intensity),
                units.significant(phase.ridge_point),
                str(phase.bound),
                percent(phase.mfu),
                percent(phase.mbu),
                units.show(phase.time, "s"),
            )
            for name, phase in phases[: 2 if decodes(estimate) else 1]
        ],
    )


def percent(share: float) -> str:
    """A share as percent, with a decimal where it is small."""
    return f"{share:.1%}" if share < 0.0995 else f"{share:.0%}"


def moves(estimate: Estimate) -> list[Item]:
    """The levers with the largest effect, each run."""
    found = [
        f"{_flags(lever, estimate)} ({_change('TPOT', lever.result, estimate, 'tpot')}, "
        f"{_change('TTFT', lever.result, estimate, 'ttft')})"
        for lever in (levers(estimate) if decodes(estimate) else [])[:_LEVERS_SHOWN]
    ]
    doubled = more_at_once(estimate)
    latency = ("TPOT", "tpot") if decodes(estimate) else ("TTFT", "ttft")
    if doubled is not None:
        found.append(
            f"{words(doubled.change)} "
            f"({_change('tokens/s', doubled.result, estimate, 'output_tokens_per_s')}, "
            f"{_change(latency[0], doubled.result, estimate, latency[1])})"
        )
    return [Line(f"What would move it: {'; '.join(found)}.")] if found else []


def _flags(lever: Lever, estimate: Estimate) -> str:
    """The options of a lever; one that takes more GPUs says so where their number was asked."""
    counted = "tp" in lever.change and "num_gpus" not in estimate.defaults
    gpus = f"--num-gpus {int(np.max(lever.result.deployment.num_gpus))} " if counted else ""
    return gpus + words(lever.change)


def _change(name: str, new: Estimate, old: Estimate, field: str) -> str:
    before, after = getattr(old.serving, field), getattr(new.serving, field)
    return f"{name} {float(after / before - 1):+.0%}"


def assumptions(estimate: Estimate, asked: Asked) -> list[Item]:
    """Defaults, resolved names, and where peak, bandwidth and price come from."""
    hardware = estimate.deployment.hardware
    said = [line["text"] for line in basis(estimate, asked) if line["source"] is None]
    peaks = ", ".join(
        f"{kind} {units.show(hardware.peak(kind), 'FLOP/s')}" for kind in arithmetics(estimate)
    )
    bandwidth = hardware.source("memory.bandwidth")
    peak = hardware.source(f"compute.{arithmetics(estimate)[0]}")
    price, price_source = price_basis(estimate)
    lines = [Line(""), heading("Assumptions")]
    lines += [Line(f"- {text}", hang=2) for text in said if text != price]
    if estimate.serving.range_class is not None:
        lines.append(Line(f"- {range_words(estimate)}", hang=2))
    lines.append(
        Line(
            f"- {peaks} dense: {peak.title if peak else 'no source'}; "
            f"{units.show(hardware.memory.bandwidth, 'B/s')}: "
            f"{bandwidth.title if bandwidth else 'no source'}",
            hang=2,
        )
    )
    lines.append(Line(f"- {price}{f': {price_source}' if price_source else ''}", hang=2))
    return [*lines, *_basis_of_times(estimate)]


def _basis_of_times(estimate: Estimate) -> list[Item]:
    calibration = estimate.deployment.calibration
    if calibration is None:
        return [Line("- limit: datasheet peaks, every operator at its roof, no overhead", hang=2)]
    return [
        Line(
            f"- expected times: kernel efficiencies {measured_words(estimate)} (llmroof explain)",
            hang=2,
        )
    ]


def no_fit_page(estimate: Estimate, asked: Asked) -> Page:
    """What is needed, what is there, and the ways out as commands."""
    memory = estimate.memory
    rows = [
        ("weights", memory.weights_bytes),
        ("KV cache", memory.kv_cache_bytes),
        ("activations", memory.activation_bytes),
        ("kept free for the engine", memory.reserved_bytes),
        ("needed", memory.total_bytes),
        ("there", memory.capacity_bytes),
    ]
    ways = ways_out(estimate)
    items: list[Item] = [
        *title(estimate),
        Line(
            f"Does not fit: {units.show(memory.total_bytes, 'B')} needed per GPU, "
            f"{units.show(memory.capacity_bytes, 'B')} there.",
            "bad",
        ),
        grid(("", "per GPU"), [(name, units.show(size, "B")) for name, size in rows]),
        Line(""),
        heading("Ways out (each checked)" if ways else "No single change makes it fit"),
    ]
    for way in ways:
        items.append(Line(f"  {command(estimate, asked, way.change)}", hang=4))
    sentence = defaults_sentence(estimate)
    return page([*items, *([Line(""), Line(f"- {sentence}", hang=2)] if sentence else [])])


def sweep_page(estimate: Estimate, asked: Asked) -> Page:
    """One row per point."""
    from llmroof.render.table import rows

    at_once = _at_once(estimate)
    first = ("GPUs", _COLUMN_NAMES.get(at_once, at_once), "in", "out", "TTFT", "TPOT")
    header = (*first, "tok/s", "USD/M out", "decode", "fits")
    body = [_sweep_row(row, at_once) for row in rows(estimate)]
    said = [line["text"] for line in basis(estimate, asked) if line["source"] is None]
    notes = [Line(f"- {text}", hang=2) for text in (*said, *_beyond(estimate))]
    table = grid(header, body, ">" * len(header))
    if not fits(table, _USUAL_WIDTH):
        table = table._replace(gap=1)
    return page([deployment_line(estimate), table, Line(""), *notes])


def _at_once(estimate: Estimate) -> str:
    """The column that tells how much is asked together."""
    if estimate.load is None:
        return "batch"
    return "request_rate" if estimate.load.kind == "poisson" else "concurrency"


def _beyond(estimate: Estimate) -> list[str]:
    """A remark where more requests were asked for than can be finished."""
    wanted = estimate.serving.arrivals_per_s
    if wanted is None or np.all(np.asarray(wanted) <= estimate.serving.requests_per_s):
        return []
    return [
        "rates beyond what can be finished do not fit: their figures are those at the "
        "largest sustainable rate"
    ]


def _sweep_row(row: dict[str, Any], at_once: str) -> tuple[str, ...]:
    cost = row["usd_per_million_output_tokens"]
    return (
        f"{row['num_gpus']:,}",
        f"{row[at_once]:,}" if isinstance(row[at_once], int) else f"{row[at_once]:.4g}",
        f"{row['input_len']:,}",
        f"{row['output_len']:,}",
        units.show(row["ttft_s"], "s"),
        units.show(row["tpot_s"], "s"),
        f"{row['output_tokens_per_s']:,.0f}",
        "-" if cost is None else units.significant(cost),
        row["decode_bound"],
        "yes" if row["fits"] else "no",
    )
