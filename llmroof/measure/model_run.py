"""A whole model on this device: prefill and decode over batch and context, as rows to validate.

A model that does not fit is built with fewer layers, at two depths; a layer's time is the
difference, and the row says how many layers were really run.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from llmroof.errors import InputError
from llmroof.measure.timing import MAX_SPREAD, Noisy, Sample, typical_spread
from llmroof.models.model import Model
from llmroof.operators import Plan
from llmroof.specs.precision import recipe

#: part of the device's memory that weights, cache and activations may take
_SHARE: Final = 0.8
#: tokens out of a row: the prediction's one decode step lies at this context
_OUTPUT: Final = 2
#: told after each point: (done, of, what)
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Pass:
    """One timed pass, and the seconds of its families of kernels where they were told apart."""

    sample: Sample
    families: Mapping[str, float] = field(default_factory=dict)


class Runner(Protocol):
    """Builds a model of some layers on a device and times its passes."""

    @property
    def memory(self) -> float:
        """Bytes of the device."""

    @property
    def method(self) -> str:
        """What ran: framework, version, attention, graphs."""

    def build(self, model: Model, precision: str, layers: int) -> None:
        """Random weights for the first `layers` layers; those of before are given up."""

    def prefill(self, batch: int, context: int) -> Pass | None:
        """A prompt of `context` tokens per sequence; None where it does not fit."""

    def decode(self, batch: int, context: int) -> Pass | None:
        """One new token per sequence behind `context` tokens; None where it does not fit."""


def depths(
    model: Model, precision: str, batch: int, context: int, memory: float
) -> tuple[int, ...]:
    """All layers where they fit; else the two depths to extrapolate from.

    Whole groups of the layers' pattern are kept. Raises InputError where not even two fit.
    """
    group = max(len(layers) for _, layers in model.pattern())
    whole = model.num_layers
    if _bytes(model, precision, batch, context, 1.0) <= _SHARE * memory:
        return (whole,)
    fixed = _bytes(model, precision, batch, context, 0.0)
    each = (_bytes(model, precision, batch, context, 1.0) - fixed) / whole
    most = int((_SHARE * memory - fixed) / each / group) * group
    if most < 2 * group:
        raise InputError(
            f"{model.name} does not fit: two groups of {group} layers with batch {batch} x context "
            f"{context} need more than {_SHARE:.0%} of this device's memory; ask for less of each"
        )
    return (most // group // 2 * group, most)


def _fits(
    model: Model, precision: str, batch: int, context: int, layers: int, memory: float
) -> bool:
    """True where a point fits beside so many layers."""
    part = layers / model.num_layers
    return _bytes(model, precision, batch, context, part) <= _SHARE * memory


def _bytes(model: Model, precision: str, batch: int, context: int, layers: float) -> float:
    """Weights, cache and activations with a share `layers` of the layers."""
    asked = recipe(precision)
    ends = sum(
        block.parameters * asked.base.bytes
        for block, _ in model.parts()
        if block in (model.embedding, model.head)
    )
    weights = model.weights_bytes(asked) - ends
    cache = batch * float(model.kv_cache_bytes(float(context), asked))
    widest = max(block.workspace(Plan()) for block, _ in model.parts()) + 4.0 * model.hidden
    return ends + layers * (weights + cache) + batch * context * widest * asked.base.bytes


def measure_model(
    runner: Runner,
    model: Model,
    *,
    name: str,
    hardware: str,
    precision: str,
    batches: Sequence[int],
    contexts: Sequence[int],
    layers: int | None = None,
    max_spread: float = MAX_SPREAD,
    longest_prefill: int | None = None,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Rows of `llmroof validate`, one per batch and context.

    `name` and `hardware` are what the rows call the model and the device. `longest_prefill`
    bounds the tokens of one prefill pass (batch x context); decode runs all the same. The
    depth is that of the smallest point; larger ones that do not fit beside it are left out.
    Raises Noisy when the typical point spreads by more than `max_spread`.
    """
    points = sorted(((b, c) for b in batches for c in contexts), key=lambda p: p[0] * p[1])
    if layers is None:
        deep = depths(model, precision, *points[0], runner.memory)
    else:
        deep = (min(layers, model.num_layers),)
    points = [one for one in points if _fits(model, precision, *one, deep[-1], runner.memory)]
    timed: dict[int, list[tuple[Pass | None, Pass | None]]] = {}
    done, total = 0, len(points) * len(deep)
    for depth in deep:
        runner.build(model, precision, depth)
        timed[depth] = []
        for batch, context in points:
            short = longest_prefill is None or batch * context <= longest_prefill
            prefill = runner.prefill(batch, context) if short else None
            timed[depth].append((prefill, runner.decode(batch, context)))
            done += 1
            if progress is not None:
                progress(done, total, f"batch {batch} x {context} tokens")
    _refuse_noise(timed, max_spread)
    rows = []
    for place, (batch, context) in enumerate(points):
        passes = {depth: timed[depth][place] for depth in deep}
        row = _head(runner, name, hardware, precision, batch, context, deep, model)
        row |= dict(_figures(passes, 0, "ttft_s", "prefill", model.num_layers, layers is None))
        row |= dict(_figures(passes, 1, "tpot_s", "decode", model.num_layers, layers is None))
        rows.append(row)
    return rows


