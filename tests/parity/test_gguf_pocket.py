"""The shipped model's weights, exported anew in float32: both backends compute the same and say the same."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from safetensors.numpy import save_file

import engram_local
from engram_local.graph_names import GGUF_FILE
from engram_local.model_folder import POCKET, ModelFolder, write_manifest
from engram_local.tools.checkpoints.view import TOKENIZER_FILES, CheckpointView, LayerWeights
from engram_local.tools.export.backbone import load_backbone
from engram_local.tools.export.folder import write_backbones, write_config
from engram_local.tools.export.nbits import dequantize_blocks
from engram_local.tools.export.tables import convert_table
from engram_local.tools.quantize import TableRows

pytest.importorskip("llama_cpp")
pytestmark = pytest.mark.skipif(
    not (POCKET / GGUF_FILE).is_file(), reason="backbone.gguf does not fit beside this pocket's tables"
)

NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
QUESTIONS = ("What is the capital of France?", "What does volcano mean?", "Who are you?")


def write_base(folder: ModelFolder, base: Path) -> None:
    """The backbone as a Hugging Face folder in float32, from backbone.gguf."""
    base.mkdir()
    tensors = {}
    for x in gguf.GGUFReader(folder.file(GGUF_FILE)).tensors:
        block = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", x.name)
        name = f"model.layers.{block[1]}.{NAMES[block[2]]}.weight" if block else NAMES[x.name]
        tensors[name] = np.ascontiguousarray(gguf.dequantize(x.data, x.tensor_type), np.float32)
    save_file(tensors, base / "model.safetensors", {"format": "pt"})
    config = {k: v for k, v in folder.config.items() if k != "engram"} | {"torch_dtype": "float32"}
    (base / "config.json").write_text(json.dumps(config))
    for name in TOKENIZER_FILES:
        if (folder.path / name).is_file():
            shutil.copyfile(folder.path / name, base / name)


def layer_weights(path: Path) -> LayerWeights:
    """The dense weights inside an engram_layer_{id}.onnx."""
    graph = onnx.load(path).graph
    values = {x.name.split(".", 2)[2]: numpy_helper.to_array(x) for x in graph.initializer}
    (gate,) = [x for x in graph.node if x.op_type == "EngramGate"]
    eps = gate.attribute[0].f
    projections = {
        name: dequantize_blocks(values[f"{name}.codes"], values[f"{name}.scales"], 8, values[f"{name}.codes"][0].size)
        for name in ("key_proj", "value_proj")
    }
    norms = {name: values[name] for name in ("norm_key", "norm_query", "norm_conv")}
    return LayerWeights(**projections, **norms, gate_eps=eps, conv_weight=values["conv"], conv_eps=eps)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    shipped, out = ModelFolder.open(POCKET), tmp_path_factory.mktemp("pocket") / "model"
    base = out.with_name("base")
    write_base(shipped, base)
    layers = tuple(replace(x, encoding="float32") for x in shipped.engram.layers)
    view = CheckpointView(
        "trained",
        base,
        base,
        replace(shipped.engram, layers=layers),
        shipped.token_map,
        {x.layer_id: layer_weights(shipped.file(f"engram_layer_{x.layer_id}.onnx")) for x in layers},
        {x.layer_id: TableRows(shipped.file(x.table)) for x in layers},
    )
    out.mkdir()
    write_backbones(view, load_backbone(view), out, ("onnx", "gguf"), "float32", None)
    for layer in layers:
        convert_table(view.tables[layer.layer_id], out / layer.table, "float32", layer.table)
    write_config(view, out)
    write_manifest(out)
    return out


@pytest.fixture(scope="module")
def models(path):
    exact = {"kv_type": "float32", "flash_attention": "off"}
    with (
        engram_local.load(path, backend="onnx", threads=1) as onnx_model,
        engram_local.load(path, backend="gguf", threads=1, **exact) as gguf_model,
    ):
        yield onnx_model, gguf_model


@pytest.mark.parametrize("memory", [True, False])
def test_logits_agree(models, memory):
    for question in QUESTIONS:
        ids = models[0].prompt_ids(question)
        first, second = (x.session(memory).forward(ids, "all") for x in models)
        assert np.abs(first - second).max() < 1e-2


def test_greedy_tokens_are_the_same_over_64_steps(models):
    for question in QUESTIONS:
        answers = []
        for model in models:
            session, tokens = model.session(), []
            logits = session.forward(model.prompt_ids(question))
            for _ in range(64):
                tokens.append(int(logits[0].argmax()))
                logits = session.forward(tokens[-1:])
            answers.append(tokens)
        assert answers[0] == answers[1]


def test_it_is_the_shipped_model(models):
    """The float32 export answers as the int8 one that ships: the comparison above is about this model."""
    with engram_local.load(POCKET, backend="onnx", threads=1) as shipped:
        ids = shipped.prompt_ids(QUESTIONS[0])
        expected = shipped.session().forward(ids, "all")
    assert np.abs(models[0].session().forward(ids, "all") - expected).max() < 1
