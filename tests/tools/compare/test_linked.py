"""The comparison of a linked GGUF with stock llama.cpp, on a table of 200 MiB."""

import json

import numpy as np
import pytest

pytest.importorskip("llama_cpp")
pytest.importorskip("gguf")

from engram_local.errors import EngramError
from engram_local.tools.compare import linked, random_qwen4
from engram_local.tools.compare.__main__ import main


def test_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(linked, "N_DECODE", 2)
    json_file = tmp_path / "f.json"
    assert main(["linked", "--size", "200MiB", "--folder", str(tmp_path), "--rounds", "1", "--threads", "1",
                 "--json", str(json_file)]) == 0  # fmt: skip
    figures = json.loads(json_file.read_text())
    for times in figures["times"].values():
        assert len(times["token whole"]) == 2 and len(times["prompt rows"]) == 1
        for what in ("token", "prompt"):
            assert all(0 < a < b for a, b in zip(times[f"{what} rows"], times[f"{what} whole"], strict=True))
    out = capsys.readouterr().out
    assert "cold prompt whole" in out and "pages of the table in memory" in out
    assert [p.name for p in tmp_path.iterdir()] == ["f.json"]


@pytest.mark.parametrize("rows", random_qwen4.HALVES)
def test_both_compute_the_same_logits(tmp_path, rows):
    """Or they would be timed at different work."""
    from stock_llama import FLOAT32_CACHE, stock_logits

    import engram_local
    from engram_local.tools.link import link

    random_qwen4.make_random_qwen4(tmp_path / "m.gguf", 2 << 20, rows)
    link(tmp_path / "m.gguf", tmp_path / "model")
    ids = np.random.default_rng(0).integers(300, 1900, 12)
    options = {"kv_type": "float32", "flash_attention": "off", "threads": 1, "context_length": 256}
    with engram_local.load(tmp_path / "model", table_access="direct", **options) as model:
        assert model.tables[1].encoding == rows
        logits = model.session().forward(ids, "all")
        off = model.session(memory=False).forward(ids, "all")
    assert np.array_equal(logits, stock_logits(tmp_path / "m.gguf", ids, **FLOAT32_CACHE))
    assert np.abs(logits - off).max() > 0.1 * logits.std()


def test_the_maker_names_what_it_cannot_make(tmp_path):
    with pytest.raises(EngramError, match="rows of 'int8' are not made here; choose one of q8_0"):
        random_qwen4.make_random_qwen4(tmp_path / "m.gguf", 1 << 20, "int8")
    assert random_qwen4.main([str(tmp_path), "--table", "1MiB"]) == 1
