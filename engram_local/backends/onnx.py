"""backbone.onnx in plain ONNX Runtime. Sequences that decode at the same time run as one batch.

Inputs of the graph: input_ids int64 [B, S]; attention_mask int64 [B, T], ones for the tokens that a sequence has with
these; logits_rows int64 [n], the positions of this chunk whose logits are wanted; past_key_values.{i}.key/.value
float32 [B, n_kv_heads, capacity, head_dim]; engram_enabled bool [B]; for each Engram layer engram_rows_{id} float32
[B, S, E] and, where it has a convolution, past_engram_conv_{id} float32 [B, n_state, C]. Outputs: logits float32
[B, n, vocab]; present.{i}.key/.value, the same memory as past, so that decoding copies nothing;
present_engram_conv_{id} float32 [B, S, C], the convolution's inputs at these S tokens; engram_gated_{id} float32
[B, S, streams, d] and engram_value_{id} [B, S, d], which tell how far the gate opened (empty without memory).
"""

import mmap
from collections.abc import Sequence
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import onnxruntime as ort

from engram_local import graph_names
from engram_local.backends.base import Logits, Output, Rows, Work, check_batch, check_rewind, gate_of
from engram_local.backends.onnx_slots import Slots
from engram_local.errors import BackendError, UsageError
from engram_local.graph_names import ONNX_FILE
from engram_local.model_folder import ModelFolder

MAX_CHUNK = 128  # small enough that reads of the next chunk hide behind this one, and no slower otherwise
MAX_BINDINGS = 16  # batches of decoding that are kept bound; each holds logits and a mask


class Conv(NamedTuple):
    """A layer's convolution: its state is [n_state, channels]."""

    layer_id: int
    n_state: int
    channels: int


