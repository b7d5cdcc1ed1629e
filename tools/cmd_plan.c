/* cmd_plan.c - `lorac plan`: what a run would do, before it. */
#define _POSIX_C_SOURCE 200809L // isatty, fileno
#include "tools/cmd_recipes.h"

#include <string.h>
#include <unistd.h>

static const char bar[] = "########################################"; // the longest
enum { BAR_WIDTH = sizeof bar - 1, EXAMPLES = 2, LABELS = 12, A_SPLIT = 15 };

/* ---- modules, steps, memory ---- */

static size_t count_linear(const struct lorac_model *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_modules; i++) {
        n += lorac_module_is_linear(&m->module[i]);
    }
    return n;
}

static void say_modules(const struct lorac_plan *p)
{
    char t[48];
    char class[LORAC_CLASS_NAME];
    const struct lorac_model *m = p->job->model;
    size_t full = p->adapter->n_full;
    struct lorac_buf b = {0};
    lorac_buf_printf(&b, "%s (%s parameters, %s; computed in %s)", m->dir,
                     show_count(t, lorac_model_parameters(m)),
                     lorac_config_class(class, &m->config), lorac_compute_name(m->compute));
    show_wrapped(stdout, "base      ", b.at ? b.at : "");
    lorac_buf_clear(&b);
    const char *choice = lorac_checkpoint_note(m->files);
    if (choice) { printf("          note: %s\n", choice); }
    lorac_buf_printf(&b, "%s parameters on %zu of %zu modules, ",
                     show_count(t, p->adapter->n_params), p->adapter->n, count_linear(m));
    if (full) { lorac_buf_printf(&b, "%s in full, ", show_many(t, full, "tensor")); }
    bool starts = p->adapter->n && p->adapter->site[0].starts; // adapter.init: pissa, olora
    lorac_buf_printf(&b, "%s on disk%s", show_bytes(t, p->adapter_file_bytes),
                     starts ? " as plain LoRA of twice the rank" : "");
    show_wrapped(stdout, "adapter   ", b.at ? b.at : "");
    lorac_buf_free(&b);
    int width = 20; // of the longest kind
    for (size_t i = 0; i < p->n_groups; i++) {
        width = (int)lorac_max((size_t)width, strlen(p->group[i].kind));
    }
    printf("  %-*s %5s  %-7s %-13s %4s %6s %11s\n", width, "module", "count", "layers", "shape",
           "rank", "alpha", "parameters");
    for (size_t i = 0; i < p->n_groups; i++) {
        const struct lorac_plan_group *g = &p->group[i];
        char layers[48];
        char shape[48];
        (void)snprintf(layers, sizeof layers, g->n > 1 ? "%zu-%zu" : "%zu", g->first, g->last);
        char pair[48];
        (void)snprintf(pair, sizeof pair, "%-6s    -", g->full ? "full" : "vector");
        (void)snprintf(shape, sizeof shape, g->C ? "%zu x %zu" : "%zu", g->OC, g->C);
        if (g->R) { (void)snprintf(pair, sizeof pair, "%4zu %6g", g->R, g->alpha); }
        printf("  %-*s %5zu  %-7s %-13s %s %11s\n", width, g->kind, g->n,
               g->in_layers ? layers : "-", shape, pair, show_count(t, g->params));
    }
}

