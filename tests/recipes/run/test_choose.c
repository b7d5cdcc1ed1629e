/*
 * The likeliest answers behind a prompt. What is promised, on every backend:
 *   - answers, likelihoods, probabilities and losses are those of a scorer that runs each answer
 *     alone behind its prompt, on random trees: answers that share beginnings, are beginnings of
 *     others or equal to them, one token or many, more of them than a batch or the cache holds, and
 *     of more questions than the cache holds: rows of those that are answered are the next ones';
 *   - where all are wanted, each row of the tree runs once; where the best are wanted, nothing runs
 *     that could not win any more; what prompts begin with alike runs once, also where the cache is
 *     too small to keep it;
 *   - a likelihood that is not finite is told; what memory lacks is reported.
 */
#include "base/core/mem.h"
#include "recipes/run/choose.h"
#include "tests/support/faults.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST_ANSWERS = 60, MOST_TOKENS = 24, ROOM = 64, ASKED = 9 };

struct subject {
    struct lorac_device dev;
    struct lorac_model *m;
    struct lorac_batch *b;
    struct lorac_pass *plain;
};

static void open_subject(struct subject *s, const char *backend)
{
    const struct lorac_pass_options o = {.max_rows = 256};
    assert_int_equal(lorac_device_open(&s->dev, backend, 2, NULL), LORAC_OK);
    assert_int_equal(lorac_model_open(&s->m, &s->dev, tiny_path("model"), LORAC_FLOAT32, NULL),
                     LORAC_OK);
    assert_int_equal(lorac_batch_new(&s->b, 256, 1, 256, NULL), LORAC_OK);
    assert_int_equal(lorac_pass_new(&s->plain, s->m, NULL, &o, NULL), LORAC_OK);
}

static void close_subject(struct subject *s)
{
    lorac_pass_free(s->plain);
    lorac_batch_free(s->b);
    lorac_model_close(s->m);
    lorac_device_close(&s->dev);
}

/* Sum of the nll of tokens from .. n-1 of a sequence that runs alone. */
static double score(struct subject *s, const int32_t *ids, size_t from, size_t n)
{
    float nll[256];
    double sum = 0.0;
    lorac_batch_clear(s->b);
    (void)lorac_batch_add(s->b, ids, n, -1);
    for (size_t i = from; i < n; i++) {
        lorac_batch_score(s->b, i - 1, ids[i]);
    }
    assert_int_equal(lorac_pass_forward(s->plain, s->b, NULL, NULL), LORAC_OK);
    lorac_pass_loss(s->plain, s->b, nll, false);
    for (size_t i = 0; i < s->b->T; i++) {
        sum += (double)nll[i];
    }
    return sum;
}

struct answers {
    int32_t ids[MOST_ANSWERS * MOST_TOKENS];
    size_t end[MOST_ANSWERS], K;
    struct lorac_tree tree;
};

static const int32_t *answer(const struct answers *a, size_t k, size_t *n)
{
    size_t begin = k ? a->end[k - 1] : 0;
    *n = a->end[k] - begin;
    return a->ids + begin;
}

/* Some grow from others, so that trees are deep. */
static void draw_answers(struct answers *a, size_t K, size_t tokens, size_t letters)
{
    size_t n = 0;
    a->K = K;
    for (size_t k = 0; k < K; k++) {
        size_t most = 1 + (size_t)rand() % tokens;
        size_t taken = 0;
        if (k && rand() % 2) {
            const int32_t *other = answer(a, (size_t)rand() % k, &taken);
            taken = taken < most ? taken : most;
            memcpy(a->ids + n, other, taken * sizeof *other);
        }
        for (size_t i = taken; i < most; i++) {
            a->ids[n + i] = 'a' + (int32_t)((size_t)rand() % letters);
        }
        n += most;
        a->end[k] = n;
    }
    assert_int_equal(lorac_tree_make(&a->tree, a->ids, a->end, K, NULL), LORAC_OK);
}

