"""The KV cache: per token, per sequence, and how many sequences fit at each context."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from llmroof import units
from llmroof.api import check_context
from llmroof.engine.estimate import Estimate, Workload
from llmroof.models.model import Model
from llmroof.render.page import Item, Line, Page, grid, page
from llmroof.render.record import Tree, head, inputs, plain_tree
from llmroof.render.report import deployment_line
from llmroof.search.again import again

#: contexts shown when the user names none, as far as the model was made for them
CONTEXTS: Final = tuple(2**power for power in range(10, 18))


def kv_document(estimate: Estimate, contexts: tuple[int, ...]) -> Tree:
    """`llmroof.kv/1`. Sequences hold `context` tokens, prompt and answer together."""
    deployment = estimate.deployment
    model, precision = deployment.model, deployment.run.precision
    check_context(model, Workload(1.0, float(max(contexts)) - 1, 1.0))
    lengths = np.array(contexts, dtype=np.float64)
    found = again(estimate, input_len=np.maximum(lengths - 1, 1.0), output_len=1.0)
    memory = estimate.memory
    per_sequence = np.broadcast_to(model.kv_cache_bytes(lengths, precision), lengths.shape)
    most = np.broadcast_to(found.memory.max_batch, lengths.shape)
    used_up = memory.capacity_bytes - memory.reserved_bytes - memory.weights_bytes
    return head("kv") | plain_tree(
        {
            "inputs": inputs(estimate),
            "kv_cache_bytes_per_token": model.kv_cache_bytes_per_token(precision),
            "state_bytes_per_sequence": model.state_bytes_per_sequence(precision),
            "weights_bytes": memory.weights_bytes,
            "capacity_bytes": memory.capacity_bytes,
            "reserved_bytes": memory.reserved_bytes,
            "available_bytes": max(used_up, 0.0),
            "contexts": [
                {
                    "context": contexts[i],
                    "kv_cache_bytes_per_sequence": per_sequence[i],
                    "max_batch": most[i],
                    "max_tokens": most[i] * contexts[i],
                }
                for i in range(len(contexts))
            ],
            "notes": list(estimate.notes),
        }
    )


def kv_page(estimate: Estimate, document: Tree) -> Page:
    """The cache in words, then the table over contexts."""
    precision = estimate.deployment.run.precision.kv_cache.id
    state = document["state_bytes_per_sequence"]
    fixed = f" and {units.show(state, 'B')} of state per sequence" if state else ""
    many = estimate.deployment.num_gpus
    where = "GPU" if many == 1 else f"each of {many} GPUs"
    windows = _windows(estimate.deployment.model)
    items: list[Item] = [
        deployment_line(estimate),
        Line(""),
        Line(
            f"KV cache in {precision}: "
            f"{units.show(document['kv_cache_bytes_per_token'], 'B', 4)} per token{fixed}, "
            f"over all layers{' while no window is full' if windows else ''}."
        ),
        *windows,
        Line(
            f"On {where}: {units.show(document['weights_bytes'], 'B')} weights, "
            f"{units.show(document['available_bytes'], 'B')} left for cache and activations "
            f"({units.show(document['capacity_bytes'], 'B')}, "
            f"{units.show(document['reserved_bytes'], 'B')} of it kept free: "
            f"--gpu-memory-utilization {estimate.deployment.rules.utilization:g})."
        ),
        *(Line(f"- {note}", hang=2) for note in _assumed(estimate)),
        Line(""),
        grid(
            ("context", "KV per sequence", "largest batch", "tokens in the cache"),
            (_row(row) for row in document["contexts"]),
            ">>>>",
        ),
    ]
    if not any(row["max_batch"] for row in document["contexts"]):
        items.append(Line("Not one sequence fits: llmroof estimate names the ways out.", "bad"))
    return page(items)


def _windows(model: Model) -> list[Item]:
    """What layers with a window hold; nothing for a model without them."""
    held: dict[float, int] = {}
    for block, count in model.parts():
        for cache in block.cache():
            held[cache.window] = held.get(cache.window, 0) + count
    limited = sorted(window for window in held if math.isfinite(window))
    if not limited:
        return []
    parts = [f"{held[window]} layers keep the last {window:,.0f} tokens" for window in limited]
    rest = held.get(math.inf)
    parts += [f"{rest} layers keep all"] if rest else []
    return [Line(f"Of a longer context {', '.join(parts)}.")]


def _assumed(estimate: Estimate) -> list[str]:
    """Plan, number formats and notes that the figures rest on."""
    precision, plan = estimate.deployment.run.precision, estimate.deployment.run.plan
    degrees = f"tp={plan.tp}, pp={plan.pp}, dp={plan.dp}"
    return [
        f"weights in {precision.weights.id}, KV cache in {precision.kv_cache.id}, {degrees}, "
        f"{estimate.deployment.engine} engine",
        *estimate.notes,
    ]


def kv_rows(document: Tree) -> list[dict[str, Any]]:
    """One flat row per context; what does not depend on it is repeated."""
    shared = {
        name: value
        for name, value in document.items()
        if name not in ("schema", "llmroof_version", "inputs", "contexts", "notes")
    }
    where = {name: document["inputs"][name] for name in ("model", "hardware", "num_gpus", "tp")}
    kept = {"kv_cache_dtype": document["inputs"]["kv_cache_dtype"]}
    return [where | kept | row | shared for row in document["contexts"]]


def _row(row: Tree) -> tuple[str, ...]:
    return (
        f"{row['context']:,}",
        units.show(row["kv_cache_bytes_per_sequence"], "B"),
        f"{row['max_batch']:,}",
        f"{row['max_tokens']:,}",
    )
