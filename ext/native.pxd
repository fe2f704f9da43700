# The C functions behind _native.pyx; their headers say what they do.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

cdef extern from "instruction_sets.h":
    enum: EL_AVX2, EL_AVX512, EL_NEON

cdef extern from "cpu.h":
    int el_cpu_detected() nogil
    int el_cpu_enabled() nogil
    void el_cpu_enable(int features) nogil

cdef extern from "decode.h":
    enum: EL_N_ENCODINGS
    const char *const el_encoding_names[EL_N_ENCODINGS]

cdef extern from "hash.h":
    enum: EL_MIX_XOR, EL_MIX_ADD
    ctypedef struct el_hash_order:
        int32_t n_terms, n_heads
        const int32_t *lags
        const uint64_t *multipliers
        const uint64_t *moduli
        const int64_t *offsets
        uint64_t *reciprocals
        double *inverses
    ctypedef struct el_hash_plan:
        int32_t n_orders, mix, n_segment_ids
        int64_t fill_id
        const int64_t *segment_ids
        el_hash_order *orders
        int32_t n_heads
    void el_hash_prepare(el_hash_plan *plan) nogil
    void el_hash_rows(const el_hash_plan *plan, const int64_t *ids, int64_t n_history, int64_t n, int64_t *rows) nogil
    int64_t el_map_tokens(const int32_t *map, int64_t vocab_size, const int64_t *tokens, int64_t n, int64_t *out) nogil

cdef extern from "cache.h":
    ctypedef struct el_cache:
        pass
    ctypedef struct el_cache_stats:
        int64_t bytes, capacity, rows, hits, misses
    el_cache *el_cache_open(int64_t bytes, int64_t row_bytes) nogil
    void el_cache_close(el_cache *cache) nogil
    el_cache_stats el_cache_get_stats(el_cache *cache) nogil
    void el_cache_reset(el_cache *cache) nogil

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
        int *buffered
        int32_t alignment
        el_cache *cache
        int64_t n_gathers, n_rows_read

cdef extern from "gather.h":
    enum: EL_OK, EL_RANGE, EL_SCALE, EL_FAULT, EL_READ, EL_SHORT, EL_MEMORY, EL_FORKED
    ctypedef struct el_result:
        int status, error, file
        int64_t position
    void el_guard_install() nogil
    void el_guard_explain() nogil
    int64_t el_first_outside(const int64_t *ids, int64_t n, int64_t n_rows) nogil
    el_result el_gather_table(const el_table *table, const int64_t *ids, int64_t n, float *out) nogil

cdef extern from "pages.h":
    void el_pages_hint(const el_table *table, const int64_t *ids, int64_t n) nogil

cdef extern from "direct.h":
    enum: EL_REFUSED, EL_IN_MEMORY
    int el_direct_prepare(int fd) nogil

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
    int el_reader_exists() nogil
    int el_reader_uses_uring() nogil
    void el_reader_use_uring(int use) nogil
    el_reader_stats el_reader_get_stats() nogil
    void el_reader_after_fork() nogil

cdef extern from "step.h":
    ctypedef struct el_step_layer:
        const el_hash_plan *plan
        const el_table *table
        float *out
    ctypedef struct el_step:
        const int32_t *token_map
        int64_t vocab_size, max_lag
        int32_t n_layers
        const el_step_layer *layers
        int64_t most_heads
        int64_t *row_ids
    ctypedef struct el_step_token:
        int64_t token
        int64_t *id
        int64_t n_before
    ctypedef struct el_step_result:
        el_result rows
        int32_t layer
        int64_t bad_token
    el_step_result el_step_hash(const el_step *step, const el_step_token *tokens, int64_t n) nogil
    el_step_result el_step_read(const el_step *step, const el_step_token *tokens, int64_t n) nogil
