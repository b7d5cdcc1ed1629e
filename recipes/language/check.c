/* check.c - what must hold between keys; see reading.h. Each check names the places. */
#include "base/core/clock.h"
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

static enum lorac_status check_required(struct lorac_reading *rd)
{
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < lorac_n_keys && !st; i++) {
        const struct lorac_key *key = &lorac_keys[i];
        if (!(key->flags & LORAC_KEY_REQUIRED) || rd->nodes[i]) { continue; }
        st = lorac_complain(rd->errors, rd->defaults, 0, 0, rd->err, "%s: missing; %s", key->path,
                            key->help);
    }
    return st;
}

/* Exactly one of two keys. */
static enum lorac_status check_either(struct lorac_reading *rd, const char *a, const char *b)
{
    const struct lorac_node *at_a = given(rd, a);
    const struct lorac_node *at_b = given(rd, b);
    if (!at_a && !at_b) {
        return lorac_complain(rd->errors, rd->defaults, 0, 0, rd->err,
                              "%s: either this or %s is needed", a, b);
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

/* Is the objective's word none that there is, and has been told? */
static bool is_misspelt(const struct lorac_reading *rd)
{
    const struct lorac_node *node = given(rd, "objective.kind");
    const char *name = lorac_objectives[rd->recipe->objective.kind].name;
    return rd->errors->n && node && !(node->text && strcmp(node->text, name) == 0);
}

static enum lorac_status check_template(struct lorac_reading *rd)
{
    const struct lorac_recipe *r = rd->recipe;
    bool prompt = given(rd, "template.prompt");
    bool completion = given(rd, "template.completion");
    if (r->data.kind == LORAC_RECIPE_DATA_TEXT || r->data.train.n == 0) { return LORAC_OK; }
    if (is_misspelt(rd)) { return LORAC_OK; }
    const struct lorac_objective *o = &lorac_objectives[r->objective.kind];
    if (o->target || o->masks) { return LORAC_OK; } // check_head(), check_masked()
    bool chat = r->templates.kind == LORAC_RECIPE_TEMPLATE_CHAT;
    bool answers =
        r->templates.train_on == LORAC_TRAIN_ASSISTANT || r->templates.train_on == LORAC_TRAIN_LAST;
    if (chat != answers && given(rd, "template.train_on")) {
        return lorac_reading_complain(rd, given(rd, "template.train_on"),
                                      lorac_key_find("template.train_on"), "must be %s",
                                      chat ? "'assistant' or 'last' with template: chat"
                                           : "'completion' or 'all' without template: chat");
    }
    if (chat && prompt != completion) {
        return lorac_complain(rd->errors, rd->defaults, 0, 0, rd->err,
                              "template.%s: missing; with template: chat prompt is what the user "
                              "says and completion the answer: both or none",
                              prompt ? "completion" : "prompt");
    }
    if (chat) { return LORAC_OK; }
    if (!prompt && !completion) {
        bool plain = ends_with(r->data.train.at[0], ".txt");
        return lorac_complain(rd->errors, rd->defaults, 0, 0, rd->err,
                              "template.prompt: missing; a table needs template.prompt or "
                              "template.completion%s",
                              plain ? "; for plain text write data.kind: text" : "");
    }
    if (prompt && !completion && r->templates.train_on == LORAC_TRAIN_COMPLETION) {
        return lorac_complain(rd->errors, rd->defaults, 0, 0, rd->err,
                              "template.train_on: 'completion' trains nothing without a "
                              "template.completion; give one, or write train_on: all");
    }
    return LORAC_OK;
}

/* A key that was given and does nothing, because of another. */
static enum lorac_status check_idle(struct lorac_reading *rd, const char *path, bool used,
                                    const char *why)
{
    const struct lorac_node *node = given(rd, path);
    bool is_default = false;
    if (!node || used) { return LORAC_OK; }
    enum lorac_status st = lorac_value_is_default(&is_default, rd, index_of(path));
    if (st || is_default) { return st; }
    bool set =
        rd->has_options && !node->source->is_option; // what an option made idle, another puts back
    return lorac_reading_complain(rd, node, lorac_key_find(path), "has no effect %s%s%s%s", why,
                                  set ? " (--unset " : "", set ? path : "", set ? ")" : "");
}

static enum lorac_status check_all_idle(struct lorac_reading *rd, const char *const *paths,
                                        size_t n, const char *why)
{
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < n && !st; i++) {
        st = check_idle(rd, paths[i], false, why);
    }
    return st;
}

/* What one method reads and another does not. */
static enum lorac_status check_method(struct lorac_reading *rd)
{
    static const char *const keys[] = {
        "adapter.rank",    "adapter.alpha",   "adapter.scaling",     "adapter.dropout",
        "adapter.init",    "adapter.bias",    "adapter.overrides",   "adapter.feedforward",
        "adapter.targets", "adapter.exclude", "optimizer.lr_ratio_b"};
    const char *method = rd->recipe->adapter.method;
    char why[64];
    enum lorac_status st = LORAC_OK;
    (void)snprintf(why, sizeof why, "with adapter.method: %s", method);
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !st; i++) {
        st = check_idle(rd, keys[i], lorac_method_reads(method, lorac_key_last(keys[i])), why);
    }
    return st;
}

