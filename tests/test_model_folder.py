"""A model folder is opened only when everything in it fits; each fault is one line that names the file."""

import json
import os
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file

import engram_local
from engram_local.errors import ConfigError, EngramError, ModelFolderError
from engram_local.model_folder import ModelFolder, read_token_map, write_manifest
from engram_local.tables.file import TableWriter
from engram_local.verification import verify

TABLE = "tables/layer_0.safetensors"


def edit_json(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)


def faults(path):
    return [x for x in verify(path) if x.ok is False]


def test_a_good_folder(tiny_path):
    folder = ModelFolder.open(tiny_path)
    assert (folder.has_onnx, folder.has_gguf, folder.has_tokenizer) == (True, False, True)
    assert (folder.vocab_size, folder.context_length, folder.head_dim) == (64, 96, 16)
    assert folder.token_map.shape == (64,)
    assert folder.eos_ids() == {1}
    assert faults(tiny_path) == []


def test_the_shipped_pocket_is_whole():
    from engram_local.model_folder import POCKET

    findings = list(verify(POCKET))
    assert [x for x in findings if x.ok is False] == []  # None: not checked, as a GGUF without llama.cpp
    checked = {x.file for x in findings}
    assert {"backbone.onnx", "tables/layer_1.safetensors", "token_map.safetensors", "tokenizer.json"} <= checked


def test_what_is_no_model_folder(tmp_path):
    with pytest.raises(ModelFolderError, match="nowhere: no such folder"):
        ModelFolder.open(tmp_path / "nowhere")
    with pytest.raises(ModelFolderError, match=r"has no manifest\.json"):
        ModelFolder.open(tmp_path)
    file = tmp_path / "model.tar.zst"
    file.write_bytes(b"")
    with pytest.raises(ModelFolderError, match=r"not a folder; .*unpack"):
        ModelFolder.open(file)


def test_an_unfinished_folder(tiny_copy):
    (tiny_copy / "manifest.json").unlink()
    with pytest.raises(ModelFolderError, match="did not finish"):
        ModelFolder.open(tiny_copy)
    assert "did not finish" in faults(tiny_copy)[0].text


@pytest.mark.parametrize("name", ["config.json", TABLE, "token_map.safetensors", "backbone.onnx"])
def test_a_missing_file(tiny_copy, name):
    (tiny_copy / name).unlink()
    with pytest.raises(ModelFolderError, match=f"{name}: is missing"):
        ModelFolder.open(tiny_copy)
    assert (name, "is missing") in [(x.file, x.text) for x in faults(tiny_copy)]


@pytest.mark.parametrize("name", ["config.json", TABLE, "backbone.onnx"])
def test_a_truncated_file(tiny_copy, name):
    size = (tiny_copy / name).stat().st_size
    os.truncate(tiny_copy / name, size - 1)
    with pytest.raises(ModelFolderError, match=f"has {size - 1} bytes, the manifest says {size}"):
        ModelFolder.open(tiny_copy)
    assert name in [x.file for x in faults(tiny_copy)]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_no_read_permission(tiny_copy):
    (tiny_copy / "config.json").chmod(0)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        ModelFolder.open(tiny_copy)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", "C:/x", "a\\b", ""])
def test_a_manifest_that_leaves_its_folder(tiny_copy, name):
    edit_json(tiny_copy / "manifest.json", lambda m: m["files"].update({name: {"bytes": 0, "sha256": "0" * 64}}))
    with pytest.raises(ModelFolderError, match="not a path inside the folder"):
        ModelFolder.open(tiny_copy)
    assert len(faults(tiny_copy)) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(format="engram_local.model.v9"),
        lambda m: m.update(files=[]),
        lambda m: m["files"].update({"config.json": {"bytes": -1, "sha256": "0" * 64}}),
        lambda m: m["files"].update({"config.json": {"bytes": 10, "sha256": 5}}),
        lambda m: m["files"].update({"config.json": None}),
        lambda m: m["files"].pop("config.json"),
    ],
)
def test_a_malformed_manifest(tiny_copy, change):
    edit_json(tiny_copy / "manifest.json", change)
    with pytest.raises(ModelFolderError, match=r"manifest\.json"):
        ModelFolder.open(tiny_copy)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '{"format": "\ud800"}', "\xff"])
def test_a_manifest_that_is_no_object(tiny_copy, text):
    (tiny_copy / "manifest.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ModelFolderError, match=r"manifest\.json"):
        ModelFolder.open(tiny_copy)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.pop("engram"),
        lambda c: c["engram"].update(version=9),
        lambda c: c["engram"]["layers"][0].update(table="../../table"),
        lambda c: c["engram"]["layers"][0].update(n_rows=61),
        lambda c: c["engram"]["layers"][0]["orders"][0].update(offsets=[0, 2**60]),
    ],
)
def test_a_wrong_engram_block(tiny_copy, change):
    edit_json(tiny_copy / "config.json", change)
    write_manifest(tiny_copy)
    with pytest.raises(ConfigError, match=r"config\.json"):
        ModelFolder.open(tiny_copy)
    assert [x.file for x in faults(tiny_copy)] == ["config.json"]


