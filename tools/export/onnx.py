"""Writes backbone.onnx, with the Engram layers inside."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch

from engram_local.graph_names import ONNX_DATA_FILE, ONNX_FILE
from engram_local.tools.checkpoints.view import CheckpointView
from engram_local.tools.export.builder import build

INLINE_BYTES = 1024  # smaller constants stay inside the .onnx file, where shape inference can read them


def write_backbone_onnx(
    view: CheckpointView,
    model: torch.nn.Module,
    folder: Path,
    weights: str,
    tokens: np.ndarray | None = None,
    via: str = "builder",
) -> None:
    """Write backbone.onnx and backbone.onnx.data into `folder`; `weights` is float32, float16, int8 or int4; `tokens`
    int64 [n] is a text that int4 is rounded for; `via` "torch": as via_torch.py traces it.
    """
    engram = {layer.layer_id: (layer, view.layers[layer.layer_id]) for layer in view.engram.layers}
    if via == "torch":
        from engram_local.tools.export import via_torch

        graph = via_torch.build(model, engram, weights, folder)
    else:
        graph = build(model, engram, weights, folder, tokens)
    if weights == "float16":
        store_as_float16(graph.graph)
    ir.save(graph, folder / ONNX_FILE, external_data=ONNX_DATA_FILE, size_threshold_bytes=INLINE_BYTES)


def store_as_float16(graph: ir.Graph) -> None:
    """Store the weights as float16 with a Cast behind each. ONNX Runtime folds the casts when it loads the model and
    computes in float32, as its CPU kernels do best; the file is half as large. A weight that float16 cannot hold stays.
    """
    first = graph[0]
    for value in list(graph.initializers.values()):
        if value.dtype != ir.DataType.FLOAT or len(value.shape) < 2 or value.const_value.size < INLINE_BYTES:
            continue
        if value.name.endswith(("cos_cache", "sin_cache")) or value.name.startswith("engram."):
            continue
        with np.errstate(over="ignore"):
            array = value.const_value.numpy().astype(np.float16)
        if not np.isfinite(array).all():
            continue
        uses = list(value.uses())
        half = ir.tensor(array, name=f"{value.name}.float16")
        stored = ir.Value(name=half.name, type=ir.TensorType(half.dtype), shape=half.shape, const_value=half)
        cast = ir.node("Cast", [stored], {"to": ir.DataType.FLOAT}, name=f"{value.name}.Cast")
        cast.outputs[0].name = f"{value.name}.float32"
        graph.register_initializer(stored)
        graph.insert_before(first, cast)
        for node, i in uses:
            node.replace_input_with(i, cast.outputs[0])
        del graph.initializers[value.name]
