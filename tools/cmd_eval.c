/* cmd_eval.c - `lorac eval`: how good a recipe's or a run's model is on its data. */
#include "tools/mistakes.h"
#include "tools/shots.h"
#include "tools/subject.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What was evaluated: rows of a split, behind shots where there are some. */
struct rows {
    const char *split;
    const struct lorac_dataset *set;
    struct lorac_fewshot fewshot;
    struct lorac_verdicts verdicts;       // what each was answered, where labels are compared
    struct lorac_predictions predictions; // the same where a head answers with more than a label
    const char *errors;                   // the file for those that went wrong, or NULL
    bool by_label;                        // every label is shown
};

/* The shots' lines in the training table. */
static void add_lines(struct lorac_buf *b, const struct lorac_job *j, const struct lorac_shots *s)
{
    for (size_t i = 0; i < lorac_shots_count(s); i++) {
        lorac_buf_printf(
            b, "%s%llu", i ? ", " : "",
            (unsigned long long)lorac_table_line(j->train.table, lorac_shots_row(s, i)));
    }
}

static enum lorac_status print_json(const struct subject *s, const struct lorac_scores *scores,
                                    const struct rows *rows, const char *lines,
                                    struct lorac_err *err)
{
    const struct lorac_shots *shots = rows->fewshot.shots;
    struct out j = {0};
    out_str(&j, "split", rows->split);
    out_str(&j, "model", s->r->model.path);
    if (s->adapter) {
        out_str(&j, "adapter", s->adapter_dir);
        out_count(&j, "tensors_applied", lorac_adapter_tensors(s->adapter) + s->adapter->n_full);
    }
    if (shots) {
        out_count(&j, "shots", lorac_shots_count(shots));
        out_begin(&j, "shot_lines", "[]");
        out_raw(&j, NULL, lines);
        out_end(&j);
        out_count(&j, "shot_tokens", lorac_shots_prefix(shots)->n);
        out_count(&j, "left_out", rows->fewshot.left_out);
    }
    out_count(&j, "rows", scores->rows);
    out_count(&j, "tokens", scores->tokens);
    out_real(&j, "loss", scores->loss);
    if (!isnan(scores->perplexity)) { out_real(&j, "perplexity", scores->perplexity); }
    out_metrics(&j, scores);
    if (s->j->K && rows->verdicts.K) { out_count(&j, "labels", s->j->K); }
    if (scores->has_accuracy) {
        out_real(&j, "majority", (double)scores->majority / (double)scores->compared);
        out_count(&j, "unknown_labels", scores->unknown);
    }
    if (!isnan(lorac_scores_get(scores, LORAC_METRIC_AUC))) {
        out_count(&j, "auc_labels", scores->auc_labels);
    }
    if (!isnan(scores->mean_mse)) { out_real(&j, "mean_mse", scores->mean_mse); }
    if (scores->bytes) {
        out_count(&j, "bytes", scores->bytes);
        out_real(&j, "bits_per_byte", lorac_scores_bits_per_byte(scores));
        out_real(&j, "byte_perplexity", lorac_scores_byte_perplexity(scores));
    }
    out_real(&j, "seconds", scores->seconds);
    enum lorac_status st = LORAC_OK;
    if (rows->verdicts.K) { st = mistakes_json(&j, &rows->verdicts, err); }
    if (!st && out_print(&j)) { st = lorac_fail(err, LORAC_ENOMEM, "no memory"); }
    lorac_buf_free(&j.b);
    return st;
}

/* What is right, beside who always gives the commonest answer. */
static void print_accuracy(const struct subject *s, const struct lorac_scores *scores)
{
    char front[32];
    char label[LORAC_LABEL_SHOWN];
    struct lorac_buf more = {0};
    bool words = scores->compared != scores->rows;
    if (words) {
        lorac_buf_printf(&more, "(of %zu words, %zu tags", scores->compared, s->j->K);
    } else {
        lorac_buf_printf(&more, "(of %zu labels", s->j->K);
    }
    lorac_buf_printf(&more, "; always %s would be %.4f",
                     lorac_label_show(label, s->j->labels[scores->majority_label]),
                     (double)scores->majority / (double)scores->compared);
    if (scores->unknown) {
        bool one = scores->unknown == 1;
        lorac_buf_printf(&more, "; %zu %s none of them and %s as wrong", scores->unknown,
                         one ? "row has" : "rows have", one ? "counts" : "count");
    }
    lorac_buf_str(&more, ")");
    (void)snprintf(front, sizeof front, "accuracy     %.4f   ", scores->accuracy);
    show_wrapped(stdout, front, more.at ? more.at : "");
    lorac_buf_free(&more);
}

