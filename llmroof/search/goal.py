"""What is asked of a recommendation, and what it answers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from llmroof.engine.estimate import Estimate
from llmroof.errors import InputError
from llmroof.models.model import Model
from llmroof.resolve import DEFAULTS, whole

OBJECTIVES: Final = ("cost", "throughput", "latency", "energy")
#: what ends the growth of the load on a replica
LIMITS: Final = ("slo_ttft", "slo_tpot", "memory", "max_num_seqs", "hardware")


@dataclass(frozen=True, slots=True)
class Goal:
    """What is asked for. Seconds; requests per second; None leaves a target open.

    `request_rate` or `concurrency` (requests in flight) are of the whole fleet; without
    either one replica is chosen at its best load. `max_gpus` bounds the fleet.
    """

    input_len: float
    output_len: float
    slo_ttft: float | None = None
    slo_tpot: float | None = None
    request_rate: float | None = None
    concurrency: float | None = None
    max_gpus: int = 16
    objective: str = "cost"
    prefix_hit_rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Option:
    """One deployment that meets the goal: `replicas` of it, each under `estimate`'s load.

    `limited_by` (one of LIMITS) is what ends the growth of a replica's load: `most` requests
    in flight and `most_per_s` finished are the largest within the targets. `score` is what
    the objective minimises.
    """

    estimate: Estimate
    replicas: int
    limited_by: str
    score: float
    most: float
    most_per_s: float

    @property
    def num_gpus(self) -> int:
        """Devices of the fleet."""
        return self.replicas * self.estimate.deployment.num_gpus

    @property
    def usd_per_hour(self) -> float | None:
        """Cost of the fleet."""
        each = self.estimate.cost.usd_per_hour
        return None if each is None else float(each) * self.replicas


@dataclass(frozen=True, slots=True)
class Miss:
    """The nearest that falls short: its estimate, by how much, and of what."""

    estimate: Estimate
    replicas: int
    reasons: tuple[str, ...]
    excess: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The best options, best first, one per GPU; `nearest` when there are none.

    `tried` deployments had room for the model, `evaluated` of them had to be worked out;
    `notes` tell what was left out and why.
    """

    goal: Goal
    model: Model
    options: tuple[Option, ...]
    nearest: Miss | None
    tried: int
    evaluated: int
    notes: tuple[str, ...] = ()

    def to_frame(self) -> Any:
        """The options as a DataFrame, best first, columns as in the JSON."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "replicas": option.replicas,
                    "total_gpus": option.num_gpus,
                    "fleet_usd_per_hour": option.usd_per_hour,
                    "limited_by": option.limited_by,
                    **option.estimate.to_frame().iloc[0].to_dict(),
                }
                for option in self.options
            ]
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: the options and the commands that start them."""
        from llmroof.render.notebook import answer_html

        return answer_html(self)


def make_goal(*, input_len: Any, output_len: Any, **rest: Any) -> Goal:
    """A checked goal; lengths left out take the defaults. Raises InputError."""
    for name in ("slo_ttft", "slo_tpot", "request_rate"):
        value = rest[name]
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise InputError(f"{name} must be above zero, not {value:g}")
    if rest["concurrency"] is not None:
        rest["concurrency"] = float(whole("concurrency", rest["concurrency"]))
        if rest["request_rate"] is not None:
            raise InputError("request_rate and concurrency ask for different things: give one")
    if rest["objective"] not in OBJECTIVES:
        raise InputError(f"objective must be one of {', '.join(OBJECTIVES)}")
    if rest["max_gpus"] < 1:
        raise InputError(f"max_gpus must be 1 or more, not {rest['max_gpus']}")
    if not 0 <= rest["prefix_hit_rate"] < 1:
        raise InputError("prefix_hit_rate must be 0 or more and below 1")
    lengths: dict[str, Any] = {
        name: float(whole(name, DEFAULTS[name] if value is None else value))
        for name, value in (("input_len", input_len), ("output_len", output_len))
    }
    return Goal(**lengths, **rest)
