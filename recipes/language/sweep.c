/*
 * sweep.c - from a sweep's file to its trials; see sweep.h.
 *
 *   file -- keys --> rows: none, or those of zip
 *                      each with the values of vary's other keys: all of them, or drawn
 *                        less skip --> lorac_recipe_vary() --> trial
 */
#include "recipes/language/sweep.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/sha256.h"
#include "base/core/suggest.h"
#include "recipes/language/sweep_reading.h"

#include <stdio.h>
#include <string.h>

enum lorac_status lorac_sweep_no_memory(struct sweep_reading *x)
{
    return lorac_fail(x->rd.err, LORAC_ENOMEM, "%s: no memory", x->source.name);
}

enum lorac_status lorac_sweep_complain(struct sweep_reading *x, const struct lorac_node *at,
                                       enum sweep_key key, const char *text)
{
    return lorac_reading_complain(&x->rd, at, &lorac_sweep_keys[key], "%s", text);
}

/* ---- the keys ---- */

static enum lorac_status unknown_key(struct sweep_reading *x, const struct lorac_node *node)
{
    struct lorac_near near = {.word = node->key, .most = 2};
    char hint[160];
    for (size_t i = 0; i < LORAC_SWEEP_KEYS; i++) {
        (void)lorac_near_try(&near, lorac_sweep_keys[i].path);
    }
    const char *more = lorac_near_hint(hint, sizeof hint, near.best);
    if (lorac_key_find(node->key) || lorac_key_is_section(node->key)) {
        more = "; it belongs into the recipe, or below 'vary' with the values to try";
    }
    return lorac_complain(x->rd.errors, node->source, node->key_line, node->key_column, x->rd.err,
                          "%.80s: unknown key of a sweep%s", node->key, more);
}

static enum lorac_status read_key(struct sweep_reading *x, size_t i)
{
    const struct lorac_key *key = &lorac_sweep_keys[i];
    const struct lorac_node *node = x->node[i];
    if (!node && (key->flags & LORAC_KEY_REQUIRED)) {
        return lorac_complain(x->rd.errors, &x->source, 0, 0, x->rd.err, "%s: missing; %s",
                              key->path, key->help);
    }
    if (!node || node->kind == LORAC_NODE_BAD) { return LORAC_OK; }
    if (lorac_node_is_null(node)) {
        return lorac_reading_complain(&x->rd, node, key, "has no value; leave the key out");
    }
    struct lorac_value v = {&x->rd, key, node, (char *)x->s + key->offset};
    return key->type->read(&v);
}

static enum lorac_status read_keys(struct sweep_reading *x, const char *text, size_t n)
{
    struct lorac_node *tree = NULL;
    bool broken = false;
    char words[128];
    enum lorac_status st =
        lorac_yaml_parse(&tree, &broken, text, n, &x->source, x->rd.arena, x->rd.errors, x->rd.err);
    if (st || broken) { return st; }
    if (tree->kind != LORAC_NODE_MAP) {
        return lorac_complain(x->rd.errors, &x->source, tree->line, tree->column, x->rd.err,
                              "a sweep is a map of keys, found %s",
                              lorac_node_words(words, sizeof words, tree));
    }
    for (const struct lorac_node *c = tree->first; c && !st; c = c->next) {
        size_t i = 0;
        while (i < LORAC_SWEEP_KEYS && strcmp(c->key, lorac_sweep_keys[i].path) != 0) {
            i++;
        }
        if (i == LORAC_SWEEP_KEYS) { st = unknown_key(x, c); }
        if (i < LORAC_SWEEP_KEYS) { x->node[i] = c; }
    }
    for (size_t i = 0; i < LORAC_SWEEP_KEYS && !st; i++) {
        st = read_key(x, i);
    }
    if (!st && !x->node[VARY] && !x->node[ZIP]) {
        st = lorac_complain(x->rd.errors, &x->source, 0, 0, x->rd.err,
                            "vary: missing, and there is no zip; nothing would be tried");
    }
    return st;
}

/* ---- what must hold between keys ---- */

/* Is `key` varied, by vary or a row of zip? */
static bool is_varied(const struct sweep_reading *x, const char *key)
{
    if (x->node[VARY] && lorac_node_find(x->node[VARY], key)) { return true; }
    const struct lorac_node *row = x->node[ZIP] ? x->node[ZIP]->first : NULL;
    for (; row; row = row->next) {
        if (lorac_node_find(row, key)) { return true; }
    }
    return false;
}

static enum lorac_status not_varied(struct sweep_reading *x, const struct lorac_node *at,
                                    enum sweep_key key, const char *name)
{
    char text[200];
    (void)snprintf(text, sizeof text, "%.100s is not varied: it stands neither in vary nor in zip",
                   name);
    return lorac_sweep_complain(x, at, key, text);
}

