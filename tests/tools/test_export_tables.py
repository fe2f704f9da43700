"""Converting a table: the same bytes in blocks as at once, in bounded memory, with an honest report. No torch."""

import subprocess
import sys

import numpy as np
import pytest

from engram_local.config import ENCODINGS
from engram_local.errors import CheckpointError
from engram_local.tables import encodings
from engram_local.tables.file import TableWriter, read_header, verify
from engram_local.tools.export.tables import MEMORY_BYTES, block_rows, convert_table

RNG = np.random.default_rng(3)


class Rows:
    """A RowSource of an array, which notes what was asked for."""

    def __init__(self, array: np.ndarray):
        self.array, self.asked = array, []
        self.n_rows, self.dim = array.shape

    def read(self, start: int, stop: int) -> np.ndarray:
        self.asked.append((start, stop))
        return self.array[start:stop]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_blocks_give_the_bytes_of_one_shot(tmp_path, encoding):
    dim = 96
    rows = RNG.standard_normal((2 * block_rows(dim) + 1000, dim), dtype=np.float32)
    source, seen = Rows(rows), []
    report = convert_table(source, tmp_path / "t", encoding, "a table", lambda *x: seen.append(x))
    with TableWriter(tmp_path / "once", encoding, *rows.shape) as writer:
        writer.append(rows)
    assert (tmp_path / "t").read_bytes() == (tmp_path / "once").read_bytes()
    assert [x.problem for x in verify(tmp_path / "t") if x.problem] == []
    n = block_rows(dim)
    assert source.asked == [(0, n), (n, 2 * n), (2 * n, len(rows))]
    assert seen == [("a table", stop, len(rows), "rows") for _, stop in source.asked]
    error = encodings.decode(encoding, encodings.encode(encoding, rows), dim) - rows
    relative = np.linalg.norm(error, axis=1) / np.linalg.norm(rows, axis=1)
    assert report["relative_rms_error"] == pytest.approx(np.linalg.norm(error) / np.linalg.norm(rows), rel=1e-4)
    assert report["worst_row_relative_error"] == pytest.approx(relative.max(), rel=1e-4)
    assert report["worst_row"] == (relative.argmax() if encoding != "float32" else 0)
    assert (report["encoding"], report["rows"]) == (encoding, len(rows))


def test_a_row_of_zeros_is_no_division_by_zero(tmp_path):
    report = convert_table(Rows(np.zeros((3, 8), np.float32)), tmp_path / "t", "int4", "a table")
    assert (report["relative_rms_error"], report["worst_row_relative_error"]) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("value", "encoding", "message"),
    [(np.nan, "int8", "row 70000 holds NaN or infinity"), (1e6, "float16", "holds 1e+06, which float16 cannot store")],
)
def test_a_row_that_cannot_be_stored(tmp_path, value, encoding, message):
    """Not in the first block; nothing is left."""
    rows = np.ones((90000, 64), np.float32)
    assert block_rows(64) < 70000
    rows[70000, 5] = value
    with pytest.raises(CheckpointError) as error:
        convert_table(Rows(rows), tmp_path / "tables" / "t", encoding, "a table")
    assert message in str(error.value) and str(error.value).startswith("a table: ")
    assert list((tmp_path / "tables").iterdir()) == []


_LIMITED = """
import resource, sys
import numpy as np
from pathlib import Path
from engram_local.tools.export.tables import MEMORY_BYTES, convert_table

class Rows:
    n_rows, dim = {n_rows}, 64
    def read(self, start, stop):
        return np.sin(np.arange(start * 64, stop * 64, dtype=np.float32)).reshape(-1, 64)

def data_bytes():
    fields = dict(x.split(":") for x in open("/proc/self/status").read().splitlines() if ":" in x)
    return int(fields["VmData"].split()[0]) * 1024

small = Rows()
small.n_rows = 100
convert_table(small, Path(sys.argv[1] + ".small"), "int8", "small")  # what is loaded once
limit = data_bytes() + MEMORY_BYTES
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
if {at_once}:
    Rows().read(0, Rows.n_rows)
else:
    convert_table(Rows(), Path(sys.argv[1]), "int8", "a table")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts mapped memory on Linux alone")
@pytest.mark.parametrize("at_once", [False, True])
def test_memory_is_bounded(tmp_path, at_once):
    """A table of four times the bound goes through it, and does not fit into it at once (the limit does limit)."""
    n_rows = 4 * MEMORY_BYTES // (4 * 64)
    code = _LIMITED.format(n_rows=n_rows, at_once=at_once)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "t")], capture_output=True, text=True, timeout=120
    )
    if at_once:
        assert "MemoryError" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert read_header(tmp_path / "t").n_rows == n_rows
