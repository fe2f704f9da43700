// Rows in memory -> float32, with software prefetch, range checks and a guard against SIGBUS.
#ifndef EL_GATHER_H
#define EL_GATHER_H

#include <stdint.h>

#include "table.h"

enum {
    EL_OK,
    EL_RANGE,    // ids[position] is no row
    EL_SCALE,    // row ids[position] has a scale that is NaN or infinite
    EL_FAULT,    // a mapped page could not be read: the file is shorter than its map, or the disk failed
    EL_READ,     // reading file `file` failed with errno `error`
    EL_SHORT,    // file `file` ends before the row
    EL_MEMORY,   // no memory
    EL_FORKED,   // the read was started before fork()
};
typedef struct {
    int status, error, file;
    int64_t position;
    int zeros; // a row's last byte is 0
} el_result;

// The first position of ids (n) that is no row of the table, or -1.
int64_t el_first_outside(const int64_t *ids, int64_t n, int64_t n_rows);

// rows: row r at rows + r * row_bytes. ids (n), all in range -> out (n, dim). After a failure `out` is undefined.
el_result el_gather(const uint8_t *rows, int64_t row_bytes, int64_t dim, int encoding, const int64_t *ids, int64_t n,
                    float *out);

// The same for a mapped table of any layout; applies the table's scale.
el_result el_gather_table(const el_table *table, const int64_t *ids, int64_t n, float *out);

// Bring rows of a mapped table, ids in range, into the CPU's caches: for a caller with several gathers to come.
void el_prefetch_table(const el_table *table, const int64_t *ids, int64_t n);

void el_multiply(float *values, int64_t n, float factor);

// Install the process's SIGBUS handler, once. A fault inside a gather ends that call with EL_FAULT; any other goes to the
// handler that was there before.
void el_guard_install(void);

// From now on a fault elsewhere, which would end the process without a word, ends it with el_explain_fault.
void el_guard_explain(void);

#endif
