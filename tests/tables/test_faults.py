"""Direct reads when things go wrong: right rows or a clear error, never a wrong row, a hang or a crash."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from engram_local import _native
from engram_local.errors import TableError
from engram_local.tables import budget, encodings
from engram_local.tables.file import TableWriter
from engram_local.tables.links import write_link
from engram_local.tables.model_tables import Reads
from engram_local.tables.table import Table, read_layout

pytestmark = pytest.mark.skipif(not hasattr(os, "O_DIRECT"), reason="needs direct reads")
N_ROWS, DIM = 20_000, 64
BATCH = budget.MOST_READ_BYTES
SANITIZED = "asan" in os.environ.get("LD_PRELOAD", "")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """(path, its rows decoded)."""
    path = tmp_path_factory.mktemp("faults") / "t.safetensors"
    rows = np.random.default_rng(0).standard_normal((N_ROWS, DIM)).astype(np.float32)
    with TableWriter(path, "int8", N_ROWS, DIM) as writer:
        writer.append(rows)
    with Table(path, access="direct") as table:
        if table.stats()["buffered"]:
            pytest.skip("this file system refuses direct reads")
    return path, encodings.decode("int8", encodings.encode("int8", rows), DIM)


@pytest.fixture(params=["io_uring", "threads"])
def way(request):
    """Each way of reading that this kernel has."""
    _native.use_io_uring(request.param == "io_uring")
    if request.param == "io_uring" and not _native.uses_io_uring():
        pytest.skip("io_uring is refused here")
    yield request.param
    _native.use_io_uring(True)


def run(program: str, stored, **environment) -> str:
    """Run a program in a process of its own; `table`, `rows`, `check()` are at hand."""
    path, rows = stored
    np.save(path.with_suffix(".npy"), rows)
    head = f"""
import os, sys, signal, resource, numpy as np
from engram_local import _native
from engram_local.errors import TableError
from engram_local.tables.table import Table
path = {str(path)!r}
rows = np.load({str(path.with_suffix(".npy"))!r})
def check(table, n=3000, times=3):
    rng = np.random.default_rng(n)
    for _ in range(times):
        ids = rng.integers(0, len(rows), n)
        assert np.array_equal(table.gather(ids), rows[ids])
"""
    done = subprocess.run(
        [sys.executable, "-c", head + program], capture_output=True, text=True, timeout=60, env=os.environ | environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_rows_are_right_in_every_batch_size(stored, way):
    path, rows = stored
    rng = np.random.default_rng(2)
    for limit in (0, budget.LEAST_READ_BYTES + (1 << 19), 1 << 30):  # no cache, a small one, one for the whole table
        with Table(path, access="direct", ram_limit=limit) as table:
            assert table.stats()["io_uring"] == (way == "io_uring")
            for n in [1, 2, 48, 127, 128, 129, 500, 5000, 60_000] * 2:
                ids = rng.integers(0, N_ROWS, n) if n != 500 else np.full(500, 7)
                assert np.array_equal(table.gather(ids), rows[ids])
            assert np.array_equal(table.gather(np.arange(N_ROWS)[::-1]), rows[::-1])


def test_batches_are_deduplicated_merged_and_cached(stored, way):
    path, rows = stored
    with Table(path, access="direct", ram_limit=64 << 20) as table:
        before = _native.reader_stats()
        ids = np.repeat(np.arange(1000, 1400), 3)
        for _ in range(2):
            assert np.array_equal(table.gather(ids), rows[ids])
        after = _native.reader_stats()
        assert after["rows"] - before["rows"] == 2 * 1200 and after["unique"] - before["unique"] == 2 * 400
        # 400 rows of 66 bytes follow each other: two requests of 16 KiB at most, and none the second time.
        assert 1 <= after["requests"] - before["requests"] <= 3
        cache = table.stats()["cache"]
        assert (cache["hits"], cache["misses"], cache["rows"]) == (400, 400, 400)


def test_a_prefill_cannot_flush_the_cache(stored):
    path, _ = stored
    with Table(path, access="direct", ram_limit=budget.LEAST_READ_BYTES + 1000 * (DIM + 2)) as table:
        capacity = table.stats()["cache"]["capacity"]
        hot = np.arange(capacity // 4)
        for _ in range(4):
            table.gather(hot)
        table.gather(np.arange(capacity // 2, N_ROWS))  # a scan of many times the cache
        before = table.stats()["cache"]["hits"]
        table.gather(hot)
        assert table.stats()["cache"]["hits"] - before == len(hot)
        assert table.stats()["cache"]["rows"] <= capacity


def test_rows_larger_than_a_merged_read(tmp_path, way):
    """Only a few of them fit into the ring's buffers at once."""
    for dim, n_rows in ((10_000, 200), (60_000, 30)):
        rows = np.random.default_rng(0).standard_normal((n_rows, dim)).astype(np.float32)
        with TableWriter(tmp_path / "t.safetensors", "float32", n_rows, dim) as writer:
            writer.append(rows)
        with Table(tmp_path / "t.safetensors", access="direct") as table:
            for n in (1, n_rows):
                ids = np.random.default_rng(n).permutation(n_rows)[:n]
                assert np.array_equal(table.gather(ids), rows[ids])
        (tmp_path / "t.safetensors").unlink()


