"""Prefill and decode on workers of their own: by hand, at the limits, as properties."""

from __future__ import annotations

import json
from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import llmroof
from llmroof.cli.main import cli
from llmroof.engine.disaggregated import SIDES, step_time
from llmroof.engine.transfer import token_side, transfer
from llmroof.errors import InputError, Overloaded, Unsupported
from llmroof.specs.hardware import load_hardware

ASKED: dict[str, Any] = {
    "model": "llama-3.1-8b", "gpu": "h100", "input_len": 2048, "output_len": 256, "tp": 1,
}  # fmt: skip
SPLIT: dict[str, Any] = {**ASKED, "disaggregated": True}


def ask(**changes: Any) -> llmroof.Estimate:
    return llmroof.estimate(**{**SPLIT, **changes})


# by hand


def test_the_cache_of_a_prompt_crosses_the_link() -> None:
    """32 layers x 2 x 8 heads x 128 x 2 B = 131,072 B a token; 2,048 tokens: 268 MB at 450 GB/s."""
    sent = ask(batch=1, limit=True).split.transfer
    assert sent.bytes == 2048 * 131072
    assert (sent.link, sent.bandwidth) == ("scale_up", 450e9)
    assert sent.exposed == sent.time == pytest.approx(2048 * 131072 / 450e9, rel=1e-12)
    expected = ask(batch=1).split.transfer
    assert expected.time == pytest.approx(0.38e-3 + sent.time / 0.73, rel=1e-12)


def test_beyond_the_scale_up_domain_it_takes_the_network() -> None:
    """9 GPUs do not share the NVLink of a host of 8: 400 Gbit/s = 50 GB/s a GPU."""
    sent = ask(batch=1, limit=True, prefill_workers=1, decode_workers=8).split.transfer
    assert (sent.link, sent.bandwidth) == ("nic", 50e9)
    assert sent.time == pytest.approx(2048 * 131072 / 50e9, rel=1e-12)


@pytest.mark.parametrize(("prefill_tp", "tp", "share"), [(1, 4, 1.0), (4, 1, 1.0), (4, 2, 0.5)])
def test_the_busiest_device_sets_the_time(prefill_tp: int, tp: int, share: float) -> None:
    """Whoever has fewer devices sends or receives more on each of them."""
    sent = ask(batch=1, limit=True, prefill_tp=prefill_tp, tp=tp).split.transfer
    assert sent.device_bytes == share * 2048 * 131072


def test_a_latent_cache_goes_to_every_device_that_keeps_a_copy() -> None:
    """MLA: 576 x 2 B x 61 layers a token, whole on each of 8 decode devices."""
    found = llmroof.estimate(
        model="deepseek-v3", gpu="h200", precision="fp8", kv_cache_dtype="bf16", tp=8, batch=1,
        input_len=1000, output_len=2, disaggregated=True, limit=True,
    )  # fmt: skip
    assert found.split.transfer.device_bytes == 1000 * 576 * 2 * 61
    assert found.split.transfer.bytes == 8 * 1000 * 576 * 2 * 61


def test_static_batches_follow_each_other_at_the_pace_of_the_slowest() -> None:
    """6 prompts on 2 prefill workers (3 each), 6 sequences on 3 decode workers (2 each)."""
    found = ask(batch=6, prefill_workers=2, decode_workers=3, limit=True)
    prompts = llmroof.estimate(**ASKED, batch=3, limit=True).prefill
    step = llmroof.estimate(**ASKED, batch=2, limit=True).decode
    sent = 3 * 2048 * 131072 / 450e9
    assert found.serving.ttft == pytest.approx(prompts.time + sent, rel=1e-12)
    assert found.serving.tpot == step.time
    assert found.serving.e2e_latency == pytest.approx(prompts.time + sent + 255 * step.time)
    pace = min(6 / prompts.time, 6 / (255 * step.time))
    assert found.serving.requests_per_s == pytest.approx(pace, rel=1e-12)
    assert found.serving.output_tokens_per_s_per_gpu == pytest.approx(pace * 256 / 5, rel=1e-12)
    assert found.prefill.flop == pytest.approx(2 * prompts.flop)
    assert found.decode.flop == pytest.approx(3 * step.flop)
    decode_worker, prefill_worker = 2 / (255 * step.time), 3 / prompts.time
    assert found.split.balance == pytest.approx(decode_worker / prefill_worker, rel=1e-12)


