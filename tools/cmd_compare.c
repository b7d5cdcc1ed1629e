/* cmd_compare.c - `lorac compare`: a recipe's task by prompting, by showing examples, and by
 * training. */
#include "tools/shots.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { A_LABEL = 2, MOST_SHOTS = 16, FREE_TEXT_SHOTS = 4, MAX_LEVELS = 4 };

/* One way to the task, and how far it leads. */
struct level {
    const char *name;
    char *model, *adapter; // folders; adapter NULL: none
    size_t shots;
    char missing[1024]; // why there are no scores, or ""
    struct lorac_scores scores;
    double train_seconds; // NaN: not known
    size_t parameters, adapter_bytes;
};

struct comparison {
    const struct args *a;
    const char *split;
    struct lorac_fewshot_options shots; // n 0: as seems sensible, as many as fit
    struct level level[MAX_LEVELS];
    size_t n;
    struct status_line line;
    const char *doing;
    char majority[LORAC_LABEL_SHOWN]; // the label that most of the rows have, in quotes; or ""
};

/* A recipe with its job. */
struct subject {
    struct lorac_recipe *r;
    struct lorac_job *j;
    const struct lorac_data *data; // of the split
};

static bool on_progress(void *self, double done)
{
    struct comparison *c = self;
    status_share(&c->line, c->doing, done);
    return !stop_asked();
}

static enum lorac_status open_job(struct subject *s, const struct comparison *c,
                                  struct lorac_err *err)
{
    unsigned parts = 0;
    enum lorac_status st = split_find(NULL, &parts, c->split, NULL, err);
    if (!st) { st = lorac_job_open(&s->j, s->r, parts | LORAC_JOB_TRAIN, err); }
    return st ? st : split_find(&s->data, &parts, c->split, s->j, err);
}

static void close_subject(struct subject *s)
{
    lorac_job_close(s->j);
    lorac_recipe_free(s->r);
}

static enum lorac_status add_level(struct level **out, struct comparison *c, const char *name,
                                   const struct lorac_recipe *r, struct lorac_err *err)
{
    struct level *l = &c->level[c->n++];
    *out = l;
    l->name = name;
    l->model = lorac_mem_string(r->model.path, strlen(r->model.path));
    return l->model ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "no memory");
}

/* Labels are compared whatever the recipe measures while it trains. */
static unsigned metrics_of(const struct lorac_job *j)
{
    return j->recipe->eval.metrics | (j->K ? 1U << LORAC_METRIC_ACCURACY : 0U);
}

static enum lorac_status measure(struct level *l, struct comparison *c, const struct subject *s,
                                 const struct lorac_dataset *set, struct lorac_adapter *adapter,
                                 struct lorac_err *err)
{
    struct lorac_evaluator *e = NULL;
    struct lorac_stack stack = {.n = 1, .adapter = {adapter}, .factor = {1.0F}};
    struct lorac_socket socket = {0};
    if (adapter) { socket = lorac_stack_socket(&stack); }
    c->doing = l->name;
    enum lorac_status st =
        lorac_job_evaluator(&e, s->j, set, metrics_of(s->j), adapter ? &socket : NULL, err);
    if (!st) { st = lorac_evaluate(&l->scores, e, on_progress, c, err); }
    status_clear(&c->line);
    if (!st && l->scores.has_accuracy) {
        lorac_label_show(c->majority, s->j->labels[l->scores.majority_label]);
    }
    lorac_evaluator_free(e);
    return st;
}

/* The first level that has scores. */
static const struct lorac_scores *first_scores(const struct comparison *c)
{
    for (size_t i = 0; i < c->n; i++) {
        if (!c->level[i].missing[0]) { return &c->level[i].scores; }
    }
    return &c->level[0].scores;
}

/* ---- the levels ---- */

