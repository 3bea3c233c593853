"""Settings of all tests: reproducible properties, no specs but the shipped ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("llmroof", derandomize=True, deadline=None, max_examples=40)
settings.register_profile("deep", deadline=None, max_examples=1000)  # --hypothesis-profile deep
settings.load_profile("llmroof")

ROOT = Path(__file__).resolve().parent.parent


def shared_folder() -> Path | None:
    """The folder of measured data and published figures, where there is one."""
    folder = Path(os.environ.get("LLMROOF_SHARED", ROOT.parent / "shared"))
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = shared_folder()
    if folder is None:
        pytest.skip("no folder of shared data (LLMROOF_SHARED)")
    return folder


@pytest.fixture(autouse=True)
def _shipped_specs_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMROOF_SPECS", raising=False)
