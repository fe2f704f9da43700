"""An Engram layer without ONNX Runtime: its projections in ggml (ggml.py), what is behind them in ext/gate.c.

Twin: the layer's own graph in ONNX Runtime (engram_layer.py), whose weights it reads. There threads wake while
llama.cpp's still spin, so that a token is faster on one.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engram_local._llama_callback import EvalCallback, Gate, TokenStep
from engram_local.backends.ggml import Product
from engram_local.backends.onnx_file import OnnxFile, read_onnx
from engram_local.config import LayerConfig
from engram_local.errors import BackendError

MAX_TOKENS = 128  # of one product
BLOCK = 32  # values that share a scale, there as here


class LayerStep:
    """`run` of EngramLayer. Not for several threads at once."""

    def __init__(self, file: Path, config: LayerConfig, hidden_size: int, residual_streams: int, threads: int):
        """Raises BackendError or ValueError where the layer is of a kind that this does not compute."""
        graph = read_onnx(file)
        prefix = f"engram.{config.layer_id}."
        constants = {name.removeprefix(prefix): x for name, x in graph.constants.items()}
        kind, matrix, shape = _projections(graph, constants)
        gate_epsilon = graph.attribute("EngramGate", "epsilon")
        if gate_epsilon is None or shape != ((config.streams + 1) * hidden_size, config.row_width):
            raise BackendError(f"{file}: its layer is not gated, or its projections are not {shape}")
        if config.conv:
            constants["conv"] = constants["conv"][:, 0].T  # [kernel, C]
        names = {x: x for x in ("norm_key", "norm_query", "norm_conv", "conv", "conv_bias")}
        names |= {"key_bias": "key_proj.bias", "value_bias": "value_proj.bias"}
        self._gate = Gate(
            {x: np.ascontiguousarray(constants[y]) for x, y in names.items() if y in constants},
            (config.streams, residual_streams, hidden_size),
            (config.conv.kernel, config.conv.dilation) if config.conv else (0, 0),
            (gate_epsilon, graph.attribute("SimplifiedLayerNormalization", "epsilon") or gate_epsilon),
        )
        self._product = product = Product(kind, matrix, shape, MAX_TOKENS, threads)
        hidden = np.empty((1, residual_streams * hidden_size), np.float32)
        self._token = TokenStep(self._gate, product.inputs[:1], product.outputs[:1], hidden, product.call(1))

    def run_in_place(self, callback: EvalCallback, rows: np.ndarray, conv: np.ndarray | None) -> None:
        """Add the layer to one token of one sequence in the node that `callback` speaks of.

        Parameters: rows float32 [1, E]; conv float32 [n_state + 1, C], as in `run`, or None.
        Raises:     BackendError; the node is untouched then.
        """
        self._product.check(self._token.run(callback, rows, conv))

    def run(self, hidden: np.ndarray, rows: np.ndarray, convs: Sequence[np.ndarray]) -> None:
        """hidden += layer(hidden, rows), in place, for n tokens of each of B sequences.

        Parameters: hidden float32 [B, n, width]; rows float32 [B, n, E]; convs float32 [n_state + n, C] of each
                    sequence where the layer has a convolution: what it took in before, then what it takes in now.
        Raises:     BackendError.
        """
        n_sequences, n = hidden.shape[:2]
        rows = rows.reshape(n_sequences * n, -1)
        for begin in range(0, len(rows), MAX_TOKENS):
            end = min(begin + MAX_TOKENS, len(rows))
            self._product.inputs[: end - begin] = rows[begin:end]
            projected = self._product.run(end - begin)
            for i in range(begin // n, -(-end // n)):  # sequences whose tokens are among these
                first, last = max(begin - i * n, 0), min(end - i * n, n)
                conv = convs[i][first : len(convs[i]) - n + last] if convs else None
                self._gate.add(hidden[i, first:last], projected[i * n + first - begin : i * n + last - begin], conv)


def _projections(graph: OnnxFile, constants: dict[str, np.ndarray]) -> tuple[str, np.ndarray, tuple[int, int]]:
    """Keys' and values' projections below each other: ggml's type, the matrix in its layout, and its shape [N, K]."""
    names = ("key_proj", "value_proj")
    if "key_proj.weight" in constants:
        weights = [constants[f"{x}.weight"].T.astype(np.float32) for x in names]
        matrix = np.concatenate(weights)
        return "float32", np.ascontiguousarray(matrix), matrix.shape
    block, bits = (graph.attribute("MatMulNBits", x) for x in ("block_size", "bits"))
    if block != BLOCK:
        raise BackendError(f"ggml has no blocks of {block}")
    codes = np.concatenate([constants[f"{x}.codes"] for x in names])  # [N, K / 32, 32 * bits / 8]
    with np.errstate(over="ignore"):  # what float16 does not hold shows when the two are compared
        scales = np.concatenate([constants[f"{x}.scales"] for x in names])[..., None].astype("<f2")
    shape = len(codes), codes.shape[1] * BLOCK
    if bits == 8:  # 128 stands for 0 there, and 0 here
        return "q8_0", np.concatenate([scales.view(np.uint8), codes ^ 128], -1), shape
    values = np.stack([codes & 15, codes >> 4], -1).reshape(*codes.shape[:2], BLOCK)  # neighbours share a byte there,
    halves = values[..., : BLOCK // 2] | values[..., BLOCK // 2 :] << 4  # here the values of the block's halves do
    return "q4_0", np.concatenate([scales.view(np.uint8), halves], -1), shape
