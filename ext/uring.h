// Just enough of io_uring for reads, over the plain system calls.
#ifndef EL_URING_H
#define EL_URING_H

#include <stdint.h>

typedef struct el_ring el_ring;

el_ring *el_ring_open(unsigned entries); // NULL where the kernel has none, refuses it, or files are used up
void el_ring_close(el_ring *ring);

// Queue one read; at most `entries` may be under way. `tag` comes back with its result.
void el_ring_read(el_ring *ring, int fd, void *buffer, uint32_t bytes, int64_t offset, uint64_t tag);

// Hand the queued reads to the kernel and wait until `wait` of all reads are done. 0, or -errno where the kernel refuses: it
// may have been given a part of them.
int el_ring_enter(el_ring *ring, unsigned wait);

// Take back the last read that the kernel has not been given: 1 and its tag, or 0 where it has all.
int el_ring_withdraw(el_ring *ring, uint64_t *tag);

// Take one finished read: 1 and its tag and result (bytes, or -errno), or 0 where none is ready.
int el_ring_take(el_ring *ring, uint64_t *tag, int32_t *result);

#endif
