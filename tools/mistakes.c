/* mistakes.c - see mistakes.h. */
#include "tools/mistakes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 10 }; // labels, and pairs

struct ranked_label {
    struct lorac_label_score score;
    size_t k;
};

static int worst_first(const void *a, const void *b)
{
    const struct ranked_label *x = a;
    const struct ranked_label *y = b;
    bool idle = !x->score.support && !x->score.answered; // says nothing: last
    if (idle != (!y->score.support && !y->score.answered)) { return idle ? 1 : -1; }
    if (x->score.f1 < y->score.f1 || x->score.f1 > y->score.f1) {
        return x->score.f1 < y->score.f1 ? -1 : 1;
    }
    return (x->k > y->k) - (x->k < y->k);
}

/* Their scores, the worst first; (K), the caller's. */
static enum lorac_status rank_labels(struct ranked_label **out, const struct lorac_verdicts *v,
                                     struct lorac_err *err)
{
    struct lorac_label_score *scores = lorac_mem_new(v->K, sizeof *scores);
    *out = lorac_mem_new(v->K, sizeof **out);
    if (!scores || !*out) {
        lorac_mem_free(scores);
        lorac_mem_free(*out);
        *out = NULL;
        return lorac_fail(err, LORAC_ENOMEM, "no memory for the labels' scores");
    }
    lorac_verdicts_labels(scores, v);
    for (size_t k = 0; k < v->K; k++) {
        (*out)[k] = (struct ranked_label){scores[k], k};
    }
    lorac_mem_free(scores);
    qsort(*out, v->K, sizeof **out, worst_first);
    return LORAC_OK;
}

static void show_labels(const struct ranked_label *labels, size_t n, const struct lorac_verdicts *v)
{
    enum { LABEL = 40 };
    printf("\n%-*s %9s %9s %9s %8s\n", LABEL, n < v->K ? "the labels that do worst" : "label",
           "precision", "recall", "F1", "support");
    for (size_t i = 0; i < n; i++) {
        const struct lorac_label_score *s = &labels[i].score;
        show_cell(stdout, v->names[labels[i].k], LABEL);
        printf(" %9.4f %9.4f %9.4f %8zu\n", s->precision, s->recall, s->f1, s->support);
    }
    if (n < v->K) { printf("(%zu of %zu labels; --by-label shows all)\n", n, v->K); }
}

static void show_confused(const struct lorac_confused *pairs, size_t n,
                          const struct lorac_verdicts *v)
{
    enum { LABEL = 34 };
    size_t shown = n < SHOWN ? n : SHOWN;
    if (!n) { return; }
    printf("\n%-*s %-*s %8s\n", LABEL, "confused: the label", LABEL, "was answered", "rows");
    for (size_t i = 0; i < shown; i++) {
        show_cell(stdout, v->names[pairs[i].truth], LABEL);
        fputc(' ', stdout);
        show_cell(stdout, v->names[pairs[i].answer], LABEL);
        printf(" %8zu\n", pairs[i].rows);
    }
    if (shown < n) { printf("(%zu of %zu pairs; --json has all)\n", shown, n); }
}

enum lorac_status mistakes_show(const struct lorac_verdicts *v, bool all, struct lorac_err *err)
{
    struct ranked_label *labels = NULL;
    struct lorac_confused *pairs = NULL;
    size_t n = 0;
    enum lorac_status st = rank_labels(&labels, v, err);
    if (!st) { st = lorac_verdicts_confused(&pairs, &n, v, err); }
    if (!st && v->probabilities) {
        printf("calibration  %.4f   (expected error of the stated probabilities)\n",
               lorac_verdicts_calibration(v));
    }
    if (!st) {
        show_labels(labels, all || v->K < SHOWN ? v->K : SHOWN, v);
        show_confused(pairs, n, v);
    }
    lorac_mem_free(labels);
    lorac_mem_free(pairs);
    return st;
}

enum lorac_status mistakes_json(struct out *o, const struct lorac_verdicts *v,
                                struct lorac_err *err)
{
    struct ranked_label *labels = NULL;
    struct lorac_confused *pairs = NULL;
    size_t n = 0;
    enum lorac_status st = rank_labels(&labels, v, err);
    if (!st) { st = lorac_verdicts_confused(&pairs, &n, v, err); }
    out_begin(o, "by_label", "[]");
    for (size_t i = 0; i < v->K && !st; i++) {
        out_begin(o, NULL, "{}");
        out_str(o, "label", v->names[labels[i].k]);
        out_real(o, "precision", labels[i].score.precision);
        out_real(o, "recall", labels[i].score.recall);
        out_real(o, "f1", labels[i].score.f1);
        out_count(o, "support", labels[i].score.support);
        out_end(o);
    }
    out_end(o);
    if (!v->told) { out_begin(o, "confused", "[]"); }
    for (size_t i = 0; i < n && !st; i++) {
        out_begin(o, NULL, "{}");
        out_str(o, "label", v->names[pairs[i].truth]);
        out_str(o, "answer", v->names[pairs[i].answer]);
        out_count(o, "rows", pairs[i].rows);
        out_end(o);
    }
    if (!v->told) { out_end(o); }
    if (!st && v->probabilities) { out_real(o, "calibration", lorac_verdicts_calibration(v)); }
    lorac_mem_free(labels);
    lorac_mem_free(pairs);
    return st;
}

/* ---- the table of wrong rows ---- */

