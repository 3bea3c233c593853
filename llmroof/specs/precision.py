"""Precision: which format each part of a model is held and computed in; recipes by name.

Add a recipe here when people ask for a quantization by one name; the formats
themselves are rows of `formats`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from llmroof.errors import InputError, UnknownName, Unsupported
from llmroof.specs.formats import ALIASES, FORMATS, Format, mixed, number_format

__all__ = ["FORMATS", "RECIPES", "Format", "Precision", "number_format", "recipe"]

#: weights that stay in the 16-bit base format unless a checkpoint says otherwise
KEPT_ROLES: Final = frozenset(
    {
        "embedding",
        "layer_embedding",
        "lm_head",
        "norm",
        "bias",
        "router",
        "state",
        "position",
        "chain",
    }
)


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
        """The stored format of the weights that play `role`.

        A role may be a part of another, `mlp.down` of `mlp`: the narrower name wins.
        """
        if role in self.roles:
            return self.roles[role]
        whole = role.partition(".")[0]
        if whole in self.roles:
            return self.roles[whole]
        return self.base if whole in KEPT_ROLES else self.weights

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

    def require_kernels(self, roles: Iterable[str]) -> None:
        """Raise Unsupported when quantized activations meet weights that no kernel takes.

        `roles` are those of the weights in question.
        """
        acts = self.activations
        if not acts.quantized:
            return
        met = {self.weight(role) for role in roles if role not in KEPT_ROLES}
        low = {weight.id: weight for weight in met if weight.quantized}
        taken = MULTIPLIED_BY.get(acts.kind, ())
        for weight in low.values():
            if weight.kind not in (*taken, "mixed") and not (weight.ggml and "ggml" in taken):
                raise Unsupported(
                    f"no kernel multiplies {weight.id} weights by {acts.id} activations: "
                    f"{_ways_out(acts, taken)}"
                )
        if met and not low:
            raise Unsupported(f"{acts.id} activations need quantized weights: --weights {acts.id}")

    def on_base(self, base: str) -> Precision:
        """The same with another 16-bit format in place of the base (fp16 for bf16)."""
        other = number_format(base)

        def swap(part: Format) -> Format:
            return other if part == self.base else part

        return replace(
            self,
            weights=swap(self.weights),
            activations=swap(self.activations),
            kv_cache=swap(self.kv_cache),
            base=other,
            roles={role: swap(part) for role, part in self.roles.items()},
            name=base if self.name == self.base.id else self.name,
        )

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


#: quantized activations -> kinds of weights that published kernels multiply them with
#: (vLLM, "Quantization: supported hardware"; TensorRT-LLM, "Numerical precision"; QServe, Lin et
#: al. 2024, and QuaRot, Ashkboos et al. 2024, for 4-bit weights; llama.cpp, ggml-cuda/mmq.cu;
#: BitNet, Wang et al. 2023; OCP MX v1.0 for operands of two widths). "ggml": llama.cpp's formats.
MULTIPLIED_BY: Final[dict[str, tuple[str, ...]]] = {
    "fp8": ("fp8", "int4", "mxfp4", "nvfp4"),
    "int8": ("int8", "int4", "ternary", "ggml"),
    "int4": ("int4",),
    "mxfp8": ("mxfp8", "mxfp6", "mxfp4"),
    "mxfp6": ("mxfp6", "mxfp4"),
    "mxfp4": ("mxfp4",),
    "nvfp4": ("nvfp4",),
}


def _ways_out(activations: Format, taken: Sequence[str]) -> str:
    if not taken:
        return "use --activations bf16 or fp16"
    known = [FORMATS[kind].id if kind in FORMATS else "llama.cpp formats" for kind in taken]
    return f"with {activations.id} activations go {', '.join(known)}; 16 bits go with all"


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
    "nf4": ("nf4-double", "bf16", "bf16"),
    "q4_0": ("q4_0", "fp16", "fp16"),
    "q4_k_m": ("q4_k", "fp16", "fp16"),
    "q5_k_m": ("q5_k", "fp16", "fp16"),
    "q6_k": ("q6_k", "fp16", "fp16"),
    "q8_0": ("q8_0", "fp16", "fp16"),
    "iq4_xs": ("iq4_xs", "fp16", "fp16"),
}


def _half(low: str, high: str) -> Format:
    """llama.cpp's "more bits" rule: half of the layers of a tensor get the wider format."""
    return mixed(4 * (FORMATS[low].bytes + FORMATS[high].bytes))


def _ggml(kind: str, more: Format | None = None) -> dict[str, Format]:
    """Roles of a llama.cpp mix: table in the format, head in q6_k, some values wider."""
    tables = dict.fromkeys(("embedding", "layer_embedding"), FORMATS[kind])
    roles = tables | {"lm_head": FORMATS["q6_k"]}
    wider = ("attention.v", "mlp.down", "experts.down", "shared_experts.down")
    return roles | (dict.fromkeys(wider, more) if more else {})


#: recipe -> formats of the roles that differ from its weights
#: (llama.cpp, `llama_tensor_get_type` in src/llama-quant.cpp, dense models below 70B)
MIXES: Final[dict[str, Mapping[str, Format]]] = {
    "q4_0": _ggml("q4_0"),
    "q4_k_m": _ggml("q4_k", _half("q4_k", "q6_k")),
    "q5_k_m": _ggml("q5_k", _half("q5_k", "q6_k")),
    "q6_k": _ggml("q6_k"),
    "q8_0": dict.fromkeys(("embedding", "layer_embedding", "lm_head"), FORMATS["q8_0"]),
    "iq4_xs": _ggml("iq4_xs") | {"attention.v": FORMATS["q5_k"]},
}


def recipe(name: str, base: str | None = None) -> Precision:
    """The precision that one name stands for (`bf16`, `fp8`, `w4a16` ...).

    `base` replaces the 16-bit format of the parts that are not quantized
    (fp16 where a device has no bf16). Raises UnknownName, InputError for a number format.
    """
    key = ALIASES.get(name.lower(), name.lower())
    if key not in RECIPES and key in FORMATS:
        usual = "w4a16" if FORMATS[key].bits < 8 else "w8a16"
        raise InputError(
            f"{key} is a number format, not a precision: --weights {key}, or --precision {usual}"
        )
    if key not in RECIPES:
        raise UnknownName("precision", name, RECIPES)
    weights, activations, default_base = RECIPES[key]
    kept = number_format(base or default_base)
    acts = kept if activations == default_base else FORMATS[activations]
    stored = kept if weights == default_base else FORMATS[weights]
    return Precision(stored, acts, kept, kept, MIXES.get(key, {}), name=key)
