"""Tables at run time: open a table file, gather its rows as float32, read ahead for a model's layers.

Knows rows by number only; which rows a token needs is hashing.py's business.
"""

import mmap
import os
from collections.abc import Callable

import numpy as np

from engram_local import _native, table_file
from engram_local.errors import RowRangeError, TableError

ACCESS = ("auto", "resident", "mmap")
_WARM_STEP = 64 << 20


class Table:
    """One table file, open for reading. Any number of threads may gather from it.

    access: "resident" (rows are kept in the page cache: read once in order, with large pages), "mmap" (rows are read on
    demand), "auto". ram_limit: bytes that this table's pages may take, None for what the machine has free. `access`
    and `why` then say what took effect. Raises TableError.
    """

    def __init__(self, path, *, access: str = "auto", ram_limit: int | None = None):
        if access not in ACCESS:
            raise TableError(f"unknown table access {access!r}; choose one of {', '.join(ACCESS)}")
        self.path = os.fspath(path)
        self.header = table_file.read_header(path)
        self.encoding, self.n_rows, self.dim = self.header.encoding, self.header.rows, self.header.dim
        self.row_bytes = self.header.row_bytes
        self.access, self.why = _choose(access, self.header.data_bytes, ram_limit)
        self._encoding_code = _native.ENCODINGS.index(self.encoding)
        self._gathers = self._rows_read = 0
        try:
            self._file = open(self.path, "rb")  # noqa: SIM115 (closed by close)
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise TableError(f"{self.path}: cannot be mapped ({error.strerror})") from error
        self._rows = np.frombuffer(self._map, np.uint8, self.header.data_bytes, self.header.data_offset)
        self._rows = self._rows.reshape(self.n_rows, self.row_bytes)
        # Random advice ends read-ahead and with it the large pages that make a resident table fast.
        if self.access == "mmap" and hasattr(mmap, "MADV_RANDOM"):
            self._map.madvise(mmap.MADV_RANDOM)

    def gather(self, row_ids, out: np.ndarray | None = None) -> np.ndarray:
        """Rows of int64 ids of any shape -> float32 [*shape, dim], into `out` (C-contiguous) if given.

        Raises RowRangeError for an id outside [0, n_rows); TableError where the file was cut short, the disk failed or
        a row's scale is not finite; `out` is then undefined.
        """
        row_ids = np.asarray(row_ids, np.int64)
        shape = (*row_ids.shape, self.dim)
        if out is None:
            out = np.empty(shape, np.float32)
        elif out.dtype != np.float32 or out.shape != shape or not out.flags.c_contiguous:
            raise ValueError(f"out is {out.dtype} {list(out.shape)}, not float32 {list(shape)} in C order")
        flat = row_ids.reshape(-1)
        try:
            self._check_size()
            _native.gather(self._rows, self.dim, self._encoding_code, flat, out.reshape(flat.size, self.dim))
        except RowRangeError as error:
            raise RowRangeError(f"{self.path}: {error}; the table and the config do not fit") from None
        except TableError as error:
            raise TableError(f"{self.path}: {error}; run `engram-local verify`") from None
        self._gathers += 1
        self._rows_read += flat.size
        return out

    def prefetch(self, row_ids) -> None:
        """Ask for the pages of these rows (int64, any shape) without waiting for them."""
        if self.access != "mmap" or not hasattr(mmap, "MADV_WILLNEED"):
            return
        starts = self.header.data_offset + np.unique(row_ids) * self.row_bytes
        pages = np.unique(np.concatenate((starts, starts + self.row_bytes - 1)) // mmap.PAGESIZE)
        for page in pages.tolist():
            self._map.madvise(mmap.MADV_WILLNEED, page * mmap.PAGESIZE, mmap.PAGESIZE)

    def warm(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Read the whole table into the page cache, in order; calls progress(done_bytes, total_bytes) now and then."""
        data = self._rows.reshape(-1)
        for start in range(0, data.size, _WARM_STEP):
            part = data[start : start + _WARM_STEP]
            try:
                self._check_size()
                _native.touch(part)
            except TableError as error:
                raise TableError(f"{self.path}: {error}; run `engram-local verify`") from None
            if progress:
                progress(start + part.size, data.size)

    def stats(self) -> dict:
        """What took effect and what was read so far."""
        return {
            "path": self.path,
            "access": self.access,
            "why": self.why,
            "bytes": self.header.data_bytes,
            "gathers": self._gathers,
            "rows_read": self._rows_read,
        }

    def close(self) -> None:
        """Unmap and close; no other thread may be gathering."""
        self._rows = None
        if self._map is not None:
            self._map.close()
            self._file.close()
        self._map = None

    def __enter__(self) -> "Table":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _check_size(self) -> None:
        if self._map is None:
            raise TableError("the table is closed")
        size = os.fstat(self._file.fileno()).st_size
        if size < self.header.data_offset + self.header.data_bytes:
            raise TableError(f"the file was cut to {size} bytes while it was open")


class RowReader:
    """Reads the rows of all layers of a model together. tables: {layer_id: Table}; the reader owns and closes them."""

    def __init__(self, tables: dict[int, Table]):
        self.tables = tables

    def start(self, row_ids: dict[int, np.ndarray]) -> "ReadRows":
        """Start reading {layer_id: int64 [n, n_heads]}; the result's `wait` hands them out layer by layer."""
        for layer_id, ids in row_ids.items():
            self.tables[layer_id].prefetch(ids)
        return ReadRows(self.tables, row_ids)

    def stats(self) -> dict:
        """{layer_id: Table.stats()}."""
        return {layer_id: table.stats() for layer_id, table in self.tables.items()}

    def close(self) -> None:
        for table in self.tables.values():
            table.close()


class ReadRows:
    """Rows that were asked for (`Rows` of backends/base.py)."""

    def __init__(self, tables: dict[int, Table], row_ids: dict[int, np.ndarray]):
        self._tables, self._row_ids = tables, row_ids
        self._rows: dict[int, np.ndarray] = {}

    def wait(self, layer_id: int) -> np.ndarray:
        """Rows of one layer: float32 [n, n_heads * dim], owned by the caller. Raises TableError when a read failed."""
        if layer_id not in self._rows:
            ids = self._row_ids[layer_id]
            self._rows[layer_id] = self._tables[layer_id].gather(ids).reshape(len(ids), -1)
        return self._rows[layer_id]


def _choose(access: str, data_bytes: int, ram_limit: int | None) -> tuple[str, str]:
    """(access, why): resident only where the whole table fits into the memory that it may take."""
    if access != "auto":
        return access, "asked for"
    limit, source = (
        (ram_limit, "the RAM limit") if ram_limit is not None else (_available_bytes() // 2, "half the free memory")
    )
    if data_bytes <= limit:
        return "resident", f"{data_bytes / 2**30:.2f} GiB fit into {source} of {limit / 2**30:.2f} GiB"
    return "mmap", f"{data_bytes / 2**30:.2f} GiB exceed {source} of {limit / 2**30:.2f} GiB"


def _available_bytes() -> int:
    """Memory that can be had without swapping; 0 where the system does not tell."""
    try:
        with open("/proc/meminfo") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return 0
