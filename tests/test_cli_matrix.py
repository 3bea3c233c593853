"""Every command and every option: valid, missing, of the wrong kind, out of range.

The cases come from the command tree itself, so that a new option is tried without being
named here; only text options whose every value is a question of its own are listed.
Contradictions and the world outside (disks, pipes, terminals) follow.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from llmroof.cli.main import cli
from llmroof.cli.types import Numbers

ROOT = Path(__file__).resolve().parent.parent
ROWS = "model,hardware,batch,input_len,output_len,tpot_s\ngpt2,a100,1,64,16,0.01\n"
PLAN = "baseline: false\nscenarios: {a: {model: gpt2, gpu: a100, batch: 2, assert: fits}}\n"
#: what a command needs to be asked at all; the files are made for each test
BASE: dict[str, list[str]] = {
    "plot": ["-o", "base.png"],
    "report": ["-o", "base.html"],
    "recommend": ["--gpu", "l4", "--model", "gpt2"],
    "compare": ["a100", "h100"],
    "validate": ["rows.csv"],
    "check": ["plan.yaml"],
    "calibrate": ["rows.csv", "-o", "fitted.yaml"],
    "measure model": ["--model", "gpt2", "-o", "rows-of-mine.csv"],
    "gpus show": ["a100"],
    "gpus check": ["a100"],
    "gpus compare": ["a100", "h100"],
    "models show": ["gpt2"],
    "models import": ["gpt2"],
}
#: commands that time this machine, open a port or fit: their valid options are tested with them
RUNNING = ("measure", "serve", "calibrate", "fit")
#: options that stand for a file to write
FILES = ("output", "plot", "html", "roofline", "points")
#: text options -> a value they take; of all other options the type tells
VALID = {
    "model": "gpt2",
    "draft_model": "gpt2",
    "gpu": "a100",
    "gpus": "a100",
    "precision": "bf16",
    "weights": "bf16",
    "activations": "bf16",
    "kv_cache_dtype": "bf16",
    "engine": "vllm",
    "where": "fits",
    "by": "tpot_s",
    "pareto": "tpot_s,ttft_s",
    "columns": "tpot_s",
    "price": "2.5",
    "power": "300",
    "gpu_memory_utilization": "0.9",
    "prefix_hit_rate": "0.5",
    "allow": "added",
    "attention": "flash",
    "fusion": "fused",
    "specs": str(ROOT),
    "calibrate_with": "tpot=1ms",
    "transfer_bandwidth": "50 GB/s",
    "tp": "1",
    "ep": "1",
}
#: (command, option) that needs others beside it to mean anything -> these
BESIDE: dict[tuple[str, str], list[str]] = {
    ("sweep", "top"): ["--by", "tpot_s"],
    ("sweep", "by"): ["--top", "2"],
    ("sweep", "load"): ["-c", "2"],
    ("sweep", "random_lengths"): ["-c", "2"],
    ("sweep", "weights"): ["--gpu", "a100"],
    ("sweep", "chart"): ["--plot", "base.png"],
    ("", "routing_skew"): ["--model", "gpt-oss-20b"],
    ("compare", "gpu"): ["tp=2"],
    ("", "load"): ["-c", "2"],
    ("", "random_lengths"): ["-c", "2"],
    ("", "speculative_tokens"): ["--acceptance-rate", "0.5"],
    ("", "acceptance_rate"): ["--speculative-tokens", "2"],
    ("", "prefill_workers"): ["--disaggregated"],
    ("", "decode_workers"): ["--disaggregated"],
    ("", "prefill_tp"): ["--disaggregated"],
    ("", "prefill_pp"): ["--disaggregated"],
    ("", "prefill_dp"): ["--disaggregated"],
    ("", "prefill_ep"): ["--disaggregated"],
    ("", "transfer_bandwidth"): ["--disaggregated"],
    ("", "transfer_overlap"): ["--disaggregated"],
    ("", "draft_model"): ["--speculative-tokens", "2", "--acceptance-rate", "0.5"],
}
#: text options that take any text, or read files of their own: wrong values are elsewhere
FREE = {"file", "heat", "title", "gpu compare"}
#: options without a valid value of their own here: tested where their feature is
ELSEWHERE = {"file", "heat", "measured", "expect", "sort", "where gpus", "where models",
             "by check"}  # fmt: skip
TEXT = (click.types.StringParamType, click.types.FuncParamType)


def commands(group: click.Command = cli, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """(name, command) of everything that can be called."""
    if not isinstance(group, click.Group):
        yield path, group
        return
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        yield from commands(command, f"{path} {name}".strip())
    if path and group.invoke_without_command:
        yield path, group


def options() -> list[tuple[str, click.Option]]:
    return [
        (name, param)
        for name, command in commands()
        for param in command.params
        if isinstance(param, click.Option) and param.name != "help"
    ]


VALUED = [(name, option) for name, option in options() if not option.is_flag]
NUMERIC = [
    (name, option)
    for name, option in VALUED
    if isinstance(option.type, click.types.IntParamType | click.types.FloatParamType)
    or type(option.type).__name__ in ("Numbers", "Decimals", "Contexts")
]


def ident(value: object) -> str:
    return value.opts[0] if isinstance(value, click.Option) else str(value)


def run(args: list[str]) -> Result:
    return CliRunner().invoke(cli, args)


def base(name: str, option: click.Option) -> list[str]:
    """The command's call without the option that is tried."""
    own = BASE.get(name, [])
    if option.opts and any(flag in own for flag in option.opts):
        at = next(i for i, arg in enumerate(own) if arg in option.opts)
        own = own[:at] + own[at + 2 :]
    return [*name.split(), *own]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that some commands read, and nothing else."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text(ROWS)
    (tmp_path / "plan.yaml").write_text(PLAN)
    return tmp_path


