/*
 * A device that computes each row by itself (by_row). What is promised, on every backend, set of
 * kernels and number of threads, with several adapters in a batch:
 *   - logits are the same to the bit whether a text is read alone and at once, or beside others, in
 *     pieces of any lengths that lie anywhere in the cache, in any order;
 *   - in float32 and in int8. (In bfloat16 oneDNN multiplies, which promises no such thing.)
 * It is not so by itself: without it some bits differ.
 */
#include "base/core/mem.h"
#include "base/core/rng.h"
#include "base/init.h"
#include "lora/lora.h"
#include "tests/support/devices.h"
#include "tests/support/near.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { TEXTS = 5, MOST = 150, V = 97, ADAPTERS = 3, ROUNDS = 2, CACHE = 8192, MAX_ROWS = 256 };

/* Wide enough for products that have other ways of many rows. */
#define SHAPE                                                                      \
    "\"hidden_size\": 144, \"num_hidden_layers\": 2, \"num_attention_heads\": 4, " \
    "\"num_key_value_heads\": 2, \"intermediate_size\": 200, \"vocab_size\": 97, " \
    "\"max_position_embeddings\": 256, \"initializer_range\": 0.08"
static const struct {
    const char *name, *config;
} models[] = {
    {"llama", "{\"architectures\": [\"LlamaForCausalLM\"], " SHAPE "}"},
    {"mistral", "{\"architectures\": [\"MistralForCausalLM\"], \"sliding_window\": 45, " SHAPE "}"},
    {"gpt2", "{\"architectures\": [\"GPT2LMHeadModel\"], \"n_embd\": 144, \"n_layer\": 2, "
             "\"n_head\": 4, \"n_inner\": 200, \"n_positions\": 256, \"vocab_size\": 97, "
             "\"initializer_range\": 0.08}"},
};

static struct text {
    size_t n;
    int32_t id[MOST];
    int32_t adapter; // 0: the base
    float *want;     // (n,V)
} texts[TEXTS];

struct world {
    struct lorac_device *dev;
    struct lorac_model *m;
    struct lorac_adapter *a[ADAPTERS];
    const struct lorac_adapter *of[ADAPTERS];
    struct lorac_mix mix;
    struct lorac_socket socket;
    struct lorac_pass *p;
    struct lorac_batch *b;
    struct lorac_cache *cache;
    float *logits; // (MAX_ROWS,V)
};

static uint64_t draws; // so far

static size_t below(size_t n)
{
    return lorac_rng_below(14, 0, draws++, n);
}

/* LoRA of a low rank and of one that is none, and DoRA, all with values. */
static void make_adapters(struct world *w)
{
    struct lorac_err err = {0};
    const struct lorac_adapter_options options[ADAPTERS] = {
        {.rank = 4, .alpha = 7.0}, // no power of two: a product with it is rounded
        {.rank = 70, .alpha = 100.0},
        {.method = "dora", .rank = 4, .alpha = 7.0},
    };
    for (size_t i = 0; i < ADAPTERS; i++) {
        if (lorac_adapter_new(&w->a[i], w->m, &options[i], &err)) { fail_msg("%s", err.text); }
        for (size_t s = 0; s < w->a[i]->n; s++) {
            const struct lorac_site *site = &w->a[i]->site[s];
            size_t n = site->R * site->OC;
            float *b = lorac_mem_new(n, sizeof *b);
            fill(b, n, (unsigned)(100 * i + s));
            for (size_t k = 0; k < n; k++) {
                b[k] *= 0.05F;
            }
            assert_int_equal(lorac_site_write(w->a[i], s, 1, b, &err), LORAC_OK);
            lorac_mem_free(b);
        }
        assert_int_equal(lorac_adapter_refresh(w->a[i], &err), LORAC_OK);
        w->of[i] = w->a[i];
    }
}

