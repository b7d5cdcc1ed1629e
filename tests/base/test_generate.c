/*
 * Generation. What is promised:
 *   - the same seed gives the same text, another seed another;
 *   - greedy text through the cache is that of a full forward pass for every token;
 *   - what was kept of the turn before is not read again, and changes nothing: of the same turn, of
 *     one that goes on, of another beginning, and after other adapters all is read;
 *   - prompts that go on together get the text that each gets alone;
 *   - generation ends at max_tokens, at a token that ends, at the last position, or before a stop
 *     text, of which nothing is ever shown; what is shown is the text;
 *   - a prompt that is empty or fills the context is an error;
 *   - real models (label data): likelihood, perplexity and greedy tokens are those of transformers.
 */
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/generate.h"
#include "tests/support/data.h"
#include "tests/support/near.h"
#include "tests/support/passes.h"
#include "tests/support/reference.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- a small model ---- */

struct fixture {
    struct lorac_device dev;
    struct lorac_model *m;
    struct lorac_tokenizer *t;
    struct lorac_generator *g;
    struct lorac_ids prompt, ids;
    struct lorac_buf text, shown;
    enum lorac_finish finish;
    size_t calls, stop_after; // of `show`; 0: never
    size_t silent;            // calls without text
};

static void check(enum lorac_status st, const struct lorac_err *err)
{
    if (st) { fail_msg("%s", err->text); }
}

/* With a context longer than a chunk of a prompt. */
static int open_model(void **state)
{
    (void)tiny_model(state);
    tiny_edit("model/config.json", "512", "1024");
    return 0;
}

static void open_at(struct fixture *f, const char *dir, size_t max_positions, const char *prompt)
{
    struct lorac_err err = {0};
    *f = (struct fixture){0};
    check(lorac_device_open(&f->dev, NULL, 1, &err), &err);
    check(lorac_model_open(&f->m, &f->dev, dir, LORAC_FLOAT32, &err), &err);
    check(lorac_tokenizer_open(&f->t, dir, &err), &err);
    check(lorac_generator_new(&f->g, f->m, NULL, max_positions, 3, &err), &err);
    struct lorac_text text = {prompt, strlen(prompt), false};
    check(lorac_encode(&f->prompt, f->t, &text, 1, LORAC_ENCODE_BEGINS, &err), &err);
}

static void close_all(struct fixture *f)
{
    lorac_generator_free(f->g);
    lorac_tokenizer_free(f->t);
    lorac_model_close(f->m);
    lorac_device_close(&f->dev);
    lorac_ids_free(&f->prompt);
    lorac_ids_free(&f->ids);
    lorac_buf_free(&f->text);
    lorac_buf_free(&f->shown);
}

static bool show(void *self, const char *text, size_t n)
{
    struct fixture *f = self;
    f->silent += n == 0;
    lorac_buf_add(&f->shown, text, n);
    return ++f->calls != f->stop_after;
}

static const char *generate(struct fixture *f, const struct lorac_sampling *o)
{
    struct lorac_err err = {0};
    f->ids.n = 0;
    f->calls = 0;
    f->silent = 0;
    lorac_buf_clear(&f->text);
    lorac_buf_str(&f->text, "");
    lorac_buf_clear(&f->shown);
    lorac_buf_str(&f->shown, "");
    check(lorac_generate(&f->ids, &f->text, &f->finish, f->g, f->t, f->prompt.at, f->prompt.n, o,
                         show, f, &err),
          &err);
    return f->text.at;
}

/* The likeliest next token by a whole forward pass over `ids`. */
static int32_t next_by_recomputing(struct fixture *f, const struct lorac_ids *ids)
{
    struct lorac_batch *b = NULL;
    size_t best = 0;
    size_t n = 0;
    assert_int_equal(lorac_batch_new(&b, ids->n, 1, 1, NULL), LORAC_OK);
    lorac_batch_clear(b);
    (void)lorac_batch_add(b, ids->at, ids->n, -1);
    lorac_batch_want_logits(b, ids->n - 1);
    float *out = passes_logits(f->m, NULL, b, &n);
    for (size_t i = 1; i < n; i++) {
        if (out[i] > out[best]) { best = i; }
    }
    lorac_mem_free(out);
    lorac_batch_free(b);
    return (int32_t)best;
}

