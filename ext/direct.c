#define _GNU_SOURCE
#include "direct.h"

#ifdef _WIN32
int el_direct_prepare(int fd) { return (void)fd, EL_REFUSED; }
void el_direct_end(int fd) { (void)fd; }
void el_direct_forget(int fd, int64_t offset, int64_t bytes) { (void)fd, (void)offset, (void)bytes; }
#else
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/magic.h>
#include <sys/vfs.h>
#endif

enum { PAGE = 4096 };

void el_direct_end(int fd) {
#ifdef O_DIRECT
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0) fcntl(fd, F_SETFL, flags & ~O_DIRECT);
#endif
#ifdef POSIX_FADV_RANDOM
    posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); // pages that were read in order carry marks that start reading ahead
#endif
    (void)fd;
}

void el_direct_forget(int fd, int64_t offset, int64_t bytes) {
#ifdef POSIX_FADV_DONTNEED
    int64_t page = sysconf(_SC_PAGESIZE), start = offset / page * page; // only whole pages are let go of
    posix_fadvise(fd, start, (offset + bytes + page - 1) / page * page - start, POSIX_FADV_DONTNEED);
#else
    (void)fd, (void)offset, (void)bytes;
#endif
}

static int lies_in_memory(int fd) {
#ifdef __linux__
    struct statfs info;
    return !fstatfs(fd, &info) && (info.f_type == TMPFS_MAGIC || info.f_type == RAMFS_MAGIC);
#else
    return (void)fd, 0;
#endif
}

int el_direct_prepare(int fd) {
    int found = lies_in_memory(fd) ? EL_IN_MEMORY : EL_REFUSED;
    void *buffer = NULL;
#ifdef O_DIRECT
    int direct = (fcntl(fd, F_GETFL) & O_DIRECT) != 0;
#else
    int direct = 1;
#endif
    if (posix_memalign(&buffer, PAGE, PAGE)) return EL_REFUSED;
    for (int bytes = 512; direct && found == EL_REFUSED && bytes <= PAGE; bytes *= 8)
        if (pread(fd, buffer, (size_t)bytes, bytes) >= 0) found = bytes;
    free(buffer);
    if (found <= 0) el_direct_end(fd);
    return found;
}
#endif
