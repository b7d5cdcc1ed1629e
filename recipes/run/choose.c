/* choose.c - questions in batches of packed rows; see choose.h. */
#include "recipes/run/choose_impl.h"

#include "base/core/mem.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHAIN_ROOM = 4,   // of a chain of segments: the prefix, a prompt, a node and one to spare
    PROMPT_DEPTH = 3, // how deep prompts go on from each other
};

static size_t prefix_rows(const struct lorac_chooser *c)
{
    return c->o.prefix ? c->o.prefix->n : 0;
}

void lorac_chooser_clear(struct lorac_chooser *c)
{
    c->n = c->n_order = c->n_pieces = c->ids.n = 0;
    lorac_seats_clear(&c->seats, prefix_rows(c) + c->shared.n);
}

void lorac_chooser_renew(struct lorac_chooser *c)
{
    lorac_chooser_clear(c);
    c->prefix_read = false;
}

enum lorac_status lorac_chooser_share(struct lorac_chooser *c, const int32_t *ids, size_t n,
                                      struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    c->shared.n = 0;
    c->prefix_read = false;
    bool fits = n <= c->seats.end - prefix_rows(c) - c->o.max_tokens; // beside any question
    for (size_t i = 0; i < n && fits && !st; i++) {
        st = lorac_ids_add(&c->shared, ids[i], err);
    }
    lorac_chooser_clear(c);
    return st;
}

/* The index of a new piece without a place in the cache, or UINT32_MAX: no memory. */
static uint32_t add_piece(struct lorac_chooser *c, size_t asked, uint32_t parent, uint32_t seen,
                          size_t n)
{
    struct piece *pieces =
        lorac_mem_grow(c->pieces, c->n_pieces, &c->cap_pieces, c->n_pieces + 1, sizeof *pieces);
    if (!pieces) { return UINT32_MAX; }
    c->pieces = pieces;
    uint32_t depth = parent == UINT32_MAX ? 0 : pieces[parent].depth + 1;
    pieces[c->n_pieces] =
        (struct piece){(uint32_t)asked, UINT32_MAX, (uint32_t)n, parent, seen, depth, BARE};
    return (uint32_t)c->n_pieces++;
}

static bool seat_piece(struct lorac_chooser *c, uint32_t piece)
{
    size_t at = 0;
    bool there = lorac_seats_take(&at, &c->seats, c->pieces[piece].n);
    if (there) { c->pieces[piece].cached = (uint32_t)at; }
    return there;
}

/* Others have the rows of a piece, but the first `keep`. */
static void free_piece(struct lorac_chooser *c, struct piece *p, uint32_t keep)
{
    if (p->cached == UINT32_MAX || p->n <= keep) { return; }
    lorac_seats_give(&c->seats, p->cached + keep, p->n - keep);
    p->n = keep;
    if (keep == 0) { p->cached = UINT32_MAX; }
}

/* Question i is answered: its rows are not needed but those that others go on from, nor are, if
 * there are none, those that it went on from itself. */
static void free_pieces(struct lorac_chooser *c, uint32_t i)
{
    struct asked *a = &c->asked[i];
    for (size_t k = 0; k < c->n_pieces; k++) {
        bool shown = k == a->piece && a->followers;
        if (c->pieces[k].asked == i) { free_piece(c, &c->pieces[k], shown ? a->shown : 0); }
    }
    while (a->followers == 0 && a->from != UINT32_MAX) {
        i = a->from;
        a = &c->asked[i];
        a->followers--;
        if (!a->answered || a->followers) { break; }
        free_piece(c, &c->pieces[a->piece], 0);
    }
}

/* ---- questions ---- */

/* Tokens of the answer that runs with the prompt. */
static size_t own_tokens(const struct lorac_question *q)
{
    return q->own == LORAC_NO_ANSWER ? 0 : q->tree->at[q->tree->last[q->own]].depth;
}