static void open_world(struct world *w, struct lorac_device *dev, const char *config,
                       enum lorac_compute compute)
{
    struct lorac_err err = {0};
    const struct lorac_pass_options o = {.max_rows = MAX_ROWS};
    *w = (struct world){.dev = dev};
    if (lorac_model_open(&w->m, dev, tiny_path(config), compute, &err)) {
        fail_msg("%s", err.text);
    }
    make_adapters(w);
    w->mix = (struct lorac_mix){.adapter = w->of, .n = ADAPTERS};
    w->socket = lorac_mix_socket(&w->mix);
    assert_int_equal(lorac_pass_new(&w->p, w->m, &w->socket, &o, &err), LORAC_OK);
    assert_int_equal(lorac_batch_new(&w->b, MAX_ROWS, TEXTS * LORAC_MAX_CHAIN, 1, &err), LORAC_OK);
    assert_int_equal(lorac_cache_new(&w->cache, w->m, CACHE, &err), LORAC_OK);
    w->logits = lorac_mem_new((size_t)MAX_ROWS * V, sizeof *w->logits);
    assert_non_null(w->logits);
}

static void close_world(struct world *w)
{
    lorac_mem_free(w->logits);
    lorac_cache_free(w->cache);
    lorac_batch_free(w->b);
    lorac_pass_free(w->p);
    for (size_t i = 0; i < ADAPTERS; i++) {
        lorac_adapter_free(w->a[i]);
    }
    lorac_model_close(w->m);
}

/* Each text alone: want (n,V). */
static void read_alone(struct world *w)
{
    struct lorac_err err = {0};
    for (struct text *t = texts; t < texts + TEXTS; t++) {
        lorac_batch_clear(w->b);
        (void)lorac_batch_add(w->b, t->id, t->n, -1);
        w->b->segments[0].adapter = t->adapter;
        for (size_t i = 0; i < t->n; i++) {
            lorac_batch_want_logits(w->b, i);
        }
        assert_int_equal(lorac_pass_forward(w->p, w->b, NULL, &err), LORAC_OK);
        lorac_pass_logits(w->p, w->b, t->want);
    }
}

/* Where a text's rows lie. */
struct place {
    size_t done, pieces;
    struct {
        size_t at, n, cap;
    } piece[LORAC_MAX_CHAIN];
};

/* Some of the tokens that are left of a text, behind those that were read. */
static size_t add_piece(struct world *w, struct place *at, const struct text *t, size_t *used)
{
    size_t left = t->n - at->done;
    size_t room = MAX_ROWS - w->b->N;
    size_t n = 1 + (below(3) ? below(left < 9 ? left : 9) : below(left));
    n = n < room ? n : room;
    size_t k = at->pieces ? at->pieces - 1 : 0;
    if (at->pieces == 0 || at->piece[k].cap - at->piece[k].n < n) {
        k = at->pieces++;
        at->piece[k].at = *used;
        at->piece[k].cap = at->pieces == LORAC_MAX_CHAIN ? left : n + below(40);
        *used += at->piece[k].cap;
        assert_true(*used <= CACHE);
    }
    int32_t parent = -1;
    for (size_t i = 0; i < k; i++) {
        parent =
            lorac_batch_add_cached(w->b, NULL, 0, parent, at->piece[i].at, at->piece[i].n, false);
        w->b->segments[parent].adapter = t->adapter;
    }
    int32_t s = lorac_batch_add_cached(w->b, t->id + at->done, n, parent, at->piece[k].at,
                                       at->piece[k].n, true);
    w->b->segments[s].adapter = t->adapter;
    for (size_t i = 0; i < n; i++) {
        lorac_batch_want_logits(w->b, w->b->segments[s].row + i);
    }
    at->piece[k].n += n;
    at->done += n;
    return n;
}

