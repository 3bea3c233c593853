"""Fits the serving constants of each engine to served models, judged on groups left out.

    python validation/serving.py [--write]

Reads <shared>/measured/e2e.csv, where <shared> is `../shared` or the environment variable
LLMROOF_SHARED; without it it says so and stops. `--write` replaces the fitted figures in
llmroof/calibration/engines.yaml and makes in_graph.yaml from kernels.yaml and the residual
quantiles of ranges.yaml. Deterministic; about a minute on one core.

What is fitted, per engine: multipliers on launches in graphs and in passes with prompts, start,
pipeline lag, queue shares, clumps and the coupling of data-parallel ranks. Nothing per model or
GPU. Step costs are linear in the multipliers, so each row is costed twice, once without launches.
Each figure is drawn to the value that theory or older studies give (`ANCHORS`): a group that
alone identifies a figure leaves it there when it is left out. Loss: soft L1 of the log ratios of
TTFT and TPOT.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import ranges
from kernel_tables import shared

from llmroof.calibration.load import EngineRules, load_engine
from llmroof.engine.passes import per_rank
from llmroof.engine.serving import Load, StepCosts, kv_slots, steady_state, step_costs
from llmroof.errors import LlmroofError
from llmroof.evidence.rows import DEPLOYMENT, lengths, options, read_rows
from llmroof.resolve import deploy

ENGINES = ("trtllm", "vllm", "sglang")
#: figure -> (start value, freedom in the logarithm); the burst's own 0.05 is not in the queue
ANCHORS: Mapping[str, tuple[float, float]] = {
    "launch_scale": (1.3, 0.4),
    "eager_scale": (3.0, 0.5),
    "start": (0.015, 0.7),
    "pipeline_lag": (5.0, 0.8),
    "queue_random": (0.02, 0.7),
    "queue_fixed": (0.02, 0.7),
    "clump": (1.5, 0.7),
    "rank_coupling": (0.8, 0.7),
}
#: where ranks hold prompts back until all of them have one, they meet few of the others' besides
BALANCED = {"rank_coupling": (0.3, 0.7)}
#: where prefill goes first, equal requests start, end and queue together: half of the others. A
#: prompt waits for the step that runs and the one scheduled meanwhile: two at most, unless the
#: launch command polls less often. Held close to both, left-out rows come out better.
PREFILL_FIRST = {
    "queue_random": (0.10, 0.5),
    "queue_fixed": (0.45, 0.2),
    "eager_scale": (1.3, 0.1),
    "pipeline_lag": (2.0, 0.2),
    "start": (0.10, 0.5),
}
KEYS = {
    "launch_scale": "launch",
    "eager_scale": "eager",
    "start": "start",
    "pipeline_lag": "lag",
    "queue_random": "random",
    "queue_fixed": "fixed",
    "clump": "clump",
    "rank_coupling": "coupling",
}
SOFTNESS, PULL = 0.1, 0.5
NO_LAUNCH = 1e-9
CALIBRATION = Path(__file__).resolve().parents[1] / "llmroof" / "calibration"
COSTS = ("decode", "prefill", "marginal", "alone")


def pieces(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that can be predicted, with room, lengths and step costs as a·launch + b."""
    found = []
    keys = [name for name in DEPLOYMENT if name in rows.columns]
    for _, group in rows.fillna(dict.fromkeys(keys, "")).groupby(keys, sort=False):
        first = {name: str(group[name].iloc[0]) for name in keys}
        drawn = lengths(first.get("lengths", ""))
        try:
            deployment, _ = deploy(**options(first))
        except LlmroofError:
            continue
        load = Load(
            np.rint(group.input_len.to_numpy() * drawn.mean),
            np.rint(group.output_len.to_numpy() * drawn.mean),
            group.concurrency.to_numpy(),
            kind="burst",
            random=drawn.random,
        )
        slots = np.minimum(kv_slots(deployment, load), deployment.rules.max_num_seqs)
        wanted = per_rank(load.concurrency, deployment.run.plan)
        running = np.maximum(np.minimum(wanted, slots), 1.0)
        table = {
            "input": load.input_len,
            "output": load.output_len,
            "slots": slots,
            "random": float(drawn.random),
            "ranks": float(deployment.run.plan.dp),
        }
        for column, scales in {
            "none": (NO_LAUNCH, NO_LAUNCH),
            "graph": (1.0, NO_LAUNCH),
            "eager": (NO_LAUNCH, 1.0),
        }.items():
            rules = replace(deployment.rules, launch_scale=scales[0], eager_scale=scales[1])
            costs = step_costs(replace(deployment, rules=rules), load, running)
            table |= {f"{column} {name}": getattr(costs, name) for name in COSTS}
            table["span"] = costs.span
        found.append(pd.DataFrame(table, index=group.index))
    joined = rows.join(pd.concat(found), how="inner")
    for name in COSTS:
        for column in ("graph", "eager"):
            joined[f"{column} {name}"] -= joined[f"none {name}"]
    joined["group"] = joined.model + " on " + joined.hardware
    return joined


