"""One conversation's state: tokens, their hash ids, and the backend's context. Text is somebody else's business."""

import time
from dataclasses import dataclass

import numpy as np

from engram_local.backends.base import Logits, Work
from engram_local.errors import ContextOverflowError, TokenRangeError, UsageError
from engram_local.hashing import DEAD
from engram_local.lookup import StepLookup

FIRST_COLD_CHUNK = 32  # tokens: nothing computes yet while the rows of a prompt's first chunk are read


@dataclass
class SessionStats:
    """What a session has done since it began; seconds are wall time."""

    n_tokens: int = 0  # evaluated
    forward_s: float = 0.0
    lookup_s: float = 0.0  # of forward_s: hashing, starting the reads and waiting for rows


class _TimedRows:
    """The rows of a chunk, with the time that the backend waits for them booked as lookup."""

    def __init__(self, rows, stats: SessionStats):
        self.rows, self.stats = rows, stats

    def wait(self, layer_id: int) -> np.ndarray:
        start = time.perf_counter()
        rows = self.rows.wait(layer_id)
        self.stats.lookup_s += time.perf_counter() - start
        return rows


class Session:
    """A sequence of tokens and everything the model knows about it. Not for several threads at once."""

    def __init__(self, model, memory: bool):
        """`model` is a Model; with `memory` False the Engram layers are left out of this whole context."""
        self.model = model
        self.memory = memory
        self.context = model.backend.context(memory)
        self.stats = SessionStats()
        self._tokens = np.empty(256, np.int64)
        self._max_lag = model.hasher.max_lag
        self._ids = np.full(self._max_lag + 256, DEAD)  # what the hashes read: the empty history, then ids of _tokens
        self._ahead: tuple[np.ndarray, object] | None = None  # tokens whose reads have begun, and the reads
        self._step = StepLookup(model.hasher, model.tables) if memory and StepLookup.fits(model.tables) else None
        self._max_chunk = model.backend.max_chunk
        if memory:
            n_heads = {x.layer_id: x.n_heads for x in model.config.layers}
            self._max_chunk = min(self._max_chunk, model.reader.max_tokens(n_heads))
        cold = memory and self._step is None
        self._first_chunk = min(self._max_chunk, FIRST_COLD_CHUNK) if cold else self._max_chunk

    @property
    def length(self) -> int:
        """Tokens in the context."""
        return self.context.length

    @property
    def tokens(self) -> np.ndarray:
        """The context's token ids, int64 [length]; a view, valid until the next forward."""
        return self._tokens[: self.length]

    @property
    def context_length(self) -> int:
        return self.model.context_length

    def forward(self, token_ids, logits: Logits = "last") -> np.ndarray | None:
        """Evaluate tokens behind the context.

        Parameters: token_ids int64 [n], n >= 1; logits: "last", "all" or "none".
        Returns:    float32 [1, vocab] ("last"), [n, vocab] ("all"), None ("none"). Owned by the caller.
        Raises:     TokenRangeError, ContextOverflowError: nothing has been evaluated then. TableError, BackendError:
                    the context is as long as the chunks that were finished.
        """
        tokens = self._check(token_ids)
        if len(tokens) == 1 and self._step is not None:
            return self._forward_one(tokens, logits)
        started = time.perf_counter()
        begin, n = self.length, len(tokens)
        self._append(tokens)
        ends = [*range(self._first_chunk, n, self._max_chunk), n]
        chunks = [slice(i, end) for i, end in zip([0, *ends], ends, strict=False)]
        parts = []
        rows = self._rows(tokens, chunks[0]) if self.memory else None
        for i, chunk in enumerate(chunks):
            ahead = None
            if self.memory and i + 1 < len(chunks):  # the disk works while this chunk computes
                ahead = self._start(begin + chunks[i + 1].start, begin + chunks[i + 1].stop)
            wanted = "none" if logits == "last" and i + 1 < len(chunks) else logits
            parts.append(self._evaluate(tokens[chunk], rows, wanted))
            self.stats.n_tokens += chunk.stop - chunk.start
            rows = ahead  # and nothing keeps those of this chunk: the RAM limit counts two
        self.stats.forward_s += time.perf_counter() - started
        if logits == "none":
            return None
        return parts[-1] if logits == "last" or len(parts) == 1 else np.concatenate(parts)

    def _forward_one(self, tokens: np.ndarray, logits: Logits) -> np.ndarray | None:
        begin, token = self.length, int(tokens[0])
        self._reserve(begin + 1)
        self._tokens[begin] = token
        started = time.perf_counter()
        self._step.read(token, self._ids, self._max_lag + begin)
        looked_up = time.perf_counter()
        result = self._evaluate(tokens, self._step, logits)
        self.stats.n_tokens += 1
        self.stats.lookup_s += looked_up - started
        self.stats.forward_s += time.perf_counter() - started
        return result

    def _evaluate(self, tokens: np.ndarray, rows, logits: Logits) -> np.ndarray | None:
        return self.model.backend.forward([Work(self.context, tokens, rows, logits)])[0].logits

    def read_ahead(self, token_ids) -> None:
        """Begin the table reads of tokens that the next forward will start with, and return at once."""
        if self.memory and self._step is None:  # resident rows are there
            tokens = self._check(token_ids)[: self._first_chunk]
            self._append(tokens)
            self._ahead = (tokens.copy(), self._start(self.length, self.length + len(tokens)))

    def rewind(self, length: int) -> None:
        """Keep the first `length` tokens; what follows is computed as if the rest had never been there."""
        if not 0 <= length <= self.length:
            raise UsageError(f"cannot rewind to {length}: the context has {self.length} tokens")
        self._ahead = None
        kept = self.context.rewind(length)
        if kept < length:  # the backbone could not go back that far: it computes the rest again
            self.forward(self._tokens[kept:length].copy(), logits="none")

    def keep_prefix(self, token_ids) -> int:
        """Rewind to the longest common beginning of the context and `token_ids`; returns its length."""
        wanted = np.asarray(token_ids, np.int64).ravel()
        n = min(len(wanted), self.length)
        differing = np.flatnonzero(self._tokens[:n] != wanted[:n])
        n = int(differing[0]) if len(differing) else n
        self.rewind(n)
        return n

    def close(self) -> None:
        self.context.close()

    def _check(self, token_ids) -> np.ndarray:
        tokens = np.ascontiguousarray(token_ids, np.int64).ravel()
        if not len(tokens):
            raise UsageError("no tokens to evaluate; give at least one (the prompt is empty)")
        if tokens.min() < 0 or tokens.max() >= self.model.backend.vocab_size:
            i = int(np.flatnonzero((tokens < 0) | (tokens >= self.model.backend.vocab_size))[0])
            raise TokenRangeError(
                f"token id {tokens[i]} at position {self.length + i} is outside the vocabulary of "
                f"{self.model.backend.vocab_size}; the prompt was made with another tokenizer"
            )
        if self.length + len(tokens) > self.context_length:
            raise ContextOverflowError(
                f"{self.length + len(tokens)} tokens do not fit into the context of {self.context_length}; "
                "shorten the text or start a new session"
            )
        return tokens

    def _append(self, tokens: np.ndarray) -> None:
        """Write tokens and their ids behind the context; they count once the backend has evaluated them."""
        begin, end = self.length, self.length + len(tokens)
        self._reserve(end)
        self._tokens[begin:end] = tokens
        if self.memory:
            start = time.perf_counter()
            self._ids[self._max_lag + begin : self._max_lag + end] = self.model.hasher.ids(tokens)
            self.stats.lookup_s += time.perf_counter() - start

    def _reserve(self, n_tokens: int) -> None:
        if n_tokens > len(self._tokens):
            size = max(n_tokens, 2 * len(self._tokens))
            self._tokens = np.resize(self._tokens, size)
            self._ids = np.resize(self._ids, self._max_lag + size)

    def _rows(self, tokens: np.ndarray, chunk: slice):
        """The first chunk's reads: those begun by read_ahead where they are for these tokens."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and np.array_equal(ahead[0], tokens[chunk]):
            return ahead[1]
        return self._start(self.length + chunk.start, self.length + chunk.stop)

    def _start(self, begin: int, end: int):
        """Hash positions [begin, end) and start reading their rows."""
        start = time.perf_counter()
        history, ids = (
            self._ids[begin : begin + self._max_lag],
            self._ids[begin + self._max_lag : end + self._max_lag],
        )
        hasher = self.model.hasher
        rows = self.model.reader.start({i: hasher.rows_of_ids(ids, i, history) for i in self.model.tables})
        self.stats.lookup_s += time.perf_counter() - start
        return _TimedRows(rows, self.stats)
