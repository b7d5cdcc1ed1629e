/* sweep_keys.c - the table of a sweep's keys, and how each is read; see sweep.h. */
#include "recipes/language/sweep_keys.h"

#include "base/core/suggest.h"
#include "recipes/language/suggest.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define STRATEGIES "grid, {random: 12} or {halving: {trials: 16, keep: 1/2, every: 1 epoch}}"

/* "KEY: unknown key 'x', expected WORDS" for a child of a map. */
static enum lorac_status unexpected(const struct lorac_value *v, const struct lorac_node *node,
                                    const char *words)
{
    return lorac_complain(v->rd->errors, node->source, node->key_line, node->key_column, v->rd->err,
                          "%s: unknown key '%.80s', expected %s", v->key->path, node->key, words);
}

static enum lorac_status missing(const struct lorac_value *v, const struct lorac_node *map,
                                 const char *key)
{
    return lorac_reading_complain(v->rd, map, v->key, "'%s' is missing", key);
}

/* ---- strategy ---- */

/* "1/2", or a number: above 0 and below 1. */
static enum lorac_status read_share(double *out, const struct lorac_value *v,
                                    const struct lorac_node *node)
{
    const char *s = lorac_node_text(node);
    size_t n = strcspn(s, "/");
    uint64_t part = 0;
    uint64_t whole = 0;
    if (s[n] && lorac_whole_parse(&part, s, n, 1000) &&
        lorac_whole_parse(&whole, s + n + 1, strlen(s + n + 1), 1000) && part && part < whole) {
        *out = (double)part / (double)whole;
        return LORAC_OK;
    }
    bool number = lorac_number_parse(out, s) == LORAC_NUMBER_OK && *out > 0.0 && *out < 1.0;
    return number ? LORAC_OK : lorac_value_wrong(v, node, "a share above 0 and below 1, as in 1/2");
}

static enum lorac_status read_halving(const struct lorac_value *v, const struct lorac_node *map)
{
    struct lorac_sweep_strategy *s = v->field;
    enum lorac_status st = LORAC_OK;
    s->kind = LORAC_SWEEP_HALVING;
    if (map->kind != LORAC_NODE_MAP) { return lorac_value_wrong(v, map, STRATEGIES); }
    for (const struct lorac_node *c = map->first; c && !st; c = c->next) {
        if (strcmp(c->key, "trials") == 0) {
            st = lorac_read_whole_at(&s->trials, v, c, 2, LORAC_SWEEP_MAX_TRIALS, "");
        } else if (strcmp(c->key, "keep") == 0) {
            st = read_share(&s->keep, v, c);
        } else if (strcmp(c->key, "every") == 0) {
            struct lorac_value every = {v->rd, v->key, c, &s->every};
            bool end = strcmp(lorac_node_text(c), "end") == 0;
            st = end ? lorac_value_wrong(v, c, "steps (100) or epochs (1 epoch)")
                     : lorac_type_interval.read(&every);
        } else {
            st = unexpected(v, c, "trials, keep and every");
        }
    }
    static const char *const needed[] = {"trials", "keep", "every"};
    for (size_t i = 0; i < 3 && !st; i++) {
        if (!lorac_node_find(map, needed[i])) { st = missing(v, map, needed[i]); }
    }
    return st;
}

static enum lorac_status read_strategy(const struct lorac_value *v)
{
    struct lorac_sweep_strategy *s = v->field;
    const struct lorac_node *c = v->node->first;
    if (strcmp(lorac_node_text(v->node), "grid") == 0) { return LORAC_OK; }
    if (v->node->kind != LORAC_NODE_MAP || !c || c->next) {
        return lorac_value_wrong(v, v->node, STRATEGIES);
    }
    if (strcmp(c->key, "halving") == 0) { return read_halving(v, c); }
    if (strcmp(c->key, "random") != 0) { return unexpected(v, c, "random or halving"); }
    s->kind = LORAC_SWEEP_RANDOM;
    return lorac_read_whole_at(&s->trials, v, c, 1, LORAC_SWEEP_MAX_TRIALS, "");
}

