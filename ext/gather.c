#define _GNU_SOURCE
#include "gather.h"

#include <stdlib.h>
#include <string.h>

#include "decode.h"
#include "fault.h"

#ifdef _WIN32
// A mapped file cannot be cut short on Windows.
#define GUARDED(failed, body) \
    do body while (0)
void el_guard_install(void) {}
void el_guard_explain(void) {}
#else
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/stat.h>

// initial-exec: the handler may not allocate, which the default model of a loaded library does on first use.
#ifdef __linux__
#define FAST_TLS __attribute__((tls_model("initial-exec")))
#else
#define FAST_TLS
#endif
static _Thread_local sigjmp_buf *volatile guard FAST_TLS;
static struct sigaction previous;
static volatile sig_atomic_t explains;

static void on_sigbus(int signal, siginfo_t *info, void *context) {
    if (guard) siglongjmp(*guard, 1);
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(signal, info, context);
    } else if (previous.sa_handler == SIG_IGN || previous.sa_handler == SIG_DFL) {
        if (explains) el_explain_fault(info->si_addr);
        // A synchronous fault comes back as soon as we return: let the default action have it.
        struct sigaction standard = {.sa_handler = SIG_DFL};
        sigaction(SIGBUS, &standard, NULL);
        raise(SIGBUS);
    } else {
        previous.sa_handler(signal);
    }
}

static void install(void) {
    // SA_NODEFER leaves the signal mask alone, so that neither sigsetjmp nor siglongjmp needs a system call.
    struct sigaction ours = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
    sigemptyset(&ours.sa_mask);
    sigaction(SIGBUS, &ours, &previous);
}

void el_guard_install(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
}

void el_guard_explain(void) { explains = 1; }

// Runs `body`; a SIGBUS inside it runs `failed` instead of the rest.
#define GUARDED(failed, body)                 \
    do {                                      \
        sigjmp_buf here;                      \
        if (sigsetjmp(here, 0)) {             \
            guard = NULL;                     \
            failed;                           \
        } else {                              \
            guard = &here;                    \
            body;                             \
            guard = NULL;                     \
        }                                     \
    } while (0)
#endif

#if defined(__GNUC__) || defined(__clang__)
#define PREFETCH(p) __builtin_prefetch(p, 0, 3)
#else
#define PREFETCH(p) ((void)(p))
#endif

// Batches up to AHEAD_ALL rows (one token) are prefetched whole before the first is decoded; longer ones run AHEAD rows ahead.
enum { AHEAD_ALL = 64, AHEAD = 24, LINE = 64, PREFETCH_BYTES = 1024 };

static inline void prefetch_row(const uint8_t *row, int64_t row_bytes) {
    int64_t end = row_bytes < PREFETCH_BYTES ? row_bytes : PREFETCH_BYTES;
    for (int64_t i = 0; i < end; i += LINE) PREFETCH(row + i);
    PREFETCH(row + row_bytes - 1);
}

int64_t el_first_outside(const int64_t *ids, int64_t n, int64_t n_rows) {
    for (int64_t i = 0; i < n; i++)
        if ((uint64_t)ids[i] >= (uint64_t)n_rows) return i;
    return -1;
}

void el_multiply(float *values, int64_t n, float factor) {
    for (int64_t i = 0; i < n; i++) values[i] *= factor;
}

el_result el_gather(const uint8_t *rows, int64_t row_bytes, int64_t dim, int encoding, const int64_t *ids, int64_t n,
                    float *out) {
    el_decode_fn *decode = el_decode[encoding];
    volatile int status = EL_OK, zeros = 0;
    volatile int64_t position = -1;
    GUARDED(status = EL_FAULT, {
        int found = 0;
        int64_t ahead = n <= AHEAD_ALL ? n : AHEAD;
        for (int64_t i = 0; i < ahead; i++) prefetch_row(rows + ids[i] * row_bytes, row_bytes);
        for (int64_t i = 0; i < n; i++) {
            if (i + ahead < n) prefetch_row(rows + ids[i + ahead] * row_bytes, row_bytes);
            if (decode(rows + ids[i] * row_bytes, out + i * dim, dim)) {
                status = EL_SCALE;
                position = i;
                break;
            }
            found |= !rows[(ids[i] + 1) * row_bytes - 1];
        }
        zeros = found;
    });
    return (el_result){.status = status, .position = position, .zeros = zeros};
}

