"""Headers of safetensors files: tensor names, shapes and dtypes without the weights.

Layout (safetensors, format section of its README): 8 bytes little-endian header
length, then that many bytes of JSON. Read here directly, so that a lying header costs
neither time nor memory.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn, TypeGuard

from llmroof.errors import Problem, SpecError
from llmroof.models.stored import StoredTensor

#: longest header that is read; the largest of known checkpoints are below 1 MB
MAX_HEADER: Final = 8_000_000
#: more files than any checkpoint has
MAX_FILES: Final = 2000

#: bits per element of safetensors dtypes
_BITS: Final = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4,
    "F6_E2M3": 6, "F6_E3M2": 6, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip


def read_folder(folder: Path) -> tuple[StoredTensor, ...]:
    """All tensors of the safetensors files of a folder. Raises SpecError."""
    files = sorted(folder.glob("*.safetensors"))
    if len(files) > MAX_FILES:
        _fault(folder, f"holds {len(files)} safetensors files (limit {MAX_FILES})")
    return tuple(tensor for file in files for tensor in read_header(file))


def read_header(file: Path) -> tuple[StoredTensor, ...]:
    """The tensors of one file. Raises SpecError for what is no safetensors file."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER, size - 8):
                _fault(file, f"its header claims {length} bytes in a file of {size}")
            text = stream.read(length)
    except OSError as error:
        _fault(file, f"cannot be read: {error.strerror or error}")
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        _fault(file, "its header is not valid JSON")
    if not isinstance(header, Mapping):
        _fault(file, "its header is no table")
    room = size - 8 - length
    return tuple(
        _tensor(file, str(name), entry, room)
        for name, entry in header.items()
        if name != "__metadata__"
    )


def _tensor(file: Path, name: str, entry: Any, room: int) -> StoredTensor:
    """One entry of a header, checked against itself and the size of the file."""
    fields = entry if isinstance(entry, Mapping) else {}
    shape, offsets = fields.get("shape"), fields.get("data_offsets")
    dtype = fields.get("dtype")
    if not (_sizes(shape) and _sizes(offsets) and len(offsets) == 2 and dtype in _BITS):
        _fault(file, "a tensor's entry is not valid", name)
    start, end = offsets
    elements = math.prod(shape)
    if not start <= end <= room or elements * _BITS[dtype] != 8 * (end - start):
        _fault(file, f"claims {end - start} bytes for {elements} values of {dtype}", name)
    return StoredTensor(name, elements, end - start)


def _sizes(value: Any) -> TypeGuard[list[int]]:
    return (
        isinstance(value, list)
        and len(value) <= 16
        and all(
            isinstance(item, int) and not isinstance(item, bool) and 0 <= item < 2**63
            for item in value
        )
    )


def _fault(path: Path, message: str, key: str = "") -> NoReturn:
    raise SpecError([Problem(str(path), 0, key[:200], message)])
