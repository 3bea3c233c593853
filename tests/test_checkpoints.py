"""Headers of weight files: written here byte by byte, read back; lies and stumps refused."""

from __future__ import annotations

import json
import os
import struct
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import prod
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmroof.errors import LlmroofError, SpecError
from llmroof.models.gguf_file import read_gguf
from llmroof.models.hf_config import read_config
from llmroof.models.load import load_model
from llmroof.models.safetensors_file import read_header
from llmroof.models.stored import role_of
from llmroof.specs.formats import FORMATS

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1024,
    "tie_word_embeddings": False,
}
LAYER = {
    "self_attn.q_proj.weight": (256, 256),
    "self_attn.k_proj.weight": (128, 256),
    "self_attn.v_proj.weight": (128, 256),
    "self_attn.o_proj.weight": (256, 256),
    "mlp.gate_proj.weight": (512, 256),
    "mlp.up_proj.weight": (512, 256),
    "mlp.down_proj.weight": (256, 512),
    "input_layernorm.weight": (256,),
    "post_attention_layernorm.weight": (256,),
}
WIDTH = {"BF16": 2, "F32": 4, "F8_E4M3": 1, "I32": 4, "F16": 2}


@contextmanager
def cheap(seconds: float = 2.0, megabytes: float = 300.0) -> Iterator[None]:
    """What is refused must be refused fast and without much memory."""
    tracemalloc.start()
    start = time.process_time()
    try:
        yield
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert time.process_time() - start < seconds
    assert peak < megabytes * 1e6


# --- safetensors ---------------------------------------------------------------------


def tensors_of_llama() -> dict[str, tuple[str, tuple[int, ...]]]:
    found: dict[str, tuple[str, tuple[int, ...]]] = {
        "model.embed_tokens.weight": ("BF16", (1024, 256)),
        "model.norm.weight": ("BF16", (256,)),
        "lm_head.weight": ("BF16", (1024, 256)),
    }
    for layer in range(2):
        for name, shape in LAYER.items():
            found[f"model.layers.{layer}.{name}"] = ("BF16", shape)
    return found


