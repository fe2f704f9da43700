"""An Engram layer beside llama.cpp: projections in ggml, the rest in ext/gate.c, against the layer's own graph."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from tiny_gguf import make_tiny_gguf

pytest.importorskip("llama_cpp")
pytest.importorskip("onnx_ir")

import engram_local
from engram_local._llama_callback import Gate
from engram_local.backends import engram_layer
from engram_local.backends.engram_layer import EngramLayer, LayerState
from engram_local.backends.onnx_file import read_onnx
from engram_local.config import ConvConfig, LayerConfig, NgramOrder
from engram_local.errors import BackendError
from engram_local.tools.checkpoints.view import LayerWeights
from engram_local.tools.export.layer import save_layer

D, ROW = 48, 64
CONV = ConvConfig(4, 3)
ORDER = NgramOrder(2, ((0, 3), (1, 5)), (7,), (0,))
CONFIG = LayerConfig(3, 1, ROW, 7, "float32", "t", CONV, (ORDER,))


def make_layer(path, streams=1, residual_streams=1, conv=True, biases=False, bits=32, threads=1, scale=1.0):
    """An EngramLayer of random weights; `scale` of its projections'."""
    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    config = replace(CONFIG, streams=streams, conv=CONV if conv else None)
    c = streams * D
    weights = {"key_proj": normal(c, ROW) * scale, "value_proj": normal(D, ROW) * scale}
    weights |= {x: 1 + normal(streams, D) / 4 for x in ("norm_key", "norm_query")}
    if conv:
        weights |= {"norm_conv": 1 + normal(streams, D) / 4, "conv_weight": normal(c, 1, CONV.kernel)}
    if biases:
        weights |= {"key_bias": normal(c), "value_bias": normal(D)} | ({"conv_bias": normal(c)} if conv else {})
    weights = LayerWeights(gate_eps=1e-6, conv_eps=1e-2 if biases else 1e-6, **weights)
    save_layer(path / "layer.onnx", config, weights, bits, residual_streams)
    return EngramLayer(path / "layer.onnx", config, D, residual_streams, threads)


def inputs_of(layer, n_sequences, n):
    rng = np.random.default_rng(1)
    hidden, rows = (rng.standard_normal((n_sequences, n, x), np.float32) for x in (layer.width, layer.row_width))
    states = [LayerState(layer) for _ in range(n_sequences)]
    for state in states if layer.n_state else ():
        before = state.room(0, 3 + n_sequences + n)
        before[:] = rng.standard_normal(before.shape, np.float32)
    return hidden, rows, states, list(range(3, 3 + n_sequences))


@pytest.mark.parametrize(("bits", "tolerance"), [(32, 2e-5), (16, 2e-5), (8, 0.05), (4, 0.05)])
@pytest.mark.parametrize(("streams", "residual_streams"), [(1, 1), (3, 1), (4, 4)])
@pytest.mark.parametrize("conv", [True, False])
@pytest.mark.parametrize("biases", [True, False])
def test_it_computes_what_the_graph_computes(tmp_path, bits, tolerance, streams, residual_streams, conv, biases):
    """Quantized products round what goes into them to eight bits, each runtime in its own way."""
    layer = make_layer(tmp_path, streams, residual_streams, conv, biases, bits, threads=2)
    assert layer._step is not None
    for n_sequences, n in ((1, 1), (1, 5), (3, 1), (2, 4)):
        hidden, rows, states, positions = inputs_of(layer, n_sequences, n)
        kept = [None if x.conv is None else x.conv.copy() for x in states]
        found, _ = layer.run(hidden, rows, states, positions)
        for state, conv_before in zip(states, kept, strict=True):
            conv_after, state.conv = state.conv, conv_before
            state.found = conv_after
        step, layer._step = layer._step, None
        expected, _ = layer.run(hidden, rows, states, positions)
        layer._step = step
        scale = np.abs(expected - hidden).max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)
        for state in states if conv else ():  # also that nothing else of it was touched
            np.testing.assert_allclose(state.found, state.conv, rtol=0, atol=tolerance * 3)


