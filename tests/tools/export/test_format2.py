"""A folder that the release before format 2 wrote (tests/data/format1.tar.zst) computes the same after the upgrade."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx_ir")

from command import files_of

import engram_local
from engram_local.errors import ConfigError, ModelFolderError
from engram_local.tools.archive import unpack
from engram_local.tools.export import format2
from engram_local.verification import verify

DATA = Path(__file__).parents[2] / "data"
CHANGED = {"backbone.onnx", "config.json", "engram_layer_0.onnx", "engram_layer_1.onnx"}


@pytest.fixture
def old(tmp_path):
    unpack(str(DATA / "format1.tar.zst"), tmp_path / "old")
    return tmp_path / "old"


def test_it_is_refused_by_name_and_computes_the_same_afterwards(old):
    with pytest.raises(ConfigError, match=r"engram.version is 1, .*python -m engram_local.tools.export.format2 FOLDER"):
        engram_local.load(old)
    before = files_of(old)
    command = [sys.executable, "-m", "engram_local.tools.export.format2", old]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == CHANGED
    after = files_of(old)
    assert {x for x in after if after[x] != before.get(x)} == CHANGED and after.keys() == before.keys()
    assert [x.text for x in verify(old) if x.ok is False] == []
    expected = np.load(DATA / "format1_logits.npz")
    with engram_local.load(old, threads=1) as model:
        for memory, name in ((True, "on"), (False, "off")):
            found = model.session(memory).forward(expected["ids"], "all")[-4:]
            np.testing.assert_allclose(found, expected[name], rtol=0, atol=1e-4)
        assert np.abs(expected["on"] - expected["off"]).max() > 0.1


def test_it_writes_what_an_export_writes(old):
    """The shape of every input and output is that of the shipped model, whose graphs the same release wrote."""
    ort = pytest.importorskip("onnxruntime")
    format2.upgrade(old)
    for name in ("backbone.onnx", "engram_layer_1.onnx"):
        mine, other = (ort.InferenceSession(x / name) for x in (old, engram_local.model_folder.POCKET))
        for mine_side, other_side in (
            (mine.get_inputs(), other.get_inputs()),
            (mine.get_outputs(), other.get_outputs()),
        ):
            dims = {x.name: [i for i in x.shape if isinstance(i, str)] for x in other_side}
            found = {x.name: [i for i in x.shape if isinstance(i, str)] for x in mine_side}
            assert {x: dims[x] for x in found if x in dims} == {x: y for x, y in found.items() if x in dims}


def test_an_interrupted_run_goes_on(old, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(format2, "add_switches", stop)
        with pytest.raises(KeyboardInterrupt):
            format2.upgrade(old)
    assert set(format2.upgrade(old)) == CHANGED
    engram_local.load(old).close()


def test_what_it_refuses(old, tmp_path):
    format2.upgrade(old)
    before = files_of(old)
    with pytest.raises(ModelFolderError, match=r"engram.version is '2'; only format 1 is brought up to date"):
        format2.upgrade(old)
    config = json.loads((old / "config.json").read_text())
    config["engram"]["version"] = "1"
    (old / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelFolderError, match=r"engram.version is '1'"):
        format2.upgrade(old)
    (old / "config.json").write_bytes(before["config.json"])
    assert files_of(old) == before
    with pytest.raises(ModelFolderError, match=r"has no manifest.json"):
        format2.upgrade(tmp_path)