static size_t draw_ids(int32_t *ids, size_t most)
{
    size_t n = 1 + (size_t)rand() % most;
    for (size_t i = 0; i < n; i++) {
        ids[i] = (int32_t)((size_t)rand() % 256);
    }
    return n;
}

static struct lorac_ranked want[MOST_ANSWERS];

static int likelier(const void *x, const void *y)
{
    const struct lorac_ranked *a = x;
    const struct lorac_ranked *b = y;
    if (a->nll != b->nll) { return a->nll < b->nll ? -1 : 1; }
    return (a->k > b->k) - (a->k < b->k);
}

/* want (K) written, and what the question's loss is to be. */
static double rank_alone(struct subject *s, const struct answers *a, const struct lorac_ids *prefix,
                         const struct lorac_question *q)
{
    int32_t ids[256];
    double loss = 0.0;
    size_t past = prefix ? prefix->n : 0;
    if (prefix) { memcpy(ids, prefix->at, past * sizeof *ids); }
    memcpy(ids + past, q->prompt, q->n * sizeof *ids);
    if (q->scored_from < q->n) { loss = score(s, ids, past + q->scored_from, past + q->n); }
    for (size_t k = 0; q->tree && k < a->K; k++) {
        size_t n = 0;
        memcpy(ids + past + q->n, answer(a, k, &n), MOST_TOKENS * sizeof *ids);
        want[k] = (struct lorac_ranked){.k = k, .nll = score(s, ids, past + q->n, past + q->n + n)};
        if (k == q->own) { loss += want[k].nll; }
    }
    if (!q->tree) { return loss; }
    qsort(want, a->K, sizeof *want, likelier);
    double all = 0.0;
    for (size_t k = 0; k < a->K; k++) {
        all += exp(-want[k].nll);
    }
    for (size_t k = 0; k < a->K; k++) {
        want[k].probability = exp(-want[k].nll) / all;
    }
    return loss;
}

static bool equal(const struct answers *a, size_t x, size_t y)
{
    size_t n = 0;
    size_t m = 0;
    const int32_t *p = answer(a, x, &n);
    const int32_t *q = answer(a, y, &m);
    return n == m && memcmp(p, q, n * sizeof *p) == 0;
}

/* Likelihoods agree to what float32 makes of them in another order of sums; where two differ by no
 * more than that, either may come first, but equal answers stay in their order. */
static void expect_ranked(const struct answers *a, const struct lorac_ranked *got,
                          const struct lorac_question *q)
{
    size_t top = q->top < a->K ? q->top : a->K;
    for (size_t i = 0; i < top; i++) {
        if (!(fabs(got[i].nll - want[i].nll) < 1e-4)) {
            fail_msg("%zu: %.9g, not %.9g", i, got[i].nll, want[i].nll);
        }
        bool same = got[i].k == want[i].k;
        for (size_t k = 0; k < a->K && !same; k++) {
            same = want[k].k == got[i].k && fabs(want[k].nll - want[i].nll) < 1e-4 &&
                   !equal(a, want[k].k, want[i].k);
        }
        if (!same) { fail_msg("%zu: answer %zu, not %zu", i, got[i].k, want[i].k); }
        double open = q->top < a->K ? 5e-5 : 0.0; // what was not followed, of all
        if (q->probability && !(fabs(got[i].probability - want[i].probability) < open + 2e-5)) {
            fail_msg("%zu: %.9g, not %.9g", i, got[i].probability, want[i].probability);
        }
        if (!q->probability) { assert_true(isnan(got[i].probability)); }
    }
}

/* Rows of all questions where every answer is wanted and nothing but `shared` is read once, and
 * the fewest that they can take. */
struct expected {
    size_t rows, least;
};

