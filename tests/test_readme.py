"""The README is run: every console block gives what it shows, every command appears.

`LLMROOF_UPDATE=1 python -m pytest tests/test_readme.py` writes the blocks anew.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from llmroof.cli.main import cli

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BLOCK = re.compile(r"```console\n\$ (?P<command>llmroof [^\n]*)\n(?P<shown>.*?)```", re.DOTALL)
#: lines of a long table that the README shows
SHOWN_LINES = 12

pytestmark = pytest.mark.skipif(not README.is_file(), reason="no README beside the tests")


def blocks() -> list[re.Match[str]]:
    return list(BLOCK.finditer(README.read_text("utf-8"))) if README.is_file() else []


def output(command: str) -> str:
    """What the command prints; long lists are cut as the README cuts them."""
    result = CliRunner().invoke(cli, shlex.split(command)[1:], env={"COLUMNS": "80"})
    text = result.output if result.exit_code != 2 else f"exit code 2\n{result.output}"
    lines = text.rstrip("\n").split("\n")
    if command.startswith(("llmroof gpus", "llmroof models")) and len(lines) > 2 * SHOWN_LINES:
        lines = [*lines[:SHOWN_LINES], "..."]
    return "\n".join(lines) + "\n"


@pytest.mark.skipif("LLMROOF_UPDATE" not in os.environ, reason="only on demand")
def test_update() -> None:
    text = README.read_text("utf-8")
    renewed = BLOCK.sub(lambda m: f"```console\n$ {m['command']}\n{output(m['command'])}```", text)
    README.write_text(renewed, "utf-8")


@pytest.mark.parametrize("block", blocks(), ids=lambda block: block["command"])
def test_a_console_block_shows_what_the_command_prints(block: re.Match[str]) -> None:
    assert output(block["command"]) == block["shown"]


def test_every_command_appears() -> None:
    text = README.read_text("utf-8")
    for name in cli.list_commands(None):  # type: ignore[arg-type]
        assert f"llmroof {name}" in text, name


def test_python_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    for code in re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL):
        exec(compile(code, "README.md", "exec"), {})
    assert "memory" in capsys.readouterr().out


def test_ci_runs_the_test_command_of_the_readme() -> None:
    script = ROOT / ".ci" / "run"
    if not script.is_file():
        pytest.skip("no CI script beside the tests")
    assert "<!-- test command -->" in script.read_text("utf-8")
    command = README.read_text("utf-8").split("<!-- test command -->")[1].split("```")[1]
    assert command.startswith("sh\npython3 -m venv")
    assert "-m pytest" in command
