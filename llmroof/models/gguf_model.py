"""GGUF metadata -> Model: llama.cpp's keys as those of a config.json, precision as stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NoReturn

from llmroof.errors import Problem, SpecError, nearest
from llmroof.models.gguf_file import GgufHeader, read_gguf
from llmroof.models.hf_config.read import model_of
from llmroof.models.hf_config.view import Config
from llmroof.models.model import Model
from llmroof.models.stored import role_of, with_stored
from llmroof.specs.hardware import Source

#: general.architecture -> model_type
ARCHITECTURES: Final = {
    "apertus": "apertus", "arcee": "arcee", "bailingmoe": "bailing_moe", "bloom": "bloom",
    "chatglm": "glm", "cohere2": "cohere2", "command-r": "cohere", "deepseek": "deepseek",
    "deepseek2": "deepseek_v2", "dots1": "dots1", "ernie4_5": "ernie4_5",
    "ernie4_5-moe": "ernie4_5_moe", "exaone": "exaone", "exaone4": "exaone4",
    "falcon": "falcon", "gemma": "gemma", "gemma2": "gemma2", "gemma3": "gemma3_text",
    "glm4": "glm4", "glm4moe": "glm4_moe", "gpt-oss": "gpt_oss", "gpt2": "gpt2",
    "gptneox": "gpt_neox", "granite": "granite", "granitemoe": "granitemoe",
    "hunyuan-dense": "hunyuan_v1_dense", "internlm2": "internlm2", "llama": "llama",
    "minicpm": "minicpm", "mistral3": "ministral3", "mpt": "mpt", "nemotron": "nemotron",
    "olmo": "olmo", "olmo2": "olmo2", "olmoe": "olmoe", "orion": "orion", "phi2": "phi",
    "phi3": "phi3", "phimoe": "phimoe", "qwen2": "qwen2", "qwen2moe": "qwen2_moe",
    "qwen2vl": "qwen2_vl", "qwen3": "qwen3", "qwen3moe": "qwen3_moe", "seed_oss": "seed_oss",
    "smollm3": "smollm3", "stablelm": "stablelm", "starcoder2": "starcoder2",
}  # fmt: skip

#: key behind "<architecture>." -> key of a config.json
_KEYS: Final = {
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.sliding_window": "sliding_window",
    "attention.q_lora_rank": "q_lora_rank",
    "attention.kv_lora_rank": "kv_lora_rank",
    "attention.value_length_mla": "v_head_dim",
    "context_length": "max_position_embeddings",
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
    "expert_shared_count": "n_shared_experts",
    "leading_dense_block_count": "first_k_dense_replace",
    "vocab_size": "vocab_size",
    "nextn_predict_layers": "num_nextn_predict_layers",
}
#: relative difference between the file's values and the decoder's parameters that is let pass
_AGREES: Final = 0.01


def read_gguf_model(file: Path) -> Model:
    """The model of a GGUF file. Raises SpecError."""
    header = read_gguf(file)
    name = str(header.values.get("general.architecture", ""))
    if name not in ARCHITECTURES:
        guess = nearest(name, ARCHITECTURES)
        hint = f"; the nearest known one is '{guess}'" if guess else ""
        _fault(file, "general.architecture", f"unknown architecture '{name[:60]}'{hint}")
    config = Config(_config(header, name), str(file))
    title = str(header.values.get("general.name") or file.stem)
    model = with_stored(replace(model_of(config), id=file.stem, name=title), header.tensors)
    _check(file, header, model)
    source = Source((), f"header of {file.name}", confidence="high")
    return replace(model, sources=(source,), family=config.model_type)


def _config(header: GgufHeader, name: str) -> dict[str, Any]:
    """The keys of a config.json that the metadata stands for."""
    values: dict[str, Any] = {"model_type": ARCHITECTURES[name], "dtype": "float16"}
    for key, theirs in _KEYS.items():
        found = header.values.get(f"{name}.{key}")
        if isinstance(found, list):
            found = found[0] if found and len(set(found)) == 1 else None
        if found is not None:
            values[theirs] = found
    table = header.shapes.get("token_embd.weight")
    if table:
        values["vocab_size"] = table[-1]
    values["tie_word_embeddings"] = "output.weight" not in header.shapes
    _settle(values, header, name)
    return values


def _settle(values: dict[str, Any], header: GgufHeader, name: str) -> None:
    """What one architecture of llama.cpp serves under several model types of transformers."""
    experts = values.get("num_experts")
    if name == "llama" and experts:
        values["model_type"] = "mixtral"
    if name == "gemma3" or name == "phi3":
        values.setdefault("sliding_window", None)
    biased = {"attn_q.bias": "attention_bias", "ffn_up.bias": "mlp_bias"}
    for tensor, key in biased.items():
        values.setdefault(key, f"blk.0.{tensor}" in header.shapes)
    values.setdefault("qkv_bias", values["attention_bias"])
    values.setdefault("use_qkv_bias", values["attention_bias"])
    if name == "glm4moe":
        values["use_qk_norm"] = "blk.0.attn_q_norm.weight" in header.shapes
    if name == "deepseek2":
        rope = header.values.get(f"{name}.rope.dimension_count")
        whole = header.values.get(f"{name}.attention.key_length_mla")
        values["qk_rope_head_dim"] = rope
        if isinstance(whole, int) and isinstance(rope, int):
            values["qk_nope_head_dim"] = whole - rope


def _check(file: Path, header: GgufHeader, model: Model) -> None:
    """The tensors must add up to the decoder that the metadata describe."""
    aside = ("mtp", "tower")
    held = sum(t.elements for t in header.tensors if role_of(t.name, model.num_layers) not in aside)
    if abs(held - model.parameters) > _AGREES * model.parameters:
        message = f"its tensors hold {held} values, its metadata describe {model.parameters}"
        _fault(file, "", message)


def _fault(file: Path, key: str, message: str) -> NoReturn:
    raise SpecError([Problem(str(file), 0, key, message)])
