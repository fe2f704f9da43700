"""Large pages for what a runtime allocates. Every token reads all weights, and in pages of 4 KiB that is as many misses
of the processor's address cache; Linux gives programs that do not ask small ones, and the runtimes do not ask."""

import ctypes
import mmap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

WORTH_MOVING = 64 << 20  # bytes; moving fewer costs a small model more than it gains
MOST_UNPACKED = 8  # times the bytes of a file that a runtime may allocate: float32 of 4 bits
STRETCH = 32 << 20  # bytes moved at once; each time the kernel waits for all CPUs
SLOWEST, PATIENCE_S = 1 << 29, 0.25  # bytes a second below which it ends: the system has to make room first
PAGE_SIZE = Path("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")
MAPS = Path("/proc/self/maps")
MADV_COLLAPSE = 25

Range = tuple[int, int]  # first address, the one behind the last


@contextmanager
def large_pages(n_bytes: int) -> Iterator[None]:
    """Move what was allocated meanwhile into large pages, as far as it lies in memory. Content and addresses stay;
    nothing happens where the system has none (other than Linux, before 6.1) or spares none, or where weights of
    `n_bytes` cannot be worth moving."""
    if MOST_UNPACKED * n_bytes < WORTH_MOVING:
        yield
        return
    before = _allocated()
    yield
    collapse([x for span in _allocated() for x in _outside(span, before)])


def collapse(spans: list[Range]) -> int:
    """Move the parts of `spans` that are in memory into large pages; returns the bytes that were moved."""
    try:
        size = int(PAGE_SIZE.read_text())
        libc = ctypes.CDLL(None)
        mincore, madvise = libc.mincore, libc.madvise
    except (OSError, ValueError, AttributeError, TypeError):
        return 0
    mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    present = np.zeros(size // mmap.PAGESIZE, np.uint8)
    starts = [x for begin, end in spans for x in range(-(-begin // size) * size, end - size + 1, size)]
    if len(starts) * size < WORTH_MOVING:
        return 0
    # A page that was never written to would be made, and cost memory.
    held = [x for x in starts if mincore(x, size, present.ctypes.data) == 0 and (present & 1).all()]
    n, started = 0, time.perf_counter()
    for begin, end in _joined(held, size):
        n += (end - begin) * (madvise(begin, end - begin, MADV_COLLAPSE) == 0)
        if time.perf_counter() - started > PATIENCE_S + n / SLOWEST:
            break
    return n


def _joined(starts: list[int], size: int) -> list[Range]:
    """Spans of `size` bytes at these addresses, in order, joined up to STRETCH bytes."""
    joined: list[Range] = []
    for start in starts:
        if joined and joined[-1][1] == start and start + size - joined[-1][0] <= STRETCH:
            joined[-1] = joined[-1][0], start + size
        else:
            joined.append((start, start + size))
    return joined


def _allocated() -> list[Range]:
    """Writable memory of this process behind which there is no file."""
    try:
        lines = [x.split() for x in MAPS.read_text("utf-8", "replace").split("\n") if x]  # names are anything
    except OSError:
        return []
    named = [x for x in lines if x[1] == "rw-p" and (len(x) == 5 or x[5] == "[heap]" or x[5].startswith("[anon:"))]
    return [(int(a, 16), int(b, 16)) for a, b in (x[0].split("-") for x in named)]


def _outside(span: Range, others: list[Range]) -> list[Range]:
    """The parts of `span` that none of `others` has."""
    parts = [span]
    for a, b in others:
        parts = [x for begin, end in parts for x in ((begin, min(end, a)), (max(begin, b), end)) if x[0] < x[1]]
    return parts
