"""What a session asks of a backbone. A backend sees token ids and float32 rows; never text, files of rows or hashes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

Logits = Literal["last", "all", "none"]


class Rows(Protocol):
    """The looked-up rows of one chunk, perhaps still being read."""

    def wait(self, layer_id: int) -> np.ndarray:
        """Rows of one layer, float32 [n, E], order-major then head; blocks until they are there. Valid until the
        next chunk is gathered. Raises TableError when a read failed."""
        ...


class Context(Protocol):
    """One sequence inside a backend: its KV cache and its convolution state. A context that was closed raises
    UsageError from every method but close."""

    memory: bool  # whether the Engram layers are part of it

    @property
    def length(self) -> int:
        """Tokens evaluated so far."""
        ...

    def rewind(self, length: int) -> int:
        """Keep the first `length` tokens, or fewer where the backbone cannot go back to that point: returns how many
        were kept (0: begin anew). What follows is computed as if the rest had never been there."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Work:
    """One sequence's part of a step."""

    context: Context
    token_ids: np.ndarray  # int64 [n], 1 <= n <= Backend.max_chunk, behind the context
    rows: Rows | None  # None where the context's memory is off
    logits: Logits = "last"
    gates: bool = False  # whether to hand out how far each layer's gate opened


@dataclass(frozen=True, slots=True)
class Output:
    """What one `Work` brought; owned by the caller."""

    logits: np.ndarray | None  # float32 [1, vocab] ("last"), [n, vocab] ("all"), None ("none")
    gates: dict[int, np.ndarray] | None = None  # layer id -> float32 [n, streams], 0 (shut) to 1; only where asked for


class Backend(Protocol):
    """A loaded backbone; immutable, shared by any number of contexts."""

    name: str  # "onnx" or "gguf"
    vocab_size: int
    context_length: int
    max_chunk: int  # tokens that one `Work` may hold

    def context(self, memory: bool) -> Context: ...

    def forward(self, batch: Sequence[Work]) -> list[Output]:
        """Evaluate several sequences' tokens, each behind its own context; contexts are distinct. Returns one Output a
        Work, equal to evaluating each alone. On an error no context has grown. Raises BackendError, TableError."""
        ...

    def close(self) -> None:
        """Free the model, and first the contexts that still use it. Closing again does nothing."""
        ...
