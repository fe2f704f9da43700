"""The Engram layer as ONNX nodes: written here once, used inside backbone.onnx and alone as engram_layer_{id}.onnx.

ONNX Runtime's own operators do the arithmetic (com.microsoft: EngramGate, CausalConvWithState, MatMulNBits).
"""

from pathlib import Path

import numpy as np
import onnx_ir as ir

from engram_local.config import LayerConfig
from engram_local.tools.checkpoints.view import LayerWeights
from engram_local.tools.export.nbits import BLOCK, quantize_blocks

OPSETS = {"": 22, "com.microsoft": 1}
IR_VERSION = 10
WEIGHT_BITS = {"float32": 32, "float16": 16, "int8": 8, "int4": 4}


class LayerGraph:
    """Emits one layer's nodes onto `self.tape`; value names start with `engram.{id}`, so they fit into any graph."""

    def __init__(self, config: LayerConfig, weights: LayerWeights, bits: int):
        self.config, self.weights, self.bits = config, weights, bits
        self.tape = ir.tape.Tape()
        self._prefix = f"engram.{config.layer_id}"
        self._n_values = 0

    def build(self, hidden: ir.Value, rows: ir.Value, past: ir.Value | None) -> tuple[ir.Value, ir.Value | None]:
        """hidden [1, S, d], rows [1, S, E], past [1, n_state, C] -> hidden + y, and the S new convolution inputs
        [1, S, C] (None without a convolution).
        """
        w, m = self.weights, self.config.streams
        d = w.value_proj.shape[0]
        key = self._split(self._linear(rows, w.key_proj, w.key_bias, "key_proj"), m, d)
        value = self._linear(rows, w.value_proj, w.value_bias, "value_proj")
        query = self._split(hidden, 1, d)
        if m > 1:  # a plain residual is every stream's query
            query = self._op("Expand", [query, self._const("query_shape", np.array([1, 1, m, d], np.int64))])
        inputs = [key, query, value, self._const("norm_key", w.norm_key), self._const("norm_query", w.norm_query)]
        if w.conv_weight is None:
            gated = self._op("EngramGate", inputs, "com.microsoft", epsilon=w.gate_eps)
            return self._add_streams(hidden, self._join(gated, m, d), m, d), None
        if w.conv_eps == w.gate_eps:
            gated, normed = self._op(
                "EngramGate", [*inputs, self._const("norm_conv", w.norm_conv)], "com.microsoft", n=2, epsilon=w.gate_eps
            )
        else:  # EngramGate has one epsilon for its three norms
            gated = self._op("EngramGate", inputs, "com.microsoft", epsilon=w.gate_eps)
            ones = self._const("ones", np.ones(d, np.float32))
            normed = self._op("SimplifiedLayerNormalization", [gated, ones], axis=-1, epsilon=w.conv_eps)
            normed = self._op("Mul", [normed, self._const("norm_conv", w.norm_conv)])
        normed = self._join(normed, m, d)
        bias = None if w.conv_bias is None else self._const("conv_bias", w.conv_bias)
        conv, _ = self._op(
            "CausalConvWithState", [normed, self._const("conv", w.conv_weight), bias, past], "com.microsoft", n=2,
            activation="silu", channels_last=1, dilation=self.config.conv.dilation,
        )  # fmt: skip
        y = self._op("Add", [self._join(gated, m, d), conv])
        return self._add_streams(hidden, y, m, d), normed

    def _add_streams(self, hidden: ir.Value, y: ir.Value, streams: int, d: int) -> ir.Value:
        """hidden [1, S, d] + the sum of y [1, S, M * d] over its streams."""
        if streams > 1:
            y = self._op("ReduceSum", [self._split(y, streams, d), self._const("axis", np.array([2]))], keepdims=0)
        return self._op("Add", [hidden, y])

    def _split(self, x: ir.Value, streams: int, d: int) -> ir.Value:
        """[1, S, M * d] -> [1, S, M, d]."""
        return self._op("Reshape", [x, self._const(f"split{streams}", np.array([0, 0, streams, d]))])

    def _join(self, x: ir.Value, streams: int, d: int) -> ir.Value:
        """[1, S, M, d] -> [1, S, M * d]."""
        return self._op("Reshape", [x, self._const("join", np.array([0, 0, streams * d]))])

    def _linear(self, x: ir.Value, weight: np.ndarray, bias: np.ndarray | None, name: str) -> ir.Value:
        """x [1, S, K] times weight [N, K] transposed, plus bias [N]."""
        bias = None if bias is None else self._const(f"{name}.bias", bias)
        if self.bits >= 16:
            transposed = np.ascontiguousarray(weight.T, np.float16 if self.bits == 16 else np.float32)
            weight = self._const(f"{name}.weight", transposed)
            if self.bits == 16:  # ONNX Runtime casts once, when it loads the model, and computes in float32
                weight = self._op("Cast", [weight], to=ir.DataType.FLOAT)
            out = self._op("MatMul", [x, weight])
            return out if bias is None else self._op("Add", [out, bias])
        codes, scales = quantize_blocks(weight, self.bits)
        n, k = weight.shape
        inputs = [x, self._const(f"{name}.codes", codes), self._const(f"{name}.scales", scales), None, None, bias]
        return self._op(
            "MatMulNBits", inputs, "com.microsoft", bits=self.bits, block_size=BLOCK, N=n, K=k, accuracy_level=4
        )

    def _const(self, name: str, array: np.ndarray) -> ir.Value:
        name = f"{self._prefix}.{name}"
        for value in self.tape.initializers:
            if value.name == name:
                return value
        return self.tape.initializer(ir.tensor(array, name=name))

    def _op(self, op_type: str, inputs: list, domain: str = "", n: int = 1, **attributes):
        self._n_values += 1
        name = f"{self._prefix}.{op_type}_{self._n_values}"
        outputs = [ir.Value(name=f"{name}/{i}") for i in range(n)]
        self.tape.op_multi_out(op_type, inputs, attributes, domain=domain, outputs=outputs, name=name)
        return outputs[0] if n == 1 else outputs


