/* check.c - what must hold between keys; see reading.h. Each check names the places. */
#include "lora/lora.h"
#include "recipes/language/reading.h"

#include <stdio.h>
#include <string.h>

static size_t index_of(const char *path)
{
    return (size_t)(lorac_key_find(path) - lorac_keys);
}

/* The node of a key that has a value, or NULL. */
static const struct lorac_node *given(const struct lorac_reading *rd, const char *path)
{
    const struct lorac_node *node = rd->nodes[index_of(path)];
    return node && !lorac_node_is_null(node) ? node : NULL;
}

static enum lorac_status check_required(struct lorac_reading *rd, const struct lorac_source *source)
{
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < lorac_n_keys && !st; i++) {
        const struct lorac_key *key = &lorac_keys[i];
        if (!(key->flags & LORAC_KEY_REQUIRED) || rd->nodes[i]) { continue; }
        st = lorac_complain(rd->errors, source, 0, 0, rd->err, "%s: missing; %s", key->path,
                            key->help);
    }
    return st;
}

/* Exactly one of two keys. */
static enum lorac_status check_either(struct lorac_reading *rd, const struct lorac_source *source,
                                      const char *a, const char *b)
{
    const struct lorac_node *at_a = given(rd, a);
    const struct lorac_node *at_b = given(rd, b);
    if (!at_a && !at_b) {
        return lorac_complain(rd->errors, source, 0, 0, rd->err, "%s: either this or %s is needed",
                              a, b);
    }
    if (!at_a || !at_b) { return LORAC_OK; }
    bool option = at_a->source->is_option;
    char place[160];
    if (option) {
        (void)snprintf(place, sizeof place, "'%.120s'", at_a->source->name);
    } else {
        (void)snprintf(place, sizeof place, "%.120s:%zu:%zu", at_a->source->name, at_a->line,
                       at_a->column);
    }
    return lorac_reading_complain(rd, at_b, lorac_key_find(b),
                                  "excludes %s, which is given at %s; keep one (--unset %s)", a,
                                  place, a);
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = s ? strlen(s) : 0;
    size_t m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static enum lorac_status check_template(struct lorac_reading *rd, const struct lorac_source *source)
{
    const struct lorac_recipe *r = rd->recipe;
    bool prompt = given(rd, "template.prompt");
    bool completion = given(rd, "template.completion");
    if (r->data.kind == LORAC_RECIPE_DATA_TEXT || r->data.train.n == 0) { return LORAC_OK; }
    if (!prompt && !completion) {
        bool plain = ends_with(r->data.train.at[0], ".txt");
        return lorac_complain(rd->errors, source, 0, 0, rd->err,
                              "template.prompt: missing; a table needs template.prompt or "
                              "template.completion%s",
                              plain ? "; for plain text write data.kind: text" : "");
    }
    if (prompt && !completion && r->templates.train_on == LORAC_RECIPE_TRAIN_ON_COMPLETION) {
        return lorac_complain(rd->errors, source, 0, 0, rd->err,
                              "template.train_on: 'completion' trains nothing without a "
                              "template.completion; give one, or write train_on: all");
    }
    return LORAC_OK;
}

/* A key that was given and does nothing, because of another. */
static enum lorac_status check_idle(struct lorac_reading *rd, const char *path, bool is_default,
                                    bool used, const char *why)
{
    const struct lorac_node *node = given(rd, path);
    if (!node || is_default || used) { return LORAC_OK; }
    bool set =
        rd->has_options && !node->source->is_option; // what an option made idle, another puts back
    return lorac_reading_complain(rd, node, lorac_key_find(path), "has no effect %s%s%s%s", why,
                                  set ? " (--unset " : "", set ? path : "", set ? ")" : "");
}

static bool is(double x, double y)
{
    return !(x < y) && !(x > y);
}

/* The keys that say where pairs go and what they are, and those that say what trains in full. */
static enum lorac_status check_adapter(struct lorac_reading *rd)
{
    const struct lorac_recipe *r = rd->recipe;
    const struct {
        const char *path;
        bool is_default;
        bool of_pairs;
    } keys[] = {
        {"adapter.rank", r->adapter.rank == 8, true},
        {"adapter.alpha", !(r->adapter.alpha < 16.0) && !(r->adapter.alpha > 16.0), true},
        {"adapter.scaling", r->adapter.scaling == LORAC_RECIPE_SCALING_STANDARD, true},
        {"adapter.init", r->adapter.init == LORAC_RECIPE_INIT_DEFAULT, true},
        {"adapter.targets", r->adapter.targets.kind == LORAC_RECIPE_TARGETS_ALL_LINEAR, true},
        {"adapter.exclude", r->adapter.exclude.n == 0, true},
        {"adapter.layers", r->adapter.layers.kind == LORAC_RECIPE_LAYERS_ALL, true},
        {"adapter.overrides", r->adapter.overrides.n == 0, true},
        {"adapter.bias", r->adapter.bias == LORAC_RECIPE_BIAS_NONE, true},
        {"adapter.train_also", !r->adapter.train_also.all && r->adapter.train_also.names.n == 0,
         false},
        {"adapter.tie", r->adapter.tie == 0, false},
    };
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !st; i++) {
        if (r->adapter.from) {
            st = check_idle(rd, keys[i].path, keys[i].is_default, false,
                            "with adapter.from, which brings its own");
        } else if (r->adapter.train_also.all && keys[i].of_pairs) {
            st = check_idle(rd, keys[i].path, keys[i].is_default, false,
                            "with adapter.train_also: all, which leaves no module for a pair");
        }
    }
    if (!st && r->adapter.train_also.all) {
        st = check_idle(rd, "adapter.dropout", !(r->adapter.dropout > 0.0), false,
                        "with adapter.train_also: all: it drops inputs of pairs");
    }
    if (!st) {
        st = check_idle(rd, "optimizer.lr_ratio_b", is(r->optimizer.lr_ratio_b, 1.0),
                        !r->adapter.train_also.all,
                        "with adapter.train_also: all: it is for the B of pairs");
    }
    return st;
}

