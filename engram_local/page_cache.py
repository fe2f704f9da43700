"""What the system's page cache holds of a file, and how to empty it, for measurements. Linux only."""

import ctypes
import mmap
import os
from pathlib import Path

_WINDOW = 1 << 30


def drop_pages(path: str | Path) -> bool:
    """Have the system forget a file's pages; those that a process has mapped stay. False where it cannot be asked."""
    if not hasattr(os, "posix_fadvise"):
        return False
    with open(path, "rb") as file:
        os.fsync(file.fileno())  # dirty pages would stay
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def resident_share(path: str | Path) -> float | None:
    """Share of a file's pages that are in memory (mincore), None where the system does not tell."""
    try:
        mincore = ctypes.CDLL(None, use_errno=True).mincore
    except (AttributeError, OSError, TypeError):
        return None
    mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)
    size = os.stat(path).st_size
    n_pages = n_resident = 0
    with open(path, "rb") as file:
        for start in range(0, size, _WINDOW):
            n_bytes = min(_WINDOW, size - start)
            # A private writable mapping is never written to; ctypes takes no address of a read-only one.
            with mmap.mmap(
                file.fileno(), n_bytes, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE, offset=start
            ) as window:
                flags = ctypes.create_string_buffer(-(-n_bytes // mmap.PAGESIZE))
                anchor = ctypes.c_char.from_buffer(window)
                failed = mincore(ctypes.addressof(anchor), n_bytes, flags)
                del anchor
            if failed:
                return None
            n_pages += len(flags)
            n_resident += sum(flag & 1 for flag in flags.raw)
    return n_resident / n_pages if n_pages else None
