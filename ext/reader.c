#define _GNU_SOURCE
#include "reader.h"

#include <stddef.h>

#ifndef _WIN32
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache.h"
#include "uring.h"

enum {
    RING_DEPTH = 128,   // reads under way at once: 10 % more rows a second than 64 on the disk measured, 256 no more
    GROUP = 8,          // reads handed over at once: the disk starts on the first while the next are prepared
    N_THREADS = 32,     // the same for preads
    MERGE_BYTES = 16384, // neighbouring rows are read together up to this size
    RING_BYTES = RING_DEPTH * MERGE_BYTES,
    PAGE = 4096,
    THREAD_STACK = 1 << 18,
    MAX_IDLE = 100,
    AGAIN = -1,
};

typedef struct {
    int64_t offset;        // in the file, a multiple of the table's alignment
    int64_t first, last;   // rows [first, last) of the part's unique ones; those found in the cache are left out
    uint32_t bytes, need;  // to read, to the last byte that is wanted
    uint32_t done;
    int32_t part, column, idle; // idle: reads that brought nothing new
    const el_extent *extent;
} request;

typedef struct {
    const el_table *table;
    const int64_t *ids;
    float *out;
    int64_t n, n_unique, pending; // pending: requests that are not finished
    int64_t *slots;               // (n): number of each id among the unique ones
    int64_t *unique;              // (n_unique), ascending
    uint8_t *found;               // (n_unique): came from the cache
    uint8_t *rows;                // (n_unique, row_bytes)
    int status, error, file;
} part;

// A ring and the buffers that its reads go to.
typedef struct lane {
    el_ring *ring;
    uint8_t *buffers; // (RING_DEPTH, buffer_bytes), fewer of larger ones: RING_BYTES together
    size_t buffer_bytes;
    int64_t requests[RING_DEPTH]; // which request each buffer serves
    int32_t free_buffers[RING_DEPTH], n_free;
    struct lane *next;
} lane;

struct el_job {
    pthread_mutex_t lock;
    pthread_cond_t progress;
    int32_t n_parts;
    part *parts;
    request *requests;
    int64_t n_requests, next, unfinished; // next: first that no thread has taken; unfinished: of all parts
    uint32_t largest;                     // bytes of the largest request
    int queued;                           // worked on by threads
    atomic_int cancelled;
    lane *lane;                           // of a job that is not queued
    unsigned generation;
    struct el_job *next_job;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t work;
    int n_threads, n_idle, use_uring;
    unsigned generation; // counts forks
    lane *lanes;         // free ones
    struct el_job *first, *last;
    el_reader_stats stats;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER, .use_uring = 1};

// ---- lanes

static void lane_free(lane *lane) {
    if (!lane) return;
    el_ring_close(lane->ring);
    free(lane->buffers);
    free(lane);
}

static uint8_t *aligned(size_t bytes) {
    void *memory = NULL;
    return posix_memalign(&memory, PAGE, bytes) ? NULL : memory;
}

static lane *lane_take(size_t buffer_bytes) {
    pthread_mutex_lock(&pool.lock);
    lane *taken = pool.use_uring ? pool.lanes : NULL;
    if (taken) pool.lanes = taken->next;
    int use = pool.use_uring;
    pthread_mutex_unlock(&pool.lock);
    if (!use) return NULL;
    if (!taken) {
        taken = calloc(1, sizeof *taken);
        if (!taken) return NULL;
        taken->ring = el_ring_open(RING_DEPTH);
    }
    if (taken->ring && taken->buffer_bytes < buffer_bytes) {
        int32_t n = buffer_bytes < RING_BYTES ? (int32_t)(RING_BYTES / buffer_bytes) : 1;
        if (n > RING_DEPTH) n = RING_DEPTH;
        free(taken->buffers);
        taken->buffers = aligned((size_t)n * buffer_bytes);
        taken->buffer_bytes = taken->buffers ? buffer_bytes : 0;
        for (taken->n_free = 0; taken->n_free < n; taken->n_free++) taken->free_buffers[taken->n_free] = taken->n_free;
    }
    if (!taken->ring || !taken->buffers) {
        lane_free(taken);
        return NULL;
    }
    return taken;
}

