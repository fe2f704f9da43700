"""Sequences of tokens: each has its context in the backend, and the rows that its tokens read. Text is somebody else's.

`forward_together` is where a second sequence joins a batch: its rows come with the same reads, its tokens with the same
step of the backend.
"""

import threading
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args, overload

import numpy as np

from engram_local.arguments import integer, integers
from engram_local.backends.base import Context, Logits, Output, Rows, Work
from engram_local.errors import ContextOverflowError, TokenRangeError, UsageError
from engram_local.lookup import Lookup, RowSource, start_reads, step_together
from engram_local.substitution import Substitution

if TYPE_CHECKING:
    from engram_local.model import Model

WANTED = get_args(Logits)
FIRST_COLD_CHUNK = 32  # tokens: nothing computes yet while the rows of a prompt's first chunk are read


@dataclass(frozen=True)
class SessionStats:
    """What a session has done since it began; seconds are wall time, in a batch its share of them."""

    n_tokens: int  # evaluated
    forward_s: float
    lookup_s: float  # of forward_s: hashing, starting the reads and waiting for rows


class Session:
    """A sequence of tokens and everything the model knows about it. One thread at a time may use it: UsageError
    otherwise, and from every method once it or its model is closed."""

    def __init__(
        self,
        model: "Model",
        memory: bool,
        rows: RowSource | None = None,
        substitution: Substitution | None = None,
    ):
        """Use Model.session. With `memory` False the Engram layers are left out of this whole context; `rows` stands in
        for the model's tables; `substitution`: names that are read as others."""
        self.model = model
        self.memory = memory
        self._backend = model.backend
        self.context = self._backend.context(memory)
        # How far each layer's gate opened in the last forward that asked: {layer_id: float32 [n, streams]}
        self.gates: dict[int, np.ndarray] = {}
        source = model.tables if rows is None else rows
        self.substitution = substitution
        self._lookup = Lookup(model.hasher, source, substitution) if memory else None
        self._tokens = np.empty(256, np.int64)
        self._n_evaluated = 0
        self._forward_s = 0.0
        self._guard = _Guard(model, self.context)

    @property
    def length(self) -> int:
        """Tokens in the context."""
        self._guard.check()
        return self.context.length

    @property
    def tokens(self) -> np.ndarray:
        """The context's token ids, int64 [length]; a read-only view, valid until the next forward."""
        tokens = self._tokens[: self.length]
        tokens.flags.writeable = False
        return tokens

    @property
    def context_length(self) -> int:
        """Most tokens that the context may have."""
        return self.model.context_length

    @property
    def stats(self) -> SessionStats:
        """What was done so far."""
        return SessionStats(self._n_evaluated, self._forward_s, self._lookup.seconds if self._lookup else 0.0)

    @overload
    def forward(self, token_ids: Any, logits: Literal["last", "all"] = ..., *, gates: bool = ...) -> np.ndarray: ...
    @overload
    def forward(self, token_ids: Any, logits: Logits, *, gates: bool = ...) -> np.ndarray | None: ...
    def forward(self, token_ids: Any, logits: Logits = "last", *, gates: bool = False) -> np.ndarray | None:
        """Evaluate tokens behind the context.

        Parameters: token_ids: integers [n], n >= 1; logits: "last", "all" or "none"; gates: whether `gates` is to hold
                    how far each layer's gate opened at these tokens.
        Returns:    float32 [1, vocab] ("last"), [n, vocab] ("all"), None ("none"). Owned by the caller.
        Raises:     TokenRangeError, ContextOverflowError, UsageError: nothing has been evaluated then. TableError,
                    BackendError: the context is as long as the chunks that were finished, or shorter where a recurrent
                    backbone had to go back to an earlier state; `length` says it.
        """
        with self._guard:
            tokens = self._check(token_ids, logits)
            if len(tokens) == 1 and not gates:
                return self._step(tokens, logits)
            job = _Job(self, tokens, logits, gates)
            _run([job])
            return job.result()

    def read_ahead(self, token_ids: Any) -> None:
        """Begin the table reads of tokens that the next forward will start with, and return at once."""
        with self._guard:
            if self._lookup is not None and not self._lookup.resident:
                tokens = self._check(token_ids, "none")[: self._chunks(1)[0]]
                self._lookup.read_ahead(self.context.length, tokens)

    def rewind(self, length: int) -> None:
        """Keep the first `length` tokens; what follows is computed as if the rest had never been there."""
        with self._guard:
            length = integer(length, "length")
            if not 0 <= length <= self.context.length:
                raise UsageError(f"cannot rewind to {length}: the context has {self.context.length} tokens")
            self._rewind(length)

    def keep_prefix(self, token_ids: Any, *, exact: bool = True) -> int:
        """Rewind to the longest common beginning of the context and `token_ids` [n]; returns its length. exact=False:
        to fewer tokens where the backbone would have to compute some of them again."""
        with self._guard:
            wanted = integers(token_ids, "token ids", 1, TokenRangeError)
            n = min(len(wanted), self.context.length)
            differing = np.flatnonzero(self._tokens[:n] != wanted[:n])
            n = int(differing[0]) if len(differing) else n
            self._rewind(n, exact)
            return self.context.length

    def close(self) -> None:
        """Free the context, once a forward of another thread has ended. Closing again does nothing."""
        self._guard.close()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rewind(self, length: int, exact: bool = True) -> None:
        if self._lookup is not None:
            self._lookup.drop_ahead()
        kept = self.context.rewind(length)
        if kept < length and exact:  # the backbone could not go back that far: it computes the rest again
            _run([_Job(self, self._tokens[kept:length].copy(), "none")])

    def _check(self, token_ids: Any, logits: Logits) -> np.ndarray:
        tokens = integers(token_ids, "token ids", 1, TokenRangeError)
        length, vocab_size = self.context.length, self._backend.vocab_size
        if logits not in WANTED:
            raise UsageError(f"logits is {str(logits)[:40]!r}; choose one of {', '.join(WANTED)}")
        if not len(tokens):
            raise UsageError("no tokens to evaluate; give at least one (the prompt is empty)")
        low, high = (tokens.item(),) * 2 if len(tokens) == 1 else (tokens.min(), tokens.max())
        if low < 0 or high >= vocab_size:
            i = int(np.flatnonzero((tokens < 0) | (tokens >= vocab_size))[0])
            raise TokenRangeError(
                f"token id {tokens[i]} at position {length + i} is outside the vocabulary of "
                f"{vocab_size}; the prompt was made with another tokenizer"
            )
        if length + len(tokens) > self.context_length:
            raise ContextOverflowError(
                f"{length + len(tokens)} tokens do not fit into the context of {self.context_length}; "
                "shorten the text or start a new session"
            )
        return tokens

    def _chunks(self, n_sharing: int) -> tuple[int, int]:
        """(first, most) tokens of a chunk where n_sharing sequences' rows are read together."""
        most = self._backend.max_chunk
        if self._lookup is None:
            return most, most
        most = min(most, max(1, self._lookup.source.max_tokens // n_sharing))
        return (most if self._lookup.resident else min(most, FIRST_COLD_CHUNK)), most

    def _append(self, tokens: np.ndarray) -> None:
        """Write tokens behind the context; they count once the backend has evaluated them."""
        begin, end = self.context.length, self.context.length + len(tokens)
        if end > len(self._tokens):
            self._tokens = np.resize(self._tokens, max(end, 2 * len(self._tokens)))
        self._tokens[begin:end] = tokens

    def _step(self, tokens: np.ndarray, logits: Logits) -> np.ndarray | None:
        """A single token, with as little around it as can be. Twin: _run."""
        started = time.perf_counter()
        self._append(tokens)
        rows = self._lookup.of_token(self.context.length, tokens) if self._lookup is not None else None
        output = self._backend.forward([Work(self.context, tokens, rows, logits)])[0]
        self._n_evaluated += 1
        self._forward_s += time.perf_counter() - started
        return output.logits


@dataclass
class _Job:
    """What one sequence wants of a batch, its tokens cut into chunks, and what has come of them."""

    session: Session
    tokens: np.ndarray
    logits: Logits
    gates: bool = False
    chunks: list[slice] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)

    def cut(self, first: int, most: int) -> None:
        n = len(self.tokens)
        ends = [*range(first, n, most), n]
        self.chunks = [slice(begin, end) for begin, end in zip([0, *ends], ends, strict=False)]

    def work(self, i: int, rows: Rows | None) -> Work:
        """The i-th chunk as the backend takes it."""
        logits = "none" if self.logits == "last" and i + 1 < len(self.chunks) else self.logits
        return Work(self.session.context, self.tokens[self.chunks[i]], rows, logits, self.gates)

    def result(self) -> np.ndarray | None:
        if self.gates:
            opened = [x.gates or {} for x in self.outputs]
            self.session.gates = {i: np.concatenate([x[i] for x in opened]) for i in opened[0]}
        if self.logits == "none":
            return None
        parts = [x.logits for x in self.outputs if x.logits is not None]
        return parts[-1] if self.logits == "last" or len(parts) == 1 else np.concatenate(parts)


def forward_together(
    parts: Iterable[tuple[Session, Any, Logits]], *, gates: Collection[Session] = ()
) -> list[np.ndarray | None]:
    """`Session.forward` of several sequences of one model at once: what each would give alone.

    parts: (session, token_ids, logits), sessions distinct, in any mix of lengths, memory on and off; gates: sessions
    whose `gates` are wanted. The rows of all are read in one batch, the backend sees all in one step; who has more
    tokens than a chunk goes on in further steps.
    Raises as Session.forward does, before anything has been evaluated; TableError, BackendError: each context is as
    long as the chunks that were finished.
    """
    parts = list(parts)
    for part in parts:
        if not isinstance(part, Sequence) or len(part) != 3 or not isinstance(part[0], Session):
            raise UsageError(f"a part is {str(part)[:40]!r}; give (session, token_ids, logits)")
    sessions = [session for session, _, _ in parts]
    if len({id(x) for x in sessions}) < len(sessions):
        raise UsageError("a session is there twice; give its tokens at once")
    if len({id(x.model) for x in sessions}) > 1:
        raise UsageError("sessions of several models do not share a step; forward each model's by themselves")
    with ExitStack() as held:
        for session in sessions:
            held.enter_context(session._guard)
        jobs = [_Job(session, session._check(ids, logits), logits, session in gates) for session, ids, logits in parts]
        if jobs:
            _run(jobs)
        return [job.result() for job in jobs]


def _run(jobs: list[_Job]) -> None:
    """Evaluate all chunks, those of one number together; the disk reads the next ones' rows while these compute."""
    started = time.perf_counter()
    n_sharing = sum(job.session.memory for job in jobs)
    for job in jobs:
        job.cut(*job.session._chunks(n_sharing))
        job.session._append(job.tokens)
    begins = [job.session.context.length for job in jobs]
    backend = jobs[0].session._backend
    rows = _first_rows(jobs, begins)
    for i in range(max(len(job.chunks) for job in jobs)):
        active = [n for n, job in enumerate(jobs) if i < len(job.chunks)]
        later = [(n, jobs[n].session._lookup) for n in active if i + 1 < len(jobs[n].chunks)]
        ahead = _start(jobs, begins, i + 1, [(n, lookup) for n, lookup in later if lookup is not None])
        works = [jobs[n].work(i, rows.get(n)) for n in active]
        for n, work, output in zip(active, works, backend.forward(works), strict=True):
            jobs[n].outputs.append(output)
            jobs[n].session._n_evaluated += len(work.token_ids)
        rows = ahead  # and nothing keeps those of this chunk: the RAM limit counts two
        del works, work
    seconds = (time.perf_counter() - started) / len(jobs)
    for job in jobs:
        job.session._forward_s += seconds


def _first_rows(jobs: list[_Job], begins: list[int]) -> dict[int, Rows]:
    """The rows of every first chunk: {number of the job: rows}, some still being read."""
    rows: dict[int, Rows] = {}
    steps: dict[int, list[tuple[int, Lookup]]] = {}  # jobs of one token whose tables are resident, by tables
    started = []
    for n, job in enumerate(jobs):
        lookup = job.session._lookup
        if lookup is None:
            continue
        if len(job.tokens) == 1 and lookup.resident:
            steps.setdefault(id(lookup.source), []).append((n, lookup))
            continue
        lookup.write(begins[n], job.tokens)
        ahead = lookup.take_ahead(job.tokens[job.chunks[0]])
        if ahead is None:
            started.append((n, lookup))
        else:
            rows[n] = ahead
    for members in steps.values():
        found = step_together([(lookup, begins[n], int(jobs[n].tokens[0])) for n, lookup in members])
        rows |= {n: x for (n, _), x in zip(members, found, strict=True)}
    return rows | _start(jobs, begins, 0, started)


def _start(jobs: list[_Job], begins: list[int], i: int, members: Sequence[tuple[int, Lookup]]) -> dict[int, Rows]:
    """Begin to read the rows of the i-th chunk of (number of the job, its lookup): {number of the job: rows}."""
    if not members:
        return {}
    chunks = [jobs[n].chunks[i] for n, _ in members]
    parts = [(x, begins[n] + c.start, begins[n] + c.stop) for (n, x), c in zip(members, chunks, strict=True)]
    return {n: rows for (n, _), rows in zip(members, start_reads(parts), strict=True)}


class _Guard:
    """Held while a method of a session runs. Refuses, in words, a second thread, what is closed, and a forked child."""

    def __init__(self, model: "Model", context: Context):
        self._model, self._context = model, context
        self._lock = threading.Lock()
        self._owner: int | None = None  # the thread that holds the lock
        self._closed = False

    def check(self) -> None:
        """Raises UsageError where the session cannot be used."""
        self._model.check_open()
        if self._closed:
            raise UsageError("the session is closed; start a new one")

    def __enter__(self) -> None:
        self._model.check_open()  # in a forked child nobody will ever give the lock back
        if not self._lock.acquire(blocking=False):
            raise UsageError("another thread is using this session; give every thread a session of its own")
        self._owner = threading.get_ident()
        if self._closed:
            self.__exit__()
            self.check()

    def __exit__(self, *_: object) -> None:
        self._owner = None
        self._lock.release()

    def close(self) -> None:
        """Close the context once, when no other thread uses it any more."""
        if self._model.forked:  # its threads are not in this process: whatever waits for them would wait for ever
            self._closed = True
            return
        if self._owner == threading.get_ident():
            raise UsageError("the session is in use by the call that closes it; close it when that has ended")
        with self._lock:
            if not self._closed:
                self._closed = True
                self._context.close()
