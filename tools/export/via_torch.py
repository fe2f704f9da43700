"""A backbone whose family the ONNX builder lacks: transformers' own exporter traces it, and its graph is given the
contract of graph_names.py.

The exporter puts ONNX Runtime's operators in the place of what it recognises. What it makes of masks goes, for lengths
take their place; keys and values past and present share one buffer; positions come of the lengths; the one sequence
that was traced becomes a batch; layers enter where a marker was traced. Attention that was not recognised is refused (a
graph that writes it out is right, and slow), and so is a result that does not compute what the model computes.
"""

import contextlib
import io
import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import torch
from onnx_ir.passes.common import RemoveUnusedNodesPass

from engram_local import graph_names
from engram_local.config import LayerConfig
from engram_local.errors import CheckpointError
from engram_local.tools.checkpoints.view import LayerWeights, SummedWeights
from engram_local.tools.export.backbone import context_length_of
from engram_local.tools.export.inject import Switch, add_layer, feed_lengths, name_values
from engram_local.tools.export.layer import BATCH, OPSETS, WEIGHT_BITS, graph_value, layer_inputs
from engram_local.tools.export.nbits import quantize_graph

MARKER = -3e38  # the residual that enters block k is held above MARKER / (k + 1): it never is below
PAST, NEW = 8, 8  # tokens of the traced call
TOLERANCE = 1e-3  # of a logit, in the logits' own spread
ANGLES = {"RotaryEmbedding": (2, 3), "GroupQueryAttention": (7, 8)}  # inputs: cosines, sines
WAY_OUT = "use --backend gguf, or engram-local attach with a GGUF of it"


def build(
    model: torch.nn.Module,
    engram: dict[int, tuple[LayerConfig, LayerWeights | SummedWeights]],
    weights: str,
    scratch: Path,
) -> ir.Model:
    """What builder.build gives, of any decoder whose attention is recognised; `model` becomes float32 in place. int4 is
    rounded as if all inputs were alike. Raises CheckpointError."""
    name = type(model).__name__
    if any(x.endswith(".experts") for x, _ in model.named_modules()):
        raise CheckpointError(f"{name}: every expert would be computed for every token; {WAY_OUT}")
    config = model.config
    traced = _trace(model.float(), engram)
    graph = traced.graph
    attention = [x for x in graph if x.op_type == "GroupQueryAttention"]
    if len(attention) != config.num_hidden_layers:
        raise CheckpointError(
            f"{name}: the exporter recognised attention in {len(attention)} of {config.num_hidden_layers} blocks; "
            f"{WAY_OUT}"
        )
    windows = _windows(config)
    _drop_masks(graph, attention, windows)
    _fix_angles(traced, context_length_of(config), name)
    _name_inputs(graph, attention)
    try:
        feed_lengths(graph)
    except ValueError as error:  # a node that is needed comes of the mask
        raise CheckpointError(f"{name}: its mask does more than hide what comes later; {WAY_OUT}") from error
    _derive_positions(graph)
    _free_batch(graph)
    _select_rows(graph, bool(config.tie_word_embeddings))
    _remove_unused(traced, name)
    _check(traced, model, max(windows), scratch)
    if engram:
        _add_layers(graph, engram, WEIGHT_BITS[weights], config.hidden_size)
    traced.opset_imports.setdefault("com.microsoft", OPSETS["com.microsoft"])
    if WEIGHT_BITS[weights] < 16:
        _name_matrices(graph, attention, config.hidden_size)
        quantize_graph(graph, WEIGHT_BITS[weights], set())
    graph.sort()
    return traced


