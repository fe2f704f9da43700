"""attach: a GGUF that somebody has joins the layers of a model folder, or is refused before anything is written."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("llama_cpp")
from tiny_gguf import BLOCKS, PIECES, TEMPLATE, VOCAB, make_tiny_gguf, write_gguf

import engram_local
from engram_local import cli
from engram_local.backends.llama_nodes import input_node
from engram_local.errors import EngramError
from engram_local.model_folder import ModelFolder, write_manifest
from engram_local.tables.links import write_link
from engram_local.tools import attach as module
from engram_local.tools import gguf_fit, place
from engram_local.tools.attach import attach
from engram_local.verification import verify

IDS = np.random.default_rng(0).integers(4, VOCAB - 2, 30)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A model folder with layers and tables; not to be altered."""
    return make_tiny_gguf(tmp_path_factory.mktemp("source") / "model")


@pytest.fixture
def gguf(tmp_path) -> Path:
    path = tmp_path / "download.gguf"
    write_gguf(path)
    return path


def logits(path) -> np.ndarray:
    with engram_local.load(path, threads=1) as model:
        return model.session().forward(IDS, "all")


def test_the_result_computes_what_the_source_computes(source, gguf, tmp_path):
    before = gguf.read_bytes()
    info = attach(gguf, source, tmp_path / "out")
    assert np.array_equal(logits(tmp_path / "out"), logits(source))
    assert all(x.ok is not False for x in verify(tmp_path / "out"))
    assert not (tmp_path / "out.partial").exists()
    assert gguf.read_bytes() == before
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["export"] == {"backend": "gguf"} and info["backend"] == "gguf"
    assert info["gguf"] in ("hard-linked", "cloned")
    assert (info["gguf"] == "hard-linked") == os.path.samefile(gguf, tmp_path / "out" / "backbone.gguf")


