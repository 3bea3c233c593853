"""Configs to models: traps of config files, what an error says, wrappers, precision.

Figures are parameters and cache bytes of published checkpoints; where a hub states a
checkpoint's size in its safetensors metadata, that is what is typed in.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llmroof.blocks.attention import Attention
from llmroof.blocks.base import Block
from llmroof.cli.main import cli
from llmroof.errors import InputError, SpecError
from llmroof.models.export import to_yaml
from llmroof.models.hf_config import read_config
from llmroof.models.hf_config.read import known_architectures
from llmroof.models.load import load_model
from llmroof.models.model import Model
from llmroof.specs.precision import recipe

Config = dict[str, Any]
BF16 = recipe("bf16")

SMALL: Config = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
    "max_position_embeddings": 4096,
}


def read(folder: Path, config: Config) -> Model:
    file = folder / "config.json"
    file.write_text(json.dumps(config))
    return read_config(file)


def fault(folder: Path, config: Config) -> str:
    with pytest.raises(SpecError) as caught:
        read(folder, config)
    message = str(caught.value)
    assert "config.json" in message
    assert "\n" not in message
    return message


def blocks(model: Model, kind: str) -> list[Block]:
    """The blocks of one kind, layer by layer."""
    return [
        block
        for count, layer in model.layers
        for _ in range(count)
        for block in layer
        if block.kind == kind
    ]


# --- what a config leaves unsaid -----------------------------------------------------


@pytest.mark.parametrize(
    ("model_type", "tied"),
    [("gemma", True), ("starcoder2", True), ("llama", False), ("qwen2", False), ("cohere", True)],
)
def test_tying_has_a_default_per_architecture(model_type: str, tied: bool, tmp_path: Path) -> None:
    silent = {**SMALL, "model_type": model_type, "head_dim": 16}
    assert read(tmp_path, silent).head.tied is tied
    assert read(tmp_path, {**silent, "tie_word_embeddings": not tied}).head.tied is not tied


def test_tying_may_stand_outside_of_the_text_table(tmp_path: Path) -> None:
    text = {**SMALL, "model_type": "qwen3_vl_text", "head_dim": 16}
    whole = {"model_type": "qwen3_vl", "text_config": text}
    assert not read(tmp_path, whole).head.tied
    assert read(tmp_path, {**whole, "tie_word_embeddings": True}).head.tied


def test_head_dim_is_not_always_width_over_heads(tmp_path: Path) -> None:
    explicit = read(tmp_path, {**SMALL, "model_type": "qwen3", "head_dim": 32})
    assert explicit.kv_cache_bytes_per_token(BF16) == 6 * 2 * 2 * 32 * 2
    default = read(tmp_path, {**SMALL, "model_type": "gemma"})  # 256 whatever the width
    assert default.kv_cache_bytes_per_token(BF16) == 6 * 2 * 2 * 256 * 2
    assert read(tmp_path, SMALL).kv_cache_bytes_per_token(BF16) == 6 * 2 * 2 * 16 * 2


def test_biases_without_a_key(tmp_path: Path) -> None:
    """Qwen2 biases q, k and v: (4 + 2 + 2) heads of 16 in each of 6 layers."""
    plain = read(tmp_path, SMALL).parameters
    assert read(tmp_path, {**SMALL, "model_type": "qwen2"}).parameters - plain == 6 * 8 * 16
    biased = {**SMALL, "attention_bias": True}
    assert read(tmp_path, biased).parameters - plain == 6 * (8 * 16 + 64)


@pytest.mark.parametrize(
    ("model_type", "norms"),
    [
        ("qwen3", 2 * 64 + 2 * 16),  # q and k over a head
        ("olmo2", 2 * 64 + 4 * 16 + 2 * 16),  # q and k over all heads; norms behind the blocks
        ("gemma2", 4 * 64),
        ("gemma3_text", 4 * 64 + 2 * 16),
    ],
)
def test_norms_of_a_layer(model_type: str, norms: int, tmp_path: Path) -> None:
    """Parameters of a layer beyond its matrices."""
    model = read(tmp_path, {**SMALL, "model_type": model_type, "head_dim": 16})
    matrices = 64 * 16 * (4 + 2 + 2 + 4) + 3 * 64 * 96
    layers = sum(block.parameters for _, layer in model.layers[:1] for block in layer)
    assert layers - matrices == norms


def test_a_window_in_the_config_is_not_always_in_use(tmp_path: Path) -> None:
    window = {**SMALL, "model_type": "qwen2", "sliding_window": 128}
    for config in (window, {**window, "use_sliding_window": False}):
        assert {block.window for block in blocks(read(tmp_path, config), "attention")} == {None}
    mistral = read(tmp_path, {**window, "model_type": "mistral"})
    assert {block.window for block in blocks(mistral, "attention")} == {128}


def test_windows_alternate(tmp_path: Path) -> None:
    common = {**SMALL, "head_dim": 16, "sliding_window": 128}
    gemma2 = read(tmp_path, {**common, "model_type": "gemma2"})
    assert [b.window for b in blocks(gemma2, "attention")] == [128, None] * 3
    gemma3 = read(tmp_path, {**common, "model_type": "gemma3_text"})
    assert [b.window for b in blocks(gemma3, "attention")] == [128] * 5 + [None]
    kinds = ["full_attention", *["sliding_attention"] * 5]
    listed = read(tmp_path, {**common, "model_type": "gemma3_text", "layer_types": kinds})
    assert [b.window for b in blocks(listed, "attention")] == [None] + [128] * 5


def test_falcon_has_one_kv_head_whatever_it_says(tmp_path: Path) -> None:
    """`num_kv_heads` counts only in the new decoder; `multi_query` alone means one."""
    falcon = {
        "model_type": "falcon",
        "hidden_size": 4544,
        "num_hidden_layers": 32,
        "num_attention_heads": 71,
        "num_kv_heads": 71,
        "multi_query": True,
        "new_decoder_architecture": False,
        "parallel_attn": True,
        "bias": False,
        "vocab_size": 65024,
    }
    model = read(tmp_path, falcon)
    assert model.parameters == 6_921_720_704
    assert model.kv_cache_bytes_per_token(BF16) == 8192


def test_dense_layers_first_then_experts(tmp_path: Path) -> None:
    config = {
        **SMALL,
        "model_type": "deepseek_v3",
        "q_lora_rank": 32,
        "kv_lora_rank": 24,
        "qk_nope_head_dim": 16,
        "qk_rope_head_dim": 8,
        "v_head_dim": 16,
        "n_routed_experts": 8,
        "num_experts_per_tok": 2,
        "n_shared_experts": 1,
        "moe_intermediate_size": 40,
        "first_k_dense_replace": 2,
        "num_nextn_predict_layers": 1,
    }
    model = read(tmp_path, config)
    assert [layer[1].kind for _, layer in model.layers] == ["mlp", "moe"]
    assert [count for count, _ in model.layers] == [2, 4]
    assert model.kv_cache_bytes_per_token(BF16) == 6 * (24 + 8) * 2
    routed = 4 * 8 * 3 * 64 * 40
    assert model.parameters - model.active_parameters == routed * 6 / 8
    assert "mtp_layers" in model.unused
    bare = {k: v for k, v in config.items() if k != "num_nextn_predict_layers"}
    assert read(tmp_path, bare).unused == {}
    assert read(tmp_path, bare).parameters == model.parameters


def test_interleaved_experts(tmp_path: Path) -> None:
    config = {
        **SMALL,
        "model_type": "qwen3_moe",
        "head_dim": 16,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 40,
        "decoder_sparse_step": 2,
        "mlp_only_layers": [5],
    }
    found = ["moe" if len(blocks_of) else "mlp" for blocks_of in _moe_by_layer(tmp_path, config)]
    assert found == ["mlp", "moe", "mlp", "moe", "mlp", "mlp"]


def _moe_by_layer(folder: Path, config: Config) -> list[list[Block]]:
    model = read(folder, config)
    layers = [layer for count, layer in model.layers for _ in range(count)]
    return [[block for block in layer if block.kind == "moe"] for layer in layers]


def test_a_hybrid_keeps_state_instead_of_a_growing_cache(tmp_path: Path) -> None:
    config = {
        **SMALL,
        "model_type": "qwen3_next",
        "head_dim": 16,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 40,
        "shared_expert_intermediate_size": 40,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_conv_kernel_dim": 4,
        "full_attention_interval": 3,
    }
    model = read(tmp_path, config)
    kinds = [layer[0].kind for count, layer in model.layers for _ in range(count)]
    assert kinds == ["delta_net", "delta_net", "attention"] * 2
    assert model.kv_cache_bytes_per_token(BF16) == 2 * 2 * 2 * 16 * 2
    matrices, conv = 4 * 8 * 8 * 4, (2 * 2 * 8 + 4 * 8) * 4 * 2
    assert model.state_bytes_per_sequence(BF16) == 4 * (matrices + conv)


# --- errors --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_type", "nearest"),
    [("llama5", "llama"), ("qwen4_moe", "qwen3_moe"), ("mixtrall", "mixtral")],
)
def test_an_unknown_architecture_is_named_with_its_neighbour(
    model_type: str, nearest: str, tmp_path: Path
) -> None:
    message = fault(tmp_path, {**SMALL, "model_type": model_type})
    assert f"unknown architecture '{model_type}'" in message
    assert f"'{nearest}'" in message


@pytest.mark.parametrize(
    "key",
    ["hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "intermediate_size"],
)
def test_a_missing_size_is_named(key: str, tmp_path: Path) -> None:
    config = {name: value for name, value in SMALL.items() if name != key}
    assert key in fault(tmp_path, config)


def test_a_missing_number_of_experts_is_no_dense_model(tmp_path: Path) -> None:
    config = {**SMALL, "model_type": "mixtral"}
    assert "num_experts" in fault(tmp_path, config)


@pytest.mark.parametrize("key", ["hidden_size", "num_hidden_layers", "num_key_value_heads"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "64", True, [64], {}, 1e30, 10**30])
def test_a_size_that_is_none_is_named(key: str, value: object, tmp_path: Path) -> None:
    assert key in fault(tmp_path, {**SMALL, key: value})


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_a_size_that_is_no_number_is_named(text: str, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(SMALL).replace('"hidden_size": 64', f'"hidden_size": {text}'))
    with pytest.raises(SpecError, match="hidden_size"):
        read_config(file)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"num_key_value_heads": 3}, "num_key_value_heads"),
        ({"num_attention_heads": 128}, "num_attention_heads"),
        ({"num_hidden_layers": 100_000}, "num_hidden_layers"),
        ({"model_type": "gemma3_text", "layer_types": ["full_attention"]}, "layer_types"),
        ({"model_type": "gemma3_text", "layer_types": ["strange"] * 6}, "layer_types"),
        ({"model_type": 7}, "model_type"),
        ({"model_type": None}, "model_type"),
        ({"torch_dtype": "float11"}, "torch_dtype"),
        ({"model_type": "gpt_neo", "attention_types": ["global", 6]}, "attention_types"),
        ({"model_type": "gpt_neo", "attention_types": [[["global"], 5]]}, "attention_types"),
        ({"model_type": "gpt_neo", "attention_types": [[["mixed"], 6]]}, "attention_types"),
        ({"model_type": "doge", "is_moe": True}, "is_moe"),
        ({"model_type": "recurrent_gemma", "block_types": ["recurrent", "mamba"]}, "block_types"),
        ({"model_type": "nemotron_h", "hybrid_override_pattern": "MX"}, "letters M, *, E and -"),
        ({"model_type": "gemma3_text", "layer_types": [1] * 6}, "must be a list of names"),
        ({"model_type": "dbrx", "attn_config": 7}, "must be a table, not 7"),
        (
            {"model_type": "mixtral", "num_local_experts": 2, "num_experts_per_tok": 3},
            "3 of 2 experts cannot be chosen",
        ),
        ({"model_type": "lfm2", "block_ffn_dim_multiplier": -1.0}, "must be a number from 0 to"),
        ({"model_type": "nemotron-nas", "block_configs": [7] * 6}, "one table per layer"),
    ],
)
def test_contradictions_are_named(change: Config, names: str, tmp_path: Path) -> None:
    assert names in fault(tmp_path, {**SMALL, "head_dim": None, **change})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "JSON"),
        ("{", "JSON"),
        ("[1, 2]", "table"),
        ("7", "table"),
        ('{"a": ' * 5000, "deeper"),
        ("[" * 100_000, "deeper"),
        ('{"model_type": "llama", "model_type": "qwen2"}', "twice"),
    ],
)
def test_a_file_that_is_no_config(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(text)
    with pytest.raises(SpecError, match=says):
        read_config(file)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(b'{"model_type": "\xff\xfe"}')
    with pytest.raises(SpecError, match="UTF-8"):
        read_config(file)


def test_a_missing_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such model file"):
        load_model(str(tmp_path / "nothing" / "config.json"))


# --- multimodal checkpoints ----------------------------------------------------------


def test_the_text_decoder_is_modelled_and_the_tower_held(tmp_path: Path) -> None:
    """A CLIP tower beside a Llama: held as `vision_tower`, not run."""
    vision = {
        "model_type": "clip_vision_model",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 56,
        "patch_size": 14,
        "projection_dim": 32,
    }
    whole = {"model_type": "llava", "text_config": SMALL, "vision_config": vision}
    model, alone = read(tmp_path, whole), read(tmp_path, SMALL)
    assert model.parameters == alone.parameters
    held = model.extras["vision_tower"]
    layer = 4 * (32 * 32 + 32) + 2 * 32 * 64 + 64 + 32 + 4 * 32
    ends = (1 + 3 * 14 * 14 + (16 + 1) + 4) * 32  # class token, patches, positions, norms
    projector = 32 * 64 + 64 + 64 * 64 + 64
    assert held == 2 * layer + ends + projector
    assert model.weights_bytes(BF16) - alone.weights_bytes(BF16) == 2 * held


def test_a_tower_that_cannot_be_counted_is_said_so(tmp_path: Path) -> None:
    whole = {
        "model_type": "llava",
        "text_config": SMALL,
        "vision_config": {"model_type": "nobody_knows", "hidden_size": 32},
    }
    model = read(tmp_path, whole)
    assert not model.extras
    assert "nobody_knows" in model.notes


def test_a_nested_table_may_leave_out_what_its_class_knows(tmp_path: Path) -> None:
    """Gemma 3's text table says only what differs from the class; it is told what was taken."""
    text = {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34,
            "model_type": "gemma3_text", "sliding_window": 1024}  # fmt: skip
    model = read(tmp_path, {"model_type": "gemma3", "text_config": text})
    assert model.parameters == 3_880_263_168
    assert "num_attention_heads 8" in model.notes


