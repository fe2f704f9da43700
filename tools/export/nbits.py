"""Puts ONNX Runtime's block-quantized operators, MatMulNBits and GatherBlockQuantized, in the place of float ones."""

import re
from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from engram_local.tools.export.bits import block_size, matrix_bits
from engram_local.tools.export.rounding import Blocks, round_symmetric, round_to_inputs

BLOCK = 32  # values that share a scale, where nothing else is said


def quantize_blocks(weight: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 [N, K] -> codes uint8 [N, ceil(K / 32), 32 * bits / 8] and scales float32 [N, ceil(K / 32)]."""
    blocks = round_symmetric(weight, bits, BLOCK)
    return blocks.packed_codes(), blocks.scales


def dequantize_blocks(codes: np.ndarray, scales: np.ndarray, bits: int, k: int) -> np.ndarray:
    """The inverse of quantize_blocks: float32 [N, k]."""
    if bits == 4:
        codes = np.stack([codes & 15, codes >> 4], -1).reshape(*codes.shape[:2], BLOCK)
    return Blocks(bits, BLOCK, k, codes, scales, None).values()


def quantize_graph(
    graph: ir.Graph, bits: int, keep: set[str], moments: Callable[[str], list[np.ndarray] | None] = lambda name: None
) -> None:
    """Turn the MatMuls with constant weights into MatMulNBits and the embedding into GatherBlockQuantized, in place.

    Which matrix takes 8 bits even where the rest takes 4 is bits.py's to say; a tied head and embedding share one
    tensor. `keep` names MatMuls to leave alone (a router's few weights decide which experts run); `moments` gives the
    inputs' moments of the MatMul of a name, as round_to_inputs takes them, or None.
    """
    head = None
    n_layers = 1 + max(int(x) for node in graph for x in re.findall(r"^/model/layers\.(\d+)/", node.name or ""))
    for node in list(graph):
        if node.op_type != "MatMul" or node.name in keep or node.inputs[1].const_value is None:
            continue
        weight = node.inputs[1]
        values = weight.const_value.numpy().T
        n, k = values.shape
        wanted, block = matrix_bits(node.name, bits, n_layers), block_size(k)
        if wanted == 8:
            blocks = round_symmetric(values, 8, block)
        else:
            blocks = round_to_inputs(values, 4, block, moments(node.name))
        tensors = _tensors(graph, weight.name, blocks)
        if node.name == "/lm_head/MatMul":
            head = weight, blocks, tensors
        attributes = {"bits": wanted, "block_size": block, "N": n, "K": k, "accuracy_level": 4}
        _replace(graph, node, "MatMulNBits", [node.inputs[0], *tensors], attributes)
    _quantize_embedding(graph, head)
    for name in [v.name for v in graph.initializers.values() if not v.uses()]:
        del graph.initializers[name]


def _quantize_embedding(graph: ir.Graph, head: tuple) -> None:
    gather = next(n for n in graph if n.name == "/model/embed_tokens/Gather")
    source = gather.inputs[0].producer()
    if source is not None and source.inputs[0] is head[0]:  # Gather(Transpose(head)): tied
        _, blocks, (codes, scales) = head
    else:
        weight = gather.inputs[0]
        values = weight.const_value.numpy()
        blocks = round_symmetric(values, 8, block_size(values.shape[1]))
        codes, scales = _tensors(graph, weight.name, blocks)
    n, width = codes.shape[0], codes.shape[1] * codes.shape[2]
    flat = ir.node("Reshape", [codes, _initializer(graph, "embed.shape", np.array([n, width], np.int64))])
    flat.outputs[0].name = flat.name = "/model/embed_tokens/Reshape"
    graph.insert_before(gather, flat)
    attributes = {"bits": 8, "block_size": blocks.block, "gather_axis": 0, "quantize_axis": 1}
    inputs = [flat.outputs[0], gather.inputs[1], scales]
    d = gather.outputs[0].shape[-1]
    new = _replace(graph, gather, "GatherBlockQuantized", inputs, attributes)
    if source is not None:
        graph.remove(source, safe=True)
    if width != d:  # rows are padded to whole blocks
        uses = list(new.uses())
        ends = [_initializer(graph, f"embed.{i}", np.array([x], np.int64)) for i, x in enumerate((0, d, 2))]
        cut = ir.node("Slice", [new, *ends], name="/model/embed_tokens/Slice")
        cut.outputs[0].name = cut.name
        graph.insert_after(new.producer(), cut)
        for user, i in uses:
            user.replace_input_with(i, cut.outputs[0])


def _tensors(graph: ir.Graph, name: str, blocks: Blocks) -> list[ir.Value]:
    """What MatMulNBits reads of a weight: codes, scales and, where there are any, zero points."""
    arrays = {"codes": blocks.packed_codes(), "scales": blocks.scales, "zero_points": blocks.packed_zero_points()}
    return [_initializer(graph, f"{name}.{what}", x) for what, x in arrays.items() if x is not None]


def _initializer(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    tensor = ir.tensor(array, name=name)
    value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=tensor.shape, const_value=tensor)
    graph.register_initializer(value)
    return value


def _replace(graph: ir.Graph, node: ir.Node, op_type: str, inputs: list, attributes: dict) -> ir.Value:
    """Put a com.microsoft operator in the place of `node`; its output keeps the name."""
    old = node.outputs[0]
    out = ir.Value(name=old.name, type=old.type, shape=old.shape)
    new = ir.node(op_type, inputs, attributes, domain="com.microsoft", outputs=[out], name=node.name)
    graph.insert_before(node, new)
    old.replace_all_uses_with(out, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    return out
