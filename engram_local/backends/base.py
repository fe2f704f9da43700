"""What a session asks of a backbone. A backend sees token ids and float32 rows; never text, files of rows or hashes."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from engram_local.errors import ContextOverflowError, UsageError

Logits = Literal["last", "all", "none"]


class Rows(Protocol):
    """The looked-up rows of one chunk, perhaps still being read."""

    def wait(self, layer_id: int) -> np.ndarray:
        """Rows of one layer, float32 [n, E], order-major then head; blocks until they are there. Valid until the
        next chunk is gathered. Raises TableError when a read failed."""
        ...


class ReadRows:
    """`Rows` that are there: {layer id: float32 [n, E]}."""

    def __init__(self, rows: dict[int, np.ndarray]):
        self._rows = rows

    def wait(self, layer_id: int) -> np.ndarray:
        return self._rows[layer_id]


class Context(Protocol):
    """One sequence inside a backend: its KV cache and its convolution state. A context that was closed raises
    UsageError from every method but close."""

    memory: bool  # whether the Engram layers are part of it

    @property
    def length(self) -> int:
        """Tokens evaluated so far."""
        ...

    @property
    def place(self) -> int | None:
        """Where it lies among the backend's sequences; neighbours step together without being moved. None: nowhere
        yet."""
        ...

    def rewind(self, length: int) -> int:
        """Keep the first `length` tokens, or fewer where the backbone cannot go back to that point: returns how many
        were kept (0: begin anew). What follows is computed as if the rest had never been there."""
        ...

    def close(self) -> None: ...


class Work(NamedTuple):
    """One sequence's part of a step."""

    context: Context
    token_ids: np.ndarray  # int64 [n], 1 <= n <= Backend.max_chunk, behind the context
    rows: Rows | None  # None where the context's memory is off
    logits: Logits = "last"
    gates: bool = False  # whether to hand out how far each layer's gate opened


class Output(NamedTuple):
    """What one `Work` brought; owned by the caller."""

    logits: np.ndarray | None  # float32 [1, vocab] ("last"), [n, vocab] ("all"), None ("none")
    gates: dict[int, np.ndarray] | None = None  # layer id -> float32 [n, streams], 0 (shut) to 1; only where asked for


class Backend(Protocol):
    """A loaded backbone; immutable, shared by any number of contexts."""

    name: str  # "onnx" or "gguf"
    vocab_size: int
    context_length: int
    max_chunk: int  # tokens that one `Work` may hold
    draft_length: int  # tokens worth computing with the next one where they are likely; 0 where a rewind computes anew
    notes: list[str]  # what took effect in another way than it was asked for, a line each

    def context(self, memory: bool) -> Context: ...

    def forward(self, batch: Sequence[Work]) -> list[Output]:
        """Evaluate several sequences' tokens, each behind its own context; contexts are distinct. Returns one Output a
        Work, equal to evaluating each alone. On an error no context has grown, and one whose backbone cannot go back
        may have become shorter (see Context.rewind). Raises UsageError, BackendError, TableError."""
        ...

    def end_ids(self) -> list[int]:
        """Tokens that end an answer by what the backbone's own file says; none where it says nothing."""
        ...

    def close(self) -> None:
        """Free the model, and first the contexts that still use it. Closing again does nothing."""
        ...


class Turn:
    """Held while a backend computes a step, and waits for rows. Whoever brings those cannot use the backend meanwhile:
    it would wait for itself, or move what the step writes to."""

    def __init__(self) -> None:
        self._thread: int | None = None

    def check(self) -> None:
        """Raises UsageError within this thread's own step."""
        if self._thread == threading.get_ident():
            raise UsageError("the model waits for rows in the middle of a step; do not use it where they come from")

    def __enter__(self) -> None:
        self._thread = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        self._thread = None


def gate_of(gated: np.ndarray, value: np.ndarray) -> np.ndarray:
    """How far a layer's gate opened, float32 [..., streams]: of gated [..., streams, d], which is gate * value, and of
    value [..., d]. 0 where the value is zeros, for that has no gate."""
    square = np.square(value).sum(-1, keepdims=True)
    return (gated * value[..., None, :]).sum(-1) / np.maximum(square, np.finfo(np.float32).tiny)


def check_batch(backend: Backend, path: object, batch: Sequence[Work], closed: Callable[[Any], bool]) -> None:
    """What every backend refuses before it computes; `path` is its file, `closed` tells it of a context. Raises
    UsageError, ContextOverflowError."""
    for work in batch:
        n, context = len(work.token_ids), work.context
        if closed(context):
            raise UsageError(f"{path}: the session is closed; start a new one")
        if not 1 <= n <= backend.max_chunk:
            raise UsageError(f"{n} tokens in one forward, it takes 1 to {backend.max_chunk}")
        if context.length + n > backend.context_length:
            raise ContextOverflowError(
                f"{context.length} + {n} tokens do not fit into the context of {backend.context_length}; "
                "start a new session or load with a larger context_length"
            )
        if (work.rows is not None) != context.memory:
            raise UsageError(f"this context was made with{'' if context.memory else 'out'} memory")
    if len(batch) > 1 and len({id(x.context) for x in batch}) < len(batch):
        raise UsageError("one sequence stands twice in a batch")


def check_rewind(path: object, context: Context, length: int, closed: bool) -> None:
    """What every backend refuses of a rewind. Raises UsageError."""
    if closed:
        raise UsageError(f"{path}: the session is closed; start a new one")
    if not 0 <= length <= context.length:
        raise UsageError(f"cannot rewind to {length}, the context holds {context.length} tokens")
