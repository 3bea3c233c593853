"""Reads the coefficients of the expected-time model into frozen values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from llmroof.calibration.graphs import GraphKernels, load_graph_kernels
from llmroof.calibration.links import LinkFit, load_links
from llmroof.errors import UnknownName
from llmroof.specs.schema import (
    Field,
    Flag,
    ListOf,
    MapOf,
    Number,
    Quantity,
    Table,
    Text,
    read_spec,
)
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
    """What collectives of one kind cost (meanings in the YAML).

    `start`, `per_doubling` and `second` in seconds; `share` of the link rate by link.
    """

    start: float
    per_doubling: float
    second: float
    one_shot: float
    share: Mapping[str, float]
    crowding: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """All coefficients of the expected-time model, with where they come from.

    `devices` are the ids of the profiles whose kernels were timed for them; `step` are seconds
    of host work per pass. `carried` tells by vendor how they are carried over to all others,
    `best_product` being that of the timed devices.
    """

    kinds: Mapping[str, KernelFit]
    network: Mapping[str, NetworkFit]
    source: str
    links: LinkFit = field(default_factory=load_links)
    devices: tuple[str, ...] = ()
    graph: GraphKernels = field(default_factory=load_graph_kernels)
    step: float = 0.0
    carried: Mapping[str, Carried] = field(default_factory=dict)
    best_product: float = 1.0

    def kind(self, name: str) -> KernelFit:
        """The coefficients of an operator kind; unlisted kinds are elementwise work."""
        return self.kinds.get(name, self.kinds["elementwise"])


@dataclass(frozen=True, slots=True)
class EngineRules:
    """How an engine budgets memory and schedules (meanings at the head of engines.yaml).

    `utilization` share of the device it may use, of what the weights leave when
    `of_free`; `prompt_share` of the libraries' rate that the engine's own matrix products
    reach with prompts, `short_sums` where they add up in 16 bits, `lane` the bytes/s that each
    processor takes in at one token; `host_` seconds of the host between decode steps;
    `held_output` part of an answer that reserves cache; seconds, tokens,
    sequences and plain shares otherwise. `step_time` and `prompt_time` multiply the times of all
    kernels of decode steps and of passes with prompts: what one measured point has told of them.
    `vendors` are those whose devices it runs on, none named for all.
    `kv_cache` is the format of the KV cache unless
    one is asked for, where matmuls run in 8 bits or fewer, and `mxfp4` that of the activations
    of MXFP4 weights on devices with 4-bit arithmetic; "" keeps the 16-bit base.
    """

    utilization: float
    chunk_tokens: float
    of_free: bool = False
    spare: float = 0.0
    overhead: float = 0.0
    held_output: float = 1.0
    block_tokens: float = 1.0
    max_num_seqs: float = 1024.0
    mixes_prefill: bool = True
    launch_scale: float = 1.0
    eager_scale: float = 1.0
    clump: float = 0.0
    start: float = 0.0
    pipeline_lag: float = 0.0
    queue_random: float = 0.0
    queue_fixed: float = 0.0
    rank_coupling: float = 0.0
    balance: float = 0.0
    wait_share: float = 1.0
    kv_cache: str = ""
    mxfp4: str = ""
    prompt_share: float = 1.0
    short_sums: bool = False
    lane: float = math.inf
    host_step: float = 0.0
    host_sequence: float = 0.0
    host_ranks: float = 0.0
    step_time: float = 1.0
    prompt_time: float = 1.0
    vendors: tuple[str, ...] = ()
    source: str = ""

    def runs_on(self, vendor: str) -> bool:
        """True for devices of this vendor, and where a profile names none."""
        return not self.vendors or vendor in ("", *self.vendors)

    def ideal(self) -> EngineRules:
        """The same rules of an engine whose own work takes no time."""
        quick = replace(self, start=0.0, pipeline_lag=0.0, balance=0.0)
        return replace(quick, host_step=0.0, host_sequence=0.0, host_ranks=0.0)

    def pool(self, capacity: float, weights: float) -> float:
        """Bytes of the KV pool of one device.

        Where the stated share leaves next to nothing beside the weights, it is raised until
        the pool gets the part `spare` of what the device has left: as operators do.
        """
        left = capacity - weights - self.overhead
        if self.of_free:
            return self.utilization * left
        return max(left - (1.0 - self.utilization) * capacity, self.spare * left)


@dataclass(frozen=True, slots=True)
class Carried:
    """What becomes of the coefficients on devices of a vendor whose kernels were not timed.

    `launch` and `start` multiply launches and the starts of collectives; `best_product` is the
    share of the peak that the best matrix product of any shape reaches; None: as the timed ones.
    """

    launch: float = 1.0
    start: float = 1.0
    best_product: float | None = None


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
_NETWORK: Final = Table(
    {
        "start": Field(Quantity("s"), "before the first byte", required=True),
        "per_doubling": Field(Quantity("s"), "per doubling of the devices", required=True),
        "second": Field(Quantity("s", low=0), "second synchronisation", required=True),
        "one_shot": Field(Number(0.01, 2.0), "rate over that of two shots", required=True),
        "share": Field(MapOf(_SHARE, ("scale_up", "pcie", "nic")), "of the link", required=True),
        "crowding": Field(Number(0.0, 4.0), "fall of the PCIe rate", required=True),
    },
    lambda v: NetworkFit(**v),
)
_SCHEMA: Final = Table(
    {
        "kinds": Field(MapOf(_KERNEL), "by operator kind", required=True),
        "network": Field(
            Table(
                {
                    "all_reduce": Field(_NETWORK, "sums", required=True),
                    "others": Field(_NETWORK, "gathers, exchanges, sends", required=True),
                }
            ),
            "collectives",
            required=True,
        ),
        "devices": Field(ListOf(Text()), "profiles whose kernels were timed", required=True),
        "best_product": Field(_SHARE, "of the timed devices' peaks", required=True),
        "carried": Field(
            MapOf(
                Table(
                    {
                        "launch": Field(Number(0.1, 10.0), "multiplier", required=True),
                        "start": Field(Number(0.1, 10.0), "of collectives", required=True),
                        "best_product": Field(_SHARE, "of the peak, where no profile says"),
                    },
                    lambda v: Carried(**v),
                )
            ),
            "devices of other vendors",
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


def _rules(v: dict[str, Any]) -> EngineRules:
    return EngineRules(
        utilization=v["memory"]["share"],
        of_free=v["memory"]["of_free"],
        spare=v["memory"]["spare"],
        overhead=v["memory"]["overhead"],
        chunk_tokens=v["chunk"],
        held_output=v["hold"],
        block_tokens=v["block"],
        max_num_seqs=v["max_num_seqs"],
        mixes_prefill=v["mixes"],
        launch_scale=v["launch"],
        eager_scale=v["eager"],
        start=v["start"],
        clump=v["queue"]["clump"],
        pipeline_lag=v["lag"],
        queue_random=v["queue"]["random"],
        queue_fixed=v["queue"]["fixed"],
        rank_coupling=v["coupling"],
        balance=v.get("balance", 0.0),
        wait_share=v["wait"],
        vendors=tuple(v.get("vendors", ())),
        kv_cache="" if v["kv_cache"] == "base" else v["kv_cache"],
        mxfp4="" if v["mxfp4"] == "base" else v["mxfp4"],
        prompt_share=v.get("products", {}).get("prompt_share", 1.0),
        short_sums=v.get("products", {}).get("short_sums", False),
        lane=v.get("products", {}).get("lane", math.inf),
        **{f"host_{name}": seconds for name, seconds in v.get("host", {}).items()},
        source=v["sources"][0]["title"],
    )


_ENGINES: Final = MapOf(
    Table(
        {
            "memory": Field(
                Table(
                    {
                        "share": Field(Number(0.01, 1.0), "share of memory", required=True),
                        "of_free": Field(Flag(), "of what the weights leave", required=True),
                        "spare": Field(Number(0.0, 1.0), "least part of the rest", True),
                        "overhead": Field(Quantity("B", low=0), "runtime", required=True),
                    }
                ),
                "budget of device memory",
                required=True,
            ),
            "kv_cache": Field(Text(("base", "fp8")), "format of the KV cache", required=True),
            "mxfp4": Field(Text(("base", "mxfp8")), "activations of MXFP4 weights", True),
            "products": Field(
                Table(
                    {
                        "prompt_share": Field(_SHARE, "of the libraries' rate", required=True),
                        "short_sums": Field(Flag(), "added up in 16 bits", required=True),
                        "lane": Field(Quantity("B/s"), "of one processor at one token"),
                    }
                ),
                "matrix products by kernels of the engine's own",
            ),
            "host": Field(
                Table(
                    {
                        "step": Field(Quantity("s", low=0), "of each", required=True),
                        "sequence": Field(Quantity("s", low=0), "of each one in it", True),
                        "ranks": Field(Quantity("s", low=0), "where processes share", True),
                    }
                ),
                "work of the host between decode steps",
            ),
            "vendors": Field(ListOf(Text()), "whose devices it runs on"),
            "hold": Field(Number(0.0, 1.0), "part of an answer that reserves cache", True),
            "block": Field(Number(1, 1e9, whole=True), "tokens per KV block", required=True),
            "chunk": Field(Number(1, 1e9, whole=True), "prompt tokens in a step", required=True),
            "max_num_seqs": Field(Number(1, 1e9, whole=True), "sequences at once", required=True),
            "mixes": Field(Flag(), "decode rides along with prefill", required=True),
            "launch": Field(Number(0.1, 50.0), "multiplier on launches", required=True),
            "eager": Field(Number(0.1, 50.0), "the same, with prompts", required=True),
            "start": Field(Quantity("s", low=0), "arrival to scheduling", required=True),
            "lag": Field(Number(0.0, 500.0), "decode steps before a first token", required=True),
            "queue": Field(
                Table(
                    {
                        "random": Field(Number(0.0, 1.0), "random lengths", required=True),
                        "fixed": Field(Number(0.0, 1.0), "equal lengths", required=True),
                        "clump": Field(Number(0.0, 50.0), "prompts met together", required=True),
                    }
                ),
                "share of prefill met in the queue",
                required=True,
            ),
            "coupling": Field(Number(0.0, 10.0), "prefills of other ranks", required=True),
            "balance": Field(Number(0.0, 500.0), "decode steps that ranks wait for each other"),
            "wait": Field(Number(0.0, 2.0), "share of Little's wait", required=True),
            "sources": Field(
                ListOf(
                    Table(
                        {
                            "title": Field(Text(), "what the source is called", required=True),
                            "url": Field(Text(), "its address"),
                            "checked": Field(Text(), "when"),
                        }
                    )
                ),
                "where the rules come from",
                required=True,
            ),
        },
        _rules,
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
        devices=tuple(values["devices"]),
        carried=values["carried"],
        best_product=values["best_product"],
    )
