# The extension's Python face: checks types once, releases the GIL, calls the C functions of native.pxd.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from native cimport *

import os
import weakref

import numpy as np

from engram_local.errors import RowRangeError, TableError, TokenRangeError

CPU_FEATURES = {"avx512": EL_AVX512, "avx2": EL_AVX2, "neon": EL_NEON}
ENCODINGS = {(<bytes>el_encoding_names[i]).decode(): i for i in range(EL_N_ENCODINGS)}  # name: number in decode.h
REFUSED, IN_MEMORY = EL_REFUSED, EL_IN_MEMORY
DIRECT_READS = bool(el_reader_exists())  # else tables can only be mapped


def cpu_features():
    """{name: in use} of every instruction set that this CPU has and the extension has kernels for."""
    cdef int detected = el_cpu_detected(), enabled = el_cpu_enabled()
    return {name: bool(enabled & bit) for name, bit in CPU_FEATURES.items() if detected & bit}


def set_cpu_features(names):
    """Use only the kernels of these instruction sets; () leaves the plain C ones. Not while another thread gathers.

    Raises ValueError for a name that cpu_features() does not list.
    """
    detected = cpu_features()
    chosen = 0
    for name in names:
        if name not in detected:
            raise ValueError(f"no CPU feature {name!r} here; this CPU has {sorted(detected)}")
        chosen |= CPU_FEATURES[name]
    el_cpu_enable(chosen)


def map_tokens(const int32_t[::1] token_map, int64_t vocab_size, const int64_t[::1] token_ids):
    """Ids int64 [n] of token ids [n] through token_map int32 [vocab_size] (None: unchanged); -1 stays."""
    cdef int64_t n = token_ids.shape[0], bad = -1
    out = np.empty(n, np.int64)
    cdef int64_t[::1] out_view = out
    cdef const int32_t *map_pointer = NULL
    if token_map is not None:
        map_pointer = &token_map[0]
    if n:
        with nogil:
            bad = el_map_tokens(map_pointer, vocab_size, &token_ids[0], n, &out_view[0])
    if bad >= 0:
        raise TokenRangeError(
            f"token id {token_ids[bad]} at position {bad} is outside the vocabulary [0, {vocab_size}); "
            "it was made with another tokenizer"
        )
    return out


cdef class HashPlan:
    """The hashing of one layer: its numbers, copied into C arrays."""
    cdef el_hash_plan plan
    cdef object keep  # the arrays that the pointers lead to

    def __init__(self, orders, str mix, int64_t fill_id, segment_ids):
        """orders: config.NgramOrder tuple, already validated by config.py."""
        cdef int32_t[::1] lags
        cdef uint64_t[::1] multipliers, moduli, reciprocals
        cdef double[::1] inverses
        cdef int64_t[::1] offsets, segments = np.array(sorted(segment_ids), np.int64)
        self.keep = [segments]
        self.plan.mix = EL_MIX_XOR if mix == "xor" else EL_MIX_ADD
        self.plan.fill_id = fill_id
        self.plan.n_segment_ids = <int32_t>segments.shape[0]
        if segments.shape[0]:
            self.plan.segment_ids = &segments[0]
        self.plan.orders = <el_hash_order *>calloc(len(orders), sizeof(el_hash_order))
        if self.plan.orders == NULL:
            raise MemoryError
        self.plan.n_orders = <int32_t>len(orders)
        for i, order in enumerate(orders):
            lags = np.array([lag for lag, _ in order.terms], np.int32)
            multipliers = np.array([multiplier for _, multiplier in order.terms], np.uint64)
            moduli = np.array(order.moduli, np.uint64)
            offsets = np.array(order.offsets, np.int64)
            reciprocals, inverses = np.empty(len(order.moduli), np.uint64), np.empty(len(order.moduli))
            self.keep += [lags, multipliers, moduli, offsets, reciprocals, inverses]
            self.plan.orders[i] = el_hash_order(lags.shape[0], moduli.shape[0], &lags[0], &multipliers[0], &moduli[0],
                                                &offsets[0], &reciprocals[0], &inverses[0])
        el_hash_prepare(&self.plan)

    def __dealloc__(self):
        free(self.plan.orders)

    def row_ids(self, const int64_t[::1] ids, int64_t n_history):
        """Row ids int64 [len(ids) - n_history, n_heads]; the first n_history ids are only looked back on."""
        cdef int64_t n = ids.shape[0] - n_history
        out = np.empty((n, self.plan.n_heads), np.int64)
        cdef int64_t[:, ::1] out_view = out
        if n:
            with nogil:
                el_hash_rows(&self.plan, &ids[0], n_history, n, &out_view[0, 0])
        return out


