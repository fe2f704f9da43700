"""Block quantization as ONNX Runtime's MatMulNBits and GatherBlockQuantized have it: symmetric, 32 values a scale."""

import numpy as np
import onnx_ir as ir

BLOCK = 32


def quantize_blocks(weight: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 [N, K] -> codes uint8 [N, ceil(K / 32), 32 * bits / 8] and scales float32 [N, ceil(K / 32)].

    A value is (code - 2**(bits - 1)) * scale; of a 4-bit pair the first value is the low nibble. The scale is signed:
    the value of largest magnitude in a block takes the code 0, whose range reaches one step further.
    """
    n, k = weight.shape
    zero = 1 << (bits - 1)
    padded = np.zeros((n, -(-k // BLOCK) * BLOCK), np.float32)
    padded[:, :k] = weight
    blocks = padded.reshape(n, -1, BLOCK)
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(-1, keepdims=True), -1)
    scales = extreme / -zero
    codes = np.rint(blocks / np.where(scales == 0, 1, scales)) + zero
    codes = np.clip(codes, 0, 2 * zero - 1).astype(np.uint8)
    if bits == 4:
        codes = codes[..., 0::2] | codes[..., 1::2] << 4
    return codes, scales[..., 0]


def dequantize_blocks(codes: np.ndarray, scales: np.ndarray, bits: int, k: int) -> np.ndarray:
    """The inverse of quantize_blocks: float32 [N, k]."""
    if bits == 4:
        codes = np.stack([codes & 15, codes >> 4], -1).reshape(*codes.shape[:2], BLOCK)
    values = (codes.astype(np.float32) - (1 << (bits - 1))) * scales[..., None]
    return values.reshape(len(codes), -1)[:, :k]


def quantize_graph(graph: ir.Graph, bits: int, keep: set[str]) -> None:
    """Turn the MatMuls with constant weights into MatMulNBits and the embedding into GatherBlockQuantized, in place.

    The head and the embedding take 8 bits even where the rest takes 4, for they bear fewer badly; where they are tied
    they share one tensor. `keep` names MatMuls to leave alone (a router's few weights decide which experts run).
    """
    head = None
    for node in list(graph):
        if node.op_type != "MatMul" or node.name in keep or node.inputs[1].const_value is None:
            continue
        is_head = node.name == "/lm_head/MatMul"
        weight = node.inputs[1]
        codes, scales = _blocks(graph, weight.name, weight.const_value.numpy().T, 8 if is_head else bits)
        if is_head:
            head = weight, codes, scales
        k, n = weight.shape
        attributes = {"bits": 8 if is_head else bits, "block_size": BLOCK, "N": n, "K": k, "accuracy_level": 4}
        _replace(graph, node, "MatMulNBits", [node.inputs[0], codes, scales], attributes)
    _quantize_embedding(graph, head)
    for name in [v.name for v in graph.initializers.values() if not v.uses()]:
        del graph.initializers[name]


def _quantize_embedding(graph: ir.Graph, head: tuple) -> None:
    gather = next(n for n in graph if n.name == "/model/embed_tokens/Gather")
    source = gather.inputs[0].producer()
    if source is not None and source.inputs[0] is head[0]:  # Gather(Transpose(head)): tied
        _, codes, scales = head
    else:
        weight = gather.inputs[0]
        codes, scales = _blocks(graph, weight.name, weight.const_value.numpy(), 8)
    n, width = codes.shape[0], codes.shape[1] * codes.shape[2]
    flat = ir.node("Reshape", [codes, _initializer(graph, "embed.shape", np.array([n, width], np.int64))])
    flat.outputs[0].name = flat.name = "/model/embed_tokens/Reshape"
    graph.insert_before(gather, flat)
    attributes = {"bits": 8, "block_size": BLOCK, "gather_axis": 0, "quantize_axis": 1}
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


def _blocks(graph: ir.Graph, name: str, weight: np.ndarray, bits: int) -> tuple[ir.Value, ir.Value]:
    codes, scales = quantize_blocks(weight, bits)
    return _initializer(graph, f"{name}.codes", codes), _initializer(graph, f"{name}.scales", scales)


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
