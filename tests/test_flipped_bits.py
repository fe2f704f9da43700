"""One flipped bit anywhere in a backbone's file: verify finds it, generate refuses it, and nothing crashes."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_model import make_tiny_model

import engram_local
from engram_local import model_folder
from engram_local.errors import EngramError, ModelFolderError
from engram_local.model_folder import read_manifest, save_manifest, sha256, write_manifest
from engram_local.verification import verify

N_FLIPS = 12  # of 1,000 in `make fuzz` (tests/fuzz/flips.py)


def make(kind: str, path):
    if kind == "onnx":
        return make_tiny_model(path), "backbone.onnx"
    pytest.importorskip("llama_cpp")
    from tiny_gguf import make_tiny_gguf

    return make_tiny_gguf(path), "backbone.gguf"


def flip(path, seed: int) -> int:
    """Flip one bit of the file; returns its place."""
    data = bytearray(path.read_bytes())
    place = int(np.random.default_rng(seed).integers(8 * len(data)))
    data[place // 8] ^= 1 << place % 8
    path.write_bytes(data)
    return place


@pytest.mark.parametrize("kind", ["onnx", "gguf"])
def test_a_flipped_bit_is_found_and_not_loaded(kind, tmp_path):
    folder, name = make(kind, tmp_path / "model")
    good = (folder / name).read_bytes()
    for seed in range(N_FLIPS):
        flip(folder / name, seed)
        with pytest.raises(ModelFolderError, match=f"{name}: was altered since manifest.json was written"):
            engram_local.load(folder)
        findings = list(verify(folder))
        assert [x.file for x in findings if x.ok is False] == [name]
        assert any(x.ok is None and "not loaded" in x.text for x in findings)
        (folder / name).write_bytes(good)
    assert all(x.ok is not False for x in verify(folder))


@pytest.mark.parametrize("kind", ["onnx", "gguf"])
def test_a_layer_of_its_own_is_checked_too(kind, tmp_path):
    if kind == "onnx":
        pytest.skip("its layers are inside")
    folder, _ = make(kind, tmp_path / "model")
    flip(folder / "engram_layer_2.onnx", 0)
    with pytest.raises(ModelFolderError, match=r"engram_layer_2.onnx: was altered"):
        engram_local.load(folder)


def test_what_crashes_the_runtime_is_a_finding(tmp_path):
    """A file whose digest agrees, and over which llama.cpp asserts: two tokens of its vocabulary are spelled alike."""
    folder, name = make("gguf", tmp_path / "model")
    data = (folder / name).read_bytes()
    length = (1).to_bytes(8, "little")
    assert length + b"a" in data
    (folder / name).write_bytes(data.replace(length + b"a", length + b"b", 1))
    write_manifest(folder)
    faults = [x for x in verify(folder) if x.ok is False]
    assert [x.file for x in faults] == ["backbone.gguf"]
    assert faults[0].text.startswith("the runtime crashed over it (exit code -6)")


def test_of_a_large_file_the_head_is_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(model_folder, "HEAD_BYTES", 1000)
    folder, name = make("onnx", tmp_path / "model")
    write_manifest(folder)
    entry = read_manifest(folder)["files"][name]
    assert entry["head_sha256"] == sha256(folder / name, limit=1000) != entry["sha256"]
    engram_local.load(folder).close()
    data = bytearray((folder / name).read_bytes())
    data[999] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(ModelFolderError, match="was altered"):
        engram_local.load(folder)
    manifest = read_manifest(folder)  # as folders before head_sha256 have it: nothing to compare with
    del manifest["files"][name]["head_sha256"]
    save_manifest(folder, manifest)
    assert model_folder.ModelFolder.open(folder).intact(name)


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 30])
def test_digests_of_any_size(size, tmp_path, monkeypatch):
    monkeypatch.setattr(model_folder, "READ_BYTES", 10)
    path, data, seen = tmp_path / "file", bytes(range(size)), []
    path.write_bytes(data)
    assert sha256(path, seen.append) == hashlib.sha256(data).hexdigest()
    assert seen == sorted({*range(10, size, 10), size} - {0})
    for limit in (1, 10, 15, 40):
        assert sha256(path, limit=limit) == hashlib.sha256(data[:limit]).hexdigest()


def test_a_malformed_digest_of_the_head_is_refused(tmp_path):
    folder, name = make("onnx", tmp_path / "model")
    manifest = read_manifest(folder)
    manifest["files"][name]["head_sha256"] = 5
    save_manifest(folder, manifest)
    with pytest.raises(EngramError, match=f"the entry of {name} is malformed"):
        engram_local.load(folder)


@pytest.mark.parametrize("kind", ["onnx", "gguf"])
def test_a_git_lfs_pointer_is_named(kind, tmp_path):
    folder, name = make(kind, tmp_path / "model")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 123456\n"
    (folder / name).write_text(pointer)
    with pytest.raises(ModelFolderError, match=f"{name}: is a Git LFS pointer .* run git lfs pull"):
        engram_local.load(folder)
    if kind == "gguf":
        from engram_local.backends.llama_library import load_model

        with pytest.raises(EngramError, match="run git lfs pull"):
            load_model(folder / name)


def test_the_search_for_flips_runs():
    pytest.importorskip("llama_cpp")
    command = [sys.executable, Path(__file__).parent / "fuzz" / "flips.py", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