static enum lorac_status zero_shot(struct comparison *c, const struct subject *s,
                                   struct lorac_err *err)
{
    struct level *l = NULL;
    enum lorac_status st = add_level(&l, c, "zero-shot", s->r, err);
    if (!st && lorac_job_has_head(s->j) && lorac_model_untrained(s->j->model, NULL)) {
        (void)snprintf(l->missing, sizeof l->missing, "the base has no head for these labels");
        return LORAC_OK;
    }
    return st ? st : measure(l, c, s, s->data->set, NULL, err);
}

/* Shots that were asked for must fit; of those that were not, as many as do. */
static enum lorac_status few_shot(struct comparison *c, const struct subject *s,
                                  struct lorac_err *err)
{
    struct level *l = NULL;
    struct lorac_fewshot f = {0};
    struct lorac_fewshot_options o = c->shots;
    bool asked = o.n > 0;
    size_t train = lorac_dataset_size(s->j->train.set);
    size_t usual = s->j->K ? A_LABEL * s->j->K : FREE_TEXT_SHOTS;
    if (!asked) {
        o.n = usual < MOST_SHOTS ? usual : MOST_SHOTS;
        if (o.n >= train) { o.n = train > 1 ? train - 1 : 1; }
        o.fewer = true;
    }
    enum lorac_status st = add_level(&l, c, "few-shot", s->r, err);
    if (st) { return st; }
    st = lorac_fewshot_open(&f, s->j, s->data, metrics_of(s->j), &o, err);
    if (st == LORAC_EUSER && !asked) { // this recipe has no such level
        (void)snprintf(l->missing, sizeof l->missing, "%s", err->text);
        return LORAC_OK;
    }
    if (!st) {
        l->shots = lorac_shots_count(f.shots);
        st = measure(l, c, s, f.set, NULL, err);
    }
    lorac_fewshot_close(&f);
    return st;
}

/* The run in output.dir, unless it is to be removed: it may be of another recipe then. */
static enum lorac_status look(struct lorac_found *found, const struct subject *s,
                              const struct comparison *c, struct lorac_err *err)
{
    *found = (struct lorac_found){0};
    if (args_has(c->a, "--overwrite")) { return LORAC_OK; }
    enum lorac_status st = lorac_found_look(found, s->j, err);
    if (st == LORAC_EUSER) {
        struct lorac_err why = *err;
        (void)lorac_fail(err, st, "%s; --overwrite trains anew, --set output.dir=DIR elsewhere",
                         why.text);
    }
    return st;
}

/* Its faults are told before anything is measured. */
static enum lorac_status check_run(const struct subject *s, const struct comparison *c,
                                   struct lorac_err *err)
{
    struct lorac_found found;
    enum lorac_status st = look(&found, s, c, err);
    lorac_found_release(&found);
    return st;
}

/* Train where that is asked for and not done: with the job closed, as a run opens its own. */
static enum lorac_status train(struct lorac_found *found, struct subject *s,
                               const struct comparison *c, struct lorac_err *err)
{
    bool anew = args_has(c->a, "--overwrite");
    if (!anew && (!args_has(c->a, "--train") || found->state == LORAC_FOUND_FINISHED)) {
        return LORAC_OK;
    }
    enum lorac_run_mode mode = anew                                     ? LORAC_RUN_OVERWRITE
                               : found->state == LORAC_FOUND_UNFINISHED ? LORAC_RUN_RESUME
                                                                        : LORAC_RUN_NEW;
    struct lorac_run_result result = {0};
    lorac_found_release(found);
    lorac_job_close(s->j);
    s->j = NULL;
    struct lorac_buf again = {0};
    args_again(&again, c->a);
    if (!args_has(c->a, "--train")) { lorac_buf_str(&again, " --train"); }
    enum lorac_status st = train_seen(&result, s->r, c->a->positional[0],
                                      again.no_memory ? "--train" : again.at, mode, NULL, err);
    lorac_buf_free(&again);
    if (!st && result.end == LORAC_RUN_STOPPED) {
        st = lorac_fail(err, LORAC_ESTOP, "interrupted while training");
    }
    if (!st) { st = open_job(s, c, err); }
    return st ? st : lorac_found_look(found, s->j, err);
}