def predict(rows: pd.DataFrame, rules: EngineRules) -> tuple[np.ndarray, np.ndarray]:
    """(TTFT, TPOT) of rows of one engine under its rules."""
    graph, eager = rules.launch_scale, rules.eager_scale

    def cost(name: str) -> np.ndarray:
        parts = (rows[f"{part} {name}"].to_numpy() for part in ("none", "graph", "eager"))
        none, one, other = parts
        return none + graph * one + eager * other

    load = Load(
        rows.input.to_numpy(),
        rows.output.to_numpy(),
        rows.concurrency.to_numpy(),
        kind="burst",
        random=rows.random.to_numpy() > 0,
    )
    costs = StepCosts(*(cost(name) for name in COSTS), rows.span.to_numpy())
    steady = steady_state(costs, load, rules, rows.slots.to_numpy(), rows.ranks.to_numpy())
    return steady.ttft, steady.tpot


def fit(rows: pd.DataFrame, engine: str) -> EngineRules:
    """The rules of an engine with the fitted figures: Levenberg-Marquardt in the logarithms."""
    base = load_engine(engine)
    held = dict(ANCHORS) if base.mixes_prefill else {**ANCHORS, **PREFILL_FIRST}
    if base.balance:
        held |= BALANCED
    centre = np.log([value for value, _ in held.values()])
    reach = np.array([freedom for _, freedom in held.values()])
    measured = np.log(np.concatenate([rows.ttft_s, rows.tpot_s]))

    def rules(x: np.ndarray) -> EngineRules:
        return replace(base, **dict(zip(held, np.exp(x).tolist(), strict=True)))

    def residuals(x: np.ndarray) -> np.ndarray:
        both = np.concatenate(predict(rows, rules(x)))
        ratio = (np.log(np.maximum(both, 1e-9)) - measured) / SOFTNESS
        soft = np.sign(ratio) * np.sqrt(2 * (np.sqrt(1 + ratio**2) - 1))
        return np.concatenate([soft * np.sqrt(100 / len(soft)), PULL * (x - centre) / reach])

    x, damping = centre.copy(), 1e-2
    here = residuals(x)
    for _ in range(60):
        steps = np.eye(len(x)) * 1e-5
        slope = np.stack([(residuals(x + step) - here) / 1e-5 for step in steps], axis=1)
        before = here @ here
        for _ in range(8):
            system = slope.T @ slope + damping * np.diag(np.diag(slope.T @ slope) + 1e-9)
            trial = x - np.clip(np.linalg.solve(system, slope.T @ here), -1, 1)
            there = residuals(trial)
            if there @ there < here @ here:
                x, here, damping = trial, there, damping / 4
                break
            damping *= 4
        if before - here @ here < 1e-6 * before:
            break
    return rules(x)


def judge(rows: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, EngineRules]]:
    """Relative errors of every row, all groups in the fit and its own left out; the rules."""
    out, fitted = rows.copy(), {}
    for name in ("ttft_s", "tpot_s"):
        out[f"inside {name}"] = out[f"outside {name}"] = np.nan
    for engine in ENGINES:
        own = rows[rows.engine == engine]
        good = own[own.trust == "ok"]
        fitted[engine] = fit(good, engine)
        _enter(out, own, fitted[engine], "inside")
        for group in own.group.unique():
            _enter(out, own[own.group == group], fit(good[good.group != group], engine), "outside")
    return out, fitted


def _enter(out: pd.DataFrame, rows: pd.DataFrame, rules: EngineRules, where: str) -> None:
    ttft, tpot = predict(rows, rules)
    out.loc[rows.index, f"{where} ttft_s"] = ttft / rows.ttft_s.to_numpy() - 1
    out.loc[rows.index, f"{where} tpot_s"] = tpot / rows.tpot_s.to_numpy() - 1


def table(rows: pd.DataFrame, by: str) -> str:
    """Errors by a column, in sample and left out, as Markdown."""
    cells = ("rows", "TPOT in sample", "TPOT left out", "bias", "TTFT in sample", "TTFT left out")
    lines = [f"| {by} | " + " | ".join(cells) + " | bias |", "| --- |" + " ---: |" * 7]
    for value, part in rows.groupby(by, observed=True):
        words = []
        for name in ("tpot_s", "ttft_s"):
            for where in ("inside", "outside"):
                size = 100 * part[f"{where} {name}"].abs()
                words.append(f"{size.mean():.1f} / {size.median():.1f}")
            words.append(f"{100 * part[f'outside {name}'].median():+.0f}")
        lines.append(f"| {value} | {len(part)} | " + " | ".join(words) + " |")
    return "\n".join(lines)


