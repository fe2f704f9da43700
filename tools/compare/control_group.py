"""A Linux control group that limits the memory of a measured process, page cache included."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class ControlGroup:
    """One group, of either version."""

    def __init__(self, path: Path, is_v2: bool):
        self.path = path
        self._limit, self._usage = (
            ("memory.max", "memory.current") if is_v2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        )

    def add(self, pid: int) -> None:
        """Put a process into it; what it took before stays charged elsewhere."""
        (self.path / "cgroup.procs").write_text(str(pid))

    def limit(self, n_bytes: int) -> None:
        """Memory that its processes may take from now on."""
        (self.path / self._limit).write_text(str(n_bytes))

    @property
    def n_bytes(self) -> int:
        """Memory that they take now."""
        return int((self.path / self._usage).read_text())


@contextmanager
def control_group(name: str) -> Iterator[ControlGroup | None]:
    """A group below the root's, gone at the end; None where none can be made (not on Linux, no rights)."""
    group = _make(name) if sys.platform == "linux" else None
    try:
        yield group
    finally:
        if group is not None:
            group.path.rmdir()


def _make(name: str) -> ControlGroup | None:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, after = line.split(" - ")
        mount, kind, options = Path(before.split()[4]), *after.split()[::2]
        is_v2 = kind == "cgroup2" and "memory" in (mount / "cgroup.controllers").read_text().split()
        if is_v2 or (kind == "cgroup" and "memory" in options.split(",")):
            path = mount / f"{name}_{os.getpid()}"
            try:
                path.mkdir()
            except OSError:
                return None
            return ControlGroup(path, is_v2)
    return None