def rows_name(layer_id: int) -> str:
    return f"engram_rows_{layer_id}"


def past_name(layer_id: int) -> str:
    return f"past_engram_conv_{layer_id}"


def present_name(layer_id: int) -> str:
    return f"present_engram_conv_{layer_id}"


def layer_inputs(config: LayerConfig, d: int) -> tuple[ir.Value, ir.Value | None]:
    """The graph inputs that a layer adds: its rows and, where it has a convolution, the convolution's past."""

    def value(name: str, shape: list) -> ir.Value:
        return ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(shape))

    rows = value(rows_name(config.layer_id), [1, "sequence_length", config.row_width])
    if config.conv is None:
        return rows, None
    return rows, value(past_name(config.layer_id), [1, config.conv.n_state, config.streams * d])


def save_layer(path: Path, config: LayerConfig, weights: LayerWeights, bits: int) -> None:
    """Write engram_layer_{id}.onnx: hidden, rows (and the convolution's past) -> hidden_out (and its new inputs)."""
    d = weights.value_proj.shape[0]
    rows, past = layer_inputs(config, d)
    shape = ir.Shape([1, "sequence_length", d])
    hidden = ir.Value(name="hidden", type=ir.TensorType(ir.DataType.FLOAT), shape=shape)
    layer = LayerGraph(config, weights, bits)
    out, new = layer.build(hidden, rows, past)
    out.name, out.type, out.shape = "hidden_out", hidden.type, shape
    outputs = [out]
    if new is not None:
        new.name, new.type = present_name(config.layer_id), hidden.type
        new.shape = ir.Shape([1, "sequence_length", config.streams * d])
        outputs.append(new)
    graph = ir.Graph(
        inputs=[v for v in (hidden, rows, past) if v is not None],
        outputs=outputs,
        nodes=layer.tape.nodes,
        initializers=layer.tape.initializers,
        opset_imports=OPSETS,
        name=f"engram_layer_{config.layer_id}",
    )
    ir.save(ir.Model(graph, ir_version=IR_VERSION, producer_name="engram_local"), path)