def files() -> list[str]:
    """What lies in the folder beside that."""
    return sorted({path.name for path in Path().iterdir()} - {"rows.csv", "plan.yaml"})


def refused(args: list[str]) -> str:
    """The one line of a question that cannot be asked, checked to be all that happened."""
    result = run(args)
    assert result.exit_code == 2, f"{args}: exit code {result.exit_code}\n{result.output[:500]}"
    assert result.stdout == "", args
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("Error: ")
    assert "unexpected " not in lines[0].replace("unexpected extra", "")
    assert files() == [], args
    return lines[0]


# --- the matrix -----------------------------------------------------------------------


@pytest.mark.parametrize(("name", "option"), VALUED, ids=ident)
def test_a_missing_value(name: str, option: click.Option) -> None:
    for flag in option.opts:
        assert "requires an argument" in refused([*base(name, option), flag])


@pytest.mark.parametrize(("name", "option"), VALUED, ids=ident)
def test_a_wrong_kind_of_value(name: str, option: click.Option) -> None:
    """Words where numbers are due, names that nobody has, text that is no text."""
    if option.name in FREE or f"{option.name} {name}" in FREE:
        return
    line = refused([*base(name, option), option.opts[0], "zzz/\u2028no such thing?"])
    assert line.isprintable()


@pytest.mark.parametrize(("name", "option"), NUMERIC, ids=ident)
def test_a_number_out_of_range(name: str, option: click.Option) -> None:
    whole = isinstance(option.type, click.types.IntParamType | Numbers)
    for value in ("-1", "nan", "1" + "0" * 30) if whole else ("-1", "nan", "inf", "1e999"):
        refused([*base(name, option), f"{option.opts[-1]}={value}"
                 if option.opts[-1].startswith("--") else option.opts[-1] + value])  # fmt: skip


def valid(option: click.Option, name: str) -> str | None:
    """A value the option takes; None where this file knows none."""
    if option.name in ELSEWHERE or f"{option.name} {name}" in ELSEWHERE:
        return None
    if name.startswith("measure"):
        return None  # needs PyTorch and a stopwatch: test_measure_model
    if isinstance(option.type, click.Choice):
        return str(option.type.choices[0])
    if option.name in VALID:
        return VALID[option.name]
    if isinstance(option.type, TEXT):
        return None
    return "0.5" if isinstance(option.type, click.types.FloatParamType) else "1"


#: commands that draw or make a page, a second each: of these, options that no other has
SLOW = ("plot", "report")
OTHERS = {option.name for name, option in options() if name not in SLOW}
#: every option of every command, but for those
TRIED = [
    (name, option)
    for name, option in options()
    if (name not in SLOW or option.name not in OTHERS)
    and option.name not in (*FILES, "force", "update", "resume", "roofline")
    and not name.startswith(RUNNING)
]


