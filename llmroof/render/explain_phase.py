"""Derivations of a phase: FLOP and bytes of its operators, the roof that binds, the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from llmroof import units
from llmroof.engine.disaggregated import decode_work, prompt_work
from llmroof.engine.estimate import Estimate, Workload
from llmroof.engine.passes import decode_pass, prefill_pass
from llmroof.engine.phases import OperatorCost, PhaseEstimate
from llmroof.operators import Step as Pass
from llmroof.render.basis import cite
from llmroof.render.derive import Quantity, Section, Step, identifier, number, same, unique
from llmroof.render.explain_times import network_items, reached, rows, sum_step, time_table
from llmroof.render.page import Line

_MATMUL = "m tokens through a k × n matrix"
_PARTS = (
    ("weight_bytes", "weights"),
    ("kv_bytes", "KV_cache"),
    ("activation_bytes", "activations"),
)


def prefill_work(estimate: Estimate) -> Workload:
    """The prompts of one prefill: all of a batch, or one of a load."""
    work = estimate.workload
    if estimate.deployment.workers is not None:
        work = prompt_work(estimate.deployment, work)
    if estimate.load is not None:  # one prompt after the other, whatever runs beside it
        work = replace(work, batch=1.0)
    return work


def prefill_section(estimate: Estimate) -> Section:
    """The pass over all prompts."""
    work, plan = prefill_work(estimate), estimate.deployment.run.plan
    if estimate.deployment.workers is not None:
        plan = estimate.deployment.workers.plan
    step, schedule = prefill_pass(work, plan)
    words = (
        f"  One pass over {work.batch:,.0f} × {work.input_len:,.0f} prompt tokens; "
        f"logits for the last position of each sequence only."
    )
    if estimate.load is not None and schedule.in_a_row > 1:
        words = (
            f"  A prompt of {work.input_len:,.0f} tokens in {schedule.in_a_row:,.0f} passes, "
            f"each over a chunk of {step.new_tokens:,.0f}."
        )
    return _section("prefill", "Prefill", words, estimate, step)


def decode_section(estimate: Estimate) -> Section:
    """One step at the mean context of the answer."""
    work, run = estimate.workload, estimate.deployment.run
    if estimate.deployment.workers is not None:
        work = decode_work(estimate.deployment, work)
    context = work.input_len + work.output_len / 2
    how = "one new token each" if run.kv_cache else "recomputing all of it"
    words = (
        f"  One step of {work.batch:,.0f} sequences, {how}, at the mean context "
        f"{work.input_len:,.0f} + {work.output_len:,.0f} / 2 = {context:,.0f}."
    )
    return _section("decode", "Decode step", words, estimate, decode_pass(work, run)[0])


def _section(name: str, title: str, words: str, estimate: Estimate, work: Pass) -> Section:
    phase: PhaseEstimate = getattr(estimate, name)
    flops = flop_steps(phase, work)
    taken = rows(phase, estimate)
    items: list[Any] = [Line(words, hang=2), time_table(taken, phase), *flops]
    items += [*_totals(phase, flops), *_roof(phase, estimate), *_time(phase, estimate)]
    items += [*reached(taken, estimate), *network_items(phase, estimate)]
    return Section(name, title, tuple(items))


def flop_steps(phase: PhaseEstimate, work: Pass) -> list[Step]:
    """FLOP of every operator that has any, over all its runs on one device."""
    steps = [
        _flop_step(cost, work)
        for cost in phase.operators
        if float(cost.operator.flop) and cost.operator.compute != "network"
    ]
    names = unique([step.name for step in steps])
    return [step._replace(name=name) for step, name in zip(steps, names, strict=True)]


def _flop_step(cost: OperatorCost, work: Pass) -> Step:
    operator, shape = cost.operator, cost.operator.shape
    count = {"layers": number(operator.count)}
    result = number(operator.flop * operator.count, "FLOP")
    if {"m", "n", "k"} <= set(shape) and same(
        float(2 * shape["m"] * shape["n"] * shape["k"]), float(operator.flop)
    ):
        given = {key: number(shape[key]) for key in ("m", "n", "k")}
        return Step(operator.name, "2 * m * n * k * layers", given | count, result, _MATMUL)
    pairs = float(work.pairs())
    if {"batch", "heads", "head_dim"} <= set(shape) and same(
        float(4 * shape["batch"] * shape["heads"] * shape["head_dim"] * pairs),
        float(operator.flop),
    ):
        given = {key: number(shape[key]) for key in ("batch", "heads", "head_dim")}
        given |= {"new": number(work.new_tokens), "past": number(work.past_tokens)}
        formula = "4 * batch * heads * head_dim * (new * past + new * (new + 1) / 2) * layers"
        return Step(operator.name, formula, given | count, result)
    given = {"FLOP_per_run": number(operator.flop, "FLOP")}
    return Step(operator.name, "FLOP_per_run * layers", given | count, result)


def _totals(phase: PhaseEstimate, flops: Sequence[Step]) -> list[Step]:
    """FLOP and bytes of one device, and of the deployment where that differs."""
    names = [identifier(step.name) for step in flops]
    device = sum(step.result.value for step in flops)
    found = [
        Step(
            "FLOP",
            " + ".join(names),
            {name: step.result for name, step in zip(names, flops, strict=True)},
            number(device, "FLOP"),
        )
    ]
    parts = {
        name: number(sum(getattr(c.operator, key) * c.operator.count for c in phase.operators), "B")
        for key, name in _PARTS
    }
    moved = sum(part.value for part in parts.values())
    found.append(Step("bytes", " + ".join(parts), parts, number(moved, "B")))
    if not same(device, float(phase.flop)):
        found.append(_of_all("FLOP", device, float(phase.flop), "FLOP"))
    if not _even(phase):
        found.append(_of_all("bytes", moved, float(phase.bytes), "B"))
    return found


def _of_all(what: str, device: float, whole: float, unit: str) -> Step:
    """An amount of all GPUs, from that of one device."""
    inputs = {what: number(device, unit), "shares": number(whole / device)}
    return Step(f"{what} of all GPUs", f"{what} * shares", inputs, number(whole, unit))


def _even(phase: PhaseEstimate) -> bool:
    """True where the device that is shown has the intensity of all: no rank runs idle."""
    flop = sum(float(c.operator.flop * c.operator.count) for c in phase.operators)
    moved = sum(float(c.operator.bytes * c.operator.count) for c in phase.operators)
    return same(flop / moved, float(phase.arithmetic_intensity))


def _roof(phase: PhaseEstimate, estimate: Estimate) -> list[Step]:
    """Arithmetic intensity against the ridge point."""
    hardware = estimate.deployment.hardware
    bandwidth = number(
        hardware.memory.bandwidth, "B/s", hardware_source(estimate, "memory.bandwidth")
    )
    flop = sum(float(c.operator.flop * c.operator.count) for c in phase.operators)
    moved = sum(float(c.operator.bytes * c.operator.count) for c in phase.operators)
    peak = _joint_peak(phase, estimate)
    if not _even(phase):
        flop, moved = float(phase.flop), float(phase.bytes)
    return [
        Step(
            "intensity",
            "FLOP / bytes",
            {"FLOP": number(flop, "FLOP"), "bytes": number(moved, "B")},
            number(phase.arithmetic_intensity, ""),
            "FLOP per byte" if _even(phase) else "of all GPUs, those without sequences included",
        ),
        Step(
            "ridge point",
            "peak / bandwidth",
            {"peak": peak, "bandwidth": bandwidth},
            number(phase.ridge_point, ""),
            "below it the phase is memory-bound",
        ),
    ]


def _joint_peak(phase: PhaseEstimate, estimate: Estimate) -> Quantity:
    """The peak of the arithmetic in use; of several, the rate of their mix."""
    hardware = estimate.deployment.hardware
    kinds = {c.operator.compute for c in phase.operators if float(c.operator.flop)}
    kinds -= {"network"}
    value = float(phase.ridge_point) * hardware.memory.bandwidth
    if len(kinds) != 1:
        return number(value, "FLOP/s", f"{' and '.join(sorted(kinds))} as mixed here")
    (kind,) = kinds
    return number(value, "FLOP/s", hardware_source(estimate, f"compute.{kind}"))


def _time(phase: PhaseEstimate, estimate: Estimate) -> list[Any]:
    """The limit, the expected time, and what part of each roof that is."""
    rounds_apart = estimate.deployment.run.plan.pp > 1
    limits = [c.limit for c in phase.operators]
    compute = sum(float(limit.compute) for limit in limits)
    memory = sum(float(limit.memory) for limit in limits)
    limit = units.show(float(phase.roofline_time), "s", 4)
    rest = " (one after the other, added up)"
    found: list[Any] = []
    if estimate.deployment.calibration is not None:
        found = [Line(f"  at the limit = each operator's longest time, added up = {limit}", hang=4)]
        rest = ""
    name = "expected" if found else "at the limit"
    found.append(sum_step(rows(phase, estimate), name)._replace(note=rest.strip(" ()")))
    if float(phase.rounds) != 1.0:
        found.append(Line(f"  every time is that of {phase.rounds:.4g} passes, as scheduled"))
    if rounds_apart:
        shares = f"MFU {phase.mfu:.1%}, MBU {phase.mbu:.1%}"
        return [*found, Line(f"  {shares} (pipeline stages wait for each other)")]
    time = number(phase.time, "s")
    found.append(_used("MFU", "compute_time", compute, time, float(phase.mfu)))
    found.append(_used("MBU", "memory_time", memory, time, float(phase.mbu)))
    return found


def _used(name: str, part: str, value: float, time: Quantity, used: float) -> Step:
    """A share of the time at a roof; of its useful part where devices repeat work or idle."""
    inputs = {part: number(value, "s"), "time": time}
    if same(value / time.value, used) or not value:
        return Step(name, f"{part} / time", inputs, number(used))
    inputs |= {"useful": number(used * time.value / value)}
    note = "useful: without what other GPUs do as well, and ranks without sequences"
    return Step(name, f"{part} * useful / time", inputs, number(used), note)


def hardware_source(estimate: Estimate, path: str) -> str:
    """The spec file and the source of one of its figures."""
    hardware = estimate.deployment.hardware
    source = hardware.source(path)
    return f"{hardware.id}.yaml ({source.title if source else cite(source) or 'no source'})"
