"""The GitHub Action and the pre-commit hook: their files, and the action's script run here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import llmroof

ROOT = Path(__file__).resolve().parent.parent
ACTION = ROOT / "action.yml"
HOOKS = ROOT / ".pre-commit-hooks.yaml"
BASH = shutil.which("bash")

pytestmark = pytest.mark.skipif(not ACTION.is_file(), reason="no action beside the tests")


def action() -> Any:
    return yaml.safe_load(ACTION.read_text("utf-8"))


def step() -> Any:
    return next(step for step in action()["runs"]["steps"] if "run" in step)


def test_every_input_is_used_and_described() -> None:
    found = action()
    text = ACTION.read_text("utf-8")
    for name, body in found["inputs"].items():
        assert body["description"]
        assert f"inputs.{name} }}}}" in text or f"inputs.{name} " in text
    assert found["runs"]["using"] == "composite"


def test_no_input_is_pasted_into_the_script() -> None:
    """Values reach the shell through the environment: a title cannot become a command."""
    assert "${{" not in step()["run"]


def test_the_hook_runs_on_scenarios_and_their_locks() -> None:
    (hook,) = yaml.safe_load(HOOKS.read_text("utf-8"))
    assert hook["entry"] == "llmroof check"
    for name in ("scenarios.yaml", "capacity/scenarios.yml", "a/scenarios.lock.csv"):
        assert re.search(hook["files"], name)
    for name in ("scenarios.yaml.txt", "my-scenarios.yaml", "x.csv"):
        assert not re.search(hook["files"], name)


@pytest.fixture
def script(tmp_path: Path) -> dict[str, str]:
    """The environment of the action's script; its venv is this interpreter behind a stub."""
    fake = tmp_path / "bin"
    fake.mkdir()
    package = Path(llmroof.__file__).resolve().parent.parent
    inner = tmp_path / "inner"
    inner.write_text(f'#!{BASH}\nPYTHONPATH="{package}" exec "{sys.executable}" -m llmroof "$@"\n')
    python = fake / "python"
    python.write_text(
        f'#!{BASH}\nset -e\nif [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"\n'
        f'cp "{inner}" "$3/bin/llmroof"; else echo "$@" >>"$RUNNER_TEMP/pip"; fi\n'
    )
    for file in (inner, python):
        file.chmod(0o755)
    (tmp_path / "scenarios.yaml").write_text(
        "baseline: false\nscenarios: {chat: {gpu: a100, batch: 8, assert: tpot_s < 30 ms}}\n"
    )
    defaults = {
        name: body["default"] for name, body in action()["inputs"].items() if "default" in body
    }
    given = {
        key: defaults.get(match[1], "here")
        if (match := re.search(r"inputs\.([\w-]+)", value))
        else "here"
        for key, value in step()["env"].items()
    }
    files = {name: str(tmp_path / name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    path = f"{fake}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, **given, **files, "PATH": path, "RUNNER_TEMP": str(tmp_path / "t")}


def run(environment: dict[str, str], tmp_path: Path) -> subprocess.CompletedProcess[str]:
    (tmp_path / "t").mkdir(exist_ok=True)
    return subprocess.run(
        [str(BASH), "-c", step()["run"]], env=environment, cwd=tmp_path, text=True,
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.skipif(BASH is None, reason="no bash")
def test_the_script_reports_what_holds_and_what_does_not(
    script: dict[str, str], tmp_path: Path
) -> None:
    result = run(script | {"JUNIT": "out.xml"}, tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "GITHUB_OUTPUT").read_text() == "ok=true\n"
    assert "### ✅" in (tmp_path / "GITHUB_STEP_SUMMARY").read_text("utf-8")
    assert (tmp_path / "out.xml").is_file()
    assert "install -q here" in (tmp_path / "t" / "pip").read_text()

    plan = tmp_path / "scenarios.yaml"
    plan.write_text(plan.read_text().replace("30 ms", "3 us"))
    result = run(script, tmp_path)
    assert result.returncode == 1
    assert "tpot_s < 3 us does not hold" in result.stdout
    assert (tmp_path / "GITHUB_OUTPUT").read_text() == "ok=true\nok=false\n"

    result = run(script | {"SCENARIOS": "none.yaml"}, tmp_path)
    assert result.returncode == 2
    assert "Error: " in result.stderr
