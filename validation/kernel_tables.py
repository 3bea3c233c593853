"""Reads the isolated kernel timings and turns each table into numpy columns for the formulas.

Files: <measured>/kernels/<gpu>__<engine>__<family>_perf.parquet. Latencies are milliseconds.
A `Family` holds one column per formula argument, the time in seconds, the GPU, a `scope` (which
coefficients apply: engine, kernel and format) and a `table` (what one row of a report sums up).
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from llmroof.engine.kernels import Silicon

ROOT = Path(__file__).resolve().parents[1]
IDS = {  # table name -> id in facts/hardware.csv, where they differ by more than a hyphen
    "a100_sxm": "a100-sxm-80gb",
    "b60": "arc-pro-b60",
    "rtx_pro_6000": "rtx-pro-6000-server",
}
FORMATS = {  # bytes per weight, bytes per activation, compute type
    "bfloat16": (2.0, 2.0, "bf16"),
    "fp8": (1.0, 1.0, "fp8"),
    "fp8_block": (1.0, 1.0, "fp8"),
    "nvfp4": (0.5625, 0.5625, "fp4"),
    "int4_wo": (0.53, 2.0, "bf16"),
    "w4a16_mxfp4": (0.531, 2.0, "bf16"),
    "w4a8_mxfp4_mxfp8": (0.531, 1.0, "fp8"),
}


def shared() -> Path | None:
    """The folder of shared facts and measurements, or None where it is not at hand."""
    folder = Path(os.environ.get("LLMROOF_SHARED", ROOT.parent / "shared"))
    return folder if (folder / "measured" / "kernels").is_dir() else None


@dataclass(frozen=True)
class Family:
    """One kind of kernel: argument columns, seconds, GPU, scope and table of each row."""

    name: str
    columns: dict[str, np.ndarray]
    seconds: np.ndarray
    gpu: np.ndarray
    scope: np.ndarray
    table: np.ndarray

    def take(self, rows: np.ndarray) -> Family:
        """The family restricted to some rows (indices or a mask)."""
        return Family(
            self.name,
            {key: value[rows] for key, value in self.columns.items()},
            self.seconds[rows],
            self.gpu[rows],
            self.scope[rows],
            self.table[rows],
        )

    def silicon(self) -> Silicon:
        """The device columns as the formulas take them."""
        names = ("peak", "bandwidth", "processors", "cache", "clock", "power")
        return Silicon(**{name: self.columns[name] for name in names})


def hardware_row(folder: Path, gpu: str) -> dict[str, str]:
    """The line of facts/hardware.csv for the GPU that a table file names."""
    known = IDS.get(gpu, gpu.replace("_", "-"))
    with (folder / "facts" / "hardware.csv").open() as file:
        return next(row for row in csv.DictReader(file) if row["accelerator_id"] == known)


def rates(folder: Path, gpu: str) -> dict[str, float]:
    """Rates of a GPU in SI units; a missing low-precision peak is that of the next wider type."""
    row = hardware_row(folder, gpu)

    def number(key: str) -> float:
        return float(row[key]) if row[key] else float("nan")

    bf16 = number("bf16_dense_tflops") * 1e12
    fp8, fp4 = number("fp8_dense_fp32acc_tflops") * 1e12, number("fp4_dense_tflops") * 1e12
    fp8 = bf16 if np.isnan(fp8) else fp8
    scale_up = number("scaleup_gb_s_per_dir")
    return {
        "bf16": bf16,
        "fp8": fp8,
        "fp4": fp8 if np.isnan(fp4) else fp4,
        "bandwidth": number("mem_bw_gb_s") * 1e9,
        "processors": number("sm_count"),
        "cache": number("l2_cache_mb") * 1e6,
        "clock": number("boost_clock_mhz") * 1e6,
        "power": number("tdp_w"),
        "link": (number("pcie_gb_s_per_dir") if np.isnan(scale_up) else scale_up) * 1e9,
        "switched": 0.0 if np.isnan(scale_up) else 1.0,
    }


def read(folder: Path, family: str) -> pd.DataFrame:
    """All tables of one family, with `gpu` and `engine` from the file names and `t` in seconds."""
    tables = []
    for path in sorted((folder / "measured" / "kernels").glob(f"*__{family}_perf.parquet")):
        gpu, engine, _ = path.stem.split("__")
        table = pd.read_parquet(path)
        table = table.drop(columns=[c for c in ("framework", "device") if c in table])
        tables.append(table.assign(gpu=gpu, engine=engine))
    rows = pd.concat(tables, ignore_index=True)
    keys = [c for c in rows.columns if c != "latency"]
    if rows.duplicated(keys).any():  # repeats of one configuration: their median
        rows = rows.groupby(keys, dropna=False, sort=False, as_index=False)["latency"].median()
    rows["t"] = rows.pop("latency") * 1e-3
    return rows


def family(
    name: str, folder: Path, rows: pd.DataFrame, compute: Any, scope: pd.Series, /, **columns: Any
) -> Family:
    """Assemble a family: device rates by GPU, peak by compute type, and the formula's columns."""
    known = {gpu: rates(folder, gpu) for gpu in rows.gpu.unique()}
    out: dict[str, np.ndarray] = {}
    for key in ("bandwidth", "processors", "cache", "clock", "power", "link", "switched"):
        out[key] = rows.gpu.map({gpu: r[key] for gpu, r in known.items()}).to_numpy(float)
    types = np.broadcast_to(np.asarray(compute, dtype=object), len(rows))
    joint = pd.Series(rows.gpu.to_numpy() + "|" + types)
    peaks = {f"{g}|{t}": r[t] for g, r in known.items() for t in ("bf16", "fp8", "fp4")}
    out["peak"] = joint.map(peaks).to_numpy(float)
    for key, value in columns.items():
        out[key] = np.broadcast_to(np.asarray(value, dtype=float), len(rows)).copy()
    text = scope.astype(str).to_numpy(dtype=object)
    table = (rows.gpu + " " + rows.engine + " " + text).to_numpy(dtype=object)
    return Family(name, out, rows.t.to_numpy(float), rows.gpu.to_numpy(object), text, table)
