"""A GGUF file of random weights in the shape of a model spec, and llama-bench over it.

    python validation/llama_bench.py --bench path/to/llama-bench

writes `validation/measured/llama-bench.json` as the tool prints it, paths left out. Needs the
`gguf` package; llama-bench is built from llama.cpp (its source also lies in the sdist of
llama-cpp-python: cmake, then the target llama-bench).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent / "measured"
#: the shape of measured/llama-bench.yaml
SHAPE = {"hidden": 1024, "layers": 8, "heads": 16, "kv_heads": 4, "width": 2816, "vocab": 32000}
#: prompts with short answers, and answers behind a filled cache
TESTS = (("-p", "128,512", "-n", "32"), ("-p", "0", "-n", "32", "-d", "512"))


def write_gguf(path: Path, kind: str) -> None:
    """Random weights in F32 or BF16 (`kind`), no vocabulary."""
    import gguf

    s, rng = SHAPE, np.random.default_rng(0)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(s["layers"])
    writer.add_context_length(8192)
    writer.add_embedding_length(s["hidden"])
    writer.add_feed_forward_length(s["width"])
    writer.add_head_count(s["heads"])
    writer.add_head_count_kv(s["kv_heads"])
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(s["hidden"] // s["heads"])
    writer.add_vocab_size(s["vocab"])
    writer.add_tokenizer_model("no_vocab")
    short = gguf.LlamaFileType.MOSTLY_BF16 if kind == "BF16" else gguf.LlamaFileType.ALL_F32
    writer.add_file_type(short)

    def matrix(name: str, rows: int, columns: int) -> None:
        values = (rng.standard_normal((rows, columns), dtype=np.float32)) * np.float32(0.02)
        if kind == "BF16":
            stored = gguf.quants.quantize(values, gguf.GGMLQuantizationType.BF16)
            writer.add_tensor(name, stored, raw_dtype=gguf.GGMLQuantizationType.BF16)
        else:
            writer.add_tensor(name, values)

    keys = s["hidden"] // s["heads"] * s["kv_heads"]
    matrix("token_embd.weight", s["vocab"], s["hidden"])
    for layer in range(s["layers"]):
        start = f"blk.{layer}"
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"{start}.{norm}.weight", np.ones(s["hidden"], np.float32))
        matrix(f"{start}.attn_q.weight", s["hidden"], s["hidden"])
        matrix(f"{start}.attn_k.weight", keys, s["hidden"])
        matrix(f"{start}.attn_v.weight", keys, s["hidden"])
        matrix(f"{start}.attn_output.weight", s["hidden"], s["hidden"])
        matrix(f"{start}.ffn_gate.weight", s["width"], s["hidden"])
        matrix(f"{start}.ffn_up.weight", s["width"], s["hidden"])
        matrix(f"{start}.ffn_down.weight", s["hidden"], s["width"])
    writer.add_tensor("output_norm.weight", np.ones(s["hidden"], np.float32))
    matrix("output.weight", s["vocab"], s["hidden"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def run(bench: str, threads: int) -> Path:
    """All tests in both formats; the file of results."""
    found = []
    for kind in ("F32", "BF16"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"random-{kind.lower()}.gguf"
            write_gguf(path, kind)
            for test in TESTS:
                asked = [bench, "-m", str(path), "-t", str(threads), "-r", "3", "-o", "json", *test]
                done = subprocess.run(asked, capture_output=True, text=True, check=True)
                found += json.loads(done.stdout)
    kept = ("model_filename", "samples_ns", "samples_ts")
    found = [{k: v for k, v in one.items() if k not in kept} for one in found]
    out = FOLDER / "llama-bench.json"
    out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return out


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bench", default="llama-bench", help="the binary")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    print(f"wrote {run(asked.bench, asked.threads)}")


if __name__ == "__main__":
    main()
