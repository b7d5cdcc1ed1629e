/*
 * What a head says of many texts. What is promised:
 *   - the weights are prepared for products of many rows once so many tokens were asked about, and
 *     not before;
 *   - what they begin with runs once, up to the first row that is read, where that is worth it, and
 *     leaves room for more; one that was cut stands beside the others; the answers are those that
 *     each gets alone;
 *   - of an encoder nothing runs once;
 *   - a text that training would skip, as it is too long, is cut and answered;
 *   - a prediction that was stopped goes on in the batches that it would have had.
 */
#include "tests/recipes/run/heads.h"

#include "base/core/number.h"
#include "recipes/run/logits.h"
#include "recipes/run/predict.h"
#include "recipes/run/predictor.h"

#include <math.h>

static size_t n_prepared;

static void count_prepared(struct lorac_device *dev, const struct lorac_weight *const *w, size_t n,
                           bool back)
{
    (void)dev, (void)w, (void)back;
    n_prepared += n;
}

/* A job with a fresh adapter, whose model's rows are counted. */
struct scene {
    struct lorac_recipe *r;
    struct lorac_job *j;
    struct lorac_adapter *a;
    struct lorac_socket socket;
    struct lorac_backend counting;
};

static const struct lorac_backend *own;
static size_t n_rows;

static void count_rows(struct lorac_device *dev, float *y, const int32_t *ids,
                       const struct lorac_weight *w, size_t N)
{
    n_rows += N;
    own->embed(dev, y, ids, w, N);
}

static void open_scene(struct scene *s, const char *objective, const char *const *sets, size_t n)
{
    struct lorac_err err = {0};
    s->r = recipe(objective, sets, n);
    s->j = job(s->r, LORAC_JOB_TRAIN);
    own = s->j->dev.ops;
    s->counting = *own;
    s->counting.embed = count_rows;
    s->counting.weights_prepare = count_prepared;
    s->j->dev.ops = &s->counting;
    check(lorac_job_adapter(&s->a, s->j, &err), &err);
    s->socket = lorac_adapter_socket(s->a);
}

static void close_scene(struct scene *s)
{
    lorac_adapter_free(s->a);
    lorac_job_close(s->j);
    lorac_recipe_free(s->r);
}

static void many_texts_prepare_the_weights(void **state)
{
    (void)state;
    struct scene s;
    struct lorac_predictor *p = NULL;
    struct lorac_answer answer = {0};
    struct lorac_err err = {0};
    const char *text = "abcdefghijklmnopqrstuvwxyz"; // of 2 to 64 tokens
    open_scene(&s, "classify", NULL, 0);
    s.j->model->compute = LORAC_BFLOAT16; // float32 has no copies
    check(lorac_predictor_new(&p, s.j, &s.socket, 64, &err), &err);
    size_t asked = 0;
    for (; n_prepared == 0 && asked < LORAC_PREPARE_TOKENS; asked++) {
        check(lorac_predictor_ask(&answer, p, &text, 1, &err), &err);
    }
    assert_true(n_prepared > 0 && asked > LORAC_PREPARE_TOKENS / 64);
    lorac_answer_free(&answer);
    lorac_predictor_free(p);
    close_scene(&s);
}

/* ---- a beginning that texts share ---- */

#define TASK "Is it kind? "
enum { SHARED = sizeof TASK }; // tokens: bytes behind <s>
static const char *const texts[] = {"so", "it is", "no", "as it was", "yes"};
enum { N_TEXTS = 5 };

/* The texts asked together; each gets the answer that it gets alone. *alone, *together: rows. */
static void ask_all(size_t *alone, size_t *together, struct scene *s, const char *const *text)
{
    struct lorac_predictor *p = NULL;
    struct lorac_predictor *one = NULL;
    struct lorac_err err = {0};
    check(lorac_predictor_new(&p, s->j, &s->socket, 1, &err), &err);
    check(lorac_predictor_new(&one, s->j, &s->socket, 1, &err), &err);
    for (size_t i = 0; i < N_TEXTS; i++) {
        const struct lorac_cell values[] = {{text[i], strlen(text[i])}, {"", 0}}; // and no label
        size_t cut = 0;
        bool added = false;
        check(lorac_predictor_prompt(&cut, p, values, &err), &err);
        check(lorac_predictor_add(&added, p, 1, &err), &err);
        assert_true(added);
    }
    n_rows = 0;
    check(lorac_predictor_run(p, NULL, NULL, &err), &err);
    *together = n_rows;
    n_rows = 0;
    for (size_t i = 0; i < N_TEXTS; i++) {
        struct lorac_answer a = {0};
        const struct lorac_ranked *ranked = NULL;
        check(lorac_predictor_ask(&a, one, &text[i], 1, &err), &err);
        if (a.ranked) { check(lorac_predictor_ranked(&ranked, p, i, &err), &err); }
        for (size_t k = 0; a.ranked && k < s->j->K; k++) {
            assert_int_equal(ranked[k].k, a.ranked[k].k);
            assert_true(fabs(ranked[k].probability - a.ranked[k].probability) < 1e-6);
        }
        const char *got = a.text.n ? lorac_predictor_text(p, i)->text.at : NULL;
        if (got && s->j->K == 0) {
            assert_true(fabs(lorac_strtod(got, NULL) - lorac_strtod(a.text.at, NULL)) < 1e-3);
        } else if (got) {
            assert_string_equal(got, a.text.at);
        }
        assert_true(got || a.ranked);
        lorac_answer_free(&a);
    }
    *alone = n_rows;
    lorac_predictor_free(p);
    lorac_predictor_free(one);
}

