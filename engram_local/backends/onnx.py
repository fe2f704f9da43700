"""backbone.onnx in plain ONNX Runtime. Sequences that decode at the same time run as one batch.

Inputs of the graph: input_ids int64 [B, S]; seqlens_k int32 [B], the tokens that a sequence has with these, less one;
total_sequence_length int32 [], those of the longest; logits_rows int64 [n], the positions of this chunk whose logits
are wanted; past_key_values.{i}.key/.value float32 [B, n_kv_heads, capacity, head_dim]; engram_enabled bool [B]; for
each Engram layer engram_rows_{id} float32 [B, S, E] and, where it has a convolution, past_engram_conv_{id} float32
[B, n_state, C]. Outputs: logits float32
[B, n, vocab]; present.{i}.key/.value, the same memory as past, so that decoding copies nothing;
present_engram_conv_{id} float32 [B, S, C], the convolution's inputs at these S tokens; engram_gated_{id} float32
[B, S, streams, d] and engram_value_{id} [B, S, d], which tell how far the gate opened (empty without memory).
"""

from collections.abc import Sequence
from threading import RLock
from typing import Any, NamedTuple, Protocol, cast

import numpy as np

from engram_local import graph_names
from engram_local.backends.base import Logits, Output, Rows, Turn, Work, check_batch, check_rewind, gate_of
from engram_local.backends.large_pages import large_pages
from engram_local.backends.onnx_graph import check_graph, one_line, open_session
from engram_local.backends.onnx_slots import Slots
from engram_local.errors import BackendError, UsageError
from engram_local.graph_names import ONNX_DATA_FILE, ONNX_FILE
from engram_local.model_folder import ModelFolder

MAX_CHUNK = 128  # small enough that reads of the next chunk hide behind this one, and no slower otherwise
MAX_BINDINGS = 16  # batches of decoding that are kept bound; each holds logits


class Conv(NamedTuple):
    """A layer's convolution: its state is [n_state, channels]."""

    layer_id: int
    n_state: int
    channels: int


