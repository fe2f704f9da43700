"""The demo's layout and this project's own, exported and run, against the same layers in torch."""

import json
import shutil

import numpy as np
import pytest
import torch
from parity.adapters import prompts
from parity.demo_layers import DemoModel
from parity.tiny_bases import make_base
from safetensors.torch import load_file, save_file

import engram_local
from engram_local.errors import CheckpointError
from engram_local.tools.checkpoints import open_checkpoint
from engram_local.tools.export.folder import export_model

BOUND = {"onnx": 2e-4, "gguf": 1e-3}
VOCAB = 312  # tokens of the tokenizer; the backbone's vocabulary is padded
CONFIG = {
    "engram_vocab_size": [1000, 1500], "max_ngram_size": 3, "n_embed_per_ngram": 32, "n_head_per_ngram": 2,
    "pad_id": 0, "seed": 5,
}  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qwen3") / "base"
    make_base("qwen3", folder)
    return folder


def check(demo: DemoModel, checkpoint, out, base=None, layout=None):
    info = export_model(checkpoint, out, base=base, backend="both", tables="float32", weights="float32")
    assert layout is None or info["layout"] == layout
    for options in ({"backend": "onnx"}, {"backend": "gguf", "kv_type": "float32", "flash_attention": "off"}):
        with engram_local.load(out, threads=1, **options) as model:
            for ids in prompts(vocab=VOCAB):
                for layer_id in demo.layers:
                    np.testing.assert_array_equal(model.hasher.row_ids(ids, layer_id), demo.row_ids(ids, layer_id))
                for memory in (True, False):
                    found = model.session(memory).forward(ids, logits="all")
                    np.testing.assert_allclose(found, demo.logits(ids, memory), rtol=0, atol=BOUND[model.backend.name])
                assert np.abs(demo.logits(ids) - demo.logits(ids, memory=False)).max() > 1


def test_tiny_engram_folder(base, tmp_path):
    """One Hugging Face folder with the layers among the backbone's tensors, the config in generation_config.json."""
    demo = DemoModel(base, [2, 1], CONFIG["engram_vocab_size"])
    folder = tmp_path / "checkpoint"
    shutil.copytree(base, folder)
    tensors = load_file(folder / "model.safetensors")
    for i in demo.layers:
        tensors |= {f"model.engram_layers.{i}.{k}": v.contiguous() for k, v in demo.layer_tensors(i).items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["EngramQwenForCausalLM"]
    (folder / "config.json").write_text(json.dumps(config))
    generation = json.loads((folder / "generation_config.json").read_text())
    generation["engram_cfg"] = CONFIG | {"layer_ids": [2, 1]}
    (folder / "generation_config.json").write_text(json.dumps(generation))
    check(demo, folder, tmp_path / "model", layout="demo")


@pytest.mark.parametrize("streams", [1, 3])
def test_state_dict_of_any_prefix(base, tmp_path, streams):
    """A pickled state dict beside engram_config.json; blocks come after the embedding, so their numbers are one off."""
    demo = DemoModel(base, [0, 1], CONFIG["engram_vocab_size"], streams=streams)
    state = {f"net.{i + 1}.engram.{k}": v for i in demo.layers for k, v in demo.layer_tensors(i).items()}
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    torch.save({"state_dict": state | {"net.0.weight": torch.zeros(3, 2)}}, folder / "step.pt")
    (folder / "engram_config.json").write_text(json.dumps(CONFIG | {"layer_ids": [0, 1]}))
    check(demo, folder / "step.pt", tmp_path / "model", base, layout="demo")
    with pytest.raises(CheckpointError, match=r"give the base model's folder as --base"):
        open_checkpoint(folder / "step.pt")


def test_a_config_that_is_missing_or_wrong(base, tmp_path):
    demo = DemoModel(base, [1], CONFIG["engram_vocab_size"])
    file, config = tmp_path / "layers.safetensors", tmp_path / "engram_config.json"
    save_file({f"engram.{k}": v.contiguous() for k, v in demo.layer_tensors(1).items()}, file)
    keys = [
        "engram_vocab_size",
        "layer_ids",
        "max_ngram_size",
        "n_embed_per_ngram",
        "n_head_per_ngram",
        "pad_id",
        "seed",
    ]
    with pytest.raises(CheckpointError, match="write them there") as error:
        open_checkpoint(file, base)
    assert str(config) in str(error.value) and all(key in str(error.value) for key in keys)
    good = CONFIG | {"layer_ids": [1]}
    for wrong, message in (
        ({k: v for k, v in good.items() if k not in ("seed", "pad_id")}, "lacks pad_id, seed"),
        (good | {"engram_vocab_size": [1000, 1400]}, "give the config it was trained with"),
        (good | {"engram_vocab_size": [1000]}, "do not fit"),
        (good | {"layer_ids": [1, 2]}, "says layer_ids"),
        (good | {"layer_ids": [7]}, "has 3 blocks"),
        (good | {"pad_id": 400}, "pad_id is 400"),
        (good | {"n_head_per_ngram": "2"}, "not an integer"),
        (good | {"n_embed_per_ngram": 64}, "its config asks for"),
    ):
        config.write_text(json.dumps(wrong))
        with pytest.raises(CheckpointError, match=message):
            open_checkpoint(file, base)
    config.write_text(json.dumps(good))
    assert open_checkpoint(file, base).layout == "demo"


@pytest.fixture
def trained(base, tmp_path):
    """(torch model, folder) in this project's own layout."""
    demo = DemoModel(base, [1, 2], [1000, 1500, 2000], bias=False, dilation=4, eps=1e-6)
    folder = tmp_path / "trained"
    shutil.copytree(base, folder)
    tensors = load_file(folder / "model.safetensors")
    vocab = tensors["model.embed_tokens.weight"].shape[0]
    token_map = demo.compressor.map_ids(np.arange(VOCAB))
    tensors["engram.token_map"] = torch.tensor(np.pad(token_map, (0, vocab - VOCAB))).int()
    block = {
        "layer_ids": [1, 2], "ngram_sizes": demo.orders, "n_heads": 2, "head_dim": 16, "hc_mult": 1, "kernel_size": 4,
        "dilation": 4, "norm_eps": 1e-6, "compressed_vocab_size": len(demo.compressor), "pad_id": demo.pad_id,
        "layers": {},
    }  # fmt: skip
    for i, layer in demo.layers.items():
        state = layer.state_dict()
        names = {
            "key_proj": "gating.w_k.0", "value_proj": "gating.w_v", "norm_key": "gating.norm_k.0",
            "norm_query": "gating.norm_h.0", "norm_conv": "short_conv.norms.0", "conv": "short_conv.conv",
        }  # fmt: skip
        tensors |= {f"engram.{i}.{ours}.weight": state[f"{theirs}.weight"] for ours, theirs in names.items()}
        tensors[f"engram.{i}.table.weight"] = demo.tables[i]
        numbers = {
            "multipliers": demo.hashing.all_multipliers[i].tolist(),
            "primes": demo.primes[i],
            "offsets": demo.offsets(i).tolist(),
        }
        block["layers"][str(i)] = numbers
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"engram": block}))
    return demo, folder


def test_own_layout(trained, tmp_path):
    demo, folder = trained
    check(demo, folder, tmp_path / "model", layout="trained")


def test_own_layout_with_a_token_map_of_another_model(trained, tmp_path):
    _, folder = trained
    tensors = load_file(folder / "model.safetensors")
    tensors["engram.token_map"] = tensors["engram.token_map"][:-4].clone()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="do not belong together"):
        export_model(folder, tmp_path / "model")
    assert not list(tmp_path.glob("model*"))
