"""PyTorch's side of `measure`, on a processor: what a device is told as, and what it cannot do."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmroof.measure import torch_backend
from llmroof.measure.cases import Case
from llmroof.measure.torch_collective import sums_of

torch = pytest.importorskip("torch")


@pytest.fixture
def backend() -> torch_backend.TorchBackend:
    return torch_backend.TorchBackend("cpu")


def pretend(backend: torch_backend.TorchBackend, kind: str, capability: tuple[int, int]) -> None:
    """Let the backend think that it runs on another kind of device."""
    backend.where = SimpleNamespace(type=kind)
    cuda = SimpleNamespace(get_device_capability=lambda where: capability)
    backend._torch = SimpleNamespace(cuda=cuda)


@pytest.mark.parametrize(
    ("kind", "capability", "precisions"),
    [
        ("cpu", (0, 0), ("fp32", "bf16")),
        ("mps", (0, 0), ("fp32", "fp16")),
        ("cuda", (7, 5), ("fp16",)),  # Turing has no bf16
        ("cuda", (8, 0), ("bf16",)),  # Ampere no fp8
        ("cuda", (8, 9), ("bf16", "fp8")),
        ("cuda", (9, 0), ("bf16", "fp8")),
    ],
)
def test_arithmetics_follow_the_units_of_the_device(
    backend: torch_backend.TorchBackend,
    kind: str,
    capability: tuple[int, int],
    precisions: tuple[str, ...],
) -> None:
    pretend(backend, kind, capability)
    assert backend.precisions == precisions


def test_what_no_kernel_does_is_left_out(
    backend: torch_backend.TorchBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums need several processes; a kernel that runs out of memory is a point less."""
    assert backend.prepare(Case("all_reduce", "bf16", size=1000)) is None
    assert backend.prepare(Case("graph", "bf16")) is None  # a processor has none

    def full(case: Case) -> Any:
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(torch_backend.TorchBackend, "_kernels", {"copy": full})
    assert backend.prepare(Case("copy", "bf16", size=10**15)) is None


@pytest.mark.parametrize(
    ("cuda", "mps", "best"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_the_best_device_is_taken(cuda: bool, mps: bool, best: str) -> None:
    fake = SimpleNamespace(
        cuda=SimpleNamespace(is_available=lambda: cuda),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps)),
    )
    assert torch_backend._best(fake) == best


@pytest.mark.parametrize(
    ("hip", "cache", "kind", "told"),
    [(None, 50e6, "cuda", 50e6), ("6.2", 0, "rocm", torch_backend._CACHE)],
)
def test_a_gpu_is_described_by_its_driver(
    hip: str | None, cache: float, kind: str, told: float
) -> None:
    properties = SimpleNamespace(
        name="A GPU", total_memory=8e9, L2_cache_size=cache, multi_processor_count=80
    )
    fake = SimpleNamespace(
        cuda=SimpleNamespace(
            get_device_properties=lambda where: properties, device_count=lambda: 4
        ),
        version=SimpleNamespace(hip=hip),
    )
    found = torch_backend._describe(fake, SimpleNamespace(type="cuda"))
    assert (found.kind, found.name, found.memory, found.cache) == (kind, "A GPU", 8e9, told)
    assert (found.count, found.processors) == (4, 80)


def test_the_last_level_is_the_largest_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_backend, "_SYSTEM", tmp_path)
    assert torch_backend._last_level() == torch_backend._CACHE  # nothing tells
    for index, text in enumerate(("32K", "1024K", "60M", "unknown")):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        (folder / "size").write_text(f"{text}\n")
    assert torch_backend._last_level() == 60 * 2**20


def test_a_system_that_tells_little_has_a_name_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def absent(self: Path, encoding: str = "") -> str:
        raise FileNotFoundError(str(self))

    monkeypatch.setattr(Path, "read_text", absent)
    assert torch_backend._driver() == ""
    assert torch_backend._processor_name() != ""


def test_sums_are_timed_between_gpus_only(backend: torch_backend.TorchBackend) -> None:
    assert sums_of(backend) is None
    for count, there in ((1, False), (2, True)):
        fake = SimpleNamespace(
            device=SimpleNamespace(count=count), where=SimpleNamespace(type="cuda")
        )
        assert (sums_of(fake) is not None) == there  # type: ignore[arg-type]


def test_a_matrix_in_fp8_is_itself_within_its_digits() -> None:
    """Three fraction bits: half a step of 1/8 over 1, so 1/16 of the value at most."""
    from llmroof.measure.torch_kernels import to_fp8

    torch.manual_seed(0)
    weight = torch.randn(16, 32)
    small, scales = to_fp8(weight)
    assert small.dtype == torch.float8_e4m3fn
    assert scales.shape == (1, 16)
    back = small.float() * scales.t()
    step = weight.abs().amax(dim=1, keepdim=True) / 448 * 2**-9  # below the smallest normal
    assert bool(((back - weight).abs() <= weight.abs() / 16 + step).all())
