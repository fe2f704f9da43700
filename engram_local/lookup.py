"""The rows of a sequence: what its hashes look back on, the reads for its next tokens, and the time that they take.

Hashing and gathering a token's rows takes about two microseconds; as separate calls from Python, with caches that the
backbone has just emptied, it takes twenty times as long. So a single token goes through StepLookup, one native call
that hashes and gathers, or begins to read; where rows are in memory the next tokens of several sequences do. All others
are read in one batch for all sequences.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from engram_local import _native
from engram_local.backends.base import Rows
from engram_local.errors import UsageError
from engram_local.hashing import DEAD, NgramHasher
from engram_local.substitution import Substitution
from engram_local.tables.model_tables import ModelTables
from engram_local.tables.table import Table


class RowSource(Protocol):
    """Where rows come from: a model's tables, or what stands in for them."""

    @property
    def max_tokens(self) -> int:
        """Tokens that one `start` is best given."""
        ...

    def start(self, row_ids: Mapping[int, np.ndarray]) -> Rows:
        """Begin to read {layer_id: int64 [n, n_heads]} and return at once."""
        ...


class StepLookup:
    """`Rows` (backends/base.py) of the last token read. Twin: NgramHasher.row_ids and Table.gather."""

    def __init__(self, hasher: NgramHasher, tables: Mapping[int, Table], n_sequences: int = 1):
        """Every table must be mapped, or every one read directly, and then one token a call; else a call takes a token
        of each of up to n_sequences sequences."""
        config = hasher.config
        self.rows = {i: np.zeros((n_sequences, config.layer(i).row_width), np.float32) for i in tables}
        layers = [(hasher.plan(i), table.native, self.rows[i]) for i, table in tables.items()]
        native = _native.StepLookup(hasher.token_map, hasher.vocab_size, hasher.max_lag, layers, n_sequences)
        # read(token id, ids int64, position): map the token, write its id to ids[position], and gather what it reads
        # with the max_lag ids before. read_all([(token id, ids, position), ...]): the same for several sequences, whose
        # rows stand below each other. Both raise TokenRangeError, TableError.
        self.read, self.read_all, self._wait = native.read, native.read_all, native.wait
        self._numbers = {layer_id: i for i, layer_id in enumerate(tables)}

    def wait(self, layer_id: int) -> np.ndarray:
        """Rows of one layer, float32 [n_sequences, E]; valid until the next read. Raises TableError."""
        self._wait(self._numbers[layer_id])
        return self.rows[layer_id]


class Lookup:
    """The rows of one sequence, whose tokens its owner counts. Not for several threads at once."""

    def __init__(self, hasher: NgramHasher, source: RowSource, substitution: Substitution | None = None):
        self.hasher, self.source, self.substitution = hasher, source, substitution
        self.tables = source if isinstance(source, ModelTables) else None
        self.seconds = 0.0  # of hashing, starting reads and waiting for rows
        self._layer_ids = [layer.layer_id for layer in hasher.config.layers]
        self._max_lag = hasher.max_lag
        self._ids = np.full(self._max_lag + 256, DEAD)  # what the hashes read: the empty history, then the tokens' ids
        self._ahead: tuple[np.ndarray, Rows] | None = None  # tokens whose reads have begun, and the reads
        self._step: StepLookup | None = None
        self._step_generation = 0  # of the tables that _step reads

    @property
    def resident(self) -> bool:
        """Whether a token's rows come of one native call, so that reading ahead gains nothing."""
        return self.tables is not None and self.tables.resident and self.substitution is None

    @property
    def _steps(self) -> bool:
        """Whether a single token goes through StepLookup."""
        tables = self.tables
        return tables is not None and (tables.resident or tables.direct) and self.substitution is None

    def write(self, begin: int, tokens: np.ndarray) -> None:
        """Put the ids of int64 tokens [n] at positions [begin, begin + n)."""
        start = time.perf_counter()
        self._reserve(begin + len(tokens))
        self._ids[self._max_lag + begin :][: len(tokens)] = self.hasher.ids(tokens)
        self.seconds += time.perf_counter() - start

    def step(self, position: int, token: int) -> Rows:
        """Write one token's id, and gather its rows or begin to read them. Valid until the next step."""
        start = time.perf_counter()
        self._reserve(position + 1)
        tables, step = self._mapped(), self._step
        if step is None or self._step_generation != tables.generation:
            step = self._step = StepLookup(self.hasher, tables)
            self._step_generation = tables.generation
        step.read(token, self._ids, self._max_lag + position)
        self.seconds += time.perf_counter() - start
        return step if tables.resident else _Part(step, 0, 1, self)

    def of_token(self, position: int, token: np.ndarray) -> Rows:
        """The rows of one token, int64 [1], at the end of the sequence: there, or being read."""
        ahead = self.take_ahead(token)
        if ahead is not None:
            return ahead
        if self._steps:
            return self.step(position, token.item())
        self.write(position, token)
        return start_reads([(self, position, position + 1)])[0]

    def read_ahead(self, begin: int, tokens: np.ndarray) -> None:
        """Begin the reads of tokens that will perhaps come next, and return at once."""
        if len(tokens) == 1 and self._steps:
            rows = self.step(begin, tokens.item())
        else:
            self.write(begin, tokens)
            rows = start_reads([(self, begin, begin + len(tokens))])[0]
        self._ahead = (tokens.copy(), rows)

    def take_ahead(self, tokens: np.ndarray) -> Rows | None:
        """The reads that read_ahead began, if they were for these tokens; they are given up otherwise."""
        ahead, self._ahead = self._ahead, None
        return ahead[1] if ahead is not None and np.array_equal(ahead[0], tokens) else None

    def drop_ahead(self) -> None:
        """Give up the reads that read_ahead began."""
        self._ahead = None

    def row_ids(self, begin: int, end: int) -> dict[int, np.ndarray]:
        """{layer_id: int64 [n, n_heads]} of positions [begin, end), whose ids have been written."""
        if self.substitution is not None:
            first = max(0, begin - self.substitution.longest + 1)
            ids, n_before = self._ids[first : end + self._max_lag], begin - first + self._max_lag
            return {i: self.substitution.row_ids(i, ids, n_before) for i in self._layer_ids}
        ids = self._ids[begin : end + self._max_lag]
        return {i: self.hasher.row_ids_of(ids, i, self._max_lag) for i in self._layer_ids}

    def _mapped(self) -> ModelTables:
        if self.tables is None:
            raise UsageError("rows of another source are read in batches, not token by token")
        return self.tables

    def _reserve(self, n_tokens: int) -> None:
        if self._max_lag + n_tokens > len(self._ids):
            self._ids = np.resize(self._ids, self._max_lag + max(n_tokens, 2 * len(self._ids)))