static void say_steps(const struct lorac_plan *p)
{
    char t[48];
    char every[48];
    struct lorac_buf b = {0};
    lorac_buf_printf(&b, "%s (%.1f an epoch, batches of up to %s), ", show_count(every, p->steps),
                     p->steps_per_epoch, show_many(t, p->max_rows, "token"));
    if (p->evaluations == 0) {
        lorac_buf_str(&b, "no validation data");
    } else {
        lorac_buf_printf(&b, "%s of %s", show_many(every, p->evaluations, "evaluation"),
                         show_many(t, p->eval_rows, "token"));
        lorac_buf_printf(&b, p->evaluations == 1 ? " (at the end)" : " (every %s and at the end)",
                         show_many(every, p->eval_every, "step"));
    }
    show_wrapped(stdout, "steps     ", b.at ? b.at : "");
    say_frozen(stdout, "frozen    ", &p->frozen);
    if (p->evaluations) {
        lorac_buf_clear(&b);
        lorac_buf_printf(&b, "by %s (%s)", lorac_metric_name(p->best), p->best_why);
        show_wrapped(stdout, "best      ", b.at ? b.at : "");
    }
    lorac_buf_free(&b);
    say_few(stdout, "           ", p->job, p->steps);
}

static void say_memory(const struct lorac_plan *p)
{
    char t[32];
    printf("memory    about %s at the most", show_bytes(t, p->total));
    if (p->available) { printf(" of %s available", show_bytes(t, p->available)); }
    printf("\n");
    for (size_t i = 0; i < LORAC_PLAN_N_PARTS; i++) {
        if (!p->bytes[i]) { continue; }
        printf("  %-22s %12s%s\n", lorac_plan_part_name((enum lorac_plan_part)i),
               show_bytes(t, p->bytes[i]),
               i == LORAC_PLAN_ACTIVATIONS && p->recomputes ? "  (recomputing inside layers)" : "");
    }
}

/* ---- rows ---- */

/* What runs once a batch. */
static void say_shared(const struct lorac_plan *p, const struct lorac_data_counts *c)
{
    const struct lorac_recipe *r = p->job->recipe;
    size_t mean = c->used ? c->tokens / c->used : 1; // tokens of a row, which has one or more
    size_t n = r->train.batch_size ? r->train.batch_size : r->train.batch_tokens / mean;
    n = n < c->used ? n : c->used;
    if (!lorac_share_is_worth(r->train.share_prefix, n, c->common, n * mean)) { return; }
    printf("  the first %zu tokens of all rows are the same%s\n", c->common,
           r->adapter.dropout > 0.0 ? "; they would run once a batch without adapter.dropout"
                                    : " and run once a batch (train.share_prefix)");
}

static void say_bars(const struct lorac_plan_data *d)
{
    size_t most = 1;
    size_t first = 0;
    for (size_t i = 0; i < d->n_bars; i++) {
        most = d->bar[i] > most ? d->bar[i] : most;
    }
    while (first < d->n_bars && d->bar[first] == 0) {
        first++;
    }
    for (size_t i = first; i < d->n_bars; i++) {
        size_t n = (d->bar[i] * BAR_WIDTH + most - 1) / most;
        printf("  %5zu-%-5zu %.*s%s%zu\n", i * d->bar_width + 1, (i + 1) * d->bar_width, (int)n,
               bar, n ? " " : "", d->bar[i]);
    }
}

/* The table of the rows, where it is their own: a split shares that of the training rows. */
static const struct lorac_table *table_of(const struct lorac_plan *p,
                                          const struct lorac_plan_data *d)
{
    const struct lorac_table *const tables[] = {p->job->train.table, p->job->valid.table,
                                                p->job->test.table};
    return tables[d - p->data];
}

