"""The table file: a safetensors file with one uint8 [rows, row_bytes] tensor. docs/format.md describes every byte.

Read and written with plain file calls only: nothing here maps a file or decodes a row's values on the way.
"""

import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from engram_local.config import ENCODINGS
from engram_local.errors import TableError
from engram_local.tables import encodings, headers
from engram_local.tables.headers import MAX_HEADER_BYTES
from engram_local.tables.layout import Column, Extent, TableLayout

FORMAT = "engram_local.table.v1"
ALIGNMENT = 4096
BLOCK_BYTES = 1 << 20
CHECKSUM = "crc32"
MAX_ROWS = 2**40
MAX_DIM = 65536


class TableHeader(NamedTuple):
    """What the header of a table file says, checked against itself and the file's size."""

    encoding: str
    n_rows: int
    dim: int
    row_bytes: int
    data_offset: int
    block_checksums: tuple[int, ...]

    @property
    def data_bytes(self) -> int:
        """Bytes of all rows."""
        return self.n_rows * self.row_bytes

    def layout(self, path: str) -> TableLayout:
        """Where the rows of the table file at `path` lie."""
        column = Column(self.row_bytes, (Extent(0, 0, self.n_rows, self.data_offset),))
        return TableLayout(self.encoding, self.n_rows, self.dim, (path,), (column,))


class Checked(NamedTuple):
    """One step of `verify`: bytes checked so far, and the problem met there (None: none)."""

    done_bytes: int
    total_bytes: int
    problem: str | None = None


def read_header(path: str | os.PathLike) -> TableHeader:
    """Read and check the header. TableError, naming file and value, for anything but a whole table file."""
    path = os.fspath(path)
    header = headers.read_header(path, "a table", TableError, "copy or export it again")

    def fail(problem: str) -> TableError:
        return TableError(f"{path}: {problem}; export the table again")

    metadata = header.metadata
    if metadata is None or set(header.tensors) != {"rows"}:
        names = sorted([*header.tensors, *([] if metadata is None else ["__metadata__"])])[:5]
        raise fail(f"the header holds {str(names)[:120]}, not one tensor named rows and __metadata__")
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        found = metadata.get("format") if isinstance(metadata, dict) else None
        raise fail(f"the format is {str(found)[:40]!r}, this release reads {FORMAT!r}")
    encoding = metadata.get("encoding")
    if encoding not in ENCODINGS:
        raise fail(f"the encoding is {str(encoding)[:40]!r}, not one of {', '.join(ENCODINGS)}")

    def number(key: str, low: int, high: int) -> int:
        value = metadata.get(key)
        if not isinstance(value, str) or not value.isascii() or not value.isdigit() or len(value) > 18:
            raise fail(f"{key} is {str(value)[:40]!r}, not a decimal number")
        if not low <= int(value) <= high:
            raise fail(f"{key} is {value}, not in [{low}, {high}]")
        return int(value)

    n_rows, dim = number("rows", 1, MAX_ROWS), number("dim", 1, MAX_DIM)
    row_bytes = encodings.row_bytes(encoding, dim)
    number("row_bytes", row_bytes, row_bytes)
    number("block_bytes", BLOCK_BYTES, BLOCK_BYTES)
    tensor = header.tensors["rows"]
    if (tensor.dtype, tensor.shape) != ("U8", (n_rows, row_bytes)):
        raise fail(
            f"the tensor is described as {tensor.dtype} {list(tensor.shape)}, but {n_rows} rows of {dim} {encoding} "
            f"values are U8 {[n_rows, row_bytes]}"
        )
    if header.data_offset % ALIGNMENT:
        raise fail(f"the rows start at byte {header.data_offset}, not at a multiple of {ALIGNMENT}")
    if metadata.get("checksum") != CHECKSUM:
        raise fail(f"the checksum is {str(metadata.get('checksum'))[:40]!r}, not {CHECKSUM!r}")
    checksums = metadata.get("block_checksums")
    try:
        raw = bytes.fromhex(checksums if isinstance(checksums, str) else "?")
    except ValueError as error:
        raise fail("block_checksums is not hexadecimal") from error
    blocks, n_digits = n_blocks(n_rows * row_bytes), len(str(checksums))
    if n_digits != 8 * blocks or 2 * len(raw) != n_digits:
        raise fail(f"block_checksums has {n_digits} digits, not 8 for each of {blocks} blocks")
    return TableHeader(encoding, n_rows, dim, row_bytes, header.data_offset, tuple(np.frombuffer(raw, ">u4").tolist()))


