"""Names and numbers -> the values the engine works on; every wrong one is named."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from llmroof.arguments import check_values
from llmroof.bearing import check_routing
from llmroof.blocks.base import Block
from llmroof.calibration.device import of_device
from llmroof.calibration.load import EngineRules, load_calibration, load_engine
from llmroof.engine.deployment import OVERLAPS, Deployment, Speculation, Workers
from llmroof.engine.network import ALL_REDUCE, AUTO
from llmroof.engine.plans import check_plan
from llmroof.engine.roofline import require_support
from llmroof.engine.transfer import link_between
from llmroof.errors import InputError, Unsupported
from llmroof.models.load import load_model
from llmroof.models.model import Model
from llmroof.models.quantized import quantized
from llmroof.operators import Execution, Number, Plan
from llmroof.operators.execution import ATTENTION, FUSION
from llmroof.ranges import MAX_VALUE
from llmroof.specs.hardware import Hardware, load_hardware
from llmroof.specs.precision import Precision, number_format

#: the two 16-bit formats, either of which a checkpoint can be run in
_SIXTEEN: Final = ("bf16", "fp16")
#: what a question that leaves something out is asked with
DEFAULTS: Final[Mapping[str, Any]] = {
    "model": "llama-3.1-8b",
    "gpu": "h100",
    "batch": 1,
    "input_len": 1024,
    "output_len": 256,
    "engine": "generic",
}


def deploy(
    *,
    model: str | Model | None = None,
    gpu: str | Hardware | None = None,
    precision: str | None = None,
    weights: str | None = None,
    activations: str | None = None,
    kv_cache_dtype: str | None = None,
    num_gpus: int | None = None,
    tp: int | None = None,
    pp: int | None = None,
    dp: int | None = None,
    ep: int | None = None,
    price: float | None = None,
    limit: bool = False,
    engine: str | None = None,
    attention: str = "flash",
    fusion: str = "fused",
    all_reduce: str = AUTO,
    kv_cache: bool = True,
    routing_skew: float = 0.0,
    gpu_memory_utilization: float | None = None,
    max_num_batched_tokens: int | None = None,
    max_num_seqs: int | None = None,
    speculative_tokens: int | None = None,
    acceptance_rate: float | None = None,
    draft_model: str | Model | None = None,
    power: float | None = None,
    disaggregated: bool = False,
    prefill_workers: int | None = None,
    decode_workers: int | None = None,
    prefill_tp: int | None = None,
    prefill_pp: int | None = None,
    prefill_dp: int | None = None,
    prefill_ep: int | None = None,
    transfer_bandwidth: float | None = None,
    transfer_overlap: str | None = None,
) -> tuple[Deployment, tuple[str, ...]]:
    """A deployment from names and numbers, and what was decided on the way.

    A `disaggregated` one has `prefill_workers` and `decode_workers` (1 of each when left
    out), every one under tp, pp, dp and ep, prefill workers under the `prefill_` degrees
    that are given; `num_gpus` counts the devices of all of them.
    """
    check_values(dict(locals()))
    engine = None if engine is None else engine.lower()
    loaded = (
        model
        if isinstance(model, Model)
        else load_model(DEFAULTS["model"] if model is None else model)
    )
    hardware = (
        gpu if isinstance(gpu, Hardware) else load_hardware(DEFAULTS["gpu"] if gpu is None else gpu)
    )
    chosen, notes = resolve_precision(loaded, hardware, precision)
    chosen = _with_activations(chosen.with_parts(weights, None, kv_cache_dtype), activations)
    require_support(hardware, chosen, {tensor.role for tensor, _ in loaded.tensors()})
    rules = _rules(engine, gpu_memory_utilization, max_num_batched_tokens, max_num_seqs)
    hardware = as_run(hardware, rules)
    named = (activations is not None, kv_cache_dtype is not None)
    chosen, own = engine_formats(chosen, rules, hardware, *named)
    notes = (*notes, *(f"{what}, as {engine} {does}" for what, does in own))
    _one_of("attention", attention, ATTENTION)
    _one_of("fusion", fusion, FUSION)
    _one_of("all_reduce", all_reduce, (AUTO, *ALL_REDUCE))
    if not 0 <= routing_skew <= 4:
        raise InputError(f"routing_skew must be 0 to 4, not {routing_skew:g}")
    if attention == "naive" and any(_always_flash(block) for block, _ in loaded.parts()):
        notes = (*notes, "--attention naive holds for softmax attention over full keys only")
    split = {
        "prefill_workers": prefill_workers, "decode_workers": decode_workers,
        "prefill_tp": prefill_tp, "prefill_pp": prefill_pp, "prefill_dp": prefill_dp,
        "prefill_ep": prefill_ep, "transfer_bandwidth": transfer_bandwidth,
        "transfer_overlap": transfer_overlap,
    }  # fmt: skip
    plan, workers = _plan(num_gpus, (tp, pp, dp, ep), disaggregated, split)
    check_plan(loaded, plan)
    if workers is not None:
        check_plan(loaded, workers.plan)
        if not kv_cache:
            raise InputError("disaggregated sends the KV cache: kv_cache=False leaves nothing")
    speculation = speculate(speculative_tokens, acceptance_rate, draft_model)
    if speculation is not None and speculation.draft is not None:
        check_plan(speculation.draft, plan)
    check_routing(loaded, speculation.draft if speculation else None, routing_skew)
    _amount("price", price, "USD per GPU-hour")
    _amount("power", power, "watts per GPU")
    listed = hardware.price.usd_per_hour if hardware.price else None
    deployment = Deployment(
        loaded,
        hardware,
        Execution(chosen, plan, attention, fusion, kv_cache, routing_skew, all_reduce),
        rules.ideal() if limit else rules,
        None if limit else of_device(load_calibration(), hardware),
        listed if price is None else price,
        DEFAULTS["engine"] if engine is None else engine,
        speculation,
        power,
        workers,
    )
    if workers is not None:
        link_between(deployment)  # refused now where the profile knows no link
    return deployment, notes


def _always_flash(block: Block) -> bool:
    """True for blocks with a cache whose kernels keep their scores on chip in any case."""
    return bool(block.cache()) and block.kind != "attention"


def _with_activations(precision: Precision, name: str | None) -> Precision:
    """The precision with its activations named anew: 16 bits also change the base."""
    if name is None:
        return precision
    wanted = number_format(name)
    if wanted.bits > precision.base.bits:
        raise InputError(
            f"activations in {wanted.id} need weights in {wanted.id}: use --precision {wanted.id}"
        )
    if not wanted.quantized and wanted != precision.base:
        precision = precision.on_base(wanted.id)
    return precision.with_parts(activations=wanted.id)


def as_run(hardware: Hardware, rules: EngineRules) -> Hardware:
    """The device as an engine's kernels use it. Unsupported where they do not run on it."""
    if not rules.runs_on(hardware.vendor):
        raise Unsupported(
            f"this engine runs on devices of {' and '.join(rules.vendors)} alone, not on "
            f"{hardware.name}: leave --engine out, or take another one"
        )
    return _short_sums(hardware) if rules.short_sums else hardware


