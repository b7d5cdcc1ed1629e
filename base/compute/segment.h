/* segment.h - what attention knows about a packed batch; drawn in base/batch.h. */
#ifndef LORAC_BASE_COMPUTE_SEGMENT_H
#define LORAC_BASE_COMPUTE_SEGMENT_H

#include "base/core/api.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

LORAC_API_BEGIN

enum { LORAC_MAX_CHAIN = 16 }; // how deep segments may continue each other in one batch

struct lorac_segment {
    uint32_t row, n;       // its rows: row .. row + n - 1; n 0: it has none but cached ones
    int32_t parent;        // the segment of this batch that it continues (a smaller index), or -1
    uint32_t cached, past; // rows cached .. cached + past - 1 of the cache: between its parent's
                           // rows and its own
    uint32_t position;     // of its first own row: past and all rows of its ancestors
    bool keep;             // its keys and values are put into the cache, behind its past
    int32_t adapter;       // which of the pass's adapters its rows use; 0 unless set
};

/* chain written: the segments that `s` continues, eldest first, then s itself. Returns their
 * number. */
static inline size_t lorac_segment_chain(int32_t chain[LORAC_MAX_CHAIN],
                                         const struct lorac_segment *segments, int32_t s)
{
    size_t n = 0;
    for (int32_t i = s; i >= 0; i = segments[i].parent) {
        n++;
    }
    size_t at = n;
    for (int32_t i = s; i >= 0; i = segments[i].parent) {
        chain[--at] = i;
    }
    return n;
}

LORAC_API_END

#endif