def test_eight_threads(stored, way):
    path, rows = stored
    wrong = []
    with Table(path, access="direct", ram_limit=budget.LEAST_READ_BYTES + (1 << 19)) as table:

        def work(seed):
            rng = np.random.default_rng(seed)
            for _ in range(40):
                ids = rng.integers(0, N_ROWS, rng.choice([1, 48, 400]))
                if not np.array_equal(table.gather(ids), rows[ids]):
                    wrong.append(ids)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_layers_are_waited_for_one_by_one(stored, way):
    path, rows = stored
    opened = {i: Table(path, access=access) for i, access in enumerate(["direct", "mmap", "direct", "resident"])}
    rng = np.random.default_rng(4)
    for n in (1, 2, 100):
        ids = {i: rng.integers(0, N_ROWS, (n, 8)) for i in opened}
        ahead = Reads(opened, {i: x[::-1] for i, x in ids.items()}, BATCH)
        chunk = Reads(opened, ids, BATCH)
        for i in (2, 0, 3, 1, 2):
            assert np.array_equal(chunk.wait(i), rows[ids[i]].reshape(n, -1))
        for i in opened:
            assert np.array_equal(ahead.wait(i), rows[ids[i][::-1]].reshape(n, -1))
    for table in opened.values():
        table.close()


def test_reads_that_nobody_waits_for(stored, way):
    """Dropped handles, closed tables: the buffers and files live until the kernel is done with them."""
    path, rows = stored
    rng = np.random.default_rng(5)
    for n in (4, 1500):
        for _ in range(20):
            table = Table(path, access="direct", ram_limit=0)
            ids = rng.integers(0, N_ROWS, (n, 8))
            handle = Reads({0: table}, {0: ids}, BATCH)
            table.close()
            if rng.random() < 0.5:
                assert np.array_equal(handle.wait(0), rows[ids].reshape(n, -1))
            del handle


def test_a_read_error_is_named_and_later_reads_work(stored, way):
    """/proc/self/mem answers a read of address 0 with EIO."""
    path, rows = stored
    with open("/proc/self/mem", "rb") as file:
        extents = [(0, 1000, 0, 0, None)]
        broken = _native.TableData(
            [("bad.safetensors", file.fileno(), 0, False)], "float32", 1000, 8, [(32, extents)], 1.0, 512
        )
        with Table(path, access="direct", ram_limit=0) as table:
            for n in (8, 800):
                good, out = np.empty((n, DIM), np.float32), np.empty(n * 8, np.float32)
                ids = np.arange(n)
                job = _native.ReadJob([(broken, ids, out), (table.native, ids, good.reshape(-1))])
                with pytest.raises(TableError, match=r"bad\.safetensors: cannot be read \(Input/output error\)"):
                    job.wait(0)
                job.wait(1)
                assert np.array_equal(good, rows[:n])


SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/types.h>
static ssize_t act(ssize_t (*real)(int, void *, size_t, off_t), int fd, void *buffer, size_t n, off_t offset) {
    static _Atomic unsigned calls;
    unsigned call = calls++;
    if (call % 5 == 1) { errno = EINTR; return -1; }
    ssize_t got = real(fd, buffer, n, offset);
    return got > 1 && call % 3 ? got - (ssize_t)(call * 37 % (unsigned)got) : got;
}
ssize_t pread(int fd, void *buffer, size_t n, off_t offset) {
    return act(dlsym(RTLD_NEXT, "pread"), fd, buffer, n, offset);
}
ssize_t pread64(int fd, void *buffer, size_t n, off_t offset) {
    return act(dlsym(RTLD_NEXT, "pread64"), fd, buffer, n, offset);
}
"""


def test_interrupted_and_short_reads(stored, tmp_path):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler")
    (tmp_path / "shim.c").write_text(SHIM)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", tmp_path / "shim.so", tmp_path / "shim.c", "-ldl"], check=True)
    run(
        "_native.use_io_uring(False)\nwith Table(path, access='direct', ram_limit=0) as table:\n"
        "    assert table.access == 'direct'\n    check(table, 500)\n    check(table, 48, 20)",
        stored,
        LD_PRELOAD=f"{os.environ.get('LD_PRELOAD', '')} {tmp_path / 'shim.so'}",
    )


SECCOMP = """
import ctypes, struct
class Program(ctypes.Structure):
    _fields_ = [("n", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
def refuse(number):  # this system call fails with EPERM from here on, in all threads made later
    code = struct.pack("HBBI" * 4, 0x20, 0, 0, 0, 0x15, 0, 1, number, 0x06, 0, 0, 0x00050001, 0x06, 0, 0, 0x7FFF0000)
    buffer = ctypes.create_string_buffer(code)
    program = Program(4, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0
"""


@pytest.mark.parametrize("call", [425, 426], ids=["io_uring_setup", "io_uring_enter"])
def test_io_uring_refused_by_seccomp(stored, call):
    if sys.platform != "linux":
        pytest.skip("needs seccomp")
    run(
        SECCOMP + f"refuse({call})\nwith Table(path, access='direct', ram_limit=0) as table:\n"
        "    assert table.stats()['io_uring'] is False and table.access == 'direct'\n"
        "    check(table)\n    check(table, 48)",
        stored,
    )


def test_out_of_file_descriptors(stored):
    run(
        """
np.random.default_rng()
used = len(os.listdir('/proc/self/fd'))  # listing takes one, which the table may have
resource.setrlimit(resource.RLIMIT_NOFILE, (used, used))
with Table(path, access='direct', ram_limit=0) as table:
    assert table.why == 'asked for; read by threads, io_uring is refused here', table.why
    try:
        Table(path)
    except TableError as error:
        assert 'Too many open files' in str(error) and path in str(error), error
    else:
        raise AssertionError
    assert not _native.uses_io_uring()
    check(table)
""",
        stored,
    )


def test_no_new_threads(stored):
    """With neither ring nor threads the caller reads itself."""
    run(
        SECCOMP
        + """
_native.use_io_uring(False)
refuse(56); refuse(435)  # clone and clone3, as x86-64 numbers them
with Table(path, access='direct', ram_limit=0) as table:
    check(table, 200)
""",
        stored,
    ) if os.uname().machine == "x86_64" else pytest.skip("numbers of x86-64")


def test_signals_in_the_middle_of_batches(stored, way):
    path, rows = stored
    hits = []
    old = signal.signal(signal.SIGALRM, lambda *_: hits.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        with Table(path, access="direct", ram_limit=0) as table:
            until = time.monotonic() + 0.4
            while time.monotonic() < until or len(hits) < 20:
                ids = np.random.default_rng(len(hits)).integers(0, N_ROWS, 300)
                assert np.array_equal(table.gather(ids), rows[ids])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert hits


def test_interrupt_from_the_keyboard(stored):
    out = run(
        """
import threading, time
with Table(path, access='direct', ram_limit=0) as table:
    for _ in range(5):
        threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        try:
            while True:
                check(table, 20000, 1)
        except KeyboardInterrupt:
            print('stopped', end=' ')
        check(table)
""",
        stored,
    )
    assert out.split() == ["stopped"] * 5


@pytest.mark.skipif(SANITIZED, reason="AddressSanitizer's allocator may be locked by another thread at the fork")
def test_fork_after_open(stored):
    """The child reads with rings and threads of its own; reads that were under way stay the parent's."""
    run(
        """
import warnings
warnings.simplefilter('ignore')
from engram_local.tables.model_tables import Reads
for uring in (True, False):
    _native.use_io_uring(uring)
    with Table(path, access='direct', ram_limit=17 << 20) as table, Table(path, access='mmap') as mapped:
        check(table)
        for n in (4, 3000):
            ids = np.arange(n).reshape(-1, 4)
            under_way = Reads({0: table}, {0: ids}, 64 << 20)
            child = os.fork()
            if not child:
                code = 1
                try:
                    try:
                        under_way.wait(0)
                    except TableError as error:
                        assert 'before fork' in str(error)
                        check(table); check(table, 48); check(mapped)
                        del under_way
                        code = 0
                finally:
                    os._exit(code)
            assert os.waitpid(child, 0)[1] == 0
            assert np.array_equal(under_way.wait(0), rows[ids].reshape(len(ids), -1))
            check(table)
""",
        stored,
    )


def test_max_locked_memory_and_files_are_not_leaked(stored, way):
    path, rows = stored
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        with Table(path, access="direct") as table:
            assert np.array_equal(table.gather([3]), rows[[3]])
        with Table(path, access="mmap") as table:
            assert np.array_equal(table.gather([3]), rows[[3]])
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # one ring may be kept
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0


REFUSING = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/types.h>
static ssize_t act(const char *name, int fd, void *buffer, size_t n, off_t offset) {
    static _Atomic int calls;
    if (fcntl(fd, F_GETFL) & O_DIRECT && calls++ >= atoi(getenv("REFUSE_AFTER"))) return errno = EINVAL, -1;
    ssize_t (*real)(int, void *, size_t, off_t) = dlsym(RTLD_NEXT, name);
    return real(fd, buffer, n, offset);
}
ssize_t pread(int fd, void *buffer, size_t n, off_t offset) { return act("pread", fd, buffer, n, offset); }
ssize_t pread64(int fd, void *buffer, size_t n, off_t offset) { return act("pread64", fd, buffer, n, offset); }
#define OPEN(name)                                                                              \\
    int name(const char *path, int flags, ...) {                                                \\
        va_list rest;                                                                           \\
        va_start(rest, flags);                                                                  \\
        int mode = va_arg(rest, int);                                                           \\
        va_end(rest);                                                                           \\
        if (flags & O_DIRECT && atoi(getenv("REFUSE_AFTER")) < 0) return errno = EINVAL, -1;    \\
        int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, #name);                          \\
        return real(path, flags, mode);                                                         \\
    }
OPEN(open)
OPEN(open64)
"""


@pytest.mark.parametrize("after", [-1, 0, 1, 30], ids=["at open", "at the first read", "at the first rows", "late"])
def test_direct_reads_refused_by_the_file_system(stored, tmp_path, after):
    """Whenever that shows: the rows are right, the page cache is left as it was, and the table says what happened."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler")
    (tmp_path / "refuse.c").write_text(REFUSING)
    command = [compiler, "-shared", "-fPIC", "-o", tmp_path / "refuse.so", tmp_path / "refuse.c", "-ldl"]
    subprocess.run(command, check=True)
    run(
        f"""
from engram_local.tables.page_cache import drop_pages, resident_share
_native.use_io_uring(False)
drop_pages(path)
with Table(path, access='direct', ram_limit=0) as table:
    assert table.access == 'direct'
    known = table.stats()['buffered']
    assert known == ([path] if {after} <= 0 else []), known
    check(table, 48, 1)
    check(table, 500)
    assert table.stats()['buffered'] == [path] and table.access == 'direct'
    assert table.why == ('asked for; read by threads, io_uring is refused here; through the page cache, which direct '
                         f'reads cannot pass by there: {{path}}'), table.why
    share = resident_share(path)
    assert share is None or share < 0.05, share
""",
        stored,
        LD_PRELOAD=f"{os.environ.get('LD_PRELOAD', '')} {tmp_path / 'refuse.so'}",
        REFUSE_AFTER=str(after),
    )


def test_direct_reads_refused_inside_a_batch(stored, way):
    """The kernel refuses what is not aligned: so does it here, for a file that is asked for without its block size."""
    path, rows = stored
    layout = read_layout(path)
    (column,) = layout.columns
    extents = [(0, N_ROWS, column.extents[0].offset, 0, None)]
    for n in (3, 100, 4000):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
        data = _native.TableData(
            [(str(path), fd, layout.end_of(0), False)], "int8", N_ROWS, DIM, [(column.width, extents)]
        )
        assert data.buffered_files() == []
        ids, out = np.random.default_rng(n).integers(0, N_ROWS, n), np.empty((n, DIM), np.float32)
        _native.ReadJob([(data, ids, out.reshape(-1))]).wait(0)
        assert np.array_equal(out, rows[ids]) and data.buffered_files() == [str(path)]
        os.close(fd)


def test_files_of_a_table_fall_back_one_by_one(stored, tmp_path):
    """Two shards, one of them in memory: only its reads go through the page cache."""
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("needs /dev/shm")
    rows = np.random.default_rng(1).standard_normal((400, 16)).astype(np.float32)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        shards = [Path(memory) / "0.safetensors", stored[0].parent / "1.safetensors"]
        for shard, part in zip(shards, (rows[:150], rows[150:]), strict=True):
            header = {"t": {"dtype": "F32", "shape": list(part.shape), "data_offsets": [0, part.nbytes]}}
            text = json.dumps(header).encode()
            shard.write_bytes(len(text).to_bytes(8, "little") + text + part.tobytes())
        write_link(tmp_path / "t.link.json", [(str(x), "t") for x in shards])
        with Table(tmp_path / "t.link.json", access="direct") as table:
            assert (table.access, table.stats()["buffered"]) == ("direct", [str(shards[0])])
            assert table.why.endswith(f"through the page cache, which direct reads cannot pass by there: {shards[0]}")
            for n in (1, 7, 400):
                ids = np.random.default_rng(n).integers(0, 400, n)
                assert np.array_equal(table.gather(ids), rows[ids])


@pytest.mark.parametrize("n", [48, 127, 3000])
def test_io_uring_refused_late(stored, n):
    """A filter that comes after the rings are open: what the kernel has not been given is read without them."""
    if sys.platform != "linux":
        pytest.skip("needs seccomp")
    run(
        SECCOMP
        + f"""
with Table(path, access='direct', ram_limit=0) as table:
    if not table.stats()['io_uring']:
        sys.exit()
    check(table, 48)
    refuse(426)
    check(table, {n})
    assert table.access == 'direct' and not table.stats()['buffered']
    if {n} <= 128:  # larger batches are handed over by a thread that no filter came over
        assert table.stats()['io_uring'] is False and 'io_uring is refused here' in table.why
    check(table, 48)
    check(table, 3000)
""",
        stored,
    )


def test_no_locked_memory(stored):
    """`ulimit -l 0`: older kernels charge rings to it."""
    run(
        """
resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
with Table(path, access='direct', ram_limit=0) as table:
    check(table)
    check(table, 48)
    assert (' read through io_uring' in table.why) == table.stats()['io_uring'] == _native.uses_io_uring()
""",
        stored,
    )