def _refuse_noise(timed: Mapping[int, Sequence[tuple[Pass | None, ...]]], limit: float) -> None:
    samples = [one.sample for pair in timed.values() for two in pair for one in two if one]
    if not samples:
        raise InputError("no point fits on this device: ask for smaller batches or contexts")
    spread = typical_spread(samples)
    if spread > limit:
        raise Noisy(
            f"the machine was too noisy: passes spread by {spread:.0%} around their median "
            f"(limit {limit:.0%}); stop what else runs here, or raise --max-spread"
        )


def _head(
    runner: Runner,
    name: str,
    hardware: str,
    precision: str,
    batch: int,
    context: int,
    deep: tuple[int, ...],
    model: Model,
) -> dict[str, Any]:
    """What was asked, as the columns of a row."""
    some = f", {' and '.join(map(str, deep))} of {model.num_layers} layers"
    today = datetime.date.today().isoformat()
    return {
        "id": f"{model.id}-{precision}-b{batch}-c{context}",
        "model": name,
        "hardware": hardware,
        "num_gpus": 1,
        "precision": precision,
        "engine": "generic",
        "batch": batch,
        "input_len": context,
        "output_len": _OUTPUT,
        "lengths": "fixed",
        "layers": "+".join(map(str, deep)),
        "source": f"{runner.method}{'' if deep == (model.num_layers,) else some}, {today}",
    }


def _figures(
    passes: Mapping[int, tuple[Pass | None, Pass | None]],
    which: int,
    metric: str,
    phase: str,
    layers: int,
    extrapolate: bool,
) -> Iterator[tuple[str, Any]]:
    """Seconds of a phase with its spread and families; depth by depth extrapolated."""
    found = {depth: pair[which] for depth, pair in passes.items()}
    if any(one is None for one in found.values()):
        return
    kept = {depth: one for depth, one in found.items() if one is not None}
    target = layers if extrapolate else max(kept)

    def at(value: Callable[[Pass], float]) -> float:
        return _line({depth: value(one) for depth, one in kept.items()}, target)

    yield metric, at(lambda one: one.sample.seconds)
    yield f"spread_{metric}", max(one.sample.spread for one in kept.values())
    names = set.intersection(*(set(one.families) for one in kept.values()))
    for family in sorted(names):
        yield f"{phase}_{family}_s", at(lambda one, f=family: one.families[f])  # type: ignore[misc]


def _line(values: Mapping[int, float], layers: int) -> float:
    """The value at `layers`, along the line through two depths; of one depth its own."""
    (low, first), (high, second) = min(values.items()), max(values.items())
    if low == high:
        return second
    return second + (layers - high) * (second - first) / (high - low)


def rows_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as CSV text; an absent figure is an empty cell."""
    import csv
    import io

    columns = list(dict.fromkeys(key for row in rows for key in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        cells = {k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()}
        writer.writerow(cells)
    return out.getvalue()
