"""How a model is executed: number formats, parallel plan, kernels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from llmroof.specs.precision import Precision

ATTENTION: Final = ("flash", "naive")
FUSION: Final = ("fused", "none")


@dataclass(frozen=True, slots=True)
class Plan:
    """A parallel plan: tensor, pipeline, attention-data and expert parallel degrees.

    The devices number tp·pp·dp. Experts are spread over `ep` of the tp·dp devices of
    a pipeline stage, and each expert is sharded over the remaining tp·dp/ep.
    """

    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int = 1

    @property
    def num_gpus(self) -> int:
        """Devices the plan uses."""
        return self.tp * self.pp * self.dp

    @property
    def expert_tp(self) -> int:
        """Devices that share one expert."""
        return self.tp * self.dp // self.ep


@dataclass(frozen=True, slots=True)
class Execution:
    """Everything about a run that operators depend on and shapes do not.

    `attention` flash keeps scores on chip, naive writes and reads them; `fusion`
    "fused" merges q/k/v and gate/up into one matmul each and keeps elementwise work
    on chip, "none" runs every operator of the textbook as a kernel of its own;
    without `kv_cache` every step recomputes keys and values. `routing_skew` is the
    exponent of a Zipf law of expert popularity (0: every expert is equally likely).
    `all_reduce` names the way partial sums are added up (`engine.network.ALL_REDUCE`);
    "auto" leaves it to the library.
    """

    precision: Precision
    plan: Plan = field(default_factory=Plan)
    attention: str = "flash"
    fusion: str = "fused"
    kv_cache: bool = True
    routing_skew: float = 0.0
    all_reduce: str = "auto"
