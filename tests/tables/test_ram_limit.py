"""A RAM limit is a promise: the rows' memory, page cache included, as the kernel counts it."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import engram_local
from engram_local import machine
from engram_local.errors import EngramError
from engram_local.tables.file import TableWriter
from engram_local.tables.page_cache import drop_pages, resident_share
from engram_local.tables.table import Table

SANITIZED = "asan" in os.environ.get("LD_PRELOAD", "")
pytestmark = [
    pytest.mark.skipif(not hasattr(os, "O_DIRECT"), reason="needs direct reads"),
    pytest.mark.skipif(SANITIZED, reason="AddressSanitizer needs memory of its own"),
]
N_ROWS, DIM, LIMIT = 200_000, 254, 32 << 20
HEAD = """
import os, sys, resource
import numpy as np
from engram_local.tables.model_tables import ModelTables
from engram_local.tables.table import Table, read_layout
paths, limit, rng = sys.argv[2:4], int(sys.argv[4]), np.random.default_rng(1)
def ids(n_tokens):
    return {i: rng.integers(0, 200_000, (n_tokens, 24)) for i in (0, 1)}
def open_tables(access, ram_limit):
    layouts = {i: read_layout(path) for i, path in enumerate(paths)}
    return ModelTables(layouts, {i: 24 for i in layouts}, access, ram_limit)
def prefill_and_decode(tables):  # as a session does: a chunk is used while the next is read
    n_tokens = min(128, tables.max_tokens)
    chunk = tables.start(ids(n_tokens))
    for _ in range(16):
        ahead = tables.start(ids(n_tokens))
        for i in tables:
            chunk.wait(i)
        chunk = ahead
    del ahead
    for _ in range(100):
        chunk = tables.start(ids(1))
        for i in tables:
            chunk.wait(i)
    return [table.stats() for table in tables.values()]
"""


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Two tables of 51 MB."""
    folder, made = tmp_path_factory.mktemp("ram"), []
    for i in range(2):
        data = np.random.default_rng(i).integers(0, 256, (N_ROWS, DIM + 2), np.uint8)
        data[:, -2:] = [0x66, 0x2C]
        made.append(str(folder / f"{i}.safetensors"))
        with TableWriter(made[-1], "int8", N_ROWS, DIM) as writer:
            writer.append_rows(data)
    return made


