"""The passes of a static batch: which steps prefill and decode are made of."""

from __future__ import annotations

import numpy as np

from llmroof.engine.deployment import Workload
from llmroof.engine.phases import Schedule
from llmroof.operators import Execution, Number, Plan, Step


def prefill_pass(work: Workload, plan: Plan) -> tuple[Step, Schedule]:
    """The pass over the prompts of the busiest rank, and how often it runs.

    A cached prefix is attended to, not computed. With chunks the pass is one chunk,
    at the mean of the tokens that came before. A pipeline of pp stages works on
    m = min(sequences, pp) micro-batches at once; the round takes m + pp − 1 stage
    times, a stage being 1/pp of a pass (Huang et al. 2019, GPipe, section 2.3).
    """
    local = per_rank(work.batch, plan)
    micro, rounds = local, 1.0
    if plan.pp > 1:
        together = np.minimum(local, plan.pp)
        micro, rounds = local / together, (together + plan.pp - 1) / plan.pp
    cached = work.input_len * work.prefix_hit_rate
    if work.chunk_tokens is None:
        schedule = Schedule(work.batch / micro, rounds)
        return Step(micro, work.fresh, cached), schedule
    step, chunks = _chunk(micro, work.fresh, cached, work.chunk_tokens)
    return step, Schedule(work.batch / micro * chunks, rounds * chunks)


def _chunk(batch: Number, fresh: Number, cached: Number, budget: Number) -> tuple[Step, Number]:
    """(one chunk, how many): whole prompts together while they fit the budget.

    A prompt longer than the budget is cut into equal parts, one prompt at a time.
    """
    parts = np.ceil(fresh / budget)
    passes = np.where(parts > 1, batch * parts, np.ceil(batch * fresh / budget))
    together = batch * parts / passes
    new = fresh / parts
    return Step(together, new, cached + (fresh - new) / 2, 1.0 / parts), passes


def decode_pass(work: Workload, run: Execution, new_tokens: Number = 1.0) -> tuple[Step, Schedule]:
    """The decode step at the mean context of the generation, on the busiest rank.

    Token i of the answer (i = 1 … output−1 after the first) attends to input + i keys,
    itself included: on average input + output/2. Without a KV cache the step recomputes
    that whole context. Speculative decoding verifies `new_tokens` at once. Pipeline
    stages work on different sequences at the same time: each token still passes every
    layer, so that a pipeline gains no latency.
    """
    context = work.input_len + work.output_len / 2
    local = per_rank(work.batch, run.plan)
    micro = local if run.plan.pp == 1 else np.ceil(local / run.plan.pp)
    schedule = Schedule(work.batch / micro)
    if run.kv_cache:
        return Step(micro, new_tokens, context - 1, new_tokens), schedule
    return Step(micro, context, 0.0), schedule


def per_rank(batch: Number, plan: Plan) -> Number:
    """Sequences of the busiest data-parallel rank."""
    return batch if plan.dp == 1 else np.ceil(batch / plan.dp)
