"""What the page knows: the deployments to choose from, each with its formulas and sources.

The page gets no table of results. It gets the engine's own calculation, recorded once per
deployment (`llmroof.report.formulas`) and compared with the engine before it is handed
out, so that every batch and length has the figures that `llmroof estimate` gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from llmroof import bearing, figures
from llmroof.api import estimate as ask
from llmroof.engine.deployment import Deployment, Workload
from llmroof.engine.estimate import Estimate, estimate
from llmroof.engine.network import domains, reach
from llmroof.engine.plans import fault, growing_plans
from llmroof.engine.roofline import BOUNDS
from llmroof.errors import InputError, LlmroofError
from llmroof.models.model import Model
from llmroof.operators import Plan
from llmroof.render.basis import basis
from llmroof.render.flags import flags
from llmroof.render.plots.series import computes
from llmroof.render.plots.style import colors
from llmroof.render.plots.words import devices
from llmroof.render.record import Tree, head, plain_tree
from llmroof.report.formulas import OPERATIONS, Formulas, NotRecorded, Program, record
from llmroof.resolve import deploy
from llmroof.specs.hardware import Hardware, load_hardware

#: recipes offered beside the model's own where none are asked for
_RECIPES: Final = ("fp8", "w4a16")
#: devices of the largest plan offered where none is asked for, unless the model needs more
_USUAL_GPUS: Final = 8
#: choices of GPU x precision x plan that one page holds
_MOST: Final = 120
#: ends of the sliders; a model's own context ends the lengths earlier
LONGEST: Final[Mapping[str, int]] = {"batch": 4096, "input_len": 131072, "output_len": 16384}
#: points at which each recording is compared with the engine
_CHECKED: Final = 96
#: workloads to record at; they have no influence on the formulas
_SAMPLES: Final[Mapping[str, Sequence[float]]] = {
    "batch": (1.0, 3.0, 40.0),
    "input_len": (700.0, 2100.0, 90.0),
    "output_len": (2.0, 300.0, 77.0),
}
_AMOUNTS: Final = (
    *("count", "flop", "bytes", "weight_bytes", "kv_bytes", "activation_bytes", "network_bytes"),
)
_TIMES: Final = (*BOUNDS, "total")
_PLAN: Final = ("tp", "pp", "dp", "ep")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a page is asked for; None leaves a choice to the calculator.

    `options` are further keywords of `llmroof.estimate` that hold for the whole page.
    """

    model: str | None
    gpus: Sequence[str | None]
    precisions: Sequence[str] | None
    degrees: Sequence[int] | None
    work: Mapping[str, int | None]
    options: Mapping[str, Any]


def content(wanted: Wanted) -> Tree:
    """`llmroof.report/1`: everything the page shows, as plain data.

    Raises LlmroofError where `llmroof estimate` would, NotRecorded where the formulas
    of a deployment cannot be handed to a page.
    """
    start = _start(wanted)
    model = start.deployment.model
    hardware = list({one.id: one for one in map(_hardware, wanted.gpus)}.values())
    made, refused = _deployments(wanted, model, hardware, start)
    programs = list(dict.fromkeys(_key(formulas.program) for _, _, formulas, _ in made))
    return head("report") | plain_tree(
        {
            "model": _model(model),
            "gpus": _gpus(hardware),
            "bounds": BOUNDS,
            "operations": list(OPERATIONS),
            "programs": [_program(key) for key in programs],
            "deployments": [
                _deployment(found, recipe, wanted, programs.index(_key(formulas.program)))
                | {"constants": [_number(value) for value in formulas.constants], "basis": said}
                for found, recipe, formulas, said in made
            ],
            "refused": refused,
            "limits": _limits(model, start),
            "start": _first(start),
        }
    )


def check_wanted(wanted: Wanted) -> None:
    """Raise LlmroofError now where `content` would at its first choice or a name."""
    _start(wanted)
    for name in wanted.gpus:
        _hardware(name)


def calculation(deployment: Deployment, **work: Any) -> dict[str, Any]:
    """Every figure of an estimate that varies or is shown, by its name in the output.

    Operators are `phase.place.figure`: amounts of one run on one device, times of all
    runs, expected (`time.memory`) and at the limit (`limit.memory`).
    """
    found = estimate(deployment, Workload(**work))
    named = {
        f"{part}.{name}": value
        for part in ("prefill", "decode", "memory", "serving", "cost", "energy")
        for name, read in figures.FIGURES[part].items()
        if name != "bound" and (value := read(found)) is not None
    }
    for name, phase in (("prefill", found.prefill), ("decode", found.decode)):
        named |= {f"{name}.time.{part}": getattr(phase.times, part) for part in BOUNDS}
        named[f"{name}.rounds"] = phase.rounds
        for place, cost in enumerate(phase.operators):
            at = f"{name}.{place}"
            named |= {f"{at}.{part}": getattr(cost.operator, part) for part in _AMOUNTS}
            named |= {f"{at}.time.{part}": getattr(cost.times, part) for part in _TIMES}
            named |= {f"{at}.limit.{part}": getattr(cost.limit, part) for part in _TIMES}
    return named


