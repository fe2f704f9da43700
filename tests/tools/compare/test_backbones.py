"""The comparison runs what is installed; its figures are not asserted."""

import json
from importlib.metadata import version

import numpy as np
import onnxruntime
import pytest
from tiny_model import CONTEXT

from engram_local.commands.terminal import Result
from engram_local.errors import EngramError
from engram_local.model_folder import ModelFolder
from engram_local.tools.compare.backbones import run_compare, write_plain_backbone


def test_a_comparison_says_what_ran(tiny_path, tmp_path, capsys):
    file = tmp_path / "figures.json"
    run_compare(tiny_path, 1, 8, 4, 2, Result(False, str(file)))
    result = json.loads(file.read_text())
    assert (result["threads"], result["memory"]) == (1, False)
    own = result["contenders"][0]
    assert own["name"] == "engram_local onnx"
    assert own["engine"] == f"onnxruntime {onnxruntime.__version__}"
    assert set(own["decode_tok_s"]) == {"median", "lowest", "highest"}
    assert "engram_local onnx" in capsys.readouterr().out


def test_a_gguf_is_compared_with_stock_llama_cpp(tmp_path, capsys):
    pytest.importorskip("llama_cpp")
    from tiny_gguf import make_tiny_gguf

    path = make_tiny_gguf(tmp_path / "model")
    run_compare(path, 1, 8, 4, 2, Result(False, str(tmp_path / "figures.json")))
    own, stock = json.loads((tmp_path / "figures.json").read_text())["contenders"]
    assert (own["name"], stock["name"]) == ("engram_local gguf", "llama-cpp-python")
    assert own["engine"] == stock["engine"] == f"llama-cpp-python {version('llama-cpp-python')}"
    assert own["weights"] == stock["weights"] and own["weights"].startswith("f32, ")
    assert "left out: engram_local onnx" in capsys.readouterr().out


def test_what_does_not_fit_is_refused(tiny_path):
    with pytest.raises(EngramError, match="exceed the context"):
        run_compare(tiny_path, 1, CONTEXT, 4, 2, Result(False))


def test_the_plain_backbone_computes_what_memory_off_computes(pocket, tmp_path):
    """The graph given to other software has the Engram layers cut out and nothing else."""
    folder = ModelFolder.open(pocket.folder.path)
    write_plain_backbone(folder, tmp_path, 1)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert not any("engram" in x.name for x in [*session.get_inputs(), *session.get_outputs()])
    ids = np.array(pocket.prompt_ids("What is the capital of France?"))
    feeds = {"input_ids": ids[None], "attention_mask": np.ones((1, len(ids)), np.int64)}
    for x in session.get_inputs():
        if x.name.startswith("past_key_values"):
            feeds[x.name] = np.zeros((1, x.shape[1], 0, folder.head_dim), np.float32)
    plain = session.run(["logits"], feeds)[0][0]
    np.testing.assert_allclose(pocket.session(memory=False).forward(ids), plain, rtol=0, atol=1e-4)
