/* predictions.c - see predictions.h. */
#include "recipes/run/predictions.h"

#include "base/core/arena.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/number.h"
#include "datasets/datasets.h"
#include "recipes/language/reading.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum column { LINE, WANTED, ANSWER, RIGHT, PROBABILITY, TEXT, EXACT, LOSS, TOKENS, N_COLUMNS };
static const char *const columns[N_COLUMNS] = {"line", "wanted", "answer", "right", "probability",
                                               "text", "exact",  "loss",   "tokens"};

/* A row being read. */
struct reading {
    struct lorac_predictions *p;
    const char *path;
    const struct lorac_row *row;
};

static enum lorac_status damaged(const struct reading *r, enum column c, const char *expected,
                                 struct lorac_err *err)
{
    char shown[60];
    const struct lorac_cell *cell = &r->row->cells[c];
    return lorac_fail(err, LORAC_EFORMAT, "%s:%llu: %s: must be %s, found '%s'", r->path,
                      (unsigned long long)r->row->line, columns[c], expected,
                      lorac_visible(shown, sizeof shown, cell->at, cell->n));
}

static enum lorac_status read_text(const char **out, const struct reading *r, enum column c,
                                   struct lorac_err *err)
{
    const struct lorac_cell *cell = &r->row->cells[c];
    *out = lorac_arena_string(r->p->arena, cell->at, cell->n);
    return *out ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "%s: no memory", r->path);
}

static enum lorac_status read_count(size_t *out, const struct reading *r, enum column c,
                                    struct lorac_err *err)
{
    const struct lorac_cell *cell = &r->row->cells[c];
    uint64_t value = 0;
    if (!lorac_whole_parse(&value, cell->at, cell->n, UINT32_MAX) || !value) {
        return damaged(r, c, "a whole number above 0", err);
    }
    *out = (size_t)value;
    return LORAC_OK;
}

/* NaN where it is empty. */
static enum lorac_status read_number(double *out, const struct reading *r, enum column c,
                                     double most, struct lorac_err *err)
{
    char text[40];
    char *end = NULL;
    const struct lorac_cell *cell = &r->row->cells[c];
    *out = (double)NAN;
    if (!cell->n) { return LORAC_OK; }
    size_t n = cell->n < sizeof text - 1 ? cell->n : sizeof text - 1;
    memcpy(text, cell->at, n);
    text[n] = '\0';
    *out = lorac_strtod(text, &end);
    bool whole = n == cell->n && end == text + n;
    if (!whole || !(*out >= 0.0 && *out <= most)) { return damaged(r, c, "a number", err); }
    return LORAC_OK;
}

/* 0 or 1, or empty in all rows. */
static enum lorac_status read_verdict(bool *out, bool *has, const struct reading *r, enum column c,
                                      struct lorac_err *err)
{
    const struct lorac_cell *cell = &r->row->cells[c];
    bool one = cell->n == 1 && (*cell->at == '0' || *cell->at == '1');
    if (!r->p->n) { *has = cell->n != 0; }
    if (*has ? !one : cell->n != 0) { return damaged(r, c, *has ? "0 or 1" : "empty", err); }
    *out = one && *cell->at == '1';
    return LORAC_OK;
}

static enum lorac_status read_row(const struct reading *r, struct lorac_err *err)
{
    struct lorac_predictions *p = r->p;
    struct lorac_prediction *x = &p->at[p->n];
    enum lorac_status st = read_count(&x->line, r, LINE, err);
    if (!st && p->n && x->line <= x[-1].line) {
        st = damaged(r, LINE, "above that of the row before", err);
    }
    if (!st) { st = read_text(&x->wanted, r, WANTED, err); }
    if (!st) { st = read_text(&x->answer, r, ANSWER, err); }
    if (!st) { st = read_text(&x->text, r, TEXT, err); }
    if (!st) { st = read_verdict(&x->right, &p->compares, r, RIGHT, err); }
    if (!st) { st = read_verdict(&x->exact, &p->matches, r, EXACT, err); }
    if (!st) { st = read_number(&x->probability, r, PROBABILITY, 1.0, err); }
    if (!st) { st = read_number(&x->loss, r, LOSS, (double)INFINITY, err); }
    if (!st && isnan(x->loss)) { st = damaged(r, LOSS, "a number", err); }
    if (!st) { st = read_count(&x->tokens, r, TOKENS, err); }
    return st;
}

static enum lorac_status check_header(const struct lorac_table *t, const char *path,
                                      struct lorac_err *err)
{
    bool same = lorac_table_columns(t) == N_COLUMNS;
    for (size_t c = 0; same && c < N_COLUMNS; c++) {
        same = strcmp(lorac_table_column_name(t, c), columns[c]) == 0;
    }
    if (same) { return LORAC_OK; }
    return lorac_fail(err, LORAC_EFORMAT, "%s:1: does not begin with lorac's header of predictions",
                      path);
}

