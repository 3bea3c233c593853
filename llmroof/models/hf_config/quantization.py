"""What a checkpoint is stored in: its dtype and its `quantization_config`.

Every method says which modules it leaves alone, by name, by pattern or by habit; here
that becomes a format per role. A role of which only some layers are left alone gets
the average bits of its layers. An unknown method is an error, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import translate
from typing import Final, TypeAlias

from llmroof.models.hf_config.view import Config
from llmroof.specs.formats import FORMATS, Format, integer, mixed, number_format
from llmroof.specs.precision import KEPT_ROLES, Precision

#: role -> names of its modules, as checkpoints spell them; {} is the layer's index
MODULES: Final[dict[str, tuple[str, ...]]] = {
    "attention": (
        "model.layers.{}.self_attn.q_proj",
        "model.layers.{}.self_attn.o_proj",
        "model.layers.{}.self_attn.kv_b_proj",
    ),
    "mixer": ("model.layers.{}.linear_attn.in_proj_qkvz", "backbone.layers.{}.mixer.in_proj"),
    "mlp": ("model.layers.{}.mlp.down_proj", "model.layers.{}.mlp.gate_proj"),
    "experts": ("model.layers.{}.mlp.experts.0.down_proj", "model.layers.{}.mlp.experts"),
    "shared_experts": (
        "model.layers.{}.mlp.shared_experts.down_proj",
        "model.layers.{}.mlp.shared_expert.down_proj",
    ),
    "indexer": ("model.layers.{}.self_attn.indexer.wq_b",),
}

#: characters and repetitions of a pattern that a config may ask to be matched
_LONGEST_PATTERN: Final = 200
_MOST_REPEATS: Final = 4

Match: TypeAlias = Callable[[str], bool]


def stored_precision(config: Config, text: Config, layers: int) -> Precision:
    """The precision that a checkpoint's config declares; its dtype when nothing more."""
    base = _dtype(config, text)
    outer = config if config.has("quantization_config") else text
    table = outer.table("quantization_config")
    if not table.values:  # MLX writes its table under this name, newer versions under both
        table = config.table("quantization") if config.has("quantization") else table
    if not table.values:
        return Precision(base, base, base, base, name=base.id)
    if not table.has("quant_method", "quantization_method") and table.has("bits", "mode"):
        return _mlx(table, base)
    method = table.get("quant_method", "quantization_method")
    name = str(method or ("modelopt" if table.has("quant_algo", "quantization") else "")).lower()
    if name not in METHODS:
        known = ", ".join(sorted(METHODS))
        table.fault("quant_method", f"unknown method '{str(method)[:60]}'; known: {known}")
    return _with_experts(text, METHODS[name](table, base, layers))


def _with_experts(text: Config, stored: Precision) -> Precision:
    """DeepSeek-V4 names a format for its routed experts apart from `quantization_config`."""
    named = text.get("expert_dtype")
    if named is None:
        return stored
    if not isinstance(named, str) or named not in _EXPERT_DTYPES:
        text.fault("expert_dtype", f"unknown number format '{str(named)[:60]}'")
    experts = FORMATS[_EXPERT_DTYPES[named]]
    return replace(
        stored,
        roles={**stored.roles, "experts": experts},
        name=f"{experts.id} experts, {stored.name}",
    )


#: FP4 experts hold a power-of-two scale per 32 values, which is MXFP4's layout
_EXPERT_DTYPES: Final = {"fp4": "mxfp4", "fp8": "fp8-block", "bf16": "bf16"}


def _dtype(config: Config, text: Config) -> Format:
    for table in (text, config):
        name = table.get("dtype", "torch_dtype")
        if name is not None:
            if not isinstance(name, str) or name.removeprefix("torch.").lower() not in _DTYPES:
                table.fault("torch_dtype", f"unknown number format '{str(name)[:60]}'")
            return FORMATS[_DTYPES[name.removeprefix("torch.").lower()]]
    return FORMATS["bf16"]


_DTYPES: Final = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "half": "fp16",
    "float32": "fp32",
    "float": "fp32",
    "auto": "bf16",
    "bf16": "bf16",
    "fp16": "fp16",
    "fp32": "fp32",
}


