#define _GNU_SOURCE
#include "gather.h"

#include <string.h>

#include "decode.h"

#ifdef _WIN32
// A mapped file cannot be cut short on Windows.
#define GUARDED(failed, body) \
    do body while (0)
void el_guard_install(void) {}
#else
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>

// initial-exec: the handler may not allocate, which the default model of a loaded library does on first use.
#ifdef __linux__
#define FAST_TLS __attribute__((tls_model("initial-exec")))
#else
#define FAST_TLS
#endif
static _Thread_local sigjmp_buf *volatile guard FAST_TLS;
static struct sigaction previous;

static void on_sigbus(int signal, siginfo_t *info, void *context) {
    if (guard) siglongjmp(*guard, 1);
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(signal, info, context);
    } else if (previous.sa_handler == SIG_IGN || previous.sa_handler == SIG_DFL) {
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

el_gather_result el_gather(const uint8_t *rows, int64_t n_rows, int64_t row_bytes, int64_t dim, int encoding,
                           const int64_t *ids, int64_t n, float *out) {
    el_decode_fn *decode = el_decode[encoding];
    volatile el_gather_result result = {EL_GATHER_OK, -1};
    for (int64_t i = 0; i < n; i++)
        if ((uint64_t)ids[i] >= (uint64_t)n_rows) return (el_gather_result){EL_GATHER_RANGE, i};
    GUARDED(result.status = EL_GATHER_FAULT, {
        int64_t ahead = n <= AHEAD_ALL ? n : AHEAD;
        for (int64_t i = 0; i < ahead; i++) prefetch_row(rows + ids[i] * row_bytes, row_bytes);
        for (int64_t i = 0; i < n; i++) {
            if (i + ahead < n) prefetch_row(rows + ids[i + ahead] * row_bytes, row_bytes);
            if (decode(rows + ids[i] * row_bytes, out + i * dim, dim)) {
                result.status = EL_GATHER_SCALE;
                result.position = i;
                break;
            }
        }
    });
    return (el_gather_result){result.status, result.position};
}

el_gather_result el_touch(const uint8_t *bytes, int64_t n_bytes) {
    volatile el_gather_result result = {EL_GATHER_OK, -1};
    GUARDED(result.status = EL_GATHER_FAULT, {
        volatile uint8_t sink;
        for (int64_t i = 0; i < n_bytes; i += 4096) sink = bytes[i];
        (void)sink;
    });
    return (el_gather_result){result.status, result.position};
}
