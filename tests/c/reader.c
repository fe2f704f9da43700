// The cache of hot rows and the reader of cold ones, by every way of reading that the system has.
#define _GNU_SOURCE
#include "reader.h"

#include <string.h>

#include "cache.h"
#include "check.h"
#include "decode.h"
#include "direct.h"
#include "llama_callback.h"

static const char *NAMES[] = {"a", "b", "c"};
static int hooks;
static const char *get_name(const void *tensor) { return tensor; }
static bool hook(void *owner, void *tensor, int index) {
    (void)owner;
    hooks++;
    return !strcmp(tensor, NAMES[index]);
}

void check_llama_callback(void) {
    el_llama_filter filter = {.get_name = get_name, .names = NAMES, .n_names = 3, .hook = hook};
    char *graph[] = {"x", "a", "c", "b", "a", "c", "c"};
    for (int i = 0; i < 7; i++)
        if (el_llama_eval(graph[i], true, &filter)) check(el_llama_eval(graph[i], false, &filter), "node %d", i);
    check(hooks == 3 && filter.next == 3, "nodes in their order");
}

#ifdef _WIN32
void check_cache(void) { check(!el_cache_open(1 << 20, 66), "no cache here"); }
void check_reader(const char *folder) { check(!el_reader_exists() && folder, "no direct reads here"); }
#else
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef O_DIRECT
#define O_DIRECT 0
#endif

enum { ROW_BYTES = 66 };

static void row_of(int64_t id, uint8_t *row) { memset(row, (int)(id * 37 + 1) & 0xff, ROW_BYTES); }

void check_cache(void) {
    check(!el_cache_open(100, ROW_BYTES), "too small for a cache");
    el_cache *cache = el_cache_open(64 << 10, ROW_BYTES);
    int64_t capacity = el_cache_get_stats(cache).capacity, hot = capacity / 4;
    check(capacity > 500 && el_cache_get_stats(cache).bytes <= 64 << 10, "the cache's size");
    uint8_t rows[64 * ROW_BYTES], expected[ROW_BYTES], found[64];
    uint64_t state = 1;
    int wrong = 0;
    for (int round = 0; round < 3000; round++) { // hot rows, and a scan that passes once
        int64_t ids[64];
        for (int i = 0; i < 64; i++) ids[i] = i % 2 ? 1000000 + round * 64 + i : (int64_t)(next_random(&state) % (uint64_t)hot);
        el_cache_get(cache, ids, 64, rows, found);
        for (int i = 0; i < 64; i++) {
            row_of(ids[i], expected);
            if (!found[i]) memcpy(rows + i * ROW_BYTES, expected, ROW_BYTES);
            else wrong += memcmp(rows + i * ROW_BYTES, expected, ROW_BYTES) != 0;
        }
        el_cache_put(cache, ids, 64, rows, found);
    }
    el_cache_stats stats = el_cache_get_stats(cache);
    check(!wrong, "%d wrong rows from the cache", wrong);
    check(stats.rows == stats.capacity && stats.hits + stats.misses == 3000 * 64, "the cache's counts");
    check(stats.hits > 3000 * 32 * 9 / 10, "a scan flushed the cache: %lld hits", (long long)stats.hits);
    el_cache_reset(cache);
    el_cache_get(cache, (int64_t[]){1}, 1, rows, found);
    check(!found[0] && !el_cache_get_stats(cache).rows, "a cache that was reset is empty");
    el_cache_close(cache);
}

// ---- a table of float32 rows in two files, whose values are (row * DIM + column) modulo 2**20

enum { DIM = 64, N_ROWS = 20000, CUT = 7777, BEFORE = 1000, BYTES = DIM * 4 };

typedef struct {
    int fds[2];
    int64_t ends[2];
    int buffered[2];
    el_extent extents[2];
    el_table table;
    char paths[2][4096];
} files;

static float value_of(int64_t row, int64_t column) { return (float)((row * DIM + column) & 0xfffff); }