static void greedy_text_is_that_of_full_recomputation(void **state)
{
    (void)state;
    static const char *const prompts[] = {"a", "once upon", "The quick brown fox"};
    for (size_t k = 0; k < 3; k++) {
        struct fixture f;
        struct lorac_sampling o = lorac_sampling_defaults;
        o.max_tokens = 40;
        open_at(&f, tiny_path("model"), 0, prompts[k]);
        (void)generate(&f, &o);
        assert_true(f.ids.n > 0);
        for (size_t i = 0; i < f.ids.n; i++) {
            int32_t want = next_by_recomputing(&f, &f.prompt);
            assert_int_equal(f.ids.at[i], want);
            assert_int_equal(lorac_ids_add(&f.prompt, want, NULL), LORAC_OK);
        }
        close_all(&f);
    }
}

/* Eight prompts of all lengths, three at a time, drawn and greedy, which end in every way; all
 * begin with `front` tokens. */
static void continue_several(size_t front)
{
    enum { N = 8 };
    static const char *const stop[] = {"e"};
    char one[620];
    struct fixture f;
    struct lorac_generation x[N] = {0};
    struct lorac_ids prompt[N] = {0};
    struct lorac_ids ids[N] = {0};
    struct lorac_buf text[N] = {0};
    struct lorac_sampling o[N];
    struct lorac_err err = {0};
    open_at(&f, tiny_path("model"), 620, "x");
    for (size_t i = 0; i < N; i++) {
        size_t n = i == 3 ? 600 : i == 6 ? 616 : front + 1 + 5 * i;
        memset(one, 'z', front);
        memset(one + front, (int)('a' + i), n - front);
        struct lorac_text text_of = {one, n, false};
        check(lorac_encode(&prompt[i], f.t, &text_of, 1, LORAC_ENCODE_BEGINS, &err), &err);
        o[i] = lorac_sampling_defaults;
        o[i].max_tokens = i == 4 ? 0 : 3 + 7 * i;
        o[i].temperature = i % 2 ? 1.5 : 0.0; // seed 0
        o[i].repetition_penalty = i == 2 ? 1.3 : 1.0;
        o[i].stop = stop;
        o[i].n_stop = i == 5;
        x[i] = (struct lorac_generation){
            .prompt = prompt[i].at, .n = prompt[i].n, .o = &o[i], .ids = &ids[i], .text = &text[i]};
    }
    check(lorac_generate_all(x, N, f.g, f.t, &err), &err);
    for (size_t i = 0; i < N; i++) {
        lorac_ids_free(&f.prompt);
        f.prompt = prompt[i];
        prompt[i] = (struct lorac_ids){0};
        (void)generate(&f, &o[i]);
        assert_true(ids[i].n == f.ids.n && x[i].finish == f.finish);
        if (f.ids.n) { assert_memory_equal(ids[i].at, f.ids.at, f.ids.n * sizeof *f.ids.at); }
        assert_string_equal(text[i].at ? text[i].at : "", f.text.at);
        lorac_ids_free(&ids[i]);
        lorac_buf_free(&text[i]);
    }
    assert_true(x[6].finish == LORAC_FINISH_CONTEXT && x[4].finish == LORAC_FINISH_LENGTH);
    close_all(&f);
}

static void several_prompts_are_continued_as_each_alone(void **state)
{
    (void)state;
    continue_several(0);
}

static void what_prompts_share_changes_nothing(void **state)
{
    (void)state;
    continue_several(50);
    continue_several(530); // more than a batch
}

