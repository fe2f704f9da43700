"""Weights behind links: those that the folder itself holds are followed, those that a graph names are not."""

import os
import shutil

import numpy as np
import onnx
import pytest
from onnx import TensorProto, external_data_helper, helper

import engram_local
from engram_local.errors import BackendError
from engram_local.model_folder import POCKET, write_manifest
from engram_local.verification import verify


@pytest.fixture
def cache(tmp_path):
    """The pocket model as a Hugging Face cache has it: every file a link to one of another name, in another folder."""
    snapshot = tmp_path / "snapshots" / "main"
    (tmp_path / "blobs").mkdir()
    for i, file in enumerate(sorted(x for x in POCKET.rglob("*") if x.is_file())):
        blob = tmp_path / "blobs" / f"{i:040x}"
        shutil.copyfile(file, blob)
        link = snapshot / file.relative_to(POCKET)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    return snapshot


def test_a_folder_of_links_is_the_folder(cache, pocket):
    tokens = pocket.tokenizer.encode("The capital of France is")
    expected = pocket.session().forward(tokens, "all")
    with engram_local.load(cache, backend="onnx", threads=2) as model:
        assert np.array_equal(model.session().forward(tokens, "all"), expected)
    assert [x.text for x in verify(cache) if x.ok is False] == []


def test_so_is_a_link_to_a_folder(tmp_path, tiny_path, tiny):
    (tmp_path / "link").symlink_to(tiny_path)
    with engram_local.load(tmp_path / "link", threads=1) as model:
        assert np.array_equal(model.session().forward([1, 2, 3]), tiny.session().forward([1, 2, 3]))


@pytest.mark.parametrize("place", ["../outside.data", "{}/outside.data", "outside.data", "folder/outside.data"])
def test_a_path_that_the_graph_names_and_that_leaves_stays_refused(tiny_copy, tmp_path, place):
    """By "..", absolute, through a link of a name that is not the weights' own, or through a linked folder."""
    weights = np.ones(64 * 32, np.float32)
    (tmp_path / "outside.data").write_bytes(weights.tobytes())
    (tiny_copy / "outside.data").symlink_to(tmp_path / "outside.data")
    (tiny_copy / "folder").symlink_to(tmp_path)
    model = onnx.load(tiny_copy / "backbone.onnx")
    (embed,) = [x for x in model.graph.initializer if x.name == "embed"]
    embed.CopyFrom(helper.make_tensor("embed", TensorProto.FLOAT, [64, 32], weights.tobytes(), raw=True))
    external_data_helper.set_external_data(embed, place.format(tmp_path))
    embed.ClearField("raw_data")
    (tiny_copy / "backbone.onnx").write_bytes(model.SerializeToString())
    (tiny_copy / "outside.data").unlink() if place != "outside.data" else None
    (tiny_copy / "folder").unlink() if not place.startswith("folder") else None
    write_manifest(tiny_copy)
    with pytest.raises(
        BackendError, match=r"backbone\.onnx: ONNX Runtime .* cannot load it: .*(escapes|[Aa]bsolute)"
    ) as error:
        engram_local.load(tiny_copy)
    assert "\n" not in str(error.value)
