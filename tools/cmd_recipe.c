/* cmd_recipe.c - `lorac recipe`: help on keys, a template, a schema; and reading recipes for other
 * verbs. */
#include "tools/cmd_recipes.h"

#include <stdio.h>
#include <string.h>

enum lorac_status recipe_open(struct lorac_recipe **out, const char *path, const struct args *a,
                              struct lorac_err *err)
{
    return recipe_open_with(out, path, a, NULL, 0, err);
}

/* What a Hub id or a folder of its cache stands for. */
static void tell_folders(const struct lorac_recipe *r)
{
    if (r->model.given && lorac_path_is_dir(r->model.path)) {
        fprintf(stderr, "note: model.path %s is %s\n", r->model.given, r->model.path);
    }
    if (r->adapter.given && lorac_path_is_dir(r->adapter.from)) {
        fprintf(stderr, "note: adapter.from %s is %s\n", r->adapter.given, r->adapter.from);
    }
}

size_t recipe_sets(struct lorac_recipe_set sets[MAX_GIVEN], const struct args *a)
{
    size_t n = 0;
    for (size_t i = 0; i < a->n_given; i++) { // in the order given
        bool set = strcmp(a->given[i]->name, "--set") == 0;
        bool unset = strcmp(a->given[i]->name, "--unset") == 0;
        if (set || unset) { sets[n++] = (struct lorac_recipe_set){a->values[i], unset}; }
    }
    return n;
}

void recipe_errors(const struct lorac_recipe_errors *errors, enum lorac_status st,
                   struct lorac_err *err)
{
    for (size_t i = 0; i < errors->n; i++) { // in the file's order; the caller shows the last
        if (i + 1 < errors->n) {
            fprintf(stderr, "lorac: %s\n", errors->at[i].text);
        } else if (st == LORAC_EUSER) {
            (void)lorac_fail(err, st, "%s", errors->at[i].text);
        }
    }
}

enum lorac_status recipe_open_with(struct lorac_recipe **out, const char *path,
                                   const struct args *a, const char *const *more, size_t n_more,
                                   struct lorac_err *err)
{
    struct lorac_recipe_set sets[MAX_GIVEN + MAX_MORE];
    struct lorac_recipe_errors errors = {0};
    size_t n = recipe_sets(sets, a);
    for (size_t i = 0; i < n_more && i < MAX_MORE; i++) {
        sets[n++] = (struct lorac_recipe_set){more[i], false};
    }
    enum lorac_status st = lorac_recipe_open(out, path, sets, n, &errors, err);
    recipe_errors(&errors, st, err);
    lorac_recipe_errors_free(&errors);
    if (!st) { tell_folders(*out); }
    return st;
}

/* What was set and is not read: whoever evaluates should not think that it was. */
static void note_unread(const struct args *a)
{
    for (size_t i = 0; i < a->n_given; i++) {
        char key[64];
        bool set = strcmp(a->given[i]->name, "--set") == 0;
        if (!set && strcmp(a->given[i]->name, "--unset") != 0) { continue; }
        (void)snprintf(key, sizeof key, "%.*s", (int)strcspn(a->values[i], "="), a->values[i]);
        if (!lorac_recipe_only_trains(key)) { continue; }
        fprintf(stderr, "note: %s %s has no effect on %s: only training reads it\n",
                a->given[i]->name, key, a->verb);
    }
}

enum lorac_status recipe_of_run(char path[LORAC_PATH], const char *dir, struct lorac_err *err)
{
    if (lorac_path_exists(lorac_path_in(path, dir, "recipe.resolved.yaml"))) { return LORAC_OK; }
    return lorac_fail(err, LORAC_EUSER, "%s: is no run (it holds no recipe.resolved.yaml)", dir);
}

enum lorac_status recipe_or_run(struct lorac_recipe **out, char **adapter, const char *path,
                                const struct args *a, struct lorac_err *err)
{
    *out = NULL;
    *adapter = NULL;
    enum lorac_status st = LORAC_OK;
    if (!lorac_path_is_dir(path)) {
        st = recipe_open(out, path, a, err);
    } else {
        char resolved[LORAC_PATH];
        st = recipe_of_run(resolved, path, err);
        if (!st) { st = recipe_open(out, resolved, a, err); }
        if (!st && !args_text(a, "--adapter", NULL) && !args_has(a, "--base")) {
            st = lorac_found_adapter(adapter, path, *out, err);
            if (!st && !*adapter) {
                st = lorac_fail(err, LORAC_EUSER, "%s: has saved no adapter yet", path);
            }
        }
    }
    if (!st) { note_unread(a); }
    return st;
}

