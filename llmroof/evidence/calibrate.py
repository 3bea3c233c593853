"""One measured point of one's own deployment scales the few constants that belong to it.

TPOT scales the launches (host, engine version and flags decide them), TTFT the time from
arrival to scheduling, and the lag of the pipeline where that is not enough. Only what no host
explains (launches below a third of what is usual, a first token before its prompt) is put on the
kernels: all of them by one factor, for a single point cannot tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np

from llmroof import units
from llmroof.calibration.load import EngineRules
from llmroof.engine.deployment import Deployment
from llmroof.engine.estimate import Estimate, estimate
from llmroof.engine.loaded import estimate_load
from llmroof.errors import InputError, Overloaded

_NOTHING: Final = 1e-6
_CLOSE: Final = 1e-9
#: A factor is doubled up to here, then halved into its place; what is further off was not met
_TOP: Final = 160000.0
_HALVINGS: Final = 60
_MISSED: Final = 1e-6
#: The quickest host spends a third of the usual on a launch: the range of the engines' multipliers
_QUICKEST: Final = 1 / 3
#: TTFT and TPOT are met in turn where prompts share steps with tokens
_TURNS: Final = 6
#: A slow host, an old engine and eager mode together make launches some ten times as dear as a
#: fast one replaying graphs; twice that is no host any more, but a slip of a unit.
_FURTHEST: Final = 20.0


def calibrate(found: Estimate, *, ttft: float | None = None, tpot: float | None = None) -> Estimate:
    """The answer to the same question with constants that meet what was measured (seconds).

    Notes tell what changed; ranges are dropped, as they stand for deployments that were not
    measured. Raises InputError for several points, a pure limit, or figures that nothing
    explains: below the physical limit, or 20 times what is predicted, of a figure or of the
    launches of a decode step.
    """
    for name, value in (("ttft", ttft), ("tpot", tpot)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise InputError(f"calibrate_with: {name} must be above zero seconds, not {value:g}")
    if found.deployment.calibration is None:
        raise InputError("the limit is physics: --calibrate-with needs expected times")
    if np.ndim(found.serving.tpot) or np.ndim(found.serving.ttft):
        raise InputError("--calibrate-with takes the one point that was measured, no range")
    plain = found
    before = found.deployment.rules
    for name, value in (("ttft", ttft), ("tpot", tpot)):
        if value is not None:
            _plausible(float(getattr(found.serving, name)), value, name)
    if tpot is not None:
        found = _met(found, tpot, "tpot", _launches, _kernels)
    if ttft is not None and found.load is None:
        found = _met(found, ttft, "ttft", _prompts, _prompt_kernels)
    elif ttft is not None:
        found = _wait(found, ttft, tpot)
    serving = replace(found.serving, ttft_range=None, tpot_range=None, range_class=None)
    _host(before, found.deployment.rules)
    changed = _changes(before, found.deployment.rules)
    if ttft is None:
        changed += _follows(plain, found, "ttft", "the same host launches prompts")
    elif tpot is None:
        changed += _follows(plain, found, "tpot", "prompts run between tokens")
    if ttft is not None and found.load is not None and found.load.kind == "closed":
        changed += "; the TTFT of a benchmark that starts all at once asks for --load burst"
    return replace(found, serving=serving, notes=(*found.notes, f"calibrated: {changed}"))


def _plausible(predicted: float, wanted: float, name: str) -> None:
    """Refuse a figure so far off that only a slip of the unit explains it."""
    ratio = wanted / predicted
    if ratio > _FURTHEST:
        likely = units.show(wanted * units.parse("1 ms", "s"), "s")
        raise InputError(
            f"a measured {name.upper()} of {units.show(wanted, 's')} is {ratio:,.0f} times the "
            f"predicted {units.show(predicted, 's')}, more than a host explains ({_FURTHEST:g}): "
            f"plain numbers are seconds, is {likely} meant?"
        )


def _host(before: EngineRules, after: EngineRules) -> None:
    """Refuse launches that no host has, of a decode step or of a prompt."""
    factor = max(after.launch_scale / before.launch_scale, after.eager_scale / before.eager_scale)
    if factor > _FURTHEST:
        raise InputError(
            f"what was measured needs launches {factor:,.0f} times as dear, more than a host "
            f"explains ({_FURTHEST:g}): check units (plain numbers are seconds), model, "
            f"precision, plan and load"
        )


def _follows(plain: Estimate, found: Estimate, name: str, why: str) -> str:
    """What meeting one figure did to the other one."""
    old, new = (units.show(float(getattr(one.serving, name)), "s") for one in (plain, found))
    return f"; {name.upper()} {old} -> {new}, as {why}" if old != new else ""


def _launches(rules: EngineRules, factor: float) -> EngineRules:
    """All that the host does: its launches, and its work between two steps."""
    return replace(
        rules,
        launch_scale=rules.launch_scale * factor,
        eager_scale=rules.eager_scale * factor,
        host_step=rules.host_step * factor,
        host_sequence=rules.host_sequence * factor,
        host_ranks=rules.host_ranks * factor,
    )


def _prompts(rules: EngineRules, factor: float) -> EngineRules:
    return replace(rules, eager_scale=rules.eager_scale * factor)


def _kernels(rules: EngineRules, factor: float) -> EngineRules:
    """All kernels, and the host's work between steps with them."""
    host = ("host_step", "host_sequence", "host_ranks")
    changed = replace(rules, **{name: getattr(rules, name) * factor for name in host})
    return _prompt_kernels(_step_kernels(changed, factor), factor)


