/*
 * The forward and backward pass as a whole, through the adapters of the golden models. What is
 * promised:
 *   - gradients are finite differences of the loss, with shared prefixes, windows and dropout;
 *   - the loss and its gradient don't depend on how rows are packed: one segment at a time, all at
 *     once in any order, continuing each other, one prompt with many answers, or through a cache in
 *     pieces;
 *   - gradients of 8 batches of one segment add up to those of one batch of 8;
 *   - where no row scores all gradients are zero;
 *   - recomputing layers gives the same bits as keeping all;
 *   - nothing below the lowest adapter is computed backward;
 *   - ids, targets, positions, rows and cache rows that the model does not have are errors;
 *   - all of it on memory that only operations can touch (the vault).
 */
#include "base/core/mem.h"
#include "tests/support/modules.h"
#include "tests/support/near.h"
#include "tests/support/passes.h"
#include "tests/support/vault.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const int32_t prompt[] = {6, 25, 59, 49, 44, 53, 41};
static const int32_t answers[4][6] = {
    {34, 17, 18, 17, 13, 5}, {8, 14, 28}, {64}, {18, 36, 3, 41, 2}};
static const size_t lengths[4] = {6, 3, 1, 5};
enum { PROMPT = sizeof prompt / sizeof *prompt, ANSWERS = 4 };

static const char *const cases[] = {
    "llama",      "mistral", "qwen2-window", "llama3-rope", "llama-tied-bias",
    "llama-head", "qwen3",   "gemma3",       "gpt2",        "neox"};
enum { CASES = sizeof cases / sizeof *cases };

static void near_loss(const char *what, double got, double want)
{
    if (fabs(got - want) > 1e-6 * fabs(want)) {
        fail_msg("%s: loss %.9g, expected %.9g", what, got, want);
    }
}

/* Gradients of rows summed in another order: 40 roundings of 2^-24 in sums whose terms are a few
 * times as large as they, so 2e-6 of the largest; behind norms of heads, which divide by numbers
 * of 1e-1, a little more. Frees both. */
static void near_gradients(const char *what, float *got, float *want, size_t n)
{
    bool heads = strcmp(what, "qwen3") == 0 || strcmp(what, "gemma3") == 0;
    near_all(what, got, want, n, (heads ? 3e-6F : 2e-6F) * golden_largest(want, n), 0.0F);
    lorac_mem_free(got);
    lorac_mem_free(want);
}

/* prompt + answer k written out, only the answer's tokens scored. */
static void add_whole(struct passes *p, size_t k)
{
    int32_t ids[PROMPT + 6];
    size_t row = p->b->N;
    memcpy(ids, prompt, sizeof prompt);
    memcpy(ids + PROMPT, answers[k], lengths[k] * sizeof *ids);
    (void)lorac_batch_add(p->b, ids, PROMPT + lengths[k], -1);
    for (size_t i = 0; i < lengths[k]; i++) {
        lorac_batch_score(p->b, row + PROMPT - 1 + i, answers[k][i]);
    }
}

/* The prompt once (in two segments that continue each other), every answer going on from it. */
static void add_shared(struct passes *p)
{
    lorac_batch_clear(p->b);
    int32_t root = lorac_batch_add(p->b, prompt, 3, -1);
    root = lorac_batch_add(p->b, prompt + 3, PROMPT - 3, root);
    for (size_t k = 0; k < ANSWERS; k++) {
        lorac_batch_score(p->b, PROMPT - 1, answers[k][0]);
    }
    for (size_t k = 0; k < ANSWERS; k++) {
        size_t row = p->b->N;
        if (lengths[k] < 2) { continue; }
        (void)lorac_batch_add(p->b, answers[k], lengths[k] - 1, root);
        for (size_t i = 1; i < lengths[k]; i++) {
            lorac_batch_score(p->b, row + i - 1, answers[k][i]);
        }
    }
}

/* ---- finite differences ---- */