/* Decay of vectors where none trains. What adapter.from brings is not known here. */
static enum lorac_status check_vector_decay(struct lorac_reading *rd)
{
    const struct lorac_recipe *r = rd->recipe;
    bool trains = r->adapter.train_also.all || r->adapter.train_also.names.n || r->adapter.from ||
                  r->adapter.bias != LORAC_RECIPE_BIAS_NONE;
    return check_idle(rd, "optimizer.vector_decay", !(r->optimizer.vector_decay > 0.0), trains,
                      "without adapter.train_also or adapter.bias: no vector trains");
}

/* A table is one file. */
static enum lorac_status check_table(struct lorac_reading *rd)
{
    const struct lorac_recipe *r = rd->recipe;
    const struct {
        const char *path;
        size_t n;
    } lists[] = {{"data.train", r->data.train.n},
                 {"data.valid", r->data.valid.paths.n},
                 {"data.test", r->data.test.n}};
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < sizeof lists / sizeof *lists && !st; i++) {
        if (lists[i].n < 2) { continue; }
        st = lorac_reading_complain(rd, given(rd, lists[i].path), lorac_key_find(lists[i].path),
                                    "must be one table, found a list of %zu (several files need "
                                    "data.kind: text)",
                                    lists[i].n);
    }
    return st ? st : check_idle(rd, "data.separator", false, false, "without data.kind: text");
}

/* Texts have neither columns nor labels nor a template, and no answers to compare. */
static enum lorac_status check_text(struct lorac_reading *rd)
{
    const struct lorac_recipe *r = rd->recipe;
    const struct {
        const char *path;
        bool is_default;
    } keys[] = {
        {"data.format.delimiter", r->data.format.delimiter == ','},
        {"data.format.quote", r->data.format.quote == '"'},
        {"data.format.header", r->data.format.header},
        {"data.format.encoding", r->data.format.encoding == LORAC_ENCODING_UTF8},
        {"data.columns", r->data.columns.n == 0},
        {"data.labels.map", r->data.labels.map.n == 0},
        {"data.labels.unknown", r->data.labels.unknown == LORAC_RECIPE_UNKNOWN_ERROR},
        {"data.on_empty", r->data.on_empty == LORAC_RECIPE_EMPTY_ERROR},
        {"data.on_too_long", r->data.on_too_long == LORAC_RECIPE_TOO_LONG_TRUNCATE_PROMPT},
        {"data.duplicates", r->data.duplicates == LORAC_RECIPE_DUPLICATES_WARN},
        {"template.prompt", !r->templates.prompt},
        {"template.completion", !r->templates.completion},
        {"template.train_on", r->templates.train_on == LORAC_RECIPE_TRAIN_ON_COMPLETION},
    };
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !st; i++) {
        st = check_idle(rd, keys[i].path, keys[i].is_default, false, "with data.kind: text");
    }
    if (!st && r->data.valid.stratify) {
        st = lorac_reading_complain(rd, given(rd, "data.valid"), lorac_key_find("data.valid"),
                                    "'stratify' has no effect with data.kind: text");
    }
    if (!st && r->data.separator && !r->data.separator[0]) {
        st = lorac_reading_complain(rd, given(rd, "data.separator"),
                                    lorac_key_find("data.separator"),
                                    "must be text, or null for files that are one document each");
    }
    if (!st && (r->eval.metrics >> LORAC_METRIC_EXACT_MATCH & 1U)) {
        st =
            lorac_reading_complain(rd, given(rd, "eval.metrics"), lorac_key_find("eval.metrics"),
                                   "'exact_match' compares answers, and with data.kind: text there "
                                   "are none");
    }
    if (!st && r->eval.early_stop.metric > LORAC_METRIC_PERPLEXITY + 1) {
        st = lorac_reading_complain(rd, given(rd, "eval.early_stop.metric"),
                                    lorac_key_find("eval.early_stop.metric"),
                                    "must be 'loss' or 'perplexity' with data.kind: text");
    }
    return st;
}

