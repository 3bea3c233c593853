"""What weight files really hold: tensors by role, and the bits per value that follow."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from llmroof.models.model import Model
from llmroof.specs.formats import FORMATS, Format, mixed
from llmroof.specs.precision import Precision


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of a weight file: its name, elements as stored, bytes, format id or ""."""

    name: str
    elements: int
    bytes: int
    format: str = ""


#: (pattern of the tensor's name, role), first match wins; names of both worlds
_ROLES: Final = tuple(
    (re.compile(pattern), role)
    for pattern, role in (
        (r"^(model\.)?(visual|vision|multi_modal|mm_|audio)", "tower"),
        (r"(^|\.)mtp\.|nextn|\.eh_proj|shared_head", "mtp"),
        (r"[._]bias$", "bias"),
        (r"(^|\.)(lm_head|output|embed_out)\.", "lm_head"),
        (r"embed_positions|wpe\.|position_embd", "position"),
        (r"per_layer_token_embd|embed_tokens_per_layer", "layer_embedding"),
        (r"embed|wte\.|token_embd|tok_embeddings", "embedding"),
        (r"norm|(^|\.)ln_|layer_?norm", "norm"),
        (r"shared_?exp|shexp", "shared_experts"),
        (r"ffn_gate_inp|\.gate\.|router", "router"),
        (r"experts|_exps", "experts"),
        (r"indexer", "indexer"),
        (r"ssm_|mamba|mixer|linear_attn|conv", "mixer"),
        (r"attn|attention|self_attn", "attention"),
        (r"mlp|ffn|feed_forward|\.fc[12]\.|dense_", "mlp"),
    )
)
_LAYER: Final = re.compile(r"(?:layers|blk|h|blocks)\.(\d+)\.")

#: relative difference of bits up to which a role is taken to be what its format says
_SAME: Final = 0.01


def role_of(name: str, layers: int) -> str:
    """The role of a tensor by its name; "mtp" for layers behind the last, "norm" for the rest."""
    found = _LAYER.search(name)
    if found and int(found[1]) >= layers:
        return "mtp"
    return next((role for pattern, role in _ROLES if pattern.search(name)), "norm")


def with_stored(model: Model, tensors: Iterable[StoredTensor]) -> Model:
    """The model with the bits per value that its files have, and what else they hold.

    Bits are stored bytes over the parameters of the role, so that packed integers,
    scales and zero points need no decoding.
    """
    by_role = _by_role(tensors, model.num_layers)
    parameters: defaultdict[str, float] = defaultdict(float)
    for tensor, count in model.tensors():
        parameters[tensor.role.partition(".")[0]] += tensor.elements * count
    roles: dict[str, Format] = {}
    for role, stored in by_role.items():
        if parameters[role] and role not in ("norm", "bias", "position"):
            roles[role] = _format(stored, parameters[role], model.precision, role)
    precision = _settled(model.precision, roles, parameters)
    extras, unused = dict(model.extras), dict(model.unused)
    if tower := by_role.get("tower"):
        extras = {"vision_tower": sum(tensor.elements for tensor in tower)}
    if ahead := by_role.get("mtp"):
        unused = {"mtp_layers": sum(tensor.elements for tensor in ahead)}
    return replace(model, precision=precision, extras=extras, unused=unused)


def _by_role(tensors: Iterable[StoredTensor], layers: int) -> dict[str, list[StoredTensor]]:
    found: defaultdict[str, list[StoredTensor]] = defaultdict(list)
    for tensor in tensors:
        found[role_of(tensor.name, layers)].append(tensor)
    return dict(found)


def _format(
    stored: list[StoredTensor], parameters: float, declared: Precision, role: str
) -> Format:
    """One format of all tensors, what the config declares when it agrees, else the average."""
    names = {tensor.format for tensor in stored}
    if len(names) == 1 and (name := names.pop()) in FORMATS and FORMATS[name].block:
        return FORMATS[name]
    bits = 8 * sum(tensor.bytes for tensor in stored) / parameters
    for candidate in (declared.weight(role), *_PLAIN):
        if abs(bits - 8 * candidate.bytes) <= _SAME * bits:
            return candidate
    return mixed(bits)


_PLAIN: Final = tuple(FORMATS[name] for name in ("bf16", "fp32", "fp8", "int8"))


def _settled(
    declared: Precision, roles: Mapping[str, Format], parameters: Mapping[str, float]
) -> Precision:
    """The widest role's format as the weights'; the others where they differ from it."""
    matrices = {
        role: fmt for role, fmt in roles.items() if not role.endswith(("embedding", "lm_head"))
    }
    if not matrices:
        return declared
    main = matrices[max(matrices, key=lambda role: parameters[role])]
    trial = replace(declared, weights=main, roles={})
    differing = {role: fmt for role, fmt in roles.items() if trial.weight(role) != fmt}
    activations = declared.activations if main.quantized else declared.base
    return replace(trial, roles=differing, activations=activations, name="as stored")