static void say_data(const struct lorac_plan *p, const struct lorac_plan_data *d)
{
    if (!d->set) { return; }
    const struct lorac_data_counts *c = lorac_dataset_counts(d->set);
    bool text = lorac_dataset_is_text(d->set);
    struct lorac_buf b = {0};
    printf("%-9s ", d->name);
    if (text) {
        say_text(stdout, c);
    } else {
        add_rows(&b, d->set);
        fputs(b.at ? b.at : "", stdout);
        lorac_buf_clear(&b);
    }
    printf("\n");
    lorac_buf_printf(&b, "tokens a %s: ", text ? "piece" : "row");
    for (size_t k = 0; k < LORAC_PLAN_PERCENTILES; k++) {
        lorac_buf_printf(&b, "%zu (%d %%)%s", d->percentile[k], lorac_plan_percentiles[k],
                         k + 1 < LORAC_PLAN_PERCENTILES ? ", " : "");
    }
    lorac_buf_printf(&b, "; model.max_length is %zu", p->job->recipe->model.max_length);
    show_wrapped(stdout, "  ", b.at ? b.at : "");
    lorac_buf_free(&b);
    say_table(stdout, table_of(p, d));
    say_counts(stdout, c);
    if (d->shared) {
        const char *what = text ? "pieces" : "rows";
        printf("           %zu of these %s stand in the training %s, too\n", d->shared, what, what);
    }
    if (!text && !lorac_job_has_head(p->job)) {
        printf("  the last trained token is end-of-sequence in %.4g %% of the rows\n",
               100.0 * (double)c->last_trained_is_eos / (double)(c->used ? c->used : 1));
        if (d == p->data) { say_shared(p, c); }
    }
    if (d == &p->data[0]) { say_bars(d); }
}

/* ---- labels ---- */

/* The labels that most rows have, a column a split. */
static void say_label_table(const struct lorac_plan *p)
{
    const struct lorac_label_look *l = p->labels;
    size_t shown = l->K <= LABELS ? l->K : LABELS - 1;
    char label[LORAC_LABEL_SHOWN];
    size_t room = 12; // of the longest label, as far as there is
    size_t most_room = show_columns(stdout);
    for (size_t s = 0; s < LORAC_LABEL_SPLITS; s++) {
        size_t taken = l->split[s].rows ? A_SPLIT : 0;
        most_room = most_room > taken + room ? most_room - taken : room;
    }
    for (size_t i = 0; i < shown; i++) {
        size_t n = show_width(lorac_label_show(label, p->job->labels[l->order[i]]));
        room = n > room ? n : room;
    }
    if (room + 3 > most_room) { room = most_room - 3; }
    printf("  %-*s", (int)room, "");
    for (size_t s = 0; s < LORAC_LABEL_SPLITS; s++) {
        if (l->split[s].rows) { printf("%s %8s", s ? "      " : "", l->split[s].name); }
    }
    printf("\n");
    for (size_t i = 0; i < shown; i++) {
        size_t k = l->order[i];
        fputs("  ", stdout);
        show_cell(stdout, lorac_label_show(label, p->job->labels[k]), room);
        for (size_t s = 0; s < LORAC_LABEL_SPLITS; s++) {
            const struct lorac_label_counts *c = &l->split[s];
            if (!c->rows) { continue; }
            printf(" %8zu %3.0f %%", c->count[k], 100.0 * (double)c->count[k] / (double)c->rows);
        }
        printf("\n");
    }
    if (shown == l->K) { return; }
    size_t most = l->split[0].count[l->order[shown]];
    size_t least = l->split[0].count[l->order[l->K - 1]];
    printf("  and %zu more, of %zu to %zu training rows each\n", l->K - shown, least, most);
}

/* Of a head that gives several labels, tags or a number: how many rows or words have each, what the
 * numbers are. */
static void say_targets(const struct lorac_plan *p)
{
    const struct lorac_job *j = p->job;
    const struct lorac_data *const data[] = {&j->train, &j->valid, &j->test};
    bool words = lorac_job_objective(j)->target == LORAC_TARGET_TAGS;
    if (!j->K) {
        printf("numbers   {%s}: mean %.6g, deviation %.6g in the training rows\n",
               j->label_variable, j->frame.mean, j->frame.deviation);
        return;
    }
    printf("labels    %zu, of {%s}; %s that have each\n  %-40s", j->K, j->label_variable,
           words ? "words" : "rows", "");
    for (size_t s = 0; s < 3; s++) {
        if (data[s]->set) { printf(" %8s", p->data[s].name); }
    }
    putchar('\n');
    for (size_t k = 0; k < j->K; k++) {
        printf("  ");
        show_cell(stdout, j->labels[k], 40);
        for (size_t s = 0; s < 3; s++) {
            if (data[s]->set) { printf(" %8zu", lorac_dataset_targets(data[s]->set)[k]); }
        }
        putchar('\n');
    }
}

