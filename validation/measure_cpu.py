"""Everything that is measured on a processor, in one go: a quiet machine, about five minutes.

    python validation/measure_cpu.py [--llama-bench PATH] [--threads N] [--quick]

Profile, a decoder of four layers in fp32 and bf16 over batch x context, llama-bench where its
binary is given; rows to `validation/measured/`, charts to `docs/images/`, and the section of
docs/validation.md. Needs the extra `measure`. `--quick` tests the plumbing in a folder of its
own and writes nothing into the project.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measured_page import FOLDER, ROOT, put, section

SPEC = FOLDER / "llama-4-layers.yaml"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--llama-bench", help="binary of llama-bench; left out without it")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-spread", default="0.10")
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    if asked.quick:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), Path(folder), asked, quick=True)
            print(section(Path(folder) / "cpu.yaml", Path(folder) / "cpu-model.csv", None, SPEC))
        return
    images = ROOT / "docs" / "images"
    profile, rows = measure(FOLDER, images, asked, quick=False)
    bench = None
    if asked.llama_bench:
        import llama_bench

        bench = timed("llama-bench", lambda: llama_bench.run(asked.llama_bench, asked.threads))
    put(section(profile, rows, bench, SPEC))
    print("wrote docs/validation.md")


def measure(
    folder: Path, images: Path, asked: argparse.Namespace, *, quick: bool
) -> tuple[Path, Path]:
    """The profile and the model's rows, with their charts."""
    profile, rows = folder / "cpu.yaml", folder / "cpu-model.csv"
    common = ["--device", "cpu", "--threads", str(asked.threads), "--force"]
    common += ["--max-spread", "999" if quick else asked.max_spread]
    size = ["--sweep", "quick"] if quick else []
    grid = ["--batch", "1,2", "--context", "16,32"] if quick else []
    grid = grid or ["--batch", "1,4,16", "--context", "128,512,2048"]
    chart = ["--plot", str(images / "measured-roofline.png")]
    timed("profile", lambda: llmroof("measure", "-o", str(profile), *chart, *size, *common))
    model = ["--model", SPEC.name, "--gpu", profile.name, "--precision", "fp32,bf16"]
    if quick:
        model[1], model[3] = str(SPEC), str(profile)
    out = ["-o", str(rows)]
    timed("model", lambda: llmroof("measure", "model", *model, *out, *grid, *common))
    charts = ["--plot", str(images / "measured-parity.png")]
    charts += ["--roofline", str(images / "measured-points.png")]
    for chart in (images / "measured-parity.png", images / "measured-points.png"):
        chart.unlink(missing_ok=True)
    llmroof("validate", str(rows), *charts)
    return profile, rows


def llmroof(*args: str) -> None:
    """The command line, from the folder of the rows: they name files beside them."""
    subprocess.run([sys.executable, "-m", "llmroof", *args], check=True, cwd=FOLDER)


def timed(what: str, call):  # type: ignore[no-untyped-def]
    """The call's result; how long it took is told."""
    start = time.perf_counter()
    found = call()
    print(f"== {what}: {time.perf_counter() - start:.0f} s", flush=True)
    return found


if __name__ == "__main__":
    main()
