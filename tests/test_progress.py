"""Bars of long commands: on a terminal, and nowhere else."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llmroof.cli.progress import progress


class Screen(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    with progress("rows") as told:
        assert told is not None
        told(3, 8, "of one GPU")
    assert "rows: of one GPU" in screen.getvalue()
    assert "3/8" in screen.getvalue()


def test_a_pipe_hears_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    with progress("rows") as told:
        assert told is None
    assert pipe.getvalue() == ""


SHORT = ("--input-len", "64", "--output-len", "16")
ROWS = "model,hardware,batch,input_len,output_len,tpot_s\ngpt2,a100,1,64,16,0.01\n"
PLAN = "baseline: false\nscenarios: {a: {model: gpt2, gpu: a100, batch: 2, assert: fits}}\n"


@pytest.mark.parametrize(
    ("command", "bar", "total"),
    [
        (["sweep", "--gpu", "a100", "--model", "gpt2", "-b", "1,2,4", *SHORT], "points", "3/3"),
        (
            ["sweep", "--gpu", "a100", "--model", "gpt2", "-b", "1,2,4", *SHORT, "-o", "x.csv"],
            "points",
            "3/3",
        ),
        (["validate", "rows.csv"], "rows", "1/1"),
        (["check", "plan.yaml"], "points", "1/1"),
    ],
)
def test_commands_that_take_long_have_one(
    tmp_path: Path, command: list[str], bar: str, total: str
) -> None:
    pty = pytest.importorskip("pty")
    (tmp_path / "rows.csv").write_text(ROWS)
    (tmp_path / "plan.yaml").write_text(PLAN)
    main, side = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "llmroof", *command],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=side,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"},
        timeout=60,
        check=False,
    )
    os.close(side)
    shown = os.read(main, 65536).decode()
    os.close(main)
    assert done.returncode == 0, shown
    assert bar in shown
    assert total in shown
    assert b"\x1b" not in done.stdout  # the bar is not part of the answer
