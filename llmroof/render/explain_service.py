"""Derivations of what is served: the ridge in sequences, memory, latency, cost, and the levers."""

from __future__ import annotations

from typing import Any

from llmroof import units
from llmroof.engine.estimate import Estimate
from llmroof.engine.serving import between_steps
from llmroof.errors import LlmroofError
from llmroof.render.basis import price_basis
from llmroof.render.derive import Section, Step, number, text
from llmroof.render.explain_load import drafted_tokens, load_section, prefill_share
from llmroof.render.explain_phase import prefill_work
from llmroof.render.explain_split import split_cost_steps, split_serving_section
from llmroof.render.flags import flags
from llmroof.render.page import Grid, Line, grid
from llmroof.render.why import byte_shares, ridge_sentence
from llmroof.search.again import Change, again
from llmroof.search.levers import ridge_batch
from llmroof.units import HOUR, MILLION


def ridge_section(estimate: Estimate) -> Section:
    """At which batch decode would stand at the ridge."""
    precision, decode = estimate.deployment.run.precision, estimate.decode
    rule = Step(
        "batch at the ridge, weights alone",
        "ridge_point * bytes_per_weight / 2",
        {
            "ridge_point": number(decode.ridge_point),
            "bytes_per_weight": number(precision.weights.bytes),
        },
        number(decode.ridge_point * precision.weights.bytes / 2),
        "2 FLOP per weight and sequence; KV cache left out",
    )
    return Section(
        "ridge",
        "The ridge in sequences",
        (rule, _by_batch(estimate), Line(f"  {ridge_sentence(estimate)}", hang=2)),
    )


def _by_batch(estimate: Estimate) -> Grid:
    """Decode at a few batches, run anew."""
    reach, _ = ridge_batch(estimate)
    most = float(estimate.memory.max_batch)
    here = float(estimate.workload.batch)
    batches = sorted(batch for batch in {1.0, here, most, float(reach or 0)} if batch >= 1)
    rows = []
    for batch in batches:
        result = again(estimate, batch=batch)
        names = [
            name
            for name, value in (("asked", here), ("ridge", reach), ("largest that fits", most))
            if value == batch
        ]
        rows.append(
            (
                f"{batch:,.0f}",
                units.significant(float(result.decode.arithmetic_intensity)),
                units.show(float(result.decode.time), "s"),
                f"{float(result.serving.output_tokens_per_s):,.0f}",
                ", ".join(names),
            )
        )
    words = (
        ("TPOT", "tokens/s") if estimate.load is None else ("step", "tokens/s as a static batch")
    )
    return grid(("batch", "FLOP/B", *words, ""), rows, ">>>><")


def memory_section(estimate: Estimate) -> Section:
    """What one device holds, and why not one sequence more."""
    memory = estimate.memory
    names = ("weights", "KV_cache", "activations", "kept_free")
    sizes = (
        memory.weights_bytes,
        memory.kv_cache_bytes,
        memory.activation_bytes,
        memory.reserved_bytes,
    )
    step = Step(
        "memory per GPU",
        " + ".join(names),
        {name: number(size, "B") for name, size in zip(names, sizes, strict=True)},
        number(memory.total_bytes, "B"),
        f"{'fits' if memory.fits else 'does not fit'} "
        f"{units.show(memory.capacity_bytes, 'B', 4)}; "
        f"{1 - estimate.deployment.rules.utilization:.0%} kept free",
    )
    return Section("memory", "Memory", (step, *_largest(estimate)))


