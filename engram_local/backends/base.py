"""What a session asks of a backbone. A backend sees token ids and float32 rows; never text, files of rows or hashes."""

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
    """One sequence inside a backend: its KV cache and its convolution state."""

    length: int  # tokens evaluated so far

    def forward(self, token_ids: np.ndarray, rows: Rows | None, logits: Logits) -> np.ndarray | None:
        """Evaluate int64 [n] tokens behind the context; `rows` is None where the memory is off (layers are left out).
        Returns float32 [1, vocab] ("last"), [n, vocab] ("all") or None ("none"); owned by the caller."""
        ...

    def rewind(self, length: int) -> None:
        """Keep the first `length` tokens; what follows is computed as if the rest had never been there."""
        ...

    def close(self) -> None: ...


class Backend(Protocol):
    """A loaded backbone; immutable, shared by any number of contexts."""

    name: str  # "onnx" or "gguf"
    vocab_size: int
    context_length: int
    max_chunk: int  # tokens that one forward may take

    def context(self, memory: bool) -> Context: ...

    def close(self) -> None: ...