def _fp8(table: Config, base: Format, layers: int) -> Precision:
    """FP8 with a scale per block, row or tensor (DeepSeek, Qwen, FBGEMM)."""
    block = table.numbers("weight_block_size")
    weights = FORMATS["fp8"]
    if block is not None:
        if len(block) != 2 or not all(block):
            table.fault("weight_block_size", "must be two sizes above zero")
        same = tuple(block) == (128, 128)
        weights = FORMATS["fp8-block"] if same else number_format(f"fp8-b{block[0]}x{block[1]}")
    skipped = _patterns(table, "modules_to_not_convert", "ignored_layers")
    return _built(weights, FORMATS["fp8"], base, base, skipped, layers)


def _gptq(table: Config, base: Format, layers: int) -> Precision:
    """GPTQ: integers in groups; zero points are packed even when they are all equal."""
    bits = table.size("bits", "w_bit", low=2)
    return _grouped(table, base, layers, bits, zero=True)


def _awq(table: Config, base: Format, layers: int) -> Precision:
    """AWQ: 4-bit integers in groups with zero points."""
    bits = table.size("bits", "w_bit", default=4, low=2)
    return _grouped(table, base, layers, bits, zero=table.flag("zero_point", True))


def _grouped(table: Config, base: Format, layers: int, bits: int, zero: bool) -> Precision:
    if bits > 8:
        table.fault("bits", f"must be 2 to 8, not {bits}")
    size = table.get("group_size", "q_group_size")
    group = table.whole("group_size", size) if size not in (None, -1) else 0
    weights = integer(bits, group, zero) if group else FORMATS["int8" if bits > 4 else "int4"]
    skipped = _patterns(table, "modules_to_not_convert", "modules_in_block_to_quantize_not")
    return _built(weights, base, base, base, skipped, layers)


def _bitsandbytes(table: Config, base: Format, layers: int) -> Precision:
    """bitsandbytes: NF4/FP4 with an absmax per 64 values, or int8."""
    if table.flag("load_in_4bit", False) or table.flag("_load_in_4bit", False):
        double = table.flag("bnb_4bit_use_double_quant", False)
        weights = FORMATS["nf4-double" if double else "nf4"]
        activations = base
    else:
        weights = activations = FORMATS["int8"]
    skipped = _patterns(table, "llm_int8_skip_modules")
    return _built(weights, activations, base, base, skipped, layers)


#: what MLX calls a way of quantizing -> the format it stores
_MLX_MODES: Final = {"mxfp4": "mxfp4", "mxfp8": "mxfp8", "nvfp4": "nvfp4"}


def _mlx(table: Config, base: Format) -> Precision:
    """MLX: all linear layers and tables; a 16-bit scale and bias per group of integers."""
    if "group_size" not in table.values:
        table.fault("quant_method", "is missing: the method of quantization")
    mode = str(table.get("mode") or "affine")
    if mode != "affine" and mode not in _MLX_MODES:
        table.fault("mode", f"unknown way of quantizing '{mode[:60]}'")
    if any(isinstance(entry, dict) for entry in table.values.values()):
        table.fault("quantization", "formats that differ between modules are not read")
    weights = FORMATS[_MLX_MODES[mode]] if mode != "affine" else _affine(table)
    roles = dict.fromkeys(("embedding", "lm_head", "router"), weights)
    return Precision(weights, base, base, base, roles, name=f"{weights.id} weights (MLX)")


def _affine(table: Config) -> Format:
    bits, group = table.size("bits", low=2), table.size("group_size")
    if bits > 8:
        table.fault("bits", f"must be 2 to 8, not {bits}")
    return number_format(f"int{bits}-g{group}-bias")


def _mxfp4(table: Config, base: Format, layers: int) -> Precision:
    """gpt-oss: the experts in MXFP4, everything else in 16 bits."""
    kept = dict.fromkeys(("attention", "mlp", "shared_experts", "mixer", "indexer"), base)
    return Precision(FORMATS["mxfp4"], base, base, base, kept, name="mxfp4 experts")