static enum lorac_status check_names(struct sweep_reading *x)
{
    enum lorac_status st = LORAC_OK;
    const struct lorac_node *row = x->node[SKIP] ? x->node[SKIP]->first : NULL;
    for (; row && !st; row = row->next) {
        for (const struct lorac_node *v = row->first; v && !st; v = v->next) {
            if (!is_varied(x, v->key)) { st = not_varied(x, v, SKIP, v->key); }
        }
    }
    const struct lorac_node *g = x->node[GROUP_BY] ? x->node[GROUP_BY]->first : NULL;
    for (; g && !st; g = g->next) {
        const char *name = lorac_node_text(g);
        if (!is_varied(x, name)) { st = not_varied(x, g, GROUP_BY, name); }
    }
    for (size_t i = 0; i < x->n_sets && !st; i++) {
        char key[128];
        const struct lorac_recipe_set *set = &x->sets[i];
        (void)snprintf(key, sizeof key, "%.*s", (int)strcspn(set->text, "="), set->text);
        struct lorac_source option = {.name = set->text, .layer = 3, .is_option = true};
        if (!is_varied(x, key)) { continue; }
        st = lorac_complain(x->rd.errors, &option, 0, 0, x->rd.err,
                            "the sweep varies this key, so the option would have no effect");
    }
    return st;
}

/* What was skipped in no trial was meant otherwise. Where trials are drawn that may be chance. */
static enum lorac_status check_skip(struct sweep_reading *x)
{
    enum lorac_status st = LORAC_OK;
    size_t i = 0;
    const struct lorac_node *row = x->node[SKIP] ? x->node[SKIP]->first : NULL;
    if (x->s->strategy.kind != LORAC_SWEEP_GRID) { return LORAC_OK; }
    for (; row && !st; row = row->next, i++) {
        if (!x->skipped[i]) {
            st = lorac_sweep_complain(x, row, SKIP, "no trial has these values");
        }
    }
    if (!st && x->s->n == 0 && x->rd.errors->n == 0) {
        st = lorac_sweep_complain(x, x->node[SKIP], SKIP, "leaves out every trial");
    }
    return st;
}

/* ---- trials ---- */

/* Errors of one trial's recipe that no other had. */
static enum lorac_status merge_errors(struct sweep_reading *x, struct lorac_recipe_errors *more)
{
    struct lorac_recipe_errors *all = x->rd.errors;
    for (size_t i = 0; i < more->n; i++) {
        bool known = all->n == LORAC_RECIPE_MAX_ERRORS;
        for (size_t k = 0; k < all->n && !known; k++) {
            known = strcmp(all->at[k].text, more->at[i].text) == 0;
        }
        if (known) { continue; }
        struct lorac_recipe_error *at =
            lorac_mem_grow(all->at, all->n, &all->cap, all->n + 1, sizeof *at);
        if (!at) { return lorac_sweep_no_memory(x); }
        all->at = at;
        all->at[all->n++] = more->at[i];
        more->at[i].text = NULL; // it has moved
    }
    return LORAC_OK;
}

/* What the trial is, but for its name and place: hex of its hash. */
static bool hash_recipe(char hex[65], const struct lorac_recipe *r)
{
    struct lorac_buf b = {0};
    struct lorac_sha256 sha;
    for (size_t i = 0; i < lorac_n_keys; i++) {
        const struct lorac_key *key = &lorac_keys[i];
        if (strcmp(key->path, "name") == 0 || strcmp(key->path, "output.dir") == 0) { continue; }
        lorac_buf_printf(&b, "%s: ", key->path);
        lorac_value_print(&b, r, key);
        lorac_buf_str(&b, "\n");
    }
    bool well = !b.no_memory && b.at;
    lorac_sha256_init(&sha);
    if (well) { lorac_sha256_add(&sha, b.at, b.n); }
    lorac_sha256_hex(hex, &sha);
    lorac_buf_free(&b);
    return well;
}

/* The settings of a trial as its recipe has them. */
static enum lorac_status add_settings(struct sweep_reading *x, struct lorac_sweep_trial *t,
                                      const struct choice *c)
{
    struct lorac_arena *arena = x->s->arena;
    t->settings.at = lorac_arena_take(arena, c->n, sizeof *t->settings.at);
    if (!t->settings.at) { return lorac_sweep_no_memory(x); }
    for (size_t i = 0; i < c->n; i++) {
        const struct lorac_key *key = c->at[i].key;
        struct lorac_buf b = {0};
        lorac_value_print(&b, t->recipe, key);
        char *value = b.at && !b.no_memory ? lorac_arena_string(arena, b.at, b.n) : NULL;
        char *name = lorac_arena_string(arena, key->path, strlen(key->path));
        lorac_buf_free(&b);
        if (!value || !name) { return lorac_sweep_no_memory(x); }
        t->settings.at[t->settings.n++] = (struct lorac_recipe_pair){name, value};
    }
    return LORAC_OK;
}

