# The extension's Python face: checks types once, releases the GIL, calls the C kernels. No arithmetic happens here.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free

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
        int32_t n_terms, n_heads
        const int32_t *lags
        const uint64_t *multipliers
        const uint64_t *moduli
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

cdef extern from "gather.h":
    ctypedef struct el_gather_result:
        int status
        int64_t position
    enum: EL_GATHER_OK, EL_GATHER_RANGE, EL_GATHER_SCALE, EL_GATHER_FAULT
    void el_guard_install() nogil
    el_gather_result el_gather(const uint8_t *rows, int64_t n_rows, int64_t row_bytes, int64_t dim, int encoding,
                               const int64_t *ids, int64_t n, float *out) nogil
    el_gather_result el_touch(const uint8_t *rows, int64_t n_bytes) nogil

CPU_FEATURES = {"avx512": EL_AVX512, "avx2": EL_AVX2, "neon": EL_NEON}
ENCODINGS = ("int8", "int4", "fp8_e4m3", "float16", "float32")  # in the order of decode.h


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
        for i, order in enumerate(orders):
            lags = np.array([lag for lag, _ in order.terms], np.int32)
            multipliers = np.array([multiplier for _, multiplier in order.terms], np.uint64)
            moduli = np.array(order.moduli, np.uint64)
            reciprocals = np.uint64(2**64 - 1) // np.asarray(moduli)
            inverses = 1.0 / np.asarray(moduli)
            offsets = np.array(order.offsets, np.int64)
            self.keep += [lags, multipliers, moduli, reciprocals, inverses, offsets]
            self.orders[i] = el_hash_order(lags.shape[0], moduli.shape[0], &lags[0], &multipliers[0], &moduli[0],
                                           &reciprocals[0], &inverses[0], &offsets[0])
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


def gather(const uint8_t[:, ::1] rows, int64_t dim, int encoding, const int64_t[::1] row_ids, float[:, ::1] out):
    """out[i] = decoded rows[row_ids[i]]; float32 [n, dim]. RowRangeError and TableError do not name the file."""
    cdef int64_t n = row_ids.shape[0], n_rows = rows.shape[0], row_bytes = rows.shape[1]
    cdef el_gather_result result
    if out.shape[0] != n or out.shape[1] != dim:
        raise ValueError(f"out is {out.shape[0]} x {out.shape[1]}, not {n} x {dim}")
    if not n:
        return
    with nogil:
        result = el_gather(&rows[0, 0], n_rows, row_bytes, dim, encoding, &row_ids[0], n, &out[0, 0])
    if result.status == EL_GATHER_RANGE:
        raise RowRangeError(
            f"row id {row_ids[result.position]} (number {result.position} of the batch) is outside [0, {n_rows})"
        )
    if result.status == EL_GATHER_SCALE:
        raise TableError(f"row {row_ids[result.position]} has a scale that is NaN or infinite")
    if result.status == EL_GATHER_FAULT:
        raise TableError("the rows could not be read: the file was cut short or the disk failed")


def touch(const uint8_t[::1] data):
    """Read one byte of every page. Raises TableError without naming the file."""
    cdef el_gather_result result
    cdef int64_t n = data.shape[0]
    if not n:
        return
    with nogil:
        result = el_touch(&data[0], n)
    if result.status == EL_GATHER_FAULT:
        raise TableError("the rows could not be read: the file was cut short or the disk failed")


el_cpu_enable(el_cpu_detected())
el_guard_install()
