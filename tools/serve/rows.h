/*
 * rows.h - the rows of the server's key/value cache: who has which, and what earlier requests left
 * in them. A tree of pieces; each is a run of rows, and may go on from the middle of another:
 *
 *   "You are helpful. " --+-- "Hello"        begin 17
 *   (begin 0, 40 rows)    +-- "What is ..."  begin 17
 *
 * Pieces belong to the content of an adapter (key): what one adapter left no other one reads. One
 * without users stays until its rows are wanted, the longest unused first. One thread's.
 */
#ifndef LORAC_TOOLS_SERVE_ROWS_H
#define LORAC_TOOLS_SERVE_ROWS_H

#include <lorac/base.h>

enum { ROWS_KEY = 65, ROWS_MAX_DEPTH = LORAC_MAX_CHAIN - 1, ROWS_MAX_MATCH = 8 };

struct piece {
    struct piece *parent; // it goes on behind the parent's first begin - parent->begin rows
    struct piece *next;   // the one behind it in the cache
    char key[ROWS_KEY];
    size_t begin;   // tokens before it
    size_t at, cap; // its rows of the cache
    size_t n;       // of them filled
    int32_t *ids;   // (cap) the tokens in them
    size_t kids;    // pieces that go on from it
    size_t users;   // requests that fill it
    size_t depth;   // pieces before it
    uint64_t used;
    uint64_t search; // the last search that met it, and
    size_t agrees;   // what came out: tokens from the first on that are the same
};

struct rows {
    struct piece *first; // in the order of their rows
    size_t n;            // rows of the cache
    uint64_t clock;
};

/* The piece in which the longest known beginning of ids (n) ends, *tokens long; NULL: nothing is
 * known. It is at most ROWS_MAX_MATCH deep. */
struct piece *rows_find(size_t *tokens, struct rows *r, const char *key, const int32_t *ids,
                        size_t n);
/* A new piece of `want` rows, or of fewer, but `least`, where there are no more, behind `begin`
 * tokens of `parent` (NULL: none). It has a user. NULL: no room, *no_memory or not. */
struct piece *rows_take(bool *no_memory, struct rows *r, struct piece *parent, size_t begin,
                        const char *key, size_t want, size_t least);
/* It has one user less; what is not filled is free again. */
void rows_leave(struct rows *r, struct piece *p);
size_t rows_filled(const struct rows *r, bool used); // all rows with something in them, or of users
void rows_free(struct rows *r);

#endif
