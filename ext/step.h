// One token's rows of every layer in one call, for one sequence or several: map the token, hash, and gather from mapped
// tables; or hash alone, for a reader of others.
#ifndef EL_STEP_H
#define EL_STEP_H

#include "gather.h"
#include "hash.h"
#include "table.h"

typedef struct {
    const el_hash_plan *plan;
    const el_table *table; // mapped, to be gathered from
    float *out;            // (tokens of a call, n_heads * dim)
} el_step_layer;

typedef struct {
    const int32_t *token_map; // (vocab_size); NULL: ids are the tokens
    int64_t vocab_size, max_lag;
    int32_t n_layers;
    const el_step_layer *layers;
    int64_t most_heads; // of a layer
    int64_t *row_ids;   // (n_layers, tokens of a call * most_heads), written
} el_step;

// The next token of one sequence.
typedef struct {
    int64_t token;
    int64_t *id;      // where its id goes, behind the sequence's ids so far
    int64_t n_before; // of these
} el_step_token;

typedef struct {
    el_result rows;    // of layer `layer`; rows.position counts the row ids of all tokens
    int32_t layer;
    int64_t bad_token; // number of the token that is outside the vocabulary, or -1
} el_step_result;

// The tokens of n sequences: write their ids, and which rows each reads with the ids before it to row_ids.
el_step_result el_step_hash(const el_step *step, const el_step_token *tokens, int64_t n);

// The same, and these rows to the layers' outs.
el_step_result el_step_read(const el_step *step, const el_step_token *tokens, int64_t n);

#endif
