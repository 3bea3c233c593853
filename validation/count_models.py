"""Count a model anew with software that is not ours: transformers on the meta device.

For a ``config.json`` (or the class default of a model type) this builds the transformers module
without allocating a weight, runs it without computing a number, and writes down what was there:
parameters by part, what the module's cache grows by, and the FLOP of every matrix product.
llmroof itself is not imported, so the figures can be held against it.

    python validation/count_models.py path/to/config.json
    python validation/count_models.py mixtral --set num_hidden_layers=4
    python validation/count_models.py path/to/config.json --compare goldens.csv --slug my-model

Needs torch and transformers (the ``models`` extra is enough to read files, not for this).

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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoConfig, DynamicCache
from transformers.models.auto import modeling_auto

aten = torch.ops.aten

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


# ---------------------------------------------------------------- building


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


def build(config: Any, mapping: Any = None) -> nn.Module:
    """The module on the meta device in bf16, eager attention, batched experts."""
    mapping = mapping or transformers.MODEL_FOR_CAUSAL_LM_MAPPING
    cls = mapping[type(config)]
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
    _replace_looping_experts(module, config)
    return module.eval()


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


# ---------------------------------------------------------------- listening


@dataclass
class Product:
    """One matrix product as it was executed."""

    path: str
    flop: int
    with_weight: bool
    shapes: tuple[tuple[int, ...], ...]
    convolution: bool = False


@dataclass
class Listener(TorchDispatchMode):
    """Writes down every matrix product, the module it ran in and whether a weight took part.

    A tensor counts as a weight when it shares storage with a parameter or was made from one alone
    (a cast, a gather of experts).
    """

    module: nn.Module
    products: list[Product] = field(default_factory=list)
    stack: list[str] = field(default_factory=list)
    weights: dict[int, torch.Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()
        for parameter in self.module.parameters():
            self._mark(parameter)

    def _mark(self, tensor: torch.Tensor) -> None:
        self.weights[tensor.untyped_storage()._cdata] = tensor

    def _is_weight(self, tensor: torch.Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self.weights

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        tensors = list(_tensors(args))
        if packet in _FLOP:
            operands = tensors[-2:] if packet is not aten.convolution else tensors[:2]
            self.products.append(
                Product(
                    path=self.stack[-1] if self.stack else "",
                    flop=_FLOP[packet](operands[0].shape, operands[1].shape, out.shape),
                    with_weight=any(self._is_weight(t) for t in operands),
                    shapes=tuple(tuple(t.shape) for t in operands),
                    convolution=packet is aten.convolution,
                )
            )
        elif packet in _KEEPS_WEIGHT and self._is_weight(tensors[0]):
            self._mark(out)
        elif packet in _MADE_OF_WEIGHTS and all(self._is_weight(tensor) for tensor in tensors):
            self._mark(out)
        return out

    @contextmanager
    def listening(self) -> Iterator[None]:
        handles = []
        for name, child in self.module.named_modules():
            handles.append(child.register_forward_pre_hook(self._enter(name)))
            handles.append(child.register_forward_hook(self._leave))
        try:
            with torch.no_grad(), self:
                yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, name: str) -> Any:
        return lambda module, args: self.stack.append(name)

    def _leave(self, module: nn.Module, args: Any, out: Any) -> None:
        self.stack.pop()


def _tensors(args: Any) -> Iterator[torch.Tensor]:
    for arg in args:
        if isinstance(arg, torch.Tensor):
            yield arg
        elif isinstance(arg, (list, tuple)):
            yield from _tensors(arg)


def _mm(a: Any, b: Any, out: Any) -> int:
    return int(2 * a.numel() * b[-1])


def _conv(a: Any, weight: Any, out: Any) -> int:
    return int(2 * out.numel() * weight[1:].numel())


_FLOP = {
    aten.mm: _mm,
    aten.addmm: _mm,
    aten.bmm: _mm,
    aten.baddbmm: _mm,
    aten.mv: lambda a, b, out: int(2 * a.numel()),
    aten.convolution: _conv,
}
#: the result is a weight when the first operand is one: a cast, a choice of experts
_KEEPS_WEIGHT = {aten._to_copy, aten.clone, aten.index, aten.index_select, aten.neg, aten.exp}
#: the result is a weight when all operands are; a norm's gain times its input is none
_MADE_OF_WEIGHTS = {aten.cat, aten.stack, aten.mul, aten.div}


# ---------------------------------------------------------------- one run


def run(
    module: nn.Module, config: Any, batch: int, new: int, past: int
) -> tuple[Any, list[Product]]:
    """Run one step after ``past`` tokens; return the cache and the step's products."""
    cache = _new_cache(config)
    if past:
        with torch.no_grad():
            cache = _forward(module, cache, batch, past)
    listener = Listener(module)
    with listener.listening():
        cache = _forward(module, cache, batch, new)
    return cache, listener.products


