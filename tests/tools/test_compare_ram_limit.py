"""The comparison of a whole model under a RAM limit, on a backbone that takes a millisecond."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime_genai")

from engram_local.tools.compare import ram_limit, random_backbone, random_model, split  # noqa: E402


@pytest.fixture
def small(monkeypatch):
    for module in (random_model, random_backbone):
        monkeypatch.setattr(module, "VOCAB", 500)
    make = random_model.make_random_model
    monkeypatch.setattr(ram_limit, "make_random_model", lambda path, n: make(path, n, hidden=128, n_layers=15))
    monkeypatch.setattr(ram_limit, "N_DECODE", 4)
    monkeypatch.setattr(split, "N", 3)


def test_run(small, tmp_path, capsys, monkeypatch):
    """The two kinds give the same logits, or `run` would compare different work; the pieces give those of the whole."""
    logits = []
    once = ram_limit._once

    def spy(sessions, tokens):
        logits.append([])
        for kind in ("resident", "limited"):
            sessions[kind].rewind(0)
            logits[-1].append(sessions[kind].forward(tokens[:40]))
        return once(sessions, tokens)

    monkeypatch.setattr(ram_limit, "_once", spy)
    json_file = tmp_path / "f.json"
    figures = ram_limit.run(40 << 20, str(tmp_path), False, 1, 1, str(json_file), n_prompt=40)
    for resident, limited in logits:
        assert np.abs(resident).max() > 0.1 and np.abs(resident - limited).max() < 0.05 * np.abs(resident).max()
    assert json.loads(json_file.read_text())["ratio"] == figures["ratio"]
    assert figures["access"] == "direct" and set(figures["split"]) == {"whole", "pieces", "early", "both"}
    assert all(x > 0 for kind in figures["times"].values() for x in kind["token"])
    assert "limited / resident, medians: prefill" in capsys.readouterr().out
    assert [p.name for p in tmp_path.iterdir()] == ["f.json"]
