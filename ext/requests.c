#include "requests.h"

#ifndef _WIN32 // only the reader needs it
#include <stdlib.h>
#include <string.h>

#include "cache.h"

typedef struct {
    int64_t row, position;
} entry;

static int by_row(const void *a, const void *b) {
    const entry *x = a, *y = b;
    return (x->row > y->row) - (x->row < y->row);
}

int el_wanted_prepare(el_wanted *wanted, const el_part *part) {
    int64_t n = part->n;
    *wanted = (el_wanted){.of = *part};
    entry *entries = malloc((size_t)(n + 1) * sizeof *entries);
    wanted->slots = malloc((size_t)(n + 1) * sizeof *wanted->slots);
    wanted->unique = malloc((size_t)(n + 1) * sizeof *wanted->unique);
    if (!entries || !wanted->slots || !wanted->unique) {
        free(entries);
        return 0;
    }
    for (int64_t i = 0; i < n; i++) entries[i] = (entry){part->ids[i], i};
    qsort(entries, (size_t)n, sizeof *entries, by_row);
    for (int64_t i = 0; i < n; i++) {
        if (!i || entries[i].row != entries[i - 1].row) wanted->unique[wanted->n_unique++] = entries[i].row;
        wanted->slots[entries[i].position] = wanted->n_unique - 1;
    }
    free(entries);
    wanted->found = calloc((size_t)wanted->n_unique + 1, 1);
    wanted->rows = malloc((size_t)(wanted->n_unique * part->table->row_bytes + 1));
    if (!wanted->found || !wanted->rows) return 0;
    if (part->table->cache)
        el_cache_get(part->table->cache, wanted->unique, wanted->n_unique, wanted->rows, wanted->found);
    return 1;
}

void el_wanted_free(el_wanted *wanted) {
    free(wanted->slots), free(wanted->unique), free(wanted->found), free(wanted->rows);
}

// The reads of one column: consecutive rows whose blocks touch are read together.
static int64_t plan_column(el_wanted *wanted, int32_t part, int32_t column, int64_t merge_bytes, el_request *requests) {
    int64_t width = wanted->of.table->columns[column].width, alignment = wanted->of.table->alignment, n = 0;
    el_request *open = NULL;
    for (int64_t u = 0; u < wanted->n_unique; u++) {
        if (wanted->found[u]) continue;
        el_place place = el_place_of(wanted->of.table->columns + column, wanted->unique[u]);
        int64_t start = place.offset / alignment * alignment, end = place.offset + width;
        int64_t block_end = (end + alignment - 1) / alignment * alignment;
        if (!open || open->extent != place.extent || start > open->offset + open->bytes ||
            block_end - open->offset > merge_bytes) {
            open = requests + n++;
            *open = (el_request){.offset = start, .first = u, .part = part, .column = column, .extent = place.extent};
        }
        open->last = u + 1;
        open->bytes = (uint32_t)(block_end - open->offset);
        open->need = (uint32_t)(end - open->offset);
    }
    return n;
}

int64_t el_plan_requests(el_wanted *wanted, int32_t part, int64_t merge_bytes, el_request *requests) {
    for (int32_t column = 0; column < wanted->of.table->n_columns; column++)
        wanted->pending += plan_column(wanted, part, column, merge_bytes, requests + wanted->pending);
    return wanted->pending;
}

void el_copy_rows(el_wanted *wanted, const el_request *request, const uint8_t *buffer) {
    const el_table *table = wanted->of.table;
    const el_column *column = table->columns + request->column;
    int64_t at = request->column ? table->columns[0].width : 0;
    for (int64_t u = request->first; u < request->last; u++) {
        if (wanted->found[u]) continue;
        int64_t from = el_place_of(column, wanted->unique[u]).offset - request->offset;
        memcpy(wanted->rows + u * table->row_bytes + at, buffer + from, (size_t)column->width);
    }
}

el_result el_wanted_decode(el_wanted *wanted) {
    const el_table *table = wanted->of.table;
    int64_t n = wanted->of.n;
    if (table->cache) el_cache_put(table->cache, wanted->unique, wanted->n_unique, wanted->rows, wanted->found);
    el_result result =
        el_gather(wanted->rows, table->row_bytes, table->dim, table->encoding, wanted->slots, n, wanted->of.out);
    if (table->scale != 1.0f) el_multiply(wanted->of.out, n * table->dim, table->scale);
    return result;
}
#endif
