/* sweep_choose.c - which choices of values are trials: a grid, or some drawn; see sweep.h. */
#include "base/core/mem.h"
#include "base/core/rng.h"
#include "recipes/language/sweep_reading.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_DRAWS = 500 };

/* ---- values ---- */

static bool is_number(const struct lorac_key *key)
{
    return key->type == &lorac_type_number || key->type == &lorac_type_count;
}

/* Do both say the same to a key? Depth is at most the reader's. */
static bool same_value(const struct lorac_key *key, // NOLINT(misc-no-recursion)
                       const struct lorac_node *a, const struct lorac_node *b)
{
    double x = 0.0;
    double y = 0.0;
    if (a->kind != b->kind) { return false; }
    if (a->kind == LORAC_NODE_SCALAR) {
        bool numbers = is_number(key) && lorac_number_parse(&x, a->text) == LORAC_NUMBER_OK &&
                       lorac_number_parse(&y, b->text) == LORAC_NUMBER_OK;
        return strcmp(a->text, b->text) == 0 || (numbers && !(x < y) && !(x > y));
    }
    const struct lorac_node *c = a->first;
    const struct lorac_node *d = b->first;
    for (; c && d; c = c->next, d = d->next) {
        bool keys = !c->key || strcmp(c->key, d->key) == 0;
        if (!keys || !same_value(key, c, d)) { return false; }
    }
    return !c && !d;
}

static const struct lorac_node *chosen(const struct choice *c, const struct lorac_key *key)
{
    for (size_t i = 0; i < c->n; i++) {
        if (c->at[i].key == key) { return c->at[i].node; }
    }
    return NULL;
}

static bool same_choice(const struct choice *a, const struct choice *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; i < a->n && same; i++) {
        const struct lorac_node *other = chosen(b, a->at[i].key);
        same = other && same_value(a->at[i].key, a->at[i].node, other);
    }
    return same;
}

/* Has the choice all values of a row of skip? */
static bool matches(const struct choice *c, const struct lorac_node *row)
{
    for (const struct lorac_node *v = row->first; v; v = v->next) {
        const struct lorac_key *key = lorac_key_find(v->key);
        const struct lorac_node *has = chosen(c, key);
        if (!has || !same_value(key, has, v)) { return false; }
    }
    return true;
}

static bool is_skipped(struct sweep_reading *x, const struct choice *c)
{
    bool any = false;
    size_t i = 0;
    const struct lorac_node *row = x->node[SKIP] ? x->node[SKIP]->first : NULL;
    for (; row; row = row->next, i++) {
        bool one = matches(c, row);
        x->skipped[i] = x->skipped[i] || one;
        any = any || one;
    }
    return any;
}

/* ---- choices ---- */

static enum lorac_status add(struct sweep_reading *x, const struct choice *c)
{
    if (x->s->n == LORAC_SWEEP_MAX_TRIALS) {
        return lorac_sweep_complain(x, x->node[VARY] ? x->node[VARY] : x->node[ZIP], VARY,
                                    "more than 999 trials; {random: N} draws some of them");
    }
    struct choice *grown =
        lorac_mem_grow(x->choice, x->s->n, &x->cap, x->s->n + 1, sizeof *x->choice);
    if (!grown) { return lorac_sweep_no_memory(x); }
    x->choice = grown;
    x->choice[x->s->n++] = *c;
    return LORAC_OK;
}

/* Vary's keys that a row does not name, and how many there are; the row's own values into c. */
static enum lorac_status begin(struct choice *c, const struct lorac_node **keys, size_t *n,
                               struct sweep_reading *x, const struct lorac_node *row)
{
    *n = 0;
    c->n = 0;
    const struct lorac_node *varied = x->node[VARY] ? x->node[VARY]->first : NULL;
    for (const struct lorac_node *v = row ? row->first : NULL; v; v = v->next) {
        if (c->n == LORAC_SWEEP_MAX_VARIED) { break; }
        c->at[c->n++] = (struct lorac_variation){lorac_key_find(v->key), v};
    }
    for (; varied; varied = varied->next) {
        if (row && lorac_node_find(row, varied->key)) { continue; }
        if (*n + c->n == LORAC_SWEEP_MAX_VARIED) {
            return lorac_sweep_complain(x, varied, VARY, "more than 64 keys are varied");
        }
        keys[(*n)++] = varied;
    }
    return LORAC_OK;
}

/* All values of vary's keys beside a row (or NULL), the last key fastest. */
static enum lorac_status add_grid(struct sweep_reading *x, const struct lorac_node *row)
{
    const struct lorac_node *keys[LORAC_SWEEP_MAX_VARIED];
    const struct lorac_node *at[LORAC_SWEEP_MAX_VARIED];
    struct choice c;
    size_t n = 0;
    enum lorac_status st = begin(&c, keys, &n, x, row);
    for (size_t i = 0; i < n; i++) {
        at[i] = keys[i]->first;
    }
    size_t fixed = c.n;
    for (bool more = true; more && !st && x->rd.errors->n == 0;) {
        c.n = fixed + n;
        for (size_t i = 0; i < n; i++) {
            c.at[fixed + i] = (struct lorac_variation){lorac_key_find(keys[i]->key), at[i]};
        }
        if (!is_skipped(x, &c)) { st = add(x, &c); }
        more = false;
        for (size_t i = n; i-- > 0 && !more;) {
            more = at[i]->next != NULL;
            at[i] = more ? at[i]->next : keys[i]->first;
        }
    }
    return st;
}

