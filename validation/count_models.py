"""Count a model anew with software that is not ours: transformers on the meta device.

For a ``config.json`` (or the class default of a model type) this builds the transformers module
without allocating a weight, runs it without computing a number, and writes down what was there:
parameters by part, what the module's cache grows by, and the FLOP of every matrix product.
llmroof itself is not imported, so the figures can be held against it.

    python -m validation.count_models path/to/config.json
    python -m validation.count_models mixtral --set num_hidden_layers=4
    python -m validation.count_models path/to/config.json --compare goldens.csv --slug my-model

Needs torch and transformers. Run it as a module, from the project's folder: as a script its
own folder would come first on the path, where `kernels.py` hides a package that transformers
looks for.

Conventions, all of them visible in the columns:

* FLOP are 2·m·n·k of each matrix product. ``*_raw`` is what the module executes; ``weight_flops``
  keeps only products with a weight, one row of logits per sequence in ``_lastlogit``.
* The routed experts run as batched products over the k chosen experts, so that their FLOP are
  those of the chosen experts; a module that runs every expert is scaled by k/E.
* ``attn_causal`` takes the attention core's S×S square and keeps the pairs inside the causal
  triangle and, in a layer with a window W, those at most W−1 tokens apart.
* Cache bytes are what the cache object holds after a prompt, as tensors, bf16 unless the module
  says otherwise.
"""

from __future__ import annotations

import argparse
import csv
import inspect
import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers import AutoConfig
from transformers.models.auto import modeling_auto

from validation.matrix_products import Product, cache_bytes, run
from validation.module_parts import (
    attribute,
    causal_pairs,
    classify,
    expert_counts,
    experts_of,
    window_of,
)

# (name, batch, new tokens, tokens already in the cache)
SCENARIOS = (
    ("p_b1_s1024", 1, 1024, 0),
    ("p_b4_s2048", 4, 2048, 0),
    ("d_b8_c1024", 8, 1, 1023),
    ("d_b1_c4096", 1, 1, 4095),
)
PARTS = (
    "attn_core",
    "linear",
    "mla_kv_b",
    "router",
    "experts",
    "indexer",
    "conv",
    "mixer_core",
    "other_bmm",
    "lm_head",
)


