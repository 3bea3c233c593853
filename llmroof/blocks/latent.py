"""Multi-head latent attention (MLA): the cache holds one compressed vector per token.

Letters: B batch, S new tokens, H heads, c = kv_lora latent width, r = rope width,
n = nope width, v = value width. The cache keeps c + r values per token and layer.

The core can run in two ways, equal in result:
- naive: keys and values are expanded from the latent (kv_b) and attended per head,
  2·H(n + r + v) FLOP per (query, key) pair; tokens already cached must be expanded anew;
- absorbed: kv_b is folded into queries and outputs, every head attends to the latent
  itself, 2·H(2c + r) FLOP per pair and no expansion.
Whichever needs fewer FLOP is taken: naive for prompts, absorbed for decode.
Source: DeepSeek-V2 report, section 2.1 and appendix C.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from llmroof.blocks.base import Block, Cache, Norm, Tensor, linear_tensors, norm_work, small_tensors
from llmroof.operators import (
    Execution,
    Linear,
    Number,
    Operator,
    Plan,
    Step,
    choose,
    elementwise,
    matmul,
    tokens,
)
from llmroof.operators.collective import all_reduce


@dataclass(frozen=True, slots=True)
class LatentAttention(Block):
    """MLA of one layer, its norms and its residual addition included.

    Without `q_lora` queries are projected straight from the model width; `q_inputs` is
    the width that the second query projection reads where it is not `q_lora`. `topk`
    keys are picked by an indexer, `window` seen in a sliding layer; `gate` on the output
    is "", "full" or "head", read from `gate_inputs` values. A layer that `shares_kv`
    attends to an earlier layer's latent.
    """

    hidden: int
    heads: int
    kv_lora: int
    nope: int
    rope: int
    v_head_dim: int
    q_lora: int | None = None
    q_inputs: int | None = None
    window: int | None = None
    topk: int | None = None
    bias: bool = False
    gate: str = ""
    gate_inputs: int | None = None
    shares_kv: bool = False
    norms: int = 1
    norm_bias: bool = False
    scales: int = 0
    role: str = "attention"
    kind: ClassVar[str] = "mla"

    @property
    def latent(self) -> int:
        """Values that the cache keeps per token."""
        return self.kv_lora + self.rope

    def down_projections(self) -> tuple[Linear, ...]:
        """From the model width to the latents; whole on every device."""
        found = []
        if self.q_lora:
            found.append(Linear("q_a_proj", self.hidden, self.q_lora, self.role, "none", self.bias))
        if not self.shares_kv:
            name, role = "kv_a_proj", self.role
            found.append(
                Linear(name, self.hidden, self.latent, role, "none", self.bias, to_cache=True)
            )
        return tuple(found)

    def query_projection(self) -> Linear:
        """From the query latent, or the model width, to the heads."""
        inputs = (self.q_inputs or self.q_lora) or self.hidden
        outputs = self.heads * (self.nope + self.rope)
        return Linear("q_b_proj", inputs, outputs, self.role, limit=self.heads)

    def expansion(self) -> Linear:
        """From the latent to every head's keys and values (kv_b)."""
        outputs = self.heads * (self.nope + self.v_head_dim)
        return Linear("kv_b_proj", self.kv_lora, outputs, self.role, limit=self.heads)

    def gate_projection(self) -> tuple[Linear, ...]:
        """The output gate, where there is one."""
        if not self.gate:
            return ()
        outputs = self.heads * (self.v_head_dim if self.gate == "full" else 1)
        inputs = self.gate_inputs or self.hidden
        return (Linear("gate_proj", inputs, outputs, self.role, limit=self.heads),)

    def output_projection(self) -> Linear:
        """From the heads' values back to the model width."""
        inputs = self.heads * self.v_head_dim
        return Linear("o_proj", inputs, self.hidden, self.role, "inputs", self.bias, self.heads)

    @property
    def norm_parameters(self) -> float:
        """Gains of the layer norms and of the norms on the latents."""
        inner = (self.q_lora or 0) + (0 if self.shares_kv else self.kv_lora)
        return Norm(self.hidden, self.norms, self.norm_bias).parameters + inner

    def tensors(self) -> tuple[Tensor, ...]:
        linears = (
            *self.down_projections(),
            self.query_projection(),
            self.expansion(),
            *self.gate_projection(),
            self.output_projection(),
        )
        return (*linear_tensors(linears), *small_tensors(self.norm_parameters, self.scales))

    def cache(self) -> tuple[Cache, ...]:
        if self.shares_kv:
            return ()
        return (Cache(self.latent, float("inf") if self.window is None else self.window, limit=1),)

    def operators(self, steps: Sequence[Step], run: Execution) -> tuple[Operator, ...]:
        rows = tokens(steps)
        down, output = self.down_projections(), self.output_projection()
        local = self.heads * (self.nope + self.rope) / min(run.plan.tp, self.heads)
        message = rows * (self.hidden * run.precision.base.bytes)
        return (
            norm_work("attention_norm", rows, self.hidden, self.norms, self.norm_parameters, run),
            *((matmul("q_a_kv_a_proj", down, rows, run),) if down else ()),
            matmul("q_b_proj", (self.query_projection(),), rows, run),
            elementwise("rotary", values=rows * (2 * local), ops=rows * (3 * local), run=run),
            matmul("kv_b_proj", (self.expansion(),), rows, run),
            *(operator for step in steps for operator in self._core(step, run)),
            *(matmul(gate.name, (gate,), rows, run) for gate in self.gate_projection()),
            matmul(output.name, (output,), rows, run),
            *all_reduce("attention_all_reduce", message, run.plan.tp),
        )

    def naive_flop(self, step: Step) -> Number:
        """FLOP per head of attending to expanded keys and values, expansion of the past apart."""
        return step.batch * self.pairs(step) * (2 * (self.nope + self.rope + self.v_head_dim))

    def expansion_flop(self, step: Step) -> Number:
        """FLOP per head of expanding what the cache already holds."""
        past = step.batch * (self.keys(step) - np.minimum(step.new_tokens, self.keys(step)))
        return past * (2 * self.kv_lora * (self.nope + self.v_head_dim))

    def absorbed_flop(self, step: Step) -> Number:
        """FLOP per head of attending to the latent itself."""
        return step.batch * self.pairs(step) * (2 * (2 * self.kv_lora + self.rope))

    def pairs(self, step: Step) -> Number:
        """(query, key) pairs of one sequence that the core computes."""
        return step.pairs(self.topk or self.window)

    def keys(self, step: Step) -> Number:
        """Keys of one sequence that the core reads."""
        if self.topk is not None:
            return np.minimum(step.context, self.topk * step.new_tokens)
        return step.keys(self.window)

    def _core(self, step: Step, run: Execution) -> tuple[Operator, ...]:
        """The attention itself, expanded or absorbed, whichever takes fewer FLOP."""
        base = run.precision.base
        heads = self.heads / min(run.plan.tp, self.heads)
        rows, keys = step.batch * step.new_tokens, step.batch * self.keys(step)
        naive = self.naive_flop(step) + self.expansion_flop(step)
        absorbed = self.absorbed_flop(step)
        expanded = naive <= absorbed
        flop = choose(expanded, naive, absorbed)
        width = self.nope + self.rope + self.v_head_dim
        queries = choose(expanded, width, 2 * self.kv_lora + self.rope) * heads
        loaded = keys * choose(expanded, width * heads, 0.0) * base.bytes
        held = 0.0 if run.kv_cache else self.latent * base.bytes
        kept = self.latent * run.precision.kv_cache.bytes if run.kv_cache else 0.0
        shape = {
            "batch": step.batch,
            "new_tokens": step.new_tokens,
            "keys": self.keys(step),
            "heads": heads,
            "latent": self.kv_lora,
            "rope": self.rope,
            "expanded": expanded,
        }
        return (
            Operator(
                "mla",
                "mla",
                base.compute,
                flop=flop * heads,
                kv_bytes=keys * kept,
                activation_bytes=rows * queries * base.bytes + loaded + keys * held,
                shape=shape,
            ),
        )

    def workspace(self, plan: Plan) -> float:
        heads = self.heads / min(plan.tp, self.heads)
        expanded = heads * (2 * (self.nope + self.rope) + 2 * self.v_head_dim)
        return (self.q_lora or 0) + self.latent + expanded

    def describe(self) -> str:
        text = f"MLA, {self.heads} heads, latent {self.kv_lora} + {self.rope} rope"
        if self.topk:
            text += f", {self.topk} keys picked by the indexer"
        if self.window:
            text += f", sliding window {self.window}"
        return text
