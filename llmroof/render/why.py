"""The roofline in words: which roof binds, how far off the ridge is, what fills the time."""

from __future__ import annotations

from typing import Final

from llmroof import units
from llmroof.bearing import most_at_once
from llmroof.engine.estimate import Estimate
from llmroof.engine.phases import PhaseEstimate
from llmroof.operators import Number
from llmroof.search.levers import ridge_batch

_KINDS: Final = (
    ("weight_bytes", "weights"),
    ("kv_bytes", "KV cache"),
    ("activation_bytes", "activations"),
)
#: parts below this share are not worth a word
_WORTH: Final = 0.05


def phase_sentence(name: str, phase: PhaseEstimate) -> str:
    """One sentence: the bound, the distance to the ridge, what the time is made of."""
    bound = str(phase.bound)
    start = f"{name.capitalize()} is {bound}-bound, {distance(phase)}"
    if crossed(phase):
        start = f"{name.capitalize()} is {bound}-bound although {distance(phase)}{_moved(phase)}"
    if bound == "memory":
        return f"{start}: of its bytes {_listed(byte_shares(phase))}."
    if bound == "compute":
        what, share = flop_shares(phase)[0]
        return f"{start} ({share:.0%} of its FLOP in {what})."
    part = getattr(phase.times, bound) / phase.times.total
    what = "communication between GPUs" if bound == "network" else "starting kernels"
    return f"{start}: {what} takes {part:.0%} of the time."


def distance(phase: PhaseEstimate) -> str:
    """How far the phase stands from the ridge point."""
    ratio = float(phase.arithmetic_intensity / phase.ridge_point)
    if ratio >= 1:
        return f"{units.significant(ratio, 2)}× right of the ridge"
    return f"{units.significant(1 / ratio, 2)}× left of the ridge"


def crossed(phase: PhaseEstimate) -> bool:
    """True where the expected bound is not that of the phase's side of the ridge."""
    right = bool(phase.arithmetic_intensity >= phase.ridge_point)
    return str(phase.bound) == ("memory" if right else "compute")


def _moved(phase: PhaseEstimate) -> str:
    """Where the ridge of real kernels stands: they reach unlike parts of the two roofs."""
    floor = [cost.limit for cost in phase.operators]
    peak = float(sum(limit.compute for limit in floor) / phase.times.compute)
    bandwidth = float(sum(limit.memory for limit in floor) / phase.times.memory)
    ridge = units.significant(float(phase.ridge_point) * peak / bandwidth)
    return (
        f" of the datasheet: kernels reach {peak:.0%} of the peak and {bandwidth:.0%} of the "
        f"bandwidth, so that their ridge stands at {ridge} FLOP/B"
    )


def byte_shares(phase: PhaseEstimate) -> list[tuple[str, float]]:
    """(what, share of the phase's bytes), largest first."""
    total = sum(cost.operator.bytes * cost.operator.count for cost in phase.operators)
    return _sorted(
        (what, sum(getattr(c.operator, kind) * c.operator.count for c in phase.operators) / total)
        for kind, what in _KINDS
    )


def flop_shares(phase: PhaseEstimate) -> list[tuple[str, float]]:
    """(operator, share of the phase's FLOP), largest first."""
    total = sum(cost.operator.flop * cost.operator.count for cost in phase.operators)
    return _sorted(
        (cost.operator.name, cost.operator.flop * cost.operator.count / total)
        for cost in phase.operators
    )


def ridge_sentence(estimate: Estimate) -> str:
    """At which batch decode would reach the ridge, or why it never does."""
    decode, most = estimate.decode, estimate.memory.max_batch
    if decode.arithmetic_intensity >= decode.ridge_point:
        return "This batch is beyond the ridge: more sequences take more time."
    batch, high = ridge_batch(estimate)
    if batch is None:
        return (
            f"No batch reaches the ridge: every sequence reads its own KV cache, which caps it at "
            f"{units.significant(high)} FLOP/B; "
            + (_limit(estimate) or f"memory is full at batch {most:,.0f}.")
        )
    if batch <= most:
        return f"Batch {batch:,} would reach the ridge."
    return f"Batch {batch:,} would reach the ridge, but " + (
        _limit(estimate) or f"the cache fills memory first, at batch {most:,.0f}."
    )


def _limit(estimate: Estimate) -> str:
    """What else than memory keeps the batch from growing under a load; "" for nothing."""
    most = most_at_once(estimate.deployment)
    if estimate.load is None or estimate.memory.max_batch < most:
        return ""
    return f"the engine runs at most {most:,.0f} sequences at once (--max-num-seqs)."


def _listed(shares: list[tuple[str, float]]) -> str:
    shown = [(what, share) for what, share in shares if share >= _WORTH] or shares[:1]
    return ", ".join(f"{share:.0%} {what}" for what, share in shown[:4])


def _sorted(parts: object) -> list[tuple[str, Number]]:
    return sorted(parts, key=lambda part: -part[1])  # type: ignore[call-overload,no-any-return]
