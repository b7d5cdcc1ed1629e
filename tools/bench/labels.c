/*
 * labels.c - lorac_bench labels: what choosing among a recipe's labels costs, accuracy of all rows,
 * over one forward pass of their prompts, which nothing could do without.
 */
#include "tools/bench/bench.h"

#include "tools/cmd_recipes.h"
#include "tools/subject.h"

#include <stdio.h>
#include <string.h>

enum { ROWS = 2048 }; // of a batch of prompts

struct labels {
    struct subject subject;
    const struct lorac_dataset *set;
    struct lorac_evaluator *evaluator;
    struct lorac_pass *pass;
    struct lorac_batch *batch;
    struct lorac_example example;
    float *nll;
    size_t most;           // rows of a batch: one prompt fits in any case
    size_t rounds, tokens; // of all prompts
    struct lorac_scores scores;
    struct series eval, prompts, ratio;
};

static enum lorac_status run_batch(struct labels *x, struct lorac_err *err)
{
    if (!x->batch->N) { return LORAC_OK; }
    enum lorac_status st = lorac_pass_forward(x->pass, x->batch, NULL, err);
    if (!st) { lorac_pass_loss(x->pass, x->batch, x->nll, false); }
    lorac_batch_clear(x->batch);
    return st;
}

/* Every prompt once, packed, and one token scored behind each. */
static enum lorac_status run_prompts(struct labels *x, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    x->tokens = 0;
    lorac_batch_clear(x->batch);
    for (size_t i = 0; i < lorac_dataset_size(x->set) && !st; i++) {
        st = lorac_dataset_prompt(&x->example, x->set, i, 1, err);
        size_t n = x->example.ids.n;
        if (!st && !lorac_batch_fits(x->batch, n, 1)) { st = run_batch(x, err); }
        if (st) { break; }
        (void)lorac_batch_add(x->batch, x->example.ids.at, n, -1);
        lorac_batch_score(x->batch, x->batch->N - 1, x->example.ids.at[n - 1]);
        x->tokens += n;
    }
    return st ? st : run_batch(x, err);
}

static enum lorac_status open_labels(struct labels *x, struct lorac_err *err)
{
    struct lorac_job *j = x->subject.j;
    const struct lorac_socket *socket = x->subject.adapter ? &x->subject.socket : NULL;
    unsigned accuracy = 1U << LORAC_METRIC_ACCURACY;
    x->set = j->test.set ? j->test.set : j->valid.set;
    if (!x->set || !lorac_compares_labels(j, accuracy)) {
        return lorac_fail(err, LORAC_EUSER, "%s",
                          x->set
                              ? "the recipe has no labels to choose from: accuracy is not measured"
                              : "the recipe has no validation rows: --split test, or data.valid");
    }
    x->most = lorac_dataset_max_length(x->set);
    if (x->most < ROWS) { x->most = ROWS; }
    struct lorac_pass_options o = {.max_rows = x->most,
                                   .max_positions = lorac_dataset_max_length(x->set),
                                   .keep = LORAC_KEEP_NOTHING};
    enum lorac_status st = lorac_job_evaluator(&x->evaluator, j, x->set, accuracy, socket, err);
    if (!st) { st = lorac_pass_new(&x->pass, j->model, socket, &o, err); }
    if (!st) { st = lorac_batch_new(&x->batch, x->most, x->most, x->most, err); }
    x->nll = lorac_mem_new(x->most, sizeof *x->nll);
    return st || x->nll ? st : lorac_fail(err, LORAC_ENOMEM, "no memory");
}

static enum lorac_status round_of(struct labels *x, struct lorac_err *err)
{
    double begin = lorac_clock();
    enum lorac_status st =
        lorac_evaluate(&x->scores, x->evaluator, subject_progress, &x->subject, err);
    double eval = lorac_clock() - begin;
    begin = lorac_clock();
    if (!st) { st = run_prompts(x, err); }
    double prompts = lorac_clock() - begin;
    series_add(&x->eval, eval);
    series_add(&x->prompts, prompts);
    series_add(&x->ratio, eval / prompts);
    return st;
}

static void tell_json(const struct labels *x)
{
    struct out j = {0};
    char cpu[64];
    lorac_machine_cpu(cpu);
    out_str(&j, "cpu", cpu);
    out_count(&j, "threads", (size_t)x->subject.j->dev.threads);
    out_str(&j, "compute", lorac_compute_name(x->subject.j->model->compute));
    out_count(&j, "rounds", x->rounds);
    out_count(&j, "rows", x->scores.rows);
    out_count(&j, "labels", x->subject.j->K);
    out_real(&j, "accuracy", x->scores.accuracy);
    out_count(&j, "prompt_tokens", x->tokens);
    out_count(&j, "computed_tokens", x->scores.computed);
    out_series(&j, "eval_seconds", &x->eval);
    out_series(&j, "prompts_seconds", &x->prompts);
    out_series(&j, "eval_over_prompts", &x->ratio);
    out_count(&j, "peak_bytes", lorac_machine_peak());
    (void)out_print(&j);
}

static void tell(const struct labels *x)
{
    printf("%zu rows, %zu labels, accuracy %.4f, medians of %zu rounds (least - most)\n",
           x->scores.rows, x->subject.j->K, x->scores.accuracy, x->rounds);
    printf("choosing       %8.3f s, %zu tokens\n", series_median(&x->eval), x->scores.computed);
    printf("prompts alone  %8.3f s, %zu tokens\n", series_median(&x->prompts), x->tokens);
    printf("ratio          %8.3f   (%.3f - %.3f)\n", series_median(&x->ratio),
           series_least(&x->ratio), series_most(&x->ratio));
}

static int run(const struct args *a)
{
    static struct labels x;
    struct lorac_err err = {0};
    int threads = 0;
    x.subject.doing = "choosing";
    bool test = strcmp(args_text(a, "--split", "valid"), "test") == 0;
    enum lorac_status st = rounds_of(&x.rounds, &threads, a, &err);
    if (!st) { st = subject_open(&x.subject, a, test ? LORAC_JOB_TEST : LORAC_JOB_VALID, &err); }
    if (!st) { st = open_labels(&x, &err); }
    for (size_t i = 0; i < x.rounds && !st; i++) {
        st = round_of(&x, &err);
    }
    status_clear(&x.subject.line);
    if (!st) { (args_has(a, "--json") ? tell_json : tell)(&x); }
    lorac_example_free(&x.example);
    lorac_evaluator_free(x.evaluator);
    lorac_pass_free(x.pass);
    lorac_batch_free(x.batch);
    lorac_mem_free(x.nll);
    subject_close(&x.subject);
    return bench_end(st, &err);
}

static const struct option options[] = {
    SUBJECT_OPTIONS("choose"),
    {"--split", "valid|test", "whose rows (default: valid)", false, false},
    RECIPE_OPTIONS,
    {"--rounds", "1..99", "how often each is measured, by turns (default: 5)", false, false},
    {"--json", NULL, "print JSON", false, false},
    {0},
};
const struct verb verb_bench_labels = {
    .program = "lorac_bench",
    .name = "labels",
    .usage = "RECIPE|RUN [options]",
    .summary = "choosing among labels over one forward pass of the prompts",
    .about = "Accuracy of all rows as `lorac eval` measures it, and a pass over their packed "
             "prompts with one token scored behind each, with the same adapter.\n\n"
             "  lorac_bench labels runs/banking77 --split test",
    .options = options,
    .min_positional = 1,
    .max_positional = 1,
    .run = run,
};
