"""The Engram layer as ONNX nodes: written here once, used inside backbone.onnx and alone as engram_layer_{id}.onnx.

ONNX Runtime's own operators do the arithmetic (com.microsoft: EngramGate, CausalConvWithState, MatMulNBits).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from engram_local import graph_names
from engram_local.config import LayerConfig
from engram_local.tools.checkpoints.view import CheckpointView, LayerWeights, SummedWeights
from engram_local.tools.export.nbits import BLOCK, quantize_blocks

OPSETS = {"": 22, "com.microsoft": 1}
IR_VERSION = 10
BATCH = ("batch_size", "sequence_length")  # the first two dimensions of a graph's values
WEIGHT_BITS = {"float32": 32, "float16": 16, "int8": 8, "int4": 4}


@dataclass(frozen=True)
class LayerValues:
    """What a layer's nodes yield; a tensor without convolution is None."""

    hidden: ir.Value  # [B, S, W]: the residual with the layer's output added
    conv: ir.Value | None  # [B, S, C]: the convolution's inputs at these tokens
    gated: ir.Value  # [B, S, M, d]: gate * value
    value: ir.Value  # [B, S, d]


class LayerGraph:
    """Emits one layer's nodes onto `self.tape`; value names start with `engram.{id}`, so they fit into any graph."""

    def __init__(
        self, config: LayerConfig, weights: LayerWeights | SummedWeights, bits: int, residual_streams: int = 1
    ):
        """`residual_streams`: 1, or the layer's own number of streams, which are then the residual's."""
        assert residual_streams in (1, config.streams)
        self.config, self.weights, self.bits = config, weights, bits
        self.residual_streams = residual_streams
        self.tape = ir.tape.Tape()
        self._prefix = f"engram.{config.layer_id}"
        self._n_values = 0

    def build(self, hidden: ir.Value, rows: ir.Value, past: ir.Value | None) -> LayerValues:
        """hidden [B, S, W], W = residual streams * d; rows [B, S, E]; past [B, n_state, C] or None."""
        w, m = self.weights, self.config.streams
        d = w.value_proj.shape[0]
        if isinstance(w, SummedWeights):
            return self._sum(hidden, rows, w)
        key = self._split(self._linear(rows, w.key_proj, w.key_bias, "key_proj"), m, d)
        value = self._linear(rows, w.value_proj, w.value_bias, "value_proj")
        query = self._split(hidden, self.residual_streams, d)
        if m > self.residual_streams:  # a plain residual is every stream's query
            query = self._op("Expand", [query, self._const("query_shape", np.array([1, 1, m, d], np.int64))])
        inputs = [key, query, value, self._const("norm_key", w.norm_key), self._const("norm_query", w.norm_query)]
        if w.conv_weight is None:
            gated = self._op("EngramGate", inputs, "com.microsoft", epsilon=w.gate_eps)
            return LayerValues(self._add(hidden, self._join(gated, m, d), m, d), None, gated, value)
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
        return LayerValues(self._add(hidden, y, m, d), normed, gated, value)

    def _sum(self, hidden: ir.Value, rows: ir.Value, w: SummedWeights) -> LayerValues:
        """Its gate is always open. The embedding's own scale is `scaled`'s business."""
        value = self._linear(rows, w.value_proj * np.float32(w.rows_scale), None, "value_proj")
        gated = self._split(value, 1, w.value_proj.shape[0])
        return LayerValues(self._op("Add", [hidden, value]), None, gated, value)

    def scaled(self, hidden: ir.Value) -> ir.Value:
        """The embedding as it enters a summed layer, with or without memory."""
        if not isinstance(self.weights, SummedWeights) or self.weights.word_scale == 1:
            return hidden
        scale = self._const("word_scale", np.array(self.weights.word_scale, np.float32))
        return self._op("Mul", [hidden, scale])

    def _add(self, hidden: ir.Value, y: ir.Value, streams: int, d: int) -> ir.Value:
        """hidden [B, S, W] + y [B, S, M * d]: stream by stream, or its streams' sum where the residual is plain."""
        if streams > self.residual_streams:
            y = self._op("ReduceSum", [self._split(y, streams, d), self._const("axis", np.array([2]))], keepdims=0)
        return self._op("Add", [hidden, y])

    def _split(self, x: ir.Value, streams: int, d: int) -> ir.Value:
        """[B, S, M * d] -> [B, S, M, d]."""
        return self._op("Reshape", [x, self._const(f"split{streams}", np.array([0, 0, streams, d]))])

    def _join(self, x: ir.Value, streams: int, d: int) -> ir.Value:
        """[B, S, M, d] -> [B, S, M * d]."""
        return self._op("Reshape", [x, self._const("join", np.array([0, 0, streams * d]))])

    def _linear(self, x: ir.Value, weight: np.ndarray, bias: np.ndarray | None, name: str) -> ir.Value:
        """x [B, S, K] times weight [N, K] transposed, plus bias [N]."""
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