class OnnxBackend:
    """A loaded backbone.onnx, shared by any number of contexts. One forward runs at a time, whatever thread asks."""

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
        self.path = folder.intact(ONNX_FILE)
        self.layers = folder.engram.layers
        self.vocab_size = folder.vocab_size
        self.context_length = context_length
        self.session: Any = _open_session(self.path, threads, spinning, verbose)
        inputs, outputs, self.kv_names = self._check_graph()
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
        self.slots = Slots(shapes, context_length)
        self.lock = RLock()  # a slot that moves while it is written to would lose what is written

    @property
    def state_bytes(self) -> int:
        """Memory that the keys and values of all contexts take."""
        return self.slots.n_bytes

    def context(self, memory: bool) -> "OnnxContext":
        with self.lock:
            if self.session is None:
                raise UsageError(f"{self.path}: the model is closed; load it again")
            return OnnxContext(self, memory)

    def forward(self, batch: Sequence[Work]) -> list[Output]:
        """See backends/base.py."""
        with self.lock:
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
        steps = len(works[0].token_ids) == 1 and not any(x.gates for x in works)
        outputs = (self._steps if steps else self._chunks)(works, first)
        for work in works:  # the next group may move them
            work.context.held = work.context.length + len(work.token_ids)
        return outputs

    def _steps(self, works: list["OwnWork"], first: int) -> list[Output]:
        """One token of each sequence."""
        step = self.slots.bindings.get((first, len(works))) or self.bind_steps(first, len(works))
        tokens, mask, enabled, logits = step.fixed  # the mask is as wide as the buffers: its ones say how much counts
        outputs = []
        for i, work in enumerate(works):
            context, begin = work.context, work.context.length
            tokens[i, 0] = work.token_ids[0]
            enabled[i] = context.memory
            mask[i, step.seen[i] : begin + 1] = 1
            mask[i, begin + 1 : step.seen[i]] = 0
            step.seen[i] = begin + 1
            if work.rows is not None:
                for layer_id, rows in step.rows:
                    rows[i] = work.rows.wait(layer_id)
            for past, buffer in zip(step.past, context.conv, strict=False):
                past[i] = buffer[begin : begin + past.shape[1]]
        step.run(self)
        for i, work in enumerate(works):
            for past, present, buffer in zip(step.past, step.present, work.context.conv, strict=False):
                buffer[work.context.length + past.shape[1]] = present[i, 0]
            outputs.append(Output(None if work.logits == "none" else logits[i].copy()))
        return outputs

    def _chunks(self, works: list["OwnWork"], first: int) -> list[Output]:
        """Any number of tokens, the same of each sequence; several of several sequences only at their beginning."""
        b, n = len(works), len(works[0].token_ids)
        begins = [x.context.length for x in works]
        wanted = np.arange(n) if any(x.logits == "all" for x in works) else np.array([n - 1])
        logits = np.empty((b, len(wanted), self.vocab_size), np.float32)
        chunk = self._bind_kv(first, b)
        chunk.bind(graph_names.INPUT_IDS, np.stack([np.asarray(x.token_ids, np.int64) for x in works]))
        seen = np.arange(max(begins) + n) < np.array(begins)[:, None] + n
        chunk.bind(graph_names.ATTENTION_MASK, seen.astype(np.int64))
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

    def _bind_kv(self, first: int, count: int) -> "_Binding":
        binding = _Binding(self.session)
        for past, present in self.kv_names:
            buffer = self.slots.arrays[past][first : first + count]
            binding.bind(past, buffer)
            binding.bind(present, buffer, output=True)
        return binding

    def bind_steps(self, first: int, count: int) -> "_Binding":
        """A binding for single tokens of `count` sequences, kept, because binding ten names costs a small model a fifth
        of its step."""
        step = self._bind_kv(first, count)
        step.seen = [0] * count  # ones in each row of the mask
        step.bind(graph_names.INPUT_IDS, np.zeros((count, 1), np.int64))
        step.bind(graph_names.ATTENTION_MASK, np.zeros((count, self.slots.capacity), np.int64))
        step.bind(graph_names.LOGITS_ROWS, np.zeros(1, np.int64))
        step.bind(graph_names.ENABLED, np.zeros(count, np.bool_))
        step.bind(graph_names.LOGITS, np.empty((count, 1, self.vocab_size), np.float32), output=True)
        for layer in self.layers:
            rows = np.zeros((count, 1, layer.row_width), np.float32)
            step.bind(graph_names.rows(layer.layer_id), rows)
            step.rows.append((layer.layer_id, rows))
        for i, n_state, channels in self.convs:
            past, present = (np.zeros((count, x, channels), np.float32) for x in (n_state, 1))
            step.bind(graph_names.past_conv(i), past)
            step.bind(graph_names.present_conv(i), present, output=True)
            step.past.append(past)
            step.present.append(present)
        names = graph_names.INPUT_IDS, graph_names.ATTENTION_MASK, graph_names.ENABLED, graph_names.LOGITS
        step.fixed = tuple(step.arrays[x] for x in names)
        kept = self.slots.bindings
        if len(kept) >= MAX_BINDINGS:
            del kept[next(iter(kept))]
        kept[first, count] = step
        return step

    def _check_graph(self) -> tuple[dict[str, Any], dict[str, Any], list[tuple[str, str]]]:
        """Every input and output that a step binds is there, shaped as config.json says, and no other input is. Returns
        inputs and outputs by name and the (past, present) names of keys and values."""
        found_inputs = {x.name: x for x in self.session.get_inputs()}
        found_outputs = {x.name: x for x in self.session.get_outputs()}
        kv_names = [
            (graph_names.past_kv(i, part), graph_names.present_kv(i, part))
            for i in range(graph_names.count_blocks(found_inputs))
            for part in ("key", "value")
        ]
        floating = "tensor(float)"
        inputs: dict[str, tuple[str, tuple[int | None, ...]]] = {
            graph_names.INPUT_IDS: ("tensor(int64)", (None, None)),
            graph_names.ATTENTION_MASK: ("tensor(int64)", (None, None)),
            graph_names.LOGITS_ROWS: ("tensor(int64)", (None,)),
            graph_names.ENABLED: ("tensor(bool)", (None,)),
        }
        outputs: dict[str, tuple[str, tuple[int | None, ...]]] = {
            graph_names.LOGITS: (floating, (None, None, self.vocab_size))
        }
        for past, present in kv_names:
            inputs[past] = outputs[present] = (floating, (None, None, None, None))
        for layer in self.layers:
            inputs[graph_names.rows(layer.layer_id)] = (floating, (None, None, layer.row_width))
            outputs[graph_names.gated(layer.layer_id)] = (floating, (None, None, layer.streams, None))
            outputs[graph_names.value(layer.layer_id)] = (floating, (None, None, None))
            if layer.conv:
                inputs[graph_names.past_conv(layer.layer_id)] = (floating, (None, layer.conv.n_state, None))
                outputs[graph_names.present_conv(layer.layer_id)] = (floating, (None, None, None))
        for kind, expected, found in (("input", inputs, found_inputs), ("output", outputs, found_outputs)):
            for name, (dtype, shape) in expected.items():
                if name not in found:
                    raise BackendError(f"{self.path}: the graph has no {kind} {name}; export the model again")
                value = found[name]
                if name != graph_names.LOGITS_ROWS and isinstance(value.shape[0], int):
                    raise BackendError(
                        f"{self.path}: {kind} {name} is {value.shape}, for one sequence alone; export the model again"
                    )
                fits = len(value.shape) == len(shape) and all(
                    want is None or not isinstance(have, int) or want == have
                    for want, have in zip(shape, value.shape, strict=True)
                )
                if value.type != dtype or not fits:
                    raise BackendError(
                        f"{self.path}: {kind} {name} is {value.type} {value.shape}, "
                        f"config.json wants {dtype} {list(shape)}; export the model again"
                    )
        for name in [x for x, _ in kv_names] + [graph_names.past_conv(x.layer_id) for x in self.layers if x.conv]:
            sizes = found_inputs[name].shape
            if not isinstance(sizes[1 if len(sizes) == 4 else 2], int):  # heads, or channels
                raise BackendError(f"{self.path}: input {name} has the open shape {sizes}; export the model again")
        unknown = sorted(set(found_inputs) - set(inputs))
        if unknown:
            raise BackendError(
                f"{self.path}: the graph wants an input that no step feeds: {unknown[0]}; export it again"
            )
        return found_inputs, found_outputs, kv_names


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

    def __init__(self, session: ort.InferenceSession):
        self.binding = session.io_binding()
        self.arrays: dict[str, np.ndarray] = {}
        self.fixed: tuple[np.ndarray, ...] = ()
        self.seen: list[int] = []
        self.rows: list[tuple[int, np.ndarray]] = []  # (layer id, [B, 1, E])
        self.past: list[np.ndarray] = []  # [B, n_state, C], one a layer with a convolution
        self.present: list[np.ndarray] = []  # [B, 1, C]

    def bind(self, name: str, array: np.ndarray, output: bool = False) -> None:
        self.arrays[name] = array
        bind = self.binding.bind_output if output else self.binding.bind_input
        bind(name, "cpu", 0, array.dtype.type, array.shape, array.__array_interface__["data"][0])

    def run(self, backend: OnnxBackend) -> None:
        try:
            backend.session.run_with_iobinding(self.binding)
        except Exception as error:  # ONNX Runtime's own exceptions share no base but this
            raise BackendError(f"{backend.path}: ONNX Runtime failed: {_first_line(error)}") from error


def _open_session(path: Path, threads: int, spinning: bool, verbose: bool) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 2 if verbose else 4  # errors are raised as well
    options.enable_mem_pattern = False  # plans are kept per input shape, and the mask's shape is new at every token
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    try:
        content = _lend_linked_data(options, path.with_name(graph_names.ONNX_DATA_FILE))
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        session.linked_data = content  # which it reads as long as it lives
        return session
    except Exception as error:  # ONNX Runtime's own exceptions share no base but this
        raise BackendError(f"{path}: ONNX Runtime {ort.__version__} cannot load it: {_first_line(error)}") from error


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


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())
