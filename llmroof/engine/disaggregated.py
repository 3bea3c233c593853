"""Prefill and decode on workers of their own: disaggregated serving.

A request queues at a prefill worker, its prompt is computed there, its KV cache crosses the
link to a decode worker, and it decodes there beside others that no prefill disturbs. With
  S  seconds of its own prefill,  q  for which it keeps a rank of a prefill worker busy
     (q <= S: prompts shorter than the engine's token budget share a pass),
  t  of the transfer: bytes of the busiest device / bandwidth, and what it costs to start,
  D  decode step of the n sequences on a rank of a decode worker,
  X  requests/s through the deployment,  R, R'  ranks of all prefill and of all decode workers,
the figures are
  wait = S·ρ^(√(2(R+1)) − 1) / (2R·(1 − ρ)),  ρ = X·q / R     at the prefill workers (M/D/R)
  TTFT = wait + S + t + the engine's start       TPOT = D(n),  R'·n = X·(output − 1)·D(n)
  X <= R / q,  X <= link / bytes of a request,  X <= R'·n / ((output − 1)·D(n)) with n slots
and what finds no room at the decode workers waits for it. The first token is told when the
KV cache has arrived, as in vLLM, SGLang and TensorRT-LLM, whose decode workers answer.
Sources: Zhong et al. 2024 (DistServe), sections 3.1 (prefill as M/D/1 queue) and 4 (the
shortest queue is served, rates of both sides are matched); Patel et al. 2024 (Splitwise),
section IV (transfer layer by layer); Sakasegawa 1977 (several servers); Little 1961.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from llmroof.engine.capacity import MemoryEstimate, memory
from llmroof.engine.curves import crossing, last_axis
from llmroof.engine.deployment import Deployment, Workload
from llmroof.engine.passes import per_rank, prefill_pass
from llmroof.engine.phases import PhaseEstimate, run_phase, slowest_stage
from llmroof.engine.serving import Load, Steady, pass_of, per_token, rank_slots
from llmroof.engine.transfer import (
    Transfer,
    link_rate,
    prompt_side,
    token_side,
    transfer,
    workers_of,
)
from llmroof.errors import Overloaded
from llmroof.operators import Number, Step, power

#: points of the decode workers' curve, and halvings that find the throughput on it
_POINTS: Final = 64
_HALVINGS: Final = 60
#: a throughput nearer than this to the most that a side carries is at it
_CLOSE: Final = 1.0 / 4096
#: the three that can hold the others up, in the order of `Split.rates`
SIDES: Final = ("prefill", "transfer", "decode")
_TINY: Final = float(np.finfo(float).tiny)
_ROUNDING: Final = 1e-12
#: steps of an answer of one token, which the prefill gives: next to none
_NO_STEPS: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Split:
    """What the two sides and the link between them could do, requests/s each.

    `balance` is how many prefill workers keep one decode worker busy; `busy` the share of
    their time that prefill workers work.
    """

    transfer: Transfer
    prefill_rate: Number
    transfer_rate: Number
    decode_rate: Number
    balance: Number
    busy: Number
    prefill_memory: MemoryEstimate

    @property
    def limited_by(self) -> Number:
        """The side that would be the first to hold the others up; names for arrays."""
        rates = np.broadcast_arrays(self.prefill_rate, self.transfer_rate, self.decode_rate)
        index = np.argmin(np.stack(rates), axis=0)
        return SIDES[int(index)] if index.ndim == 0 else np.array(SIDES)[index]


def of_all(phase: PhaseEstimate, workers: Number) -> PhaseEstimate:
    """A phase of one worker with the FLOP and bytes of all of them, which work at once."""
    return replace(
        phase,
        flop=phase.flop * workers,
        bytes=phase.bytes * workers,
        network_bytes=phase.network_bytes * workers,
    )


def batch_split(
    deployment: Deployment, work: Workload, prefill: PhaseEstimate, step: Number
) -> tuple[Number, Number, Split]:
    """(TTFT, requests/s, both sides) of static batches that follow each other.

    The prompts of a batch are prefilled together and sent together; while they decode, the
    next batch is prefilled: the slowest of the three sets the pace.
    """
    workers = workers_of(deployment)
    prompts = per_rank(np.ceil(work.batch / workers.prefill), workers.plan)
    sent = transfer(deployment, work.input_len, prefill.time, prompts)
    decoding = (work.output_len - 1) * step
    link = link_rate(deployment, sent)
    rates = work.batch / prefill.time, link, work.batch / np.maximum(decoding, _NO_STEPS * step)
    pace = np.minimum(np.minimum(*rates[:2]), rates[2])
    each = rates[2] / workers.decode / (rates[0] / workers.prefill)
    room = _prefill_memory(deployment, work.input_len)
    split = Split(sent, *rates, each, pace / rates[0], room)
    return prefill.time + sent.exposed, pace, split


def prompt_work(deployment: Deployment, work: Workload) -> Workload:
    """The work of the busiest prefill worker."""
    return replace(work, batch=np.ceil(work.batch / workers_of(deployment).prefill))


def batch_prefill(deployment: Deployment, work: Workload) -> PhaseEstimate:
    """The prefill of a static batch, shared out over the prefill workers."""
    one, local = prompt_side(deployment), prompt_work(deployment, work)
    step, schedule = prefill_pass(local, one.run.plan)
    phase = run_phase(one.model, (step,), one.run, one.hardware, one.prompt_model, schedule)
    return of_all(phase, work.batch / local.batch)


def decode_work(deployment: Deployment, work: Workload) -> Workload:
    """The work of the busiest decode worker."""
    return replace(work, batch=np.ceil(work.batch / workers_of(deployment).decode))


def _prefill_memory(deployment: Deployment, tokens: Number) -> MemoryEstimate:
    """Memory of a device of a prefill worker: the prompts of one pass, until they are sent."""
    one = prompt_side(deployment)
    together = np.maximum(np.floor(one.rules.chunk_tokens / tokens), 1.0)
    return memory(
        one.model,
        one.run,
        one.hardware,
        one.rules,
        batch=together * one.run.plan.dp,
        input_len=tokens,
        output_len=0.0,
    )


def both_sides(deployment: Deployment, tokens: MemoryEstimate, split: Split) -> MemoryEstimate:
    """Memory of a decode worker's device, or of a prefill worker's where only that is short."""
    room = split.prefill_memory
    short = np.logical_and(tokens.fits, np.logical_not(room.fits))
    names = ("weights_bytes", "kv_cache_bytes", "activation_bytes", "total_bytes")
    chosen = {n: np.where(short, getattr(room, n), getattr(tokens, n))[()] for n in names}
    most = tokens.max_batch * workers_of(deployment).decode
    fits = np.logical_and(tokens.fits, room.fits)
    return replace(tokens, **chosen, fits=fits, max_batch=most)


def prompt_times(one: Deployment, load: Load) -> tuple[Number, Number]:
    """(S, q) on a rank of a prefill worker: a prompt's own prefill, and what it occupies.

    A prompt longer than the token budget runs in equal chunks; shorter ones share a pass,
    as many whole prompts as the budget holds. Stages of a pipeline work on several.
    """
    budget = one.rules.chunk_tokens
    cached = load.input_len * load.prefix_hit_rate
    fresh = np.maximum(load.input_len - cached, 1.0)
    chunks = np.ceil(fresh / budget)
    chunk = Step(1.0, fresh / chunks, cached + (fresh - fresh / chunks) / 2, 1.0 / chunks)
    own = chunks * pass_of(one, (chunk,), prompts=True).time
    together = np.maximum(np.floor(budget / fresh), 1.0)
    shared = pass_of(one, (replace(chunk, batch=together),), prompts=True).time
    busy = np.where(together > 1, np.minimum(shared / together, own), own)[()]
    if one.run.plan.pp > 1:
        busy = busy * slowest_stage(one.model, (chunk,), one.run, one.hardware, one.prompt_model)
    return own, busy


def step_time(one: Deployment, load: Load, running: Number) -> Number:
    """TPOT on a rank of a decode worker with `running` sequences, in the mean of the answer."""
    guess = one.speculation
    new = 1.0 if guess is None else guess.tokens + 1.0
    pp = one.run.plan.pp
    together = running if pp == 1 else np.ceil(running / pp)
    step = Step(together, new, load.input_len + load.output_len / 2 - 1.0, new)
    time = pass_of(one, (step,)).time
    if pp > 1:  # round and round, the slowest stage sets the pace
        slow = slowest_stage(one.model, (step,), one.run, one.hardware, one.time_model)
        time = time * np.maximum(1.0, np.ceil(running / together) * slow)
    return per_token(one, step, time)


@dataclass(frozen=True, slots=True)
class _Sides:
    """What a load meets: seconds of both sides, requests/s at most, the decode curve."""

    own: Number
    busy: Number
    ranks: Number
    sent: Transfer
    rates: tuple[Number, Number, Number]
    grid: Number
    pace: Number
    slots: Number

    @property
    def top(self) -> Number:
        """Requests/s that no load exceeds."""
        return np.minimum(np.minimum(*self.rates[:2]), self.rates[2])

    def spread(self) -> _Sides:
        """The same with the curve's axis behind the figures that have none."""
        own, busy, ranks, first, second, third = (
            np.asarray(value)[..., None] for value in (self.own, self.busy, self.ranks, *self.rates)
        )
        return replace(self, own=own, busy=busy, ranks=ranks, rates=(first, second, third))


