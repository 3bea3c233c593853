"""Holds the engine's all-reduce times against measured tables; prints the errors.

    python validation/collectives.py [--write]

Reads <shared>/measured/kernels, where <shared> is `../shared` or LLMROOF_SHARED; without
it there is nothing to do. NCCL and the engines' own kernels are judged apart. `--write`
puts the tables into docs/parallelism.md, between its two markers.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kernel_families import all_reduce
from kernel_tables import shared

from llmroof.calibration.load import load_calibration, load_engine
from llmroof.engine.deployment import Deployment
from llmroof.engine.network import on_links
from llmroof.engine.roofline import limit
from llmroof.models.load import load_model
from llmroof.operators import Execution, Plan
from llmroof.operators.collective import all_reduce as operator
from llmroof.specs.hardware import load_hardware
from llmroof.specs.precision import recipe

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "parallelism.md"
BEGIN, END = "<!-- all-reduce: begin -->", "<!-- all-reduce: end -->"
#: table of the measurements -> hardware profile
PROFILES = {
    "a100_sxm": "a100-sxm-80gb",
    "h200_sxm": "h200-sxm",
    "b200_sxm": "b200-sxm",
    "gb200": "gb200",
    "l40s": "l40s",
}
SIZES = ((0, "up to 64 kB"), (65_536, "to 1 MB"), (1_048_576, "to 16 MB"), (16_777_216, "above"))


def rows(folder: Path) -> pd.DataFrame:
    """Every measured all-reduce with the engine's expected time and physical limit."""
    data = all_reduce(folder)
    found = pd.DataFrame(
        {
            "gpu": data.gpu.astype(str),
            "kernel": ["NCCL" if "nccl" in scope else "custom" for scope in data.scope.astype(str)],
            "devices": data.columns["devices"].astype(int),
            "bytes": data.columns["size"],
            "measured": data.seconds,
        }
    )
    found = found[found.gpu.isin(PROFILES) & (found.devices > 1)].reset_index(drop=True)
    for (gpu, devices), part in found.groupby(["gpu", "devices"]):
        times, floor = predict(gpu, int(devices), part.bytes.to_numpy())
        found.loc[part.index, "expected"] = times
        found.loc[part.index, "limit"] = floor
    found["error"] = (found.expected - found.measured) / found.measured
    edges = [size for size, _ in SIZES]
    place = np.searchsorted(edges, found.bytes, side="left") - 1
    found["message"] = pd.Categorical(
        [SIZES[max(0, i)][1] for i in place], [name for _, name in SIZES], ordered=True
    )
    return found


def predict(gpu: str, devices: int, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(expected seconds, physical limit) of summing `size` bytes over `devices`."""
    hardware = load_hardware(PROFILES[gpu])
    run = Execution(recipe("bf16"), Plan(tp=devices))
    deployment = Deployment(
        load_model("llama-3.1-8b"), hardware, run, load_engine("generic"), load_calibration()
    )
    one = on_links(*operator("all_reduce", size, devices), hardware, run.all_reduce)
    floor = limit(one, hardware)
    model = deployment.time_model
    assert model is not None
    return model([one], [floor])[0].total, floor.total


def tables(found: pd.DataFrame) -> str:
    """Median absolute error by GPU, message size and number of devices, as Markdown."""
    parts = []
    for column, title in (("gpu", "GPU"), ("message", "message"), ("devices", "devices")):
        lines = [f"| {title} | kernels | rows | median error | median signed error |"]
        lines.append("| --- | --- | ---: | ---: | ---: |")
        for (value, kernel), part in found.groupby([column, "kernel"], observed=True):
            size, bias = part.error.abs().median(), part.error.median()
            name = PROFILES.get(value, value) if column == "gpu" else value
            lines.append(f"| {name} | {kernel} | {len(part)} | {size:.0%} | {bias:+.0%} |")
        parts.append("\n".join(lines))
    whole = found.error.abs()
    head = f"All {len(found)} rows: median error {whole.median():.0%}, mean {whole.mean():.0%}."
    return "\n\n".join((head, *parts))


def main() -> int:
    """Print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="write docs/parallelism.md")
    asked = parser.parse_args()
    folder = shared()
    if folder is None:
        print("no measured kernels at hand (set LLMROOF_SHARED): nothing to do")
        return 0
    text = tables(rows(folder))
    print(text)
    if asked.write:
        whole = DOCUMENT.read_text("utf-8")
        before, _, rest = whole.partition(BEGIN)
        _, _, after = rest.partition(END)
        DOCUMENT.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
