"""What the system's page cache holds of a file, and how to empty it, for measurements and for `inspect --live`."""

import ctypes
import mmap
import os
import random
import time
from pathlib import Path

import numpy as np

from engram_local.tables.layout import TableLayout

STAYS = "the file system keeps the pages in memory, or another process has them mapped"
_WINDOW = 1 << 30
_SAMPLES = 100
_FAST_S = 15e-6  # a page from memory takes about 1 to 5 us, one from an NVMe disk 50 and more


def drop_pages(path: str | Path) -> bool:
    """Have the system forget a file's pages; those that a process has mapped stay. False where it cannot be asked."""
    if not hasattr(os, "posix_fadvise"):
        return False
    with open(path, "rb") as file:
        os.fsync(file.fileno())  # dirty pages would stay
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def can_be_cold(path: str | Path) -> bool:
    """Whether a file's pages leave memory when that is asked for, which is done: not on tmpfs, nor while a process has
    them mapped."""
    if not drop_pages(path):
        return False
    share = resident_share(path)
    return share is None or share < 0.1


def table_share(layout: TableLayout) -> tuple[float, str]:
    """(share of a table's bytes in memory, how that was found: "mincore" or "timed reads")."""
    extents = [(layout.files[x.file], x.offset, x.n_rows * c.width) for c in layout.columns for x in c.extents]
    shares = [resident_share(*extent) for extent in extents]
    known = [share * n for share, (_, _, n) in zip(shares, extents, strict=True) if share is not None]
    if len(known) == len(shares):
        return sum(known) / layout.data_bytes, "mincore"
    return timed_share(extents), "timed reads"


def resident_share(path: str | Path, offset: int = 0, n_bytes: int | None = None) -> float | None:
    """Share of a file's pages, or of those of some of its bytes, that are in memory. None where mincore is missing, or
    may not tell: the kernel calls every page of another user's file resident."""
    size = os.stat(path).st_size
    end = size if n_bytes is None else min(offset + n_bytes, size)
    if not os.access(path, os.W_OK):
        return None
    try:
        mincore = ctypes.CDLL(None, use_errno=True).mincore
    except (AttributeError, OSError, TypeError):
        return None
    mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)
    n_pages = n_resident = 0
    with open(path, "rb") as file:
        for start in range(offset // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY, end, _WINDOW):
            length = min(_WINDOW, end - start)
            # A private writable mapping is never written to; ctypes takes no address of a read-only one.
            with mmap.mmap(
                file.fileno(), length, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE, offset=start
            ) as window:
                flags = ctypes.create_string_buffer(-(-length // mmap.PAGESIZE))
                anchor = ctypes.c_char.from_buffer(window)
                failed = mincore(ctypes.addressof(anchor), length, flags)
                del anchor
            if failed:
                return None
            n_pages += len(flags)
            n_resident += int((np.frombuffer(flags.raw, np.uint8) & 1).sum())
    return n_resident / n_pages if n_pages else None


def timed_share(extents: list[tuple[str, int, int]]) -> float:
    """An estimate from how long reads of random places of these (file, offset, bytes) take; brings in what it reads."""
    rng, fast = random.Random(), 0
    for path, offset, n_bytes in rng.choices(extents, [n for _, _, n in extents], k=_SAMPLES):
        with open(path, "rb", buffering=0) as file:
            file.seek(offset + rng.randrange(n_bytes))
            begin = time.perf_counter()
            file.read(1)
            fast += time.perf_counter() - begin < _FAST_S
    return fast / _SAMPLES
