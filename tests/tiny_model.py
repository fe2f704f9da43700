"""A model folder with random float32 weights, small enough to make in a test: one attention block, Engram before it.

The layer is simpler than Engram's (its gate sees no key), but has all that a session must carry: rows, a dilated
convolution with its state, a switch, and a KV cache.
"""

import json
from pathlib import Path

import numpy as np
import onnx
import tokenizers
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

from engram_local.model_folder import write_manifest
from engram_local.tables.file import TableWriter

VOCAB, HIDDEN, HEADS, HEAD_DIM, N_IDS, CONTEXT = 64, 32, 2, 16, 24, 96
CONV = {"kernel": 3, "dilation": 2}
N_STATE = 4
MODULI = ((11, 13), (17, 19))
ROW = 4
WIDTH = 4 * ROW  # E: two orders of two heads


def make_tiny_model(path: Path, *, engram: bool = True, drop_input: str | None = None, seed: int = 0) -> Path:
    """Write the folder. engram=False: the same backbone with the layer gone from the graph; drop_input: an input that
    is made a constant, as a graph of another release would have it."""
    rng = np.random.default_rng(seed)
    (path / "tables").mkdir(parents=True)
    offsets, orders = 0, []
    for order, moduli in zip((2, 3), MODULI, strict=True):
        terms = [[lag, int(rng.integers(3, 10**6)) * 2 + 1] for lag in range(order)]
        starts = [offsets, offsets + moduli[0]]
        orders.append({"order": order, "terms": terms, "moduli": list(moduli), "offsets": starts})
        offsets += sum(moduli)
    layer = {"layer_id": 0, "site": "block", "streams": 1, "head_dim": ROW, "n_rows": offsets, "encoding": "float32"}
    layer |= {"table": "tables/layer_0.safetensors", "conv": CONV, "orders": orders}
    block = {
        "version": 2,
        "fuse": "gated",
        "residual_streams": 1,
        "ids": {"source": "compressed", "n_ids": N_IDS, "token_map": "token_map.safetensors"},
        "window": {"fill_id": 0, "segment_ids": []},
        "mix": "xor",
        "layers": [layer],
    }
    config = {"model_type": "tiny", "vocab_size": VOCAB, "hidden_size": HIDDEN, "num_hidden_layers": 1}
    config |= {"num_attention_heads": HEADS, "head_dim": HEAD_DIM, "max_position_embeddings": CONTEXT}
    config |= {"eos_token_id": 1, "engram": block}
    (path / "config.json").write_text(json.dumps(config))
    with TableWriter(path / layer["table"], "float32", offsets, ROW) as writer:
        writer.append(rng.standard_normal((offsets, ROW)).astype(np.float32))
    # Case and accents are lost in compression: "w1", "W1" and "ẃ1" share an id.
    words = {f"{'wWẃ'[i // N_IDS]}{i % N_IDS}": i for i in range(VOCAB)}
    save_file({"token_map": np.arange(VOCAB, dtype=np.int32) % N_IDS}, path / "token_map.safetensors")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(path / "tokenizer.json"))
    onnx.save(_graph(rng, engram, drop_input), path / "backbone.onnx")
    write_manifest(path)
    return path


