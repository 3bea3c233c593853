"""Names of spec files: ids, aliases, paths, a user's own folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmroof.errors import InputError, UnknownName
from llmroof.specs import catalog
from llmroof.specs.catalog import HARDWARE, MODELS, is_path
from llmroof.specs.tree import read_yaml


def test_an_id_and_an_alias_lead_to_the_same_file() -> None:
    assert HARDWARE.path("a100-sxm-80gb").name == "a100-sxm-80gb.yaml"
    assert HARDWARE.path("A100-SXM-80GB").name == "a100-sxm-80gb.yaml"
    assert HARDWARE.path("a100").name == "a100-sxm-80gb.yaml"  # the 80 GB SXM part
    assert HARDWARE.path("h100").name == "h100-sxm.yaml"
    assert MODELS.path("llama-3.1-8b").name == "llama-3.1-8b.yaml"


@pytest.mark.parametrize("kind", [HARDWARE, MODELS], ids=["hardware", "models"])
def test_ids_are_lower_case_and_no_alias_hides_an_id(kind: catalog.Catalog) -> None:
    files = kind.files()
    assert list(files) == sorted(files)
    assert all(name == name.lower() and not is_path(name) for name in files)
    assert not set(kind.aliases()) & set(files)


@pytest.mark.parametrize("kind", [HARDWARE, MODELS], ids=["hardware", "models"])
def test_no_alias_stands_for_two_things(kind: catalog.Catalog) -> None:
    seen: dict[str, str] = {}
    for stem, path in kind.files().items():
        for alias in read_yaml(path).plain().get("aliases", []):
            assert seen.setdefault(alias.lower(), stem) == stem
    assert kind.aliases() == seen


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("h10", "unknown GPU 'h10'; did you mean 'h100'? (see llmroof gpus)"),
        ("a100-sxm-80g", "unknown GPU 'a100-sxm-80g'; did you mean 'a100-sxm-80gb'?"),
        ("zzzzzz", "unknown GPU 'zzzzzz' (see llmroof gpus)"),
        ("", "unknown GPU '' (see llmroof gpus)"),
    ],
)
def test_an_unknown_name_says_the_nearest_and_where_all_are(name: str, message: str) -> None:
    with pytest.raises(UnknownName) as error:
        HARDWARE.path(name)
    assert str(error.value).startswith(message)
    assert str(error.value).endswith("(see llmroof gpus)")
    assert error.value.exit_code == 2
    assert "h100-sxm" in error.value.known


def test_a_name_longer_than_any_file_system_takes() -> None:
    with pytest.raises(UnknownName) as error:
        HARDWARE.path("x" * 5000)
    assert len(str(error.value)) < 200
    with pytest.raises(InputError) as missing:
        HARDWARE.path("x" * 5000 + ".yaml")
    assert len(str(missing.value)) < 300


def test_names_with_unprintable_characters_stay_one_line() -> None:
    for name in ("a\nb", "a\0b", "\x1b[31m"):
        with pytest.raises(UnknownName) as error:
            HARDWARE.path(name)
        assert str(error.value).isprintable()


@pytest.mark.parametrize("name", ["x.yaml", "x.yml", "./x", "a/b", "config.json", ".", "..", "/"])
def test_what_looks_like_a_path_is_one(name: str) -> None:
    assert is_path(name)


@pytest.mark.parametrize("name", ["h100", "llama-3.1-8b", "qwen2.5-7b", "yaml", "x.yam"])
def test_what_looks_like_an_id_is_one(name: str) -> None:
    assert not is_path(name)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(InputError) as error:
        HARDWARE.path("no/such.yaml")
    assert str(error.value) == "no such GPU file: 'no/such.yaml'"


def test_a_user_folder_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "hardware_specs"
    own.mkdir()
    (own / "h100-sxm.yaml").write_text("name: mine\naliases: [mine, 'My GPU']\n")
    monkeypatch.setenv("LLMROOF_SPECS", str(tmp_path))
    assert HARDWARE.path("h100-sxm") == own / "h100-sxm.yaml"
    assert HARDWARE.path("my gpu") == own / "h100-sxm.yaml"
    assert HARDWARE.files()["h100-sxm"] == own / "h100-sxm.yaml"
    assert HARDWARE.path("a100").name == "a100-sxm-80gb.yaml"  # the shipped ones stay
    assert MODELS.path("llama-3.1-8b").is_file()  # a folder without models is no fault


def test_a_user_folder_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMROOF_SPECS", "/no/such/folder")
    with pytest.raises(InputError, match=r"'/no/such/folder' .* is missing$"):
        HARDWARE.path("h100")


def test_a_file_that_cannot_be_read_hides_no_alias_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "hardware_specs"
    own.mkdir()
    (own / "dangling.yaml").symlink_to(tmp_path / "nowhere.yaml")
    (own / "mine.yaml").write_text("name: mine\naliases: [my-gpu]\n")
    monkeypatch.setenv("LLMROOF_SPECS", str(tmp_path))
    assert HARDWARE.aliases()["my-gpu"] == "mine"
    assert "dangling" not in HARDWARE.aliases().values()
