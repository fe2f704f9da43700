// Counts of the C harness.
#ifndef EL_TESTS_CHECK_H
#define EL_TESTS_CHECK_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

extern int64_t n_passed, n_failed;

// Count one check; a failed one says what and where.
static inline void check(int passed, const char *format, ...) {
    if (passed) {
        n_passed++;
        return;
    }
    n_failed++;
    va_list arguments;
    va_start(arguments, format);
    fputs("FAILED: ", stderr);
    vfprintf(stderr, format, arguments);
    fputs("\n", stderr);
    va_end(arguments);
}

// Memory of its own, to the byte: what reads or writes past it is found under a sanitizer.
static inline void *memory(int64_t n_bytes) {
    void *p = malloc((size_t)n_bytes + !n_bytes);
    if (!p) abort();
    return p;
}

// The same numbers on every system.
static inline uint64_t next_random(uint64_t *state) {
    uint64_t x = *state += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

void check_cache(void);
void check_reader(const char *folder);
void check_llama_callback(void);
void check_gate(void);

#endif
