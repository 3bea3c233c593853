"""Number formats as data: how many bits a value takes and what it is computed in.

Add a quantization here: one row in FORMATS, and a row in RECIPES when people ask
for it by one name. Bits include scales and zero points (`block` values share one
scale), so bytes come out as a checkpoint really stores them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from llmroof.errors import UnknownName


@dataclass(frozen=True, slots=True)
class Format:
    """One number format.

    `bits` per stored value, `overhead_bits` per block of `block` values (scales and
    zero points), `compute` the arithmetic it has when both operands are in it.
    """

    id: str
    bits: float
    compute: str
    block: int = 0
    overhead_bits: float = 0.0
    source: str = ""

    @property
    def bytes(self) -> float:
        """Bytes per value, its share of scales included."""
        shared = self.overhead_bits / self.block if self.block else 0.0
        return (self.bits + shared) / 8

    @property
    def quantized(self) -> bool:
        """True below 16 bits: the values need scales or a conversion."""
        return self.bits < 16


_OCP = "OCP Microscaling Formats (MX) specification v1.0, section 5"
_GPTQ = "Frantar et al. 2022 (GPTQ), group-wise scales; Lin et al. 2023 (AWQ)"

FORMATS: Final[dict[str, Format]] = {
    fmt.id: fmt
    for fmt in (
        Format("fp32", 32, "fp32", source="IEEE 754 binary32"),
        Format("fp16", 16, "fp16", source="IEEE 754 binary16"),
        Format("bf16", 16, "bf16", source="bfloat16: 8 exponent bits, 7 fraction bits"),
        Format("fp8", 8, "fp8", source="OCP 8-bit floating point (E4M3), scale per tensor"),
        Format("fp8-block", 8, "fp8", 128 * 128, 32, "DeepSeek-V3 report, 3.3: fp32 per 128x128"),
        Format("int8", 8, "int8", source="symmetric, one scale per output channel (negligible)"),
        Format("int4", 4, "int4", 128, 16, _GPTQ),
        Format("int4-zero", 4, "int4", 128, 20, _GPTQ + ", with 4-bit zero points"),
        Format("mxfp8", 8, "fp8", 32, 8, _OCP),
        Format("mxfp4", 4, "fp4", 32, 8, _OCP),
        Format("nvfp4", 4, "fp4", 16, 8, "NVIDIA NVFP4: one E4M3 scale per 16 values"),
    )
}
_ALIASES: Final = {
    "float16": "fp16",
    "half": "fp16",
    "bfloat16": "bf16",
    "float32": "fp32",
    "float": "fp32",
    "fp8_e4m3": "fp8",
    "fp8_e5m2": "fp8",
    "int4-g128": "int4",
}

#: weights that stay in the 16-bit base format unless a checkpoint says otherwise
KEPT_ROLES: Final = frozenset({"embedding", "lm_head", "norm", "router", "state", "position"})


@dataclass(frozen=True, slots=True)
class Precision:
    """Which format each part of a model is held and computed in.

    `base` is the 16- or 32-bit format of everything that is not quantized; `weights`
    holds for every matrix but the roles in KEPT_ROLES and those listed in `roles`.
    """

    weights: Format
    activations: Format
    kv_cache: Format
    base: Format
    roles: Mapping[str, Format] = field(default_factory=dict)
    name: str = ""

    def weight(self, role: str) -> Format:
        """The stored format of the weights that play `role`."""
        if role in self.roles:
            return self.roles[role]
        return self.base if role in KEPT_ROLES else self.weights

    def compute(self, role: str) -> str:
        """The arithmetic of a matmul on weights of `role`.

        Low-precision units work only when both operands are low: a quantized weight
        met by 16-bit activations is expanded first and multiplied in 16 bits.
        """
        weight = self.weight(role)
        if weight.quantized and self.activations.quantized:
            return (
                weight.compute
                if weight.bits >= self.activations.bits
                else (self.activations.compute)
            )
        return self.base.compute

    def with_parts(
        self,
        weights: str | None = None,
        activations: str | None = None,
        kv_cache: str | None = None,
    ) -> Precision:
        """The same with some parts named anew (`--weights`, `--activations` ...)."""
        changes: dict[str, object] = {}
        if weights is not None:
            changes |= {"weights": number_format(weights), "roles": {}}
        if activations is not None:
            changes["activations"] = number_format(activations)
        if kv_cache is not None and kv_cache != "auto":
            changes["kv_cache"] = number_format(kv_cache)
        if {"weights", "activations"} & changes.keys():
            changes["name"] = ""
        changed = replace(self, **changes)  # type: ignore[arg-type]
        return changed if changed.name else replace(changed, name=_describe(changed))


def _describe(precision: Precision) -> str:
    weights, activations = precision.weights.id, precision.activations.id
    return weights if weights == activations else f"{weights} weights, {activations} activations"


#: recipe -> (weights, activations, base); the KV cache stays in the base format
RECIPES: Final[dict[str, tuple[str, str, str]]] = {
    "fp32": ("fp32", "fp32", "fp32"),
    "fp16": ("fp16", "fp16", "fp16"),
    "bf16": ("bf16", "bf16", "bf16"),
    "fp8": ("fp8", "fp8", "bf16"),
    "fp8-block": ("fp8-block", "fp8", "bf16"),
    "int8": ("int8", "int8", "bf16"),
    "w8a16": ("int8", "bf16", "bf16"),
    "w4a16": ("int4", "bf16", "bf16"),
    "mxfp4": ("mxfp4", "bf16", "bf16"),
    "nvfp4": ("nvfp4", "nvfp4", "bf16"),
    "mxfp8": ("mxfp8", "mxfp8", "bf16"),
}


def number_format(name: str) -> Format:
    """A format by id or common spelling; UnknownName otherwise."""
    key = _ALIASES.get(name.lower(), name.lower())
    if key not in FORMATS:
        raise UnknownName("number format", name, FORMATS)
    return FORMATS[key]


def recipe(name: str, base: str | None = None) -> Precision:
    """The precision that one name stands for (`bf16`, `fp8`, `w4a16` ...).

    `base` replaces the 16-bit format of the parts that are not quantized
    (fp16 where a device has no bf16). Raises UnknownName.
    """
    key = _ALIASES.get(name.lower(), name.lower())
    if key not in RECIPES:
        raise UnknownName("precision", name, RECIPES)
    weights, activations, default_base = RECIPES[key]
    kept = number_format(base or default_base)
    acts = kept if activations == default_base else FORMATS[activations]
    stored = kept if weights == default_base else FORMATS[weights]
    return Precision(stored, acts, kept, kept, name=key)