/* Tokens that question i begins with as one before it does: at most all but its last. */
static size_t alike(const struct lorac_question *q, size_t i)
{
    size_t most = 0;
    for (size_t k = 0; k < i; k++) {
        size_t n = lorac_ids_common(q[k].prompt, q[k].n, q[i].prompt, q[i].n - 1);
        most = n > most ? n : most;
    }
    return most;
}

static struct expected expected_rows(const struct lorac_question *all, size_t i,
                                     const int32_t *shared, size_t n)
{
    const struct lorac_question *q = &all[i];
    size_t own = q->own == LORAC_NO_ANSWER ? 0 : q->tree->at[q->tree->last[q->own]].depth - 1;
    bool shares =
        q->n > n && q->scored_from > n && memcmp(q->prompt, shared, n * sizeof *shared) == 0;
    size_t last = q->tree != NULL; // without a tree it is only a target
    size_t skip = shares ? n : 0;
    size_t most = alike(all, i);
    return (struct expected){q->n - 1 + last - skip + (q->tree ? q->tree->rows : 0),
                             q->n - 1 + last - (most > skip ? most : skip) + own};
}

/* Some questions of random kinds together, twice with one chooser; in the second round all prompts
 * share something, and some begin as another one in both. `tight`: the cache holds little more than
 * one of them. */
static void ask_some(struct subject *s, const struct answers *a, const struct lorac_ids *prefix,
                     size_t max_prompt, bool all, bool tight)
{
    static int32_t prompt[ASKED][ROOM], asked[ROOM];
    struct lorac_question q[ASKED];
    struct lorac_chooser *c = NULL;
    struct lorac_chooser_options o = {
        .prefix = prefix, .max_tokens = max_prompt + a->tree.longest, .max_answers = a->K};
    o.all_tokens = tight ? o.max_tokens : 0;
    assert_int_equal(lorac_chooser_new(&c, s->m, NULL, &o, NULL), LORAC_OK);
    for (size_t round = 0; round < 2; round++) {
        size_t n = 1 + (size_t)rand() % ASKED;
        struct expected rows = {0};
        size_t before = lorac_chooser_work(c).rows;
        int32_t shared[6];
        size_t n_shared = round ? draw_ids(shared, 6) : 0;
        lorac_chooser_clear(c);
        assert_int_equal(lorac_chooser_share(c, shared, n_shared, NULL), LORAC_OK);
        for (size_t i = 0; i < n; i++) {
            bool added = false;
            q[i] = (struct lorac_question){.prompt = prompt[i], .own = LORAC_NO_ANSWER};
            q[i].n = draw_ids(prompt[i], max_prompt);
            if (rand() % 3) { memcpy(prompt[i], shared, n_shared * sizeof *shared); } // or its own
            if (i && rand() % 2) {
                memcpy(prompt[i], prompt[(size_t)rand() % i],
                       ((size_t)rand() % q[i].n + 1) * sizeof *shared);
            }
            q[i].tree = rand() % 8 || q[i].n < 2 ? &a->tree : NULL;
            q[i].scored_from = q[i].n;
            if (rand() % 3 == 0 || !q[i].tree) { q[i].scored_from = 1; }
            if (rand() % 2 && q[i].tree) { q[i].own = (size_t)rand() % a->K; }
            q[i].top = all ? a->K : 1 + (size_t)rand() % 3;
            q[i].probability = rand() % 2;
            struct expected e = expected_rows(q, i, shared, n_shared);
            rows.rows += e.rows;
            rows.least += e.least;
            q[i].prompt = memcpy(asked, prompt[i], sizeof asked); // the next goes there, too
            assert_int_equal(lorac_chooser_add(&added, c, &q[i], NULL), LORAC_OK);
            q[i].prompt = prompt[i];
            assert_true(added);
        }
        assert_int_equal(lorac_chooser_run(c, NULL, NULL, NULL), LORAC_OK);
        size_t ran = lorac_chooser_work(c).rows - before;
        assert_true(ran >= rows.least && (tight || ran <= rows.rows)); // some ran again
        for (size_t i = 0; i < n; i++) {
            size_t broken = 0;
            double loss = rank_alone(s, a, prefix, &q[i]);
            double got = lorac_chooser_loss(c, i);
            if (!(fabs(got - loss) < 1e-4)) { fail_msg("loss %.9g, not %.9g", got, loss); }
            if (q[i].tree) { expect_ranked(a, lorac_chooser_answers(&broken, c, i), &q[i]); }
        }
    }
    lorac_chooser_free(c);
}

