/*
 * Logits of a large vocabulary come in chunks of rows. What is promised:
 *   - losses and the adapter's gradient are those of the same rows in batches of one chunk;
 *   - a token's weight multiplies its part of the gradient, and not what is told of its loss;
 *   - dropout at the output draws for each row anew, and chunks change no draw of a row, forward or
 *     backward.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/init.h"
#include "base/model.h"
#include "lora/lora.h"
#include "tests/support/near.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { TEXT = 64, TOKENS = TEXT + 1, V = 131072, C = 8 }; // 64 rows of logits at a time
enum { DOWN, HEAD };                                      // the two adapters

struct scene {
    struct lorac_device dev;
    struct lorac_model *m;
    struct lorac_adapter *a;
    struct lorac_socket socket;
    struct lorac_pass *pass;
    struct lorac_batch *b;
    float nll[2 * TEXT];
};

static void check(enum lorac_status st, const struct lorac_err *err)
{
    if (st) { fail_msg("%s", err->text); }
}

/* Adapters on lm_head, its B not zero, and below it. */
static void open_scene(struct scene *s)
{
    struct lorac_err err = {0};
    static const char *const targets[] = {"down_proj", "lm_head"};
    struct lorac_adapter_options o = {.rank = 2, .alpha = 2.0, .targets = targets, .n_targets = 2};
    struct lorac_pass_options po = {.max_rows = 2 * TOKENS, .keep = LORAC_KEEP_ALL};
    *s = (struct scene){0};
    check(lorac_device_open(&s->dev, NULL, 1, &err), &err);
    check(lorac_model_open(&s->m, &s->dev, tiny_path("wide"), LORAC_FLOAT32, &err), &err);
    assert_int_equal(lorac_pass_head_rows(s->m, po.max_rows), TEXT);
    check(lorac_adapter_new(&s->a, s->m, &o, &err), &err);
    size_t n = (size_t)V * 2;
    float *host = lorac_mem_new(n, sizeof *host);
    assert_non_null(host);
    for (size_t i = 0; i < n; i++) {
        host[i] = (float)(i * 7919 % 101) / 50.0F - 1.0F;
    }
    check(lorac_site_write(s->a, HEAD, true, host, &err), &err);
    lorac_mem_free(host);
    check(lorac_adapter_reserve(s->a, &err), &err);
    s->socket = lorac_adapter_socket(s->a);
    check(lorac_pass_new(&s->pass, s->m, &s->socket, &po, &err), &err);
    check(lorac_batch_new(&s->b, po.max_rows, 2, 2 * TEXT, &err), &err);
}

static void close_scene(struct scene *s)
{
    lorac_batch_free(s->b);
    lorac_pass_free(s->pass);
    lorac_adapter_free(s->a);
    lorac_model_close(s->m);
    lorac_device_close(&s->dev);
}

/* Text `t` of TOKENS ids: TEXT rows that are scored. */
static void add_text(struct lorac_batch *b, int32_t t)
{
    int32_t ids[TOKENS];
    size_t row = b->N;
    for (int32_t i = 0; i < TOKENS; i++) {
        ids[i] = (t + 1) * (i + 3) * 997 % V;
    }
    assert_true(lorac_batch_add(b, ids, TOKENS, -1) >= 0);
    for (size_t i = 1; i < TOKENS; i++) {
        lorac_batch_score(b, row + i - 1, ids[i]);
    }
}

static void run(struct scene *s)
{
    struct lorac_err err = {0};
    check(lorac_pass_forward(s->pass, s->b, NULL, &err), &err);
    lorac_pass_loss(s->pass, s->b, s->nll, true);
    lorac_pass_backward(s->pass, s->b);
}

static float *take_gradient(struct scene *s)
{
    size_t bytes = s->a->n_params * sizeof(float);
    float *host = lorac_mem_new(s->a->n_params, sizeof *host);
    assert_non_null(host);
    s->dev.ops->read(&s->dev, host, s->a->grads, bytes);
    s->dev.ops->zero(&s->dev, s->a->grads, bytes);
    return host;
}

