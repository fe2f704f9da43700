// A bounded cache of encoded rows, safe for any number of threads. Policy: S3-FIFO (Yang et al., SOSP 2023): newcomers
// pass a small queue first and reach the main one only if they are asked for again, so that one long prefill, whose rows
// are mostly seen once, cannot flush what the conversation uses. docs/decisions.md holds the comparison behind the choice.
#ifndef EL_CACHE_H
#define EL_CACHE_H

#include <stdint.h>

typedef struct el_cache el_cache;

// NULL where `bytes` (bookkeeping included) hold fewer than a handful of rows, or there is no memory.
el_cache *el_cache_open(int64_t bytes, int64_t row_bytes);
void el_cache_close(el_cache *cache);

// ids (n): where row ids[i] is in the cache, copy it to rows + i * row_bytes and set found[i] = 1; else found[i] = 0.
void el_cache_get(el_cache *cache, const int64_t *ids, int64_t n, uint8_t *rows, uint8_t *found);

// Offer the rows that were not found.
void el_cache_put(el_cache *cache, const int64_t *ids, int64_t n, const uint8_t *rows, const uint8_t *found);

typedef struct {
    int64_t bytes, capacity, rows, hits, misses;
} el_cache_stats;
el_cache_stats el_cache_get_stats(el_cache *cache);

// Empty it and make its lock free again: in a child after fork(), where another thread may have held it.
void el_cache_reset(el_cache *cache);

#endif
