/* search.h - inside recipes/: the search of one question for its likeliest answers, which knows the
 * tree and the sums but no model; see choose.h. */
#ifndef LORAC_RECIPES_SEARCH_H
#define LORAC_RECIPES_SEARCH_H

#include "recipes/run/choose.h"

/* A node whose own likelihood is known while those below it are not, and what its row goes on from:
 * `seen` rows of a piece of the cache, which hold the prompt and the first `from` tokens of its
 * answers. */
struct lorac_open {
    double sum; // of the nll of its tokens
    uint32_t node, from;
    uint32_t piece, seen;
};

/* Zeroed = empty; begun again in place. */
struct lorac_search {
    const struct lorac_tree *tree;
    size_t top;
    bool probability;
    struct lorac_open
        *open; // (n_open) the likeliest first, once lorac_search_next() has said how many
    size_t n_open, cap_open;
    struct lorac_ranked *done; // (n_done) whole answers
    size_t n_done, cap_done;
    size_t beam;
    bool no_memory; // ask once, at the end of a batch
};

void lorac_search_begin(struct lorac_search *s, const struct lorac_tree *tree, size_t top,
                        bool probability);
void lorac_search_free(struct lorac_search *s);
/* A node was scored: answers that end there are whole, and it opens where there are more. */
void lorac_search_reach(struct lorac_search *s, const struct lorac_open *at);
/* How many of the open nodes, likeliest first, are to go on now; 0: the question is answered, and
 * `done` in order with its probabilities. */
size_t lorac_search_next(struct lorac_search *s);
void lorac_search_take(struct lorac_search *s,
                       size_t n); // the first n go on: they are open no more

#endif
