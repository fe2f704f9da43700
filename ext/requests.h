// From row ids to reads: sorted, de-duplicated, merged where rows share a block; and from a finished read back to rows.
// Plans only: who reads, and on which thread, is reader.c's business.
#ifndef EL_REQUESTS_H
#define EL_REQUESTS_H

#include "gather.h"
#include "table.h"

// ids (n) of one table, in range, and where their rows go: out (n, dim).
typedef struct {
    const el_table *table;
    const int64_t *ids;
    int64_t n;
    float *out;
} el_part;

// A part, and what is known of its rows.
typedef struct {
    el_part of;
    int64_t n_unique, pending; // pending: requests that are not finished
    int64_t *slots;            // (n): number of each id among the unique ones
    int64_t *unique;           // (n_unique), ascending
    uint8_t *found;            // (n_unique): came from the cache
    uint8_t *rows;             // (n_unique, row_bytes)
    int status, error, file;   // of the last request that failed
} el_wanted;

// One read. What is not `bytes` long in a file's last block ends with `need`.
typedef struct {
    int64_t offset;       // in the file, a multiple of the table's alignment
    int64_t first, last;  // rows [first, last) of the part's unique ones; those found in the cache are left out
    uint32_t bytes, need; // to read, to the last byte that is wanted
    uint32_t done;
    int32_t part, column;
    int32_t idle;         // reads that brought nothing new
    int buffered;         // was given to the page cache after the file system refused it
    const el_extent *extent;
} el_request;

// Sort and de-duplicate the part's ids, look in the table's cache. 0: no memory; to be freed all the same.
int el_wanted_prepare(el_wanted *wanted, const el_part *part);
void el_wanted_free(el_wanted *wanted);

// Append the reads of all columns to requests (room for n_unique a column), none over merge_bytes unless one row is.
// `part` is the number that they carry. Returns how many.
int64_t el_plan_requests(el_wanted *wanted, int32_t part, int64_t merge_bytes, el_request *requests);

// Copy the rows of a finished read, its bytes at `buffer`, to where they belong.
void el_copy_rows(el_wanted *wanted, const el_request *request, const uint8_t *buffer);

// Decode the rows of a part whose requests are all finished into its `out`, and offer them to the table's cache.
el_result el_wanted_decode(el_wanted *wanted);

#endif
