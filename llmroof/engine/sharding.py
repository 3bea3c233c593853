"""Who holds what under a plan: each tensor once over all devices, or more often, and why.

Sources: Shoeybi et al. 2019 (Megatron-LM), section 3 (tensor parallelism); Ainslie et al.
2023 and Shazeer 2019 for key and value heads fewer than devices; DeepSeek-V2 report,
section 2.1.2, for the latent that every head reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from llmroof.blocks.attention import Attention
from llmroof.blocks.latent import LatentAttention
from llmroof.models.model import Model
from llmroof.operators import Plan


@dataclass(frozen=True, slots=True)
class Holding:
    """Elements of one name: in the model, and over all devices of the plan together."""

    name: str
    role: str
    elements: float
    held: float
    over: str

    @property
    def copies(self) -> float:
        """How often the devices hold it: 1 where it is split without a rest."""
        return self.held / self.elements


def holdings(model: Model, plan: Plan) -> Iterator[Holding]:
    """Every tensor over all its layers, and what the devices hold of it together.

    A pipeline gives each layer to one stage, so it repeats nothing but the table of a
    tied head. Attention data parallelism repeats all but the experts.
    """
    devices = plan.tp * plan.dp
    for tensor, count in model.tensors():
        elements = tensor.elements * count
        yield Holding(
            tensor.name,
            tensor.role,
            elements,
            tensor.local(plan) * count * devices,
            tensor.over,
        )
    if plan.pp > 1 and model.head.tied:
        table = model.head.linear.inputs * model.head.linear.outputs
        yield Holding("lm_head (copy of the table)", "lm_head", table, table * plan.dp, "stage")
    for name, elements in model.extras.items():
        yield Holding(name, "extra", elements, elements * devices, "none")


def replicated(model: Model, plan: Plan) -> dict[str, float]:
    """What devices hold beyond one copy of the model: name -> surplus elements."""
    found: dict[str, float] = {}
    for holding in holdings(model, plan):
        surplus = holding.held - holding.elements
        if holding.over == "stage":
            surplus = holding.held
        if surplus > 0:
            found[holding.name] = found.get(holding.name, 0.0) + surplus
    return found


def remarks(model: Model, plan: Plan) -> tuple[str, ...]:
    """What a plan holds several times that people expect to be split, in words."""
    found = {
        block.kv_heads
        for block, _ in model.parts()
        if isinstance(block, Attention) and block.kv_heads < plan.tp
    }
    heads = tuple(
        f"{count} KV head{'s' if count > 1 else ''} on tp={plan.tp}: each stands on "
        f"{plan.tp / count:g} GPUs"
        for count in sorted(found)
    )
    latent = any(isinstance(block, LatentAttention) for block, _ in model.parts())
    if plan.tp > 1 and latent:
        return (*heads, f"the latent KV cache of MLA stands whole on each of tp={plan.tp} GPUs")
    return heads