/* Some elements of A and of Bt of every module. */
static void differences_of_case(const char *name, double dropout)
{
    enum { SOME = 1 };
    struct passes p;
    passes_open_on(&p, name, "ref");
    lorac_adapter_set_dropout(p.a, dropout, 11);
    p.a->step = 3;
    struct lorac_pass *pass = passes_new(&p, LORAC_KEEP_ALL);
    add_shared(&p);
    (void)passes_add(&p, prompt + 1, 4);
    (void)passes_run(pass, p.b, NULL, true);
    struct passes_loss l = {pass, p.b};
    for (size_t i = 0; i < p.a->n; i++) {
        struct lorac_site *at = &p.a->site[i];
        size_t skip = i % 7; // other columns for other modules
        near_gradient(name, passes_loss, &l, at->p[0] + skip, at->dp[0] + skip, SOME, 4e-3, 4e-3);
        near_gradient(name, passes_loss, &l, at->p[1] + skip, at->dp[1] + skip, SOME, 4e-3, 4e-3);
    }
    lorac_pass_free(pass);
    passes_close(&p);
}

static void gradients_are_finite_differences(void **state)
{
    (void)state;
    static const char *const some[] = {"llama",      "qwen2-window", "llama3-rope",
                                       "llama-head", "qwen3",        "gemma3"};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        differences_of_case(some[i], 0.0);
    }
}

static void so_they_are_with_dropout(void **state)
{
    (void)state;
    differences_of_case("llama", 0.3);
    differences_of_case("qwen2-window", 0.5);
}

/* ---- packing ---- */

static void one_prompt_with_many_answers_equals_rows_written_out(void **state)
{
    for (size_t i = 0; i < CASES; i++) {
        struct passes p;
        passes_open_on(&p, cases[i], *state);
        struct lorac_pass *pass = passes_new(&p, LORAC_KEEP_ALL);
        double want = 0.0;
        for (size_t k = 0; k < ANSWERS; k++) { // one at a time
            lorac_batch_clear(p.b);
            add_whole(&p, k);
            want += passes_run(pass, p.b, NULL, true);
        }
        float *alone = passes_take(&p);
        lorac_batch_clear(p.b);
        for (size_t k = ANSWERS; k-- > 0;) { // packed, in another order
            add_whole(&p, k);
        }
        near_loss(cases[i], passes_run(pass, p.b, NULL, true), want);
        float *packed = passes_take(&p);
        add_shared(&p);
        near_loss(cases[i], passes_run(pass, p.b, NULL, true), want);
        float *shared = passes_take(&p);
        float *again = lorac_mem_new(p.a->n_params, sizeof *again);
        assert_non_null(again);
        memcpy(again, alone, p.a->n_params * sizeof *again);
        near_gradients(cases[i], packed, again, p.a->n_params);
        near_gradients(cases[i], shared, alone, p.a->n_params);
        lorac_pass_free(pass);
        passes_close(&p);
    }
}

static void a_chain_of_segments_equals_one(void **state)
{
    for (size_t i = 0; i < CASES; i++) {
        struct passes p;
        passes_open_on(&p, cases[i], *state);
        struct lorac_pass *pass = passes_new(&p, LORAC_KEEP_ALL);
        const int32_t *ids = p.g.batch->ids + p.g.batch->segments[2].row;
        size_t n = p.g.batch->segments[2].n;
        (void)passes_add(&p, ids, n);
        double want = passes_run(pass, p.b, NULL, true);
        float *whole = passes_take(&p);
        lorac_batch_clear(p.b);
        int32_t parent = -1;
        for (size_t at = 0, piece = 1; at < n; at += piece, piece++) { // 1, 2, 3, ... rows
            size_t rows = n - at < piece ? n - at : piece;
            parent = lorac_batch_add(p.b, ids + at, rows, parent);
        }
        for (size_t t = 1; t < n; t++) {
            lorac_batch_score(p.b, t - 1, ids[t]);
        }
        near_loss(cases[i], passes_run(pass, p.b, NULL, true), want);
        near_gradients(cases[i], passes_take(&p), whole, p.a->n_params);
        lorac_pass_free(pass);
        passes_close(&p);
    }
}