/* Rows of the prompt and its own answer; a last token is only a target. */
static size_t first_rows(const struct lorac_question *q)
{
    size_t own = own_tokens(q);
    return q->n + own - (own || !q->tree);
}

/* Tokens of a prompt that may be read elsewhere: its last one, and what is scored, are its own. */
static size_t common_tokens(const struct lorac_question *q)
{
    return (q->scored_from < q->n ? q->scored_from : q->n) - 1;
}

/* Those that it has in common with all. */
static size_t shared_tokens(const struct lorac_chooser *c, const struct lorac_question *q)
{
    size_t n = c->shared.n;
    return lorac_ids_common(c->shared.at, n, q->prompt, common_tokens(q)) == n ? n : 0;
}

enum lorac_status lorac_chooser_add(bool *added, struct lorac_chooser *c,
                                    const struct lorac_question *q, struct lorac_err *err)
{
    size_t shared = shared_tokens(c, q);
    size_t room = c->seats.end - c->seats.first;
    size_t answer = q->tree ? q->tree->longest : 0;
    *added = false;
    assert(q->n >= 1 && q->scored_from >= 1 && (q->tree ? q->top >= 1 : q->scored_from < q->n));
    if (q->n - shared + answer > room || q->n + answer > c->batch->max_rows) {
        return lorac_fail(err, LORAC_EUSER,
                          "a prompt of %zu tokens and an answer of %zu, expected at most %zu "
                          "together",
                          q->n, answer, c->o.max_tokens);
    }
    if (c->n == QUESTIONS) { return LORAC_OK; }
    enum lorac_status st = LORAC_OK;
    struct asked *a = &c->asked[c->n];
    a->q = *q;
    a->q.prompt = NULL; // the caller's may change now
    a->at = c->ids.n;
    a->shared = shared;
    a->loss = 0.0;
    a->piece = UINT32_MAX;
    a->begun = a->answered = false;
    a->broken = LORAC_NO_ANSWER;
    lorac_search_begin(&a->search, q->tree, q->top, q->probability);
    for (size_t i = 0; i < q->n && !st; i++) {
        st = lorac_ids_add(&c->ids, q->prompt[i], err);
    }
    c->n += !st;
    *added = !st;
    return st;
}

const struct lorac_ranked *lorac_chooser_answers(size_t *k, const struct lorac_chooser *c, size_t i)
{
    const struct asked *a = &c->asked[i];
    assert(i < c->n && a->answered);
    *k = a->broken;
    return a->broken == LORAC_NO_ANSWER ? a->search.done : NULL;
}

double lorac_chooser_loss(const struct lorac_chooser *c, size_t i)
{
    assert(i < c->n && c->asked[i].answered);
    return c->asked[i].broken == LORAC_NO_ANSWER ? c->asked[i].loss : (double)NAN;
}

struct lorac_chooser_work lorac_chooser_work(const struct lorac_chooser *c)
{
    return c->work;
}

/* ---- prompts that begin alike ---- */

struct prompt {
    const int32_t *at; // (n)
    size_t n;
    uint32_t asked;
};

static struct prompt prompt_of(const struct lorac_chooser *c, uint32_t i)
{
    return (struct prompt){c->ids.at + c->asked[i].at, c->asked[i].q.n, i};
}

static int by_tokens(const void *x, const void *y)
{
    const struct prompt *a = x;
    const struct prompt *b = y;
    int order = lorac_ids_compare(a->at, a->n, b->at, b->n);
    return order ? order : a->asked < b->asked ? -1 : 1;
}

/* Prompt i goes on from the one in front of it in the order, of which it has the longest beginning
 * in common, or, where those tokens are read elsewhere themselves, from where they are. */