/* What was measured, a line each. */
static void print_metrics(const struct subject *s, const struct lorac_scores *scores)
{
    for (int m = LORAC_METRIC_ACCURACY; m < LORAC_METRICS; m++) {
        double v = lorac_scores_get(scores, (enum lorac_metric)m);
        if (isnan(v) || m == LORAC_METRIC_EXACT_MATCH) { continue; }
        if (m == LORAC_METRIC_ACCURACY && scores->has_accuracy) {
            print_accuracy(s, scores);
            continue;
        }
        printf("%-12s %.4f", lorac_metric_words((size_t)m), v);
        if (m == LORAC_METRIC_ACCURACY) { printf("   (rows with exactly their labels)"); }
        if (m == LORAC_METRIC_MSE && !isnan(scores->mean_mse)) {
            printf("   (always the training rows' mean, %.6g, would be %.4f)", s->j->frame.mean,
                   scores->mean_mse);
        }
        if (m == LORAC_METRIC_AUC && s->j->K > 2) {
            printf("   (the mean of %zu of %zu labels)", scores->auc_labels, s->j->K);
        }
        putchar('\n');
    }
}

static void print_text(const struct subject *s, const struct lorac_scores *scores,
                       const struct rows *rows, const char *lines)
{
    const struct lorac_shots *shots = rows->fewshot.shots;
    struct lorac_buf b = {0};
    show_wrapped(stdout, "adapter      ", s->adapter ? s->adapter_dir : "none: the base as it is");
    if (s->adapter) { // what loading has made sure of
        lorac_buf_printf(&b, "%zu tensors on %zu modules, %zu in full; none unused, none missing",
                         lorac_adapter_tensors(s->adapter) + s->adapter->n_full, s->adapter->n,
                         s->adapter->n_full);
        show_wrapped(stdout, "applied      ", b.at ? b.at : "");
    }
    printf("split        %s\n", rows->split);
    if (shots) {
        lorac_buf_clear(&b);
        size_t n = lorac_shots_count(shots);
        lorac_buf_printf(&b, "%zu, %zu tokens (line%s %s of data.train)", n,
                         lorac_shots_prefix(shots)->n, n == 1 ? "" : "s", lines);
        show_wrapped(stdout, "shots        ", b.at ? b.at : "");
    }
    lorac_buf_free(&b);
    printf("%-12s %zu%s\n", scores->bytes ? "pieces" : "rows", scores->rows,
           rows->fewshot.left_out ? "   (without the shots)" : "");
    printf("%-12s %zu\nloss         %.6f\n", lorac_job_has_head(s->j) ? "targets" : "tokens",
           scores->tokens, scores->loss);
    if (!isnan(scores->perplexity)) { printf("perplexity   %.6g\n", scores->perplexity); }
    print_metrics(s, scores);
    if (scores->bytes) {
        printf("bytes        %zu\nbits a byte  %.6f   (perplexity per byte %.6g)\n", scores->bytes,
               lorac_scores_bits_per_byte(scores), lorac_scores_byte_perplexity(scores));
    }
    if (scores->has_exact_match) { printf("exact match  %.4f\n", scores->exact_match); }
}