def _sides(deployment: Deployment, load: Load) -> _Sides:
    workers = workers_of(deployment)
    one = token_side(deployment)
    own, busy = prompt_times(prompt_side(deployment), load)
    sent = transfer(deployment, load.input_len, own, 1.0)
    slots = rank_slots(one, load)
    most = np.maximum(np.asarray(slots, dtype=np.float64), 1.0 + 1e-9)
    grid = np.geomspace(1.0, most, _POINTS, axis=-1)
    curve = last_axis(load, grid)
    steps = step_time(one, curve, grid)
    after = np.maximum(curve.output_len - 1.0, _NO_STEPS)
    pace = np.maximum.accumulate(grid / (after * steps), axis=-1)
    rates = (
        workers.prefill * workers.plan.dp / busy,
        link_rate(deployment, sent),
        workers.decode * one.run.plan.dp * pace[..., -1],
    )
    return _Sides(own, busy, workers.prefill * workers.plan.dp, sent, rates, grid, pace, slots)


def serve_split(
    deployment: Deployment, load: Load, rate: Number | None
) -> tuple[Steady, Load, Split]:
    """Steady state under a load, with what is in flight on average, and both sides.

    A closed load finds the throughput at which `load.concurrency` requests are on their
    way; a "burst" queues for its prefill once, at the start. `rate` is that of a Poisson
    stream: Overloaded is raised where a single one is beyond what can be finished; in
    arrays such points are at capacity.
    """
    workers, rules = workers_of(deployment), deployment.rules
    sides = _sides(deployment, load)
    ranks = workers.decode * deployment.run.plan.dp
    if rate is None:
        done = _throughput(sides, load, ranks, rules.start)
    else:
        _check_rate(rate, sides)
        done = np.minimum(rate, sides.top * (1.0 - _CLOSE))
    running = np.minimum(crossing(sides.pace, sides.grid, done / ranks), sides.grid[..., -1])
    step = step_time(token_side(deployment), load, np.maximum(running, 1.0))
    wait = _queue(sides, done, load, rate)
    ttft = wait + sides.own + sides.sent.exposed + rules.start
    residence = ttft + (load.output_len - 1.0) * step
    waiting = stuck = 0.0 * done
    if rate is None:
        left = np.maximum(load.concurrency - done * residence, 0.0) / done
        short = 1.0 - _CLOSE
        waiting = np.where(done >= sides.rates[2] * short, left, 0.0)[()]
        stuck = np.where((done >= sides.rates[1] * short) & (waiting == 0), left, 0.0)[()]
        ttft = ttft + waiting + stuck
        done = load.concurrency / (ttft + (load.output_len - 1.0) * step)
    else:
        done = np.minimum(rate, sides.top)[()]
        load = replace(load, concurrency=done * residence)
    steady = Steady(
        ttft=ttft,
        tpot=step,
        running=running * ranks,
        waiting=waiting * done,
        requests_per_s=done,
        prefill=sides.own,
        interference=wait,
        lag=0.0 * done + rules.start,
        memory_wait=waiting,
        step=step,
        marginal=sides.busy,
        slots=sides.slots * ranks,
        pace=sides.top,
        transfer=sides.sent.exposed + stuck,
    )
    return steady, load, _split(deployment, load, sides, done, rate)


