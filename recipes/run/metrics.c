/* metrics.c - see metrics.h. */
#include "recipes/run/metrics.h"

#include "base/core/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- labels ---- */

void lorac_label_count(struct lorac_label_score *s, size_t K, size_t truth, size_t answer)
{
    if (truth < K) { s[truth].support++; }
    if (answer < K) { s[answer].answered++; }
    if (truth < K && truth == answer) { s[truth].right++; }
}

static double ratio(size_t a, size_t b)
{
    return b ? (double)a / (double)b : 0.0;
}

void lorac_label_ratios(struct lorac_label_score *s, size_t K)
{
    for (size_t k = 0; k < K; k++) {
        s[k].precision = ratio(s[k].right, s[k].answered);
        s[k].recall = ratio(s[k].right, s[k].support);
        s[k].f1 = ratio(2 * s[k].right, s[k].answered + s[k].support);
    }
}

/* (right n - sum p t) / sqrt((n^2 - sum p^2) (n^2 - sum t^2)), each sum over the labels and what is
 * none of them: `pt`, `pp` and `tt` are sums over the labels, `p` and `t` how many rows these are.
 */
static double matthews(size_t right, size_t rows, double pt, double pp, double tt, size_t p,
                       size_t t)
{
    double n = (double)rows;
    double no_p = (double)(rows - p);
    double no_t = (double)(rows - t);
    double below = (n * n - pp - no_p * no_p) * (n * n - tt - no_t * no_t);
    return below > 0.0 ? ((double)right * n - pt) / sqrt(below) : 0.0;
}

struct lorac_label_means lorac_label_means(const struct lorac_label_score *s, size_t K, size_t rows)
{
    struct lorac_label_means m = {0};
    size_t answered = 0;
    size_t support = 0;
    double pt = 0.0;
    double pp = 0.0;
    double tt = 0.0;
    for (size_t k = 0; k < K; k++) {
        double p = (double)s[k].answered;
        double t = (double)s[k].support;
        struct lorac_label_score one = s[k];
        lorac_label_ratios(&one, 1);
        m.seen += one.answered + one.support > 0;
        m.macro_precision += one.precision;
        m.macro_recall += one.recall;
        m.macro_f1 += one.f1;
        m.weighted_f1 += t * one.f1;
        m.right += one.right;
        answered += one.answered;
        support += one.support;
        pt += p * t;
        pp += p * p;
        tt += t * t;
    }
    double seen = m.seen ? (double)m.seen : 1.0;
    m.macro_precision /= seen;
    m.macro_recall /= seen;
    m.macro_f1 /= seen;
    m.weighted_f1 = support ? m.weighted_f1 / (double)support : 0.0;
    m.micro_precision = ratio(m.right, answered);
    m.micro_recall = ratio(m.right, support);
    m.micro_f1 = ratio(2 * m.right, answered + support);
    bool one_each = answered <= rows && support <= rows;
    m.matthews = one_each ? matthews(m.right, rows, pt, pp, tt, answered, support) : (double)NAN;
    return m;
}

/* ---- ranks ---- */

struct ranked {
    double value;
    size_t i;
};

static int by_value(const void *a, const void *b)
{
    const struct ranked *x = a;
    const struct ranked *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

/* rank (n) written: from 1, equal values share the mean of theirs. */
static enum lorac_status find_ranks(double *rank, const double *value, size_t n,
                                    struct lorac_err *err)
{
    struct ranked *all = lorac_mem_new(n, sizeof *all);
    if (!all && n) { return lorac_fail(err, LORAC_ENOMEM, "no memory for ranks"); }
    for (size_t i = 0; i < n; i++) {
        all[i] = (struct ranked){value[i], i};
    }
    if (n) { qsort(all, n, sizeof *all, by_value); }
    for (size_t i = 0, end = 0; i < n; i = end) {
        for (end = i + 1; end < n && !(all[end].value > all[i].value); end++) {}
        for (size_t k = i; k < end; k++) {
            rank[all[k].i] = 0.5 * (double)(i + 1 + end);
        }
    }
    lorac_mem_free(all);
    return LORAC_OK;
}

/* The Mann-Whitney statistic: with R the ranks of the P positive rows summed,
 *   (R - P (P + 1) / 2) / (P (n - P)) */
enum lorac_status lorac_auc(double *out, const double *score, const bool *positive, size_t n,
                            struct lorac_err *err)
{
    double *rank = lorac_mem_new(n, sizeof *rank);
    if (!rank && n) { return lorac_fail(err, LORAC_ENOMEM, "no memory for an AUC"); }
    enum lorac_status st = find_ranks(rank, score, n, err);
    double sum = 0.0;
    double P = 0.0;
    for (size_t i = 0; i < n && !st; i++) {
        if (!positive[i]) { continue; }
        sum += rank[i];
        P += 1.0;
    }
    *out = (sum - P * (P + 1.0) / 2.0) / (P * ((double)n - P)); // 0/0 without either
    lorac_mem_free(rank);
    return st;
}

/* ---- numbers ---- */

static bool all_equal(const double *x, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (x[i] > x[0] || x[i] < x[0]) { return false; }
    }
    return true;
}

static double mean(const double *x, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += x[i];
    }
    return sum / (double)n;
}

