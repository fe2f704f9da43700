"""One Engram layer beside a GGUF backbone: its graph in ONNX Runtime, the faster twin of most (layer_step.py), and
its convolution's state in one sequence."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from engram_local import graph_names
from engram_local._llama_callback import EvalCallback
from engram_local.backends.base import gate_of
from engram_local.backends.layer_step import LayerStep
from engram_local.backends.onnx_graph import create_session
from engram_local.config import LayerConfig
from engram_local.errors import BackendError

STEP_TOLERANCE = 0.1  # of the layer's output; both round what goes into their products to eight bits, each its own way


class LayerState:
    """What one layer's convolution took in so far, in one sequence.

    `conv` is float32 [n_state + capacity, C]; position t lies at row n_state + t, so the state before position t is
    rows [t, t + n_state) and a rewind needs nothing but a shorter length. None where the layer has no convolution.
    """

    def __init__(self, layer: "EngramLayer"):
        self.n_state = layer.n_state
        self.conv: Any = np.zeros((layer.n_state, layer.channels), np.float32) if layer.n_state else None

    def before(self, position: int) -> np.ndarray:
        """The state that a convolution at `position` begins with, float32 [n_state, C]; a view."""
        return self.conv[position : position + self.n_state]

    def room(self, position: int, n: int) -> np.ndarray:
        """That state and, behind it, room for what the convolution takes in at n tokens, float32 [n_state + n, C]; a
        view."""
        begin, end = position + self.n_state, position + self.n_state + n
        if end > len(self.conv):
            grown = np.zeros((max(end, 2 * len(self.conv)), self.conv.shape[1]), np.float32)
            grown[:begin] = self.conv[:begin]
            self.conv = grown
        return self.conv[position:end]

    def put(self, position: int, inputs: np.ndarray) -> None:
        """Keep what the convolution took in from `position` on, float32 [n, C]."""
        self.room(position, len(inputs))[self.n_state :] = inputs


class EngramLayer:
    """engram_layer_{id}.onnx, shared by all sequences."""

    def __init__(self, file: Path, config: LayerConfig, hidden_size: int, residual_streams: int, threads: int):
        """hidden_size: of the backbone, whose residual has so many streams. Raises BackendError where the graph does
        not load, or fits neither the backbone nor config.json."""
        self.layer_id = config.layer_id
        self.width = residual_streams * hidden_size
        self.row_width = config.row_width
        self.n_state = config.conv.n_state if config.conv else 0
        self._rows, self._past = graph_names.rows(self.layer_id), graph_names.past_conv(self.layer_id)
        self._outputs = [graph_names.HIDDEN_OUT]
        if self.n_state:
            self._outputs.append(graph_names.present_conv(self.layer_id))
        self.session = _open_session(file, threads)
        shapes = {x.name: x.shape for x in self.session.get_inputs()}
        wanted = {graph_names.HIDDEN: self.width, self._rows: self.row_width}
        if self.n_state:
            wanted[self._past] = self.channels = config.streams * hidden_size
        for name, last in wanted.items():
            if name not in shapes or isinstance(shapes[name][0], int) or shapes[name][-1] != last:
                raise BackendError(
                    f"{file}: its input {name} has shape {shapes.get(name)}, the backbone and config.json ask for "
                    f"[batch, n, {last}]; the GGUF and the layer do not belong together"
                )
        self._gates = [graph_names.gated(self.layer_id), graph_names.value(self.layer_id)]
        self._step = self._make_step(file, config, hidden_size, residual_streams, threads)
        # Waking a second thread for one token takes longer than half of the layer, and llama.cpp's own still spin.
        self._single = _open_session(file, 1) if threads > 1 and self._step is None else self.session

    @np.errstate(all="ignore")  # of damaged weights, which make both infinite; no twin then
    def _make_step(
        self, file: Path, config: LayerConfig, hidden_size: int, residual_streams: int, threads: int
    ) -> LayerStep | None:
        """The graph's twin; None where it does not compute what the graph computes."""
        try:
            step = LayerStep(file, config, hidden_size, residual_streams, threads)
            rng = np.random.default_rng(0)
            hidden, rows = (rng.standard_normal((2, 2, x), np.float32) for x in (self.width, self.row_width))
            states = [LayerState(self), LayerState(self)]
            if self.n_state:  # one sequence that begins and one that goes on: either alone would hide some weights
                rng.standard_normal(out=states[1].conv, dtype=np.float32)
            expected = self._run_graph(self.session, hidden, rows, states, [0, 0], False)[0] - hidden
            found = self._run_step(step, hidden, rows, states, [0, 0]) - hidden
        except (BackendError, ValueError, LookupError, TypeError):
            return None
        error, size = (np.linalg.norm(x.reshape(2, -1), axis=1) for x in (found - expected, expected))
        return step if np.all(error <= STEP_TOLERANCE * size) else None

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
        Returns:    float32 [B, n, width]; where `gates` asks for it float32 [B, n, streams], else None.
        Raises:     BackendError. States before `positions` are untouched then.
        """
        n_sequences, n = hidden.shape[:2]
        if rows.shape != (n_sequences, n, self.row_width):
            raise BackendError(
                f"Engram layer {self.layer_id} takes rows of shape {(n, self.row_width)}, got {rows.shape[1:]}"
            )
        if self._step is not None and not gates:
            return self._run_step(self._step, hidden, rows, states, positions), None
        session = self._single if n_sequences * n == 1 else self.session
        return self._run_graph(session, hidden, rows, states, positions, gates)

    def run_in_place(self, callback: EvalCallback, rows: np.ndarray, state: "LayerState | None", position: int) -> bool:
        """Add the layer to one token of one sequence in the node that `callback` speaks of; False where it cannot be
        done there. rows float32 [1, E]. Raises BackendError."""
        if self._step is None:
            return False
        self._step.run_in_place(callback, rows, state.room(position, 1) if state is not None else None)
        return True

    def _run_step(
        self,
        step: LayerStep,
        hidden: np.ndarray,
        rows: np.ndarray,
        states: Sequence[LayerState],
        positions: Sequence[int],
    ) -> np.ndarray:
        n, out = hidden.shape[1], hidden.copy()
        convs = [x.room(i, n) for x, i in zip(states, positions, strict=True)] if self.n_state else []
        step.run(out, rows, convs)
        return out

    def _run_graph(
        self,
        session: ort.InferenceSession,
        hidden: np.ndarray,
        rows: np.ndarray,
        states: Sequence[LayerState],
        positions: Sequence[int],
        gates: bool,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        feed = {graph_names.HIDDEN: hidden, self._rows: rows}
        if self.n_state:
            past = [state.before(position) for state, position in zip(states, positions, strict=True)]
            feed[self._past] = past[0][None] if len(past) == 1 else np.stack(past)
        outputs = [*self._outputs, *self._gates] if gates else self._outputs
        # Plain run: binding five buffers anew at each token takes longer than copying a token's worth of output.
        try:
            results = session.run(outputs, feed)
        except Exception as error:  # onnxruntime raises its own many kinds
            raise BackendError(f"Engram layer {self.layer_id}: ONNX Runtime failed: {_reason(error)}") from error
        if self.n_state:
            for state, position, inputs in zip(states, positions, results[1], strict=True):
                state.put(position, inputs)
        return results[0], gate_of(*results[-2:]) if gates else None


def _open_session(file: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # llama.cpp wants the cores next
    options.log_severity_level = 4  # errors are raised as well
    try:
        return create_session(file, options)
    except Exception as error:  # onnxruntime raises its own many kinds
        raise BackendError(f"{file}: ONNX Runtime cannot load it ({_reason(error)}); export it again") from error


def _reason(error: Exception) -> str:
    """ONNX Runtime's reason stands at the end of its message, behind paths."""
    return " ".join(str(error).split())[-200:]