static void make_files(files *f, const char *folder) {
    for (int i = 0; i < 2; i++) {
        int64_t first = i ? CUT : 0, n = i ? N_ROWS - CUT : CUT;
        snprintf(f->paths[i], sizeof f->paths[i], "%s/rows-%d", folder, i);
        float *values = memory(n * BYTES);
        char before[BEFORE] = {0};
        for (int64_t r = 0; r < n; r++)
            for (int64_t c = 0; c < DIM; c++) values[r * DIM + c] = value_of(first + r, c);
        FILE *file = fopen(f->paths[i], "wb");
        if (!file || fwrite(before, 1, BEFORE, file) != BEFORE || fwrite(values, BYTES, (size_t)n, file) != (size_t)n)
            abort();
        fclose(file);
        free(values);
        f->fds[i] = open(f->paths[i], O_RDONLY | O_DIRECT);
        if (f->fds[i] < 0) f->fds[i] = open(f->paths[i], O_RDONLY); // a file system without direct reads
#ifdef F_NOCACHE
        fcntl(f->fds[i], F_NOCACHE, 1);
#endif
        f->ends[i] = BEFORE + n * BYTES;
        f->buffered[i] = el_direct_prepare(f->fds[i]) <= 0;
        f->extents[i] = (el_extent){.first_row = first, .n_rows = n, .offset = BEFORE, .file = i};
    }
    int alignment = el_direct_prepare(f->fds[0]);
    check(alignment == EL_REFUSED || alignment == EL_IN_MEMORY || alignment == 512 || alignment == 4096, "alignment %d",
          alignment);
    if (alignment <= 0) alignment = 1;
    f->table = (el_table){.n_rows = N_ROWS, .dim = DIM, .row_bytes = BYTES, .encoding = EL_FLOAT32, .scale = 1,
                          .n_columns = 1, .n_files = 2, .fds = f->fds, .ends = f->ends, .buffered = f->buffered,
                          .alignment = alignment};
    f->table.columns[0] = (el_column){BYTES, 2, f->extents};
}

static el_result read_rows(const el_table *table, const int64_t *ids, int64_t n, float *out) {
    el_part part = {table, ids, n, out};
    el_job *job = el_job_start(&part, 1);
    el_result result = el_job_wait(job, 0);
    el_job_close(job);
    return result;
}

static int right(const int64_t *ids, int64_t n, const float *out) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < DIM; c++)
            if (out[i * DIM + c] != value_of(ids[i], c)) return 0;
    return 1;
}

static void check_batches(el_table *table, const char *way) {
    static const int64_t SIZES[] = {0, 1, 2, 48, 127, 128, 129, 500, 5000, 60000};
    static const int64_t CACHES[] = {0, 200 << 10, 16 << 20};
    uint64_t state = 7;
    for (int c = 0; c < 3; c++) {
        table->cache = CACHES[c] ? el_cache_open(CACHES[c], BYTES) : NULL;
        for (int s = 0; s < 20; s++) {
            int64_t n = SIZES[s % 10], *ids = memory(n * 8);
            float *out = memory(n * BYTES);
            for (int64_t i = 0; i < n; i++) ids[i] = n == 500 ? CUT - 1 : (int64_t)(next_random(&state) % N_ROWS);
            el_result result = read_rows(table, ids, n, out);
            check(result.status == EL_OK && right(ids, n, out), "%lld rows, %s, cache %d", (long long)n, way, c);
            free(ids), free(out);
        }
        el_cache_close(table->cache);
    }
    table->cache = NULL;

    el_reader_stats before = el_reader_get_stats();
    int64_t ids[1200];
    float *out = memory(1200 * BYTES), *other = memory(1200 * BYTES);
    for (int i = 0; i < 1200; i++) ids[i] = 1000 + i / 3;
    check(read_rows(table, ids, 1200, out).status == EL_OK && right(ids, 1200, out), "neighbours, %s", way);
    el_reader_stats after = el_reader_get_stats();
    check(after.rows - before.rows == 1200 && after.unique - before.unique == 400, "de-duplicated, %s", way);
    check(after.requests - before.requests <= 8, "merged, %s", way); // 400 rows of 256 bytes, 16 KiB at a time

    // Several tables in one job, waited for backwards, or never.
    el_part parts[] = {{table, ids, 1200, out}, {table, ids + 600, 600, other}};
    el_job *job = el_job_start(parts, 2);
    check(el_job_wait(job, 1).status == EL_OK && right(ids + 600, 600, other), "the second part first, %s", way);
    check(el_job_wait(job, 0).status == EL_OK && right(ids, 1200, out), "then the first part, %s", way);
    el_job_close(job);
    el_job_close(el_job_start(parts, 2));
    free(out), free(other);
}