def test_the_parts_of_ttft_under_a_stream_of_requests() -> None:
    """5 requests/s on one prefill worker: M/D/1, ρS/(2(1 − ρ)); one prompt fills a pass."""
    found = ask(request_rate=5.0, input_len=8192, decode_workers=2, limit=True)
    own = llmroof.estimate(**{**ASKED, "input_len": 8192}, batch=1, limit=True).prefill.time
    load = 5.0 * own
    wait = own * load / (2 * (1 - load))
    sent = 8192 * 131072 / 450e9
    assert found.serving.ttft == pytest.approx(wait + own + sent, rel=1e-9)
    assert found.split.prefill_rate == pytest.approx(1 / own, rel=1e-12)
    assert found.split.busy == pytest.approx(load, rel=1e-9)
    running = 5.0 * 255 * found.serving.tpot
    assert found.steady.running == pytest.approx(running, rel=1e-2)


def test_several_prefill_workers_share_one_queue() -> None:
    """Sakasegawa's formula for 3 servers, halved for service of constant length."""
    found = ask(request_rate=20.0, input_len=8192, prefill_workers=3, decode_workers=4, limit=True)
    own = found.steady.prefill
    load = 20.0 * own / 3
    assert 0.3 < load < 1
    wait = own * load ** (sqrt(2 * 4) - 1) / (2 * 3 * (1 - load))
    assert found.steady.interference == pytest.approx(wait, rel=1e-12)


def test_short_prompts_share_a_pass() -> None:
    """64 prompts of 128 tokens fill a budget of 8,192: together they cost less than alone."""
    found = ask(request_rate=1.0, input_len=128)
    batch = llmroof.estimate(**{**ASKED, "input_len": 128}, batch=64).prefill.time
    assert found.steady.marginal == pytest.approx(batch / 64, rel=1e-9)
    assert found.steady.marginal < found.steady.prefill


def test_layer_by_layer_all_but_the_last_layer_hides() -> None:
    plain = ask(batch=1, limit=True)
    hidden = ask(batch=1, limit=True, transfer_overlap="layers")
    assert plain.split.transfer.time < plain.prefill.time
    assert hidden.split.transfer.exposed == pytest.approx(plain.split.transfer.time / 32)
    slow = ask(batch=1, limit=True, transfer_overlap="layers", transfer_bandwidth=1e9)
    exposed = slow.split.transfer.time - slow.prefill.time * 31 / 32
    assert slow.split.transfer.exposed == pytest.approx(exposed)


# limits


def test_a_link_without_limit_costs_nothing() -> None:
    """With the transfer gone TTFT is that of the prefill alone."""
    found = ask(concurrency=1, limit=True, transfer_bandwidth=1e30)
    assert found.serving.ttft == pytest.approx(found.prefill.time, rel=1e-9)
    assert found.steady.interference == 0


def test_decode_is_not_disturbed() -> None:
    """TPOT is the bare step of what runs, which no prefill of others lengthens."""
    found = ask(concurrency=64, limit=True)
    alone = step_time(token_side(found.deployment), found.load, found.steady.running)
    assert found.serving.tpot == pytest.approx(alone, rel=1e-12)
    assert found.serving.tpot < llmroof.estimate(**ASKED, concurrency=64, limit=True).serving.tpot


@pytest.mark.parametrize(
    ("changes", "side"),
    [
        ({"input_len": 16000, "output_len": 16, "decode_workers": 4}, "prefill"),
        ({"input_len": 64, "output_len": 2048, "prefill_workers": 4}, "decode"),
        ({"transfer_bandwidth": 1e8}, "transfer"),
    ],
)
def test_one_side_saturates(changes: dict[str, Any], side: str) -> None:
    """However many requests are in flight, throughput ends at the rate of the slowest side."""
    found = ask(concurrency=20000, **changes)
    rates = (found.split.prefill_rate, found.split.transfer_rate, found.split.decode_rate)
    assert found.split.limited_by == side == SIDES[int(np.argmin(rates))]
    assert found.serving.requests_per_s == pytest.approx(min(rates), rel=1e-3)
    assert found.serving.requests_per_s <= min(rates) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"decode_workers": 9}, "the prefill workers"),
        ({"prefill_workers": 40, "max_num_seqs": 8}, "the decode workers"),
        ({"transfer_bandwidth": 1e8}, "the link between the workers"),
    ],
)
def test_a_rate_beyond_capacity_names_the_largest_one(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Overloaded) as raised:
        ask(request_rate=5000.0, **changes)
    assert words in str(raised.value)
    assert "largest sustainable rate" in str(raised.value)
    found = ask(request_rate=raised.value.largest * 0.999, **changes)
    assert np.isfinite(found.serving.ttft)