def _trace(model: Any, layer_ids: Collection[int]) -> ir.Model:
    try:
        from transformers import DynamicCache
        from transformers.exporters.exporter_onnx import OnnxConfig, OnnxExporter
    except ImportError as error:
        raise CheckpointError(f"--via torch: {error}; it needs pip install 'transformers>=5.24' onnxscript") from error
    ids = torch.arange(PAST + NEW)[None] % model.config.vocab_size
    cache = DynamicCache()  # without the config: layers with a window keep all keys too
    inputs = {
        "input_ids": ids[:, PAST:],
        "attention_mask": torch.ones_like(ids),
        "position_ids": torch.arange(PAST, PAST + NEW)[None],
        "cache": cache,
        "use_cache": True,
    }
    hooks = []
    logging.disable(logging.WARNING)  # torch.export tells of every size that it takes for a constant
    try:
        for k, block in enumerate(model.model.layers):
            if k in layer_ids:
                hooks.append(block.register_forward_pre_hook(_marker(k), with_kwargs=True))
        with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
            model(ids[:, :PAST], cache=cache, use_cache=True)
            return OnnxExporter().export(model, inputs, config=OnnxConfig(dynamic=True, ort_fusions="cpu")).program
    except Exception as error:  # of torch.export, onnxscript and the model's own code
        what = " ".join(str(error).split())[:160]
        raise CheckpointError(
            f"{type(model).__name__}: transformers cannot trace it ({type(error).__name__}: {what}); {WAY_OUT}"
        ) from error
    finally:
        logging.disable(logging.NOTSET)
        for hook in hooks:
            hook.remove()


def _marker(k: int) -> Any:
    def mark(module: Any, args: tuple, kwargs: dict) -> tuple:
        if args:
            return (args[0].clamp(min=MARKER / (k + 1)), *args[1:]), kwargs
        return args, kwargs | {"hidden_states": kwargs["hidden_states"].clamp(min=MARKER / (k + 1))}

    return mark


def _windows(config: Any) -> list[int]:
    """Of each block: the tokens that it attends to, -1 for all."""
    window, n = getattr(config, "sliding_window", None), config.num_hidden_layers
    if window is None or getattr(config, "use_sliding_window", True) is False:
        return [-1] * n
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * n
    return [window if x == "sliding_attention" else -1 for x in kinds]


def _drop_masks(graph: ir.Graph, attention: list[ir.Node], windows: list[int]) -> None:
    """Lengths say what a token may attend to; a window becomes the operator's own. Behind attention a Where zeroes what
    attends to nothing, which no token does."""
    for node, window in zip(attention, windows, strict=True):
        if len(node.inputs) > 10 and node.inputs[10] is not None:
            node.replace_input_with(10, None)
        node.attributes["local_window_size"] = ir.AttrInt64("local_window_size", window)
    for node in [x for x in graph if x.op_type == "Where"]:
        data = [x for x in node.inputs[1:] if x is not None and x.const_value is None]
        if len(data) == 1:
            node.outputs[0].replace_all_uses_with(data[0])
            graph.remove(node, safe=True)


def _fix_angles(traced: ir.Model, n_positions: int, name: str) -> None:
    """The exporter computes the cosines and sines of a step's own positions; here they are looked up in a table of all
    positions, by position."""
    graph = traced.graph
    places = [
        (node, i) for node in graph for i in ANGLES.get(node.op_type, ()) if len(node.inputs) > i and node.inputs[i]
    ]
    sources = {}
    for node, i in places:
        value = node.inputs[i]
        if (padding := value.producer()) is not None and padding.op_type == "Concat":  # to the length of the context
            value = padding.inputs[0]
        sources[node, i] = value
    tables = list(dict.fromkeys(sources.values()))
    if not tables:
        return
    try:
        part = ir.convenience.extract(graph, [_input(graph, "position_ids")], tables)
    except ValueError as error:
        raise CheckpointError(f"{name}: its rotations depend on more than positions; {WAY_OUT}") from error
    model = ir.to_proto(ir.Model(part, ir_version=traced.ir_version)).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    arrays = session.run(None, {"position_ids": np.arange(n_positions)[None]})
    tape = ir.tape.Tape()
    constants = {
        x: _constant(tape, f"angles.{i}_cache", a) for i, (x, a) in enumerate(zip(tables, arrays, strict=True))
    }
    _insert(graph, tape)
    for (node, i), value in sources.items():
        node.replace_input_with(i, constants[value])
        if node.op_type == "GroupQueryAttention":
            node.replace_input_with(9, None)  # it knows the positions by the lengths


