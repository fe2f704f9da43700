"""A backbone whose residual has four streams: an adapter of engram-peft on deepseek_v4, against transformers."""

from types import SimpleNamespace

import numpy as np
import pytest
from stock_llama import FLOAT32_CACHE, stock_logits

import engram_local
from engram_local.errors import EngramError
from engram_local.tools.attach import attach
from engram_local.tools.checkpoints import open_checkpoint
from engram_local.tools.export.folder import export_model

pytest.importorskip("llama_cpp")
pytest.importorskip("engram_peft")
from parity.adapters import add_adapter, reference_logits
from parity.deepseek4 import make_deepseek4, write_deepseek4_gguf
from parity.tiny_bases import VOCAB, write_tokenizer

EXACT = {"kv_type": "float32", "flash_attention": "off", "threads": 1}
IDS = np.random.default_rng(0).integers(6, VOCAB, 200)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deepseek4")
    model = make_deepseek4(VOCAB)
    model.save_pretrained(folder / "base")
    write_tokenizer(folder / "base")
    write_deepseek4_gguf(model, folder / "download.gguf")
    add_adapter(model, folder / "base", folder / "adapter", hc_mult=4, target_layers=[0, 1, 3])
    attach(folder / "download.gguf", folder / "adapter", folder / "model", folder / "base", "float32", "float32")
    with engram_local.load(folder / "model", **EXACT) as loaded:
        yield SimpleNamespace(
            folder=folder,
            model=loaded,
            memory=reference_logits(folder / "base", folder / "adapter", IDS),
            plain=reference_logits(folder / "base", None, IDS, memory=False),
        )


def test_logits_are_transformers(case):
    assert case.model.config.residual_streams == 4
    assert np.abs(case.model.session().forward(IDS, "all") - case.memory).max() < 1e-4
    assert np.abs(case.memory - case.plain).max() > 1


def test_memory_off_is_stock_llama_cpp_bit_for_bit(case):
    stock = stock_logits(case.folder / "download.gguf", IDS, **FLOAT32_CACHE)
    assert np.array_equal(case.model.session(memory=False).forward(IDS, "all"), stock)
    assert np.abs(stock - case.plain).max() < 1e-4


def test_chunks_decode_and_rewind(case):
    session = case.model.session()
    parts = [session.forward(x, "all") for x in np.split(IDS, [100, 137, 138, 139, 140, 180])]
    assert np.abs(np.concatenate(parts) - case.memory).max() < 1e-4
    session.rewind(120)
    again = np.concatenate([session.forward([x]) for x in IDS[120:150]])
    assert np.abs(again - case.memory[120:150]).max() < 1e-4


def test_a_rewind_goes_to_a_checkpoint(case, monkeypatch):
    """Another continuation computes what a fresh session does; little is evaluated again."""
    from engram_local.backends.gguf import GgufBackend

    def history(session):
        session.forward(IDS[:140])
        session.forward(IDS[140:141])
        return session

    session = history(case.model.session())
    session.forward(IDS[141:180])
    evaluated, evaluate = [], GgufBackend._evaluate

    def counted(self, steps):
        evaluated.append(sum(x.n for x in steps))
        evaluate(self, steps)

    monkeypatch.setattr(GgufBackend, "_evaluate", counted)
    session.rewind(141)
    again = session.forward(IDS[10:60], "all")
    assert sum(evaluated) == 50
    fresh = history(case.model.session()).forward(IDS[10:60], "all")
    assert np.abs(again - fresh).max() < 1e-5  # rounding: keys lie in other cells


def test_gates_of_every_stream(case):
    session = case.model.session()
    session.forward(IDS[:5], gates=True)
    assert {k: v.shape for k, v in session.gates.items()} == {i: (5, 4) for i in (0, 1, 3)}


def test_other_streams_are_refused(case, tmp_path):
    model = make_deepseek4(VOCAB)
    add_adapter(model, case.folder / "base", tmp_path / "adapter", hc_mult=1)
    with pytest.raises(EngramError, match=r"hc_mult is 1, the residual of .* has 4 streams"):
        open_checkpoint(tmp_path / "adapter", case.folder / "base")


def test_an_export_names_attach(case, tmp_path):
    for backend in ("onnx", "gguf"):
        with pytest.raises(EngramError, match=r"DeepseekV4ForCausalLM cannot be .* engram-local attach"):
            export_model(case.folder / "adapter", tmp_path / "out", case.folder / "base", backend=backend)