enum lorac_status mistakes_check(const char *path, struct lorac_err *err)
{
    char *dir = lorac_path_dir(path);
    if (!dir) { return lorac_fail(err, LORAC_ENOMEM, "no memory"); }
    bool there = lorac_path_is_dir(*dir ? dir : ".");
    lorac_mem_free(dir);
    return there ? LORAC_OK
                 : lorac_fail(err, LORAC_EIO, "--errors %s: its folder does not exist", path);
}

static void add_cell(struct lorac_buf *b, const char *text, size_t n)
{
    lorac_buf_str(b, ",");
    lorac_buf_csv(b, text, n);
}

/* Empty where it is not known. */
static void add_number(struct lorac_buf *b, double v)
{
    lorac_buf_str(b, ",");
    if (isfinite(v)) { lorac_buf_printf(b, "%.6f", v); }
}

/* The text that was read, without what the tokenizer puts around. */
static enum lorac_status add_prompt(struct lorac_buf *b, struct lorac_example *e, size_t i,
                                    const struct lorac_job *j, const struct lorac_dataset *set,
                                    struct lorac_err *err)
{
    struct lorac_buf prompt = {0};
    bool head = lorac_dataset_objective(set)->target != LORAC_TARGET_NONE;
    enum lorac_status st =
        head ? lorac_dataset_example(e, set, i, err) : lorac_dataset_prompt(e, set, i, 0, err);
    if (!st) { st = lorac_decode(&prompt, j->tokenizer, e->ids.at, e->ids.n, true, err); }
    add_cell(b, prompt.at, prompt.n);
    lorac_buf_free(&prompt);
    return st;
}

static enum lorac_status add_mistake(struct lorac_buf *b, struct lorac_example *e,
                                     const struct lorac_verdict *x, const struct lorac_job *j,
                                     const struct lorac_dataset *set, struct lorac_err *err)
{
    const char *truth = x->truth == LORAC_NO_ANSWER ? "" : j->labels[x->truth];
    lorac_buf_printf(b, "%llu", (unsigned long long)lorac_dataset_line(set, x->example));
    add_cell(b, truth, strlen(truth));
    add_cell(b, j->labels[x->answer], strlen(j->labels[x->answer]));
    add_number(b, x->own_probability);
    add_number(b, x->probability);
    add_number(b, -x->own_nll);
    add_number(b, -x->nll);
    enum lorac_status st = add_prompt(b, e, x->example, j, set, err);
    lorac_buf_str(b, "\n");
    return st;
}

enum lorac_status mistakes_write(const char *path, const struct lorac_verdicts *v,
                                 const struct lorac_job *j, const struct lorac_dataset *set,
                                 struct lorac_err *err)
{
    struct lorac_buf b = {0};
    struct lorac_example e = {0};
    enum lorac_status st = LORAC_OK;
    lorac_buf_str(&b, "line,label,answer,label_probability,answer_probability,"
                      "label_log_likelihood,answer_log_likelihood,prompt\n");
    for (size_t i = 0; i < v->n && !st; i++) {
        if (v->at[i].truth != v->at[i].answer) { st = add_mistake(&b, &e, &v->at[i], j, set, err); }
    }
    if (!st && b.no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "no memory"); }
    if (!st) { st = lorac_file_write(path, b.at, b.n, err); }
    lorac_example_free(&e);
    lorac_buf_free(&b);
    return st;
}

/* Numbers that lie farthest off first. */
struct miss {
    size_t i;
    double error;
};

static int by_miss(const void *a, const void *b)
{
    const struct miss *x = a;
    const struct miss *y = b;
    double dx = fabs(x->error);
    double dy = fabs(y->error);
    if (dx < dy || dx > dy) { return dx > dy ? -1 : 1; }
    return (x->i > y->i) - (x->i < y->i);
}

enum lorac_status mistakes_write_rows(const char *path, const struct lorac_predictions *p,
                                      const struct lorac_job *j, const struct lorac_dataset *set,
                                      struct lorac_err *err)
{
    struct lorac_buf b = {0};
    struct lorac_example e = {0};
    bool numbers = !p->compares;
    struct miss *all = lorac_mem_new(p->n + 1, sizeof *all);
    enum lorac_status st = all ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "no memory");
    for (size_t i = 0; i < p->n && !st; i++) {
        double off = numbers ? strtod(p->at[i].answer, NULL) - strtod(p->at[i].wanted, NULL) : 0.0;
        all[i] = (struct miss){i, off};
    }
    if (numbers && !st) { qsort(all, p->n, sizeof *all, by_miss); }
    lorac_buf_str(&b,
                  numbers ? "line,wanted,answer,error,prompt\n" : "line,wanted,answer,prompt\n");
    for (size_t k = 0; k < p->n && !st; k++) {
        const struct lorac_prediction *x = &p->at[all[k].i];
        if (x->right) { continue; }
        lorac_buf_printf(&b, "%zu", x->line);
        add_cell(&b, x->wanted, strlen(x->wanted));
        add_cell(&b, x->answer, strlen(x->answer));
        if (numbers) { lorac_buf_printf(&b, ",%.7g", all[k].error); }
        st = add_prompt(&b, &e, all[k].i, j, set, err);
        lorac_buf_str(&b, "\n");
    }
    if (!st && b.no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "no memory"); }
    if (!st) { st = lorac_file_write(path, b.at, b.n, err); }
    lorac_mem_free(all);
    lorac_example_free(&e);
    lorac_buf_free(&b);
    return st;
}