def _largest(estimate: Estimate) -> list[Line]:
    most = float(estimate.memory.max_batch)
    if most < 1:
        return [Line("  Not one sequence fits.")]
    one_more = most + estimate.deployment.run.plan.dp
    held = [again(estimate, batch=batch).memory.total_bytes for batch in (most, one_more)]
    there = units.show(estimate.memory.capacity_bytes, "B", 4)
    if held[0] > estimate.memory.capacity_bytes:
        return [
            Line(
                f"  largest batch {most:,.0f}, as the engine counts on most not being at their "
                f"last token: all there, it would take {units.show(held[0], 'B', 4)} of {there}.",
                hang=2,
            )
        ]
    return [
        Line(
            f"  largest batch {most:,.0f}: it takes {units.show(held[0], 'B', 4)} of {there}; "
            f"{one_more:,.0f} would take {units.show(held[1], 'B', 4)}.",
            hang=2,
        )
    ]


def serving_section(estimate: Estimate) -> Section:
    """TTFT, TPOT and throughput of a static batch, or of a server under a load."""
    if estimate.load is not None:
        return load_section(estimate)
    if estimate.split is not None:
        return split_serving_section(estimate)
    work, serving = estimate.workload, estimate.serving
    ttft, tpot = number(serving.ttft, "s"), number(serving.tpot, "s")
    out, batch = number(work.output_len), number(work.batch)
    guess = estimate.deployment.speculation
    drafted = " + the draft model's over the prompts" if guess and guess.draft else ""
    step = "decode step" if guess is None else "decode step and drafts / tokens they give"
    host = float(between_steps(estimate.deployment, work.batch / estimate.deployment.run.plan.dp))
    if host:
        step = f"{step}, with {units.show(host, 's')} of the host between steps,"
    items: list[Any] = [
        *drafted_tokens(estimate),
        Line(
            f"  TTFT = prefill time{drafted} = {text(ttft)}; TPOT = {step} = {text(tpot)}", hang=2
        ),
        Step(
            "latency",
            "TTFT + (output - 1) * TPOT",
            {"TTFT": ttft, "output": out, "TPOT": tpot},
            number(serving.e2e_latency, "s"),
            "arrival to last token",
        ),
        Step(
            "output tokens/s",
            "batch * output / latency",
            {"batch": batch, "output": out, "latency": number(serving.e2e_latency, "s")},
            number(serving.output_tokens_per_s),
        ),
    ]
    return Section("serving", "Latency and throughput", tuple(items))


def cost_section(estimate: Estimate) -> Section:
    """USD per million tokens: input pays for prefill, output for decode."""
    cost, work, serving = estimate.cost, estimate.workload, estimate.serving
    if cost.usd_per_hour is None:
        return Section("cost", "Cost", (Line("  No price is known: --price USD gives one."),))
    sentence, source = price_basis(estimate)
    rate = number(cost.usd_per_hour, "USD")
    scale = {"hour": number(HOUR, "s"), "million": number(MILLION)}
    hourly = Step(
        "USD per hour",
        "GPUs * price",
        {
            "GPUs": number(estimate.deployment.num_gpus),
            "price": number(
                estimate.deployment.usd_per_gpu_hour,
                "USD",
                f"{sentence}{f' ({source})' if source else ''}",
            ),
        },
        rate,
    )
    if estimate.split is not None:
        share, what = float(estimate.deployment.prefill_share), "the GPUs"
    elif estimate.load is not None:
        share, what = prefill_share(estimate), "the time"
    if estimate.split is not None or estimate.load is not None:
        return Section(
            "cost", "Cost", (hourly, *split_cost_steps(estimate, rate, scale, share, what))
        )
    decode_time = number(serving.e2e_latency - serving.ttft, "s")
    tokens_out = {"batch": number(work.batch), "output": number(work.output_len)}
    tokens_in = {"batch": number(work.batch), "input": number(work.input_len)}
    formula = "USD_per_hour / hour * {time} / (batch * {tokens}) * million"
    output = Step(
        "USD per million output tokens",
        formula.format(time="decode_time", tokens="output"),
        {"USD_per_hour": rate, "decode_time": decode_time} | tokens_out | scale,
        number(cost.usd_per_million_output_tokens, "USD"),
    )
    prompt = Step(
        "USD per million input tokens",
        formula.format(time="prefill_time", tokens="input"),
        {"USD_per_hour": rate, "prefill_time": number(serving.ttft, "s")} | tokens_in | scale,
        number(cost.usd_per_million_input_tokens, "USD"),
    )
    return Section("cost", "Cost", (hourly, output, prompt))