/* What was asked for, and these rows do not tell. */
static void say_unmeasured(const struct subject *s, const struct lorac_scores *scores)
{
    static const struct {
        enum lorac_metric metric;
        const char *needs;
    } all[] = {{LORAC_METRIC_AUC, "rows with a label and rows without it"},
               {LORAC_METRIC_PEARSON, "numbers that differ, wanted and given"},
               {LORAC_METRIC_SPEARMAN, "numbers that differ, wanted and given"},
               {LORAC_METRIC_R2, "wanted numbers that differ"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        bool asked = s->r->eval.metrics >> all[i].metric & 1U;
        if (!asked || !isnan(lorac_scores_get(scores, all[i].metric))) { continue; }
        fprintf(stderr, "note: %s is not measured: it needs %s\n",
                lorac_metric_words(all[i].metric), all[i].needs);
    }
}

/* What the numbers do not say by themselves. */
static void say_notes(const struct subject *s, const struct lorac_scores *scores,
                      const struct rows *rows)
{
    const struct lorac_shots *shots = rows->fewshot.shots;
    struct lorac_data_counts counts = *lorac_dataset_counts(rows->set);
    if (shots) { counts.last_trained_is_eos = counts.used; } // a separator is meant to end answers
    say_counts(stderr, &counts);
    const char *why = lorac_unmeasured(s->j, s->r->eval.metrics);
    if (why) { fprintf(stderr, "note: %s\n", why); }
    say_unmeasured(s, scores);
    if (shots && lorac_shots_count(shots) < s->j->K) {
        char many[48];
        size_t n = lorac_shots_count(shots);
        fprintf(stderr, "note: %s show%s %zu of the %zu labels; --shots %zu shows each once\n",
                show_many(many, n, "shot"), n == 1 ? "s" : "", n, s->j->K, s->j->K);
    }
    if (scores->silent) {
        fprintf(stderr,
                "note: exact match: in %zu of %zu rows the model ended at its first token\n",
                scores->silent, scores->rows);
    }
}

static enum lorac_status print_scores(const struct subject *s, const struct lorac_scores *scores,
                                      const struct rows *rows, bool as_json, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    struct lorac_buf lines = {0};
    if (rows->fewshot.shots) { add_lines(&lines, s->j, rows->fewshot.shots); }
    if (as_json) {
        st = print_json(s, scores, rows, lines.at ? lines.at : "", err);
    } else {
        print_text(s, scores, rows, lines.at ? lines.at : "");
        if (rows->verdicts.K) { st = mistakes_show(&rows->verdicts, rows->by_label, err); }
    }
    lorac_buf_free(&lines);
    return st;
}

/* The rows of the split, as they are or behind shots. */
static enum lorac_status open_rows(struct rows *rows, const struct lorac_job *j,
                                   const struct lorac_fewshot_options *o, struct lorac_err *err)
{
    const struct lorac_data *data = NULL;
    unsigned parts = 0;
    enum lorac_status st = split_find(&data, &parts, rows->split, j, err);
    if (st) { return st; }
    rows->set = data->set;
    if (o->n == 0) { return LORAC_OK; }
    st = lorac_fewshot_open(&rows->fewshot, j, data, j->recipe->eval.metrics, o, err);
    rows->set = rows->fewshot.set;
    return st;
}

/* The recipe's metrics, and what rows are answered where they compare labels: with probabilities
 * where the wrong ones are asked for. */
static enum lorac_status open_evaluator(struct lorac_evaluator **out, struct rows *rows,
                                        const struct subject *s, struct lorac_err *err)
{
    const struct lorac_job *j = s->j;
    unsigned metrics = s->r->eval.metrics;
    const enum lorac_target target = lorac_dataset_objective(rows->set)->target;
    const bool head = target != LORAC_TARGET_NONE;
    const char *asks = rows->errors ? "--errors" : rows->by_label ? "--by-label" : NULL;
    if (asks && !head) { metrics |= 1U << LORAC_METRIC_ACCURACY; }
    if (asks && !head && !lorac_compares_labels(j, metrics)) {
        return lorac_fail(err, LORAC_EUSER, "%s: the answers are free text, no labels", asks);
    }
    if (rows->by_label && target == LORAC_TARGET_NUMBER) {
        return lorac_fail(err, LORAC_EUSER, "--by-label: the answers are numbers, no labels");
    }
    struct lorac_evaluator_options o =
        lorac_job_evaluation(j, rows->set, metrics, s->adapter ? &s->socket : NULL);
    rows->verdicts.probabilities = rows->errors != NULL;
    o.verdicts = &rows->verdicts;
    if (rows->errors && head && target != LORAC_TARGET_LABEL) {
        o.predictions = &rows->predictions;
    }
    o.ranks = world();
    enum lorac_status st = lorac_job_check_length(j, err);
    st = lorac_job_alike(j, rows->set, s->adapter, o.ranks, st, err);
    return st ? st : lorac_evaluator_new(out, &o, err);
}

/* --errors replaces what is there, but not what it is about. */
static enum lorac_status check_errors(const char *path, const struct lorac_recipe *r,
                                      struct lorac_err *err)
{
    const struct lorac_recipe_list *const lists[] = {&r->data.train, &r->data.valid.paths,
                                                     &r->data.test};
    for (size_t k = 0; path && k < 3; k++) {
        for (size_t i = 0; i < lists[k]->n; i++) {
            if (!is_one_file(path, lists[k]->at[i])) { continue; }
            return lorac_fail(err, LORAC_EUSER,
                              "--errors %s: is a table of the recipe; write to another file", path);
        }
    }
    return LORAC_OK;
}

static int run_eval(const struct args *a)
{
    struct lorac_err err = {0};
    struct subject s = {.doing = "evaluating"};
    struct lorac_scores scores;
    struct lorac_evaluator *e = NULL;
    struct rows rows = {.split = args_text(a, "--split", "valid"),
                        .errors = args_text(a, "--errors", NULL),
                        .by_label = args_has(a, "--by-label")};
    struct lorac_fewshot_options shots = {0};
    struct lorac_buf separator = {0};
    unsigned parts = 0;
    if (subject_excludes(a)) { return EXIT_USAGE; }
    enum lorac_status st = split_find(NULL, &parts, rows.split, NULL, &err);
    if (!st) { st = shots_read(&shots, &separator, a, &err); }
    if (!st && rows.errors) { st = mistakes_check(rows.errors, &err); }
    if (st) {
        lorac_buf_free(&separator);
        (void)complain(&err);
        return EXIT_USAGE;
    }
    if (shots.n) { parts |= LORAC_JOB_TRAIN; }
    st = subject_open(&s, a, parts, &err);
    if (!st) { st = check_errors(rows.errors, s.r, &err); }
    if (!st) { st = open_rows(&rows, s.j, &shots, &err); }
    if (!st) { st = open_evaluator(&e, &rows, &s, &err); }
    if (!st) { st = lorac_evaluate(&scores, e, subject_progress, &s, &err); }
    status_clear(&s.line);
    if (!st && rows.errors && lorac_ranks_rank(world()) == 0) {
        st = rows.predictions.at
                 ? mistakes_write_rows(rows.errors, &rows.predictions, s.j, rows.set, &err)
                 : mistakes_write(rows.errors, &rows.verdicts, s.j, rows.set, &err);
    }
    if (!st) {
        const struct lorac_job *j = s.j;
        bool of_train = !j->valid.table || strcmp(rows.split, "train") == 0;
        say_table(stderr,
                  j->test.table ? j->test.table : (of_train ? j->train.table : j->valid.table));
        say_notes(&s, &scores, &rows);
    }
    if (!st) { st = print_scores(&s, &scores, &rows, args_has(a, "--json"), &err); }
    int code = st ? complain(&err) : 0;
    lorac_evaluator_free(e);
    lorac_fewshot_close(&rows.fewshot);
    lorac_verdicts_free(&rows.verdicts);
    lorac_predictions_release(&rows.predictions);
    lorac_buf_free(&separator);
    subject_close(&s);
    return code;
}

static const struct option eval_options[] = {
    SUBJECT_OPTIONS("evaluate"),
    {"--split", "train|valid|test", "train, valid or test (default: valid)", false, false},
    SHOT_OPTIONS,
    RECIPE_OPTIONS,
    {"--by-label", NULL, "show every label's scores, not the worst alone", false, false},
    {"--errors", "FILE", "write the rows that went wrong, with likelihoods, as CSV", false, false},
    {"--json", NULL, "print one JSON object", false, false},
    {0},
};

const struct verb verb_eval = {
    .name = "eval",
    .usage = "RECIPE|RUN [--adapter DIR] [--split test] [--shots K]",
    .summary = "measure loss, accuracy and more on a recipe's data",
    .about =
        "  lorac eval recipes/sst2.yaml --split test    the base as it is\n"
        "  lorac eval runs/sst2 --split test            with the run's best adapter\n"
        "  lorac eval recipes/sst2.yaml --shots 8       the base, shown 8 answered rows\n\n"
        "Accuracy takes the likeliest label behind each prompt; a label's likelihood includes "
        "the end of the text. A head's labels are compared by what it gives them. Which metrics "
        "are measured is eval.metrics in the recipe. Of texts "
        "(data.kind: text), bits per byte compare models with different tokenizers.\n\n"
        "Behind accuracy stand the labels that do worst, and the pairs that are confused most. "
        "--errors works out the probabilities of all labels, which takes longer, writes the wrong "
        "rows and tells the calibration: by how much the stated probability of an answer and the "
        "share of right ones differ, on average over ten bins of it.\n\n"
        "The shots are drawn from the training rows by the recipe's seed, in rounds over the "
        "labels, and are the same for every row; with --split train they are not evaluated "
        "themselves. Behind shots an answer ends with the separator in the place of the end of "
        "the text, and loss and likelihoods count that.\n",
    .options = eval_options,
    .min_positional = 1,
    .max_positional = 1,
    .run = run_eval,
    .shared = true,
};
