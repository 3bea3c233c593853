"""Derivations of what the model is: parameters, bytes of weights, bytes of KV cache."""

from __future__ import annotations

from typing import Any

from llmroof.blocks.base import Block, Cache
from llmroof.engine.estimate import Estimate
from llmroof.models.model import Model
from llmroof.render.derive import Quantity, Section, Step, identifier, number, same, text, unique
from llmroof.render.page import Line
from llmroof.specs.precision import Precision


def weights_section(estimate: Estimate) -> Section:
    """Parameters by block, their sum, and the bytes they take."""
    deployment = estimate.deployment
    model, precision = deployment.model, deployment.run.precision
    steps = [_block_step(block, count, model) for block, count in model.parts()]
    names = unique([step.name for step in steps])
    steps = [step._replace(name=name) for step, name in zip(steps, names, strict=True)]
    total = Step(
        "parameters",
        " + ".join(names),
        {step.name: step.result for step in steps},
        number(model.parameters),
    )
    items: list[Any] = [*steps, total, _bytes_step(model, precision)]
    if model.active_parameters != model.parameters:
        items.append(Line(f"  Active per token: {model.active_parameters:,} (routed experts)."))
    for what, size in model.extras.items():
        items.append(Line(f"  Held but not modelled: {what}, {size:,} parameters."))
    if deployment.num_gpus > 1:
        items.append(_per_gpu("weights", estimate.memory.weights_bytes, deployment.num_gpus))
    return Section("weights", "Parameters and weights", tuple(items))


def _block_step(block: Block, count: int, model: Model) -> Step:
    """Parameters of one kind of block: a closed form where it holds, else its tensors."""
    source = model_source(model)
    formula, inputs = _closed_form(block) or _tensor_sum(block)
    given = {name: number(value, source=source) for name, value in inputs.items()}
    if count > 1:
        formula, given = f"layers * ({formula})", {"layers": number(count, source=source)} | given
    return Step(identifier(block.kind), formula, given, number(block.parameters * count))


def _closed_form(block: Block) -> tuple[str, dict[str, float]] | None:
    """The textbook formula of a plain attention or MLP block, where it gives the sum."""
    small = sum(tensor.elements for tensor in block.tensors() if tensor.role == "norm")
    width = getattr(block, "hidden", 0)
    if block.kind == "attention":
        heads, kv, size = (getattr(block, key) for key in ("heads", "kv_heads", "head_dim"))
        value = 2 * width * heads * size + 2 * width * kv * size + small
        formula = "2 * hidden * heads * head_dim + 2 * hidden * kv_heads * head_dim + norm"
        inputs = {"hidden": width, "heads": heads, "head_dim": size, "kv_heads": kv}
    elif block.kind == "mlp":
        inner = getattr(block, "intermediate", 0)
        matrices = 3 if getattr(block, "gated", True) else 2
        value = matrices * width * inner + small
        formula = "matrices * hidden * intermediate + norm"
        inputs = {"matrices": matrices, "hidden": width, "intermediate": inner}
    elif block.kind in ("embedding", "head"):
        own = getattr(block, "vocab", 0)
        value = own * width + small
        formula = "vocab * hidden + norm" if small else "vocab * hidden"
        inputs = {"vocab": own, "hidden": width}
    else:
        return None
    named = inputs | ({"norm": small} if "norm" in formula else {})
    return (formula, named) if same(value, block.parameters) else None


def _tensor_sum(block: Block) -> tuple[str, dict[str, float]]:
    inputs: dict[str, float] = {}
    for tensor in block.tensors():
        name = identifier(tensor.name)
        inputs[name] = inputs.get(name, 0) + tensor.elements
    return (" + ".join(inputs), inputs) if inputs else ("none", {"none": 0})


def _bytes_step(model: Model, precision: Precision) -> Step:
    """Bytes of all weights, grouped by number format."""
    held: dict[str, float] = {}
    width: dict[str, float] = {}
    for tensor, count in model.tensors():
        kind = precision.weight(tensor.role)
        held[kind.id] = held.get(kind.id, 0) + tensor.elements * count
        width[kind.id] = kind.bytes
    if model.extras:
        kind = precision.base
        held[kind.id] = held.get(kind.id, 0) + sum(model.extras.values())
        width[kind.id] = kind.bytes
    inputs: dict[str, Quantity] = {}
    for name in held:
        inputs[f"parameters_in_{identifier(name)}"] = number(held[name])
        inputs[f"bytes_of_{identifier(name)}"] = number(width[name], "B")
    ids = [identifier(name) for name in held]
    formula = " + ".join(f"parameters_in_{name} * bytes_of_{name}" for name in ids)
    return Step("weights", formula, inputs, number(model.weights_bytes(precision), "B"))