static void follow(struct lorac_chooser *c, uint32_t i, uint32_t from)
{
    struct asked *a = &c->asked[i];
    size_t common = 0;
    a->from = UINT32_MAX;
    a->skip = a->shared;
    if (from != UINT32_MAX) {
        common = lorac_ids_common(c->ids.at + a->at, common_tokens(&a->q),
                                  c->ids.at + c->asked[from].at, c->asked[from].q.n);
    }
    while (from != UINT32_MAX && common > a->skip) {
        const struct asked *f = &c->asked[from];
        bool deep = c->pieces[f->piece].depth == PROMPT_DEPTH;
        if (f->q.tree && !deep && common > f->skip) { break; } // without a tree it isn't kept
        common = common < f->skip ? common : f->skip;
        from = f->from;
    }
    if (from == UINT32_MAX || common <= a->skip) { return; }
    struct asked *f = &c->asked[from];
    a->from = from;
    a->skip = common;
    f->followers++;
    f->shown = (uint32_t)lorac_max(f->shown, common - f->skip);
}

static enum lorac_status link_question(struct lorac_chooser *c, uint32_t i, uint32_t before,
                                       struct lorac_err *err)
{
    struct asked *a = &c->asked[i];
    follow(c, i, before);
    const struct asked *f = a->from == UINT32_MAX ? NULL : &c->asked[a->from];
    a->followers = a->shown = 0;
    a->piece = add_piece(c, i, f ? f->piece : UINT32_MAX, f ? (uint32_t)(a->skip - f->skip) : 0,
                         first_rows(&a->q) - a->skip);
    if (a->piece == UINT32_MAX) {
        return lorac_fail(err, LORAC_ENOMEM, "no memory for a question");
    }
    c->pieces[a->piece].root = a->shared ? SHARED : BARE;
    return LORAC_OK;
}

/* While none is under way: those that are not begun, in the order of their tokens, so that each
 * goes on from one that is read shortly before. */
static enum lorac_status arrange(struct lorac_chooser *c, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    struct prompt *prompts = lorac_mem_new(c->n, sizeof *prompts);
    if (!prompts) { return lorac_fail(err, LORAC_ENOMEM, "no memory for questions"); }
    c->n_order = c->n_pieces = 0;
    lorac_seats_clear(&c->seats, c->seats.first);
    for (uint32_t i = 0; i < c->n; i++) {
        if (!c->asked[i].begun) { prompts[c->n_order++] = prompt_of(c, i); }
    }
    qsort(prompts, c->n_order, sizeof *prompts, by_tokens);
    for (size_t k = 0; k < c->n_order && !st; k++) {
        c->order[k] = prompts[k].asked;
        st = link_question(c, c->order[k], k ? c->order[k - 1] : UINT32_MAX, err);
    }
    lorac_mem_free(prompts);
    return st;
}

/* ---- a batch: what goes into it ---- */

/* Nodes of the answer that runs with the prompt: path (tokens) written, the first token first. */
static void find_path(uint32_t *path, const struct lorac_tree *t, uint32_t last)
{
    for (uint32_t i = last; i != 0; i = t->at[i].parent) {
        path[t->at[i].depth - 1] = i;
    }
}

static void score_children(struct lorac_batch *b, size_t row, const struct lorac_tree *t, size_t i)
{
    for (size_t child = i + 1; child < t->at[i].end; child = t->at[child].end) {
        lorac_batch_score(b, row, t->at[child].id);
    }
}

/* The segment that holds the first `seen` rows of a piece and what these go on from. */
static int32_t place_piece(struct lorac_chooser *c, uint32_t piece, size_t seen)
{
    const struct piece *p = &c->pieces[piece];
    int32_t parent = c->root[p->root];
    if (p->parent != UINT32_MAX) { parent = place_piece(c, p->parent, p->seen); }
    return lorac_batch_add_cached(c->batch, NULL, 0, parent, p->cached, seen, false);
}