/* All stop, and those that would have begun don't. */
static void who_stops_one_stops_all(void **state)
{
    (void)state;
    enum { N = 5 };
    struct fixture f;
    struct lorac_generation x[N];
    struct lorac_ids ids[N] = {0};
    struct lorac_buf text[N] = {0};
    struct lorac_sampling o[N];
    struct lorac_err err = {0};
    open_at(&f, tiny_path("model"), 64, "once upon");
    for (size_t i = 0; i < N; i++) {
        o[i] = lorac_sampling_defaults;
        o[i].seed = i; // not the same
        x[i] = (struct lorac_generation){.prompt = f.prompt.at,
                                         .n = f.prompt.n,
                                         .o = &o[i],
                                         .ids = &ids[i],
                                         .text = &text[i],
                                         .show = show,
                                         .self = &f};
    }
    f.stop_after = 4; // of three at a time: in the second round
    check(lorac_generate_all(x, N, f.g, f.t, &err), &err);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(x[i].finish, LORAC_FINISH_CALLER);
        assert_int_equal(ids[i].n, i < 3 ? 2 : 0);
        lorac_ids_free(&ids[i]);
        lorac_buf_free(&text[i]);
    }
    close_all(&f);
}

static void a_prompt_longer_than_a_chunk_goes_in_pieces(void **state)
{
    (void)state;
    static char prompt[601]; // more than 512 rows
    struct fixture f;
    struct lorac_sampling o = lorac_sampling_defaults;
    o.max_tokens = 4;
    for (size_t i = 0; i < sizeof prompt - 1; i++) {
        prompt[i] = (char)('a' + i * i % 23);
    }
    open_at(&f, tiny_path("model"), 0, prompt);
    assert_true(f.prompt.n > 512);
    (void)generate(&f, &o);
    assert_true(f.ids.n > 0);
    for (size_t i = 0; i < f.ids.n; i++) {
        assert_int_equal(f.ids.at[i], next_by_recomputing(&f, &f.prompt));
        assert_int_equal(lorac_ids_add(&f.prompt, f.ids.at[i], NULL), LORAC_OK);
    }
    close_all(&f);
}

static void a_context_of_just_the_tokens_asked_for_is_enough(void **state)
{
    (void)state;
    struct fixture f;
    struct fixture small;
    struct lorac_sampling o = lorac_sampling_defaults;
    o.max_tokens = 8;
    open_at(&f, tiny_path("model"), 0, "once upon");
    open_at(&small, tiny_path("model"), f.prompt.n + 8, "once upon");
    (void)generate(&f, &o);
    (void)generate(&small, &o);
    assert_int_equal(f.ids.n, small.ids.n);
    assert_memory_equal(f.ids.at, small.ids.at, f.ids.n * sizeof *f.ids.at);
    assert_int_equal(f.finish, LORAC_FINISH_LENGTH);
    assert_int_equal(small.finish, LORAC_FINISH_LENGTH); // the last token needs no position
    close_all(&f);
    close_all(&small);
}

static void the_same_seed_gives_the_same_text(void **state)
{
    (void)state;
    struct fixture f;
    struct lorac_sampling o = lorac_sampling_defaults;
    o.max_tokens = 30;
    o.temperature = 1.0;
    o.seed = 9;
    open_at(&f, tiny_path("model"), 0, "once");
    const char *text = generate(&f, &o);
    assert_true(f.text.n > 0);
    char *first = lorac_mem_string(text, strlen(text));
    assert_string_equal(generate(&f, &o), first);
    o.seed = 10;
    assert_string_not_equal(generate(&f, &o), first);
    lorac_mem_free(first);
    close_all(&f);
}

/* ---- ends ---- */