def engine_formats(
    chosen: Precision,
    rules: EngineRules,
    hardware: Hardware,
    activations_named: bool,
    kv_cache_named: bool,
) -> tuple[Precision, list[tuple[str, str]]]:
    """`chosen` with the engine's own formats where none is named: (what, what it does)."""
    own = []
    if _widens(rules, chosen, hardware) and not activations_named:
        chosen = replace(chosen, activations=number_format(rules.mxfp4))
        own.append((f"activations of the experts in {rules.mxfp4}", "runs them here"))
    if rules.kv_cache and chosen.activations.quantized and not kv_cache_named:
        chosen = chosen.with_parts(kv_cache=rules.kv_cache)
        own.append((f"KV cache in {rules.kv_cache}", "keeps it for these weights"))
    return chosen, own


def _short_sums(hardware: Hardware) -> Hardware:
    """The device with the rates of 16-bit sums for 16-bit products, where it has them."""
    rate = hardware.compute.get("fp16_fp16acc")
    if rate is None:
        return hardware
    return replace(hardware, compute={**hardware.compute, "fp16": rate, "bf16": rate})


def _widens(rules: EngineRules, chosen: Precision, hardware: Hardware) -> bool:
    """True where an engine quantizes the 16-bit activations that meet MXFP4 weights."""
    plain = chosen.weights.id == "mxfp4" and not chosen.activations.quantized
    return bool(rules.mxfp4) and plain and {"fp4", "fp8"} <= set(hardware.compute)


