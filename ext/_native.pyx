# The extension's Python face: checks types once, releases the GIL, calls the C kernels. No arithmetic happens here.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free

import os
import weakref

import numpy as np

from engram_local.errors import RowRangeError, TableError, TokenRangeError

cdef extern from "cpu.h":
    enum: EL_AVX2, EL_AVX512, EL_NEON
    int el_cpu_detected() nogil
    int el_cpu_enabled() nogil
    void el_cpu_enable(int features) nogil

cdef extern from "hash.h":
    enum: EL_MIX_XOR, EL_MIX_ADD
    ctypedef struct el_hash_order:
        int32_t n_terms, n_heads, n_shared
        const int32_t *lags
        const uint64_t *multipliers
        const uint64_t *moduli
        uint64_t smallest
        const uint64_t *reciprocals
        const double *inverses
        const int64_t *offsets
    ctypedef struct el_hash_plan:
        int32_t n_orders, n_heads, mix, n_segment_ids
        int64_t fill_id
        const int64_t *segment_ids
        const el_hash_order *orders
    void el_hash_rows(const el_hash_plan *plan, const int64_t *ids, int64_t n_history, int64_t n, int64_t *rows) nogil
    int64_t el_map_tokens(const int32_t *map, int64_t vocab_size, const int64_t *tokens, int64_t n, int64_t *out) nogil

cdef extern from "table.h":
    ctypedef struct el_extent:
        int64_t first_row, n_rows, offset
        const uint8_t *map
        int32_t file
    ctypedef struct el_column:
        int64_t width
        int32_t n_extents
        const el_extent *extents
    ctypedef struct el_table:
        int64_t n_rows, dim, row_bytes
        int32_t encoding
        float scale
        int32_t n_columns
        el_column columns[2]
        int32_t n_files
        const int *fds
        const int64_t *ends
        int32_t alignment
        el_cache *cache

cdef extern from "cache.h":
    ctypedef struct el_cache:
        pass
    ctypedef struct el_cache_stats:
        int64_t bytes, capacity, rows, hits, misses
    el_cache *el_cache_open(int64_t bytes, int64_t row_bytes) nogil
    void el_cache_close(el_cache *cache) nogil
    el_cache_stats el_cache_get_stats(el_cache *cache) nogil
    void el_cache_reset(el_cache *cache) nogil

cdef extern from "gather.h":
    enum: EL_OK, EL_RANGE, EL_SCALE, EL_FAULT, EL_READ, EL_SHORT, EL_MEMORY, EL_FORKED
    ctypedef struct el_result:
        int status, error, file
        int64_t position
    void el_guard_install() nogil
    int64_t el_first_outside(const int64_t *ids, int64_t n, int64_t n_rows) nogil
    el_result el_gather_table(const el_table *table, const int64_t *ids, int64_t n, float *out) nogil
    void el_prefetch_table(const el_table *table, const int64_t *ids, int64_t n) nogil

cdef extern from "pages.h":
    int64_t el_pages_hint(const el_table *table, const int64_t *ids, int64_t n) nogil

cdef extern from "reader.h":
    ctypedef struct el_job:
        pass
    ctypedef struct el_part:
        const el_table *table
        const int64_t *ids
        int64_t n
        float *out
    ctypedef struct el_reader_stats:
        int64_t rows, unique, requests, bytes
    el_job *el_job_start(const el_part *parts, int32_t n_parts) nogil
    el_result el_job_wait(el_job *job, int32_t part) nogil
    void el_job_close(el_job *job) nogil
    int el_direct_alignment(int fd) nogil
    int el_reader_uses_uring() nogil
    void el_reader_use_uring(int use) nogil
    el_reader_stats el_reader_get_stats() nogil
    void el_reader_after_fork() nogil