static void generation_ends_where_it_has_to(void **state)
{
    (void)state;
    struct fixture f;
    struct lorac_sampling o = lorac_sampling_defaults;
    open_at(&f, tiny_path("model"), 128, "once");
    o.max_tokens = 7;
    (void)generate(&f, &o);
    assert_true(f.ids.n == 7 && f.finish == LORAC_FINISH_LENGTH);
    assert_string_equal(f.shown.at, f.text.at);
    o.max_tokens = 0;
    (void)generate(&f, &o);
    assert_true(f.ids.n == 0 && f.text.n == 0 && f.finish == LORAC_FINISH_LENGTH);
    o.max_tokens = 1000; // there are 128 positions
    o.temperature = 3.0; // random: sooner or later </s> comes, or the context ends
    bool ended = false;
    bool full = false;
    for (o.seed = 0; o.seed < 200 && !(ended && full); o.seed++) {
        (void)generate(&f, &o);
        ended = ended || f.finish == LORAC_FINISH_END;
        full = full || f.finish == LORAC_FINISH_CONTEXT;
        assert_true(f.finish == LORAC_FINISH_END || f.finish == LORAC_FINISH_CONTEXT);
        assert_true(f.finish == LORAC_FINISH_END ? f.prompt.n + f.ids.n < 128
                                                 : f.prompt.n + f.ids.n == 128);
        for (size_t i = 0; i < f.ids.n; i++) {
            assert_false(lorac_token_is_end(f.t, f.ids.at[i]));
        }
    }
    assert_true(ended && full);
    close_all(&f);
}

static void a_caller_can_stop(void **state)
{
    (void)state;
    struct fixture f;
    struct lorac_sampling o = lorac_sampling_defaults;
    open_at(&f, tiny_path("model"), 0, "once");
    f.stop_after = 3;
    (void)generate(&f, &o);
    assert_true(f.finish == LORAC_FINISH_CALLER && f.calls == 3);
    close_all(&f);
}

/* What shows no text must end, too: here the stop text may still come, until a token says that it
 * does not. */
static void a_caller_is_asked_after_each_token_also_without_text(void **state)
{
    (void)state;
    struct fixture f;
    struct lorac_sampling o = lorac_sampling_defaults;
    open_at(&f, tiny_path("model"), 0, "once");
    o.max_tokens = 12;
    const char *text = generate(&f, &o);
    char *first = lorac_mem_string(text, strlen(text));
    assert_true(f.calls == f.ids.n + 1 && f.ids.n == 12); // and at the end
    char *stop = first; // all of it and a letter more: nothing is certain before the end
    stop[strlen(stop) - 1]++;
    const char *stops[] = {stop};
    o.stop = stops;
    o.n_stop = 1;
    (void)generate(&f, &o);
    size_t silent = f.silent;
    assert_true(silent > 3);
    f.stop_after = 3;
    (void)generate(&f, &o);
    assert_true(f.finish == LORAC_FINISH_CALLER && f.ids.n == 3 && f.silent == 3 && f.shown.n == 0);
    lorac_mem_free(first);
    close_all(&f);
}

static void a_stop_text_is_cut_off_and_never_shown(void **state)
{
    (void)state;
    struct fixture f;
    struct lorac_sampling o = lorac_sampling_defaults;
    o.max_tokens = 60;
    o.temperature = 0.8; // varied text
    size_t tried = 0;
    open_at(&f, tiny_path("model"), 0, "once");
    for (o.seed = 0; o.seed < 20; o.seed++) {
        o.n_stop = 0;
        const char *text = generate(&f, &o);
        char *whole = lorac_mem_string(text, strlen(text));
        size_t n = strlen(whole);
        for (size_t at = 0; n > 12 && at + 5 < n; at += 3) { // 1 to 5 bytes of the text itself
            char stop[6] = "";
            memcpy(stop, whole + at, 1 + at % 5);
            const char *const stops[] = {"never in there", stop, "never in there"};
            o.stop = stops + at % 2; // first or second
            o.n_stop = 2;
            const char *cut = strstr(whole, stop);
            (void)generate(&f, &o);
            assert_int_equal(f.finish, LORAC_FINISH_STOP);
            assert_int_equal(f.text.n, (size_t)(cut - whole));
            assert_memory_equal(f.text.at, whole, f.text.n);
            assert_string_equal(f.shown.at, f.text.at);
        }
        tried += n > 12;
        lorac_mem_free(whole);
    }
    assert_true(tried > 10);
    close_all(&f);
}

