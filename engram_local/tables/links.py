"""Tables read in place: tensors inside other software's safetensors shards or GGUF files, named by a `*.link.json`.

Nothing is copied: the link file holds names and sizes, docs/format.md its keys. Only headers are read here.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from engram_local.errors import TableError
from engram_local.tables.gguf_header import DAMAGE, read_gguf_header
from engram_local.tables.headers import (
    DTYPE_BYTES,
    HeaderError,
    LfsPointerError,
    Tensor,
    parse_header,
    refuse_lfs_pointer,
)
from engram_local.tables.layout import Column, Extent, TableLayout

FORMAT = "engram_local.link.v1"
MAX_LINK_BYTES = 1 << 20
_SAFETENSORS_DTYPES = ("F32", "F16", "BF16", "F8_E4M3", "F8_E8M0", "U8")  # of rows or of scales
_SAFETENSORS_ENCODINGS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
# ggml_type: encoding, values and bytes of a block
_GGUF_TYPES = {
    0: ("float32", 1, 4),
    1: ("float16", 1, 2),
    30: ("bfloat16", 1, 2),
    8: ("q8_0", 32, 34),
    2: ("q4_0", 32, 18),
    3: ("q4_1", 32, 20),
    6: ("q5_0", 32, 22),
    7: ("q5_1", 32, 24),
    20: ("iq4_nl", 32, 18),
    39: ("mxfp4", 32, 17),
    12: ("q4_k", 256, 144),
    13: ("q5_k", 256, 176),
    14: ("q6_k", 256, 210),
}


@dataclass(frozen=True)
class RawRows:
    """A file that holds rows and nothing else, in place of a tensor's name."""

    dtype: str  # as safetensors spells it
    shape: tuple[int, int]


Place = tuple[str, str | RawRows]  # file, and the tensor in it


def gguf_encoding(kind: int) -> str | None:
    """The encoding of rows of a ggml_type, None where they cannot be read in place."""
    return _GGUF_TYPES[kind][0] if kind in _GGUF_TYPES else None


def linked_row_bytes(encoding: str, dim: int) -> int | None:
    """Bytes of a row of `dim` values in an encoding of GGUF files, None where blocks do not divide it."""
    sizes = {name: (values, n_bytes) for name, values, n_bytes in _GGUF_TYPES.values()}
    values, n_bytes = sizes[encoding]
    return None if dim % values else dim // values * n_bytes


def write_link(
    path: str | os.PathLike, rows: Sequence[Place], scales: Sequence[Place] | None = None, scale: float = 1.0
) -> TableLayout:
    """Write a `*.link.json` for a table that lies in tensors of other files, and return the layout that it describes.

    rows: [(file, tensor)], in row order, each tensor [n, dim]; scales: the same for the scales of fp8 rows: ue8m0
    (F8_E8M0 or U8) [n, ceil(dim / 32)], float32, float16 or bfloat16 [n] or [n, 1], or one tensor of a single value;
    scale: what fp8 rows without any are multiplied with. Files below the link's folder are named relative to it.
    Raises TableError if the tensors do not make a table.
    """
    path = Path(path)
    names = sorted({file for file, _ in (*rows, *(scales or ()))})
    block: dict[str, Any] = {
        "format": FORMAT,
        "files": {_stored_name(path.parent, name): {"bytes": os.stat(name).st_size} for name in names},
        "rows": [_entry(path.parent, place) for place in rows],
        "scales": [_entry(path.parent, place) for place in scales or []],
    }
    if scale != 1.0:
        block["scale"] = scale
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(json.dumps(block, indent=1) + "\n", encoding="utf-8")
        layout = read_link(partial)
        os.replace(partial, path)
    except OSError as error:
        raise TableError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        partial.unlink(missing_ok=True)
    return layout


def read_link(path: str | os.PathLike) -> TableLayout:
    """The layout of a linked table. Raises TableError, naming file, tensor and value."""
    return _LinkReader(Path(path), _read_block(Path(path))).layout()


