"""Backbones that PyTorch traces, with engram-peft adapters, against engram-peft's own logits."""

import numpy as np
import pytest
from parity.adapters import TRACED, make_adapter, prompts, reference_logits

import engram_local
from engram_local.errors import EngramError
from engram_local.session import forward_together
from engram_local.tools.export.folder import export_model

pytest.importorskip("onnxscript", reason="transformers' exporter needs onnxscript")
BOUND = 2e-4  # measured: 1e-5 to 4e-5; logits spread over several units


@pytest.fixture(scope="module", params=TRACED)
def case(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    base, adapter = make_adapter(folder, request.param, target_layers=[0, 1])
    export_model(adapter, folder / "model", base, tables="float32", weights="float32", via="torch")
    with engram_local.load(folder / "model", backend="onnx", threads=1) as model:
        yield base, adapter, model


def test_logits_are_engram_pefts(case):
    base, adapter, model = case
    for ids in prompts():
        with model.session() as session, model.session(memory=False) as plain:
            found, without = session.forward(ids, "all"), plain.forward(ids, "all")
        assert np.abs(found - reference_logits(base, adapter, ids)).max() < BOUND
        assert np.abs(without - reference_logits(base, adapter, ids, memory=False)).max() < BOUND
        assert np.abs(found - without).max() > 0.1  # so the lines above say something


def test_chunks_tokens_and_a_batch_compute_the_same(case):
    """Of sequences of several lengths, one without memory; longer than any family's window."""
    base, adapter, model = case
    ids, others, third = prompts()
    with model.session() as a, model.session() as b, model.session(memory=False) as c:
        a.forward(ids[:23])
        b.forward(others[:5])
        c.forward(third[:30])
        for i in range(4):
            found = forward_together(
                [
                    (a, ids[23 + i : 24 + i], "last"),
                    (b, others[5 + i : 6 + i], "last"),
                    (c, third[30 + i : 31 + i], "last"),
                ]
            )
        assert np.abs(found[0] - reference_logits(base, adapter, ids)[26]).max() < BOUND
        assert np.abs(found[1] - reference_logits(base, adapter, others)[8]).max() < BOUND
        assert np.abs(found[2] - reference_logits(base, adapter, third, memory=False)[33]).max() < BOUND
        a.rewind(3)
        assert np.abs(a.forward(ids[3:], "all") - reference_logits(base, adapter, ids)[3:]).max() < BOUND


@pytest.mark.parametrize(("weights", "bound"), [("int8", 0.05), ("int4", 0.2)])
def test_quantized(tmp_path, weights, bound):
    base, adapter = make_adapter(tmp_path, "cohere2")
    export_model(adapter, tmp_path / "model", base, tables="float32", weights=weights, via="torch")
    ids = prompts()[0]
    expected = reference_logits(base, adapter, ids)
    with engram_local.load(tmp_path / "model", backend="onnx", threads=1) as model, model.session() as session:
        found = session.forward(ids, "all")
    assert np.abs(found - expected).mean() < bound * expected.std()


@pytest.mark.parametrize(
    ("family", "why"),
    [("mixtral", "every expert"), ("qwen3_5", "cannot trace it"), ("gemma2", "attention in 0 of 3 blocks")],
)
def test_what_would_be_slow_is_refused(tmp_path, family, why):
    base, adapter = make_adapter(tmp_path, family)
    with pytest.raises(EngramError, match=f"{why}.*; use --backend gguf, or engram-local attach") as info:
        export_model(adapter, tmp_path / "model", base, via="torch")
    assert "\n" not in str(info.value) and not (tmp_path / "model").exists()
