"""Collectives over one and two levels of links, by hand: bytes, steps, times."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import dense, device

import llmroof
from llmroof import load_hardware
from llmroof.calibration.links import load_links
from llmroof.calibration.load import load_calibration
from llmroof.engine.network import (
    ALL_REDUCE,
    boundaries,
    domains,
    levels,
    on_links,
    reach,
    route,
    transfer_time,
)
from llmroof.errors import InputError, Unsupported
from llmroof.operators import Operator
from llmroof.operators.collective import all_gather, all_reduce, all_to_all, send
from llmroof.specs.hardware import Hardware, Link


def box(
    scale_up: float = 8.0, domain: int = 4, nic: float | None = 1.0, pcie: float | None = None
) -> Hardware:
    """Domains of `domain` devices at 8 bytes/s, joined at 1 byte/s."""
    links = {"scale_up": Link(scale_up, domain=domain)}
    if nic is not None:
        links["nic"] = Link(nic)
    if pcie is not None:
        links["pcie"] = Link(pcie)
    return replace(device(), links=links)


def one(operators: tuple[Operator, ...]) -> Operator:
    (operator,) = operators
    return operator


def test_inside_a_domain_a_ring_sends_nearly_twice_the_message() -> None:
    """4 devices, 16 bytes: 2·3/4·16 = 24 bytes at 8 bytes/s = 3 s; one way: half of it."""
    gpu = box()
    assert transfer_time(one(all_reduce("sum", 16.0, 4)), gpu) == 3.0
    assert transfer_time(one(all_gather("gather", 16.0, 4)), gpu) == 1.5
    assert transfer_time(one(all_to_all("exchange", 16.0, 4)), gpu) == 1.5
    assert transfer_time(one(send("hand over", 16.0, 1)), gpu) == 2.0


def test_beyond_a_domain_each_device_sums_its_part_over_the_network() -> None:
    """8 devices in 2 domains of 4, 16 bytes: 24 inside (3 s), 2·1/2 of 16/4 = 4 outside (4 s)."""
    gpu = box()
    operator = one(all_reduce("sum", 16.0, 8))
    assert [(leg.level.link, leg.sent) for leg in route(operator, gpu)] == [
        ("scale_up", 24.0),
        ("nic", 4.0),
    ]
    assert transfer_time(operator, gpu) == 7.0
    assert transfer_time(one(all_gather("gather", 16.0, 8)), gpu) == 1.5 + 2.0


def test_levels_of_an_all_to_all_work_at_once() -> None:
    """8 devices, 16 bytes: 3/8 inside = 6 bytes (0.75 s), 4/8 outside = 8 bytes (8 s): 8 s."""
    exchange = one(all_to_all("exchange", 16.0, 8))
    assert [(leg.sent, leg.steps) for leg in route(exchange, box())] == [(6.0, 1.0), (8.0, 1.0)]
    assert transfer_time(exchange, box()) == 8.0
    assert [leg.sent for leg in route(one(all_to_all("near", 16.0, 4)), box())] == [12.0]


def test_a_send_out_of_the_domain_takes_the_network() -> None:
    assert transfer_time(one(send("near", 16.0, 3)), box()) == 2.0
    assert transfer_time(one(send("far", 16.0, 4)), box()) == 16.0


def test_the_traffic_of_the_levels_adds_up_to_more_than_a_flat_ring() -> None:
    """A flat ring of 8 would send 2·7/8·16 = 28 bytes, all of it past the slow link as well."""
    sent = sum(leg.sent for leg in route(one(all_reduce("sum", 16.0, 8)), box()))
    assert sent == 28.0


@pytest.mark.parametrize(
    ("name", "sent", "steps"),
    [("ring", 1.75, 14), ("tree", 1.75, 6), ("one-shot", 7, 1), ("switch", 1.125, 2)],
)
def test_ways_to_sum_over_eight_devices(name: str, sent: float, steps: int) -> None:
    """Bytes per byte of the message, and the hops that follow each other."""
    assert (ALL_REDUCE[name].sent(8), ALL_REDUCE[name].steps(8)) == (sent, steps)


def test_a_named_way_changes_bytes_and_steps() -> None:
    gpu = box(domain=8)
    operator = one(all_reduce("sum", 16.0, 8))
    for name in ALL_REDUCE:
        chosen = on_links(operator, gpu, name)
        assert chosen.network_bytes == 16.0 * ALL_REDUCE[name].sent(8)
        assert chosen.shape["steps"] == {"scale_up": ALL_REDUCE[name].steps(8)}
        assert transfer_time(chosen, gpu) == chosen.network_bytes / 8.0
    assert on_links(operator, gpu, "auto").network_bytes == operator.network_bytes


def test_one_shot_stays_inside_a_domain() -> None:
    with pytest.raises(Unsupported, match="--all-reduce ring"):
        on_links(one(all_reduce("sum", 16.0, 8)), box(), "one-shot")


def test_expected_time_of_a_named_way_is_start_steps_and_bytes() -> None:
    """Ring over 8: 6.6 us + 14 x 0.6 us + bytes at the share of the link that is reached."""
    links = load_links()
    assert (links.start, links.step["scale_up"]) == pytest.approx((6.6e-6, 0.6e-6))

    def cost(way: str) -> tuple[float, float]:
        found = llmroof.estimate(
            model="llama-3.1-8b", gpu="h100", tp=8, batch=1, all_reduce=way
        ).decode
        sums = [c for c in found.operators if c.operator.name == "mlp_all_reduce"]
        return float(sums[0].times.overhead / 32), float(sums[0].times.network)

    assert cost("ring")[0] == pytest.approx(6.6e-6 + 14 * 0.6e-6)
    assert cost("one-shot")[0] == pytest.approx(6.6e-6 + 0.6e-6)
    assert cost("switch")[0] == pytest.approx(6.6e-6 + 2 * 0.6e-6)
    assert cost("one-shot")[1] > cost("ring")[1] > cost("switch")[1]


def test_short_messages_favour_one_shot_and_long_ones_the_ring() -> None:
    def times(batch: int) -> tuple[float, float]:
        ring, shot = (
            llmroof.estimate(
                model="llama-3.1-8b", gpu="h100", tp=8, batch=batch, input_len=2048, all_reduce=way
            )
            for way in ("ring", "one-shot")
        )
        return float(ring.decode.time / shot.decode.time), float(
            ring.prefill.time / shot.prefill.time
        )

    decode, prefill = times(1)
    assert decode > 1 > prefill


def test_a_bridge_is_the_inner_level_of_a_host_and_pcie_that_of_several() -> None:
    gpu = box(domain=2, nic=0.5, pcie=1.0)
    assert domains(gpu) == (2, 8)
    assert [level.link for level in levels(gpu, 2)] == ["scale_up"]
    assert [level.link for level in levels(gpu, 4)] == ["scale_up", "pcie"]
    assert [level.link for level in levels(gpu, 16)] == ["pcie", "nic"]
    rack = box(domain=16, pcie=1.0)  # wider than a host: PCIe is of no use
    assert [level.link for level in levels(rack, 16)] == ["scale_up"]
    assert [level.link for level in levels(rack, 32)] == ["scale_up", "nic"]
    board = box(domain=8, pcie=1.0)
    assert [level.link for level in levels(board, 16)] == ["scale_up", "nic"]


@pytest.mark.parametrize(
    ("links", "most"),
    [
        ({}, 1),
        ({"pcie": Link(1.0)}, 8),
        ({"scale_up": Link(1.0, domain=2)}, 2),
        ({"scale_up": Link(1.0, domain=2), "pcie": Link(1.0)}, 8),
        ({"scale_up": Link(1.0, domain=72)}, 72),
        ({"scale_up": Link(1.0, domain=8), "nic": Link(1.0)}, float("inf")),
    ],
)
def test_how_far_the_links_of_a_profile_reach(links: dict[str, Link], most: float) -> None:
    assert reach(replace(device(), links=links)) == most


def test_which_link_is_missing_is_said() -> None:
    with pytest.raises(Unsupported, match=r"'links\.scale_up' or 'links\.pcie' is missing"):
        levels(device(), 2)
    with pytest.raises(Unsupported, match=r"beyond 4 devices: 'links\.nic\.bandwidth' is missing"):
        levels(box(nic=None), 8)


def test_a_plan_left_open_never_outgrows_the_links() -> None:
    """Without a link a model that is too large does not fit; it is not spread regardless."""
    large = dense(layers=4, hidden=64, intermediate=256, vocab=1000)
    alone = device(capacity=1e5)
    found = llmroof.estimate(model=large, gpu=alone, batch=1, input_len=8, output_len=8)
    assert (found.deployment.num_gpus, bool(found.fits)) == (1, False)
    linked = replace(alone, links={"scale_up": Link(1.0, domain=64)})
    found = llmroof.estimate(model=large, gpu=linked, batch=1, input_len=8, output_len=8)
    assert found.deployment.num_gpus > 1
    assert found.fits


@pytest.mark.parametrize(
    ("width", "stages", "crossed"),
    [
        (4, 2, {1: 1}),  # both stages in one host
        (4, 4, {1: 2, 8: 1}),  # 0-1 | 2-3: only the middle one leaves
        (8, 4, {8: 3}),  # a host each
        (16, 2, {8: 1}),
    ],
)
def test_only_hand_overs_between_hosts_take_the_network(
    width: int, stages: int, crossed: dict[int, int]
) -> None:
    assert boundaries(load_hardware("h100"), width, stages) == crossed


def test_hand_overs_are_named_by_how_far_they_go() -> None:
    found = llmroof.estimate(model="llama-3.1-8b", gpu="h100", tp=4, pp=4, batch=4)
    sends = {c.operator.name: c.operator.shape["world"] for c in found.decode.operators
             if c.operator.kind == "send"}  # fmt: skip
    assert sends == {"stage_send": 2, "stage_send_far": 9}


def test_hand_overs_of_a_bridged_host_take_three_kinds_of_link() -> None:
    """12 stages of one device: 6 inside pairs, 4 between pairs, 1 between hosts."""
    assert boundaries(box(domain=2, nic=0.5, pcie=1.0), 1, 12) == {1: 6, 2: 4, 8: 1}


def test_two_hosts_pay_for_the_network_between_them() -> None:
    """TP 16 on two hosts of 8 is slower per token than TP 8, at the limit too."""
    eight, sixteen = (
        llmroof.estimate(model="llama-3.1-70b", gpu="h100", tp=tp, batch=64, input_len=2048)
        for tp in (8, 16)
    )
    assert sixteen.prefill.times.network > eight.prefill.times.network


def test_no_algorithm_of_that_name() -> None:
    with pytest.raises(InputError, match="all_reduce must be auto or ring"):
        llmroof.estimate(gpu="h100", all_reduce="magic")


@pytest.mark.parametrize(("batch", "shots"), [(1, 1), (4096, 2)])
def test_left_to_the_library_the_faster_of_one_and_two_shots_is_taken(
    batch: int, shots: int
) -> None:
    """8 devices, m bytes: (n−1)·m after one synchronisation, or 2(n−1)/n·m after two."""
    fit = load_calibration().network["all_reduce"]
    found = llmroof.estimate(model="llama-3.1-8b", gpu="h100", tp=8, batch=batch).decode
    (one,) = (c for c in found.operators if c.operator.name == "mlp_all_reduce")
    start = fit.start + 3 * fit.per_doubling + (fit.second * 8**0.5 if shots == 2 else 0.0)
    rate = 450e9 * fit.share["scale_up"]
    sent = {1: 7 / fit.one_shot, 2: 2 * 7 / 8}[shots] * (batch * 4096 * 2)
    assert float(one.times.overhead) / 32 == pytest.approx(start)
    assert float(one.times.network) / 32 == pytest.approx(sent / rate)
