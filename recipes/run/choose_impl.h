/* choose_impl.h - inside recipes/: what choose.c and choose_open.c share. */
#ifndef LORAC_RECIPES_CHOOSE_IMPL_H
#define LORAC_RECIPES_CHOOSE_IMPL_H

#include "recipes/run/choose.h"
#include "recipes/run/search.h"
#include "recipes/run/seats.h"

enum { QUESTIONS = 1024 }; // at a time: the more, the more of them begin alike

/* Rows that lie together in the cache until their question is answered: a prompt with the answer of
 * its own, or nodes; they go on from `seen` rows of another piece. */
struct piece {
    uint32_t asked;
    uint32_t cached, n;         // cached: UINT32_MAX until it has a place there
    uint32_t parent, seen;      // parent UINT32_MAX: it goes on from a root
    uint32_t depth;             // pieces in front of it
    enum { BARE, SHARED } root; // does it go on from what prompts share?
};

struct asked {
    struct lorac_question q; // but for the prompt, NULL:
    size_t at;               // of it in c->ids
    size_t shared;           // tokens of it that it has in common with all
    size_t skip;             // tokens of it that are read elsewhere: of another, or those of all
    uint32_t piece;          // that its prompt goes into; UINT32_MAX: none yet
    uint32_t from;           // the question that it goes on from, or UINT32_MAX
    uint32_t followers;      // questions that go on from it and need its rows still
    uint32_t shown;          // rows of its piece that they see
    struct lorac_search search;
    double loss;
    bool begun, answered;
    size_t broken; // the answer whose likelihood is not finite, or LORAC_NO_ANSWER
};

/* Of a batch. */
struct placed {
    size_t asked;
    bool prompt;            // else a node:
    struct lorac_open node; // where it went on from
    uint32_t last;          // the last of the nodes that run behind each other, from it on
    uint32_t piece;         // that keeps them, or UINT32_MAX
};

struct lorac_chooser {
    struct lorac_chooser_options o;
    struct lorac_batch *batch;
    struct lorac_pass *pass;
    struct lorac_cache *cache;
    struct lorac_seats seats; // in it, behind the prefix and what prompts share
    struct lorac_ids shared;
    bool prefix_read;
    float *nll;           // (targets)
    int32_t *run;         // (max_rows) tokens of one segment
    struct lorac_ids ids; // all prompts
    struct asked *asked;  // (QUESTIONS)
    size_t n;
    uint32_t *order; // (n_order) those that were not begun when it was made, alike ones together
    size_t n_order;
    struct piece *pieces;
    size_t n_pieces, cap_pieces;
    struct placed *placed; // (max_rows + 1)
    size_t n_placed;
    int32_t root[2]; // the batch's segments that are the prefix, alone and with `shared`, or -1
    struct lorac_chooser_work work;
};

#endif