def _check_rate(rate: Number, sides: _Sides) -> None:
    top = sides.top
    if np.ndim(rate) == 0 and np.ndim(top) == 0 and rate > top:
        side = SIDES[int(np.argmin(sides.rates))]
        words = "the link between the workers" if side == "transfer" else f"the {side} workers"
        raise Overloaded(float(rate), float(top), words)


def _split(
    deployment: Deployment, load: Load, sides: _Sides, done: Number, rate: Number | None
) -> Split:
    """Both sides; the balance is that of decode workers as full as the load would have them."""
    workers = workers_of(deployment)
    each = workers.decode * deployment.run.plan.dp
    full = np.maximum(sides.slots, 1.0)
    if rate is None:
        full = np.clip(load.concurrency / each, 1.0, full)
    decodes = crossing(sides.grid, sides.pace, full) * deployment.run.plan.dp
    balance = decodes * sides.busy / workers.plan.dp
    busy = np.minimum(done / sides.rates[0], 1.0)
    room = _prefill_memory(deployment, load.input_len)
    return Split(sides.sent, *sides.rates, balance, busy, room)


def _queue(sides: _Sides, done: Number, load: Load, rate: Number | None) -> Number:
    """Seconds that a request waits for its prefill at a throughput of `done` requests/s.

    It goes to the rank that is free first (M/D/R; Sakasegawa 1977, halved for service of
    constant length; exact for one rank). An arrival meets what is there; of a closed load
    that is one less than all (the arrival theorem; Reiser and Lavenberg 1980). A burst
    queues behind itself once per request slot.
    """
    busy = np.minimum(done / sides.rates[0], 1.0 - _ROUNDING)
    crowd = power(busy, np.sqrt(2.0 * (sides.ranks + 1.0)) - 1.0)
    wait = sides.own * crowd / (2.0 * sides.ranks * (1.0 - busy))
    if rate is not None:
        return wait
    wait = wait * (1.0 - 1.0 / load.concurrency)
    if load.kind == "burst":
        burst = np.maximum(load.concurrency / sides.rates[0] - sides.busy, 0.0)
        wait = wait + burst * (0.5 / load.requests_per_slot)
    return wait


