"""What a device must offer to be measured; `torch_backend` is the one that does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from llmroof.measure.cases import Case
from llmroof.measure.timing import Run


@dataclass(frozen=True, slots=True)
class Device:
    """The device at hand, as its driver tells: `kind` is cpu, cuda, rocm or mps.

    Bytes of `memory` and of the last-level `cache`; `count` devices of the kind.
    """

    kind: str
    name: str
    memory: float
    cache: float
    count: int = 1
    driver: str = ""
    threads: int | None = None
    processors: int | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A kernel ready to run: `run(repeat)` runs it `repeat` x `unit` times and waits."""

    run: Run
    unit: int = 1


class Backend(Protocol):
    """Runs kernels on one device."""

    @property
    def device(self) -> Device:
        """What is measured."""

    @property
    def versions(self) -> Mapping[str, str]:
        """Software that runs the kernels."""

    @property
    def precisions(self) -> tuple[str, ...]:
        """Arithmetics that are measured unless others are asked for."""

    def prepare(self, case: Case) -> Prepared | None:
        """The kernel of a case; None where the device or the framework has none."""

    def clock(self) -> float:
        """Seconds."""