static void say_labels(const struct lorac_plan *p)
{
    const struct lorac_label_look *l = p->labels;
    if (lorac_job_has_head(p->job) && !l->K) {
        say_targets(p);
        return;
    }
    if (p->job->K) {
        size_t said = 0;
        struct lorac_buf line = {0};
        lorac_buf_printf(&line, "%zu, of {%s}", p->job->K, p->job->label_variable);
        for (size_t s = 1; s < LORAC_LABEL_SPLITS; s++) {
            if (!l->split[s].rows) { continue; }
            char label[LORAC_LABEL_SHOWN];
            lorac_label_show(label, p->job->labels[l->split[0].commonest]);
            if (said++ == 0) { lorac_buf_printf(&line, "; always %s would be right in", label); }
            lorac_buf_printf(&line, "%s %.1f %% of %s", said > 1 ? "," : "",
                             100.0 * lorac_label_majority(l, s), l->split[s].name);
        }
        show_wrapped(stdout, "labels    ", line.at ? line.at : "");
        lorac_buf_free(&line);
        say_label_table(p);
    }
    for (size_t i = 0; i < l->n; i++) {
        show_wrapped(stdout, p->job->K ? "  " : "labels    ", l->note[i].at);
    }
}

/* ---- examples, token by token ---- */

/* Does token k count? Of a text with masks they are drawn each time; of a head's words their first
 * tokens have the tags, and a label is the whole text's. */
static bool is_trained(const struct lorac_example *e, size_t k, const struct lorac_objective *o)
{
    if (o->masks) { return false; }
    if (o->target == LORAC_TARGET_TAGS) { return e->labels.at[k] != LORAC_NO_LABEL; }
    return o->target == LORAC_TARGET_NONE && lorac_example_trains(e, k);
}

/* With a head: what it should say, "-> 'food', 'travel'". */
static void say_target(const struct lorac_plan *p, const struct lorac_example *e)
{
    char label[LORAC_LABEL_SHOWN];
    const char *between = "";
    enum lorac_target target = lorac_job_objective(p->job)->target;
    if (target == LORAC_TARGET_NONE) { return; }
    printf("  -> ");
    if (target == LORAC_TARGET_NUMBER) { printf("%.9g", e->number); }
    for (size_t i = 0; i < e->labels.n; i++) {
        if (e->labels.at[i] == LORAC_NO_LABEL) { continue; }
        printf("%s%s", between, lorac_label_show(label, p->job->labels[e->labels.at[i]]));
        between = ", ";
    }
    printf("%s\n", target == LORAC_TARGET_LABELS && !e->labels.n ? "none" : "");
}

/* A token ends at a bar; a trained one stands in brackets, on a terminal in green. */
static enum lorac_status say_example(const struct lorac_plan *p, size_t i, bool terminal,
                                     struct lorac_err *err)
{
    struct lorac_example e = {0};
    struct lorac_stream stream = {0};
    struct lorac_buf text = {0};
    const struct lorac_tokenizer *t = p->job->tokenizer;
    enum lorac_status st = lorac_dataset_example(&e, p->job->train.set, i, err);
    if (!st) {
        printf("example, %s %llu:\n  ",
               lorac_dataset_is_text(p->job->train.set) ? "document" : "line",
               (unsigned long long)lorac_dataset_line(p->job->train.set, i));
    }
    for (size_t k = 0; k < e.ids.n && !st; k++) {
        bool trained = is_trained(&e, k, lorac_job_objective(p->job));
        size_t from = text.n;
        st = lorac_stream_add(&text, &stream, t, e.ids.at[k], false, err);
        if (!st && k + 1 == e.ids.n) { st = lorac_stream_end(&text, &stream, t, false, err); }
        fputs(!trained ? "" : terminal ? "\x1b[32;1m" : "[", stdout);
        if (text.n > from) { show_text(stdout, text.at + from, text.n - from); }
        fputs(!trained ? "" : terminal ? "\x1b[0m" : "]", stdout);
        if (!trained || terminal) { fputs(terminal ? "\x1b[2m|\x1b[0m" : "|", stdout); }
    }
    printf("\n");
    if (!st) { say_target(p, &e); }
    lorac_buf_free(&text);
    lorac_stream_free(&stream);
    lorac_example_free(&e);
    return st;
}

