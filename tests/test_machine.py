"""What a container grants: CPU quotas of both versions of control groups, nested ones too."""

import os

import pytest

import engram_local
from engram_local import machine
from engram_local.errors import UsageError


@pytest.fixture
def cores(monkeypatch, tmp_path):
    """64 cores of two hyperthreads each, and control groups to be written into tmp_path."""
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "_allowed_cores", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(128)), raising=False)


def write(folder, **files) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


@pytest.mark.parametrize(
    ("quota", "n"), [("200000 100000", 2), ("250000 100000", 2), ("50000 100000", 1), ("max 100000", 64), ("", 64)]
)
def test_version_2(cores, monkeypatch, tmp_path, quota, n):
    monkeypatch.setattr(machine, "_own_groups", lambda: [("", "/a/b")])
    write(tmp_path / "a" / "b", cpu__max=quota)
    assert machine.physical_cores() == n
    assert machine.usable_cpus() == (n if n < 64 else 128)


def test_the_tightest_of_nested_groups_counts(cores, monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_own_groups", lambda: [("", "/a/b/c")])
    write(tmp_path / "a" / "b" / "c", cpu__max="max 100000")
    write(tmp_path / "a" / "b", cpu__max="800000 100000")
    write(tmp_path / "a", cpu__max="150000 50000")
    assert machine.physical_cores() == machine.usable_cpus() == 3
    write(tmp_path / "a" / "b" / "c", cpu__max="100000 100000")
    assert machine.physical_cores() == 1


def test_the_root_is_the_containers_own_group(cores, monkeypatch, tmp_path):
    """Inside a container the named path is not there; what is mounted is the container's group."""
    monkeypatch.setattr(machine, "_own_groups", lambda: [("", "/docker/0123")])
    write(tmp_path, cpu__max="400000 100000")
    assert machine.physical_cores() == 4


@pytest.mark.parametrize(("quota", "n"), [("300000", 3), ("-1", 64), ("99999", 1), ("nonsense", 64)])
def test_version_1(cores, monkeypatch, tmp_path, quota, n):
    monkeypatch.setattr(machine, "_own_groups", lambda: [("memory", "/x"), ("cpu,cpuacct", "/a")])
    write(tmp_path / "cpu" / "a", cpu__cfs_quota_us=quota, cpu__cfs_period_us="100000")
    write(tmp_path / "memory" / "x", cpu__cfs_quota_us="100000", cpu__cfs_period_us="100000")
    assert machine.physical_cores() == n


def test_this_machine():
    assert 1 <= machine.physical_cores() <= machine.usable_cpus() <= (os.cpu_count() or 1)


def test_threads_are_bounded_by_the_cpus_with_a_note(tiny_path, monkeypatch):
    monkeypatch.setattr("engram_local.model.usable_cpus", lambda: 2)
    with engram_local.load(tiny_path, threads=10**30) as model:
        assert model.threads == 2
        assert model.notes == [f"{10**30} threads were asked for, 2 are used: one for each CPU there is"]
    with engram_local.load(tiny_path, threads=2) as model:
        assert model.notes == []
    for threads in (0, -1, 1.5, "2", True):
        with pytest.raises(UsageError, match="threads is"):
            engram_local.load(tiny_path, threads=threads)
