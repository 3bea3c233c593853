"""What a checkpoint's quantization_config means, and bits per weight that follow.

Configs are abridged from published checkpoints; the modules they leave alone are what
decides the bytes.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmroof.errors import SpecError, UnknownName, Unsupported
from llmroof.models.hf_config import read_config
from llmroof.models.load import load_model
from llmroof.models.model import Model
from llmroof.models.quantized import quantized
from llmroof.specs.formats import number_format
from llmroof.specs.precision import recipe

Config = dict[str, Any]

LLAMA: Config = {
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1024,
    "torch_dtype": "bfloat16",
}
EXPERTS: Config = LLAMA | {
    "model_type": "qwen3_moe",
    "head_dim": 64,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 128,
}
COMPRESSED: Config = {
    "quant_method": "compressed-tensors",
    "ignore": ["lm_head"],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {"num_bits": 4, "type": "int", "group_size": 128, "symmetric": True},
        }
    },
}


def floats(weights: Config) -> Config:
    """compressed-tensors with weights of one floating-point scheme."""
    group = {"targets": ["Linear"], "weights": {"type": "float", **weights}}
    return {**COMPRESSED, "config_groups": {"group_0": group}}


def read(folder: Path, quantization: Config | None, base: Config = LLAMA) -> Model:
    config = base if quantization is None else base | {"quantization_config": quantization}
    file = folder / "config.json"
    file.write_text(json.dumps(config))
    return read_config(file)


def bits(model: Model, role: str) -> float:
    """Stored bits per weight of a role, scales included."""
    return 8 * model.precision.weight(role).bytes


@pytest.mark.parametrize(
    ("dtype", "wide"), [("bfloat16", 16), ("float16", 16), ("float32", 32), (None, 16)]
)
def test_without_a_word_it_is_the_dtype(dtype: str | None, wide: int, tmp_path: Path) -> None:
    model = read(tmp_path, None, LLAMA | {"torch_dtype": dtype})
    assert {bits(model, role) for role in ("mlp", "attention", "lm_head", "norm")} == {wide}


@pytest.mark.parametrize(
    ("quantization", "stored", "activations"),
    [
        # a 32-bit scale per 128 x 128 block (DeepSeek-V3)
        (
            {"quant_method": "fp8", "weight_block_size": [128, 128], "fmt": "e4m3"},
            8 + 32 / 128**2,
            "fp8",
        ),
        ({"quant_method": "fbgemm_fp8", "modules_to_not_convert": []}, 8, "fp8"),
        # a 16-bit scale and a packed zero point per 128 values
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, 4 + (16 + 4) / 128, "bf16"),
        ({"quant_method": "gptq", "bits": 8, "group_size": 32}, 8 + (16 + 8) / 32, "bf16"),
        (
            {"quant_method": "awq", "bits": 4, "group_size": 64, "zero_point": True},
            4 + (16 + 4) / 64,
            "bf16",
        ),
        (
            {"quant_method": "awq", "bits": 4, "group_size": 64, "zero_point": False},
            4 + 16 / 64,
            "bf16",
        ),
        (COMPRESSED, 4 + 16 / 128, "bf16"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, 8, "int8"),
        # absmax per 64 values: 32 bits, or 8 bits with a 32-bit one per 256 of them
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, 4 + 32 / 64, "bf16"),
        (
            {
                "quant_method": "bitsandbytes",
                "load_in_4bit": True,
                "bnb_4bit_use_double_quant": True,
            },
            4 + 8 / 64 + 32 / (64 * 256),
            "bf16",
        ),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, 8, "fp8"),
        # an 8-bit scale per 16 values (NVFP4), per 32 (MXFP4)
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, 4 + 8 / 16, "nvfp4"),
        ({"quant_method": "modelopt", "quant_algo": "MXFP4"}, 4 + 8 / 32, "bf16"),
        ({"quant_method": "bitnet"}, 2, "int8"),
        ({"quant_method": "eetq"}, 8, "bf16"),
        # compressed-tensors in floats: a 32-bit scale per block, an 8-bit one per 16 or 32 values
        (floats({"num_bits": 8, "block_structure": [64, 128]}), 8 + 32 / (64 * 128), "bf16"),
        (floats({"num_bits": 4, "group_size": 16}), 4 + 8 / 16, "bf16"),
        (floats({"num_bits": 4, "group_size": 32}), 4 + 8 / 32, "bf16"),
    ],
)
def test_bits_of_every_method(
    quantization: Config, stored: float, activations: str, tmp_path: Path
) -> None:
    model = read(tmp_path, quantization)
    assert bits(model, "mlp") == pytest.approx(stored, rel=1e-3)
    assert model.precision.activations.id == activations
    for role in ("embedding", "lm_head", "norm"):
        assert bits(model, role) == 16


def test_groups_of_compressed_tensors_aim_at_modules(tmp_path: Path) -> None:
    """Attention in 8 bits, the rest in 4, whichever group stands first."""
    wide = {
        "targets": ["re:.*self_attn.*"],
        "weights": {"num_bits": 8, "type": "float"},
    }
    groups = {"group_0": wide, "group_1": COMPRESSED["config_groups"]["group_0"]}
    model = read(tmp_path, COMPRESSED | {"config_groups": groups}, EXPERTS)
    assert bits(model, "attention") == 8
    assert bits(model, "experts") == 4.125
    assert bits(model, "lm_head") == 16


@pytest.mark.parametrize("key", ["quantization", "quantization_config"])
def test_mlx_quantizes_tables_too(key: str, tmp_path: Path) -> None:
    """A 16-bit scale and bias per group: 4 + 32 / 64 bits."""
    model = read(tmp_path, None, LLAMA | {key: {"group_size": 64, "bits": 4}})
    assert {bits(model, role) for role in ("mlp", "embedding", "lm_head")} == {4.5}
    assert bits(model, "norm") == 16
    assert model.precision.compute("mlp") == "bf16"
    mixed_bits = {"group_size": 64, "bits": 4, "lm_head": {"group_size": 64, "bits": 6}}
    with pytest.raises(SpecError, match="differ between modules"):
        read(tmp_path, None, LLAMA | {key: mixed_bits})
    with pytest.raises(SpecError, match="mode"):
        read(tmp_path, None, LLAMA | {key: {"group_size": 64, "bits": 4, "mode": "magic"}})


def test_weights_alone_in_low_bits_compute_in_16(tmp_path: Path) -> None:
    model = read(tmp_path, {"quant_method": "gptq", "bits": 4, "group_size": 128})
    assert model.precision.compute("mlp") == "bf16"
    both = read(tmp_path, {"quant_method": "fp8", "weight_block_size": [128, 128]})
    assert both.precision.compute("mlp") == "fp8"
    assert both.precision.compute("lm_head") == "bf16"


@pytest.mark.parametrize(
    ("ignored", "kept"),
    [
        (["lm_head"], set()),
        (["re:.*self_attn.*"], {"attention"}),
        (["model.layers.*self_attn*"], {"attention"}),
        (["self_attn"], {"attention"}),
        (["re:.*mlp.gate$", "re:.*self_attn.*", "re:.*mlp\\.(gate|up|down)_proj"], {"attention"}),
    ],
)
def test_modules_left_alone(ignored: list[str], kept: set[str], tmp_path: Path) -> None:
    model = read(tmp_path, COMPRESSED | {"ignore": ignored}, EXPERTS)
    found = {role for role in ("attention", "experts") if bits(model, role) == 16}
    assert found == kept


def test_some_layers_left_alone_are_an_average(tmp_path: Path) -> None:
    """The first of four layers stays in 16 bits."""
    quantization = {
        "quant_method": "fp8",
        "modules_to_not_convert": ["model.layers.0", "lm_head"],
    }
    assert bits(read(tmp_path, quantization), "mlp") == pytest.approx((16 + 3 * 8) / 4)


def test_a_kv_cache_may_be_quantized_too(tmp_path: Path) -> None:
    modelopt = {"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}
    assert read(tmp_path, modelopt).precision.kv_cache.id == "fp8"
    scheme = {"num_bits": 8, "type": "float"}
    assert read(tmp_path, COMPRESSED | {"kv_cache_scheme": scheme}).precision.kv_cache.id == "fp8"
    assert read(tmp_path, COMPRESSED).precision.kv_cache.id == "bf16"


def test_modelopt_writes_a_file_of_its_own(tmp_path: Path) -> None:
    """`hf_quant_config.json` beside a config that says nothing."""
    quantization = {"quantization": {"quant_algo": "NVFP4", "exclude_modules": ["lm_head"]}}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(quantization))
    assert bits(read(tmp_path, None), "mlp") == 4.5


def test_modelopt_may_name_an_algorithm_for_every_module(tmp_path: Path) -> None:
    """Down projections of two of four layers in NVFP4, two in FP8: (4.5 + 8) / 2 bits."""
    listed = {f"model.layers.{i}.self_attn.q_proj": {"quant_algo": "FP8"} for i in range(4)}
    for name in ("gate_proj", "up_proj", "down_proj"):
        for layer in range(4):
            algorithm = "NVFP4" if layer < 2 else "FP8"
            listed[f"model.layers.{layer}.mlp.{name}"] = {"quant_algo": algorithm}
    found = {
        "quant_method": "modelopt",
        "quant_algo": "MIXED_PRECISION",
        "quantized_layers": listed,
        "kv_cache_quant_algo": "FP8",
    }
    model = read(tmp_path, found)
    assert bits(model, "mlp") == (4.5 + 8) / 2
    assert bits(model, "attention") == 8
    assert bits(model, "lm_head") == 16
    assert model.precision.kv_cache.id == model.precision.activations.id == "fp8"


@pytest.mark.parametrize(
    ("quantization", "names"),
    [
        ({"quant_method": "magic"}, "quant_method"),
        ({}, ""),
        ({"bits": 4}, "quant_method"),
        ({"quant_method": "gptq", "bits": 40}, "bits"),
        ({"quant_method": "gptq"}, "bits"),
        ({"quant_method": "fp8", "weight_block_size": [128]}, "weight_block_size"),
        ({"quant_method": "fp8", "weight_block_size": [0, 0]}, "weight_block_size"),
        ({"quant_method": "compressed-tensors"}, "config_groups"),
        ({"quant_method": "modelopt", "quant_algo": "FP3"}, "quant_algo"),
        (
            {"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "FP5"},
            "kv_cache_quant_algo: unknown format 'FP5'",
        ),
        (
            {
                "quant_method": "modelopt",
                "quant_algo": "MIXED_PRECISION",
                "quantized_layers": {"model.layers.0.mlp.down_proj": {"quant_algo": "FP5"}},
            },
            "unknown algorithm 'FP5'",
        ),
        (floats({"num_bits": 6}), "unknown scheme: 6 bits of type 'float'"),
        ({"quant_method": "gptq", "bits": 9, "group_size": 128}, "must be 2 to 8, not 9"),
        ({"quant_method": "fp8", "modules_to_not_convert": ["re:(a+)+b"]}, "repeats"),
        ({"quant_method": "fp8", "modules_to_not_convert": ["re:("]}, "no pattern"),
        ({"quant_method": "fp8", "modules_to_not_convert": ["x" * 1000]}, "too long"),
    ],
)
def test_what_cannot_be_read_is_an_error(quantization: Config, names: str, tmp_path: Path) -> None:
    if not quantization:  # an empty table says nothing
        assert bits(read(tmp_path, quantization), "mlp") == 16
        return
    with pytest.raises(SpecError, match=names):
        read(tmp_path, quantization)


# --- shipped checkpoints -------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "gigabytes"),
    [
        # sizes of the safetensors files on the hub, MTP layers left out where they are stored
        ("gpt-oss-120b", 65.25),
        ("llama-3.1-8b", 16.06),
        ("kimi-k2.5", 594.0),
    ],
)
def test_bytes_of_shipped_checkpoints(model: str, gigabytes: float) -> None:
    loaded = load_model(model)
    assert loaded.weights_bytes(loaded.precision) / 1e9 == pytest.approx(gigabytes, rel=0.01)


def test_deepseek_is_stored_in_blocks_of_fp8() -> None:
    model = load_model("deepseek-v3")
    ends = model.parameters - 671_026_404_352
    assert ends == 0
    assert model.precision.weights.id == "fp8-block"
    held = model.weights_bytes(model.precision)
    assert 8.0 < 8 * held / model.parameters < 8.1


# --- llama.cpp -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "gigabytes"),
    [("q4_0", 4.66), ("q4_k_m", 4.92), ("q5_k_m", 5.73), ("q6_k", 6.60), ("q8_0", 8.54)],
)
def test_gguf_recipes_have_the_size_of_the_files(name: str, gigabytes: float) -> None:
    """Llama-3.1-8B: sizes of the published GGUF files, as their pages list them."""
    model = load_model("llama-3.1-8b")
    assert model.weights_bytes(recipe(name)) / 1e9 == pytest.approx(gigabytes, rel=0.01)


@pytest.mark.parametrize(
    ("model", "gigabytes"), [("qwen3-30b-a3b", 18.56), ("mixtral-8x7b", 28.45)]
)
def test_down_projections_of_experts_are_wider_too(model: str, gigabytes: float) -> None:
    """Sizes of published Q4_K_M files of mixtures of experts."""
    loaded = load_model(model)
    held = loaded.weights_bytes(quantized(loaded, "q4_k_m"))
    assert held / 1e9 == pytest.approx(gigabytes, rel=0.012)


@pytest.mark.parametrize(
    ("model", "name", "gigabytes"),
    [
        ("llama-3.2-3b", "q4_k_m", 2.02),
        ("llama-3.2-3b", "q8_0", 3.42),
        ("gemma-2-9b", "q4_k_m", 5.76),
        ("qwen3-4b", "q4_k_m", 2.50),
    ],
)
def test_a_tied_table_is_stored_as_the_head(model: str, name: str, gigabytes: float) -> None:
    """Sizes of published GGUF files of models whose LM head is the embedding."""
    loaded = load_model(model)
    held = loaded.weights_bytes(quantized(loaded, name))
    assert held / 1e9 == pytest.approx(gigabytes, rel=0.006)
    assert quantized(loaded, name).weight("embedding") == recipe(name).weight("lm_head")


def test_biases_stay_in_the_base_format() -> None:
    """Qwen2.5-7B: 28 layers with 3,584 + 2 * 512 values of bias, 2 bytes each."""
    loaded = load_model("qwen2.5-7b")
    biases = [t for t, _ in loaded.tensors() if t.role == "bias"]
    assert sum(t.elements for t in biases) * 28 == 129_024
    fp8, all_fp8 = recipe("fp8"), replace(recipe("fp8"), roles={"bias": number_format("fp8")})
    assert loaded.weights_bytes(fp8) - loaded.weights_bytes(all_fp8) == 129_024


@pytest.mark.parametrize(
    ("weights", "activations"),
    [
        ("int8", "fp8"),
        ("fp8", "int4"),
        ("fp8", "int8"),
        ("bf16", "fp8"),
        ("nf4", "int8"),
        ("q4_k", "fp8"),
        ("fp8", "mxfp8"),
        ("int4", "q8_0"),
    ],
)
def test_pairs_that_no_kernel_multiplies(weights: str, activations: str) -> None:
    asked = recipe("bf16").with_parts(weights, activations)
    with pytest.raises(Unsupported, match="activations"):
        asked.require_kernels({"mlp", "norm"})


@pytest.mark.parametrize(
    ("weights", "activations"),
    [
        ("int8", "int8"),
        ("int4-g32", "fp8"),
        ("fp8-block", "fp8"),
        ("nvfp4", "fp8"),
        ("q4_k", "int8"),
        ("int4", "int8"),
        ("nf4", "bf16"),
        ("mixed-5.5", "fp8"),
    ],
)
def test_pairs_that_kernels_multiply(weights: str, activations: str) -> None:
    recipe("bf16").with_parts(weights, activations).require_kernels({"mlp", "norm"})


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("int4-g32", 4 + 16 / 32),
        ("int4-g128-zero", 4 + 20 / 128),
        ("int8-g64", 8 + 16 / 64),
        ("fp8-b128x128", 8 + 32 / 128**2),
        ("q4_0", 4.5),
        ("q8_0", 8.5),
        ("q6_k", 6.5625),
        ("iq4_xs", 4.25),
        ("mxfp4", 4.25),
        ("nvfp4", 4.5),
        ("nf4", 4.5),
    ],
)
def test_formats_carry_their_scales(name: str, stored: float) -> None:
    assert 8 * number_format(name).bytes == pytest.approx(stored, rel=1e-3)


@pytest.mark.parametrize(
    "name", ["int4-g0", "int99-g32", "fp8-b0x0", "q4_k_xxl", "", "int4-g", "mixed-99", "mixed-0.5"]
)
def test_unknown_formats_are_errors(name: str) -> None:
    with pytest.raises(UnknownName):
        number_format(name)
