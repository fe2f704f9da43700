"""What a model's tables may take of the memory: every rule of the RAM limit. Numbers in, numbers out, no files.

Memory of tables that are read directly is their caches of hot rows, and what reading takes besides: buffers of two
rings, and two batches of rows, one in use and one on its way. A RAM limit leaves reading half, within bounds.
"""

from collections.abc import Sequence
from typing import NamedTuple

from engram_local.arguments import integer
from engram_local.errors import UsageError
from engram_local.machine import available_bytes
from engram_local.sizes import format_size, parse_size

ACCESS = ("auto", "resident", "mmap", "direct")
LEAST_READ_BYTES, MOST_READ_BYTES = 16 << 20, 64 << 20
RING_BYTES = 2 << 20
ROW_OVERHEAD = 112  # bookkeeping of one row in a batch
WARM_BYTES = 1 << 20  # buffer that fills the page cache


class Share(NamedTuple):
    """One table's part of a budget."""

    access: str  # "resident", "mmap" or "direct"
    why: str
    cache_bytes: int  # of hot rows, in front of direct reads
    batch_bytes: int  # that one batch of direct reads may take, of all tables together
    warm: bool = False  # whether the rows are to be brought into memory from the start

    def batch_rows(self, row_bytes: int) -> int:
        """Encoded rows of one table that a batch may hold."""
        return max(64, self.batch_bytes // (row_bytes + ROW_OVERHEAD))


class Budget(NamedTuple):
    """The memory of a model's tables."""

    shares: tuple[Share, ...]  # of each table
    batch_bytes: int  # that one batch of direct reads may take
    too_little: str | None = None  # why the limit cannot be kept

    @classmethod
    def of(
        cls,
        data_bytes: Sequence[int],
        access: str = "auto",
        ram_limit: int | None = None,
        available: int | None = None,
    ) -> "Budget":
        """Share the memory by the tables' sizes.

        Parameters: data_bytes: of each table's rows; access: "resident" (mapped, meant to stay in memory), "mmap"
                    (mapped, read on demand), "direct" (read past the page cache) or "auto"; ram_limit: bytes that all
                    may take, page cache included; available: bytes of memory that are free, by default this machine's:
                    without a limit half of them is for tables that stay in memory.
        Raises:     UsageError for an unknown access.
        """
        if access not in ACCESS:
            raise UsageError(f"unknown table access {str(access)[:40]!r}; choose one of {', '.join(ACCESS)}")
        free = available_bytes() if available is None else available
        total = sum(data_bytes)
        taken, why = _choose(access, total, ram_limit, free)
        read_bytes = _read_bytes(ram_limit)
        batch_bytes = read_bytes // 2 - RING_BYTES
        warm = taken == access == "resident"
        shares = tuple(
            Share(taken, why, _cache_bytes(n, total, ram_limit, free), batch_bytes, warm) for n in data_bytes
        )
        too_little = None
        if taken == "direct" and ram_limit is not None and ram_limit < LEAST_READ_BYTES:
            too_little = (
                f"a RAM limit of {format_size(ram_limit)} is too little: reading rows from disk takes "
                f"{format_size(LEAST_READ_BYTES)}; give more with --ram-limit"
            )
        return cls(shares, batch_bytes, too_little)


def limit_bytes(ram_limit: int | str | None) -> int | None:
    """A RAM limit as people give it: bytes, "2GiB", or None. Raises UsageError."""
    if isinstance(ram_limit, str):
        return parse_size(ram_limit)
    return None if ram_limit is None else integer(ram_limit, "ram_limit", 0)


def batch_bytes_of(n_rows: int, row_bytes: int, dim: int) -> int:
    """Memory of rows in a batch: encoded, decoded, and bookkeeping."""
    return n_rows * (row_bytes + 4 * dim + ROW_OVERHEAD)


def _choose(access: str, total: int, ram_limit: int | None, free: int) -> tuple[str, str]:
    """(access, why): in memory only what fits into the memory that the tables may take."""
    if access == "direct" or (access != "auto" and ram_limit is None):
        return access, "asked for"
    limit, source = (free // 2, "half the free memory") if ram_limit is None else (ram_limit, "the RAM limit")
    sizes = format_size(total), f"{source} of {format_size(limit)}"
    warming = WARM_BYTES if access != "mmap" else 0
    if total + min(total, warming) <= limit:
        return ("resident", f"{sizes[0]} fit into {sizes[1]}") if access == "auto" else (access, "asked for")
    but = "" if access == "auto" else f"{access} was asked for, but "
    return "direct", f"{but}{sizes[0]} exceed {sizes[1]}"


def _read_bytes(ram_limit: int | None) -> int:
    """Memory of direct reads, of all tables together."""
    return MOST_READ_BYTES if ram_limit is None else min(MOST_READ_BYTES, max(LEAST_READ_BYTES, ram_limit // 2))


def _cache_bytes(data_bytes: int, total: int, ram_limit: int | None, free: int) -> int:
    """Memory of one table's cache of hot rows: its share of what the limit leaves, or a twentieth of the table and its
    share of an eighth of what is free."""
    share = data_bytes / total
    if ram_limit is None:
        return min(data_bytes // 20, int(free // 8 * share))
    return min(data_bytes, max(0, int((ram_limit - _read_bytes(ram_limit)) * share)))
