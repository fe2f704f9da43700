"""The backbone in llama.cpp, unmodified; Engram layers enter through its evaluation callback.

Block k's input is a named node of llama.cpp's graph. When that node has been computed the callback reads it, runs
engram_layer_{k}.onnx on it and writes the sum back in place. Knows nothing of text, hashes or tables.
"""

import ctypes
import os
from collections.abc import Sequence
from typing import Any
from weakref import WeakSet

import numpy as np

from engram_local import graph_names
from engram_local.backends.base import Logits, Output, Rows, Work
from engram_local.backends.llama_library import ggml_functions, llama, load_model, log, logits_address, metadata
from engram_local.errors import BackendError, ContextOverflowError, UsageError

FIRST_CAPACITY = 4096  # tokens; llama.cpp allocates and clears its whole KV cache at once, so it grows on demand
MAX_CHUNK = 512
KV_TYPES = {"float32": 0, "float16": 1}  # ggml_type
FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}  # llama_flash_attn_type
# Where the embedding node is not yet block 0's input, the node that is.
BLOCK_0_INPUT = {
    **dict.fromkeys(("gemma", "gemma2", "gemma3", "gemma4", "minicpm3"), "inp_scaled"),
    **dict.fromkeys(("gpt2", "starcoder", "mpt"), "inpL"),
}


def input_node(architecture: str, layer_id: int) -> str:
    """Name of the graph node that holds the residual entering block `layer_id`."""
    return f"l_out-{layer_id - 1}" if layer_id else BLOCK_0_INPUT.get(architecture, "embd")


class GgufBackend:
    """A GGUF file loaded by llama.cpp and, beside it, the model folder's Engram layers in ONNX Runtime."""

    name = "gguf"

    def __init__(
        self,
        folder: Any,
        threads: int | None = None,
        context_length: int | None = None,
        n_gpu_layers: int = 0,
        verbose: bool = False,
        *,
        kv_type: str = "float16",
        flash_attention: str | None = None,
    ):
        """`folder`: a ModelFolder; n_gpu_layers: blocks on the GPU, which computes nothing without any;
        flash_attention: "off", "on" or "auto" (llama.cpp chooses), by default auto with blocks on a GPU and off
        without, for on CPUs it prefills faster but decodes slower. kv_type "float32" with it off is llama.cpp's most
        exact attention. Raises BackendError."""
        self.path = folder.file(graph_names.GGUF_FILE)
        self.engram = folder.engram
        self.threads = threads or os.cpu_count() or 1
        self.kv_type = KV_TYPES[kv_type]
        self.uses_gpu = n_gpu_layers != 0
        self.flash_attention = FLASH_ATTENTION[flash_attention or ("auto" if self.uses_gpu else "off")]
        self.model = load_model(self.path, n_gpu_layers=n_gpu_layers, verbose=verbose)
        self._contexts: WeakSet[GgufContext] = WeakSet()
        try:
            self._open(folder, context_length)
        except BaseException:
            self.close()
            raise

    def _open(self, folder: Any, context_length: int | None) -> None:
        lib = llama()
        self.architecture = metadata(self.model, "general.architecture") or "unknown"
        self.vocab_size = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(self.model))
        self.width = lib.llama_model_n_embd(self.model)
        n_layers = lib.llama_model_n_layer(self.model)
        n_trained = lib.llama_model_n_ctx_train(self.model)
        self.context_length = min(context_length or n_trained, n_trained)
        self.max_chunk = min(MAX_CHUNK, self.context_length)
        self.layers = []
        for layer in self.engram.layers if self.engram else ():
            if layer.layer_id >= n_layers:
                raise BackendError(
                    f"{self.path}: has {n_layers} blocks, so no Engram layer {layer.layer_id}; "
                    "the GGUF and the folder do not belong together"
                )
            file = folder.file(graph_names.layer_file(layer.layer_id))
            self.layers.append(EngramLayer(file, layer, self.width, self.threads))

    def context(self, memory: bool) -> "GgufContext":
        context = GgufContext(self, memory and bool(self.layers))
        self._contexts.add(context)
        return context

    def forward(self, batch: Sequence[Work]) -> list[Output]:
        return [Output(work.context.forward(work.token_ids, work.rows, work.logits)) for work in batch]

    def close(self) -> None:
        """Free the model, and first the contexts that still use it."""
        for context in list(self._contexts):
            context.close()
        if self.model:
            llama().llama_model_free(self.model)
            self.model = None


