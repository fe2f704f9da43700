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
#include <time.h>
#include <unistd.h>

#include "direct.h"
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

// A ring and the buffers that its reads go to.
typedef struct lane {
    el_ring *ring;
    uint8_t *buffers; // (RING_DEPTH, buffer_bytes), fewer of larger ones: RING_BYTES together
    size_t buffer_bytes;
    int64_t requests[RING_DEPTH]; // which request each buffer serves
    int32_t free_buffers[RING_DEPTH], n_free;
    int refused; // the kernel no longer takes its reads
    struct lane *next;
} lane;

struct el_job {
    pthread_mutex_t lock;
    pthread_cond_t progress;
    int32_t n_parts;
    el_wanted *parts;
    el_request *requests;
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
    if (lane->refused) {
        pool.use_uring = 0;
    } else {
        lane->next = pool.lanes;
        pool.lanes = lane;
    }
    pthread_mutex_unlock(&pool.lock);
    if (lane->refused) lane_free(lane);
}

// ---- requests

static const el_table *table_of(const el_job *job, const el_request *r) { return job->parts[r->part].of.table; }

static int fd_of(const el_job *job, const el_request *r) { return table_of(job, r)->fds[r->extent->file]; }

// Take in the result of one read (bytes, or -errno). Returns how the request ended, or AGAIN: what is missing must be read.
static int take_in(el_job *job, el_request *r, const uint8_t *buffer, int64_t result) {
    const el_table *table = table_of(job, r);
    uint32_t before = r->done;
    if (result == -EINTR || result == -EAGAIN || result == -ECANCELED) return AGAIN;
    if ((result == -EINVAL || result == -EOPNOTSUPP) && !r->buffered) { // some file systems refuse no earlier than here
        r->buffered = 1;
        el_direct_end(fd_of(job, r));
        table->buffered[r->extent->file] = 1;
        return AGAIN;
    }
    if (result < 0) return EL_READ;
    if (result == 0) return EL_SHORT;
    r->done += (uint32_t)result;
    if (r->done >= r->need) {
        el_copy_rows(job->parts + r->part, r, buffer);
        if (table->buffered[r->extent->file]) el_direct_forget(fd_of(job, r), r->offset, r->bytes);
        return EL_OK;
    }
    r->done -= r->done % (uint32_t)table->alignment;
    if (r->done > before) return AGAIN;
    struct stat info; // the end of the file, or a read that something cut off
    if (fstat(fd_of(job, r), &info) || info.st_size < r->offset + r->need) return EL_SHORT;
    return ++r->idle > MAX_IDLE ? EL_SHORT : AGAIN;
}

static void finish(el_job *job, const el_request *r, int status, int64_t result) {
    el_wanted *p = job->parts + r->part;
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

static void read_with_pread(el_job *job, el_request *r, uint8_t *buffer) {
    int64_t result = 0;
    int status = buffer && !job->cancelled ? AGAIN : EL_MEMORY;
    while (status == AGAIN) {
        result = pread(fd_of(job, r), buffer + r->done, r->bytes - r->done, r->offset + r->done);
        if (result < 0) result = -errno;
        status = take_in(job, r, buffer, result);
    }
    finish(job, r, status, result);
}

static uint8_t *buffer_of(const lane *lane, uint64_t number) { return lane->buffers + number * lane->buffer_bytes; }

static void queue_read(el_job *job, lane *lane, int32_t number, int64_t index) {
    el_request *r = job->requests + index;
    lane->requests[number] = index;
    el_ring_read(lane->ring, fd_of(job, r), buffer_of(lane, (uint64_t)number) + r->done, r->bytes - r->done,
                 r->offset + r->done, (uint64_t)number);
}

// Hand the queued reads over and wait for `wait`. Where the kernel refuses a ring that it let us open (a filter that came
// later), what it was not given is read here; what it was given comes in by itself. Returns how many requests ended: the job
// may be gone with the last of them.
static int64_t enter(el_job *job, lane *lane, unsigned wait) {
    uint64_t number;
    int64_t ended = 0;
    if (el_ring_enter(lane->ring, wait) >= 0) return 0;
    lane->refused = 1;
    while (el_ring_withdraw(lane->ring, &number)) {
        lane->free_buffers[lane->n_free++] = (int32_t)number;
        ended++;
        read_with_pread(job, job->requests + lane->requests[number], buffer_of(lane, number));
    }
    if (wait && !ended) nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    return ended;
}

// Collect finished reads; returns how many requests ended.
static int64_t collect(el_job *job, lane *lane) {
    uint64_t number;
    int32_t result;
    int64_t ended = 0;
    while (el_ring_take(lane->ring, &number, &result)) {
        el_request *r = job->requests + lane->requests[number];
        int status = take_in(job, r, buffer_of(lane, number), result);
        if (status == AGAIN) {
            queue_read(job, lane, (int32_t)number, lane->requests[number]);
            continue;
        }
        lane->free_buffers[lane->n_free++] = (int32_t)number;
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
        ended += enter(job, lane, 1);
        ended += collect(job, lane);
    }
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

static void job_free(el_job *job) {
    for (int32_t i = 0; job->parts && i < job->n_parts; i++) el_wanted_free(job->parts + i);
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
        if (!job->parts || !el_wanted_prepare(job->parts + i, parts + i)) {
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
        job->n_requests += el_plan_requests(job->parts + i, i, MERGE_BYTES, job->requests + job->n_requests);
    for (int64_t i = 0; i < job->n_requests; i++) {
        stats.bytes += job->requests[i].bytes;
        if (job->requests[i].bytes > job->largest) job->largest = job->requests[i].bytes;
    }
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
            if (i % GROUP == GROUP - 1 || i == job->n_requests - 1) enter(job, job->lane, 0);
        }
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
            enter(job, job->lane, 1);
            collect(job, job->lane);
        }
    }
    pthread_mutex_unlock(&job->lock);
}

el_result el_job_wait(el_job *job, int32_t index) {
    el_wanted *p = job->parts + index;
    if (job->generation != pool.generation) return (el_result){.status = EL_FORKED};
    wait_for(job, &p->pending);
    if (p->status) return (el_result){.status = p->status, .error = p->error, .file = p->file};
    return el_wanted_decode(p);
}

void el_job_close(el_job *job) {
    if (job->generation == pool.generation) {
        job->cancelled = 1;
        wait_for(job, &job->unfinished);
        if (job->lane && !job->queued) lane_give_back(job->lane);
    }
    job_free(job);
}

int el_reader_exists(void) { return 1; }

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
// tables/table.py asks el_reader_exists first, and keeps to mapped files where there is none.
el_job *el_job_start(const el_part *parts, int32_t n_parts) { return (void)parts, (void)n_parts, NULL; }
el_result el_job_wait(el_job *job, int32_t part) { return (void)job, (void)part, (el_result){.status = EL_MEMORY}; }
void el_job_close(el_job *job) { (void)job; }
int el_reader_exists(void) { return 0; }
int el_reader_uses_uring(void) { return 0; }
void el_reader_use_uring(int use) { (void)use; }
el_reader_stats el_reader_get_stats(void) { return (el_reader_stats){0}; }
void el_reader_after_fork(void) {}
#endif
