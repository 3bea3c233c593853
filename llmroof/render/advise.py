"""Levers for people and for programs: what each buys, what moves, where it stops paying."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from llmroof.engine.estimate import Estimate
from llmroof.engine.phases import PhaseEstimate
from llmroof.figures import tree
from llmroof.render.flags import command, words
from llmroof.render.page import Item, Line, Page, grid, heading, note_lines, page
from llmroof.render.record import Tree, head, inputs, plain_tree
from llmroof.render.report import deployment_line
from llmroof.search.advise import (
    ASSUMED_ACCEPTANCE,
    ASSUMED_HITS,
    ASSUMED_TOKENS,
    PAYS,
    Pull,
)
from llmroof.search.stops import Stop

#: levers on formats, which work on bytes
_FORMATS: Final = {"weights", "precision", "kv_cache_dtype"}
#: gains beyond this are told as multiples
_TIMES: Final = 10.0
_NAMES: Final = {
    "ttft": "TTFT",
    "tpot": "TPOT",
    "throughput": "tok/s/GPU",
    "cost": "USD/M",
}


def advise_document(estimate: Estimate, pulls: Sequence[Pull], by: str) -> Tree:
    """`llmroof.advice/1`."""
    return head("advice") | plain_tree(
        {
            "inputs": inputs(estimate),
            "by": by,
            "levers": [lever_figures(estimate, pull) for pull in pulls],
            "assumed": {
                "prefix_hit_rate": ASSUMED_HITS,
                "speculative_tokens": ASSUMED_TOKENS,
                "acceptance_rate": ASSUMED_ACCEPTANCE,
            },
            "notes": list(estimate.notes),
        }
    )


def lever_figures(estimate: Estimate, pull: Pull) -> Tree:
    """One lever: what changes, what it gains, and the figures after it."""
    return {
        "title": pull.title,
        "flags": words(pull.change),
        "in_use": pull.in_use,
        "gains": dict(pull.gains),
        "moves": [
            {"phase": phase, "before": old, "after": new}
            for phase, old, new in pull.moved(estimate)
        ],
        "pays_at": None if pull.pays is None else list(pull.pays),
        "scanned": None if pull.scanned is None else list(pull.scanned),
        "stop": None if pull.stop is None else _stop_figures(pull.stop),
        "serving": tree(pull.result)["serving"],
        "cost": tree(pull.result)["cost"],
    }


def _stop_figures(stop: Stop) -> Tree:
    """What stands against a lever where it does not pay."""
    return {
        "at": stop.at,
        "phase": stop.phase,
        "bound": stop.bound,
        "share": stop.share,
        "kv_share": stop.kv_share,
    }


def advise_rows(estimate: Estimate, pulls: Sequence[Pull]) -> list[Tree]:
    """One flat row per lever."""
    found = []
    for pull in pulls:
        row = plain_tree(lever_figures(estimate, pull))
        flat = {name: row[name] for name in ("title", "flags", "in_use")}
        flat |= {f"{name}_gain": value for name, value in row["gains"].items()}
        flat["moves"] = "; ".join(_move(*move.values()) for move in row["moves"])
        flat |= {"pays_from": None, "pays_to": None}
        if row["pays_at"]:
            flat["pays_from"], flat["pays_to"] = row["pays_at"]
        found.append(flat | row["serving"] | row["cost"])
    return found


def advise_page(
    estimate: Estimate, pulls: Sequence[Pull], by: str, asked: Mapping[str, Any]
) -> Page:
    """The levers as a table, then each in words."""
    free = [pull for pull in pulls if not pull.in_use]
    good = [pull for pull in free if max(_known(pull)) >= PAYS]
    idle = [pull for pull in free if pull not in good]
    items: list[Item] = [deployment_line(estimate), Line(_load(estimate)), Line("")]
    items.append(
        Line(
            f"Levers by what they gain in {_NAMES[by]} (saved of times and cost, added to "
            f"throughput):"
        )
    )
    items.append(
        grid(
            ("lever", *_NAMES.values()),
            [(pull.title, *(_percent(pull.gains[name]) for name in _NAMES)) for pull in good],
        )
    )
    items += [Line(""), heading("What moves, and where it stops paying")]
    for pull in good:
        if said := _words(estimate, pull):
            items.append(Line(f"- {pull.title}: {said}", hang=2))
    if idle:
        items += [Line(""), heading(f"Gains under {PAYS:.0%} here, and why")]
        items += [Line(f"- {pull.title}: {_why_not(pull)}", hang=2) for pull in idle]
    used = [pull for pull in pulls if pull.in_use]
    if used:
        items += [Line(""), heading("Already in use")]
        for pull in used:
            items.append(Line(f"- {pull.title}: {_loses(pull)}", hang=2))
    if good:
        items += [
            Line(""),
            heading("To see the first one"),
            Line(f"  {_again(estimate, asked, good[0])}", hang=4),
        ]
    return page([*items, *_assumed(good), *note_lines(estimate.notes)])


def _again(estimate: Estimate, asked: Mapping[str, Any], pull: Pull) -> str:
    return command(estimate, asked, pull.change)


def _known(pull: Pull) -> list[float]:
    return [value for value in pull.gains.values() if value is not None] or [0.0]


def _load(estimate: Estimate) -> str:
    work, load = estimate.workload, estimate.load
    lengths = f"{work.input_len:,.0f} tokens in, {work.output_len:,.0f} out"
    if load is None:
        return f"batch {work.batch:,.0f}, {lengths}"
    if load.kind == "poisson":
        rate = float(estimate.serving.requests_per_s)
        return f"{rate:g} request{'' if rate == 1 else 's'}/s, {lengths}"
    return f"{load.concurrency:,.0f} request{'s' * (load.concurrency != 1)} in flight, {lengths}"


def _percent(gain: float | None) -> str:
    if gain is None:
        return "-"
    if abs(gain) >= _TIMES:
        return f"{1 + abs(gain):,.0f}×" + (" as much" if gain < 0 else "")
    return "0%" if abs(gain) < 0.005 else f"{gain:+.0%}"


def _words(estimate: Estimate, pull: Pull) -> str:
    return "; ".join(filter(None, (_roofs(estimate, pull), _range(estimate, pull))))


def _roofs(estimate: Estimate, pull: Pull) -> str:
    """Which roof moves: the part of a phase whose time falls most, and a change of bound."""
    parts = []
    for phase in ("prefill", "decode"):
        most = str(getattr(estimate, phase).bound)
        old, new = (_parts(getattr(one, phase)) for one in (estimate, pull.result))
        falls = {
            name: 1 - new[name] / time
            for name, time in old.items()
            if time > PAYS * sum(old.values()) and name in ("compute", "memory", "network", most)
        }
        if falls:
            name = most if falls.get(most, 0.0) >= PAYS else max(falls, key=lambda k: falls[k])
            if falls[name] >= PAYS or (falls.get(most, 0.0) <= -PAYS and (name := most)):
                parts.append(f"{phase} {name} time {-falls[name]:+.0%}")
    parts += [_move(*move) for move in pull.moved(estimate)]
    return ", ".join(parts)


def _parts(phase: PhaseEstimate) -> dict[str, float]:
    """Seconds of the phase by roof; collectives are network time whatever binds them."""
    found = dict.fromkeys(("compute", "memory", "network", "overhead"), 0.0)
    for cost in phase.operators:
        if cost.operator.compute == "network":
            found["network"] += float(cost.times.total)
        else:
            for name in found:
                found[name] += float(getattr(cost.times, name))
    return found


def _move(phase: str, before: str, after: str) -> str:
    return f"{phase} goes from {before}- to {after}-bound"


def _range(estimate: Estimate, pull: Pull) -> str:
    if pull.scanned is None:
        return ""
    name = "batch" if estimate.load is None else "concurrency"
    low, high = pull.scanned
    if pull.pays is None:
        return f"saves {PAYS:.0%} of {_NAMES[pull.metric]} at no {name} up to {high:,}"
    first, last = pull.pays
    if (first, last) == (low, high):
        return f"pays at every {name} that fits (to {high:,})"
    if last == high:
        return f"pays from {name} {first:,} on"
    why = f", where {_stop(pull)}" if pull.stop else ""
    if first == low:
        return f"stops paying beyond {name} {last:,}{why}"
    return f"pays from {name} {first:,} to {last:,}{why}"


def _stop(pull: Pull) -> str:
    """What stands against a lever."""
    stop = pull.stop
    assert stop is not None
    step = "a prompt's pass" if stop.phase == "prefill" else "a decode step"
    if stop.bound == "memory" and stop.phase == "decode" and _FORMATS & pull.change.keys():
        return f"{stop.kv_share:.0%} of the bytes of {step} are KV cache"
    parts = {
        "memory": f"memory takes {stop.share:.0%} of {step}",
        "compute": f"arithmetic takes {stop.share:.0%} of {step}",
        "network": f"the links take {stop.share:.0%} of {step}",
        "overhead": f"launches and latencies take {stop.share:.0%} of {step}",
    }
    return parts[stop.bound]


def _why_not(pull: Pull) -> str:
    """The gain on the figure it is meant for, and what stands against it."""
    gain = f"{_percent(pull.gains[pull.metric])} of {_NAMES[pull.metric]}"
    waiting = pull.result.steady.waiting if pull.result.steady else 0.0
    if float(waiting) >= 1 and not _FORMATS & pull.change.keys():
        return f"{gain}; the KV cache has no room for {float(waiting):,.0f} of them"
    return f"{gain}; {_stop(pull)}" if pull.stop else gain


def _loses(pull: Pull) -> str:
    losses = [
        f"{_NAMES[name]} {_percent(-gain if name != 'throughput' else gain)}"
        for name, gain in pull.gains.items()
        if gain is not None and abs(gain) >= 0.005
    ]
    return f"without it {', '.join(losses)}" if losses else "makes no difference here"


def _assumed(pulls: Sequence[Pull]) -> Iterator[Item]:
    names = {name for pull in pulls for name in pull.change}
    said = []
    if "prefix_hit_rate" in names:
        said.append(f"{ASSUMED_HITS:.0%} of each prompt found in the prefix cache")
    if "speculative_tokens" in names:
        said.append(
            f"{ASSUMED_TOKENS} tokens drafted per step, for free where no model drafts, each "
            f"accepted with {ASSUMED_ACCEPTANCE:.0%}"
        )
    if said:
        yield Line("")
        yield Line(f"- assumed, as it depends on the text: {'; '.join(said)}", hang=2)
