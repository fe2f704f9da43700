"""The measurement of the callback runs, and compares what it says it compares; its figures are not asserted."""

import json

import numpy as np
import pytest

pytest.importorskip("llama_cpp")
from tiny_gguf import make_tiny_gguf

from engram_local.backends.gguf import GgufBackend
from engram_local.model_folder import ModelFolder
from engram_local.tools.compare import llama_overhead


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_tiny_gguf(tmp_path_factory.mktemp("gguf") / "model")


def test_it_reports_every_variant(path, capsys):
    assert llama_overhead.main([str(path), "--threads", "1", "--rounds", "2", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    for phase in ("prefill", "decode"):
        assert set(report[phase]["us"]) == {"stock", "off", "never", "on", "alone"}
        assert all(low > 0 for low, _, _ in report[phase]["us"].values())
        assert set(report[phase]["ratio_to_stock"]) == {"off", "never", "on"}
    assert llama_overhead.main([str(path), "--threads", "1", "--rounds", "1"]) == 0
    assert "a layer, beyond its own compute" in capsys.readouterr().out


def test_the_variants_compute_what_they_stand_for(path):
    options = {"threads": 1, "context_length": 256, "flash_attention": "off"}
    backend = GgufBackend(ModelFolder.open(path), **options)
    backend_of_never = llama_overhead.NeverBackend(ModelFolder.open(path), **options)
    tokens = np.arange(4, 24)
    rows = llama_overhead.FixedRows(backend, len(tokens))
    stock = llama_overhead.Stock(backend.path, 1, 256).forward(tokens, None, "last")
    never, off, on = (
        llama_overhead.Ours(x, memory) for x, memory in ((backend_of_never, True), (backend, False), (backend, True))
    )
    assert np.array_equal(never.forward(tokens, rows, "last")[0], stock)
    assert np.array_equal(off.forward(tokens, None, "last")[0], stock)
    assert not np.allclose(on.forward(tokens, rows, "last")[0], stock, atol=0.01)
    backend.close()
    backend_of_never.close()


def test_what_cannot_be_measured_is_refused(tiny_path, path, tmp_path, capsys):
    assert llama_overhead.main([str(tiny_path)]) == 1
    assert "a context of 96 tokens is too short" in capsys.readouterr().err
    assert llama_overhead.main([str(tmp_path / "nothing")]) == 1
    assert "no such folder" in capsys.readouterr().err
