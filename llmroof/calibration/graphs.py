"""Reads the coefficients of kernels as a serving engine runs them, inside a CUDA graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from llmroof.specs.schema import Field, ListOf, MapOf, Number, Quantity, Table, Text, read_spec
from llmroof.specs.tree import read_yaml

_FILE: Final = Path(__file__).resolve().parent / "in_graph.yaml"


@dataclass(frozen=True, slots=True)
class GraphKernels:
    """Coefficients by family of kernels, for the architectures they were measured on.

    `launch` are seconds per start of a kernel in a graph, by kind; `families` hold the
    coefficients of the formulas in `engine/kernels.py`, SI units.
    """

    architectures: tuple[str, ...]
    launch: Mapping[str, float]
    families: Mapping[str, Mapping[str, float]]
    source: str

    def covers(self, architecture: str) -> bool:
        """True where kernels of this GPU architecture were measured."""
        return any(architecture.startswith(name) for name in self.architectures)


_SCHEMA: Final = Table(
    {
        "architectures": Field(ListOf(Text()), "GPUs that were measured", required=True),
        "launch": Field(
            MapOf(Quantity("s"), ("gemm", "quantize", "moe")), "start of a kernel", required=True
        ),
        "families": Field(MapOf(MapOf(Number(0, 1e20))), "coefficients", required=True),
        "sources": Field(
            ListOf(
                Table(
                    {
                        "title": Field(Text(), "what was measured", required=True),
                        "url": Field(Text(), "its address"),
                        "checked": Field(Text(), "when"),
                        "confidence": Field(Text(), "how much to trust it"),
                    }
                )
            ),
            "where the figures come from",
            required=True,
        ),
    }
)


@lru_cache
def load_graph_kernels() -> GraphKernels:
    """The coefficients of `in_graph.yaml`. Raises SpecError."""
    values: dict[str, Any] = read_spec(read_yaml(_FILE), _SCHEMA, _FILE)
    return GraphKernels(
        tuple(values["architectures"]),
        values["launch"],
        values["families"],
        values["sources"][0]["title"],
    )
