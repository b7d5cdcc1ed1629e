/* report_series.c - columns of metrics.csv as curves; see report_parts.h. */
#include "recipes/report/report_parts.h"

#include "base/core/mem.h"

#include <math.h>

void lorac_series_free(struct lorac_series *s)
{
    lorac_mem_free(s->x);
    lorac_mem_free(s->y);
    lorac_mem_free(s->w);
    *s = (struct lorac_series){0};
}

static enum lorac_status make_room(struct lorac_series *s, size_t n, struct lorac_err *err)
{
    *s = (struct lorac_series){0};
    s->x = lorac_mem_new(n + 1, sizeof *s->x);
    s->y = lorac_mem_new(n + 1, sizeof *s->y);
    s->w = lorac_mem_new(n + 1, sizeof *s->w);
    if (s->x && s->y && s->w) { return LORAC_OK; }
    lorac_series_free(s);
    return lorac_fail(err, LORAC_ENOMEM, "no memory for a curve");
}

static double value_of(const struct lorac_record_line *l, unsigned column)
{
    switch (column) {
    case LORAC_COLUMN_RATE:
        return l->lr;
    case LORAC_COLUMN_GRADIENT:
        return l->grad_norm;
    case LORAC_COLUMN_SPEED:
        return l->seconds > 0.0 ? (double)l->tokens / l->seconds : (double)NAN;
    case LORAC_COLUMN_BITS_PER_BYTE:
        return l->bits_per_byte;
    default:
        return l->metric[column];
    }
}

/* A loss is a mean over trained tokens, a speed one over seconds, a share one over rows. */
static double weight_of(const struct lorac_record_line *l, unsigned column)
{
    if (l->is_valid && column != LORAC_METRIC_LOSS) { return (double)l->tokens; }
    if (column == LORAC_METRIC_LOSS) { return (double)l->trained; }
    return column == LORAC_COLUMN_SPEED ? l->seconds : 1.0;
}

enum lorac_status lorac_series_take(struct lorac_series *out, const struct lorac_record *r,
                                    bool valid, unsigned column, struct lorac_err *err)
{
    enum lorac_status st = make_room(out, r->n_lines, err);
    for (size_t i = 0; i < r->n_lines && !st; i++) {
        const struct lorac_record_line *l = &r->lines[i];
        if (l->is_valid != valid) { continue; }
        double v = value_of(l, column);
        if (!isfinite(v)) {
            out->left_out++;
            continue;
        }
        out->x[out->n] = (double)l->step;
        out->y[out->n] = v;
        out->w[out->n++] = weight_of(l, column);
    }
    return st;
}

size_t lorac_series_window(const struct lorac_series *s)
{
    enum { MEANS = 40 }; // that lie side by side in a curve
    return s->n < 2 * MEANS ? 1 : s->n / MEANS | 1U;
}

enum lorac_status lorac_series_smooth(struct lorac_series *out, const struct lorac_series *s,
                                      size_t window, struct lorac_err *err)
{
    enum lorac_status st = make_room(out, s->n, err);
    double sum = 0.0;
    double weight = 0.0;
    size_t from = 0;
    size_t end = 0;
    for (size_t i = 0; i < s->n && !st; i++) {
        size_t first = i < window / 2 ? 0 : i - window / 2;
        for (; end < s->n && end <= i + window / 2; end++) {
            sum += s->w[end] * s->y[end];
            weight += s->w[end];
        }
        for (; from < first; from++) {
            sum -= s->w[from] * s->y[from];
            weight -= s->w[from];
        }
        out->x[i] = s->x[i];
        out->y[i] = sum / weight;
        out->w[i] = s->w[i];
    }
    out->n = st ? 0 : s->n;
    return st;
}

struct lorac_curve lorac_series_curve(const struct lorac_series *s)
{
    return (struct lorac_curve){s->x, s->y, s->n};
}
