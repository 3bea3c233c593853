"""The calculator as one function: names and numbers in, a frozen Estimate out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from llmroof import bearing
from llmroof.arguments import ARRAYS, check_arguments
from llmroof.engine.deployment import Deployment, Workers, Workload
from llmroof.engine.estimate import Estimate, memory_of
from llmroof.engine.grid import estimate_grid
from llmroof.engine.loaded import estimate_load
from llmroof.engine.network import domains, reach
from llmroof.engine.plans import growing_plans
from llmroof.engine.serving import Load
from llmroof.errors import InputError
from llmroof.models.model import Model
from llmroof.operators import Number
from llmroof.ranges import MAX_VALUE, MIN_VALUE
from llmroof.resolve import DEFAULTS, deploy, resolve_precision, whole
from llmroof.specs.hardware import Hardware

__all__ = ["DEFAULTS", "check_context", "deploy", "estimate", "resolve_precision", "smallest_plan"]

#: the keywords of `estimate`: its own and those of `deploy`
KEYWORDS: Final = (*ARRAYS, "load", "random_lengths", "prefix_hit_rate", "chunked_prefill",
                    *(deploy.__kwdefaults__ or ()))  # fmt: skip
#: largest number of devices that a plan left open may grow to
_MAX_GPUS: Final = 64
#: worker counts of a disaggregated deployment; throughputs that differ by less are the same
COUNTS: Final = ("prefill_workers", "decode_workers")
_SAME: Final = 1e-9
#: options that have a default worth telling when they are left out
_TOLD: Final = ("precision", "weights", "activations", "kv_cache_dtype", "price", "engine")


def estimate(
    *,
    model: str | Model | None = None,
    gpu: str | Hardware | None = None,
    batch: Number = None,
    input_len: Number = None,
    output_len: Number = None,
    concurrency: Number = None,
    request_rate: Number = None,
    load: str = "closed",
    random_lengths: bool = False,
    prefix_hit_rate: float = 0.0,
    chunked_prefill: int | None = None,
    **options: Any,
) -> Estimate:
    """Latency, throughput, memory and cost of serving a model on accelerators.

    `model` and `gpu` are names (as on the command line) or loaded values; `batch`,
    `input_len`, `output_len`, `concurrency` and `request_rate` are numbers or arrays
    that broadcast, and every figure of the result has their joint shape. `batch` asks
    for one static batch; `concurrency` (requests in flight) or `request_rate`
    (requests/s, Poisson) for a server under load, `load` being "closed" or "burst" (as
    benchmarks start). `chunked_prefill` tokens a pass split a static prefill. Further
    `options` are those of `deploy`. All figures are SI: seconds, bytes, FLOP, USD.
    Raises LlmroofError.
    """
    own = {"model": model, "gpu": gpu, "batch": batch, "input_len": input_len}
    own |= {"output_len": output_len, "concurrency": concurrency, "request_rate": request_rate}
    own |= {"load": load, "random_lengths": random_lengths, "prefix_hit_rate": prefix_hit_rate}
    check_arguments(own | {"chunked_prefill": chunked_prefill} | options, KEYWORDS)
    deployment, notes = deploy(model=model, gpu=gpu, **options)
    lengths = lengths_of(deployment.model, input_len, output_len)
    bearing.check_hits(prefix_hit_rate)
    chunk = None if chunked_prefill is None else whole("chunked_prefill", chunked_prefill)
    together = _together(batch, concurrency, request_rate)
    loaded = {"concurrency": concurrency is not None, "request_rate": request_rate is not None}
    bearing.check_load(load, random_lengths, chunk, **loaded)
    work = Workload(together, **lengths, prefix_hit_rate=prefix_hit_rate, chunk_tokens=chunk)
    check_context(deployment.model, work)
    if all(options.get(name) is None for name in ("num_gpus", "tp", "pp", "dp", "ep")):
        deployment, found = smallest_plan(deployment, work)
        notes = (*notes, *found)

    def ask(deployment: Deployment) -> Estimate:
        if not any(loaded.values()):
            return estimate_grid(deployment, work)
        asked = _load(load, request_rate, concurrency, random_lengths)
        rate = None if request_rate is None else _positive("request_rate", request_rate)
        whole_load = Load(**lengths, **asked, prefix_hit_rate=prefix_hit_rate)
        return estimate_load(deployment, whole_load, rate)

    if options.get("num_gpus") is not None and all(options.get(name) is None for name in COUNTS):
        numbers = (together, *lengths.values(), concurrency, request_rate)
        deployment, found = _best_workers(deployment, ask, any(map(np.ndim, numbers)))
        notes = (*notes, *found)
    static, most = not any(loaded.values()), options.get("max_num_seqs")
    if static and most is not None:
        bearing.check_batch(deployment, together)
    notes = (*notes, *bearing.remarks(deployment, most, static=static))
    result = ask(deployment)
    given = {
        "model": model,
        "gpu": gpu,
        "batch": together if concurrency is not None or request_rate is not None else batch,
        "input_len": input_len,
        "output_len": output_len,
        **options,
    }
    return replace(result, defaults=_left_out(given), notes=notes)


def lengths_of(model: Model, input_len: Number, output_len: Number) -> dict[str, Number]:
    """Tokens in and out; a default shrinks where the model's context is too short for it.

    Raises InputError.
    """
    room = model.max_context or DEFAULTS["input_len"] + DEFAULTS["output_len"]
    output = whole(
        "output_len",
        min(DEFAULTS["output_len"], max(1, room // 4)) if output_len is None else output_len,
    )
    left = room - np.max(output)  # none at all: the default stays, and is refused with its sum
    left = min(DEFAULTS["input_len"], left) if left >= 1 else DEFAULTS["input_len"]
    return {
        "input_len": whole("input_len", left if input_len is None else input_len),
        "output_len": output,
    }


def _together(batch: Number, concurrency: Number, rate: Number) -> Number:
    """Sequences to find room for: the batch, the requests in flight, or one to begin with."""
    asked = [
        name
        for name, value in (("batch", batch), ("concurrency", concurrency), ("request_rate", rate))
        if value is not None
    ]
    if len(asked) > 1:
        raise InputError(f"{' and '.join(asked)} ask for different things: give one of them")
    if rate is not None or concurrency is not None:
        return 1.0
    return whole("batch", DEFAULTS["batch"] if batch is None else batch)


def _load(kind: str, rate: Number, concurrency: Number, random: bool) -> dict[str, Any]:
    if rate is not None:
        return {"kind": "poisson", "random": random}
    return {"kind": kind, "random": random, "concurrency": whole("concurrency", concurrency)}


def _positive(name: str, value: Number) -> Number:
    array = np.asarray(value, dtype=np.float64)
    if array.size == 0 or not np.all((array >= MIN_VALUE) & (array <= MAX_VALUE)):
        raise InputError(f"{name} must be above zero, {MIN_VALUE:g} to {MAX_VALUE:g}")
    return float(array) if array.ndim == 0 else array


def _left_out(given: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the inputs that were not given."""
    missing = tuple(name for name, value in given.items() if value is None)
    return (*missing, *(name for name in _TOLD if name not in given))


