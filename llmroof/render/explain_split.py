"""Derivations of disaggregated serving: the transfer, both sides, what sets the pace, the cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmroof.engine.disaggregated import decode_work, prompt_work
from llmroof.engine.estimate import Estimate
from llmroof.render.basis import LINKS
from llmroof.render.derive import Quantity, Section, Step, number
from llmroof.render.page import Line
from llmroof.render.split import ratio_words, workers_words


def split_serving_section(estimate: Estimate) -> Section:
    """TTFT, TPOT and throughput of static batches that follow each other."""
    work, serving, split = estimate.workload, estimate.serving, estimate.split
    assert split is not None
    ttft, tpot = number(serving.ttft, "s"), number(serving.tpot, "s")
    prefill = number(estimate.prefill.time, "s")
    sent = number(split.transfer.exposed, "s")
    out, batch = number(work.output_len), number(work.batch)
    rates = {
        "prefill": number(split.prefill_rate),
        "transfer": number(split.transfer_rate),
        "decode": number(split.decode_rate),
    }
    each = [
        f"{float(find(estimate.deployment, work).batch):,.0f}"
        for find in (prompt_work, decode_work)
    ]
    items: list[Any] = [
        Line(
            f"  {workers_words(estimate)}: {each[0]} prompts on a prefill worker, {each[1]} "
            "sequences on a decode worker",
            hang=2,
        ),
        _transfer(estimate),
        Step("TTFT", "prefill + transfer", {"prefill": prefill, "transfer": sent}, ttft),
        Line("  TPOT = decode step of a decode worker, which no prefill disturbs", hang=2),
        Step(
            "latency",
            "TTFT + (output - 1) * TPOT",
            {"TTFT": ttft, "output": out, "TPOT": tpot},
            number(serving.e2e_latency, "s"),
            "arrival to last token",
        ),
        Step(
            "requests/s of prefill",
            "batch / prefill",
            {"batch": batch, "prefill": prefill},
            rates["prefill"],
        ),
        Step(
            "requests/s of decode",
            "batch / ((output - 1) * TPOT)",
            {"batch": batch, "output": out, "TPOT": tpot},
            rates["decode"],
        )
        if work.output_len > 1
        else Line("  The one token asked for comes from the prefill: no decode step."),
        Step(
            "requests/s",
            "min(prefill, transfer, decode)",
            rates,
            number(serving.requests_per_s),
            "a batch is prefilled while the one before it decodes",
        ),
        Step(
            "output tokens/s",
            "requests_per_s * output",
            {"requests_per_s": number(serving.requests_per_s), "output": out},
            number(serving.output_tokens_per_s),
        ),
        Line(f"  {ratio_words(estimate)}", hang=2),
    ]
    return Section("serving", "Latency and throughput", tuple(items))


def _transfer(estimate: Estimate) -> Step:
    """Seconds that the KV cache of the busiest device's prompts is on its way."""
    split, deployment = estimate.split, estimate.deployment
    assert split is not None
    sent, calibration = split.transfer, deployment.calibration
    link = LINKS.get(sent.link, "the given link")
    time = float(sent.time)
    start = 0.0 if calibration is None else calibration.links.transfer_start
    share = 1.0 if calibration is None else calibration.links.transfer_share
    source = None if calibration is None else calibration.links.transfer_source
    prompts = (time - start) * share * sent.bandwidth / float(sent.device_bytes)
    inputs = {
        "KV_per_GPU": number(sent.device_bytes, "B"),
        "prompts": number(round(prompts)),
        "bandwidth": number(sent.bandwidth, "B/s"),
    }
    formula = "KV_per_GPU * prompts / bandwidth"
    if calibration is not None:
        formula = "start + KV_per_GPU * prompts / (bandwidth * share)"
        inputs |= {"start": number(start, "s", source), "share": number(share, "", source)}
    hidden = ""
    if sent.exposed < sent.time:
        hidden = "; layer by layer behind the prefill"
    return Step("KV cache on its way", formula, inputs, number(time, "s"), f"over {link}{hidden}")


def split_cost_steps(
    estimate: Estimate, rate: Quantity, scale: Mapping[str, Quantity], share: float, what: str
) -> tuple[Step, ...]:
    """USD per million tokens: input pays the `share` that goes to prompts, output the rest.

    `what` is shared: the GPUs of a disaggregated deployment, else the time of all of them.
    """
    cost, work = estimate.cost, estimate.workload
    requests = number(estimate.serving.requests_per_s)
    common = {"USD_per_hour": rate, "requests_per_s": requests, **scale}
    formula = "USD_per_hour / hour * {side} / (requests_per_s * {tokens}) * million"
    output = Step(
        "USD per million output tokens",
        formula.format(side="decode_share", tokens="output"),
        common | {"decode_share": number(1 - share), "output": number(work.output_len)},
        number(cost.usd_per_million_output_tokens, "USD"),
        f"share of {what} for decode",
    )
    prompt = Step(
        "USD per million input tokens",
        formula.format(side="prefill_share", tokens="input"),
        common | {"prefill_share": number(share), "input": number(work.input_len)},
        number(cost.usd_per_million_input_tokens, "USD"),
        f"share of {what} for prefill",
    )
    return output, prompt
