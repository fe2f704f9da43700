"""A session whose table goes wrong under it: right logits or a clear error, and it goes on where it was."""

import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from tiny_model import VOCAB, make_tiny_model

import engram_local
from engram_local.errors import TableError
from engram_local.tables.page_cache import drop_pages

ACCESS = ["resident", "mmap", "direct"]
TOKENS = np.random.default_rng(3).integers(0, VOCAB, 60)
EXACT = {"rtol": 0, "atol": 2e-6}


@pytest.fixture(params=ACCESS)
def model(request, tiny_copy):
    with engram_local.load(tiny_copy, threads=1, table_access=request.param) as model:
        yield model


def table_of(model):
    return model.folder.path / "tables" / "layer_0.safetensors"


def test_cut_in_decode_and_whole_again(model, tiny):
    expected = tiny.session().forward(TOKENS, "all")
    session, table = model.session(), table_of(model)
    session.forward(TOKENS[:20])
    whole = table.read_bytes()
    os.truncate(table, len(whole) - 500)
    for tokens in (TOKENS[20:21], TOKENS[20:30]):
        with pytest.raises(TableError, match=r"layer_0\.safetensors: .*cut short"):
            session.forward(tokens)
        assert session.length == 20
    with open(table, "r+b") as file:  # the same file: a copy that was under way has come to its end
        file.write(whole)
    np.testing.assert_allclose(session.forward(TOKENS[20:], "all"), expected[20:], **EXACT)


def test_cut_in_the_middle_of_a_prefill(model, tiny, monkeypatch):
    """What was evaluated before the fault stays; the reads that were begun behind it are given up."""
    expected = tiny.session().forward(TOKENS, "all")
    session, table = model.session(), table_of(model)
    monkeypatch.setattr(model.backend, "max_chunk", 10)
    monkeypatch.setattr("engram_local.session.FIRST_COLD_CHUNK", 10)
    whole, forward = table.read_bytes(), model.backend.forward

    def cut_before_the_third(batch):
        if session.length == 20:
            batch[0].rows.wait(0)  # those of this chunk are there
        result = forward(batch)
        if session.length == 30:
            os.truncate(table, 4200)
        return result

    monkeypatch.setattr(model.backend, "forward", cut_before_the_third)
    with pytest.raises(TableError, match=r"layer_0\.safetensors"):
        session.forward(TOKENS)
    assert 30 <= session.length <= 40  # direct reads of the fourth chunk may have come in before the cut
    with open(table, "r+b") as file:
        file.write(whole)
    begin = session.length
    np.testing.assert_allclose(session.forward(TOKENS[begin:], "all"), expected[begin:], **EXACT)


def test_replaced_by_another_table(model, tiny, tmp_path):
    """The open file stays what it was; whoever loads the folder next hears that the manifest does not fit."""
    expected = tiny.session().forward(TOKENS, "all")
    session, table = model.session(), table_of(model)
    session.forward(TOKENS[:20])
    other = make_tiny_model(tmp_path / "other", seed=1)
    os.replace(other / "tables" / "layer_0.safetensors", table)
    drop_pages(table)
    np.testing.assert_allclose(session.forward(TOKENS[20:], "all"), expected[20:], **EXACT)


def test_eight_sessions_on_one_table(model, tiny):
    expected, wrong = tiny.session().forward(TOKENS, "all"), []

    def work(n):
        session = model.session()
        logits = np.concatenate([session.forward(TOKENS[:n], "all")] + [session.forward([t]) for t in TOKENS[n:]])
        if not np.allclose(logits, expected, **EXACT):
            wrong.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(10, 26, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>
static ssize_t act(const char *name, int fd, void *buffer, size_t n, off_t offset) {
    static _Atomic int calls;
    if (++calls > atoi(getenv("FAIL_AFTER"))) { errno = EIO; return -1; }
    ssize_t (*real)(int, void *, size_t, off_t) = dlsym(RTLD_NEXT, name);
    return real(fd, buffer, n, offset);
}
ssize_t pread(int fd, void *buffer, size_t n, off_t offset) { return act("pread", fd, buffer, n, offset); }
ssize_t pread64(int fd, void *buffer, size_t n, off_t offset) { return act("pread64", fd, buffer, n, offset); }
"""


@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="AddressSanitizer comes first in LD_PRELOAD")
def test_a_disk_that_fails_ends_the_command_in_one_line(tiny_path, tmp_path):
    """LD_PRELOAD gives EIO to every read of rows behind the first few."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler and LD_PRELOAD")
    (tmp_path / "shim.c").write_text(SHIM)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", tmp_path / "shim.so", tmp_path / "shim.c", "-ldl"], check=True)
    program = f"""
import sys
import threading
from engram_local import _native, cli
_native.use_io_uring(False)
sys.argv = ['engram-local', 'generate', {str(tiny_path)!r}, '--prompt', 'w1 w2 w3', '--table-access', 'direct', '--raw']
sys.exit(cli.main())
"""
    found = {}
    for reads in (10**6, 5):
        environment = os.environ | {"LD_PRELOAD": str(tmp_path / "shim.so"), "FAIL_AFTER": str(reads)}
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
        found[reads] = done.returncode, done.stderr
    assert found[10**6] == (0, "")
    code, error = found[5]
    assert code == 1 and error.count("\n") == 1, error
    assert "layer_0.safetensors: cannot be read (Input/output error); the disk may be failing" in error
