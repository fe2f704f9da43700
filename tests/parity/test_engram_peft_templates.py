"""The bases of engram-peft's own templates (Qwen3.5, Ministral 3, Gemma 4): an adapter joins a GGUF of the base."""

import importlib.metadata
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from stock_llama import FLOAT32_CACHE, stock_logits

import engram_local
from engram_local.errors import EngramError
from engram_local.tools.attach import attach
from engram_local.tools.export.folder import export_model
from engram_local.tools.export.gguf import write_backbone_gguf

pytest.importorskip("llama_cpp")
pytest.importorskip("engram_peft")
from parity.adapters import make_adapter, prompts, reference_logits

EXACT = {"kv_type": "float32", "flash_attention": "off", "threads": 1}
CASES = {
    "qwen3_5": {"target_layers": [0, 1]},  # a block with a delta net, one with attention
    "ministral3": {"target_layers": [1, 2], "hc_mult": 2},
    "gemma4": {"target_layers": [1, 2], "hc_mult": 4},
}
IDS = prompts(1)[0]


def test_the_release_that_these_were_held_against():
    assert importlib.metadata.version("engram-peft") == "1.2.7"


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    """base, adapter, download.gguf (the base as somebody published it), attached: both, loaded."""
    folder = tmp_path_factory.mktemp(request.param)
    base, adapter = make_adapter(folder, request.param, **CASES[request.param])
    write_backbone_gguf(base, folder / "download.gguf", "float32")
    attach(folder / "download.gguf", adapter, folder / "model", base=base, tables="float32", weights="float32")
    with engram_local.load(folder / "model", **EXACT) as model:
        yield SimpleNamespace(
            name=request.param,
            folder=folder,
            model=model,
            memory=reference_logits(base, adapter, IDS),
            plain=reference_logits(base, None, IDS, memory=False),
            stock=stock_logits(folder / "download.gguf", IDS, **FLOAT32_CACHE),
        )


def test_logits_are_the_trainers(case):
    got = case.model.session().forward(IDS, "all")
    error, of_stock = np.abs(got - case.memory).max(), np.abs(case.stock - case.plain).max()
    print(case.name, "with the adapter", error, "without", of_stock)
    assert of_stock < 2e-2  # what transformers and llama.cpp differ by without any adapter
    assert error <= 2 * of_stock + 1e-3
    assert np.abs(case.memory - case.plain).max() > 1  # the memory does something


def test_memory_off_is_stock_llama_cpp_bit_for_bit(case):
    assert np.array_equal(case.model.session(memory=False).forward(IDS, "all"), case.stock)


def test_decode_and_rewind(case):
    session = case.model.session()
    decoded = np.concatenate([session.forward([t]) for t in IDS])
    assert np.abs(decoded - case.memory).max() < 2e-2
    session.rewind(7)
    chunks = [session.forward(part, "all") for part in np.split(IDS[7:], [5, 6, 20])]
    assert np.abs(np.concatenate(chunks) - case.memory[7:]).max() < 2e-2


def test_an_export_computes_the_same(case, tmp_path):
    export_model(
        case.folder / "adapter", tmp_path / "model", case.folder / "base", backend="gguf", tables="float32",
        weights="float32",
    )  # fmt: skip
    with engram_local.load(tmp_path / "model", **EXACT) as model:
        assert np.array_equal(model.session().forward(IDS, "all"), case.model.session().forward(IDS, "all"))


def test_onnx_is_refused_and_attach_is_named(case, tmp_path):
    with pytest.raises(EngramError, match=r"cannot be exported as ONNX.*engram-local attach") as info:
        export_model(case.folder / "adapter", tmp_path / "model", case.folder / "base", backend="onnx")
    assert "\n" not in str(info.value) and not (tmp_path / "model").exists()


def test_a_base_that_sees_images_too(case, tmp_path):
    """Published bases hold the language model's config inside another: the adapter fits all the same."""
    base = shutil.copytree(case.folder / "base", tmp_path / "base")
    text = json.loads((base / "config.json").read_text())
    eos = text.pop("eos_token_id")
    outer = {"architectures": ["SomeForConditionalGeneration"], "text_config": text, "eos_token_id": eos}
    (base / "config.json").write_text(json.dumps(outer))
    attach(case.folder / "download.gguf", case.folder / "adapter", tmp_path / "model", base, "float32", "float32")
    with engram_local.load(tmp_path / "model", **EXACT) as model:
        assert np.array_equal(model.session().forward(IDS, "all"), case.model.session().forward(IDS, "all"))
        assert model.folder.eos_ids() == {eos}
    with pytest.raises(EngramError, match=r"SomeForConditionalGeneration cannot be written as GGUF.*attach"):
        export_model(case.folder / "adapter", tmp_path / "out", base, backend="gguf")


def test_gemma_4_takes_no_layer_at_block_0(tmp_path):
    """llama.cpp makes the per-layer inputs of the node that block 0 reads; with transformers' hook they stay."""
    base, adapter = make_adapter(tmp_path, "gemma4", target_layers=[0])
    write_backbone_gguf(base, tmp_path / "download.gguf")
    for make in (
        lambda out: attach(tmp_path / "download.gguf", adapter, out, base=base),
        lambda out: export_model(adapter, out, base, backend="gguf"),
    ):
        with pytest.raises(EngramError, match=r"gemma4 makes its per-layer inputs .* train it for block 1"):
            make(tmp_path / "model")
        assert not (tmp_path / "model").exists()
