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

enum { NONE = 0xffffffff, MAX_USES = 3, MIN_ROWS = 16, SMALL_SHARE = 10 };

typedef struct {
    uint32_t *slots; // (capacity), a ring
    uint32_t capacity, head, count;
} fifo;

typedef struct {
    uint32_t fingerprint, when;
} ghost;

struct el_cache {
    pthread_mutex_t lock;
    int64_t row_bytes, bytes, hits, misses;
    uint32_t n_slots, small_share; // rows that the small queue keeps when the cache is full
    uint32_t n_used, n_free;       // slots that were handed out once; slots on the free list
    fifo small, main;
    uint8_t *rows;      // (n_slots, row_bytes)
    int64_t *keys;      // (n_slots)
    uint8_t *uses;      // (n_slots), 0 to MAX_USES
    uint32_t *free_slots;
    uint32_t *index;    // (index_mask + 1), open addressing: slot or NONE
    ghost *ghosts;      // (index_mask + 1): rows that left the small queue unused, at their hash
    uint32_t index_mask, clock;
};

static uint64_t hash_of(int64_t row) {
    uint64_t x = (uint64_t)row * 0x9E3779B97F4A7C15u;
    return x ^ x >> 29;
}

static void push(fifo *queue, uint32_t slot) {
    queue->slots[((uint64_t)queue->head + queue->count++) % queue->capacity] = slot;
}

static uint32_t pop(fifo *queue) {
    uint32_t slot = queue->slots[queue->head];
    queue->head = (queue->head + 1) % queue->capacity;
    queue->count--;
    return slot;
}

static uint32_t find(const el_cache *cache, int64_t row) { // place in the index: of the row, or where it would go
    uint32_t at = (uint32_t)hash_of(row) & cache->index_mask;
    while (cache->index[at] != NONE && cache->keys[cache->index[at]] != row) at = (at + 1) & cache->index_mask;
    return at;
}

static void forget(el_cache *cache, uint32_t slot) {
    uint32_t hole = find(cache, cache->keys[slot]), at = hole;
    cache->index[hole] = NONE;
    for (;;) { // close the gap, so that probing never meets a hole inside a run
        at = (at + 1) & cache->index_mask;
        if (cache->index[at] == NONE) break;
        uint32_t home = (uint32_t)hash_of(cache->keys[cache->index[at]]) & cache->index_mask;
        if (((at - home) & cache->index_mask) >= ((at - hole) & cache->index_mask)) {
            cache->index[hole] = cache->index[at];
            cache->index[at] = NONE;
            hole = at;
        }
    }
    cache->free_slots[cache->n_free++] = slot;
}

static ghost *ghost_of(el_cache *cache, int64_t row, uint32_t *fingerprint) {
    uint64_t hash = hash_of(row);
    *fingerprint = (uint32_t)(hash >> 32) | 1; // 0: empty
    return cache->ghosts + ((uint32_t)hash & cache->index_mask);
}

// Take the oldest row of the small queue: on to the main one if it was used, else out, leaving its ghost.
static void age_small(el_cache *cache) {
    uint32_t slot = pop(&cache->small), fingerprint;
    if (cache->uses[slot]) {
        cache->uses[slot] = 0;
        push(&cache->main, slot);
        return;
    }
    ghost *left = ghost_of(cache, cache->keys[slot], &fingerprint);
    *left = (ghost){fingerprint, cache->clock++};
    forget(cache, slot);
}

// Take the oldest row of the main queue: to its end if it was used, else out.
static void age_main(el_cache *cache) {
    uint32_t slot = pop(&cache->main);
    if (cache->uses[slot]) {
        cache->uses[slot]--;
        push(&cache->main, slot);
    } else {
        forget(cache, slot);
    }
}

static void put(el_cache *cache, int64_t row, const uint8_t *bytes) {
    if (cache->index[find(cache, row)] != NONE) return;
    uint32_t fingerprint;
    ghost *left = ghost_of(cache, row, &fingerprint);
    int known = left->fingerprint == fingerprint && cache->clock - left->when <= cache->n_slots;
    if (known) left->fingerprint = 0;
    while (cache->small.count + cache->main.count >= cache->n_slots) {
        if (cache->small.count > cache->small_share || !cache->main.count) age_small(cache);
        else age_main(cache);
    }
    uint32_t slot = cache->n_free ? cache->free_slots[--cache->n_free] : cache->n_used++;
    push(known ? &cache->main : &cache->small, slot);
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
    int64_t rows = (int64_t)cache->n_used - cache->n_free;
    el_cache_stats stats = {cache->bytes, cache->n_slots, rows, cache->hits, cache->misses};
    pthread_mutex_unlock(&cache->lock);
    return stats;
}

static void empty(el_cache *cache) {
    cache->n_used = cache->n_free = cache->small.count = cache->main.count = 0;
    memset(cache->index, 0xff, ((size_t)cache->index_mask + 1) * sizeof *cache->index);
    memset(cache->ghosts, 0, ((size_t)cache->index_mask + 1) * sizeof *cache->ghosts);
}

void el_cache_reset(el_cache *cache) {
    pthread_mutex_init(&cache->lock, NULL);
    empty(cache);
}

el_cache *el_cache_open(int64_t bytes, int64_t row_bytes) {
    // A slot costs its row, key, uses, places in both queues and the free list, and in the index and the ghosts.
    int64_t slot_bytes = row_bytes + 8 + 1 + 3 * 4, index_bytes = sizeof(uint32_t) + sizeof(ghost);
    int64_t places = 32, n_slots = bytes / slot_bytes;
    while (places < 2 * (bytes - places * index_bytes) / slot_bytes) places *= 2;
    n_slots = (bytes - places * index_bytes) / slot_bytes;
    if (n_slots > 0x7fffffff) n_slots = 0x7fffffff;
    el_cache *cache = n_slots < MIN_ROWS ? NULL : calloc(1, sizeof *cache);
    if (!cache) return NULL;
    cache->row_bytes = row_bytes;
    cache->n_slots = (uint32_t)n_slots;
    cache->bytes = n_slots * slot_bytes + places * index_bytes;
    cache->small_share = (uint32_t)(n_slots / SMALL_SHARE);
    cache->small.capacity = cache->main.capacity = cache->n_slots;
    cache->index_mask = (uint32_t)(places - 1);
    cache->rows = malloc((size_t)(n_slots * row_bytes));
    cache->keys = malloc((size_t)n_slots * sizeof *cache->keys);
    cache->uses = malloc((size_t)n_slots);
    cache->free_slots = malloc((size_t)n_slots * sizeof *cache->free_slots);
    cache->small.slots = malloc((size_t)cache->small.capacity * sizeof(uint32_t));
    cache->main.slots = malloc((size_t)cache->main.capacity * sizeof(uint32_t));
    cache->index = malloc((size_t)places * sizeof *cache->index);
    cache->ghosts = malloc((size_t)places * sizeof *cache->ghosts);
    if (!cache->rows || !cache->keys || !cache->uses || !cache->free_slots || !cache->small.slots || !cache->main.slots ||
        !cache->index || !cache->ghosts) {
        el_cache_close(cache);
        return NULL;
    }
    el_cache_reset(cache);
    return cache;
}

void el_cache_close(el_cache *cache) {
    if (!cache) return;
    void *parts[] = {cache->rows,        cache->keys,       cache->uses,  cache->free_slots,
                     cache->small.slots, cache->main.slots, cache->index, cache->ghosts};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) free(parts[i]);
    free(cache);
}
#endif
