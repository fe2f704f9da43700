"""A llama_context that several sequences share: tokens in, logits out, states saved and restored, room on demand.

A sequence is an id from 0; each has cells of its own (kv_unified off), so what one computes does not depend, not even
in rounding, on what the others hold, and an idle one costs no time. The price: a state cannot move to a context for
another number of sequences, so that number stays. Nothing here knows of Engram layers.
"""

import ctypes
from pathlib import Path
from typing import Any

import numpy as np

from engram_local.backends.llama_library import llama, log, logits_address, note_threads
from engram_local.backends.token_rows import TokenRows
from engram_local.errors import BackendError

MAX_SEQUENCES = 256  # LLAMA_MAX_SEQ
MULTI_ROPE = (8, 40)  # llama_rope_type: several position ids a token
PARTIAL = 1  # LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY: what cannot be cut, so not keys and values


Part = tuple[int, int, np.ndarray, str]  # sequence, position, token ids [n], logits ("last", "all" or "none")


class LlamaContext:
    """One llama_context of a model. Not for several threads at once."""

    def __init__(
        self,
        model: Any,
        path: Path,
        n_sequences: int,
        max_tokens: int,
        params: dict[str, Any],
        token_rows: TokenRows | None = None,
    ):
        """model: llama_model pointer; path: named in errors; max_tokens: of one decode; params: fields of
        llama_context_params; token_rows: what llama.cpp is given instead of token ids. Nothing is allocated before
        `reserve`."""
        self._lib = llama()
        self._logits_address = logits_address()
        self._model, self._path, self._max_tokens, self._params = model, path, max_tokens, params
        self._ctx = self._memory = None
        n_sections = 4 if self._lib.llama_model_rope_type(model) in MULTI_ROPE else 1
        self._batch = _Batch(max_tokens, token_rows, n_sections)
        self.n_sequences = n_sequences
        self.capacity = 0  # tokens that each sequence has room for

    def reserve(self, capacity: int, held: list[int]) -> None:
        """Make room for `capacity` tokens of each sequence; those in `held` keep what they have. llama.cpp allocates
        and clears all of it at once. Raises BackendError; nothing has changed then."""
        lib, old = self._lib, self._ctx
        params = lib.llama_context_default_params()
        for name, value in self._params.items():
            setattr(params, name, value)
        params.n_ctx, params.n_seq_max = capacity * self.n_sequences, self.n_sequences
        # One decode is one ubatch is one graph, so a node's columns are exactly the tokens of this call.
        params.n_batch = params.n_ubatch = self._max_tokens
        log.clear()
        note_threads()
        ctx = lib.llama_init_from_model(self._model, params)
        if not (ctx and all(self._move(old, ctx, i) for i in held)):
            if ctx:
                lib.llama_free(ctx)
            raise BackendError(
                f"{self._path}: llama.cpp makes no context of {self.n_sequences} x {capacity} tokens ({log.reason()}); "
                "ask for a shorter one (context_length), or close sessions"
            )
        if old:
            lib.llama_free(old)
        self._ctx, self._memory, self.capacity = ctx, lib.llama_get_memory(ctx), capacity

    def _move(self, old: Any, new: Any, sequence: int) -> bool:
        state = self._get(old, sequence, 0)
        return state is not None and self._set(new, sequence, state, 0)

    def fill(self, parts: list[Part]) -> None:
        """What the next decode evaluates: n tokens each of sequences that follow one another. Columns of the graph's
        nodes are the parts' tokens, in this order."""
        self._batch.fill(parts)

    def decode(self) -> None:
        """Raises BackendError."""
        log.clear()
        status = self._lib.llama_decode(self._ctx, self._batch.raw)
        if status != 0:
            raise BackendError(f"{self._path}: llama_decode failed with status {status} ({log.reason()})")

    def logits(self, first: int, count: int, vocab_size: int) -> np.ndarray:
        """float32 [count, vocab] of the last decode's columns from `first` on, whose logits were all asked for."""
        result = np.empty((count, vocab_size), np.float32)
        address = self._logits_address(self._ctx, first)
        if not address:
            raise BackendError(f"{self._path}: llama.cpp has no logits for column {first} ({log.reason()})")
        ctypes.memmove(result.__array_interface__["data"][0], address, result.nbytes)
        return result

    def cut(self, sequence: int, length: int) -> bool:
        """Forget what lies from position `length` on; False where this memory cannot. All of it (0) always can be."""
        return bool(self._lib.llama_memory_seq_rm(self._memory, sequence, length or -1, -1))

    def save(self, sequence: int) -> np.ndarray | None:
        """What of the sequence's state cannot be cut, uint8 [n]; None where llama.cpp fails."""
        return self._get(self._ctx, sequence, PARTIAL)

    def restore(self, sequence: int, state: np.ndarray) -> bool:
        """Put back what `save` gave; keys and values behind that point must be cut next."""
        return self._set(self._ctx, sequence, state, PARTIAL)

    def exchange(self, a: int, b: int) -> None:
        """Let two sequences take each other's ids. Raises BackendError; both are empty then."""
        states = {b: self._get(self._ctx, a, 0), a: self._get(self._ctx, b, 0)}
        for sequence in states:
            self.cut(sequence, 0)  # an empty state, set, leaves the cells that are there
        if not all(x is not None and self._set(self._ctx, i, x, 0) for i, x in states.items()):
            for sequence in states:
                self.cut(sequence, 0)
            raise BackendError(f"{self._path}: llama.cpp cannot move a sequence ({log.reason()}); start new sessions")

    def _get(self, ctx: Any, sequence: int, flags: int) -> np.ndarray | None:
        size = self._lib.llama_state_seq_get_size_ext(ctx, sequence, flags)
        state = np.empty(size, np.uint8)
        n = self._lib.llama_state_seq_get_data_ext(ctx, _bytes(state), size, sequence, flags)
        return state if n == size else None

    def _set(self, ctx: Any, sequence: int, state: np.ndarray, flags: int) -> bool:
        return bool(self._lib.llama_state_seq_set_data_ext(ctx, _bytes(state), len(state), sequence, flags))

    def free(self) -> None:
        """Give the context's memory back."""
        if self._ctx:
            self._lib.llama_free(self._ctx)
            self._ctx = self._memory = None
            self.capacity = 0