def test_a_table_that_does_not_fit_the_config(tiny_copy):
    with TableWriter(tiny_copy / TABLE, "float32", 59, 4) as writer:
        writer.append(np.zeros((59, 4), np.float32))
    write_manifest(tiny_copy)
    with pytest.raises(ModelFolderError, match="holds 59 rows of 4 values"):
        engram_local.load(tiny_copy)
    assert TABLE in [x.file for x in faults(tiny_copy)]


@pytest.mark.parametrize("ids", [[0, 24], [0, 22], [-2, 23]])
def test_a_token_map_that_does_not_fit(tiny_copy, ids):
    token_map = np.array([*ids, *[0] * 62], np.int32)
    save_file({"token_map": token_map}, tiny_copy / "token_map.safetensors")
    write_manifest(tiny_copy)
    with pytest.raises(ModelFolderError, match="every row would be wrong"):
        ModelFolder.open(tiny_copy)


def test_a_tokenizer_of_another_model(tiny_copy):
    from engram_local.model_folder import POCKET

    shutil.copy(POCKET / "tokenizer.json", tiny_copy)
    write_manifest(tiny_copy)
    with pytest.raises(ModelFolderError, match=r"tokenizer has \d+ tokens, the model knows 64.*row would be wrong"):
        engram_local.load(tiny_copy)
    assert "token_map.safetensors" in [x.file for x in faults(tiny_copy)]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x08",
        b"\xff" * 8,
        b"\xff" * 7 + b"\x7f" + b"{}",
        b"\x02" + bytes(7) + b"{}",
        b"\x05" + bytes(7) + b"[[[[[",
    ],
)
def test_a_token_map_that_is_no_safetensors(tmp_path, data):
    path = tmp_path / "token_map.safetensors"
    path.write_bytes(data)
    with pytest.raises(ModelFolderError, match=r"token_map\.safetensors: not a token map"):
        read_token_map(path)


@pytest.mark.parametrize("offsets", [[0, 400], [-8, 0], [0, 9], ["a", "b"], [0]])
def test_a_token_map_with_wrong_offsets(tmp_path, offsets):
    header = json.dumps({"token_map": {"dtype": "I32", "shape": [2], "data_offsets": offsets}}).encode()
    path = tmp_path / "token_map.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(ModelFolderError, match="not a token map"):
        read_token_map(path)


@pytest.mark.parametrize("name", [TABLE, "backbone.onnx", "tokenizer.json", "token_map.safetensors"])
def test_verify_finds_an_altered_byte(tiny_copy, name):
    flip(tiny_copy / name, (tiny_copy / name).stat().st_size - 3)
    found = [x for x in faults(tiny_copy) if "sha256" in x.text]
    assert [x.file for x in found] == [name]


def test_verify_names_the_block_even_where_the_manifest_was_written_anew(tiny_copy):
    flip(tiny_copy / TABLE, (tiny_copy / TABLE).stat().st_size - 3)
    write_manifest(tiny_copy)
    assert ["block 0" in x.text for x in faults(tiny_copy)] == [True]


def test_verify_notes_files_that_are_not_listed(tiny_copy):
    (tiny_copy / "notes.txt").write_text("x")
    notes = [x for x in verify(tiny_copy) if x.ok is None]
    assert ("notes.txt", "not in the manifest: not checked") in [(x.file, x.text) for x in notes]


def test_verify_reports_a_backbone_that_does_not_load(tiny_copy):
    (tiny_copy / "backbone.onnx").write_bytes(b"no graph")
    write_manifest(tiny_copy)
    assert [x.file for x in faults(tiny_copy)] == ["backbone.onnx"]


def test_what_a_folder_does_not_hold(tiny_copy):
    with pytest.raises(EngramError, match=r"has no backbone\.gguf; use --backend onnx"):
        engram_local.load(tiny_copy, backend="gguf")
    with pytest.raises(EngramError, match="no backend 'torch'"):
        engram_local.load(tiny_copy, backend="torch")
    (tiny_copy / "backbone.onnx").unlink()
    write_manifest(tiny_copy)
    with pytest.raises(ModelFolderError, match=r"neither backbone\.onnx nor backbone\.gguf"):
        engram_local.load(tiny_copy)


def test_a_manifest_is_written_whole_or_not_at_all(tiny_copy):
    before = (tiny_copy / "manifest.json").read_bytes()
    assert write_manifest(tiny_copy)["files"].keys() == json.loads(before)["files"].keys()
    assert not list(tiny_copy.rglob("*.partial"))