static bool place_prompt(struct lorac_chooser *c, size_t i)
{
    struct asked *a = &c->asked[i];
    const struct lorac_question *q = &a->q;
    const struct lorac_tree *t = q->tree;
    struct lorac_batch *b = c->batch;
    size_t n = q->n - a->skip;
    size_t rows = first_rows(q) - a->skip;
    size_t targets = q->n - q->scored_from + (t ? t->K : 0) + own_tokens(q);
    size_t room = c->seats.end - c->seats.first;
    bool crowded = c->seats.used && c->seats.used + rows > room / 4 * 3; // nodes need some, too
    if (!lorac_batch_fits(b, rows, targets) || b->S + CHAIN_ROOM + PROMPT_DEPTH > b->max_segments) {
        return false;
    }
    if (a->from != UINT32_MAX && !c->asked[a->from].begun) { return false; }
    if (t && (crowded || !seat_piece(c, a->piece))) { return false; }
    const struct piece *piece = &c->pieces[a->piece];
    int32_t parent = c->root[piece->root];
    if (piece->parent != UINT32_MAX) { parent = place_piece(c, piece->parent, piece->seen); }
    size_t row = b->N;
    size_t own = rows > n ? rows - n : 0; // rows of the answer
    uint32_t *path = (uint32_t *)(void *)c->run;
    memcpy(c->run, c->ids.at + a->at + a->skip, (rows < n ? rows : n) * sizeof *c->run);
    for (uint32_t k = own ? t->last[q->own] : 0; k != 0; k = t->at[k].parent) {
        if (t->at[k].depth <= own) { c->run[n + t->at[k].depth - 1] = t->at[k].id; }
    }
    (void)lorac_batch_add_cached(b, c->run, rows, parent, t ? piece->cached : 0, 0, t != NULL);
    for (size_t k = q->scored_from; k < q->n; k++) {
        lorac_batch_score(b, row + k - 1 - a->skip, c->ids.at[a->at + k]);
    }
    c->placed[c->n_placed++] = (struct placed){.asked = i, .prompt = true};
    a->begun = true;
    if (!t) { return true; }
    score_children(b, row + n - 1, t, 0);
    if (!own) { return true; }
    find_path(path, t, t->last[q->own]); // what was in `run` is in the batch
    for (size_t k = 0; k < own; k++) {
        score_children(b, row + n + k, t, path[k]);
    }
    return true;
}

/* Tokens into c->run: from what is cached to the node, and on while there is no other way. Returns
 * how many; *lead of them stand in front of the node. */
static size_t find_run(size_t *lead, uint32_t *last, struct lorac_chooser *c,
                       const struct lorac_tree *t, const struct lorac_open *o)
{
    size_t n = t->at[o->node].depth - o->from;
    *lead = n - 1;
    for (uint32_t i = o->node; t->at[i].depth > o->from; i = t->at[i].parent) {
        c->run[t->at[i].depth - o->from - 1] = t->at[i].id;
    }
    *last = o->node;
    while (t->at[*last].children == 1 && t->at[*last + 1].children && n < c->batch->max_rows) {
        ++*last; // its only child
        c->run[n++] = t->at[*last].id;
    }
    return n;
}

/* Does a child of node i have children? Then its row will go on from that of i. */
static bool goes_deeper(const struct lorac_tree *t, uint32_t i)
{
    for (size_t child = i + 1; child < t->at[i].end; child = t->at[child].end) {
        if (t->at[child].children) { return true; }
    }
    return false;
}

static bool place_node(struct lorac_chooser *c, size_t i, const struct lorac_open *o)
{
    const struct lorac_tree *t = c->asked[i].q.tree;
    struct lorac_batch *b = c->batch;
    struct placed p = {.asked = i, .node = *o, .piece = UINT32_MAX};
    size_t lead = 0;
    size_t n = find_run(&lead, &p.last, c, t, o);
    uint32_t depth = c->pieces[o->piece].depth;
    if (!lorac_batch_fits(b, n, n - lead - 1 + t->at[p.last].children) ||
        b->S + depth + CHAIN_ROOM > b->max_segments) {
        return false;
    }
    bool keep = goes_deeper(t, p.last) && depth + CHAIN_ROOM < LORAC_MAX_CHAIN;
    int32_t parent = place_piece(c, o->piece, o->seen);
    size_t row = b->N;
    if (keep) { p.piece = add_piece(c, i, o->piece, o->seen, n); }
    if (p.piece != UINT32_MAX && !seat_piece(c, p.piece)) { p.piece = UINT32_MAX; }
    keep = p.piece != UINT32_MAX;
    (void)lorac_batch_add_cached(b, c->run, n, parent, keep ? c->pieces[p.piece].cached : 0, 0,
                                 keep);
    for (uint32_t k = o->node; k <= p.last; k++) { // a run's nodes follow each other
        score_children(b, row + lead + k - o->node, t, k);
    }
    c->placed[c->n_placed++] = p;
    return true;
}