class EngramLayer:
    """One layer's graph in ONNX Runtime, shared by all contexts."""

    def __init__(self, file: Any, config: Any, width: int, threads: int):
        import onnxruntime as ort

        self.layer_id = config.layer_id
        self.width = width
        self.row_width = config.row_width
        self.rows_name, self.past_name = f"engram_rows_{self.layer_id}", f"past_engram_conv_{self.layer_id}"
        self.n_state = config.conv.n_state if config.conv else 0
        self.outputs = ["hidden_out", *([f"present_engram_conv_{self.layer_id}"] if self.n_state else [])]
        self.channels = config.streams * width
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # llama.cpp wants the cores next
        options.log_severity_level = 3
        try:
            self.session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises its own many kinds
            raise BackendError(f"{file}: ONNX Runtime cannot load it ({str(error)[:160]}); export it again") from error
        shapes = {x.name: x.shape for x in self.session.get_inputs()}
        wanted = {"hidden": width, self.rows_name: self.row_width}
        if self.n_state:
            wanted[self.past_name] = self.channels
        for name, last in wanted.items():
            if name not in shapes or shapes[name][-1] != last:
                raise BackendError(
                    f"{file}: its input {name} has shape {shapes.get(name)}, the backbone and config.json ask for "
                    f"[1, n, {last}]; the GGUF and the layer do not belong together"
                )


