"""Deployments side by side, and what sets them apart in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from llmroof import units
from llmroof.engine.estimate import Estimate
from llmroof.figures import COLUMNS, more_is_better
from llmroof.render.page import Item, Line, Page, grid, note_lines, page
from llmroof.render.record import Tree, head, plain, plain_tree, tree
from llmroof.render.sweep import devices_words
from llmroof.search.compare import Comparison, time_shift

_WORDS: Final = {
    "ttft_s": "TTFT",
    "tpot_s": "TPOT",
    "e2e_latency_s": "latency",
    "output_tokens_per_s": "tokens/s",
    "output_tokens_per_s_per_gpu": "tokens/s/GPU",
    "usd_per_hour": "USD/h",
    "usd_per_million_output_tokens": "USD/M out",
    "usd_per_million_total_tokens": "USD/M tokens",
    "joule_per_output_token": "J/token",
    "max_batch": "largest batch",
}
#: differences below this are none
_WORTH: Final = 0.03
_CAUSES: Final = {
    "compute": "arithmetic",
    "memory": "device memory",
    "network": "the links",
    "overhead": "starting kernels",
}


def compare_document(comparison: Comparison) -> Tree:
    """`llmroof.comparison/1`."""
    return head("comparison") | plain_tree(
        {
            "differing": list(comparison.differing),
            "deployments": [
                {
                    "label": label,
                    **{name: tree(one)[name] for name in ("inputs", "prefill", "decode")},
                    **{name: tree(one)[name] for name in ("memory", "serving", "cost", "energy")},
                    "ratios": dict(ratios),
                    "words": list(words(comparison, place)) if place else [],
                    "notes": list(one.notes),
                }
                for place, (one, label, ratios) in enumerate(
                    zip(comparison.estimates, labels(comparison), comparison.ratios, strict=True)
                )
            ],
        }
    )


def compare_rows(comparison: Comparison) -> list[Tree]:
    """One flat row per deployment."""
    from llmroof.render.table import rows

    return [
        {"label": label, **rows(one)[0]}
        for one, label in zip(comparison.estimates, labels(comparison), strict=True)
    ]


def compare_page(comparison: Comparison) -> Page:
    """A table with a column per deployment, then the differences in words."""
    names = labels(comparison)
    marks = [chr(ord("A") + place) for place in range(len(names))]
    items: list[Item] = [
        Line(f"{mark}: {name}", "title") for mark, name in zip(marks, names, strict=True)
    ]
    shared = _shared(comparison)
    items += [Line(shared)] if shared else []
    body = [
        (word, *(_cell(name, comparison, place) for place in range(len(names))))
        for name, word in _WORDS.items()
        if any(figures[name] is not None for figures in comparison.figures)
    ]
    body += [
        (f"{phase} bound", *(str(getattr(one, phase).bound) for one in comparison.estimates))
        for phase in ("prefill", "decode")
    ]
    body.append(("fits", *("yes" if bool(one.fits) else "no" for one in comparison.estimates)))
    items += [Line(""), grid(("", *marks), body), Line("")]
    for place in range(1, len(names)):
        for sentence in words(comparison, place):
            items.append(Line(f"- {marks[place]} against A: {sentence}", hang=2))
    said = [
        f"{mark}: {note}"
        for mark, one in zip(marks, comparison.estimates, strict=True)
        for note in one.notes
    ]
    return page([*items, *note_lines(said)])


def labels(comparison: Comparison) -> list[str]:
    """What each deployment is: model, devices, precision and what else differs."""
    return [_label(one, comparison.differing) for one in comparison.estimates]


def _label(estimate: Estimate, differing: Sequence[str]) -> str:
    row = tree(estimate)["inputs"]
    parts = [estimate.deployment.model.name] if "model" in differing else []
    parts += [devices_words(row), estimate.deployment.run.precision.name]
    said = ("model", "hardware", "num_gpus", "tp", "pp", "dp", "ep", "weights", "activations",
            "disaggregated", "prefill_workers", "decode_workers")  # fmt: skip
    for name in differing:
        value = COLUMNS[name](estimate)
        if name not in (*said, "usd_per_gpu_hour") and value is not None:
            parts.append(f"{name.replace('_', ' ')} {plain(value)}")
    return ", ".join(parts)


def _shared(comparison: Comparison) -> str:
    first = comparison.estimates[0]
    parts = [] if "model" in comparison.differing else [first.deployment.model.name]
    load = first.load
    if "batch" not in comparison.differing and load is None:
        parts.append(f"batch {first.workload.batch:,.0f}")
    if load is not None and "concurrency" not in comparison.differing and load.kind != "poisson":
        parts.append(f"{load.concurrency:,.0f} requests in flight")
    for name, word in (("input_len", "in"), ("output_len", "out")):
        if name not in comparison.differing:
            parts.append(f"{getattr(first.workload, name):,.0f} tokens {word}")
    return ", ".join(parts)


def _cell(name: str, comparison: Comparison, place: int) -> str:
    value = comparison.figures[place][name]
    if value is None or not math.isfinite(value):
        return "-"
    text = units.show(value, "s") if name in ("ttft_s", "tpot_s", "e2e_latency_s") else (
        f"{value:,.0f}" if value >= 100 else units.significant(value)
    )  # fmt: skip
    ratio = comparison.ratios[place][name]
    if place == 0 or ratio is None:
        return text
    return f"{text} ({ratio - 1:+.0%})" if ratio < 10 else f"{text} ({ratio:,.0f}×)"


def words(comparison: Comparison, place: int) -> Iterator[str]:
    """Sentences on how one deployment differs from the first, and why."""
    first, other = comparison.estimates[0], comparison.estimates[place]
    ratios = comparison.ratios[place]
    better: list[str] = []
    worse: list[str] = []
    for name, word in _WORDS.items():
        ratio = ratios[name]
        if ratio is None or abs(ratio - 1) < _WORTH or not math.isfinite(ratio):
            continue
        good = (ratio > 1) == (more_is_better(name) or name == "max_batch")
        (better if good else worse).append(f"{word} {ratio - 1:+.0%}")
    if better:
        yield f"better: {', '.join(better)}"
    if worse:
        yield f"worse: {', '.join(worse)}"
    if not better and not worse:
        yield f"the same within {_WORTH:.0%}"
    for phase, figure in (("prefill", "ttft_s"), ("decode", "tpot_s")):
        ratio = ratios[figure]
        if ratio is not None and abs(ratio - 1) >= _WORTH:
            yield from _why(first, other, phase)
    if bool(first.fits) != bool(other.fits):
        yield "it fits, the first does not" if other.fits else "it does not fit"


def _why(first: Estimate, other: Estimate, phase: str) -> Iterator[str]:
    """The part of a pass whose time differs most, with both values."""
    shifts = time_shift(first, other, phase)
    name = max(shifts, key=lambda key: abs(shifts[key]))
    old, new = (float(getattr(getattr(one, phase).times, name)) for one in (first, other))
    if old == new:
        return
    verb = "more" if new > old else "less"
    pair = f"{units.show(new, 's')} against {units.show(old, 's')}"
    before, now = (str(getattr(one, phase).bound) for one in (first, other))
    turn = f"; it is {now}-bound, no longer {before}-bound" if now != before else ""
    yield f"a {phase} pass spends {verb} on {_CAUSES[name]}: {pair}{turn}"
