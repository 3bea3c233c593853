"""What could serve a model: hardware × precision × parallel plan, and what each could do at best.

The least time of every candidate is found for all devices at once (`engine/floors.py`): the
operators of a pass depend on model, precision and plan, not on the device, so they are made
once and met with a vector of peaks and bandwidths. No expected time is below its floor,
which lets a search leave out whatever cannot win even there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from llmroof.engine.deployment import Deployment
from llmroof.engine.floors import least_time
from llmroof.engine.network import domains, reach
from llmroof.engine.plans import check_plan
from llmroof.errors import InputError, LlmroofError, Unsupported
from llmroof.models.model import Model
from llmroof.operators import Execution, Plan, Step
from llmroof.resolve import deploy
from llmroof.specs.hardware import Hardware

#: stages of a pipeline that are tried
_STAGES: Final = (1, 2, 4)
#: a mean stage of a pipeline stands for all: the one with most room may have this much more
_UNEVEN: Final = 1.05
#: precisions tried when none is named, besides the one the model is stored in
PRECISIONS: Final = ("fp8", "w4a16", "fp4")
#: four-bit arithmetic by vendor: NVIDIA's own scales; others take those of the OCP
#: standard (AMD serves MXFP4 on the MI355X: rocm.blogs.amd.com, "w4a6-quant-mm")
_FOUR_BITS: Final = {"NVIDIA": {"precision": "nvfp4"}}
_STANDARD: Final = {"precision": "mxfp4", "activations": "mxfp4"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A deployment that could serve, with the least seconds of its passes.

    `step` is a decode step at each number of sequences per rank of the search's grid,
    `mixed` one with a chunk of a prompt in it, `chunk` that chunk alone, of which a
    prompt has `chunks`: none is ever less. More than `slots` sequences per rank
    find no room.
    """

    deployment: Deployment
    step: Any
    mixed: Any
    chunk: float
    chunks: float
    slots: float

    @property
    def num_gpus(self) -> int:
        """Devices of one replica."""
        return self.deployment.num_gpus


@dataclass(frozen=True, slots=True)
class Question:
    """The lengths of the requests, and the numbers of sequences per rank that are tried."""

    input_len: float
    output_len: float
    running: Any
    prefix_hit_rate: float = 0.0


def plans(model: Model, hardware: Hardware, largest: int) -> Iterator[Plan]:
    """Plans of 1, 2, 4 ... devices that model and device allow.

    Tensor parallel inside the scale-up domain. Pipeline stages come where that ends (the
    domain, the heads), and everywhere on devices that only PCIe joins. A model with
    experts also spreads them, with attention sharded or data parallel.
    """
    domain = int(max(domains(hardware), default=1))
    largest = int(min(largest, reach(hardware)))
    experts = any(hasattr(block, "experts") for block, _ in model.parts())
    bridged = "scale_up" in hardware.links
    devices = 1
    while devices <= largest:
        found = [plan for plan in _splits(devices, domain, experts) if _possible(model, plan)]
        widest = max((plan.tp for plan in found), default=1)
        yield from (plan for plan in found if plan.pp == 1 or plan.tp == widest or not bridged)
        devices *= 2


def _possible(model: Model, plan: Plan) -> bool:
    try:
        check_plan(model, plan)
    except InputError:
        return False
    return True


def _splits(devices: int, domain: int, experts: bool) -> Iterator[Plan]:
    for stages in _STAGES:
        tp, rest = divmod(devices, stages)
        if rest == 0 and 1 <= tp <= domain:
            yield Plan(tp, stages)
    if experts and devices > 1:
        tp = min(devices, domain)
        while tp >= 1:
            yield Plan(tp, 1, devices // tp, devices)
            tp //= 2


def deployments(
    model: Model, hardware: Sequence[Hardware], precisions: Sequence[str | None], **options: Any
) -> Iterator[Deployment]:
    """One deployment on one device of each GPU in each precision that it can compute in.

    A GPU whose arithmetic lacks a precision is left out for it; equal precisions are
    met once.
    """
    for gpu in hardware:
        seen: list[Any] = []
        for name in precisions:
            try:
                deployment, _ = deploy(model=model, gpu=gpu, **{**formats_of(gpu, name), **options})
            except (Unsupported, InputError):
                continue
            formats = replace(deployment.run.precision, name="")
            if formats not in seen:
                seen.append(formats)
                yield deployment


def formats_of(gpu: Hardware, name: str | None) -> dict[str, str | None]:
    """The options of a precision; `fp4` is what the vendor computes in four bits."""
    return dict(_FOUR_BITS.get(gpu.vendor, _STANDARD)) if name == "fp4" else {"precision": name}


def candidates(
    bases: Sequence[Deployment], question: Question, largest: int, only: Plan | None = None
) -> list[Candidate]:
    """Every plan of up to `largest` devices on every base that has room for a sequence."""
    if only is not None and bases:
        check_plan(bases[0].model, only)
    groups: dict[tuple[Any, ...], list[Deployment]] = {}
    runs: dict[tuple[Any, ...], Execution] = {}
    for base in bases:
        precision = base.run.precision
        formats = (precision.name, precision.base.id, precision.weights.id, precision.kv_cache.id)
        for plan in [only] if only else plans(base.model, base.hardware, largest):
            key = (*formats, precision.activations.id, plan)
            runs.setdefault(key, replace(base.run, plan=plan))
            groups.setdefault(key, []).append(replace(base, run=runs[key]))
    found: list[Candidate] = []
    for key, group in groups.items():
        found += _roomy(group, runs[key], question)
    return found


def _roomy(group: Sequence[Deployment], run: Execution, question: Question) -> Iterator[Candidate]:
    """The deployments of one run that hold at least one sequence, with their floors."""
    model = group[0].model
    weights = model.weights_bytes(run.precision, run.plan)
    rules = group[0].rules
    held = question.input_len + question.output_len * rules.held_output
    each = model.kv_cache_bytes(held, run.precision, run.plan.tp) / run.plan.pp
    rooms = [rules.pool(one.hardware.memory.usable, weights) / each * _UNEVEN for one in group]
    kept = [(one, room) for one, room in zip(group, rooms, strict=True) if room >= 1]
    if not kept:
        return
    fresh = max(question.input_len * (1 - question.prefix_hit_rate), 1.0)
    chunks = np.ceil(fresh / rules.chunk_tokens)
    prompt = Step(1.0, fresh / chunks, question.input_len - fresh + (fresh - fresh / chunks) / 2)
    context = question.input_len + question.output_len / 2
    together = np.ceil(question.running / run.plan.pp)
    steps = Step(together, 1.0, context - 1)
    try:
        passes = [model.operators(work, run) for work in ((steps,), (steps, prompt), (prompt,))]
    except LlmroofError:
        return
    size = (len(kept), len(question.running))
    devices = [one for one, _ in kept]
    step, mixed, chunk = (
        np.broadcast_to(least_time(operators, devices, prompts), size)
        for operators, prompts in zip(passes, (False, True, True), strict=True)
    )
    for row, (deployment, room) in enumerate(kept):
        if np.isfinite(chunk[row, 0]):
            yield Candidate(
                deployment,
                step[row],
                mixed[row],
                float(chunk[row, 0]),
                float(chunks),
                room,
            )