static void chunks_are_as_batches_of_their_own(void **state)
{
    (void)state;
    struct scene s;
    float apart[2 * TEXT];
    open_scene(&s);
    for (int32_t t = 0; t < 2; t++) {
        lorac_batch_clear(s.b);
        add_text(s.b, t);
        run(&s);
        memcpy(apart + t * TEXT, s.nll, TEXT * sizeof *apart);
    }
    float *want = take_gradient(&s);
    lorac_batch_clear(s.b);
    add_text(s.b, 0);
    add_text(s.b, 1);
    run(&s);
    float *found = take_gradient(&s);
    near_all("losses", s.nll, apart, 2 * TEXT, 0.0F, 1e-6F);
    near_all("gradient", found, want, s.a->n_params, 1e-5F, 1e-5F);
    lorac_mem_free(want);
    lorac_mem_free(found);
    close_scene(&s);
}

/* The same text twice: equal losses without dropout, others for each copy with it. */
static void dropout_draws_for_each_row_of_each_chunk(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    lorac_batch_clear(s.b);
    add_text(s.b, 0);
    add_text(s.b, 0);
    run(&s);
    near_all("losses of the copies", s.nll, s.nll + TEXT, TEXT, 0.0F, 1e-6F);
    lorac_adapter_set_dropout(s.a, 0.5, 7);
    run(&s);
    size_t same = 0;
    for (size_t i = 0; i < TEXT; i++) {
        same += fabsf(s.nll[i] - s.nll[TEXT + i]) < 1e-5F;
    }
    assert_true(same < TEXT / 4); // of 8 inputs, 1 mask in 256 is drawn again
    close_scene(&s);
}

static double loss(struct scene *s)
{
    double sum = 0.0;
    run(s);
    for (size_t i = 0; i < 2 * TEXT; i++) {
        sum += (double)s->nll[i];
    }
    return sum;
}

/* Two chunks with dropout: along its own direction the loss rises by the length of the gradient. */
static void backward_draws_as_forward_did(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    const struct lorac_backend *op = s.dev.ops;
    size_t n = s.a->n_params;
    float *p = lorac_mem_new(n, sizeof *p);
    float *at = lorac_mem_new(n, sizeof *at);
    assert_true(p && at);
    op->read(&s.dev, p, s.a->params, n * sizeof *p);
    lorac_adapter_set_dropout(s.a, 0.5, 7);
    lorac_batch_clear(s.b);
    add_text(s.b, 0);
    add_text(s.b, 1);
    run(&s);
    float *g = take_gradient(&s);
    const struct {
        const char *name;
        size_t first, end;
    } parts[] = {{"all", 0, n}, {"below the output", 0, (size_t)2 * (C + C)}};
    for (size_t k = 0; k < 2; k++) {
        double squares = 0.0;
        double side[2];
        for (size_t i = parts[k].first; i < parts[k].end; i++) {
            squares += (double)g[i] * (double)g[i];
        }
        assert_true(squares > 0.0);
        double h = 0.25 / sqrt(squares);
        for (int up = 0; up < 2; up++) {
            memcpy(at, p, n * sizeof *at);
            for (size_t i = parts[k].first; i < parts[k].end; i++) {
                at[i] += (float)((up ? h : -h) * (double)g[i] / sqrt(squares));
            }
            op->write(&s.dev, s.a->params, at, n * sizeof *at);
            side[up] = loss(&s);
        }
        float want = (float)((side[1] - side[0]) / (2.0 * h));
        float found = (float)sqrt(squares);
        near_all(parts[k].name, &found, &want, 1, 0.0F, 0.01F);
    }
    lorac_mem_free(g);
    lorac_mem_free(p);
    lorac_mem_free(at);
    close_scene(&s);
}

/* Both texts at once, and one after the other: u = drop(x) A^T, and what the backward pass adds to
 * dx. */
