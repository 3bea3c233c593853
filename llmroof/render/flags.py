"""Options as they are typed: keywords of `llmroof.estimate` as text to copy."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, Final

from llmroof.calibration.load import load_engine
from llmroof.engine.estimate import Estimate
from llmroof.search.again import Change

#: keyword of `llmroof.estimate` -> its flag, where that is not the keyword itself
_FLAGS: Final = {"tp": "--tp", "pp": "--pp", "dp": "--dp", "ep": "--ep"}
_SWITCHES: Final = {
    "limit": (True, "--limit"),
    "disaggregated": (True, "--disaggregated"),
    "kv_cache": (False, "--no-kv-cache"),
    "random_lengths": (True, "--random-lengths"),
}
#: what a number needs to be read back
_UNITS: Final = {"transfer_bandwidth": " B/s"}
_WORKLOAD: Final = ("batch", "input_len", "output_len")
#: options that change the rules of an engine -> their names there
_BOUNDS: Final = {
    "max_num_batched_tokens": "chunk_tokens",
    "max_num_seqs": "max_num_seqs",
    "gpu_memory_utilization": "utilization",
}
_PLAN: Final = ("num_gpus", "tp", "pp", "dp", "ep")


def flag(name: str) -> str:
    """The flag of a keyword."""
    return _FLAGS.get(name, "--" + name.replace("_", "-"))


def flags(options: Mapping[str, Any]) -> str:
    """Keywords of `llmroof.estimate` as command-line options."""
    words = []
    for name, value in options.items():
        if name in _SWITCHES:
            wanted, switch = _SWITCHES[name]
            words += [switch] if value is wanted else []
        elif value is not None:
            unit = _UNITS.get(name, "")
            words.append(f"{flag(name)} {shlex.quote(_text(value) + unit)}")
    return " ".join(words)


def words(options: Mapping[str, Any]) -> str:
    """`flags` for a sentence: a switch that has to go is named as such."""
    gone = [
        f"without {switch}"
        for name, (wanted, switch) in _SWITCHES.items()
        if name in options and options[name] is not wanted
    ]
    return " ".join(filter(None, (flags(options), *gone)))


def command(estimate: Estimate, asked: Change, change: Change) -> str:
    """The command line that asks the same with a change; `asked` are the options given."""
    kept = dict(asked) or _named(estimate)
    if any(name in change for name in _PLAN):
        kept = {name: value for name, value in kept.items() if name not in _PLAN}
        if "tp" in change:
            plan = estimate.deployment.run.plan
            others = {"pp": plan.pp, "dp": plan.dp, "ep": plan.ep}
            kept |= {name: degree for name, degree in others.items() if degree > 1}
    return f"llmroof estimate {flags({**kept, **change})}"


def _named(estimate: Estimate) -> dict[str, Any]:
    """The options that name an estimate made from Python."""
    deployment, work = estimate.deployment, estimate.workload
    numbers = {name: getattr(work, name) for name in _WORKLOAD}
    named = {"model": deployment.model.id, "gpu": deployment.hardware.id, **numbers}
    workers = deployment.workers
    if workers is None:
        return named
    counts = {"prefill_workers": workers.prefill, "decode_workers": workers.decode}
    return named | {"disaggregated": True} | counts


def same_question(estimate: Estimate) -> dict[str, Any]:
    """The keywords that ask for a replica under its load again, formats and plan by name."""
    deployment, load = estimate.deployment, estimate.load
    precision, plan = deployment.run.precision, deployment.run.plan
    recipe = precision.name.split()[0] if precision.name else None
    asked: dict[str, Any] = {
        "model": deployment.model.id,
        "gpu": deployment.hardware.id,
        "precision": recipe,
        "activations": precision.activations.id,
        "kv_cache_dtype": precision.kv_cache.id,
        "engine": None if deployment.engine == "generic" else deployment.engine,
    }
    asked |= {name: getattr(plan, name) for name in ("tp", "pp", "dp", "ep") if name == "tp" or
              getattr(plan, name) > 1}  # fmt: skip
    asked |= {name: getattr(estimate.workload, name) for name in ("input_len", "output_len")}
    asked |= _unusual(estimate)
    if load is None:
        return asked | {"batch": estimate.workload.batch}
    asked["prefix_hit_rate"] = load.prefix_hit_rate or None
    if load.kind == "poisson":
        return asked | {"request_rate": estimate.serving.arrivals_per_s}
    return asked | {"concurrency": load.concurrency}


def _unusual(estimate: Estimate) -> dict[str, Any]:
    """Price, power, bounds of the engine and the limit, where they are not as they come."""
    deployment, hardware = estimate.deployment, estimate.deployment.hardware
    usual, rules = load_engine(deployment.engine), deployment.rules
    listed = None if hardware.price is None else hardware.price.usd_per_hour
    price = deployment.usd_per_gpu_hour
    asked: dict[str, Any] = {
        "limit": deployment.calibration is None,
        "price": None if price == listed else price,
        "power": deployment.watts,
    }
    for name, field in _BOUNDS.items():
        value = getattr(rules, field)
        asked[name] = None if value == getattr(usual, field) else value
    return asked


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    name = getattr(value, "id", None)
    return str(name) if name is not None else f"{float(value):.12g}"
