"""What the figures rest on: defaults taken, names resolved, sources of the numbers used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from llmroof import units
from llmroof.calibration.ranges import load_ranges
from llmroof.engine.estimate import Estimate
from llmroof.engine.network import levels
from llmroof.engine.service import kind_of
from llmroof.engine.transfer import GIVEN
from llmroof.specs.hardware import Source

#: link of a profile -> what it is called in a sentence
LINKS: Final = {"scale_up": "the scale-up link", "pcie": "PCIe", "nic": "the network (NIC)"}
#: no options: the estimate was made from Python
NOTHING: Final[Mapping[str, Any]] = {}
_SHOWN_DEFAULTS: Final = ("model", "gpu", "batch", "input_len", "output_len")


def basis(estimate: Estimate, asked: Mapping[str, Any] = NOTHING) -> list[dict[str, Any]]:
    """Short sentences with their source (None: a decision of the calculator).

    `asked` are the options as given: they tell an alias from the id it stands for.
    """
    return [
        {"text": text, "source": source}
        for text, source in (*_decisions(estimate, asked), *_figures(estimate))
    ]


def arithmetics(estimate: Estimate) -> list[str]:
    """The number formats that the model's FLOP are done in, most FLOP first."""
    precision = estimate.deployment.run.precision
    total: dict[str, float] = {}
    if not estimate.prefill.operators:  # a large grid keeps no operators
        return list(dict.fromkeys((precision.compute("mlp"), precision.base.compute)))
    for phase in (estimate.prefill, estimate.decode):
        for cost in phase.operators:
            operator = cost.operator
            if operator.compute != "network" and operator.kind != "elementwise":
                flop = float(np.sum(operator.flop * operator.count))
                total[operator.compute] = total.get(operator.compute, 0.0) + flop
    return sorted((name for name in total if total[name] > 0), key=lambda name: -total[name])


def defaults_sentence(estimate: Estimate) -> str:
    """The defaults a question was completed with, as one sentence; empty when all was given."""
    deployment, work = estimate.deployment, estimate.workload
    values = {
        "model": deployment.model.id,
        "gpu": deployment.hardware.id,
        "batch": f"{work.batch:g}" if _one(work.batch) else "",
        "input_len": f"{work.input_len:g}" if _one(work.input_len) else "",
        "output_len": f"{work.output_len:g}" if _one(work.output_len) else "",
    }
    taken = [
        f"--{name.replace('_', '-')} {values[name]}"
        for name in _SHOWN_DEFAULTS
        if name in estimate.defaults
    ]
    if {"precision", "weights", "activations"} <= set(estimate.defaults):
        taken.append(f"{deployment.run.precision.name} as the model is stored")
    return f"defaults: {', '.join(taken)}" if taken else ""


def _one(value: Any) -> bool:
    return np.ndim(value) == 0