def write_safetensors(file: Path, tensors: dict[str, tuple[str, tuple[int, ...]]]) -> None:
    """A valid file whose data are a hole: only the header takes room on disk."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (dtype, shape) in tensors.items():
        size = prod(shape) * WIDTH[dtype]
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    header = json.dumps(entries).encode()
    with file.open("wb") as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        stream.truncate(8 + len(header) + at)


def checkpoint(folder: Path, tensors: dict[str, tuple[str, tuple[int, ...]]], **more: Any) -> Path:
    (folder / "config.json").write_text(json.dumps(CONFIG | more))
    half = len(tensors) // 2
    names = list(tensors)
    for number, part in enumerate((names[:half], names[half:]), 1):
        file = folder / f"model-{number:05}-of-00002.safetensors"
        write_safetensors(file, {name: tensors[name] for name in part})
    return folder


def test_a_plain_checkpoint(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, tensors_of_llama())
    model = load_model(str(folder))
    stored = sum(prod(shape) for _, shape in tensors_of_llama().values())
    assert model.parameters == stored
    assert model.weights_bytes(model.precision) == 2 * stored
    assert load_model(str(folder / "model-00001-of-00002.safetensors")).parameters == stored


def test_bits_come_from_the_files_where_the_config_is_silent(tmp_path: Path) -> None:
    """FP8 matrices of the layers, 16 bits at the ends, no word of it in the config."""
    tensors = {
        name: ("F8_E4M3" if "_proj" in name else dtype, shape)
        for name, (dtype, shape) in tensors_of_llama().items()
    }
    model = load_model(str(checkpoint(tmp_path, tensors)))
    stored = sum(prod(shape) * WIDTH[dtype] for dtype, shape in tensors.values())
    assert model.weights_bytes(model.precision) == pytest.approx(stored, rel=1e-3)
    assert model.precision.weight("mlp").bits == 8
    assert model.precision.weight("embedding").bits == 16


def test_packed_integers_need_no_decoding(tmp_path: Path) -> None:
    """GPTQ: int32 holds eight values; scales and zero points lie beside them."""
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name, (dtype, shape) in tensors_of_llama().items():
        if "_proj" not in name:
            tensors[name] = (dtype, shape)
            continue
        base, (rows, columns) = name.removesuffix("weight"), shape
        tensors[base + "qweight"] = ("I32", (columns // 8, rows))
        tensors[base + "scales"] = ("F16", (columns // 128, rows))
        tensors[base + "qzeros"] = ("I32", (columns // 128, rows // 8))
    declared = {"quant_method": "gptq", "bits": 4, "group_size": 128}
    model = load_model(str(checkpoint(tmp_path, tensors, quantization_config=declared)))
    assert model.precision.weight("mlp").id == "int4-g128-zero"
    stored = sum(prod(shape) * WIDTH[dtype] for dtype, shape in tensors.values())
    assert model.weights_bytes(model.precision) == pytest.approx(stored, rel=1e-3)


def test_towers_and_mtp_layers_are_counted_apart(tmp_path: Path) -> None:
    tensors = tensors_of_llama() | {
        "visual.blocks.0.attn.qkv.weight": ("BF16", (96, 32)),
        "model.layers.2.eh_proj.weight": ("BF16", (256, 512)),
    }
    model = load_model(str(checkpoint(tmp_path, tensors)))
    assert model.extras == {"vision_tower": 96 * 32}
    assert model.unused == {"mtp_layers": 256 * 512}


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("model.layers.3.mlp.experts.17.down_proj.weight", "experts"),
        ("model.layers.3.mlp.shared_experts.up_proj.weight", "shared_experts"),
        ("model.layers.3.mlp.gate.weight", "router"),
        ("model.layers.3.mlp.gate_proj.weight", "mlp"),
        ("model.layers.3.self_attn.q_norm.weight", "norm"),
        ("model.layers.3.self_attn.kv_b_proj.weight", "attention"),
        ("model.layers.61.eh_proj.weight", "mtp"),
        ("model.embed_tokens.weight", "embedding"),
        ("lm_head.weight", "lm_head"),
        ("model.visual.patch_embed.proj.weight", "tower"),
        ("backbone.layers.3.mixer.in_proj.weight", "mixer"),
        ("blk.3.ffn_gate_exps.weight", "experts"),
        ("blk.3.ffn_gate_inp.weight", "router"),
        ("blk.3.ffn_down_shexp.weight", "shared_experts"),
        ("blk.3.attn_output.weight", "attention"),
        ("token_embd.weight", "embedding"),
        ("output.weight", "lm_head"),
        ("output_norm.weight", "norm"),
    ],
)
def test_a_tensor_has_the_role_of_its_name(name: str, role: str) -> None:
    assert role_of(name, 61) == role


def _entry(**change: Any) -> bytes:
    entry = {"dtype": "BF16", "shape": [4, 4], "data_offsets": [0, 32]} | change
    return json.dumps({"lm_head.weight": entry}).encode()


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (b"", "claims 0 bytes"),
        (b'{"', "JSON"),
        (b"[" * 1_000_000, "JSON"),
        (b"[]", "no table"),
        (b'{"a": 7}', "entry is not valid"),
        (_entry(dtype="F11"), "entry is not valid"),
        (_entry(shape=[-4, 4]), "entry is not valid"),
        (_entry(shape="4"), "entry is not valid"),
        (_entry(shape=[2**62] * 16), "claims"),
        (_entry(shape=[4, 4] * 20), "entry is not valid"),
        (_entry(data_offsets=[0, 64]), "claims"),
        (_entry(data_offsets=[32, 0]), "claims"),
        (_entry(data_offsets=[0, 10**30]), "entry is not valid"),
        (b'{"a": ' + b"9" * 100_000 + b"}", "JSON"),
    ],
)
def test_a_lying_safetensors_header(header: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(32))
    with cheap(), pytest.raises(SpecError, match=says):
        read_header(file)


@pytest.mark.parametrize("length", [2**63 - 1, 2**64 - 1, 9_000_000, 10**9])
def test_a_header_longer_than_the_file(length: int, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(length.to_bytes(8, "little") + b"{}")
    with cheap(), pytest.raises(SpecError, match="header claims"):
        read_header(file)


def test_the_library_reads_the_same(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors")
    file = tmp_path / "model.safetensors"
    write_safetensors(file, tensors_of_llama())
    with safetensors.safe_open(file, "np") as stream:
        theirs = {name: stream.get_slice(name).get_shape() for name in stream.keys()}  # noqa: SIM118
    ours = {tensor.name: tensor.elements for tensor in read_header(file)}
    assert ours == {name: prod(shape) for name, shape in theirs.items()}


# --- GGUF ----------------------------------------------------------------------------

BF16 = 30
_CODES = {"u32": (4, "<I"), "u64": (10, "<Q"), "f32": (6, "<f")}
F32, F16, Q8_0, Q4_K, Q6_K = 0, 1, 8, 12, 14
BLOCKS = {
    F32: (1, 4),
    F16: (1, 2),
    BF16: (1, 2),
    Q8_0: (32, 34),
    Q4_K: (256, 144),
    Q6_K: (256, 210),
}


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _pair(key: str, kind: str, value: Any) -> bytes:
    if kind == "text":
        return _text(key) + struct.pack("<I", 8) + _text(value)
    number, code = _CODES[kind]
    return _text(key) + struct.pack("<I", number) + struct.pack(code, value)


def _words(key: str, words: list[str]) -> bytes:
    return _text(key) + struct.pack("<IIQ", 9, 8, len(words)) + b"".join(map(_text, words))


def _numbers(key: str, numbers: list[int]) -> bytes:
    packed = struct.pack(f"<IQ{len(numbers)}I", 4, len(numbers), *numbers)
    return _text(key) + struct.pack("<I", 9) + packed


def gguf(pairs: list[bytes], tensors: dict[str, tuple[int, tuple[int, ...]]]) -> tuple[bytes, int]:
    """(header, bytes of data) of a GGUF file, version 3; dimensions innermost first."""
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)) + b"".join(pairs)
    at = 0
    for name, (kind, shape) in tensors.items():
        header += _text(name) + struct.pack("<I", len(shape))
        header += struct.pack(f"<{len(shape)}Q", *shape) + struct.pack("<IQ", kind, at)
        block, size = BLOCKS[kind]
        at += -(-prod(shape) // block * size // 32) * 32
    return header + bytes(-len(header) % 32), at


def llama_gguf() -> tuple[list[bytes], dict[str, tuple[int, tuple[int, ...]]]]:
    """The small Llama in Q4_K with a Q6_K head, as `Q4_K_M` files are made."""
    pairs = [
        _pair("general.architecture", "text", "llama"),
        _pair("general.name", "text", "Small Llama"),
        _pair("llama.block_count", "u32", 2),
        _pair("llama.context_length", "u32", 4096),
        _pair("llama.embedding_length", "u32", 256),
        _pair("llama.feed_forward_length", "u32", 512),
        _pair("llama.attention.head_count", "u32", 4),
        _pair("llama.attention.head_count_kv", "u32", 2),
        _words("tokenizer.ggml.tokens", [f"<{number}>" for number in range(1024)]),
    ]
    tensors: dict[str, tuple[int, tuple[int, ...]]] = {
        "token_embd.weight": (Q4_K, (256, 1024)),
        "output_norm.weight": (F32, (256,)),
        "output.weight": (Q6_K, (256, 1024)),
    }
    for layer in range(2):
        tensors |= {
            f"blk.{layer}.attn_q.weight": (Q4_K, (256, 256)),
            f"blk.{layer}.attn_k.weight": (Q4_K, (256, 128)),
            f"blk.{layer}.attn_v.weight": (Q6_K, (256, 128)),
            f"blk.{layer}.attn_output.weight": (Q4_K, (256, 256)),
            f"blk.{layer}.ffn_gate.weight": (Q4_K, (256, 512)),
            f"blk.{layer}.ffn_up.weight": (Q4_K, (256, 512)),
            f"blk.{layer}.ffn_down.weight": (Q6_K, (512, 256)),
            f"blk.{layer}.attn_norm.weight": (F32, (256,)),
            f"blk.{layer}.ffn_norm.weight": (F32, (256,)),
        }
    return pairs, tensors


def write_gguf(file: Path, header: bytes, data: int) -> Path:
    with file.open("wb") as stream:
        stream.write(header)
        stream.truncate(len(header) + data)
    return file


def test_a_gguf_file(tmp_path: Path) -> None:
    pairs, tensors = llama_gguf()
    file = write_gguf(tmp_path / "small-Q4_K_M.gguf", *gguf(pairs, tensors))
    model = load_model(str(file))
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert model.layers == read_config(tmp_path / "config.json").layers
    assert (model.name, model.max_context) == ("Small Llama", 4096)
    assert model.parameters == sum(prod(shape) for _, shape in tensors.values())
    quantized = {k: v for k, v in tensors.items() if "norm" not in k}
    held = sum(prod(s) // BLOCKS[kind][0] * BLOCKS[kind][1] for kind, s in quantized.values())
    norms = sum(prod(shape) for name, (_, shape) in tensors.items() if "norm" in name)
    found = model.weights_bytes(model.precision) - norms * model.precision.weight("norm").bytes
    assert found == pytest.approx(held, rel=1e-3)
    assert model.precision.weight("lm_head").id == "q6_k"


def test_a_size_that_is_listed_per_layer(tmp_path: Path) -> None:
    """Equal for all layers it is one number; a long list is not a size, only its length is kept."""
    pairs, tensors = llama_gguf()
    key = "llama.attention.head_count_kv"
    pairs[7] = _numbers(key, [2, 2])
    pairs.append(_numbers("tokenizer.ggml.token_type", [1] * 5000))
    file = write_gguf(tmp_path / "listed.gguf", *gguf(pairs, tensors))
    plain = write_gguf(tmp_path / "plain.gguf", *gguf(*llama_gguf()))
    assert load_model(str(file)).layers == load_model(str(plain)).layers
    assert read_gguf(file).values["tokenizer.ggml.token_type"] == 5000
    pairs[7] = _numbers(key, [2, 1])
    with pytest.raises(SpecError, match="metadata describe"):  # taken as if it were not said
        load_model(str(write_gguf(file, *gguf(pairs, tensors))))


def test_a_gguf_llama_with_experts_is_a_mixtral(tmp_path: Path) -> None:
    """llama.cpp has one architecture for both; experts of a layer lie in one tensor."""
    pairs, tensors = llama_gguf()
    pairs += [_pair("llama.expert_count", "u32", 4), _pair("llama.expert_used_count", "u32", 2)]
    for layer in range(2):
        for name in ("gate", "up", "down"):
            kind, shape = tensors.pop(f"blk.{layer}.ffn_{name}.weight")
            tensors[f"blk.{layer}.ffn_{name}_exps.weight"] = (kind, (*shape, 4))
        tensors[f"blk.{layer}.ffn_gate_inp.weight"] = (F32, (256, 4))
    tensors["output.weight"] = (BF16, (256, 1024))
    model = load_model(str(write_gguf(tmp_path / "experts.gguf", *gguf(pairs, tensors))))
    assert model.family == "mixtral"
    assert model.parameters == sum(prod(shape) for _, shape in tensors.values())
    assert model.parameters - model.active_parameters == 2 * (4 - 2) * 3 * 256 * 512
    assert model.precision.weight("lm_head").bytes == 2


def test_a_gguf_folder_without_a_config(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "small.gguf", *gguf(*llama_gguf()))
    assert load_model(str(tmp_path)).parameters == load_model(str(file)).parameters


def test_the_gguf_library_reads_the_same(tmp_path: Path) -> None:
    library = pytest.importorskip("gguf")
    file = write_gguf(tmp_path / "small.gguf", *gguf(*llama_gguf()))
    theirs = {tensor.name: int(tensor.n_bytes) for tensor in library.GGUFReader(file).tensors}
    assert {tensor.name: tensor.bytes for tensor in read_gguf(file).tensors} == theirs


@pytest.mark.parametrize(
    ("name", "block", "size"),
    [
        ("q4_0", 32, 18), ("q4_1", 32, 20), ("q5_0", 32, 22), ("q5_1", 32, 24), ("q8_0", 32, 34),
        ("q2_k", 256, 84), ("q3_k", 256, 110), ("q4_k", 256, 144), ("q5_k", 256, 176),
        ("q6_k", 256, 210), ("iq4_nl", 32, 18), ("iq4_xs", 256, 136), ("iq3_s", 256, 110),
        ("iq3_xxs", 256, 98), ("iq2_s", 256, 82), ("iq2_xs", 256, 74), ("iq2_xxs", 256, 66),
        ("iq1_s", 256, 50), ("iq1_m", 256, 56), ("tq1_0", 256, 54), ("tq2_0", 256, 66),
        ("mxfp4", 32, 17),
    ],
)  # fmt: skip
def test_block_formats_have_their_true_bits(name: str, block: int, size: int) -> None:
    """Values and bytes of a block: the structs of ggml-common.h."""
    assert 8 * FORMATS[name].bytes == pytest.approx(8 * size / block, rel=1e-12)


def _lie(change: Callable[[bytes], bytes]) -> bytes:
    header, data = gguf(*llama_gguf())
    return change(header + bytes(data))


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "cannot be read|empty"),
        (b"GGML" + bytes(100), "no GGUF"),
        (b"GGUF" + struct.pack("<I", 99) + bytes(100), "version 99"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 1), "claims"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 2**60), "claims"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 9000), "ends inside"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**63), "claims a text"),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + _text("a") + struct.pack("<IIQ", 9, 4, 2**62),
            "claims an array",
        ),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + _text("a") + struct.pack("<IIQ", 9, 8, 10**6),
            "ends inside",
        ),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + _text("a") + struct.pack("<IIQ", 9, 9, 1),
            "unknown type",
        ),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + _text("a") + struct.pack("<IIQ", 9, 4, 10**6),
            "ends inside",
        ),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + _text("a") + struct.pack("<I", 99), "value type"),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + _text("w") + struct.pack("<I", 5) + bytes(99),
            "w: has 5 dimensions",
        ),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + _text("w") + struct.pack("<IQIQ", 1, 8, 99, 0),
            "w: unknown tensor type 99",
        ),
        (_lie(lambda raw: raw[:200]), "ends inside|claims"),
        (_lie(lambda raw: raw[:-4096]), "bytes|beyond"),
        (_lie(lambda raw: raw.replace(_text("llama"), _text("lemma"), 1)), "unknown architecture"),
    ],
)
def test_a_lying_gguf(raw: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "liar.gguf"
    file.write_bytes(raw)
    with cheap(), pytest.raises(LlmroofError, match=says) as caught:
        load_model(str(file))
    assert "\n" not in str(caught.value)


def test_a_tensor_larger_than_the_file(tmp_path: Path) -> None:
    pairs, tensors = llama_gguf()
    header, _ = gguf(pairs, tensors | {"blk.0.attn_q.weight": (F32, (2**30, 2**30))})
    file = write_gguf(tmp_path / "liar.gguf", header, 10_000)
    with cheap(), pytest.raises(SpecError, match="beyond the end"):
        load_model(str(file))


def test_metadata_that_contradict_the_tensors(tmp_path: Path) -> None:
    pairs, tensors = llama_gguf()
    pairs[2] = _pair("llama.block_count", "u32", 3)
    file = write_gguf(tmp_path / "liar.gguf", *gguf(pairs, tensors))
    with pytest.raises(SpecError, match="metadata describe"):
        load_model(str(file))


def _scratch(ending: str) -> Path:
    """A file name of this process: hypothesis and a fixture's folder do not go together."""
    return Path(tempfile.gettempdir(), f"llmroof-damaged-{os.getpid()}{ending}")


@given(st.binary(max_size=200), st.integers(0, 400))
def test_any_damage_is_a_clean_error(junk: bytes, at: int) -> None:
    """Bytes overwritten anywhere in a header: an error of ours or a model, nothing else."""
    header, data = gguf(*llama_gguf())
    raw = header[:at] + junk + header[at + len(junk) :]
    file = _scratch(".gguf")
    with suppress(LlmroofError):
        load_model(str(write_gguf(file, raw, data)))
    file.unlink()


@given(st.binary(max_size=300))
def test_any_header_of_safetensors_is_a_clean_error(junk: bytes) -> None:
    file = _scratch(".safetensors")
    file.write_bytes(len(junk).to_bytes(8, "little") + junk + bytes(64))
    with suppress(LlmroofError):
        read_header(file)
    file.unlink()