def _name_inputs(graph: ir.Graph, attention: list[ir.Node]) -> None:
    dims = {"input_ids": BATCH, "attention_mask": (BATCH[0], "total_length"), "position_ids": BATCH}
    for value in graph.inputs:
        if value.name in dims:
            value.shape = ir.Shape(dims[value.name])
    caches = []
    for i, node in enumerate(attention):
        for part, past, present in zip(("key", "value"), node.inputs[3:5], node.outputs[1:3], strict=True):
            heads, width = (int(str(past.shape[x])) for x in (1, 3))  # numbers, though named like unknown ones
            past.name, present.name = graph_names.past_kv(i, part), graph_names.present_kv(i, part)
            past.shape = ir.Shape([BATCH[0], heads, "past_capacity", width])
            present.shape = ir.Shape([BATCH[0], heads, "present_capacity", width])
            present.type = past.type
            caches.append(present)
    logits = next(x for x in graph.outputs if x.name == graph_names.LOGITS)
    graph.outputs[:] = [logits, *caches]


def _insert(graph: ir.Graph, tape: ir.tape.Tape) -> None:
    """Put a tape's nodes before all others; names are the tape's operators'."""
    for value in tape.initializers:
        graph.register_initializer(value)
    name_values(tape)
    graph.insert_before(graph[0], tape.nodes)


def _constant(tape: ir.tape.Tape, name: str, array: np.ndarray) -> ir.Value:
    return tape.initializer(ir.tensor(array, name=name))


def _input(graph: ir.Graph, name: str) -> ir.Value:
    return next(x for x in graph.inputs if x.name == name)


def _derive_positions(graph: ir.Graph) -> None:
    """Position ids of every sequence from its length, in place of an input: last + 1 - S, ..., last."""
    ids, given, last = (_input(graph, x) for x in ("input_ids", "position_ids", graph_names.LAST_POSITIONS))
    tape = ir.tape.Tape()

    def op(op_type: str, *inputs: ir.Value, name: str, **attributes: Any) -> ir.Value:
        return tape.op(op_type, inputs, attributes, name=f"/positions/{name}")

    zero, one = (_constant(tape, f"positions.{x}", np.array(x)) for x in (0, 1))
    length = op("Squeeze", op("Shape", ids, start=1, end=2, name="Shape"), name="Length")
    back = op("Sub", op("Range", zero, length, one, name="Range"), length, name="Back")
    ends = op("Add", op("Cast", last, to=ir.DataType.INT64, name="Cast"), one, name="End")
    ends = op("Unsqueeze", ends, _constant(tape, "positions.axis", np.array([1])), name="Ends")
    positions = op("Add", ends, back, name="Add")
    _insert(graph, tape)
    given.replace_all_uses_with(positions)
    graph.inputs.remove(given)
    for node in graph:
        if node.op_type == "RotaryEmbedding":
            node.replace_input_with(1, positions)


def _free_batch(graph: ir.Graph) -> None:
    """One sequence was traced. Shapes that begin with that 1 begin with the batch's size now."""
    ids = _input(graph, "input_ids")
    tape = ir.tape.Tape()
    batch = tape.op("Shape", [ids], {"start": 0, "end": 1}, name="/batch/Size")
    for node in list(graph):
        if node.op_type == "Reshape" and (given := node.inputs[1].const_value) is not None:
            sizes = given.numpy()
            if len(sizes) > 1 and sizes[0] == 1 and (sizes != 0).all():
                sizes = np.concatenate([[0], sizes[1:]])  # 0: as the input's
                node.replace_input_with(1, _constant(tape, f"{node.name}.shape", sizes))
                node.attributes.pop("allowzero", None)
        elif node.op_type == "Concat" and _is_one(node.inputs[0].const_value):
            node.replace_input_with(0, batch)
        for value in node.outputs:
            if value not in graph.outputs:
                value.shape = None
    _insert(graph, tape)


