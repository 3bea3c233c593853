"""`extends:`: a profile that changes another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmroof import load_hardware
from llmroof.errors import SpecError
from llmroof.specs.catalog import HARDWARE
from llmroof.specs.extend import MAX_CHAIN, bases

CAPPED = """\
name: H100 capped at 500 W
extends: h100
power: {tdp: 500 W}
prices: [{usd_per_hour: 1.5, provider: our own cluster, title: internal rate}]
sources: [{of: [power.tdp], title: nvidia-smi -pl 500}]
"""


def write(folder: Path, name: str, text: str) -> str:
    file = folder / f"{name}.yaml"
    file.write_text(text)
    return str(file)


def test_a_variant_states_only_what_differs(tmp_path: Path) -> None:
    base = load_hardware("h100")
    found = load_hardware(write(tmp_path, "capped", CAPPED))
    assert (found.id, found.name, found.tdp) == ("capped", "H100 capped at 500 W", 500.0)
    assert (found.memory, found.compute, found.links) == (base.memory, base.compute, base.links)
    assert [price.usd_per_hour for price in found.prices] == [1.5]  # lists are replaced whole
    assert found.aliases == ()


def test_each_figure_keeps_the_source_of_who_stated_it(tmp_path: Path) -> None:
    found = load_hardware(write(tmp_path, "capped", CAPPED))
    own, theirs = found.source("power.tdp"), found.source("memory.bandwidth")
    assert own is not None
    assert own.title == "nvidia-smi -pl 500"
    assert theirs == load_hardware("h100").source("memory.bandwidth")


def test_a_changed_figure_needs_a_source_of_its_own(tmp_path: Path) -> None:
    """The base's source speaks of the base's value."""
    text = "name: Faster\nextends: h100\nmemory:\n  bandwidth: 4 TB/s\n"
    with pytest.raises(SpecError, match=r"faster\.yaml:4: memory\.bandwidth: has no source"):
        load_hardware(write(tmp_path, "faster", text))


def test_tables_merge_key_by_key(tmp_path: Path) -> None:
    text = (
        "extends: h100\ncompute: {fp8: 1 PFLOP/s}\nsources: [{of: [compute.fp8], title: a note}]\n"
    )
    found = load_hardware(write(tmp_path, "slow", text))
    base = load_hardware("h100")
    assert found.compute["fp8"] == 1e15
    assert found.compute["bf16"] == base.compute["bf16"]
    assert found.name == base.name


def test_variants_of_variants_and_paths(tmp_path: Path) -> None:
    write(tmp_path, "capped", CAPPED)
    text = (
        "name: Rented\nextends: capped.yaml\nprices: [{usd_per_hour: 2, provider: us, title: us}]\n"
    )
    found = load_hardware(write(tmp_path, "rented", text))
    assert (found.tdp, found.prices[0].usd_per_hour) == (500.0, 2.0)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("extends: h1000\n", r"me\.yaml:1: extends: unknown GPU 'h1000'"),
        ("extends: me.yaml\n", r"me\.yaml:1: extends: goes round in a circle"),
        ("extends: [h100]\n", r"me\.yaml:1: extends: must be the id of a profile"),
        ("extends: h100\nmemory: 5\n", r"me\.yaml:2: memory: must be a table"),
        ("extends: h100\ncolour: red\n", r"me\.yaml:2: colour: unknown key"),
    ],
)
def test_slips_have_a_line(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence):
        load_hardware(write(tmp_path, "me", text))


def test_a_circle_of_two_is_found(tmp_path: Path) -> None:
    write(tmp_path, "one", "extends: two.yaml\n")
    with pytest.raises(SpecError, match="circle"):
        load_hardware(write(tmp_path, "two", "extends: one.yaml\n"))


def test_the_bases_of_a_circle_come_to_an_end(tmp_path: Path) -> None:
    write(tmp_path, "one", "extends: two.yaml\n")
    start = Path(write(tmp_path, "two", "extends: one.yaml\n"))
    found = [path.name for path in bases(start, HARDWARE.path)]
    assert found == ["two.yaml", "one.yaml"] * ((MAX_CHAIN + 1) // 2)


def test_a_base_without_sources_gives_none(tmp_path: Path) -> None:
    """The variant then needs the sources itself, as any profile does."""
    base = "name: Bare\nmemory: {capacity: 8 GB, bandwidth: 1 TB/s}\ncompute: {bf16: 1 TFLOP/s}\n"
    write(tmp_path, "bare", base)
    text = "extends: bare.yaml\ncompute: {bf16: 2 TFLOP/s}\n"
    with pytest.raises(SpecError, match=r"child\.yaml:1: sources: is missing"):
        load_hardware(write(tmp_path, "child", text))
    text += "sources: [{of: [compute.bf16], title: a note}]\n"
    found = load_hardware(write(tmp_path, "child", text))
    assert [source.title for source in found.sources] == ["a note"]
