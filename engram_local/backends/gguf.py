"""The backbone in llama.cpp, unmodified; Engram layers enter through its evaluation callback.

Block k's input is a named node of llama.cpp's graph (llama_nodes.py). When that node has been computed the callback
reads it, runs engram_layer_{k}.onnx on the columns of the sequences with memory, and writes the sums back in place
(layer_hook.py). Knows nothing of text, hashes or tables.
"""

import os
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from engram_local import graph_names
from engram_local.backends import llama_nodes
from engram_local.backends.base import Output, Turn, Work, check_batch, check_rewind
from engram_local.backends.engram_layer import EngramLayer, LayerState
from engram_local.backends.gguf_tokenizer import model_end_ids
from engram_local.backends.large_pages import large_pages
from engram_local.backends.layer_hook import Columns, LayerHook, NodeHook, RowsHook
from engram_local.backends.llama_context import MAX_SEQUENCES, LlamaContext
from engram_local.backends.llama_library import llama, load_model, metadata, version
from engram_local.backends.state_checkpoints import StateCheckpoints
from engram_local.backends.token_rows import TokenRows
from engram_local.errors import BackendError, UsageError
from engram_local.model_folder import ModelFolder

FIRST_CAPACITY = 4096  # tokens; llama.cpp allocates and clears its whole KV cache at once, so it grows on demand
MAX_CHUNK = 512
CHECKPOINT_EVERY = 512  # tokens of a prompt between two checkpoints
CHECKPOINT_BYTES = 1 << 30  # of all sequences together; one of a large hybrid model takes 113 MiB
CANNOT_CUT = ("deepseek4",)  # not recurrent, but llama.cpp cannot cut their compressed keys either
KV_TYPES = {"float32": 0, "float16": 1}  # ggml_type
FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}  # llama_flash_attn_type


