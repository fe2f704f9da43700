"""The extension that runs inside llama.cpp's evaluation: its filtered callback (ext/llama_callback.h), and what an
Engram layer does behind its projections (ext/gate.h)."""

from collections.abc import Callable

import numpy as np

class EvalCallback:
    address: int
    user_data: int
    n_bytes: int
    def __init__(self, names: list[bytes], hook: Callable[[int], None], functions: dict[str, int]) -> None: ...
    def arm(self) -> None: ...
    def finish(self) -> str | None: ...
    def read(self, out: np.ndarray) -> None: ...
    def write(self, values: np.ndarray) -> None: ...

class Gate:
    def __init__(
        self,
        constants: dict[str, np.ndarray],
        sizes: tuple[int, int, int],
        conv: tuple[int, int],
        epsilons: tuple[float, float],
    ) -> None: ...
    def add(self, hidden: np.ndarray, projected: np.ndarray, conv: np.ndarray | None) -> None: ...

class TokenStep:
    def __init__(
        self, gate: Gate, rows: np.ndarray, projected: np.ndarray, hidden: np.ndarray, product: tuple[int, int, int]
    ) -> None: ...
    def run(self, callback: EvalCallback, rows: np.ndarray, conv: np.ndarray | None) -> int: ...