def n_blocks(data_bytes: int) -> int:
    """Blocks that have a checksum of their own; the last may be short."""
    return -(-data_bytes // BLOCK_BYTES)


def _header_bytes(encoding: str, n_rows: int, dim: int, checksums: str) -> bytes:
    """The file's bytes before the rows; their number does not depend on the checksums' values."""
    row_bytes = encodings.row_bytes(encoding, dim)
    metadata = {
        "format": FORMAT,
        "encoding": encoding,
        "rows": str(n_rows),
        "dim": str(dim),
        "row_bytes": str(row_bytes),
        "block_bytes": str(BLOCK_BYTES),
        "checksum": CHECKSUM,
        "block_checksums": checksums,
    }
    tensor = {"dtype": "U8", "shape": [n_rows, row_bytes], "data_offsets": [0, n_rows * row_bytes]}
    text = json.dumps({"__metadata__": metadata, "rows": tensor}, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    if len(text) > MAX_HEADER_BYTES:
        raise TableError(f"{n_rows} rows of {row_bytes} bytes need a header of {len(text)} bytes; split the table")
    return len(text).to_bytes(8, "little") + text


class TableWriter:
    """Writes a table of a known size, rows in order, in one pass over `path + ".partial"`; `close` renames it.

    As a context manager an exception inside leaves nothing at `path` and removes the partial file.
    """

    def __init__(self, path: str | os.PathLike, encoding: str, n_rows: int, dim: int):
        self.path, self.encoding, self.n_rows, self.dim = os.fspath(path), encoding, n_rows, dim
        self.row_bytes = encodings.row_bytes(encoding, dim)
        if not 1 <= n_rows <= MAX_ROWS or not 1 <= dim <= MAX_DIM:
            raise TableError(f"{self.path}: a table of {n_rows} rows of {dim} values is outside the format's limits")
        self.rows_written = 0
        self._checksums: list[int] = []
        self._crc = self._block_fill = 0
        self._partial = self.path + ".partial"
        header = _header_bytes(encoding, n_rows, dim, "0" * 8 * n_blocks(n_rows * self.row_bytes))
        try:
            self._file = open(self._partial, "wb")  # noqa: SIM115 (closed by close or abort)
        except OSError as error:
            raise self._failed(error) from error
        with self._writing():
            self._file.write(header)

    def append(self, rows: np.ndarray) -> None:
        """Encode and write float32 [n, dim]."""
        try:
            data = encodings.encode(self.encoding, rows)
        except TableError as error:
            raise TableError(f"{self.path}: after {self.rows_written} rows, {error}") from error
        self.append_rows(data)

    def append_rows(self, data: np.ndarray) -> None:
        """Write rows that are encoded already: uint8 [n, row_bytes]."""
        data = np.ascontiguousarray(data, np.uint8)
        if data.ndim != 2 or data.shape[1] != self.row_bytes or self.rows_written + len(data) > self.n_rows:
            raise TableError(
                f"{self.path}: cannot append {list(data.shape)} after {self.rows_written} rows of "
                f"[{self.n_rows}, {self.row_bytes}]"
            )
        view = memoryview(data.reshape(-1).data) if len(data) else memoryview(b"")
        with self._writing():
            self._file.write(view)
        self.rows_written += len(data)
        while len(view):
            part, view = view[: BLOCK_BYTES - self._block_fill], view[BLOCK_BYTES - self._block_fill :]
            self._crc = zlib.crc32(part, self._crc)
            self._block_fill += len(part)
            if self._block_fill == BLOCK_BYTES:
                self._end_block()

    def close(self) -> None:
        """Write the checksums into the header, flush to disk, rename. Raises TableError if rows are missing."""
        if self._file.closed:
            return
        if self.rows_written != self.n_rows:
            self.abort()
            raise TableError(f"{self.path}: {self.rows_written} rows were written, {self.n_rows} were announced")
        if self._block_fill:
            self._end_block()
        header = _header_bytes(self.encoding, self.n_rows, self.dim, "".join(f"{c:08x}" for c in self._checksums))
        with self._writing():
            self._file.seek(0)
            self._file.write(header)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._partial, self.path)

    def abort(self) -> None:
        """Give up: close and remove the partial file."""
        with suppress(OSError):  # closing flushes, which fails again on a full disk
            self._file.close()
        Path(self._partial).unlink(missing_ok=True)

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _end_block(self) -> None:
        self._checksums.append(self._crc)
        self._crc = self._block_fill = 0

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.abort()
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> TableError:
        return TableError(f"{self._partial}: cannot be written ({error.strerror})")


def verify(path: str | os.PathLike) -> Iterator[Checked]:
    """Re-read a table file with plain reads and yield one Checked a block.

    Checks the header, every block's checksum and that each row decodes to finite numbers. Does not prove that the rows
    are the ones that were trained: whoever can write the file can write its checksums too (the manifest's sha256 is
    checked elsewhere).
    """
    try:
        header = read_header(path)
    except TableError as error:
        yield Checked(0, 0, str(error))
        return
    total, rest = header.data_bytes, b""
    with open(path, "rb") as file:
        file.seek(header.data_offset)
        for block, checksum in enumerate(header.block_checksums):
            start = block * BLOCK_BYTES
            try:
                data = file.read(min(BLOCK_BYTES, total - start))
            except OSError as error:
                yield Checked(
                    start, total, f"{path}: block {block} cannot be read ({error.strerror}); the disk may be failing"
                )
                return
            where = f"{path}: block {block} (bytes {header.data_offset + start} and on)"
            if len(data) != min(BLOCK_BYTES, total - start):
                yield Checked(start, total, f"{where} is cut short; copy or export the table again")
                return
            problem = None
            if zlib.crc32(data) != checksum:
                problem = f"{where} does not match its checksum; copy or export the table again"
            rest += data
            whole = len(rest) // header.row_bytes
            first_row = (start + len(data) - len(rest)) // header.row_bytes
            rows = np.frombuffer(rest, np.uint8, whole * header.row_bytes).reshape(whole, header.row_bytes)
            finite = np.isfinite(encodings.decode(header.encoding, rows, header.dim)).all(axis=1)
            if problem is None and not finite.all():
                problem = (
                    f"{path}: row {first_row + int(np.argmin(finite))} holds NaN or infinity; export the table again"
                )
            rest = rest[whole * header.row_bytes :]
            yield Checked(start + len(data), total, problem)
