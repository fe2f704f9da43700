// Hints to the page cache about rows of a mapped table that will be wanted.
#ifndef EL_PAGES_H
#define EL_PAGES_H

#include <stdint.h>

#include "table.h"

// Ask the kernel to read the pages of these rows (ids (n), in range), sorted and merged, without waiting.
void el_pages_hint(const el_table *table, const int64_t *ids, int64_t n);

#endif
