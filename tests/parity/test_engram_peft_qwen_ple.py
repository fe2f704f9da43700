"""engram-peft's engine qwen_ple: Qwen3.8-Flash-Next's hashing, and rows that an EngramDB store holds."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import engram_local
from engram_local.errors import EngramError
from engram_local.hashing import NgramHasher
from engram_local.tables.links import write_link
from engram_local.tools.attach import attach
from engram_local.tools.checkpoints import open_checkpoint
from engram_local.tools.checkpoints.linked_rows import STORE_SHARD
from engram_local.tools.export.folder import export_model

pytest.importorskip("engram_peft")
from engram_peft.hashing import QwenPleHashMapping
from parity.adapters import make_adapter, prompts, reference_logits
from safetensors.torch import load_file, save_file

PRIMES = [101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167, 173, 179]
PLE = {
    "engine": "qwen_ple",
    "table_spec": "PLE_QWEN_V1",
    "ngram_sizes": [2, 3],
    "n_head_per_ngram": 8,
    "embedding_dim": 16 * 32,
    "prime_sizes": PRIMES,
    "target_layers": [1],
    "hc_mult": 2,
}
SHARDS = 4
IDS = prompts(1)[0]
ROWS, EXACT = sum(PRIMES), {"threads": 1}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """base, adapter (which holds its rows), reference: the trainer's logits."""
    folder = tmp_path_factory.mktemp("ple")
    base, adapter = make_adapter(folder, "qwen3", **PLE)
    return SimpleNamespace(base=base, adapter=adapter, reference=reference_logits(base, adapter, IDS))


