"""Reads how far measurements lay from predictions, by class of deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from llmroof.specs.schema import Field, ListOf, Number, Table, Text, read_spec
from llmroof.specs.tree import read_yaml

_FILE: Final = Path(__file__).resolve().parent / "ranges.yaml"
#: metrics that have a range, as named in rows and outputs
METRICS: Final = ("ttft_s", "tpot_s")


@dataclass(frozen=True, slots=True)
class Class:
    """A class of deployments: factors (low, high) on the prediction of each metric.

    An empty name (0 bits) stands for any; `rows` measurements of `groups` pairs of model
    and GPU make it up.
    """

    rows: int
    groups: int
    ttft_s: tuple[float, float]
    tpot_s: tuple[float, float]
    engine: str = ""
    bits: int = 0
    architecture: str = ""

    def matches(self, engine: str, bits: int, architecture: str) -> bool:
        """True when a deployment belongs to the class."""
        return (
            self.engine in ("", engine)
            and self.bits in (0, bits)
            and self.architecture in ("", architecture)
        )

    @property
    def name(self) -> str:
        """The class in words: `vllm, 8-bit weights, Hopper`."""
        words = (self.engine, f"{self.bits}-bit weights" if self.bits else "", self.architecture)
        return ", ".join(word for word in words if word) or "any deployment"


@dataclass(frozen=True, slots=True)
class Ranges:
    """All classes, the finest first; the last one matches everything."""

    classes: tuple[Class, ...]
    unseen: float
    source: str

    def find(
        self, engine: str, bits: int, architecture: str, open_loop: bool = False
    ) -> tuple[Class, Mapping[str, tuple[float, float]]]:
        """The finest class that matches, and the factors of each metric.

        The factors are raised to the power `stretch`, away from 1.
        """
        found = next(one for one in self.classes if one.matches(engine, bits, architecture))
        power = self.stretch(engine, architecture, open_loop)
        factors = {name: getattr(found, name) for name in METRICS}
        return found, {
            name: (min(low, 1.0) ** power, max(high, 1.0) ** power)
            for name, (low, high) in factors.items()
        }

    def stretch(self, engine: str, architecture: str, open_loop: bool = False) -> float:
        """How much wider, in logarithms, a range is than the residuals of its class.

        `unseen` where the engine or the GPU architecture stands in no class, and once more
        for an `open_loop` of arrivals at a rate: all that was measured are closed loops.
        """
        known = self.seen(engine, architecture)
        return (1.0 if known else self.unseen) * (self.unseen if open_loop else 1.0)

    def seen(self, engine: str, architecture: str) -> bool:
        """True when both the engine and the GPU architecture were measured."""
        engines = {one.engine for one in self.classes}
        return engine in engines and architecture in {one.architecture for one in self.classes}


_PAIR: Final = ListOf(Number(1e-4, 1e4))
_CLASS: Final = Table(
    {
        "engine": Field(Text(), "serving engine"),
        "bits": Field(Number(1, 64, whole=True), "width of the weights"),
        "architecture": Field(Text(), "of the GPU"),
        "rows": Field(Number(1, 1e8, whole=True), "measurements", required=True),
        "groups": Field(Number(1, 1e8, whole=True), "pairs of model and GPU", required=True),
        "ttft_s": Field(_PAIR, "factors on TTFT", required=True),
        "tpot_s": Field(_PAIR, "factors on TPOT", required=True),
    }
)
_SCHEMA: Final = Table(
    {
        "unseen": Field(Number(1.0, 10.0), "stretch where nothing similar was measured", True),
        "classes": Field(ListOf(_CLASS), "the finest first", required=True),
        "sources": Field(
            ListOf(
                Table(
                    {
                        "title": Field(Text(), "what was measured", required=True),
                        "url": Field(Text(), "its address"),
                        "checked": Field(Text(), "when"),
                    }
                )
            ),
            "where the residuals come from",
            required=True,
        ),
    }
)


def _class(values: dict[str, Any]) -> Class:
    low_high = {name: (float(values[name][0]), float(values[name][1])) for name in METRICS}
    return Class(
        rows=int(values["rows"]),
        groups=int(values["groups"]),
        engine=values.get("engine") or "",
        bits=int(values.get("bits") or 0),
        architecture=values.get("architecture") or "",
        **low_high,
    )


@lru_cache
def load_ranges() -> Ranges:
    """The classes of `ranges.yaml`. Raises SpecError."""
    values: dict[str, Any] = read_spec(read_yaml(_FILE), _SCHEMA, _FILE)
    source = values["sources"][0]["title"]
    return Ranges(tuple(_class(one) for one in values["classes"]), values["unseen"], source)
