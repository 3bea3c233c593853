"""Reads the coefficients of the expected-time model into frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from llmroof.errors import UnknownName
from llmroof.specs.schema import Field, ListOf, MapOf, Number, Quantity, Table, Text, read_spec
from llmroof.specs.tree import read_yaml

_FOLDER: Final = Path(__file__).resolve().parent
_SHARE: Final = Number(0.001, 2.0)


@dataclass(frozen=True, slots=True)
class KernelFit:
    """What kernels of one kind reach: launch seconds, shares of peak and of bandwidth.

    `compute` maps the operands' width in bits to the share of the peak.
    """

    launch: float
    compute: Mapping[int, float]
    memory: float


@dataclass(frozen=True, slots=True)
class NetworkFit:
    """What a collective costs: start, cost per doubling of devices, share of the link rate."""

    latency: float
    per_doubling: float
    bandwidth: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """All coefficients of the expected-time model, with where they come from."""

    kinds: Mapping[str, KernelFit]
    network: NetworkFit
    source: str

    def kind(self, name: str) -> KernelFit:
        """The coefficients of an operator kind; unlisted kinds are elementwise work."""
        return self.kinds.get(name, self.kinds["elementwise"])


@dataclass(frozen=True, slots=True)
class EngineRules:
    """How an engine budgets device memory and how much of a prompt it works on at once.

    `utilization` is the share of the device it may use; `chunk_tokens` bounds the
    activations of a prompt pass.
    """

    utilization: float
    chunk_tokens: float
    source: str = ""


_KERNEL: Final = Table(
    {
        "launch": Field(Quantity("s"), "cost of starting the kernel", required=True),
        "compute": Field(MapOf(_SHARE, ("4", "8", "16", "32")), "share of peak", required=True),
        "memory": Field(_SHARE, "share of bandwidth", required=True),
    },
    lambda v: KernelFit(
        v["launch"], {int(bits): share for bits, share in v["compute"].items()}, v["memory"]
    ),
)
_SCHEMA: Final = Table(
    {
        "kinds": Field(MapOf(_KERNEL), "by operator kind", required=True),
        "network": Field(
            Table(
                {
                    "latency": Field(Quantity("s"), "start", required=True),
                    "per_doubling": Field(Quantity("s"), "per doubling", required=True),
                    "bandwidth": Field(_SHARE, "share of the link", required=True),
                },
                lambda v: NetworkFit(**v),
            ),
            "collectives",
            required=True,
        ),
        "sources": Field(
            ListOf(
                Table(
                    {
                        "title": Field(Text(), "what was measured", required=True),
                        "checked": Field(Text(), "when"),
                        "confidence": Field(Text(), "how much to trust it"),
                    }
                )
            ),
            "where the coefficients come from",
            required=True,
        ),
    }
)


_ENGINES: Final = MapOf(
    Table(
        {
            "memory_utilization": Field(Number(0.01, 1.0), "share of memory", required=True),
            "chunk_tokens": Field(Number(1, 1e9, whole=True), "prompt tokens at once", True),
            "source": Field(
                Table(
                    {
                        "title": Field(Text(), "what the source is called", required=True),
                        "url": Field(Text(), "its address"),
                        "checked": Field(Text(), "when"),
                    }
                ),
                "where the rules come from",
                required=True,
            ),
        },
        lambda v: EngineRules(v["memory_utilization"], v["chunk_tokens"], v["source"]["title"]),
    )
)


@lru_cache
def load_engine(name: str = "generic") -> EngineRules:
    """The memory and scheduling rules of a serving engine. Raises UnknownName."""
    path = _FOLDER / "engines.yaml"
    engines: dict[str, EngineRules] = read_spec(read_yaml(path), _ENGINES, path)
    if name not in engines:
        raise UnknownName("engine", name, engines)
    return engines[name]


@lru_cache
def load_calibration(name: str = "universal") -> Calibration:
    """The coefficients of `calibration/<name>.yaml`. Raises SpecError."""
    path = _FOLDER / f"{name}.yaml"
    values: dict[str, Any] = read_spec(read_yaml(path), _SCHEMA, path)
    return Calibration(
        values["kinds"],
        values["network"],
        values["sources"][0]["title"],
    )
