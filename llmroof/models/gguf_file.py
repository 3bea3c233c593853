"""Header of a GGUF file: metadata and tensor table without the weights.

Layout (llama.cpp, docs/gguf.md): magic, version, number of tensors, number of
key/value pairs, the pairs, then name, dimensions, type and offset of every tensor.
Read here directly with every length checked against the file, so that a lying header
costs neither time nor memory.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

from llmroof.errors import Problem, SpecError
from llmroof.models.stored import StoredTensor
from llmroof.specs.formats import FORMATS

MAX_TENSORS: Final = 200_000
MAX_KEYS: Final = 10_000
#: longest array that is walked (the largest vocabularies have 263,000 entries)
MAX_ITEMS: Final = 3_000_000
MAX_TEXT: Final = 65_536
#: arrays up to this length are kept (per-layer head counts); longer ones are skipped
_KEPT: Final = 4096

#: GGUF value types: struct codes of the fixed ones; 8 is text, 9 an array
_SCALARS: Final = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?",
    10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_TEXT: Final = 8
_ARRAY: Final = 9

#: ggml tensor types -> formats
_TYPES: Final = {
    0: "fp32", 1: "fp16", 2: "q4_0", 3: "q4_1", 6: "q5_0", 7: "q5_1", 8: "q8_0",
    10: "q2_k", 11: "q3_k", 12: "q4_k", 13: "q5_k", 14: "q6_k", 16: "iq2_xxs", 17: "iq2_xs",
    18: "iq3_xxs", 19: "iq1_s", 20: "iq4_nl", 21: "iq3_s", 22: "iq2_s", 23: "iq4_xs",
    29: "iq1_m", 30: "bf16", 34: "tq1_0", 35: "tq2_0", 39: "mxfp4",
}  # fmt: skip
_PLAIN_BITS: Final = {24: 8, 25: 16, 26: 32, 27: 64, 28: 64}


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """Metadata (long arrays as their length) and tensors of a file."""

    values: dict[str, Any]
    tensors: tuple[StoredTensor, ...]
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)


def read_gguf(file: Path) -> GgufHeader:
    """The header of a GGUF file. Raises SpecError for anything that is none."""
    try:
        with (
            file.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            return _Reader(data, str(file)).read()
    except (OSError, ValueError) as error:
        _fault(str(file), f"cannot be read: {getattr(error, 'strerror', None) or error}")


class _Reader:
    """Walks the header; every read is checked against the end of the file."""

    def __init__(self, data: mmap.mmap, file: str) -> None:
        self.data, self.file, self.at, self.end = data, file, 0, len(data)

    def read(self) -> GgufHeader:
        if self.data[:4] != b"GGUF":
            _fault(self.file, "is no GGUF file")
        self.at = 4
        version = self.number("<I")
        if version not in (2, 3):
            _fault(self.file, f"GGUF version {version} is not known (2 and 3 are)")
        tensors, keys = self.number("<Q"), self.number("<Q")
        if tensors > MAX_TENSORS or keys > MAX_KEYS:
            _fault(self.file, f"claims {tensors} tensors and {keys} keys")
        values = {self.text(): self.value() for _ in range(keys)}
        shapes: dict[str, tuple[int, ...]] = {}
        found = tuple(self.tensors(tensors, shapes))
        self.check_extent(found, values)
        return GgufHeader(values, found, shapes)

    def number(self, code: str) -> Any:
        size = struct.calcsize(code)
        if self.at + size > self.end:
            _fault(self.file, "ends inside its header")
        value = struct.unpack_from(code, self.data, self.at)[0]
        self.at += size
        return value

    def text(self, longest: int = MAX_TEXT) -> str:
        length = self.number("<Q")
        if length > longest or self.at + length > self.end:
            _fault(self.file, f"claims a text of {length} bytes")
        self.at += length
        return self.data[self.at - length : self.at].decode("utf-8", errors="replace")

    def value(self) -> Any:
        kind = self.number("<I")
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _TEXT:
            return self.text(longest=self.end)
        if kind == _ARRAY:
            return self.array()
        _fault(self.file, f"unknown value type {kind}")

    def array(self) -> Any:
        """The items of a short array of numbers; of any other array its length."""
        kind, length = self.number("<I"), self.number("<Q")
        if length > MAX_ITEMS:
            _fault(self.file, f"claims an array of {length} items")
        if kind in _SCALARS:
            size = struct.calcsize(_SCALARS[kind])
            if self.at + length * size > self.end:
                _fault(self.file, "ends inside its header")
            start, self.at = self.at, self.at + length * size
            if length > _KEPT:
                return length
            code = f"<{length}{_SCALARS[kind][1]}"
            return list(struct.unpack_from(code, self.data, start))
        if kind != _TEXT:
            _fault(self.file, f"unknown type {kind} of an array")
        self.skip_texts(length)
        return length

    def skip_texts(self, count: int) -> None:
        data, at, end = self.data, self.at, self.end
        for _ in range(count):
            at += 8 + int.from_bytes(data[at : at + 8], "little")
            if at > end:
                _fault(self.file, "ends inside its header")
        self.at = at

    def tensors(self, count: int, shapes: dict[str, tuple[int, ...]]) -> Iterator[StoredTensor]:
        for _ in range(count):
            name = self.text()
            dimensions = self.number("<I")
            if dimensions > 4:
                _fault(self.file, f"has {dimensions} dimensions", name)
            shape = tuple(self.number("<Q") for _ in range(dimensions))
            kind, offset = self.number("<I"), self.number("<Q")
            elements = math.prod(shape)
            size = _bytes(kind, elements)
            if size is None:
                _fault(self.file, f"unknown tensor type {kind}", name)
            if elements > 2**48 or offset + size > self.end:
                _fault(self.file, f"claims {elements} values beyond the end of the file", name)
            shapes[name] = shape
            yield StoredTensor(name, elements, size, _TYPES.get(kind, ""))

    def check_extent(self, tensors: tuple[StoredTensor, ...], values: dict[str, Any]) -> None:
        held = sum(tensor.bytes for tensor in tensors)
        if held > self.end - self.at:
            _fault(self.file, f"its tensors need {held} bytes, {self.end - self.at} are there")


def _bytes(kind: int, elements: int) -> int | None:
    """Bytes of a tensor of a ggml type; None when the type is not known."""
    if kind in _PLAIN_BITS:
        return elements * _PLAIN_BITS[kind] // 8
    if kind not in _TYPES:
        return None
    return round(elements * FORMATS[_TYPES[kind]].bytes)


def _fault(file: str, message: str, key: str = "") -> NoReturn:
    raise SpecError([Problem(file, 0, key[:200], message)])
