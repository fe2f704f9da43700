#include "cache.h"

#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
// Direct reads, and with them the cache, are left to systems with pthreads.
el_cache *el_cache_open(int64_t bytes, int64_t row_bytes) { return (void)bytes, (void)row_bytes, NULL; }
void el_cache_close(el_cache *cache) { (void)cache; }
el_cache_stats el_cache_get_stats(el_cache *cache) { return (void)cache, (el_cache_stats){0}; }
void el_cache_reset(el_cache *cache) { (void)cache; }
#else
#include <pthread.h>

enum { NONE = 0xffffffff, MAX_USES = 3, MIN_ROWS = 16, SMALL_SHARE = 10, PLACES = 2 };

typedef struct {
    uint32_t head, tail, count; // of slots, linked through `next`
} fifo;

typedef struct {
    uint32_t fingerprint, when;
} ghost;

struct el_cache {
    pthread_mutex_t lock;
    int64_t row_bytes, bytes, hits, misses;
    uint32_t n_slots, n_places, small_share; // small_share: rows that the small queue keeps when the cache is full
    uint32_t n_used;                         // slots that hold a row
    fifo small, main;
    uint8_t *rows;   // (n_slots, row_bytes)
    int64_t *keys;   // (n_slots)
    uint8_t *uses;   // (n_slots), 0 to MAX_USES
    uint32_t *next;  // (n_slots): the slot behind it in its queue
    uint32_t *index; // (n_places), open addressing: slot or NONE
    ghost *ghosts;   // (n_slots): rows that left the small queue unused, at their hash
    uint32_t clock;
};

static uint64_t hash_of(int64_t row) {
    uint64_t x = (uint64_t)row * 0x9E3779B97F4A7C15u;
    return x ^ x >> 29;
}

static uint32_t place_of(int64_t row, uint32_t n) { return (uint32_t)((hash_of(row) >> 32) * n >> 32); }

static void push(el_cache *cache, fifo *queue, uint32_t slot) {
    if (queue->count++) cache->next[queue->tail] = slot;
    else queue->head = slot;
    queue->tail = slot;
}

static uint32_t pop(el_cache *cache, fifo *queue) {
    uint32_t slot = queue->head;
    queue->head = cache->next[slot];
    queue->count--;
    return slot;
}

static uint32_t find(const el_cache *cache, int64_t row) { // place in the index: of the row, or where it would go
    uint32_t at = place_of(row, cache->n_places);
    while (cache->index[at] != NONE && cache->keys[cache->index[at]] != row)
        if (++at == cache->n_places) at = 0;
    return at;
}

static uint32_t behind(const el_cache *cache, uint32_t at, uint32_t home) { // places from home on to `at`
    return at >= home ? at - home : at + cache->n_places - home;
}

static void forget(el_cache *cache, uint32_t slot) {
    uint32_t hole = find(cache, cache->keys[slot]), at = hole;
    cache->index[hole] = NONE;
    for (;;) { // close the gap, so that probing never meets a hole inside a run
        if (++at == cache->n_places) at = 0;
        if (cache->index[at] == NONE) break;
        uint32_t home = place_of(cache->keys[cache->index[at]], cache->n_places);
        if (behind(cache, at, home) >= behind(cache, at, hole)) {
            cache->index[hole] = cache->index[at];
            cache->index[at] = NONE;
            hole = at;
        }
    }
}

static ghost *ghost_of(el_cache *cache, int64_t row, uint32_t *fingerprint) {
    *fingerprint = (uint32_t)hash_of(row) | 1; // 0: empty
    return cache->ghosts + place_of(row, cache->n_slots);
}

// Take the oldest row of the small queue: on to the main one if it was used, else out, leaving its ghost.
static uint32_t age_small(el_cache *cache) {
    uint32_t slot = pop(cache, &cache->small), fingerprint;
    if (cache->uses[slot]) {
        cache->uses[slot] = 0;
        push(cache, &cache->main, slot);
        return NONE;
    }
    ghost *left = ghost_of(cache, cache->keys[slot], &fingerprint);
    *left = (ghost){fingerprint, cache->clock++};
    return slot;
}

// Take the oldest row of the main queue: to its end if it was used, else out.
static uint32_t age_main(el_cache *cache) {
    uint32_t slot = pop(cache, &cache->main);
    if (!cache->uses[slot]) return slot;
    cache->uses[slot]--;
    push(cache, &cache->main, slot);
    return NONE;
}

static uint32_t take_slot(el_cache *cache) {
    if (cache->n_used < cache->n_slots) return cache->n_used++;
    uint32_t slot = NONE;
    while (slot == NONE)
        slot = cache->small.count > cache->small_share || !cache->main.count ? age_small(cache) : age_main(cache);
    forget(cache, slot);
    return slot;
}

