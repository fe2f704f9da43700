"""The header of a safetensors file, read one way for all: tables, linked shards, token maps. As strict as safetensors.

Nothing but the header is read. Values are checked against each other and against the file's size before they are used.
"""

import json
import os
from math import prod
from typing import Any, BinaryIO, NamedTuple

from engram_local.errors import EngramError

MAX_HEADER_BYTES = 100_000_000  # the limit of safetensors itself
DTYPE_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 8),
}
LFS_POINTER = b"version https://git-lfs.github.com/spec/"


class Tensor(NamedTuple):
    """One tensor of a file."""

    dtype: str  # as the file spells it
    shape: tuple[int, ...]
    offset: int  # of its first byte in the file
    n_bytes: int


class Header(NamedTuple):
    """What a safetensors file says of itself."""

    metadata: Any  # unchecked, None where there is none: it means something to who wrote the file
    tensors: dict[str, Tensor]
    data_offset: int
    file_bytes: int


class HeaderError(ValueError):
    """What is wrong with a header, in words that go behind the file's name."""


class LfsPointerError(HeaderError):
    """Not the file itself lies there."""


def read_header(path: str | os.PathLike, kind: str, error: type[EngramError], way_out: str) -> Header:
    """The header of the file at `path`, which should be `kind` ("a table"). Raises `error`, naming the file, what is
    wrong and `way_out`."""
    try:
        with open(path, "rb") as file:
            return parse_header(file)
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror or problem})") from problem
    except LfsPointerError as problem:
        raise error(f"{path}: {problem}") from problem
    except HeaderError as problem:
        raise error(f"{path}: not {kind}: {problem}; {way_out}") from problem


def parse_header(file: BinaryIO) -> Header:
    """The header of an open file. Raises HeaderError, OSError.

    Refused are: a length beyond the file; no JSON, a key twice, numbers that JSON does not have (NaN); tensors whose
    bytes are not what dtype and shape take; holes, overlaps and anything beyond the file's end.
    """
    file_bytes = os.fstat(file.fileno()).st_size
    refuse_lfs_pointer(file)
    length = int.from_bytes(file.read(8), "little")
    if file_bytes < 8 or length > min(MAX_HEADER_BYTES, file_bytes - 8):
        raise HeaderError(
            f"the header claims {length} bytes in a file of {file_bytes}: it is truncated or of another kind"
        )
    return _checked(file.read(length), 8 + length, file_bytes)


def refuse_lfs_pointer(file: BinaryIO) -> None:
    """Raises LfsPointerError where `file` holds what Git LFS leaves in place of a large one; else goes to its start."""
    file.seek(0)
    if file.read(len(LFS_POINTER)) == LFS_POINTER:
        raise LfsPointerError("is a Git LFS pointer in place of the file; run git lfs pull")
    file.seek(0)


def _checked(text: bytes, data_offset: int, file_bytes: int) -> Header:
    try:
        block = json.loads(text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as problem:
        raise HeaderError(f"the header is not JSON ({str(problem)[:80]})") from problem
    if not isinstance(block, dict):
        raise HeaderError(f"the header holds {type(block).__name__}, not tensors by name")
    metadata = block.pop("__metadata__", None)
    tensors = {name: _tensor(name, entry, data_offset) for name, entry in block.items()}
    end = data_offset
    for name, tensor in sorted(tensors.items(), key=lambda x: (x[1].offset, x[1].n_bytes)):
        if tensor.offset != end:
            raise HeaderError(f"tensor {name[:60]!r} is described as beginning at byte {tensor.offset}, not at {end}")
        end += tensor.n_bytes
    if end != file_bytes:
        raise HeaderError(f"the file has {file_bytes} bytes, but its header describes {end}")
    return Header(metadata, tensors, data_offset, file_bytes)


def _tensor(name: str, entry: Any, data_offset: int) -> Tensor:
    problem = HeaderError(f"tensor {name[:60]!r} is described as {str(entry)[:120]}")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise problem
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or not isinstance(shape, list) or not isinstance(offsets, list) or len(offsets) != 2:
        raise problem
    if any(type(x) is not int or x < 0 for x in (*shape, *offsets)):
        raise problem
    n_bytes = offsets[1] - offsets[0]
    # A dtype that is not known here (of less than a byte, or to come) may stand in the file: nobody will ask for it.
    if n_bytes < 0 or (dtype in DTYPE_BYTES and n_bytes != DTYPE_BYTES[dtype] * prod(shape)):
        raise problem
    return Tensor(dtype, tuple(shape), data_offset + offsets[0], n_bytes)


def _unique(pairs: list) -> dict:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key appears twice")
    return result


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")