static enum lorac_status read_rows(struct lorac_predictions *p, const struct lorac_table *t,
                                   const char *path, struct lorac_err *err)
{
    struct lorac_row row = {0};
    const struct reading r = {p, path, &row};
    size_t n = lorac_table_rows(t);
    p->arena = lorac_arena_new();
    p->at = p->arena ? lorac_arena_take(p->arena, n, sizeof *p->at) : NULL;
    if (!p->at) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory", path); }
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < n && !st; i++) {
        st = lorac_table_row(&row, t, i, err);
        if (!st) { st = read_row(&r, err); }
        p->n += !st;
    }
    lorac_row_free(&row);
    return st;
}

enum lorac_status lorac_predictions_begin(struct lorac_predictions *p,
                                          const struct lorac_dataset *set, struct lorac_err *err)
{
    bool text = lorac_dataset_is_text(set);
    lorac_predictions_release(p);
    p->n = lorac_dataset_size(set);
    p->arena = lorac_arena_new();
    p->at = p->arena ? lorac_arena_take(p->arena, p->n, sizeof *p->at) : NULL;
    if (!p->at) { return lorac_fail(err, LORAC_ENOMEM, "no memory for predictions"); }
    for (size_t i = 0; i < p->n; i++) {
        p->at[i] = (struct lorac_prediction){
            .line = text ? i + 1 : (size_t)lorac_dataset_line(set, i),
            .wanted = "",
            .answer = "",
            .text = "",
            .probability = (double)NAN,
        };
    }
    return LORAC_OK;
}

const char *lorac_predictions_text(struct lorac_predictions *p, const struct lorac_buf *text)
{
    return text->n ? lorac_arena_string(p->arena, text->at, text->n) : "";
}

const char *lorac_predictions_between(enum lorac_target target)
{
    return target == LORAC_TARGET_LABELS ? "; " : target == LORAC_TARGET_TAGS ? " " : NULL;
}