def model_section(estimate: Estimate) -> Section:
    """What to remember, with the numbers of this case."""
    return Section(
        "model",
        "What to remember",
        (_why_memory(estimate), _cache_trade(estimate), _halving(estimate), *_advice(estimate)),
    )


def _why_memory(estimate: Estimate) -> Line:
    shares = dict(byte_shares(estimate.decode))
    work, decode, prompts = estimate.workload, estimate.decode, prefill_work(estimate)
    ratio = float(decode.arithmetic_intensity / decode.ridge_point)
    end = (
        "so memory sets the pace, and a larger batch is almost free"
        if ratio < 1
        else "which is enough to keep the arithmetic busy"
    )
    return Line(
        f"  Why decode is {decode.bound}-bound: a step reads every weight once "
        f"({shares['weights']:.0%} of its bytes) to make {work.batch:,.0f} tokens; each byte "
        f"serves {units.significant(float(decode.arithmetic_intensity))} FLOP where "
        f"{units.significant(float(decode.ridge_point))} are needed, {end}. Prefill puts "
        f"{prompts.input_len * prompts.batch:,.0f} tokens through the same weights: "
        f"{units.significant(float(estimate.prefill.arithmetic_intensity))} FLOP per byte.",
        hang=2,
    )


def _cache_trade(estimate: Estimate) -> Line:
    """KV caching with and without, both run; of a load what runs at once, as one batch."""
    asked: Change = {}
    if estimate.load is not None:  # without a cache few loads could be carried at all
        asked = {"batch": float(max(round(float(estimate.workload.batch)), 1))}
    cached = again(estimate, kv_cache=True, **asked)
    without = again(estimate, kv_cache=False, **asked)
    more = float(without.decode.flop / cached.decode.flop)
    slower = float(without.serving.tpot / cached.serving.tpot)
    kept = units.show(float(cached.memory.kv_cache_bytes), "B")
    return Line(
        f"  What KV caching trades: {kept} of memory per GPU against recomputing the context in "
        f"every step, {units.significant(more)}× the FLOP and {units.significant(slower)}× the "
        f"TPOT ({units.show(float(cached.serving.tpot), 's')} -> "
        f"{units.show(float(without.serving.tpot), 's')}).",
        hang=2,
    )


def _halving(estimate: Estimate) -> Grid:
    """Smaller numbers in each phase, each run; what the device lacks is left out."""
    rows = [_precision_row("as asked", estimate, estimate)]
    for name in ("bf16", "w8a16", "fp8", "int8", "w4a16", "nvfp4"):
        if name == estimate.deployment.run.precision.name:
            continue
        change: Change = {"precision": name, "weights": None, "activations": None}
        try:
            rows.append(_precision_row(flags(change), estimate, again(estimate, **change)))
        except LlmroofError:
            continue
    return grid(("", "TTFT", "TPOT", "tokens/s", "largest batch"), rows)


def _precision_row(name: str, base: Estimate, result: Estimate) -> tuple[str, ...]:
    def cell(field: str) -> str:
        value = float(getattr(result.serving, field))
        gain = float(getattr(base.serving, field)) / value
        shown = units.show(value, "s")
        return shown if result is base else f"{shown} ({units.significant(gain, 2)}×)"

    rate = f"{float(result.serving.output_tokens_per_s):,.0f}"
    return name, cell("ttft"), cell("tpot"), rate, f"{float(result.memory.max_batch):,.0f}"


def _advice(estimate: Estimate) -> list[Line]:
    return [
        Line(
            "  Fewer bits per weight speed up decode, which reads weights; prefill gains only "
            "where the device computes faster in the smaller format (× = times faster).",
            hang=2,
        )
    ]
