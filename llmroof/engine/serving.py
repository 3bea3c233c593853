"""Serving in steady state: continuous batching under a load.

One cycle of a server holds the decode steps of one request's answer and, in between,
the prefill of every other request that runs. Each request meets each other one's
prefill once: while it queues (in its TTFT) or while it decodes (in its TPOT). With
  D  step of `running` decode tokens,
  P  pass over one chunk of a prompt,  k  chunks of a prompt,  M  a step with chunks in it,
  n  prompts whose chunks a mixed step holds: 1, or all that arrive while it runs, as far
     as the token budget goes,
  q  what a prefill costs the others: k·(M − D)/n where steps are mixed, k·P where
     prefill goes first, or where every step is full of chunks already,
  β  the share of the others' prefill that a request meets in the queue,
  c  prompts met besides where requests of equal length end, and queue again, in clumps,
the figures are
  TPOT = D + (1 − β)·(running − 1)·q / output   (of a Poisson stream D + running·q / output)
  TTFT = t0 + k·P·(1 + c·(1 − 1/running)) + w·D + β·(running − 1)·q + wait for memory
and the requests that the KV cache has no room for wait for one that ends: by Little's
law (waiting)/(throughput). Sources: Agrawal et al. 2024 (Sarathi-Serve), section 3, for
the interference; Little 1961; Kwon et al. 2023 (vLLM), section 4, for the KV pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from llmroof.calibration.load import EngineRules
from llmroof.engine.capacity import cache_bytes, ends, memory
from llmroof.engine.deployment import Deployment, Speculation, Workload
from llmroof.engine.passes import decode_pass, per_rank, prefill_pass
from llmroof.engine.phases import Pass, Schedule, run_pass
from llmroof.engine.stages import distinct_stages
from llmroof.operators import Number, Step

#: how requests arrive
LOADS: Final = ("closed", "burst", "poisson")


@dataclass(frozen=True, slots=True)
class Load:
    """What arrives: requests in flight, or requests per second, and their lengths.

    `kind` "closed" replaces each finished request at once, in steady state; "burst" is
    how benchmarks run it: `concurrency` requests at once, then closed, `requests` in
    all (10 per slot by default); "poisson" is an open stream of `rate` per second.
    Lengths are means; `random` tells that they vary from request to request.
    `prefix_hit_rate` is the share of the prompt found in the prefix cache.
    """

    input_len: Number
    output_len: Number
    concurrency: Number = 1.0
    kind: str = "closed"
    requests_per_slot: Number = 10.0
    random: bool | Number = False
    prefix_hit_rate: Number = 0.0


@dataclass(frozen=True, slots=True)
class Steady:
    """A server in steady state; seconds, requests and tokens per second.

    `ttft` = `prefill` + `interference` + `lag` + `memory_wait` + `transfer` (of the KV cache
    between the workers of a disaggregated deployment); `waiting` requests have no room in
    the KV cache or the running limit. `requests_per_s` are finished with the load in
    flight (Little's law); `pace` is what they would be with `running` sequences at work all
    the time, none of them queueing: what a full server can sustain.
    """

    ttft: Number
    tpot: Number
    running: Number
    waiting: Number
    requests_per_s: Number
    prefill: Number
    interference: Number
    lag: Number
    memory_wait: Number
    step: Number
    marginal: Number
    slots: Number
    pace: Number
    transfer: Number = 0.0


def rank_slots(deployment: Deployment, load: Load) -> Number:
    """Sequences that one rank runs at most: its KV pool or the engine's limit."""
    return np.minimum(kv_slots(deployment, load), deployment.rules.max_num_seqs)


def kv_slots(deployment: Deployment, load: Load) -> Number:
    """Sequences that one rank's KV pool holds under the engine's rules, at least 0.

    In a pipeline each stage keeps its own layers' part of every sequence: the stage with
    the least room decides. A draft model keeps its weights and cache on the last one.
    """
    rules, run = deployment.rules, deployment.run
    capacity = deployment.hardware.memory.usable
    if not rules.overhead:  # nothing measured: room for activations is computed
        return _room(deployment, load)
    held = load.input_len + load.output_len * rules.held_output
    if rules.block_tokens > 1:
        held = np.ceil(held / rules.block_tokens) * rules.block_tokens
    alone = replace(run.plan, pp=1)
    guess = deployment.speculation
    slots: Number = np.inf
    for stage in distinct_stages(deployment.model, run.plan.pp):
        holds = [stage]
        if guess is not None and guess.draft is not None and ends(stage):
            holds.append(guess.draft)
        pool = rules.pool(capacity, sum(one.weights_bytes(run.precision, alone) for one in holds))
        each = sum(cache_bytes(one, run, held) for one in holds)
        slots = np.minimum(slots, np.where(pool > 0, np.floor(pool / np.maximum(each, 1.0)), 0.0))
    return np.maximum(slots, 0.0)[()]


def _room(deployment: Deployment, load: Load) -> Number:
    """Sequences of one rank that fit beside weights, activations and a draft model."""
    guess = deployment.speculation
    found = memory(
        deployment.model,
        deployment.run,
        deployment.hardware,
        deployment.rules,
        batch=1.0,
        input_len=load.input_len,
        output_len=load.output_len,
        draft=guess.draft if guess else None,
    )
    return found.max_batch / deployment.run.plan.dp


def serve(deployment: Deployment, load: Load) -> Steady:
    """Steady state at `load.concurrency` requests in flight over the whole deployment."""
    return operate(deployment, load)[0]


def operate(
    deployment: Deployment, load: Load, slots: Number | None = None
) -> tuple[Steady, StepCosts]:
    """The same with the steps that it is made of; `slots` is the `rank_slots`, if known."""
    rules, plan = deployment.rules, deployment.run.plan
    slots = rank_slots(deployment, load) if slots is None else slots
    running = np.maximum(np.minimum(per_rank(load.concurrency, plan), slots), 1.0)
    costs = step_costs(deployment, load, running)
    return steady_state(costs, load, rules, slots, plan.dp), costs


def steady_state(
    costs: StepCosts, load: Load, rules: EngineRules, slots: Number, dp: Number
) -> Steady:
    """The operating point of `dp` ranks with room for `slots` sequences each."""
    wanted = np.where(np.asarray(dp) > 1, np.ceil(load.concurrency / dp), load.concurrency)[()]
    running = np.maximum(np.minimum(wanted, slots), 1.0)
    others = running - 1.0
    share = queue_share(load, rules)
    there = np.minimum(load.concurrency / dp, slots) if load.kind == "poisson" else running
    met = prompts_met(load, rules, there)
    mixed = np.minimum(met, load.output_len / costs.span)
    beyond = (met - mixed) * np.maximum(costs.alone, costs.marginal)
    tpot = costs.decode + (mixed * costs.marginal + beyond) / load.output_len
    ranks = wanted * dp / load.concurrency
    rate = running / (load.output_len * tpot + costs.prefill)
    waiting = np.maximum(wanted - running, 0.0)
    equal = np.logical_not(load.random) & (load.kind == "burst")
    clump = np.where(equal, rules.clump, 0.0)[()] * (others / running)
    coupled = rules.rank_coupling * other_ranks(load, dp)
    interference = (share * others + coupled) * costs.marginal + clump * costs.prefill
    lag = rules.start + (rules.pipeline_lag + held_back(load, rules, dp)) * costs.decode
    first = costs.prefill + interference + lag
    stay = first + (load.output_len - 1.0) * tpot
    memory_wait = rules.wait_share * waiting * (stay / running)
    ttft = first + memory_wait
    return Steady(
        ttft=ttft,
        tpot=tpot,
        running=running * dp / ranks,
        waiting=waiting * dp / ranks,
        requests_per_s=load.concurrency / (ttft + (load.output_len - 1) * tpot),
        prefill=costs.prefill,
        interference=interference,
        lag=lag,
        memory_wait=memory_wait,
        step=costs.decode,
        marginal=costs.marginal,
        slots=slots * dp,
        pace=rate * dp / ranks,
    )


@dataclass(frozen=True, slots=True)
class Turn:
    """One step's work, what its pass costs, and how often it runs."""

    step: Step
    cost: Pass
    schedule: Schedule

    @property
    def time(self) -> Number:
        """Seconds of the whole round."""
        return self.cost.time * self.schedule.rounds(self.cost.slowest)


@dataclass(frozen=True, slots=True)
class StepCosts:
    """Seconds: a decode step, a request's own prefill, and what that costs the others.

    A prompt costs them `marginal` as long as its chunks find room in decode steps, in which
    each sequence gains `span` tokens; beyond that as much as `alone`, in passes of its
    own. `turns` are the passes of a prompt and of the decode steps.
    """

    decode: Number
    prefill: Number
    marginal: Number
    alone: Number
    span: Number
    turns: tuple[Turn, ...] = ()


def step_costs(deployment: Deployment, load: Load, running: Number) -> StepCosts:
    """The three kinds of step a server runs, with `running` sequences per rank.

    A prompt is worked on in k equal chunks of at most the engine's token budget; the
    cached prefix is attended to but not computed.
    """
    rules, run = deployment.rules, deployment.run
    work = Workload(
        running * run.plan.dp,
        load.input_len,
        load.output_len,
        load.prefix_hit_rate,
        rules.chunk_tokens,
    )
    tokens, turns = decode_pass(work, run, verified(deployment.speculation))
    chunk, chunks = prefill_pass(replace(work, batch=1.0), run.plan)
    decode = Turn(tokens, pass_of(deployment, (tokens,)), turns)
    prompt = Turn(chunk, pass_of(deployment, (chunk,), prompts=True), chunks)
    # in a pipeline the others wait until the slowest stage is through, not for a whole pass
    marginal = alone = chunks.in_a_row * prompt.cost.time * prompt.cost.slowest
    guess = deployment.speculation
    # tokens that a sequence gains while one chunk after the other finds a pass of its stage
    span = chunks.in_a_row / turns.in_a_row * (1.0 if guess is None else guess.tokens_per_step)
    if rules.mixes_prefill:
        room = np.maximum(np.floor(rules.chunk_tokens / chunk.new_tokens), 1.0)
        met = prompts_met(load, rules, running)
        several = np.clip(met * span / load.output_len, 1.0, room)
        mixed = (tokens, replace(chunk, batch=chunk.batch * several))
        each = pass_of(deployment, mixed, prompts=True).time - decode.cost.time
        marginal = chunks.in_a_row * each * prompt.cost.slowest / several
        span = span / room
    drafts = draft_prompt(deployment, chunk, chunks)
    if drafts is not None:
        more = chunks.in_a_row * drafts.cost.time * drafts.cost.slowest
        marginal, alone = marginal + more, alone + more
    return StepCosts(
        per_token(deployment, tokens, decode.time),
        prompt.time if drafts is None else prompt.time + drafts.time,
        marginal,
        alone,
        span,
        (prompt, decode),
    )


def draft_prompt(deployment: Deployment, step: Step, schedule: Schedule) -> Turn | None:
    """The draft model's pass over the prompts, which it has to know too; None without one.

    It follows the pass of the model that it drafts for: same chunks, same cached prefix,
    with its own weights read once per chunk.
    """
    drafter = _drafter(deployment)
    if drafter is None:
        return None
    return Turn(step, pass_of(drafter, (step,), prompts=True), schedule)


def prompted(deployment: Deployment, work: Workload, time: Number) -> Number:
    """TTFT of a static batch whose prefill takes `time`: the draft's prompt pass follows."""
    drafts = draft_prompt(deployment, *prefill_pass(work, deployment.run.plan))
    return time if drafts is None else time + drafts.time


def _drafter(deployment: Deployment) -> Deployment | None:
    """The draft model on the same devices; None where drafts cost nothing."""
    guess = deployment.speculation
    if guess is None or guess.draft is None:
        return None
    return replace(deployment, model=guess.draft, speculation=None)


def verified(guess: Speculation | None) -> float:
    """Tokens of a sequence that one decode step works on: with speculation γ + 1."""
    return 1.0 if guess is None else guess.tokens + 1.0


def per_token(deployment: Deployment, step: Step, time: Number) -> Number:
    """Seconds per token of a decode step: with speculation, drafts included, several a step.

    What the host does between two steps comes besides.
    """
    time = time + between_steps(deployment, step.batch)
    guess = deployment.speculation
    if guess is None:
        return time
    drafter = _drafter(deployment)
    if drafter is not None:
        one = replace(step, new_tokens=1.0, logits=1.0)
        time = time + guess.tokens * pass_of(drafter, (one,)).time
    return time / guess.tokens_per_step


def between_steps(deployment: Deployment, sequences: Number) -> Number:
    """Seconds of host work between two decode steps of a rank, its devices idle meanwhile.

    The host schedules, samples and collects a token of each sequence, and tells what comes
    next to the processes of a model that is shared out. None at the limit.
    """
    rules, plan = deployment.rules, deployment.run.plan
    if deployment.calibration is None or not rules.host_step:
        return 0.0
    shared = rules.host_ranks if plan.tp * plan.pp > 1 else 0.0
    return rules.host_step + shared + rules.host_sequence * sequences


def pass_of(deployment: Deployment, steps: Sequence[Step], prompts: bool = False) -> Pass:
    """One pass of a rank of the deployment, with `prompts` in it or decode alone."""
    model = deployment.prompt_model if prompts else deployment.time_model
    return run_pass(deployment.model, steps, deployment.run, deployment.hardware, model)


def prompts_met(load: Load, rules: EngineRules, running: Number) -> Number:
    """Prompts of others that a request meets between its tokens, `running` being there on average.

    Each other one's once, but for the share that it meets before its first token. Of a stream
    all that arrive while it decodes: as many as decode at once (Little's law).
    """
    if load.kind == "poisson":
        return running
    return (1.0 - queue_share(load, rules)) * (running - 1.0)


def other_ranks(load: Load, dp: Number) -> Number:
    """Data-parallel ranks whose prompts a request meets: it meets none alone."""
    return np.where(np.asarray(dp) > 1, np.clip(load.concurrency - 1.0, 0.0, dp), 0.0)[()]


def held_back(load: Load, rules: EngineRules, dp: Number) -> Number:
    """Decode steps that a prompt waits until the other ranks have one too.

    Engines hold it back only while every rank has answers to work on, that of the prompt as
    well: while a second request on each rank runs.
    """
    second = np.clip(load.concurrency / dp - 1.0, 0.0, 1.0)
    return np.where(np.asarray(dp) > 1, rules.balance * second, 0.0)[()]


def queue_share(load: Load, rules: EngineRules) -> Number:
    """β: the share of the others' prefill that a request meets before its own.

    The first burst of C requests queues behind itself: on average half of it, for one
    request in `requests_per_slot`. What the engine adds beyond that is fitted
    (requests of equal length end together and queue together again).
    """
    fitted = np.where(load.random, rules.queue_random, rules.queue_fixed)[()]
    burst = 0.5 / load.requests_per_slot if load.kind == "burst" else 0.0
    return np.minimum(burst + fitted, 1.0)