class GgufBackend:
    """A GGUF file loaded by llama.cpp and, beside it, the model folder's Engram layers in ONNX Runtime.

    Contexts are sequences of one llama_context, or of more where it is full. Threads may share a backend: they take
    turns.
    """

    name = "gguf"

    def __init__(
        self,
        folder: ModelFolder,
        *,
        threads: int,
        context_length: int,
        n_gpu_layers: int = 0,
        kv_type: str = "float16",
        flash_attention: str | None = None,
        n_sequences: int = 1,
        checkpoint_bytes: int = CHECKPOINT_BYTES,
        verbose: bool = False,
    ):
        """n_gpu_layers: blocks on the GPU, which computes nothing without any; flash_attention: "off", "on" or "auto"
        (llama.cpp chooses), by default auto with blocks on a GPU and off without, for on CPUs it prefills faster but
        decodes slower; kv_type: "float16" or "float32", which with flash attention off is llama.cpp's most exact
        attention; n_sequences: sessions that one llama_context has room for and decodes together (more of them get
        another); checkpoint_bytes: memory for earlier states of a backbone that cannot go back by itself. Raises
        UsageError, BackendError."""
        uses_gpu = n_gpu_layers != 0
        flash_attention = flash_attention or ("auto" if uses_gpu else "off")
        _check_choice("kv_type", kv_type, KV_TYPES)
        _check_choice("flash_attention", flash_attention, FLASH_ATTENTION)
        files, is_native = folder.gguf_files(), folder.engram.fuse == "native"
        self.path = files[0]
        self._lock, self._turn = threading.Lock(), Turn()
        self._n_sequences = n_sequences
        self._pools: list[_Pool] = []
        self._left: deque[_Sequence] = deque()  # of contexts that were closed: their ids can be given away
        self._checkpoints = StateCheckpoints(checkpoint_bytes)
        self._together: set[_Sequence] = set()  # sequences of the last forward
        self.notes: list[str] = []
        if uses_gpu and not llama().llama_supports_gpu_offload():
            self.notes.append(
                f"{n_gpu_layers} blocks were asked for on a GPU and are on the CPU: this llama-cpp-python {version()} "
                "was built for none, or none is there (CMAKE_ARGS=-DGGML_CUDA=on pip install llama-cpp-python)"
            )
        with large_pages(sum(x.stat().st_size for x in files)):
            self._native = _Native(load_model(files, n_gpu_layers=n_gpu_layers, lazy=is_native, verbose=verbose))
        self._finalizer = weakref.finalize(self, self._native.free)
        try:
            self._open(folder, threads, context_length)
            self._token_rows = TokenRows(files) if is_native else None
        except BaseException:
            self.close()
            raise
        self._params = {
            "n_threads": threads,
            "n_threads_batch": threads,
            "type_k": KV_TYPES[kv_type],
            "type_v": KV_TYPES[kv_type],
            "flash_attn_type": FLASH_ATTENTION[flash_attention],
            "op_offload": uses_gpu,  # else a GPU would take long prompts, and round them in its own way
            "swa_full": True,  # a sliding-window cache that forgets could not be rewound
            "kv_unified": False,
            "n_rs_seq": 0,  # with snapshots of its own llama.cpp says that it went back, and is wrong
            "no_perf": True,
        }
        self._params |= self._hook.context_params()

    def _open(self, folder: ModelFolder, threads: int, context_length: int) -> None:
        lib, model = llama(), self._native.model
        self.architecture = metadata(model, "general.architecture") or "unknown"
        self.vocab_size = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
        hidden_size = lib.llama_model_n_embd(model)
        self.context_length = min(context_length, lib.llama_model_n_ctx_train(model))
        self.max_chunk = min(MAX_CHUNK, self.context_length)
        # llama.cpp chooses longrope's frequencies by the capacity: it may not pass the original length under keys that
        # were turned by the others.
        scaling = f"{self.architecture}.rope.scaling"
        original = int(metadata(model, f"{scaling}.original_context_length") or 0)
        is_longrope = metadata(model, f"{scaling}.type") == "longrope" and self.context_length > original
        self._least_capacity = original + 1 if is_longrope else 1
        # A state that sums up all tokens before it cannot be cut.
        self._is_recurrent = lib.llama_model_is_recurrent(model) or lib.llama_model_is_hybrid(model)
        self._is_recurrent |= self.architecture in CANNOT_CUT
        self.draft_length = 0 if self._is_recurrent else 7
        n_blocks = lib.llama_model_n_layer(model)
        self._layer_ids = [x.layer_id for x in folder.engram.layers]
        self.layers: list[EngramLayer] = []
        for layer in folder.engram.layers if folder.engram.fuse != "native" else ():
            if layer.layer_id >= n_blocks:
                raise BackendError(
                    f"{self.path}: has {n_blocks} blocks, so no Engram layer {layer.layer_id}; "
                    "the GGUF and the folder do not belong together"
                )
            file = folder.intact(graph_names.layer_file(layer.layer_id))
            self.layers.append(EngramLayer(file, layer, hidden_size, folder.engram.residual_streams, threads))
        self._hook: NodeHook
        if folder.engram.fuse == "native":
            node = llama_nodes.NATIVE_ROWS.get(self.architecture)
            if node is None:
                known = ", ".join(llama_nodes.NATIVE_ROWS)
                raise BackendError(
                    f"{self.path}: architecture {self.architecture!r} takes no rows of its own; known are {known}"
                )
            (layer,) = folder.engram.layers
            self._hook = RowsHook(layer, node, self.path, self.architecture, self.max_chunk)
        else:
            shared = llama_nodes.SHARED_INPUT.get(self.architecture, "")
            per_layer_input = int(metadata(model, f"{self.architecture}.{shared}") or 0) if shared else 0
            llama_nodes.check_entries(self.path, self.architecture, self._layer_ids, per_layer_input)
            nodes = [llama_nodes.input_node(self.architecture, x.layer_id) for x in self.layers]
            always = folder.engram.fuse == "summed"
            self._hook = LayerHook(self.layers, nodes, self.path, self.architecture, self.max_chunk, always)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._native.model is None

    def context(self, memory: bool) -> "GgufContext":
        self._turn.check()
        if self.closed:
            raise UsageError(f"{self.path}: the model is closed; load it again")
        return GgufContext(self, memory)

    def forward(self, batch: Sequence[Work]) -> list[Output]:
        """See backends/base.py. Sequences of equally many tokens share a llama_decode where their ids follow one
        another. A recurrent backbone's context may be shorter after an error: see `rewind`."""
        self._check_process()
        self._turn.check()
        with self._lock, self._turn:
            self._take_back()
            check_batch(self, self.path, batch, lambda context: context.closed)
            self._make_room(batch)
            steps = [_Step(work, _sequence_of(work), len(work.token_ids)) for work in batch]
            self._close_up(steps)
            begun: list[_Step] = []
            try:
                for group in self._groups(steps):
                    self._fill(group)  # first: while it is done, the rows are read
                    self._prepare(group)
                    begun += group
                    self._evaluate(group)
            except BaseException:
                for step in begun:  # llama.cpp may have stored keys of unfinished tokens
                    self._go_back(step.sequence, step.sequence.length)
                raise
            for step in steps:
                step.sequence.length += step.n
                step.sequence.decodes = step.n == 1
            return [step.output for step in steps]

    def end_ids(self) -> list[int]:
        """Tokens that end an answer as the file's own vocabulary says."""
        return model_end_ids(self._native.model)

    def close(self) -> None:
        """Free the model, when the step that another thread is in has ended; contexts of it raise UsageError then."""
        self._turn.check()
        with self._lock:
            self._finalizer()
            self._pools, self._checkpoints, self._together = [], StateCheckpoints(0), set()

    def leave(self, sequence: "_Sequence") -> None:
        """A context was closed; its cells and states are free from the next turn on, or now if no turn is going on."""
        self._left.append(sequence)
        if self._lock.acquire(blocking=False):
            try:
                self._take_back()
            finally:
                self._lock.release()

    def _check_process(self) -> None:
        """A forked process has none of llama.cpp's threads, and perhaps a lock that nobody will release."""
        if os.getpid() != self._native.process:
            raise UsageError(
                "the model was loaded before fork(), and its threads are not in this process; load it in a spawned one"
            )

    def _take_back(self) -> None:
        """Forget sequences whose contexts were closed."""
        while self._left:
            sequence = self._left.popleft()
            self._checkpoints.drop(sequence)
            pool = sequence.pool
            if pool is None or self.closed:
                continue
            del pool.sequences[sequence.id]
            pool.llama.cut(sequence.id, 0)
            if not pool.sequences and (pool is not self._pools[0] or pool.llama.capacity > FIRST_CAPACITY):
                pool.llama.free()  # the room that many or long sequences took
                self._pools.remove(pool)
                self._native.contexts.remove(pool.llama)

    def _make_room(self, batch: Sequence[Work]) -> None:
        """Give each sequence of the batch an id, and cells for its tokens."""
        new = [x for x in map(_sequence_of, batch) if x.pool is None]
        for i, sequence in enumerate(new):
            pool = next((x for x in self._pools if x.free_ids()), None)
            if pool is None:
                n_live = sum(len(x.sequences) for x in self._pools)
                n = min(max(self._n_sequences, n_live, len(new) - i), MAX_SEQUENCES)
                pool = _Pool(
                    LlamaContext(self._native.model, self.path, n, self.max_chunk, self._params, self._token_rows)
                )
                self._native.contexts.append(pool.llama)
                self._pools.append(pool)
            sequence.pool, sequence.id = pool, pool.free_ids()[0]
            pool.sequences[sequence.id] = sequence
        for work in batch:
            sequence = _sequence_of(work)
            pool, needed = sequence.pool, sequence.length + len(work.token_ids)
            if needed > pool.llama.capacity:
                capacity = max(needed, 2 * pool.llama.capacity, FIRST_CAPACITY, self._least_capacity)
                pool.llama.reserve(
                    min(capacity, self.context_length), [i for i, x in pool.sequences.items() if x.length]
                )

    def _close_up(self, steps: list["_Step"]) -> None:
        """Where the same sequences step together again and others lie between them, move them together: only
        neighbours share a llama_decode."""
        if len(steps) == 1:
            self._together = set()
            return
        together = {x.sequence for x in steps}
        again, self._together = together == self._together, together
        if not again:
            return
        for pool in {x.pool for x in together}:
            ids = sorted(x.id for x in together if x.pool is pool)
            first = min(ids[0], pool.llama.n_sequences - len(ids))
            wanted = range(first, first + len(ids))
            places = (i for i in wanted if i not in ids)
            for a, b in zip([i for i in ids if i not in wanted], places, strict=True):
                held = {b: pool.sequences.pop(a), a: pool.sequences.pop(b, None)}
                pool.llama.exchange(a, b)
                for i, sequence in held.items():
                    if sequence is not None:
                        sequence.id, pool.sequences[i] = i, sequence

    def _groups(self, steps: list["_Step"]) -> list[list["_Step"]]:
        """Steps that one llama_decode takes, as one ubatch whose columns lie step by step: equally many tokens, and
        ids one after another."""
        if len(steps) == 1:
            return [steps]
        groups: list[list[_Step]] = []
        for step in sorted(steps, key=lambda x: (x.n, self._pools.index(x.sequence.pool), x.sequence.id)):
            last = groups[-1][-1] if groups else None
            follows = last and (last.n, last.sequence.pool, last.sequence.id + 1) == (
                step.n,
                step.sequence.pool,
                step.sequence.id,
            )
            if follows and (len(groups[-1]) + 1) * step.n <= self.max_chunk:
                groups[-1].append(step)
            else:
                groups.append([step])
        return groups

    def _fill(self, steps: list["_Step"]) -> None:
        """Say what the next llama_decode evaluates."""
        parts = [(x.sequence.id, x.sequence.length, x.work.token_ids, x.work.logits) for x in steps]
        steps[0].sequence.pool.llama.fill(parts)

    def _prepare(self, steps: list["_Step"]) -> None:
        """What a backbone needs that cannot go back: a checkpoint, and a prompt's rows at hand before the step begins,
        for a read that failed in the middle of it would cost the state. A single token's rows are waited for where they
        enter: it would cost little more than that token's turn, and the wait is hidden behind llama.cpp's own."""
        if self._is_recurrent:
            for step in steps:
                if step.work.rows is not None and step.n > 1:
                    for layer_id in self._layer_ids:
                        step.work.rows.wait(layer_id)
                self._checkpoint(step.sequence, step.n)

    def _evaluate(self, steps: list["_Step"]) -> None:
        """The llama_decode that _fill described; lengths are the caller's to count."""
        n, native = steps[0].n, steps[0].sequence.pool.llama
        columns = [
            Columns(x.sequence.length, x.sequence.states, x.work.rows, {} if x.work.gates else None) for x in steps
        ]
        if self._hook.always or any([x.rows is not None for x in columns]):
            self._hook.run(columns, n, native.decode)
        else:
            native.decode()
        for i, step in enumerate(steps):
            wanted, last = step.work.logits, i * n + n - 1
            first = i * n if wanted == "all" else last
            logits = None if wanted == "none" else native.logits(first, last + 1 - first, self.vocab_size)
            step.output = Output(logits, columns[i].opened)

    def _checkpoint(self, sequence: "_Sequence", n: int) -> None:
        """Keep the state where a turn begins, and at intervals of a long prompt."""
        length = sequence.length
        if n == 1 or length == 0:
            return
        last = self._checkpoints.latest(sequence)
        since = length - (last.length if last else 0)
        if since >= CHECKPOINT_EVERY or (sequence.decodes and since):
            state = sequence.pool.llama.save(sequence.id)
            if state is not None:
                self._checkpoints.add(sequence, length, state)

    def rewind(self, context: "GgufContext", length: int) -> int:
        """See Context.rewind. A recurrent backbone goes back to its last checkpoint, at worst to the beginning."""
        self._check_process()
        self._turn.check()
        with self._lock:
            self._take_back()
            check_rewind(self.path, context, length, context.closed)
            sequence = context._sequence
            if length < sequence.length:
                self._go_back(sequence, length)
            return sequence.length

    def _go_back(self, sequence: "_Sequence", length: int) -> None:
        """Make the sequence `length` tokens long, or shorter where no state of that length is at hand."""
        native, kept = sequence.pool.llama if sequence.pool else None, length
        if native and length and self._is_recurrent:
            # The state first: only then may what lies behind it be cut.
            last = self._checkpoints.latest(sequence, length)
            kept = last.length if last and native.restore(sequence.id, last.state) else 0
        if native and not native.cut(sequence.id, kept):
            kept = 0
            native.cut(sequence.id, 0)
        self._checkpoints.drop(sequence, longer_than=kept)
        sequence.length = kept
        sequence.decodes = False