cdef inline void count(el_table *table, int64_t n_rows) noexcept:
    table.n_gathers += 1
    table.n_rows_read += n_rows


cdef class TableData:
    """Where a table's rows lie, and a cache for direct reads.

    files: [(path, fd, bytes it must have, whether the page cache takes part in direct reads)], fd -1 where none is
    open; owner: what keeps them open, held as long as this and every ReadJob of it lives.
    columns: [(width, [(first_row, n_rows, offset, file, map)])], `file` an index into files, `map` a buffer of the
    whole file, None for direct reads.
    """
    cdef el_table table
    cdef list keep
    cdef int[::1] buffered
    cdef readonly list paths
    cdef object __weakref__

    def __init__(self, list files, str encoding, int64_t n_rows, int64_t dim, list columns, float scale=1.0,
                 int alignment=1, int64_t cache_bytes=0, owner=None):
        cdef el_extent *extents
        cdef const uint8_t[::1] map_view
        cdef int[::1] fds = np.array([fd for _, fd, _, _ in files], np.intc)
        cdef int64_t[::1] ends = np.array([end for _, _, end, _ in files], np.int64)
        self.buffered = np.array([buffered for *_, buffered in files], np.intc)
        self.paths = [path for path, *_ in files]
        self.keep = [fds, ends, owner]
        self.table.encoding = ENCODINGS[encoding]
        self.table.n_rows, self.table.dim, self.table.scale = n_rows, dim, scale
        self.table.alignment = alignment
        self.table.n_files, self.table.fds, self.table.ends = len(files), &fds[0], &ends[0]
        self.table.buffered = &self.buffered[0]
        self.table.n_columns = len(columns)
        for c, (width, parts) in enumerate(columns):
            extents = <el_extent *>calloc(len(parts), sizeof(el_extent))
            if extents == NULL:
                raise MemoryError
            self.table.columns[c] = el_column(width, len(parts), extents)
            self.table.row_bytes += width
            for i, (first_row, n, offset, file, mapped) in enumerate(parts):
                extents[i] = el_extent(first_row, n, offset, NULL, file)
                if mapped is not None:
                    map_view = mapped
                    if offset < 0 or offset + n * width > map_view.shape[0]:
                        raise TableError(f"{self.paths[file]}: is shorter than its rows; copy or export it again")
                    self.keep.append(map_view)
                    extents[i].map = &map_view[offset]
        if cache_bytes > 0:
            self.table.cache = el_cache_open(cache_bytes, self.table.row_bytes)
        _tables.add(self)

    def __dealloc__(self):
        for c in range(self.table.n_columns):
            free(<void *>self.table.columns[c].extents)
        el_cache_close(self.table.cache)

    def check(self, const int64_t[::1] row_ids):
        """Raises RowRangeError for an id that is no row."""
        cdef int64_t n = row_ids.shape[0], outside = -1
        if n:
            with nogil:
                outside = el_first_outside(&row_ids[0], n, self.table.n_rows)
        if outside >= 0:
            raise self.error(el_result(EL_RANGE, 0, 0, outside), row_ids)

    def gather(self, const int64_t[::1] row_ids, float[::1] out):
        """Decode mapped rows [n] -> out float32 [n * dim]."""
        cdef int64_t n = row_ids.shape[0]
        cdef el_result result
        if out.shape[0] != n * self.table.dim:
            raise ValueError(f"out has {out.shape[0]} values, not {n} x {self.table.dim}")
        self.check(row_ids)
        if n:
            with nogil:
                result = el_gather_table(&self.table, &row_ids[0], n, &out[0])
            if result.status != EL_OK:
                raise self.error(result, row_ids)
        count(&self.table, n)

    def hint(self, const int64_t[::1] row_ids):
        """Ask for the pages of mapped rows without waiting for them."""
        cdef int64_t n = row_ids.shape[0]
        self.check(row_ids)
        if n:
            with nogil:
                el_pages_hint(&self.table, &row_ids[0], n)

    def is_mapped(self):
        """Whether every row lies in a map."""
        return all(
            self.table.columns[c].extents[e].map != NULL
            for c in range(self.table.n_columns)
            for e in range(self.table.columns[c].n_extents)
        )

    def counts(self):
        """(batches, rows) that were asked for so far, whatever the way."""
        return self.table.n_gathers, self.table.n_rows_read

    def buffered_files(self):
        """Paths whose file system refuses direct reads: the page cache takes part in them."""
        return [path for path, buffered in zip(self.paths, self.buffered) if buffered]

    def cache_stats(self):
        """Bytes, capacity and use of the row cache; None without one."""
        if self.table.cache == NULL:
            return None
        return el_cache_get_stats(self.table.cache)

    cdef error(self, el_result result, const int64_t[::1] row_ids):
        path = self.paths[result.file]
        if result.status == EL_RANGE:
            return RowRangeError(
                f"{path}: row id {row_ids[result.position]} (number {result.position} of the batch) is outside "
                f"[0, {self.table.n_rows}); the table and the config do not fit"
            )
        if result.status == EL_SCALE:
            return TableError(
                f"{path}: row {row_ids[result.position]} has a scale that is NaN or infinite; export the table again"
            )
        if result.status == EL_READ:
            return TableError(f"{path}: cannot be read ({os.strerror(result.error)}); the disk may be failing")
        if result.status == EL_MEMORY:
            return TableError(f"{path}: no memory left to read {row_ids.shape[0]} rows; read fewer at once")
        if result.status == EL_FORKED:
            return TableError(f"{path}: the read was started before fork(); start it again in this process")
        return TableError(
            f"{path}: the rows cannot be read, the file was cut short or the disk failed; run `engram-local verify`"
        )


