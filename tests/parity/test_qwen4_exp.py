"""qwen4_exp (Qwen3.8-Flash-Next) as transformers has it, tiny: its hashing, and its table in Hugging Face's shards."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_gguf import VOCAB

from engram_local.errors import EngramError
from engram_local.hashing import NgramHasher
from engram_local.tools.checkpoints.linked_rows import find_constants, find_rows
from engram_local.tools.checkpoints.table_spec import read_table_spec

EOS, DIM = 1, 8  # llama.cpp wants rows as wide together as the hidden state


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder as transformers writes it, the model, and its n-gram embedding."""
    folder = tmp_path_factory.mktemp("qwen4") / "hf"
    torch.manual_seed(1)
    config = transformers.models.qwen4_exp.configuration_qwen4_exp.Qwen4ExpTextConfig(
        vocab_size=VOCAB, hidden_size=128, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
        head_dim=32, linear_key_head_dim=16, linear_value_head_dim=16, linear_num_key_heads=2,
        linear_num_value_heads=4, moe_intermediate_size=32, shared_expert_intermediate_size=32, num_experts=4,
        num_experts_per_tok=2, hc_count=4, hc_lowrank=16, ple_layer_ids=[2], ple_embed_dim=16 * DIM,
        ngram_vocab_size_base=101, split_ngram_parts=4, eos_token_id=EOS, max_position_embeddings=256,
        indexer_n_heads=2, indexer_kv_heads=1, indexer_head_dim=32, indexer_budget=2048, indexer_compress_ratio=16,
        tie_word_embeddings=False, output_gate_type="sigmoid", rope_parameters={
            "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5, "mrope_section": [3, 3, 2],
            "mrope_interleaved": True},
    )  # fmt: skip
    model = transformers.models.qwen4_exp.modeling_qwen4_exp.Qwen4ExpForCausalLM(config).float().eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "A_log" in name or "dt_bias" in name:
                continue
            noise = torch.randn_like(weight)
            if "norm" in name and weight.ndim == 1:
                weight.copy_(0.1 * noise)
            else:
                weight.copy_(noise if "embed" in name else noise / weight.shape[-1] ** 0.5)
    model.save_pretrained(folder)
    return SimpleNamespace(folder=folder, model=model, embedding=model.model.layers[1].ple.ple_embedding)


def test_hashing_and_rows_are_transformers(published):
    folder, embedding = published.folder, published.embedding
    ids = np.random.default_rng(0).integers(3, VOCAB, 50)
    ids[[10, 11, 30]] = EOS
    with torch.no_grad():
        expected = embedding(torch.from_numpy(ids)[None], None)[0].numpy()
    spec = read_table_spec(folder)
    (layer,) = spec.engram.layers
    table = find_rows(folder)
    assert (table.n_rows, table.dim) == (layer.n_rows, layer.head_dim) == tuple(embedding.ngram_embedding.weight.shape)
    assert len(table.parts) == 4 and spec.stored == "float32"
    rows = table.read(0, table.n_rows)[NgramHasher(spec.engram).row_ids(ids, layer.layer_id)]
    assert np.array_equal(rows.reshape(len(ids), -1), expected)


def test_constants_are_those_of_the_checkpoint(published):
    folder, embedding = published.folder, published.embedding
    found = find_constants(folder)
    assert found == {
        "layer_multipliers": embedding.layer_multipliers.tolist(),
        "ngram_heads_vocab_sizes": embedding.ngram_heads_vocab_sizes.tolist(),
        "ngram_heads_offsets": embedding.ngram_heads_offsets.tolist(),
    }


def test_without_the_buffers_the_config_makes_them(published, tmp_path):
    """A repack that left them out."""
    folder = shutil.copytree(published.folder, tmp_path / "hf")
    for file in folder.glob("*.safetensors"):
        tensors = load_file(file)
        save_file({k: v for k, v in tensors.items() if "layer_multipliers" not in k}, file)
    assert find_constants(folder) == find_constants(published.folder)


def test_a_checkpoint_with_fp8_rows(published, tmp_path):
    """Rows as e4m3 with one scale for the table, as repacks have them."""
    from engram_local.tools.checkpoints.linked_rows import read_scale

    folder = shutil.copytree(published.folder, tmp_path / "hf")
    for file in folder.glob("*.safetensors"):
        tensors = load_file(file)
        shards = [k for k in tensors if ".shard_" in k]
        for name in shards:
            tensors[name] = (tensors[name] / 0.5).to(torch.float8_e4m3fn)
        if shards:
            tensors[shards[0].partition(".shard_")[0] + ".weight_scale"] = torch.tensor(0.5)
        save_file(tensors, file)
    assert read_scale(folder) == 0.5
    rows, exact = (find_rows(x).read(0, 1000) for x in (folder, published.folder))
    assert 0 < np.abs(rows - exact).max() < 0.07 * np.abs(exact).max()


def test_a_folder_without_a_part_of_the_table(published, tmp_path):
    folder = shutil.copytree(published.folder, tmp_path / "hf")
    for file in folder.glob("*.safetensors"):
        tensors = load_file(file)
        save_file({k: v for k, v in tensors.items() if ".shard_2." not in k}, file)
    with pytest.raises(EngramError, match=r"has no tensor shard_2\.weight; fetch the files"):
        find_rows(folder)
    for file in folder.glob("*.safetensors"):
        file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 123456\n")
    with pytest.raises(EngramError, match="run git lfs pull"):
        find_rows(folder)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {}}))
    with pytest.raises(EngramError, match=r"has no tensor \.\.\.ngram_embedding\.shard_0\.weight"):
        find_rows(folder)


@pytest.mark.parametrize("from_shards", [False, True], ids=["the GGUF's table", "the folder's shards"])
def test_a_linked_model_computes_what_transformers_and_stock_llama_cpp_compute(published, tmp_path, from_shards):
    pytest.importorskip("llama_cpp")
    from parity.qwen4_gguf import write_qwen4_gguf
    from stock_llama import FLOAT32_CACHE, stock_logits

    import engram_local
    from engram_local.tools.link import link

    write_qwen4_gguf(published.model, tmp_path / "m.gguf")
    link(tmp_path / "m.gguf", tmp_path / "model", table=published.folder if from_shards else None)
    ids = np.random.default_rng(3).integers(3, VOCAB, 40)
    ids[17] = EOS
    with torch.no_grad():
        expected = published.model(torch.from_numpy(ids)[None]).logits[0].numpy()
        weight = published.embedding.ngram_embedding.weight
        kept = weight.clone()
        weight.zero_()
        without = published.model(torch.from_numpy(ids)[None]).logits[0].numpy()
        weight.copy_(kept)
    options = {"kv_type": "float32", "flash_attention": "off", "threads": 1}
    with engram_local.load(tmp_path / "model", table_access="direct", **options) as model:
        logits = model.session().forward(ids, "all")
        session = model.session()
        decoded = np.concatenate([session.forward([x]) for x in ids])
        off = model.session(memory=False).forward(ids, "all")
    assert np.array_equal(logits, stock_logits(tmp_path / "m.gguf", ids, **FLOAT32_CACHE))
    assert np.abs(logits - expected).max() < 1e-5
    assert np.abs(decoded - expected).max() < 1e-5
    assert np.abs(off - without).max() < 1e-5
    assert np.abs(expected - without).max() > 0.5