@pytest.mark.parametrize(("n_sequences", "n"), [(1, 128), (1, 300), (3, 50), (130, 1), (2, 129)])
def test_more_tokens_than_one_product_takes(tmp_path, n_sequences, n):
    layer = make_layer(tmp_path, 2)
    found, _ = layer.run(*inputs_of(layer, n_sequences, n))
    layer._step = None
    expected, _ = layer.run(*inputs_of(layer, n_sequences, n))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_gates_are_the_graphs(tmp_path, monkeypatch):
    layer = make_layer(tmp_path)
    monkeypatch.setattr(layer, "_run_step", lambda *_: pytest.fail("it knows no gates"))
    _, gates = layer.run(*inputs_of(layer, 1, 1), gates=True)
    assert gates.shape == (1, 1, 1)


@pytest.mark.parametrize(("bits", "scale"), [(8, 1e-9), (4, 1e9)])
def test_scales_that_float16_does_not_hold_are_left_to_the_graph(tmp_path, bits, scale):
    assert make_layer(tmp_path, bits=bits, scale=scale)._step is None


def save_hidden(path, name, array):
    """Have the graph compute with a constant under another name, and leave `array` under its own."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        tensor.name = tensor.name.replace(name, "other")
    for node in model.graph.node:
        node.input[:] = ["other" if x == name else x for x in node.input]
    model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.save(model, path)


def test_constants_that_the_graph_does_not_use_make_no_twin(tmp_path):
    layer = make_layer(tmp_path, bits=8)
    path = tmp_path / "layer.onnx"
    content = path.read_bytes()
    conv = read_onnx(path).constants["engram.3.conv"].copy()
    conv[..., 0] += 9  # what multiplies the oldest input
    for name, array in (("engram.3.conv", conv), ("engram.3.key_proj.codes", np.ones((D, 2, 32), np.float32))):
        path.write_bytes(content)
        save_hidden(path, name, array)
        assert EngramLayer(path, CONFIG, D, 1, 1)._step is None
    assert layer._step is not None


def test_names_that_are_no_text_are_an_error(tmp_path, capfd):
    make_layer(tmp_path)
    path = tmp_path / "layer.onnx"
    content = path.read_bytes()
    dim = onnx.load(path).graph.input[0].type.tensor_type.shape.dim[0].dim_param.encode()
    for name in (b"engram_rows_3", b"EngramGate", bytes([18, len(dim)]) + dim):  # the last: of an axis
        path.write_bytes(content.replace(name, name[:-1] + b"\xff"))
        with pytest.raises(BackendError, match=r"layer\.onnx"):
            EngramLayer(path, CONFIG, D, 1, 1)
    assert capfd.readouterr().out == ""  # ONNX Runtime prints there before it tries once more


@pytest.mark.filterwarnings("error")
def test_weights_that_are_not_finite_make_no_twin_and_no_warning(tmp_path):
    make_layer(tmp_path)
    path = tmp_path / "layer.onnx"
    model = onnx.load(path)
    conv = next(x for x in model.graph.initializer if x.name == "engram.3.conv")
    conv.CopyFrom(onnx.numpy_helper.from_array(np.full((D, 1, 4), 3e38, np.float32), conv.name))
    onnx.save(model, path)
    assert EngramLayer(path, CONFIG, D, 1, 1)._step is None


def test_a_layer_of_another_kind_is_left_to_the_graph(tmp_path):
    with engram_local.load(make_tiny_gguf(tmp_path / "model"), backend="gguf") as model:
        assert [x._step for x in model.backend.layers] == [None, None]


def test_without_ggmls_products_one_thread_takes_a_token(tmp_path, monkeypatch):
    def missing(*_):
        raise BackendError("this llama.cpp has none")

    monkeypatch.setattr(engram_layer, "LayerStep", missing)
    layer = make_layer(tmp_path, bits=8, threads=2)
    assert layer._step is None and layer._single is not layer.session
    found, _ = layer.run(*inputs_of(layer, 1, 1))
    layer._single = layer.session
    expected, _ = layer.run(*inputs_of(layer, 1, 1))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_in_the_node_and_beside_it_are_the_same(threads, monkeypatch):
    """One token of the pocket model: the step that never leaves llama.cpp's evaluation, bit for bit."""

    def decode(model):
        session = model.session()
        session.forward(ids)
        return [session.forward([x]) for x in (260, 300, 301)]

    with engram_local.load(backend="gguf", threads=threads) as model:
        ids = model.prompt_ids("What is the capital of France?")
        assert all(x._step is not None for x in model.backend.layers)
        found = decode(model)
        monkeypatch.setattr(EngramLayer, "run_in_place", lambda *_: False)
        assert np.array_equal(found, decode(model))
        for layer in model.backend.layers:
            layer._step = None
        assert np.abs(np.array(found) - decode(model)).mean() < 0.15  # as far as the ONNX backbone is


