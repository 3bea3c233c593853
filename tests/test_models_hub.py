"""`org/name`: the local cache of the hub first, then the network, else one line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from llmroof.errors import InputError
from llmroof.models.load import load_model

CONFIG = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 100,
}


def hub(monkeypatch: pytest.MonkeyPatch, cached: str | None, fetched: str | Exception) -> list[str]:
    """A hub client with this in its cache and on the network; the names asked of the network."""
    asked: list[str] = []

    def download(name: str, file: str) -> str:
        asked.append(f"{name}/{file}")
        if isinstance(fetched, Exception):
            raise fetched
        return fetched

    client = SimpleNamespace(
        try_to_load_from_cache=lambda name, file: cached, hf_hub_download=download
    )
    monkeypatch.setitem(sys.modules, "huggingface_hub", client)
    return asked


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "snapshots" / "0123abc" / "config.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(CONFIG))
    return str(file)


def test_the_cache_comes_first(monkeypatch: pytest.MonkeyPatch, config: str) -> None:
    asked = hub(monkeypatch, config, InputError("no network"))
    model = load_model("someone/tiny")
    assert (model.id, model.name, model.hub) == ("tiny", "someone/tiny", ("someone/tiny",))
    assert model.sources[0].url == "https://huggingface.co/someone/tiny/blob/main/config.json"
    assert not asked


def test_then_the_network(monkeypatch: pytest.MonkeyPatch, config: str) -> None:
    asked = hub(monkeypatch, None, config)
    assert load_model("someone/tiny").num_layers == 2
    assert asked == ["someone/tiny/config.json"]


def test_a_shipped_hub_name_asks_nobody(monkeypatch: pytest.MonkeyPatch, config: str) -> None:
    asked = hub(monkeypatch, config, config)
    assert load_model("Qwen/Qwen3-8B").id == "qwen3-8b"
    assert not asked


def test_what_cannot_be_had_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    hub(monkeypatch, None, OSError("404 not found\nsecond line"))
    with pytest.raises(InputError) as caught:
        load_model("someone/none")
    assert str(caught.value) == (
        "cannot get the config of 'someone/none' from the hub: 404 not found"
    )


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"install llmroof\[hub\]"):
        load_model("someone/tiny")


@pytest.mark.parametrize(
    ("name", "shipped", "weights"),
    [
        ("amd/Llama-3.3-70B-Instruct-FP8-KV", "llama-3.3-70b", "fp8"),
        ("amd/DeepSeek-R1-0528-MXFP4-Preview", "deepseek-r1", "mxfp4"),
        ("someone/Qwen3-14B-FP8-dynamic", "qwen3-14b", "fp8"),
        ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-FP8", "nemotron-3-nano-30b-a3b", "fp8"),
    ],
)
def test_endings_of_quantized_checkpoints_stand_for_their_recipe(
    monkeypatch: pytest.MonkeyPatch, name: str, shipped: str, weights: str
) -> None:
    asked = hub(monkeypatch, None, InputError("no network"))
    model = load_model(name)
    assert model.id == shipped
    assert model.precision.weights.id == weights
    assert asked == []