enum lorac_status recipe_to_run(struct lorac_recipe **out, const struct args *a,
                                struct lorac_err *err)
{
    const char *path = a->positional[0];
    if (!lorac_path_is_dir(path)) { return recipe_open(out, path, a, err); }
    struct lorac_buf dir = {0};
    bool elsewhere = false; // the folder that is asked for
    for (size_t i = 0; args_each(a, "--set", i); i++) {
        elsewhere = elsewhere || strncmp(args_each(a, "--set", i), "output.dir=", 11) == 0;
    }
    lorac_buf_str(&dir, "output.dir=");
    lorac_buf_json(&dir, path, strlen(path));
    char resolved[LORAC_PATH];
    enum lorac_status st = recipe_of_run(resolved, path, err);
    if (!st && dir.no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "no memory"); }
    const char *const more[] = {dir.at};
    if (!st) { st = recipe_open_with(out, resolved, a, more, elsewhere ? 0 : 1, err); }
    lorac_buf_free(&dir);
    return st;
}

void add_rows(struct lorac_buf *b, const struct lorac_dataset *set)
{
    char text[48];
    const struct lorac_data_counts *c = lorac_dataset_counts(set);
    enum lorac_target target = lorac_dataset_objective(set)->target;
    lorac_buf_str(b, show_many(text, c->used, "row"));
    lorac_buf_printf(b, ", %s", show_many(text, c->tokens, "token"));
    if (target == LORAC_TARGET_NONE) {
        lorac_buf_printf(b, ", %s of them trained", show_count(text, c->trained));
    } else if (target == LORAC_TARGET_TAGS) {
        lorac_buf_printf(b, ", %s with a tag", show_many(text, c->trained, "word"));
    }
}

/* What became of rows that were not used as they are. */
void say_text(FILE *to, const struct lorac_data_counts *c)
{
    char documents[48];
    char pieces[48];
    char tokens[32];
    char trained[32];
    fprintf(to, "%s in %s, ", show_many(documents, c->documents, "document"),
            show_many(pieces, c->used, "piece"));
    (void)show_count(trained, c->trained);
    if (c->bytes) {
        fprintf(to, "%s tokens trained, %.2f bytes a token", trained,
                (double)c->bytes / (double)c->trained);
    } else { // masks: which ones is drawn each time
        fprintf(to, "%s tokens, about %s asked for in each epoch", show_count(tokens, c->tokens),
                trained);
    }
}

/* " (lines 3, 8, ...)" and the line's end. */
static void say_lines(FILE *to, const struct lorac_tally *t)
{
    fprintf(to, " (line");
    for (size_t k = 0; k < t->n && k < LORAC_TALLY_LINES; k++) {
        fprintf(to, "%s %llu", k ? "," : t->n == 1 ? "" : "s", (unsigned long long)t->line[k]);
    }
    fprintf(to, "%s)\n", t->n > LORAC_TALLY_LINES ? ", ..." : "");
}

void say_table(FILE *to, const struct lorac_table *t)
{
    const struct lorac_tally *blank = t ? lorac_table_blank_lines(t) : NULL;
    const struct lorac_tally *cells = t ? lorac_table_long_cells(t) : NULL;
    if (blank && blank->n) {
        fprintf(to, "           %zu blank %s, no %s", blank->n, blank->n == 1 ? "line" : "lines",
                blank->n == 1 ? "row" : "rows");
        say_lines(to, blank);
    }
    if (cells && cells->n) {
        fprintf(to, "           %zu %s lines and delimiters; lone quotes need quote: ''", cells->n,
                cells->n == 1 ? "cell holds" : "cells hold");
        say_lines(to, cells);
    }
}

