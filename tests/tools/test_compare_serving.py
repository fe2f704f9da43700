"""The comparison of servers, on a model of one small block."""

import json
from functools import partial

import pytest

pytest.importorskip("torch")
pytest.importorskip("llama_cpp")
from engram_local.tools.compare import random_backbone, random_model, serving
from engram_local.tools.compare.random_backbone import make_random_backbone


def test_figures_of_every_server(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(serving, "make_random_backbone", partial(make_random_backbone, hidden=256))
    for module in (serving, random_backbone):
        monkeypatch.setattr(module, "VOCAB", 3000)
    monkeypatch.setattr(serving, "PAUSE_S", 0)
    monkeypatch.setattr(serving, "LONG", 200)
    out = tmp_path / "figures.json"
    serving.run(str(tmp_path), False, 1, 4, 1, 1, str(out))
    figures = json.loads(out.read_text())
    assert [x["name"] for x in figures["contenders"]][:2] == ["engram_local onnx", "engram_local gguf"]
    for contender in figures["contenders"]:
        assert set(contender["total_tok_s"]) == {"1", "2", "4"}
        assert all(len(x) == 1 and x[0] > 0 for x in contender["total_tok_s"].values())
    assert all(x["gaps"][0]["longest_s"] > 0 for x in figures["contenders"][:2])
    assert list(tmp_path.iterdir()) == [out], "the model is gone"
    assert "4 to 1" in capsys.readouterr().out


def test_cold_tables(tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnxruntime_genai")
    make = random_model.make_random_model
    monkeypatch.setattr(serving, "make_random_model", lambda path, n: make(path, n, hidden=128, n_layers=15))
    monkeypatch.setattr(serving, "PAUSE_S", 0)
    monkeypatch.setattr(serving, "LEAST_READ_BYTES", 20 << 20)
    figures = serving.run_cold(str(tmp_path), False, 1, 3, 1, 32 << 20, None)
    assert set(figures["total_tok_s"]) == {"resident", "cold"} and figures["ratio"] > 0
    assert list(tmp_path.iterdir()) == [] and "cold to resident" in capsys.readouterr().out
