"""What this machine grants this process: memory, cores, and a folder to remember things in."""

import os
import re
import sys
from collections.abc import Iterator
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
    """What is left below the tightest limit of this process's control groups, None without one."""
    names = {2: ("memory.max", "memory.current"), 1: ("memory.limit_in_bytes", "memory.usage_in_bytes")}
    left = [_left_of(group, *names[version]) for group, version in _groups("memory")]
    return min((x for x in left if x is not None), default=None)


def _groups(controller: str) -> Iterator[tuple[Path, int]]:
    """(folder, version 2 or 1) of every control group of this process that may hold limits, its own ones first."""
    for controllers, path in _own_groups():
        if controllers and controller not in controllers.split(","):
            continue
        root = _CGROUPS / controller if controllers else _CGROUPS
        group = root / path.lstrip(
            "/"
        )  # in a container, which sees less of the tree, perhaps none of these but the root
        while group == root or root in group.parents:
            yield group, 1 if controllers else 2
            group = group.parent


def _own_groups() -> list[tuple[str, str]]:
    """[(controllers, path)]; controllers is "" in version 2."""
    try:
        lines = Path("/proc/self/cgroup").read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    return [(controllers, path) for _, controllers, path in (line.split(":", 2) for line in lines)]


def _left_of(group: Path, limit: str, used: str) -> int | None:
    try:
        most, now = int((group / limit).read_text()), int((group / used).read_text())
        cached = re.search(r"^(?:total_)?inactive_file (\d+)", (group / "memory.stat").read_text(), re.MULTILINE)
    except (OSError, ValueError):  # no such file, or "max"
        return None
    return max(0, most - now + int(cached[1] if cached else 0))


def physical_cores() -> int:
    """Cores this process may run on, two hyperthreads counted as one where the system tells them apart; no more than a
    container's CPU quota allows, rounded down, and at least 1."""
    return min(_allowed_cores(), _quota_cpus())


def usable_cpus() -> int:
    """The same, with each hyperthread counted: more threads than these only wait for each other."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, _quota_cpus())


def _allowed_cores() -> int:
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


def _quota_cpus() -> int:
    """CPUs that the tightest quota of this process's control groups gives it; a large number without one."""
    quotas = [_quota_of(group, version) for group, version in _groups("cpu")]
    return max(1, int(min((x for x in quotas if x is not None), default=2**20)))


def _quota_of(group: Path, version: int) -> float | None:
    """CPU time that a group may use in a period of wall time."""
    try:
        if version == 2:
            quota, period = map(int, (group / "cpu.max").read_text().split())
        else:
            quota, period = (int((group / f"cpu.cfs_{x}_us").read_text()) for x in ("quota", "period"))
    except (OSError, ValueError):  # no such file, or "max"
        return None
    return quota / period if quota > 0 and period > 0 else None


def user_folder(xdg: str, windows: str, otherwise: str) -> Path:
    """This package's folder below the one that the platform has for a kind of a user's files: what the variable `xdg`
    names (`windows` there), else `otherwise` below the home folder; perhaps not there yet."""
    if sys.platform == "win32":
        base = Path(os.environ.get(windows) or Path.home())
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get(xdg) or Path.home() / otherwise)
    return base / "engram_local"


def state_folder() -> Path:
    """Where this package keeps what it remembers of a user's machine; perhaps not there yet."""
    base = os.environ.get("XDG_STATE_HOME") or (os.environ.get("LOCALAPPDATA") if os.name == "nt" else None)
    return (Path(base) if base else Path.home() / ".local" / "state") / "engram_local"
