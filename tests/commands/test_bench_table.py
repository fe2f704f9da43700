"""The table benchmark on a table of 2 MB: it runs, its figures have their keys, its lookups are right."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest

from engram_local.commands import bench_table
from engram_local.commands.terminal import Result
from engram_local.tables.table import Table


def test_run_table_bench(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench_table, "PREFILL", 16)
    monkeypatch.setattr(bench_table, "GROWTH", (1000, 10**9))
    told = []
    figures = bench_table.run_table_bench(
        n_bytes=2 << 20,
        folder=str(tmp_path),
        result=Result(False, str(tmp_path / "f.json")),
        progress=lambda *x: told.append(x),
    )
    assert json.loads((tmp_path / "f.json").read_text())["table"] == figures["table"]
    n_rows = figures["table"]["rows"]
    assert n_rows == (2 << 20) // 258 and list(figures["growth_us_per_token"]) == [1000, n_rows]
    for name in ("hash_ns_per_token", "resident_us_per_token", "resident_prefill_ms"):
        assert 0 < figures[name]["min"] <= figures[name]["median"]
    assert told and told[-1][1] == told[-1][2] == figures["table"]["rows"] * 258
    out, err = capsys.readouterr()
    assert "hash one token" in out
    name = f"engram_local_bench_{n_rows}x256.safetensors"
    assert err == f"writing {tmp_path / name}: 2.0 MiB; it is deleted at the end\n"
    assert [p.name for p in tmp_path.iterdir()] == ["f.json"]


def test_a_kept_table_is_used_again(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_table, "measure", lambda path: path.stat().st_mtime_ns)
    monkeypatch.setattr(bench_table, "print_figures", lambda figures: None)
    runs = [bench_table.run_table_bench(n_bytes=1 << 20, folder=str(tmp_path), keep=True) for _ in range(2)]
    assert runs[0] == runs[1] and len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a tmpfs")
def test_nothing_is_called_cold_that_cannot_be(monkeypatch, capsys):
    monkeypatch.setattr(bench_table, "PREFILL", 16)
    monkeypatch.setattr(bench_table, "GROWTH", ())
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        figures = bench_table.run_table_bench(n_bytes=1 << 20, folder=folder)
    assert "keeps the pages in memory" in figures["cold"]["left out"]
    out = capsys.readouterr().out
    assert "reads from disk: left out, the file system keeps" in out and "cold" not in out


def test_generated_rows_hold_their_number(tmp_path):
    bench_table.make_table(tmp_path / "t", 150_000, 16)
    with Table(tmp_path / "t") as table:
        ids = np.array([0, 5, 99_999, 100_000, 149_999])
        codes = np.rint(table.gather(ids)[:, :8] / np.float32(np.float16(0.07))).astype(np.int8)
        assert np.array_equal(codes.view("<i8")[:, 0], ids)