def bands(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the band of concurrency they belong to, and a column for all."""
    edges = [0, 4, 16, 64, 256, 1e9]
    names = ["1-4", "5-16", "17-64", "65-256", "over 256"]
    return rows.assign(all="all", concurrency=pd.cut(rows.concurrency, edges, labels=names))


def write_engines(fitted: Mapping[str, EngineRules]) -> None:
    """The fitted figures into engines.yaml; comments and all other figures stay."""
    path = CALIBRATION / "engines.yaml"
    text = path.read_text()
    for engine, rules in fitted.items():
        head, start, rest = text.partition(f"\n{engine}:\n")
        block, end = re.split(r"(?=\n\w+:\n)", rest, maxsplit=1)[0], ""
        end = rest[len(block) :]
        for name, key in KEYS.items():
            value = getattr(rules, name)
            shown = f"{value * 1e3:.3g} ms" if name == "start" else f"{value:.3g}"
            block = re.sub(rf"\b{key}: [\d.e+-]+( ms| s)?", f"{key}: {shown}", block, count=1)
        text = head + start + block + end
    path.write_text(text)


#: what a CUDA graph changes about the kernels of kernels.yaml, and the families it serves
IN_GRAPH = {"launch": "0", "padding": "8"}
SERVED = ("gemm bfloat16", "gemm fp8", "gemm nvfp4", "MoE")
GRAPH_HEAD = """\
# Coefficients of kernels as serving engines run them: inside a CUDA graph.
# Made by validation/serving.py from kernels.yaml (universal values, no engine's own); what a
# graph changes is stated here:
#   launch    start of one kernel; the timing loop's 2-35 us are replaced
#   padding   of MoE: kernels for few tokens per expert take tiles of 8 to 16 rows, and half
#             a tile is wasted on average (isolated timings with skewed routing imply 37)
# Meaning, unit, fit and scope of each coefficient stand in kernels.yaml under the same name.
architectures: [Ampere, Ada, Hopper, Blackwell]
launch: {gemm: 1 us, quantize: 1.5 us, moe: 12 us}
families:
"""
GRAPH_SOURCES = """\
sources:
  - title: >-
      kernel formulas: least squares over isolated GEMM and MoE timings on A100, H200, B200,
      GB200 and L40S (validation/kernels.py)
    checked: 2026-11-22
    confidence: medium
"""


def write_graph() -> None:
    """in_graph.yaml: the universal values of the families that served models are timed with."""
    families = yaml.safe_load((CALIBRATION / "kernels.yaml").read_text())["families"]
    lines = []
    for name in SERVED:
        lines.append(f"  {name}:")
        for key, entry in families[name]["coefficients"].items():
            lines.append(f"    {key}: {IN_GRAPH.get(key) or format(float(entry['value']), '.4g')}")
    (CALIBRATION / "in_graph.yaml").write_text(GRAPH_HEAD + "\n".join(lines) + "\n" + GRAPH_SOURCES)


def main() -> int:
    """Fit, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="write the fitted figures")
    asked = parser.parse_args()
    folder = shared()
    if folder is None:
        print("no measured rows at hand (set LLMROOF_SHARED): nothing to do")
        return 0
    if asked.write:
        write_graph()  # the kernels that the constants are fitted on top of
    whole = read_rows(folder / "measured" / "e2e.csv")
    rows, fitted = judge(pieces(whole))
    print(f"{len(whole)} rows, {len(rows)} predicted. Errors in percent: mean / median.\n")
    good = bands(rows[rows.trust == "ok"])
    for by in ("all", "engine", "hardware", "model", "precision", "concurrency"):
        print(table(good, by) + "\n")
    print("All rows, whatever their labels are worth:\n\n" + table(bands(rows), "trust") + "\n")
    for engine, rules in fitted.items():
        print(engine, {name: float(f"{getattr(rules, name):.3g}") for name in KEYS})
    known = ranges.labelled(rows[rows.trust == "ok"])
    level = ranges.choose(known)
    hits = ranges.covered(known, level)
    print(f"\nranges at the quantiles {level:.2f} and {1 - level:.2f}: left-out rows inside")
    print(hits.groupby(known.engine).mean().round(3).to_string())
    print(hits.mean().round(3).to_string())
    if asked.write:
        write_engines(fitted)
        ranges.write(known, level, CALIBRATION / "ranges.yaml")
        print("wrote engines.yaml, in_graph.yaml and ranges.yaml")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