static void put(el_cache *cache, int64_t row, const uint8_t *bytes) {
    if (cache->index[find(cache, row)] != NONE) return;
    uint32_t fingerprint;
    ghost *left = ghost_of(cache, row, &fingerprint);
    int known = left->fingerprint == fingerprint && cache->clock - left->when <= cache->n_slots;
    if (known) left->fingerprint = 0;
    uint32_t slot = take_slot(cache);
    push(cache, known ? &cache->main : &cache->small, slot);
    cache->keys[slot] = row;
    cache->uses[slot] = 0;
    memcpy(cache->rows + (size_t)slot * (size_t)cache->row_bytes, bytes, (size_t)cache->row_bytes);
    cache->index[find(cache, row)] = slot;
}

void el_cache_get(el_cache *cache, const int64_t *ids, int64_t n, uint8_t *rows, uint8_t *found) {
    size_t row_bytes = (size_t)cache->row_bytes;
    int64_t hits = 0;
    pthread_mutex_lock(&cache->lock);
    for (int64_t i = 0; i < n; i++) {
        uint32_t slot = cache->index[find(cache, ids[i])];
        found[i] = slot != NONE;
        if (slot == NONE) continue;
        hits++;
        if (cache->uses[slot] < MAX_USES) cache->uses[slot]++;
        memcpy(rows + (size_t)i * row_bytes, cache->rows + (size_t)slot * row_bytes, row_bytes);
    }
    cache->hits += hits;
    cache->misses += n - hits;
    pthread_mutex_unlock(&cache->lock);
}

void el_cache_put(el_cache *cache, const int64_t *ids, int64_t n, const uint8_t *rows, const uint8_t *found) {
    pthread_mutex_lock(&cache->lock);
    for (int64_t i = 0; i < n; i++)
        if (!found[i]) put(cache, ids[i], rows + (size_t)i * (size_t)cache->row_bytes);
    pthread_mutex_unlock(&cache->lock);
}

el_cache_stats el_cache_get_stats(el_cache *cache) {
    pthread_mutex_lock(&cache->lock);
    el_cache_stats stats = {cache->bytes, cache->n_slots, cache->n_used, cache->hits, cache->misses};
    pthread_mutex_unlock(&cache->lock);
    return stats;
}

static void empty(el_cache *cache) {
    cache->n_used = cache->small.count = cache->main.count = 0;
    memset(cache->index, 0xff, (size_t)cache->n_places * sizeof *cache->index);
    memset(cache->ghosts, 0, (size_t)cache->n_slots * sizeof *cache->ghosts);
}

void el_cache_reset(el_cache *cache) {
    pthread_mutex_init(&cache->lock, NULL);
    empty(cache);
}

el_cache *el_cache_open(int64_t bytes, int64_t row_bytes) {
    // A slot costs its row, key, uses and ghost, its link to the next one, and its places in the index.
    int64_t slot_bytes = row_bytes + 8 + 1 + (int64_t)sizeof(ghost) + 4 + 4 * PLACES, n_slots = bytes / slot_bytes;
    if (n_slots > 0x7fffffff / PLACES) n_slots = 0x7fffffff / PLACES;
    el_cache *cache = n_slots < MIN_ROWS ? NULL : calloc(1, sizeof *cache);
    if (!cache) return NULL;
    cache->row_bytes = row_bytes;
    cache->n_slots = (uint32_t)n_slots;
    cache->n_places = PLACES * cache->n_slots;
    cache->bytes = n_slots * slot_bytes;
    cache->small_share = (uint32_t)(n_slots / SMALL_SHARE);
    cache->rows = malloc((size_t)(n_slots * row_bytes));
    cache->keys = malloc((size_t)n_slots * sizeof *cache->keys);
    cache->uses = malloc((size_t)n_slots);
    cache->next = malloc((size_t)n_slots * sizeof *cache->next);
    cache->index = malloc((size_t)cache->n_places * sizeof *cache->index);
    cache->ghosts = malloc((size_t)n_slots * sizeof *cache->ghosts);
    if (!cache->rows || !cache->keys || !cache->uses || !cache->next || !cache->index || !cache->ghosts) {
        el_cache_close(cache);
        return NULL;
    }
    el_cache_reset(cache);
    return cache;
}

void el_cache_close(el_cache *cache) {
    if (!cache) return;
    void *parts[] = {cache->rows, cache->keys, cache->uses, cache->next, cache->index, cache->ghosts};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) free(parts[i]);
    free(cache);
}
#endif