def test_one_token_is_all_prefill() -> None:
    found = ask(concurrency=16, output_len=1)
    assert found.serving.e2e_latency == found.serving.ttft
    assert found.steady.running == pytest.approx(0, abs=1e-6)
    assert found.serving.requests_per_s <= found.split.prefill_rate


# properties

SHAPES = st.fixed_dictionaries(
    {
        "input_len": st.integers(1, 8000),
        "output_len": st.integers(1, 1000),
        "prefill_workers": st.integers(1, 4),
        "decode_workers": st.integers(1, 4),
        "load": st.sampled_from(["closed", "burst"]),
        "limit": st.booleans(),
    }
)


@settings(max_examples=15)
@given(shape=SHAPES, at_once=st.integers(1, 3000))
def test_all_requests_are_somewhere(shape: dict[str, Any], at_once: int) -> None:
    """Little's law over the whole: in flight = requests/s x latency; no side beyond its rate."""
    found = ask(concurrency=at_once, **shape)
    assert found.serving.requests_per_s * found.serving.e2e_latency == pytest.approx(at_once)
    open_load = {key: value for key, value in shape.items() if key != "load"}
    arriving = ask(**open_load, request_rate=found.serving.requests_per_s * 0.9)
    under_way = arriving.serving.requests_per_s * arriving.serving.e2e_latency
    assert under_way == pytest.approx(arriving.load.concurrency)
    rates = (found.split.prefill_rate, found.split.transfer_rate, found.split.decode_rate)
    assert found.serving.requests_per_s <= min(rates) * (1 + 1e-6)
    steady = found.steady
    parts = steady.prefill + steady.interference + steady.lag + steady.memory_wait + steady.transfer
    assert steady.ttft == pytest.approx(parts, rel=1e-12)
    assert 0 < found.split.busy <= 1
    for phase in (found.prefill, found.decode):
        assert 0 < phase.mfu <= 1 + 1e-12
        assert 0 < phase.mbu <= 1 + 1e-12


@settings(max_examples=15)
@given(shape=SHAPES, at_once=st.integers(1, 2000))
def test_more_workers_and_faster_links_never_slow_a_request(
    shape: dict[str, Any], at_once: int
) -> None:
    """More prefill workers: no later first token; a faster link likewise."""
    base = ask(concurrency=at_once, transfer_bandwidth=1e10, **shape)
    fast = ask(concurrency=at_once, transfer_bandwidth=1e12, **shape)
    assert fast.serving.requests_per_s >= base.serving.requests_per_s * (1 - 1e-6)
    wider = ask(concurrency=at_once, transfer_bandwidth=1e10, **{**shape, "prefill_workers": 8})
    assert wider.serving.requests_per_s >= base.serving.requests_per_s * (1 - 1e-6)


@pytest.mark.parametrize("name", ["concurrency", "request_rate", "batch"])
def test_arrays_equal_the_same_questions_asked_alone(name: str) -> None:
    values = np.array([1.0, 3.0, 17.0, 40.0])
    lengths = np.array([[100.0], [3000.0]])
    grid = ask(**{name: values, "input_len": lengths, "decode_workers": 3, "prefill_workers": 7})
    for i, length in enumerate(lengths[:, 0]):
        for j, value in enumerate(values):
            one = ask(**{name: value, "input_len": length, "decode_workers": 3,
                         "prefill_workers": 7})  # fmt: skip
            for field in ("ttft", "tpot", "requests_per_s"):
                whole = np.broadcast_to(getattr(grid.serving, field), (2, 4))[i, j]
                assert whole == getattr(one.serving, field), (name, field, length, value)


def test_worker_counts_may_be_arrays() -> None:
    """A split of 8 GPUs: one call answers for all of them."""
    one = ask(concurrency=256)
    counts = np.arange(1.0, 8.0)
    workers = replace(one.deployment.workers, prefill=counts, decode=8.0 - counts)
    from llmroof.engine.loaded import estimate_load

    found = estimate_load(replace(one.deployment, workers=workers), one.load)
    assert found.serving.requests_per_s.shape == (7,)
    third = ask(concurrency=256, prefill_workers=3, decode_workers=5)
    assert found.serving.requests_per_s[2] == pytest.approx(third.serving.requests_per_s, rel=1e-9)


