"""What is said to be in memory is there, and what was dropped is not."""

import json
import os

import numpy as np
import pytest

from engram_local.cli import make_app
from engram_local.tables import page_cache
from engram_local.tables.file import TableWriter
from engram_local.tables.page_cache import drop_pages, resident_share, table_share, timed_share
from engram_local.tables.table import read_layout

pytestmark = pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="needs posix_fadvise")
N_ROWS, DIM = 40_000, 254


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "t.safetensors"
    with TableWriter(path, "int8", N_ROWS, DIM) as writer:
        writer.append(np.ones((N_ROWS, DIM), np.float32))
    drop_pages(path)
    if resident_share(path) != 0:
        pytest.skip("this file system keeps pages that were dropped")
    return path


def read(path, begin: int, n_bytes: int) -> None:
    with open(path, "rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)  # no read-ahead
        file.seek(begin)
        file.read(n_bytes)


def test_shares(path):
    layout = read_layout(path)
    half = layout.data_bytes // 2
    drop_pages(path)  # the header's
    assert table_share(layout) == (0, "mincore")
    read(path, 4096, half)
    assert table_share(layout)[0] == pytest.approx(0.5, abs=0.01)
    assert resident_share(path, 4096, half - 4096) == 1
    assert resident_share(path, half + 16384, half - 16384) == 0
    read(path, 0, os.stat(path).st_size)
    assert table_share(layout) == (1, "mincore")


def test_reads_are_timed_where_mincore_is_missing(path, monkeypatch):
    monkeypatch.setattr(page_cache, "resident_share", lambda *_: None)
    layout = read_layout(path)
    read(path, 0, os.stat(path).st_size)
    share, by = table_share(layout)
    assert by == "timed reads" and 0 <= share <= 1


def test_timed_reads_tell_memory_from_disk(path, monkeypatch):
    """The clock decides: every second read takes a millisecond of it."""
    times = iter(np.repeat(np.arange(10_000), 2) * 1.0 + np.tile([0, 1e-6, 0, 1e-3], 5000))
    monkeypatch.setattr(page_cache.time, "perf_counter", lambda: next(times))
    assert timed_share([(str(path), 4096, 1000)]) == 0.5


def test_inspect_live(tiny_copy, capsys):
    table = tiny_copy / "tables" / "layer_0.safetensors"
    table.read_bytes()
    for arguments in (["--json"], []):
        with pytest.raises(SystemExit) as left:
            make_app()(["inspect", str(tiny_copy), "--live", *arguments])
        assert left.value.code in (0, None)
        out = capsys.readouterr().out
        if arguments:
            assert json.loads(out)["page_cache"] == {"tables/layer_0.safetensors": {"share": 1.0, "by": "mincore"}}
        else:
            assert "in the page cache" in out and "100.0% (mincore)" in out