def formulas_of(deployment: Deployment) -> Formulas:
    """The recorded calculation of a deployment, equal to the engine's wherever it was tried."""
    formulas = record(lambda **work: calculation(deployment, **work), _SAMPLES)
    points = _random_points(deployment.model, _CHECKED)
    with np.errstate(all="ignore"):
        truth, found = calculation(deployment, **points), formulas(**points)
    for name, value in truth.items():
        if not np.all(np.equal(value, found[name])):
            raise NotRecorded(f"{name} of {deployment.model.name} does not follow its recording")
    return formulas


def _random_points(model: Model, many: int) -> dict[str, Any]:
    """Workloads all over the sliders, the same in every run, even in their logarithms."""
    random = np.random.default_rng(many)
    ends = {name: _longest(model, name) for name in LONGEST}
    return {
        name: np.floor(np.exp(random.uniform(0.0, np.log(end + 1.0), many)))
        for name, end in ends.items()
    }


def _start(wanted: Wanted) -> Estimate:
    """The estimate that the page opens with: the first of every choice."""
    first: dict[str, Any] = {**wanted.options, **wanted.work}
    first["precision"] = wanted.precisions[0] if wanted.precisions else None
    if wanted.degrees:
        first["tp"] = wanted.degrees[0]
    return ask(model=wanted.model, gpu=wanted.gpus[0], **first)


def _hardware(name: str | None) -> Hardware:
    return load_hardware("h100" if name is None else name)


def _deployments(
    wanted: Wanted, model: Model, hardware: Sequence[Hardware], start: Estimate
) -> tuple[list[tuple[Deployment, str, Formulas, Any]], list[Tree]]:
    """Every choice that exists, and for the others why they do not."""
    chosen: list[tuple[Deployment, str, tuple[str, ...]]] = []
    refused: list[Tree] = []
    fault_of: LlmroofError | None = None
    for gpu in hardware:
        for recipe in _recipes(wanted, start):
            for plan in _plans(wanted, model, gpu, start):
                try:
                    options = {**wanted.options, **plan, "precision": recipe or None}
                    found, notes = deploy(model=model, gpu=gpu, **options)
                except LlmroofError as error:
                    fault_of = fault_of or error
                    refused.append({"gpu": gpu.id, "precision": recipe, "why": str(error), **plan})
                    continue
                chosen.append((found, recipe, notes))
    if fault_of is not None and not chosen:
        raise fault_of
    if len(chosen) > _MOST:
        raise InputError(f"more than {_MOST} GPUs x precisions x plans: name fewer")
    most = wanted.options.get("max_num_seqs")
    made = [
        (found, recipe, formulas_of(found), _basis(found, start, notes, most))
        for found, recipe, notes in chosen
    ]
    return made, refused


def _recipes(wanted: Wanted, start: Estimate) -> list[str]:
    """Precisions by name; "" is the model as it is stored."""
    if wanted.precisions:
        return list(dict.fromkeys(wanted.precisions))
    if any(name in wanted.options for name in ("weights", "activations")):
        return [""]
    return ["", *(name for name in _RECIPES if name != start.deployment.run.precision.name)]


def _plans(
    wanted: Wanted, model: Model, gpu: Hardware, start: Estimate
) -> Iterator[dict[str, int]]:
    """Degrees to choose from: those asked for, else what grows by doubling within a domain."""
    fixed = {name: wanted.options[name] for name in _PLAN if wanted.options.get(name)}
    if wanted.degrees:
        yield from ({**fixed, "tp": tp} for tp in dict.fromkeys(wanted.degrees))
        return
    domain = max(domains(gpu), default=1)
    if fixed:
        for tp in (1, 2, 4, 8):
            trial = Plan(tp, *(fixed.get(name, 1) for name in ("pp", "dp", "ep")))
            if tp <= domain and not fault(model, trial):
                yield {**fixed, "tp": tp}
        return
    largest = int(min(max(_USUAL_GPUS, start.deployment.num_gpus), reach(gpu)))
    for plan in growing_plans(model, largest, domain):
        yield {"tp": plan.tp, **({"pp": plan.pp} if plan.pp > 1 else {})}