static const struct lorac_key_type type_strategy = {
    read_strategy, NULL, .words = STRATEGIES,
    .schema = "\"anyOf\": [{\"const\": \"grid\"}, {\"type\": \"object\", \"minProperties\": 1, "
              "\"maxProperties\": 1, \"additionalProperties\": false, \"properties\": {"
              "\"random\": {\"type\": \"integer\", \"minimum\": 1, \"maximum\": 999}, "
              "\"halving\": {\"type\": \"object\", \"additionalProperties\": false, "
              "\"required\": [\"trials\", \"keep\", \"every\"], \"properties\": {"
              "\"trials\": {\"type\": \"integer\", \"minimum\": 2, \"maximum\": 999}, "
              "\"keep\": {\"type\": [\"number\", \"string\"]}, "
              "\"every\": {\"type\": [\"integer\", \"string\"]}}}}}]"};

/* ---- values of keys ---- */

enum lorac_status lorac_sweep_key(const struct lorac_key **out, const struct lorac_value *v,
                                  const struct lorac_node *node)
{
    static const char *const ours[] = {"recipe", "extends", "name", "output.dir"};
    const struct lorac_key *key = lorac_key_find(node->key);
    char shown[160];
    char hint[160];
    *out = NULL;
    for (size_t i = 0; key && i < sizeof ours / sizeof *ours; i++) {
        if (strcmp(node->key, ours[i]) != 0) { continue; }
        return lorac_complain(v->rd->errors, node->source, node->key_line, node->key_column,
                              v->rd->err, "%s: %s cannot be varied%s", v->key->path, node->key,
                              i == 3 ? "; 'dir' says where the trials go" : "");
    }
    if (!key && lorac_key_is_section(node->key)) {
        return lorac_complain(v->rd->errors, node->source, node->key_line, node->key_column,
                              v->rd->err, "%s: %s is a section; write its key whole, as in %s.KEY",
                              v->key->path, node->key, node->key);
    }
    if (!key) {
        lorac_visible(shown, sizeof shown, node->key, strlen(node->key));
        return lorac_complain(v->rd->errors, node->source, node->key_line, node->key_column,
                              v->rd->err, "%s: %s: unknown key%s", v->key->path, shown,
                              lorac_key_hint(hint, sizeof hint, node->key));
    }
    *out = key;
    return LORAC_OK;
}

/* One end of a range, in the range of its key. */
static enum lorac_status read_end(double *out, bool *fits, const struct lorac_value *v,
                                  const struct lorac_node *node)
{
    size_t errors = v->rd->errors->n;
    size_t count = 0;
    enum lorac_status st = v->key->type == &lorac_type_count
                               ? lorac_read_whole_at(&count, v, node, v->key->min, v->key->max, "")
                               : lorac_read_number_at(out, v, node);
    if (v->key->type == &lorac_type_count) { *out = (double)count; }
    *fits = *fits && v->rd->errors->n == errors;
    return st;
}

enum lorac_status lorac_sweep_range_read(struct lorac_sweep_range *out, const struct lorac_value *v,
                                         const struct lorac_node *node)
{
    bool fits = true;
    enum lorac_status st = LORAC_OK;
    *out = (struct lorac_sweep_range){.whole = v->key->type == &lorac_type_count};
    if (v->key->type != &lorac_type_count && v->key->type != &lorac_type_number) {
        return lorac_reading_complain(v->rd, node, v->key,
                                      "a range is for numbers; write a list of values");
    }
    for (const struct lorac_node *c = node->first; c && !st; c = c->next) {
        const char *s = lorac_node_text(c);
        if (strcmp(c->key, "from") == 0) {
            st = read_end(&out->from, &fits, v, c);
        } else if (strcmp(c->key, "to") == 0) {
            st = read_end(&out->to, &fits, v, c);
        } else if (strcmp(c->key, "log") == 0) {
            out->log = strcmp(s, "true") == 0;
            if (!out->log && strcmp(s, "false") != 0) {
                fits = false;
                st = lorac_value_wrong(v, c, "true or false");
            }
        } else {
            fits = false;
            st = unexpected(v, c, "from, to and log");
        }
    }
    static const char *const needed[] = {"from", "to"};
    for (size_t i = 0; i < 2 && !st && fits; i++) {
        fits = lorac_node_find(node, needed[i]) != NULL;
        if (!fits) { st = missing(v, node, needed[i]); }
    }
    if (!st && fits && !(out->from < out->to)) {
        return lorac_reading_complain(
            v->rd, node, v->key, "the range goes the wrong way: from %g to %g", out->from, out->to);
    }
    if (!st && fits && out->log && !(out->from > 0.0)) {
        return lorac_reading_complain(v->rd, lorac_node_find(node, "from"), v->key,
                                      "must be above 0 where 'log' is true");
    }
    return st;
}

