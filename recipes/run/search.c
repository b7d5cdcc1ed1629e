/* search.c - see search.h. */
#include "recipes/run/search.h"

#include "base/core/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define UNCERTAIN 5e-5 // of all likelihood: half a probability's last digit, of a table's

void lorac_search_begin(struct lorac_search *s, const struct lorac_tree *tree, size_t top,
                        bool probability)
{
    s->tree = tree;
    s->top = tree && top > tree->K ? tree->K : top;
    s->probability = probability;
    s->n_open = s->n_done = 0;
    s->beam = 1;
    s->no_memory = false;
}

void lorac_search_free(struct lorac_search *s)
{
    lorac_mem_free(s->open);
    lorac_mem_free(s->done);
    *s = (struct lorac_search){0};
}

void lorac_search_reach(struct lorac_search *s, const struct lorac_open *at)
{
    const struct lorac_tree_node *node = &s->tree->at[at->node];
    struct lorac_ranked *done =
        lorac_mem_grow(s->done, s->n_done, &s->cap_done, s->n_done + node->ends + 1, sizeof *done);
    if (done) { s->done = done; }
    struct lorac_open *open =
        lorac_mem_grow(s->open, s->n_open, &s->cap_open, s->n_open + 1, sizeof *open);
    if (open) { s->open = open; }
    s->no_memory = s->no_memory || !done || !open;
    if (s->no_memory) { return; }
    for (size_t i = 0; i < node->ends; i++) {
        s->done[s->n_done++] = (struct lorac_ranked){
            .k = s->tree->order[node->first + i], .nll = at->sum, .probability = (double)NAN};
    }
    if (node->children) { s->open[s->n_open++] = *at; }
}

static int likelier(const void *x, const void *y)
{
    const struct lorac_ranked *a = x;
    const struct lorac_ranked *b = y;
    if (a->nll != b->nll) { return a->nll < b->nll ? -1 : 1; }
    return (a->k > b->k) - (a->k < b->k);
}

static int nearer(const void *x, const void *y)
{
    const struct lorac_open *a = x;
    const struct lorac_open *b = y;
    if (a->sum != b->sum) { return a->sum < b->sum ? -1 : 1; }
    return (a->node > b->node) - (a->node < b->node);
}

/* Open nodes, first to last, of which one of the `top` may still come. */
static size_t rivals(const struct lorac_search *s)
{
    if (s->n_done < s->top) { return s->n_open; }
    const struct lorac_ranked *last = &s->done[s->top - 1];
    size_t n = 0;
    for (size_t i = 0; i < s->n_open && s->open[i].sum <= last->nll; i++) {
        bool first = s->tree->at[s->open[i].node].least < last->k; // of equal ones it would count
        if (s->open[i].sum < last->nll || first) { n = i + 1; }
    }
    return n;
}

/* Likelihood of whole answers, over that of nll `least`. */
static double whole(const struct lorac_search *s, double least)
{
    double sum = 0.0;
    for (size_t i = 0; i < s->n_done; i++) {
        sum += exp(least - s->done[i].nll);
    }
    return sum;
}

/* What an open node can hold: nothing to its own likelihood; where an answer is the beginning of
 * another, once for each that ends on one way. */
static double held(const struct lorac_search *s, size_t i, double least)
{
    return s->tree->at[s->open[i].node].nested * exp(least - s->open[i].sum);
}

/* Open nodes, first to last, that must be known for probabilities: without them the others hold
 * less than what may stay uncertain. */
static size_t weighty(const struct lorac_search *s)
{
    size_t n = s->n_open;
    if (n == 0) { return 0; }
    double least = s->open[0].sum;
    if (s->n_done && s->done[0].nll < least) { least = s->done[0].nll; }
    double rest = 0.0;
    double all = whole(s, least);
    for (size_t i = 0; i < n; i++) {
        all += held(s, i, least);
    }
    while (n > 0 && rest + held(s, n - 1, least) <= UNCERTAIN * all) {
        rest += held(s, --n, least);
    }
    return n;
}

static void finish(struct lorac_search *s)
{
    double least = s->n_done ? s->done[0].nll : 0.0;
    double known = s->probability ? whole(s, least) : (double)NAN;
    for (size_t i = 0; i < s->n_done; i++) {
        s->done[i].probability = exp(least - s->done[i].nll) / known;
    }
}

size_t lorac_search_next(struct lorac_search *s)
{
    if (s->n_done) { qsort(s->done, s->n_done, sizeof *s->done, likelier); }
    if (s->n_open) { qsort(s->open, s->n_open, sizeof *s->open, nearer); }
    size_t n = rivals(s);
    n = n < s->beam ? n : s->beam;
    if (s->top == s->tree->K) { n = s->n_open; } // all of them are wanted
    if (s->probability) { n = lorac_max(n, weighty(s)); }
    if (n == 0) { finish(s); }
    return n;
}

void lorac_search_take(struct lorac_search *s, size_t n)
{
    if (n == 0) { return; }
    s->n_open -= n;
    memmove(s->open, s->open + n, s->n_open * sizeof *s->open);
    s->beam *= 2; // few batches, and few rows that a better answer would have spared
}
