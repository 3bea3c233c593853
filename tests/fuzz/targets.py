"""What is fuzzed: each target takes hostile input and either answers or says one sentence.

A target raises AssertionError for anything else: another exception, more than two seconds
of processor time, or a figure that is no finite number.
"""

from __future__ import annotations

import json
import math
import os
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from click.testing import CliRunner

from llmroof import estimate, load_hardware, load_model
from llmroof.cli.main import cli
from llmroof.errors import LlmroofError
from llmroof.evidence.validate import summary, validate
from llmroof.models.model import Model
from llmroof.regression.baseline import parse_baseline, write_baseline
from llmroof.regression.check import check
from llmroof.render.record import estimate_document, model_document

#: seconds of processor time that no case may take
LIMIT: Final = 2.0
FOLDER: Final = Path(tempfile.gettempdir()) / f"llmroof-fuzz-{os.getpid()}"


@contextmanager
def answers() -> Iterator[None]:
    """Inside, only LlmroofError may be raised, with one printable line, within LIMIT."""
    begin = time.process_time()
    try:
        yield
    except LlmroofError as error:
        message = str(error)
        assert message, "an error without a sentence"
        assert message.isprintable(), f"a message that breaks lines: {message!r}"
    took = time.process_time() - begin
    assert took < LIMIT, f"took {took:.1f} s"


def finite(value: Any, path: str = "") -> None:
    """Assert that no number below `value` is NaN or infinite."""
    if isinstance(value, dict):
        for name, part in value.items():
            finite(part, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for i, part in enumerate(value):
            finite(part, f"{path}[{i}]")
    elif isinstance(value, float):
        assert math.isfinite(value), f"{path} is {value}"


def file(name: str, content: bytes | str) -> Path:
    """A file of this run with that content."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "replace"))
    return path


def _asked(**question: Any) -> None:
    """An estimate whose whole document is finite."""
    found = estimate(input_len=64, output_len=16, **question)
    finite(estimate_document(found, {}))


def hardware_yaml(content: bytes | str) -> None:
    """A hardware profile, read and computed with."""
    path = file("hardware.yaml", content)
    with answers():
        gpu = load_hardware(str(path))
        _asked(model=_small(), gpu=gpu, num_gpus=1)


def model_yaml(content: bytes | str) -> None:
    """A model spec, read and computed with."""
    path = file("model.yaml", content)
    with answers():
        _model(load_model(str(path)))


def config_json(content: bytes | str) -> None:
    """A config.json, read and computed with."""
    path = file("config.json", content)
    with answers():
        _model(load_model(str(path)))


def _model(model: Model) -> None:
    finite(model_document(model))
    _asked(model=model, gpu="h100", num_gpus=1)


def _small() -> Model:
    global _SMALL  # noqa: PLW0603 (read once)
    if _SMALL is None:
        _SMALL = load_model("gpt2")
    return _SMALL


_SMALL: Model | None = None


def measured_csv(content: bytes | str) -> None:
    """Measured rows, predicted and summed up."""
    path = file("rows.csv", content)
    with answers():
        summary(validate(path))


def baseline_csv(content: bytes | str) -> None:
    """A baseline: what is read is written and read the same."""
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
    with answers():
        found = parse_baseline(text, "x.lock.csv")
        finite(found)
        if all(len(f"x{point}x".splitlines()) == 1 for point in found):
            assert parse_baseline(write_baseline(found), "x").keys() == {
                name for name, figures in found.items() if figures
            }


def scenarios_yaml(content: bytes | str) -> None:
    """A scenario file, read, asked and compared."""
    path = file("scenarios.yaml", content)
    with answers():
        finite(dict(check(path, update=True).current))


#: files that arguments name: `{rows}`, `{plan}`
_FILES: Final = (
    ("rows", ".csv", "model,hardware,batch,input_len,output_len,tpot_s\ngpt2,a100,1,64,16,0.01\n"),
    ("plan", ".yaml", "baseline: false\nscenarios: {a: {model: gpt2, gpu: a100, assert: fits}}\n"),
)


def command_line(args: Sequence[str]) -> None:
    """A command: answered (0, 1) or refused (2) with one line and nothing on standard output."""
    files = {name: str(file(f"{name}{end}", text)) for name, end, text in _FILES}
    args = [files.get(arg.strip("{}"), arg) if arg[:1] == "{" else arg for arg in args]
    begin = time.process_time()
    result = CliRunner().invoke(cli, list(args), env={"COLUMNS": "80"})
    took = time.process_time() - begin
    shown = shlex.join(args)
    assert result.exit_code in (0, 1, 2), f"{shown}: exit code {result.exit_code}"
    assert result.exception is None or isinstance(result.exception, SystemExit), shown
    assert "unexpected" not in result.stderr.replace("unexpected extra", ""), result.stderr
    assert "Traceback" not in result.output
    if args[:2] == ["gpus", "check"] and result.stdout:  # its answer is what is wrong, line by line
        assert result.stderr == "", shown
    elif result.exit_code == 2:
        assert result.stdout == "", shown
        assert len(result.stderr.splitlines()) == 1, f"{shown}: {result.stderr!r}"
        assert result.stderr.startswith("Error: "), result.stderr
    for word in ("nan", "NaN", "inf"):
        for around in ((" ", " "), (": ", ","), (",", ","), (" ", "\n")):
            assert word.join(around) not in result.stdout, f"{shown}: {word}"
    if result.stdout.startswith("{"):
        finite(json.loads(result.stdout))
    if args[0] == "recommend" and "--gpu" not in args:
        took /= 5  # searches every GPU there is
    assert took < LIMIT, f"{shown} took {took:.1f} s"


TARGETS: Final[dict[str, Callable[[Any], None]]] = {
    one.__name__: one
    for one in (
        hardware_yaml, model_yaml, config_json, measured_csv, baseline_csv, scenarios_yaml
    )
}  # fmt: skip
