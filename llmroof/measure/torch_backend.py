"""Kernels by PyTorch on CUDA, ROCm, MPS or the processor; from a graph where there are any."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from llmroof.errors import InputError
from llmroof.measure import torch_kernels as kernels
from llmroof.measure.backend import Device, Prepared
from llmroof.measure.cases import Case

if TYPE_CHECKING:
    import torch

#: a kernel reads as many copies of its matrix or cache as fill the last-level cache so often
_COLD: Final = 4
#: kernels of one graph, at least and at most
_GRAPH: Final = (16, 128)
#: work above which a graph holds few kernels, FLOP
_HEAVY: Final = 2e10
#: the last-level cache where no system file tells, bytes
_CACHE: Final = 3.2e7
_SYSTEM: Final = Path("/sys/devices/system/cpu/cpu0/cache")

Call = Callable[[int], Any]


def require_torch() -> None:
    """Raise InputError with the way to get it where PyTorch is missing."""
    try:
        import torch  # noqa: F401
    except ImportError:
        raise InputError(
            "measuring needs PyTorch: pip install 'llmroof[measure]' "
            "(or the build for your device from pytorch.org)"
        ) from None


class TorchBackend:
    """PyTorch on one device: `cuda`, `mps`, `cpu`; "" takes the best that is there."""

    def __init__(self, device: str = "", threads: int | None = None) -> None:
        require_torch()
        import torch

        torch.set_grad_enabled(False)
        if threads is not None:
            torch.set_num_threads(threads)
        self._torch = torch
        self.where = self._usable(device or _best(torch))
        self.device = _describe(torch, self.where)
        self._pools: dict[tuple[str, int], torch.Tensor] = {}
        torch.manual_seed(0)

    def _usable(self, asked: str) -> torch.device:
        try:
            where = self._torch.device(asked)
            self._torch.zeros(1, device=where)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            reason = str(error).splitlines()[0][:120]
            raise InputError(f"PyTorch cannot use the device '{asked}': {reason}") from None
        return where

    @property
    def versions(self) -> Mapping[str, str]:
        """PyTorch, Python, and the toolkit that PyTorch was built with."""
        version = self._torch.version
        found = {"torch": self._torch.__version__, "python": platform.python_version()}
        toolkits = {"cuda": version.cuda, "rocm": getattr(version, "hip", None)}
        return found | {name: text for name, text in toolkits.items() if text}

    @property
    def precisions(self) -> tuple[str, ...]:
        """fp32 and bf16 on a processor; bf16 (or fp16) and fp8 where a GPU has the units."""
        if self.where.type == "cpu":
            return ("fp32", "bf16")
        if self.where.type == "mps":
            return ("fp32", "fp16")
        major, minor = self._torch.cuda.get_device_capability(self.where)
        half = "bf16" if major >= 8 else "fp16"
        return (half, "fp8") if (major, minor) >= (8, 9) else (half,)

    def clock(self) -> float:
        """Seconds of a clock that never steps back."""
        return time.perf_counter()

    def wait(self) -> None:
        """Until the device has done all it was given."""
        if self.where.type == "cuda":
            self._torch.cuda.synchronize(self.where)
        elif self.where.type == "mps":
            self._torch.mps.synchronize()

    def prepare(self, case: Case) -> Prepared | None:
        """The kernel of a case, its matrices and caches rotated out of the processor's cache."""
        if case.kind == "all_reduce":
            return None  # needs a process per device: `torch_collective`
        if case.kind == "graph" and self.where.type != "cuda":
            return None
        try:
            call, copies = self._kernels[case.kind](case)
            if self.where.type == "cuda" and case.kind != "launch":
                return self._graph(call, copies, case)
            return self._eager(call)
        except (RuntimeError, NotImplementedError, AttributeError, KeyError):
            return None  # out of memory, or no such kernel here: the point is left out

    def _eager(self, call: Call) -> Prepared:
        turn = count()
        call(0)
        self.wait()

        def run(repeat: int) -> None:
            for _ in range(repeat):
                call(next(turn))
            self.wait()

        return Prepared(run)

    def _graph(self, call: Call, copies: int, case: Case) -> Prepared:
        """As many kernels as there are copies, captured once and replayed."""
        cuda = self._torch.cuda
        low, high = (2, 4) if case.flop > _HEAVY else _GRAPH
        unit = min(max(copies, low), high)
        side = cuda.Stream()
        side.wait_stream(cuda.current_stream())
        with cuda.stream(side):
            for turn in range(3):
                call(turn)
        cuda.current_stream().wait_stream(side)
        graph = cuda.CUDAGraph()
        with cuda.graph(graph):
            for turn in range(unit):
                call(turn)

        def run(repeat: int) -> None:
            for _ in range(repeat):
                graph.replay()
            self.wait()

        return Prepared(run, unit)

    def _random(self, *shape: int, precision: str = "fp32") -> torch.Tensor:
        kind = kernels.dtype("bf16" if precision == "fp8" else precision)
        return self._torch.randn(*shape, device=self.where, dtype=kind)

    def _cold(self, values: int, case: Case) -> tuple[torch.Tensor, int]:
        """A pool of values larger than the last-level cache, and how many copies it holds."""
        width = 2 if case.precision == "fp8" else case.width
        copies = max(1, min(256, int(_COLD * self.device.cache / (values * width)) + 1))
        key = (case.precision, 0)
        pool = self._pools.get(key)
        if pool is None or pool.numel() < values * copies:
            self._pools.clear()
            block = self._random(min(values * copies, 2**22), precision=case.precision)
            pool = block.repeat(-(-values * copies // block.numel()))
            self._pools[key] = pool
        return pool[: values * copies], copies

    def _gemm(self, case: Case) -> tuple[Call, int]:
        pool, copies = self._cold(case.n * case.k, case)
        weights: list[Any] = list(pool.view(copies, case.n, case.k))
        if case.precision == "fp8":
            weights = [kernels.to_fp8(weight) for weight in weights]
        rows = self._random(case.rows, case.k, precision=case.precision)
        return lambda turn: kernels.linear(rows, weights[turn % copies]), copies

    def _grouped(self, case: Case) -> tuple[Call, int]:
        matrices = self._random(case.experts, case.k, case.n, precision=case.precision)
        rows = self._random(case.rows * case.experts, case.k, precision=case.precision)
        steps = self._torch.arange(1, case.experts + 1, device=self.where) * case.rows
        ends = steps.to(self._torch.int32)
        return lambda _: kernels.grouped(rows, matrices, ends), 1

    def _prefill(self, case: Case) -> tuple[Call, int]:
        queries = self._random(1, case.heads, case.rows, case.head_dim, precision=case.precision)
        keys = self._random(1, case.kv_heads, case.rows, case.head_dim, precision=case.precision)
        values = keys.clone()
        return lambda _: kernels.attend(queries, keys, values), 1

    def _decode(self, case: Case) -> tuple[Call, int]:
        size = case.rows * case.kv_heads * case.keys * case.head_dim
        pool, copies = self._cold(2 * size, case)
        caches = pool.view(copies, 2, case.rows, case.kv_heads, case.keys, case.head_dim)
        shape = (case.rows, case.heads, 1, case.head_dim)
        queries = self._random(*shape, precision=case.precision)
        pairs = [(cache[0], cache[1]) for cache in caches]
        return lambda turn: kernels.attend(queries, *pairs[turn % copies]), copies

    def _norm(self, case: Case) -> tuple[Call, int]:
        rows = self._random(case.rows, case.n, precision=case.precision)
        rest, gain = rows.clone(), self._random(case.n, precision=case.precision)
        return lambda _: kernels.add_norm(rows, rest, gain), 1

    def _activation(self, case: Case) -> tuple[Call, int]:
        merged = self._random(case.rows, 2 * case.n, precision=case.precision)
        return lambda _: kernels.gate(merged), 1

    def _rotary(self, case: Case) -> tuple[Call, int]:
        shape = (case.heads, case.kv_heads, case.head_dim)
        width = (case.heads + 2 * case.kv_heads) * case.head_dim
        merged = self._random(1, case.rows, width, precision=case.precision)
        cosine = self._random(case.rows, case.head_dim // 2, precision=case.precision)
        keys = self._random(1, case.kv_heads, case.rows, case.head_dim, precision=case.precision)
        values = keys.clone()
        return lambda _: kernels.rotary(merged, cosine, cosine, keys, values, 0, shape), 1

    def _copy(self, case: Case) -> tuple[Call, int]:
        source = self._torch.zeros(case.size // 8, device=self.where)
        target = self._torch.zeros_like(source)
        return lambda _: target.copy_(source), 1

    def _read(self, case: Case) -> tuple[Call, int]:
        source = self._torch.zeros(case.size // 4, device=self.where)
        return lambda _: source.sum(), 1

    def _triad(self, case: Case) -> tuple[Call, int]:
        one = self._torch.zeros(case.size // 12, device=self.where)
        two, out = one.clone(), one.clone()
        return lambda _: self._torch.add(one, two, alpha=3.0, out=out), 1

    def _launch(self, case: Case) -> tuple[Call, int]:
        one = self._torch.zeros(1, device=self.where)
        return lambda _: one.add_(1.0), 1

    @property
    def _kernels(self) -> Mapping[str, Callable[[Case], tuple[Call, int]]]:
        return {
            "gemm": self._gemm,
            "grouped": self._grouped,
            "prefill": self._prefill,
            "decode": self._decode,
            "norm": self._norm,
            "rotary": self._rotary,
            "activation": self._activation,
            "copy": self._copy,
            "read": self._read,
            "triad": self._triad,
            "launch": self._launch,
            "graph": self._launch,
        }


def _best(torch: Any) -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _describe(torch: Any, where: Any) -> Device:
    if where.type == "cuda":
        found = torch.cuda.get_device_properties(where)
        hip = getattr(torch.version, "hip", None)
        return Device(
            kind="rocm" if hip else "cuda",
            name=found.name,
            memory=float(found.total_memory),
            cache=float(getattr(found, "L2_cache_size", 0) or _CACHE),
            count=torch.cuda.device_count(),
            driver=_driver(),
            processors=found.multi_processor_count,
        )
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if where.type == "mps":
        name = platform.processor() or "Apple GPU"
        return Device("mps", name, float(pages), _CACHE, driver=f"macOS {platform.mac_ver()[0]}")
    return Device(
        kind="cpu",
        name=_processor_name(),
        memory=float(pages),
        cache=_last_level(),
        driver=f"{platform.system()} {platform.release()}",
        threads=torch.get_num_threads(),
        processors=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
    )


def _driver() -> str:
    try:
        text = Path("/proc/driver/nvidia/version").read_text("utf-8")
        return text.partition("Kernel Module")[2].split("\n")[0].strip()
    except OSError:
        return ""


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _last_level() -> float:
    """Bytes of the largest cache of the first core, as Linux tells."""
    from llmroof import units

    sizes = [0.0]
    for file in _SYSTEM.glob("index*/size"):
        try:
            sizes.append(units.parse(file.read_text("utf-8").strip() + "iB", "B"))
        except (OSError, ValueError):
            continue
    return max(sizes) or _CACHE
