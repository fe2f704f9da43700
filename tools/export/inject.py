"""Engram layers inside a backbone's graph: each in an If that leaves it out, with a switch for every sequence."""

import numpy as np
import onnx_ir as ir

from engram_local import graph_names
from engram_local.config import LayerConfig
from engram_local.tools.checkpoints.view import LayerWeights, SummedWeights
from engram_local.tools.export.layer import (
    BATCH,
    LayerGraph,
    LayerValues,
    branch,
    graph_value,
    name_gate,
    name_output,
)

SHOWN = ("shown_batch", "shown_sequence")  # what tells of the gates is empty where no sequence has memory


def feed_lengths(graph: ir.Graph) -> None:
    """Have a backbone's graph take the two numbers that GroupQueryAttention wants in place of a mask, out of which six
    nodes would make them at every step."""
    attention = [x for x in graph.all_nodes() if x.op_type == "GroupQueryAttention"]
    for i, name, shape in ((5, graph_names.LAST_POSITIONS, [BATCH[0]]), (6, graph_names.TOTAL_LENGTH, [])):
        given = graph_value(name, shape, ir.DataType.INT32)
        for node in attention:
            node.replace_input_with(i, given)
        graph.inputs.append(given)
    mask = next(x for x in graph.inputs if x.name == "attention_mask")
    unused = [x.node for x in mask.uses()]
    for node in unused:  # grows on the way
        unused += [x.node for value in node.outputs for x in value.uses()]
    constants = {x for node in unused for x in node.inputs if x is not None and x is not mask}
    graph.remove(unused, safe=True)
    graph.inputs.remove(mask)
    for value in constants:
        if value.is_initializer() and not value.uses():
            del graph.initializers[value.name]
        elif value.producer() and value.producer().graph is graph and not value.uses():
            graph.remove(value.producer(), safe=True)


def name_values(tape: ir.tape.Tape) -> None:
    """Name the output of each of a tape's nodes after the node."""
    for node in tape.nodes:
        node.outputs[0].name = f"{node.name}/0"


class Switch:
    """`engram_enabled` [B] as what the layers read: `any` (whether one sequence has memory) and `mask` [B, 1, 1]."""

    def __init__(self, enabled: ir.Value, graph: ir.Graph):
        tape = ir.tape.Tape()
        self.any = tape.op("ReduceMax", [enabled], {"keepdims": 0}, name="engram.enabled/Any")
        shape = tape.initializer(ir.tensor(np.array([-1, 1, 1]), name="engram.enabled.shape"))
        self.mask = tape.op("Reshape", [enabled, shape], name="engram.enabled/Mask")
        name_values(tape)
        graph.register_initializer(shape)
        self.nodes = list(tape.nodes)  # to be put before the first layer


def add_layer(
    graph: ir.Graph,
    switch: "Switch",
    config: LayerConfig,
    weights: LayerWeights | SummedWeights,
    bits: int,
    hidden: ir.Value,
    out: ir.Value,
    rows: ir.Value,
    past: ir.Value | None,
    d: int,
) -> None:
    """Build a layer between `hidden` and `out`, residuals [B, S, W], at the end of `graph`, its outputs among the
    graph's. `rows`, `past`: what layer_inputs gave; d: the width of one stream."""
    layer = LayerGraph(config, weights, bits)
    if isinstance(weights, SummedWeights) and weights.word_scale != 1:
        before = LayerGraph(config, weights, bits)
        scaled = before.scaled(hidden)
        graph.extend(before.tape.nodes)
        for value in before.tape.initializers:
            graph.register_initializer(value)
        scaled.name, scaled.type, scaled.shape = "engram.scaled_embedding", hidden.type, hidden.shape
        hidden = scaled
    values = layer.build(hidden, rows, past)
    node = layer_node(config, branch(layer.tape, [], ""), values, hidden, out, d, switch, graph)
    graph.append(node)
    graph.outputs.extend(node.outputs[1:])


def layer_node(
    config: LayerConfig,
    on: ir.Graph,
    values: LayerValues,
    hidden: ir.Value,
    out: ir.Value,
    d: int,
    switch: Switch,
    graph: ir.Graph,
) -> ir.Node:
    """An If around the layer whose nodes are `on`. Its outputs are LayerValues' fields that are there, in order; the
    first is `out`, the others are the graph's too.

    A batch without memory runs none of it; in a mixed one the sequences without memory keep their residual.
    `hidden` [B, S, W] is the residual that enters, d its width in one stream. The weights become those of `graph`: ONNX
    Runtime takes external data from elsewhere (backends/onnx.py) for a graph's own tensors alone.
    """
    prefix = f"engram.{config.layer_id}"
    mixed = ir.tape.Tape(on).op("Where", [switch.mask, values.hidden, hidden], name=f"{prefix}.Where")
    mixed.name = f"{prefix}.Where/0"
    on.name = f"engram_{config.layer_id}_on"
    on.outputs.extend(x for x in (mixed, values.conv, values.gated, values.value) if x is not None)
    off = ir.tape.Tape()

    def const(name: str, array: np.ndarray) -> ir.Value:
        return off.initializer(ir.tensor(array, name=f"{prefix}.off.{name}"))

    other = [off.op("Identity", [hidden], name=f"{prefix}.off/Identity")]
    if config.conv is not None:  # zeros [B, S, C]
        size = off.op("Shape", [hidden], {"start": 0, "end": 2}, name=f"{prefix}.off/Shape")
        size = off.op(
            "Concat",
            [size, const("channels", np.array([config.streams * d]))],
            {"axis": 0},
            name=f"{prefix}.off/Concat",
        )
        zero = {"value": ir.tensor(np.zeros(1, np.float32))}
        other.append(off.op("ConstantOfShape", [size], zero, name=f"{prefix}.off/Zeros"))
    for name, n_dims in (("gated", 4), ("value", 3)):
        empty = {"value": ir.tensor(np.zeros((0,) * n_dims, np.float32))}
        other.append(off.op("Constant", [], empty, name=f"{prefix}.off/{name}"))
    name_values(off)
    branches = {
        "then_branch": on,
        "else_branch": branch(off, other, f"engram_{config.layer_id}_off"),
    }
    for inner in branches.values():
        for value in list(inner.initializers.values()):
            del inner.initializers[value.name]
            graph.register_initializer(value)
    outputs = [out]
    if config.conv is not None:
        outputs.append(name_output(ir.Value(), graph_names.present_conv(config.layer_id), *BATCH, config.streams * d))
    outputs += name_gate(config, ir.Value(), ir.Value(), d, SHOWN)
    return ir.node("If", [switch.any], branches, outputs=outputs, name=f"/{prefix}/If")