static void chunks_change_no_draw(void **state)
{
    (void)state;
    enum { R = 2, N = 2 * TEXT };
    struct scene s;
    open_scene(&s);
    const struct lorac_backend *op = s.dev.ops;
    size_t head = s.m->head;
    float host[N * C];
    float u[2][N * R];
    float dx[2][N * C];
    float *x = op->alloc(&s.dev, sizeof host);
    float *y = op->alloc(&s.dev, sizeof *y * N * V);
    float *saved = op->alloc(&s.dev, sizeof u[0]);
    float *back = op->alloc(&s.dev, sizeof dx[0]);
    float *scratch = op->alloc(&s.dev, sizeof *x * s.socket.scratch_floats(s.socket.self, head, N));
    assert_true(x && y && saved && back && scratch);
    fill(host, N * C, 1);
    op->write(&s.dev, x, host, sizeof host);
    lorac_adapter_set_dropout(s.a, 0.5, 7);
    for (size_t k = 0; k < 2; k++) {
        size_t rows = k ? TEXT : N;
        op->zero(&s.dev, back, sizeof dx[0]);
        for (size_t n = 0; n < N; n += rows) {
            const struct lorac_linear l = {.dev = &s.dev,
                                           .m = head,
                                           .beta = 1.0F,
                                           .N = rows,
                                           .row = n,
                                           .training = true,
                                           .saved = saved + n * R,
                                           .scratch = scratch};
            s.socket.forward(s.socket.self, y + n * V, x + n * C, &l);
            s.socket.backward(s.socket.self, back + n * C, y + n * V, x + n * C, &l);
        }
        op->read(&s.dev, u[k], saved, sizeof u[k]);
        op->read(&s.dev, dx[k], back, sizeof dx[k]);
        op->zero(&s.dev, y, sizeof *y * N * V);
    }
    near_all("u", u[1], u[0], N * R, 1e-6F, 1e-6F);
    near_all("dx", dx[1], dx[0], N * C, 1e-3F, 1e-4F);
    for (size_t i = 0; i < 5; i++) {
        op->release(&s.dev, (float *[]){x, y, saved, back, scratch}[i]);
    }
    close_scene(&s);
}

static int make(void **state)
{
    (void)state;
    static const char config[] =
        "{\"architectures\": [\"LlamaForCausalLM\"], \"vocab_size\": 131072, \"hidden_size\": 8, "
        "\"num_hidden_layers\": 1, \"num_attention_heads\": 1, \"num_key_value_heads\": 1, "
        "\"intermediate_size\": 8, \"initializer_range\": 0.5, \"tie_word_embeddings\": true}";
    struct lorac_init_options o = {.dtype = LORAC_F32, .seed = 1};
    struct lorac_err err = {0};
    check(lorac_model_init(tiny_path("wide"), config, &o, &err), &err);
    return 0;
}

static void every_token_counts_by_its_weight(void **state)
{
    (void)state;
    static const float weight[] = {2.0F, -0.5F}; // of the tokens of each text: of each chunk
    struct scene s;
    open_scene(&s);
    lorac_batch_clear(s.b);
    add_text(s.b, 0);
    add_text(s.b, 1);
    run(&s);
    float nll[2 * TEXT];
    memcpy(nll, s.nll, sizeof nll);
    lorac_mem_free(take_gradient(&s));
    float *want = NULL;
    for (int32_t t = 0; t < 2; t++) { // alone, and its gradient multiplied
        lorac_batch_clear(s.b);
        add_text(s.b, t);
        run(&s);
        float *alone = take_gradient(&s);
        for (size_t i = 0; i < s.a->n_params; i++) {
            alone[i] = weight[t] * alone[i] + (want ? want[i] : 0.0F);
        }
        lorac_mem_free(want);
        want = alone;
    }
    lorac_batch_clear(s.b);
    add_text(s.b, 0);
    add_text(s.b, 1);
    for (size_t i = 0; i < s.b->T; i++) {
        s.b->weight[i] = weight[i / TEXT];
    }
    run(&s);
    assert_memory_equal(s.nll, nll, sizeof nll); // what is told of each token is unweighted
    float *found = take_gradient(&s);
    near_all("gradient", found, want, s.a->n_params, 1e-5F, 1e-5F);
    lorac_mem_free(want);
    lorac_mem_free(found);
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_are_as_batches_of_their_own),
        cmocka_unit_test(every_token_counts_by_its_weight),
        cmocka_unit_test(dropout_draws_for_each_row_of_each_chunk),
        cmocka_unit_test(backward_draws_as_forward_did),
        cmocka_unit_test(chunks_change_no_draw),
    };
    return cmocka_run_group_tests_name("head", tests, make, tiny_remove);
}
