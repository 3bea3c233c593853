"""Spec files are read once, and again when they change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from llmroof.errors import SpecError
from llmroof.models.load import load_model
from llmroof.specs import catalog, memo
from llmroof.specs.hardware import load_hardware


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's own specs, with one profile and a variant of it."""
    folder = tmp_path / "hardware_specs"
    folder.mkdir()
    shutil.copy(catalog.HARDWARE.path("h100-sxm"), folder / "mine.yaml")
    (folder / "faster.yaml").write_text(
        "name: Faster\nextends: mine\nmemory: {bandwidth: 5 TB/s}\n"
        "sources: [{of: [memory.bandwidth], title: a guess, confidence: low}]\n"
    )
    monkeypatch.setenv("LLMROOF_SPECS", str(tmp_path))
    return folder


def test_what_is_unchanged_is_the_same_value() -> None:
    assert load_model("llama-3.1-8b") is load_model("llama-3.1-8b")
    assert load_hardware("h100") is load_hardware("h100")


def test_an_edited_file_is_read_again(own: Path) -> None:
    before = load_hardware("mine").memory.bandwidth
    text = (own / "mine.yaml").read_text()
    (own / "mine.yaml").write_text(text.replace("bandwidth: 3.35 TB/s", "bandwidth: 1.25 TB/s"))
    assert before == 3.35e12
    assert load_hardware("mine").memory.bandwidth == 1.25e12


def test_an_edited_base_changes_its_variants(own: Path) -> None:
    before = load_hardware("faster").memory
    text = (own / "mine.yaml").read_text()
    (own / "mine.yaml").write_text(text.replace("reported: 81090 MiB", "reported: 71090 MiB"))
    after = load_hardware("faster").memory
    assert after.bandwidth == before.bandwidth == 5e12
    assert before.usable - after.usable == 10_000 * 2**20


def test_a_file_that_comes_hides_the_shipped_one(own: Path) -> None:
    shipped = load_hardware("a100-sxm-80gb")
    shutil.copy(own / "mine.yaml", own / "a100-sxm-80gb.yaml")
    assert load_hardware("a100-sxm-80gb").memory.bandwidth != shipped.memory.bandwidth
    (own / "a100-sxm-80gb.yaml").unlink()
    assert load_hardware("a100-sxm-80gb") == shipped


def test_a_base_that_went_away_is_missed(own: Path) -> None:
    """The base lies outside the folders whose changes are noticed."""
    elsewhere = own.parent / "base.yaml"
    shutil.move(own / "mine.yaml", elsewhere)
    (own / "faster.yaml").write_text("name: Same\nextends: ../base.yaml\n")
    assert load_hardware("faster").memory.bandwidth == 3.35e12
    elsewhere.unlink()
    with pytest.raises(SpecError, match=r"faster\.yaml:2: extends: no such GPU file"):
        load_hardware("faster")


def test_no_more_is_kept_than_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo, "_MOST", 2)
    read: list[str] = []

    @memo.remembered(catalog.HARDWARE)
    def load(name: str) -> str:
        read.append(name)
        return name

    assert [load(name) for name in "abbac"] == list("abbac")  # c: two are kept, all are let go
    assert read == ["a", "b", "c"]
    assert [load(name) for name in "cab"] == list("cab")
    assert read == ["a", "b", "c", "a", "b"]