static void a_stop_text_is_found_behind_a_nul(void **state)
{
    (void)state;
    struct fixture f;
    struct lorac_sampling o = lorac_sampling_defaults;
    char stop[4] = "";
    const char *const stops[] = {stop};
    o.max_tokens = 200;
    o.temperature = 1.5;
    size_t at = 0; // behind the NUL
    open_at(&f, tiny_path("model"), 0, "once");
    for (o.seed = 0; !at && o.seed < 200; o.seed += at == 0) {
        const char *text = generate(&f, &o);
        size_t nul = strlen(text);
        bool text_behind = nul + 4 < f.text.n && !memchr(text + nul + 1, '\0', 3);
        if (!text_behind) { continue; }
        memcpy(stop, text + nul + 1, 3);
        if (!strstr(text, stop)) { at = nul + 1; }
    }
    assert_true(at > 0);
    o.stop = stops;
    o.n_stop = 1;
    (void)generate(&f, &o);
    assert_int_equal(f.finish, LORAC_FINISH_STOP);
    assert_int_equal(f.text.n, at);
    close_all(&f);
}

static void a_prompt_without_room_is_an_error(void **state)
{
    (void)state;
    struct fixture f;
    struct lorac_err err = {0};
    struct lorac_sampling o = lorac_sampling_defaults;
    open_at(&f, tiny_path("model"), 10, "once upon");
    assert_int_equal(f.prompt.n, 10);
    assert_int_equal(
        lorac_generate(&f.ids, &f.text, &f.finish, f.g, f.t, f.prompt.at, 10, &o, NULL, NULL, &err),
        LORAC_EUSER);
    assert_string_equal(err.text,
                        "the prompt has 10 tokens, the context holds 10 with at least one "
                        "new token");
    assert_int_equal(
        lorac_generate(&f.ids, &f.text, &f.finish, f.g, f.t, f.prompt.at, 0, &o, NULL, NULL, &err),
        LORAC_EUSER);
    assert_non_null(strstr(err.text, "the prompt is empty"));
    close_all(&f);
}

/* ---- real models ---- */

static void settings_that_do_harm_are_refused(void **state)
{
    struct fixture f;
    (void)state;
    open_at(&f, tiny_path("model"), 0, "a");
    for (size_t i = 0; i < 6; i++) {
        struct lorac_err err = {0};
        enum lorac_finish finish = LORAC_FINISH_END;
        struct lorac_sampling o = lorac_sampling_defaults;
        double *at[] = {&o.repetition_penalty, &o.repetition_penalty, &o.top_p, &o.top_p,
                        &o.temperature,        &o.temperature};
        *at[i] = (double[]){0.0, (double)NAN, 0.0, 1.5, -1.0, (double)INFINITY}[i];
        assert_int_equal(lorac_generate(&f.ids, &f.text, &finish, f.g, f.t, f.prompt.at, f.prompt.n,
                                        &o, NULL, NULL, &err),
                         LORAC_EUSER);
        assert_non_null(strstr(err.text, ", found "));
        assert_int_equal(f.ids.n, 0);
    }
    close_all(&f);
}

static void real_models_say_what_transformers_says(void **state)
{
    (void)state;
    static const char *const names[] = {
        "TinyStories-656K-f32", "TinyStories-656K-bf16",
#ifdef LORAC_HAVE_OPENBLAS
        "tiny-gpt2-cicd", // a vocabulary of 50,257: minutes of plain loops
#endif
    };
    struct lorac_json root = {0};
    reference_open(&root);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "models/%s", names[i]);
        char *dir = data_path(name);
        if (!dir) { continue; }
        struct lorac_json at = lorac_json_get(&root, names[i]);
        struct lorac_ids want = {0};
        struct fixture f;
        const char *prompt = "";
        assert_int_equal(lorac_json_string(&prompt, &at, "prompt", true, NULL), LORAC_OK);
        open_at(&f, dir, 0, prompt);
        reference_ids(&want, &at, "ids");
        double nll = reference_nll(f.m, NULL, &want);
        reference_near(names[i], nll, &at, "nll_sum");
        reference_near(names[i], nll / (double)(want.n - 1), &at, "nll_mean");
        reference_near(names[i], exp(nll / (double)(want.n - 1)), &at, "perplexity");
        reference_ids(&want, &at, "prompt_ids");
        assert_int_equal(f.prompt.n, want.n);
        assert_memory_equal(f.prompt.at, want.at, want.n * sizeof *want.at);
        reference_ids(&want, &at, "continuation_ids");
        struct lorac_sampling o = lorac_sampling_defaults;
        o.max_tokens = want.n;
        (void)generate(&f, &o);
        assert_int_equal(f.ids.n, want.n);
        assert_memory_equal(f.ids.at, want.at, want.n * sizeof *want.at);
        lorac_ids_free(&want);
        lorac_mem_free(dir);
        close_all(&f);
    }
    lorac_json_free(&root);
}

