"""Should a graph run in two pieces, so that only the second waits for the late Engram layer's rows? What both cost."""

import time
from pathlib import Path

import numpy as np
import onnx

from engram_local.backends.onnx_graph import open_session
from engram_local.model import Model
from engram_local.tables.budget import LEAST_READ_BYTES
from engram_local.tables.model_tables import ModelTables, heads_of
from engram_local.tables.page_cache import drop_pages

N = 60


def time_split(model: Model) -> dict[str, float]:
    """Median seconds of a token: {"whole", "pieces"} of the backbone; {"early", "both"}: from asking for a cold token's
    rows until those of the first layer, or of all, are there."""
    whole, pieces = _time_graphs(model)
    early, both = _time_rows(model)
    return {"whole": whole, "pieces": pieces, "early": early, "both": both}


def _time_graphs(model: Model) -> tuple[float, float]:
    late = max(model.tables)
    context = model.backend.context(True)
    step = model.backend.bind_steps(context.slot, 1)
    arrays = step.arrays
    arrays["total_sequence_length"][()] = arrays["engram_enabled"][:] = 1

    def whole() -> None:
        step.run(model.backend)

    hidden = np.zeros((1, 1, model.folder.config["hidden_size"]), np.float32)
    cut = f"/model/layers.{late}/engram/Add/output_0"
    bindings, paths = [], []
    graph = onnx.load(model.backend.path, load_external_data=False)
    try:
        for name, outputs in (("first", {cut}), ("second", {"logits"})):
            paths.append(Path(model.backend.path).with_name(f"{name}_piece.onnx"))
            onnx.save(piece(graph, outputs, cut if name == "second" else None, hidden.shape[2]), paths[-1])
            session = open_session(paths[-1], model.threads)
            binding = session.io_binding()
            for bind, values in (
                (binding.bind_input, session.get_inputs()),
                (binding.bind_output, session.get_outputs()),
            ):
                for value in (x for x in values if x.name == cut or x.name in arrays):
                    array = hidden if value.name == cut else arrays[value.name]
                    bind(value.name, "cpu", 0, array.dtype.type, array.shape, array.__array_interface__["data"][0])
            bindings.append((session, binding))
    finally:
        for path in paths:
            path.unlink(missing_ok=True)

    def in_pieces() -> None:
        for session, binding in bindings:
            session.run_with_iobinding(binding)

    whole()
    expected = arrays["logits"].copy()
    arrays["logits"][:] = 0
    in_pieces()
    np.testing.assert_allclose(arrays["logits"], expected, rtol=1e-4, atol=1e-4)
    times = {whole: [], in_pieces: []}
    for _ in range(N):
        for call, seconds in times.items():
            begin = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - begin)
    return tuple(float(np.median(x)) for x in times.values())


def piece(model: onnx.ModelProto, outputs: set[str], cut: str | None, hidden: int) -> onnx.ModelProto:
    """The nodes that `outputs` need, all graph outputs that they make; `cut` and what it needs come from outside."""
    graph = model.graph
    maker = {name: node for node in graph.node for name in node.output if name}
    needed, seen, kept = list(outputs), set(), []
    while needed:
        name = needed.pop()
        node = maker.get(name)
        if name == cut or name in seen or node is None:
            seen.add(name)
            continue
        seen.add(name)
        if not any(node is x for x in kept):
            kept.append(node)
            needed += _inputs(node)
    kept = [node for node in graph.node if any(node is x for x in kept)]
    made = {name for node in kept for name in node.output}
    hidden_value = onnx.helper.make_tensor_value_info(
        cut or next(iter(outputs)), onnx.TensorProto.FLOAT, [1, None, hidden]
    )
    inputs = [x for x in graph.input if x.name in seen] + ([hidden_value] if cut else [])
    found = [x for x in graph.output if x.name in made] + ([] if cut else [hidden_value])
    weights = [x for x in graph.initializer if x.name in seen]
    part = onnx.helper.make_graph(kept, "piece", inputs, found, weights)
    return onnx.helper.make_model(part, opset_imports=model.opset_import, ir_version=model.ir_version)


def _inputs(node: onnx.NodeProto) -> list[str]:
    """What a node reads, the outer values that its subgraphs read included."""
    names = list(node.input)
    for attribute in node.attribute:
        if attribute.HasField("g"):
            inner = {x for n in attribute.g.node for x in n.output} | {x.name for x in attribute.g.initializer}
            names += [x for n in attribute.g.node for x in _inputs(n) if x not in inner]
    return [name for name in names if name]


def _time_rows(model: Model) -> tuple[float, float]:
    """Random tokens, everything cold, nothing between asking and waiting."""
    layouts = {layer_id: table.layout for layer_id, table in model.tables.items()}
    for layout in layouts.values():
        for file in layout.files:
            drop_pages(file)
    opened = ModelTables(layouts, heads_of(model.config), "direct", LEAST_READ_BYTES)  # no cache
    rng, early, both = np.random.default_rng(5), [], []
    for _ in range(5 * N):
        ids = {i: rng.integers(0, t.n_rows, (1, model.config.layer(i).n_heads)) for i, t in opened.items()}
        begin = time.perf_counter()
        rows = opened.start(ids)
        for layer_id, times in ((min(opened), early), (max(opened), both)):
            rows.wait(layer_id)
            times.append(time.perf_counter() - begin)
    opened.close()
    return float(np.median(early)), float(np.median(both))
