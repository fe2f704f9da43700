"""Byte counts as people write and read them."""

import re

from engram_local.errors import UsageError

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def parse_size(text: str) -> int:
    """Bytes of "512M", "8GiB", "1.5g" or "4096" (units are powers of 1024). Raises UsageError."""
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*([kmgt]?)(?:i?b)?\s*", text, re.IGNORECASE)
    if not match:
        raise UsageError(f"{text[:40]!r} is not a size; write 512M, 8GiB or a number of bytes")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def format_size(n_bytes: float) -> str:
    """Example: 1536 -> "1.5 KiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(n_bytes) < 1024:
            return f"{n_bytes:.0f} B" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.1f} TiB"