static enum lorac_status adapted(struct comparison *c, struct subject *s, const char *name,
                                 struct lorac_err *err)
{
    struct level *l = NULL;
    struct lorac_found found = {0};
    struct lorac_adapter *adapter = NULL;
    enum lorac_status st = add_level(&l, c, name, s->r, err);
    if (!st) { st = look(&found, s, c, err); }
    if (!st) { st = train(&found, s, c, err); }
    if (st) { goto done; }
    l->train_seconds = found.seconds;
    if (found.state != LORAC_FOUND_FINISHED || !found.adapter) {
        (void)snprintf(l->missing, sizeof l->missing, "%s %s; --train %s", s->r->output.dir,
                       found.state == LORAC_FOUND_NONE ? "holds no run" : "holds an unfinished run",
                       found.state == LORAC_FOUND_NONE ? "makes one" : "goes on with it");
        goto done;
    }
    l->adapter_bytes = found.adapter_bytes;
    st = lorac_peft_load(&adapter, s->j->model, found.adapter, false, err);
    if (!st) { st = lorac_head_take(s->j, adapter, err); }
    if (st) { goto done; }
    l->parameters = adapter->n_params;
    l->adapter = found.adapter;
    found.adapter = NULL;
    st = measure(l, c, s, s->data->set, adapter, err);
done:
    lorac_adapter_free(adapter);
    lorac_found_release(&found);
    return st;
}

/* ---- the other base ---- */

/* "KEY='VALUE'" as --set takes it. */
static void add_setting(struct lorac_buf *b, const char *key, const char *value, const char *more)
{
    const char *const parts[] = {value, more};
    lorac_buf_printf(b, "%s='", key);
    for (size_t i = 0; i < 2; i++) {
        for (const char *c = parts[i]; *c; c++) {
            lorac_buf_add(b, c, 1);
            if (*c == '\'') { lorac_buf_str(b, "'"); }
        }
    }
    lorac_buf_str(b, "'");
}

/* The same recipe on another base, its run in a folder of its own: OUT-from-NAME. */
static enum lorac_status open_other(struct subject *s, const struct comparison *c,
                                    const struct lorac_recipe *first, const char *base,
                                    struct lorac_err *err)
{
    char *path = NULL;
    struct lorac_buf model = {0};
    struct lorac_buf out = {0};
    struct lorac_buf name = {0};
    char *dir = NULL;
    char id[LORAC_HUB_ID];
    enum lorac_status st = find_folder(&dir, "--base", base, err);
    if (!st) { st = lorac_path_absolute(&path, dir, err); }
    lorac_mem_free(dir);
    if (st) { return st; }
    for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--) {
        path[n - 1] = '\0';
    }
    const char *slash = strrchr(lorac_hub_id(id, path) ? id : path, '/');
    lorac_buf_printf(&name, "-from-%s", slash && slash[1] ? slash + 1 : "base");
    add_setting(&model, "model.path", path, "");
    add_setting(&out, "output.dir", first->output.dir, name.at ? name.at : "");
    const char *const more[] = {model.at, out.at};
    if (model.no_memory || out.no_memory || name.no_memory) {
        st = lorac_fail(err, LORAC_ENOMEM, "no memory");
    }
    if (!st) { st = recipe_open_with(&s->r, c->a->positional[0], c->a, more, 2, err); }
    if (!st) { st = open_job(s, c, err); }
    lorac_buf_free(&model);
    lorac_buf_free(&out);
    lorac_buf_free(&name);
    lorac_mem_free(path);
    return st;
}

/* ---- what is printed ---- */

/* Seven columns of at most 78 characters: what else there is to say of a level stands below the
 * table. */
enum { NAME = 22, NUMBER = 8, TIME = 8 };

static void print_number(double v)
{
    if (isfinite(v)) {
        printf(" %*.4f", NUMBER, v);
    } else {
        printf(" %*s", NUMBER, "-");
    }
}