static void a_cache_filled_in_pieces_equals_one_pass(void **state)
{
    for (size_t i = 0; i < CASES; i++) {
        struct passes p;
        struct lorac_cache *cache = NULL;
        passes_open_on(&p, cases[i], *state);
        struct lorac_pass *pass = passes_new(&p, LORAC_KEEP_NOTHING);
        const int32_t *ids = p.g.batch->ids + p.g.batch->segments[2].row;
        size_t n = p.g.batch->segments[2].n;
        (void)passes_add(&p, ids, n);
        double want = passes_run(pass, p.b, NULL, false);
        assert_int_equal(lorac_cache_new(&cache, p.m, 48, NULL), LORAC_OK);
        for (size_t piece = 1; piece < n; piece++) {
            double got = 0.0;
            for (size_t at = 0; at < n; at += piece) {
                size_t rows = n - at < piece ? n - at : piece;
                lorac_batch_clear(p.b);
                (void)lorac_batch_add_cached(p.b, ids + at, rows, -1, 16, at, true);
                for (size_t t = 0; t < rows && at + t + 1 < n; t++) {
                    lorac_batch_score(p.b, t, ids[at + t + 1]);
                }
                got += passes_run(pass, p.b, cache, false);
            }
            near_loss(cases[i], got, want);
        }
        // the first half cached, the rest as two segments that continue each other, not kept
        lorac_batch_clear(p.b);
        size_t half = n / 2;
        int32_t s = lorac_batch_add_cached(p.b, ids + half, 2, -1, 16, half, false);
        (void)lorac_batch_add(p.b, ids + half + 2, n - half - 2, s);
        for (size_t t = half; t + 1 < n; t++) {
            lorac_batch_score(p.b, t - half, ids[t + 1]);
        }
        double tail = passes_run(pass, p.b, cache, false);
        lorac_batch_clear(p.b);
        (void)lorac_batch_add(p.b, ids, n, -1);
        for (size_t t = half; t + 1 < n; t++) {
            lorac_batch_score(p.b, t, ids[t + 1]);
        }
        near_loss(cases[i], tail, passes_run(pass, p.b, NULL, false));
        lorac_cache_free(cache);
        lorac_pass_free(pass);
        passes_close(&p);
    }
}

static void where_no_row_scores_gradients_are_zero(void **state)
{
    for (size_t i = 0; i < CASES; i++) {
        struct passes p;
        passes_open_on(&p, cases[i], *state);
        struct lorac_pass *pass = passes_new(&p, LORAC_KEEP_ALL);
        (void)passes_add(&p, prompt, PROMPT);
        (void)passes_run(pass, p.b, NULL, true); // leaves its own behind
        lorac_mem_free(passes_take(&p));
        lorac_batch_clear(p.b);
        (void)lorac_batch_add(p.b, prompt, PROMPT, -1);
        assert_true(passes_run(pass, p.b, NULL, true) == 0.0);
        float *d = passes_take(&p);
        for (size_t k = 0; k < p.a->n_params; k++) {
            assert_true(d[k] == 0.0F);
        }
        lorac_mem_free(d);
        lorac_pass_free(pass);
        passes_close(&p);
    }
}

static void eight_batches_of_one_add_up_to_one_of_eight(void **state)
{
    struct passes p;
    passes_open_on(&p, "llama", *state);
    struct lorac_pass *pass = passes_new(&p, LORAC_KEEP_ALL);
    int32_t ids[8][9];
    double want = 0.0;
    for (size_t s = 0; s < 8; s++) {
        for (size_t i = 0; i < 9; i++) {
            ids[s][i] = (int32_t)((s * 29 + i * i * 7 + 3) % 67);
        }
        lorac_batch_clear(p.b);
        (void)passes_add(&p, ids[s], 4 + s % 6);
        want += passes_run(pass, p.b, NULL, true);
    }
    float *one_by_one = passes_take(&p);
    lorac_batch_clear(p.b);
    for (size_t s = 0; s < 8; s++) {
        (void)passes_add(&p, ids[s], 4 + s % 6);
    }
    near_loss("eight", passes_run(pass, p.b, NULL, true), want);
    near_gradients("eight", passes_take(&p), one_by_one, p.a->n_params);
    lorac_pass_free(pass);
    passes_close(&p);
}

/* ---- what is kept, what is computed ---- */

static void recomputed_layers_give_the_same_bits(void **state)
{
    for (size_t i = 0; i < CASES; i++) {
        for (int dropout = 0; dropout < 2; dropout++) {
            struct passes p;
            float *grads[2];
            double losses[2];
            passes_open_on(&p, cases[i], *state);
            lorac_adapter_set_dropout(p.a, 0.25 * dropout, 5);
            add_shared(&p);
            for (int k = 0; k < 2; k++) {
                struct lorac_pass *pass = passes_new(&p, k ? LORAC_KEEP_LAYERS : LORAC_KEEP_ALL);
                losses[k] = passes_run(pass, p.b, NULL, true);
                grads[k] = passes_take(&p);
                lorac_pass_free(pass);
            }
            assert_true(losses[0] == losses[1]);
            assert_memory_equal(grads[0], grads[1], p.a->n_params * sizeof(float));
            assert_true(golden_largest(grads[0], p.a->n_params) > 0.0F);
            lorac_mem_free(grads[0]);
            lorac_mem_free(grads[1]);
            passes_close(&p);
        }
    }
}

