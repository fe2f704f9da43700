"""Block rounding: what ONNX Runtime makes of the codes, and that knowing the inputs pays."""

import numpy as np
import pytest

pytest.importorskip("onnx")
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from engram_local.tools.export.bits import block_size, matrix_bits
from engram_local.tools.export.rounding import Blocks, round_symmetric, round_to_inputs


def weight(n: int = 24, k: int = 192, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, k), np.float32)


def inputs(k: int, n: int = 4096) -> np.ndarray:
    """Correlated, and some a hundred times as large as others, as a trained model's are."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((n, k // 4), np.float32) @ rng.standard_normal((k // 4, k), np.float32)
    return ((x + rng.standard_normal((n, k), np.float32)) * np.exp(rng.standard_normal(k))).astype(np.float32)


def lost(blocks: Blocks, w: np.ndarray, h: np.ndarray) -> float:
    """Mean square of what an output is off."""
    d = blocks.values() - w
    return float(((d @ h) * d).sum() / len(w))


def run(blocks: Blocks, x: np.ndarray) -> np.ndarray:
    """x [M, K] times the weight transposed, by ONNX Runtime."""
    arrays = {"codes": blocks.packed_codes(), "scales": blocks.scales, "zero_points": blocks.packed_zero_points()}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    attributes = {"bits": blocks.bits, "block_size": blocks.block, "N": len(blocks.codes), "K": blocks.k}
    node = helper.make_node("MatMulNBits", ["x", *arrays], ["y"], domain="com.microsoft", **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, blocks.k])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]


@pytest.mark.parametrize("block", [32, 64, 128])
@pytest.mark.parametrize("k", [192, 200, 320])
@pytest.mark.parametrize("bits", [4, 8])
def test_onnx_runtime_reads_the_same_values(bits, k, block):
    """Also where the number of blocks is odd, so that half of the last byte of zero points is unused."""
    x = np.random.default_rng(2).standard_normal((3, k), np.float32)
    for blocks in (round_symmetric(weight(k=k), bits, block), round_to_inputs(weight(k=k), bits, block, None)):
        np.testing.assert_allclose(run(blocks, x), x @ blocks.values().T, rtol=0, atol=1e-3)


@pytest.mark.parametrize("bits", [4, 8])
def test_values_on_a_grid_stay(bits):
    """Every block spans all codes and has a zero point of its own."""
    rng, top = np.random.default_rng(3), (1 << bits) - 1
    codes = rng.integers(0, top + 1, (16, 6, 32))
    codes[..., 0], codes[..., 1] = 0, top
    w = ((codes - rng.integers(0, top + 1, (16, 6, 1))) * rng.uniform(0.1, 1, (16, 6, 1))).reshape(16, -1)
    w = w.astype(np.float32)
    np.testing.assert_allclose(round_to_inputs(w, bits, 32, None).values(), w, atol=1e-4)
    h = inputs(192)
    h = [h.T @ h / len(h)]
    np.testing.assert_allclose(round_to_inputs(w, bits, 32, h).values(), w, atol=1e-4)


@pytest.mark.parametrize("block", [32, 64])
def test_rounding_for_the_inputs_loses_less(block):
    """Measured: a fifth of what the nearest codes lose."""
    x, w = inputs(192), weight()
    h = x.T @ x / len(x)
    nearest, searched = round_symmetric(w, 4, block), round_to_inputs(w, 4, block, None)
    ours = lost(round_to_inputs(w, 4, block, [h]), w, h)
    assert ours < 0.4 * lost(nearest, w, h)
    assert ours < 0.4 * lost(searched, w, h)


def test_parts_are_rounded_apart():
    w, x = weight(k=320), inputs(320)
    h = x.T @ x / len(x)
    cut = [h[:128, :128], h[128:256, 128:256], h[256:, 256:]]
    whole = round_to_inputs(w, 4, 64, cut)
    parts = [round_to_inputs(w[:, a:b], 4, 64, [h[a:b, a:b]]) for a, b in ((0, 128), (128, 256), (256, 320))]
    np.testing.assert_array_equal(whole.values(), np.concatenate([x.values() for x in parts], axis=1))
    assert lost(whole, w, h) < lost(round_to_inputs(w, 4, 64, None), w, h)


def test_inputs_that_never_occur_and_weights_of_zero():
    x, w = inputs(192), weight()
    x[:, 5:9], w[:, 40:80], w[3] = 0, 0, 0
    for h in (x.T @ x / len(x), np.zeros((192, 192), np.float32)):
        values = round_to_inputs(w, 4, 64, [h]).values()
        assert np.isfinite(values).all()
        assert (values[3] == 0).all()
        assert np.abs(values - w)[:, 5:9].max() < 1


def test_which_matrix_gets_eight_bits():
    exact = ["/lm_head/MatMul", "/model/layers.3/attn/qkv_proj/MatMul", "/model/layers.3/attn/v_proj/MatMul"]
    exact += [f"/model/layers.{i}/mlp/down_proj/MatMul" for i in (0, 7)]
    assert {matrix_bits(name, 4, 8) for name in exact} == {8}
    rest = [f"/model/layers.{i}/{x}/MatMul" for i in (1, 6) for x in ("mlp/gate_up_proj", "attn/o_proj")]
    assert {matrix_bits(name, 4, 8) for name in rest} == {4}
    assert {matrix_bits(name, 8, 8) for name in exact + rest} == {8}
    down = [matrix_bits(f"/model/layers.{i}/mlp/down_proj/MatMul", 4, 30) for i in range(30)]
    assert down == [8] * 2 + [4] * 26 + [8] * 2


def test_block_size():
    assert [block_size(k) for k in (1536, 576, 96, 100)] == [128, 64, 32, 32]