def graph_value(name: str, shape: list, dtype: ir.DataType = ir.DataType.FLOAT) -> ir.Value:
    """An input or output of a graph."""
    return ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(shape))


def layer_inputs(config: LayerConfig, d: int) -> tuple[ir.Value, ir.Value | None]:
    """The graph inputs that a layer adds: its rows and, where it has a convolution, the convolution's past."""
    rows = graph_value(graph_names.rows(config.layer_id), [*BATCH, config.row_width])
    if config.conv is None:
        return rows, None
    past = [BATCH[0], config.conv.n_state, config.streams * d]
    return rows, graph_value(graph_names.past_conv(config.layer_id), past)


def name_output(value: ir.Value, name: str, *dims: int | str) -> ir.Value:
    """Make a value an output of a graph, float32 [*dims]."""
    value.name, value.type, value.shape = name, ir.TensorType(ir.DataType.FLOAT), ir.Shape(dims)
    return value


def name_gate(
    config: LayerConfig, gated: ir.Value, value: ir.Value, d: int, batch: tuple[str, str] = BATCH
) -> list[ir.Value]:
    """The two outputs that tell how far the gate opened. ONNX Runtime computes every output of a graph, fetched or not,
    and these are computed anyway: nodes that made the gate of them would cost time where nobody asks for it."""
    return [
        name_output(gated, graph_names.gated(config.layer_id), *batch, config.streams, d),
        name_output(value, graph_names.value(config.layer_id), *batch, d),
    ]


def branch(tape: ir.tape.Tape, outputs: list[ir.Value], name: str) -> ir.Graph:
    """The nodes of a tape as one side of an If."""
    return ir.Graph([], outputs, nodes=tape.nodes, initializers=tape.initializers, name=name)


def save_layer(
    path: Path, config: LayerConfig, weights: LayerWeights | SummedWeights, bits: int, residual_streams: int = 1
) -> None:
    """Write engram_layer_{id}.onnx: hidden, rows (and the convolution's past) -> hidden_out (and its new inputs), and
    what tells how far the gate opened."""
    layer = LayerGraph(config, weights, bits, residual_streams)
    d = weights.value_proj.shape[0]
    rows, past = layer_inputs(config, d)
    hidden = graph_value(graph_names.HIDDEN, [*BATCH, residual_streams * d])
    values = layer.build(layer.scaled(hidden), rows, past)
    values.hidden.name, values.hidden.type, values.hidden.shape = graph_names.HIDDEN_OUT, hidden.type, hidden.shape
    outputs = [values.hidden]
    if values.conv is not None:
        outputs.append(name_output(values.conv, graph_names.present_conv(config.layer_id), *BATCH, config.streams * d))
    outputs += name_gate(config, values.gated, values.value, d)
    graph = ir.Graph(
        inputs=[v for v in (hidden, rows, past) if v is not None],
        outputs=outputs,
        nodes=layer.tape.nodes,
        initializers=layer.tape.initializers,
        opset_imports=OPSETS,
        name=graph_names.layer_file(config.layer_id).removesuffix(".onnx"),
    )
    ir.save(ir.Model(graph, ir_version=IR_VERSION, producer_name="engram_local"), path)


def save_layers(view: CheckpointView, folder: Path, weights: str) -> None:
    """Write engram_layer_{id}.onnx of every layer; `weights` is a key of WEIGHT_BITS."""
    for layer in view.engram.layers:
        path = folder / graph_names.layer_file(layer.layer_id)
        save_layer(path, layer, view.layers[layer.layer_id], WEIGHT_BITS[weights], view.engram.residual_streams)