static enum lorac_status read_vary(const struct lorac_value *v)
{
    static const char expected[] = "a list of values, or {from: 1e-4, to: 1e-2, log: true}";
    enum lorac_status st = LORAC_OK;
    if (v->node->kind != LORAC_NODE_MAP) {
        return lorac_value_wrong(v, v->node, "a map of keys with their values");
    }
    if (!v->node->first) {
        return lorac_reading_complain(v->rd, v->node, v->key,
                                      "is empty, so there is nothing to try");
    }
    for (const struct lorac_node *c = v->node->first; c && !st; c = c->next) {
        const struct lorac_key *key = NULL;
        struct lorac_sweep_range range;
        st = lorac_sweep_key(&key, v, c);
        struct lorac_value of = {v->rd, key, c, NULL};
        if (st || !key || c->kind == LORAC_NODE_BAD) { continue; }
        if (c->kind == LORAC_NODE_MAP) {
            st = lorac_sweep_range_read(&range, &of, c);
        } else if (c->kind != LORAC_NODE_LIST) {
            st = lorac_value_wrong(&of, c, expected);
        } else if (!c->first) {
            st = lorac_reading_complain(v->rd, c, key, "the list is empty, so there is no trial");
        }
    }
    return st;
}

/* Rows of zip and skip: maps from keys to one value each. */
static enum lorac_status read_rows(const struct lorac_value *v)
{
    enum lorac_status st = LORAC_OK;
    if (v->node->kind != LORAC_NODE_LIST || !v->node->first) {
        return lorac_value_wrong(v, v->node, "a list of maps, as in [{adapter.rank: 4, seed: 1}]");
    }
    for (const struct lorac_node *row = v->node->first; row && !st; row = row->next) {
        if (row->kind == LORAC_NODE_BAD) { continue; }
        if (row->kind != LORAC_NODE_MAP || !row->first) {
            st = lorac_value_wrong(v, row, "a map of keys with one value each");
            continue;
        }
        for (const struct lorac_node *c = row->first; c && !st; c = c->next) {
            const struct lorac_key *key = NULL;
            st = lorac_sweep_key(&key, v, c);
        }
    }
    return st;
}

static const struct lorac_key_type type_vary = {
    read_vary, NULL, .words = "a map of a recipe's keys: [VALUE, ...] or {from, to, log: true}",
    .schema = "\"type\": \"object\", \"minProperties\": 1"};
static const struct lorac_key_type type_rows = {
    read_rows, NULL, .words = "a list of maps of a recipe's keys, one value each",
    .schema = "\"type\": \"array\", \"minItems\": 1"};

/* ---- objective ---- */

