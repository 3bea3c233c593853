"""A GPU of one's own: profile, then models of real size, rows and errors, with one command.

    python validation/measure_gpu.py [--folder DIR] [--models A,B]

Profile under three minutes, each model a few more. Points that do not fit are left out; fp8 is
run where PyTorch has the kernel. Rows go to the folder (default `validation/measured/`), named by
the profile; nothing is fitted to them. Needs the extra `measure` with PyTorch for the GPU.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "measured"
MODELS = ("llama-3.1-8b", "qwen3-14b", "qwen3-30b-a3b")
#: experts run in 16 bits: PyTorch's grouped product takes no fp8 here
ROUTED = ("qwen3-30b-a3b",)
BATCHES, CONTEXTS = "1,4,16,64,256", "512,2048,8192,16384,32768"
LONGEST_PREFILL = "16384"
#: asked for: median error of prefill and decode
TARGETS = {"ttft_s": 0.12, "tpot_s": 0.10}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", default=BATCHES)
    parser.add_argument("--context", default=CONTEXTS)
    parser.add_argument("--precision", default="", help="default: bf16, and fp8 for dense models")
    parser.add_argument("--sweep", default="")
    parser.add_argument("--max-spread", default="0.10")
    asked = parser.parse_args()
    common = ["--device", asked.device, "--force", "--max-spread", asked.max_spread]
    profile = asked.folder / "gpu.yaml"
    sweep = ["--sweep", asked.sweep] if asked.sweep else []
    if asked.precision:
        sweep += ["--precision", asked.precision]
    chart = ["--plot", str(asked.folder / "gpu-roofline.png")]
    run(asked.folder, "measure", "-o", profile.name, *chart, *sweep, *common)
    files = []
    for model in asked.models.split(","):
        kinds = asked.precision or ("bf16" if model in ROUTED else "bf16,fp8")
        rows = f"gpu-{Path(model).stem}.csv"
        run(
            asked.folder,
            *("measure", "model", "--model", model, "-o", rows, "--gpu", profile.name),
            *("--batch", asked.batch, "--context", asked.context, "--precision", kinds),
            *("--longest-prefill", LONGEST_PREFILL, *common),
        )
        files.append(asked.folder / rows)
    report(files)


def run(folder: Path, *args: str) -> None:
    """The command line in the folder; a model that fails leaves the others their turn."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "llmroof", *args], cwd=folder, check=False)
    took = time.perf_counter() - start
    print(f"== llmroof {' '.join(args[:2])}: exit {done.returncode}, {took:.0f} s", flush=True)
    if done.returncode and args[1] != "model":
        sys.exit(done.returncode)


def report(files: list[Path]) -> None:
    """Median errors by model and precision, against what was asked for."""
    from llmroof.evidence.validate import validate

    for file in files:
        if not file.is_file():
            continue
        frame = validate(file)
        for precision, group in frame.groupby("precision", sort=False):
            for metric, target in TARGETS.items():
                errors = group[f"error_{metric}"].dropna()
                if len(errors):
                    median = errors.abs().median()
                    print(
                        f"{file.stem} {precision} {metric}: {len(errors)} passes, median error "
                        f"{median:.1%} ({'met' if median < target else 'missed'}: {target:.0%}), "
                        f"bias {errors.mean():+.1%}"
                    )


if __name__ == "__main__":
    main()