static void lane_give_back(lane *lane) {
    pthread_mutex_lock(&pool.lock);
    lane->next = pool.lanes;
    pool.lanes = lane;
    pthread_mutex_unlock(&pool.lock);
}

// ---- requests

static int fd_of(const el_job *job, const request *r) { return job->parts[r->part].table->fds[r->extent->file]; }

static void copy_rows(el_job *job, const request *r, const uint8_t *buffer) {
    part *p = job->parts + r->part;
    const el_column *column = p->table->columns + r->column;
    int64_t row_bytes = p->table->row_bytes, at = r->column ? p->table->columns[0].width : 0;
    for (int64_t u = r->first; u < r->last; u++) {
        if (p->found[u]) continue;
        int64_t place = r->extent->offset + (p->unique[u] - r->extent->first_row) * column->width - r->offset;
        memcpy(p->rows + u * row_bytes + at, buffer + place, (size_t)column->width);
    }
}

// Take in the result of one read (bytes, or -errno). Returns how the request ended, or AGAIN: what is missing must be read.
static int take_in(el_job *job, request *r, const uint8_t *buffer, int64_t result) {
    uint32_t alignment = (uint32_t)job->parts[r->part].table->alignment, before = r->done;
    if (result == -EINTR || result == -EAGAIN || result == -ECANCELED) return AGAIN;
    if (result < 0) return EL_READ;
    if (result == 0) return EL_SHORT;
    r->done += (uint32_t)result;
    if (r->done >= r->need) {
        copy_rows(job, r, buffer);
        return EL_OK;
    }
    r->done -= r->done % alignment;
    if (r->done > before) return AGAIN;
    struct stat info; // the end of the file, or a read that something cut off
    if (fstat(fd_of(job, r), &info) || info.st_size < r->offset + r->need) return EL_SHORT;
    return ++r->idle > MAX_IDLE ? EL_SHORT : AGAIN;
}

static void finish(el_job *job, const request *r, int status, int64_t result) {
    part *p = job->parts + r->part;
    if (job->queued) pthread_mutex_lock(&job->lock);
    if (status != EL_OK) {
        p->status = status;
        p->error = result < 0 ? (int)-result : 0;
        p->file = r->extent->file;
    }
    int64_t left = --p->pending;
    if (--job->unfinished == 0 || left == 0) pthread_cond_broadcast(&job->progress);
    if (job->queued) pthread_mutex_unlock(&job->lock);
}

static void queue_read(el_job *job, lane *lane, int32_t buffer, int64_t index) {
    request *r = job->requests + index;
    lane->requests[buffer] = index;
    el_ring_read(lane->ring, fd_of(job, r), lane->buffers + (size_t)buffer * lane->buffer_bytes + r->done,
                 r->bytes - r->done, r->offset + r->done, (uint64_t)buffer);
}

static void enter(lane *lane, unsigned wait) {
    if (el_ring_enter(lane->ring, wait) < 0) abort(); // the kernel refuses its own descriptor: memory was overwritten
}

// Collect finished reads; returns how many requests ended.
static int64_t collect(el_job *job, lane *lane) {
    uint64_t tag;
    int32_t result;
    int64_t ended = 0;
    while (el_ring_take(lane->ring, &tag, &result)) {
        request *r = job->requests + lane->requests[tag];
        int status = take_in(job, r, lane->buffers + tag * lane->buffer_bytes, result);
        if (status == AGAIN) {
            queue_read(job, lane, (int32_t)tag, lane->requests[tag]);
            continue;
        }
        lane->free_buffers[lane->n_free++] = (int32_t)tag;
        ended++;
        finish(job, r, status, result);
    }
    return ended;
}