static void a_shared_beginning_runs_once(void **state)
{
    (void)state;
    static const char *const sets[] = {"template.prompt='" TASK "{text}'"};
    static const char too_long[] = "its beginning goes, as the text is too long";
    for (size_t k = 0; k < 3; k++) { // of tags the prompt is the words
        struct scene s;
        size_t alone = 0;
        size_t together = 0;
        open_scene(&s, objectives[k], sets, 1);
        ask_all(&alone, &together, &s, texts);
        assert_int_equal(together, alone - (N_TEXTS - 1) * SHARED);
        for (size_t i = 0; i < N_TEXTS; i++) {
            const char *cut[N_TEXTS];
            memcpy(cut, texts, sizeof cut);
            cut[i] = too_long;
            ask_all(&alone, &together, &s, cut);
            size_t beside = i == 1 ? 2 : 1; // so is the first, which nobody follows at once
            assert_int_equal(together, alone - (N_TEXTS - beside - 1) * SHARED);
        }
        close_scene(&s);
    }
}

static size_t odd; // each so many-th text begins otherwise; 0: none

/* Text i: n ids, of which the others have the first `same`, too. */
static void add_one(bool *added, struct lorac_logits *l, size_t i, size_t n, size_t same,
                    const int32_t *rows)
{
    int32_t ids[32];
    struct lorac_err err = {0};
    for (size_t t = 0; t < n; t++) {
        bool own_id = t >= same || (odd && i % odd == odd - 1);
        ids[t] = (int32_t)(own_id ? (i * 7 + t) % 251 : t);
    }
    check(lorac_logits_add(added, l, ids, NULL, n, rows, &err), &err);
}

/* Rows that texts run, as many as there is room for or `most`. Each gives what it gives alone. */
static size_t read_many(struct scene *s, size_t n, size_t same, const int32_t *rows, size_t most)
{
    struct lorac_logits *l = NULL;
    struct lorac_logits *one = NULL;
    struct lorac_err err = {0};
    bool added = true;
    check(lorac_logits_new(&l, s->j->model, &s->socket, 32, &err), &err);
    check(lorac_logits_new(&one, s->j->model, &s->socket, 32, &err), &err);
    while (added && lorac_logits_count(l) < most) {
        add_one(&added, l, lorac_logits_count(l), n, same, rows);
    }
    n_rows = 0;
    check(lorac_logits_run(l, &err), &err);
    size_t ran = n_rows;
    size_t n_read = rows ? 0 : 1;
    for (size_t t = 0; rows && t < n; t++) {
        n_read += rows[t] >= 0;
    }
    for (size_t i = 0; i < lorac_logits_count(l); i++) {
        size_t n_got[2] = {0};
        lorac_logits_clear(one);
        add_one(&added, one, i, n, same, rows);
        assert_true(added);
        check(lorac_logits_run(one, &err), &err);
        const float *got = lorac_logits_of(&n_got[0], l, i);
        const float *want = lorac_logits_of(&n_got[1], one, 0);
        assert_true(n_got[0] == n_read && n_got[1] == n_read);
        for (size_t z = 0; z < n_read * lorac_logits_width(l); z++) {
            assert_true(fabsf(got[z] - want[z]) < 1e-5F);
        }
    }
    lorac_logits_clear(l); // and there is room again
    add_one(&added, l, 0, n, same, rows);
    assert_true(added);
    lorac_logits_free(l);
    lorac_logits_free(one);
    return ran;
}

static const int32_t words[] = {-1, -1, -1, -1, -1, -1, 0, -1, 1, -1};

