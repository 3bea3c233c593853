"""A step: one forward pass over `batch` sequences.

B batch, S new tokens per sequence, C tokens already in the cache. Prefill is
(B, prompt, 0), decode (B, 1, context), a chunk of a prompt (B, chunk, done so far):
one set of formulas serves all three. Every number is a float or an array.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llmroof.operators.numbers import Number


@dataclass(frozen=True, slots=True)
class Step:
    """One forward pass: `new_tokens` for each of `batch` sequences with `past_tokens` cached.

    `logits` counts the positions per sequence whose next-token scores are wanted.
    """

    batch: Number
    new_tokens: Number
    past_tokens: Number = 0.0
    logits: Number = 1.0

    def __post_init__(self) -> None:
        """A single number of numpy's becomes a plain one: the same value, a third of the time."""
        for name in ("batch", "new_tokens", "past_tokens", "logits"):
            value = getattr(self, name)
            if isinstance(value, (np.generic, np.ndarray)) and value.ndim == 0:
                object.__setattr__(self, name, value.item())

    @property
    def context(self) -> Number:
        """Tokens a sequence holds after the step."""
        return self.past_tokens + self.new_tokens

    def pairs(self, window: Number | None = None, chunk: Number | None = None) -> Number:
        """Causal (query, key) pairs of one sequence: S·C + S(S+1)/2 without a window.

        With `window` a query sees at most that many keys, itself included; with
        `chunk` it sees the keys of its own chunk of the sequence only.
        """
        if window is None and chunk is None:
            return self.new_tokens * self.past_tokens + self.new_tokens * (self.new_tokens + 1) / 2
        seen = _seen_in_window if chunk is None else _seen_in_chunk
        reach = window if chunk is None else chunk
        return seen(self.context, reach) - seen(self.past_tokens, reach)

    def keys(self, window: Number | None = None, chunk: Number | None = None) -> Number:
        """Keys of one sequence that the step reads: all held, or what the window reaches.

        The S queries together see the window of the first one and everything after it.
        """
        if chunk is not None:
            first = np.floor(self.past_tokens / chunk) * chunk
            return self.context - first
        if window is None:
            return self.context
        return np.minimum(self.context, window + self.new_tokens - 1)


def _seen_in_window(length: Number, window: Number) -> Number:
    """Sum over the first `length` positions of min(position, window)."""
    inside = np.minimum(length, window)
    return inside * (inside + 1) / 2 + (length - inside) * window


def _seen_in_chunk(length: Number, chunk: Number) -> Number:
    """Sum over the first `length` positions of the place within the chunk (from 1)."""
    whole = np.floor(length / chunk)
    rest = length - whole * chunk
    return whole * chunk * (chunk + 1) / 2 + rest * (rest + 1) / 2


def tokens(steps: Sequence[Step]) -> Number:
    """New tokens of a pass that runs several kinds of work together (chunked prefill)."""
    return sum(step.batch * step.new_tokens for step in steps)


def sequences(steps: Sequence[Step]) -> Number:
    """Sequences of a pass."""
    return sum(step.batch for step in steps)