@pytest.mark.parametrize(("name", "option"), TRIED, ids=ident)
def test_a_valid_value(name: str, option: click.Option) -> None:
    """Answered, in whatever form; nothing is written unasked."""
    args = [option.opts[0]]
    if not option.is_flag:
        value = valid(option, name)
        if value is None:
            pytest.skip("tested with its feature")
        args.append(value)
    beside = BESIDE.get((name, str(option.name)), BESIDE.get(("", str(option.name)), []))
    plain = name in ("sweep", "estimate") and option.name != "model" and "--model" not in beside
    small = ["--model", "gpt2"] if plain else []
    result = run([*base(name, option), *args, *beside, *small])
    assert result.exit_code in (0, 1), result.output[-500:]
    assert "Error" not in result.stderr
    assert set(files()) <= {"base.png", "base.html"}


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_what_no_command_knows(name: str) -> None:
    own = [*name.split(), *BASE.get(name, [])]
    assert "No such option" in refused([*own, "--no-such-option"])
    if name in ("compare", "check", "gpus compare"):
        return  # take any number of arguments
    assert "rror: " in refused([*own, "one", "two", "three"])


@pytest.mark.parametrize(
    "args",
    [
        ["estimate", "-b", "4", "-c", "4"],
        ["estimate", "-c", "4", "-r", "2"],
        ["estimate", "-b", "4", "-r", "2"],
        ["estimate", "--load", "burst"],
        ["estimate", "--random-lengths"],
        ["estimate", "--acceptance-rate", "0.5"],
        ["estimate", "--draft-model", "gpt2"],
        ["estimate", "--num-gpus", "4", "--tp", "3"],
        ["estimate", "--num-gpus", "2", "--tp", "2", "--pp", "2"],
        ["estimate", "--tp", "3"],
        ["estimate", "--gpu", "a100", "--precision", "fp8"],
        ["estimate", "--limit", "--calibrate-with", "tpot=10ms"],
        ["estimate", "-b", "1,2", "--calibrate-with", "tpot=10ms"],
        ["estimate", "--calibrate-with", "tpot=10ms,tpot=11ms"],
        ["estimate", "--isl", "131072", "--osl", "1"],
        ["estimate", "-c", "4", "--chunked-prefill", "64"],
        ["estimate", "-b", "9", "--max-num-seqs", "8"],
        ["estimate", "--routing-skew", "1"],
        ["sweep", "-b", "4", "--load", "burst"],
        ["sweep", "-b", "4", "--random-lengths"],
        ["sweep", "-r", "4", "--chunked-prefill", "64"],
        ["sweep", "--chart", "heat"],
        ["layers", "-b", "1,2"],
        ["explain", "--isl", "1,2"],
        ["sweep", "-b", "1", "-c", "1"],
        ["sweep", "--top", "2"],
        ["sweep", "--by", "tpot_s"],
        ["sweep", "--top", "2", "--by", "tpot_s", "--pareto", "tpot_s,ttft_s"],
        ["sweep", "--by", "model", "--top", "2"],
        ["sweep", "--format", "parquet"],
        ["sweep", "--heat", "batch,tpot_s", "--plot", "x.png"],
        ["sweep", "--axes", "none.yaml"],
        ["recommend", "-r", "2", "-c", "2"],
        ["compare", "a100"],
        ["check", "plan.yaml", "--expect", "tpot_s: mape < 1"],
        ["check", "--update"],
        ["validate", "rows.csv", "--by", "nothing"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_contradictions(args: list[str]) -> None:
    refused(args)


# --- files ----------------------------------------------------------------------------

WRITING = [
    (name, param)
    for name, command in commands()
    for param in command.params
    if param.name in FILES and name != "report" and not name.startswith(RUNNING)
]


@pytest.mark.parametrize(("name", "option"), WRITING, ids=ident)
@pytest.mark.parametrize("place", ["gone/x{end}", "rows.csv/x{end}", ".", "x\0{end}", "kept{end}",
                                   "/proc/x{end}"])  # fmt: skip
def test_a_file_that_cannot_be_written(name: str, option: click.Option, place: str) -> None:
    """No folder, a file for a folder, a folder for a file, no name; one that exists is kept.

    In /proc nobody can make a file, root included: a folder that is read only.
    """
    chart = option.name in ("plot", "roofline") or name == "plot"
    end = ".png" if chart else ".json"
    if place == "kept{end}":
        Path(f"kept{end}").write_text("mine")
    result = run([*base(name, option), option.opts[0], place.format(end=end)])
    assert result.exit_code == 2, result.output[:300]
    assert len(result.stderr.splitlines()) == 1
    assert files() == ([f"kept{end}"] if place == "kept{end}" else [])
    if place == "kept{end}":
        assert "--force" in result.stderr
        assert Path(f"kept{end}").read_text() == "mine"


@pytest.mark.parametrize("args", [["estimate"], ["sweep", "--model", "gpt2"], ["gpus"],
                                  ["check", "plan.yaml"]], ids=" ".join)  # fmt: skip
def test_a_disk_that_fills_up_keeps_the_old_file(
    args: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer takes the place of the old file in one step, or not at all."""
    Path("old.json").write_text("mine")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    monkeypatch.setattr(Path, "replace", full)
    result = run([*args, "-o", "old.json", "--force"])
    assert result.exit_code == 2
    assert "No space left on device" in result.stderr
    assert Path("old.json").read_text() == "mine"
    assert files() == ["old.json"]


#: commands that write to whatever -o names
PLAIN = [["estimate"], ["layers"], ["explain"], ["kv"], ["sweep", "--format", "csv"], ["gpus"],
         ["advise", "--model", "gpt2"], ["compare", "l4", "t4"], ["validate", "rows.csv"],
         ["recommend", "--gpu", "l4", "--model", "gpt2"], ["check", "plan.yaml"]]  # fmt: skip


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("args", PLAIN, ids=" ".join)
def test_a_device_is_written_to_and_stays_one(args: list[str]) -> None:
    """No --force is due, for nothing is lost; a full one says so."""
    for force in ([], ["--force"]):
        done = run([*args, "-o", "/dev/null", *force])
        assert done.exit_code in (0, 1), done.output
        assert done.stdout == ""
        assert "Error" not in done.stderr
        full = run([*args, "-o", "/dev/full", *force])
        assert (full.exit_code, full.stdout) == (2, "")
        assert full.stderr == "Error: cannot write '/dev/full': No space left on device\n"
    assert Path("/dev/null").is_char_device()
    assert Path("/dev/full").is_char_device()
    assert files() == []


@pytest.mark.skipif(sys.platform == "win32", reason="links of POSIX")
@pytest.mark.parametrize("args", [["estimate"], ["sweep", "--format", "csv"],
                                  ["plot", "--model", "gpt2"]], ids=" ".join)  # fmt: skip
def test_a_link_stays_one(args: list[str]) -> None:
    """What it names is overwritten, on purpose only."""
    end = ".png" if args[0] == "plot" else ".csv"
    Path(f"real{end}").write_text("mine")
    Path(f"link{end}").symlink_to(f"real{end}")
    assert run([*args, "-o", f"link{end}"]).exit_code == 2
    assert Path(f"real{end}").read_text() == "mine"
    done = run([*args, "-o", f"link{end}", "--force"])
    assert done.exit_code == 0, done.output
    assert Path(f"link{end}").is_symlink()
    assert len(Path(f"real{end}").read_bytes()) > 100
    assert files() == [f"link{end}", f"real{end}"]


def test_a_baseline_is_written_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("pin.yaml").write_text(PLAN.replace("baseline: false\n", ""))
    assert run(["check", "pin.yaml", "--update"]).exit_code == 0
    before = Path("pin.lock.csv").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    Path("pin.yaml").write_text(PLAN.replace("baseline: false\n", "").replace("2", "4"))
    monkeypatch.setattr(os, "replace", full)
    result = run(["check", "pin.yaml", "--update"])
    assert result.exit_code == 2
    assert Path("pin.lock.csv").read_bytes() == before
    assert files() == ["pin.lock.csv", "pin.yaml"]


@pytest.mark.parametrize(
    "path",
    [r"C:\models\mine.yaml", r"..\specs\mine.yaml", r"\\server\share\config.json", "C:mine.yaml"],
)
def test_windows_paths(path: str) -> None:
    for option in ("--gpu", "--model"):
        assert "mine.yaml" in refused(["estimate", option, path]) or "config.json" in path


# --- pipes, interrupts and terminals --------------------------------------------------


def process(*args: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    keep = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON") or k == "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-m", "llmroof", *args],
        env={**keep, "PYTHONPATH": package_root(), **environment},
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip


def package_root() -> str:
    import llmroof

    return str(Path(llmroof.__file__).resolve().parent.parent)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=str)
def test_an_interrupt_in_the_middle_of_a_sweep_keeps_and_names_what_is_done(sent: int) -> None:
    args = ["sweep", "--batch", "1:5000", "--isl", "1:900", "-o", "grid.csv"]
    child = subprocess.Popen(
        [sys.executable, "-m", "llmroof", *args],
        env={**os.environ, "PYTHONPATH": package_root()},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not any(p.stat().st_size > 0 for p in Path().glob(".grid.csv.*")):
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        child.send_signal(sent)
        _, told = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 130, told
    assert "interrupted after" in told
    assert "grid.csv" in told
    assert "holds what is done" in told
    assert "Traceback" not in told
    assert [name for name in files() if not name.startswith(".")] <= ["grid.csv", "grid.csv.rest"]
    seen = int(told.split("interrupted after ")[1].split()[0].replace(",", ""))
    with open("grid.csv", encoding="utf-8") as lines:
        assert sum(1 for _ in lines) == seen + 1


@pytest.mark.parametrize(
    ("place", "args"),
    [
        ("llmroof.cli.ask.ask", ["estimate", "-o", "x.json"]),
        ("llmroof.cli.ask.ask", ["advise", "--plot", "x.png"]),
        ("llmroof.search.recommend.recommend", ["recommend", "-o", "x.json"]),
        ("llmroof.evidence.validate.validate", ["validate", "rows.csv", "-o", "x.csv"]),
        ("llmroof.regression.check.check", ["check", "plan.yaml", "--update"]),
        ("llmroof.render.plots.style.save", ["plot", "--model", "gpt2", "-o", "x.png"]),
    ],
    ids=str,
)
def test_an_interrupt_elsewhere_is_one_line_and_leaves_nothing(
    place: str, args: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(place, stop)
    result = run(args)
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr.splitlines() == ["", "Error: interrupted"]  # below the ^C of a terminal
    assert files() == []


SCREENS = [
    ["estimate", "--gpu", "a100", "-b", "32"], ["layers"], ["kv"], ["explain"],
    ["sweep", "--model", "gpt2"], ["advise", "--model", "gpt2"], ["compare", "a100", "h100"],
    ["validate", "rows.csv"], ["check", "plan.yaml"], ["gpus"], ["gpus", "show", "a100"],
    ["gpus", "compare", "a100", "h100"], ["models"], ["models", "show", "gpt2"],
]  # fmt: skip


@pytest.mark.parametrize("encoding", ["ascii", "cp437", "latin-1"])
def test_a_terminal_that_is_not_utf8(encoding: str) -> None:
    """Every command answers with what the terminal has: ASCII spellings where it lacks a sign."""
    for args in SCREENS[::5]:
        result = process(*args, PYTHONIOENCODING=encoding)
        assert result.returncode in (0, 1), result.stderr
        assert b"?" not in result.stdout
        assert result.stdout.decode(encoding)
        assert encoding != "ascii" or result.stdout.isascii()
        assert b"Error" not in result.stderr


@pytest.mark.parametrize("args", SCREENS, ids=" ".join)
def test_forty_columns(args: list[str]) -> None:
    """Lines fit a narrow screen unless a single word is longer."""
    result = CliRunner().invoke(cli, args, env={"COLUMNS": "40"})
    assert result.exit_code in (0, 1), result.output
    for line in result.stdout.splitlines():
        assert len(line) <= 40 or len(line.split()) <= 2, line
        assert "\x1b" not in line


def test_recommend_in_forty_columns_wraps_all_but_what_is_to_be_copied() -> None:
    args = ["recommend", "--gpu", "l4,h100", "--model", "gpt2"]
    page = CliRunner().invoke(cli, args, env={"COLUMNS": "40"}).stdout
    above, _, below = page.partition("To start")
    commands, _, notes = below.partition("\n\n")
    assert "vllm serve" in commands
    assert all(len(line) <= 40 for line in (above + notes).splitlines())
    assert all(len(line) <= 78 for line in commands.splitlines())


def test_no_color_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from llmroof.cli import output

    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(output.sys, "stdout", Terminal())
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert output._wants_colour()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not output._wants_colour()
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not output._wants_colour()


def test_the_matrix_is_the_whole_tree() -> None:
    """Nothing slips out: every option of every command is in a list above."""
    assert len(options()) > 300
    assert {name for name, _ in options()} == {name for name, _ in commands()}
    assert {option.name for _, option in NUMERIC} >= {"tp", "batch", "price", "top", "contexts"}