/* As many of its open nodes as fit. */
static void place_next(struct lorac_chooser *c, size_t i)
{
    struct asked *a = &c->asked[i];
    bool goes = a->q.tree && a->broken == LORAC_NO_ANSWER;
    size_t n = goes ? lorac_search_next(&a->search) : 0;
    a->answered = n == 0;
    if (a->answered) { free_pieces(c, (uint32_t)i); }
    size_t k = 0;
    while (k < n && place_node(c, i, &a->search.open[k])) {
        k++;
    }
    lorac_search_take(&a->search, k);
}

static void fill(struct lorac_chooser *c)
{
    lorac_batch_clear(c->batch);
    c->n_placed = 0;
    size_t prefix = prefix_rows(c);
    c->root[BARE] = c->root[SHARED] =
        prefix ? lorac_batch_add_cached(c->batch, NULL, 0, -1, 0, prefix, false) : -1;
    if (c->shared.n) {
        c->root[SHARED] =
            lorac_batch_add_cached(c->batch, NULL, 0, -1, 0, prefix + c->shared.n, false);
    }
    for (size_t i = 0; i < c->n; i++) { // first: those that are answered make room
        const struct asked *a = &c->asked[i];
        if (a->begun && !a->answered) { place_next(c, i); }
    }
    for (size_t k = 0; k < c->n_order; k++) {
        if (!c->asked[c->order[k]].begun) { (void)place_prompt(c, c->order[k]); }
    }
}

/* ---- what comes out of it ---- */

static double sum_of(struct asked *a, const struct lorac_tree *t, size_t node, double sum,
                     float nll)
{
    if (!isfinite(nll)) { a->broken = t->at[node].least; }
    return sum + (double)nll;
}

/* Of the children of node `at->node`: `nll`, one a child. Returns their number. *on_sum: of child
 * `on`; where its row is in this batch, too (`runs`), it is open no more. */
static size_t reach_children(struct asked *a, double *on_sum, const struct lorac_open *at,
                             const float *nll, size_t on, bool runs)
{
    const struct lorac_tree *t = a->q.tree;
    size_t n = 0;
    for (size_t child = at->node + 1U; child < t->at[at->node].end; child = t->at[child].end, n++) {
        struct lorac_open o = *at;
        o.node = (uint32_t)child;
        o.sum = sum_of(a, t, child, at->sum, nll[n]);
        lorac_search_reach(&a->search, &o);
        if (child != on) { continue; }
        *on_sum = o.sum;
        a->search.n_open -= runs && !a->search.no_memory; // it was added last
    }
    return n;
}

static size_t read_prompt(struct asked *a, const float *nll)
{
    const struct lorac_question *q = &a->q;
    const struct lorac_tree *t = q->tree;
    size_t at = 0;
    for (size_t k = q->scored_from; k < q->n; k++) {
        a->loss += (double)nll[at++];
    }
    if (!t) { return at; }
    size_t own = own_tokens(q);
    struct lorac_open o = {.piece = a->piece};
    for (size_t d = 0; d < own || d == 0; d++) {
        uint32_t on = 0; // the next node of its own answer; the last one has no row
        double sum = 0.0;
        for (uint32_t i = own ? t->last[q->own] : 0; t->at[i].depth > d; i = t->at[i].parent) {
            on = i;
        }
        o.from = (uint32_t)d;
        o.seen = (uint32_t)(q->n - a->skip + d);
        at += reach_children(a, &sum, &o, nll + at, own ? on : SIZE_MAX, d + 1 < own);
        o.sum = sum;
        o.node = on;
    }
    a->loss += o.sum;
    return at;
}

