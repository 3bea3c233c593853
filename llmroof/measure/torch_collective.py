"""Sums over all devices of this machine, one process per device."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from llmroof import units
from llmroof.measure.timing import Effort, Sample, time_kernel

if TYPE_CHECKING:
    from llmroof.measure.profile import Sums
    from llmroof.measure.torch_backend import TorchBackend

_EFFORT: Final = Effort(least=0.0, budget=0.2, warm=0.0, fewest=7, most=7, long=60.0)
_HOST: Final = "127.0.0.1"


def sums_of(backend: TorchBackend) -> Sums | None:
    """What times sums over the GPUs present; None where there is one, or none."""
    count = backend.device.count
    if backend.where.type != "cuda" or count < 2:
        return None
    return lambda sizes: all_reduce(sizes, count, "nccl")


def all_reduce(sizes: Sequence[int], count: int, library: str) -> list[Sample]:
    """Seconds of a sum over `count` processes at each message size (bytes).

    `library` is nccl (one GPU per process) or gloo (processors). Every process runs the same
    number of sums, so that none waits for another.
    """
    import torch

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "times.json"
        given = (count, library, tuple(sizes), _free_port(), str(out))
        torch.multiprocessing.spawn(_worker, args=given, nprocs=count, join=True)
        return [Sample(*values) for values in json.loads(out.read_text("utf-8"))]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _worker(
    rank: int, count: int, library: str, sizes: tuple[int, ...], port: int, out: str
) -> None:
    """One process: all sums in step with the others; the first one writes the times."""
    import torch
    import torch.distributed as distributed

    os.environ |= {"MASTER_ADDR": _HOST, "MASTER_PORT": str(port)}
    where = torch.device("cuda", rank) if library == "nccl" else torch.device("cpu")
    if library == "nccl":
        torch.cuda.set_device(where)
    distributed.init_process_group(library, rank=rank, world_size=count)
    found = []
    for size in sizes:
        message = torch.ones(max(1, size // 2), device=where, dtype=torch.bfloat16)
        repeat = 50 if size < units.BINARY["Mi"] else 10

        def run(times: int, message: torch.Tensor = message, repeat: int = repeat) -> None:
            for _ in range(times * repeat):
                distributed.all_reduce(message)
            if library == "nccl":
                torch.cuda.synchronize()

        one = time_kernel(run, time.perf_counter, _EFFORT)
        found.append((one.seconds / repeat, one.spread, one.runs))
    if rank == 0:
        Path(out).write_text(json.dumps(found), "utf-8")
    distributed.destroy_process_group()
