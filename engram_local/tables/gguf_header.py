"""The header of a GGUF file (version 2 or 3, little-endian): where tensors lie, and chosen values of its metadata."""

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

DAMAGE = (ValueError, LookupError, OverflowError, struct.error)  # what reading a damaged header raises
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True)
class GgufTensor:
    kind: int  # ggml_type
    shape: tuple[int, ...]  # the fastest dimension last, as NumPy has it
    offset: int  # of its first byte in the file


@dataclass(frozen=True)
class GgufHeader:
    tensors: dict[str, GgufTensor] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)  # entries of the arrays that were passed over


def read_gguf_header(file: BinaryIO, wanted: Callable[[str], bool] = lambda key: False) -> GgufHeader:
    """Parse an open file from its beginning; `wanted` says which keys' values are kept. Raises DAMAGE, OSError."""

    def take(form: str) -> tuple:
        return struct.unpack("<" + form, file.read(struct.calcsize("<" + form)))

    def text() -> str:
        (length,) = take("Q")
        if length > 1 << 24:
            raise ValueError(f"a string of {length} bytes")
        data = file.read(length)
        if len(data) != length:
            raise ValueError("it ends within a string")
        return data.decode("utf-8", "replace")

    def array(key: str, keep: bool) -> list | None:
        kind, count = take("IQ")
        header.counts[key] = count
        if kind == _STRING:
            kept = []
            for _ in range(count):
                string = text()
                if keep:
                    kept.append(string)
            return kept
        if kind not in _SCALARS:
            raise ValueError(f"an array of type {kind}")
        if keep and count <= 1 << 24:
            return list(take(f"{count}{_SCALARS[kind]}"))
        file.seek(struct.calcsize(_SCALARS[kind]) * count, os.SEEK_CUR)
        return None

    header = GgufHeader()
    magic, version, n_tensors, n_pairs = take("4sIQQ")
    if magic != b"GGUF" or version not in (2, 3):
        raise ValueError(f"GGUF version {version}" if magic == b"GGUF" else f"it begins with {magic!r}")
    alignment = 32
    for _ in range(n_pairs):
        key, (kind,) = text(), take("I")
        keep = wanted(key) or key == "general.alignment"
        value: Any = text() if kind == _STRING else array(key, keep) if kind == _ARRAY else take(_SCALARS[kind])[0]
        if key == "general.alignment" and kind == 4:
            alignment = value
        if wanted(key):
            header.values[key] = value
    if not 1 <= alignment <= 1 << 20:
        raise ValueError(f"alignment {alignment}")
    for _ in range(n_tensors):
        name, (n_dims,) = text(), take("I")
        if n_dims > 8:
            raise ValueError(f"tensor {name[:60]!r} has {n_dims} dimensions")
        shape, (kind, offset) = take(f"{n_dims}Q"), take("IQ")
        if name in header.tensors:
            raise ValueError(f"tensor {name[:60]!r} is there twice")
        header.tensors[name] = GgufTensor(kind, shape[::-1], offset)
    data = -(-file.tell() // alignment) * alignment
    for name, x in header.tensors.items():
        header.tensors[name] = GgufTensor(x.kind, x.shape, data + x.offset)
    return header