static size_t read_node(struct lorac_chooser *c, const struct placed *p, const float *nll)
{
    struct asked *a = &c->asked[p->asked];
    const struct lorac_tree *t = a->q.tree;
    struct lorac_open o = p->node;
    size_t at = 0;
    for (; o.node < p->last; o.node++) {
        double next = 0.0;
        at += reach_children(a, &next, &o, nll + at, o.node + 1U, true);
        o.sum = next;
    }
    if (p->piece != UINT32_MAX) {
        o.piece = p->piece;
        o.seen = c->pieces[p->piece].n;
        o.from = t->at[p->last].depth;
    } else if (c->pieces[o.piece].depth + CHAIN_ROOM >= LORAC_MAX_CHAIN) {
        o.piece = a->piece; // the chain is as long as it may be: all of it runs again
        o.seen = (uint32_t)(a->q.n - a->skip);
        o.from = 0;
    }
    double none = 0.0;
    return at + reach_children(a, &none, &o, nll + at, SIZE_MAX, false);
}

/* Into the cache, behind `past` rows that are there. */
static enum lorac_status read_ids(struct lorac_chooser *c, const struct lorac_ids *ids, size_t past,
                                  struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t at = 0; at < ids->n && !st;) {
        size_t n = ids->n - at < c->batch->max_rows ? ids->n - at : c->batch->max_rows;
        lorac_batch_clear(c->batch);
        (void)lorac_batch_add_cached(c->batch, ids->at + at, n, -1, 0, past + at, true);
        st = lorac_pass_forward(c->pass, c->batch, c->cache, err);
        at += n;
    }
    return st;
}

static enum lorac_status read_prefix(struct lorac_chooser *c, struct lorac_err *err)
{
    enum lorac_status st = c->o.prefix ? read_ids(c, c->o.prefix, 0, err) : LORAC_OK;
    return st ? st : read_ids(c, &c->shared, prefix_rows(c), err);
}

static enum lorac_status run_batch(struct lorac_chooser *c, struct lorac_err *err)
{
    enum lorac_status st = lorac_pass_forward(c->pass, c->batch, c->cache, err);
    if (st) { return st; }
    lorac_pass_loss(c->pass, c->batch, c->nll, false);
    c->work.batches++;
    c->work.rows += c->batch->N;
    c->work.scored += c->batch->U;
    size_t at = 0;
    bool no_memory = false;
    for (size_t i = 0; i < c->n_placed; i++) {
        const struct placed *p = &c->placed[i];
        struct asked *a = &c->asked[p->asked];
        at += p->prompt ? read_prompt(a, c->nll + at) : read_node(c, p, c->nll + at);
        no_memory = no_memory || a->search.no_memory;
    }
    assert(at == c->batch->T || no_memory);
    return no_memory ? lorac_fail(err, LORAC_ENOMEM, "no memory for the answers") : LORAC_OK;
}

enum lorac_status lorac_chooser_run(struct lorac_chooser *c, lorac_goes_on_fn *goes_on, void *self,
                                    struct lorac_err *err)
{
    enum lorac_status st = c->prefix_read ? LORAC_OK : read_prefix(c, err);
    c->prefix_read = !st;
    while (!st) {
        fill(c);
        size_t done = 0;
        for (size_t i = 0; i < c->n; i++) {
            done += c->asked[i].answered;
        }
        if (c->n_placed == 0 && done == c->n) { break; }
        st = c->n_placed ? run_batch(c, err) : arrange(c, err);
        if (!st && goes_on && !goes_on(self, (double)done / (double)c->n)) {
            st = lorac_fail(err, LORAC_ESTOP, "stopped between two batches");
        }
    }
    return st;
}
