#include "fault.h"

#ifdef _WIN32
void el_explain_fault(const void *address) { (void)address; }
#else
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

static void say(const char *text, size_t n) {
    if (write(STDERR_FILENO, text, n) < 0) return;
}

// The path in a line "begin-end permissions offset device inode path" of /proc/self/maps, NULL where the address lies
// elsewhere or in no file.
static const char *path_at(const char *line, uintptr_t address) {
    uintptr_t bounds[2] = {0, 0};
    for (int i = 0; i < 2; i++, line++) {
        for (; (*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f'); line++)
            bounds[i] = bounds[i] * 16 + (uintptr_t)(*line <= '9' ? *line - '0' : *line - 'a' + 10);
        if (*line != (i ? ' ' : '-')) return NULL;
    }
    return address >= bounds[0] && address < bounds[1] ? strchr(line, '/') : NULL;
}

void el_explain_fault(const void *address) {
    static char line[8192];
    const char *path = NULL;
    int maps = open("/proc/self/maps", O_RDONLY);
    for (size_t n = 0; maps >= 0 && !path && read(maps, line + n, 1) == 1;) {
        if (line[n] == '\n') {
            line[n] = 0;
            path = path_at(line, (uintptr_t)address);
            n = 0;
        } else if (n + 2 < sizeof line) {
            n++;
        }
    }
    static const char before[] = "engram-local: ", after[] = " was cut short while it was in use; fetch it again\n";
    if (!path) path = "a file";
    say(before, sizeof before - 1);
    say(path, strlen(path));
    say(after, sizeof after - 1);
    _exit(1);
}
#endif