def _read_block(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_LINK_BYTES:
            raise TableError(f"{path}: {path.stat().st_size} bytes are no link file")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise TableError(f"{path}: is not JSON ({str(error)[:80]}); link the table again") from error


def _entry(folder: Path, place: Place) -> dict[str, Any]:
    file, tensor = _stored_name(folder, place[0]), place[1]
    if isinstance(tensor, str):
        return {"file": file, "tensor": tensor}
    return {"file": file, "raw": {"dtype": tensor.dtype, "shape": list(tensor.shape)}}


def read_places(path: str | os.PathLike) -> tuple[list[Place], list[Place], float]:
    """What `write_link` was given for the link at `path`, with absolute paths: rows, scales, scale. Raises
    TableError."""
    path = Path(path)
    block = _read_block(path)
    _LinkReader(path, block).layout()  # whose checks stand for those here

    def places(key: str) -> list[Place]:
        return [
            (
                str((path.parent / x["file"]).resolve()),
                RawRows(x["raw"]["dtype"], tuple(x["raw"]["shape"])) if "raw" in x else x["tensor"],
            )
            for x in block.get(key, [])
        ]

    return places("rows"), places("scales"), float(block.get("scale", 1.0))


def _stored_name(folder: Path, name: str) -> str:
    absolute, folder = Path(name).resolve(), folder.resolve()
    return absolute.relative_to(folder).as_posix() if absolute.is_relative_to(folder) else str(absolute)


class _LinkReader:
    """Turns the link's JSON, which may be anybody's, into a layout; every refusal names the link file."""

    def __init__(self, path: Path, block: Any):
        self.path, self.block = path, block
        self._headers: dict[str, dict[str, Tensor]] = {}
        self._files: list[str] = []

    def fail(self, problem: str) -> TableError:
        return TableError(f"{self.path}: {problem}; link the table again")

    def layout(self) -> TableLayout:
        if not isinstance(self.block, dict) or self.block.get("format") != FORMAT:
            raise self.fail(f"is not a link of format {FORMAT!r}")
        rows = [self.tensor(entry) for entry in self.entries("rows")]
        scales = [self.tensor(entry) for entry in self.entries("scales")]
        if not rows:
            raise self.fail("names no tensor of rows")
        first = rows[0][1]
        if any(len(t.shape) != 2 or t.shape[1] != first.shape[1] or t.dtype != first.dtype for _, t in rows):
            raise self.fail(f"names tensors of different kinds: {[(t.dtype, list(t.shape)) for _, t in rows][:8]}")
        n_rows, dim = sum(t.shape[0] for _, t in rows), first.shape[1]
        if not n_rows or not 1 <= dim <= 65536:
            raise self.fail(f"describes {n_rows} rows of {dim} values")
        width = next(t.n_bytes // t.shape[0] for _, t in rows if t.shape[0])
        columns = [self.column(rows, width)]
        encoding, scale = _SAFETENSORS_ENCODINGS.get(first.dtype, first.dtype), 1.0
        if first.dtype == "F8_E4M3":
            encoding, scale, column = self.scales(scales, n_rows, dim)
            columns += column
            if scale == 1.0 and not column:
                scale = self.factor()
        elif scales or "scale" in self.block:
            raise self.fail(f"names scales for {first.dtype} rows, which have none")
        elif first.dtype in _SAFETENSORS_DTYPES and first.dtype not in _SAFETENSORS_ENCODINGS:
            raise self.fail(f"names rows of dtype {first.dtype}, not one of F32, F16, BF16, F8_E4M3")
        return TableLayout(encoding, n_rows, dim, tuple(self._files), tuple(columns), scale)

    def scales(self, scales: list[tuple[int, Tensor]], n_rows: int, dim: int) -> tuple[str, float, list[Column]]:
        """(encoding, scale of all rows, the scales' column)."""
        if not scales:
            return "fp8_e4m3_unscaled", 1.0, []
        file, first = scales[0]
        if any(t.dtype != first.dtype for _, t in scales):
            raise self.fail("names scales of different dtypes")
        n_scales = sum(int(np.prod(t.shape)) for _, t in scales)
        if first.dtype in ("F8_E8M0", "U8"):
            groups = -(-dim // 32)
            if any(len(t.shape) != 2 or t.shape[1] != groups for _, t in scales) or n_scales != n_rows * groups:
                raise self.fail(f"names ue8m0 scales that are not {n_rows} x {groups}")
            return "fp8_e4m3", 1.0, [self.column(scales, groups)]
        if first.dtype not in _SAFETENSORS_ENCODINGS:
            raise self.fail(f"names scales of dtype {first.dtype}")
        encoding, width = _SAFETENSORS_ENCODINGS[first.dtype], DTYPE_BYTES[first.dtype]
        if n_scales == 1 and n_rows > 1:
            return "fp8_e4m3_unscaled", self.scalar(file, first, encoding), []
        if n_scales != n_rows or any(len(t.shape) not in (1, 2) or t.shape[1:] not in ((), (1,)) for _, t in scales):
            raise self.fail(f"names {n_scales} scales for {n_rows} rows; one a row, one in all, or ue8m0 for 32 values")
        return f"fp8_e4m3_{encoding}", 1.0, [self.column(scales, width)]

    def factor(self) -> float:
        """What all values are multiplied with."""
        value = self.block.get("scale", 1.0)
        if type(value) not in (int, float) or not 0 < value < float("inf"):
            raise self.fail(f"scale is {str(value)[:40]}, not a number above 0")
        return float(value)

    def scalar(self, file: int, tensor: Tensor, encoding: str) -> float:
        with open(self._files[file], "rb") as source:
            source.seek(tensor.offset)
            data = source.read(tensor.n_bytes)
        if encoding == "bfloat16":
            data, encoding = b"\0\0" + data, "float32"
        value = float(np.frombuffer(data, np.dtype(encoding).newbyteorder("<"))[0])
        if not np.isfinite(value):
            raise self.fail(f"names a scale of {value}")
        return value

    def column(self, tensors: list[tuple[int, Tensor]], width: int) -> Column:
        extents, row = [], 0
        for file, tensor in tensors:
            n = tensor.n_bytes // width if width else 0
            if n:
                extents.append(Extent(file, row, n, tensor.offset))
            row += n
        return Column(width, tuple(extents))

    def entries(self, key: str) -> list:
        entries = self.block.get(key)
        if not isinstance(entries, list) or len(entries) > 100_000:
            raise self.fail(f"{key} is not a list of tensors")
        return entries

    def tensor(self, entry: Any) -> tuple[int, Tensor]:
        """(number of the file, tensor) of a {"file", "tensor"} object."""
        files = self.block.get("files")
        name, tensor = (entry.get("file"), entry.get("tensor")) if isinstance(entry, dict) else (None, None)
        if isinstance(entry, dict) and "raw" in entry and isinstance(files, dict) and isinstance(name, str):
            return self.raw(name, files.get(name), entry["raw"])
        if not isinstance(files, dict) or not isinstance(name, str) or not isinstance(tensor, str) or name not in files:
            raise self.fail(f"{str(entry)[:80]} does not name a tensor of its files")
        path = str(self.path.parent / name)
        if name not in self._headers:
            self._headers[name] = self.header(path, files[name])
            self._files.append(path)
        found = self._headers[name].get(tensor)
        if found is None:
            raise self.fail(f"{path} has no tensor {tensor[:80]!r} of a kind that can be read in place")
        if found.dtype.startswith("ggml type"):
            known = ", ".join(f"{x} ({kind})" for kind, (x, _, _) in sorted(_GGUF_TYPES.items()))
            raise TableError(
                f"{path}: tensor {tensor[:80]!r} ({found.dtype}) cannot be read in place; known are {known}"
            )
        return self._files.index(path), found

    def raw(self, name: str, expected: Any, raw: Any) -> tuple[int, Tensor]:
        """(number of the file, its rows as a tensor) of a file that holds nothing else."""
        path = str(self.path.parent / name)
        dtype, given = (raw.get("dtype"), raw.get("shape")) if isinstance(raw, dict) else (None, None)
        shape = given if isinstance(given, list) else []
        if dtype not in _SAFETENSORS_DTYPES or len(shape) != 2 or any(type(x) is not int or x < 1 for x in shape):
            raise self.fail(f"{str(raw)[:80]} does not describe rows")
        n_bytes = prod(shape) * DTYPE_BYTES[dtype]
        try:
            found = os.stat(path).st_size
        except OSError as error:
            raise TableError(f"{path}: cannot be read ({error.strerror}), but {self.path} needs it") from error
        if not isinstance(expected, dict) or expected.get("bytes") != found:
            raise self.fail(f"{path} has {found} bytes, not those it had when it was linked")
        if found != n_bytes:
            raise self.fail(f"{path} has {found} bytes, rows {shape} of {dtype} take {n_bytes}")
        if name not in self._headers:
            self._headers[name] = {}
            self._files.append(path)
        return self._files.index(path), Tensor(dtype, tuple(shape), 0, n_bytes)

    def header(self, path: str, expected: Any) -> dict[str, Tensor]:
        """Tensors of one file by name. A GGUF's carry the encoding of their rows as dtype."""
        try:
            with open(path, "rb") as file:
                n_bytes = os.fstat(file.fileno()).st_size
                refuse_lfs_pointer(file)
                if not isinstance(expected, dict) or expected.get("bytes") != n_bytes:
                    raise self.fail(f"{path} has {n_bytes} bytes, not those it had when it was linked")
                is_gguf = file.read(4) == b"GGUF"
                file.seek(0)
                if is_gguf:
                    return _read_gguf(file, n_bytes)
                tensors = parse_header(file).tensors
                return {name: x for name, x in tensors.items() if x.dtype in _SAFETENSORS_DTYPES}
        except OSError as error:
            raise TableError(f"{path}: cannot be read ({error.strerror}), but {self.path} needs it") from error
        except LfsPointerError as error:
            raise TableError(f"{path}: {error}") from error
        except (HeaderError, *DAMAGE) as error:
            raise TableError(f"{path}: its header is damaged ({str(error)[:160]}); fetch the file again") from error


def _read_gguf(file: BinaryIO, n_bytes: int) -> dict[str, Tensor]:
    """Tensors of a GGUF file; those whose rows cannot be read in place have "ggml type N" as dtype, and no bytes."""
    tensors = {}
    for name, x in read_gguf_header(file).tensors.items():
        encoding, values, block_bytes = _GGUF_TYPES.get(x.kind, ("", 1, 0))
        if not encoding or len(x.shape) != 2 or x.shape[1] % values:
            tensors[name] = Tensor(f"ggml type {x.kind}, shape {list(x.shape)}", x.shape, x.offset, 0)
            continue
        size = x.shape[0] * x.shape[1] // values * block_bytes
        if x.offset + size > n_bytes:
            raise ValueError(f"tensor {name[:60]!r} reaches beyond the file")
        tensors[name] = Tensor(encoding, x.shape, x.offset, size)
    return tensors