CPU_FEATURES = {"avx512": EL_AVX512, "avx2": EL_AVX2, "neon": EL_NEON}
# In the order of decode.h; those behind float32 occur only in other software's files.
ENCODINGS = ("int8", "int4", "fp8_e4m3", "float16", "float32", "bfloat16", "fp8_e4m3_unscaled", "fp8_e4m3_float32",
             "fp8_e4m3_float16", "fp8_e4m3_bfloat16", "q8_0", "q4_0", "q4_k")


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
    cdef const int32_t *map_pointer = NULL if token_map is None else &token_map[0]
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
    """The hashing of one layer: numbers of its orders copied into C arrays."""
    cdef el_hash_plan plan
    cdef el_hash_order *orders
    cdef object keep  # the arrays that the pointers lead to

    def __init__(self, orders, str mix, int64_t fill_id, segment_ids):
        """orders: config.NgramOrder tuple, already validated by config.py."""
        cdef int32_t[::1] lags
        cdef uint64_t[::1] multipliers, moduli, reciprocals
        cdef double[::1] inverses
        cdef int64_t[::1] offsets, segments
        self.orders = <el_hash_order *>calloc(len(orders), sizeof(el_hash_order))
        if self.orders == NULL:
            raise MemoryError
        self.keep = []
        self.plan.n_heads = 0
        previous = ()
        for i, order in enumerate(orders):
            lags = np.array([lag for lag, _ in order.terms], np.int32)
            multipliers = np.array([multiplier for _, multiplier in order.terms], np.uint64)
            moduli = np.array(order.moduli, np.uint64)
            reciprocals = np.uint64(2**64 - 1) // np.asarray(moduli)
            inverses = 1.0 / np.asarray(moduli)
            offsets = np.array(order.offsets, np.int64)
            self.keep += [lags, multipliers, moduli, reciprocals, inverses, offsets]
            shared = len(previous) if order.terms[: len(previous)] == previous else 0
            previous = order.terms
            self.orders[i] = el_hash_order(lags.shape[0], moduli.shape[0], shared, &lags[0], &multipliers[0],
                                           &moduli[0], min(order.moduli), &reciprocals[0], &inverses[0], &offsets[0])
            self.plan.n_heads += <int32_t>moduli.shape[0]
        self.plan.n_orders = <int32_t>len(orders)
        self.plan.orders = self.orders
        self.plan.mix = EL_MIX_XOR if mix == "xor" else EL_MIX_ADD
        self.plan.fill_id = fill_id
        self.plan.n_segment_ids = <int32_t>len(segment_ids)
        if segment_ids:
            segments = np.array(sorted(segment_ids), np.int64)
            self.keep.append(segments)
            self.plan.segment_ids = &segments[0]

    def __dealloc__(self):
        free(self.orders)

    def rows(self, const int64_t[::1] ids, int64_t n_history):
        """Row ids int64 [len(ids) - n_history, n_heads]; the first n_history ids are only looked back on."""
        cdef int64_t n = ids.shape[0] - n_history
        out = np.empty((n, self.plan.n_heads), np.int64)
        cdef int64_t[:, ::1] out_view = out
        if n:
            with nogil:
                el_hash_rows(&self.plan, &ids[0], n_history, n, &out_view[0, 0])
        return out


cdef class TableData:
    """Where a table's rows lie, and a cache for direct reads.

    files: [(path, fd, bytes it must have)], fd -1 where none is open; owner: what keeps them open, held as long as this
    and every ReadJob of it lives. columns: [(width, [(first_row, n_rows, offset, file,
    map)])], `file` an index into files, `map` a buffer of the whole file or None for direct reads.
    """
    cdef el_table table
    cdef list keep
    cdef readonly list paths
    cdef object __weakref__

    def __init__(self, list files, str encoding, int64_t n_rows, int64_t dim, list columns, float scale=1.0,
                 int alignment=1, int64_t cache_bytes=0, owner=None):
        cdef el_extent *extents
        cdef const uint8_t[::1] map_view
        cdef int[::1] fds = np.array([fd for _, fd, _ in files], np.intc)
        cdef int64_t[::1] ends = np.array([end for _, _, end in files], np.int64)
        self.paths = [path for path, _, _ in files]
        self.keep = [fds, ends, owner]
        self.table.encoding = ENCODINGS.index(encoding)
        self.table.n_rows, self.table.dim, self.table.scale = n_rows, dim, scale
        self.table.alignment = alignment
        self.table.n_files, self.table.fds, self.table.ends = len(files), &fds[0], &ends[0]
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
        if not n:
            return
        with nogil:
            result = el_gather_table(&self.table, &row_ids[0], n, &out[0])
        if result.status != EL_OK:
            raise self.error(result, row_ids)

    def hint(self, const int64_t[::1] row_ids):
        """Ask for the pages of mapped rows; how many they span."""
        cdef int64_t n = row_ids.shape[0], pages = 0
        self.check(row_ids)
        if n:
            with nogil:
                pages = el_pages_hint(&self.table, &row_ids[0], n)
        return pages

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