static double correlation(const double *x, const double *y, size_t n)
{
    if (n < 2 || all_equal(x, n) || all_equal(y, n)) { return (double)NAN; }
    double mx = mean(x, n);
    double my = mean(y, n);
    double xy = 0.0;
    double xx = 0.0;
    double yy = 0.0;
    for (size_t i = 0; i < n; i++) {
        xy += (x[i] - mx) * (y[i] - my);
        xx += (x[i] - mx) * (x[i] - mx);
        yy += (y[i] - my) * (y[i] - my);
    }
    double r = xy / (sqrt(xx) * sqrt(yy));
    return r > 1.0 ? 1.0 : r < -1.0 ? -1.0 : r;
}

enum lorac_status lorac_fit(struct lorac_fit *out, const double *given, const double *wanted,
                            size_t n, struct lorac_err *err)
{
    *out = (struct lorac_fit){(double)NAN, (double)NAN, (double)NAN, (double)NAN};
    if (n == 0) { return LORAC_OK; }
    double *rank = lorac_mem_new(n, 2 * sizeof *rank); // of both
    if (!rank) { return lorac_fail(err, LORAC_ENOMEM, "no memory for ranks"); }
    enum lorac_status st = find_ranks(rank, given, n, err);
    if (!st) { st = find_ranks(rank + n, wanted, n, err); }
    double m = mean(wanted, n);
    double missed = 0.0;
    double spread = 0.0;
    for (size_t i = 0; i < n; i++) {
        missed += (given[i] - wanted[i]) * (given[i] - wanted[i]);
        spread += (wanted[i] - m) * (wanted[i] - m);
    }
    if (!st) {
        out->mse = missed / (double)n;
        out->pearson = correlation(given, wanted, n);
        out->spearman = correlation(rank, rank + n, n);
        if (!all_equal(wanted, n)) { out->r2 = 1.0 - missed / spread; }
    }
    lorac_mem_free(rank);
    return st;
}

/* ---- entities ---- */

/* "B-PER": its part, and its type; a part alone has the type "". False: another tag. */
static bool split_tag(char *part, const char **type, const char *label)
{
    static const char parts[] = "BIESLUM";
    static const char read_as[] = "BIESESI"; // L, U: of BILOU; M: of BMES
    *part = 'O';
    *type = "";
    if (strcmp(label, "O") == 0) { return true; }
    const char *at = label[0] ? strchr(parts, label[0]) : NULL;
    if (!at || (label[1] && label[1] != '-')) { return false; }
    *part = read_as[at - parts];
    if (label[1]) { *type = label + 2; }
    return true;
}

bool lorac_tags_name(const char *const *label, size_t K)
{
    bool any = false;
    for (size_t k = 0; k < K; k++) {
        char part = 'O';
        const char *type = NULL;
        if (!split_tag(&part, &type, label[k])) { return false; }
        any = any || part != 'O';
    }
    return any;
}

size_t lorac_tags_read(struct lorac_tag *out, const char **name, const char *const *label, size_t K)
{
    size_t types = 0;
    if (!lorac_tags_name(label, K)) { return 0; }
    for (size_t k = 0; k < K; k++) {
        const char *type = NULL;
        (void)split_tag(&out[k].part, &type, label[k]);
        if (out[k].part == 'O') {
            out[k].type = UINT32_MAX;
            continue;
        }
        size_t i = 0;
        while (i < types && strcmp(name[i], type) != 0) {
            i++;
        }
        if (i == types) { name[types++] = type; }
        out[k].type = (uint32_t)i;
    }
    return types;
}

static bool ends(struct lorac_tag before, struct lorac_tag at) // an entity, between the two
{
    if (before.part == 'O') { return false; }
    return before.part == 'E' || before.part == 'S' || at.part == 'O' || at.part == 'B' ||
           at.part == 'S' || before.type != at.type;
}

struct entity {
    size_t from, end;
    uint32_t type;
};

/* The first entity from word *at on, and *at behind it; false: there is none. */
static bool next_entity(struct entity *out, size_t *at, const struct lorac_tag *tag,
                        const uint32_t *label, size_t n)
{
    size_t i = *at;
    while (i < n && tag[label[i]].part == 'O') {
        i++;
    }
    if (i == n) { return false; }
    *out = (struct entity){.from = i, .type = tag[label[i]].type};
    for (i++; i < n && !ends(tag[label[i - 1]], tag[label[i]]); i++) {}
    out->end = *at = i;
    return true;
}

void lorac_entities_count(struct lorac_label_score *s, const struct lorac_tag *tag,
                          const uint32_t *truth, const uint32_t *answer, size_t n)
{
    struct entity want = {0};
    struct entity got = {0};
    size_t at[2] = {0};
    bool wants = next_entity(&want, &at[0], tag, truth, n);
    bool gets = next_entity(&got, &at[1], tag, answer, n);
    while (wants || gets) { // each in turn, the one that begins first
        bool same = wants && gets && want.from == got.from;
        bool take_want = wants && (!gets || want.from <= got.from);
        bool take_got = gets && (!wants || got.from <= want.from);
        if (take_want) { s[want.type].support++; }
        if (take_got) { s[got.type].answered++; }
        if (same && want.end == got.end && want.type == got.type) { s[want.type].right++; }
        if (take_want) { wants = next_entity(&want, &at[0], tag, truth, n); }
        if (take_got) { gets = next_entity(&got, &at[1], tag, answer, n); }
    }
}