class _Batch:
    """A llama_batch over NumPy arrays, which it keeps alive."""

    def __init__(self, size: int, token_rows: TokenRows | None, n_sections: int):
        """n_sections: position ids of a token, where embeddings stand for it."""
        self.tokens, self.positions, self.sequences = (np.zeros(n * size, np.int32) for n in (1, 4, 1))
        self.wanted = np.zeros(size, np.int8)
        self._one = np.ones(size, np.int32)  # sequences of a token
        self._addresses = self.sequences.ctypes.data + 4 * np.arange(size, dtype=np.uintp)
        arrays: dict[str, np.ndarray] = {
            "token": self.tokens,
            "pos": self.positions,
            "n_seq_id": self._one,
            "seq_id": self._addresses,
        }
        self._token_rows, self._n_sections = token_rows, n_sections
        if token_rows is not None:
            del arrays["token"]
            arrays["embd"] = self.embeddings = np.zeros((size, token_rows.width), np.float32)
        self.raw = llama().llama_batch()
        for field, array in (arrays | {"logits": self.wanted}).items():
            kind = dict(self.raw._fields_)[field]
            setattr(self.raw, field, ctypes.cast(array.ctypes.data, kind))

    def fill(self, parts: list[Part]) -> None:
        begin = 0
        for sequence, position, token_ids, logits in parts:
            end = begin + len(token_ids)
            self.tokens[begin:end] = token_ids
            self.positions[begin:end] = position if end - begin == 1 else np.arange(position, position + end - begin)
            self.sequences[begin:end] = sequence
            self.wanted[begin:end] = logits == "all"
            self.wanted[end - 1] = logits != "none"
            begin = end
        self.raw.n_tokens = begin
        if self._token_rows is not None:
            self._token_rows.take(self.tokens[:begin], self.embeddings[:begin])
            if self._n_sections > 1:  # section by section; the last one is for images
                sections = self.positions[: self._n_sections * begin].reshape(self._n_sections, begin)
                sections[1:-1], sections[-1] = sections[0], 0


def _bytes(array: np.ndarray) -> Any:
    return ctypes.cast(array.ctypes.data, ctypes.POINTER(ctypes.c_uint8))
