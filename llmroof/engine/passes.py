"""The passes of a static batch: which steps prefill and decode are made of."""

from __future__ import annotations

import numpy as np

from llmroof.engine.deployment import Workload
from llmroof.engine.phases import Schedule
from llmroof.operators import Execution, Number, Plan, Step, choose


def prefill_pass(work: Workload, plan: Plan) -> tuple[Step, Schedule]:
    """The pass over the prompts of the busiest rank, and how often it runs.

    A cached prefix is attended to, not computed. With chunks the pass is one chunk,
    at the mean of the tokens that came before. A pipeline of pp stages cuts the batch
    into m = min(sequences, pp) micro-batches that follow each other through the stages;
    chunks of a prompt follow each other too, as each stage has the keys of those before
    (Huang et al. 2019, GPipe, section 2.3; Agrawal et al. 2024, Sarathi-Serve).
    """
    local = per_rank(work.batch, plan)
    together = 1.0 if plan.pp == 1 else np.minimum(local, plan.pp)
    micro = local if plan.pp == 1 else local / together
    cached = work.input_len * work.prefix_hit_rate
    if work.chunk_tokens is None:
        return Step(micro, work.fresh, cached), Schedule(work.batch / micro, together)
    step, chunks = _chunk(micro, work.fresh, cached, work.chunk_tokens)
    in_a_row = together * chunks
    schedule = Schedule(work.batch / micro * chunks, in_a_row)
    return step, schedule


def _chunk(batch: Number, fresh: Number, cached: Number, budget: Number) -> tuple[Step, Number]:
    """(one chunk, how many): whole prompts together while they fit the budget.

    A prompt longer than the budget is cut into equal parts, one prompt at a time.
    """
    parts = np.ceil(fresh / budget)
    passes = choose(parts > 1, batch * parts, np.ceil(batch * fresh / budget))
    together = batch * parts / passes
    new = fresh / parts
    return Step(together, new, cached + (fresh - new) / 2, 1.0 / parts), passes


def decode_pass(work: Workload, run: Execution, new_tokens: Number = 1.0) -> tuple[Step, Schedule]:
    """The decode step at the mean context of the generation, on the busiest rank.

    Token i of the answer (i = 1 … output−1 after the first) attends to input + i keys,
    itself included: on average input + output/2. Without a KV cache the step recomputes
    that whole context. Speculative decoding verifies `new_tokens` at once. Pipeline
    stages work on different sequences at the same time, round and round: each token
    still passes every layer, so that a pipeline gains no latency.
    """
    context = work.input_len + work.output_len / 2
    local = per_rank(work.batch, run.plan)
    micro, together = local, 1.0
    if run.plan.pp > 1:
        micro = np.ceil(local / run.plan.pp)
        together = np.ceil(local / micro)
    schedule = Schedule(work.batch / micro, together, endless=True)
    if run.kv_cache:
        return Step(micro, new_tokens, context - 1, new_tokens), schedule
    return Step(micro, context, 0.0), schedule


def per_rank(batch: Number, plan: Plan) -> Number:
    """Sequences of the busiest data-parallel rank."""
    return batch if plan.dp == 1 else np.ceil(batch / plan.dp)