def test_copies_where_files_cannot_be_linked(source, gguf, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(place.os, "link", refuse)
    monkeypatch.setattr(place, "_clone", lambda *_: False)
    seen = []
    info = attach(gguf, source, tmp_path / "out", progress=lambda what, done, total, unit="B": seen.append(what))
    assert (info["gguf"], set(info["tables"].values())) == ("copied", {"copied"})
    assert "backbone.gguf" in seen
    assert (tmp_path / "out" / "backbone.gguf").read_bytes() == gguf.read_bytes()
    assert np.array_equal(logits(tmp_path / "out"), logits(source))


def test_the_command(source, gguf, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["engram-local", "attach", str(gguf), str(source), str(tmp_path / "out")])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    done = capsys.readouterr().err
    assert "is ready" in done and ("hard-linked into it" in done or "cloned into it" in done)
    assert ModelFolder.open(tmp_path / "out").has_gguf


def test_the_ggufs_chat_template_serves_where_the_source_has_none(source, gguf, tmp_path):
    attach(gguf, source, tmp_path / "out")
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == TEMPLATE
    with engram_local.load(tmp_path / "out", threads=1) as model:
        assert model.prompt_ids("hi") == model.tokenizer.encode("<user>hi<bot>")
        assert model.eos_ids == {1}


def test_the_sources_own_chat_template_stays(tmp_path, gguf):
    source = make_tiny_gguf(tmp_path / "source")
    (source / "chat_template.jinja").write_text("mine")
    write_manifest(source)
    attach(gguf, source, tmp_path / "out")
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == "mine"


def test_a_source_without_tokenizer_uses_the_ggufs(tmp_path, gguf):
    source = make_tiny_gguf(tmp_path / "source")
    (source / "tokenizer.json").unlink()
    write_manifest(source)
    attach(gguf, source, tmp_path / "out")
    with engram_local.load(tmp_path / "out", threads=1) as model:
        assert model.tokenizer.encode("the") == [PIECES.index("the")]


def test_linked_tables_are_still_found(tmp_path, gguf):
    source = make_tiny_gguf(tmp_path / "source")
    rows = np.fromfile(source / "tables/layer_0.safetensors", np.float32)[-60 * 4 :].reshape(60, 4)
    from safetensors.numpy import save_file

    save_file({"rows": rows}, source / "theirs.safetensors")
    (source / "tables/layer_0.safetensors").unlink()
    link = "tables/layer_0.link.json"
    write_link(source / link, [(str(source / "theirs.safetensors"), "rows")])
    config = json.loads((source / "config.json").read_text())
    config["engram"]["layers"][0]["table"] = link
    (source / "config.json").write_text(json.dumps(config))
    write_manifest(source)
    info = attach(gguf, source, tmp_path / "out")
    assert info["tables"][link] == "read where they lie"
    assert np.array_equal(logits(tmp_path / "out"), logits(source))


# ---------------------------------------------------------------- refused before anything is written


def refused(gguf: Path, source: Path, match: str) -> None:
    out = gguf.with_name("out")
    with pytest.raises(EngramError, match=match) as info:
        attach(gguf, source, out)
    assert "\n" not in str(info.value)
    assert str(gguf) in str(info.value)
    assert not out.exists()
    assert not out.with_name("out.partial").exists()


def test_no_gguf(source, gguf):
    gguf.write_bytes(b"not a GGUF")
    refused(gguf, source, "is not a GGUF file")


def test_a_truncated_gguf(source, gguf):
    gguf.write_bytes(gguf.read_bytes()[:-100])
    refused(gguf, source, r"cannot load it \((?!no reason)")


def test_another_hidden_size(source, gguf):
    write_gguf(gguf, hidden=64)
    refused(gguf, source, "hidden size 64, but .* was made for 32")


@pytest.mark.parametrize("blocks", [BLOCKS - 1, BLOCKS + 1])
def test_another_number_of_blocks(source, gguf, blocks):
    write_gguf(gguf, blocks=blocks)
    refused(gguf, source, f"blocks {blocks}, but .* was made for {BLOCKS}")


def test_a_layer_beyond_the_blocks(tmp_path, gguf):
    source = make_tiny_gguf(tmp_path / "source")
    config = json.loads((source / "config.json").read_text())
    config["num_hidden_layers"] = 2
    (source / "config.json").write_text(json.dumps(config))
    write_manifest(source)
    write_gguf(gguf, blocks=2)
    refused(gguf, source, "has an Engram layer 2, .* ends with block 1")


def test_other_pieces(source, gguf):
    pieces = list(PIECES)
    pieces[40], pieces[41] = pieces[41], pieces[40]
    write_gguf(gguf, pieces=pieces)
    refused(gguf, source, "token 40 is .* was made for .* another tokenizer")


@pytest.mark.parametrize("pieces", [PIECES[:-1], [*PIECES, "zzz"]], ids=["fewer", "more"])
def test_another_vocabulary_size(source, gguf, pieces):
    write_gguf(gguf, pieces=pieces)
    n = len(PIECES) - 4
    refused(gguf, source, f"vocabulary has {n + len(pieces) - len(PIECES)} tokens, .* was made for {n}")


def test_added_tokens_may_differ(source, gguf, tmp_path):
    pieces = list(PIECES)
    pieces[2] = "<|im_start|>"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tiny_gguf.SPECIAL", ("<s>", "<end>", "<|im_start|>", "<bot>"))
        write_gguf(gguf, pieces=pieces)
    attach(gguf, source, tmp_path / "out")


def test_a_gguf_without_tokenizer_is_compared_by_size(source, gguf, tmp_path):
    write_gguf(gguf, pieces=None)
    attach(gguf, source, tmp_path / "out")
    assert np.array_equal(logits(tmp_path / "out"), logits(source))


def test_a_graph_that_names_its_nodes_otherwise(source, gguf, monkeypatch):
    monkeypatch.setattr(gguf_fit, "input_node", lambda architecture, layer_id: f"residual-{layer_id}")
    refused(gguf, source, "architecture 'llama' has no node 'residual-0'")


def test_a_node_of_another_size(source, gguf, monkeypatch):
    monkeypatch.setattr(gguf_fit, "input_node", lambda architecture, layer_id: f"ffn_gate-{layer_id}")
    refused(gguf, source, "has node 'ffn_gate-0' of 256 bytes")


def test_one_part_of_several(source, gguf):
    write_gguf(gguf, uint16={"split.count": 3, "split.no": 0})
    refused(gguf, source, "one of 3 parts|invalid split")


def test_a_folder_that_is_there(source, gguf, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(EngramError, match="exists already"):
        attach(gguf, source, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_source_that_lacks_its_layers(tmp_path, gguf, tiny_path):
    source = make_tiny_gguf(tmp_path / "source")
    (source / "engram_layer_2.onnx").unlink()
    write_manifest(source)
    with pytest.raises(EngramError, match=r"engram_layer_2.onnx: no such file"):
        attach(gguf, source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_failure_on_the_way_leaves_nothing(source, gguf, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device", str(tmp_path))

    monkeypatch.setattr(module.shutil, "copyfile", fail)
    with pytest.raises(EngramError, match="No space left"):
        attach(gguf, source, tmp_path / "out")
    assert sorted(x.name for x in tmp_path.iterdir()) == ["download.gguf"]


def test_nodes_of_block_inputs():
    assert input_node("qwen3", 0) == "embd"
    assert input_node("gemma3", 0) == "inp_scaled"
    assert input_node("qwen3moe", 5) == "l_out-4"