/* The keys that say where pairs go and what they are, and those that say what trains in full. */
static enum lorac_status check_adapter(struct lorac_reading *rd)
{
    static const char *const keys[] = {
        "adapter.method",  "adapter.feedforward", "adapter.rank",    "adapter.alpha",
        "adapter.scaling", "adapter.init",        "adapter.targets", "adapter.exclude",
        "adapter.layers",  "adapter.overrides",   "adapter.bias",    "adapter.train_also",
        "adapter.tie"};
    enum { N = sizeof keys / sizeof *keys, OF_PAIRS = N - 2 };
    const struct lorac_recipe *r = rd->recipe;
    const bool all = r->adapter.train_also.all;
    enum lorac_status st = LORAC_OK;
    if (r->adapter.from) {
        st = check_all_idle(rd, keys, N, "with adapter.from, which brings its own");
    } else if (all) {
        st = check_all_idle(rd, keys, OF_PAIRS,
                            "with adapter.train_also: all, which leaves no module for a pair");
    }
    if (!st && !r->adapter.from && !all) { st = check_method(rd); }
    if (st || !all) { return st; }
    st = check_idle(rd, "adapter.dropout", false,
                    "with adapter.train_also: all: it drops inputs of pairs");
    return st ? st
              : check_idle(rd, "optimizer.lr_ratio_b", false,
                           "with adapter.train_also: all: it is for the B of pairs");
}

/* A prefix is run once, a mask of dropout drawn for each row. */
static enum lorac_status check_share(struct lorac_reading *rd)
{
    const struct lorac_recipe *r = rd->recipe;
    bool drops = r->adapter.dropout > 0.0;
    return check_idle(rd, "train.share_prefix", !drops || r->train.share_prefix != LORAC_SHARE_ON,
                      "with adapter.dropout: each row drops inputs of its own");
}

