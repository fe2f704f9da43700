"""Opens backbone.onnx and checks that it is the graph that a step feeds (backends/onnx.py)."""

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort

from engram_local import graph_names
from engram_local.config import LayerConfig
from engram_local.errors import BackendError

# Bytes of weights from which on threads sleep between two steps, and leave the cores to others. Waking them costs a
# model of 0.2 ms a step 4 % of it, and one of 10 ms nothing.
LONG_STEPS = 64 << 20
# How long a thread spins for more to do. By itself it would for 35 ms after it was made and after every step.
SPIN_US = "1000"


def open_session(
    path: Path, threads: int, spinning: bool = True, profile_prefix: str | None = None
) -> ort.InferenceSession:
    """A graph in ONNX Runtime, on the CPU; with `profile_prefix` every operator is timed, and end_profiling() names the
    file. Raises BackendError with its whole reason."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised; warnings tell of shapes that vary, as they are meant to
    options.enable_mem_pattern = False  # plans are kept per input shape, and chunks and batches come in any size
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN_US)
    data = path.with_name(graph_names.ONNX_DATA_FILE)
    if data.is_file() and data.stat().st_size >= LONG_STEPS:
        options.add_session_config_entry("session.force_spinning_stop", "1")
    if profile_prefix:
        options.enable_profiling, options.profile_file_prefix = True, profile_prefix
    try:
        content = _lend_linked_data(options, data)
        session = create_session(path, options)
        session.linked_data = content  # which it reads as long as it lives
        return session
    except Exception as error:  # ONNX Runtime's own exceptions share no base but this
        raise BackendError(f"{path}: ONNX Runtime {ort.__version__} cannot load it: {one_line(error)}") from error


def create_session(path: Path, options: ort.SessionOptions) -> ort.InferenceSession:
    """A graph on the CPU. Raises ONNX Runtime's own exceptions, which share no base but Exception, and
    UnicodeDecodeError where a name of its inputs or outputs is no UTF-8."""
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0)
    for x in (*session.get_inputs(), *session.get_outputs()):
        repr((x.name, x.shape))
    return session


def _lend_linked_data(options: ort.SessionOptions, data: Path) -> mmap.mmap | None:
    """ONNX Runtime refuses weights behind a link, which is right for a path that a graph names. A link that lies in the
    folder is the user's own (symbolic in a Hugging Face cache, hard where uv or pipx installs from theirs): its file is
    handed over under the link's name."""
    if not data.is_symlink() and (not data.is_file() or data.stat().st_nlink == 1):
        return None
    with open(data, "rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    options.add_external_initializers_from_files_in_memory([data.name], [content], [len(content)])
    return content


def one_line(error: Exception) -> str:
    """What ONNX Runtime said, without its line breaks."""
    return " ".join(str(error).split())


def check_graph(
    session: Any, path: Path, layers: Sequence[LayerConfig], vocab_size: int
) -> tuple[dict[str, Any], dict[str, Any], list[tuple[str, str]]]:
    """Raise BackendError unless every input and output that a step binds is there, shaped as config.json says, and no
    other input is. Returns inputs and outputs by name, and the (past, present) names of keys and values."""
    found_inputs = {x.name: x for x in session.get_inputs()}
    found_outputs = {x.name: x for x in session.get_outputs()}
    kv_names = [
        (graph_names.past_kv(i, part), graph_names.present_kv(i, part))
        for i in range(graph_names.count_blocks(found_inputs))
        for part in ("key", "value")
    ]
    floating = "tensor(float)"
    inputs: dict[str, tuple[str, tuple[int | None, ...]]] = {
        graph_names.INPUT_IDS: ("tensor(int64)", (None, None)),
        graph_names.LAST_POSITIONS: ("tensor(int32)", (None,)),
        graph_names.TOTAL_LENGTH: ("tensor(int32)", ()),
        graph_names.LOGITS_ROWS: ("tensor(int64)", (None,)),
        graph_names.ENABLED: ("tensor(bool)", (None,)),
    }
    outputs: dict[str, tuple[str, tuple[int | None, ...]]] = {graph_names.LOGITS: (floating, (None, None, vocab_size))}
    for past, present in kv_names:
        inputs[past] = outputs[present] = (floating, (None, None, None, None))
    for layer in layers:
        inputs[graph_names.rows(layer.layer_id)] = (floating, (None, None, layer.row_width))
        outputs[graph_names.gated(layer.layer_id)] = (floating, (None, None, layer.streams, None))
        outputs[graph_names.value(layer.layer_id)] = (floating, (None, None, None))
        if layer.conv:
            inputs[graph_names.past_conv(layer.layer_id)] = (floating, (None, layer.conv.n_state, None))
            outputs[graph_names.present_conv(layer.layer_id)] = (floating, (None, None, None))
    for kind, expected, found in (("input", inputs, found_inputs), ("output", outputs, found_outputs)):
        for name, (dtype, shape) in expected.items():
            if name not in found:
                raise BackendError(f"{path}: the graph has no {kind} {name}; export the model again")
            value = found[name]
            if shape and name != graph_names.LOGITS_ROWS and isinstance(value.shape[0], int):
                raise BackendError(
                    f"{path}: {kind} {name} is {value.shape}, for one sequence alone; export the model again"
                )
            fits = len(value.shape) == len(shape) and all(
                want is None or not isinstance(have, int) or want == have
                for want, have in zip(shape, value.shape, strict=True)
            )
            if value.type != dtype or not fits:
                raise BackendError(
                    f"{path}: {kind} {name} is {value.type} {value.shape}, "
                    f"config.json wants {dtype} {list(shape)}; export the model again"
                )
    for name in [x for x, _ in kv_names] + [graph_names.past_conv(x.layer_id) for x in layers if x.conv]:
        sizes = found_inputs[name].shape
        if not isinstance(sizes[1 if len(sizes) == 4 else 2], int):  # heads, or channels
            raise BackendError(f"{path}: input {name} has the open shape {sizes}; export the model again")
    unknown = sorted(set(found_inputs) - set(inputs))
    if unknown:
        raise BackendError(f"{path}: the graph wants an input that no step feeds: {unknown[0]}; export it again")
    return found_inputs, found_outputs, kv_names
