// A table as the readers see it: where the bytes of each row lie. Filled in by _native.pyx; only `buffered` and the
// counts change later.
#ifndef EL_TABLE_H
#define EL_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct el_cache;

// Consecutive rows at consecutive places of one file: row r lies at offset + (r - first_row) * width of its column.
typedef struct {
    int64_t first_row, n_rows, offset;
    const uint8_t *map; // of offset's byte; NULL where the file is not mapped
    int32_t file;
} el_extent;

// `width` bytes of every row, in one file or several.
typedef struct {
    int64_t width;
    int32_t n_extents;
    const el_extent *extents; // by ascending first_row, together all rows
} el_column;

// A row is its columns' bytes one after another (two where codes and scales are separate tensors).
typedef struct {
    int64_t n_rows, dim, row_bytes;
    int32_t encoding; // decode.h
    float scale;      // multiplies every value
    int32_t n_columns;
    el_column columns[2];
    int32_t n_files;
    const int *fds;         // (n_files)
    const int64_t *ends;    // (n_files): bytes that each file must have
    volatile int *buffered; // (n_files): 1 where the file system refuses direct reads, so the page cache takes part
    int32_t alignment;      // of direct reads
    struct el_cache *cache; // hot rows of direct reads; NULL: none
    int64_t n_gathers, n_rows_read; // batches and rows asked for, whatever the way; counted by _native.pyx
} el_table;

typedef struct {
    const el_extent *extent;
    int64_t offset;     // in the extent's file
    const uint8_t *map; // NULL where the file is not mapped
} el_place;

// Where one column of `row`, which must be in range, lies.
static inline el_place el_place_of(const el_column *column, int64_t row) {
    int32_t low = 0, high = column->n_extents - 1;
    while (low < high) {
        int32_t middle = low + (high - low + 1) / 2;
        if (column->extents[middle].first_row <= row) low = middle;
        else high = middle - 1;
    }
    const el_extent *extent = column->extents + low;
    int64_t from = (row - extent->first_row) * column->width;
    return (el_place){extent, extent->offset + from, extent->map ? extent->map + from : NULL};
}

#endif