# --- what can be read can be written -------------------------------------------------

HEADS = {"head_dim": 16}
PLAIN = sorted(
    name
    for name in (
        "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3", "olmo2",
        "cohere", "cohere2", "granite", "glm", "glm4", "stablelm", "starcoder2", "nemotron",
        "exaone4", "smollm3", "seed_oss", "apertus", "arcee", "helium", "hunyuan_v1_dense",
    )
)  # fmt: skip


@pytest.mark.parametrize("model_type", PLAIN)
def test_import_gives_the_same_model(model_type: str, tmp_path: Path) -> None:
    model = read(tmp_path, {**SMALL, **HEADS, "model_type": model_type})
    file = tmp_path / "mine.yaml"
    file.write_text(to_yaml(model))
    again = load_model(str(file))
    assert again.layers == model.layers
    assert (again.embedding, again.head, again.around) == (
        model.embedding,
        model.head,
        model.around,
    )
    assert again.precision == model.precision
    assert again.max_context == model.max_context


def test_the_command_line_imports(tmp_path: Path) -> None:
    """`models import` writes a file that every other command takes, and never over another."""
    read(tmp_path, SMALL)
    mine = tmp_path / "mine.yaml"
    command = ["models", "import", str(tmp_path), "-o", str(mine)]
    first = CliRunner().invoke(cli, command)
    assert (first.exit_code, first.output) == (0, "")
    assert load_model(str(mine)).layers == read_config(tmp_path).layers
    assert load_model(str(mine)).sources[0].title == f"config.json of {tmp_path.name}"
    again = CliRunner().invoke(cli, command)
    assert again.exit_code == 2
    assert "exists" in again.output
    shown = CliRunner().invoke(cli, ["models", "import", str(mine)])
    assert shown.output == mine.read_text()


def test_an_edited_spec_counts(tmp_path: Path) -> None:
    """What a person changes in an imported spec is what is counted."""
    file = tmp_path / "mine.yaml"
    file.write_text(to_yaml(read(tmp_path, SMALL)).replace("count: 6", "count: 12"))
    model = load_model(str(file))
    assert model.num_layers == 12
    (block,) = set(blocks(model, "attention"))
    assert isinstance(block, Attention)
    assert block.kv_heads == 2


def test_the_spec_in_the_documentation_is_one(tmp_path: Path) -> None:
    page = Path(__file__).parent.parent / "docs" / "models.md"
    _, _, rest = page.read_text("utf-8").partition("```yaml\n")
    file = tmp_path / "mine.yaml"
    file.write_text(rest.partition("```")[0])
    assert load_model(str(file)).layers == load_model("qwen3-next-80b-a3b").layers


def test_many_architectures_are_known() -> None:
    names = known_architectures()
    assert len(names) >= 150
    assert {"jamba", "mamba2", "recurrent_gemma", "kimi_linear", "minimax", "glm_moe_dsa"} <= {
        *names
    }