/* Rows that name no key of vary are one more axis; where one does, vary's own values stand beside
 * them. */
static bool stands_alone(const struct sweep_reading *x)
{
    const struct lorac_node *zip = x->node[ZIP];
    const struct lorac_node *row = zip ? zip->first : NULL;
    for (; row && x->node[VARY]; row = row->next) {
        for (const struct lorac_node *v = row->first; v; v = v->next) {
            if (lorac_node_find(x->node[VARY], v->key)) { return true; }
        }
    }
    return !zip;
}

static enum lorac_status choose_all(struct sweep_reading *x)
{
    enum lorac_status st = LORAC_OK;
    const struct lorac_node *v = x->node[VARY] ? x->node[VARY]->first : NULL;
    for (; v && !st; v = v->next) {
        if (v->kind == LORAC_NODE_LIST) { continue; }
        return lorac_sweep_complain(
            x, v, VARY, "a range has no end of values; draw some with strategy: {random: N}");
    }
    const struct lorac_node *row = x->node[ZIP] ? x->node[ZIP]->first : NULL;
    if (stands_alone(x)) { st = add_grid(x, NULL); }
    for (; row && !st && x->rd.errors->n == 0; row = row->next) {
        st = add_grid(x, row);
    }
    return st;
}

/* One draw from [0,1) as a value of a range, at its place. */
static enum lorac_status draw_value(const struct lorac_node **out, struct sweep_reading *x,
                                    const struct lorac_node *node, double u)
{
    struct lorac_sweep_range r;
    struct lorac_value v = {&x->rd, lorac_key_find(node->key), node, NULL};
    struct lorac_node *value = lorac_arena_take(x->rd.arena, 1, sizeof *value);
    char text[40];
    enum lorac_status st = lorac_sweep_range_read(&r, &v, node);
    if (!value) { return lorac_sweep_no_memory(x); }
    if (st) { return st; }
    double to = r.whole ? r.to + 1.0 : r.to; // each whole number has its share
    double at = r.log ? r.from * pow(to / r.from, u) : r.from + (to - r.from) * u;
    if (r.whole) {
        (void)lorac_snprintf(text, sizeof text, "%.0f", fmin(floor(at), r.to));
    } else {
        (void)lorac_snprintf(text, sizeof text, "%.4g", at);
        double rounded = lorac_strtod(text, NULL);
        if (rounded < r.from || rounded > r.to) {
            (void)lorac_snprintf(text, sizeof text, "%.17g", at);
        }
    }
    *value = *node;
    value->kind = LORAC_NODE_SCALAR;
    value->plain = true;
    value->first = value->next = NULL;
    value->text = lorac_arena_string(x->rd.arena, text, strlen(text));
    *out = value;
    return value->text ? LORAC_OK : lorac_sweep_no_memory(x);
}

static const struct lorac_node *child(const struct lorac_node *list, size_t i)
{
    const struct lorac_node *c = list->first;
    while (i--) {
        c = c->next;
    }
    return c;
}

/* Draw `attempt` of trial t: a row, or none, and a value of each other key. */
static enum lorac_status draw(struct choice *c, struct sweep_reading *x, size_t t, size_t attempt)
{
    const struct lorac_node *keys[LORAC_SWEEP_MAX_VARIED];
    size_t n = 0;
    uint64_t key = lorac_rng_key(0, "sweep");
    uint64_t step = (uint64_t)t * MAX_DRAWS + attempt;
    size_t own = stands_alone(x);
    size_t rows = own + (x->node[ZIP] ? lorac_node_count(x->node[ZIP]) : 0);
    size_t which = lorac_rng_below(key, step, 0, rows);
    const struct lorac_node *row = own && which == 0 ? NULL : child(x->node[ZIP], which - own);
    enum lorac_status st = begin(c, keys, &n, x, row);
    for (size_t i = 0; i < n && !st; i++) {
        const struct lorac_node *value = NULL;
        if (keys[i]->kind == LORAC_NODE_LIST) {
            value = child(keys[i], lorac_rng_below(key, step, i + 1, lorac_node_count(keys[i])));
        } else {
            st = draw_value(&value, x, keys[i], lorac_rng_uniform(key, step, i + 1));
        }
        c->at[c->n++] = (struct lorac_variation){lorac_key_find(keys[i]->key), value};
    }
    return st;
}

static enum lorac_status choose_some(struct sweep_reading *x)
{
    enum lorac_status st = LORAC_OK;
    size_t wanted = x->s->strategy.trials;
    while (x->s->n < wanted && !st && x->rd.errors->n == 0) {
        struct choice c;
        bool fresh = false;
        for (size_t attempt = 0; attempt < MAX_DRAWS && !fresh && !st; attempt++) {
            st = draw(&c, x, x->s->n, attempt);
            fresh = !st && !is_skipped(x, &c);
            for (size_t i = 0; i < x->s->n && fresh; i++) {
                fresh = !same_choice(&c, &x->choice[i]);
            }
        }
        if (!st && !fresh) {
            char text[160];
            (void)snprintf(text, sizeof text,
                           "asks for %zu trials, and no more than %zu different ones were found in "
                           "%d draws",
                           wanted, x->s->n, MAX_DRAWS);
            return lorac_sweep_complain(x, x->node[STRATEGY], STRATEGY, text);
        }
        if (!st) { st = add(x, &c); }
    }
    return st;
}

enum lorac_status lorac_sweep_choose(struct sweep_reading *x)
{
    return x->s->strategy.kind == LORAC_SWEEP_GRID ? choose_all(x) : choose_some(x);
}