class OnnxBackend:
    """A loaded backbone.onnx, shared by any number of contexts. One forward runs at a time, whatever thread asks."""

    name = "onnx"
    max_chunk = MAX_CHUNK
    draft_length = 7

    def __init__(
        self,
        folder: ModelFolder,
        *,
        threads: int,
        context_length: int,
        spinning: bool = True,
        n_sequences: int = 1,
        verbose: bool = False,
    ):
        """verbose: says nothing more, for ONNX Runtime has nothing to say that is not raised. Raises BackendError where
        the file cannot be loaded or its inputs are not those of this model."""
        self.notes: list[str] = []
        self.path = folder.intact(ONNX_FILE)
        self.layers = folder.engram.layers
        self.vocab_size = folder.vocab_size
        self.context_length = context_length
        with large_pages(folder.n_bytes(ONNX_FILE, ONNX_DATA_FILE)):
            self.session: Any = open_session(self.path, threads, spinning)
        inputs, outputs, self.kv_names = check_graph(self.session, self.path, self.layers, self.vocab_size)
        self.convs = [
            Conv(x.layer_id, x.conv.n_state, inputs[graph_names.past_conv(x.layer_id)].shape[2])
            for x in self.layers
            if x.conv
        ]
        self.widths = {x.layer_id: outputs[graph_names.value(x.layer_id)].shape[2] for x in self.layers}
        shapes = {}
        for past, _ in self.kv_names:
            _, heads, _, head_dim = inputs[past].shape
            shapes[past] = (heads, head_dim if isinstance(head_dim, int) else folder.head_dim)
        self.slots = Slots(shapes, context_length, n_sequences)
        self.lock = RLock()  # a slot that moves while it is written to would lose what is written
        self.turn = Turn()

    @property
    def state_bytes(self) -> int:
        """Memory that the keys and values of all contexts take."""
        return self.slots.n_bytes

    def context(self, memory: bool) -> "OnnxContext":
        self.turn.check()
        with self.lock:
            if self.session is None:
                raise UsageError(f"{self.path}: the model is closed; load it again")
            return OnnxContext(self, memory)

    def forward(self, batch: Sequence[Work]) -> list[Output]:
        """See backends/base.py."""
        self.turn.check()
        with self.lock, self.turn:
            check_batch(self, self.path, batch, lambda context: context.slot is None)
            works = cast(Sequence[OwnWork], batch)
            for work in works:
                end = work.context.length + len(work.token_ids)
                if end > work.context.room:
                    work.context.reserve(end)
            if len(works) == 1:
                outputs = self._run([works[0]], works[0].context.slot)
                works[0].context.length = works[0].context.held
                return outputs
            by_work: dict[int, Output] = {}
            for group in _groups(works):
                first = self.slots.gather([x.context for x in group])
                group.sort(key=lambda x: x.context.slot)
                by_work.update(zip(map(id, group), self._run(group, first), strict=True))
            for work in works:
                work.context.length = work.context.held
            return [by_work[id(x)] for x in works]

    def end_ids(self) -> list[int]:
        """None: the graph does not say what ends an answer."""
        return []

    def close(self) -> None:
        with self.lock:
            for context in self.slots.owners():
                context.close()
            self.session = None

    def _run(self, works: list["OwnWork"], first: int) -> list[Output]:
        """One group of `_groups`; the contexts' slots are `first` and those behind it, in order."""
        single = len(works[0].token_ids) == 1 and not any([x.gates for x in works])
        outputs = (self._steps if single else self._chunks)(works, first)
        for work in works:  # the next group may move them
            work.context.held = work.context.length + len(work.token_ids)
        return outputs

    def _steps(self, works: list["OwnWork"], first: int) -> list[Output]:
        """One token of each sequence."""
        step = self.slots.bindings.get((first, len(works))) or self.bind_steps(first, len(works))
        step.total[()] = max([x.context.length for x in works]) + 1
        for i, work in enumerate(works):
            context = work.context
            begin = context.length
            step.tokens[i] = work.token_ids
            step.last[i] = begin
            step.enabled[i] = context.memory
            if work.rows is not None:
                for layer_id, rows in step.rows:
                    rows[i] = work.rows.wait(layer_id)
                for (past, _, n_state), buffer in zip(step.convs, context.conv, strict=False):
                    past[i] = buffer[begin : begin + n_state]
        step.run(self)
        outputs = []
        for i, work in enumerate(works):
            if work.rows is not None:
                for (_, present, n_state), buffer in zip(step.convs, work.context.conv, strict=False):
                    buffer[work.context.length + n_state] = present[i, 0]
            outputs.append(Output(None if work.logits == "none" else step.logits[i].copy()))
        return outputs

    def _chunks(self, works: list["OwnWork"], first: int) -> list[Output]:
        """Any number of tokens, the same of each sequence; several of several sequences only at their beginning."""
        b, n = len(works), len(works[0].token_ids)
        begins = [x.context.length for x in works]
        wanted = np.arange(n) if any(x.logits == "all" for x in works) else np.array([n - 1])
        logits = np.empty((b, len(wanted), self.vocab_size), np.float32)
        chunk = _Binding(self, first, b)
        chunk.bind(graph_names.INPUT_IDS, np.stack([np.asarray(x.token_ids, np.int64) for x in works]))
        chunk.bind(graph_names.LAST_POSITIONS, np.array(begins, np.int32) + np.int32(n - 1))
        chunk.bind(graph_names.TOTAL_LENGTH, np.array(max(begins) + n, np.int32))
        chunk.bind(graph_names.LOGITS_ROWS, wanted)
        chunk.bind(graph_names.LOGITS, logits, output=True)
        chunk.bind(graph_names.ENABLED, np.array([x.context.memory for x in works]))
        gates, presents = {}, []
        for layer in self.layers:
            i = layer.layer_id
            rows = np.zeros((b, n, layer.row_width), np.float32)
            for of_work, work in zip(rows, works, strict=True):
                if work.rows is not None:
                    of_work[:] = work.rows.wait(i)
            chunk.bind(graph_names.rows(i), rows)
            if any(x.gates and x.context.memory for x in works):
                width = self.widths[i]
                gates[i] = np.empty((b, n, layer.streams, width), np.float32), np.empty((b, n, width), np.float32)
                for name, array in zip((graph_names.gated(i), graph_names.value(i)), gates[i], strict=True):
                    chunk.bind(name, array, output=True)
        for k, (i, n_state, channels) in enumerate(self.convs):
            past, present = (np.zeros((b, x, channels), np.float32) for x in (n_state, n))
            for of_work, work, begin in zip(past, works, begins, strict=True):
                if work.context.memory:
                    of_work[:] = work.context.conv[k][begin : begin + n_state]
            chunk.bind(graph_names.past_conv(i), past)
            chunk.bind(graph_names.present_conv(i), present, output=True)
            presents.append(present)
        chunk.run(self)
        outputs = []
        for i, (work, begin) in enumerate(zip(works, begins, strict=True)):
            for buffer, present, conv in zip(work.context.conv, presents, self.convs, strict=False):
                buffer[conv.n_state + begin :][:n] = present[i]
            of_work = {"all": logits[i], "last": logits[i, -1:], "none": None}[work.logits]
            opened = {x: gate_of(*(y[i] for y in of_layer)) for x, of_layer in gates.items() if work.context.memory}
            outputs.append(Output(of_work, opened if work.gates else None))
        return outputs

    def bind_steps(self, first: int, count: int) -> "_Steps":
        """What single tokens of the sequences in slots [first, first + count) are bound to."""
        kept = self.slots.bindings
        if len(kept) >= MAX_BINDINGS:
            del kept[next(iter(kept))]
        steps = kept[first, count] = _Steps(self, first, count)
        return steps