def _compressed(table: Config, base: Format, layers: int) -> Precision:
    """compressed-tensors (llm-compressor): formats of weights and operands in groups."""
    groups = table.table("config_groups")
    names = list(groups.values)
    if not names:
        table.fault("config_groups", "is missing: the formats of the weights")
    names.sort(key=lambda name: "Linear" not in (groups.table(name).words("targets") or ()))
    group = groups.table(names[0])
    weights = _scheme(group.table("weights"), True)
    operands = group.table("input_activations")
    activations = _scheme(operands, False) if operands.values else base
    cache = table.table("kv_cache_scheme")
    kv_cache = _scheme(cache, False) if cache.values else base
    found = _built(weights, activations, kv_cache, base, _patterns(table, "ignore"), layers)
    others = [groups.table(name) for name in names[1:]]
    return replace(found, roles={**_aimed(others, found, layers), **found.roles})


def _aimed(groups: Sequence[Config], whole: Precision, layers: int) -> dict[str, Format]:
    """Formats of the roles that further groups aim at by name."""
    roles: dict[str, Format] = {}
    for group in groups:
        weights, aims = _scheme(group.table("weights"), True), _patterns(group, "targets")
        for role, names in MODULES.items():
            share = _share_skipped(names, aims, layers)
            if share and weights != whole.weights:
                average = share * weights.bytes + (1 - share) * whole.weights.bytes
                roles[role] = weights if share == 1 else mixed(8 * average)
    return roles


def _scheme(scheme: Config, stored: bool) -> Format:
    """One scheme of compressed-tensors: bits, type, grouping."""
    bits, kind = scheme.size("num_bits", low=2), str(scheme.get("type") or "int")
    group = scheme.optional("group_size", low=-1)
    if bits == 8:
        block = scheme.numbers("block_structure")
        if kind == "float" and stored and block:
            return number_format(f"fp8-b{block[0]}x{block[1]}")
        return FORMATS["fp8" if kind == "float" else "int8"]
    if kind == "float" and bits == 4:
        return FORMATS["nvfp4" if group == 16 else "mxfp4"]
    if kind != "int" or bits > 8:
        scheme.fault("type", f"unknown scheme: {bits} bits of type '{kind[:40]}'")
    zero = not scheme.flag("symmetric", True)
    return integer(bits, group, zero) if group and group > 0 else FORMATS["int4"]


#: NVIDIA ModelOpt's names of recipes -> (weights, activations or None for the base)
_ALGORITHMS: Final = {
    "FP8": ("fp8", "fp8"),
    "FP8_PER_CHANNEL_PER_TOKEN": ("fp8", "fp8"),
    "FP8_PB_WO": ("fp8-block", None),
    "NVFP4": ("nvfp4", "nvfp4"),
    "NVFP4_AWQ": ("nvfp4", "nvfp4"),
    "W4A16_NVFP4": ("nvfp4", None),
    "W4A8_NVFP4_FP8": ("nvfp4", "fp8"),
    "W4A8_AWQ": ("int4", "fp8"),
    "W4A16_AWQ": ("int4", None),
    "W8A16": ("int8", None),
    "W8A8_SQ_PER_CHANNEL": ("int8", "int8"),
    "MXFP4": ("mxfp4", None),
    "MXFP8": ("mxfp8", "mxfp8"),
}


def _modelopt(table: Config, base: Format, layers: int) -> Precision:
    """NVIDIA ModelOpt, in config.json or as hf_quant_config.json."""
    inner = table.table("quantization") if table.has("quantization") else table
    algorithm = str(inner.get("quant_algo") or "")
    if algorithm == "MIXED_PRECISION":
        return _mixed_layers(inner, base, layers)
    if algorithm not in _ALGORITHMS:
        inner.fault("quant_algo", f"unknown algorithm '{algorithm[:60]}'")
    weights, activations = _ALGORITHMS[algorithm]
    cache = str(inner.get("kv_cache_quant_algo") or "")
    skipped = _patterns(inner, "exclude_modules", "ignore")
    return _built(
        FORMATS[weights],
        FORMATS[activations] if activations else base,
        _cache_format(inner, cache, base),
        base,
        skipped,
        layers,
    )


def _cache_format(table: Config, name: str, base: Format) -> Format:
    known = {"": base, "NONE": base, "FP8": FORMATS["fp8"], "NVFP4": FORMATS["nvfp4"]}
    known |= {"INT8": FORMATS["int8"]}
    if name.upper() not in known:
        table.fault("kv_cache_quant_algo", f"unknown format '{name[:60]}'")
    return known[name.upper()]


