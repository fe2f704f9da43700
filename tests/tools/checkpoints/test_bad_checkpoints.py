"""Checkpoints that cannot be exported: one clear line, and nothing written."""

import json
import pickle
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxruntime_genai")
from parity.tiny_bases import HIDDEN, make_base, write_tokenizer  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from engram_local.errors import EngramError  # noqa: E402
from engram_local.token_compression import compression_map  # noqa: E402
from engram_local.tools.checkpoints import draws, open_checkpoint  # noqa: E402
from engram_local.tools.export.folder import export_model  # noqa: E402

HEADS, ORDERS, HEAD_DIM = 2, [2, 3], 8
ADAPTER = "adapter/engram_adapters.safetensors"
BASE = "base/model.safetensors"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A folder with base/ and adapter/ in engram-peft's layout, written from its description."""
    folder = tmp_path_factory.mktemp("good")
    (folder / "adapter").mkdir()
    make_base("llama", folder / "base")
    config = {
        "model_type": "engram", "engine": "deepseek", "table_source": "memory", "table_spec": None,
        "engram_vocab_size_per_ngram": [1000, 1500], "ngram_sizes": ORDERS, "n_head_per_ngram": HEADS,
        "embedding_dim": len(ORDERS) * HEADS * HEAD_DIM, "target_layers": [1], "hc_mult": 1, "conv_kernel_size": 4,
        "conv_dilation": 3, "enable_tokenizer_compression": True, "hidden_size": HIDDEN, "pad_id": 0, "seed": 0,
        "compressed_vocab_size": int(compression_map(folder / "base/tokenizer.json").max()) + 1,
        "tokenizer_name_or_path": str(folder / "base"),
    }  # fmt: skip
    (folder / "adapter/config.json").write_text(json.dumps(config))
    primes = draws.head_primes([1], [500, 750], HEADS)[1]
    torch.manual_seed(0)
    width = config["embedding_dim"]
    tensors = {
        "1.multi_head_embedding.embedding.weight": torch.randn(sum(primes), HEAD_DIM),
        "1.multi_head_embedding.offsets": torch.tensor(draws.offsets(primes)),
        "1.gating.w_v.weight": torch.randn(HIDDEN, width),
        "1.gating.w_k.0.weight": torch.randn(HIDDEN, width),
        "1.gating.norm_h.0.weight": torch.ones(HIDDEN),
        "1.gating.norm_k.0.weight": torch.ones(HIDDEN),
        "1.short_conv.norms.0.weight": torch.ones(HIDDEN),
        "1.short_conv.conv.weight": torch.randn(HIDDEN, 1, 4),
    }
    save_file(tensors, folder / ADAPTER)
    return folder


@pytest.fixture
def refused(good, tmp_path):
    """(change of a copied folder) -> the message with which its export is refused."""

    def run(change) -> str:
        work = tmp_path / "work"
        shutil.copytree(good, work)
        change(work)
        before = sorted(x for x in tmp_path.rglob("*"))
        with pytest.raises(EngramError) as error:
            export_model(work / "adapter", tmp_path / "model", base=work / "base")
        assert sorted(x for x in tmp_path.rglob("*")) == before
        message = str(error.value)
        assert "\n" not in message and len(message) < 600
        return message.replace(str(work), "")

    return run


def edit_json(name: str, **fields):
    def change(folder):
        config = json.loads((folder / name).read_text())
        config |= fields
        (folder / name).write_text(json.dumps({k: v for k, v in config.items() if v != "absent"}))

    return change


def edit_tensors(name: str, **tensors):
    """Replace tensors, `__` in a keyword for a dot; None removes one."""

    def change(folder):
        found = load_file(folder / name)
        for key, value in tensors.items():
            key = key.replace("__", ".").removeprefix("_")
            if value is None:
                del found[key]
            else:
                found[key] = value(found.get(key))
        save_file(found, folder / name, metadata={"format": "pt"})

    return change


def truncate(name: str, n_bytes: int = 5000):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-n_bytes])


def shift(tensor):
    return torch.cat([tensor[:1], tensor[1:] + 2])


def with_nan(tensor):
    tensor.view(-1)[3] = float("nan")
    return tensor


