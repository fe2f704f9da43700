// Row ids of n-grams: multiply and mix the ids of a window, reduce by each head's modulus, add the head's offset.
#ifndef EL_HASH_H
#define EL_HASH_H

#include <stdint.h>

enum { EL_DEAD = -1 };
enum { EL_MIX_XOR = 0, EL_MIX_ADD = 1 };

typedef struct {
    int32_t n_terms, n_heads;
    const int32_t *lags;         // (n_terms)
    const uint64_t *multipliers; // (n_terms)
    const uint64_t *moduli;      // (n_heads), each in [1, 2**32)
    const int64_t *offsets;      // (n_heads)
    // Written by el_hash_prepare:
    int32_t n_shared;      // leading terms that are all of the previous order's: its mix is carried on
    uint64_t smallest;     // of the moduli
    uint64_t *reciprocals; // (n_heads), floor((2**64 - 1) / modulus)
    double *inverses;      // (n_heads), 1 / modulus
} el_hash_order;

typedef struct {
    int32_t n_orders, mix, n_segment_ids;
    int64_t fill_id;
    const int64_t *segment_ids; // (n_segment_ids), ascending
    el_hash_order *orders;      // (n_orders)
    int32_t n_heads;            // of all orders; written by el_hash_prepare
} el_hash_plan;

// Compute what follows from a plan's own numbers. Its arrays, the caller's, stay valid as long as the plan is used.
void el_hash_prepare(el_hash_plan *plan);

// ids (n_history + n): what stands before, oldest first, then the n positions that are hashed; EL_DEAD = nothing there.
// rows (n, plan->n_heads). Products wrap as int64, and the remainder of a negative mix is the floored one.
void el_hash_rows(const el_hash_plan *plan, const int64_t *ids, int64_t n_history, int64_t n, int64_t *rows);

// out[i] = map[tokens[i]], or tokens[i] itself where map is NULL; EL_DEAD stays. Returns -1, or the first position whose
// token lies outside [0, vocab_size).
int64_t el_map_tokens(const int32_t *map, int64_t vocab_size, const int64_t *tokens, int64_t n, int64_t *out);

void el_hash_dispatch(int features);

#endif