// A whole job through one ring, kept full. The job may be gone as soon as its last request is finished.
static void read_with_ring(el_job *job, lane *lane) {
    int64_t n = job->n_requests, next = 0, ended = 0;
    while (ended < n) {
        if (job->cancelled && next < n) { // nobody wants the rest
            finish(job, job->requests + next++, EL_MEMORY, 0);
            ended++;
            continue;
        }
        while (lane->n_free && next < n) queue_read(job, lane, lane->free_buffers[--lane->n_free], next++);
        enter(lane, 1);
        ended += collect(job, lane);
    }
}

static void read_with_pread(el_job *job, request *r, uint8_t *buffer) {
    int64_t result = 0;
    int status = buffer && !job->cancelled ? AGAIN : EL_MEMORY;
    while (status == AGAIN) {
        result = pread(fd_of(job, r), buffer + r->done, r->bytes - r->done, r->offset + r->done);
        if (result < 0) result = -errno;
        status = take_in(job, r, buffer, result);
    }
    finish(job, r, status, result);
}

// ---- threads

static void *work(void *unused) {
    uint8_t *buffer = NULL;
    size_t buffer_bytes = 0;
    pthread_mutex_lock(&pool.lock);
    for (;;) {
        while (!pool.first) {
            pool.n_idle++;
            pthread_cond_wait(&pool.work, &pool.lock);
            pool.n_idle--;
        }
        el_job *job = pool.first;
        lane *lane = job->lane;
        int64_t index = lane ? job->n_requests - 1 : job->next++; // with a ring one thread takes the whole job
        if (index == job->n_requests - 1) {
            pool.first = job->next_job;
            if (!pool.first) pool.last = NULL;
        }
        pthread_mutex_unlock(&pool.lock);
        if (lane) {
            read_with_ring(job, lane);
            lane_give_back(lane);
        } else {
            if (buffer_bytes < job->largest) {
                free(buffer);
                buffer = aligned(job->largest);
                buffer_bytes = buffer ? job->largest : 0;
            }
            read_with_pread(job, job->requests + index, buffer);
        }
        pthread_mutex_lock(&pool.lock);
    }
    return unused;
}

// Hand the job to the threads; 0 where there is none and none can be made.
static int enqueue(el_job *job) {
    int wanted = job->lane ? 1 : job->n_requests < N_THREADS ? (int)job->n_requests : N_THREADS;
    pthread_mutex_lock(&pool.lock);
    while (pool.n_idle < wanted && pool.n_threads < N_THREADS) {
        pthread_t thread;
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        pthread_attr_setstacksize(&attributes, THREAD_STACK);
        int failed = pthread_create(&thread, &attributes, work, NULL);
        pthread_attr_destroy(&attributes);
        if (failed) break;
        pool.n_threads++;
        wanted--;
    }
    int possible = pool.n_threads > 0;
    if (possible) {
        if (pool.last) pool.last->next_job = job;
        else pool.first = job;
        pool.last = job;
        pthread_cond_broadcast(&pool.work);
    }
    pthread_mutex_unlock(&pool.lock);
    return possible;
}

// ---- jobs

typedef struct {
    int64_t row, position;
} entry;

static int by_row(const void *a, const void *b) {
    const entry *x = a, *y = b;
    return (x->row > y->row) - (x->row < y->row);
}

// Sort and de-duplicate the ids, look in the cache. 0: no memory.
static int prepare(part *p, const el_part *wanted) {
    int64_t n = wanted->n;
    *p = (part){.table = wanted->table, .ids = wanted->ids, .out = wanted->out, .n = n};
    entry *entries = malloc((size_t)(n + 1) * sizeof *entries);
    p->slots = malloc((size_t)(n + 1) * sizeof *p->slots);
    p->unique = malloc((size_t)(n + 1) * sizeof *p->unique);
    if (!entries || !p->slots || !p->unique) {
        free(entries);
        return 0;
    }
    for (int64_t i = 0; i < n; i++) entries[i] = (entry){wanted->ids[i], i};
    qsort(entries, (size_t)n, sizeof *entries, by_row);
    for (int64_t i = 0; i < n; i++) {
        if (!i || entries[i].row != entries[i - 1].row) p->unique[p->n_unique++] = entries[i].row;
        p->slots[entries[i].position] = p->n_unique - 1;
    }
    free(entries);
    p->found = calloc((size_t)p->n_unique + 1, 1);
    p->rows = malloc((size_t)(p->n_unique * p->table->row_bytes + 1));
    if (!p->found || !p->rows) return 0;
    if (p->table->cache) el_cache_get(p->table->cache, p->unique, p->n_unique, p->rows, p->found);
    return 1;
}