def _step_kernels(rules: EngineRules, factor: float) -> EngineRules:
    return replace(rules, step_time=rules.step_time * factor)


def _prompt_kernels(rules: EngineRules, factor: float) -> EngineRules:
    return replace(rules, prompt_time=rules.prompt_time * factor)


def _again(found: Estimate, rules: EngineRules) -> Estimate:
    """The same question under other rules."""
    deployment: Deployment = replace(found.deployment, rules=rules)
    if found.load is None:
        new = estimate(deployment, found.workload)
    else:
        assert found.steady is not None
        rate = found.steady.requests_per_s if found.load.kind == "poisson" else None
        new = estimate_load(deployment, found.load, rate)
    return replace(new, defaults=found.defaults, notes=found.notes)


_Scaled = Callable[[EngineRules, float], EngineRules]


def _met(
    found: Estimate, wanted: float, name: str, launches: _Scaled, kernels: _Scaled
) -> Estimate:
    """Meet a figure by the launches, and by the kernels where those of no host are so quick."""
    quick = _again(found, launches(found.deployment.rules, _QUICKEST))
    if wanted >= float(getattr(quick.serving, name)):
        if name == "ttft":  # of a batch: long prompts hardly feel their launches
            slow = _again(found, launches(found.deployment.rules, _FURTHEST))
            if wanted > float(slow.serving.ttft):
                return _meet(found, wanted, name, kernels)
        return _meet(found, wanted, name, launches)
    return _meet(quick, wanted, name, kernels)


def _meet(found: Estimate, wanted: float, name: str, scaled: _Scaled) -> Estimate:
    """Scale times until the figure is the measured one: bracketed, then halved.

    Times that leave the deployment behind its arrivals are too long.
    """
    rules = found.deployment.rules

    def value(factor: float) -> tuple[Estimate | None, float]:
        try:
            there = _again(found, scaled(rules, factor))
        except Overloaded:
            return None, np.inf
        return there, float(getattr(there.serving, name))

    _, least = value(_NOTHING)
    if wanted <= least:
        raise InputError(
            f"a measured {name.upper()} of {units.show(wanted, 's')} is below "
            f"{units.show(least, 's')}, which is the least here: "
            f"check model, precision, plan and load"
        )
    low, high = _NOTHING, 1.0
    there, now = value(high)
    while now < wanted and high < _TOP:
        low, high = high, 2.0 * high
        there, now = value(high)
    for _ in range(_HALVINGS):
        if there is not None and abs(now / wanted - 1) < _CLOSE:
            break
        middle = 0.5 * (low + high)
        there, now = value(middle)
        low, high = (low, middle) if now >= wanted else (middle, high)
    if there is None or abs(now / wanted - 1) > _MISSED:
        raise InputError(
            f"no {'launch or kernel' if name == 'tpot' else 'wait'} gives a {name.upper()} of "
            f"{units.show(wanted, 's')} here: check model, precision, plan and load"
        )
    return there


def _wait(found: Estimate, wanted: float, tpot: float | None) -> Estimate:
    """Move the start, then the lag, then the prompts' kernels by what the measured TTFT is off."""
    moved = _moved(found, wanted, "start", units.parse("1 ms", "s"))
    if moved is not None:
        return moved
    found = _again(found, replace(found.deployment.rules, start=0.0))
    if found.split is None:
        moved = _moved(found, wanted, "pipeline_lag", 1.0)
        if moved is not None:
            return moved
        found = _again(found, replace(found.deployment.rules, pipeline_lag=0.0))
        moved = _moved(found, wanted, "balance", 1.0)
        if moved is not None:
            return moved
        found = _again(found, replace(found.deployment.rules, balance=0.0))
    for _ in range(1 if tpot is None else _TURNS):
        found = _meet(found, wanted, "ttft", _prompt_kernels)
        if tpot is not None:
            found = _meet(found, tpot, "tpot", _step_kernels)
    return found


def _moved(found: Estimate, wanted: float, name: str, unit: float) -> Estimate | None:
    """TTFT met by one number of the engine's rules, which it grows with; None where that is not."""
    rules = found.deployment.rules

    def ttft(value: float) -> float:
        return float(_again(found, _with(rules, name, value)).serving.ttft)

    nothing = ttft(0.0)
    slope = (ttft(unit) - nothing) / unit
    if slope <= 0 or wanted < nothing:
        return None
    value = getattr(rules, name)
    for _ in range(_HALVINGS):  # at once where it is linear; a queue bends it
        short = wanted - ttft(value)
        if abs(short) < _CLOSE * wanted:
            return _again(found, _with(rules, name, value))
        value = max(value + short / slope, 0.0)
    return None


def _with(rules: EngineRules, name: str, value: float) -> EngineRules:
    change: dict[str, Any] = {name: value}
    return replace(rules, **change)


def _changes(before: EngineRules, after: EngineRules) -> str:
    """What changed, in words."""
    words = [
        f"{what} {units.significant(old)} -> {units.significant(new)}"
        for what, old, new in (
            ("multiplier on launches", before.launch_scale, after.launch_scale),
            ("with prompts", before.eager_scale, after.eager_scale),
            ("time of decode kernels", before.step_time, after.step_time),
            ("of prompts' kernels", before.prompt_time, after.prompt_time),
            ("steps a first token waits", before.pipeline_lag, after.pipeline_lag),
        )
        if old != new
    ]
    if before.start != after.start:
        old, new = units.show(before.start, "s"), units.show(after.start, "s")
        words.append(f"arrival to scheduling {old} -> {new}")
    return ", ".join(words) or "nothing had to change"