/* Name the trial and its folder, which no other has. */
static enum lorac_status name_trial(struct sweep_reading *x, size_t i, char (*hashes)[65])
{
    struct lorac_sweep_trial *t = &x->s->trial[i];
    if (!hash_recipe(hashes[i], t->recipe)) { return lorac_sweep_no_memory(x); }
    for (size_t k = 0; k < i; k++) {
        char text[80];
        if (strcmp(hashes[i], hashes[k]) != 0) { continue; }
        (void)snprintf(text, sizeof text, "trials %zu and %zu are the same recipe", k + 1, i + 1);
        const struct choice *c = &x->choice[i];
        return lorac_sweep_complain(x, c->at[c->n - 1].node, VARY, text);
    }
    (void)snprintf(t->name, sizeof t->name, "%03zu-%.8s", i + 1, hashes[i]);
    char *dir = lorac_path_join(x->s->dir, t->name);
    t->recipe->output.dir = dir ? lorac_arena_string(t->recipe->arena, dir, strlen(dir)) : NULL;
    lorac_mem_free(dir);
    return t->recipe->output.dir ? LORAC_OK : lorac_sweep_no_memory(x);
}

static enum lorac_status check_log(struct sweep_reading *x, const struct lorac_recipe *r)
{
    if (r->output.log >> LORAC_RECIPE_LOG_CSV & 1U) { return LORAC_OK; }
    return lorac_sweep_complain(
        x, x->node[STRATEGY] ? x->node[STRATEGY] : x->node[RECIPE], RECIPE,
        "output.log of the trials is without csv, from which they are compared");
}

/* The objective is measured. Whether there are labels for it the trial's data says. */
static enum lorac_status check_objective(struct sweep_reading *x, const struct lorac_recipe *r)
{
    unsigned metric = x->s->objective.metric;
    const struct lorac_node *at = x->node[OBJECTIVE] ? x->node[OBJECTIVE] : x->node[RECIPE];
    char text[200];
    if (r->data.valid.kind == LORAC_RECIPE_SPLIT_NONE) {
        return lorac_sweep_complain(
            x, at, OBJECTIVE,
            "the recipe has no data.valid, so nothing is measured to compare trials by");
    }
    bool measured = !metric || (r->eval.metrics >> (metric - 1) & 1U) || r->eval.best == metric ||
                    r->eval.early_stop.metric == metric;
    if (measured) { return LORAC_OK; }
    (void)snprintf(text, sizeof text, "%s is not measured by the recipe; add it to eval.metrics",
                   lorac_metric_name(metric - 1));
    return lorac_sweep_complain(x, at, OBJECTIVE, text);
}

static enum lorac_status read_trial(struct sweep_reading *x, size_t i)
{
    struct lorac_sweep_trial *t = &x->s->trial[i];
    const struct choice *c = &x->choice[i];
    struct lorac_recipe_errors errors = {0};
    enum lorac_status st = lorac_recipe_vary(&t->recipe, x->s->recipe, x->sets, x->n_sets, c->at,
                                             c->n, &errors, x->rd.err);
    if (st == LORAC_EUSER && errors.n) { st = merge_errors(x, &errors); }
    lorac_recipe_errors_free(&errors);
    return st;
}

static enum lorac_status read_trials(struct sweep_reading *x)
{
    struct lorac_sweep *s = x->s;
    enum lorac_status st = LORAC_OK;
    s->trial = lorac_arena_take(s->arena, s->n ? s->n : 1, sizeof *s->trial);
    char(*hashes)[65] = lorac_arena_take(x->rd.arena, s->n ? s->n : 1, sizeof *hashes);
    if (!s->trial || !hashes) { return lorac_sweep_no_memory(x); }
    for (size_t i = 0; i < s->n && !st; i++) {
        st = read_trial(x, i);
    }
    for (size_t i = 0; i < s->n && !st && x->rd.errors->n == 0; i++) {
        st = name_trial(x, i, hashes);
        if (!st) { st = add_settings(x, &s->trial[i], &x->choice[i]); }
        if (!st) { st = check_log(x, s->trial[i].recipe); }
        if (!st) { st = check_objective(x, s->trial[i].recipe); }
    }
    return st;
}

/* ---- the whole ---- */