// The reads of one column: consecutive rows whose blocks touch are read together.
static void plan(el_job *job, int32_t index, int32_t column_index) {
    part *p = job->parts + index;
    const el_column *column = p->table->columns + column_index;
    int64_t alignment = p->table->alignment;
    request *open = NULL;
    for (int64_t u = 0; u < p->n_unique; u++) {
        if (p->found[u]) continue;
        const el_extent *extent = el_extent_of(column, p->unique[u]);
        int64_t place = extent->offset + (p->unique[u] - extent->first_row) * column->width;
        int64_t start = place / alignment * alignment, end = place + column->width;
        int64_t block_end = (end + alignment - 1) / alignment * alignment;
        if (!open || open->extent != extent || start > open->offset + open->bytes ||
            block_end - open->offset > MERGE_BYTES) {
            open = job->requests + job->n_requests++;
            *open = (request){.offset = start, .first = u, .part = index, .column = column_index, .extent = extent};
            p->pending++;
        }
        open->last = u + 1;
        open->bytes = (uint32_t)(block_end - open->offset);
        open->need = (uint32_t)(end - open->offset);
        if (open->bytes > job->largest) job->largest = open->bytes;
    }
}

static void job_free(el_job *job) {
    for (int32_t i = 0; job->parts && i < job->n_parts; i++) {
        part *p = job->parts + i;
        free(p->slots), free(p->unique), free(p->found), free(p->rows);
    }
    free(job->parts);
    free(job->requests);
    if (job->generation == pool.generation) { // else a thread of the parent may seem to hold them for ever
        pthread_mutex_destroy(&job->lock);
        pthread_cond_destroy(&job->progress);
    }
    free(job);
}

el_job *el_job_start(const el_part *parts, int32_t n_parts) {
    el_job *job = calloc(1, sizeof *job);
    if (!job) return NULL;
    pthread_mutex_init(&job->lock, NULL);
    pthread_cond_init(&job->progress, NULL);
    job->n_parts = n_parts;
    job->parts = calloc((size_t)n_parts + 1, sizeof *job->parts);
    int64_t most = 0;
    el_reader_stats stats = {0};
    for (int32_t i = 0; i < n_parts; i++) {
        if (!job->parts || !prepare(job->parts + i, parts + i)) {
            job_free(job);
            return NULL;
        }
        most += job->parts[i].n_unique * parts[i].table->n_columns;
        stats.rows += parts[i].n;
        stats.unique += job->parts[i].n_unique;
    }
    job->requests = malloc((size_t)(most + 1) * sizeof *job->requests);
    if (!job->requests) {
        job_free(job);
        return NULL;
    }
    for (int32_t i = 0; i < n_parts; i++)
        for (int32_t c = 0; c < parts[i].table->n_columns; c++) plan(job, i, c);
    for (int64_t i = 0; i < job->n_requests; i++) stats.bytes += job->requests[i].bytes;
    job->unfinished = job->n_requests;

    pthread_mutex_lock(&pool.lock);
    job->generation = pool.generation;
    pool.stats.rows += stats.rows;
    pool.stats.unique += stats.unique;
    pool.stats.requests += job->n_requests;
    pool.stats.bytes += stats.bytes;
    pthread_mutex_unlock(&pool.lock);
    if (!job->n_requests) return job;

    job->lane = lane_take(job->largest > MERGE_BYTES ? job->largest : MERGE_BYTES);
    if (job->lane && job->n_requests <= job->lane->n_free) {
        // The kernel reads while the caller computes; el_job_wait collects.
        for (int64_t i = 0; i < job->n_requests; i++) {
            queue_read(job, job->lane, job->lane->free_buffers[--job->lane->n_free], i);
            if (i % GROUP == GROUP - 1) enter(job->lane, 0);
        }
        enter(job->lane, 0);
        return job;
    }
    job->queued = 1;
    if (!enqueue(job)) { // not even one thread: read here and now
        uint8_t *buffer = aligned(job->largest);
        job->queued = 0;
        for (int64_t i = 0; i < job->n_requests; i++) read_with_pread(job, job->requests + i, buffer);
        free(buffer);
    }
    return job;
}