ctypedef struct step_layer:
    const el_hash_plan *plan
    const el_table *table
    float *out


cdef class StepLookup:
    """One token's rows of every layer in one call: map the token, hash, gather from mapped tables.

    token_map: int32 [vocab_size] or None; max_lag: how far a hash looks back;
    layers: [(HashPlan, TableData, out float32 [n_heads * dim])].
    """
    cdef const int32_t[::1] token_map
    cdef int64_t vocab_size, max_lag, most_heads
    cdef int32_t n_layers
    cdef step_layer *layers
    cdef int64_t *rows  # (n_layers, most_heads)
    cdef list keep

    def __init__(self, token_map, int64_t vocab_size, int64_t max_lag, list layers):
        cdef HashPlan plan
        cdef TableData data
        cdef float[::1] out
        self.token_map, self.vocab_size, self.max_lag = token_map, vocab_size, max_lag
        self.keep = layers
        self.n_layers = len(layers)
        self.most_heads = 1
        self.layers = <step_layer *>calloc(len(layers) + 1, sizeof(step_layer))
        if self.layers == NULL:
            raise MemoryError
        for i, (plan, data, out) in enumerate(layers):
            for c in range(data.table.n_columns):
                for e in range(data.table.columns[c].n_extents):
                    if data.table.columns[c].extents[e].map == NULL:
                        raise ValueError("a table is not mapped")
            if out.shape[0] != plan.plan.n_heads * data.table.dim:
                raise ValueError(f"out has {out.shape[0]} values, not {plan.plan.n_heads} x {data.table.dim}")
            self.layers[i] = step_layer(&plan.plan, &data.table, &out[0])
            self.most_heads = max(self.most_heads, plan.plan.n_heads)
        self.rows = <int64_t *>calloc(len(layers) * self.most_heads + 1, sizeof(int64_t))
        if self.rows == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.layers)
        free(self.rows)

    def read(self, int64_t token, int64_t[::1] ids, int64_t position):
        """Write the token's id to ids[position], and the rows that it reads with the ids before it to the outs."""
        cdef el_result result = el_result(EL_OK, 0, 0, 0)
        cdef int64_t n_history = min(position, self.max_lag)
        cdef int64_t *rows = self.rows
        cdef step_layer *layer
        cdef TableData data
        cdef int32_t i = 0
        if not 0 <= position < ids.shape[0]:
            raise ValueError(f"position {position} of {ids.shape[0]} ids")
        if el_map_tokens(NULL if self.token_map is None else &self.token_map[0], self.vocab_size, &token, 1,
                         &ids[position]) >= 0:
            raise TokenRangeError(f"token id {token} is outside the vocabulary of {self.vocab_size}")
        with nogil:
            for i in range(self.n_layers):
                layer, rows = &self.layers[i], self.rows + i * self.most_heads
                el_hash_rows(layer.plan, &ids[position - n_history], n_history, 1, rows)
                el_prefetch_table(layer.table, rows, layer.plan.n_heads)
            for i in range(self.n_layers):
                layer, rows = &self.layers[i], self.rows + i * self.most_heads
                result = el_gather_table(layer.table, rows, layer.plan.n_heads, layer.out)
                if result.status != EL_OK:
                    break
        if result.status != EL_OK:
            data = self.keep[i][1]
            raise data.error(result, <int64_t[:self.most_heads]>rows)


def direct_alignment(int fd):
    """Block size (512 or 4096) in which this descriptor can be read past the page cache; 0 if it cannot."""
    cdef int found
    with nogil:
        found = el_direct_alignment(fd)
    return found


def use_io_uring(bint use):
    """Whether direct reads may go through io_uring; without it they go through threads."""
    el_reader_use_uring(use)


def uses_io_uring():
    """Whether direct reads go through io_uring here."""
    return bool(el_reader_uses_uring())


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
