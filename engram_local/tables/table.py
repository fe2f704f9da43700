"""Tables at run time: open a table, gather its rows as float32, read ahead for a model's layers.

Knows rows by number only; which rows a token needs is hashing.py's business.
"""

import errno
import mmap
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from engram_local import _native
from engram_local.errors import TableError
from engram_local.machine import available_bytes
from engram_local.sizes import format_size
from engram_local.tables.layout import TableLayout
from engram_local.tables.links import read_layout

ACCESS = ("auto", "resident", "mmap", "direct")
_WARM_BYTES = 1 << 20
_PAGE = mmap.PAGESIZE
_MADV_POPULATE_READ = 22 if sys.platform == "linux" else -1  # mmap has no name for it
# What direct reads of all tables take besides the caches: buffers of two rings, and two chunks of rows, one in use and
# one on its way. A RAM limit leaves them half, within these bounds.
LEAST_READ_BYTES, MOST_READ_BYTES = 16 << 20, 64 << 20
_RING_BYTES = 2 << 20
_ROW_OVERHEAD = 112  # bookkeeping of one row in a batch


class Table:
    """One table, open for reading. Any number of threads may gather from it.

    path: a table file, or a `*.link.json` that names tensors in other software's files.
    access: "resident": mapped, meant to stay in memory; "mmap": mapped, pages are read on demand and hinted in batches;
            "direct": rows are read past the page cache, many at once, with a cache of hot rows in front; "auto".
    ram_limit: bytes of memory that all tables of a model may take, page cache included; None for half of what is free.
    share: of it, for this table: its part of all tables' bytes.
    `access` and `why` then say what took effect. Raises TableError.
    """

    def __init__(self, path, *, access: str = "auto", ram_limit: int | None = None, share: float = 1.0):
        if access not in ACCESS:
            raise TableError(f"unknown table access {access!r}; choose one of {', '.join(ACCESS)}")
        self.path = os.fspath(path)
        self.layout: TableLayout = read_layout(path)
        self.encoding, self.n_rows, self.dim = self.layout.encoding, self.layout.rows, self.layout.dim
        self.row_bytes, self.data_bytes = self.layout.row_bytes, self.layout.data_bytes
        self._ram_limit = None if ram_limit is None else int(ram_limit * share)
        self._gathers = self._rows_read = self._pages_in = 0
        self._files: list[_File] = []
        self._warming: threading.Thread | None = None
        self._stop_warming = threading.Event()
        self._data: _native.TableData | None = None
        wanted, self.why = _choose(access, self.data_bytes, ram_limit, share)
        self._cache_bytes = _cache_bytes(self.data_bytes, ram_limit, share)
        self.read_bytes = _read_bytes(ram_limit)
        try:
            self.access = self._open(wanted)
        except OSError as error:
            self.close()
            raise TableError(f"{error.filename or self.path}: cannot be opened ({error.strerror})") from error
        except BaseException:
            self.close()
            raise
        if self.access == access == "resident":
            self._warm_in_background()

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
        flat, values = np.ascontiguousarray(row_ids).reshape(-1), out.reshape(-1)
        if self._data is None:
            raise TableError(f"{self.path}: the table is closed")
        if flat.size <= self._batch_rows:
            self._gather(flat, values)
        else:
            for start in range(0, flat.size, self._batch_rows):
                end = start + self._batch_rows
                self._gather(flat[start:end], values[start * self.dim : end * self.dim])
        self._gathers += 1
        self._rows_read += flat.size
        return out

    def prefetch(self, row_ids) -> None:
        """Ask for the pages of these rows (int64, any shape) without waiting for them (mmap alone)."""
        if self.access == "mmap" and self._data is not None:
            flat = np.ascontiguousarray(row_ids, np.int64).reshape(-1)
            self._pages_in += self._data.hint(flat[: self._batch_rows])

    def warm(self, progress: Callable[[int, int], None] | None = None) -> int:
        """Read the whole table into the page cache, in order; calls progress(done_bytes, total_bytes) now and then.

        Returns the bytes read: none with direct access, whose rows pass the page cache by, and none where they exceed
        the RAM limit.
        """
        if self.access == "direct" or (self._ram_limit is not None and self.data_bytes > self._ram_limit):
            return 0
        self._stop_background()
        self._warm(progress, threading.Event())
        if self.access == "resident":
            for file in self._files:
                with suppress(OSError, ValueError):  # kernels before 5.14: the first gathers fault the pages in
                    file.map.madvise(_MADV_POPULATE_READ)
        return self.data_bytes

    def stats(self) -> dict:
        """What took effect and what was read so far."""
        stats = {
            "path": self.path,
            "access": self.access,
            "why": self.why,
            "bytes": self.data_bytes,
            "gathers": self._gathers,
            "rows_read": self._rows_read,
        }
        if self.access == "direct" and self._data is not None:
            stats["io_uring"] = _native.uses_io_uring()
            stats["cache"] = self._data.cache_stats()
        return stats

    def close(self) -> None:
        """Give the files back, once the last read that was started has ended. Closing again does nothing."""
        self._stop_background()
        self._data = self._gather = None
        self._files = []

    def __enter__(self) -> "Table":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    @property
    def chunk_bytes(self) -> int:
        """Memory that one batch of direct reads may take, of all tables together."""
        return self.read_bytes // 2 - _RING_BYTES

    @property
    def batch_bytes_a_row(self) -> int:
        """Memory of one row in a batch: encoded, decoded, and bookkeeping."""
        return self.row_bytes + 4 * self.dim + _ROW_OVERHEAD

    def _open(self, access: str) -> str:
        """Open the files; returns the access that took effect and completes `why`."""
        alignment, cache_bytes, self._batch_rows = 1, 0, sys.maxsize
        if access == "direct":
            alignment = self._open_direct()
            if alignment:
                cache_bytes = self._cache_bytes
                self._batch_rows = max(64, self.chunk_bytes // (self.row_bytes + _ROW_OVERHEAD))
            else:
                access = "mmap"
                self.why += "; direct reads are refused by the file system"
        if access != "direct":
            self._open_mapped(random=access == "mmap")
        if access == "mmap" and self._ram_limit is not None:
            pages_a_row = sum(2 + c.width // _PAGE for c in self.layout.columns)
            self._batch_rows = max(1, self._ram_limit // 4 // (_PAGE * pages_a_row))
        files = [(path, self._files[i].fd, self.layout.end_of(i)) for i, path in enumerate(self.layout.files)]
        columns = [
            (c.width, [(x.first_row, x.n_rows, x.offset, x.file, self._files[x.file].map) for x in c.extents])
            for c in self.layout.columns
        ]
        shape = (self.encoding, self.n_rows, self.dim)
        self._data = _native.TableData(
            files, *shape, columns, self.layout.scale, alignment, cache_bytes, owner=self._files
        )
        gathers = {"direct": self._gather_direct, "mmap": self._gather_mapped, "resident": self._data.gather}
        self._gather = gathers[access]
        if access == "direct":
            cache, ring = self._data.cache_stats(), _native.uses_io_uring()
            self.why += "; read through io_uring" if ring else "; read by threads, io_uring is refused here"
            self.why += f", {format_size(cache['bytes'])} of hot rows kept" if cache else ""
        return access

    def _open_mapped(self, random: bool) -> None:
        for path in self.layout.files:
            file = _File(os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)))
            self._files.append(file)
            file.map = mmap.mmap(file.fd, 0, access=mmap.ACCESS_READ)
            # Random advice ends read-ahead and with it the large pages that make a resident table fast.
            if random and hasattr(mmap, "MADV_RANDOM"):
                file.map.madvise(mmap.MADV_RANDOM)

    def _open_direct(self) -> int:
        """Open every file for reads past the page cache; the block size they need, 0 where the system has none."""
        alignments = []
        try:
            for path in self.layout.files:
                self._files.append(_File(_open_uncached(path)))
                alignments.append(_native.direct_alignment(self._files[-1].fd))
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
            alignments.append(0)
        if min(alignments):
            return max(alignments)
        self._files = []
        return 0

    def _gather_direct(self, ids: np.ndarray, out: np.ndarray) -> None:
        _native.ReadJob([(self._data, ids, out)]).wait(0)

    def _gather_mapped(self, ids: np.ndarray, out: np.ndarray) -> None:
        self._data.gather(ids, out)
        if self._ram_limit is not None:
            self._pages_in += ids.size * sum(2 + c.width // _PAGE for c in self.layout.columns)
            if self._pages_in * _PAGE > self._ram_limit // 4 * 3:
                self._drop_pages()

    def _drop_pages(self) -> None:
        """Give the page cache back what was read: pages in use by a map stay, so the map lets go of them first."""
        for file in self._files:
            if hasattr(mmap, "MADV_DONTNEED") and hasattr(os, "posix_fadvise"):
                file.map.madvise(mmap.MADV_DONTNEED)
                os.posix_fadvise(file.fd, 0, 0, os.POSIX_FADV_DONTNEED)
        self._pages_in = 0

    def _warm_in_background(self) -> None:
        def warm() -> None:
            with suppress(TableError):  # whoever gathers the rows will hear of it
                self._warm(None, self._stop_warming)

        self._warming = threading.Thread(target=warm, daemon=True)
        self._warming.start()

    def _stop_background(self) -> None:
        if self._warming is not None:
            self._stop_warming.set()
            self._warming.join()
            self._warming = None

    def _warm(self, progress: Callable[[int, int], None] | None, stop: threading.Event) -> None:
        buffer = bytearray(_WARM_BYTES)  # plain reads in order bring large pages, and cannot fault
        done, total = 0, self.data_bytes
        extents = [(x, c.width) for c in self.layout.columns for x in c.extents]
        for extent, width in extents:
            path = self.layout.files[extent.file]
            try:
                with open(path, "rb", buffering=0) as file:
                    file.seek(extent.offset)
                    left = extent.n_rows * width
                    while left and not stop.is_set():
                        n = file.readinto(memoryview(buffer)[:left])
                        if not n:
                            raise TableError(f"{path}: was cut short while it was open; run `engram-local verify`")
                        left -= n
                        done += n
                        if progress:
                            progress(done, total)
            except OSError as error:
                raise TableError(f"{path}: cannot be read ({error.strerror}); the disk may be failing") from error


class _File:
    """An open file and its map, closed with the last reference: reads that are under way hold one."""

    def __init__(self, fd: int):
        self.fd, self.map = fd, None

    def __del__(self, close=os.close):  # the module may be gone when the interpreter leaves
        close(self.fd)


class RowReader:
    """Reads the rows of all layers of a model together. tables: {layer_id: Table}, looked at anew in every start."""

    def __init__(self, tables: dict[int, Table]):
        self.tables = tables

    def start(self, row_ids: dict[int, np.ndarray]) -> "ReadRows":
        """Start reading {layer_id: int64 [n, n_heads]}, all layers in one batch, and return at once. See `max_tokens`.

        The result's `wait` hands the rows out layer by layer. Raises RowRangeError.
        """
        return ReadRows(self.tables, row_ids)

    def max_tokens(self, n_heads: dict[int, int]) -> int:
        """Tokens that one batch of {layer_id: rows a token} may have, at least 1: two such batches fit into the memory
        that the RAM limit leaves for reading."""
        direct = {i: self.tables[i] for i in n_heads if self.tables[i].access == "direct"}
        if not direct:
            return sys.maxsize
        bytes_a_token = sum(n_heads[i] * table.batch_bytes_a_row for i, table in direct.items())
        return max(1, min(table.chunk_bytes for table in direct.values()) // bytes_a_token)

    def stats(self) -> dict:
        """{layer_id: Table.stats()}."""
        return {layer_id: table.stats() for layer_id, table in self.tables.items()}

    def close(self) -> None:
        for table in self.tables.values():
            table.close()


class ReadRows:
    """Rows that were asked for (`Rows` of backends/base.py)."""

    def __init__(self, tables: dict[int, Table], row_ids: dict[int, np.ndarray]):
        """Use `RowReader.start`."""
        self._tables = tables
        self._row_ids = {layer_id: np.asarray(ids, np.int64) for layer_id, ids in row_ids.items()}
        self._rows: dict[int, np.ndarray] = {}
        self._parts: dict[int, int] = {}  # layers that are read directly: their number in the job
        parts = []
        budget = min((tables[i].chunk_bytes for i in row_ids), default=0)
        for layer_id, ids in self._row_ids.items():
            table = tables[layer_id]
            if table.access != "direct":
                table.prefetch(ids)
                continue
            if table._data is None:
                raise TableError(f"{table.path}: the table is closed")
            budget -= ids.size * table.batch_bytes_a_row
            if budget < 0:  # the RAM limit has no room for so many rows at once: `wait` reads them in pieces
                continue
            flat = np.ascontiguousarray(ids).reshape(-1)
            self._rows[layer_id] = np.empty((len(ids), ids.shape[1] * table.dim), np.float32)
            self._parts[layer_id] = len(parts)
            parts.append((table._data, flat, self._rows[layer_id].reshape(-1)))
            table._gathers += 1
            table._rows_read += flat.size
        self._job = _native.ReadJob(parts) if parts else None

    def wait(self, layer_id: int) -> np.ndarray:
        """Rows of one layer: float32 [n, n_heads * dim], owned by the caller. Raises TableError when a read failed."""
        if layer_id in self._parts:
            self._job.wait(self._parts[layer_id])
            del self._parts[layer_id]
        elif layer_id not in self._rows:
            ids = self._row_ids[layer_id]
            self._rows[layer_id] = self._tables[layer_id].gather(ids).reshape(len(ids), -1)
        return self._rows[layer_id]


def _choose(access: str, data_bytes: int, ram_limit: int | None, share: float) -> tuple[str, str]:
    """(access, why): resident only where all tables fit into the memory that they may take."""
    if access in ("mmap", "direct") or (access == "resident" and ram_limit is None):
        return access, "asked for"
    if ram_limit is not None:
        limit, source = ram_limit, "the RAM limit"
    else:
        limit, source = available_bytes() // 2, "half the free memory"
    sizes = f"{format_size(data_bytes / share)}", f"{source} of {format_size(limit)}"
    if (data_bytes + min(data_bytes, _WARM_BYTES)) / share <= limit:
        return "resident", f"{sizes[0]} fit into {sizes[1]}" if access == "auto" else "asked for"
    but = "resident was asked for, but " if access == "resident" else ""
    return "direct", f"{but}{sizes[0]} exceed {sizes[1]}"


def _read_bytes(ram_limit: int | None) -> int:
    """Memory of direct reads, of all tables together."""
    return MOST_READ_BYTES if ram_limit is None else min(MOST_READ_BYTES, max(LEAST_READ_BYTES, ram_limit // 2))


def _cache_bytes(data_bytes: int, ram_limit: int | None, share: float) -> int:
    """Memory of the hot-row cache: what the limit leaves, or a twentieth of the table and an eighth of what is free."""
    if ram_limit is None:
        return min(data_bytes // 20, int(available_bytes() // 8 * share))
    return min(data_bytes, max(0, int((ram_limit - _read_bytes(ram_limit)) * share)))


def _open_uncached(path: str) -> int:
    """A descriptor whose reads pass the page cache by."""
    if hasattr(os, "O_DIRECT"):
        return os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    if sys.platform == "darwin":
        import fcntl

        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.fcntl(fd, fcntl.F_NOCACHE, 1)
        return fd
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), path)