/* "runs/NAME" beside the file, where nothing is given. */
static enum lorac_status default_dir(struct sweep_reading *x)
{
    const char *slash = strrchr(x->source.name, '/');
    const char *base = slash ? slash + 1 : x->source.name;
    const char *dot = strrchr(base, '.');
    size_t n = dot && dot > base ? (size_t)(dot - base) : strlen(base);
    struct lorac_buf b = {0};
    lorac_buf_printf(&b, "%s/runs/%.*s", x->source.folder, (int)n, base);
    x->s->dir = b.no_memory ? NULL : lorac_arena_string(x->s->arena, b.at, b.n);
    lorac_buf_free(&b);
    return x->s->dir ? LORAC_OK : lorac_sweep_no_memory(x);
}

static enum lorac_status place_of(const char **out, struct sweep_reading *x, enum sweep_key key)
{
    struct lorac_buf b = {0};
    const struct lorac_node *node = x->node[key];
    lorac_buf_str(&b, x->source.name);
    if (node) { lorac_buf_printf(&b, ":%zu:%zu", node->line, node->column); }
    *out = b.no_memory ? NULL : lorac_arena_string(x->s->arena, b.at, b.n);
    lorac_buf_free(&b);
    return *out ? LORAC_OK : lorac_sweep_no_memory(x);
}

static enum lorac_status read_all(struct sweep_reading *x, const char *text, size_t n)
{
    enum lorac_status st = read_keys(x, text, n);
    bool more = !st && x->rd.errors->n == 0; // the rest looks at values that are all right
    if (more) { st = check_names(x); }
    if (more && !st && x->rd.errors->n == 0) {
        if (!x->s->dir) { st = default_dir(x); }
        if (!st) { st = lorac_sweep_choose(x); }
        if (!st && x->rd.errors->n == 0) { st = check_skip(x); }
        if (!st && x->rd.errors->n == 0) { st = read_trials(x); }
    }
    if (!st) { st = place_of(&x->s->strategy_at, x, STRATEGY); }
    if (!st) { st = place_of(&x->s->objective_at, x, OBJECTIVE); }
    return st;
}

static enum lorac_status prepare(struct sweep_reading *x, const char *path)
{
    char *given = lorac_path_dir(path);
    char *folder = NULL;
    x->s = lorac_mem_new(1, sizeof *x->s);
    x->rd.arena = lorac_arena_new();
    if (x->s) { x->s->arena = lorac_arena_new(); }
    enum lorac_status st = LORAC_OK;
    if (!given || !x->s || !x->rd.arena || !x->s->arena) {
        st = lorac_sweep_no_memory(x);
    } else {
        st = lorac_path_absolute(&folder, given, x->rd.err);
    }
    if (!st) {
        x->source.folder = lorac_arena_string(x->rd.arena, folder, strlen(folder));
        if (!x->source.folder) { st = lorac_sweep_no_memory(x); }
        x->lender.arena = x->s->arena;
        x->rd.recipe = &x->lender;
        x->rd.defaults = &x->source;
    }
    lorac_mem_free(folder);
    lorac_mem_free(given);
    return st;
}

enum lorac_status lorac_sweep_open(struct lorac_sweep **out, const char *path,
                                   const struct lorac_recipe_set *sets, size_t n_sets,
                                   struct lorac_recipe_errors *errors, struct lorac_err *err)
{
    struct lorac_recipe_errors own = {0};
    char *text = NULL;
    size_t n = 0;
    *out = NULL;
    struct sweep_reading *x = lorac_mem_new(1, sizeof *x);
    if (!x) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory", path); }
    x->rd.errors = errors ? errors : &own;
    x->rd.err = err;
    x->source = (struct lorac_source){.name = path, .layer = 2};
    x->sets = sets;
    x->n_sets = n_sets;
    enum lorac_status st = prepare(x, path);
    if (!st) { st = lorac_file_read(&text, &n, path, LORAC_RECIPE_MAX_BYTES, err); }
    if (!st) { st = read_all(x, text, n); }
    lorac_recipe_errors_sort(x->rd.errors);
    if (!st && x->rd.errors->n) {
        st = lorac_fail(err, LORAC_EUSER, "%s", x->rd.errors->at[0].text);
    }
    *out = st ? NULL : x->s;
    if (st) { lorac_sweep_free(x->s); }
    lorac_arena_free(x->rd.arena);
    lorac_mem_free(x->choice);
    lorac_mem_free(x);
    lorac_mem_free(text);
    lorac_recipe_errors_free(&own);
    return st;
}

void lorac_sweep_free(struct lorac_sweep *s)
{
    if (!s) { return; }
    for (size_t i = 0; s->trial && i < s->n; i++) {
        lorac_recipe_free(s->trial[i].recipe);
    }
    lorac_arena_free(s->arena);
    lorac_mem_free(s);
}
