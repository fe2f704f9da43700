#include "step.h"

el_step_result el_step_hash(const el_step *step, const el_step_token *tokens, int64_t n) {
    el_step_result result = {.bad_token = -1};
    for (int64_t i = 0; i < n; i++)
        if (el_map_tokens(step->token_map, step->vocab_size, &tokens[i].token, 1, tokens[i].id) >= 0) {
            result.bad_token = i;
            return result;
        }
    for (int32_t l = 0; l < step->n_layers; l++) {
        const el_step_layer *layer = step->layers + l;
        int64_t n_heads = layer->plan->n_heads, *row_ids = step->row_ids + l * n * step->most_heads;
        result.layer = l;
        for (int64_t i = 0; i < n; i++) {
            int64_t n_history = tokens[i].n_before < step->max_lag ? tokens[i].n_before : step->max_lag;
            el_hash_rows(layer->plan, tokens[i].id - n_history, n_history, 1, row_ids + i * n_heads);
        }
        int64_t outside = el_first_outside(row_ids, n * n_heads, layer->table->n_rows);
        if (outside >= 0) {
            result.rows = (el_result){.status = EL_RANGE, .position = outside};
            return result;
        }
    }
    return result;
}

el_step_result el_step_read(const el_step *step, const el_step_token *tokens, int64_t n) {
    el_step_result result = el_step_hash(step, tokens, n);
    if (result.bad_token >= 0 || result.rows.status != EL_OK) return result;
    // All layers' lines are on the way before the first is gathered.
    for (int32_t l = 0; l < step->n_layers; l++) {
        const el_step_layer *layer = step->layers + l;
        el_prefetch_table(layer->table, step->row_ids + l * n * step->most_heads, n * layer->plan->n_heads);
    }
    for (int32_t l = 0; l < step->n_layers; l++) {
        const el_step_layer *layer = step->layers + l;
        result.layer = l;
        result.rows = el_gather_table(layer->table, step->row_ids + l * n * step->most_heads,
                                      n * layer->plan->n_heads, layer->out);
        if (result.rows.status != EL_OK) return result;
    }
    return result;
}