def _mixed_layers(table: Config, base: Format, layers: int) -> Precision:
    """`quantized_layers`: an algorithm for every quantized module by name."""
    listed = table.table("quantized_layers")
    by_module = {name: str(listed.table(name).get("quant_algo") or "") for name in listed.values}
    roles: dict[str, Format] = {}
    for role, names in MODULES.items():
        bits, count, last = 0.0, 0, base
        for layer in range(layers):
            for pattern in names:
                algorithm = by_module.get(pattern.format(layer))
                if algorithm is not None:
                    if algorithm not in _ALGORITHMS:
                        listed.fault(pattern.format(layer), f"unknown algorithm '{algorithm[:60]}'")
                    last = FORMATS[_ALGORITHMS[algorithm][0]]
                    bits, count = bits + 8 * last.bytes, count + 1
        if count:
            roles[role] = last if bits == 8 * last.bytes * count else mixed(bits / count)
    cache = _cache_format(table, str(table.get("kv_cache_quant_algo") or ""), base)
    return Precision(base, FORMATS["fp8"], cache, base, roles, name="mixed precision")


def _whole(weights: str, activations: str | None = None) -> Callable[..., Precision]:
    """A method with one format for all linear layers."""

    def made(table: Config, base: Format, layers: int) -> Precision:
        skipped = _patterns(table, "modules_to_not_convert")
        operands = FORMATS[activations] if activations else base
        return _built(FORMATS[weights], operands, base, base, skipped, layers)

    return made


METHODS: Final[dict[str, Callable[[Config, Format, int], Precision]]] = {
    "fp8": _fp8,
    "fbgemm_fp8": _fp8,
    "finegrained_fp8": _fp8,
    "gptq": _gptq,
    "auto-round": _gptq,
    "awq": _awq,
    "bitsandbytes": _bitsandbytes,
    "mxfp4": _mxfp4,
    "compressed-tensors": _compressed,
    "modelopt": _modelopt,
    "modelopt_fp4": _modelopt,
    "bitnet": _whole("ternary", "int8"),
    "eetq": _whole("int8"),
}


def _built(
    weights: Format,
    activations: Format,
    kv_cache: Format,
    base: Format,
    skipped: Sequence[Match],
    layers: int,
) -> Precision:
    """A precision whose roles follow from the modules that the method skips."""
    roles: dict[str, Format] = {}
    for role, names in MODULES.items():
        share = _share_skipped(names, skipped, layers)
        if share == 1:
            roles[role] = base
        elif share:
            roles[role] = mixed(8 * (share * base.bytes + (1 - share) * weights.bytes))
    same = weights.id == activations.id
    name = weights.id if same else f"{weights.id} weights, {activations.id} activations"
    assert not KEPT_ROLES & roles.keys()
    return Precision(weights, activations, kv_cache, base, roles, name=name)


def _share_skipped(names: Sequence[str], skipped: Sequence[Match], layers: int) -> float:
    """Share of the layers of which one of `names` is left alone."""
    if not skipped:
        return 0.0
    left = sum(
        any(match(name.format(layer)) for match in skipped for name in names)
        for layer in range(layers)
    )
    return left / layers


def _patterns(table: Config, *keys: str) -> tuple[Match, ...]:
    """The modules that stay as they are, each as a test of a module's name."""
    found: list[Match] = []
    for key in keys:
        found += [_pattern(table, key, text) for text in table.words(key) or ()]
    return tuple(found)


def _pattern(table: Config, key: str, text: str) -> Match:
    """A name, a part of one, a shell pattern (`*mlp.gate*`) or a regular expression (`re:`)."""
    if len(text) > _LONGEST_PATTERN:
        table.fault(key, f"a pattern of {len(text)} characters is too long")
    if text.startswith("re:") or "*" in text:
        source = text.removeprefix("re:") if text.startswith("re:") else translate(text)
        # repeated groups and many repeats can take forever: no checkpoint needs them
        if len(re.findall(r"[*+]|\{\d", source)) > _MOST_REPEATS or re.search(r"\)[*+{]", source):
            table.fault(key, f"the pattern '{text[:60]}' repeats too much")
        try:
            made = re.compile(source)
        except re.error as error:
            table.fault(key, f"'{text[:60]}' is no pattern: {error}")
        return lambda name: bool(made.match(name))
    return lambda name: name == text or f".{text}." in f".{name}." or name.endswith(f".{text}")