static void answers_are_those_of_each_alone(void **state)
{
    struct subject s;
    open_subject(&s, *state);
    srand(11);
    for (int round = 0; round < 24; round++) {
        struct answers a = {0};
        int32_t shots[20];
        struct lorac_ids prefix = {.at = shots, .n = draw_ids(shots, 20)};
        draw_answers(&a, round ? 1 + (size_t)rand() % MOST_ANSWERS : 1, 1 + (size_t)rand() % 8,
                     1 + (size_t)rand() % 5);
        ask_some(&s, &a, round % 2 ? &prefix : NULL, 12, round % 3 == 0, round % 2 == 0);
        lorac_tree_free(&a.tree);
    }
    close_subject(&s);
}

/* Rows that a chooser ran for questions of these prompts, of which every answer is wanted, less
 * those of the answers; `tight`: its cache holds one of 20 tokens. */
static size_t prompt_rows(struct subject *s, const struct answers *a, bool tight,
                          const char *const *prompts, size_t n)
{
    int32_t ids[ROOM];
    struct lorac_question q = {
        .prompt = ids, .tree = &a->tree, .own = LORAC_NO_ANSWER, .top = a->K, .probability = true};
    struct lorac_chooser *c = NULL;
    struct lorac_chooser_options o = {
        .max_tokens = 20 + a->tree.longest, .max_answers = a->K, .all_tokens = tight};
    assert_int_equal(lorac_chooser_new(&c, s->m, NULL, &o, NULL), LORAC_OK);
    for (int answering = 0; answering < 2; answering++) {
        for (size_t i = 0; i < n; i++) {
            bool added = true;
            size_t broken = 0;
            q.n = strlen(prompts[i]);
            for (size_t k = 0; k < q.n; k++) {
                ids[k] = prompts[i][k];
            }
            q.scored_from = q.n - (i + 1 == n); // the last one's last token counts
            if (!answering) { assert_int_equal(lorac_chooser_add(&added, c, &q, NULL), 0); }
            assert_true(added);
            if (!answering) { continue; }
            double loss = rank_alone(s, a, NULL, &q);
            assert_true(fabs(lorac_chooser_loss(c, i) - loss) < 1e-4);
            expect_ranked(a, lorac_chooser_answers(&broken, c, i), &q);
        }
        if (!answering) { assert_int_equal(lorac_chooser_run(c, NULL, NULL, NULL), LORAC_OK); }
    }
    size_t rows = lorac_chooser_work(c).rows - n * a->tree.rows;
    lorac_chooser_free(c);
    return rows;
}

static void prompts_that_begin_alike_read_it_once(void **state)
{
    struct subject s;
    struct answers a = {0};
    struct answers letters = {0};
    open_subject(&s, *state);
    srand(5);
    draw_answers(&a, 20, 6, 3);
    draw_answers(&letters, 5, 1, 3);
    // in their order 6; the last token, 1, and with one that is scored, 2; xy, q, zz
    const char *const fork[] = {"abcdef", "zz", "abcdef", "abcdxy", "abq", "abcdef"};
    assert_int_equal(prompt_rows(&s, &a, false, fork, 6), 6 + 1 + 2 + 2 + 1 + 2);
    // one row each, but no more than three go on from each other
    const char *const stairs[] = {"a", "ab", "abc", "abcd", "abcde", "abcdef", "abcdefg"};
    assert_int_equal(prompt_rows(&s, &a, false, stairs, 7), 1 + 1 + 1 + 1 + 2 + 3 + 4);
    // where what is kept leaves no room for those that are left, they begin again
    const char *const large[] = {"abcdefghijklmnopqrst", "abcABCDEFGHIJKLMNOPQ"};
    assert_int_equal(prompt_rows(&s, &letters, false, large, 2), 20 + 17);
    assert_int_equal(prompt_rows(&s, &letters, true, large, 2), 20 + 20);
    lorac_tree_free(&letters.tree);
    lorac_tree_free(&a.tree);
    close_subject(&s);
}