def test_the_good_one_is_good(good, tmp_path):
    export_model(good / "adapter", tmp_path / "model", base=good / "base", tables="int8", weights="int8")
    assert (tmp_path / "model/manifest.json").exists()


TABLE = "_1__multi_head_embedding__embedding__weight"
OFFSETS = "_1__multi_head_embedding__offsets"
VALUE = "_1__gating__w_v__weight"
CONFIG = "adapter/config.json"
CASES = {
    "missing tensor": (edit_tensors(ADAPTER, **{VALUE: None}), "has no tensor '1.gating.w_v.weight'"),
    "missing table": (edit_tensors(ADAPTER, **{TABLE: None}), "has no tensor"),
    "missing offsets": (edit_tensors(ADAPTER, **{OFFSETS: None}), "has no tensor"),
    "unknown tensor": (edit_tensors(ADAPTER, _1__out_proj=lambda _: torch.ones(2)), "holds '1.out_proj'"),
    "second stream": (edit_tensors(ADAPTER, _1__gating__w_k__1=lambda _: torch.ones(2, 2)), "holds '1.gating.w_k.1'"),
    "wrong shape": (
        edit_tensors(ADAPTER, **{VALUE: lambda x: x[:, :-1].clone()}),
        "value_proj has shape [256, 31], its config asks for [256, 32]",
    ),
    "wrong kernel": (edit_json(CONFIG, conv_kernel_size=3), "[256, 1, 4], its config asks for [256, 1, 3]"),
    "short table": (edit_tensors(ADAPTER, **{TABLE: lambda x: x[:-1].clone()}), "layer 1's table is [2519, 8]"),
    "flat table": (edit_tensors(ADAPTER, **{TABLE: lambda x: x.view(-1)}), "a table has two dimensions"),
    "offsets that disagree": (edit_tensors(ADAPTER, **{OFFSETS: shift}), "every row would be wrong"),
    "NaN": (edit_tensors(ADAPTER, _1__short_conv__conv__weight=with_nan), "conv_weight holds NaN"),
    "NaN in a row": (edit_tensors(ADAPTER, **{TABLE: with_nan}), "row 0 holds NaN"),
    "NaN in the base": (edit_tensors(BASE, model__norm__weight=with_nan), "/base: model.norm.weight holds NaN"),
    "other sizes": (edit_json(CONFIG, engram_vocab_size_per_ngram=[1000, 1400]), "give the config it was trained with"),
    "wrong vocabulary": (
        edit_json(CONFIG, compressed_vocab_size=200),
        "another tokenizer, so every row would be wrong",
    ),
    "another tokenizer": (lambda folder: write_tokenizer(folder / "base", 9), "another tokenizer"),
    "no tokenizer": (lambda folder: (folder / "base/tokenizer.json").unlink(), "base/tokenizer.json: no such file"),
    "broken tokenizer": (lambda folder: (folder / "base/tokenizer.json").write_text("{}"), "not a tokenizer"),
    "another width": (edit_json(CONFIG, hidden_size=512), "hidden_size is 512, /base has 256"),
    "no such block": (edit_json(CONFIG, target_layers=[9]), "/base has 3 blocks"),
    "pad beyond the vocabulary": (edit_json(CONFIG, pad_id=5000), "pad_id is 5000"),
    "no pad": (edit_json(CONFIG, pad_id=None), "lacks pad_id"),
    "several keys missing": (edit_json(CONFIG, seed="absent", ngram_sizes="absent"), "lacks seed, ngram_sizes"),
    "no integer": (edit_json(CONFIG, hc_mult="1"), "hc_mult is '1', not an integer from 1"),
    "huge order": (edit_json(CONFIG, ngram_sizes=[2, 10**9]), "do not fit"),
    "other engine": (edit_json(CONFIG, engine="mamba"), "engine is 'mamba'; known are"),
    "table elsewhere": (edit_json(CONFIG, table_source="engramdb:store"), "table_source is 'engramdb:store'"),
    "config that is no JSON": (lambda folder: (folder / CONFIG).write_text("{"), "is not JSON"),
    "config of nesting": (lambda folder: (folder / CONFIG).write_text("[" * 100_000), "is not JSON"),
    "unknown family": (
        edit_json("base/config.json", architectures=["MambaForCausalLM"], model_type="mamba"),
        "architecture MambaForCausalLM cannot be exported as ONNX; known: Ernie4_5, ",
    ),
    "base without sizes": (edit_json("base/config.json", vocab_size="absent"), "lacks vocab_size"),
    "unreadable adapter": (truncate(ADAPTER), "engram_adapters.safetensors: cannot be read"),
    "unreadable base": (truncate(BASE), "/base/model.safetensors: cannot be read"),
    "base with a tensor missing": (
        edit_tensors(BASE, model__layers__1__mlp__up_proj__weight=None),
        "/base: tensor model.layers.1.mlp.up_proj.weight is missing",
    ),
    "base with another shape": (edit_tensors(BASE, model__norm__weight=lambda x: x[:-1].clone()), "/base: "),
    "base without weights": (lambda folder: (folder / BASE).unlink(), "/base: "),
}