def _basis(
    deployment: Deployment, start: Estimate, notes: Sequence[str], most: int | None
) -> list[Tree]:
    """What the figures rest on, whatever the sliders say; `most` is the max_num_seqs asked for."""
    work = {name: getattr(start.workload, name) for name in LONGEST}
    found = estimate(deployment, Workload(**work))
    said = (*notes, *bearing.remarks(deployment, most))
    given = tuple(name for name in start.defaults if name == "price")
    return basis(replace(found, defaults=given, notes=said))


def _deployment(found: Deployment, recipe: str, wanted: Wanted, program: int) -> Tree:
    """One choice: its name, its plan, its roofs and operators."""
    precision, plan = found.run.precision, found.run.plan
    example = estimate(found, Workload(1.0, 1.0, 2.0))
    return {
        "gpu": found.hardware.id,
        "precision": recipe or precision.name,
        "weights": precision.weights.id,
        "activations": precision.activations.id,
        "kv_cache_dtype": precision.kv_cache.id,
        "num_gpus": found.num_gpus,
        **{name: getattr(plan, name) for name in _PLAN},
        "flags": _flags(found, recipe, wanted),
        "usd_per_gpu_hour": found.usd_per_gpu_hour,
        "roofs": [{"name": name, "peak": found.hardware.peak(name)} for name in computes(example)],
        "operators": {
            name: [
                {"name": cost.operator.name, "kind": cost.operator.kind}
                | {"compute": cost.operator.compute}
                for cost in phase.operators
            ]
            for name, phase in (("prefill", example.prefill), ("decode", example.decode))
        },
        "program": program,
    }


def _flags(found: Deployment, recipe: str, wanted: Wanted) -> str:
    """The options that ask `llmroof estimate` for the same deployment."""
    plan = found.run.plan
    degrees = {name: getattr(plan, name) for name in _PLAN}
    split = {name: degree for name, degree in degrees.items() if name == "tp" or degree > 1}
    kept = {name: value for name, value in wanted.options.items() if name not in _PLAN}
    named = {"model": wanted.model or found.model.id, "gpu": found.hardware.id}
    paths = {one: one for one in wanted.gpus if one and _hardware(one).id == found.hardware.id}
    named["gpu"] = next(iter(paths), found.hardware.id)
    return flags({**named, "precision": recipe or None, **split, **kept})


def _model(model: Model) -> Tree:
    return {
        "id": model.id,
        "name": model.name,
        "parameters": model.parameters,
        "active_parameters": model.active_parameters,
        "max_context": model.max_context,
        "sources": [{"title": one.title, "url": one.url or None} for one in model.sources],
    }


def _gpus(hardware: Sequence[Hardware]) -> list[Tree]:
    """The devices with the colour they have in every chart."""
    chosen = colors([one.id for one in hardware])
    short = devices(hardware)
    return [
        {
            "id": one.id,
            "name": one.name,
            "short": name,
            "color": chosen[one.id],
            "bandwidth": one.memory.bandwidth,
            "capacity": one.memory.usable,
            "peaks": dict(one.compute),
        }
        for one, name in zip(hardware, short, strict=True)
    ]


def _limits(model: Model, start: Estimate) -> dict[str, int]:
    """The right ends of the sliders."""
    return {
        name: int(max(_longest(model, name), getattr(start.workload, name))) for name in LONGEST
    }


def _longest(model: Model, name: str) -> int:
    if name == "batch" or model.max_context is None:
        return LONGEST[name]
    return max(1, min(LONGEST[name], model.max_context - 1))


def _first(start: Estimate) -> Tree:
    plan, work = start.deployment.run.plan, start.workload
    return {
        "gpu": start.deployment.hardware.id,
        "precision": start.deployment.run.precision.name,
        **{name: getattr(plan, name) for name in _PLAN},
        **{name: getattr(work, name) for name in LONGEST},
    }


def _key(program: Program) -> tuple[Any, ...]:
    """What two programs share when they are the same."""
    return program.inputs, program.constants, program.steps, tuple(program.outputs.items())


def _program(key: tuple[Any, ...]) -> Tree:
    inputs, constants, steps, outputs = key
    return {
        "inputs": inputs,
        "constants": constants,
        "steps": [number for step in steps for number in step],
        "outputs": dict(outputs),
    }


def _number(value: float) -> float | str:
    """JSON has no infinity: `Infinity` as text, which a browser reads as a number."""
    return value if np.isfinite(value) else "Infinity" if value > 0 else "-Infinity"
