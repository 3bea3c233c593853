"""150 more configs against what transformers' own modules hold and execute.

`counted_models.json` was written by `validation/count_models.py` (transformers 5.23.0 and
torch 2.13.0 on the meta device, which know nothing of llmroof): class defaults of model
types, and sizes of published models. Each config is cut down to the keys that matter.
A figure of the module that stands for something else than what engines do is listed under
`differs` with the reason, and not compared.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmroof.models.hf_config.read import model_of
from llmroof.models.hf_config.view import Config
from llmroof.models.model import Model
from llmroof.operators import Execution, Step
from llmroof.specs.precision import recipe

COUNTED: dict[str, Any] = json.loads(
    Path(__file__).with_name("counted_models.json").read_text("utf-8")
)
BF16 = recipe("bf16")


def flop(model: Model, kinds: set[str], step: Step) -> float:
    operators = model.operators([step], Execution(BF16))
    return float(sum(op.flop * op.count for op in operators if op.kind in kinds))


def figures(model: Model) -> dict[str, float]:
    """What the file has figures of, as llmroof counts it."""
    prompt, token = Step(1, 1024), Step(1, 1, 4095)
    return {
        "parameters": model.parameters,
        "active_parameters": model.active_parameters,
        "kv_cache_bytes_per_token": model.kv_cache_bytes_per_token(BF16),
        "state_bytes_per_sequence": model.state_bytes_per_sequence(BF16),
        "prefill_matmul_flop": flop(model, {"gemm", "moe"}, prompt),
        "prefill_attention_flop": flop(model, {"attention", "mla"}, prompt),
        "decode_matmul_flop": flop(model, {"gemm", "moe"}, token),
    }


@pytest.mark.parametrize("name", COUNTED)
def test_the_count_is_the_module_s(name: str) -> None:
    entry = COUNTED[name]
    found = figures(model_of(Config(entry["config"], "config.json")))
    assert {key: found[key] for key in entry["counted"]} == entry["counted"]


def test_every_difference_has_a_reason_and_is_one() -> None:
    for entry in COUNTED.values():
        found = figures(model_of(Config(entry["config"], "config.json")))
        for key, stated in entry.get("differs", {}).items():
            assert stated["because"]
            assert found[key] != stated["module"], "equal by now: move it to `counted`"


def test_most_figures_are_compared() -> None:
    compared = sum(len(entry["counted"]) for entry in COUNTED.values())
    differing = sum(len(entry.get("differs", {})) for entry in COUNTED.values())
    types = {entry["config"]["model_type"] for entry in COUNTED.values()}
    assert compared > 900
    assert differing < 20
    assert len(types) >= 110
