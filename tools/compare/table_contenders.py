"""The contenders of the table comparison: each opens the table and answers gather(ids).

`chill` lets go of mapped pages, so that the page cache can be emptied; `populate` maps all of them.
"""

import mmap
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from engram_local import _native
from engram_local.tables import file as table_file
from engram_local.tables.table import Table

Gather = Callable[[np.ndarray], object]


class Missing(Exception):
    """A contender that cannot take part, and why."""


class Own:
    def __init__(self, path: Path, access: str, io_uring: bool = True, ram_limit: int = 0):
        self.path, self.access, self.io_uring, self.ram_limit = path, access, io_uring, ram_limit
        self.table = Table(path, access=access, ram_limit=ram_limit if access == "direct" else None)
        if self.table.access != access:
            raise Missing(self.table.why)

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        _native.use_io_uring(self.io_uring)
        self.table.prefetch(ids)
        return self.table.gather(ids)

    def chill(self) -> None:
        """Leave no row in memory."""
        self.table.close()
        self.__init__(self.path, self.access, self.io_uring, self.ram_limit)

    def populate(self) -> None:
        """Have all rows in memory."""
        self.table.warm()


class _Memmap:
    """Rows of a NumPy memmap, decoded to float32, or one byte of each ("touch")."""

    def __init__(self, path: Path, header: table_file.TableHeader, what: str, random: bool):
        self.path, self.header, self.what, self.random = path, header, what, random
        self.open()

    def open(self) -> None:
        shape = (self.header.n_rows, self.header.row_bytes)
        self.rows = np.memmap(self.path, np.uint8, "r", self.header.data_offset, shape)
        if self.random and hasattr(mmap, "MADV_RANDOM"):
            self.rows._mmap.madvise(mmap.MADV_RANDOM)

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        if self.what == "touch":
            return self.rows[ids, 0]
        rows, width = self.rows[ids], self.header.dim
        scale = np.ascontiguousarray(rows[:, width:]).view("<f2").astype(np.float32)
        return rows[:, :width].view(np.int8).astype(np.float32) * scale

    def chill(self) -> None:
        del self.rows
        self.open()

    def populate(self) -> None:
        self.rows[:: 4096 // self.header.row_bytes, 0].sum()


class _Torch:
    """torch.nn.functional.embedding over the same int8 rows in memory, then the product with the scales."""

    def __init__(self, path: Path, header: table_file.TableHeader):
        try:
            import torch
        except ImportError as error:
            raise Missing("torch is not installed") from error
        self.torch = torch
        torch.set_num_threads(1)
        rows = np.memmap(path, np.int8, "c", header.data_offset, (header.n_rows, header.row_bytes))
        self.weight = torch.from_numpy(rows)

    def __call__(self, ids: np.ndarray):
        rows = self.torch.nn.functional.embedding(self.torch.from_numpy(ids), self.weight)
        width = rows.shape[1] - 2
        scale = rows[:, width:].contiguous().view(self.torch.float16).to(self.torch.float32)
        return rows[:, :width].to(self.torch.float32) * scale

    def populate(self) -> None:
        self.weight[:: 4096 // self.weight.shape[1], 0].sum()


class _EngramDb:
    """engramdb.Store.fetch: bytes of the rows, from a copy of them without a header."""

    def __init__(self, path: Path, shards: Path, header: table_file.TableHeader, threads: int):
        engramdb = _engramdb()
        shard = shards / "shard_000.bin"
        if not shard.exists():
            shards.mkdir(exist_ok=True)
            with open(path, "rb") as source, open(shard, "wb") as copy:
                source.seek(header.data_offset)
                shutil.copyfileobj(source, copy, 16 << 20)
        self.store = engramdb.Store(str(shards), 1, header.n_rows, header.row_bytes, threads)

    def __call__(self, ids: np.ndarray) -> bytes:
        return self.store.fetch(ids.tolist())

    def chill(self) -> None:
        """It maps nothing that would hold pages."""

    populate = chill


class _EngramDbPages:
    """engramdb.IoUringPageReader: whole pages of each row, no row cut out of them."""

    def __init__(self, path: Path, header: table_file.TableHeader):
        self.reader = _engramdb().IoUringPageReader()
        self.header = header
        self.file = open(path, "rb")  # noqa: SIM115 (open as long as the contender)

    def __call__(self, ids: np.ndarray):
        offsets = (self.header.data_offset + ids * self.header.row_bytes) // 4096 * 4096
        return self.reader.read_pages([self.file.fileno()] * len(ids), offsets.tolist())

    def chill(self) -> None:
        """It maps nothing."""

    populate = chill


def _engramdb():
    try:
        import engramdb
    except ImportError as error:
        raise Missing("engramdb-python is not installed") from error
    return engramdb


COLD = {
    "engram_local direct": lambda path, shards, header: Own(path, "direct"),
    "engram_local direct (threads)": lambda path, shards, header: Own(path, "direct", io_uring=False),
    "engram_local mmap": lambda path, shards, header: Own(path, "mmap"),
    "numpy memmap": lambda path, shards, header: _Memmap(path, header, "decode", random=True),
    "mmap, one byte a row": lambda path, shards, header: _Memmap(path, header, "touch", random=True),
    "EngramDB Store.fetch (bytes)": lambda path, shards, header: _EngramDb(path, shards, header, 8),
    "EngramDB IoUringPageReader (pages)": lambda path, shards, header: _EngramDbPages(path, header),
}
RESIDENT = {
    "engram_local resident": lambda path, shards, header: Own(path, "resident"),
    "numpy memmap": lambda path, shards, header: _Memmap(path, header, "decode", random=False),
    "torch int8 embedding": lambda path, shards, header: _Torch(path, header),
    "EngramDB Store.fetch (bytes)": lambda path, shards, header: _EngramDb(path, shards, header, 8),
    "EngramDB IoUringPageReader (pages)": lambda path, shards, header: _EngramDbPages(path, header),
}


@contextmanager
def contenders(makers: dict, path: Path, shards: Path, header: Any, missing: dict) -> Iterator[tuple[dict, list[Path]]]:
    """(gathers, files that they read): those that can take part; they agree with each other on some rows."""
    gathers = {}
    for name, make in makers.items():
        try:
            gathers[name] = make(path, shards, header)
        except Missing as error:
            missing[name] = str(error)
    ids = np.array([0, header.n_rows - 1, 12345])
    values = [
        np.asarray(g(ids))
        for g in gathers.values()
        if isinstance(g, Own | _Torch) or getattr(g, "what", "") == "decode"
    ]
    if not all(np.allclose(v, values[0]) for v in values):
        raise AssertionError("the contenders disagree about a row")
    shard = shards / "shard_000.bin"
    try:
        yield gathers, [path, *([shard] if shard.exists() else [])]
    finally:
        _native.use_io_uring(True)
        for gather in gathers.values():
            if isinstance(gather, Own):
                gather.table.close()
