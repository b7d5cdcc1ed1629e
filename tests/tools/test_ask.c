/*
 * Requests and the engine that answers them, without HTTP. What is promised:
 *   - an answer is the same to the bit (tokens, and what they are rated) whatever is answered
 *     beside it, with whichever adapter, and whatever the cache holds: of a request that is greedy
 *     and of one that draws; prompts that begin alike, and answers that lose their rows and begin
 *     again, too;
 *   - every failed allocation and system call, from a chat's templates and an adapter's files to
 *     the last byte of an answer, is told as the server's fault or the file's, or changes nothing;
 *     the same request is answered afterwards;
 *   - a stream that lost something for want of memory does not look whole;
 *   - an adapter without a name goes with its last request, whoever ends that, and at the most so
 *     many names and adapters are there as the server was told;
 *   - numbers that are not finite are no answer; no token stands twice in a list of ratings;
 *   - what a request holds besides is let go of while it is answered, and one that could never
 *     wait is told so.
 */
#define _DEFAULT_SOURCE // usleep
#include "base/core/mem.h"
#include "base/core/rng.h"
#include "tests/support/faults.h"
#include "tests/support/near.h"
#include "tests/support/tiny.h"
#include "tools/serve/ask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Wide enough for products that have other ways of many rows. */
static const char config[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 192, \"num_hidden_layers\": 2, "
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"intermediate_size\": 320, "
    "\"vocab_size\": 260, \"max_position_embeddings\": 256, \"initializer_range\": 0.08}";

static struct lorac_device dev;
static struct lorac_model *model;
static struct lorac_tokenizer *tokenizer;
static struct lorac_err err;

/* ---- a model and its adapters ---- */

static void save_adapter(const char *name, unsigned stream, float scale)
{
    struct lorac_adapter *a = NULL;
    const struct lorac_adapter_options o = {.rank = 4, .alpha = 7.0};
    if (lorac_adapter_new(&a, model, &o, &err)) { fail_msg("%s", err.text); }
    for (size_t i = 0; i < a->n; i++) {
        size_t n = a->site[i].R * a->site[i].OC;
        float *b = lorac_mem_new(n, sizeof *b);
        fill(b, n, stream + (unsigned)i);
        for (size_t k = 0; k < n; k++) {
            b[k] *= scale;
        }
        assert_int_equal(lorac_site_write(a, i, 1, b, &err), LORAC_OK);
        lorac_mem_free(b);
    }
    if (lorac_peft_save(tiny_path(name), a, "wide", LORAC_F32, &err)) { fail_msg("%s", err.text); }
    lorac_adapter_free(a);
}

static int make(void **state)
{
    const struct lorac_init_options o = {
        .tokenizer = LORAC_TESTS_DIR "/datasets/data/bytes", .dtype = LORAC_F32, .seed = 4};
    (void)state;
    if (lorac_model_init(tiny_path("wide"), config, &o, &err) ||
        lorac_device_open(&dev, NULL, 1, &err)) {
        fail_msg("%s", err.text);
    }
    dev.by_row = true;
    if (lorac_model_open(&model, &dev, tiny_path("wide"), LORAC_FLOAT32, &err) ||
        lorac_tokenizer_open(&tokenizer, tiny_path("wide"), &err)) {
        fail_msg("%s", err.text);
    }
    tiny_text(
        "wide/chat_template.jinja",
        "{% for m in messages %}{{ '<s>' + m.role[0] + ':' + m.content + '</s>' }}{% endfor %}"
        "{{ '<s>a:' if add_generation_prompt }}");
    save_adapter("one", 10, 0.1F);
    save_adapter("two", 50, 0.1F);
    save_adapter("wild", 50, 1e30F);
    tiny_text("two/chat_template.jinja", "{% for m in messages %}[{{ m.content }}]{% endfor %}");
    return 0;
}

static int unmake(void **state)
{
    lorac_tokenizer_free(tokenizer);
    lorac_model_close(model);
    lorac_device_close(&dev);
    return tiny_remove(state);
}

/* ---- a service ---- */

static enum lorac_status status_of(const struct fault *f, struct lorac_err *e)
{
    enum lorac_status st = f->status >= 500   ? LORAC_ENOMEM
                           : f->status == 422 ? LORAC_EIO
                                              : LORAC_EUSER;
    return lorac_fail(e, st, "%d: %s", f->status, f->text);
}

static enum lorac_status open_service(struct service *s, const struct engine_options *o,
                                      struct lorac_err *e)
{
    static const char *const names[] = {"one", "two"};
    struct fault f = {0};
    *s = (struct service){.model = model, .tokenizer = tokenizer, .name = "base"};
    adapters_open(&s->adapters, model, tokenizer, 8, false);
    enum lorac_status st = talk_open(&s->talk, model, tokenizer, NULL, e);
    for (size_t i = 0; i < 2 && !st; i++) {
        if (!adapters_load(&s->adapters, names[i], tiny_path(names[i]), false, &f)) {
            st = status_of(&f, e);
        }
    }
    if (!st) { st = engine_open(&s->engine, model, tokenizer, &s->adapters, o, e); }
    if (!st) { st = engine_start(s->engine, e); }
    return st;
}

static void close_service(struct service *s)
{
    if (s->engine) { engine_stop(s->engine, true); }
    engine_join(s->engine);
    engine_free(s->engine);
    adapters_close(&s->adapters);
    form_close(&s->talk.form);
}

static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void wake(void *self)
{
    (void)self;
    (void)pthread_cond_broadcast(&changed);
}

static void wait_for(struct ask *a)
{
    (void)pthread_mutex_lock(&a->lock);
    a->wake = wake;
    while (!a->done) {
        (void)pthread_cond_wait(&changed, &a->lock);
    }
    (void)pthread_mutex_unlock(&a->lock);
}

/* ---- the same beside others ---- */

enum { ASKS = 12, ROUNDS = 2 };

static uint64_t draws;

static size_t below(size_t n)
{
    return lorac_rng_below(15, 0, draws++, n);
}

/* Some begin alike. */
static void draw_request(struct lorac_buf *b)
{
    static const char *const models[] = {"base", "one", "two"};
    lorac_buf_printf(b, "{\"model\": \"%s\", \"prompt\": [[256", models[below(3)]);
    size_t kind = below(3);
    size_t begins = kind ? 10 + 30 * kind : 0;
    size_t n = 1 + begins + below(30);
    for (size_t i = 0; i < n; i++) {
        lorac_buf_printf(b, ",%zu", i < begins ? 97 + (i * kind) % 26 : below(256));
    }
    lorac_buf_printf(b,
                     "]], \"max_tokens\": %zu, \"logprobs\": 3, \"temperature\": %d, \"seed\": 5, "
                     "\"echo\": %s}",
                     1 + below(80), (int)below(2), below(5) ? "false" : "true");
}

static struct ask *submit(struct service *s, const struct lorac_buf *request)
{
    struct fault f = {0};
    struct ask *a = ask_read(s, ASK_COMPLETION, request->at, request->n, &f);
    if (!a || !ask_submit(a, &f)) { fail_msg("%s: %s", f.text, request->at); }
    return a;
}

static bool is_same(const struct ask *a, const struct ask *b)
{
    const struct choice *x = a->call.choice;
    const struct choice *y = b->call.choice;
    bool same = x->n_tokens == y->n_tokens && x->finish == y->finish && x->text.n == y->text.n &&
                (x->text.n == 0 || memcmp(x->text.at, y->text.at, x->text.n) == 0);
    for (size_t i = 0; i < x->n_tokens && same; i++) {
        const struct token *t = &x->token[i];
        const struct token *u = &y->token[i];
        same = t->id == u->id && memcmp(&t->logprob, &u->logprob, sizeof t->logprob) == 0 &&
               t->n_top == u->n_top && memcmp(t->top, u->top, t->n_top * sizeof *t->top) == 0 &&
               memcmp(t->top_logprob, u->top_logprob, t->n_top * sizeof *t->top_logprob) == 0;
    }
    return same;
}

/* How many of them are answered otherwise together. *again: how many began again. */
static size_t count_others(uint64_t *again)
{
    const struct engine_options wide = {
        .cache_bytes = 64 << 20, .max_running = 1, .max_waiting = 8};
    // rows for a few of them alone: 2 layers of 2 x 96 floats
    const struct engine_options narrow = {
        .cache_bytes = 260 * 1536, .max_running = 8, .max_waiting = ASKS};
    struct engine_stats stats;
    struct service s;
    size_t others = 0;
    struct lorac_buf requests[ASKS] = {0};
    struct ask *alone[ASKS];
    struct ask *together[ASKS];
    for (size_t i = 0; i < ASKS; i++) { // each on an engine of its own
        draw_request(&requests[i]);
        if (open_service(&s, &wide, &err)) { fail_msg("%s", err.text); }
        alone[i] = submit(&s, &requests[i]);
        wait_for(alone[i]);
        assert_int_equal(alone[i]->call.err.code, LORAC_OK);
        close_service(&s);
    }
    struct service many;
    if (open_service(&many, &narrow, &err)) { fail_msg("%s", err.text); }
    for (size_t i = 0; i < ASKS; i++) {
        together[i] = submit(&many, &requests[i]);
    }
    for (size_t i = 0; i < ASKS; i++) {
        wait_for(together[i]);
        if (together[i]->call.err.code) { fail_msg("%s", together[i]->call.err.text); }
        others += !is_same(alone[i], together[i]);
    }
    engine_stats(&stats, many.engine);
    *again += stats.preempted;
    for (size_t i = 0; i < ASKS; i++) {
        ask_leave(together[i]);
        alone[i]->s = &many; // its own service is no more, and neither is what it leased
        alone[i]->call.adapter = NULL;
        ask_leave(alone[i]);
        lorac_buf_free(&requests[i]);
    }
    close_service(&many);
    return others;
}

static void an_answer_is_the_same_beside_others(void **state)
{
    uint64_t again = 0;
    (void)state;
    for (size_t i = 0; i < ROUNDS; i++) {
        assert_int_equal(count_others(&again), 0);
    }
    assert_true(again > 0);
}

static void it_takes_a_device_that_computes_rows_alone(void **state)
{
    uint64_t again = 0;
    (void)state;
    if (strcmp(dev.ops->name, "cpu") != 0) { return; }
    dev.by_row = false;
    assert_true(count_others(&again) > 0);
    dev.by_row = true;
}

/* ---- a machine that fails ---- */

/* What is not the same each time, id and time, stands before the choices. */
static void say_choices(const char *text)
{
    for (const char *at = strstr(text, "\"choices\""); at; at = strstr(at + 1, "\"choices\"")) {
        faults_say("%.*s\n", (int)strcspn(at, "\n"), at);
    }
}

static enum lorac_status answer(struct service *s, enum ask_kind kind, const char *body,
                                struct lorac_err *e)
{
    struct fault f = {0};
    struct lorac_buf b = {0};
    struct ask *a = ask_read(s, kind, body, strlen(body), &f);
    if (!a || !ask_submit(a, &f)) {
        ask_leave(a);
        return status_of(&f, e);
    }
    wait_for(a);
    enum lorac_status st = LORAC_OK;
    bool lost = a->out.no_memory;
    if (ask_failed(&f, a) && !(a->stream && a->out.n)) {
        st = status_of(&f, e);
    } else if (a->stream) {
        bool told = a->out.n && strstr(a->out.at, "{\"error\":");
        if (lost || told) { st = lorac_fail(e, LORAC_ENOMEM, "a stream without its end"); }
        if (!st) { say_choices(a->out.at); }
    } else {
        ask_answer(&b, a);
        st = b.no_memory ? lorac_fail(e, LORAC_ENOMEM, "no memory for an answer") : LORAC_OK;
        if (!st) { say_choices(b.at); }
    }
    ask_leave(a);
    lorac_buf_free(&b);
    return st;
}

static enum lorac_status tokenize(struct service *s, const char *body, bool back,
                                  struct lorac_err *e)
{
    struct fault f = {0};
    struct lorac_buf b = {0};
    bool ok = back ? ask_detokenize(&b, s, body, strlen(body), &f)
                   : ask_tokenize(&b, s, body, strlen(body), &f);
    enum lorac_status st = ok ? faults_text(&b, e) : status_of(&f, e);
    if (!st) { faults_say("%s\n", b.at); }
    lorac_buf_free(&b);
    return st;
}

#define SAYS \
    "\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"hi\"}]}]"

static enum lorac_status whole_service(struct lorac_err *e)
{
    const struct engine_options o = {.cache_bytes = 1 << 20, .max_running = 2, .max_waiting = 8};
    struct service s;
    enum lorac_status st = open_service(&s, &o, e);
    if (!st) {
        st = answer(&s, ASK_COMPLETION,
                    "{\"model\": \"one\", \"prompt\": [\"hello\", [256, 104]], \"n\": 2, "
                    "\"max_tokens\": 3, \"logprobs\": 2, \"echo\": true, \"seed\": 1, "
                    "\"repetition_penalty\": 1.2, \"stop\": [\"zz\"]}",
                    e);
    }
    if (!st) {
        st = answer(
            &s, ASK_CHAT,
            "{\"model\": \"two\", \"max_tokens\": 3, \"temperature\": 0, \"logprobs\": true, "
            "\"top_logprobs\": 2, \"stream\": true, \"stream_options\": "
            "{\"include_usage\": true}, " SAYS "}",
            e);
    }
    if (!st) {
        st = tokenize(&s, "{\"model\": \"two\", " SAYS ", \"return_token_strs\": true}", false, e);
    }
    if (!st) { st = tokenize(&s, "{\"model\": \"base\", " SAYS "}", false, e); }
    if (!st) { st = tokenize(&s, "{\"tokens\": [104, 105]}", true, e); }
    close_service(&s);
    return st;
}

static void a_machine_that_fails_is_met(void **state)
{
    (void)state;
    const struct faults_scenario scenario = {.name = "serve", .go = whole_service, .step = 31};
    faults_meet(&scenario, 1);
}

static enum lorac_status wrong_request(struct lorac_err *e)
{
    static const char body[] =
        "{\"model\": \"base\", \"prompt\": \"hi\", \"temperature\": \"hot\"}";
    const struct engine_options o = {.cache_bytes = 1 << 20, .max_running = 2, .max_waiting = 8};
    struct service s;
    struct fault f = {0};
    enum lorac_status st = open_service(&s, &o, e);
    struct ask *a = st ? NULL : ask_read(&s, ASK_COMPLETION, body, sizeof body - 1, &f);
    assert_null(a);
    if (!st) { st = status_of(&f, e); }
    close_service(&s);
    return st;
}

static void a_wrong_request_is_told_though_memory_is_short(void **state)
{
    (void)state;
    faults_complain(LORAC_EUSER, wrong_request);
}

/* ---- adapters that come and go ---- */

static const struct engine_options small = {
    .cache_bytes = 1 << 20, .max_running = 2, .max_waiting = 8};

static size_t count_residents(struct adapters *a)
{
    (void)pthread_mutex_lock(&a->lock);
    size_t n = a->n_residents;
    (void)pthread_mutex_unlock(&a->lock);
    return n;
}

static void an_adapter_goes_with_its_last_request(void **state)
{
    static const char body[] = "{\"model\": \"one\", \"prompt\": \"hello\", \"max_tokens\": 9}";
    struct service s;
    struct fault f = {0};
    (void)state;
    if (open_service(&s, &small, &err)) { fail_msg("%s", err.text); }
    struct ask *a = ask_read(&s, ASK_COMPLETION, body, sizeof body - 1, &f);
    assert_non_null(a);
    (void)pthread_mutex_lock(&a->lock); // the engine cannot end it yet
    assert_true(ask_submit(a, &f));
    assert_true(adapters_unload(&s.adapters, "one", &f));
    a->holders--; // its connection is through with it: the engine's thread lets go of it last
    (void)pthread_mutex_unlock(&a->lock);
    for (size_t i = 0; i < 1000 && count_residents(&s.adapters) > 1; i++) {
        (void)usleep(10000);
    }
    assert_int_equal(count_residents(&s.adapters), 1);
    close_service(&s);
}

static void names_are_as_many_as_adapters_may_be(void **state)
{
    struct adapters a;
    struct fault f = {0};
    (void)state;
    adapters_open(&a, model, tokenizer, 2, false);
    assert_true(adapters_load(&a, "x", tiny_path("one"), false, &f));
    assert_true(adapters_load(&a, "y", tiny_path("one"), false, &f));
    assert_int_equal(a.n_residents, 1);
    assert_false(adapters_load(&a, "z", tiny_path("one"), false, &f));
    assert_int_equal(f.status, 409);
    assert_true(f.final);
    adapters_close(&a);
    adapters_open(&a, model, tokenizer, 1, false);
    assert_true(adapters_load(&a, "x", tiny_path("one"), false, &f));
    struct resident *r = adapters_lease(&a, "x");
    assert_true(adapters_unload(&a, "x", &f));
    assert_false(adapters_load(&a, "z", tiny_path("two"), false, &f)); // x still answers
    assert_int_equal(f.status, 409);
    assert_false(f.final);
    adapters_release(&a, r);
    assert_true(adapters_load(&a, "z", tiny_path("two"), false, &f)); // x is only not swept yet
    adapters_close(&a);
}

/* ---- numbers ---- */

static void what_is_not_finite_is_no_answer(void **state)
{
    static const char *const bodies[] = {
        "{\"model\": \"wild\", \"prompt\": \"hello\", \"max_tokens\": 1}",
        "{\"model\": \"wild\", \"prompt\": \"hello\", \"max_tokens\": 0, \"echo\": true, "
        "\"logprobs\": 1}"};
    struct service s;
    struct fault f = {0};
    (void)state;
    if (open_service(&s, &small, &err)) { fail_msg("%s", err.text); }
    assert_true(adapters_load(&s.adapters, "wild", tiny_path("wild"), false, &f));
    for (size_t i = 0; i < 2; i++) {
        struct ask *a = ask_read(&s, ASK_COMPLETION, bodies[i], strlen(bodies[i]), &f);
        assert_non_null(a);
        assert_true(ask_submit(a, &f));
        wait_for(a);
        assert_true(ask_failed(&f, a));
        assert_int_equal(f.status, 500);
        assert_non_null(strstr(f.text, "not finite"));
        ask_leave(a);
    }
    close_service(&s);
}

static void no_token_stands_twice_among_ratings(void **state)
{
    struct service s = {.tokenizer = tokenizer};
    // tokens that are no text of the tokenizer's are alike
    struct token t = {.id = 301, .logprob = -3.0, .top = {300}, .top_logprob = {-1.0F}, .n_top = 1};
    struct choice c = {.token = &t, .n_tokens = 1};
    struct ask a = {.s = &s, .samples = 1, .call = {.choice = &c, .n = 1, .top = 1}};
    struct lorac_buf b = {0};
    json_error_t why;
    (void)state;
    ask_answer(&b, &a);
    json_t *root = json_loads(b.at, JSON_REJECT_DUPLICATES, &why);
    if (!root) { fail_msg("%s: %s", why.text, b.at); }
    assert_non_null(strstr(b.at, "\"token_id:301\":-3"));
    json_decref(root);
    lorac_buf_free(&b);
}

/* ---- what a request may cost ---- */

static void a_request_is_let_go_of(void **state)
{
    static const char body[] = "{\"model\": \"base\", \"prompt\": [[1, 2, 3]], \"stop\": [\"zz\"], "
                               "\"other\": [1, 2, 3]}";
    struct service s;
    struct fault f = {0};
    (void)state;
    if (open_service(&s, &small, &err)) { fail_msg("%s", err.text); }
    struct ask *a = ask_read(&s, ASK_COMPLETION, body, sizeof body - 1, &f);
    assert_non_null(a);
    assert_int_equal(json_array_size(a->root), 1);
    assert_string_equal(a->call.choice[0].o.stop[0], "zz");
    ask_leave(a);
    close_service(&s);
}

static void what_could_never_wait_is_told_so(void **state)
{
    static const char body[] = "{\"model\": \"base\", \"prompt\": \"a\", \"n\": 9}";
    const struct lorac_sampling o = {.max_tokens = 1};
    const struct engine_options wide = {
        .cache_bytes = 1 << 20, .max_running = 2, .max_waiting = 200};
    const struct lorac_saved saved = {.K = 200};
    struct service s;
    struct fault f = {0};
    (void)state;
    if (open_service(&s, &small, &err)) { fail_msg("%s", err.text); }
    assert_null(ask_read(&s, ASK_COMPLETION, body, sizeof body - 1, &f));
    assert_int_equal(f.status, 400);
    assert_string_equal(f.param, "n");
    close_service(&s);
    if (open_service(&s, &wide, &err)) { fail_msg("%s", err.text); }
    struct ask *a = ask_read(&s, ASK_COMPLETION, body, sizeof body - 1, &f);
    assert_non_null(a);
    ask_leave(a);
    for (size_t K = 200; K < 202; K++) { // labels, each of which is a choice
        struct ask labels = {.s = &s, .saved = &saved, .samples = 1};
        assert_int_equal(ask_choices(&labels, K, &o, &f), K == 200);
        lorac_mem_free(labels.call.choice);
        lorac_mem_free(labels.text_told);
        lorac_mem_free(labels.tokens_told);
        lorac_mem_free(labels.began);
    }
    close_service(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_the_same_beside_others),
        cmocka_unit_test(it_takes_a_device_that_computes_rows_alone),
        cmocka_unit_test(a_machine_that_fails_is_met),
        cmocka_unit_test(a_wrong_request_is_told_though_memory_is_short),
        cmocka_unit_test(an_adapter_goes_with_its_last_request),
        cmocka_unit_test(names_are_as_many_as_adapters_may_be),
        cmocka_unit_test(what_is_not_finite_is_no_answer),
        cmocka_unit_test(no_token_stands_twice_among_ratings),
        cmocka_unit_test(a_request_is_let_go_of),
        cmocka_unit_test(what_could_never_wait_is_told_so),
    };
    return cmocka_run_group_tests_name("ask", tests, make, unmake);
}