# plans and refusals


@pytest.mark.parametrize(
    ("given", "workers", "devices"),
    [
        ({}, (1, 1), (1, 1)),
        ({"num_gpus": 8, "tp": None}, (1, 1), (4, 4)),
        ({"num_gpus": 8, "tp": 2, "prefill_workers": 1}, (1, 3), (2, 2)),
        ({"num_gpus": 8, "tp": 2, "decode_workers": 1}, (3, 1), (2, 2)),
        ({"prefill_workers": 2, "decode_workers": 3, "prefill_tp": 2, "tp": 4}, (2, 3), (2, 4)),
        ({"num_gpus": 12, "tp": None, "prefill_workers": 2, "decode_workers": 1}, (2, 1), (4, 4)),
    ],
)
def test_devices_are_shared_out(
    given: dict[str, Any], workers: tuple[int, int], devices: tuple[int, int]
) -> None:
    deployment = ask(batch=1, **given).deployment
    assert (deployment.workers.prefill, deployment.workers.decode) == workers
    assert (deployment.workers.plan.num_gpus, deployment.run.plan.num_gpus) == devices
    assert deployment.num_gpus == sum(n * each for n, each in zip(workers, devices, strict=True))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"disaggregated": False, "prefill_workers": 2}, "prefill_workers needs disaggregated"),
        ({"prefill_workers": 0}, "prefill_workers must be 1 or more, not 0"),
        ({"decode_workers": 1.5}, "decode_workers must be a whole number, not 1.5"),
        ({"num_gpus": 7, "tp": None}, "num_gpus=7 is not a multiple of 2 workers"),
        ({"num_gpus": 7, "tp": 2}, "num_gpus=7 contradicts 1 prefill workers of 2 and 2 decode"),
        (
            {"num_gpus": 3, "tp": 1, "decode_workers": 60},
            "contradicts 1 prefill workers of 1 and 60",
        ),
        (
            {"num_gpus": 3, "tp": 1, "prefill_workers": 4},
            "contradicts 4 prefill workers of 1 and 1",
        ),
        ({"transfer_bandwidth": 0.0}, "transfer_bandwidth must be above zero"),
        ({"transfer_overlap": "chunks"}, "transfer_overlap must be none or layers"),
        ({"kv_cache": False}, "disaggregated sends the KV cache"),
        ({"prefill_tp": 3}, "tp=3 does not divide the 32 attention heads"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as raised:
        ask(**{"batch": 1, **given})
    assert words in str(raised.value)


def test_a_profile_without_links_is_told() -> None:
    lonely = replace(load_hardware("h100"), links={})
    with pytest.raises(Unsupported) as raised:
        ask(gpu=lonely, batch=1)
    assert "states no link" in str(raised.value)
    assert ask(gpu=lonely, batch=1, transfer_bandwidth=1e9).split.transfer.link == "given"


def test_both_sides_must_fit() -> None:
    """70B in bf16 on 4 GPUs a decode worker, but on one a prefill worker: it does not fit."""
    found = llmroof.estimate(
        model="llama-3.1-70b", gpu="h100", disaggregated=True, tp=4, prefill_tp=1, batch=1
    )
    assert not found.fits
    assert found.split.prefill_memory.total_bytes > found.split.prefill_memory.capacity_bytes
    assert llmroof.estimate(
        model="llama-3.1-70b", gpu="h100", disaggregated=True, tp=4, batch=1
    ).fits


def test_cost_is_shared_by_devices() -> None:
    found = ask(concurrency=64, prefill_workers=1, decode_workers=3, price=2.0)
    assert found.cost.usd_per_hour == 8.0
    paid_in = found.cost.usd_per_million_input_tokens * 2048
    paid_out = found.cost.usd_per_million_output_tokens * 256
    assert paid_in / (paid_in + paid_out) == pytest.approx(1 / 4)


def test_transfer_of_no_tokens_is_only_its_start() -> None:
    deployment = ask(batch=1).deployment
    assert transfer(deployment, 0.0, 1.0, 1.0).time == pytest.approx(0.38e-3)


# command line


def run(*args: str) -> Any:
    return CliRunner().invoke(cli, list(args))


def test_the_page_tells_the_link_both_sides_and_the_ratio() -> None:
    result = run(
        "estimate", "--gpu", "h100", "-c", "64", "--disaggregated", "--decode-workers", "2"
    )
    assert result.exit_code == 0
    text = " ".join(result.stdout.split())
    assert "on 3 × NVIDIA H100 SXM5 80 GB (1 prefill worker of 1 GPU, 2 decode workers" in text
    assert "134 MB of KV cache per GPU and prompt over the scale-up link at 450 GB/s" in text
    assert "the prefill workers would be first to hold the others up" in text
    assert "best ratio of workers at this load: 3 prefill to 8 decode" in text
    assert "which no prefill disturbs" in text


def test_json_holds_both_sides() -> None:
    asked = "estimate --gpu h100 --tp 2 --prefill-tp 1 --prefill-workers 3 -b 8 --disaggregated"
    found = json.loads(run(*asked.split(), "--format", "json").stdout)
    inputs, sides = found["inputs"], found["disaggregated"]
    assert (inputs["num_gpus"], inputs["tp"], inputs["prefill_tp"]) == (5, 2, 1)
    assert (inputs["prefill_workers"], inputs["decode_workers"]) == (3, 1)
    assert inputs["disaggregated"] is True
    rates = [sides[f"{side}_requests_per_s"] for side in SIDES]
    assert found["serving"]["requests_per_s"] == pytest.approx(min(rates))
    assert any("450 GB/s" in line["text"] for line in found["basis"])


def test_a_rate_beyond_capacity_exits_with_1() -> None:
    result = run("estimate", "--gpu", "h100", "-r", "900", "--disaggregated")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: 900 requests/s are more than the deployment can finish")
    assert "set by the prefill workers" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_explain_derives_transfer_and_pace() -> None:
    asked = "explain --gpu h100 -b 8 --disaggregated --decode-workers 2 --section serving"
    text = " ".join(run(*asked.split()).stdout.split())
    assert "8 prompts on a prefill worker, 4 sequences on a decode worker" in text
    assert "0.38 ms" in text or "380 us" in text
    assert "requests/s = min(prefill, transfer, decode)" in text


def test_derivations_can_be_done_again() -> None:
    """Every formula of the explanation, evaluated, gives its result."""
    import math

    from llmroof.render.explain import steps

    found = ask(batch=9, prefill_workers=2, decode_workers=3, prefill_tp=2)
    for step in steps(found):
        names = {name: quantity.value for name, quantity in step.inputs.items()}
        names |= {"max": max, "min": min, "ceil": math.ceil, "floor": math.floor}
        value = eval(step.formula, {"__builtins__": {}}, names)
        assert value == pytest.approx(step.result.value, rel=1e-9), step.name


def test_sweep_and_compare_and_advise_know_workers() -> None:
    asked = "sweep --gpu h100 --tp 1 --disaggregated --prefill-workers 1,2 --decode-workers 1,3"
    columns = "num_gpus,ttft_s,disaggregated_limited_by"
    sweep = run(*asked.split(), *f"-c 8,64 --columns {columns} --format csv".split())
    assert sweep.exit_code == 0, sweep.output
    lines = sweep.stdout.splitlines()
    assert lines[0] == columns
    assert [line.split(",")[0] for line in lines[1:]] == ["2", "2", "4", "4", "3", "3", "5", "5"]
    alone = ask(concurrency=64, input_len=1024, prefill_workers=2, decode_workers=1)
    assert float(lines[6].split(",")[1]) == alone.serving.ttft
    compare = run(*["compare", "h100,tp=2", "h100,tp=1,disaggregated", "-c", "32"])
    assert compare.exit_code == 0, compare.output
    assert "disaggregated" in compare.stdout
    advice = json.loads(run(*["advise", "--gpu", "h100", "-c", "32", "--format", "json"]).stdout)
    assert any("--disaggregated" in lever["flags"] for lever in advice["levers"])


def test_a_lever_command_can_be_typed() -> None:
    """The flags of the lever are options of `estimate` and give the lever's figures."""
    advice = json.loads(run(*["advise", "--gpu", "h100", "-c", "32", "--format", "json"]).stdout)
    lever = next(one for one in advice["levers"] if "--disaggregated" in one["flags"])
    typed = ["estimate", "--gpu", "h100", "--tp", "1", *lever["flags"].split()]
    again = json.loads(run(*typed, "--format", "json").stdout)
    assert again["serving"]["tpot_s"] == pytest.approx(lever["serving"]["tpot_s"])


@pytest.mark.parametrize("load", [{"batch": 16}, {"concurrency": 64}, {"request_rate": 3.0}])
def test_levers_of_separate_workers_keep_them(load: dict[str, Any]) -> None:
    """Another plan is that of all workers; other GPUs cost no more than these."""
    from llmroof.search.advise import advise

    found = ask(prefill_workers=1, decode_workers=2, **load)
    pulls = advise(found, "ttft")
    assert not any(pull.title.startswith("disaggregated") for pull in pulls)
    for pull in pulls:
        after = pull.result.deployment
        assert after.workers is not None
        assert after.workers.plan == after.run.plan
        if "for no more money" in pull.title:
            assert pull.result.cost.usd_per_hour <= found.cost.usd_per_hour
            assert pull.title.startswith(f"{after.num_gpus} ×")


def test_drafts_run_on_the_decode_workers() -> None:
    """A draft model takes room and time of decode, none of prefill."""
    asked = {"model": "llama-3.1-70b", "tp": 4, "concurrency": 16}
    plain = ask(**asked)
    drafted = ask(**asked, speculative_tokens=3, acceptance_rate=0.7, draft_model="llama-3.2-1b")
    assert drafted.steady.slots < plain.steady.slots
    assert drafted.steady.prefill == plain.steady.prefill
    assert drafted.split.prefill_memory == plain.split.prefill_memory
    assert drafted.serving.tpot < plain.serving.tpot


def test_one_measured_point_calibrates_it() -> None:
    asked = "estimate --gpu h100 -c 8 --disaggregated --format json --calibrate-with"
    text = run(*asked.split(), "ttft=0.1,tpot=12ms").stdout
    served = json.loads(text)["serving"]
    assert served["tpot_s"] == pytest.approx(0.012, rel=1e-2)
    assert served["ttft_s"] == pytest.approx(0.1, rel=1e-2)


@pytest.mark.parametrize(
    "load", [{"concurrency": 256}, {"request_rate": 12.0}, {"batch": 96}, {"concurrency": 4}]
)
def test_devices_are_split_in_the_best_way(load: dict[str, Any]) -> None:
    """8 GPUs left to it: no other split finishes more, or as much and faster."""
    chosen = ask(num_gpus=8, **load)
    workers = chosen.deployment.workers
    assert (workers.prefill + workers.decode, chosen.deployment.num_gpus) == (8, 8)
    assert any("the best of 7 splits of 8 GPUs" in note for note in chosen.notes)
    for prefill in range(1, 8):
        try:
            other = ask(prefill_workers=prefill, decode_workers=8 - prefill, **load).serving
        except Overloaded:
            continue
        assert other.requests_per_s <= chosen.serving.requests_per_s * (1 + 1e-6)
        if other.requests_per_s >= chosen.serving.requests_per_s * (1 - 1e-9):
            assert other.e2e_latency >= chosen.serving.e2e_latency * (1 - 1e-6)


def test_a_range_needs_its_workers_named() -> None:
    with pytest.raises(InputError, match="say prefill_workers and decode_workers"):
        ask(num_gpus=8, concurrency=np.array([1.0, 64.0]))


def test_the_link_carries_what_its_times_say() -> None:
    """The rate of the link follows the share of its bandwidth that transfers reach."""
    expected = ask(transfer_bandwidth=1e9, concurrency=4)
    limit = ask(transfer_bandwidth=1e9, concurrency=4, limit=True)
    calibration = expected.deployment.calibration
    assert calibration is not None
    share = calibration.links.transfer_share
    assert 0 < share < 1
    assert expected.split.transfer_rate == pytest.approx(limit.split.transfer_rate * share)


def test_a_curve_at_its_top_divides_by_nothing() -> None:
    """Many drafted tokens make decode flat at once: the load is found without a warning."""
    many = np.array([1.0, 92.0, 350.0, 457.0, 522.0])
    found = llmroof.estimate(
        model="deepseek-v3", gpu="mi300x", tp=2, pp=2, disaggregated=True, decode_workers=3,
        prefill_tp=1, prefill_pp=4, concurrency=many, speculative_tokens=64, acceptance_rate=0.7,
    ).serving  # fmt: skip
    # Little's law: what is under way is rate x time
    assert found.requests_per_s * found.e2e_latency == pytest.approx(many, rel=1e-6)
