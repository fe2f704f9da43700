// Rows read past the page cache: one batch over the tables of all layers, de-duplicated, sorted by place, merged where
// rows share a block, at a high queue depth; waited for table by table. Reads go through io_uring, or through a pool of
// threads with pread where the kernel refuses it.
#ifndef EL_READER_H
#define EL_READER_H

#include "gather.h"
#include "requests.h"

typedef struct el_job el_job;

// Begin to read. `ids` and `out` of every part stay valid until el_job_close. Returns NULL without memory. A few reads are handed to the kernel by the caller itself, many by a thread.
el_job *el_job_start(const el_part *parts, int32_t n_parts);

// Wait for one part and decode it into its `out`. Every part may be waited for once, from any thread.
el_result el_job_wait(el_job *job, int32_t part);

// Wait until nothing is under way any more, and free. Mandatory.
void el_job_close(el_job *job);

int el_reader_exists(void); // 0: this system has no reader, only mapped files

// How reads go: 1 io_uring, 0 threads, for good once the kernel has refused a ring. el_reader_use_uring(0) keeps to the
// threads; el_reader_use_uring(1) tries rings again.
int el_reader_uses_uring(void);
void el_reader_use_uring(int use);

typedef struct {
    int64_t rows, unique, requests, bytes;
} el_reader_stats; // rows asked for, after de-duplication, reads and their bytes; of the process, since it began
el_reader_stats el_reader_get_stats(void);

// In a child after fork(): forget the parent's threads, rings and locks.
void el_reader_after_fork(void);

#endif
