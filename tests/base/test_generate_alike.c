/*
 * Prompts that begin alike and go on together. What is promised: each gets the text that it gets
 * alone; and what it begins with is not read again where another one has read it or reads it now,
 * who may go on from a third, until nobody is left who keeps it. Of those that are the same one
 * goes on.
 */
#include "base/core/mem.h"
#include "base/core/rng.h"
#include "base/generate.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LONG "CDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMN"
enum { LETTER = 20, MOST = 10, LONGEST = 1400, ROUNDS = 100 }; // tokens; prompts; positions

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

static void encode(struct asked *a, const char *prompt)
{
    struct lorac_err err = {0};
    const struct lorac_text whole = {prompt, strlen(prompt), false};
    check(lorac_encode(&a->prompt, tokenizer, &whole, 1, LORAC_ENCODE_BEGINS, &err), &err);
}

/* The next of the prompts: each letter twenty times, then a full stop. */
static void read_prompt(struct asked *a, const char **at)
{
    char text[LONGEST] = "";
    size_t n = 0;
    for (; **at && **at != ' '; ++*at, n += LETTER) {
        memset(text + n, **at, LETTER);
    }
    *at += **at == ' ';
    text[n++] = '.';
    encode(a, text);
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
        a[n].o.seed = n; // not the same
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
        {"Q AB ABC ABCD AE AEFG AEF AEFG AEFG", 3, 0,
         41 + 61 + 21 + 41 + 61 + 81 + 81}, // ABCD has AE's beginning of AB's
        {"Q AB ABC ABCD ABE", 3, 0, 41 + 61 + 41},
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

/* Prompts of two letters, so that all ways to go on from one another come up. */
static void whatever_they_begin_with_each_gets_its_own(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        char prompts[MOST * 6 + 1] = "";
        size_t n = 0;
        for (size_t k = 0; k < MOST; k++) {
            size_t letters = 1 + lorac_rng_below(1, round, n, 5);
            for (size_t i = 0; i < letters; i++, n++) {
                prompts[n] = (char)('A' + lorac_rng_below(2, round, n, 2));
            }
            prompts[n++] = ' ';
        }
        (void)saved(prompts, 1 + lorac_rng_below(3, round, 0, 5), 0);
    }
}

/* ---- the same ---- */

enum { SAME = 4 };
static const char *const at_e[] = {"e"};
static const char *const at_s[] = {"zz", "s"};

static const struct lorac_sampling drawn = {
    .max_tokens = 40, .temperature = 1.5, .top_p = 1.0, .repetition_penalty = 1.0};

/* What a prompt's `show` is told, call by call. */
struct shown {
    struct lorac_buf text;
    size_t calls, stop_after; // 0: never
};

static bool show(void *self, const char *text, size_t n)
{
    struct shown *s = self;
    lorac_buf_add(&s->text, text, n);
    lorac_buf_str(&s->text, "|");
    return ++s->calls != s->stop_after;
}

static struct lorac_generation ask(struct asked *a, struct shown *s)
{
    return (struct lorac_generation){.prompt = a->prompt.at,
                                     .n = a->prompt.n,
                                     .o = &a->o,
                                     .ids = &a->ids,
                                     .text = &a->text,
                                     .show = show,
                                     .self = s};
}

static void forget(struct asked *a, struct shown *s)
{
    lorac_ids_free(&a->prompt);
    lorac_ids_free(&a->ids);
    lorac_buf_free(&a->text);
    lorac_buf_free(&s->text);
}

static bool equal_texts(const struct lorac_buf *a, const struct lorac_buf *b)
{
    return a->n == b->n && (a->n == 0 || memcmp(a->at, b->at, a->n) == 0);
}

/* Prompts go on together, two at a time, and read as many rows as those of them whose bit is set in
 * `run` do, each alone. Returns the ways in which they end, a bit each. */
static unsigned go_on(const char *const *prompts, const struct lorac_sampling *o, size_t n,
                      unsigned run)
{
    struct lorac_generator *g = NULL;
    struct asked a[SAME] = {0};
    struct shown s[SAME] = {0};
    struct lorac_generation x[SAME];
    struct lorac_err err = {0};
    unsigned ends = 0;
    for (size_t i = 0; i < n; i++) {
        encode(&a[i], prompts[i]);
        a[i].o = o[i];
        x[i] = ask(&a[i], &s[i]);
    }
    check(lorac_generator_new(&g, model, NULL, 60, 2, &err), &err);
    n_read = 0;
    check(lorac_generate_all(x, n, g, tokenizer, &err), &err);
    size_t together = n_read;
    size_t wanted = 0;
    for (size_t i = 0; i < n; i++) {
        struct asked alone = {.o = o[i]};
        struct shown told = {0};
        encode(&alone, prompts[i]);
        struct lorac_generation y = ask(&alone, &told);
        n_read = 0;
        check(lorac_generate_all(&y, 1, g, tokenizer, &err), &err);
        wanted += run >> i & 1U ? n_read : 0;
        ends |= 1U << y.finish;
        assert_int_equal(x[i].finish, y.finish);
        assert_int_equal(lorac_ids_compare(a[i].ids.at, a[i].ids.n, alone.ids.at, alone.ids.n), 0);
        assert_true(equal_texts(&a[i].text, &alone.text));
        assert_true(equal_texts(&s[i].text, &told.text));
        forget(&alone, &told);
        forget(&a[i], &s[i]);
    }
    lorac_generator_free(g);
    assert_int_equal(together, wanted);
    return ends;
}

