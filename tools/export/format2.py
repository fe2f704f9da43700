"""Brings a model folder of format 1 to format 2: python -m engram_local.tools.export.format2 FOLDER.

Format 1 ran one sequence and did not show its gates. The graphs get a batch axis, a switch for every sequence and two
outputs a layer; weights, tables and tokenizer stay the very bytes that they are. Needs onnx-ir, no torch.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx_ir as ir

from engram_local import graph_names
from engram_local.config import EngramConfig, LayerConfig
from engram_local.errors import ConfigError, EngramError, ModelFolderError
from engram_local.model_folder import read_json, read_manifest, save_manifest, sha256
from engram_local.tools.export.inject import Switch, feed_lengths, layer_node
from engram_local.tools.export.layer import BATCH, LayerValues, name_gate


def upgrade(folder: str | Path) -> list[str]:
    """Rewrite the graphs, config.json and the manifest of `folder` in place; returns the files that changed.

    Each file is replaced in one step and config.json is the last but one, so an interrupted run can be repeated.
    Raises EngramError where the folder is not one of format 1.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    config = read_json(folder / "config.json", ConfigError)
    block = config.get("engram") if isinstance(config, dict) else None
    if not isinstance(block, dict) or block.get("version") != 1:
        found = block.get("version") if isinstance(block, dict) else None
        raise ModelFolderError(f"{folder}: engram.version is {str(found)[:20]!r}; only format 1 is brought up to date")
    config["engram"] = upgraded_block(block)
    engram = EngramConfig.from_dict(config["engram"], str(folder / "config.json"))
    changed = []
    for layer in engram.layers:
        changed += _rewrite(folder, graph_names.layer_file(layer.layer_id), lambda graph, x=layer: add_batch(graph, x))
    changed += _rewrite(folder, graph_names.ONNX_FILE, lambda graph: add_switches(graph, engram.layers))
    partial = folder / "config.json.partial"
    partial.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, folder / "config.json")
    changed.append("config.json")
    for name in changed:
        manifest["files"][name] = {"bytes": (folder / name).stat().st_size, "sha256": sha256(folder / name)}
    save_manifest(folder, manifest)
    return changed


def upgraded_block(block: dict[str, Any]) -> dict[str, Any]:
    """The "engram" block of format 1 as one of format 2."""
    layers = [{"layer_id": x["layer_id"], "site": "block"} | x for x in block["layers"]]
    return (
        {"version": 2, "fuse": "gated", "residual_streams": 1}
        | {x: y for x, y in block.items() if x != "version"}
        | {"layers": layers}
    )


def add_batch(graph: ir.Graph, layer: LayerConfig) -> None:
    """A layer's own graph: the batch axis, and what tells how far the gate opened."""
    _name_batch(graph)
    graph.outputs.extend(name_gate(layer, *_gated(graph), _width(graph)))


def add_switches(graph: ir.Graph, layers: tuple[LayerConfig, ...]) -> None:
    """The same for a backbone's graph, each layer's If by `Switch`, and lengths for the mask."""
    _name_batch(graph)
    feed_lengths(graph)
    switch = Switch(next(x for x in graph.inputs if x.name == graph_names.ENABLED), graph)
    graph.insert_before(graph[0], switch.nodes)
    for layer in layers:
        old = next(x for x in graph if x.name == f"/engram.{layer.layer_id}/If")
        on = old.attributes["then_branch"].as_graph()
        out, *conv = on.outputs
        on.outputs.clear()
        values = LayerValues(out, conv[0] if conv else None, *_gated(on))
        hidden = out.producer().inputs[0]  # the branch ends with Add(hidden, y)
        new = layer_node(layer, on, values, hidden, _copy(old.outputs[0]), _width(on), switch, graph)
        graph.insert_before(old, new)
        for before, after in zip(old.outputs, new.outputs, strict=False):
            before.replace_all_uses_with(after, replace_graph_outputs=True)
        graph.remove(old, safe=True)
        graph.outputs.extend(new.outputs[-2:])


def _gated(graph: ir.Graph) -> tuple[ir.Value, ir.Value]:
    """gate * value [B, S, M, d] and value [B, S, d] of the layer whose nodes `graph` has."""
    node = next(x for x in graph if x.op_type == "EngramGate")
    return node.outputs[0], node.inputs[2]


def _width(graph: ir.Graph) -> int:
    """d, of a layer: what its query's norm scales are as wide as."""
    node = next(x for x in graph if x.op_type == "EngramGate")
    return int(node.inputs[4].shape[-1])


def _copy(value: ir.Value) -> ir.Value:
    return ir.Value(name=value.name, type=value.type, shape=value.shape)


def _name_batch(graph: ir.Graph) -> None:
    """Give every input and output that has a sequence's axis, or a state's, the axis of the batch."""
    for value in (*graph.inputs, *graph.outputs):
        if value.name == graph_names.LOGITS:
            value.shape = ir.Shape([BATCH[0], graph_names.LOGITS_ROWS, value.shape[-1]])
        elif value.name != graph_names.LOGITS_ROWS:
            value.shape = ir.Shape([BATCH[0], *value.shape[1:]])


def _rewrite(folder: Path, name: str, change: Callable[[ir.Graph], None]) -> list[str]:
    """Alter the graph of one file, whose external data stays; nothing where the folder has no such file, or where an
    interrupted run altered it."""
    path = folder / name
    if not path.is_file():
        return []
    model = ir.load(path)
    if not any(x.name.startswith(graph_names.gated("")) for x in model.graph.outputs):
        change(model.graph)
        partial = path.with_name(f"{name}.partial")
        ir.save(model, partial)
        os.replace(partial, path)
    return [name]


if __name__ == "__main__":
    try:
        print("\n".join(upgrade(*sys.argv[1:])))
    except (EngramError, TypeError) as e:
        sys.exit(str(e))
