"""`measure model`: depths, extrapolation and rows on a made-up runner; PyTorch where it is."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from builders import dense
from click.testing import CliRunner

from llmroof.cli.main import cli
from llmroof.errors import InputError, Unsupported
from llmroof.evidence.validate import validate
from llmroof.measure.model_run import Pass, depths, measure_model, rows_csv
from llmroof.measure.timing import Noisy, Sample
from llmroof.measure.torch_decoder import families, require_kinds
from llmroof.models.load import load_model
from llmroof.models.model import Model

MODEL = dense(layers=8)


class FakeRunner:
    """Passes of 1 s plus 0.1 s (decode: 0.01 s) per layer and sequence."""

    method = "made up"

    def __init__(self, memory: float = 1e12, spread: float = 0.01, most: int = 10**9) -> None:
        self.memory, self.spread, self.most = memory, spread, most
        self.built: list[int] = []

    def build(self, model: Model, precision: str, layers: int) -> None:
        self.built.append(layers)

    def prefill(self, batch: int, context: int) -> Pass | None:
        if batch * context > self.most:
            return None
        return self._pass(1.0 + 0.1 * self.built[-1] * batch)

    def decode(self, batch: int, context: int) -> Pass | None:
        return self._pass(1.0 + 0.01 * self.built[-1] * batch)

    def _pass(self, seconds: float) -> Pass:
        return Pass(Sample(seconds, self.spread, 3), {"gemm": seconds / 2})


def run(runner: FakeRunner, **changes: Any) -> list[dict[str, Any]]:
    asked: dict[str, Any] = {
        "name": "m.yaml",
        "hardware": "h.yaml",
        "precision": "bf16",
        "batches": [1, 4],
        "contexts": [64],
    }
    return measure_model(runner, MODEL, **(asked | changes))


def test_rows_hold_what_validate_asks() -> None:
    runner = FakeRunner()
    first, second = run(runner)
    assert runner.built == [8]
    assert (first["batch"], first["input_len"], first["output_len"]) == (1, 64, 2)
    assert first["ttft_s"] == pytest.approx(1.8)
    assert second["tpot_s"] == pytest.approx(1.32)
    assert second["decode_gemm_s"] == pytest.approx(0.66)
    assert first["spread_ttft_s"] == 0.01
    table = list(csv.DictReader(io.StringIO(rows_csv([first, second]))))
    assert [row["ttft_s"] for row in table] == ["1.8", "4.2"]


def test_what_does_not_fit_is_extrapolated_by_the_difference_of_a_layer() -> None:
    """2 and 4 of 8 layers of a linear machine give what 8 layers take, exactly."""
    whole = depths(MODEL, "bf16", 4, 64, 1e12)
    assert whole == (8,)
    memory = next(m for m in range(2000, 10**6, 500) if _depths(m) == (2, 4))
    runner = FakeRunner(memory=memory)
    (row,) = run(runner, batches=[4])
    assert runner.built == [2, 4]
    assert row["ttft_s"] == pytest.approx(4.2)
    assert row["prefill_gemm_s"] == pytest.approx(2.1)
    assert "2 and 4 of 8 layers" in row["source"]
    assert row["layers"] == "2+4"


def test_points_that_do_not_fit_beside_the_model_are_left_out() -> None:
    memory = next(m for m in range(2000, 10**6, 500) if _depths(m) == (2, 4))
    rows = run(FakeRunner(memory=2 * memory), batches=[1, 1000])
    assert [row["batch"] for row in rows] == [1]


def _depths(memory: float) -> tuple[int, ...]:
    try:
        return depths(MODEL, "bf16", 4, 64, memory)
    except InputError:
        return ()


def test_too_little_memory_is_said() -> None:
    with pytest.raises(InputError, match="does not fit: two groups of 1 layers with batch 4"):
        run(FakeRunner(memory=100.0), batches=[4])


def test_asked_layers_are_not_extrapolated() -> None:
    runner = FakeRunner()
    first, _ = run(runner, layers=3)
    assert runner.built == [3]
    assert first["ttft_s"] == pytest.approx(1.3)
    assert "3 of 8 layers" in first["source"]


def test_points_that_do_not_fit_leave_their_cell_empty() -> None:
    first, second = run(FakeRunner(most=64))
    assert "ttft_s" in first
    assert "ttft_s" not in second
    assert "tpot_s" in second
    assert "ttft_s" not in run(FakeRunner(), longest_prefill=64)[1]
    assert rows_csv([first, second]).splitlines()[2].count(",,") >= 1


def test_noise_is_refused() -> None:
    with pytest.raises(Noisy, match="passes spread by 50%"):
        run(FakeRunner(spread=0.5))


def test_families_of_a_watched_pass_are_scaled_to_the_unwatched_one() -> None:
    assert families({"gemm": 3.0, "attention": 1.0}, 2.0) == {"gemm": 1.5, "attention": 0.5}
    assert families({}, 2.0) == {}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mamba-2.8b", "cannot build Mamba 2.8B: no kernel for Mamba"),
        ("deepseek-v3.2", "no kernel for indexer|keys picked by an indexer"),
    ],
)
def test_blocks_without_a_kernel_are_named(name: str, words: str) -> None:
    with pytest.raises(Unsupported, match=words):
        require_kinds(load_model(name))


@pytest.mark.parametrize("name",
    ["llama-3.1-8b", "qwen3-14b", "qwen3-30b-a3b", "gemma-3-4b", "olmo-2-7b", "gpt-oss-20b",
     "deepseek-v3", "kimi-k2"],
)  # fmt: skip
def test_models_of_these_kinds_can_be_built(name: str) -> None:
    require_kinds(load_model(name))


HEADS = "{kind: attention, heads: 4, kv_heads: 2, head_dim: 8, "
SLIDING = HEADS + "window: 16}"
LATENT = "{kind: mla, heads: 4, kv_lora: 24, nope: 8, rope: 4, v_head_dim: 6"


def spec(folder: Path, ffn: str, full: str = HEADS + "qk_norm: head}", other: str = SLIDING) -> str:
    path = folder / "tiny.yaml"
    path.write_text(
        "name: Tiny\nfamily: llama\nhidden: 32\nvocab: 64\nmax_context: 512\nblocks:\n"
        f"  attention: {full}\n  sliding: {other}\n"
        f"  ffn: {ffn}\nlayers:\n  - {{count: 1, blocks: [attention, ffn]}}\n"
        "  - {count: 1, blocks: [sliding, ffn]}\n"
        "head: {tied: false}\nprecision: bf16\nsources: [{title: made up}]\n",
        "utf-8",
    )
    return str(path)


FFN = {
    "dense": "{kind: mlp, intermediate: 64}",
    "routed": "{kind: moe, intermediate: 32, experts: 4, top_k: 2}",
    "routed and shared": "{kind: moe, intermediate: 32, experts: 4, top_k: 2, shared: 48}",
}


LAYERS = {
    "dense": (FFN["dense"],),
    "routed": (FFN["routed"],),
    "norms over all heads": (FFN["dense"], HEADS + "qk_norm: full}"),
    "latent": (FFN["dense"], LATENT + ", q_lora: 16}", LATENT + "}"),
}


@pytest.mark.parametrize("parts", LAYERS.values(), ids=LAYERS)
def test_a_decoder_decodes_what_it_would_have_prefilled(
    tmp_path: Path, parts: tuple[str, ...]
) -> None:
    """Scores of the last position are the same in one pass and token by token.

    Latent attention expands keys and values for a prompt and absorbs them for a token.
    """
    torch = pytest.importorskip("torch")
    from llmroof.measure.torch_decoder import Decoder

    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    model = load_model(spec(tmp_path, *parts))
    decoder = Decoder(model, "fp32", torch.device("cpu"), 2, lambda: None)
    assert _parameters(decoder) == pytest.approx(model.parameters, rel=0.02)
    tokens = torch.randint(64, (3, 24))
    decoder.allot(3, 24)
    whole = decoder(tokens, 0)
    decoder.allot(3, 24)
    decoder(tokens[:, :20], 0)
    for place in range(20, 24):
        last = decoder(tokens[:, place : place + 1], place)
    assert whole.shape == (3, 64)
    assert torch.allclose(whole, last, atol=1e-4)


def _parameters(decoder: Any) -> int:
    import torch

    def count(value: Any) -> int:
        if isinstance(value, torch.Tensor):
            return value.numel()
        items = value.values() if isinstance(value, dict) else value
        return (
            sum(count(one) for one in items)
            if isinstance(items, list | tuple) or isinstance(value, dict)
            else 0
        )

    layers = sum(count(parts) for blocks in decoder.layers for _, parts in blocks)
    return int(layers + decoder.table.numel() + decoder.head.numel())


def test_profile_and_model_by_the_command_line(tmp_path: Path) -> None:
    """A quick sweep, its chart and points, then a tiny model, read by validate."""
    pytest.importorskip("torch")
    profile, rows = tmp_path / "mine.yaml", tmp_path / "rows.csv"
    common = ["--device", "cpu", "--threads", "1", "--max-spread", "999"]
    asked = ["measure", "-o", str(profile), "--sweep", "quick", "--precision", "fp32", *common]
    asked += ["--plot", str(tmp_path / "roof.png"), "--points", str(tmp_path / "points.csv")]
    done = CliRunner().invoke(cli, asked)
    assert done.exit_code == 0, done.output
    assert "products in fp32" in done.output
    assert (tmp_path / "roof.png").stat().st_size > 10_000
    assert "gemm,fp32,16,96,64" in (tmp_path / "points.csv").read_text("utf-8")
    model = spec(tmp_path, FFN["dense"])
    asked = ["measure", "model", "--model", model, "-o", str(rows), "--gpu", str(profile)]
    asked += ["--batch", "1,2", "--context", "16,32", "--precision", "fp32", *common]
    done = CliRunner().invoke(cli, asked)
    assert done.exit_code == 0, done.output
    frame = validate(rows)
    assert list(frame["error"]) == [""] * 4
    assert (frame["predicted_ttft_s"] > 0).all()
    assert (frame["prefill_gemm_s"] < frame["ttft_s"]).all()
    chart = str(tmp_path / "points.png")
    done = CliRunner().invoke(cli, ["validate", str(rows), "--roofline", chart])
    assert done.exit_code == 0, done.output
    assert Path(chart).stat().st_size > 10_000


def test_a_pass_without_memory_is_a_point_less_and_other_faults_are_told(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from llmroof.measure.torch_backend import TorchBackend
    from llmroof.measure.torch_runner import TorchRunner

    runner = TorchRunner(TorchBackend("cpu"))
    runner.build(load_model(spec(tmp_path, FFN["dense"])), "fp32", 1)

    def failing(words: str) -> Any:
        def allot(batch: int, capacity: int) -> None:
            raise RuntimeError(words)

        return allot

    assert runner.decoder is not None
    runner.decoder.allot = failing("CUDA out of memory")  # type: ignore[method-assign]
    assert runner.prefill(1, 16) is None
    runner.decoder.allot = failing("no such kernel")  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="no such kernel"):
        runner.prefill(1, 16)


def test_no_point_at_all_is_said() -> None:
    class Nothing(FakeRunner):
        def decode(self, batch: int, context: int) -> Pass | None:
            return None

    with pytest.raises(InputError, match="no point fits on this device: ask for smaller"):
        run(Nothing(most=1))


def test_progress_tells_every_pass() -> None:
    told: list[tuple[int, int, str]] = []
    run(FakeRunner(), progress=lambda *one: told.append(one))
    assert told == [(1, 2, "batch 1 x 64 tokens"), (2, 2, "batch 4 x 64 tokens")]


def test_sums_between_processes() -> None:
    torch = pytest.importorskip("torch")
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        pytest.skip("PyTorch without gloo")
    from llmroof.measure.torch_collective import all_reduce

    small, large = all_reduce([1000, 100000], 2, "gloo")
    assert small.seconds > 0
    assert large.seconds > 0


def test_without_pytorch_the_way_to_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    done = CliRunner().invoke(cli, ["measure", "-o", "nowhere.yaml"])
    assert done.exit_code == 2
    assert "measuring needs PyTorch: pip install 'llmroof[measure]'" in done.output


def test_unknown_precisions_are_refused(tmp_path: Path) -> None:
    asked = ["measure", "model", "--model", "llama-3.2-1b", "-o", str(tmp_path / "x.csv")]
    done = CliRunner().invoke(cli, [*asked, "--precision", "fp5"])
    assert done.exit_code == 2
    assert "'fp5' is none of fp32" in done.output


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (f"--layers=1{'0' * 30}", "is not in the range 1<=x<="),
        (f"--threads=1{'0' * 30}", "is not in the range 1<=x<="),
        (f"--longest-prefill=1{'0' * 30}", "is not in the range 1<=x<="),
        ("--max-spread=nan", "nan is no number"),
    ],
)
def test_numbers_out_of_range_are_refused_before_anything_is_timed(
    tmp_path: Path, option: str, message: str
) -> None:
    asked = ["measure", "model", "--model", "gpt2", "-o", str(tmp_path / "x.csv"), option]
    done = CliRunner().invoke(cli, asked)
    assert done.exit_code == 2
    assert message in done.stderr


def test_rows_of_a_device_that_nobody_knows_are_not_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["measure", "model", "--model", "gpt2", "-o", "x.csv"]
    done = CliRunner().invoke(cli, asked)
    assert done.exit_code == 2
    assert done.stderr == (
        "Error: --gpu: no such GPU file: 'measured.yaml'; llmroof measure writes it\n"
    )
    done = CliRunner().invoke(cli, [*asked, "--gpu", "h100-sxn"])
    assert done.exit_code == 2
    assert "unknown GPU 'h100-sxn'; did you mean 'h100-sxm'?" in done.stderr


@pytest.mark.parametrize("device", ["no such thing", "cuda:99"])
def test_a_device_that_pytorch_cannot_use_is_named(tmp_path: Path, device: str) -> None:
    pytest.importorskip("torch")
    asked = ["measure", "-o", str(tmp_path / "x.yaml"), "--device", device]
    done = CliRunner().invoke(cli, asked)
    assert done.exit_code == 2
    assert f"PyTorch cannot use the device '{device}': " in done.stderr
    assert len(done.stderr.splitlines()) == 1
