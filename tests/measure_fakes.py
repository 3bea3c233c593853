"""A machine made of formulas: it runs no kernel and its clock goes by their work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from llmroof.measure.backend import Device, Prepared
from llmroof.measure.cases import Case

PEAK, BANDWIDTH, LAUNCH = 1e12, 1e11, 1e-5


def seconds(case: Case) -> float:
    """What a kernel takes on the made-up machine: a launch, then the longer of two roofs."""
    return LAUNCH + max(case.flop / PEAK, case.bytes / BANDWIDTH)


@dataclass
class FakeBackend:
    """Kernels that take the time of `seconds`, times what `wobble` yields in turn."""

    device: Device = field(
        default_factory=lambda: Device("cuda", "Made-up GPU", 1e11, 1e5, driver="1.0", threads=None)
    )
    precisions: tuple[str, ...] = ("bf16",)
    wobble: tuple[float, ...] = (1.0,)
    missing: frozenset[str] = frozenset()
    now: float = 0.0
    turn: int = 0
    prepared: list[Case] = field(default_factory=list)

    @property
    def versions(self) -> Mapping[str, str]:
        return {"made": "up"}

    def clock(self) -> float:
        return self.now

    def prepare(self, case: Case) -> Prepared | None:
        if case.precision in self.missing or case.kind in self.missing:
            return None
        self.prepared.append(case)
        unit = 4 if case.kind == "gemm" else 1

        def run(repeat: int) -> None:
            self.turn += 1
            factor = self.wobble[self.turn % len(self.wobble)]
            self.now += repeat * unit * seconds(case) * factor

        return Prepared(run, unit)
