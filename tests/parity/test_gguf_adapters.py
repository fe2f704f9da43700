"""engram-peft adapters through the GGUF backend, in float32, against engram-peft itself and stock llama-cpp-python."""

from types import SimpleNamespace

import numpy as np
import pytest
from stock_llama import FLOAT32_CACHE, stock_logits

import engram_local
from engram_local.backends import gguf
from engram_local.errors import EngramError
from engram_local.tools.attach import attach
from engram_local.tools.export.folder import export_model

pytest.importorskip("llama_cpp")
pytest.importorskip("engram_peft")
from parity.adapters import make_adapter, prompts, reference_logits

EXACT = {"kv_type": "float32", "flash_attention": "off", "threads": 1}
CASES = {
    "llama": {"target_layers": [0, 2], "hc_mult": 2},
    "qwen3": {"target_layers": [1]},
    "gemma3": {"target_layers": [0, 1]},
    "qwen3moe": {"target_layers": [1, 2], "ngram_sizes": [2, 4], "engram_vocab_size_per_ngram": [900, 1100]},
    "mixtral": {"target_layers": [1], "hc_mult": 4},
    "qwen2": {"target_layers": [0, 1]},
    "phi3": {"target_layers": [0, 1]},
    "olmo3": {"target_layers": [0, 2], "hc_mult": 2},
}


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    """An exported adapter, loaded, and its references: logits float32 [n, vocab] of one prompt."""
    folder = tmp_path_factory.mktemp(request.param)
    base, adapter = make_adapter(folder, request.param, **CASES[request.param])
    export_model(adapter, folder / "model", base=base, backend="gguf", tables="float32", weights="float32")
    ids = prompts(1)[0]
    with engram_local.load(folder / "model", **EXACT) as model:
        yield SimpleNamespace(
            ids=ids,
            model=model,
            memory=reference_logits(base, adapter, ids),
            plain=reference_logits(base, None, ids, memory=False),
            stock=stock_logits(folder / "model" / "backbone.gguf", ids, **FLOAT32_CACHE),
        )


def test_logits_are_engram_pefts(case):
    assert case.model.backend.name == "gguf"
    got = case.model.session().forward(case.ids, "all")
    error, of_stock = np.abs(got - case.memory).max(), np.abs(case.stock - case.plain).max()
    assert error < 1e-2
    assert error <= of_stock + 1e-3
    assert np.abs(case.memory - case.plain).max() > 1  # the memory does something


def test_memory_off_is_stock_llama_cpp_bit_for_bit(case):
    assert np.array_equal(case.model.session(memory=False).forward(case.ids, "all"), case.stock)


def test_decode_equals_prefill(case):
    session = case.model.session()
    decoded = np.concatenate([session.forward([t]) for t in case.ids])
    assert np.abs(decoded - case.memory).max() < 1e-2
    session.rewind(7)
    chunks = [session.forward(part, "all") for part in np.split(case.ids[7:], [5, 6, 20])]
    assert np.abs(np.concatenate(chunks) - case.memory[7:]).max() < 1e-2


def test_rewind_is_exact(case):
    session = case.model.session()
    session.forward(case.ids)
    session.rewind(12)
    again = session.forward(case.ids[12:], "all")
    fresh = case.model.session()
    fresh.forward(case.ids[:12])
    assert np.array_equal(again, fresh.forward(case.ids[12:], "all"))


def test_a_growing_cache_keeps_what_it_holds(case, monkeypatch):
    monkeypatch.setattr(gguf, "FIRST_CAPACITY", 8)
    with engram_local.load(case.model.folder.path, **EXACT) as model:
        session = model.session()
        parts = [session.forward(part, "all") for part in np.split(case.ids, [6, 20, 21])]
    assert np.abs(np.concatenate(parts) - case.memory).max() < 1e-2


def test_onnx_agrees(case, tmp_path):
    """The ONNX backend on an export of the same adapter."""
    source = case.model.folder.path.parent
    export_model(
        source / "adapter",
        tmp_path / "onnx",
        base=source / "base",
        backend="onnx",
        tables="float32",
        weights="float32",
    )
    with engram_local.load(tmp_path / "onnx", threads=1) as model:
        onnx = model.session().forward(case.ids, "all")
    assert np.abs(case.model.session().forward(case.ids, "all") - onnx).max() < 1e-2


@pytest.mark.parametrize("family", ["llama", "qwen3moe", "mixtral"])
def test_a_lora_adapter_is_merged(family, tmp_path):
    """Engram layers trained together with LoRA, of experts too: the GGUF holds the merged weights."""
    import peft
    import torch
    import transformers

    base, adapter = make_adapter(tmp_path, family)
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    experts = [name for name, _ in model.named_parameters() if name.endswith("experts.down_proj")]
    modules = ["q_proj"] if experts else ["q_proj", "down_proj"]
    lora = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=modules, target_parameters=experts))
    torch.manual_seed(1)
    for name, weight in lora.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    lora.save_pretrained(adapter)
    export_model(adapter, tmp_path / "model", base=base, backend="gguf", tables="float32", weights="float32")
    ids = prompts(1)[0]
    expected = reference_logits(base, adapter, ids)
    with engram_local.load(tmp_path / "model", **EXACT) as model:
        assert np.abs(model.session().forward(ids, "all") - expected).max() < 1e-2
    with pytest.raises(EngramError, match=r"changes the backbone's own weights too, .* export --backend gguf"):
        attach(tmp_path / "model" / "backbone.gguf", adapter, tmp_path / "out", base=base)