cdef class ReadJob:
    """Rows of several tables on their way. parts: [(TableData, row_ids int64 [n], out float32 [n * dim])]."""
    cdef el_job *job
    cdef list parts

    def __init__(self, list parts):
        cdef el_part *wanted
        cdef TableData data
        cdef const int64_t[::1] ids
        cdef float[::1] out
        cdef int32_t n_parts = len(parts)
        for data, row_ids, _ in parts:
            data.check(row_ids)
        wanted = <el_part *>calloc(n_parts + 1, sizeof(el_part))
        if wanted == NULL:
            raise MemoryError
        try:
            for i, (data, row_ids, values) in enumerate(parts):
                ids, out = row_ids, values
                if out.shape[0] != ids.shape[0] * data.table.dim:
                    raise ValueError(f"out has {out.shape[0]} values, not {ids.shape[0]} x {data.table.dim}")
                wanted[i].table, wanted[i].n = &data.table, ids.shape[0]
                if wanted[i].n:
                    wanted[i].ids, wanted[i].out = &ids[0], &out[0]
            self.parts = parts
            with nogil:
                self.job = el_job_start(wanted, n_parts)
        finally:
            free(wanted)
        if self.job == NULL:
            raise MemoryError("no memory to read rows")
        for data, row_ids, _ in parts:
            count(&data.table, row_ids.shape[0])

    def __dealloc__(self):
        if self.job != NULL:
            with nogil:
                el_job_close(self.job)

    def wait(self, int32_t part):
        """Wait until this part's `out` is filled. Once a part."""
        cdef el_result result
        cdef TableData data
        with nogil:
            result = el_job_wait(self.job, part)
        if result.status != EL_OK:
            data, row_ids, _ = self.parts[part]
            raise data.error(result, row_ids)


