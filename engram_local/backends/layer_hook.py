"""What llama.cpp's evaluation callback does: run the Engram layers on the nodes where they enter the graph."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engram_local._llama_callback import EvalCallback
from engram_local.backends.base import Rows
from engram_local.backends.engram_layer import EngramLayer, LayerState
from engram_local.backends.llama_library import ggml_functions, llama, version
from engram_local.config import LayerConfig
from engram_local.errors import BackendError


@dataclass(slots=True)
class Columns:
    """One sequence's columns of each node: those of its tokens in this decode."""

    position: int  # of the first token
    states: list[LayerState]  # one a layer
    rows: Rows | None  # None: the memory is off, and the columns stay as they are
    opened: dict[int, np.ndarray] | None = None  # filled where given: layer id -> gates, float32 [n, streams]


class NodeHook:
    """The callback of one model's llama_contexts: `_on_node(i)` runs when nodes[i] has been computed."""

    way_out = ""
    always = False  # whether a decode needs it in which no sequence has rows

    def __init__(self, nodes: list[str], path: Path, architecture: str):
        """nodes: in graph order; path, architecture: named in errors."""
        self.nodes = nodes
        self._path, self._architecture = path, architecture
        hook = weakref.proxy(self)  # no circle: layers are large, and are freed with the last reference
        names = [x.encode() for x in nodes]
        self._callback = EvalCallback(names, lambda index: hook._on_node(index), ggml_functions())
        self._columns: list[Any] = []  # Columns
        self._n = 0  # tokens of each sequence

    def context_params(self) -> dict[str, Any]:
        """Fields of llama_context_params. The object must outlive the context."""
        callback = llama().ggml_backend_sched_eval_callback(self._callback.address)
        return {"cb_eval": callback, "cb_eval_user_data": self._callback.user_data}

    def run(self, columns: list[Columns], n: int, decode: Callable[[], None]) -> None:
        """Call `decode`, a llama_decode of n tokens of each sequence, with the layers in its graph. Raises what it
        raises; what the layers or the rows raise; BackendError where the graph lacks a node."""
        self._columns, self._n = columns, n
        self._callback.arm()
        try:
            decode()
        finally:
            self._columns = []
            missing = self._callback.finish()
        if missing is not None:
            raise BackendError(
                f"{self._path}: the graph that llama-cpp-python {version()} has for architecture "
                f"{self._architecture!r} has no node {missing!r}, {self.way_out}"
            )

    def _check_size(self, index: int, width: int) -> None:
        n_columns = len(self._columns) * self._n
        if self._callback.n_bytes != n_columns * width * 4:
            raise BackendError(
                f"{self._path}: node {self.nodes[index]!r} of architecture {self._architecture!r} holds "
                f"{self._callback.n_bytes} bytes, not {n_columns} float32 columns of {width}"
            )

    def _on_node(self, index: int) -> None:
        raise NotImplementedError


class LayerHook(NodeHook):
    """Engram layers at the nodes where they enter."""

    way_out = "where an Engram layer enters; run it without memory, or with the ONNX backend"

    def __init__(
        self,
        layers: list[EngramLayer],
        nodes: list[str],
        path: Path,
        architecture: str,
        max_tokens: int,
        always: bool = False,
    ):
        """layers: one a node; max_tokens: of one decode; always: a layer that scales what it is added to, so without
        memory it adds zero rows."""
        super().__init__(nodes, path, architecture)
        self.always = always
        self.layers = layers
        self._hidden = np.empty((max_tokens, layers[0].width), np.float32)

    def _on_node(self, index: int) -> None:
        """Called by llama.cpp, in the middle of its decode, when layer `index`'s input has been computed."""
        layer, columns = self.layers[index], self._columns
        self._check_size(index, layer.width)
        if self._n == 1 and len(columns) == 1 and self._run_in_place(layer, index, columns[0]):
            return
        flat = self._hidden[: len(columns) * self._n]
        self._callback.read(flat)
        hidden = flat.reshape(len(columns), self._n, layer.width)
        on = [i for i, x in enumerate(columns) if self.always or x.rows is not None]
        if len(on) == len(columns):
            hidden = self._run_layer(index, hidden, columns)
        else:
            hidden[on] = self._run_layer(index, hidden[on], [columns[i] for i in on])
        self._callback.write(hidden.reshape(flat.shape))

    def _run_in_place(self, layer: EngramLayer, index: int, column: Any) -> bool:
        """A single token, as fast as it can be done; its twin is what follows in _on_node."""
        if column.rows is None or column.opened is not None:
            return False
        state = column.states[index] if layer.n_state else None
        return layer.run_in_place(self._callback, column.rows.wait(layer.layer_id), state, column.position)

    def _run_layer(self, index: int, hidden: np.ndarray, columns: list[Any]) -> np.ndarray:
        """What leaves layer `index`, float32 [B, n, width]; a sequence without memory has rows of zeros."""
        layer = self.layers[index]
        none = np.zeros((self._n, layer.row_width), np.float32) if self.always else None
        rows: list[Any] = [none if x.rows is None else x.rows.wait(layer.layer_id) for x in columns]
        out, opened = layer.run(
            hidden,
            rows[0][None] if len(rows) == 1 else np.stack(rows),
            [x.states[index] for x in columns] if layer.n_state else [],
            [x.position for x in columns],
            any([x.opened is not None for x in columns]),
        )
        if opened is not None:
            for x, of_sequence in zip(columns, opened, strict=True):
                if x.opened is not None:
                    x.opened[layer.layer_id] = of_sequence
        return out


class RowsHook(NodeHook):
    """Rows written into a node of the backbone's own n-gram layer, zeros where the memory is off."""

    always = True  # else llama.cpp computes with the rows that it looked up itself
    way_out = "where rows enter; use a release of llama-cpp-python that has it"

    def __init__(self, layer: LayerConfig, node: str, path: Path, architecture: str, max_tokens: int):
        super().__init__([node], path, architecture)
        self._layer_id, self._width = layer.layer_id, layer.row_width
        self._rows = np.zeros((max_tokens, self._width), np.float32)

    def _on_node(self, index: int) -> None:
        self._check_size(index, self._width)
        rows = self._rows[: len(self._columns) * self._n]
        for i, x in enumerate(self._columns):
            rows[i * self._n : (i + 1) * self._n] = 0 if x.rows is None else x.rows.wait(self._layer_id)
        self._callback.write(rows)
