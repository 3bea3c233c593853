"""The JSON Schemas that editors use: current, valid, and true of every shipped spec file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmroof.models import editor as models
from llmroof.models.editor import FOLDER, SPECS, text
from llmroof.regression import editor as scenarios
from llmroof.render import schemas as documents
from llmroof.specs.catalog import HARDWARE, MODELS
from llmroof.specs.tree import read_yaml

jsonschema = pytest.importorskip("jsonschema")
CATALOGS = {"hardware": HARDWARE, "model": MODELS}


@pytest.mark.parametrize("name", SPECS)
def test_the_file_is_current(name: str) -> None:
    """Run `python -m llmroof.models.editor` after a change of a spec schema."""
    assert (FOLDER / f"{name}.json").read_text("utf-8") == text(name)


def test_writing_them_anew_gives_the_shipped_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of specs, of scenarios and of answers: all that lies in the folder, and nothing else."""
    monkeypatch.setattr(models, "FOLDER", tmp_path)
    monkeypatch.setattr(scenarios, "PATH", tmp_path / "scenarios.json")
    monkeypatch.setattr(documents, "FOLDER", tmp_path)
    for module in (models, scenarios, documents):
        module.write()
    shipped = {path.name: path.read_bytes() for path in FOLDER.glob("*.json")}
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == shipped


@pytest.mark.parametrize("name", SPECS)
def test_every_shipped_file_holds(name: str) -> None:
    found = json.loads(text(name))
    jsonschema.Draft202012Validator.check_schema(found)
    validator = jsonschema.Draft202012Validator(found)
    files = CATALOGS[name].files().values()
    assert files
    for path in files:
        problems = [error.message for error in validator.iter_errors(read_yaml(path).plain())]
        assert not problems, (path.name, problems[:3])


def test_a_profile_that_extends_another_states_only_what_differs() -> None:
    validator = jsonschema.Draft202012Validator(json.loads(text("hardware")))
    assert validator.is_valid({"extends": "h100-sxm", "name": "capped", "power": {"tdp": "500 W"}})
    assert not validator.is_valid({"name": "nothing", "power": {"tdp": "500 W"}})


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("hardware", {"memory": {"capacity": "80 GB", "bandwidth": "2 TB"}}),
        ("hardware", {"compute": {"bf17": "1 TFLOP/s"}}),
        ("hardware", {"memori": {}}),
        ("model", {"hidden": -1}),
        ("model", {"layers": [{"count": 0, "blocks": []}]}),
        ("model", {"hiden": 1}),
    ],
)
def test_faults_are_seen(name: str, fault: dict[str, Any]) -> None:
    path = next(iter(CATALOGS[name].files().values()))
    broken = {**read_yaml(path).plain(), **fault}
    assert list(jsonschema.Draft202012Validator(json.loads(text(name))).iter_errors(broken))