def _graph(rng: np.random.Generator, engram: bool, drop_input: str | None) -> onnx.ModelProto:
    f32, i64 = TensorProto.FLOAT, TensorProto.INT64

    def weight(name, *shape):
        values = (rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)
        return numpy_helper.from_array(values, name)

    def const(name, values, dtype=np.int64):
        return numpy_helper.from_array(np.array(values, dtype), name)

    angles = np.outer(np.arange(CONTEXT), 100.0 ** -np.linspace(0, 1, HEAD_DIM // 2))
    weights = [
        weight("embed", VOCAB, HIDDEN),
        weight("rows_to_hidden", WIDTH, HIDDEN),
        weight("key", HIDDEN, 1),
        weight("conv", HIDDEN, 1, CONV["kernel"]),
        *(weight(x, HIDDEN, HIDDEN) for x in ("wq", "wk", "wv", "wo")),
        weight("head", HIDDEN, VOCAB),
        const("cos", np.cos(angles), np.float32),
        const("sin", np.sin(angles), np.float32),
        const("two", [2]),
        const("mask_shape", [-1, 1, 1]),
    ]
    node = helper.make_node
    on = [
        node("MatMul", ["engram_rows_0", "rows_to_hidden"], ["value"]),
        node("MatMul", ["hidden", "key"], ["score"]),
        node("Sigmoid", ["score"], ["gate"]),
        node("Mul", ["gate", "value"], ["v"]),
        node("Unsqueeze", ["v", "two"], ["gated"]),
        node("Concat", ["past_engram_conv_0", "v"], ["padded"], axis=1),
        node("Transpose", ["padded"], ["channels_first"], perm=[0, 2, 1]),
        node("Conv", ["channels_first", "conv"], ["mixed"], dilations=[CONV["dilation"]], group=HIDDEN),
        node("Transpose", ["mixed"], ["smoothed"], perm=[0, 2, 1]),
        node("Add", ["hidden", "smoothed"], ["with_layer"]),
        node("Where", ["mask", "with_layer", "hidden"], ["on_hidden"]),
    ]
    off = [
        node("Identity", ["hidden"], ["off_hidden"]),
        node("Sub", ["hidden", "hidden"], ["off_conv"]),
        node("Constant", [], ["off_gated"], value=const("no_gated", np.zeros((0, 0, 0, 0)), np.float32)),
        node("Constant", [], ["off_value"], value=const("no_value", np.zeros((0, 0, 0)), np.float32)),
    ]
    shape = ["B", "S", HIDDEN]

    def info(name, dtype, dims):
        return helper.make_tensor_value_info(name, dtype, dims)

    def gates(gated, value):
        return info(gated, f32, ["B", "S", 1, HIDDEN]), info(value, f32, shape)

    branches = {
        "then_branch": helper.make_graph(
            on, "on", [], [info("on_hidden", f32, shape), info("v", f32, shape), *gates("gated", "value")]
        ),
        "else_branch": helper.make_graph(
            off,
            "off",
            [],
            [info("off_hidden", f32, shape), info("off_conv", f32, shape), *gates("off_gated", "off_value")],
        ),
    }
    switch = node(
        "If", ["any_enabled"], ["layered", "present_engram_conv_0", "engram_gated_0", "engram_value_0"], **branches
    )
    if not engram:
        switch = node("Identity", ["hidden"], ["layered"])
    nodes = [
        node("Gather", ["embed", "input_ids"], ["hidden"]),
        node("Cast", ["engram_enabled"], ["enabled"], to=TensorProto.INT32),
        node("ReduceMax", ["enabled"], ["most_enabled"], keepdims=0),
        node("Cast", ["most_enabled"], ["any_enabled"], to=TensorProto.BOOL),
        node("Reshape", ["engram_enabled", "mask_shape"], ["mask"]),
        switch,
        *(node("MatMul", ["layered", f"w{x}"], [x]) for x in "qkv"),
        node(
            "GroupQueryAttention",
            [
                "q",
                "k",
                "v_",
                "past_key_values.0.key",
                "past_key_values.0.value",
                "seqlens_k",
                "total_sequence_length",
                "cos",
                "sin",
            ],
            ["attended", "present.0.key", "present.0.value"],
            domain="com.microsoft",
            num_heads=HEADS,
            kv_num_heads=HEADS,
            do_rotary=1,
        ),
        node("MatMul", ["attended", "wo"], ["projected"]),
        node("Add", ["layered", "projected"], ["out"]),
        node("Gather", ["out", "logits_rows"], ["wanted"], axis=1),
        node("MatMul", ["wanted", "head"], ["logits"]),
    ]
    next(x for x in nodes if x.output[0] == "v").output[0] = "v_"  # "v" is the name of the layer's value
    kv = ["B", HEADS, "P", HEAD_DIM]
    inputs = [
        info("input_ids", i64, ["B", "S"]),
        info("seqlens_k", TensorProto.INT32, ["B"]),
        info("total_sequence_length", TensorProto.INT32, []),
        info("logits_rows", i64, ["n"]),
        info("past_key_values.0.key", f32, kv),
        info("past_key_values.0.value", f32, kv),
        info("engram_enabled", TensorProto.BOOL, ["B"]),
        info("engram_rows_0", f32, ["B", "S", WIDTH]),
        info("past_engram_conv_0", f32, ["B", N_STATE, HIDDEN]),
    ]
    outputs = [info("logits", f32, ["B", "n", VOCAB]), info("present.0.key", f32, kv), info("present.0.value", f32, kv)]
    if engram:
        outputs += [info("present_engram_conv_0", f32, shape), *gates("engram_gated_0", "engram_value_0")]
    if drop_input == "engram_enabled":
        inputs = [x for x in inputs if x.name != drop_input]
        weights.append(const("engram_enabled", [True], bool))
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)