// Rows in several files or columns: two passes over small groups, so that the second finds its lines on their way.
static el_result gather_scattered(const el_table *table, const int64_t *ids, int64_t n, float *out, uint8_t *row) {
    el_decode_fn *decode = el_decode[table->encoding];
    const uint8_t *parts[AHEAD_ALL][2];
    volatile int status = EL_OK, zeros = 0;
    volatile int64_t position = -1;
    GUARDED(status = EL_FAULT, {
        int found = 0;
        for (int64_t start = 0; start < n && status == EL_OK; start += AHEAD_ALL) {
            int64_t group = n - start < AHEAD_ALL ? n - start : AHEAD_ALL;
            for (int64_t i = 0; i < group; i++)
                for (int32_t c = 0; c < table->n_columns; c++) {
                    parts[i][c] = el_place_of(table->columns + c, ids[start + i]).map;
                    prefetch_row(parts[i][c], table->columns[c].width);
                }
            for (int64_t i = 0; i < group; i++) {
                const uint8_t *source = parts[i][0];
                if (table->n_columns == 2) {
                    int64_t width = table->columns[0].width;
                    memcpy(row, parts[i][0], (size_t)width);
                    memcpy(row + width, parts[i][1], (size_t)table->columns[1].width);
                    source = row;
                }
                if (decode(source, out + (start + i) * table->dim, table->dim)) {
                    status = EL_SCALE;
                    position = start + i;
                    break;
                }
                for (int32_t c = 0; c < table->n_columns; c++) found |= !parts[i][c][table->columns[c].width - 1];
            }
        }
        zeros = found;
    });
    return (el_result){.status = status, .position = position, .zeros = zeros};
}

void el_prefetch_table(const el_table *table, const int64_t *ids, int64_t n) {
    for (int32_t c = 0; c < table->n_columns; c++)
        for (int64_t i = 0; i < n; i++)
            prefetch_row(el_place_of(table->columns + c, ids[i]).map, table->columns[c].width);
}

// The part of the last page that lies behind the end of a file reads as zeros, without any fault. A row that was cut so
// ends in a zero byte: only where one does, the sizes are asked for, which costs more than the gather of a token.
static el_result check_sizes(const el_table *table) {
#ifndef _WIN32
    for (int32_t i = 0; i < table->n_files; i++) {
        struct stat info;
        if (table->fds[i] >= 0 && (fstat(table->fds[i], &info) || info.st_size < table->ends[i]))
            return (el_result){.status = EL_SHORT, .file = i};
    }
#else
    (void)table;
#endif
    return (el_result){.status = EL_OK};
}

el_result el_gather_table(const el_table *table, const int64_t *ids, int64_t n, float *out) {
    el_result result;
    if (table->n_columns == 1 && table->columns[0].n_extents == 1) { // all rows back to back
        const uint8_t *rows = el_place_of(table->columns, 0).map;
        result = el_gather(rows, table->row_bytes, table->dim, table->encoding, ids, n, out);
    } else {
        uint8_t *row = malloc((size_t)table->row_bytes);
        if (!row) return (el_result){.status = EL_MEMORY};
        result = gather_scattered(table, ids, n, out, row);
        free(row);
    }
    if (table->scale != 1.0f) el_multiply(out, n * table->dim, table->scale);
    if (result.status != EL_FAULT && (result.status != EL_OK || !result.zeros)) return result;
    el_result sizes = check_sizes(table); // names the file that was cut
    return sizes.status == EL_OK ? result : sizes;
}