static void the_same_goes_on_once(void **state)
{
    (void)state;
    static const char *const once[] = {"once", "once", "once", "once"};
    struct lorac_sampling o[SAME] = {drawn, drawn, drawn, drawn};
    unsigned ends = go_on(once, o, 4, 1);
    static const size_t tokens[] = {4, 9, 30, 30}; // the first of the longest
    for (size_t i = 0; i < SAME; i++) {
        o[i].max_tokens = tokens[i];
    }
    ends |= go_on(once, o, 4, 1U << 2);
    for (size_t i = 0; i < SAME; i++) {
        o[i].max_tokens = 3 + 90 * (i == 1); // more than there is room for
        o[i].temperature = 0.0;
    }
    ends |= go_on(once, o, 4, 1U << 1);
    for (size_t i = 0; i < SAME; i++) {
        o[i] = drawn;
        o[i].stop = at_s;
        o[i].n_stop = 2;
        o[i].max_tokens = 50 - i;
    }
    ends |= go_on(once, o, 4, 1);
    o[1].max_tokens = o[3].max_tokens = 0; // nothing is read for these
    ends |= go_on(once, o, 4, 1);
    static const char *const onc[] = {"onc", "onc"};
    ends |= go_on(onc, (struct lorac_sampling[]){drawn, drawn}, 2, 1);
    assert_true(ends & 1U << LORAC_FINISH_END);
    assert_true(ends & 1U << LORAC_FINISH_LENGTH);
    assert_true(ends & 1U << LORAC_FINISH_CONTEXT);
    assert_true(ends & 1U << LORAC_FINISH_STOP);
}

static void what_differs_goes_on_alone(void **state)
{
    (void)state;
    static const char *const prompts[] = {"once", "once", "onc", "ones"};
    struct lorac_sampling o[SAME] = {drawn, drawn, drawn, drawn};
    (void)go_on(prompts, o, 4, 1 | 4 | 8);
    struct lorac_sampling other[8];
    for (size_t i = 0; i < 8; i++) {
        other[i] = drawn;
    }
    other[1].temperature = 1.25;
    other[2].top_k = 5;
    other[3].top_p = 0.75;
    other[4].repetition_penalty = 1.5;
    other[5].seed = 1;
    other[6].stop = at_e;
    other[7].stop = at_e;
    other[7].n_stop = 1;
    for (size_t i = 1; i < 8; i++) {
        o[0] = other[i == 7 ? 6 : 0];
        o[1] = other[i];
        (void)go_on(prompts, o, 2, 3);
    }
}

/* Whoever is told what another one got stops all, too, between two tokens. */
static void who_is_told_may_stop(void **state)
{
    (void)state;
    enum { N = 5 };
    static const char *const prompts[N] = {"often", "once", "twice", "once", "twice"};
    struct lorac_generator *g = NULL;
    struct asked a[N] = {0};
    struct shown s[N] = {[3].stop_after = 2};
    struct lorac_generation x[N];
    struct lorac_err err = {0};
    for (size_t i = 0; i < N; i++) {
        encode(&a[i], prompts[i]);
        a[i].o = drawn;
        a[i].o.max_tokens = i == 0 ? 30 : 5;
        x[i] = ask(&a[i], &s[i]);
    }
    check(lorac_generator_new(&g, model, NULL, 60, 3, &err), &err);
    check(lorac_generate_all(x, N, g, tokenizer, &err), &err);
    static const size_t tokens[N] = {5, 5, 5, 2, 0};
    for (size_t i = 0; i < N; i++) {
        bool ended = i == 1 || i == 2;
        assert_int_equal(x[i].finish, ended ? LORAC_FINISH_LENGTH : LORAC_FINISH_CALLER);
        assert_int_equal(a[i].ids.n, tokens[i]);
        forget(&a[i], &s[i]);
    }
    lorac_generator_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_goes_on_once),
        cmocka_unit_test(what_differs_goes_on_alone),
        cmocka_unit_test(who_is_told_may_stop),
        cmocka_unit_test(what_is_read_already_is_not_read_again),
        cmocka_unit_test(whatever_they_begin_with_each_gets_its_own),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
