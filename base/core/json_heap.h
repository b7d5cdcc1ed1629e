/*
 * json_heap.h - memory for jansson while it reads, where it does not bear to be refused any.
 *
 * Its lexer collects a token in a buffer that doubles, and does not look whether that worked
 * (github.com/akheron/jansson, number 362, all versions up to 2.15): a byte is then missing, and of
 * the last one, a quote, it makes a read and a write past the block. So the functions that
 * lorac_mem_serve_json() gives it draw a refused request from a reserve, taken beforehand, and the
 * text ends:
 *
 *   lorac_json_reserve_open()   room for the one token that may be doubling, and for what the last
 *                               bytes need
 *   json_load_callback()        with lorac_json_feed(), which ends the text once something was
 *                               refused
 *   lorac_json_reserve_drawn()  was it? Then the result is worth nothing
 *   lorac_json_reserve_close()
 *
 * Where jansson has another allocator nothing is reserved, and nothing is known.
 */
#ifndef LORAC_BASE_CORE_JSON_HEAP_H
#define LORAC_BASE_CORE_JSON_HEAP_H

#include "base/core/api.h"
#include <stdbool.h>
#include <stddef.h>

struct lorac_json_text {
    const char *at;
    size_t n; // bytes that are left
};

/* For a text of n bytes; one at a time in each thread. False: no memory. */
LORAC_MUST_CHECK bool lorac_json_reserve_open(size_t n);
/* jansson's callback: the next bytes of a struct lorac_json_text. */
size_t lorac_json_feed(void *bytes, size_t room, void *text);
bool lorac_json_reserve_drawn(void);
/* What was drawn from it is freed before. */
void lorac_json_reserve_close(void);

#endif