def _throughput(sides: _Sides, load: Load, ranks: Number, start: float) -> Number:
    """Requests/s at which `load.concurrency` requests are under way.

    Those on the decode ranks, queueing, in prefill and in transfer grow with the
    throughput: the piece of the curve that holds the answer is halved until it is found.
    Beyond the top of the decode workers the rest waits for room.
    """
    ahead = sides.own + sides.sent.exposed + start
    asked = np.asarray(load.concurrency, dtype=np.float64)
    many = np.asarray(ranks)[..., None]
    rate, running = many * sides.pace, many * sides.grid
    spread = sides.spread()
    wait = _queue(spread, rate, replace(load, concurrency=asked[..., None]), None)
    under = rate * (np.asarray(ahead)[..., None] + wait) + running
    under = np.where(rate > np.asarray(sides.top)[..., None], np.inf, under)
    first = np.sum(under < asked[..., None], axis=-1, keepdims=True)
    (x0, n0), (x1, n1) = (
        (_at(rate, place, under.shape), _at(running, place, under.shape))
        for place in (first - 1, np.minimum(first, _POINTS - 1))
    )
    slope = (n1 - n0) / np.maximum(x1 - x0, _TINY * (n1 - n0 + 1.0))  # a curve at its top is flat
    low, high = x0, np.minimum(x1, sides.top)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        decoding = n0 + (middle - x0) * slope
        few = middle * (ahead + _queue(sides, middle, load, None)) + decoding < asked
        low, high = np.where(few, middle, low), np.where(few, high, middle)
    return np.maximum(high, _TINY)[()]


def _at(curve: Number, place: Number, shape: tuple[int, ...]) -> Number:
    """The point of a curve with that index on the last axis; 0 before the first."""
    found = np.take_along_axis(np.broadcast_to(curve, shape), np.maximum(place, 0), -1)
    return np.where(place < 0, 0.0, found)[..., 0]
