"""Checkpoints whose files are not what they should be are refused by name before anything is written."""

import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime_genai")

from safetensors.numpy import load_file, save_file

import engram_local
from engram_local.errors import BackendError, CheckpointError, ModelFolderError
from engram_local.tools.export.example import make_checkpoint
from engram_local.tools.export.folder import export_model

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"


@pytest.fixture
def checkpoint(tmp_path):
    return make_checkpoint(tmp_path / "trained")


def refused(checkpoint, match, **options):
    with pytest.raises(CheckpointError, match=match) as error:
        export_model(checkpoint, checkpoint.parent / "out", **options)
    assert "\n" not in str(error.value)
    assert [x.name for x in checkpoint.parent.iterdir()] == [checkpoint.name]


def change(checkpoint, tensors=None, **config):
    file = checkpoint / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | config))
    if tensors:
        stored = load_file(checkpoint / "model.safetensors")
        tensors(stored)
        save_file(stored, checkpoint / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("backend", ["onnx", "gguf"])
def test_a_config_that_disagrees_with_its_tensors(checkpoint, backend):
    def tie(tensors):
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]

    def only_head(tensors):
        del tensors["lm_head.weight"]

    why = "config.json and the weights do not belong together"
    change(checkpoint, num_hidden_layers=1)
    refused(checkpoint, "has other sizes than", backend=backend)  # an Engram layer before block 1
    change(checkpoint, num_hidden_layers=3)
    refused(checkpoint, f"num_hidden_layers is 3, but the weights have blocks 0 to 1; {why}", backend=backend)
    change(checkpoint, num_hidden_layers=2, tie_word_embeddings=True)
    refused(checkpoint, r"tie_word_embeddings is true, but lm_head\.weight differs from model\.embed", backend=backend)
    change(checkpoint, only_head, tie_word_embeddings=False)
    refused(checkpoint, r"tie_word_embeddings is false, but there is no lm_head\.weight", backend=backend)
    change(checkpoint, tie, tie_word_embeddings=True)
    export_model(checkpoint, checkpoint.parent / "out", backend=backend, weights="float32")


@pytest.mark.parametrize("backend", ["onnx", "gguf"])
def test_a_vocabulary_of_another_size(checkpoint, backend):
    def pad(tensors):
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            tensors[name] = tensors[name].repeat(2, axis=0)[:72]

    change(checkpoint, pad)
    refused(checkpoint, r"vocab_size is 64, but model\.embed_tokens\.weight is \[72, 32\]", backend=backend)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_git_lfs_pointer(checkpoint, name):
    (checkpoint / name).write_bytes(POINTER)
    refused(checkpoint, f"{name}: is a Git LFS pointer in place of the file; run git lfs pull")


def test_a_git_lfs_pointer_in_a_model_folder(tiny_copy):
    (tiny_copy / "backbone.onnx").write_bytes(POINTER)
    with pytest.raises(ModelFolderError, match=r"backbone\.onnx: is a Git LFS pointer .*; run git lfs pull"):
        engram_local.load(tiny_copy)


def test_a_git_lfs_pointer_in_place_of_a_gguf(tmp_path):
    llama_library = pytest.importorskip("engram_local.backends.llama_library")
    (tmp_path / "model.gguf").write_bytes(POINTER)
    with pytest.raises(BackendError, match=r"model\.gguf: is a Git LFS pointer .*; run git lfs pull"):
        llama_library.check_gguf(tmp_path / "model.gguf")