def read_config(source: str, overrides: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return (whole config, config of the text decoder) of a file, a folder or a model type."""
    path = Path(source)
    raw: dict[str, Any] = {}
    if path.exists():
        raw = json.loads((path / "config.json" if path.is_dir() else path).read_text())
        raw.pop("auto_map", None)
        raw.pop("quantization_config", None)
    else:
        raw = {"model_type": source}
    raw.update(overrides)
    text_raw = raw.get("text_config") or raw.get("llm_config") or raw.get("language_config")
    if isinstance(text_raw, dict) and raw["model_type"] not in transformers.CONFIG_MAPPING:
        raw = dict(text_raw, tie_word_embeddings=raw.get("tie_word_embeddings", False))
        raw.pop("auto_map", None)
        raw.pop("quantization_config", None)
    if raw["model_type"] not in transformers.CONFIG_MAPPING:
        raw["model_type"] = _model_type_of_architecture(raw)
    whole = AutoConfig.for_model(**raw) if len(raw) == 1 else _from_dict(raw)
    text = whole.get_text_config(decoder=True)
    if text is not whole and "tie_word_embeddings" in raw:
        text.tie_word_embeddings = raw["tie_word_embeddings"]
    return whole, text


def _from_dict(raw: dict[str, Any]) -> Any:
    return transformers.CONFIG_MAPPING[raw["model_type"]].from_dict(raw)


def _model_type_of_architecture(raw: Mapping[str, Any]) -> str:
    """A config of remote code (kimi_k2) names a class that transformers has under another type."""
    wanted = set(raw.get("architectures") or ())
    for model_type, name in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items():
        if name in wanted:
            return str(model_type)
    raise SystemExit(f"transformers {transformers.__version__} does not know {raw['model_type']}")


def build(whole: Any, text: Any) -> nn.Module:
    """The decoder on the meta device in bf16, eager attention, batched experts.

    Some decoders exist only inside a multimodal module: its towers are taken off.
    """
    if type(text) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
        module = _on_meta(transformers.MODEL_FOR_CAUSAL_LM_MAPPING[type(text)], text)
    else:
        module = _on_meta(transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(whole)], whole)
        for name in towers_of(module):
            owner, _, last = name.rpartition(".")
            delattr(module.get_submodule(owner), last)
    _replace_looping_experts(module, text)
    return module.eval()


def towers_of(module: nn.Module) -> list[str]:
    """Names of the submodules that see or hear."""
    found: list[str] = []
    for name, _ in module.named_modules():
        inside = any(name.startswith(f"{tower}.") for tower in found)
        if name.rpartition(".")[2] in _TOWERS and not inside:
            found.append(name)
    return found


_TOWERS = {"visual", "vision_tower", "vision_model", "multi_modal_projector", "audio_tower"}


def whole_parameters(whole: Any, text: Any) -> int | None:
    """Unique parameters of a multimodal module, towers included; None for a text model."""
    cls = transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING.get(type(whole), None)
    if whole is text or cls is None:
        return None
    return sum(p.numel() for p in _on_meta(cls, whole).parameters())


def _on_meta(cls: Any, config: Any) -> nn.Module:
    for options in (
        {"attn_implementation": "eager", "experts_implementation": "batched_mm"},
        {"attn_implementation": "eager"},
        {},
    ):
        try:
            with torch.device("meta"):
                module = cls._from_config(config, dtype=torch.bfloat16, **options)
            break
        except (ValueError, TypeError) as error:
            problem = error
    else:
        raise problem
    for name, buffer in list(module.named_buffers()):
        if buffer.device.type != "meta":
            owner = module.get_submodule(name.rpartition(".")[0])
            owner._buffers[name.rpartition(".")[2]] = buffer.to("meta")
    return module


def _replace_looping_experts(module: nn.Module, config: Any) -> None:
    """Experts that loop over what the router chose cannot run without data.

    They are replaced by a product over k experts' weights per token, which is what they cost.
    """
    top_k = expert_counts(module, config)[1]
    for experts in experts_of(module).values():
        own = type(experts).forward
        if hasattr(own, "__wrapped__") or not top_k or isinstance(experts, nn.ModuleList):
            continue
        if any(word in inspect.getsource(own) for word in ("nonzero", ".tolist", "torch.where")):
            matrices = [p for p in experts.parameters() if p.dim() > 1]
            number = expert_counts(module, config)[0] or 1
            each = sum(p.numel() for p in matrices) // number
            experts.forward = _chosen_experts(matrices[0], top_k * each)


def _chosen_experts(weight: torch.Tensor, elements: int) -> Any:
    def forward(hidden: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        tokens = hidden.numel() // hidden.shape[-1]
        chosen = weight.reshape(-1)[:1].expand(elements).reshape(elements, 1)
        torch.mm(hidden.new_empty(tokens, elements), chosen)
        return torch.zeros_like(hidden)

    return forward


def parameter_row(module: nn.Module, text: Any) -> dict[str, Any]:
    """Columns that need no run."""
    unique = dict(module.named_parameters())
    embed = module.get_input_embeddings().weight
    head = module.get_output_embeddings()
    head_weight = head.weight if head is not None else embed
    norms = {
        id(p)
        for m in module.modules()
        if "norm" in type(m).__name__.lower()
        for p in m.parameters(recurse=False)
    }
    experts = experts_of(module)
    routed = sum(p.numel() for m in experts.values() for p in m.parameters())
    other_embedding = sum(
        m.weight.numel()
        for m in module.modules()
        if isinstance(m, nn.Embedding) and m.weight is not embed
    )
    return {
        "model_type": text.model_type,
        "hf_class": type(module).__name__,
        "total_params": sum(p.numel() for p in unique.values()),
        "embed_params": embed.numel(),
        "lm_head_params": sum(p.numel() for p in (head or nn.Module()).parameters()),
        "tied": head_weight is embed,
        "other_embedding_params": other_embedding,
        "norm_params": sum(p.numel() for p in unique.values() if id(p) in norms),
        "bias_params": sum(p.numel() for n, p in unique.items() if n.endswith("bias")),
        **{column: attribute(text, name) for column, name in _DIMENSIONS.items()},
        "routed_expert_params": routed,
        "n_moe_layers": len(experts),
    }


_DIMENSIONS = {
    "num_layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "vocab": "vocab_size",
}


def flop_row(
    products: list[Product],
    module: nn.Module,
    config: Any,
    batch: int,
    new: int,
    past: int,
    experts: tuple[int | None, int | None],
) -> dict[str, int]:
    """Columns of one scenario (without its prefix)."""
    holders = experts_of(module)
    parts: Counter[str] = Counter()
    causal = 0
    projections = 0
    for product in products:
        part = classify(product, module, holders)
        parts[part] += product.flop
        if part == "indexer" and product.with_weight:
            projections += product.flop
        if part == "attn_core" and not past:
            window = window_of(product.path, module, config)
            causal += product.flop * causal_pairs(new, window) // new**2
    topk = _top_k_flop(parts["experts"], module, batch * new, experts)
    kv_b = parts["mla_kv_b"] // (past + new) * new
    weight = parts["linear"] + kv_b + parts["router"] + topk + parts["lm_head"] + projections
    row = {"total_raw": sum(parts.values())}
    row |= {f"{part}_raw": parts[part] for part in PARTS}
    row |= {
        "experts_topk": topk,
        "weight_flops": weight,
        "weight_flops_lastlogit": weight - parts["lm_head"] + parts["lm_head"] // new,
    }
    if not past:
        row["attn_causal"] = causal
    return row


def _top_k_flop(
    raw: int, module: nn.Module, tokens: int, experts: tuple[int | None, int | None]
) -> int:
    """FLOP of the chosen experts; a module that ran all of them is scaled down."""
    count, top_k = experts
    if not raw or not count or not top_k:
        return raw
    weights = sum(
        p.numel() for m in experts_of(module).values() for p in m.parameters() if p.dim() > 1
    )
    every = 2 * tokens * weights
    return raw * top_k // count if raw == every and top_k < count else raw


def count(whole: Any, text: Any, short: int = 16, long: int = 8192) -> dict[str, Any]:
    """The whole row of one model. What cannot be run is left out and named in ``notes``."""
    module = build(whole, text)
    row = parameter_row(module, text)
    row["full_multimodal_params"] = whole_parameters(whole, text)
    number, top_k = expert_counts(module, text)
    routed = row["routed_expert_params"]
    row |= {"num_experts": number, "top_k": top_k, "notes": ""}
    row["active_params_per_token"] = row["total_params"]
    if routed and number and top_k:
        row["active_params_per_token"] -= routed * (number - top_k) // number
        row["params_per_expert"] = routed // number // row["n_moe_layers"]
    try:
        held = {n: cache_bytes(run(module, text, 1, n, 0)[0]) for n in (short, 2 * short, long)}
        grows = (held[2 * short] - held[short]) // short
        row["kv_bytes_per_token_hf"] = grows
        row["state_bytes_per_seq_hf"] = held[short] - short * grows
        row["kv_held_tokens_long"] = long
        row["kv_bytes_held_long_hf"] = held[long]
    except Exception as error:
        row["notes"] += f"cache: {type(error).__name__}: {str(error)[:200]}; "
    for name, batch, new, past in SCENARIOS:
        try:
            _, products = run(module, text, batch, new, past)
        except Exception as error:
            row["notes"] += f"{name}: {type(error).__name__}: {str(error)[:200]}; "
            continue
        step = flop_row(products, module, text, batch, new, past, (number, top_k))
        row |= {f"{name}_{key}": value for key, value in step.items()}
    if "d_b1_c4096_weight_flops" in row:
        row["matmul_params_per_token"] = row["d_b1_c4096_weight_flops"] // 2
    return row


#: columns that hold words: they may differ between versions
_NAMES = ("notes", "model_type", "hf_class")


def compare(row: Mapping[str, Any], golden: Mapping[str, str]) -> list[str]:
    """Sentences about the columns that differ; empty golden cells say nothing."""
    differences = []
    for key, value in row.items():
        expected = golden.get(key, "")
        unknown = value is None or expected == ""
        if not unknown and expected != str(value) and key not in _NAMES:
            differences.append(f"{key}: counted {value}, golden {expected}")
    return differences


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", help="config.json, its folder, or a transformers model type")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=JSON")
    parser.add_argument("--compare", type=Path, help="CSV of rows to compare with")
    parser.add_argument("--slug", help="row of that CSV (default: the file's stem)")
    options = parser.parse_args()
    overrides = {k: json.loads(v) for k, _, v in (item.partition("=") for item in options.set)}
    whole, text = read_config(options.config, overrides)
    slug = options.slug or Path(options.config).stem
    row = {"slug": slug} | count(whole, text)
    if options.compare:
        goldens = {r["slug"]: r for r in csv.DictReader(options.compare.open())}
        differences = compare(row, goldens[slug])
        print("\n".join(differences) or f"{slug}: all columns equal")
        return int(bool(differences))
    json.dump(row, sys.stdout, indent=1, default=str)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