def run(program: str, group: str, paths: list[str], limit: int = LIMIT) -> str:
    for path in paths:
        drop_pages(path)
    arguments = [sys.executable, "-c", HEAD + program, group, *paths, str(limit)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@contextmanager
def control_group():
    """(folder of a new control group, its file of the most bytes used); skips where none can be made."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines() if sys.platform == "linux" else []:
        before, after = line.split(" - ")
        mount, kind, options = Path(before.split()[4]), *after.split()[::2]
        if kind == "cgroup2" and "memory" in (mount / "cgroup.controllers").read_text().split():
            peak = "memory.peak"
        elif kind == "cgroup" and "memory" in options.split(","):
            peak = "memory.max_usage_in_bytes"
        else:
            continue
        group = mount / f"engram_local_test_{os.getpid()}"
        try:
            group.mkdir()
        except OSError as error:
            pytest.skip(f"no control group can be made in {mount}: {error.strerror}")
        try:
            if not (group / peak).exists():
                pytest.skip(f"{group} has no {peak}")
            yield group, peak
        finally:
            group.rmdir()
        return
    pytest.skip("no memory control groups are mounted")


MEASURED = """
group, peak = sys.argv[1].rsplit('/', 1)
open(f'{group}/cgroup.procs', 'w').write(str(os.getpid()))
def most():
    return int(open(f'{group}/{peak}').read())
with Table(paths[0], access='direct', ram_limit=0) as table:  # imports, threads and locks are there
    table.gather(np.arange(10))
anonymous = bytearray(4 << 20)  # what the kernel charges ahead, and what this program's own arrays take
del anonymous
before = most()
tables = open_tables(ACCESS, RAM_LIMIT)
stats = prefill_and_decode(tables)
print(most() - before, stats[0]['access'])
"""


@pytest.mark.parametrize("access", ["auto", "mmap", "resident"])
def test_a_control_group_counts_less_than_the_limit(paths, access):
    with control_group() as (group, peak):
        program = MEASURED.replace("ACCESS", repr(access)).replace("RAM_LIMIT", "limit")
        used, took_effect = run(program, f"{group}/{peak}", paths).split()
        assert took_effect == "direct"
        assert LIMIT / 4 < int(used) <= LIMIT


def test_the_control_group_counts_what_has_no_limit(paths):
    """The measurement above can fail: without a limit mapped pages stay."""
    with control_group() as (group, peak):
        program = MEASURED.replace("ACCESS", "'mmap'").replace("RAM_LIMIT", "None")
        assert int(run(program, f"{group}/{peak}", paths).split()[0]) > LIMIT


def test_direct_reads_under_an_rlimit(paths):
    """Needs no rights: anonymous memory under RLIMIT_DATA, page cache by mincore. The limit counts address space, so
    there is a quarter on top for the part of it that the allocator does not use."""
    program = """
def anonymous():
    return [int(x.split()[1]) << 10 for x in open('/proc/self/status') if x.startswith('VmData')][0]
table = Table(paths[0], access='direct', ram_limit=0)
table.gather(np.arange(10))
bound = anonymous() + limit * 5 // 4
resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))
try:
    np.ones(limit * 5 // 4 // 8 + 1000000)
    raise SystemExit('the limit does not bind')
except MemoryError:
    pass
tables = open_tables('auto', limit)
for stats in prefill_and_decode(tables):
    assert stats['access'] == 'direct' and stats['cache']['rows'] == stats['cache']['capacity'] > 20000, stats
"""
    run(program, "", paths)
    assert max(map(resident_share, paths)) < 0.001


def test_what_asks_for_a_map_is_read_directly_where_it_exceeds_the_limit(paths):
    """Mapped pages would stay: only what fits into the limit is mapped under one."""
    path = paths[0]
    drop_pages(path)
    with Table(path, access="mmap", ram_limit=LIMIT) as table:
        assert table.access == "direct"
        assert table.why.startswith("mmap was asked for, but 48.8 MiB exceed the RAM limit of 32.0 MiB; read ")
        rng = np.random.default_rng(2)
        for _ in range(40):
            table.gather(rng.integers(0, N_ROWS, 300))
        assert table.warm() == 0
    assert resident_share(path) < 0.001
    with Table(path, access="mmap", ram_limit=2 * LIMIT) as table:
        assert (table.access, table.why) == ("mmap", "asked for")


def test_a_limit_that_reading_alone_exceeds_is_refused(tiny_path):
    with pytest.raises(
        EngramError, match=r"a RAM limit of 500 B is too little: reading rows from disk takes 16\.0 MiB"
    ):
        engram_local.load(tiny_path, ram_limit=500)
    with engram_local.load(tiny_path, ram_limit=5000) as model:  # the table fits
        assert model.tables[0].access == "resident"


def test_free_memory_is_what_a_container_has(monkeypatch, tmp_path):
    """The tightest group counts, from the process's own up; pages that can be dropped are free."""
    group = tmp_path / "a" / "b"
    group.mkdir(parents=True)
    for folder, limit, used in ((tmp_path / "a", "3000000", "2500000"), (group, "max", "100")):
        (folder / "memory.max").write_text(limit)
        (folder / "memory.current").write_text(used)
        (folder / "memory.stat").write_text("anon 5\ninactive_file 400000\n")
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "_own_groups", lambda: [("", "/a/b")])
    assert machine.available_bytes() == 900_000
    monkeypatch.setattr(machine, "_own_groups", lambda: [("cpu,memory", "/none")])
    assert machine.available_bytes() == machine._system_bytes() > 1 << 20