def _is_one(given: Any) -> bool:
    return given is not None and given.dtype == ir.DataType.INT64 and given.numpy().tolist() == [1]


def _select_rows(graph: ir.Graph, tied: bool) -> None:
    """Only the rows that `logits_rows` names go through the head, which becomes a MatMul; where it is the embedding
    too, both read one tensor, as the builder has it."""
    rows = graph_value(graph_names.LOGITS_ROWS, [graph_names.LOGITS_ROWS], ir.DataType.INT64)
    graph.inputs.append(rows)
    logits = graph.outputs[0]
    head = logits.producer()
    while head.op_type not in ("MatMul", "FusedMatMul"):  # scaled or capped behind it
        head = next(x for x in head.inputs if x is not None and x.const_value is None).producer()
    tape = ir.tape.Tape()
    if head.attributes.get_int("transA", 0) or head.attributes.get_float("alpha", 1.0) != 1:
        raise CheckpointError(f"its head is no plain product; {WAY_OUT}")
    weight = head.inputs[1].const_value.numpy()
    weight = _constant(
        tape, "lm_head.transposed", np.ascontiguousarray(weight.T if "transB" in head.attributes else weight)
    )
    chosen = tape.op("Gather", [head.inputs[0], rows], {"axis": 1}, name="/selected_rows/Gather")
    out = tape.op("MatMul", [chosen, weight], {}, name="/lm_head/MatMul")
    if tied:
        gather = _embedding(graph)
        gather.replace_input_with(
            0, tape.op("Transpose", [weight], {"perm": [1, 0]}, name="/model/embed_tokens/Transpose")
        )
    out.type, out.shape = head.outputs[0].type, ir.Shape([BATCH[0], graph_names.LOGITS_ROWS, weight.shape[1]])
    was_logits = head.outputs[0] is logits
    _insert(graph, tape)
    head.outputs[0].replace_all_uses_with(out, replace_graph_outputs=True)
    graph.remove(head, safe=True)
    if was_logits:
        out.name = graph_names.LOGITS
    graph.outputs[0].shape = out.shape


def _embedding(graph: ir.Graph) -> ir.Node:
    return next(x for x in graph if x.op_type == "Gather" and x.inputs[1] is _input(graph, "input_ids"))


def _remove_unused(model: ir.Model, name: str) -> None:
    graph = model.graph
    graph.sort()
    RemoveUnusedNodesPass()(model)
    known = {"input_ids", graph_names.LAST_POSITIONS, graph_names.TOTAL_LENGTH, graph_names.LOGITS_ROWS}
    for value in list(graph.inputs):
        is_cache = value.name.startswith("past_key_values.")
        if value.name in known or (is_cache and all(x.node.op_type == "GroupQueryAttention" for x in value.uses())):
            continue
        if value.uses():
            raise CheckpointError(f"{name}: its graph needs {value.name} for more than attention; {WAY_OUT}")
        graph.inputs.remove(value)


