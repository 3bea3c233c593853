"""Holds disaggregated estimates against the measured rows that state their worker counts.

    python validation/disaggregated.py [--write]

Reads <shared>/measured/disaggregated_raw.csv, where <shared> is `../shared` or LLMROOF_SHARED;
without it there is nothing to do. Most rows lack the numbers of workers and cannot be asked.
Of those that have them some do not state how many requests are in flight: the product of the
decode batch and the workers is taken, and they are told apart. Lengths are taken as nominal and
the load as a benchmark's, all at once in the beginning. `--write` puts the table into
docs/parallelism.md, between its two markers.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import mean

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kernel_tables import shared

import llmroof

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "parallelism.md"
BEGIN, END = "<!-- disaggregated: begin -->", "<!-- disaggregated: end -->"
#: checkpoint of a row -> (model, precision)
MODELS = {
    "nvidia/Qwen3-32B-NVFP4": ("qwen3-32b", "nvfp4"),
    "Qwen/Qwen3-32B": ("qwen3-32b", "fp8"),
    "Qwen/Qwen3-235B-A22B-FP8": ("qwen3-235b-a22b", "fp8"),
}
GPUS = {"b200_sxm": "b200", "gb200": "gb200", "h100_sxm": "h100"}
HEAD = (
    "| engine | GPU | model | workers, prefill + decode | in flight | TTFT measured, predicted "
    "| TPOT measured, predicted |\n| --- | --- | --- | --- | ---: | ---: | ---: |"
)


def rows(file: Path) -> list[dict[str, str]]:
    """The rows with worker counts; a measurement that stands twice counts twice."""
    with file.open(newline="", encoding="utf-8") as stream:
        return [row for row in csv.DictReader(stream) if row["prefill_num_workers"]]


def number(row: Mapping[str, str], name: str) -> int:
    """A count of a row; 0 and an empty cell stand for 1."""
    return max(int(float(row[name] or 1)), 1)


def predict(row: Mapping[str, str]) -> llmroof.Estimate:
    """The same deployment and load, asked."""
    model, precision = MODELS[row["model_path"]]
    batch = number(row, "decode_batch_size") * number(row, "decode_num_workers")
    return llmroof.estimate(
        model=model,
        precision=precision,
        gpu=GPUS[row["system"]],
        engine=row["backend"],
        input_len=number(row, "isl"),
        output_len=number(row, "osl"),
        concurrency=number(row, "concurrency") if row["concurrency"] else batch,
        load="burst",
        disaggregated=True,
        prefill_workers=number(row, "prefill_num_workers"),
        decode_workers=number(row, "decode_num_workers"),
        tp=number(row, "decode_tp_size"),
        dp=number(row, "decode_attention_dp_size"),
        ep=number(row, "decode_moe_ep_size"),
        prefill_tp=number(row, "prefill_tp_size"),
        prefill_dp=number(row, "prefill_attention_dp_size"),
        prefill_ep=number(row, "prefill_moe_ep_size"),
    )


def tables(found: list[dict[str, str]]) -> str:
    """A line per row, then the errors of those that are stated in full."""
    lines, errors = [HEAD], []
    for row in found:
        estimate = predict(row)
        workers = estimate.deployment.workers
        assert workers is not None
        predicted = float(estimate.serving.ttft), float(estimate.serving.tpot)
        measured = float(row["silicon_ttft_ms"]) / 1000, float(row["silicon_tpot_ms"]) / 1000
        known = bool(row["concurrency"])
        if known:
            errors.append([p / m - 1 for p, m in zip(predicted, measured, strict=True)])
        plan = estimate.deployment.run.plan
        sides = [
            f"{count:g} × {one.num_gpus} GPU{'s' if one.num_gpus > 1 else ''}"
            for count, one in ((workers.prefill, workers.plan), (workers.decode, plan))
        ]
        at_once = f"{float(estimate.load.concurrency):g}{'' if known else ' (taken)'}"
        lines.append(
            f"| {row['backend']} | {GPUS[row['system']]} | {estimate.deployment.model.name} | "
            f"{' + '.join(sides)} | {at_once} | {measured[0]:.2f} s, {predicted[0]:.2f} s | "
            f"{1000 * measured[1]:.1f} ms, {1000 * predicted[1]:.1f} ms |"
        )
    ttft, tpot = ([abs(pair[place]) for pair in errors] for place in (0, 1))
    said = (
        f"{len(found)} rows state their workers, {len(errors)} of them the requests in flight too: "
        f"mean error of those {mean(ttft):.0%} of TTFT and {mean(tpot):.0%} of TPOT."
    )
    return "\n".join((said, "", *lines))


def main() -> int:
    """Print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="write docs/parallelism.md")
    asked = parser.parse_args()
    folder = shared()
    if folder is None:
        print("no measured rows at hand (set LLMROOF_SHARED): nothing to do")
        return 0
    text = tables(rows(folder / "measured" / "disaggregated_raw.csv"))
    print(text)
    if asked.write:
        whole = DOCUMENT.read_text("utf-8")
        before, _, rest = whole.partition(BEGIN)
        _, _, after = rest.partition(END)
        DOCUMENT.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
