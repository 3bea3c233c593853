"""USD and joules: the parts add up, every price and power can be replaced."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

import llmroof
from llmroof.cli.main import cli
from llmroof.errors import InputError

ASKED: dict[str, Any] = {
    "model": "llama-3.1-70b", "gpu": "h100", "tp": 8, "batch": 16, "input_len": 2048,
    "output_len": 256,
}  # fmt: skip


def test_input_and_output_pay_for_the_time_they_take() -> None:
    """16 requests: input 16·2048 tokens pay the prefill, 16·256 the decode; together all of it."""
    found = llmroof.estimate(**ASKED, price=2.0)
    cost, served = found.cost, found.serving
    per_second = 8 * 2.0 / 3600
    assert cost.usd_per_hour == 16.0
    paid_in = cost.usd_per_million_input_tokens * 16 * 2048 / 1e6
    paid_out = cost.usd_per_million_output_tokens * 16 * 256 / 1e6
    assert paid_in == pytest.approx(per_second * served.ttft, rel=1e-12)
    assert paid_out == pytest.approx(per_second * 255 * served.tpot, rel=1e-12)
    whole = cost.usd_per_million_total_tokens * 16 * (2048 + 256) / 1e6
    assert whole == pytest.approx(paid_in + paid_out, rel=1e-12)
    assert whole == pytest.approx(per_second * served.e2e_latency, rel=1e-12)


def test_joules_are_power_times_time_per_token() -> None:
    """8 x 700 W for the whole time: an upper bound at the power limit."""
    found = llmroof.estimate(**ASKED)
    assert found.cost.watts == 8 * 700
    expected = 5600 * found.serving.e2e_latency / (16 * 256)
    assert found.cost.joule_per_output_token == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("load", [{}, {"concurrency": 32}, {"request_rate": 0.5}])
def test_price_and_power_scale_what_they_pay_for(load: dict[str, Any]) -> None:
    asked = {name: value for name, value in ASKED.items() if not load or name != "batch"}
    one = llmroof.estimate(**asked, **load, price=1.0, power=100.0)
    three = llmroof.estimate(**asked, **load, price=3.0, power=300.0)
    for name in ("output", "input", "total"):
        field = f"usd_per_million_{name}_tokens"
        assert getattr(three.cost, field) == pytest.approx(3 * getattr(one.cost, field), rel=1e-12)
    assert three.cost.joule_per_output_token == pytest.approx(3 * one.cost.joule_per_output_token)
    assert three.serving == one.serving


def test_free_devices_cost_nothing() -> None:
    found = llmroof.estimate(**ASKED, price=0.0, power=0.0).cost
    assert (found.usd_per_hour, found.usd_per_million_total_tokens) == (0.0, 0.0)
    assert found.joule_per_output_token == 0.0


@pytest.mark.parametrize("option", [{"price": -1.0}, {"power": float("nan")}, {"power": -5.0}])
def test_prices_and_powers_that_cannot_be(option: dict[str, float]) -> None:
    with pytest.raises(InputError, match="must be zero or more"):
        llmroof.estimate(**ASKED, **option)


def test_the_answer_says_what_the_joules_rest_on() -> None:
    def said(*options: str) -> list[str]:
        result = CliRunner().invoke(
            cli, ["estimate", "--gpu", "h100", "--tp", "2", "--format", "json", *options]
        )
        return [line["text"] for line in json.loads(result.stdout)["basis"]]

    limit = "joules at the power limit of 700 W per GPU, 1400 W in all, all the time"
    assert f"{limit}: an upper bound" in said()
    assert "joules at 500 W per GPU, 1000 W in all, as given" in said("--power", "500")


def test_watts_are_a_number_of_the_json() -> None:
    """8 x 700 W, beside the joules they make; null where no power is known."""
    found = llmroof.estimate(**ASKED)
    flags = "--model llama-3.1-70b --gpu h100 --tp 8 -b 16 --isl 2048 --osl 256 --format json"
    result = CliRunner().invoke(cli, ["estimate", *flags.split()])
    energy = json.loads(result.stdout)["energy"]
    assert energy == {
        "joule_per_output_token": pytest.approx(float(found.cost.joule_per_output_token)),
        "watts": 5600,
    }
