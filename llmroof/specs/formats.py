"""Number formats as data: how many bits a stored value takes and what it is computed in.

Add a format here: one row. Bits include scales and zero points (`block` values share
one scale), so bytes come out as a checkpoint really stores them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from llmroof.errors import UnknownName


@dataclass(frozen=True, slots=True)
class Format:
    """One number format.

    `bits` per stored value, `overhead_bits` per block of `block` values (scales and
    zero points), `compute` the arithmetic it has when both operands are in it.
    """

    id: str
    bits: float
    compute: str
    block: int = 0
    overhead_bits: float = 0.0
    source: str = ""

    @property
    def bytes(self) -> float:
        """Bytes per value, its share of scales included."""
        shared = self.overhead_bits / self.block if self.block else 0.0
        return (self.bits + shared) / 8

    @property
    def quantized(self) -> bool:
        """True below 16 bits: the values need scales or a conversion."""
        return self.bits < 16

    @property
    def kind(self) -> str:
        """The format without its parameters: int4 of `int4-g32-zero`, fp8 of `fp8-block`."""
        return self.id.partition("-")[0]

    @property
    def ggml(self) -> bool:
        """True for the block formats of llama.cpp."""
        return self.source == _GGML


_OCP = "OCP Microscaling Formats (MX) specification v1.0, section 5"
_GPTQ = "Frantar et al. 2022 (GPTQ), group-wise scales; Lin et al. 2023 (AWQ)"
_MLX = "MLX, mlx.core.quantize (affine): a 16-bit scale and bias per group"
_NF4 = "Dettmers et al. 2023 (QLoRA), section 3: fp32 absmax per 64 values"
_NF4_DOUBLE = f"{_NF4}, in 8 bits with an fp32 scale per 256 of them"
_GGML = "llama.cpp, ggml-common.h: size of the block struct"

FORMATS: Final[dict[str, Format]] = {
    fmt.id: fmt
    for fmt in (
        Format("fp32", 32, "fp32", source="IEEE 754 binary32"),
        Format("fp16", 16, "fp16", source="IEEE 754 binary16"),
        Format("bf16", 16, "bf16", source="bfloat16: 8 exponent bits, 7 fraction bits"),
        Format("fp8", 8, "fp8", source="OCP 8-bit floating point (E4M3), scale per tensor"),
        Format("fp8-block", 8, "fp8", 128 * 128, 32, "DeepSeek-V3 report, 3.3: fp32 per 128x128"),
        Format("int8", 8, "int8", source="symmetric, one scale per output channel (negligible)"),
        Format("int4", 4, "int4", 128, 16, _GPTQ),
        Format("int4-zero", 4, "int4", 128, 20, _GPTQ + ", with 4-bit zero points"),
        Format("mxfp8", 8, "fp8", 32, 8, _OCP),
        Format("mxfp6", 6, "fp8", 32, 8, _OCP),
        Format("mxfp4", 4, "fp4", 32, 8, _OCP),
        Format("nvfp4", 4, "fp4", 16, 8, "NVIDIA NVFP4: one E4M3 scale per 16 values"),
        Format("nf4", 4, "int4", 64, 32, _NF4),
        Format("nf4-double", 4, "int4", 64 * 256, 8 * 256 + 32, _NF4_DOUBLE),
        Format("ternary", 2, "int8", source="BitNet b1.58 as packed: four values per byte"),
        # llama.cpp: 32 values per block (the first) or 256 (k-quants and i-quants)
        Format("q4_0", 4, "int8", 32, 16, _GGML),
        Format("q4_1", 4, "int8", 32, 32, _GGML),
        Format("q5_0", 5, "int8", 32, 16, _GGML),
        Format("q5_1", 5, "int8", 32, 32, _GGML),
        Format("q8_0", 8, "int8", 32, 16, _GGML),
        Format("q2_k", 2, "int8", 256, 160, _GGML),
        Format("q3_k", 3, "int8", 256, 112, _GGML),
        Format("q4_k", 4, "int8", 256, 128, _GGML),
        Format("q5_k", 5, "int8", 256, 128, _GGML),
        Format("q6_k", 6, "int8", 256, 144, _GGML),
        Format("iq1_s", 1, "int8", 256, 144, _GGML),
        Format("iq1_m", 1, "int8", 256, 192, _GGML),
        Format("iq2_xxs", 2, "int8", 256, 16, _GGML),
        Format("iq2_xs", 2, "int8", 256, 80, _GGML),
        Format("iq2_s", 2, "int8", 256, 144, _GGML),
        Format("iq3_xxs", 3, "int8", 256, 16, _GGML),
        Format("iq3_s", 3, "int8", 256, 112, _GGML),
        Format("iq4_nl", 4, "int8", 32, 16, _GGML),
        Format("iq4_xs", 4, "int8", 256, 64, _GGML),
        Format("tq1_0", 1, "int8", 256, 176, _GGML),
        Format("tq2_0", 2, "int8", 256, 16, _GGML),
    )
}
ALIASES: Final = {
    "float16": "fp16",
    "half": "fp16",
    "bfloat16": "bf16",
    "float32": "fp32",
    "float": "fp32",
    "fp8_e4m3": "fp8",
    "fp8_e5m2": "fp8",
    "float8_e4m3fn": "fp8",
    "float8_e5m2": "fp8",
    "int4-g128": "int4",
}

#: formats whose parameters stand in their name: int4-g32, int4-g128-zero, fp8-b128x128, mixed-5.53
_INTEGER: Final = re.compile(r"int([2-8])-g(\d{1,5})(-zero|-bias)?")
_BLOCKS: Final = re.compile(r"fp8-b(\d{1,5})x(\d{1,5})")
_MIXED: Final = re.compile(r"mixed-(\d{1,2}(?:\.\d{1,6})?)")

#: bits of a group's scale in GPTQ, AWQ and compressed-tensors checkpoints
SCALE_BITS: Final = 16


def number_format(name: str) -> Format:
    """A format by id, common spelling, or name with parameters; UnknownName otherwise."""
    key = ALIASES.get(name.lower(), name.lower())
    found = FORMATS.get(key) or _parametric(key)
    if found is None:
        raise UnknownName("number format", name, FORMATS)
    return found


def integer(bits: int, group: int, zero: bool = False, bias: bool = False) -> Format:
    """Integers in groups with a 16-bit scale each.

    With `zero` each group has a zero point of its integers' width, with `bias` a 16-bit one (MLX).
    """
    name = f"int{bits}-g{group}" + ("-bias" if bias else "-zero" if zero else "")
    return FORMATS.get(ALIASES.get(name, name)) or Format(
        name,
        bits,
        "int4" if bits <= 4 else "int8",
        group,
        SCALE_BITS + (SCALE_BITS if bias else bits if zero else 0),
        _MLX if bias else _GPTQ,
    )


def mixed(bits: float) -> Format:
    """Several formats in one role, by their bits per value on average."""
    rounded = round(bits, 6)
    return Format(f"mixed-{rounded:g}", rounded, "int8", source="average over the tensors")


def _parametric(key: str) -> Format | None:
    if match := _INTEGER.fullmatch(key):
        group = int(match[2])
        more = match[3]
        return integer(int(match[1]), group, bool(more), more == "-bias") if group else None
    if match := _BLOCKS.fullmatch(key):
        size = int(match[1]) * int(match[2])
        return Format(key, 8, "fp8", size, 32, "fp32 scale per block") if size else None
    if match := _MIXED.fullmatch(key):
        bits = float(match[1])
        return mixed(bits) if 1 <= bits <= FORMATS["fp32"].bits else None
    return None