def _decisions(estimate: Estimate, asked: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    sentence = defaults_sentence(estimate)
    notes = [*([sentence] if sentence else []), *estimate.notes]
    hardware, name = estimate.deployment.hardware, asked.get("gpu", "")
    if isinstance(name, str) and name.lower() in hardware.aliases and name != hardware.id:
        notes.append(f"{name} stands for {hardware.id} ({hardware.name})")
    if not estimate.deployment.run.kv_cache:
        notes.append("no KV cache: every step recomputes its whole context")
    notes += [*_speculation(estimate), *_prefix(estimate), *_apart(estimate), *_crowd(estimate)]
    return [(note, None) for note in notes]


def _speculation(estimate: Estimate) -> list[str]:
    """What is drafted, and how a decode step becomes a TPOT (one question only)."""
    guess, steady = estimate.deployment.speculation, estimate.steady
    if guess is None:
        return []
    passes = f"{guess.tokens:g} pass{'es' if guess.tokens > 1 else ''}"
    by = f"by {guess.draft.name}" if guess.draft else "for free (n-gram look-up)"
    said = (
        f"speculation: {guess.tokens:g} tokens drafted per step {by}, each accepted with "
        f"{guess.acceptance:.0%}, as given: {guess.tokens_per_step:.3g} tokens per step"
    )
    token = estimate.serving.tpot if steady is None else steady.step
    if _one(token):
        what = f"and {passes} of the draft take" if guess.draft else "takes"
        whole = units.show(float(token) * guess.tokens_per_step, "s")
        said += f"; a decode step {what} {whole}, {units.show(float(token), 's')} per token"
    found = [said]
    if guess.draft is not None and estimate.deployment.workers is None:
        found.append("TTFT includes the draft model's own pass over the prompts")
    elif guess.draft is not None:
        found.append("the draft model's pass over the prompts, on the decode workers, is left out")
    return found


def _prefix(estimate: Estimate) -> list[str]:
    """The part of the prompts that is not computed."""
    hit = estimate.workload.prefix_hit_rate
    if not np.any(hit):
        return []
    share = f"{hit:.0%}" if _one(hit) else "a share that differs by point"
    return [f"prefix cache: {share} of each prompt is found there, as given, not computed"]


def _crowd(estimate: Estimate) -> list[str]:
    """What expected sums over many cards of one host rest on, where PCIe joins them."""
    deployment = estimate.deployment
    many = deployment.run.plan.tp
    if (
        many <= 2
        or deployment.calibration is None
        or levels(deployment.hardware, many)[0].link != "pcie"
    ):
        return []
    if deployment.hardware.measured is not None:
        return []
    return [
        f"sums over {many} cards on PCIe as timed on a host whose cards share one way: one whose "
        "cards reach each other directly was up to 16 times as quick over eight"
    ]


def _apart(estimate: Estimate) -> list[str]:
    """What a checkpoint has beside its text decoder: held in memory, left out, or not counted."""
    deployment = estimate.deployment
    model, base = deployment.model, deployment.run.precision.base.id
    found = [
        f"the {name.replace('_', ' ')} ({units.show(size, 'FLOP').removesuffix('FLOP').strip()} "
        f"parameters in {base}) is held in memory, not run for text"
        for name, size in model.extras.items()
    ]
    found += [
        f"{name.replace('mtp', 'MTP').replace('_', ' ')} are neither held nor run"
        for name in model.unused
    ]
    return [*found, model.notes] if model.notes else found


def _figures(estimate: Estimate) -> list[tuple[str, str | None]]:
    deployment = estimate.deployment
    hardware, model = deployment.hardware, deployment.model
    found: list[tuple[str, str | None]] = [
        (
            f"bandwidth {units.show(hardware.memory.bandwidth, 'B/s')}",
            cite(hardware.source("memory.bandwidth")),
        )
    ]
    found += [
        (
            f"{kind} peak {units.show(hardware.peak(kind), 'FLOP/s')} (dense)",
            cite(hardware.source(f"compute.{kind}")),
        )
        for kind in arithmetics(estimate)
    ]
    found.append(
        (
            f"memory {units.show(hardware.memory.usable, 'B')}, "
            f"{deployment.rules.utilization:.0%} of it for the engine",
            cite(hardware.source("memory.capacity")),
        )
    )
    found.append(("model " + model.id, cite(model.sources[0] if model.sources else None)))
    found += [price_basis(estimate), power_basis(estimate)]
    found += split_basis(estimate)
    if deployment.calibration is not None:
        found.append(
            (
                f"expected times: launch cost and achieved shares of the peaks, "
                f"{measured_words(estimate)}",
                _times_source(estimate, deployment.calibration.source),
            )
        )
    if estimate.serving.range_class is not None:
        found.append((range_words(estimate), load_ranges().source))
    return found


def split_basis(estimate: Estimate) -> list[tuple[str, str | None]]:
    """The link between the workers of a disaggregated deployment, and what it reaches."""
    split, deployment = estimate.split, estimate.deployment
    if split is None:
        return []
    link = split.transfer.link
    rate = f"{units.show(split.transfer.bandwidth, 'B/s')} per GPU and direction"
    if link == GIVEN:
        found: list[tuple[str, str | None]] = [(f"KV cache sent at {rate}, as given", None)]
    else:
        source = deployment.hardware.source(f"links.{link}.bandwidth")
        found = [(f"KV cache sent over {LINKS[link]} at {rate}", cite(source))]
    if deployment.calibration is not None:
        links = deployment.calibration.links
        words = (
            f"transfers start in {units.show(links.transfer_start, 's')} and reach "
            f"{links.transfer_share:.0%} of the link"
        )
        found.append((words, links.transfer_source))
        found.append(("no range: disaggregated deployments were hardly measured", None))
    return found


def range_words(estimate: Estimate) -> str:
    """Which measurements the ranges of TTFT and TPOT rest on."""
    known, (engine, _, architecture) = load_ranges(), kind_of(estimate.deployment)
    found = estimate.serving.range_class
    assert found is not None
    rests = f"{found.rows} closed-loop measurements of {found.name}"
    open_loop = estimate.load is not None and estimate.load.kind == "poisson"
    lacking = []
    if not known.seen(engine, architecture):
        lacking.append(f"nothing like {engine} on {architecture or 'this device'}")
    if open_loop:
        lacking.append("no stream of arrivals")
    if not lacking:
        return f"ranges hold 80 % of {rests}, each predicted without its own model and GPU"
    stretch = known.stretch(engine, architecture, open_loop)
    return f"ranges of {rests}, stretched by {stretch:g}: {' and '.join(lacking)} was measured"


def measured_words(estimate: Estimate) -> str:
    """Whether the kernels of this device were timed, or of which ones instead."""
    calibration, hardware = estimate.deployment.calibration, estimate.deployment.hardware
    if hardware.fitted is not None:
        return f"fitted to {hardware.fitted.rows:.0f} measured rows of this device"
    if hardware.measured is not None:
        return f"measured on this device itself, {hardware.measured.date}"
    if calibration is None or hardware.id in calibration.devices:
        return "measured on this GPU"
    return (
        f"carried over from measurements on {', '.join(calibration.devices)}; "
        f"not measured on {hardware.name}"
    )


def _times_source(estimate: Estimate, universal: str) -> str:
    """Where expected times come from: the device's own curves, else the calibration."""
    hardware = estimate.deployment.hardware
    if hardware.measured is None or hardware.fitted is not None:
        return universal
    software = ", ".join(f"{name} {text}" for name, text in hardware.measured.versions.items())
    return f"llmroof measure on {hardware.measured.device} ({software}); elsewhere: {universal}"


def price_basis(estimate: Estimate) -> tuple[str, str | None]:
    """The price of a GPU-hour and where it comes from."""
    used, listed = estimate.deployment.usd_per_gpu_hour, estimate.deployment.hardware.price
    if used is None:
        missing = f"the profile of {estimate.deployment.hardware.id} states no 'prices'"
        return f"no price: {missing}; --price USD gives one", None
    if listed is None or "price" not in estimate.defaults:
        return f"{used:g} USD per GPU-hour, as given", None
    return (
        f"{used:g} USD per GPU-hour ({listed.offer})",
        listed.title or listed.url or None,
    )


def power_basis(estimate: Estimate) -> tuple[str, str | None]:
    """The power that joules are counted with, and where it comes from."""
    deployment, watts = estimate.deployment, estimate.cost.watts
    hardware = deployment.hardware
    together = f", {watts:g} W in all" if deployment.num_gpus > 1 and watts is not None else ""
    if deployment.watts is not None:
        return f"joules at {deployment.watts:g} W per GPU{together}, as given", None
    if hardware.tdp is None:
        missing = f"the profile of {hardware.id} states no 'power.tdp'"
        return f"no joules: {missing}; --power WATTS gives one", None
    return (
        f"joules at the power limit of {hardware.tdp:g} W per GPU{together}, all the time: "
        f"an upper bound",
        cite(hardware.source("power.tdp")),
    )


def cite(source: Source | None) -> str | None:
    """A source as one short text."""
    if source is None:
        return None
    return f"{source.title} <{source.url}>" if source.url else source.title
