"""What this machine grants this process: memory and cores."""

import os
import re
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def available_bytes() -> int:
    """Memory that can be had without swapping, a container's limit included; 0 where the system does not tell."""
    limits = [x for x in (_system_bytes(), _cgroup_bytes()) if x is not None]
    return min(limits, default=0)


def _system_bytes() -> int | None:
    try:
        with open("/proc/meminfo") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return None


def _cgroup_bytes() -> int | None:
    """What is left below the tightest limit of this process's control groups (version 2 or 1), None without one."""
    left = []
    for controllers, path in _own_groups():
        if not controllers:
            root, limit, used = _CGROUPS, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            root, limit, used = _CGROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        group = root / path.lstrip("/")
        while group == root or root in group.parents:
            left.append(_left_of(group, limit, used))
            group = group.parent
    return min((x for x in left if x is not None), default=None)


def _own_groups() -> list[tuple[str, str]]:
    """[(controllers, path)]; controllers is "" in version 2."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    return [tuple(line.split(":", 2)[1:]) for line in lines]


def _left_of(group: Path, limit: str, used: str) -> int | None:
    try:
        most, now = int((group / limit).read_text()), int((group / used).read_text())
        cached = re.search(r"^(?:total_)?inactive_file (\d+)", (group / "memory.stat").read_text(), re.MULTILINE)
    except (OSError, ValueError):  # no such file, or "max"
        return None
    return max(0, most - now + int(cached[1] if cached else 0))


def physical_cores() -> int:
    """Cores this process may run on, two hyperthreads counted as one where the system tells them apart."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    allowed = os.sched_getaffinity(0)
    cores = set()
    for cpu in allowed:
        try:
            cores.add(Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text())
        except OSError:
            return len(allowed)
    return len(cores)
