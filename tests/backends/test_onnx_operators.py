"""What ONNX Runtime's operators promise of a batch, as backends/onnx.py and tools/export rely on it."""

from functools import partial

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

F32, I64, I32 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32
HEADS, KV_HEADS, HEAD_DIM, CAPACITY = 4, 2, 16, 40
RNG = np.random.default_rng(0)
info = helper.make_tensor_value_info
contrib = partial(helper.make_node, domain="com.microsoft")


def normal(*shape) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def session(nodes, inputs, outputs, weights=None) -> ort.InferenceSession:
    """`inputs`: {name: (dtype, shape)}."""
    weights = [numpy_helper.from_array(x, name) for name, x in (weights or {}).items()]
    values = [info(name, *x) for name, x in inputs.items()], [info(name, F32, None) for name in outputs]
    graph = helper.make_graph(nodes, "g", *values, weights)
    opsets = [helper.make_opsetid("", 22), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(model.SerializeToString(), options)


def attention(window: int) -> ort.InferenceSession:
    node = contrib(
        "GroupQueryAttention", ["q", "k", "v", "pk", "pv", "seen", "total", "cos", "sin"], ["out", "nk", "nv"],
        num_heads=HEADS, kv_num_heads=KV_HEADS, do_rotary=1, local_window_size=window,
    )  # fmt: skip
    kv = (F32, ["B", KV_HEADS, "P", HEAD_DIM])
    inputs = {"q": (F32, ["B", "S", HEADS * HEAD_DIM]), "pk": kv, "pv": kv, "seen": (I32, ["B", 1]), "total": (I32, [])}
    inputs |= {x: (F32, ["B", "S", KV_HEADS * HEAD_DIM]) for x in "kv"}
    angles = np.outer(np.arange(64), 100.0 ** -np.linspace(0, 1, HEAD_DIM // 2)).astype(np.float32)
    return session([node], inputs, ["out", "nk", "nv"], {"cos": np.cos(angles), "sin": np.sin(angles)})


def attend(attention, feeds: dict, lengths: list[int], total: int) -> np.ndarray:
    """Run with past and present in one memory."""
    binding = attention.io_binding()
    feeds = feeds | {"seen": np.array(lengths, np.int32)[:, None] - 1, "total": np.array(total, np.int32)}
    out = np.empty_like(feeds["q"])
    for name, array in (*feeds.items(), ("out", out), ("nk", feeds["pk"]), ("nv", feeds["pv"])):
        bind = binding.bind_input if name in feeds else binding.bind_output
        bind(name, "cpu", 0, array.dtype.type, array.shape, array.__array_interface__["data"][0])
    attention.run_with_iobinding(binding)
    return out


@pytest.mark.parametrize("window", [-1, 7])
@pytest.mark.parametrize(("n", "pasts"), [(1, [0, 1, 5, 17, 38]), (1, [9, 9]), (4, [0, 0, 0])])
def test_attention_takes_sequences_of_any_length_at_one_token_each(window, n, pasts):
    """And several tokens of several sequences where nothing came before. Outputs and caches: bit for bit."""
    run, b = attention(window), len(pasts)
    feeds = {"q": normal(b, n, HEADS * HEAD_DIM)} | {x: normal(b, n, KV_HEADS * HEAD_DIM) for x in "kv"}
    feeds |= {x: normal(b, KV_HEADS, CAPACITY, HEAD_DIM) for x in ("pk", "pv")}
    alone = {name: [x[i : i + 1].copy() for i in range(b)] for name, x in feeds.items()}
    outs = [
        attend(run, {name: x[i] for name, x in alone.items()}, [past + n], CAPACITY if n == 1 else n)
        for i, past in enumerate(pasts)
    ]
    together = attend(run, feeds, [past + n for past in pasts], CAPACITY if n == 1 else n)
    assert np.array_equal(together, np.concatenate(outs))
    for name in ("pk", "pv"):
        assert np.array_equal(feeds[name], np.concatenate(alone[name]))


def test_attention_takes_no_chunks_of_several_sequences_behind_others():
    """Why such chunks run one after another. Where this no longer holds, _groups may put them together."""
    feeds = {"q": normal(2, 4, HEADS * HEAD_DIM)} | {x: normal(2, 4, KV_HEADS * HEAD_DIM) for x in "kv"}
    feeds |= {x: normal(2, KV_HEADS, CAPACITY, HEAD_DIM) for x in ("pk", "pv")}
    with pytest.raises(Exception, match="batch_size must be 1 when sequence_length > 1 and past context is given"):
        attend(attention(-1), feeds, [9, 9], 9)


# What one row of a product with quantized weights may differ from the same row among several.
PRODUCT_BOUNDS = {32: 1e-6, 8: 1e-6, 4: 2e-5}  # measured on x86 with AVX512-VNNI: 0, 0, 5e-6


@pytest.mark.parametrize("bits", PRODUCT_BOUNDS)
@pytest.mark.parametrize(("n", "k"), [(192, 192), (512, 192), (1024, 2048)])
def test_products_of_several_rows(bits, n, k):
    pytest.importorskip("onnx_ir")
    from engram_local.tools.export.nbits import quantize_blocks

    weight = normal(n, k) / k**0.5
    if bits == 32:
        node, weights = helper.make_node("MatMul", ["x", "w"], ["y"]), {"w": np.ascontiguousarray(weight.T)}
    else:
        node = contrib("MatMulNBits", ["x", "c", "s"], ["y"], bits=bits, block_size=32, N=n, K=k, accuracy_level=4)
        weights = dict(zip("cs", quantize_blocks(weight, bits), strict=True))
    run = session([node], {"x": (F32, ["B", "S", k])}, ["y"], weights)
    for b in (2, 5, 8, 16):
        x = normal(b, 1, k)
        alone = np.concatenate([run.run(None, {"x": x[i : i + 1]})[0] for i in range(b)])
        np.testing.assert_allclose(run.run(None, {"x": x})[0], alone, rtol=0, atol=PRODUCT_BOUNDS[bits])


@pytest.mark.parametrize("bits", [8, 4])
def test_mixtures_of_several_rows(bits):
    """Each row is routed alone; sums differ in their last bits (measured: 6e-7 of 0.25)."""
    pytest.importorskip("onnx_ir")
    from engram_local.tools.export.nbits import quantize_blocks

    d, f, n = 64, 32, 16
    feeds = {}
    for i, shape in enumerate(((2 * f, d), (d, f)), 1):
        codes, scales = zip(*(quantize_blocks(normal(*shape) / shape[1] ** 0.5, bits) for _ in range(n)), strict=True)
        feeds[f"w{i}"] = np.stack(codes).reshape(n, shape[0], -1)
        feeds[f"s{i}"] = np.stack(scales)
    node = contrib(
        "QMoE", ["x", "router", "w1", "s1", "", "w2", "s2"], ["y"], k=4, block_size=32, expert_weight_bits=bits,
        activation_type="swiglu", swiglu_fusion=1, normalize_routing_weights=1, activation_alpha=1.0,
    )  # fmt: skip
    types = {name: (TensorProto.UINT8 if x.dtype == np.uint8 else F32, x.shape) for name, x in feeds.items()}
    run = session([node], {"x": (F32, ["T", d]), "router": (F32, ["T", n])} | types, ["y"])
    x, router = normal(8, d), normal(8, n)
    alone = [run.run(None, feeds | {"x": x[i : i + 1], "router": router[i : i + 1]})[0] for i in range(8)]
    together = run.run(None, feeds | {"x": x, "router": router})[0]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=0, atol=5e-6)


@pytest.mark.parametrize("only_the_path", [False, True])
def test_outputs_are_computed_whether_they_are_fetched_or_not(only_the_path):
    """Why the graphs hand out no gate but what it follows from: neither an output that is not bound nor
    RunOptions.only_execute_path_to_fetches saves its nodes. The node here fails, which tells."""
    nodes = [helper.make_node("Add", ["x", "x"], ["y"]), helper.make_node("Gather", ["x", "i"], ["z"])]
    run = session(nodes, {"x": (F32, ["n"]), "i": (I64, ["m"])}, ["y", "z"])
    options = ort.RunOptions()
    options.only_execute_path_to_fetches = only_the_path
    options.log_severity_level = 4
    with pytest.raises(Exception, match="Gather"):
        run.run(["y"], {"x": normal(4), "i": np.array([99])}, options)