static void texts_share_up_to_the_first_row_that_is_read(void **state)
{
    (void)state;
    static const int32_t none[] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    struct scene s;
    open_scene(&s, "tag", NULL, 0);
    assert_int_equal(read_many(&s, 10, 9, words, 5), 6 + 5 * 4);
    assert_int_equal(read_many(&s, 10, 10, none, 5), 9 + 5); // each has rows of its own
    assert_int_equal(read_many(&s, 10, 10, NULL, 5), 9 + 5);
    assert_int_equal(read_many(&s, 30, 2, NULL, 3), 3 * 30); // not worth a segment
    close_scene(&s);
}

static void texts_of_an_encoder_share_nothing(void **state)
{
    (void)state;
    static const char *const sets[] = {"model.path=@encoder"};
    struct scene s;
    open_scene(&s, "tag", sets, 1);
    assert_int_equal(read_many(&s, 10, 9, words, 5), 3 * 5 * 10); // tokens, places, types
    close_scene(&s);
}

static void what_runs_once_leaves_room_for_more(void **state)
{
    (void)state;
    enum { BATCH = 1024 };
    struct scene s;
    open_scene(&s, "classify", NULL, 0);
    assert_int_equal(read_many(&s, 31, 28, NULL, BATCH), BATCH); // 28 and 332 times 3
    assert_int_equal(read_many(&s, 31, 0, NULL, BATCH), BATCH / 31 * 31);
    odd = 10;
    assert_int_equal(read_many(&s, 31, 28, NULL, BATCH), 28 + 17 * (9 * 3 + 31) + 3 * 3);
    odd = 0;
    close_scene(&s);
}

static void what_training_skips_is_cut(void **state)
{
    (void)state;
    static const char *const sets[] = {"model.max_length=16", "data.on_too_long=skip"};
    for (size_t k = 0; k < sizeof objectives / sizeof *objectives; k++) {
        struct scene s;
        struct lorac_predictor *p = NULL;
        struct lorac_answer answer = {0};
        struct lorac_err err = {0};
        bool tags = strcmp(objectives[k], "tag") == 0;
        const char *text = tags ? "[\"its words\", \"go on\", \"and on\"]" : "its beginning goes";
        const struct lorac_cell values[] = {{text, strlen(text)}, {"", 0}};
        size_t cut = 0;
        open_scene(&s, objectives[k], sets, 2);
        check(lorac_predictor_new(&p, s.j, &s.socket, 1, &err), &err);
        check(lorac_predictor_prompt(&cut, p, values, &err), &err);
        assert_true(cut > 0);
        check(lorac_predictor_ask(&answer, p, &text, 1, &err), &err);
        assert_true(answer.text.n > 0 || answer.ranked);
        lorac_answer_free(&answer);
        lorac_predictor_free(p);
        close_scene(&s);
    }
}

static bool all_but_one(void *self, double done)
{
    (void)self;
    return done < 0.75;
}

static void what_was_stopped_goes_on_in_the_same_batches(void **state)
{
    (void)state;
    static const char *const sets[] = {"template.prompt='" TASK "{text}'"};
    struct scene s;
    struct lorac_err err = {0};
    struct lorac_predicted counts;
    struct lorac_predict_options o = {.progress = all_but_one};
    open_scene(&s, "regress", sets, 1);
    tiny_text("five.csv", "text\nso\nit is\nno\nas it was\nyes\n");
    o.in = tiny_path("five.csv");
    o.out = tiny_path("out.csv");
    n_rows = 0;
    check(lorac_predict(&counts, s.j, &s.socket, &o, &err), &err);
    assert_true(counts.stopped && counts.rows == N_TEXTS - 1);
    size_t whole = n_rows;
    n_rows = 0;
    o.resume = true;
    check(lorac_predict(&counts, s.j, &s.socket, &o, &err), &err);
    assert_true(counts.resumed == N_TEXTS - 1 && counts.rows == N_TEXTS);
    assert_int_equal(n_rows, whole);
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_texts_prepare_the_weights),
        cmocka_unit_test(a_shared_beginning_runs_once),
        cmocka_unit_test(texts_share_up_to_the_first_row_that_is_read),
        cmocka_unit_test(texts_of_an_encoder_share_nothing),
        cmocka_unit_test(what_runs_once_leaves_room_for_more),
        cmocka_unit_test(what_training_skips_is_cut),
        cmocka_unit_test(what_was_stopped_goes_on_in_the_same_batches),
    };
    return cmocka_run_group_tests_name("texts for a head", tests, make_all, tiny_remove);
}