static size_t n_attention, n_linear; // backward calls

static void count_attention(struct lorac_device *dev, float *dq, float *dk, float *dv,
                            const float *dout, const float *out, const float *lse, const float *q,
                            const float *k, const float *v, const struct lorac_segment *segments,
                            size_t S, const struct lorac_attention *a)
{
    n_attention++;
    lorac_backend_ref.attention_backward(dev, dq, dk, dv, dout, out, lse, q, k, v, segments, S, a);
}

static void count_linear(struct lorac_device *dev, float *dx, const float *dy,
                         const struct lorac_weight *w, size_t N, float beta)
{
    n_linear++;
    lorac_backend_ref.linear_backward(dev, dx, dy, w, N, beta);
}

static void nothing_below_the_lowest_adapter_is_computed_backward(void **state)
{
    (void)state;
    static const struct {
        size_t layer;
        const char *from; // the lowest module that keeps its adapter
        size_t attention, linear;
    } want[] = {
        {0, "self_attn.q_proj", 2,
         1 + 7 + 4}, // the head, all of layer 1, then down, gate, up and o of layer 0
        {0, "self_attn.o_proj", 1, 1 + 7 + 3},
        {0, "mlp.gate_proj", 1, 1 + 7 + 1},
        {0, "mlp.down_proj", 1, 1 + 7},
        {1, "self_attn.q_proj", 1, 1 + 4},
        {1, "self_attn.v_proj", 1, 1 + 4},
        {1, "self_attn.o_proj", 0, 1 + 3},
        {1, "mlp.down_proj", 0, 1},
    };
    struct lorac_backend counting = lorac_backend_ref;
    counting.attention_backward = count_attention;
    counting.linear_backward = count_linear;
    struct passes p;
    passes_open_on(&p, "llama", "ref");
    struct lorac_pass *pass = passes_new(&p, LORAC_KEEP_ALL);
    add_shared(&p);
    (void)passes_run(pass, p.b, NULL, true);
    float *all = passes_take(&p);
    lorac_pass_free(pass);
    p.dev.ops = &counting;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        size_t from = modules_layer(p.m, want[i].layer, want[i].from);
        for (size_t k = 0; k < p.a->n; k++) { // what does not train stays in the forward pass
            struct lorac_site *l = &p.a->site[k];
            if (l->m < from) { l->dp[0] = l->dp[1] = NULL; }
        }
        pass = passes_new(&p, i % 2 ? LORAC_KEEP_LAYERS : LORAC_KEEP_ALL);
        n_attention = n_linear = 0;
        (void)passes_run(pass, p.b, NULL, true);
        assert_int_equal(n_attention, want[i].attention);
        assert_int_equal(n_linear, want[i].linear);
        float *some = passes_take(&p);
        size_t begin = 0;
        for (size_t k = 0; k < p.a->n && p.a->site[k].m < from; k++) {
            begin += p.a->site[k].R * (p.a->site[k].C + p.a->site[k].OC);
        }
        assert_memory_equal(some + begin, all + begin, (p.a->n_params - begin) * sizeof *some);
        lorac_mem_free(some);
        lorac_pass_free(pass);
    }
    lorac_mem_free(all);
    p.dev.ops = &lorac_backend_ref;
    passes_close(&p);
}

/* ---- dropout ---- */

