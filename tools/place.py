"""Gives a file a second place without copying it, where the file systems can; a backbone may have 200 GB."""

import json
import os
from pathlib import Path

from engram_local.model_folder import read_json
from engram_local.progress import Progress

FICLONE = 0x40049409  # Linux: share the blocks, copy on write


def place(source: Path, target: Path, progress: Progress | None = None) -> str:
    """Give `source`'s bytes the name `target` without copying them where the file systems can; says what it did."""
    source = source.resolve()
    if _clone(source, target):
        return "cloned"
    try:
        os.link(source, target)
        return "hard-linked"
    except OSError:
        pass
    size = source.stat().st_size
    with open(source, "rb") as reader, open(target, "wb") as writer:
        while block := reader.read(16 << 20):
            writer.write(block)
            if progress:
                progress(target.name, writer.tell(), size)
    return "copied"


def _clone(source: Path, target: Path) -> bool:
    try:
        import fcntl

        with open(source, "rb") as reader, open(target, "xb") as writer:
            fcntl.ioctl(writer.fileno(), FICLONE, reader.fileno())
        return True
    except (ImportError, OSError):
        target.unlink(missing_ok=True)
        return False


def copied_bytes(source: Path, out: Path) -> int:
    """Bytes that `place` has to copy: none within one file system."""
    parent = next(p for p in out.absolute().parents if p.exists())
    stat = source.stat()
    return 0 if stat.st_dev == parent.stat().st_dev else stat.st_size


def copy_link(source: Path, target: Path) -> None:
    """A link file names others relative to itself: absolute in the new place."""
    block = read_json(source)

    def absolute(name: str) -> str:
        return str((source.parent / name).resolve())

    block["files"] = {absolute(name): entry for name, entry in block["files"].items()}
    for entry in [*block["rows"], *block.get("scales", [])]:
        entry["file"] = absolute(entry["file"])
    target.write_text(json.dumps(block, indent=1) + "\n", encoding="utf-8")