static const int32_t short_prompt[] = {1, 2, 3};
enum { SHORT = sizeof short_prompt / sizeof *short_prompt };

/* Rows of one question behind it. `want` is written. */
static size_t rows_of_one(struct subject *s, const struct answers *a, size_t top, bool probability)
{
    struct lorac_question q = {.prompt = short_prompt,
                               .n = SHORT,
                               .scored_from = SHORT,
                               .tree = &a->tree,
                               .own = LORAC_NO_ANSWER,
                               .top = top,
                               .probability = probability};
    struct lorac_chooser *c = NULL;
    struct lorac_chooser_options o = {.max_tokens = 40, .max_answers = a->K};
    bool added = false;
    size_t broken = 0;
    assert_int_equal(lorac_chooser_new(&c, s->m, NULL, &o, NULL), LORAC_OK);
    assert_int_equal(lorac_chooser_add(&added, c, &q, NULL), LORAC_OK);
    assert_int_equal(lorac_chooser_run(c, NULL, NULL, NULL), LORAC_OK);
    (void)rank_alone(s, a, NULL, &q);
    expect_ranked(a, lorac_chooser_answers(&broken, c, 0), &q);
    size_t rows = lorac_chooser_work(c).rows;
    lorac_chooser_free(c);
    return rows;
}

/* Letters, of which 0 .. top - 1 behind `first` are whole answers, and each other begins two. The
 * whole ones win, and the prompt alone says so: of the others those run, none to all, that are
 * likelier than the last of them. */
static void what_cannot_win_does_not_run(void **state)
{
    enum { LETTERS = 8 };
    struct subject s;
    struct answers a;
    open_subject(&s, *state);
    for (size_t i = 0; i < 2 * LETTERS; i++) {
        size_t top = 1 + i % 2;
        size_t n = 0;
        size_t rivals = 0;
        a = (struct answers){0};
        for (size_t k = 0; k < LETTERS; k++) {
            size_t ends = k < top ? 1 : 2;
            for (size_t end = 0; end < ends; end++) {
                a.ids[n++] = 'a' + (int32_t)((i / 2 + k) % LETTERS);
                if (ends == 2) { a.ids[n++] = 'y' + (int32_t)end; }
                a.end[a.K++] = n;
            }
        }
        assert_int_equal(lorac_tree_make(&a.tree, a.ids, a.end, a.K, NULL), LORAC_OK);
        size_t rows = rows_of_one(&s, &a, top, false);
        assert_true(want[0].k < top && want[top - 1].k < top);
        for (size_t k = top; k < a.K; k += 2) {
            int32_t ids[SHORT + 1] = {0};
            memcpy(ids, short_prompt, sizeof short_prompt);
            ids[SHORT] = *answer(&a, k, &n);
            rivals += score(&s, ids, SHORT, SHORT + 1) < want[top - 1].nll;
        }
        assert_int_equal(rows, SHORT + rivals);
        lorac_tree_free(&a.tree);
    }
    close_subject(&s);
}