def with_store(made, folder: Path, dtype: str = "float32", **settings) -> Path:
    """The adapter as engram-peft saves it where an EngramDB store holds the rows."""
    adapter = shutil.copytree(made.adapter, folder / "adapter")
    file = adapter / "engram_adapters.safetensors"
    tensors = load_file(file)
    rows = tensors.pop("1.multi_head_embedding.embedding.weight")
    save_file(tensors, file)
    per_shard = -(-ROWS // SHARDS)
    rows = torch.cat([rows, torch.zeros(SHARDS * per_shard - ROWS, rows.shape[1])])
    scale = settings.get("table_scale") or 1.0
    stored = (rows / scale).to(getattr(torch, dtype)).view(torch.uint8).reshape(SHARDS, -1).numpy()
    store = folder / "store"
    store.mkdir()
    for i, shard in enumerate(stored):
        (store / STORE_SHARD.format(i)).write_bytes(shard.tobytes())
    width = rows.shape[1] * getattr(torch, dtype).itemsize
    config = json.loads((adapter / "config.json").read_text())
    config |= {"table_source": "engramdb:store", "table_store_path": str(store), "table_dtype": dtype}
    config |= {"table_shards": SHARDS, "table_rows_per_shard": per_shard, "table_width": width} | settings
    (adapter / "config.json").write_text(json.dumps(config))
    return adapter


@pytest.mark.parametrize("primes", [None, PRIMES], ids=["real", "tiny"])
def test_hashing_is_the_trainers(made, tmp_path, primes):
    ids = np.random.default_rng(0).integers(0, 320, 60)
    ids[[17, 18, 40]] = 248_044
    theirs = QwenPleHashMapping(compressed_vocab_size=320, layer_ids=[1], prime_sizes=primes).hash(ids)[1][0]
    if primes is None:
        from engram_local.tools.checkpoints.table_spec import read_table_spec

        config = json.loads((made.adapter / "config.json").read_text()) | {"prime_sizes": None}
        (tmp_path / "config.json").write_text(json.dumps(config))
        engram = read_table_spec(tmp_path).engram
        assert engram.layers[0].n_rows == 320_001_446
    else:
        engram = open_checkpoint(made.adapter, made.base).engram
    offsets = [x for o in engram.layers[0].orders for x in o.offsets]
    assert np.array_equal(NgramHasher(engram).row_ids(ids, 1) - offsets, theirs)


def test_an_adapter_that_holds_its_rows(made, tmp_path):
    export_model(made.adapter, tmp_path / "model", made.base, tables="float32", weights="float32")
    with engram_local.load(tmp_path / "model", **EXACT) as model:
        assert np.abs(model.session().forward(IDS, "all") - made.reference).max() < 1e-3


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float8_e4m3fn"])
def test_rows_of_a_store_are_read_in_place(made, tmp_path, dtype):
    scale = {"table_scale": 0.02} if dtype == "float8_e4m3fn" else {}
    adapter = with_store(made, tmp_path, dtype, **scale)
    info = export_model(adapter, tmp_path / "model", made.base, weights="float32")
    assert info["tables"]["tables/layer_1.link.json"]["linked"] == [STORE_SHARD.format(i) for i in range(SHARDS)]
    assert sum(x.stat().st_size for x in (tmp_path / "model" / "tables").iterdir()) < 2000
    with engram_local.load(tmp_path / "model", table_access="direct", **EXACT) as model:
        logits = model.session().forward(IDS, "all")
    error = np.abs(logits - trainers(made, adapter, tmp_path, dtype, **scale)).max()
    assert error < 1e-3


def trainers(made, adapter: Path, folder: Path, dtype: str, table_scale: float = 1.0) -> np.ndarray:
    """engram-peft's logits with the rows that are in the store, given to it in memory: as EngramDB decodes them."""
    twin = shutil.copytree(made.adapter, folder / "twin")
    tensors = load_file(twin / "engram_adapters.safetensors")
    rows = tensors["1.multi_head_embedding.embedding.weight"]
    decoded = (rows / table_scale).to(getattr(torch, dtype)).float() * table_scale
    tensors["1.multi_head_embedding.embedding.weight"] = decoded
    save_file(tensors, twin / "engram_adapters.safetensors")
    return reference_logits(made.base, twin, IDS)


def test_engram_peft_with_engramdb_itself(made, tmp_path, monkeypatch):
    pytest.importorskip("engramdb")
    import engram_peft.layer

    monkeypatch.setattr(engram_peft.layer, "MultiHeadEmbedding", engram_peft.layer.MultiHeadEmbedding)  # put back later
    adapter = with_store(made, tmp_path, "float8_e4m3fn", table_scale=0.02)
    model = trainers_own_model(made.base, adapter)
    with torch.no_grad():
        expected = model(input_ids=torch.as_tensor(IDS)[None]).logits[0].float().numpy()
    export_model(adapter, tmp_path / "model", made.base, weights="float32")
    with engram_local.load(tmp_path / "model", **EXACT) as model:
        assert np.abs(model.session().forward(IDS, "all") - expected).max() < 1e-3


def trainers_own_model(base: Path, adapter: Path) -> torch.nn.Module:
    import transformers
    from engram_peft import EngramConfig, get_engram_model
    from engram_peft.saving import load_engram_weights

    plain = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
    config = EngramConfig.from_pretrained(adapter)
    model = get_engram_model(plain, config, tokenizer=transformers.AutoTokenizer.from_pretrained(base))
    assert type(model.engram_layers["1"].multi_head_embedding).__name__ == "DiskMultiHeadEmbedding"
    load_engram_weights(model, str(adapter))
    return model.eval()


def test_the_rows_may_lie_elsewhere(made, tmp_path):
    """A link in place of the store; and the GGUF way in."""
    pytest.importorskip("llama_cpp")
    from engram_local.tools.export.gguf import write_backbone_gguf

    adapter = with_store(made, tmp_path)
    source = made.adapter / "engram_adapters.safetensors"
    write_link(tmp_path / "rows.link.json", [(str(source), "1.multi_head_embedding.embedding.weight")])
    shutil.rmtree(tmp_path / "store")
    write_backbone_gguf(made.base, tmp_path / "download.gguf")
    link = tmp_path / "rows.link.json"
    attach(tmp_path / "download.gguf", adapter, tmp_path / "model", made.base, weights="float32", table=link)
    with engram_local.load(tmp_path / "model", kv_type="float32", **EXACT) as model:
        assert np.abs(model.session().forward(IDS, "all") - made.reference).max() < 1e-2


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"table_source": "engramdb:view"}, r"table_source is 'engramdb:view'; known are 'memory', 'engramdb:store'"),
        ({"engine": "other"}, r"engine is 'other'; known are 'deepseek', 'qwen_ple'"),
        ({"table_spec": "PLE_QWEN_V2"}, r"table_spec is 'PLE_QWEN_V2'"),
        ({"ngram_sizes": [2, 4]}, r"ngram_sizes is \[2, 4\]; engine 'qwen_ple' has \[2, 3\] alone"),
        ({"prime_sizes": [1, 2]}, r"prime_sizes is \[1, 2\], not 16 numbers"),
        ({"target_layers": [0, 1]}, r"target_layers is \[0, 1\]; engine 'qwen_ple' has one layer"),
        ({"table_store_path": None}, r"table_store_path is missing; give --table"),
        ({"table_store_path": "/nowhere"}, r"table_store_path is '/nowhere', no folder here; say with --table"),
        ({"table_shards": 9}, r"shard_004.bin: no such file; the store of 9 shards is not whole"),
        ({"table_dtype": "int3"}, r"rows of int3 are not known"),
        ({"table_dtype": "float32", "table_width": 126}, r"126 bytes a row are no float32 values"),
        ({"table_rows_per_shard": 7}, r"rows \[7, 32\] of F32 take 896"),
        ({"table_model_dir": "/nowhere"}, r"table_model_dir is '/nowhere', which holds no weight_scale"),
    ],
)
def test_settings_that_cannot_be_served_are_named(made, tmp_path, settings, match):
    adapter = with_store(made, tmp_path, **settings)
    with pytest.raises(EngramError, match=match) as info:
        open_checkpoint(adapter, made.base)
    assert "\n" not in str(info.value)


def test_a_store_with_too_few_rows(made, tmp_path):
    adapter = with_store(made, tmp_path)
    config = json.loads((adapter / "config.json").read_text()) | {"table_shards": 3}
    (adapter / "config.json").write_text(json.dumps(config))
    with pytest.raises(EngramError, match=rf"holds \d+ rows of 32 values, .* needs {ROWS} of 32"):
        open_checkpoint(adapter, made.base)
