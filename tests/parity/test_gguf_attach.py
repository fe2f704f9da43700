"""attach with a checkpoint: an engram-peft adapter joins a quantized GGUF of its base model."""

import numpy as np
import pytest

import engram_local
from engram_local.errors import EngramError
from engram_local.tools.attach import attach
from engram_local.tools.export.folder import export_model
from engram_local.tools.export.gguf import write_backbone_gguf

pytest.importorskip("llama_cpp")
pytest.importorskip("engram_peft")
from parity.adapters import make_adapter, prompts

IDS = prompts(1)[0]


@pytest.fixture(scope="module", params=["qwen3", "mixtral"])
def folder(request, tmp_path_factory):
    """base, adapter, and download.gguf: the base model, quantized by somebody."""
    folder = tmp_path_factory.mktemp(request.param)
    base, _ = make_adapter(folder, request.param)
    write_backbone_gguf(base, folder / "download.gguf", "q4_k")
    return folder


def logits(path) -> np.ndarray:
    with engram_local.load(path, threads=1, backend="gguf") as model:
        return model.session().forward(IDS, "all")


def test_it_computes_what_an_export_computes(folder, tmp_path):
    """The same weights by the other way in: the exporter quantizes as the download was."""
    info = attach(folder / "download.gguf", folder / "adapter", tmp_path / "out", base=folder / "base", tables="int4")
    assert info["layout"] == "engram-peft"
    assert {x["encoding"] for x in info["tables"].values()} == {"int4"}
    options = {"base": folder / "base", "backend": "gguf", "tables": "int4", "weights": "int4"}
    export_model(folder / "adapter", tmp_path / "exported", **options)
    attach(folder / "download.gguf", folder / "adapter", tmp_path / "int4", folder / "base", "int4", "int4")
    assert np.array_equal(logits(tmp_path / "int4"), logits(tmp_path / "exported"))
    assert (tmp_path / "out" / "tokenizer.json").is_file()


def test_another_base_is_refused(folder, tmp_path):
    other = "llama" if "qwen3" in folder.name else "gemma3"
    make_adapter(tmp_path, other, base_options={"num_hidden_layers": 4, "layer_types": None})
    write_backbone_gguf(tmp_path / "base", tmp_path / "other.gguf")
    with pytest.raises(EngramError, match=r"blocks 4, but .* was made for 3"):
        attach(tmp_path / "other.gguf", folder / "adapter", tmp_path / "out", base=folder / "base")
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.partial").exists()


def test_what_is_no_checkpoint_is_refused(folder, tmp_path):
    with pytest.raises(EngramError, match="no such file or folder"):
        attach(folder / "download.gguf", tmp_path / "nothing", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(EngramError, match=r"known layout|layouts"):
        attach(folder / "download.gguf", tmp_path / "empty", tmp_path / "out")