def speculate(
    tokens: int | None, acceptance: float | None, draft: str | Model | None
) -> Speculation | None:
    """Speculative decoding from its options; None when none of them is given."""
    if tokens is None:
        if acceptance is not None or draft is not None:
            raise InputError("acceptance_rate and draft_model need speculative_tokens")
        return None
    if not 1 <= tokens <= 64:
        raise InputError(f"speculative_tokens must be 1 to 64, not {tokens}")
    if acceptance is None:
        raise InputError("speculative_tokens needs acceptance_rate (it depends on the text)")
    if not 0 <= acceptance <= 1:
        raise InputError(f"acceptance_rate must be 0 to 1, not {acceptance:g}")
    model = load_model(draft) if isinstance(draft, str) else draft
    return Speculation(tokens, acceptance, model)


def _rules(
    engine: str | None,
    utilization: float | None,
    batched_tokens: int | None,
    sequences: int | None,
) -> EngineRules:
    rules = load_engine(DEFAULTS["engine"] if engine is None else engine)
    if utilization is not None:
        if not 0 < utilization <= 1:
            raise InputError(
                f"gpu_memory_utilization must be above 0 and at most 1, not {utilization:g}"
            )
        rules = replace(rules, utilization=utilization)
    for name, field, value in (
        ("max_num_batched_tokens", "chunk_tokens", batched_tokens),
        ("max_num_seqs", "max_num_seqs", sequences),
    ):
        if value is not None:
            rules = replace(rules, **{field: whole(name, value)})
    return rules


def _amount(name: str, value: float | None, unit: str) -> None:
    if value is not None and not (value >= 0 and math.isfinite(value)):
        raise InputError(f"{name} must be zero or more {unit}, not {value:g}")
    if value is not None and value > MAX_VALUE:
        raise InputError(f"{name} of {value:g} {unit} is beyond any")


def resolve_precision(
    model: Model, hardware: Hardware, name: str | None
) -> tuple[Precision, tuple[str, ...]]:
    """The named recipe, or what the checkpoint stores; 16-bit parts in what the device has."""
    stored = model.precision.base.id
    base = _sixteen_bits(stored, hardware)
    if name is None:
        if base == stored:
            return model.precision, ()
        note = f"{hardware.name} has no {stored}: computed in {base}"
        return model.precision.on_base(base), (note,)
    asked = quantized(model, name)
    if asked.name in _SIXTEEN or asked.base.id not in _SIXTEEN:
        return asked, ()
    kept = base if base in _SIXTEEN else _sixteen_bits(asked.base.id, hardware)
    return asked.on_base(kept), ()


def _sixteen_bits(stored: str, hardware: Hardware) -> str:
    """The 16-bit format to compute in: the stored one, or its sibling where only that exists."""
    if stored not in _SIXTEEN or stored in hardware.compute:
        return stored
    other = _SIXTEEN[1 - _SIXTEEN.index(stored)]
    return other if other in hardware.compute else stored


