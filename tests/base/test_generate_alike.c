/*
 * Prompts that begin alike and go on together. What is promised: each gets the text that it gets
 * alone; and what it begins with is not read again where another one has read it or reads it now,
 * who may go on from a third, until nobody is left who keeps it.
 */
#include "base/core/mem.h"
#include "base/generate.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LONG "CDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMN"
enum { LETTER = 20, MOST = 10, LONGEST = 1400 }; // tokens; prompts; positions

static struct lorac_device dev;
static struct lorac_backend counting;
static struct lorac_model *model;
static struct lorac_tokenizer *tokenizer;
static const struct lorac_backend *backend;
static size_t n_read; // rows that were looked up

static void check(enum lorac_status st, const struct lorac_err *err)
{
    if (st) { fail_msg("%s", err->text); }
}

static void count_embed(struct lorac_device *d, float *x, const int32_t *ids,
                        const struct lorac_weight *w, size_t N)
{
    n_read += N;
    backend->embed(d, x, ids, w, N);
}

static int open_all(void **state)
{
    struct lorac_err err = {0};
    (void)tiny_model(state);
    tiny_edit("model/config.json", "512", "2048");
    check(lorac_device_open(&dev, NULL, 1, &err), &err);
    check(lorac_model_open(&model, &dev, tiny_path("model"), LORAC_FLOAT32, &err), &err);
    check(lorac_tokenizer_open(&tokenizer, tiny_path("model"), &err), &err);
    backend = dev.ops;
    counting = *backend;
    counting.embed = count_embed;
    dev.ops = &counting;
    return 0;
}

static int close_all(void **state)
{
    dev.ops = backend;
    lorac_tokenizer_free(tokenizer);
    lorac_model_close(model);
    lorac_device_close(&dev);
    return tiny_remove(state);
}

struct asked {
    struct lorac_sampling o;
    struct lorac_ids prompt, ids;
    struct lorac_buf text;
};

/* The next of the prompts: each letter twenty times, then a full stop. */
static void read_prompt(struct asked *a, const char **at)
{
    char text[LONGEST];
    size_t n = 0;
    struct lorac_err err = {0};
    for (; **at && **at != ' '; ++*at, n += LETTER) {
        memset(text + n, **at, LETTER);
    }
    *at += **at == ' ';
    text[n++] = '.';
    const struct lorac_text whole = {text, n, false};
    check(lorac_encode(&a->prompt, tokenizer, &whole, 1, LORAC_ENCODE_BEGINS, &err), &err);
    assert_int_equal(a->prompt.n, n + 1); // BOS
}

/* Prompts that go on together, `slots` at a time; one of them (from 1; 0: none) wants no token.
 * Returns how many rows are read less than by each alone. */
static size_t saved(const char *prompts, size_t slots, size_t silent)
{
    struct lorac_generator *g = NULL;
    struct asked a[MOST] = {0};
    struct lorac_generation x[MOST] = {0};
    struct lorac_err err = {0};
    size_t n = 0;
    for (const char *at = prompts; *at; n++) {
        assert_true(n < MOST);
        read_prompt(&a[n], &at);
        a[n].o = lorac_sampling_defaults;
        a[n].o.max_tokens = n + 1 == silent ? 0 : (1 + 5 * n) % 17; // some end before others
        a[n].o.temperature = n % 2 ? 0.0 : 1.5;
        x[n] = (struct lorac_generation){.prompt = a[n].prompt.at,
                                         .n = a[n].prompt.n,
                                         .o = &a[n].o,
                                         .ids = &a[n].ids,
                                         .text = &a[n].text};
    }
    check(lorac_generator_new(&g, model, NULL, LONGEST, slots, &err), &err);
    n_read = 0;
    check(lorac_generate_all(x, n, g, tokenizer, &err), &err);
    size_t together = n_read;
    n_read = 0;
    for (size_t i = 0; i < n; i++) {
        struct lorac_ids ids = {0};
        struct lorac_buf text = {0};
        enum lorac_finish finish = LORAC_FINISH_CALLER;
        check(lorac_generate(&ids, &text, &finish, g, tokenizer, a[i].prompt.at, a[i].prompt.n,
                             &a[i].o, NULL, NULL, &err),
              &err);
        assert_true(finish == x[i].finish && ids.n == a[i].ids.n);
        if (ids.n) { assert_memory_equal(ids.at, a[i].ids.at, ids.n * sizeof *ids.at); }
        lorac_ids_free(&ids);
        lorac_buf_free(&text);
        lorac_ids_free(&a[i].prompt);
        lorac_ids_free(&a[i].ids);
        lorac_buf_free(&a[i].text);
    }
    lorac_generator_free(g);
    return n_read - together;
}

static void what_is_read_already_is_not_read_again(void **state)
{
    (void)state;
    static const struct {
        const char *prompts;
        size_t slots, silent, tokens; // a letter and BOS are 21, two are 41, three 61
    } cases[] = {
        {"AB AC BC", 3, 0, 21},
        {"AB AB AB AB AB AB", 3, 0, 5 * 41}, // all of them
        {"AB AB AB AB AB X", 3, 0, 4 * 41},
        {"ABC ABD ABCD AEF AB A B", 3, 0, 41 + 61 + 21 + 41 + 21},
        {"ABCDE ABCDF ABCG ABH X", 3, 0, 81 + 61 + 41},
        {"A AB ABC ABCD Q", 3, 0, 21 + 41 + 61}, // the last in the place of the one before it
        {"A AB ABC ABCD Q", 4, 0, 21 + 41 + 41}, // ... of two that go on from others: not a third
        {"AA BB CC AAB BBB CCC AAC", 3, 0, 4 * 41}, // of who has ended
        {"A " LONG "B " LONG "C Q", 2, 0, 1281},    // read in three batches: the other one waits
        {"AB ABC ABD Q", 3, 2, 41},                 // who reads nothing leaves nothing
        {"AB ABC Q", 3, 1, 0},
        {"AB AC BX CC BD CE", 2, 0, 21 + 21 + 21}, // AB's place is free when AC's is taken
        {"A", 3, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t got = saved(cases[i].prompts, cases[i].slots, cases[i].silent);
        if (got != cases[i].tokens) {
            fail_msg("'%s': %zu tokens less, expected %zu", cases[i].prompts, got, cases[i].tokens);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read_already_is_not_read_again),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