static void dropout_thins_the_adapters_input_and_keeps_its_mean(void **state)
{
    enum { N = 32, STEPS = 400 };
    struct passes p;
    passes_open_on(&p, "llama", *state);
    const struct lorac_site *l = &p.a->site[0];
    const struct lorac_backend *op = p.dev.ops;
    size_t n_y = N * l->OC;
    size_t n_x = N * l->C;
    float *host = lorac_mem_new(n_x > n_y ? n_x : n_y, sizeof *host);
    double *sum = lorac_mem_new(n_y, sizeof *sum);
    float *x = op->alloc(&p.dev, n_x * sizeof *x);
    float *y = op->alloc(&p.dev, n_y * sizeof *y);
    float *u = op->alloc(&p.dev, N * l->R * sizeof *u);
    size_t n_scratch = p.socket.scratch_floats(p.socket.self, l->m, N);
    float *scratch = op->alloc(&p.dev, n_scratch * sizeof *scratch);
    const struct lorac_linear call = {
        .dev = &p.dev, .m = l->m, .N = N, .training = true, .saved = u, .scratch = scratch};
    fill(host, n_x, 1);
    op->write(&p.dev, x, host, n_x * sizeof *x);
    lorac_adapter_set_dropout(p.a, 0.25, 3);
    for (size_t step = 0; step < STEPS; step++) {
        p.a->step = step;
        op->zero(&p.dev, y, n_y * sizeof *y);
        p.socket.forward(p.socket.self, y, x, &call);
        op->read(&p.dev, host, y, n_y * sizeof *y);
        for (size_t i = 0; i < n_y; i++) {
            sum[i] += (double)host[i] / STEPS;
        }
    }
    lorac_adapter_set_dropout(p.a, 0.0, 3);
    op->zero(&p.dev, y, n_y * sizeof *y);
    p.socket.forward(p.socket.self, y, x, &call);
    op->read(&p.dev, host, y, n_y * sizeof *y);
    double off = 0.0;
    double size = 0.0;
    for (size_t i = 0; i < n_y; i++) {
        off += (sum[i] - (double)host[i]) * (sum[i] - (double)host[i]);
        size += (double)host[i] * (double)host[i];
    }
    // each draw is off by about its own size times sqrt(p / (1-p)) = 0.58; the mean of 400 by a
    // 20th of that
    assert_true(sqrt(off / size) < 0.05);
    assert_true(sqrt(off / size) > 0.005); // and it did draw
    op->release(&p.dev, x);
    op->release(&p.dev, y);
    op->release(&p.dev, u);
    op->release(&p.dev, scratch);
    lorac_mem_free(host);
    lorac_mem_free(sum);
    passes_close(&p);
}

/* ---- errors ---- */

static void forward_fails(struct passes *p, struct lorac_pass *pass, struct lorac_cache *cache,
                          const char *want)
{
    struct lorac_err err = {0};
    assert_int_equal(lorac_pass_forward(pass, p->b, cache, &err), LORAC_EUSER);
    assert_string_equal(err.text, want);
    lorac_batch_clear(p->b);
}

static void what_the_model_does_not_have_is_an_error(void **state)
{
    struct passes p;
    struct lorac_cache *cache = NULL;
    struct lorac_err err = {0};
    passes_open_on(&p, "llama", *state);
    struct lorac_pass *pass = passes_new(&p, LORAC_KEEP_NOTHING);
    static const int32_t bad[] = {3, -1, 67, INT32_MAX};
    forward_fails(&p, pass, NULL, "a batch of 0 rows does not fit a pass of 1 to 96");
    (void)lorac_batch_add(p.b, bad, 2, -1);
    forward_fails(&p, pass, NULL, "token id -1 is outside the model's vocabulary of 67");
    (void)lorac_batch_add(p.b, bad + 2, 1, -1);
    forward_fails(&p, pass, NULL, "token id 67 is outside the model's vocabulary of 67");
    (void)lorac_batch_add(p.b, bad, 1, -1);
    lorac_batch_score(p.b, 0, bad[3]);
    forward_fails(&p, pass, NULL, "token id 2147483647 is outside the model's vocabulary of 67");
    (void)lorac_batch_add(p.b, bad, 1, -1);
    lorac_batch_score(p.b, 0, -2);
    forward_fails(&p, pass, NULL, "token id -2 is outside the model's vocabulary of 67");
    int32_t ids[65] = {0};
    (void)lorac_batch_add(p.b, ids, 65, -1);
    forward_fails(&p, pass, NULL, "position 64 is past the 64 that this model can read");
    int32_t parent = lorac_batch_add(p.b, ids, 60, -1);
    (void)lorac_batch_add(p.b, ids, 5, parent);
    forward_fails(&p, pass, NULL, "position 64 is past the 64 that this model can read");
    (void)lorac_batch_add_cached(p.b, ids, 2, -1, 0, 0, true);
    forward_fails(&p, pass, NULL, "segment 0 needs rows up to 2 of the cache, which has 0");
    assert_int_equal(lorac_cache_new(&cache, p.m, 16, &err), LORAC_OK);
    (void)lorac_batch_add_cached(p.b, ids, 2, -1, 15, 0, true);
    forward_fails(&p, pass, cache, "segment 0 needs rows up to 17 of the cache, which has 16");
    (void)lorac_batch_add_cached(p.b, ids, 3, -1, 8, 6, true);
    forward_fails(&p, pass, cache, "segment 0 needs rows up to 17 of the cache, which has 16");
    (void)lorac_batch_add_cached(p.b, ids, 3, -1, 8, 9, false);
    forward_fails(&p, pass, cache, "segment 0 needs rows up to 17 of the cache, which has 16");
    lorac_cache_free(cache);
    lorac_pass_free(pass);
    passes_close(&p);
}

