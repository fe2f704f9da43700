"""How far the gates open: the same on both backends, and what the layer's own formula gives."""

import numpy as np
import pytest

import engram_local
from engram_local.backends.base import Work, gate_of
from engram_local.lookup import StepLookup


def gates_of(model, tokens) -> dict[int, np.ndarray]:
    """{layer id: [n, streams]}, token by token."""
    context, lookup, ids = model.backend.context(True), StepLookup(model.hasher, model.tables), np.zeros(64, np.int64)
    opened = []
    for i, token in enumerate(tokens):
        lookup.read(int(token), ids, model.hasher.max_lag + i)
        work = Work(context, np.array([token]), lookup, "none", gates=True)
        opened.append(model.backend.forward([work])[0].gates)
    context.close()
    return {i: np.concatenate([x[i] for x in opened]) for i in opened[0]}


def test_both_backends_show_the_same_gates(pocket):
    pytest.importorskip("llama_cpp")
    tokens = pocket.tokenizer.encode("The capital of France is Paris. A bird can fly.")
    onnx = gates_of(pocket, tokens)
    with engram_local.load(backend="gguf", threads=2) as model:
        gguf = gates_of(model, tokens)
    assert onnx.keys() == gguf.keys() == {1, 2}
    for layer_id, expected in onnx.items():
        assert expected.shape == (len(tokens), 1) and expected.std() > 0.02
        assert np.abs(expected - gguf[layer_id]).max() < 0.15  # two kinds of int8 weights


def test_gate_of():
    value = np.array([[3.0, -1.0], [0.0, 0.0]], np.float32)
    gates = np.array([[0.25, 1.0], [0.5, 0.5]], np.float32)
    found = gate_of(gates[..., None] * value[:, None], value)
    np.testing.assert_allclose(found, [[0.25, 1.0], [0.0, 0.0]], rtol=1e-6)
