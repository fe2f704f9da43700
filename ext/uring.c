#define _GNU_SOURCE
#include "uring.h"

#include <stddef.h>

#if defined(__linux__) && defined(__has_include)
#if __has_include(<linux/io_uring.h>)
#define HAVE_URING 1
#endif
#endif

#ifdef HAVE_URING
#include <errno.h>
#include <linux/io_uring.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef __NR_io_uring_setup
#define __NR_io_uring_setup 425
#define __NR_io_uring_enter 426
#endif

struct el_ring {
    int fd;
    unsigned queued; // reads that the kernel has not been told of
    uint8_t *rings;
    size_t rings_bytes, entries_bytes;
    struct io_uring_sqe *entries;
    struct io_uring_cqe *results;
    unsigned sq_mask, cq_mask;
    unsigned *sq_array;
    _Atomic unsigned *sq_tail, *cq_head, *cq_tail;
};

el_ring *el_ring_open(unsigned entries) {
    struct io_uring_params params = {0};
    el_ring *ring = calloc(1, sizeof *ring);
    if (!ring) return NULL;
    ring->rings = MAP_FAILED;
    ring->entries = MAP_FAILED;
    ring->fd = (int)syscall(__NR_io_uring_setup, entries, &params);
    // Kernels before 5.6 lack IORING_OP_READ; threads serve them as well. A filter may let only the first call through.
    unsigned wanted = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_RW_CUR_POS;
    if (ring->fd < 0 || (params.features & wanted) != wanted || el_ring_enter(ring, 0) < 0) goto fail;
    size_t sq_bytes = params.sq_off.array + params.sq_entries * sizeof(unsigned);
    size_t cq_bytes = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
    ring->rings_bytes = sq_bytes > cq_bytes ? sq_bytes : cq_bytes;
    ring->entries_bytes = params.sq_entries * sizeof(struct io_uring_sqe);
    int protection = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_POPULATE;
    ring->rings = mmap(NULL, ring->rings_bytes, protection, flags, ring->fd, IORING_OFF_SQ_RING);
    ring->entries = mmap(NULL, ring->entries_bytes, protection, flags, ring->fd, IORING_OFF_SQES);
    if (ring->rings == MAP_FAILED || ring->entries == MAP_FAILED) goto fail;
    ring->sq_tail = (_Atomic unsigned *)(ring->rings + params.sq_off.tail);
    ring->sq_mask = *(unsigned *)(ring->rings + params.sq_off.ring_mask);
    ring->sq_array = (unsigned *)(ring->rings + params.sq_off.array);
    ring->cq_head = (_Atomic unsigned *)(ring->rings + params.cq_off.head);
    ring->cq_tail = (_Atomic unsigned *)(ring->rings + params.cq_off.tail);
    ring->cq_mask = *(unsigned *)(ring->rings + params.cq_off.ring_mask);
    ring->results = (struct io_uring_cqe *)(ring->rings + params.cq_off.cqes);
    return ring;
fail:
    el_ring_close(ring);
    return NULL;
}

void el_ring_close(el_ring *ring) {
    if (!ring) return;
    if (ring->rings != MAP_FAILED) munmap(ring->rings, ring->rings_bytes);
    if (ring->entries != MAP_FAILED) munmap(ring->entries, ring->entries_bytes);
    if (ring->fd >= 0) close(ring->fd);
    free(ring);
}

void el_ring_read(el_ring *ring, int fd, void *buffer, uint32_t bytes, int64_t offset, uint64_t tag) {
    unsigned tail = atomic_load_explicit(ring->sq_tail, memory_order_relaxed), slot = tail & ring->sq_mask;
    struct io_uring_sqe *entry = ring->entries + slot;
    memset(entry, 0, sizeof *entry);
    entry->opcode = IORING_OP_READ;
    entry->fd = fd;
    entry->addr = (uint64_t)(uintptr_t)buffer;
    entry->len = bytes;
    entry->off = (uint64_t)offset;
    entry->user_data = tag;
    ring->sq_array[slot] = slot;
    atomic_store_explicit(ring->sq_tail, tail + 1, memory_order_release);
    ring->queued++;
}

int el_ring_enter(el_ring *ring, unsigned wait) {
    do {
        unsigned flags = wait ? IORING_ENTER_GETEVENTS : 0;
        long taken = syscall(__NR_io_uring_enter, ring->fd, ring->queued, wait, flags, NULL, 0);
        if (taken < 0) {
            // EBUSY and EAGAIN: the kernel is short of memory for now; what is under way will finish.
            if (errno == EINTR || errno == EAGAIN || errno == EBUSY) continue;
            return -errno;
        }
        ring->queued -= (unsigned)taken;
    } while (ring->queued);
    return 0;
}

int el_ring_withdraw(el_ring *ring, uint64_t *tag) {
    if (!ring->queued) return 0;
    unsigned tail = atomic_load_explicit(ring->sq_tail, memory_order_relaxed) - 1; // only el_ring_enter reads behind it
    *tag = ring->entries[tail & ring->sq_mask].user_data;
    atomic_store_explicit(ring->sq_tail, tail, memory_order_release);
    ring->queued--;
    return 1;
}

int el_ring_take(el_ring *ring, uint64_t *tag, int32_t *result) {
    unsigned head = atomic_load_explicit(ring->cq_head, memory_order_relaxed);
    if (head == atomic_load_explicit(ring->cq_tail, memory_order_acquire)) return 0;
    const struct io_uring_cqe *done = ring->results + (head & ring->cq_mask);
    *tag = done->user_data;
    *result = done->res;
    atomic_store_explicit(ring->cq_head, head + 1, memory_order_release);
    return 1;
}

#else
el_ring *el_ring_open(unsigned entries) {
    (void)entries;
    return NULL;
}
void el_ring_close(el_ring *ring) { (void)ring; }
void el_ring_read(el_ring *ring, int fd, void *buffer, uint32_t bytes, int64_t offset, uint64_t tag) {
    (void)ring, (void)fd, (void)buffer, (void)bytes, (void)offset, (void)tag;
}
int el_ring_enter(el_ring *ring, unsigned wait) { return (void)ring, (void)wait, -1; }
int el_ring_withdraw(el_ring *ring, uint64_t *tag) { return (void)ring, (void)tag, 0; }
int el_ring_take(el_ring *ring, uint64_t *tag, int32_t *result) { return (void)ring, (void)tag, (void)result, 0; }
#endif
