"""Files that want to hurt: huge, deep, aliased, absurd. An error of ours, fast and cheap."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmroof.errors import LlmroofError
from llmroof.models.export import to_yaml
from llmroof.models.hf_config.read import known_architectures, model_of
from llmroof.models.hf_config.view import EXPERTS, HEADS, HIDDEN, LAYERS, TOP_K, Config
from llmroof.models.model import Model
from llmroof.models.spec import read_model
from llmroof.operators import Execution, Step
from llmroof.specs.catalog import MODELS
from llmroof.specs.precision import recipe
from llmroof.specs.tree import parse_yaml

COUNTED = json.loads(Path(__file__).with_name("counted_models.json").read_text("utf-8"))
CONFIGS = [entry["config"] for entry in COUNTED.values()]
SECONDS, MEGABYTES = 2.0, 300.0

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(f'*{chr(97 + n)}' for _ in range(9))}]\n"
    for n in range(12)
)
FILES = {
    "many.yaml": b"name: [" + b"1, " * 1_000_000 + b"1]",
    "deep.json": b"[" * 1_000_000,
    "deep.yaml": b"[" * 100_000,
    "deep-map.yaml": b"".join(b" " * n + b"a:\n" for n in range(3000)),
    "laughs.yaml": LAUGHS.encode(),
    "stump.json": b'{"model_type": "llama", "hidden_size": 40',
    "stump.yaml": b'name: "half a',
    "bytes.json": bytes(range(256)) * 100,
    "bytes.yaml": bytes(range(256)) * 100,
    "utf16.json": '{"model_type": "llama"}'.encode("utf-16"),
    "zeros.gguf": bytes(10_000_000),
    "digits.json": b'{"model_type": "llama", "hidden_size": ' + b"9" * 3_000_000 + b"}",
    "list.json": b"[1, 2, 3]",
    "empty.json": b"",
    "empty.yaml": b"",
}

_ASK = """
import sys, time
from pathlib import Path
start = time.process_time()
from llmroof.errors import LlmroofError
from llmroof.models.load import load_model
try:
    load_model(sys.argv[1])
except LlmroofError as error:
    text = str(error)
    own = [line.split() for line in Path("/proc/self/status").read_text().splitlines()]
    peak = next(float(words[1]) / 1000 for words in own if words[0] == "VmHWM:")
    print(time.process_time() - start, peak, error.exit_code, len(text), "\\n" in text)
"""


def refused(file: Path) -> None:
    """Within two seconds of work and 300 MB, imports included; one line, exit code 2."""
    done = subprocess.run(
        [sys.executable, "-c", _ASK, str(file)], capture_output=True, text=True, check=True
    )
    seconds, megabytes, code, length, more_lines = done.stdout.split()
    assert float(seconds) < SECONDS
    assert float(megabytes) < MEGABYTES
    assert (code, more_lines) == ("2", "False")
    assert int(length) < 500 + len(str(file))


ON_LINUX = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")


@ON_LINUX
@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_costs_little(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(FILES[name])
    refused(file)


@ON_LINUX
@pytest.mark.parametrize("ending", ["json", "yaml", "gguf", "safetensors"])
def test_a_huge_file_costs_little(ending: str, tmp_path: Path) -> None:
    """100 MB, most of it a hole."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIGS[0]))
    file = tmp_path / f"huge.{ending}"
    with file.open("wb") as stream:
        stream.write(b'{"model_type": "llama", "x": "')
        stream.truncate(100_000_000)
    refused(file)


ODD = st.sampled_from(
    [None, 0, -1, 1, 3, 7, 2**31, 2**63, 10**30, 1.5, -0.0, 1e30, float("nan"), float("inf"), True,
     False, "", "full_attention", "x" * 5000, [], [0], [1, 2], ["a"], {}, {"a": 1}]
)  # fmt: skip


def answer(config: dict[str, Any]) -> Model | None:
    """The model of a config, used in every way; None where it was refused."""
    try:
        model = model_of(Config(config, "config.json"))
    except LlmroofError as error:
        return _clean(error)
    run = Execution(recipe("bf16"))
    flop = sum(op.flop * op.count for op in model.operators([Step(2, 100)], run))
    assert 0 <= flop < float("inf")
    assert 0 < model.active_parameters <= model.parameters * (1 + 1e-12)
    assert model.kv_cache_bytes(1000.0, run.precision) >= 0
    read_model(parse_yaml(to_yaml(model), "again.yaml"), MODELS.path("llama-3.1-8b"))
    return model


def _clean(error: LlmroofError) -> None:
    assert "\n" not in str(error)
    assert error.exit_code == 2


@settings(max_examples=400)
@given(st.data())
def test_odd_values_under_known_keys(data: st.DataObject) -> None:
    """One to three values of a real config replaced: a model or a clean error."""
    config = copy.deepcopy(data.draw(st.sampled_from(CONFIGS)))
    for _ in range(data.draw(st.integers(1, 3))):
        config[data.draw(st.sampled_from(sorted(config)))] = data.draw(ODD)
    answer(config)


@settings(max_examples=150)
@given(st.data())
def test_keys_left_out(data: st.DataObject) -> None:
    config = copy.deepcopy(data.draw(st.sampled_from(CONFIGS)))
    for _ in range(data.draw(st.integers(1, 3))):
        config.pop(data.draw(st.sampled_from(sorted(config))), None)
        if not config:
            break
    answer(config)


SIZES = {*LAYERS, *HIDDEN, *HEADS, *EXPERTS, *TOP_K, "vocab_size"}


@pytest.mark.parametrize("name", COUNTED)
def test_no_size_of_a_config_is_guessed(name: str) -> None:
    """Each of the sizes that make a model, left out of a real config, is asked for."""
    config = COUNTED[name]["config"]
    given = SIZES & {key for key, value in config.items() if value is not None}
    for key in sorted(given):
        with pytest.raises(LlmroofError, match=r"config\.json"):
            model_of(Config({k: v for k, v in config.items() if k != key}, "config.json"))


@pytest.mark.parametrize("name", known_architectures())
def test_an_architecture_alone_is_no_model(name: str) -> None:
    """Nothing but a name: the first missing key is named, no class default stands in."""
    with pytest.raises(LlmroofError, match="is missing"):
        model_of(Config({"model_type": name}, "config.json"))