/* All texts at once, in pieces: how many rows are other than those of the texts alone. */
static size_t read_together(struct world *w)
{
    struct lorac_err err = {0};
    struct place at[TEXTS] = {0};
    size_t used = 0;
    size_t differ = 0;
    for (bool more = true; more;) {
        size_t of[TEXTS];
        size_t rows[TEXTS];
        size_t n = 0;
        lorac_batch_clear(w->b);
        more = false;
        for (size_t i = 0; i < TEXTS; i++) { // in the order of their adapters
            if (at[i].done == texts[i].n) { continue; }
            more = true;
            if (!below(3) || w->b->N == MAX_ROWS) { continue; }
            of[n] = i;
            rows[n++] = add_piece(w, &at[i], &texts[i], &used);
        }
        if (n == 0) { continue; }
        assert_int_equal(lorac_pass_forward(w->p, w->b, w->cache, &err), LORAC_OK);
        lorac_pass_logits(w->p, w->b, w->logits);
        const float *got = w->logits;
        for (size_t k = 0; k < n; k++) {
            const float *want = texts[of[k]].want + (at[of[k]].done - rows[k]) * V;
            for (size_t i = 0; i < rows[k]; i++, got += V, want += V) {
                differ += memcmp(got, want, V * sizeof *got) != 0;
            }
        }
    }
    return differ;
}

static void draw_texts(void)
{
    for (size_t i = 0; i < TEXTS; i++) {
        texts[i].n = i == 0 ? MOST : 1 + below(MOST);
        texts[i].adapter = (int32_t)(i * (ADAPTERS + 1) / TEXTS);
        for (size_t k = 0; k < texts[i].n; k++) {
            texts[i].id[k] = (int32_t)below(V);
        }
    }
}

/* On the device `together`, against texts read alone on `alone`. */
static size_t compare(struct lorac_device *alone, struct lorac_device *together, const char *model,
                      enum lorac_compute compute, size_t rounds)
{
    struct world w;
    size_t differ = 0;
    draw_texts();
    open_world(&w, alone, model, compute);
    read_alone(&w);
    close_world(&w);
    open_world(&w, together, model, compute);
    for (size_t i = 0; i < rounds; i++) {
        differ += read_together(&w);
    }
    close_world(&w);
    return differ;
}

static void rows_are_the_same_beside_others(void **state)
{
    (void)state;
    for (size_t i = 0; i < d.n; i++) {
        struct lorac_device *alone =
            &d.at[i + 2 == d.n ? i + 1 : i]; // the best with 2 and 1 threads
        for (size_t k = 0; k < sizeof models / sizeof *models; k++) {
            for (int at = LORAC_FLOAT32; at < LORAC_N_COMPUTES; at++) {
                enum lorac_compute compute = (enum lorac_compute)at;
                bool slow = i < 2 && (k > 0 || at); // ref, generic
                bool lacks = d.at[i].ops->lacks(&d.at[i], compute) != NULL;
                if (compute == LORAC_BFLOAT16 || lacks || slow) { continue; }
                size_t differ =
                    compare(alone, &d.at[i], models[k].name, compute, i < 2 ? 1 : ROUNDS);
                if (differ) {
                    fail_msg("%s, %s, %s: %zu rows differ", d.name[i], models[k].name,
                             lorac_compute_name(compute), differ);
                }
            }
        }
    }
}

static void it_takes_a_device_that_does_so(void **state)
{
    (void)state;
    if (d.n == 1) { return; } // only ref, whose rows are by themselves
    struct lorac_device *best = &d.at[d.n - 1];
    best->by_row = false;
    assert_true(compare(best, best, models[0].name, LORAC_FLOAT32, 1) > 0);
    best->by_row = true;
}

static int make(void **state)
{
    struct lorac_err err = {0};
    if (devices_make(state)) { return 1; }
    for (size_t i = 0; i < d.n; i++) {
        d.at[i].by_row = true;
    }
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        const struct lorac_init_options o = {.dtype = LORAC_F32, .seed = 3};
        if (lorac_model_init(tiny_path(models[i].name), models[i].config, &o, &err)) {
            print_message("%s\n", err.text);
            return 1;
        }
    }
    for (size_t i = 0; i < TEXTS; i++) {
        texts[i].want = lorac_mem_new((size_t)MOST * V, sizeof(float));
    }
    return 0;
}

static int unmake(void **state)
{
    for (size_t i = 0; i < TEXTS; i++) {
        lorac_mem_free(texts[i].want);
    }
    (void)devices_free(state);
    return tiny_remove(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_the_same_beside_others),
        cmocka_unit_test(it_takes_a_device_that_does_so),
    };
    return cmocka_run_group_tests_name("by_row", tests, make, unmake);
}