class _Native:
    """What must be freed, once, in the process that made it."""

    def __init__(self, model: Any):
        self.model = model
        self.contexts: list[LlamaContext] = []
        self.process = os.getpid()

    def free(self) -> None:
        model, self.model = self.model, None
        if model and os.getpid() == self.process:
            for context in self.contexts:
                context.free()
            llama().llama_model_free(model)


@dataclass(eq=False)
class _Pool:
    """A llama_context and the sequences that have an id in it."""

    llama: LlamaContext
    sequences: dict[int, "_Sequence"] = field(default_factory=dict)

    def free_ids(self) -> list[int]:
        return [i for i in range(self.llama.n_sequences) if i not in self.sequences]


@dataclass(eq=False)
class _Sequence:
    """What the backend holds for a context; outlives it until the backend's next turn."""

    states: list[LayerState]
    pool: Any = None  # _Pool; None before the first tokens
    id: int = 0  # in its pool
    length: int = 0
    decodes: bool = False  # whether the last step was a single token


@dataclass(slots=True)
class _Step:
    """One sequence's part of a forward."""

    work: Work
    sequence: _Sequence
    n: int  # tokens
    output: Any = None  # Output, once the step is evaluated


class GgufContext:
    """One sequence of the backend's llama_context."""

    def __init__(self, backend: GgufBackend, memory: bool):
        self.memory = memory
        self._backend = backend
        self._closed = False
        self._sequence = _Sequence([LayerState(x) for x in backend.layers] if memory else [])

    @property
    def length(self) -> int:
        return self._sequence.length

    @property
    def place(self) -> int | None:
        return self._sequence.id if self._sequence.pool is not None else None

    @property
    def closed(self) -> bool:
        """Whether it can still be used."""
        return self._closed or self._backend.closed

    def rewind(self, length: int) -> int:
        return self._backend.rewind(self, length)

    def close(self) -> None:
        """Never waits, for the garbage collector may call it in the middle of a step."""
        if not self._closed:
            self._closed = True
            self._backend.leave(self._sequence)

    def __del__(self) -> None:
        self.close()


def _sequence_of(work: Work) -> _Sequence:
    context: Any = work.context
    return context._sequence


def _check_choice(option: str, value: Any, known: dict[str, int]) -> None:
    if value not in known:
        raise UsageError(f"{option} is {value!r}; choose one of {', '.join(known)}")