/* ---- backends ---- */

/* Rows that share a beginning; of an encoder, which cannot, those of the case. */
static const struct lorac_batch *rows_for(const struct passes *p)
{
    return p->m->config.bidirectional ? p->g.batch : p->b;
}

static void the_vault_computes_what_ref_does(void **state)
{
    (void)state;
    for (size_t i = 0; golden_every(i); i++) {
        struct passes p;
        struct lorac_device dev;
        float *grads[2];
        double losses[2];
        for (int k = 0; k < 2; k++) {
            if (k) {
                vault_open(&dev, 32 << 20);
                passes_open(&p, golden_every(i), dev);
            } else {
                passes_open_on(&p, golden_every(i), "ref");
            }
            lorac_adapter_set_dropout(p.a, 0.25, 5);
            struct lorac_pass *pass = passes_new(&p, LORAC_KEEP_LAYERS);
            add_shared(&p);
            losses[k] = passes_run(pass, rows_for(&p), NULL, true);
            grads[k] = passes_take(&p);
            lorac_pass_free(pass);
            if (k == 0) { passes_close(&p); }
        }
        assert_true(losses[0] == losses[1]);
        assert_memory_equal(grads[0], grads[1], p.a->n_params * sizeof(float));
        passes_close(&p);
        lorac_mem_free(grads[0]);
        lorac_mem_free(grads[1]);
    }
}

#ifdef LORAC_HAVE_OPENBLAS
static void the_cpu_backend_agrees_with_ref(void **state)
{
    (void)state;
    static const char *const backends[] = {"ref", "cpu"};
    for (size_t i = 0; golden_every(i); i++) {
        struct passes p;
        float *grads[2];
        double losses[2];
        for (int k = 0; k < 2; k++) {
            passes_open_on(&p, golden_every(i), backends[k]);
            lorac_adapter_set_dropout(p.a, 0.25, 5); // the draws are the same on every backend
            struct lorac_pass *pass = passes_new(&p, LORAC_KEEP_ALL);
            add_shared(&p);
            losses[k] = passes_run(pass, rows_for(&p), NULL, true);
            grads[k] = passes_take(&p);
            lorac_pass_free(pass);
            if (k == 0) { passes_close(&p); }
        }
        size_t n = p.a->n_params;
        assert_true(fabs(losses[0] - losses[1]) <= 1e-6 * losses[0]);
        near_all(golden_every(i), grads[1], grads[0], n, 1e-5F * golden_largest(grads[0], n), 0.0F);
        passes_close(&p);
        lorac_mem_free(grads[0]);
        lorac_mem_free(grads[1]);
    }
}
#endif

// clang-format off
#define ON(backend, test) {#test "/" #backend, test, NULL, NULL, backend}
// clang-format on
#define ON_EACH(backend)                                                  \
    ON(backend, one_prompt_with_many_answers_equals_rows_written_out),    \
        ON(backend, a_chain_of_segments_equals_one),                      \
        ON(backend, a_cache_filled_in_pieces_equals_one_pass),            \
        ON(backend, eight_batches_of_one_add_up_to_one_of_eight),         \
        ON(backend, where_no_row_scores_gradients_are_zero),              \
        ON(backend, recomputed_layers_give_the_same_bits),                \
        ON(backend, dropout_thins_the_adapters_input_and_keeps_its_mean), \
        ON(backend, what_the_model_does_not_have_is_an_error)

int main(void)
{
    char ref[] = "ref"; // cmocka takes no const
#ifdef LORAC_HAVE_OPENBLAS
    char cpu[] = "cpu";
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_finite_differences),
        cmocka_unit_test(so_they_are_with_dropout),
        cmocka_unit_test(nothing_below_the_lowest_adapter_is_computed_backward),
        cmocka_unit_test(the_vault_computes_what_ref_does),
        ON_EACH(ref),
#ifdef LORAC_HAVE_OPENBLAS
        cmocka_unit_test(the_cpu_backend_agrees_with_ref),
        ON_EACH(cpu),
#endif
    };
    return cmocka_run_group_tests_name("pass", tests, NULL, NULL);
}
