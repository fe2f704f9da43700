"""compare profile and random-model, on a model that takes a millisecond a token."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime_genai")
pytest.importorskip("llama_cpp")
pytest.importorskip("matplotlib")

import engram_local
from engram_local.tools.compare import random_backbone, random_model
from engram_local.tools.compare.__main__ import main
from engram_local.tools.compare.profile import PARTS, part_of


@pytest.mark.parametrize(
    "name, operator, part",
    [
        ("/model/layers.3/attn/qkv_proj/MatMul", "MatMulNBits", "attention's matrices"),
        ("/model/layers.3/mlp/down_proj/MatMul", "MatMulNBits", "feed-forward matrices"),
        ("/lm_head/MatMul", "MatMulNBits", "head"),
        ("/model/layers.3/attn/GroupQueryAttention", "GroupQueryAttention", "attention"),
        ("/model/layers.3/input_layernorm/SkipLayerNorm", "SkipSimplifiedLayerNormalization", "norms"),
        ("/model/layers.3/attn/qkv_proj/Split", "Split", "other operators"),
        ("Qcur-3", "MUL_MAT", "attention's matrices"),
        ("node_32", "MUL_MAT", "attention's matrices"),
        ("kq-3", "MUL_MAT", "attention"),
        ("kqv-3", "MUL_MAT", "attention"),
        ("Kcur-3", "ROPE", "attention"),
        ("ffn_out-3", "MUL_MAT", "feed-forward matrices"),
        ("result_output", "MUL_MAT", "head"),
        ("ffn_norm-3", "MUL", "norms"),
        ("ffn_swiglu-3", "SWIGLU", "other operators"),
    ],
)
def test_part_of(name, operator, part):
    assert part_of(name, operator) == part


def test_a_random_model_and_where_its_time_goes(tmp_path, monkeypatch, capsys):
    for module in (random_model, random_backbone):
        monkeypatch.setattr(module, "VOCAB", 500)
    folder, figures, picture = tmp_path / "model", tmp_path / "f.json", tmp_path / "p.png"
    assert main(["random-model", str(folder), "--hidden", "128", "--blocks", "15", "--tables", "2MiB"]) == 0
    with engram_local.load(folder, backend="gguf") as model:
        layers = model.config.layers
        assert [(x.n_heads, x.head_dim) for x in layers] == [(16, 128)] * 2
        gguf = model.session(memory=False).forward([5, 6, 7])
    with engram_local.load(folder, backend="onnx") as model:
        onnx = model.session(memory=False).forward([5, 6, 7])
    assert np.corrcoef(onnx[0], gguf[0])[0, 1] > 0.9  # the same weights, rounded in two ways
    command = ["profile", str(folder), "--tokens", "4", "--prompt-tokens", "8"]
    assert main([*command, "--json", str(figures), "--plot", str(picture)]) == 0
    assert "untimed" in capsys.readouterr().out
    found = json.loads(figures.read_text())
    assert set(found) == {"onnx", "gguf"}
    for parts in found.values():
        assert all(parts[x] > 0 for x in PARTS)
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert main(["random-model", str(folder)]) == 1  # it is there already