static enum lorac_status read_metric(struct lorac_sweep_objective *o, const struct lorac_value *v,
                                     const struct lorac_node *node)
{
    const char *s = lorac_node_text(node);
    struct lorac_near near = {.word = s, .most = 2};
    struct lorac_buf words = {0};
    const char *name = NULL;
    char hint[80];
    for (unsigned i = 0; (name = lorac_metric_name(i)); i++) {
        if (strcmp(s, name) == 0) { o->metric = i + 1; }
        (void)lorac_near_try(&near, name);
        lorac_buf_printf(&words, "%s%s", i ? ", " : "", name);
    }
    enum lorac_status st = LORAC_OK;
    if (!o->metric) {
        st = lorac_reading_complain(v->rd, node, v->key, "'%.40s' is no metric%s; there are %s", s,
                                    lorac_near_hint(hint, sizeof hint, near.best),
                                    words.at ? words.at : "others");
    }
    lorac_buf_free(&words);
    return st;
}

static enum lorac_status read_objective(const struct lorac_value *v)
{
    struct lorac_sweep_objective *o = v->field;
    enum lorac_status st = LORAC_OK;
    if (v->node->kind != LORAC_NODE_MAP) {
        return lorac_value_wrong(v, v->node, "{metric: accuracy, mode: max}");
    }
    for (const struct lorac_node *c = v->node->first; c && !st; c = c->next) {
        const char *s = lorac_node_text(c);
        if (strcmp(c->key, "metric") == 0) {
            st = read_metric(o, v, c);
        } else if (strcmp(c->key, "mode") == 0) {
            o->mode = strcmp(s, "max") == 0   ? LORAC_SWEEP_MODE_MAX
                      : strcmp(s, "min") == 0 ? LORAC_SWEEP_MODE_MIN
                                              : LORAC_SWEEP_MODE_AUTO;
            if (!o->mode) { st = lorac_value_wrong(v, c, "max or min"); }
        } else {
            st = unexpected(v, c, "metric and mode");
        }
    }
    return st || lorac_node_find(v->node, "metric") ? st : missing(v, v->node, "metric");
}

static const struct lorac_key_type type_objective = {
    read_objective, NULL, .words = "{metric: accuracy, mode: max}",
    .schema = "\"type\": \"object\", \"additionalProperties\": false, \"required\": [\"metric\"], "
              "\"properties\": {\"metric\": {\"type\": \"string\"}, "
              "\"mode\": {\"enum\": [\"max\", \"min\"]}}"};

/* ---- the table ---- */

// clang-format off
#define AT(field) .offset = offsetof(struct lorac_sweep, field)
const struct lorac_key lorac_sweep_keys[LORAC_SWEEP_KEYS] = {
    {"sweep", &lorac_type_count, AT(version), .flags = LORAC_KEY_REQUIRED, .min = 1, .max = 1,
     .help = "version of the sweep schema; this program reads 1"},
    {"recipe", &lorac_type_path, AT(recipe), .flags = LORAC_KEY_REQUIRED,
     .help = "the recipe that the trials vary"},
    {"strategy", &type_strategy, AT(strategy), .otherwise = "grid",
     .help = "which trials of all that vary and zip allow",
     .more = "grid: all. random: so many different ones, drawn; more are the same and more. "
             "halving: so many drawn; after `every` the share `keep` that is best by the objective "
             "goes on from its saved state, and so on until one is left."},
    {"vary", &type_vary, AT(version),
     .help = "values to try, of any key of a recipe but its name and folder",
     .more = "The first key varies slowest. random and halving draw from a range, rounded to "
             "four digits, or to whole numbers where the key takes those."},
    {"zip", &type_rows, AT(version),
     .help = "values that go together: each row with all that vary gives other keys",
     .more = "Where a row names a key of vary, vary's own values of it are tried, too."},
    {"skip", &type_rows, AT(version),
     .help = "trials to leave out: those that have all values of a row"},
    {"objective", &type_objective, AT(objective),
     .help = "what makes a trial the best; default: what chooses its best/ (eval.best)",
     .more = "mode follows from the metric where it is left out: min for losses."},
    {"group_by", &lorac_type_list, AT(group_by),
     .help = "varied keys whose values are averaged over, as [seed]"},
    {"dir", &lorac_type_path, AT(dir),
     .help = "the folder of the trials' folders; default: runs/ and this file's name"},
};
// clang-format on
