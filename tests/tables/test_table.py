"""Tables at run time: right rows in every shape, clear errors for wrong ids and for files that change under the map."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from engram_local.errors import RowRangeError, TableError, UsageError
from engram_local.tables import budget, encodings
from engram_local.tables.budget import Budget
from engram_local.tables.file import ENCODINGS, TableWriter
from engram_local.tables.model_tables import ModelTables
from engram_local.tables.table import Table, read_layout

N_ROWS, DIM = 3000, 96


def write(path, encoding="int8", n=N_ROWS, dim=DIM) -> np.ndarray:
    """A table of random rows; returns what gathering all of them must give."""
    rows = np.random.default_rng(n).standard_normal((n, dim)).astype(np.float32)
    with TableWriter(path, encoding, n, dim) as writer:
        writer.append(rows)
    return encodings.decode(encoding, encodings.encode(encoding, rows), dim)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "t.safetensors"


@pytest.mark.parametrize("access", budget.ACCESS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_gather(path, encoding, access):
    rows = write(path, encoding)
    rng = np.random.default_rng(1)
    with Table(path, access=access) as table:
        assert (table.n_rows, table.dim, table.encoding) == (N_ROWS, DIM, encoding)
        assert table.row_bytes == encodings.row_bytes(encoding, DIM)
        for shape in [(), (0,), (1,), (64,), (65,), (7, 24), (2, 3, 5), (5000,)]:
            ids = rng.integers(0, N_ROWS, shape)
            table.prefetch(ids)
            assert np.array_equal(table.gather(ids), rows[ids])
        assert np.array_equal(table.gather([0, N_ROWS - 1, 0]), rows[[0, -1, 0]])
        assert np.array_equal(
            table.gather(np.arange(12, dtype=np.int32).reshape(3, 4).T), rows[np.arange(12).reshape(3, 4).T]
        )
        out = np.empty((4, DIM), np.float32)
        assert table.gather([1, 2, 3, 4], out=out) is out and np.array_equal(out, rows[1:5])


def test_ids_outside_the_table_are_named(path):
    write(path)
    with Table(path) as table:
        for bad in (-1, N_ROWS, 2**62, -(2**63)):
            with pytest.raises(
                RowRangeError, match=rf"row id {bad} \(number 2 of the batch\) is outside \[0, 3000\)"
            ) as caught:
                table.gather([0, 1, bad, -5])
            assert str(path) in str(caught.value)
            table.prefetch([0])


def test_wrong_outputs_are_refused(path):
    write(path)
    with Table(path) as table:
        for out in (np.empty((3, DIM), np.float32), np.empty((2, DIM), np.float64), np.empty((DIM, 2), np.float32).T):
            with pytest.raises(UsageError, match=r"not float32 \[2, 96\] in C order"):
                table.gather([1, 2], out=out)


def test_scales_that_are_not_finite(path):
    data = encodings.encode("int8", np.ones((10, DIM), np.float32))
    data[7, -2:] = [0x00, 0x7E]
    with TableWriter(path, "int8", 10, DIM) as writer:
        writer.append_rows(data)
    with Table(path) as table, pytest.raises(TableError, match=r"t\.safetensors: row 7 has a scale that is NaN"):
        table.gather([6, 7])


def test_a_file_cut_short_while_open(path):
    """Pages behind the cut end in the SIGBUS guard; the last page ends in zeros, which a row's last byte shows. Rows
    before the cut stay right."""
    rows = write(path, n=20_000)
    for access in ("mmap", "resident", "direct"):
        write(path, n=20_000)
        with Table(path, access=access, ram_limit=0 if access == "direct" else None) as table:
            assert np.array_equal(table.gather([19_999]), rows[[19_999]])
            os.truncate(path, 8292)
            for ids in ([5, 19_999], [5, 43], [19_999]):
                with pytest.raises(TableError, match=r"t\.safetensors: .*cut short"):
                    table.gather(ids)
            if access != "direct":
                assert np.array_equal(table.gather([5]), rows[[5]])
                with pytest.raises(TableError, match=r"t\.safetensors: .*cut short"):
                    table.warm()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_place_of_a_cut_is_noticed(path, encoding):
    """A file cut at any byte of a page: each row is right or an error."""
    rows = write(path, encoding, n=400)
    start, whole = Table(path).layout.columns[0].extents[0].offset, path.read_bytes()
    for cut in range(start, start + 4096, 61):
        path.write_bytes(whole)
        with Table(path, access="mmap") as table:
            os.truncate(path, cut)
            n_whole = (cut - start) // table.row_bytes
            assert np.array_equal(table.gather(range(n_whole)), rows[:n_whole])
            for row in (n_whole, n_whole + 1):
                with pytest.raises(TableError, match=r"t\.safetensors: .*cut short"):
                    table.gather([row])


def test_a_bus_error_elsewhere_is_not_swallowed(tmp_path):
    """The guard answers for gathers alone: other code still dies by SIGBUS, other handlers still run."""
    program = f"""