class LayerState:
    """One layer inside one context: its convolution inputs so far.

    `conv` is float32 [n_state + capacity, C]; position t lies at row n_state + t, so the state before position t is
    rows [t, t + n_state) and a rewind needs nothing but a shorter length.
    """

    def __init__(self, layer: EngramLayer):
        self.layer = layer
        self.conv = np.zeros((layer.n_state, layer.channels), np.float32) if layer.n_state else None

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` tokens, keeping what is there."""
        if self.conv is not None:
            old, self.conv = self.conv, np.zeros((self.layer.n_state + capacity, self.layer.channels), np.float32)
            self.conv[: len(old)] = old

    def run(self, hidden: np.ndarray, rows: np.ndarray, position: int) -> np.ndarray:
        """hidden + layer(hidden, rows), all float32 with n rows, for tokens from `position` on."""
        layer, n = self.layer, len(hidden)
        if rows.shape != (n, layer.row_width):
            raise BackendError(
                f"Engram layer {layer.layer_id} takes rows of shape {(n, layer.row_width)}, got {rows.shape}"
            )
        feed = {"hidden": hidden[None], layer.rows_name: rows[None]}
        if self.conv is None:
            return layer.session.run(layer.outputs, feed)[0][0]
        # Plain run: binding five buffers anew at each token takes longer than copying a token's worth of output.
        feed[layer.past_name] = self.conv[None, position : position + layer.n_state]
        out, present = layer.session.run(layer.outputs, feed)
        self.conv[position + layer.n_state : position + layer.n_state + n] = present[0]
        return out[0]

    def skip(self, position: int, n: int) -> None:
        """Tokens evaluated with the memory off leave zeros behind."""
        if self.conv is not None:
            self.conv[position + self.layer.n_state :][:n] = 0


class GgufContext:
    """One sequence: a llama_context of its own, and its layers' states."""

    def __init__(self, backend: GgufBackend, memory: bool):
        """Without memory no callback is installed: llama.cpp runs as it would anywhere else."""
        self.length = 0
        self.memory = memory
        self._backend = backend
        self._lib = llama()
        self._logits_address = logits_address()
        self._states = [LayerState(x) for x in backend.layers] if memory else []
        self._ctx = self._callback = self._batch = None
        if self._states:
            from engram_local._llama_callback import EvalCallback

            self._nodes = self._node_names()
            self._callback = EvalCallback([x.encode() for x in self._nodes], self._on_node, ggml_functions())
            self._hidden = np.empty((backend.max_chunk, backend.width), np.float32)
        self._capacity = 0
        self._grow(min(FIRST_CAPACITY, backend.context_length))
        self._batch = self._lib.llama_batch_init(backend.max_chunk, 0, 1)
        view, shape = np.ctypeslib.as_array, (backend.max_chunk,)
        self._tokens = view(self._batch.token, shape)
        self._positions = view(self._batch.pos, shape)
        self._wanted = view(ctypes.cast(self._batch.logits, ctypes.POINTER(ctypes.c_int8)), shape)
        view(self._batch.n_seq_id, shape)[:] = 1
        for i in range(backend.max_chunk):
            self._batch.seq_id[i][0] = 0

    def _node_names(self) -> list[str]:
        return [input_node(self._backend.architecture, s.layer.layer_id) for s in self._states]

    def _grow(self, capacity: int) -> None:
        """Replace the llama_context by one for `capacity` tokens that holds the same keys and values."""
        lib, backend, old = self._lib, self._backend, self._ctx
        params = lib.llama_context_default_params()
        params.n_ctx = capacity
        # One decode is one ubatch is one graph, so a node's columns are exactly the tokens of this call.
        params.n_batch = params.n_ubatch = backend.max_chunk
        params.n_seq_max = 1
        params.n_threads = params.n_threads_batch = backend.threads
        params.type_k = params.type_v = backend.kv_type
        params.flash_attn_type = backend.flash_attention
        params.op_offload = backend.uses_gpu  # else a GPU would take long prompts, and round them in its own way
        params.swa_full = True  # a sliding-window cache that forgets could not be rewound
        params.no_perf = True
        if self._callback is not None:
            params.cb_eval = lib.ggml_backend_sched_eval_callback(self._callback.address)
            params.cb_eval_user_data = self._callback.user_data
        log.clear()
        ctx = lib.llama_init_from_model(backend.model, params)
        if ctx and old and self.length and not self._copy_state(old, ctx):
            lib.llama_free(ctx)
            ctx = None
        if not ctx:
            raise BackendError(
                f"{backend.path}: llama.cpp makes no context of {capacity} tokens ({log.reason()}); "
                "ask for a shorter one (context_length)"
            )
        if old:
            lib.llama_free(old)
        self._ctx, self._memory, self._capacity = ctx, lib.llama_get_memory(ctx), capacity
        for state in self._states:
            state.grow(capacity)

    def _copy_state(self, old, new) -> bool:
        lib = self._lib
        size = lib.llama_state_seq_get_size(old, 0)
        buffer = (ctypes.c_uint8 * size)()
        return lib.llama_state_seq_get_data(old, buffer, size, 0) == size and bool(
            lib.llama_state_seq_set_data(new, buffer, size, 0)
        )

    def forward(self, token_ids: np.ndarray, rows: Rows | None, logits: Logits) -> np.ndarray | None:
        n, backend = len(token_ids), self._backend
        if not self._ctx:
            raise UsageError(f"{backend.path}: the session is closed; start a new one")
        if not 0 < n <= backend.max_chunk:
            raise UsageError(f"{n} tokens in one forward, it takes 1 to {backend.max_chunk}")
        if self.length + n > backend.context_length:
            raise ContextOverflowError(
                f"{self.length} + {n} tokens do not fit into the context of {backend.context_length}; "
                "start a new session or load with a larger context_length"
            )
        if rows is not None and self._callback is None:
            raise UsageError("this context was made without memory")
        if self.length + n > self._capacity:
            self._grow(min(max(self.length + n, 2 * self._capacity), backend.context_length))
        self._batch.n_tokens = n
        self._tokens[:n] = token_ids
        self._positions[:n] = np.arange(self.length, self.length + n)
        self._wanted[:n] = logits == "all"
        self._wanted[n - 1] |= logits == "last"
        try:
            self._decode(n, rows)
        except BaseException:
            # llama.cpp may have stored keys of the unfinished chunk.
            self._lib.llama_memory_seq_rm(self._memory, 0, self.length, -1)
            raise
        self.length += n
        if logits == "none":
            return None
        first, count = (0, n) if logits == "all" else (n - 1, 1)
        result = np.empty((count, backend.vocab_size), np.float32)
        ctypes.memmove(result.__array_interface__["data"][0], self._logits_address(self._ctx, first), result.nbytes)
        return result

    def _decode(self, n: int, rows: Rows | None) -> None:
        log.clear()
        if rows is None:
            for state in self._states:
                state.skip(self.length, n)
        else:
            self._rows, self._n = rows, n
            self._callback.arm()
        status = self._lib.llama_decode(self._ctx, self._batch)
        if rows is not None:
            self._rows = None
            missing = self._callback.finish()
            if missing is not None and status == 0:
                raise BackendError(
                    f"{self._backend.path}: llama.cpp's graph of architecture {self._backend.architecture!r} has no "
                    f"node {missing!r}, where an Engram layer enters; run it without memory, or with the ONNX backend"
                )
        if status != 0:
            raise BackendError(f"{self._backend.path}: llama_decode failed with status {status} ({log.reason()})")

    def _on_node(self, index: int) -> None:
        """Called by llama.cpp, in the middle of _decode, when layer `index`'s input has been computed."""
        state, n = self._states[index], self._n
        if self._callback.n_bytes != n * self._backend.width * 4:
            raise BackendError(
                f"{self._backend.path}: node {self._nodes[index]!r} of architecture {self._backend.architecture!r} "
                f"holds {self._callback.n_bytes} bytes, not {n} float32 columns of {self._backend.width}"
            )
        hidden = self._hidden[:n]
        self._callback.read(hidden)
        self._callback.write(state.run(hidden, self._rows.wait(state.layer.layer_id), self.length))

    def rewind(self, length: int) -> int:
        if not 0 <= length <= self.length:
            raise UsageError(f"cannot rewind to {length}, the context holds {self.length} tokens")
        if length == self.length:
            return length
        if not self._lib.llama_memory_seq_rm(self._memory, 0, length, -1):
            raise BackendError(
                f"{self._backend.path}: llama.cpp cannot rewind architecture {self._backend.architecture!r}; "
                "start a new session"
            )
        self.length = length
        return length

    def close(self) -> None:
        if self._batch is not None:
            self._tokens = self._positions = self._wanted = None
            self._lib.llama_batch_free(self._batch)
            self._batch = None
        if self._ctx:
            self._lib.llama_free(self._ctx)
            self._ctx = None

    def __del__(self):
        self.close()
