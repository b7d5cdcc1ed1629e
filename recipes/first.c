/* first.c - see first.h. */
#include "recipes/first.h"

#include <math.h>

enum {
    ROWS_A_STEP = 8,    // and half of it where rows are few:
    ROWS_A_ROW = 50,    // rows of the table behind each row of a step
    ROWS = 1350,        // of a table for which a base of BASE parameters
    EPOCHS = 7,         // needs so many epochs
    MOST_EPOCHS = 16,   // more and a row is known by heart,
    TEXT_EPOCHS = 5,    // sooner where answers are long:
    TRAINED_ALL = 160,  // trained tokens of a row in all epochs, between these two
    WARMUP = 5,         // per cent
    MOST_TOKENS = 4096, // a step, where rows are long: memory grows with it
    BATCH_STEP = 16,    // batch_tokens is a multiple of it
    EVALUATIONS = 5,    // at the most
};
#define LONGEST 1e6 // tokens of a row that can be believed
#define BASE 3.1e6
#define BASE_LR 3e-3
#define EVAL_SHARE 0.33 // of the training time, for all evaluations
#define BACKWARD 2.0    // a row that trains costs as much as this many that are scored

static double at_least(double x, double least)
{
    return x > least ? x : least;
}

/* 0.00314 is 3e-3: more digits would pretend that more is known. */
static double one_digit(double x)
{
    double unit = pow(10.0, floor(log10(x)));
    return round(x / unit) * unit;
}

/* Epochs between two evaluations: labels are scored one by one, so that an evaluation may cost an epoch. */
static double between(const struct lorac_first_size *s, size_t epochs)
{
    double scored = (double)s->valid_rows * (s->tokens + (double)s->labels * s->trained);
    double trained = (double)s->rows * s->tokens * (double)epochs;
    double n = EVAL_SHARE * BACKWARD * trained / at_least(scored, 1.0);
    n = floor(fmin(n, EVALUATIONS));
    double every = (double)epochs / at_least(n, 1.0);
    if (n < 2.0) { return 0.0; }
    return every > 0.5 ? ceil(every) : every > 0.25 ? 0.5 : 0.25;
}

struct lorac_first lorac_first_choose(const struct lorac_first_size *size)
{
    struct lorac_first f = {.warmup = WARMUP};
    double rows = at_least((double)size->rows, 1.0);
    double length = fmin(at_least(size->tokens, 1.0), LONGEST);
    double bases = at_least((double)size->parameters, 1.0) / BASE;
    f.lr = one_digit(fmin(fmax(BASE_LR * pow(bases, -0.3), 1e-4), 5e-3));
    double together = fmin(at_least(rows / ROWS_A_ROW, ROWS_A_STEP / 2.0), ROWS_A_STEP);
    double tokens = fmin(together * length, at_least(MOST_TOKENS, length));
    f.batch_tokens = (size_t)ceil(tokens / BATCH_STEP) * BATCH_STEP;
    f.rows_a_step = (double)f.batch_tokens / length;
    double an_epoch = at_least(rows / f.rows_a_step, 1.0);
    double wanted = EPOCHS * pow(bases, -0.15) * pow(rows / ROWS, -0.4);
    double most = at_least(round(TRAINED_ALL / at_least(size->trained, 1.0)), TEXT_EPOCHS);
    most = fmin(most, MOST_EPOCHS);
    f.epochs = (size_t)fmin(at_least(round(wanted), 1.0), most);
    f.steps = (size_t)fmin(ceil(an_epoch * (double)f.epochs), 1e12); // what train.steps may be
    f.eval_epochs = between(size, f.epochs);
    return f;
}
