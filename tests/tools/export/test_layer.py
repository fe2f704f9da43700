"""engram_layer_{id}.onnx against the formulas, for plain and for several residual streams, alone and in a batch."""

import numpy as np
import onnxruntime as ort
import pytest

pytest.importorskip("onnx_ir")

from engram_local.backends.base import gate_of
from engram_local.config import ConvConfig, LayerConfig, NgramOrder
from engram_local.tools.checkpoints.view import LayerWeights
from engram_local.tools.export.layer import save_layer

D, E, KERNEL, DILATION = 32, 24, 4, 3
RNG = np.random.default_rng(0)


def normal(*shape) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def make(path, streams, residual_streams, conv=True, biases=False, bits=32):
    """Returns the layer's weights and a session of its graph."""
    order = NgramOrder(2, ((0, 3), (1, 5)), (7,), (0,))
    config = LayerConfig(3, streams, E, 7, "float32", "t", ConvConfig(KERNEL, DILATION) if conv else None, (order,))
    c = streams * D
    weights = {"key_proj": normal(c, E), "value_proj": normal(D, E)}
    weights |= {x: 1 + normal(streams, D) / 4 for x in ("norm_key", "norm_query")}
    if conv:
        weights |= {"norm_conv": 1 + normal(streams, D) / 4, "conv_weight": normal(c, 1, KERNEL), "conv_eps": 1e-6}
    if biases:
        weights |= {"key_bias": normal(c), "value_bias": normal(D)}
    weights = LayerWeights(gate_eps=1e-6, **weights)
    save_layer(path, config, weights, bits, residual_streams)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return weights, ort.InferenceSession(str(path), options)


def run(session, feeds) -> dict[str, np.ndarray]:
    names = [x.name for x in session.get_outputs()]
    found = dict(zip(names, session.run(None, feeds), strict=True))
    found["gate"] = gate_of(found["engram_gated_3"], found["engram_value_3"])
    return found


def feeds_of(session, b: int, s: int) -> dict[str, np.ndarray]:
    sizes = {"batch_size": b, "sequence_length": s}
    return {x.name: normal(*(sizes.get(i, i) for i in x.shape)) for x in session.get_inputs()}


def rms_norm(x, scale, eps=1e-6):
    return x / np.sqrt(np.square(x).mean(-1, keepdims=True) + eps) * scale


def reference(w: LayerWeights, hidden, rows, past, residual_streams):
    """hidden_out, convolution inputs, gate: the paper's formulas in float64."""
    m = len(w.norm_key)
    b, s = rows.shape[:2]
    key = (rows @ w.key_proj.T + (0 if w.key_bias is None else w.key_bias)).reshape(b, s, m, D)
    value = rows @ w.value_proj.T + (0 if w.value_bias is None else w.value_bias)
    streams = hidden.reshape(b, s, residual_streams, D).astype(np.float64)
    dot = (rms_norm(key, w.norm_key) * rms_norm(streams, w.norm_query)).sum(-1) / np.sqrt(D)
    gate = 1 / (1 + np.exp(-np.sign(dot) * np.sqrt(np.maximum(np.abs(dot), 1e-6))))
    y = gate[..., None] * value[:, :, None]
    new = None
    if w.conv_weight is not None:
        new = rms_norm(y, w.norm_conv).reshape(b, s, -1)
        padded = np.concatenate([past, new], 1)
        taps = [padded[:, i * DILATION :][:, :s] * w.conv_weight[:, 0, i] for i in range(KERNEL)]
        conv = sum(taps)
        y = y + (conv / (1 + np.exp(-conv))).reshape(y.shape)
    out = streams + (y if residual_streams == m else y.sum(2, keepdims=True))
    return out.reshape(hidden.shape), new, gate


@pytest.mark.parametrize(("streams", "residual_streams"), [(1, 1), (3, 1), (4, 4)])
@pytest.mark.parametrize("conv", [True, False])
@pytest.mark.parametrize("biases", [True, False])
def test_it_computes_the_formulas(tmp_path, streams, residual_streams, conv, biases):
    weights, session = make(tmp_path / "layer.onnx", streams, residual_streams, conv, biases)
    feeds = feeds_of(session, 3, 9)
    assert feeds["hidden"].shape == (3, 9, residual_streams * D)
    found = run(session, feeds)
    past = feeds.get("past_engram_conv_3")
    out, new, gate = reference(weights, feeds["hidden"], feeds["engram_rows_3"], past, residual_streams)
    np.testing.assert_allclose(found["hidden_out"], out, rtol=0, atol=2e-5)
    np.testing.assert_allclose(found["gate"], gate, rtol=0, atol=1e-5)
    if conv:
        np.testing.assert_allclose(found["present_engram_conv_3"], new, rtol=0, atol=2e-5)
    assert ("present_engram_conv_3" in found) == conv


@pytest.mark.parametrize("bits", [32, 16, 8])
@pytest.mark.parametrize("n", [1, 5])
def test_a_batch_has_the_bits_of_single_runs(tmp_path, bits, n):
    _, session = make(tmp_path / "layer.onnx", 2, 2, bits=bits)
    feeds = feeds_of(session, 3, n)
    together = run(session, feeds)
    for i in range(3):
        for name, alone in run(session, {x: y[i : i + 1] for x, y in feeds.items()}).items():
            np.testing.assert_allclose(together[name][i : i + 1], alone, rtol=0, atol=1e-6)


def test_a_value_of_zeros_has_no_gate(tmp_path):
    _, session = make(tmp_path / "layer.onnx", 1, 1)
    feeds = feeds_of(session, 1, 4)
    feeds["engram_rows_3"][0, 2] = 0
    gate = run(session, feeds)["gate"][0, :, 0]
    assert gate[2] == 0 and (gate[[0, 1, 3]] > 0).all()