@pytest.mark.parametrize(("change", "message"), CASES.values(), ids=CASES)
def test_refused_in_one_line(refused, change, message):
    assert message in refused(change)


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_pickle_with_code_as_adapter(refused, tmp_path):
    def change(folder):
        (folder / ADAPTER).unlink()
        torch.save({"1.gating.w_v.weight": Bomb(tmp_path / "ran")}, folder / "adapter/engram_weights.pt")

    message = refused(change)
    assert "/adapter/engram_weights.pt: is no plain state dict" in message and "save it as safetensors" in message
    assert not (tmp_path / "ran").exists()


def test_bare_pickle_as_adapter(refused, tmp_path):
    def change(folder):
        (folder / ADAPTER).unlink()
        (folder / "adapter/engram_weights.pt").write_bytes(pickle.dumps({"a": Bomb(tmp_path / "ran")}))

    assert "it is not unpickled" in refused(change)
    assert not (tmp_path / "ran").exists()


def test_pickle_with_code_as_base(refused, tmp_path):
    def change(folder):
        (folder / BASE).unlink()
        torch.save({"model.norm.weight": Bomb(tmp_path / "ran")}, folder / "base/pytorch_model.bin")

    assert "/base/pytorch_model.bin: is no plain state dict" in refused(change)
    assert not (tmp_path / "ran").exists()


def test_shards_that_are_missing_or_outside(good, tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    for name, message in (("gone.safetensors", "is missing, though the checkpoint's index names it"),
                          ("../adapter.safetensors", "names files outside the folder")):  # fmt: skip
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": name}}))
        with pytest.raises(EngramError, match=message):
            open_checkpoint(folder, good / "base")


def test_base_that_is_not_here(good, tmp_path):
    shutil.copytree(good / "adapter", tmp_path / "adapter")
    edit_json(CONFIG, tokenizer_name_or_path="Qwen/Qwen3-0.6B")(tmp_path)
    with pytest.raises(EngramError, match=r"names 'Qwen/Qwen3-0.6B' as its base model.* give .* as --base"):
        open_checkpoint(tmp_path / "adapter")
    with pytest.raises(EngramError, match="no such folder; --base takes"):
        open_checkpoint(tmp_path / "adapter", tmp_path / "nowhere")


def test_layouts(good, tmp_path):
    assert open_checkpoint(good / "adapter", layout="engram-peft").layout == "engram-peft"
    with pytest.raises(EngramError, match="the layouts are trained, engram-peft, summed, demo"):
        open_checkpoint(good / "adapter", layout="gguf")
    with pytest.raises(EngramError, match="is of no known layout"):
        open_checkpoint(good / "base")
    with pytest.raises(EngramError, match="is of no known layout"):
        open_checkpoint(tmp_path)
    for layout in ("trained", "demo"):
        with pytest.raises(EngramError):
            open_checkpoint(good / "adapter", layout=layout)


def test_rows_are_read_in_blocks(good):
    view = open_checkpoint(good / "adapter")
    rows = load_file(good / ADAPTER)["1.multi_head_embedding.embedding.weight"].numpy()
    np.testing.assert_array_equal(view.tables[1].read(100, 228), rows[100:228])
