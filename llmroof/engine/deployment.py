"""What serves and what is asked: the two halves of every question."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from llmroof.calibration.load import Calibration, EngineRules
from llmroof.engine.expected import expected, paced
from llmroof.engine.phases import TimeModel
from llmroof.models.model import Model
from llmroof.operators import Execution, Number, Plan
from llmroof.specs.hardware import Hardware


@dataclass(frozen=True, slots=True)
class Speculation:
    """Speculative decoding: `tokens` drafted per step, each accepted with `acceptance`.

    `draft` is the model that drafts, on the same devices; None drafts for free (n-gram
    look-up). Source: Leviathan et al. 2023, sections 3.1-3.3.
    """

    tokens: int
    acceptance: float
    draft: Model | None = None

    @property
    def tokens_per_step(self) -> float:
        """Expected tokens of one verification: (1 − α^(γ+1)) / (1 − α), equation 1."""
        if self.acceptance >= 1:
            return self.tokens + 1.0
        return (1 - self.acceptance ** (self.tokens + 1)) / (1 - self.acceptance)


#: when the KV cache is sent: after the prefill, or layer by layer while it runs
OVERLAPS: Final = ("none", "layers")


@dataclass(frozen=True, slots=True)
class Workers:
    """Prefill and decode on devices of their own: how many workers of each.

    Each worker is a replica of the model: a decode worker under the deployment's plan, a
    prefill worker under `plan`. The KV cache crosses the link between them at `bandwidth`
    (bytes/s of one device one way; None: the link of the profile that joins them all).
    `overlap` is one of OVERLAPS.
    """

    prefill: Number
    decode: Number
    plan: Plan
    bandwidth: float | None = None
    overlap: str = "none"


@dataclass(frozen=True, slots=True)
class Deployment:
    """What serves: a model on devices under a plan, with an engine's rules and a price.

    Without `calibration` times are the physical limit; `usd_per_gpu_hour` None means
    that no price is known and no cost is computed; `watts` is drawn by one device. With
    `workers` prefill and decode run on devices of their own, and `run.plan` is that of a
    decode worker.
    """

    model: Model
    hardware: Hardware
    run: Execution
    rules: EngineRules
    calibration: Calibration | None = None
    usd_per_gpu_hour: float | None = None
    engine: str = "generic"
    speculation: Speculation | None = None
    watts: float | None = None
    workers: Workers | None = None

    @property
    def num_gpus(self) -> int:
        """Devices of the deployment, all workers together."""
        workers, each = self.workers, self.run.plan.num_gpus
        if workers is None:
            return each
        return workers.prefill * workers.plan.num_gpus + workers.decode * each  # type: ignore[no-any-return]

    @property
    def prefill_share(self) -> Number:
        """Share of the devices that do nothing but prefill: those of prefill workers."""
        workers = self.workers
        return 0.0 if workers is None else workers.prefill * workers.plan.num_gpus / self.num_gpus

    @property
    def time_model(self) -> TimeModel | None:
        """Operators and their limits -> times in a CUDA graph; None is the limit itself."""
        rules = self.rules
        return self._model(rules.launch_scale, 1.0, rules.lane, rules.step_time)

    @property
    def prompt_model(self) -> TimeModel | None:
        """The same for passes with prompts, whose kernels engines launch one by one."""
        rules = self.rules
        return self._model(rules.eager_scale, rules.prompt_share, math.inf, rules.prompt_time)

    def _model(
        self, launch_scale: float, rate: float, lane: float, pace: float
    ) -> TimeModel | None:
        calibration, hardware = self.calibration, self.hardware
        if calibration is None:
            return None
        if pace == 1.0:
            return lambda operators, floors: expected(
                operators, floors, calibration, hardware, launch_scale, rate, lane
            )
        return lambda operators, floors: paced(
            expected(operators, floors, calibration, hardware, launch_scale, rate, lane),
            floors,
            pace,
        )


@dataclass(frozen=True, slots=True)
class Workload:
    """What is asked: sequences together, tokens in and tokens out per sequence.

    `prefix_hit_rate` is the share of each prompt found in the prefix cache;
    `chunk_tokens`, where given, splits the prefill into passes of that many tokens.
    """

    batch: Number
    input_len: Number
    output_len: Number
    prefix_hit_rate: Number = 0.0
    chunk_tokens: Number | None = None

    @property
    def fresh(self) -> Number:
        """Prompt tokens that must be computed."""
        return self.input_len * (1.0 - self.prefix_hit_rate)