/* A run keeps something. That best alone needs evaluations, the run itself finds. */
static enum lorac_status check_keep(struct lorac_reading *rd)
{
    const struct lorac_node *node = given(rd, "output.keep");
    if (!node || rd->recipe->output.keep) { return LORAC_OK; }
    return lorac_reading_complain(
        rd, node, lorac_key_find("output.keep"),
        "must hold 'best', 'last' or both: nothing would be left of the run");
}

/* What one optimiser or schedule reads and another does not. */
static enum lorac_status check_optimizer(struct lorac_reading *rd)
{
    const struct lorac_recipe *r = rd->recipe;
    char why[64];
    (void)snprintf(why, sizeof why, "with %s", r->optimizer.name);
    const struct {
        const char *path;
        bool is_default;
    } keys[] = {
        {"optimizer.momentum", is(r->optimizer.momentum, 0.0)},
        {"optimizer.betas", is(r->optimizer.betas[0], 0.9) && is(r->optimizer.betas[1], 0.999)},
        {"optimizer.eps", is(r->optimizer.eps, 1e-8)},
    };
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !st; i++) {
        bool used = lorac_optim_reads(r->optimizer.name, lorac_key_last(keys[i].path));
        st = check_idle(rd, keys[i].path, keys[i].is_default, used, why);
    }
    if (st) { return st; }
    return check_idle(rd, "optimizer.final_lr_ratio", is(r->optimizer.final_lr_ratio, 0.0),
                      lorac_schedule_falls(r->optimizer.schedule),
                      "with optimizer.schedule: constant");
}

enum lorac_status lorac_reading_check(struct lorac_reading *rd, const struct lorac_source *source)
{
    const struct lorac_recipe *r = rd->recipe;
    enum lorac_status st = check_required(rd, source);
    if (!st) { st = check_either(rd, source, "train.epochs", "train.steps"); }
    if (!st) { st = check_either(rd, source, "train.batch_tokens", "train.batch_size"); }
    if (!st) { st = check_template(rd, source); }
    if (st || rd->errors->n) { return st; } // the rest looks at values that are all right
    st = r->data.kind == LORAC_RECIPE_DATA_TEXT ? check_text(rd) : check_table(rd);
    if (st || rd->errors->n) { return st; }
    st = check_idle(rd, "data.labels.unknown", r->data.labels.unknown == LORAC_RECIPE_UNKNOWN_ERROR,
                    r->data.labels.map.n > 0, "without data.labels.map");
    bool stops = r->eval.early_stop.metric != 0;
    const char *without = "without eval.early_stop.metric";
    if (!st) {
        st = check_idle(rd, "eval.early_stop.patience", r->eval.early_stop.patience == 3, stops,
                        without);
    }
    if (!st) {
        st = check_idle(rd, "eval.early_stop.min_delta",
                        !(r->eval.early_stop.min_delta < 0.001) &&
                            !(r->eval.early_stop.min_delta > 0.001),
                        stops, without);
    }
    if (!st) {
        st = check_idle(rd, "train.watchdog.patience", r->train.watchdog.patience == 3,
                        r->train.watchdog.loss_above > 0.0, "without train.watchdog.loss_above");
    }
    if (!st) { st = check_optimizer(rd); }
    if (!st) { st = check_keep(rd); }
    if (!st) { st = check_adapter(rd); }
    if (!st) { st = check_vector_decay(rd); }
    if (!st && r->data.format.delimiter == r->data.format.quote) {
        st = lorac_reading_complain(rd, rd->nodes[index_of("data.format.quote")],
                                    lorac_key_find("data.format.quote"),
                                    "must differ from data.format.delimiter");
    }
    return st;
}
