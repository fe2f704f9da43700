"""One table at run time: gather its rows as float32. Knows rows by number only, and no other table.

Which rows a token needs is hashing.py's business, what a table may take of the memory budget.py's.
"""

import errno
import mmap
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from engram_local import _native
from engram_local.arguments import integers
from engram_local.config import LINK_SUFFIX
from engram_local.errors import RowRangeError, TableError, UsageError
from engram_local.sizes import format_size
from engram_local.tables import encodings
from engram_local.tables.budget import WARM_BYTES, Budget, Share, limit_bytes
from engram_local.tables.file import read_header
from engram_local.tables.layout import TableLayout

encodings.check_kernels(_native.ENCODINGS)
_MADV_POPULATE_READ = 22 if sys.platform == "linux" else -1  # mmap has no name for it


def read_layout(path: str | os.PathLike) -> TableLayout:
    """The layout of a table file, or of the tensors that a `*.link.json` names. Raises TableError."""
    path = os.fspath(path)
    if path.endswith(LINK_SUFFIX):
        from engram_local.tables.links import read_link

        return read_link(path)
    return read_header(path).layout(path)


class Table:
    """One table, open for reading. Any number of threads may gather from it.

    source: a table file, a `*.link.json` that names tensors in other software's files, or a layout that was read.
    share: what the model's budget gives this table. Without one it is a model's only table: access and ram_limit are as
           in budget.Budget, a limit may be text ("2GiB").
    `access` and `why` say what took effect. Raises TableError; UsageError for an unknown access or limit.
    """

    def __init__(
        self,
        source: str | os.PathLike | TableLayout,
        *,
        access: str = "auto",
        ram_limit: int | str | None = None,
        share: Share | None = None,
    ):
        self.layout = source if isinstance(source, TableLayout) else read_layout(source)
        self.path = self.layout.files[0] if isinstance(source, TableLayout) else os.fspath(source)
        self.encoding, self.n_rows, self.dim = self.layout.encoding, self.layout.n_rows, self.layout.dim
        self.row_bytes, self.data_bytes = self.layout.row_bytes, self.layout.data_bytes
        if share is None:
            share = Budget.of([self.data_bytes], access, limit_bytes(ram_limit)).shares[0]
        self.access, self._why = share.access, share.why
        self._batch_rows = sys.maxsize
        self._files: list[_File] = []
        self._warming: threading.Thread | None = None
        self._stop_warming = threading.Event()
        self._data: _native.TableData | None = None
        try:
            self._data = self._open(share)
        except OSError as error:
            self.close()
            raise TableError(f"{error.filename or self.path}: cannot be opened ({error.strerror})") from error
        except BaseException:
            self.close()
            raise
        if share.warm:
            self._warm_in_background()

    @property
    def native(self) -> _native.TableData:
        """What the extension's readers take (StepLookup, ReadJob). Raises UsageError once the table is closed."""
        if self._data is None:
            raise UsageError(f"{self.path}: the table is closed; open it again")
        return self._data

    @property
    def why(self) -> str:
        """Why `access` was chosen, and how rows are read now."""
        if self.access != "direct" or self._data is None:
            return self._why
        ring, cache, buffered = _native.uses_io_uring(), self._data.cache_stats(), self._data.buffered_files()
        parts = [self._why, "read through io_uring" if ring else "read by threads, io_uring is refused here"]
        if cache:
            parts[1] += f", {format_size(cache['bytes'])} of hot rows kept"
        if buffered:
            parts.append(f"through the page cache, which direct reads cannot pass by there: {', '.join(buffered)}")
        return "; ".join(parts)

    def gather(self, row_ids: Any, out: np.ndarray | None = None) -> np.ndarray:
        """Rows of integer ids of any shape -> float32 [*shape, dim], into `out` (C-contiguous) if given.

        Raises RowRangeError for an id outside [0, n_rows); UsageError for ids that are no integers, another `out`, or a
        closed table; TableError where the file was cut short, the disk failed or a row's scale is not finite: `out` is
        then undefined.
        """
        data = self.native
        row_ids = integers(row_ids, "row ids", error=RowRangeError)
        shape = (*row_ids.shape, self.dim)
        if out is None:
            out = np.empty(shape, np.float32)
        elif out.dtype != np.float32 or out.shape != shape or not out.flags.c_contiguous:
            raise UsageError(f"out is {out.dtype} {list(out.shape)}, not float32 {list(shape)} in C order")
        flat, values = row_ids.reshape(-1), out.reshape(-1)
        for start in range(0, flat.size, self._batch_rows) if flat.size > self._batch_rows else (0,):
            ids = flat[start : start + self._batch_rows]
            part = values[start * self.dim : (start + ids.size) * self.dim]
            if self.access == "direct":
                _native.ReadJob([(data, ids, part)]).wait(0)
            else:
                data.gather(ids, part)
        return out

    def prefetch(self, row_ids: Any) -> None:
        """Ask for the pages of these rows (integers of any shape) without waiting for them (mmap alone)."""
        if self.access == "mmap":
            self.native.hint(integers(row_ids, "row ids", error=RowRangeError).reshape(-1))

    def warm(self, progress: Callable[[int, int], None] | None = None) -> int:
        """Read the whole table into the page cache, in order; calls progress(done_bytes, total_bytes) now and then.

        Returns the bytes read: none with direct access, whose rows pass the page cache by.
        """
        if self.access == "direct":
            return 0
        self._stop_background()
        self._warm(progress, threading.Event())
        for file in self._files:
            if self.access == "resident" and file.map is not None:
                with suppress(OSError, ValueError):  # kernels before 5.14: the first gathers fault the pages in
                    file.map.madvise(_MADV_POPULATE_READ)
        return self.data_bytes

    def stats(self) -> dict[str, Any]:
        """What took effect, and what was read so far: "gathers" (batches) and "rows_read", whatever the way; with
        direct access also "io_uring" (else threads), "buffered" (files that the page cache takes part in) and "cache".
        """
        gathers, rows_read = self.native.counts()
        stats = {
            "path": self.path,
            "access": self.access,
            "why": self.why,
            "bytes": self.data_bytes,
            "gathers": gathers,
            "rows_read": rows_read,
        }
        if self.access == "direct":
            stats["io_uring"] = _native.uses_io_uring()
            stats["buffered"] = self.native.buffered_files()
            stats["cache"] = self.native.cache_stats()
        return stats

    def close(self) -> None:
        """Give the files back, once the last read that was started has ended. Closing again does nothing."""
        self._stop_background()
        self._data = None
        self._files = []

    def __enter__(self) -> "Table":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, share: Share) -> _native.TableData:
        if self.access == "direct" and not _native.DIRECT_READS:
            self.access = "mmap"
            self._why += "; but this system has no direct reads: what is mapped stays in memory while there is room"
        alignment, cache_bytes = 1, 0
        if self.access == "direct":
            alignment, cache_bytes = self._open_direct(), share.cache_bytes
            self._batch_rows = share.batch_rows(self.row_bytes)
        else:
            self._open_mapped(random=self.access == "mmap")
        files = [
            (path, file.fd, self.layout.end_of(i), file.buffered)
            for i, (path, file) in enumerate(zip(self.layout.files, self._files, strict=True))
        ]
        columns = [
            (c.width, [(x.first_row, x.n_rows, x.offset, x.file, self._files[x.file].map) for x in c.extents])
            for c in self.layout.columns
        ]
        shape = (self.encoding, self.n_rows, self.dim)
        return _native.TableData(files, *shape, columns, self.layout.scale, alignment, cache_bytes, owner=self._files)

    def _open_mapped(self, random: bool) -> None:
        for path in self.layout.files:
            file = _File(_open(path))
            self._files.append(file)
            file.map = mmap.mmap(file.fd, 0, access=mmap.ACCESS_READ)
            # Random advice ends read-ahead and with it the large pages that make a resident table fast.
            if random and hasattr(mmap, "MADV_RANDOM"):
                file.map.madvise(mmap.MADV_RANDOM)

    def _open_direct(self) -> int:
        """Open every file for reads past the page cache, where its file system has them; the block size they need."""
        alignments = []
        for path in self.layout.files:
            self._files.append(_File(_open_uncached(path)))
            alignments.append(_native.prepare_direct(self._files[-1].fd))
            self._files[-1].buffered = alignments[-1] in (_native.REFUSED, _native.IN_MEMORY)
        return max(1, *alignments)

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
        buffer = bytearray(WARM_BYTES)  # plain reads in order bring large pages, and cannot fault
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
        self.fd = fd
        self.map: mmap.mmap | None = None
        self.buffered = False  # the page cache takes part in direct reads

    def __del__(self, close: Callable[[int], None] = os.close) -> None:  # the module may be gone at exit
        close(self.fd)


def _open(path: str, flags: int = 0) -> int:
    return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | flags)


def _open_uncached(path: str) -> int:
    """A descriptor whose reads pass the page cache by, or a plain one where the file system refuses that."""
    try:
        fd = _open(path, getattr(os, "O_DIRECT", 0))
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
        return _open(path)
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(fd, fcntl.F_NOCACHE, 1)
    return fd