static void wait_for(el_job *job, const int64_t *pending) {
    pthread_mutex_lock(&job->lock);
    if (job->queued) {
        while (*pending > 0) pthread_cond_wait(&job->progress, &job->lock);
    } else {
        while (*pending > 0) {
            enter(job->lane, 1);
            collect(job, job->lane);
        }
    }
    pthread_mutex_unlock(&job->lock);
}

el_result el_job_wait(el_job *job, int32_t index) {
    part *p = job->parts + index;
    if (job->generation != pool.generation) return (el_result){.status = EL_FORKED};
    wait_for(job, &p->pending);
    if (p->status) return (el_result){.status = p->status, .error = p->error, .file = p->file};
    const el_table *table = p->table;
    if (table->cache) el_cache_put(table->cache, p->unique, p->n_unique, p->rows, p->found);
    el_result result = el_gather(p->rows, table->row_bytes, table->dim, table->encoding, p->slots, p->n, p->out);
    if (table->scale != 1.0f) el_multiply(p->out, p->n * table->dim, table->scale);
    return result;
}

void el_job_close(el_job *job) {
    if (job->generation == pool.generation) {
        job->cancelled = 1;
        wait_for(job, &job->unfinished);
        if (job->lane && !job->queued) lane_give_back(job->lane);
    }
    job_free(job);
}

int el_direct_alignment(int fd) {
    uint8_t *buffer = aligned(PAGE);
    int found = 0;
    for (int bytes = 512; buffer && !found && bytes <= PAGE; bytes *= 8)
        if (pread(fd, buffer, (size_t)bytes, bytes) >= 0) found = bytes;
    free(buffer);
    return found;
}

void el_reader_use_uring(int use) {
    pthread_mutex_lock(&pool.lock);
    pool.use_uring = use;
    pthread_mutex_unlock(&pool.lock);
}

int el_reader_uses_uring(void) {
    lane *probe = lane_take(MERGE_BYTES);
    if (probe) lane_give_back(probe);
    return probe != NULL;
}

el_reader_stats el_reader_get_stats(void) {
    pthread_mutex_lock(&pool.lock);
    el_reader_stats stats = pool.stats;
    pthread_mutex_unlock(&pool.lock);
    return stats;
}

void el_reader_after_fork(void) {
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.work, NULL);
    pool.n_threads = pool.n_idle = 0;
    pool.generation++;
    pool.lanes = NULL; // the parent's rings: closing them here would be safe, using them would not
    pool.first = pool.last = NULL;
}

#else
// tables/table.py asks el_direct_alignment first, and keeps to mapped files where it is 0.
el_job *el_job_start(const el_part *parts, int32_t n_parts) { return (void)parts, (void)n_parts, NULL; }
el_result el_job_wait(el_job *job, int32_t part) { return (void)job, (void)part, (el_result){.status = EL_MEMORY}; }
void el_job_close(el_job *job) { (void)job; }
int el_direct_alignment(int fd) { return (void)fd, 0; }
int el_reader_uses_uring(void) { return 0; }
void el_reader_use_uring(int use) { (void)use; }
el_reader_stats el_reader_get_stats(void) { return (el_reader_stats){0}; }
void el_reader_after_fork(void) {}
#endif
