"""Of two backbones the faster one runs: timed once, remembered, timed again where something changed."""

import json

import numpy as np
import pytest
from tiny_gguf import make_tiny_gguf
from tiny_model import make_tiny_model

import engram_local
from engram_local.backends import timed_choice
from engram_local.machine import state_folder
from engram_local.model_folder import write_manifest

pytest.importorskip("llama_cpp")


@pytest.fixture
def both(tmp_path, monkeypatch):
    """A folder with two backbones of one vocabulary, large enough to be worth timing."""
    monkeypatch.setattr(timed_choice, "WORTH_TIMING", 0)
    folder = make_tiny_model(tmp_path / "model")
    gguf = make_tiny_gguf(tmp_path / "gguf")
    for file in gguf.glob("engram_layer_*.onnx"):
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "backbone.gguf").write_bytes((gguf / "backbone.gguf").read_bytes())
    write_manifest(folder)
    return folder


def remembered():
    return json.loads((state_folder() / timed_choice.FILE).read_text())


def test_the_faster_one_runs_and_is_remembered(both):
    with engram_local.load(both, threads=1) as model:
        (times,) = remembered().values()
        assert model.backend.name == min(times, key=times.get)
        assert all(0 < x < 10_000 for x in times.values()) and "timed" in model.why_backend
    (key,) = remembered()
    for fast, slow in (("onnx", "gguf"), ("gguf", "onnx")):  # what is remembered decides
        (state_folder() / timed_choice.FILE).write_text(json.dumps({key: {fast: 1.0, slow: 2.0}}))
        with engram_local.load(both, threads=1) as model:
            assert model.backend.name == fast
    assert remembered() == {key: {"gguf": 1.0, "onnx": 2.0}}


def test_other_threads_or_files_are_timed_anew(both):
    engram_local.load(both, threads=1).close()
    (state_folder() / timed_choice.FILE).write_text(json.dumps({x: {"onnx": 1.0} for x in remembered()}))  # not whole
    engram_local.load(both, threads=1).close()
    assert all(x.keys() == {"onnx", "gguf"} for x in remembered().values())
    data = both / "backbone.gguf"
    data.write_bytes(data.read_bytes() + bytes(32))
    write_manifest(both)
    engram_local.load(both, threads=1).close()
    assert len(remembered()) == 2


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', "null"])
def test_a_damaged_memory_is_none(both, text):
    state_folder().mkdir(parents=True, exist_ok=True)
    (state_folder() / timed_choice.FILE).write_text(text)
    engram_local.load(both, threads=1).close()
    assert any(isinstance(x, dict) and x.keys() == {"onnx", "gguf"} for x in remembered().values())


def test_where_nothing_can_be_written_it_still_runs(both, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with engram_local.load(both, threads=1) as model:
        assert np.isfinite(model.session(False).forward([1, 2])).all()


def test_one_that_cannot_be_loaded_is_not_chosen(both):
    (both / "backbone.gguf").write_bytes(b"GGUF" + bytes(60))
    write_manifest(both)
    with engram_local.load(both, threads=1) as model:
        assert model.backend.name == "onnx" and "gguf fails" in model.why_backend


def test_a_small_one_is_not_timed(pocket):
    assert pocket.backend.name == "onnx" and "small" in pocket.why_backend
    assert not (state_folder() / timed_choice.FILE).exists()