static enum lorac_status say_examples(const struct lorac_plan *p, struct lorac_err *err)
{
    bool terminal = isatty(fileno(stdout)) != 0;
    size_t n = lorac_dataset_size(p->job->train.set);
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < n && i < EXAMPLES && !st; i++) {
        st = say_example(p, i, terminal, err);
    }
    return st;
}

static void say_probe(const struct lorac_plan_probe *o)
{
    char t[32];
    printf("measured  a step takes %.3f s (%.0f tokens/s, loss %.4f), an evaluation about %.3g s\n",
           o->step_seconds, o->tokens_per_second, o->loss, o->eval_seconds);
    printf("time      about %s for the whole run\n", show_time(t, o->seconds));
}

/* ---- the same as JSON ---- */

static void json_groups(struct out *j, const struct lorac_plan *p)
{
    out_begin(j, "groups", "[]");
    for (size_t i = 0; i < p->n_groups; i++) {
        const struct lorac_plan_group *g = &p->group[i];
        out_begin(j, NULL, "{}");
        out_str(j, "kind", g->kind);
        out_count(j, "modules", g->n);
        out_begin(j, "shape", "[]");
        out_count(j, NULL, g->OC);
        if (g->C) { out_count(j, NULL, g->C); }
        out_end(j);
        out_bool(j, "full", g->full);
        if (g->R) {
            out_count(j, "rank", g->R);
            out_real(j, "alpha", g->alpha);
        }
        out_count(j, "parameters", g->params);
        out_end(j);
    }
    out_end(j);
}

static void json_memory(struct out *j, const struct lorac_plan *p)
{
    out_begin(j, "memory", "{}");
    for (size_t i = 0; i < LORAC_PLAN_N_PARTS; i++) {
        out_count(j, lorac_plan_part_name((enum lorac_plan_part)i), p->bytes[i]);
    }
    out_count(j, "total", p->total);
    out_count(j, "available", p->available);
    out_end(j);
}

static void json_data(struct out *j, const struct lorac_plan *p, const struct lorac_plan_data *d)
{
    if (!d->set) { return; }
    const struct lorac_data_counts *c = lorac_dataset_counts(d->set);
    char name[32];
    out_begin(j, d->name, "{}");
    out_count(j, "rows", c->rows);
    out_count(j, "used", c->used);
    out_count(j, "tokens", c->tokens);
    out_count(j, "trained", c->trained);
    out_count(j, "skipped_empty", c->skipped_empty.n);
    out_count(j, "skipped_long", c->skipped_long.n);
    out_count(j, "skipped_label", c->skipped_label.n);
    const struct lorac_table *table = table_of(p, d);
    if (table) {
        out_count(j, "blank_lines", lorac_table_blank_lines(table)->n);
        out_count(j, "long_cells", lorac_table_long_cells(table)->n);
    }
    out_count(j, "truncated", c->truncated.n);
    out_count(j, "duplicates", c->duplicates.n);
    out_count(j, "in_train_too", d->shared);
    if (c->documents) {
        out_count(j, "documents", c->documents);
        out_count(j, "blank_documents", c->blank_documents);
        out_count(j, "short_documents", c->short_documents);
        out_count(j, "special_pieces", c->special_pieces);
        out_count(j, "bytes", (size_t)c->bytes);
    }
    out_count(j, "ends_with_eos", c->last_trained_is_eos);
    for (size_t k = 0; k < LORAC_PLAN_PERCENTILES; k++) {
        (void)snprintf(name, sizeof name, "p%d", lorac_plan_percentiles[k]);
        out_count(j, name, d->percentile[k]);
    }
    out_count(j, "bar_width", d->bar_width);
    out_begin(j, "bars", "[]");
    for (size_t i = 0; i < d->n_bars; i++) {
        out_count(j, NULL, d->bar[i]);
    }
    out_end(j);
    out_end(j);
}