def _new_cache(config: Any) -> Any:
    try:
        return DynamicCache(config=config)
    except Exception:  # a config that the cache class cannot read: let the module make its own
        return None


def _forward(module: nn.Module, cache: Any, batch: int, tokens: int) -> Any:
    ids = torch.zeros(batch, tokens, dtype=torch.long, device="meta")
    kwargs: dict[str, Any] = {"input_ids": ids, "use_cache": True}
    names = module.forward.__code__.co_varnames
    own = "cache_params" if "cache_params" in names else "past_key_values"
    if cache is not None:
        kwargs[own] = cache
    try:
        out = module(**kwargs)
    except ValueError:
        if cache is None or _filled(cache):
            raise
        del kwargs[own]  # some modules accept only a cache of their own making
        out = module(**kwargs)
    return getattr(out, own, None) or getattr(out, "past_key_values", None)


def _filled(cache: Any) -> bool:
    return cache_bytes(cache) > 0


def cache_bytes(cache: Any, seen: set[int] | None = None) -> int:
    """Bytes of all tensors reachable in a cache object, each storage view counted by its shape."""
    seen = set() if seen is None else seen
    if cache is None or id(cache) in seen:
        return 0
    seen.add(id(cache))
    if isinstance(cache, torch.Tensor):
        return cache.numel() * cache.element_size() if cache.dim() > 1 else 0
    if isinstance(cache, Mapping):
        return sum(cache_bytes(value, seen) for value in cache.values())
    if isinstance(cache, (list, tuple)):
        return sum(cache_bytes(value, seen) for value in cache)
    if hasattr(cache, "__dict__") and not isinstance(cache, nn.Module) and not callable(cache):
        return sum(
            cache_bytes(value, seen) for key, value in vars(cache).items() if key != "config"
        )
    return 0


# ---------------------------------------------------------------- parts


def experts_of(module: nn.Module) -> dict[str, nn.Module]:
    """Modules that hold all routed experts of a layer, by name."""
    found: dict[str, nn.Module] = {}
    for name, child in module.named_modules():
        last = name.rpartition(".")[2]
        shared = "shared" in last
        if (last.endswith("experts") or "Experts" in type(child).__name__) and not shared:
            if not any(name.startswith(other + ".") for other in found):
                found[name] = child
    return found


def classify(product: Product, module: nn.Module, experts: Mapping[str, nn.Module]) -> str:
    """The column that a product belongs to."""
    path = product.path
    last = path.rpartition(".")[2]
    kinds = [type(module.get_submodule(p)).__name__ for p in _ancestors(path)]
    if product.convolution:
        return "conv"
    if "indexer" in path.lower():
        return "indexer"
    if any(path == e or path.startswith(e + ".") for e in experts):
        return "experts" if product.with_weight or product.shapes[0][0] > 1 else "other_bmm"
    if product.with_weight:
        if path and module.get_submodule(path) is module.get_output_embeddings():
            return "lm_head"
        if last in ("kv_b_proj", "kv_b_proj_with_mqa"):
            return "mla_kv_b"
        if "outer" in kinds[-1] or kinds[-1].endswith(("Router", "Gate")) or last == "gate":
            return "router"
        return "linear"
    if any(_recurs(module.get_submodule(p)) for p in _ancestors(path)):
        return "mixer_core"
    return "attn_core" if any("Attention" in k for k in kinds) else "other_bmm"


