// Rows of a mapped table -> float32, with software prefetch, range checks and a guard against SIGBUS.
#ifndef EL_GATHER_H
#define EL_GATHER_H

#include <stdint.h>

enum {
    EL_GATHER_OK,
    EL_GATHER_RANGE, // ids[position] is no row
    EL_GATHER_SCALE, // row ids[position] has a scale that is NaN or infinite
    EL_GATHER_FAULT, // a page could not be read: the file is shorter than its map, or the disk failed
};
typedef struct {
    int status;
    int64_t position;
} el_gather_result;

// ids (n) -> out (n, dim). rows: n_rows of row_bytes each; encoding as in decode.h. After a failure `out` is undefined.
el_gather_result el_gather(const uint8_t *rows, int64_t n_rows, int64_t row_bytes, int64_t dim, int encoding,
                           const int64_t *ids, int64_t n, float *out);

// Read one byte of every page.
el_gather_result el_touch(const uint8_t *bytes, int64_t n_bytes);

// Install the process's SIGBUS handler, once. A fault inside el_gather or el_touch ends that call with EL_GATHER_FAULT; any
// other goes to the handler that was there before.
void el_guard_install(void);

#endif
