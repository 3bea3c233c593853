"""What the project depends on, and what it never does: run what it reads, call anybody."""

from __future__ import annotations

import ast
import json
import re
import socket
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import llmroof
from llmroof.cli.main import cli
from llmroof.errors import LlmroofError

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(llmroof.__file__).resolve().parent
PROJECT = ROOT / "pyproject.toml"
#: calls that run text or load code
RUNNING = {"eval", "exec", "compile", "__import__", "execfile"}
STARTING = {"os.system", "os.popen", "os.execv", "os.execvp", "os.spawnv", "os.posix_spawn"}
#: modules that load objects, or start programs
LOADING = {"pickle", "marshal", "shelve", "dill", "joblib", "ctypes", "subprocess", "socket"}
LOADING |= {"urllib", "http", "requests", "httpx", "ftplib", "smtplib"}
#: part -> what it needs of these: a server on this machine, and devices that work together
NEEDED: dict[str, set[str]] = {
    "serve": {"socket", "http", "urllib"},
    "measure": {"socket", "subprocess"},
}
#: YAML that a careless loader runs
TAGS = (
    "!!python/object/apply:os.system ['touch ran']",
    "!!python/object/new:os.system ['touch ran']",
    "!!python/name:os.system",
    "!!python/module:os",
    "!<tag:yaml.org,2002:python/object/apply:subprocess.check_call> [[touch, ran]]",
)


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.skipif(not PROJECT.is_file(), reason="no pyproject beside the tests")
def test_dependencies_are_few_and_have_lower_bounds() -> None:
    found = tomllib.loads(PROJECT.read_text("utf-8"))["project"]
    names = {re.split(r"[<>=]", one)[0] for one in found["dependencies"]}
    assert names == {"click", "numpy", "pandas", "matplotlib", "pyyaml", "rich"}
    assert all(re.fullmatch(r"[a-z]+>=[\d.]+", one) for one in found["dependencies"])


def test_no_source_runs_text_or_loads_objects() -> None:
    wrong = []
    for path in sources():
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in RUNNING:
                wrong.append(f"{name}:{node.lineno} calls {node.func.id}")  # type: ignore[attr-defined]
            call = node.func if isinstance(node, ast.Call) else None
            if isinstance(call, ast.Attribute) and ast.unparse(call) in STARTING:
                wrong.append(f"{name}:{call.lineno} starts a program")
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for module in {one.partition(".")[0] for one in names} & LOADING:
                if module not in NEEDED.get(name.partition(".")[0], set()):
                    wrong.append(f"{name}:{node.lineno} imports {module}")
            if isinstance(node, ast.Attribute) and node.attr in (
                "load", "load_all", "full_load", "unsafe_load", "Loader", "UnsafeLoader",
            ) and getattr(node.value, "id", "") == "yaml":  # fmt: skip
                wrong.append(f"{name}:{node.lineno} reads YAML with yaml.{node.attr}")
    assert wrong == []


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("option", ["gpu", "model", "check", "axes"])
def test_nothing_in_a_yaml_is_run(
    tag: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "spec.yaml"
    file.write_text(f"name: {tag}\nmemory: {tag}\nbatch: {tag}\nscenarios: {tag}\n")
    args = {
        "gpu": ["estimate", "--gpu", "./spec.yaml"],
        "model": ["estimate", "--model", "./spec.yaml"],
        "check": ["check", "spec.yaml"],
        "axes": ["sweep", "--axes", "spec.yaml"],
    }[option]
    result = CliRunner().invoke(cli, args)
    assert result.exit_code == 2, result.output
    assert len(result.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["spec.yaml"]


def test_code_beside_a_config_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto_map` names modules that other software imports from the model's folder."""
    (tmp_path / "modeling_mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    config: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
        "intermediate_size": 128, "num_attention_heads": 4, "num_hidden_layers": 2,
        "vocab_size": 100, "max_position_embeddings": 2048, "torch_dtype": "bfloat16",
        "auto_map": {"AutoModelForCausalLM": "modeling_mine.Mine"}, "trust_remote_code": True,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.syspath_prepend(tmp_path)
    with suppress(LlmroofError):  # refused is as good: nothing ran
        llmroof.estimate(model=str(tmp_path), gpu="a100")
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No socket opens; who tried is listed."""
    tried: list[str] = []

    def refuse(*args: object, **_: object) -> None:
        tried.append(str(args[:2]))
        raise OSError("no network here")

    for name in ("socket", "create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)
    return tried


@pytest.mark.parametrize(
    "line",
    [
        "estimate", "estimate --gpu h100 -c 8", "layers", "kv", "explain", "advise --model gpt2",
        "sweep --model gpt2", "compare a100 h100", "recommend --gpu l4 --model gpt2", "gpus",
        "gpus show a100", "models", "models show gpt2", "check plan.yaml", "estimate --model zzz",
        "estimate --gpu https://example.com/gpu.yaml", "estimate --model ./none/config.json",
    ],
)  # fmt: skip
def test_no_command_calls_anybody(
    line: str, offline: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text("baseline: false\nscenarios: {a: {assert: fits}}\n")
    result = CliRunner().invoke(cli, line.split())
    assert result.exit_code in (0, 1, 2)
    assert offline == []