/* {"labels": [{"label": "a", "train": 3, "valid": 1}, ...], "majority": {"valid": 0.6},
 * "label_notes": [...]} */
static void json_labels(struct out *j, const struct lorac_plan *p)
{
    const struct lorac_label_look *l = p->labels;
    if (!l) { return; }
    out_begin(j, "labels", "[]");
    size_t K = l->K ? l->K : lorac_job_has_head(p->job) ? p->job->K : 0;
    for (size_t i = 0; i < K; i++) {
        size_t k = l->K ? l->order[i] : i;
        out_begin(j, NULL, "{}");
        out_str(j, "label", p->job->labels[k]);
        for (size_t s = 0; l->K && s < LORAC_LABEL_SPLITS; s++) {
            if (l->split[s].rows) { out_count(j, l->split[s].name, l->split[s].count[k]); }
        }
        for (const struct lorac_plan_data *d = p->data; !l->K && d < p->data + 3; d++) {
            if (d->set) { out_count(j, d->name, lorac_dataset_targets(d->set)[k]); }
        }
        out_end(j);
    }
    out_end(j);
    if (lorac_job_has_head(p->job) && !p->job->K) {
        out_begin(j, "numbers", "{}");
        out_real(j, "mean", p->job->frame.mean);
        out_real(j, "deviation", p->job->frame.deviation);
        out_end(j);
    }
    out_begin(j, "majority", "{}");
    for (size_t s = 0; s < LORAC_LABEL_SPLITS; s++) {
        if (l->split[s].rows) { out_real(j, l->split[s].name, lorac_label_majority(l, s)); }
    }
    out_end(j);
    out_begin(j, "label_notes", "[]");
    for (size_t i = 0; i < l->n; i++) {
        out_text(j, NULL, l->note[i].at, l->note[i].n);
    }
    out_end(j);
}

static int print_json(const struct lorac_plan *p, const struct lorac_approximation *approximation,
                      const struct lorac_plan_probe *o, bool fits)
{
    struct out j = {0};
    struct lorac_buf advice = {0};
    out_count(&j, "parameters", p->adapter->n_params);
    out_count(&j, "modules", p->adapter->n);
    out_count(&j, "full_tensors", p->adapter->n_full);
    json_groups(&j, p);
    out_str(&j, "compute", lorac_compute_name(p->job->model->compute));
    if (approximation->rows) {
        out_begin(&j, "approximation", "{}");
        out_count(&j, "rows", approximation->rows);
        out_real(&j, "loss", approximation->there);
        out_real(&j, "float32", approximation->float32);
        out_real(&j, "error", approximation->error);
        out_end(&j);
    }
    out_count(&j, "adapter_file_bytes", p->adapter_file_bytes);
    json_memory(&j, p);
    out_bool(&j, "fits", fits);
    out_bool(&j, "recomputes", p->recomputes);
    out_count(&j, "frozen_layers", p->frozen.layers);
    out_count(&j, "frozen_bytes", p->frozen.bytes);
    out_bool(&j, "frozen_on_disk", p->frozen.on_disk);
    out_count(&j, "frozen_valid_bytes", p->frozen.valid_bytes);
    for (size_t i = 0; i < 3; i++) {
        json_data(&j, p, &p->data[i]);
    }
    json_labels(&j, p);
    out_count(&j, "steps", p->steps);
    out_bool(&j, "few_steps", lorac_plan_few(&advice, p->job, p->steps));
    out_text(&j, "advice", advice.at ? advice.at : "", advice.n);
    out_real(&j, "steps_per_epoch", p->steps_per_epoch);
    out_count(&j, "evaluations", p->evaluations);
    if (p->evaluations) { out_str(&j, "best_by", lorac_metric_name(p->best)); }
    if (o) {
        out_real(&j, "step_seconds", o->step_seconds);
        out_real(&j, "seconds", o->seconds);
        out_real(&j, "loss", o->loss);
    }
    lorac_buf_free(&advice);
    return out_print(&j);
}

