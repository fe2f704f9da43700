"""The table comparison on a small table: every contender that is installed takes part, the figures are whole."""

import json

import numpy as np

from engram_local.tools.compare import tables


def test_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tables, "BATCHES", (1, 48, 24576))
    monkeypatch.setattr(tables, "GROWTH", (1000,))
    monkeypatch.setattr(tables, "TEXT_CHUNKS", 1)
    monkeypatch.setattr(tables, "TEXT_WINDOWS", 2)
    monkeypatch.setattr(tables, "TEXT_WINDOW", 5)
    monkeypatch.setattr(tables, "_fio", lambda path, iops, missing: iops[64].append(80_000.0))
    monkeypatch.setattr(tables, "real_text", lambda: (np.random.default_rng(0).integers(0, 999, 2600), "numbers"))
    json_file, plot_file = str(tmp_path / "f.json"), str(tmp_path / "f.png")
    figures = tables.run(26 << 20, str(tmp_path), False, 1, json_file, plot_file)
    for state, own in (("cold", "engram_local mmap"), ("resident", "engram_local resident")):
        assert {own, "numpy memmap"} <= set(figures[state])
        for name, by_n in figures[state].items():
            assert all(0 < x["min"] <= x["median"] for x in by_n.values()), name
    assert {"no cache", "5 % cache"} <= set(figures["text"]["times"])
    assert figures["fio_iops"] == {64: 80_000.0} and 0 <= figures["text"].get("hit_rate", 0) <= 1
    assert json.loads((tmp_path / "f.json").read_text())["table"] == figures["table"]
    assert "engram_local direct" in capsys.readouterr().out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.json", "f.png"]
