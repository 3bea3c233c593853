"""Reads what one step of a collective costs on each kind of link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from llmroof.specs.schema import Field, ListOf, MapOf, Number, Quantity, Table, Text, read_spec
from llmroof.specs.tree import read_yaml

_FILE: Final = Path(__file__).resolve().parent / "links.yaml"


@dataclass(frozen=True, slots=True)
class LinkFit:
    """Seconds: `start` of a collective, and of one `step` by the link it takes.

    A KV cache on its way to another worker takes `transfer_start` and reaches
    `transfer_share` of the link's rate.
    """

    start: float
    step: Mapping[str, float]
    source: str
    transfer_start: float
    transfer_share: float
    transfer_source: str


_SCHEMA: Final = Table(
    {
        "start": Field(Quantity("s"), "synchronisation and launch", required=True),
        "step": Field(
            MapOf(Quantity("s"), ("scale_up", "pcie", "nic")), "one hop, by link", required=True
        ),
        "transfer": Field(
            Table(
                {
                    "start": Field(Quantity("s"), "before the first byte", required=True),
                    "share": Field(Number(0.01, 1.0), "of the link's rate", required=True),
                }
            ),
            "of a KV cache between workers",
            required=True,
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
    first, second = values["sources"]
    moved = values["transfer"]
    return LinkFit(
        values["start"],
        values["step"],
        first["title"],
        moved["start"],
        moved["share"],
        f"{second['title']} <{second['url']}>",
    )
