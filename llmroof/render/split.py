"""Disaggregated prefill and decode in words: the workers, what each side could do, the ratio."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from llmroof import units
from llmroof.engine.estimate import Estimate
from llmroof.operators import Number, Plan
from llmroof.render.basis import LINKS
from llmroof.render.page import Item, Line

#: a ratio of workers is told in numbers up to this
_MOST: Final = 8
_SIDES: Final = {
    "prefill": "the prefill workers",
    "transfer": "the link between the workers",
    "decode": "the decode workers",
}


def workers_words(estimate: Estimate) -> str:
    """`2 prefill workers of tp=2, 6 decode workers of 1 GPU`."""
    workers = estimate.deployment.workers
    assert workers is not None
    sides = (
        ("prefill", workers.prefill, workers.plan),
        ("decode", workers.decode, estimate.deployment.run.plan),
    )
    return ", ".join(
        f"{count:g} {side} worker{'' if count == 1 else 's'} of {_size(plan)}"
        for side, count, plan in sides
    )


def _size(plan: Plan) -> str:
    found = (("tp", plan.tp), ("pp", plan.pp), ("dp", plan.dp), ("ep", plan.ep))
    named = " ".join(f"{name}={degree}" for name, degree in found if degree > 1)
    return named or "1 GPU"


def split_sentences(estimate: Estimate) -> list[Item]:
    """What is sent over which link, what each side could do, and the ratio that suits both."""
    split = estimate.split
    if split is None:
        return []
    sent = split.transfer
    link = LINKS.get(sent.link, "the given link")
    hidden = " (layer by layer, behind the prefill)" if sent.exposed < sent.time else ""
    return [
        Line(
            f"  disaggregated: {units.show(float(sent.device_bytes), 'B')} of KV cache per GPU and "
            f"prompt over {link} at {units.show(sent.bandwidth, 'B/s')}: "
            f"{units.show(float(sent.exposed), 's')} of TTFT{hidden}; at most "
            f"{_rate(split.prefill_rate)} requests/s of prefill, {_rate(split.transfer_rate)} over "
            f"the link, {_rate(split.decode_rate)} of decode: {_SIDES[str(split.limited_by)]} "
            f"would be first to hold the others up; {ratio_words(estimate)}",
            hang=2,
        )
    ]


def _rate(value: Number) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def ratio_words(estimate: Estimate) -> str:
    """The ratio of workers at which neither side waits for the other."""
    split = estimate.split
    assert split is not None
    best = best_ratio(float(split.balance))
    many = f"{best.numerator} prefill to {best.denominator} decode"
    if best == 0:
        many = f"1 prefill to more than {_MOST} decode"
    at = "at this load" if estimate.load is None or estimate.load.kind != "poisson" else "full"
    return f"best ratio of workers {at}: {many} ({float(split.balance):.2g} per decode worker)"


def best_ratio(balance: float) -> Fraction:
    """Prefill per decode workers in small whole numbers; 0 for less than 1 in 8."""
    if balance >= _MOST:
        return Fraction(round(balance))
    return Fraction(balance).limit_denominator(_MOST)