bool lorac_prediction_part(const char **part, size_t *n, const char **rest, const char *between)
{
    const char *end = between ? strstr(*rest, between) : NULL;
    *part = *rest;
    *n = end ? (size_t)(end - *rest) : strlen(*rest);
    *rest += *n + (end ? strlen(between) : 0);
    return *n > 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum lorac_status lorac_predictions_labels(const char ***names, size_t *K,
                                           const struct lorac_predictions *p, const char *between,
                                           struct lorac_err *err)
{
    const char **all = lorac_mem_new(1, sizeof *all);
    bool there = all != NULL;
    size_t cap = 1;
    size_t n = 0;
    for (size_t i = 0; i < 2 * p->n && there; i++) {
        const char *text = i % 2 ? p->at[i / 2].answer : p->at[i / 2].wanted;
        const char *part = NULL;
        size_t length = 0;
        while (there && lorac_prediction_part(&part, &length, &text, between)) {
            const char **grown = lorac_mem_grow(all, n, &cap, n + 1, sizeof *all);
            all = grown ? grown : all;
            if (grown) { all[n] = lorac_arena_string(p->arena, part, length); }
            there = grown && all[n++];
        }
    }
    *names = all;
    *K = 0;
    if (!there) { return lorac_fail(err, LORAC_ENOMEM, "no memory for labels"); }
    if (n) { qsort(all, n, sizeof *all, by_text); }
    for (size_t i = 0; i < n; i++) {
        if (*K == 0 || strcmp(all[*K - 1], all[i]) != 0) { all[(*K)++] = all[i]; }
    }
    return LORAC_OK;
}

size_t lorac_predictions_find(const char *const *names, size_t K, const char *part, size_t n)
{
    size_t low = 0;
    size_t high = K;
    while (high - low > 1) { // the last name that is not behind the part
        size_t middle = low + (high - low) / 2;
        int c = strncmp(names[middle], part, n);
        bool behind = c > 0 || (c == 0 && names[middle][n]);
        *(behind ? &high : &low) = middle;
    }
    return low;
}

void lorac_predictions_release(struct lorac_predictions *p)
{
    lorac_arena_free(p->arena);
    *p = (struct lorac_predictions){0};
}

/* What a rank tells the others of a row: this, then the bytes of the texts. */
struct told {
    size_t i, tokens;
    size_t n[3]; // bytes of wanted, answer, text
    double probability, loss;
    bool right, exact, matches;
};

static void tell(struct lorac_buf *b, const struct lorac_predictions *p, size_t i)
{
    const struct lorac_prediction *x = &p->at[i];
    const char *const text[] = {x->wanted, x->answer, x->text};
    struct told one;
    memset(&one, 0, sizeof one); // its padding, too
    one.i = i;
    one.tokens = x->tokens;
    one.probability = x->probability;
    one.loss = x->loss;
    one.right = x->right;
    one.exact = x->exact;
    one.matches = p->matches;
    for (size_t k = 0; k < 3; k++) {
        one.n[k] = strlen(text[k]);
    }
    lorac_buf_add(b, &one, sizeof one);
    for (size_t k = 0; k < 3; k++) {
        lorac_buf_add(b, text[k], one.n[k]);
    }
}

/* One row's from `at` on: of each value whatever rank has it. Returns what is behind it. */
static const char *hear(struct lorac_predictions *p, const char *at, struct lorac_err *err)
{
    struct told one;
    memcpy(&one, at, sizeof one);
    at += sizeof one;
    struct lorac_prediction *x = &p->at[one.i];
    const char **const text[] = {&x->wanted, &x->answer, &x->text};
    for (size_t k = 0; k < 3; k++) {
        if (one.n[k]) { *text[k] = lorac_arena_string(p->arena, at, one.n[k]); }
        if (!*text[k]) {
            (void)lorac_fail(err, LORAC_ENOMEM, "no memory for predictions");
            return NULL;
        }
        at += one.n[k];
    }
    if (one.tokens) { x->loss = one.loss; }
    if (one.tokens) { x->tokens = one.tokens; }
    if (!isnan(one.probability)) { x->probability = one.probability; }
    x->right = x->right || one.right;
    x->exact = x->exact || one.exact;
    p->matches = p->matches || one.matches;
    return at;
}

enum lorac_status lorac_predictions_share(struct lorac_predictions *p, struct lorac_ranks *ranks,
                                          enum lorac_status st, struct lorac_err *err)
{
    struct lorac_buf own = {0};
    struct lorac_buf all = {0};
    if (!ranks) { return st; }
    for (size_t i = 0; i < p->n; i++) {
        const struct lorac_prediction *x = &p->at[i];
        if (x->tokens || x->exact || *x->wanted || *x->answer || *x->text) { tell(&own, p, i); }
    }
    if (own.no_memory && !st) { st = lorac_fail(err, LORAC_ENOMEM, "no memory for predictions"); }
    st = lorac_ranks_gather(&all, ranks, own.at, own.n, st, err);
    const char *at = all.at;
    while (!st && at < all.at + all.n) {
        at = hear(p, at, err);
        st = at ? LORAC_OK : LORAC_ENOMEM;
    }
    lorac_buf_free(&own);
    lorac_buf_free(&all);
    return st;
}

static void add_text(struct lorac_buf *b, const char *text)
{
    lorac_buf_str(b, ",");
    if (!text[strcspn(text, ",\"\r\n")]) {
        lorac_buf_str(b, text);
        return;
    }
    lorac_buf_str(b, "\"");
    for (; *text; text++) {
        lorac_buf_add(b, text, 1);
        if (*text == '"') { lorac_buf_str(b, "\""); }
    }
    lorac_buf_str(b, "\"");
}

static void add_verdict(struct lorac_buf *b, bool has, bool is)
{
    lorac_buf_str(b, !has ? "," : is ? ",1" : ",0");
}

enum lorac_status lorac_predictions_write(const struct lorac_predictions *p, const char *path,
                                          struct lorac_err *err)
{
    struct lorac_buf b = {0};
    for (size_t c = 0; c < N_COLUMNS; c++) {
        lorac_buf_printf(&b, "%s%s", c ? "," : "", columns[c]);
    }
    lorac_buf_str(&b, "\n");
    for (size_t i = 0; i < p->n; i++) {
        const struct lorac_prediction *x = &p->at[i];
        lorac_buf_printf(&b, "%zu", x->line);
        add_text(&b, x->wanted);
        add_text(&b, x->answer);
        add_verdict(&b, p->compares, x->right);
        lorac_buf_str(&b, ",");
        if (!isnan(x->probability)) { lorac_buf_printf(&b, "%.9g", x->probability); }
        add_text(&b, x->text);
        add_verdict(&b, p->matches, x->exact);
        lorac_buf_printf(&b, ",%.9g,%zu\n", x->loss, x->tokens);
    }
    enum lorac_status st = b.no_memory ? lorac_fail(err, LORAC_ENOMEM, "%s: no memory", path)
                                       : lorac_file_write(path, b.at, b.n, err);
    lorac_buf_free(&b);
    return st;
}

enum lorac_status lorac_predictions_read(struct lorac_predictions **out, const char *path,
                                         struct lorac_err *err)
{
    struct lorac_table *t = NULL;
    *out = NULL;
    struct lorac_predictions *p = lorac_mem_new(1, sizeof *p);
    if (!p) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory", path); }
    enum lorac_status st = lorac_table_open(&t, path, NULL, err);
    if (!st) { st = check_header(t, path, err); }
    if (!st) { st = read_rows(p, t, path, err); }
    lorac_table_close(t);
    if (st) {
        lorac_predictions_free(p);
        p = NULL;
    }
    *out = p;
    return st;
}

void lorac_predictions_free(struct lorac_predictions *p)
{
    if (!p) { return; }
    lorac_predictions_release(p);
    lorac_mem_free(p);
}