_RECURRENT = ("Mixer", "Mamba", "Delta", "Lightning", "Rglru", "SelfAttentionRwkv")


def _recurs(module: nn.Module) -> bool:
    """A recurrent token mixer: by its name, or a short convolution beside linear attention."""
    name = type(module).__name__
    if "DecoderLayer" in name or "Model" in name:
        return False
    return any(word in name for word in _RECURRENT) or (
        "Attention" in name and vars(module).get("layer_type") == "linear_attention"
    )


def _ancestors(path: str) -> list[str]:
    pieces = path.split(".") if path else []
    return [".".join(pieces[:i]) for i in range(len(pieces) + 1)]


def window_of(path: str, module: nn.Module, config: Any) -> int | None:
    """Sliding window of the attention module at ``path``; None where every token is seen."""
    for name in reversed(_ancestors(path)):
        child = module.get_submodule(name)
        if "sliding_window" in vars(child):
            window = child.sliding_window
            return int(window) if window else None
        kind = vars(child).get("layer_type") or vars(child).get("attention_type")
        index = vars(child).get("layer_idx")
        types = getattr(config, "layer_types", None)
        if kind is None and isinstance(index, int) and types and index < len(types):
            kind = types[index]
        if kind is not None:
            window = _attribute(config, "sliding_window") or _attribute(config, "window_size")
            local = "sliding" in str(kind) or kind == "local"
            return int(window) if local and window else None
    return None


def causal_pairs(tokens: int, window: int | None) -> int:
    """Attended (query, key) pairs of a prompt: a triangle, cut at ``window`` keys per query."""
    width = min(tokens, window or tokens)
    return width * (width + 1) // 2 + (tokens - width) * width


# ---------------------------------------------------------------- the row


def parameter_row(module: nn.Module, whole: Any, text: Any) -> dict[str, Any]:
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
        **{column: _attribute(text, name) for column, name in _DIMENSIONS.items()},
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


def _attribute(config: Any, name: str) -> Any:
    """A config attribute; None where it is absent or differs between layers."""
    try:
        return getattr(config, name, None)
    except Exception:  # transformers refuses a global reading of a per-layer attribute
        return None


def expert_counts(module: nn.Module, config: Any) -> tuple[int | None, int | None]:
    """(experts, experts per token), read from the expert tensors and the config's own name."""
    sizes: Counter[int] = Counter()
    for child in experts_of(module).values():
        if isinstance(child, nn.ModuleList):
            sizes[len(child)] += 1
        else:
            first = [p.shape[0] for p in child.parameters() if p.dim() == 3]
            sizes[first[0] if first else len(list(child.children()))] += 1
    if not sizes:
        return None, None
    for key in (
        "num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_topk", "moe_k",
        "moe_top_k", "top_k", "num_experts_per_topk", "experts_per_token", "num_selected_experts",
    ):  # fmt: skip
        value = _attribute(config, key)
        if isinstance(value, list):
            value = value[0]
        if isinstance(value, int):
            return sizes.most_common(1)[0][0], value
    ffn = getattr(config, "ffn_config", None)
    return sizes.most_common(1)[0][0], getattr(ffn, "moe_top_k", None)


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
    module = build(text)
    row = parameter_row(module, whole, text)
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


def compare(row: Mapping[str, Any], golden: Mapping[str, str]) -> list[str]:
    """Sentences about the columns that differ; empty golden cells say nothing."""
    differences = []
    for key, value in row.items():
        expected = golden.get(key, "")
        if expected not in ("", str(value)) and key not in ("notes", "model_type", "hf_class"):
            differences.append(f"{key}: counted {value}, golden {expected}")
    return differences


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", help="config.json, its folder, or a transformers model type")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=JSON")
    parser.add_argument("--compare", type=Path, help="CSV of rows to compare with")
    parser.add_argument("--slug", help="row of that CSV (default: the file's stem)")
    parser.add_argument("-o", "--output", type=Path, help="append the row to this CSV")
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