void say_counts(FILE *to, const struct lorac_data_counts *c)
{
    const struct {
        const struct lorac_tally *t;
        const char *text;
    } tallies[] = {
        {&c->skipped_empty, "skipped: an empty cell"},
        {&c->skipped_long, "skipped: too long"},
        {&c->skipped_label, "skipped: unknown label"},
        {&c->kept_empty, "with an empty cell, kept"},
        {&c->truncated, "with a shortened prompt"},
        {&c->duplicates, "the same as an earlier row"},
    };
    for (size_t i = 0; i < sizeof tallies / sizeof tallies[0]; i++) {
        const struct lorac_tally *t = tallies[i].t;
        if (!t->n) { continue; }
        fprintf(to, "           %zu %s", t->n, tallies[i].text);
        say_lines(to, t);
    }
    if (c->blank_documents) {
        fprintf(to, "           %zu documents of white space alone, left out\n",
                c->blank_documents);
    }
    if (c->short_documents) {
        fprintf(to, "           %zu documents of less than two tokens, left out\n",
                c->short_documents);
    }
    if (c->special_pieces) {
        fprintf(to,
                "           %zu pieces of special tokens alone, left out: none of them can be "
                "masked\n",
                c->special_pieces);
    }
    size_t used = c->used ? c->used : 1;
    if (c->last_trained_is_eos < c->used && !c->documents) {
        fprintf(
            to,
            "           note: only %zu %% of the rows end with a trained end-of-sequence token\n",
            100 * c->last_trained_is_eos / used);
    }
}

void say_few(FILE *to, const char *before, const struct lorac_job *j, size_t steps)
{
    char many[48];
    struct lorac_buf advice = {0};
    if (lorac_plan_few(&advice, j, steps)) {
        fprintf(to, "%snote: %s %s few to learn from; %s%s\n", before,
                show_many(many, steps, "step"), steps == 1 ? "is" : "are",
                advice.n ? "try " : "only more rows would give more", advice.n ? advice.at : "");
    }
    lorac_buf_free(&advice);
}

void say_frozen(FILE *to, const char *front, const struct lorac_trainer_frozen *f)
{
    char bytes[32];
    struct lorac_buf b = {0};
    if (!f->layers && !f->valid_bytes) { return; }
    size_t layers = f->layers ? f->layers : f->valid_layers;
    lorac_buf_printf(&b, layers == 1 ? "layer %zu runs" : "layers 0-%zu run", layers - 1);
    lorac_buf_printf(&b, " once a %srow; what leaves %s takes ", f->layers ? "" : "validation ",
                     layers == 1 ? "it" : "them");
    if (f->layers) {
        lorac_buf_printf(&b, "%s %s%s", show_bytes(bytes, f->bytes),
                         f->on_disk ? "on the disk" : "of memory",
                         f->valid_bytes ? ", of validation rows " : "");
    }
    if (f->valid_bytes) { lorac_buf_printf(&b, "%s of memory", show_bytes(bytes, f->valid_bytes)); }
    lorac_buf_str(&b, " (train.cache_frozen_prefix)");
    show_wrapped(to, front, b.at ? b.at : "");
    lorac_buf_free(&b);
}

static int print(struct lorac_buf *b)
{
    bool lost = b->no_memory || !b->at;
    if (!lost) { (void)fputs(b->at, stdout); }
    lorac_buf_free(b);
    return lost ? EXIT_FAILED : 0;
}

/* `recipe init`: guess a recipe, and write it where nothing stands yet. */
static int init(const struct args *a)
{
    struct lorac_err err = {0};
    struct lorac_buf b = {0};
    const char *model = args_text(a, "--model", NULL);
    const char *table = args_text(a, "--csv", NULL);
    const char *out = args_text(a, "--out", NULL);
    if (!model || !table) {
        fprintf(stderr, "lorac: recipe init needs --model DIR and --csv FILE\n");
        return EXIT_USAGE;
    }
    enum lorac_status st = LORAC_OK;
    if (out && lorac_path_exists(out)) {
        st = lorac_fail(&err, LORAC_EUSER, "%s: is there already; choose another name", out);
    }
    const char *texts[MAX_GIVEN];
    struct lorac_first_columns o = {.label = args_text(a, "--label", NULL), .texts = texts};
    while (args_each(a, "--text", o.n_texts)) {
        texts[o.n_texts] = args_each(a, "--text", o.n_texts);
        o.n_texts++;
    }
    struct lorac_buf told = {0};
    char *dir = NULL;
    if (!st) { st = find_folder(&dir, "--model", model, &err); }
    if (!st) { st = lorac_recipe_init(&b, &told, dir, table, &o, &err); }
    lorac_mem_free(dir);
    if (!st && (b.no_memory || told.no_memory)) {
        st = lorac_fail(&err, LORAC_ENOMEM, "no memory for a recipe");
    }
    if (!st && told.at) { fputs(told.at, stderr); }
    lorac_buf_free(&told);
    if (!st && !out) { return print(&b); }
    if (!st) { st = lorac_file_write(out, b.at, b.n, &err); }
    lorac_buf_free(&b);
    if (st) { return complain(&err); }
    fprintf(stderr, "%s is written; see what it would do with\n  lorac plan ", out);
    show_word(stderr, out);
    fprintf(stderr, "\n");
    return 0;
}