import mmap, os, signal, sys
import engram_local._native
path = {str(tmp_path / "m")!r}
open(path, "wb").write(b"x" * 8192)
file = open(path, "r+b")
view = mmap.mmap(file.fileno(), 8192)
os.truncate(path, 0)
print(view[5000])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=tmp_path)
    assert done.returncode in (-7, -10) and done.stdout == b""
    faulthandler = "import faulthandler; faulthandler.enable()\n"
    done = subprocess.run([sys.executable, "-c", faulthandler + program], capture_output=True, cwd=tmp_path)
    assert done.returncode in (-7, -10) and b"Fatal Python error: Bus error" in done.stderr


def test_a_file_replaced_while_open_keeps_the_old_rows(path):
    rows = write(path)
    with Table(path) as table:
        write(path, n=50)
        assert np.array_equal(table.gather([2999]), rows[[2999]])
    with Table(path) as table:
        assert table.n_rows == 50


def test_eight_threads_on_one_table(path):
    rows = write(path)
    wrong = []
    with Table(path, access="mmap") as table:

        def work(seed):
            rng = np.random.default_rng(seed)
            for _ in range(200):
                ids = rng.integers(0, N_ROWS, rng.integers(1, 200))
                if not np.array_equal(table.gather(ids), rows[ids]):
                    wrong.append(ids)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_auto_says_what_it_chose_and_why(path):
    write(path)
    with Table(path) as table:
        assert table.access == "resident" and "fit into half the free memory" in table.why
    with Table(path, ram_limit=1000) as table:
        assert table.access == "direct" and table.why.startswith("287.1 KiB exceed the RAM limit of 1000 B; read ")
        table.gather([[1, 2], [3, 4]])
        stats = table.stats()
        assert (stats["access"], stats["gathers"], stats["rows_read"]) == ("direct", 1, 4)
    with Table(path, access="mmap") as table:
        assert (table.access, table.why) == ("mmap", "asked for")
    with Table(path, access="resident", ram_limit=1000) as table:
        assert table.access == "direct" and table.why.startswith("resident was asked for, but 287.1 KiB exceed")
    with Table(path, ram_limit=1 << 20) as table:
        assert (table.access, table.why) == ("resident", "287.1 KiB fit into the RAM limit of 1.0 MiB")
    with Table(path, ram_limit="1MiB") as table:
        assert (table.access, table.why) == ("resident", "287.1 KiB fit into the RAM limit of 1.0 MiB")
    share = Budget.of([294_000, 882_000], ram_limit=1 << 20).shares[0]  # three quarters are in another table
    with Table(path, share=share) as table:
        assert table.access == "direct" and table.why.startswith("1.1 MiB exceed the RAM limit of 1.0 MiB")
    with pytest.raises(UsageError, match="unknown table access 'magic'"):
        Table(path, access="magic")


def test_warm_reports_progress(path):
    write(path)
    seen = []
    with Table(path) as table:
        table.warm(lambda done, total: seen.append((done, total)))
    assert seen[-1] == (N_ROWS * (DIM + 2),) * 2


def test_a_closed_table(path):
    write(path)
    table = Table(path)
    table.close()
    table.close()
    for use in (lambda: table.gather([0]), table.stats):
        with pytest.raises(UsageError, match=r"t\.safetensors: the table is closed; open it again"):
            use()


def test_a_missing_table(tmp_path):
    with pytest.raises(TableError, match="cannot be read"):
        Table(tmp_path / "none")


def test_reader_hands_out_rows_layer_by_layer(tmp_path):
    expected = {1: write(tmp_path / "1", "int8", 500, 32), 14: write(tmp_path / "14", "float16", 700, 16)}
    reader = ModelTables({layer: read_layout(tmp_path / str(layer)) for layer in expected}, {1: 16, 14: 24})
    rng = np.random.default_rng(0)
    ids = {1: rng.integers(0, 500, (5, 16)), 14: rng.integers(0, 700, (5, 24))}
    rows = reader.start(ids)
    for layer in (14, 1, 14):
        got = rows.wait(layer)
        assert got.shape == (5, ids[layer].shape[1] * expected[layer].shape[1])
        assert np.array_equal(got.reshape(*ids[layer].shape, -1), expected[layer][ids[layer]])
    assert set(reader.stats()) == {1, 14}
    bad = reader.start({1: np.array([[500]]), 14: ids[14]})
    assert np.array_equal(bad.wait(14), rows.wait(14))
    with pytest.raises(RowRangeError, match="row id 500"):
        bad.wait(1)
    reader.close()


def test_chunks_larger_than_the_read_buffers(tmp_path, monkeypatch):
    """Rows that do not fit into the limit's buffers are read in pieces when they are waited for."""
    rows = write(tmp_path / "t")
    monkeypatch.setattr(budget, "LEAST_READ_BYTES", 2 * (budget.RING_BYTES + 300_000))
    ids = np.random.default_rng(6).integers(0, N_ROWS, (100, 4))
    layout = read_layout(tmp_path / "t")
    limit = budget.LEAST_READ_BYTES
    reader = ModelTables(dict.fromkeys(range(3), layout), dict.fromkeys(range(3), 4), "direct", limit)
    chunk = reader.start({0: ids, 1: ids[::-1], 2: ids})
    assert np.array_equal(chunk.wait(2), rows[ids].reshape(100, -1))
    assert np.array_equal(chunk.wait(1), rows[ids[::-1]].reshape(100, -1))
    assert np.array_equal(chunk.wait(0), rows[ids].reshape(100, -1))
    reader.close()