def smallest_plan(deployment: Deployment, work: Workload) -> tuple[Deployment, tuple[str, ...]]:
    """The fewest of 1, 2, 4 ... devices that hold the work, as far as their links reach.

    Tensor parallel inside the scale-up domain, then pipeline stages.
    """
    hardware, workers = deployment.hardware, deployment.workers
    if workers is not None:
        return _smallest_workers(deployment, workers, work)
    most = int(min(_MAX_GPUS, reach(hardware)))
    for plan in growing_plans(deployment.model, most, max(domains(hardware), default=1)):
        candidate = replace(deployment, run=replace(deployment.run, plan=plan))
        memory = memory_of(candidate, work)
        if np.all(memory.fits):
            degrees = f"tp={plan.tp}" + (f", pp={plan.pp}" if plan.pp > 1 else "")
            what = (
                "that hold it"
                if np.ndim(memory.fits) == 0
                else (
                    "that hold the largest point; ask points alone or give num_gpus for the others"
                )
            )
            note = f"{plan.num_gpus} GPUs ({degrees}): the fewest of 1, 2, 4 ... {what}"
            return candidate, (note,) if plan.num_gpus > 1 else ()
    return deployment, ()


def _smallest_workers(
    deployment: Deployment, workers: Workers, work: Workload
) -> tuple[Deployment, tuple[str, ...]]:
    """The smallest decode worker that holds its part, and prefill workers of the same size."""
    part = replace(work, batch=np.ceil(np.asarray(work.batch) / workers.decode)[()])
    one, notes = smallest_plan(replace(deployment, workers=None), part)
    both = workers.plan == deployment.run.plan
    plan = one.run.plan if both else workers.plan
    found = replace(one, workers=replace(workers, plan=plan))
    return found, tuple(f"each worker: {note}" for note in notes)


def _best_workers(
    deployment: Deployment, ask: Callable[[Deployment], Estimate], several: bool
) -> tuple[Deployment, tuple[str, ...]]:
    """The split of the devices into workers that finishes most requests, then the fastest.

    All splits are asked in one call, worker counts being arrays; `several` points at once
    would each have a best one of their own, which InputError says.
    """
    workers, total = deployment.workers, deployment.num_gpus
    first = worker_splits(deployment, several)
    if workers is None or first.size < 2:
        return deployment, ()
    second = (total - first * workers.plan.num_gpus) / deployment.run.plan.num_gpus
    found = ask(replace(deployment, workers=replace(workers, prefill=first, decode=second))).serving
    done = np.broadcast_to(found.requests_per_s, first.shape)
    most = done >= np.max(done) * (1.0 - _SAME)
    best = int(np.argmin(np.where(most, found.e2e_latency, np.inf)))
    counts = int(first[best]), int(second[best])
    note = (
        f"{counts[0]} prefill and {counts[1]} decode workers: the best of {first.size} splits of "
        f"{total} GPUs at this load"
    )
    chosen = replace(workers, prefill=counts[0], decode=counts[1])
    return replace(deployment, workers=chosen), (note,)


def worker_splits(deployment: Deployment, several: bool) -> Any:
    """Numbers of prefill workers that share the devices out with nothing left over.

    InputError where there is a choice and `several` points would each make their own.
    """
    workers, total = deployment.workers, deployment.num_gpus
    if workers is None:
        return np.ones(1)
    prefill, decode = workers.plan.num_gpus, deployment.run.plan.num_gpus
    first = np.arange(1.0, total // prefill + 1)
    left = total - first * prefill
    first = first[(left >= decode) & (left % decode == 0)]
    if several and first.size > 1:
        raise InputError("num_gpus shared out over a range: say prefill_workers and decode_workers")
    return first


def check_context(model: Model, work: Workload) -> None:
    """Raise InputError when the work is longer than the model was made for."""
    longest = float(np.max(np.asarray(work.input_len) + np.asarray(work.output_len)))
    if model.max_context is not None and longest > model.max_context:
        raise InputError(
            f"input_len + output_len = {longest:.0f} tokens is beyond the {model.max_context} "
            f"that {model.name} was made for"
        )