class OnnxContext:
    """One sequence: a slot of the KV buffers, and every convolution input so far, so that a rewind is only a shorter
    length."""

    def __init__(self, backend: OnnxBackend, memory: bool):
        self.backend = backend
        self.memory = memory
        self.length = self.held = 0  # tokens evaluated; tokens that lie in the slot
        self.room = 0  # tokens that there is memory for
        self.slot: Any = None  # its number; None when closed
        self.conv: list[np.ndarray] = []  # one a layer with a convolution: [n_state + capacity, C], zeros in front
        if memory:
            self.conv = [np.zeros((x.n_state, x.channels), np.float32) for x in backend.convs]
        backend.slots.take(self)

    @property
    def place(self) -> int | None:
        return self.slot

    def reserve(self, n_tokens: int) -> None:
        """Make room for `n_tokens`."""
        slots = self.backend.slots
        slots.reserve(n_tokens)
        for i, (old, conv) in enumerate(zip(self.conv, self.backend.convs, strict=False)):
            kept = conv.n_state + self.length
            self.conv[i] = np.zeros((conv.n_state + slots.capacity, conv.channels), np.float32)
            self.conv[i][:kept] = old[:kept]
        self.room = slots.capacity

    def rewind(self, length: int) -> int:
        self.backend.turn.check()
        check_rewind(self.backend.path, self, length, self.slot is None)
        self.length = self.held = length
        return length

    def close(self) -> None:
        with self.backend.lock:
            if self.slot is not None:
                self.backend.slots.drop(self)
                self.slot = None
                self.conv = []


class OwnWork(Protocol):
    """A Work whose context is one of this backend's."""

    context: OnnxContext
    token_ids: np.ndarray
    rows: Rows | None
    logits: Logits
    gates: bool


def _groups(batch: Sequence[OwnWork]) -> list[list[OwnWork]]:
    """What runs together. GroupQueryAttention takes several sequences with one token each, however many they have, or
    with equally many at their beginning."""
    groups: dict[Any, list[OwnWork]] = {}
    for work in batch:
        n = len(work.token_ids)
        groups.setdefault(n if n == 1 or work.context.length == 0 else id(work), []).append(work)
    return list(groups.values())


class _Binding:
    """ONNX Runtime's IOBinding on NumPy arrays, which it keeps alive."""

    def __init__(self, backend: OnnxBackend, first: int, count: int):
        """With the keys and values of slots [first, first + count)."""
        self.binding = backend.session.io_binding()
        self.arrays: dict[str, np.ndarray] = {}
        for past, present in backend.kv_names:
            buffer = backend.slots.arrays[past][first : first + count]
            self.bind(past, buffer)
            self.bind(present, buffer, output=True)

    def bind(self, name: str, array: np.ndarray, output: bool = False) -> np.ndarray:
        """Returns the array, which is kept."""
        self.arrays[name] = array
        bind = self.binding.bind_output if output else self.binding.bind_input
        bind(name, "cpu", 0, array.dtype.type, array.shape, array.__array_interface__["data"][0])
        return array

    def run(self, backend: OnnxBackend) -> None:
        try:
            backend.session.run_with_iobinding(self.binding)
        except Exception as error:  # ONNX Runtime's own exceptions share no base but this
            raise BackendError(f"{backend.path}: ONNX Runtime failed: {one_line(error)}") from error


class _Steps(_Binding):
    """The arrays for one token of each of `count` sequences. They are kept, because binding ten names costs a small
    model a fifth of its step."""

    def __init__(self, backend: OnnxBackend, first: int, count: int):
        super().__init__(backend, first, count)

        def inputs(name: str, *shape: int, dtype: type = np.float32) -> np.ndarray:
            return self.bind(name, np.zeros(shape, dtype))

        def outputs(name: str, n: int) -> np.ndarray:
            return self.bind(name, np.zeros((count, 1, n), np.float32), output=True)

        self.tokens = inputs(graph_names.INPUT_IDS, count, 1, dtype=np.int64)
        self.enabled = inputs(graph_names.ENABLED, count, dtype=np.bool_)
        self.last = inputs(graph_names.LAST_POSITIONS, count, dtype=np.int32)
        self.total = inputs(graph_names.TOTAL_LENGTH, dtype=np.int32)
        inputs(graph_names.LOGITS_ROWS, 1, dtype=np.int64)
        self.logits = outputs(graph_names.LOGITS, backend.vocab_size)
        self.rows = [  # (layer id, [count, 1, E])
            (x.layer_id, inputs(graph_names.rows(x.layer_id), count, 1, x.row_width)) for x in backend.layers
        ]
        self.convs = [  # past [count, n_state, C], present [count, 1, C], n_state
            (inputs(graph_names.past_conv(i), count, n, c), outputs(graph_names.present_conv(i), c), n)
            for i, n, c in backend.convs
        ]