static void print_level(const struct level *l, bool accuracy, bool exact)
{
    char text[32];
    char label[64];
    (void)snprintf(label, sizeof label, l->shots ? "%s, %zu" : "%s", l->name, l->shots);
    show_cell(stdout, label, NAME);
    if (l->missing[0]) {
        show_wrapped(stdout, " -   ", l->missing);
        return;
    }
    if (accuracy) {
        print_number(l->scores.accuracy);
        print_number(l->scores.macro_f1);
    }
    if (exact) { print_number(l->scores.exact_match); }
    print_number(l->scores.loss);
    bool trained = l->parameters != 0;
    printf(" %*s", TIME,
           trained && isfinite(l->train_seconds) ? show_time(text, l->train_seconds) : "-");
    printf(" %*s\n", TIME, show_time(text, l->scores.seconds));
}

/* What always the commonest label would get: less than that is nothing learnt. */
static void print_majority(const struct comparison *c)
{
    const struct lorac_scores *s = first_scores(c);
    char name[LORAC_LABEL_SHOWN + 8];
    if (!s->has_accuracy || !c->majority[0]) { return; }
    (void)snprintf(name, sizeof name, "always %s", c->majority);
    show_cell(stdout, name, NAME);
    print_number((double)s->majority / (double)s->compared);
    putchar('\n');
}

static void print_below(const struct comparison *c, const struct level *l)
{
    struct lorac_buf b = {0};
    char front[NAME + 2];
    char text[32];
    (void)snprintf(front, sizeof front, "%-*s", NAME, l->name);
    lorac_buf_printf(&b, "base %s", l->model);
    if (l->adapter) {
        lorac_buf_printf(&b, ", adapter %s of %s trained parameters,", l->adapter,
                         show_count(text, l->parameters));
        lorac_buf_printf(&b, " %s", show_bytes(text, l->adapter_bytes));
    }
    bool others = !l->missing[0] && l->scores.rows != first_scores(c)->rows;
    if (others) { lorac_buf_printf(&b, ", %zu rows without the shots", l->scores.rows); }
    for (int m = LORAC_METRIC_EXACT_MATCH + 1; m < LORAC_METRICS && !l->missing[0]; m++) {
        double v = lorac_scores_get(&l->scores, (enum lorac_metric)m);
        if (isfinite(v)) { lorac_buf_printf(&b, ", %s %.4f", lorac_metric_words((size_t)m), v); }
    }
    show_wrapped(stdout, front, b.at ? b.at : "");
    lorac_buf_free(&b);
}

static void print_table(const struct comparison *c)
{
    const struct lorac_scores *first = first_scores(c);
    bool accuracy = first->has_accuracy;
    bool exact = first->has_exact_match;
    char rows[32];
    printf("%s rows of data.%s\n\n", show_count(rows, first->rows), c->split);
    printf("%-*s", NAME, "");
    if (accuracy) { printf(" %*s %*s", NUMBER, "accuracy", NUMBER, "macro F1"); }
    if (exact) { printf(" %*s", NUMBER, "exact"); }
    printf(" %*s %*s %*s\n", NUMBER, "loss", TIME, "training", TIME, "testing");
    print_majority(c);
    for (size_t i = 0; i < c->n; i++) {
        print_level(&c->level[i], accuracy, exact);
    }
    putchar('\n');
    for (size_t i = 0; i < c->n; i++) {
        print_below(c, &c->level[i]);
    }
}

/* One level as an object. */
static void add_json(struct out *j, const struct level *l)
{
    out_begin(j, NULL, "{}");
    out_str(j, "level", l->name);
    out_str(j, "model", l->model);
    if (l->missing[0]) { out_str(j, "missing", l->missing); }
    if (!l->missing[0]) {
        out_count(j, "shots", l->shots);
        out_count(j, "rows", l->scores.rows);
        out_metrics(j, &l->scores);
        out_real(j, "loss", l->scores.loss);
        out_real(j, "seconds", l->scores.seconds);
        out_count(j, "trained_parameters", l->parameters);
    }
    if (l->adapter) {
        out_str(j, "adapter", l->adapter);
        out_count(j, "adapter_bytes", l->adapter_bytes);
        out_real(j, "train_seconds", l->train_seconds);
    }
    out_end(j);
}

