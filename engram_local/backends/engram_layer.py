"""One Engram layer beside a GGUF backbone: its graph in ONNX Runtime, and its convolution's state in one sequence."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from engram_local import graph_names
from engram_local.backends.base import gate_of
from engram_local.config import LayerConfig
from engram_local.errors import BackendError


class LayerState:
    """What one layer's convolution took in so far, in one sequence.

    `conv` is float32 [n_state + capacity, C]; position t lies at row n_state + t, so the state before position t is
    rows [t, t + n_state) and a rewind needs nothing but a shorter length. None where the layer has no convolution.
    """

    def __init__(self, layer: "EngramLayer"):
        self.n_state = layer.n_state
        self.conv = np.zeros((layer.n_state, layer.channels), np.float32) if layer.n_state else None

    def before(self, position: int) -> np.ndarray:
        """The state that a convolution at `position` begins with, float32 [n_state, C]; a view."""
        return self.conv[position : position + self.n_state]

    def put(self, position: int, inputs: np.ndarray) -> None:
        """Keep what the convolution took in from `position` on, float32 [n, C]."""
        begin, end = position + self.n_state, position + self.n_state + len(inputs)
        if end > len(self.conv):
            grown = np.zeros((max(end, 2 * len(self.conv)), self.conv.shape[1]), np.float32)
            grown[:begin] = self.conv[:begin]
            self.conv = grown
        self.conv[begin:end] = inputs


class EngramLayer:
    """engram_layer_{id}.onnx, shared by all sequences."""

    def __init__(self, file: Path, config: LayerConfig, width: int, threads: int):
        """width: of the residual. Raises BackendError where the graph does not load or fits neither backbone nor
        config.json."""
        self.layer_id = config.layer_id
        self.width = width
        self.row_width = config.row_width
        self.n_state = config.conv.n_state if config.conv else 0
        self._rows, self._past = graph_names.rows(self.layer_id), graph_names.past_conv(self.layer_id)
        self._outputs = [graph_names.HIDDEN_OUT]
        if self.n_state:
            self._outputs.append(graph_names.present_conv(self.layer_id))
        self.session = _open_session(file, threads)
        shapes = {x.name: x.shape for x in self.session.get_inputs()}
        wanted = {graph_names.HIDDEN: width, self._rows: self.row_width}
        if self.n_state:
            wanted[self._past] = self.channels = config.streams * width
        for name, last in wanted.items():
            if name not in shapes or shapes[name][-1] != last:
                raise BackendError(
                    f"{file}: its input {name} has shape {shapes.get(name)}, the backbone and config.json ask for "
                    f"[1, n, {last}]; the GGUF and the layer do not belong together"
                )
        self._takes_batches = not isinstance(shapes[graph_names.HIDDEN][0], int)
        self._gates = [graph_names.gated(self.layer_id), graph_names.value(self.layer_id)]
        self.has_gate = {x.name for x in self.session.get_outputs()}.issuperset(self._gates)

    def run(
        self,
        hidden: np.ndarray,
        rows: np.ndarray,
        states: Sequence[LayerState],
        positions: Sequence[int],
        gates: bool = False,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """hidden + layer(hidden, rows) for n tokens of each of B sequences, and how far the gates opened.

        Parameters: hidden float32 [B, n, width]; rows float32 [B, n, E]; states, positions: of each sequence.
        Returns:    float32 [B, n, width]; float32 [B, n, streams] where `gates` asks for it and the graph has it.
        Raises:     BackendError. States before `positions` are untouched then.
        """
        n_sequences, n = hidden.shape[:2]
        if rows.shape != (n_sequences, n, self.row_width):
            raise BackendError(
                f"Engram layer {self.layer_id} takes rows of shape {(n, self.row_width)}, got {rows.shape[1:]}"
            )
        if n_sequences > 1 and not self._takes_batches:
            single = [self.run(hidden[i : i + 1], rows[i : i + 1], *x, gates) for i, x in _each(states, positions)]
            opened = np.concatenate([g for _, g in single]) if single[0][1] is not None else None
            return np.concatenate([out for out, _ in single]), opened
        feed = {graph_names.HIDDEN: hidden, self._rows: rows}
        if self.n_state:
            past = [state.before(position) for state, position in zip(states, positions, strict=True)]
            feed[self._past] = past[0][None] if n_sequences == 1 else np.stack(past)
        outputs = [*self._outputs, *self._gates] if gates and self.has_gate else self._outputs
        # Plain run: binding five buffers anew at each token takes longer than copying a token's worth of output.
        try:
            results = self.session.run(outputs, feed)
        except Exception as error:  # onnxruntime raises its own many kinds
            raise BackendError(f"Engram layer {self.layer_id}: ONNX Runtime failed: {str(error)[:160]}") from error
        if self.n_state:
            for state, position, inputs in zip(states, positions, results[1], strict=True):
                state.put(position, inputs)
        return results[0], gate_of(*results[-2:]) if outputs is not self._outputs else None


def _each(states: Sequence[LayerState], positions: Sequence[int]):
    for i, (state, position) in enumerate(zip(states, positions, strict=True)):
        yield i, ([state], [position])


def _open_session(file: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # llama.cpp wants the cores next
    options.log_severity_level = 4  # errors are raised as well
    try:
        return ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own many kinds
        raise BackendError(f"{file}: ONNX Runtime cannot load it ({str(error)[:160]}); export it again") from error
