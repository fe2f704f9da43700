// Files whose reads pass the page cache by, as far as their file system lets them.
#ifndef EL_DIRECT_H
#define EL_DIRECT_H

#include <stdint.h>

// Prepare `fd`, opened for direct reads. Returns the block size they need (512 or 4096); EL_REFUSED where the file system
// knows none, EL_IN_MEMORY where the file lies in memory itself (tmpfs), so that nothing could be passed by: reads then go
// through the page cache. A file system may refuse the first of the real reads all the same: el_direct_end is for that.
enum { EL_REFUSED = 0, EL_IN_MEMORY = -1 };
int el_direct_prepare(int fd);

// From here on the page cache takes part in reading this file, without reading ahead.
void el_direct_end(int fd);

// Let the page cache go of what was read through it: direct reads promise not to fill it.
void el_direct_forget(int fd, int64_t offset, int64_t bytes);

#endif