def _check(traced: ir.Model, model: Any, window: int, scratch: Path) -> None:
    """Two sequences, a prompt and a token behind it, against the model itself. Raises CheckpointError."""
    n = min(max(24, window + 8), 256, model.config.max_position_embeddings - 1)
    ids = torch.randint(model.config.vocab_size, (2, n + 1), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(ids, use_cache=False).logits.numpy()
    name = type(model).__name__
    file = scratch / "traced.onnx"
    try:
        ir.save(traced, file, external_data=f"{file.name}.data")
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        pasts = {
            x.name: np.zeros([2, x.shape[1], 0, x.shape[3]], np.float32)
            for x in session.get_inputs()[1:]
            if x.name.startswith("past_key_values.")
        }
        found = []
        for begin, end in ((0, n), (n, n + 1)):
            feed = {
                "input_ids": ids[:, begin:end].numpy(),
                graph_names.LAST_POSITIONS: np.full(2, end - 1, np.int32),
                graph_names.TOTAL_LENGTH: np.array(end, np.int32),
                graph_names.LOGITS_ROWS: np.arange(end - begin),
            }
            logits, *presents = session.run(None, feed | pasts)
            pasts = dict(zip(pasts, presents, strict=True))
            found.append(logits)
    except Exception as error:  # ONNX Runtime's own exceptions share no base but this
        what = " ".join(str(error).split())[:160]
        raise CheckpointError(f"{name}: ONNX Runtime cannot run what was traced ({what}); {WAY_OUT}") from error
    finally:
        for path in (file, file.with_name(f"{file.name}.data")):
            path.unlink(missing_ok=True)
    error = float(np.abs(np.concatenate(found, axis=1) - expected).max() / expected.std())
    if not error < TOLERANCE:
        raise CheckpointError(
            f"{name}: what was traced computes other logits (off by {error:.2g} of their spread); {WAY_OUT}"
        )


def _add_layers(
    graph: ir.Graph, engram: dict[int, tuple[LayerConfig, LayerWeights | SummedWeights]], bits: int, d: int
) -> None:
    enabled = graph_value(graph_names.ENABLED, [BATCH[0]], ir.DataType.BOOL)
    graph.inputs.append(enabled)
    switch = Switch(enabled, graph)
    graph.insert_before(graph[0], switch.nodes)
    for layer_id, (config, weights) in engram.items():
        mark = next(
            x
            for x in graph
            if x.op_type == "Clip" and x.inputs[1].const_value.numpy() == np.float32(MARKER / (layer_id + 1))
        )
        rows, past = layer_inputs(config, d)
        graph.inputs.extend(x for x in (rows, past) if x is not None)
        hidden = mark.inputs[0]
        hidden.shape = ir.Shape([*BATCH, d])
        out = ir.Value(name=f"/model/layers.{layer_id}/engram/hidden", type=hidden.type, shape=hidden.shape)
        mark.outputs[0].replace_all_uses_with(out)
        graph.remove(mark, safe=True)
        add_layer(graph, switch, config, weights, bits, hidden, out, rows, past, d)


def _name_matrices(graph: ir.Graph, attention: list[ir.Node], d: int) -> None:
    """The builder's names, by which nbits.py and bits.py tell matrices apart."""
    embedding = _embedding(graph)
    embedding.name = "/model/embed_tokens/Gather"
    embedding.outputs[0].shape = ir.Shape([*BATCH, d])
    named = {next(x for x in graph if x.name == "/lm_head/MatMul")}

    def name(node: ir.Node | None, what: str) -> None:
        if node is not None and node not in named:
            named.add(node)
            node.name = f"/model/layers.{what}/MatMul"

    for i, node in enumerate(attention):
        for part, value in zip("qkv", node.inputs, strict=False):
            name(_matrix_before(value), f"{i}/attn/{part}_proj")
    block = 0
    for node in graph:
        if node in attention:
            block = attention.index(node)
            name(_matrix_behind(node), f"{block}/attn/o_proj")
        elif node.op_type == "MatMul" and node.inputs[1].const_value is not None:
            name(node, f"{block}/mlp/{node.outputs[0].name}")


def _matrix_before(value: ir.Value | None) -> ir.Node | None:
    while value is not None and (node := value.producer()) is not None:
        if node.op_type == "MatMul":
            return node
        value = node.inputs[0]
    return None


def _matrix_behind(node: ir.Node) -> ir.Node | None:
    while node.op_type != "MatMul":
        users = list(node.outputs[0].uses())
        if len(users) != 1:
            return None
        node = users[0].node
    return node