static int print_json(const struct comparison *c)
{
    struct out j = {0};
    out_str(&j, "split", c->split);
    const struct lorac_scores *first = first_scores(c);
    if (first->has_accuracy) {
        out_real(&j, "majority", (double)first->majority / (double)first->compared);
    }
    out_begin(&j, "levels", "[]");
    for (size_t i = 0; i < c->n; i++) {
        add_json(&j, &c->level[i]);
    }
    out_end(&j);
    return out_print(&j);
}

/* ---- the verb ---- */

static enum lorac_status compare(struct comparison *c, struct lorac_err *err)
{
    struct subject s = {0};
    struct subject other = {0};
    const char *base = args_text(c->a, "--base", NULL);
    enum lorac_status st = recipe_open(&s.r, c->a->positional[0], c->a, err);
    if (!st && !c->split) { c->split = s.r->data.test.n ? "test" : "valid"; }
    if (!st) { st = open_job(&s, c, err); }
    if (!st) { st = check_run(&s, c, err); }
    if (!st && base) { st = open_other(&other, c, s.r, base, err); }
    if (!st && base) { st = check_run(&other, c, err); }
    if (!st) { st = zero_shot(c, &s, err); }
    if (!st) { st = few_shot(c, &s, err); }
    if (!st) { st = adapted(c, &s, "adapted", err); }
    if (!st && base) { st = adapted(c, &other, "adapted, other base", err); }
    close_subject(&other);
    close_subject(&s);
    return st;
}

static int run(const struct args *a)
{
    struct lorac_err err = {0};
    struct lorac_buf separator = {0};
    struct comparison c = {.a = a, .split = args_text(a, "--split", NULL)};
    unsigned parts = 0;
    enum lorac_status st = shots_read(&c.shots, &separator, a, &err);
    if (!st && c.split) { st = split_find(NULL, &parts, c.split, NULL, &err); }
    if (!st && args_has(a, "--shots") && c.shots.n == 0) {
        st = lorac_fail(&err, LORAC_EUSER, "--shots must be at least 1; zero-shot is always there");
    }
    if (st) {
        (void)complain(&err);
        lorac_buf_free(&separator);
        return EXIT_USAGE;
    }
    status_begin(&c.line);
    stop_on_signals();
    st = compare(&c, &err);
    int code = 0;
    if (st) {
        code = complain(&err);
    } else if (args_has(a, "--json")) {
        code = print_json(&c);
    } else {
        print_table(&c);
    }
    for (size_t i = 0; i < c.n; i++) {
        lorac_mem_free(c.level[i].model);
        lorac_mem_free(c.level[i].adapter);
    }
    lorac_buf_free(&separator);
    return code;
}

static const struct option options[] = {
    SHOT_OPTIONS,
    {"--split", "train|valid|test", "train, valid or test (default: test, or valid without one)",
     false, false},
    {"--base", "DIR", "also the same run from this base", false, false},
    {"--train", NULL, "train what has no finished run, or go on with it", false, false},
    {"--overwrite", NULL, "train anew, also where a run is finished", false, false},
    RECIPE_OPTIONS,
    {"--json", NULL, "print one JSON object", false, false},
    {0},
};

const struct verb verb_compare = {
    .name = "compare",
    .usage = "RECIPE [--shots K] [--train] [--base DIR] [--split NAME]",
    .summary = "one table: zero-shot, few-shot and adapted, on a recipe's data",
    .about =
        "  lorac compare recipes/sst2.yaml             with the run in output.dir, if any\n"
        "  lorac compare recipes/sst2.yaml --train     trains it first if there is none\n\n"
        "A run of another recipe, base or table than this one is refused. With --base the same "
        "run from another base stands below, in output.dir with -from-NAME behind it. Without "
        "--shots there are two a label, at most 16, 4 of free text, and fewer where no more fit "
        "the context. Training is the time of all steps and evaluations of the run, testing that "
        "of this evaluation.\n",
    .options = options,
    .min_positional = 1,
    .max_positional = 1,
    .run = run,
};
