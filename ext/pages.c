#define _GNU_SOURCE
#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#undef _WIN32_WINNT
#define _WIN32_WINNT 0x0602 // Windows 8: PrefetchVirtualMemory
#include <windows.h>
#endif

#include "pages.h"

#include <stdlib.h>

#ifdef _WIN32
typedef WIN32_MEMORY_RANGE_ENTRY range;

static uintptr_t page_bytes(void) {
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info.dwPageSize;
}

static void ask_for(range *ranges, int64_t n) {
    if (n) PrefetchVirtualMemory(GetCurrentProcess(), (ULONG_PTR)n, ranges, 0);
}
#else
#include <sys/mman.h>
#include <unistd.h>
typedef struct {
    void *VirtualAddress;
    size_t NumberOfBytes;
} range;

static uintptr_t page_bytes(void) { return (uintptr_t)sysconf(_SC_PAGESIZE); }

static void ask_for(range *ranges, int64_t n) {
    for (int64_t i = 0; i < n; i++) madvise(ranges[i].VirtualAddress, ranges[i].NumberOfBytes, MADV_WILLNEED);
}
#endif

static int by_value(const void *a, const void *b) {
    const uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;
    return (x > y) - (x < y);
}

void el_pages_hint(const el_table *table, const int64_t *ids, int64_t n) {
    uintptr_t page = page_bytes();
    uintptr_t *starts = malloc((size_t)(n + 1) * sizeof *starts);
    range *ranges = malloc((size_t)(n + 1) * sizeof *ranges);
    for (int32_t c = 0; starts && ranges && c < table->n_columns; c++) {
        const el_column *column = table->columns + c;
        int64_t n_ranges = 0;
        for (int64_t i = 0; i < n; i++) starts[i] = (uintptr_t)el_place_of(column, ids[i]).map;
        qsort(starts, (size_t)n, sizeof *starts, by_value);
        for (int64_t i = 0; i < n;) {
            uintptr_t first = starts[i] / page, last = (starts[i] + (uintptr_t)column->width - 1) / page;
            for (i++; i < n && starts[i] / page <= last + 1; i++)
                last = (starts[i] + (uintptr_t)column->width - 1) / page;
            ranges[n_ranges++] = (range){(void *)(first * page), (size_t)((last - first + 1) * page)};
        }
        ask_for(ranges, n_ranges);
    }
    free(starts);
    free(ranges);
}