cdef class StepLookup:
    """One token's rows of every layer in one call: map the token, hash, gather from mapped tables; or begin to read
    those of tables that are read directly, for `wait`.

    token_map: int32 [vocab_size] or None; max_lag: how far a hash looks back; layers: [(HashPlan, TableData,
    out float32 [n_sequences, n_heads * dim])]; n_sequences: most tokens of a call, one a sequence.
    """
    cdef const int32_t[::1] token_map
    cdef int64_t n_sequences
    cdef el_step step
    cdef el_step_layer *layers
    cdef el_step_token *tokens
    cdef list keep
    cdef el_part *parts  # NULL: mapped tables
    cdef el_job *job  # of the last token
    cdef bytearray arrived  # 1 for each layer whose rows of that token were waited for

    def __init__(self, token_map, int64_t vocab_size, int64_t max_lag, list layers, int64_t n_sequences=1):
        cdef HashPlan plan
        cdef TableData data
        cdef float[:, ::1] out
        cdef int32_t i
        self.token_map, self.n_sequences, self.keep = token_map, n_sequences, layers
        if token_map is not None:
            self.step.token_map = &self.token_map[0]
        self.step.vocab_size, self.step.max_lag = vocab_size, max_lag
        self.step.n_layers, self.step.most_heads = len(layers), 1
        self.layers = <el_step_layer *>calloc(len(layers) + 1, sizeof(el_step_layer))
        self.tokens = <el_step_token *>calloc(n_sequences + 1, sizeof(el_step_token))
        mapped = {data.is_mapped() for _, data, _ in layers}
        if len(mapped) > 1:
            raise ValueError("some tables are mapped and some are not")
        if mapped == {False}:
            self.parts = <el_part *>calloc(len(layers), sizeof(el_part))
        if self.layers == NULL or self.tokens == NULL or (self.parts == NULL and mapped == {False}):
            raise MemoryError
        for i, (plan, data, out) in enumerate(layers):
            if out.shape[0] != n_sequences or out.shape[1] != plan.plan.n_heads * data.table.dim:
                raise ValueError(f"out is {out.shape[0]} x {out.shape[1]}, not {n_sequences} x {plan.plan.n_heads} x "
                                 f"{data.table.dim}")
            self.layers[i] = el_step_layer(&plan.plan, &data.table, &out[0, 0])
            self.step.most_heads = max(self.step.most_heads, plan.plan.n_heads)
        self.step.layers = self.layers
        self.step.row_ids = <int64_t *>calloc(len(layers) * n_sequences * self.step.most_heads + 1, sizeof(int64_t))
        if self.step.row_ids == NULL:
            raise MemoryError
        if self.parts != NULL:
            for i, (plan, data, out) in enumerate(layers):
                self.parts[i] = el_part(&data.table, self.step.row_ids + i * self.step.most_heads, plan.plan.n_heads,
                                        &out[0, 0])

    def __dealloc__(self):
        self.end()
        free(self.layers)
        free(self.tokens)
        free(self.parts)
        free(self.step.row_ids)

    def read(self, int64_t token, int64_t[::1] ids, int64_t position):
        """Write the token's id to ids[position], and the rows that it reads with the ids before it to the outs[0]."""
        self.place(0, token, ids, position)
        self.run(1)

    def wait(self, int32_t layer):
        """Until the rows of layers[layer] are there. Any number of times a token."""
        cdef el_result result
        if self.parts == NULL:
            return
        if not 0 <= layer < self.step.n_layers or self.job == NULL:
            raise ValueError(f"nothing was read of layer {layer}")
        if self.arrived[layer]:
            return
        with nogil:
            result = el_job_wait(self.job, layer)
        if result.status != EL_OK:
            self.fail(layer, result, 1)
        self.arrived[layer] = 1

    cdef void end(self) noexcept:
        """Of the last token's reads, if there are any."""
        if self.job != NULL:
            with nogil:
                el_job_close(self.job)
            self.job = NULL

    def read_all(self, list parts):
        """The same for [(token, ids, position)] of several sequences; rows of the i-th go to the outs[i]."""
        cdef int64_t[::1] ids
        if not 0 < len(parts) <= self.n_sequences or (self.parts != NULL and len(parts) > 1):
            raise ValueError(f"{len(parts)} sequences, not 1 to {self.n_sequences}")
        for i, (token, ids, position) in enumerate(parts):
            self.place(i, token, ids, position)
        self.run(len(parts))

    cdef int place(self, int64_t i, int64_t token, int64_t[::1] ids, int64_t position) except -1:
        if not 0 <= position < ids.shape[0]:
            raise ValueError(f"position {position} of {ids.shape[0]} ids")
        self.tokens[i] = el_step_token(token, &ids[position], position)
        return 0

    cdef int run(self, int64_t n) except -1:
        cdef el_step_result result
        cdef int32_t i
        self.end()
        with nogil:
            if self.parts == NULL:
                result = el_step_read(&self.step, self.tokens, n)
            else:
                result = el_step_hash(&self.step, self.tokens, n)
        if result.bad_token >= 0:
            raise TokenRangeError(f"token id {self.tokens[result.bad_token].token} is outside the vocabulary of "
                                  f"{self.step.vocab_size}")
        if result.rows.status != EL_OK:
            self.fail(result.layer, result.rows, n)
        if self.parts != NULL:
            with nogil:
                self.job = el_job_start(self.parts, self.step.n_layers)
            if self.job == NULL:
                raise MemoryError("no memory to read rows")
            self.arrived = bytearray(self.step.n_layers)
        for i in range(self.step.n_layers):
            count(<el_table *>self.layers[i].table, n * self.layers[i].plan.n_heads)
        return 0

    cdef int fail(self, int32_t layer, el_result result, int64_t n) except -1:
        cdef TableData data
        cdef HashPlan plan
        plan, data, _ = self.keep[layer]
        cdef int64_t n_row_ids = n * plan.plan.n_heads
        row_ids = self.step.row_ids + layer * n * self.step.most_heads
        raise data.error(result, <int64_t[:n_row_ids]>row_ids)


def prepare_direct(int fd):
    """Block size (512 or 4096) in which this descriptor, opened for it, is read past the page cache; REFUSED or
    IN_MEMORY where its reads go through it (ext/direct.h)."""
    cdef int found
    with nogil:
        found = el_direct_prepare(fd)
    return found


def use_io_uring(bint use):
    """Whether direct reads may go through io_uring; without it they go through threads."""
    el_reader_use_uring(use)


def uses_io_uring():
    """Whether direct reads go through io_uring here."""
    return bool(el_reader_uses_uring())


def explain_bus_errors():
    """From now on a file that is cut while other software has it mapped ends the process with a line that names it and
    code 1, where the system's default would end it without a word. For programs, not for libraries."""
    el_guard_explain()


def reader_stats():
    """Direct reads of this process so far: rows asked for, unique ones, requests to the disk, their bytes."""
    return el_reader_get_stats()


def _after_fork():
    cdef TableData data
    el_reader_after_fork()
    for data in _tables:
        if data.table.cache != NULL:
            el_cache_reset(data.table.cache)


_tables = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
el_cpu_enable(el_cpu_detected())
el_guard_install()
