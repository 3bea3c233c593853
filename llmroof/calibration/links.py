"""Reads what one step of a collective costs on each kind of link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from llmroof.specs.schema import Field, ListOf, MapOf, Quantity, Table, Text, read_spec
from llmroof.specs.tree import read_yaml

_FILE: Final = Path(__file__).resolve().parent / "links.yaml"


@dataclass(frozen=True, slots=True)
class LinkFit:
    """Seconds: `start` of a collective, and of one `step` by the link it takes."""

    start: float
    step: Mapping[str, float]
    source: str


_SCHEMA: Final = Table(
    {
        "start": Field(Quantity("s"), "synchronisation and launch", required=True),
        "step": Field(
            MapOf(Quantity("s"), ("scale_up", "pcie", "nic")), "one hop, by link", required=True
        ),
        "sources": Field(
            ListOf(
                Table(
                    {
                        "title": Field(Text(), "what the source is called", required=True),
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
def load_links() -> LinkFit:
    """The coefficients of `links.yaml`. Raises SpecError."""
    values: dict[str, Any] = read_spec(read_yaml(_FILE), _SCHEMA, _FILE)
    return LinkFit(values["start"], values["step"], values["sources"][0]["title"])
