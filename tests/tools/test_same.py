"""The same input gives the same bytes, manifest and all, whatever the time and the folder's name. A test a maker."""

import os
import shutil
import subprocess
import sys
import time

import pytest
from command import bytes_of
from tiny_gguf import make_tiny_gguf, write_gguf
from tiny_qwen4 import write_qwen4

from engram_local.tools.archive import pack, unpack
from engram_local.tools.attach import attach
from engram_local.tools.export.example import make_checkpoint
from engram_local.tools.link import link
from engram_local.tools.quantize import quantize_model

WORDS = " ".join(f"w{i % 24}" for i in range(400))


def made_twice(tmp_path, make):
    """The bytes of what `make(out)` makes, made once more a second later."""
    make(tmp_path / "first")
    time.sleep(1.1)
    make(tmp_path / "second one")
    first, second = bytes_of(tmp_path / "first"), bytes_of(tmp_path / "second one")
    assert first.keys() == second.keys()
    assert [x for x in first if first[x] != second[x]] == []
    return first


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime_genai")
    return make_checkpoint(tmp_path_factory.mktemp("same") / "trained")


@pytest.fixture
def attached(tmp_path):
    """(a GGUF, a model folder) that belong together."""
    pytest.importorskip("llama_cpp")
    write_gguf(tmp_path / "download.gguf")
    return tmp_path / "download.gguf", make_tiny_gguf(tmp_path / "model")


@pytest.mark.parametrize("weights", ["float32", "float16", "int8", "int4"])
def test_export(checkpoint, tmp_path, weights):
    from engram_local.tools.export.folder import export_model

    made = made_twice(tmp_path, lambda out: export_model(checkpoint, out, weights=weights, tables="int4"))
    assert {"backbone.onnx", "manifest.json", "tables/layer_0.safetensors"} <= made.keys()


def test_export_by_two_processes_that_hash_differently(checkpoint, tmp_path):
    def export(out):
        arguments = ["export", str(checkpoint), str(out), "--backend", "both"]
        env = {**os.environ, "PYTHONHASHSEED": str(1 + ("second" in out.name))}
        subprocess.run([sys.executable, "-m", "engram_local", *arguments], check=True, env=env, capture_output=True)

    assert {"backbone.onnx", "backbone.gguf"} <= made_twice(tmp_path, export).keys()


@pytest.mark.parametrize("options", [{"link": True}, {"calibrate": "text.txt"}], ids=str)
def test_export_that_links_or_calibrates(checkpoint, tmp_path, options):
    from engram_local.tools.export.folder import export_model

    (tmp_path / "text.txt").write_text(WORDS)
    options = {name: tmp_path / x if name == "calibrate" else x for name, x in options.items()}
    made_twice(tmp_path, lambda out: export_model(checkpoint, out, **options))


@pytest.mark.parametrize("encoding", ["int8", "int4"])
def test_quantize(tiny_path, tmp_path, encoding):
    made_twice(tmp_path, lambda out: quantize_model(tiny_path, out, encoding))


def copy(source, target, progress=None) -> str:
    shutil.copyfile(source, target)
    return "copied"


def test_attach_to_a_model_folder(attached, tmp_path, monkeypatch):
    gguf, source = attached
    linked = made_twice(tmp_path, lambda out: attach(gguf, source, out))
    monkeypatch.setattr("engram_local.tools.attach.place", copy)  # as on a disk that can neither link nor clone
    assert attach(gguf, source, tmp_path / "copied")["gguf"] == "copied"
    assert bytes_of(tmp_path / "copied") == linked


def test_link(tmp_path):
    pytest.importorskip("llama_cpp")
    (gguf,) = write_qwen4(tmp_path / "model.gguf")
    made_twice(tmp_path, lambda out: link(gguf, out))


def test_pack_and_unpack(tiny_path, tmp_path):
    for name in ("a", "b"):
        pack(tiny_path, str(tmp_path / name))
        time.sleep(1.1)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    made = made_twice(tmp_path, lambda out: unpack(str(tmp_path / "a"), out))
    assert made == bytes_of(tiny_path)
