"""`measure`: timing, refusal of noise, curves and the file they become, on a made-up machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from measure_fakes import BANDWIDTH, LAUNCH, PEAK, FakeBackend, seconds

from llmroof import estimate
from llmroof.cli.commands.measure import _names
from llmroof.cli.main import cli
from llmroof.errors import InputError
from llmroof.measure.backend import Device
from llmroof.measure.cases import SWEEPS, Case
from llmroof.measure.match import matching
from llmroof.measure.profile import Profile, measure_profile
from llmroof.measure.timing import Effort, Noisy, refuse_noise, sample, time_kernel
from llmroof.measure.write import profile_yaml
from llmroof.render.measurement import profile_document, profile_page
from llmroof.render.page import to_text
from llmroof.specs.hardware import load_hardware

QUICK = SWEEPS["quick"]


def profile(**changes: object) -> Profile:
    return measure_profile(FakeBackend(**changes), sweep=QUICK)  # type: ignore[arg-type]


def test_a_sample_is_the_median_with_its_interquartile_range() -> None:
    # quartiles of 1 2 3 4 100 are 2 and 4: a range of 2 over the median 3
    found = sample([100.0, 1.0, 3.0, 2.0, 4.0])
    assert (found.seconds, found.spread, found.runs) == (3.0, pytest.approx(2 / 3), 5)


def test_short_kernels_are_read_many_at_a_time_and_long_ones_twice() -> None:
    now, calls = [0.0], []

    def machine(each: float) -> object:
        def run(repeat: int) -> None:
            calls.append(repeat)
            now[0] += repeat * each

        return run

    effort = Effort(least=1e-3, budget=0.01, warm=0.002, fewest=3, most=5, long=4.0)
    found = time_kernel(machine(1e-6), lambda: now[0], effort)  # type: ignore[arg-type]
    assert found.seconds == pytest.approx(1e-6)
    assert calls[-1] == 1000  # 1 ms of kernels of 1 us in one reading
    assert found.runs == 5  # the budget would allow ten readings
    calls.clear()
    found = time_kernel(machine(10.0), lambda: now[0], effort)  # type: ignore[arg-type]
    assert (found.runs, calls) == (2, [1, 1])  # the first run is one of the readings


def test_noise_and_drift_are_refused_with_figures() -> None:
    refuse_noise(0.09, 1.0, 1.1)
    with pytest.raises(Noisy, match=r"spread by 25% around their median \(limit 10%\)"):
        refuse_noise(0.25, 1.0, 1.0)
    with pytest.raises(Noisy, match=r"the first kernel took \+30% at the end \(limit 15%\)"):
        refuse_noise(0.0, 1.0, 1.3)
    refuse_noise(0.25, 1.0, 1.2, limit=0.3)
    assert Noisy("").exit_code == 1


def test_a_noisy_machine_gets_no_profile() -> None:
    with pytest.raises(Noisy):
        profile(wobble=(1.0, 1.0, 2.0))


def test_the_curves_are_the_machine_that_was_timed() -> None:
    found = profile()
    surface = found.measured.gemm["bf16"]
    for i, inputs in enumerate(surface.inputs):
        for o, outputs in enumerate(surface.outputs):
            for r, rows in enumerate(surface.rows):
                case = Case("gemm", "bf16", int(rows), int(outputs), int(inputs))
                expected = case.flop / seconds(case)
                assert surface.rates[i][o][r] == pytest.approx(expected)
    assert found.measured.launch == pytest.approx(LAUNCH)
    assert found.measured.spread == 0.0
    assert found.compute["bf16"] < PEAK
    assert found.bandwidth < BANDWIDTH
    assert found.absent == ()


def test_a_precision_that_the_device_lacks_is_named_and_left_out() -> None:
    backend = FakeBackend(precisions=("bf16", "fp8"), missing=frozenset({"fp8"}))
    found = measure_profile(backend, sweep=QUICK)
    assert found.absent == ("fp8",)
    assert set(found.measured.gemm) == {"bf16"}
    with pytest.raises(InputError, match="none of fp8 can be multiplied on Made-up GPU here"):
        measure_profile(backend, precisions=["fp8"], sweep=QUICK)


def test_noise_is_seen_where_the_first_precision_does_not_run() -> None:
    backend = FakeBackend(
        precisions=("fp8", "bf16"), missing=frozenset({"fp8"}), wobble=(1.0, 2.0, 3.0)
    )
    with pytest.raises(Noisy, match="too noisy"):
        measure_profile(backend, sweep=QUICK)
    quiet = FakeBackend(precisions=("fp8", "bf16"), missing=frozenset({"fp8"}))
    found = measure_profile(quiet, sweep=QUICK)
    assert found.points[0].case == found.points[-1].case
    assert found.points[0].case.precision == "bf16"


def test_an_arithmetic_without_a_kernel_is_not_offered() -> None:
    with pytest.raises(InputError, match=r"'int8' is none of fp32, tf32, fp16, bf16, fp8$"):
        _names("bf16,int8")


def test_a_device_that_tells_no_cache_gets_a_profile_that_loads(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    device = replace(FakeBackend().device, cache=0.0)
    path.write_text(profile_yaml(profile(device=device), None), "utf-8")
    assert load_hardware(str(path)).memory.bandwidth > 0


def test_rows_too_slow_to_time_keep_the_last_rate() -> None:
    slow = replace(QUICK, rows=(1, 10**6), longest=1e-4)
    found = measure_profile(FakeBackend(), sweep=slow)
    for lines in found.measured.gemm["bf16"].rates:
        for few, many in lines:
            assert few == many
    assert not any(case.rows == 10**6 for case in [p.case for p in found.points])


def test_progress_comes_to_its_end() -> None:
    told: list[tuple[int, int, str]] = []
    measure_profile(FakeBackend(), sweep=QUICK, progress=lambda *one: told.append(one))
    done = [one[0] for one in told]
    assert done == sorted(done)
    assert told[-1][0] == told[-1][1]


def test_sums_over_devices_are_timed_where_there_are_several() -> None:
    def sums(sizes):  # type: ignore[no-untyped-def]
        return [sample([size * 1e-9 + 1e-5]) for size in sizes]

    sweep = replace(QUICK, messages=(1000, 10000))
    device = replace(FakeBackend().device, count=2)
    found = measure_profile(FakeBackend(device=device), sweep=sweep, sums=sums).measured.all_reduce
    assert found is not None
    assert (found.devices, found.at) == (2.0, (1000.0, 10000.0))
    assert found.times == pytest.approx((1.1e-5, 2e-5))


def test_sums_are_in_the_file_on_the_page_and_in_the_document(tmp_path: Path) -> None:
    """2 devices add up 10,000 bytes in 20 us: 500 MB/s of the message."""

    def sums(sizes):  # type: ignore[no-untyped-def]
        return [sample([size * 1e-9 + 1e-5]) for size in sizes]

    sweep = replace(QUICK, messages=(1000, 10000))
    device = replace(FakeBackend().device, count=2)
    found = measure_profile(FakeBackend(device=device), sweep=sweep, sums=sums)
    path = tmp_path / "mine.yaml"
    path.write_text(profile_yaml(found, None), "utf-8")
    read = load_hardware(str(path)).measured
    assert read is not None
    assert read.all_reduce is not None
    assert read.all_reduce.times == pytest.approx((1.1e-5, 2e-5))
    page = to_text(profile_page(found, None), 80)
    assert "sum over 2 " in page
    assert "500 MB/s" in page
    document = profile_document(found, None)
    assert document["schema"] == "llmroof.measurement/1"
    assert len(document["points"]) == len(found.points)


def test_what_was_not_measured_is_told_on_the_page() -> None:
    found = profile(precisions=("bf16", "fp8"), missing=frozenset({"fp8"}))
    text = " ".join(to_text(profile_page(found, None), 80).split())
    assert "Not measured, for PyTorch has no kernel: " in text
    assert "fp8" in text.partition("no kernel: ")[2]


def test_the_file_without_a_datasheet_is_a_profile_of_its_own(tmp_path: Path) -> None:
    found, path = profile(), tmp_path / "mine.yaml"
    path.write_text(profile_yaml(found, None), "utf-8")
    read = load_hardware(str(path))
    assert read.memory.bandwidth == pytest.approx(found.bandwidth, rel=1e-3)
    assert read.peak("bf16") == pytest.approx(found.compute["bf16"], rel=1e-3)
    source = read.source("memory.bandwidth")
    assert source is not None
    assert "no datasheet" in source.title
    assert read.measured is not None
    assert read.measured.versions == {"made": "up"}
    assert read.measured.gemm["bf16"].inputs == found.measured.gemm["bf16"].inputs
    answer = estimate(gpu=str(path), model="qwen3-0.6b", precision="bf16", input_len=16)
    assert float(answer.serving.ttft) > 0
    asked = ["--gpu", str(path), "--model", "qwen3-0.6b", "--precision", "bf16"]
    told = CliRunner().invoke(cli, ["estimate", *asked, "--format", "json"]).stdout
    assert "measured on this device itself" in told
    assert "llmroof measure on Made-up GPU (made up)" in told
    shown = CliRunner().invoke(cli, ["gpus", "show", str(path)]).stdout
    assert "Measured here" in shown
    assert "typical spread of readings 0.0%" in shown


def test_the_file_of_a_known_device_extends_its_datasheet(tmp_path: Path) -> None:
    base = load_hardware("h200-sxm")
    path = tmp_path / "mine.yaml"
    path.write_text(profile_yaml(profile(), base), "utf-8")
    read = load_hardware(str(path))
    assert read.memory.bandwidth == base.memory.bandwidth
    assert read.measured is not None
    assert read.measured.device == "Made-up GPU"


@pytest.mark.parametrize(
    ("name", "memory", "found"),
    [
        ("NVIDIA H200", 143771 * 2**20, "h200-sxm"),
        ("NVIDIA H100 80GB HBM3", 81559 * 2**20, "h100-sxm"),
        ("NVIDIA H100 PCIe", 81559 * 2**20, "h100-pcie"),
        ("NVIDIA A100-SXM4-80GB", 81920 * 2**20, "a100-sxm-80gb"),
        ("NVIDIA A100-PCIE-40GB", 40960 * 2**20, "a100-pcie-40gb"),
        ("NVIDIA GeForce RTX 4090", 24564 * 2**20, "rtx-4090"),
        ("NVIDIA L40S", 46068 * 2**20, "l40s"),
        ("NVIDIA L4", 23034 * 2**20, "l4"),
        ("Tesla T4", 15360 * 2**20, "t4"),
        ("AMD Instinct MI300X", 192 * 10**9, "mi300x"),
        ("NVIDIA H200", 20 * 2**30, None),  # a slice of one
        ("Graphics of tomorrow", 10**11, None),
    ],
)
def test_a_device_is_known_by_its_drivers_name(name: str, memory: float, found: str | None) -> None:
    from llmroof.specs.catalog import HARDWARE

    shipped = [load_hardware(stem) for stem in HARDWARE.files()]
    match = matching(Device("cuda", name, float(memory), 5e7), shipped)
    assert (match.id if match else None) == found


def test_part_of_a_socket_is_not_the_socket() -> None:
    shipped = [load_hardware("epyc-9654")]
    name = "AMD EPYC 9654 96-Core Processor"
    assert matching(Device("cpu", name, 1e12, 4e8, processors=96), shipped) == shipped[0]
    assert matching(Device("cpu", name, 1e12, 4e8, processors=8), shipped) is None
