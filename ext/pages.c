#define _GNU_SOURCE
#include "pages.h"

#if defined(_WIN32)
int64_t el_pages_hint(const el_table *table, const int64_t *ids, int64_t n) { return (void)table, (void)ids, (void)n, 0; }
#else
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static int by_value(const void *a, const void *b) {
    const uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;
    return (x > y) - (x < y);
}

int64_t el_pages_hint(const el_table *table, const int64_t *ids, int64_t n) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t *starts = malloc((size_t)(n * table->n_columns + 1) * sizeof *starts);
    int64_t pages = 0;
    if (!starts) return 0;
    for (int32_t c = 0; c < table->n_columns; c++) {
        const el_column *column = table->columns + c;
        for (int64_t i = 0; i < n; i++) {
            const el_extent *extent = el_extent_of(column, ids[i]);
            starts[i] = (uintptr_t)(extent->map + (ids[i] - extent->first_row) * column->width);
        }
        qsort(starts, (size_t)n, sizeof *starts, by_value);
        for (int64_t i = 0; i < n;) {
            uintptr_t first = starts[i] / page, last = (starts[i] + (uintptr_t)column->width - 1) / page;
            for (i++; i < n && starts[i] / page <= last + 1; i++)
                last = (starts[i] + (uintptr_t)column->width - 1) / page;
            madvise((void *)(first * page), (last - first + 1) * page, MADV_WILLNEED);
            pages += (int64_t)(last - first + 1);
        }
    }
    free(starts);
    return pages;
}
#endif