def make_plan(
    num_gpus: int | None, tp: int | None, pp: int | None, dp: int | None, ep: int | None
) -> Plan:
    """A plan from the degrees given; tp takes up what `num_gpus` leaves."""
    for name, value in (("num_gpus", num_gpus), ("tp", tp), ("pp", pp), ("dp", dp), ("ep", ep)):
        if value is not None and value < 1:
            raise InputError(f"{name} must be 1 or more, not {value}")
    stages, ranks = pp or 1, dp or 1
    if tp is None:
        tp, rest = divmod(num_gpus or stages * ranks, stages * ranks)
        if rest or tp < 1:
            raise InputError(f"num_gpus={num_gpus} is not a multiple of pp x dp = {stages * ranks}")
    plan = Plan(tp, stages, ranks, ep or 1)
    if num_gpus is not None and plan.num_gpus != num_gpus:
        raise InputError(
            f"num_gpus={num_gpus} contradicts tp x pp x dp = {plan.tp} x {plan.pp} x {plan.dp} "
            f"= {plan.num_gpus}"
        )
    return plan


def _plan(
    num_gpus: int | None,
    degrees: tuple[int | None, int | None, int | None, int | None],
    disaggregated: bool,
    split: Mapping[str, Any],
) -> tuple[Plan, Workers | None]:
    """The plan of a replica, or of a decode worker beside its prefill workers."""
    if not disaggregated:
        given = next((name for name, value in split.items() if value is not None), None)
        if given is not None:
            raise InputError(f"{given} needs disaggregated: prefill and decode share devices")
        return make_plan(num_gpus, *degrees), None
    overlap = split["transfer_overlap"] or OVERLAPS[0]
    _one_of("transfer_overlap", overlap, OVERLAPS)
    rate = split["transfer_bandwidth"]
    if rate is not None and not (rate > 0 and math.isfinite(rate)):
        raise InputError(f"transfer_bandwidth must be above zero bytes/s, not {rate:g}")
    counts = [split[f"{side}_workers"] for side in ("prefill", "decode")]
    for side, count in zip(("prefill", "decode"), counts, strict=True):
        if count is not None and count < 1:
            raise InputError(f"{side}_workers must be 1 or more, not {count}")
    own = [split[f"prefill_{name}"] for name in ("tp", "pp", "dp", "ep")]
    if num_gpus is not None and degrees[0] is None and own[0] is None:
        share, rest = divmod(num_gpus, sum(count or 1 for count in counts))
        if rest or share < 1:
            raise InputError(
                f"num_gpus={num_gpus} is not a multiple of {sum(count or 1 for count in counts)} "
                "workers: tp says how many GPUs one has"
            )
        plan = make_plan(share, *degrees)
    else:
        plan = make_plan(None, *degrees)
    of_plan = (plan.tp, plan.pp, plan.dp, plan.ep)
    prompts = make_plan(None, *(mine or both for mine, both in zip(own, of_plan, strict=True)))
    found = _counts(num_gpus, counts, prompts.num_gpus, plan.num_gpus)
    return plan, Workers(*found, prompts, rate, overlap)


def _counts(
    num_gpus: int | None, counts: Sequence[int | None], prefill: int, decode: int
) -> tuple[int, int]:
    """(prefill, decode) workers; what is left out takes up `num_gpus`, else it is 1."""
    first, second = counts
    if num_gpus is not None and first is None and second is not None:
        first = (num_gpus - second * decode) // prefill
    if num_gpus is not None and second is None:
        second = (num_gpus - (first or 1) * prefill) // decode
    one, other = first or 1, second or 1
    if num_gpus is not None and (min(one, other) < 1 or one * prefill + other * decode != num_gpus):
        one, other = max(one, 1), max(other, 1)
        raise InputError(
            f"num_gpus={num_gpus} contradicts {one} prefill workers of {prefill} and "
            f"{other} decode workers of {decode} GPUs"
        )
    return one, other


def whole(name: str, value: Number) -> Number:
    """`value` as float64, scalar or array; InputError unless whole numbers of 1 or more."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} must be a whole number, not '{str(value)[:40]}'") from None
    if array.size == 0:
        raise InputError(f"{name} is empty")
    bad = array[~((array >= 1) & (array <= 1e9) & (array == np.floor(array)))]
    if bad.size:
        raise InputError(f"{name} must be a whole number from 1 to 10^9, not {bad.flat[0]:g}")
    return float(array) if array.ndim == 0 else array


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{name} must be {' or '.join(choices)}, not '{value[:40]}'")