def test_its_file_is_read_as_onnx_reads_it(tmp_path):
    for i, bits in enumerate((32, 16, 8, 4)):
        (tmp_path / str(i)).mkdir()
        make_layer(tmp_path / str(i), 3, bits=bits, biases=True)
        path = tmp_path / str(i) / "layer.onnx"
        graph, found = onnx.load(path).graph, read_onnx(path)
        assert [x for x, _ in found.nodes] == [x.op_type for x in graph.node]
        assert found.constants.keys() == {x.name for x in graph.initializer}
        for tensor in graph.initializer:
            expected = onnx.numpy_helper.to_array(tensor)
            assert found.constants[tensor.name].dtype == expected.dtype
            assert np.array_equal(found.constants[tensor.name], expected)
        gate = next(x for x in graph.node if x.op_type == "EngramGate")
        assert found.attribute("EngramGate", "epsilon") == gate.attribute[0].f
        assert found.attribute("Softmax", "axis") is None


def test_a_file_that_is_not_whole_is_a_value_error(tmp_path):
    make_layer(tmp_path, bits=8)
    path = tmp_path / "layer.onnx"
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for i in range(2000):
        broken = bytearray(content)
        if i % 2:
            del broken[rng.integers(len(content)) :]
        else:
            for at in rng.integers(0, len(content) if i % 4 else 300, 3):
                broken[at] = rng.integers(256)
        path.write_bytes(broken)
        try:
            read_onnx(path)
        except ValueError:
            continue


def test_a_gate_refuses_what_does_not_fit():
    ones = {x: np.ones(8, np.float32) for x in ("norm_key", "norm_query", "norm_conv")}
    conv = {"conv": np.ones((4, 8), np.float32)}
    for constants in (
        {},
        ones,
        ones | {"conv": np.ones((3, 8), np.float32)},
        ones | conv | {"norm_key": np.ones(4, "f4")},
    ):
        with pytest.raises(ValueError, match=r"missing|has .+ values"):
            Gate(constants, (1, 1, 8), (4, 2), (1e-6, 1e-6))
    gate = Gate(ones | conv, (1, 1, 8), (4, 2), (1e-6, 1e-6))
    hidden, projected, past = np.ones((2, 8), "f4"), np.ones((2, 16), "f4"), np.ones((8, 8), "f4")
    gate.add(hidden, projected, past)
    for wrong in (
        (hidden[:1], projected, past),
        (hidden, projected[:, :8].copy(), past),
        (hidden, projected, past[:7]),
    ):
        with pytest.raises(ValueError, match=r"belong|columns|before and now"):
            gate.add(*wrong)
    with pytest.raises(ValueError, match="before and now"):
        gate.add(hidden, projected, None)