def start_reads(parts: Sequence[tuple[Lookup, int, int]]) -> list[Rows]:
    """Hash positions [begin, end) of each (sequence, begin, end) and start reading their rows, all of one source in one
    batch. Returns the rows of each."""
    start = time.perf_counter()
    found: dict[int, Rows] = {}
    for source in {id(lookup.source): lookup.source for lookup, _, _ in parts}.values():
        members = [i for i, (lookup, _, _) in enumerate(parts) if lookup.source is source]
        row_ids = [parts[i][0].row_ids(*parts[i][1:]) for i in members]
        together = row_ids[0]
        if len(members) > 1:
            together = {layer_id: np.concatenate([x[layer_id] for x in row_ids]) for layer_id in row_ids[0]}
        rows, first = source.start(together), 0
        for i in members:
            lookup, begin, end = parts[i]
            found[i] = _Part(rows, first, first + end - begin, lookup)
            first += end - begin
    seconds = (time.perf_counter() - start) / len(parts)
    for lookup, _, _ in parts:
        lookup.seconds += seconds
    return [found[i] for i in range(len(parts))]


def step_together(parts: Sequence[tuple[Lookup, int, int]]) -> list[Rows]:
    """`Lookup.step` of several (sequence, position, token) of one model's resident tables in one native call."""
    start = time.perf_counter()
    first = parts[0][0]
    step = StepLookup(first.hasher, first._mapped(), len(parts))
    for lookup, position, _ in parts:
        lookup._reserve(position + 1)
    step.read_all([(token, lookup._ids, lookup._max_lag + position) for lookup, position, token in parts])
    seconds = (time.perf_counter() - start) / len(parts)
    for lookup, _, _ in parts:
        lookup.seconds += seconds
    return [_Part(step, i, i + 1, lookup) for i, (lookup, _, _) in enumerate(parts)]


class _Part:
    """One sequence's rows [first, last) of a batch; the time that a backend waits for them is booked to it."""

    def __init__(self, rows: Rows, first: int, last: int, lookup: Lookup):
        self.rows, self.first, self.last, self.lookup = rows, first, last, lookup

    def wait(self, layer_id: int) -> np.ndarray:
        start = time.perf_counter()
        rows = self.rows.wait(layer_id)
        self.lookup.seconds += time.perf_counter() - start
        if self.lookup.tables is None:
            self._check(rows, layer_id)
        return rows[self.first : self.last]

    def _check(self, rows: Any, layer_id: int) -> None:
        width = self.lookup.hasher.config.layer(layer_id).row_width
        fits = isinstance(rows, np.ndarray) and rows.dtype == np.float32 and rows.ndim == 2
        if not fits or len(rows) < self.last or rows.shape[1] != width:
            found = f"{rows.dtype} {list(rows.shape)}" if isinstance(rows, np.ndarray) else type(rows).__name__
            raise UsageError(
                f"the session's own rows of layer {layer_id} are {found}; give float32 [{self.last} or more, {width}]"
            )