static void say_note(void *self, const char *text)
{
    (void)self;
    show_wrapped(stdout, "note:     ", text);
}

static enum lorac_status say_plan(const struct lorac_plan *p, struct lorac_err *err)
{
    say_modules(p);
    for (size_t i = 0; i < 3; i++) {
        say_data(p, &p->data[i]);
    }
    if (p->labels) { say_labels(p); }
    say_steps(p);
    static const struct lorac_run_watch watch = {.note = say_note};
    lorac_plan_notes(p, &watch);
    if (p->frozen.why[0]) { say_note(NULL, p->frozen.why); }
    if (p->folder[0]) { show_wrapped(stdout, "output    ", p->folder); }
    say_memory(p);
    return say_examples(p, err);
}

static void say_approximation(const struct lorac_approximation *a)
{
    struct lorac_buf b = {0};
    lorac_approximation_say(&b, a);
    if (b.n) { say_note(NULL, b.at); }
    lorac_buf_free(&b);
}

static int run(const struct args *a)
{
    struct lorac_err err = {0};
    struct lorac_recipe *r = NULL;
    struct lorac_plan *p = NULL;
    struct lorac_plan_probe probe = {0};
    struct lorac_approximation approximation = {0};
    bool as_json = args_has(a, "--json");
    bool probes = args_has(a, "--probe");
    int code = 0;
    enum lorac_status st = recipe_to_run(&r, a, &err);
    if (!st) { st = lorac_plan_make(&p, r, NULL, &err); }
    if (!st && !as_json) { st = say_plan(p, &err); }
    enum lorac_status fits =
        !st && p->available ? lorac_plan_fits(p, p->available, &err) : LORAC_OK;
    if (!st && !fits) { st = lorac_approximation_measure(&approximation, p->job, &err); }
    if (!st && !fits && probes) { st = lorac_plan_probe(&probe, p, &err); }
    if (!st && as_json) {
        code = print_json(p, &approximation, probes && !fits ? &probe : NULL, !fits);
    }
    if (!st && !as_json) { say_approximation(&approximation); }
    if (!st && !fits && probes && !as_json) { say_probe(&probe); }
    if (st || fits) { code = complain(&err); }
    lorac_plan_free(p);
    lorac_recipe_free(r);
    return code;
}

static const struct option options[] = {
    RECIPE_OPTIONS,
    {"--probe", NULL, "measure one step, and say how long the run would take", false, false},
    {"--json", NULL, "print one JSON object", false, false},
    {0},
};

const struct verb verb_plan = {
    .name = "plan",
    .usage = "RECIPE|RUN [--set KEY=VALUE]... [--probe]",
    .summary = "what a run would do, before it: modules, rows, steps, memory",
    .about =
        "  lorac plan recipes/sst2.yaml --set model.path=DIR\n\n"
        "Reads the recipe (of RUN its own), the tables and the checkpoint's header, and runs rows "
        "for --probe and int8 alone. In the examples a token ends at a bar, and what is trained "
        "stands in brackets (in green on a terminal); with a head what it should say stands behind "
        "->. A run that does not fit this machine's memory ends with exit code 1 and says what to "
        "try.\n",
    .options = options,
    .min_positional = 1,
    .max_positional = 1,
    .run = run,
};