def kv_section(estimate: Estimate) -> Section:
    """KV cache per token, per sequence at the end of the answer, and of the batch."""
    deployment, work = estimate.deployment, estimate.workload
    model, precision = deployment.model, deployment.run.precision
    context = float(work.input_len + work.output_len)
    per_sequence = float(model.kv_cache_bytes(context, precision))
    items: list[Any] = [_token_step(model, precision)]
    per_token = items[0].result
    state = model.state_bytes_per_sequence(precision)
    length = {
        "input": number(work.input_len),
        "output": number(work.output_len),
    }
    if same(per_token.value * context + state, per_sequence):
        formula = "KV_per_token * (input + output)" + (" + state" if state else "")
        given = {"KV_per_token": per_token} | length
        given |= {"state": number(state, "B")} if state else {}
    else:
        formula, given = _windowed(model, precision, length)
    items.append(Step("KV per sequence", formula, given, number(per_sequence, "B")))
    items.append(
        Step(
            "KV of the batch",
            "batch * KV_per_sequence",
            {"batch": number(work.batch), "KV_per_sequence": number(per_sequence, "B")},
            number(work.batch * per_sequence, "B"),
        )
    )
    if not deployment.run.kv_cache:
        items.append(Line("  --no-kv-cache: nothing of this is kept."))
    elif deployment.num_gpus > 1:
        items.append(_per_gpu("KV cache", estimate.memory.kv_cache_bytes, deployment.num_gpus))
    return Section("kv", "KV cache", tuple(items))


def _caches(model: Model) -> list[tuple[Block, Cache, int]]:
    return [
        (block, cache, count)
        for block, count in model.parts()
        for cache in block.cache()
        if cache.values
    ]


def _token_step(model: Model, precision: Precision) -> Step:
    """Growth per token while no window is full."""
    source, terms = model_source(model), []
    inputs: dict[str, Quantity] = {}
    found = _caches(model)
    for place, (block, cache, count) in enumerate(found):
        end = f"_{place + 1}" if len(found) > 1 else ""
        width = precision.kv_cache.bytes
        inputs[f"layers{end}"] = number(count, source=source)
        heads, size = getattr(block, "kv_heads", 0), getattr(block, "head_dim", 0)
        if same(2.0 * heads * size, cache.values):
            terms.append(f"2 * layers{end} * kv_heads{end} * head_dim{end} * bytes{end}")
            inputs[f"kv_heads{end}"] = number(heads, source=source)
            inputs[f"head_dim{end}"] = number(size, source=source)
        else:
            terms.append(f"layers{end} * values{end} * bytes{end}")
            inputs[f"values{end}"] = number(cache.values, source=source)
        inputs[f"bytes{end}"] = number(width, "B")
    result = number(model.kv_cache_bytes_per_token(precision), "B")
    if not terms:
        return Step("KV per token", "none", {"none": number(0, "B")}, result)
    return Step("KV per token", " + ".join(terms), inputs, result)


def _windowed(
    model: Model, precision: Precision, length: dict[str, Quantity]
) -> tuple[str, dict[str, Quantity]]:
    """Per sequence where windows fill up: each kind of layer keeps min(context, window)."""
    terms, inputs = [], dict(length)
    for place, (_, cache, count) in enumerate(_caches(model), 1):
        width = precision.kv_cache.bytes
        inputs[f"growth_{place}"] = number(count * cache.values * width, "B")
        reach = "(input + output)"
        if cache.window != float("inf"):
            inputs[f"window_{place}"] = number(cache.window, source=model_source(model))
            reach = f"min(input + output, window_{place})"
        terms.append(f"growth_{place} * {reach}")
    state = model.state_bytes_per_sequence(precision)
    if state:
        inputs["state"] = number(state, "B")
        terms.append("state")
    return " + ".join(terms), inputs


def model_source(model: Model) -> str:
    """The spec file and the first source it names."""
    title = model.sources[0].title if model.sources else "no source"
    return f"{model.id}.yaml ({title})" if model.file.endswith(("yaml", "yml")) else title


def _per_gpu(what: str, size: Any, many: int) -> Line:
    share = text(number(size, "B"))
    return Line(f"  Each of {many} GPUs holds {share} of {what} under this plan.")