/* Prompts as of a chat: each as a generator that keeps nothing answers it. */
static void turns_that_go_on_are_not_read_again(void **state)
{
    (void)state;
    struct fixture f;
    struct lorac_err err = {0};
    struct lorac_sampling o = lorac_sampling_defaults;
    struct lorac_generator *plain = NULL;
    struct lorac_ids prompt = {0};
    o.max_tokens = 12;
    open_at(&f, tiny_path("model"), 64, "once upon");
    check(lorac_generator_new(&plain, f.m, NULL, 64, 1, &err), &err);
    lorac_generator_keep(f.g);
    for (size_t turn = 0; turn < 5; turn++) {
        struct lorac_ids ids = {0};
        struct lorac_buf text = {0};
        enum lorac_finish finish = LORAC_FINISH_END;
        size_t before = prompt.n + f.ids.n;
        if (turn == 0) {
            prompt = f.prompt;
            f.prompt = (struct lorac_ids){0};
        }
        for (size_t k = 0; turn < 2 && k < f.ids.n; k++) { // the answer, then another question
            check(lorac_ids_add(&prompt, f.ids.at[k], &err), &err);
        }
        if (turn == 1) { check(lorac_ids_add(&prompt, 'x', &err), &err); }
        if (turn == 3) { prompt.at[3] = 'y'; }
        if (turn == 4) { check(lorac_generator_use(f.g, NULL, &err), &err); }
        struct lorac_ids own = f.prompt;
        f.prompt = prompt;
        (void)generate(&f, &o);
        f.prompt = own;
        check(lorac_generate(&ids, &text, &finish, plain, f.t, prompt.at, prompt.n, &o, NULL, NULL,
                             &err),
              &err);
        assert_int_equal(ids.n, f.ids.n);
        assert_memory_equal(ids.at, f.ids.at, ids.n * sizeof *ids.at);
        // turn 1 goes on from all that was read: the last token of an answer was not
        const size_t kept[] = {0, before - 1, prompt.n - 1, 3, 0};
        assert_int_equal(lorac_generator_kept(f.g), kept[turn]);
        assert_int_equal(lorac_generator_kept(plain), 0);
        lorac_ids_free(&ids);
        lorac_buf_free(&text);
    }
    lorac_ids_free(&prompt);
    lorac_generator_free(plain);
    close_all(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_text_is_that_of_full_recomputation),
        cmocka_unit_test(turns_that_go_on_are_not_read_again),
        cmocka_unit_test(several_prompts_are_continued_as_each_alone),
        cmocka_unit_test(what_prompts_share_changes_nothing),
        cmocka_unit_test(who_stops_one_stops_all),
        cmocka_unit_test(a_prompt_longer_than_a_chunk_goes_in_pieces),
        cmocka_unit_test(a_context_of_just_the_tokens_asked_for_is_enough),
        cmocka_unit_test(the_same_seed_gives_the_same_text),
        cmocka_unit_test(generation_ends_where_it_has_to),
        cmocka_unit_test(a_caller_can_stop),
        cmocka_unit_test(a_caller_is_asked_after_each_token_also_without_text),
        cmocka_unit_test(a_stop_text_is_cut_off_and_never_shown),
        cmocka_unit_test(a_stop_text_is_found_behind_a_nul),
        cmocka_unit_test(a_prompt_without_room_is_an_error),
        cmocka_unit_test(settings_that_do_harm_are_refused),
        DATA_TEST(real_models_say_what_transformers_says),
    };
    return data_result(cmocka_run_group_tests_name("generate", tests, open_model, tiny_remove));
}
