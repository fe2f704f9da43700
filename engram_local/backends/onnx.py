"""backbone.onnx in plain ONNX Runtime. A layer's KV buffer is past and present at once: decoding copies nothing.

Inputs of the graph: input_ids int64 [1, S]; attention_mask int64 [1, past + S]; logits_rows int64 [n], the positions of
this chunk whose logits are wanted; past_key_values.{i}.key/.value float32 [1, n_kv_heads, capacity, head_dim];
engram_enabled bool [1]; for each Engram layer engram_rows_{id} float32 [1, S, E] and, where it has a convolution,
past_engram_conv_{id} float32 [1, n_state, C]. Outputs: logits float32 [1, n, vocab]; present.{i}.key/.value;
present_engram_conv_{id} float32 [1, S, C], the convolution's inputs at these S tokens.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from engram_local.backends.base import Logits, Output, Rows, Work
from engram_local.errors import BackendError, UsageError
from engram_local.graph_names import ONNX_FILE
from engram_local.model_folder import ModelFolder

MAX_CHUNK = 128  # small enough that reads of the next chunk hide behind this one, and no slower otherwise
FIRST_CAPACITY = 512  # tokens; the buffers double when they are full


class OnnxBackend:
    """A loaded backbone.onnx; immutable, shared by any number of contexts."""

    name = "onnx"
    max_chunk = MAX_CHUNK

    def __init__(
        self,
        folder: ModelFolder,
        *,
        threads: int,
        context_length: int,
        spinning: bool = True,
        verbose: bool = False,
    ):
        """Raises BackendError where the file cannot be loaded or its inputs are not those of this model."""
        self.path = folder.file(ONNX_FILE)
        self.layers = folder.engram.layers
        self.vocab_size = folder.vocab_size
        self.context_length = context_length
        self.head_dim = folder.head_dim
        self.session = _open_session(self.path, threads, spinning, verbose)
        self.inputs = {x.name: x for x in self.session.get_inputs()}
        self.outputs = {x.name: x for x in self.session.get_outputs()}
        self.kv_names = [
            (f"past_key_values.{i}.{part}", f"present.{i}.{part}")
            for i in range(self._count_layers())
            for part in ("key", "value")
        ]
        self._check_graph()

    def context(self, memory: bool) -> "OnnxContext":
        return OnnxContext(self, memory)

    def forward(self, batch: Sequence[Work]) -> list[Output]:
        return [Output(work.context.forward(work.token_ids, work.rows, work.logits)) for work in batch]

    def close(self) -> None:
        self.session = None

    def kv_shape(self, name: str, capacity: int) -> tuple[int, ...]:
        _, heads, _, head_dim = self.inputs[name].shape
        return (1, heads, capacity, head_dim if isinstance(head_dim, int) else self.head_dim)

    def _count_layers(self) -> int:
        found = [int(m[1]) for name in self.inputs if (m := re.fullmatch(r"past_key_values\.(\d+)\.key", name))]
        return max(found, default=-1) + 1

    def _check_graph(self) -> None:
        """Every input and output that a step binds is there, shaped as config.json says, and no other input is."""
        floating = "tensor(float)"
        inputs = {
            "input_ids": ("tensor(int64)", (None, None)),
            "attention_mask": ("tensor(int64)", (None, None)),
            "logits_rows": ("tensor(int64)", (None,)),
            "engram_enabled": ("tensor(bool)", (1,)),
        }
        outputs = {"logits": (floating, (None, None, self.vocab_size))}
        for past, present in self.kv_names:
            inputs[past] = outputs[present] = (floating, (None, None, None, None))
        for layer in self.layers:
            inputs[f"engram_rows_{layer.layer_id}"] = (floating, (None, None, layer.row_width))
            if layer.conv:
                inputs[f"past_engram_conv_{layer.layer_id}"] = (floating, (None, layer.conv.n_state, None))
                outputs[f"present_engram_conv_{layer.layer_id}"] = (floating, (None, None, None))
        for kind, expected, found in (("input", inputs, self.inputs), ("output", outputs, self.outputs)):
            for name, (dtype, shape) in expected.items():
                if name not in found:
                    raise BackendError(f"{self.path}: the graph has no {kind} {name}; export the model again")
                value = found[name]
                fits = len(value.shape) == len(shape) and all(
                    want is None or not isinstance(have, int) or want == have
                    for want, have in zip(shape, value.shape, strict=True)
                )
                if value.type != dtype or not fits:
                    raise BackendError(
                        f"{self.path}: {kind} {name} is {value.type} {value.shape}, "
                        f"config.json wants {dtype} {list(shape)}; export the model again"
                    )
        for name in [x for x, _ in self.kv_names] + [f"past_engram_conv_{x.layer_id}" for x in self.layers if x.conv]:
            sizes = self.inputs[name].shape
            if not isinstance(sizes[1 if len(sizes) == 4 else 2], int):  # heads, or channels
                raise BackendError(f"{self.path}: input {name} has the open shape {sizes}; export the model again")
        unknown = sorted(set(self.inputs) - set(inputs))
        if unknown:
            raise BackendError(
                f"{self.path}: the graph wants an input that no step feeds: {unknown[0]}; export it again"
            )


class OnnxContext:
    """One sequence: its KV buffers, and every convolution input so far, so that a rewind is only a shorter length.

    There are two bindings. The one for chunks is bound anew at each call; the one for single tokens is bound to fixed
    buffers once, because binding ten names costs a small model a fifth of its step.
    """

    def __init__(self, backend: OnnxBackend, memory: bool):
        self.backend = backend
        self.memory = memory
        self.length = 0
        self.capacity = 0
        self.enabled = np.array([memory])
        self.kv: dict[str, np.ndarray] = {}
        self.conv: dict[int, np.ndarray] = {}  # layer id -> [n_state + capacity, C], n_state zeros in front
        self._grow(min(FIRST_CAPACITY, backend.context_length))

    def forward(self, token_ids: np.ndarray, rows: Rows | None, logits: Logits) -> np.ndarray | None:
        """See backends/base.py. Raises BackendError, TableError; the context is unchanged then."""
        backend, n = self.backend, len(token_ids)
        if not 1 <= n <= backend.max_chunk or self.length + n > backend.context_length:
            raise UsageError(f"{n} tokens at {self.length}: a chunk has 1 to {backend.max_chunk} within the context")
        if (rows is not None) != self.memory:
            raise UsageError("rows belong to a context with memory, and only there")
        end = self.length + n
        if end > self.capacity:
            self._grow(min(max(end, 2 * self.capacity), backend.context_length))
        looked_up = {} if rows is None else {x.layer_id: rows.wait(x.layer_id) for x in backend.layers}
        result = self._one(token_ids, looked_up) if n == 1 else self._chunk(token_ids, looked_up, logits)
        self.length = end
        return None if logits == "none" else result

    def rewind(self, length: int) -> int:
        self.length = length
        return length

    def close(self) -> None:
        self.one = None
        self.kv, self.conv = {}, {}

    def _chunk(self, token_ids: np.ndarray, rows: dict[int, np.ndarray], logits: Logits) -> np.ndarray:
        backend, n, begin = self.backend, len(token_ids), self.length
        wanted = np.arange(n) if logits == "all" else np.array([n - 1])
        result = np.empty((1, len(wanted), backend.vocab_size), np.float32)
        chunk = _Binding(backend)
        self._bind_buffers(chunk)
        chunk.bind("input_ids", np.asarray(token_ids, np.int64)[None])
        chunk.bind("attention_mask", np.ones((1, begin + n), np.int64))
        chunk.bind("logits_rows", wanted)
        chunk.bind("logits", result, output=True)
        for layer in backend.layers:
            i = layer.layer_id
            of_layer = rows[i] if rows else np.zeros((n, layer.row_width), np.float32)
            chunk.bind(f"engram_rows_{i}", np.ascontiguousarray(of_layer, np.float32)[None])
            if layer.conv:
                middle = begin + layer.conv.n_state
                chunk.bind(f"past_engram_conv_{i}", self.conv[i][None, begin:middle])
                chunk.bind(f"present_engram_conv_{i}", self.conv[i][None, middle : middle + n], output=True)
        chunk.run()
        return result[0]

    def _one(self, token_ids: np.ndarray, rows: dict[int, np.ndarray]) -> np.ndarray:
        one, begin = self.one.arrays, self.length
        one["input_ids"][0, 0] = token_ids[0]
        mask = one["attention_mask"][0]  # as wide as the buffers; its ones say how much of them counts
        mask[self.marked : begin + 1] = 1
        mask[begin + 1 : self.marked] = 0
        self.marked = begin + 1
        for i, of_layer in rows.items():
            one[f"engram_rows_{i}"][0] = of_layer
        for past, _, buffer in self.one_conv:
            past[:] = buffer[begin : begin + len(past)]
        self.one.run()
        for past, present, buffer in self.one_conv:
            buffer[begin + len(past)] = present
        return one["logits"][0].copy()

    def _grow(self, capacity: int) -> None:
        """Move to buffers for `capacity` tokens."""
        backend, kept = self.backend, self.length
        for past, _ in backend.kv_names:
            buffer = np.zeros(backend.kv_shape(past, capacity), np.float32)
            if kept:
                buffer[:, :, :kept] = self.kv[past][:, :, :kept]
            self.kv[past] = buffer
        for layer in (x for x in backend.layers if x.conv):
            channels = backend.inputs[f"past_engram_conv_{layer.layer_id}"].shape[2]
            buffer = np.zeros((layer.conv.n_state + capacity, channels), np.float32)
            if kept:
                buffer[: layer.conv.n_state + kept] = self.conv[layer.layer_id][: layer.conv.n_state + kept]
            self.conv[layer.layer_id] = buffer
        self.capacity = capacity
        self._bind_one()

    def _bind_buffers(self, binding: "_Binding") -> None:
        binding.bind("engram_enabled", self.enabled)
        for past, present in self.backend.kv_names:
            binding.bind(past, self.kv[past])
            binding.bind(present, self.kv[past], output=True)

    def _bind_one(self) -> None:
        """The binding of single tokens, for the buffers as they are."""
        self.one = one = _Binding(self.backend)
        self.marked = 0  # ones in its mask
        self.one_conv = []  # past [n_state, C], present [C], all inputs so far [n_state + capacity, C]
        self._bind_buffers(one)
        one.bind("input_ids", np.zeros((1, 1), np.int64))
        one.bind("attention_mask", np.zeros((1, self.capacity), np.int64))
        one.bind("logits_rows", np.zeros(1, np.int64))
        one.bind("logits", np.empty((1, 1, self.backend.vocab_size), np.float32), output=True)
        for layer in self.backend.layers:
            i = layer.layer_id
            one.bind(f"engram_rows_{i}", np.zeros((1, 1, layer.row_width), np.float32))
            if layer.conv:
                past = np.zeros((1, layer.conv.n_state, self.conv[i].shape[1]), np.float32)
                present = np.zeros((1, 1, self.conv[i].shape[1]), np.float32)
                one.bind(f"past_engram_conv_{i}", past)
                one.bind(f"present_engram_conv_{i}", present, output=True)
                self.one_conv.append((past[0], present[0, 0], self.conv[i]))


class _Binding:
    """ONNX Runtime's IOBinding on NumPy arrays, which it keeps alive."""

    def __init__(self, backend: OnnxBackend):
        self.backend = backend
        self.binding = backend.session.io_binding()
        self.arrays: dict[str, np.ndarray] = {}

    def bind(self, name: str, array: np.ndarray, output: bool = False) -> None:
        self.arrays[name] = array
        bind = self.binding.bind_output if output else self.binding.bind_input
        bind(name, "cpu", 0, array.dtype.type, array.shape, array.__array_interface__["data"][0])

    def run(self) -> None:
        try:
            self.backend.session.run_with_iobinding(self.binding)
        except Exception as error:  # ONNX Runtime's own exceptions share no base but this
            raise BackendError(f"{self.backend.path}: ONNX Runtime failed: {_first_line(error)}") from error


def _open_session(path: Path, threads: int, spinning: bool, verbose: bool) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 2 if verbose else 4  # errors are raised as well
    options.enable_mem_pattern = False  # plans are kept per input shape, and the mask's shape is new at every token
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions share no base but this
        raise BackendError(f"{path}: ONNX Runtime {ort.__version__} cannot load it: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
