"""Every JSON output against the schema of its kind, and the schemas against their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llmroof.cli.main import cli
from llmroof.render.schemas import DOCUMENTS, path, schema, text

jsonschema = pytest.importorskip("jsonschema")

ESTIMATES = Path(__file__).resolve().parent / "estimates"
#: kind -> commands whose output is of that kind
OUTPUTS: dict[str, list[str]] = {
    "estimate": [
        "estimate --gpu a100 --batch 32",
        "estimate --gpu h100 --precision fp8 --limit",
        "estimate --model llama-3.1-70b --gpu h100 -tp 4 -b 8",
        "estimate --gpu gaudi2",
        "estimate --model llama-3.1-70b --gpu a100 --tp 1",
        "estimate --no-kv-cache --attention naive --fusion none",
        "estimate --gpu h100 -c 32 --load burst",
        "estimate --gpu h100 -r 2.5 --prefix-hit-rate 0.3",
        "estimate --gpu h100 -b 4 --speculative-tokens 3 --acceptance-rate 0.7"
        " --draft-model llama-3.2-1b",
        "estimate --gpu h100 -b 4 --disaggregated",
        "estimate --gpu h100 -c 64 --disaggregated --prefill-workers 2 --decode-workers 9",
        "estimate --gpu h100 -r 3 --disaggregated --transfer-bandwidth 50GB/s",
    ],
    "estimates": [
        "estimate --batch 1:64:x2 --isl 64,128",
        "estimate --gpu h100 --batch 1:64:x2 --disaggregated",
        "estimate --gpu h100 -c 1:64:x2 --disaggregated",
    ],
    "validation": [
        f"validate {Path(__file__).resolve().parents[1] / 'docs' / 'measured-example.csv'}",
    ],
    "check": [f"check {ESTIMATES / 'scenarios.yaml'}"],
    "layers": ["layers --gpu a100 -b 4", "layers --model llama-3.1-70b --gpu h100 -tp 4"],
    "kv": ["kv --gpu a100", "kv --model mistral-7b --gpu l4 --kv-cache-dtype fp8"],
    "explain": [
        "explain --gpu a100 -b 32",
        "explain --gpu h100 --precision fp8 --section model",
        "explain --gpu h100 -b 8 --disaggregated --decode-workers 2",
    ],
    "sweep": ["sweep --gpu h100,a100 --batch 1:64:x2", "sweep --top 2 --by tpot_s -c 1,4"],
    "recommendation": [
        "recommend --gpu h100,l40s --slo-tpot 0.02",
        "recommend --gpu h100 --slo-tpot 0.0001",
        "recommend --gpu h100,mi300x -r 20 --max-gpus 64",
    ],
    "advice": ["advise --gpu h100 -b 8", "advise --gpu a100 -c 16 --by cost"],
    "comparison": [
        "compare h100 a100,tp=2 -b 8",
        "compare h100 l40s -c 16",
        "compare h100,tp=2 h100,disaggregated -c 16",
    ],
    "model": ["models show llama-3.1-8b", "models show gpt2"],
    "model_list": ["models"],
    "hardware": ["gpus show a100", "gpus show mi300x", "gpus show t4"],
    "hardware_list": ["gpus"],
    "hardware_comparison": ["gpus compare a100 h100 mi300x", "gpus compare t4 apple-m4-max"],
}


def validator(kind: str) -> Any:
    found = schema(kind)
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


@pytest.mark.parametrize(
    ("kind", "command"), [(kind, line) for kind, lines in OUTPUTS.items() for line in lines]
)
def test_outputs_are_valid(kind: str, command: str) -> None:
    result = CliRunner().invoke(cli, [*command.split(), "--format", "json"])
    assert result.exit_code in (0, 1)
    document = json.loads(result.stdout, parse_constant=pytest.fail)
    problems = [f"{e.json_path}: {e.message}" for e in validator(kind).iter_errors(document)]
    assert problems == []


def test_every_kind_is_tried() -> None:
    assert set(OUTPUTS) == set(DOCUMENTS)


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_files_hold_what_the_description_says(kind: str) -> None:
    """After a change: python -m llmroof.render.schemas."""
    assert path(kind).read_text("utf-8") == text(kind)


@pytest.mark.parametrize(
    ("key", "value"),
    [("inputs", {}), ("schema", "llmroof.layers/1"), ("prefill", None), ("basis", ["text"])],
)
def test_the_schema_refuses_what_is_wrong(key: str, value: Any) -> None:
    result = CliRunner().invoke(cli, ["estimate", "--format", "json"])
    document = json.loads(result.stdout)
    assert validator("estimate").is_valid(document)
    assert not validator("estimate").is_valid(document | {key: value})
    del document[key]
    assert not validator("estimate").is_valid(document)
