"""Small values for tests: models, devices and runs whose costs can be worked out by hand."""

from __future__ import annotations

import math

from llmroof.blocks.attention import Attention
from llmroof.blocks.ends import Embedding, Head
from llmroof.blocks.mlp import MLP
from llmroof.models.model import Model
from llmroof.operators import Execution, Linear, Operator, Plan, matmul
from llmroof.specs.hardware import Hardware, Link, Memory, Source
from llmroof.specs.precision import recipe

HAND = (Source(("memory", "compute", "links", "power"), "made up for a test"),)


def device(
    peak: float = 100.0,
    bandwidth: float = 10.0,
    capacity: float = 1000.0,
    *,
    low: float | None = None,
    link: float | None = None,
    tdp: float | None = None,
) -> Hardware:
    """A device with one peak for 16 bits, one (`low`) for 8 bits, and small round numbers."""
    compute = {"bf16": peak, "fp16": peak}
    if low is not None:
        compute |= {"fp8": low, "int8": low}
    return Hardware(
        "made-up",
        "Made-up device",
        Memory(capacity, bandwidth),
        compute,
        HAND,
        links={} if link is None else {"scale_up": Link(link, domain=64)},
        tdp=tdp,
    )


def dense(
    *,
    layers: int = 2,
    hidden: int = 8,
    heads: int = 4,
    kv_heads: int | None = None,
    head_dim: int | None = None,
    intermediate: int = 16,
    vocab: int = 10,
    gated: bool = True,
    tied: bool = False,
    window: int | None = None,
    norms: int = 1,
    qkv_bias: bool = False,
    max_context: int | None = None,
) -> Model:
    """A dense decoder: by default 2 layers of width 8 with 4 heads of 2."""
    attention = Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads or heads,
        head_dim=head_dim or hidden // heads,
        window=window,
        qkv_bias=qkv_bias,
        norms=norms,
    )
    mlp = MLP(hidden=hidden, intermediate=intermediate, gated=gated, norms=norms)
    return Model(
        id="made-up",
        name="Made-up model",
        family="test",
        hidden=hidden,
        embedding=Embedding(vocab, hidden),
        layers=((layers, (attention, mlp)),),
        head=Head(vocab, hidden, tied=tied, norms=norms),
        max_context=max_context,
    )


def run(
    precision: str = "bf16",
    *,
    tp: int = 1,
    attention: str = "flash",
    fusion: str = "fused",
    kv_cache: bool = True,
) -> Execution:
    """An execution of a named precision recipe."""
    return Execution(recipe(precision), Plan(tp=tp), attention, fusion, kv_cache)


def weights_only(parameters: float, batch: float, how: Execution) -> Operator:
    """`parameters` weights as one square matrix met by `batch` vectors, on one device of `tp`.

    The textbook's model of a decode step: its activations are a part in 10^4 of the whole.
    """
    side = math.sqrt(parameters)
    return matmul("weights", (Linear("weights", side, side, "mlp"),), batch, how)