/* Decay of vectors where none trains. What adapter.from brings is not known here. */
static enum lorac_status check_vector_decay(struct lorac_reading *rd)
{
    const struct lorac_recipe *r = rd->recipe;
    bool trains = lorac_method_reads(r->adapter.method, "vector_decay") ||
                  r->adapter.train_also.all || r->adapter.train_also.names.n || r->adapter.from ||
                  r->adapter.bias != LORAC_BIAS_NONE;
    return check_idle(rd, "optimizer.vector_decay", trains,
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
    return st ? st : check_idle(rd, "data.separator", false, "without data.kind: text");
}

/* Texts have neither columns nor labels nor a template, and no answers to compare. */
static enum lorac_status check_text(struct lorac_reading *rd)
{
    const struct lorac_recipe *r = rd->recipe;
    static const char *const keys[] = {
        "data.format.kind",     "data.format.delimiter", "data.format.quote", "data.format.header",
        "data.format.encoding", "data.columns",          "data.labels.map",   "data.labels.unknown",
        "data.on_empty",        "data.on_too_long",      "data.duplicates",   "template.kind",
        "template.system",      "template.date",         "template.prompt",   "template.completion",
        "template.train_on"};
    enum lorac_status st =
        check_all_idle(rd, keys, sizeof keys / sizeof *keys, "with data.kind: text");
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

/* What is of CSV alone, and of a chat. */
static enum lorac_status check_kinds(struct lorac_reading *rd)
{
    const struct lorac_recipe *r = rd->recipe;
    static const char *const of_csv[] = {"data.format.delimiter", "data.format.quote",
                                         "data.format.header", "data.format.encoding"};
    static const char *const of_chat[] = {"template.system", "template.date"};
    enum lorac_status st = LORAC_OK;
    if (r->data.format.kind != LORAC_TABLE_CSV) {
        st = check_all_idle(rd, of_csv, sizeof of_csv / sizeof *of_csv, "with data.format: jsonl");
    }
    if (!st && r->templates.kind != LORAC_RECIPE_TEMPLATE_CHAT) {
        st =
            check_all_idle(rd, of_chat, sizeof of_chat / sizeof *of_chat, "without template: chat");
    }
    int64_t day = 0;
    if (!st && r->templates.date && !lorac_day_parse(&day, r->templates.date)) {
        st =
            lorac_reading_complain(rd, given(rd, "template.date"), lorac_key_find("template.date"),
                                   "must be a day as 2026-11-29, found '%.40s'", r->templates.date);
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
    static const char section[] = "optimizer.";
    const struct lorac_recipe *r = rd->recipe;
    enum lorac_status st = LORAC_OK;
    char why[64];
    (void)snprintf(why, sizeof why, "with %s", r->optimizer.name);
    for (size_t i = 0; i < lorac_n_keys && !st; i++) {
        const char *path = lorac_keys[i].path;
        if (strncmp(path, section, strlen(section)) != 0) { continue; }
        st = check_idle(rd, path, lorac_optim_reads(r->optimizer.name, lorac_key_last(path)), why);
    }
    if (st) { return st; }
    return check_idle(rd, "optimizer.final_lr_ratio", lorac_schedule_falls(r->optimizer.schedule),
                      "with optimizer.schedule: constant");
}

/* What needs another key to have an effect. */
static enum lorac_status check_needs(struct lorac_reading *rd)
{
    const struct lorac_recipe *r = rd->recipe;
    const bool stops = r->eval.early_stop.metric != 0;
    const struct {
        const char *path;
        bool used;
        const char *why;
    } keys[] = {
        {"data.labels.unknown",
         r->data.labels.map.n > 0 || lorac_objectives[r->objective.kind].target,
         "without data.labels.map"},
        {"eval.early_stop.patience", stops, "without eval.early_stop.metric"},
        {"eval.early_stop.min_delta", stops, "without eval.early_stop.metric"},
        {"train.watchdog.patience", r->train.watchdog.loss_above > 0.0,
         "without train.watchdog.loss_above"},
    };
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !st; i++) {
        st = check_idle(rd, keys[i].path, keys[i].used, keys[i].why);
    }
    return st;
}

/* Without a head, what is of one. */
static enum lorac_status check_no_head(struct lorac_reading *rd)
{
    static const char *const keys[] = {
        "data.labels.column",      "data.labels.separator",     "template.pair",
        "objective.class_weights", "objective.label_smoothing", "eval.threshold"};
    enum lorac_status st = check_all_idle(rd, keys, sizeof keys / sizeof *keys,
                                          "without an objective that has a head (classify, "
                                          "multilabel, regress, tag)");
    if (st || rd->recipe->data.on_too_long != LORAC_LONG_TRUNCATE_END) { return st; }
    return lorac_reading_complain(rd, given(rd, "data.on_too_long"),
                                  lorac_key_find("data.on_too_long"),
                                  "must be another with objective: causal_lm: a text's end is its "
                                  "answer");
}

/* With a head: the model reads a text, or two, and says what stands in a column. */
static enum lorac_status check_head(struct lorac_reading *rd)
{
    static const char *const writing[] = {"template.kind", "template.completion",
                                          "template.train_on", "template.append_eos",
                                          "eval.samples"};
    const struct lorac_recipe *r = rd->recipe;
    const struct lorac_objective *o = &lorac_objectives[r->objective.kind];
    bool tags = o->target == LORAC_TARGET_TAGS;
    bool several = o->target == LORAC_TARGET_LABELS;
    bool labels = o->target != LORAC_TARGET_NUMBER;
    char why[64];
    const struct {
        const char *path;
        bool used;
    } keys[] = {
        {"data.labels.separator", several},
        {"data.labels.map", labels},
        {"data.labels.unknown", labels},
        {"objective.class_weights", labels},
        {"objective.label_smoothing", labels && !several},
        {"template.pair", !tags},
        {"eval.threshold", labels && !tags},
    };
    if (!o->target) { return check_no_head(rd); }
    (void)snprintf(why, sizeof why, "with objective: %s", o->name);
    if (r->data.kind == LORAC_RECIPE_DATA_TEXT) {
        return lorac_reading_complain(rd, given(rd, "objective.kind"),
                                      lorac_key_find("objective.kind"),
                                      "'%s' learns from a column, and with data.kind: text there "
                                      "are none",
                                      o->name);
    }
    if (!r->data.labels.column || !r->data.labels.column[0]) {
        return lorac_complain(rd->errors, rd->defaults, 0, 0, rd->err,
                              "data.labels: missing; objective: %s learns what stands in a column, "
                              "as data.labels: label",
                              o->name);
    }
    if (several && !r->data.labels.separator[0]) {
        return lorac_reading_complain(rd, given(rd, "data.labels.separator"),
                                      lorac_key_find("data.labels.separator"),
                                      "must be text, found ''");
    }
    enum lorac_status st = check_all_idle(rd, writing, sizeof writing / sizeof *writing, why);
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !st; i++) {
        st = check_idle(rd, keys[i].path, keys[i].used, why);
    }
    return st;
}

/* An encoder whose tokens are hidden reads texts, and writes none. */
static enum lorac_status check_masked(struct lorac_reading *rd)
{
    static const char *const idle[] = {"template.append_eos", "eval.samples"};
    const struct lorac_recipe *r = rd->recipe;
    const struct lorac_objective *o = &lorac_objectives[r->objective.kind];
    char why[64];
    if (!o->masks) {
        return check_idle(rd, "objective.mask_share", false, "without objective: masked_lm");
    }
    if (r->data.kind != LORAC_RECIPE_DATA_TEXT) {
        return lorac_reading_complain(rd, given(rd, "objective.kind"),
                                      lorac_key_find("objective.kind"),
                                      "'%s' learns from plain text, and data.kind is table; write "
                                      "data.kind: text",
                                      o->name);
    }
    (void)snprintf(why, sizeof why, "with objective: %s", o->name);
    return check_all_idle(rd, idle, sizeof idle / sizeof *idle, why);
}

/* Nothing is asked for that the objective does not have. Where nobody asks, what is usual for it is
 * measured. */
static enum lorac_status check_metrics(struct lorac_reading *rd)
{
    struct lorac_recipe *r = rd->recipe;
    const struct lorac_objective *o = &lorac_objectives[r->objective.kind];
    bool is_default = false;
    enum lorac_status st = lorac_value_is_default(&is_default, rd, index_of("eval.metrics"));
    if (is_default) { r->eval.metrics = o->usual; }
    const struct {
        const char *path;
        unsigned metrics;
    } keys[] = {
        {"eval.metrics", r->eval.metrics},
        {"eval.best", r->eval.best ? 1U << (r->eval.best - 1) : 0U},
        {"eval.early_stop.metric",
         r->eval.early_stop.metric ? 1U << (r->eval.early_stop.metric - 1) : 0U},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !st; i++) {
        unsigned lacks = keys[i].metrics & ~o->metrics;
        unsigned m = 0;
        if (!lacks) { continue; }
        while (!(lacks >> m & 1U)) {
            m++;
        }
        st = lorac_reading_complain(rd, given(rd, keys[i].path), lorac_key_find(keys[i].path),
                                    "there is no '%s' with objective: %s", lorac_metric_name(m),
                                    o->name);
    }
    return st;
}

enum lorac_status lorac_reading_check(struct lorac_reading *rd)
{
    const struct lorac_recipe *r = rd->recipe;
    enum lorac_status st = check_required(rd);
    if (!st) { st = check_either(rd, "train.epochs", "train.steps"); }
    if (!st) { st = check_either(rd, "train.batch_tokens", "train.batch_size"); }
    if (!st) { st = check_template(rd); }
    if (st || rd->errors->n) { return st; } // the rest looks at values that are all right
    st = r->data.kind == LORAC_RECIPE_DATA_TEXT ? check_text(rd) : check_table(rd);
    if (st || rd->errors->n) { return st; }
    st = check_needs(rd);
    if (!st) { st = check_head(rd); }
    if (!st) { st = check_masked(rd); }
    if (!st) { st = check_metrics(rd); }
    if (!st) { st = check_kinds(rd); }
    if (!st) { st = check_optimizer(rd); }
    if (!st) { st = check_keep(rd); }
    if (!st) { st = check_adapter(rd); }
    if (!st) { st = check_share(rd); }
    if (!st) { st = check_vector_decay(rd); }
    if (!st && r->data.format.delimiter == r->data.format.quote) {
        st = lorac_reading_complain(rd, rd->nodes[index_of("data.format.quote")],
                                    lorac_key_find("data.format.quote"),
                                    "must differ from data.format.delimiter");
    }
    return st;
}
