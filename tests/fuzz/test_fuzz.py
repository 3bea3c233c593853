"""Hostile input to every reader and to the command line: an answer or one sentence.

Few cases by default. For many, in a process of its own:
LLMROOF_FUZZ=20000 python -m pytest tests/fuzz -n 0 -p no:cacheprovider
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fuzz import strategies, targets
from llmroof.cli.main import cli

#: cases of each target; from a thousand on they are drawn anew in every run, and a finding is
#: told as it was drawn
CASES = int(os.environ.get("LLMROOF_FUZZ", "40"))
#: bytes of memory that the whole run may have taken
MEMORY = 500e6

pytestmark = pytest.mark.filterwarnings("error")
fuzzed = settings(
    max_examples=CASES,
    deadline=None,
    derandomize=CASES < 1000,
    phases=[phase for phase in Phase if phase != Phase.shrink or CASES < 1000],
    database=None,
    suppress_health_check=list(HealthCheck),
)
HONEST = {
    "hardware_yaml": strategies.hardware,
    "model_yaml": strategies.models,
    "config_json": strategies.configs,
    "measured_csv": strategies.rows,
    "baseline_csv": strategies.baselines,
    "scenarios_yaml": strategies.scenarios,
}


@pytest.fixture(scope="module", autouse=True)
def _clean() -> Iterator[None]:
    """No file stays, and no case takes memory beyond reason."""
    before = _peak()
    yield
    shutil.rmtree(targets.FOLDER, ignore_errors=True)
    assert _peak() - before < MEMORY


def _peak() -> float:
    """The most memory this process ever had, in bytes."""
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def test_every_target_has_honest_files() -> None:
    assert set(HONEST) == set(targets.TARGETS)


@pytest.mark.parametrize("name", HONEST)
def test_honest_files_are_answered(name: str) -> None:
    for text in HONEST[name]()[:3]:
        targets.TARGETS[name](text)


@pytest.mark.parametrize("name", HONEST)
def test_files_with_faults(name: str) -> None:
    @fuzzed
    @given(
        st.one_of(*[strategies.faulty(HONEST[name])] * 4, st.binary(max_size=60), strategies.odd)
    )
    def run(text: str | bytes) -> None:
        targets.TARGETS[name](text)

    run()


@pytest.fixture(scope="module")
def warm() -> None:
    """Every GPU and model read once, as a first command does: that is no case's time."""
    CliRunner().invoke(cli, ["recommend"])


@pytest.mark.usefixtures("warm")
@fuzzed
@given(strategies.command_lines())
def test_command_lines(args: list[str]) -> None:
    targets.command_line(args)