static void check_faults(files *f, const char *way) {
    int64_t ids[600];
    float *out = memory(600 * BYTES);
    for (int i = 0; i < 600; i++) ids[i] = i * (N_ROWS / 600);
    int whole = f->fds[1];
    f->fds[1] = -1;
    el_result result = read_rows(&f->table, ids, 600, out);
    check(result.status == EL_READ && result.file == 1 && result.error, "a descriptor that is none, %s", way);
    f->fds[1] = whole;
    check(!truncate(f->paths[1], f->ends[1] - 5000 * BYTES - 7), "cut");
    result = read_rows(&f->table, ids, 600, out);
    check(result.status == EL_SHORT && result.file == 1, "a file cut short, %s: %d", way, result.status);
    check(read_rows(&f->table, ids, 200, out).status == EL_OK && right(ids, 200, out), "rows before the cut, %s", way);
    free(out);
}

static void *worker(void *table) {
    uint64_t state = (uint64_t)(uintptr_t)&state;
    float *out = memory(200 * BYTES);
    int64_t ids[200];
    int wrong = 0;
    for (int round = 0; round < 30; round++) {
        int64_t n = 1 + (int64_t)(next_random(&state) % 200);
        for (int64_t i = 0; i < n; i++) ids[i] = (int64_t)(next_random(&state) % N_ROWS);
        wrong += read_rows(table, ids, n, out).status != EL_OK || !right(ids, n, out);
    }
    free(out);
    return wrong ? table : NULL;
}

static void check_threads(el_table *table, const char *way) {
    pthread_t threads[8];
    table->cache = el_cache_open(400 << 10, BYTES);
    for (int i = 0; i < 8; i++) pthread_create(threads + i, NULL, worker, table);
    for (int i = 0; i < 8; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        check(!wrong, "thread %d, %s", i, way);
    }
    el_cache_close(table->cache);
    table->cache = NULL;
}

static void check_fork(el_table *table, const char *way) {
    int64_t ids[] = {1, N_ROWS - 1};
    float out[2 * DIM];
    el_part part = {table, ids, 2, out};
    el_job *job = el_job_start(&part, 1);
    pid_t child = fork();
    if (!child) {
        el_reader_after_fork();
        int forked = el_job_wait(job, 0).status == EL_FORKED;
        el_job_close(job);
        _exit(!(forked && read_rows(table, ids, 2, out).status == EL_OK && right(ids, 2, out)));
    }
    int status = -1;
    waitpid(child, &status, 0);
    check(status == 0, "after fork(), %s: %d", way, status);
    check(el_job_wait(job, 0).status == EL_OK && right(ids, 2, out), "the parent of a fork, %s", way);
    el_job_close(job);
}

static void check_map(files *f) { // mapped rows whose file is cut under the map
    int64_t ids[] = {CUT, N_ROWS - 1};
    float out[2 * DIM];
    el_extent one = {.first_row = 0, .n_rows = N_ROWS - CUT};
    uint8_t *map = mmap(NULL, (size_t)f->ends[1], PROT_READ, MAP_SHARED, f->fds[1], 0);
    el_table table = f->table;
    int64_t ends[] = {f->ends[1]};
    int fds[] = {f->fds[1]};
    if (map == MAP_FAILED) abort();
    one.map = map + BEFORE;
    table.n_rows = one.n_rows, table.n_files = 1, table.fds = fds, table.ends = ends;
    table.columns[0] = (el_column){BYTES, 1, &one};
    ids[0] = 0, ids[1] = table.n_rows - 1;
    check(el_gather_table(&table, ids, 2, out).status == EL_OK && out[DIM] == value_of(N_ROWS - 1, 0), "mapped rows");
    check(!truncate(f->paths[1], 9000), "cut");
    el_result result = el_gather_table(&table, ids, 2, out);
    check(result.status == EL_SHORT || result.status == EL_FAULT, "a map cut short: %d", result.status);
    check(el_gather_table(&table, ids, 1, out).status == EL_OK && out[1] == value_of(CUT, 1), "a row before the cut");
    munmap(map, (size_t)f->ends[1]);
}

void check_reader(const char *folder) {
    for (int ring = 0; ring < 2; ring++) {
        const char *way = ring ? "io_uring" : "threads";
        el_reader_use_uring(ring);
        if (ring && !el_reader_uses_uring()) {
            printf("io_uring is refused here: reads went through threads alone\n");
            break;
        }
        files f;
        make_files(&f, folder);
        check_batches(&f.table, way);
        check_threads(&f.table, way);
        if (getenv("EL_NO_FORK")) printf("fork() with threads was not checked: the emulator cannot\n");
        else check_fork(&f.table, way);
        check_map(&f);
        for (int i = 0; i < 2; i++) close(f.fds[i]);
        make_files(&f, folder);
        check_faults(&f, way);
        for (int i = 0; i < 2; i++) close(f.fds[i]), remove(f.paths[i]);
    }
}
#endif