/* Each answer goes on from the one before: more forks on one way than a chain of segments holds. */
static void a_deep_tree(void **state)
{
    struct subject s;
    struct answers a = {0};
    open_subject(&s, *state);
    size_t n = 0;
    for (size_t k = 0; k < MOST_TOKENS; k++) { // a, ab, aba, ... and a z at each end
        for (size_t i = 0; i + 1 < k; i++) {
            a.ids[n++] = i % 2 ? 'b' : 'a';
        }
        a.ids[n++] = k % 2 ? 'z' : 'y';
        a.end[a.K++] = n;
    }
    assert_int_equal(lorac_tree_make(&a.tree, a.ids, a.end, a.K, NULL), LORAC_OK);
    size_t rows = rows_of_one(&s, &a, a.K, true);
    assert_true(rows < 3 * (SHORT + a.tree.rows)); // some beginnings ran again
    lorac_tree_free(&a.tree);
    close_subject(&s);
}

/* 3,000 answers behind prompts, of which the cache does not hold all branches. */
static void more_answers_than_a_batch_holds(void **state)
{
    enum { K = 3000, TOKENS = 5 };
    struct subject s;
    open_subject(&s, *state);
    static int32_t ids[K * TOKENS];
    static size_t end[K];
    struct lorac_tree tree = {0};
    for (size_t k = 0; k < K; k++) { // digits of k: ten ways on at each fork
        size_t x = k;
        for (size_t i = TOKENS; i-- > 0; x /= 10) {
            ids[k * TOKENS + i] = '0' + (int32_t)(x % 10);
        }
        end[k] = (k + 1) * TOKENS;
    }
    assert_int_equal(lorac_tree_make(&tree, ids, end, K, NULL), LORAC_OK);
    struct lorac_chooser *c = NULL;
    struct lorac_chooser_options o = {.max_tokens = 9, .max_answers = K, .all_tokens = 30};
    assert_int_equal(lorac_chooser_new(&c, s.m, NULL, &o, NULL), LORAC_OK);
    const int32_t prompt[] = {7, 8, 9, 10};
    int32_t alone[9];
    struct lorac_question q = {.prompt = prompt,
                               .n = 4,
                               .scored_from = 4,
                               .tree = &tree,
                               .own = 77,
                               .top = K,
                               .probability = true};
    bool added = false;
    size_t broken = 0;
    memcpy(alone, prompt, sizeof prompt);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(lorac_chooser_add(&added, c, &q, NULL), LORAC_OK);
        assert_true(added);
    }
    assert_int_equal(lorac_chooser_run(c, NULL, NULL, NULL), LORAC_OK);
    const struct lorac_ranked *got = lorac_chooser_answers(&broken, c, 1);
    double all = 0.0;
    for (size_t i = 0; i < K; i++) {
        all += got[i].probability;
        assert_true(i == 0 || got[i].nll >= got[i - 1].nll);
        if (i % 97) { continue; }
        memcpy(alone + 4, ids + got[i].k * TOKENS, TOKENS * sizeof *alone);
        assert_true(fabs(score(&s, alone, 4, 9) - got[i].nll) < 1e-4);
    }
    assert_true(fabs(all - 1.0) < 1e-9);
    assert_true(fabs(got[0].nll - lorac_chooser_answers(&broken, c, 0)[0].nll) < 1e-4);
    lorac_chooser_free(c);
    lorac_tree_free(&tree);
    close_subject(&s);
}

/* ---- faults ---- */

static enum lorac_status choose_one(struct subject *s, const struct answers *a,
                                    struct lorac_err *err)
{
    struct lorac_chooser *c = NULL;
    struct lorac_chooser_options o = {.max_tokens = 10, .max_answers = a->K};
    static const int32_t prompt[] = {3, 4};
    struct lorac_question q = {.prompt = prompt,
                               .n = 2,
                               .scored_from = 1,
                               .tree = &a->tree,
                               .own = 1,
                               .top = a->K,
                               .probability = true};
    bool added = false;
    size_t bytes = 0;
    enum lorac_status st = lorac_chooser_measure(&bytes, s->m, NULL, &o, err);
    if (!st) { st = lorac_chooser_new(&c, s->m, NULL, &o, err); }
    if (!st) { st = lorac_chooser_add(&added, c, &q, err); }
    if (!st) { st = lorac_chooser_run(c, NULL, NULL, err); }
    lorac_chooser_free(c);
    return st;
}