/* An option that belongs to another of the verbs below would be ignored: NULL, or its name. */
static const char *idle_option(const struct args *a, const char *what)
{
    for (size_t i = 0; i < a->n_given; i++) {
        const char *name = a->given[i]->name;
        bool sets = strcmp(name, "--set") == 0 || strcmp(name, "--unset") == 0;
        if (strcmp(what, sets ? "check" : "init") != 0) { return name; }
    }
    return NULL;
}

static int run(const struct args *a)
{
    struct lorac_err err = {0};
    struct lorac_buf b = {0};
    const char *what = a->positional[0];
    const char *idle = idle_option(a, what);
    if (idle) {
        fprintf(stderr, "lorac: recipe %s takes no %s\n", what, idle);
        return EXIT_USAGE;
    }
    const char *more = a->n_positional > 1 ? a->positional[1] : NULL;
    if (strcmp(what, "init") == 0 && !more) { return init(a); }
    if (strcmp(what, "explain") == 0) {
        if (lorac_recipe_explain(&b, more, &err)) {
            lorac_buf_free(&b);
            return complain(&err);
        }
        return print(&b);
    }
    if (strcmp(what, "template") == 0) {
        lorac_recipe_template(&b);
        return print(&b);
    }
    if (strcmp(what, "schema") == 0 && (!more || strcmp(more, "sweep") == 0)) {
        if (more) {
            lorac_sweep_schema_json(&b);
        } else {
            lorac_recipe_schema_json(&b);
        }
        return print(&b);
    }
    if (strcmp(what, "check") == 0 && more) {
        struct lorac_recipe *r = NULL;
        if (recipe_open(&r, more, a, &err)) { return complain(&err); }
        lorac_recipe_resolved(&b, r);
        lorac_recipe_free(r);
        return print(&b);
    }
    fprintf(stderr,
            "lorac: recipe takes explain [KEY], template, schema [sweep], check RECIPE or init\n");
    return EXIT_USAGE;
}

static const struct option options[] = {
    RECIPE_OPTIONS,
    {"--model", "DIR", "init: the base model", false, false},
    {"--csv", "FILE", "init: the table to train on, a CSV or JSON lines", false, false},
    {"--label", "COLUMN", "init: the column that answers, by name or number (default: guessed)",
     false, false},
    {"--text", "COLUMN", "init: a column of the prompt, by name or number (default: guessed)",
     false, true},
    {"--out", "FILE", "init: the recipe to write (default: standard output)", false, false},
    {0},
};

const struct verb verb_recipe = {
    .name = "recipe",
    .usage = "init --model DIR --csv FILE [--label COLUMN] [--text COLUMN]... [--out FILE] | "
             "explain [KEY] | template | schema [sweep] | check RECIPE",
    .summary = "write a first recipe for a table, explain keys, check a file",
    .about = "  lorac recipe init --model DIR --csv FILE   a recipe for a table, and why so\n"
             "  lorac recipe explain                every key with its default\n"
             "  lorac recipe explain adapter.rank   one key, or one section, at length\n"
             "  lorac recipe template > mine.yaml   a commented recipe to fill in\n"
             "  lorac recipe schema                 a JSON Schema, for editors\n"
             "  lorac recipe explain sweep          the keys of a sweep's file (lorac sweep)\n"
             "  lorac recipe schema sweep           its JSON Schema\n"
             "  lorac recipe check mine.yaml        all errors at once, or the resolved recipe\n",
    .options = options,
    .words = "init explain template schema check",
    .min_positional = 1,
    .max_positional = 2,
    .run = run,
};