static void every_failed_allocation_is_reported(void **state)
{
    struct subject s;
    struct answers a = {0};
    open_subject(&s, *state);
    srand(2);
    draw_answers(&a, 20, 6, 3);
    int failures = 0;
    for (bool met = true; met; failures += met) {
        struct lorac_err err = {0};
        faults_start(FAULTS_MEMORY, failures);
        enum lorac_status st = choose_one(&s, &a, &err);
        met = faults_stop();
        assert_int_equal(st, met ? LORAC_ENOMEM : LORAC_OK);
        assert_true(!met || err.text[0]);
    }
    assert_true(failures > 10);
    lorac_tree_free(&a.tree);
    close_subject(&s);
}

static bool stops(void *self, double done)
{
    int *calls = self;
    assert_true(done >= 0.0 && done <= 1.0);
    return --*calls > 0;
}

static void what_is_stopped_or_too_long_is_told(void **state)
{
    struct subject s;
    struct answers a = {0};
    struct lorac_chooser *c = NULL;
    struct lorac_err err = {0};
    open_subject(&s, *state);
    srand(4);
    draw_answers(&a, 20, 6, 3);
    struct lorac_chooser_options o = {.max_tokens = 2000, .max_answers = 20, .all_tokens = 1};
    static int32_t prompt[2001];
    struct lorac_question q = {.prompt = prompt,
                               .n = 2001,
                               .scored_from = 2001,
                               .tree = &a.tree,
                               .own = LORAC_NO_ANSWER,
                               .top = 1};
    bool added = true;
    assert_int_equal(lorac_chooser_new(&c, s.m, NULL, &o, NULL), LORAC_OK);
    assert_int_equal(lorac_chooser_add(&added, c, &q, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "a prompt of 2001 tokens and an answer of "));
    assert_false(added);
    q.n = q.scored_from = 3;
    assert_int_equal(lorac_chooser_add(&added, c, &q, &err), LORAC_OK);
    int calls = 1;
    assert_int_equal(lorac_chooser_run(c, stops, &calls, &err), LORAC_ESTOP);
    calls = 100;
    assert_int_equal(lorac_chooser_run(c, stops, &calls, &err), LORAC_OK); // it goes on
    lorac_chooser_free(c);
    lorac_tree_free(&a.tree);
    close_subject(&s);
}

int main(void)
{
    static char ref[] = "ref"; // cmocka hands the initial state over as void *
#ifdef LORAC_HAVE_OPENBLAS
    static char cpu[] = "cpu";
#endif
    const struct CMUnitTest tests[] = {
        {"alone/ref", answers_are_those_of_each_alone, NULL, NULL, ref},
        {"alike/ref", prompts_that_begin_alike_read_it_once, NULL, NULL, ref},
        {"cut/ref", what_cannot_win_does_not_run, NULL, NULL, ref},
        {"deep/ref", a_deep_tree, NULL, NULL, ref},
        {"many/ref", more_answers_than_a_batch_holds, NULL, NULL, ref},
#ifdef LORAC_HAVE_OPENBLAS
        {"alone/cpu", answers_are_those_of_each_alone, NULL, NULL, cpu},
        {"alike/cpu", prompts_that_begin_alike_read_it_once, NULL, NULL, cpu},
        {"cut/cpu", what_cannot_win_does_not_run, NULL, NULL, cpu},
        {"deep/cpu", a_deep_tree, NULL, NULL, cpu},
        {"many/cpu", more_answers_than_a_batch_holds, NULL, NULL, cpu},
#endif
        {"faults", every_failed_allocation_is_reported, NULL, NULL, ref},
        {"told", what_is_stopped_or_too_long_is_told, NULL, NULL, ref},
    };
    return cmocka_run_group_tests_name("choose", tests, tiny_model, tiny_remove);
}
